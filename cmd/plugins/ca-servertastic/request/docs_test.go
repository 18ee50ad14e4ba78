package request

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields/fieldstest"
)

const (
	termBegins = "<!-- a term: written by go test ./cmd/plugins/ca-servertastic/request -update -->\n"
	termEnds   = "<!-- end of a term -->\n"
)

// What people copy from the page works: its examples have no fault.
func TestExamplesInTheDocumentation(t *testing.T) {
	examples := fieldstest.Examples(t, documentation, func(string) string { return "ab12cd34" })
	for _, e := range examples {
		s := dv(nil) // the defaults of an account: a certificate says the rest
		maps.Copy(s.Values, e.Settings.Values)
		s.Secrets = e.Settings.Secrets
		if found := Check(s); fields.Refusal(found, nil) != nil {
			t.Errorf("%s%s", e.Text, shown(found))
		}
	}
	if len(examples) < 6 {
		t.Errorf("only %d examples of orders", len(examples))
	}
}

func TestProductsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.FromSlash(documentation))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## What to order\n")
	body, _, _ := strings.Cut(rest, "Another code is taken")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("`([A-Z][A-Za-z0-9]+)`").FindAllStringSubmatch(body, -1) {
		listed[m[1]] = true
	}
	if got := slices.Sorted(maps.Keys(listed)); !slices.Equal(got, Stems()) {
		t.Errorf("documented are\n%v\nknown are\n%v", got, Stems())
	}
}

func TestDocumentationHasTheCalendar(t *testing.T) {
	fieldstest.Documented(t, *update, documentation, termBegins, termEnds, termTable(t))
}

// longest is how long a certificate lasts that is issued at a time: a day less than browsers take (CA/Browser Forum ballot
// SC-081v3).
func longest(from time.Time) int {
	switch {
	case from.Before(time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC)):
		return 199
	case from.Before(time.Date(2029, 3, 15, 0, 0, 0, 0, time.UTC)):
		return 99
	default:
		return 46
	}
}

// termTable follows one term through the calendar, as certbridged does: a reissue while the term outlasts the certificate by
// a day, else a renewal, each 30 days before the certificate ends. (Not confirmed by ServerTastic's pages: that no certificate
// outlasts its order.)
func termTable(t *testing.T) string {
	t.Helper()
	const day = 24 * time.Hour
	var b strings.Builder
	b.WriteString("\n| day | certbridged orders | costs | certificate ends | days |\n|---|---|---|---|---|\n")
	from := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	end := from.AddDate(0, 12, 0)
	row := func(kind, costs string) time.Time {
		to := from.Add(time.Duration(longest(from)) * day)
		if to.After(end) {
			to = end
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %d |\n", from.Format(time.DateOnly), kind, costs, to.Format(time.DateOnly), to.Sub(from)/day)
		return to
	}
	to := row("new", "the product's points")
	for from = to.Add(-30 * day); end.After(to.Add(day)); from = to.Add(-30 * day) {
		to = row("reissue", "nothing")
	}
	end = from.AddDate(0, 12, 0)
	row("renew", "the product's points")
	return b.String() + "\n"
}
