package digicert

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// filter is what a list of orders is asked for.
type filter struct {
	wanted map[string][]string
	sort   string
}

// newFilter reads filters[x] and filters[x][0]. A filter that is not known is an error: a list that silently holds more
// than was asked for is how wrong orders are found.
//
// Unconfirmed: which filters there are; these are the ones that clients in the field use.
func newFilter(q url.Values) (filter, error) {
	f := filter{wanted: map[string][]string{}, sort: q.Get("sort")}
	form := regexp.MustCompile(`^filters\[([a-z_]+)\](\[\d*\])?$`)
	for key, values := range q {
		m := form.FindStringSubmatch(key)
		if m == nil {
			if strings.HasPrefix(key, "filters") {
				return f, fail(http.StatusBadRequest, "invalid_value:"+key, "%s is no filter.", key)
			}
			continue
		}
		if !slices.Contains([]string{"status", "product_name_id", "common_name", "valid_till", "date_created", "container_id", "organization_id", "search", "serial_number"}, m[1]) {
			return f, fail(http.StatusBadRequest, "invalid_value:"+key, "%s is no filter.", key)
		}
		f.wanted[m[1]] = append(f.wanted[m[1]], values...)
	}
	return f, nil
}

func (f filter) fits(o *order) bool {
	p := o.primary()
	for name, values := range f.wanted {
		fits := slices.ContainsFunc(values, func(v string) bool {
			switch name {
			case "status":
				return v == o.Status
			case "product_name_id":
				return v == o.Product
			case "container_id":
				return v == number(o.Container)
			case "organization_id":
				return v == number(o.Organization)
			case "serial_number":
				return strings.EqualFold(v, p.Serial)
			case "common_name":
				return matches(v, p.CommonName)
			case "search":
				return strings.Contains(p.CommonName, v) || number(o.ID) == v || o.AlternativeID == v
			case "valid_till":
				return dateFits(v, p.NotAfter)
			default: // date_created
				return dateFits(v, o.Created)
			}
		})
		if !fits {
			return false
		}
	}
	return true
}

// matches compares a name with a filter; "%" at its beginning stands for anything.
func matches(pattern, name string) bool {
	if rest, ok := strings.CutPrefix(pattern, "%"); ok {
		return strings.HasSuffix(strings.ToLower(name), strings.ToLower(strings.TrimSuffix(rest, "%")))
	}
	return strings.EqualFold(pattern, name)
}

// dateFits compares a time with a date, ">date", "<date" or "from...to".
func dateFits(v string, t time.Time) bool {
	if from, to, ok := parseRange(v); ok {
		return !t.Before(from) && !t.After(endOfDay(to))
	}
	sign := v[:min(1, len(v))]
	day, err := time.Parse(dateForm, strings.TrimLeft(v, "<>"))
	switch {
	case err != nil:
		return false
	case sign == ">":
		return t.After(endOfDay(day))
	case sign == "<":
		return t.Before(day)
	default:
		return midnight(t).Equal(day)
	}
}

func parseRange(v string) (from, to time.Time, ok bool) {
	a, b, ok := strings.Cut(v, "...")
	if !ok {
		return from, to, false
	}
	for _, form := range []string{dateForm, "2006-01-02 15:04:05", time.RFC3339} {
		x, errX := time.Parse(form, a)
		y, errY := time.Parse(form, b)
		if errX == nil && errY == nil {
			return x, y, true
		}
	}
	return from, to, false
}

// order sorts a list as was asked for.
func (f filter) order(list []*order) {
	key, down := strings.CutPrefix(f.sort, "-")
	slices.SortStableFunc(list, func(a, b *order) int {
		var n int
		switch key {
		case "date_created":
			n = a.Created.Compare(b.Created)
		case "valid_till":
			n = a.primary().NotAfter.Compare(b.primary().NotAfter)
		case "common_name":
			n = strings.Compare(a.primary().CommonName, b.primary().CommonName)
		case "order_id", "id":
			n = int(a.ID - b.ID)
		}
		if down {
			return -n
		}
		return n
	})
}
