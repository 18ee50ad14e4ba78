package servertastic

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/certbridge/certbridged/internal/sandbox"
)

const (
	mostReference = 35
	tokenLength   = 32
)

// tokenWish is what generatetoken was asked for.
type tokenWish struct {
	product              product
	sans, wildcards, hub int
	points               int64
}

// generateToken is order/generatetoken: it buys.
//
// Unconfirmed: that the points are taken by generatetoken and not by place.
func (s *Server) generateToken(c *call) (any, error) {
	settings := s.settings()
	var f faults
	refuseUnknown(c, &f, settings.Strict, []string{
		needsKey, "st_product_code", "end_customer_email", "reseller_unique_reference", "server_count", "san_count",
		settings.Names.WildcardSANs, "integration_source_id",
	})
	var made *order
	err := s.Change(c.now, func(st *state) error {
		wish := judgeToken(c, &f, &st.Settings)
		if err := f.err(); err != nil {
			return err
		}
		if old := st.byReference(c.form["reseller_unique_reference"]); old != nil {
			switch st.Settings.DuplicateReference {
			case "refuse":
				return refuse("reseller_unique_reference has been used before")
			case "token":
				made = old
				return nil
			}
		}
		if wish.points > st.Points {
			return refuse("the account has %d points; the order needs %d", st.Points, wish.points)
		}
		made = st.newOrder(c, wish)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if settings.TokenAnswer == "product" {
		return obj{"success": "Order token generated", "order_token": made.Token, "product_code": made.Product}, nil
	}
	return obj{"success": "Order placed", "reseller_order_id": made.ResellerID, "review_url": reviewURL(made), "order_token": made.Token}, nil
}

func reviewURL(o *order) string { return "https://manage.sandbox.invalid/token/" + o.Token }

// judgeToken checks a wish for a token.
func judgeToken(c *call, f *faults, settings *Settings) tokenWish {
	var w tokenWish
	for _, name := range []string{"st_product_code", "end_customer_email", "reseller_unique_reference"} {
		if c.form[name] == "" {
			f.add("%s is required", name)
		}
	}
	if r := c.form["reseller_unique_reference"]; utf8.RuneCountInString(r) > mostReference {
		f.add("reseller_unique_reference is longer than %d characters", mostReference)
	}
	if e := c.form["end_customer_email"]; e != "" && e != "none" && !isEmail(e) {
		f.add("end_customer_email must be an email address, or none")
	}
	w.sans, w.wildcards = count(c, f, "san_count", 0), count(c, f, settings.Names.WildcardSANs, 0)
	w.hub = count(c, f, "server_count", 1)
	p, ok := productByCode(c.form["st_product_code"])
	if !ok || !settings.sells(p) {
		if c.form["st_product_code"] != "" {
			f.add("st_product_code %q is no product", c.form["st_product_code"])
		}
		return w
	}
	w.product = p
	switch all := w.sans + w.wildcards; {
	case all < p.LeastSANs:
		f.add("san_count of %s must be from %d to %d", p.Code, p.LeastSANs, p.MostSANs)
	case all > p.MostSANs && p.MostSANs == 0:
		f.add("%s has no additional names: san_count must be 0", p.Code)
	case all > p.MostSANs:
		f.add("san_count of %s must be from %d to %d", p.Code, p.LeastSANs, p.MostSANs)
	case w.wildcards > 0 && !p.WildcardSANs:
		f.add("%s has no wildcards among its additional names", p.Code)
	}
	if w.hub < 1 || w.hub > p.MostServers {
		f.add("server_count of %s must be from 1 to %d", p.Code, p.MostServers)
	}
	w.points = p.price(w.sans, w.wildcards, max(1, w.hub))
	return w
}

// count reads a number.
func count(c *call, f *faults, name string, other int) int {
	if c.form[name] == "" {
		return other
	}
	n, err := strconv.Atoi(c.form[name])
	if err != nil || n < 0 || n > 10000 {
		f.add("%s must be a number", name)
		return other
	}
	return n
}

// isEmail reports whether a text has the form of an email address.
func isEmail(text string) bool {
	local, domain, ok := strings.Cut(text, "@")
	return ok && local != "" && !strings.ContainsAny(text, " \t\r\n,;<>\"") && sandbox.CheckName(domain) == "" && !sandbox.IsAddress(domain) &&
		!strings.HasPrefix(domain, sandbox.Wildcard)
}

// newOrder takes the points and makes a token.
func (st *state) newOrder(c *call, w tokenWish) *order {
	st.LastID += 7
	o := &order{
		Token: sandbox.RandomValue(tokenLength), ResellerID: "STR_37_" + strconv.FormatInt(st.LastID, 10),
		Reference: c.form["reseller_unique_reference"], Product: w.product.Code, Email: c.form["end_customer_email"],
		SANs: w.sans, Wildcards: w.wildcards, Servers: w.hub, Points: w.points, Created: c.now,
	}
	o.happened(c.now, "Order Generated")
	o.sync(c.now, &st.Settings)
	st.Orders = append(st.Orders, o)
	st.pay(c.now, o, w.points, "Order "+o.Product)
	entry := st.entry(c.now, sandbox.Purchase, o)
	entry.Amount = cents(w.points)
	st.Ledger.Add(entry)
	return o
}

// byReference is the first order of a reference, nil where there is none.
//
// Unconfirmed: that the reference of a cancelled order stays used.
func (st *state) byReference(reference string) *order {
	i := slices.IndexFunc(st.Orders, func(o *order) bool { return o.Reference == reference })
	if i < 0 {
		return nil
	}
	return st.Orders[i]
}

// showTokens is order/showtokens.
//
// Unconfirmed: in which list a token is that was cancelled without having been placed; the stand-in has it among the used ones.
func (s *Server) showTokens(c *call) (any, error) {
	var unused, used []obj
	var one bool
	err := s.Read(func(st *state) error {
		one = st.Settings.SingleObject
		for _, o := range st.Orders {
			view := obj{"token": o.Token, "reseller_unique_reference": o.Reference}
			switch {
			case c.now.Sub(o.Created) < time.Duration(st.Settings.TokensDelay):
			case o.Placed.IsZero() && o.Ended == "":
				unused = append(unused, view)
			default:
				used = append(used, view)
			}
		}
		return nil
	})
	return obj{
		"success": "Order tokens", "unused_tokens": obj{"order_token": many(unused, one)}, "used_tokens": obj{"order_token": many(used, one)},
	}, err
}

// many is a list, or its one element where the account's settings have it so.
func many(list []obj, single bool) any {
	if len(list) == 1 && single {
		return list[0]
	}
	return append([]obj{}, list...)
}
