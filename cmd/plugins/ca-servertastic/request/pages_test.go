package request

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields/fieldstest"
)

const (
	documentation = "../../../../docs/ca-servertastic.md"
	tableBegins   = "<!-- fields: written by go test ./cmd/plugins/ca-servertastic/request -update -->\n"
	tableEnds     = "<!-- end of fields -->\n"
)

// Every parameter of ServerTastic's pages is in the table, with need and call; what differs says why. And the table sends
// nothing that the pages do not have.
func TestTableHasTheParametersOfThePages(t *testing.T) {
	fieldstest.Covers(t, table(), fieldstest.Lists{
		Pages: []fieldstest.Page{
			{File: "testdata/page-generatetoken.txt", In: onToken, Count: 7},
			{File: "testdata/page-place.txt", In: onPlace, Count: 51},
			{File: "testdata/page-reissue.txt", In: onReissue, Count: 5},
		},
		Different: map[string]string{
			"end_customer_email": "filled in: the technical contact's",
			"server_count":       "text on the page, for it is part of a form: a number here",
			"order_token":        "generatetoken tells it, unless there is one already",
			"dv_auth_method":     "chosen, unless it is set",
			"no_companion":       "0 or 1 on the page: true or false here",
		},
	})
}

func TestTableIsWhole(t *testing.T) { fieldstest.Sane(t, table()) }

func TestDocumentationHasTheTable(t *testing.T) {
	fieldstest.Documented(t, *update, documentation, tableBegins, tableEnds, table().Markdown("generatetoken", "place", "reissue"))
}

// The list of the page is whole: positions from 1 to 51 in their order, which is that of the table, and each condition is a
// rule.
func TestListOfThePage(t *testing.T) {
	text, err := os.ReadFile("testdata/page-place.txt")
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, row := range table().Rows() {
		if row.In.Has(onPlace) && row.Name != "extra_fields" {
			order = append(order, row.Name)
		}
	}
	line := regexp.MustCompile(`^(\S+) string (required|optional|conditional) # (\d+) (confirmed|inferred|unknown)(: .+)?$`)
	unknown := 0
	var listed []string
	for i, l := range regexp.MustCompile(`(?m)^[a-z].*$`).FindAllString(string(text), -1) {
		m := line.FindStringSubmatch(l)
		if m == nil {
			t.Errorf("%q is not in the form of the list", l)
			continue
		}
		name, need, condition := m[1], m[2], m[5]
		listed = append(listed, name)
		if m[3] != strconv.Itoa(i+1) {
			t.Errorf("%s has position %s, and is number %d", name, m[3], i+1)
		}
		if (need == "conditional") != (condition != "") {
			t.Errorf("%s is %s with the condition %q", name, need, condition)
		}
		if (condition == ": OV and EV") != slices.Contains(NeedsOrganization(), name) {
			t.Errorf("%s%s: the rules say otherwise", name, condition)
		}
		if m[4] == "unknown" {
			unknown++
			if !slices.Contains(Unnamed(), name) {
				t.Errorf("the name of %s is not known, and it is sent by it", name)
			}
		}
	}
	if unknown != len(Unnamed())-1 { // one is of generatetoken
		t.Errorf("%d names are not known, and %d have to be found", unknown, len(Unnamed())-1)
	}
	if !slices.Equal(order, listed) {
		t.Errorf("the table has another order than the page:\n%s\n%s", strings.Join(order, " "), strings.Join(listed, " "))
	}
}
