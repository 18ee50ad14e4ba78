package request

import (
	"flag"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields/fieldstest"
)

var update = flag.Bool("update", false, "write the table in the documentation anew")

const (
	documentation = "../../../../docs/ca-tencent.md"
	tableBegins   = "<!-- fields: written by go test ./cmd/plugins/ca-tencent/request -update -->\n"
	tableEnds     = "<!-- end of fields -->\n"
)

// Every field of the three calls is in the table, with type and need; what differs says why. And the table has no field in
// a call that the call does not have.
func TestTableHasTheFieldsOfTheCalls(t *testing.T) {
	fieldstest.Covers(t, table(), fieldstest.Lists{
		Pages: []fieldstest.Page{
			{File: "testdata/page-create.txt", In: inBuy, Count: 7},
			{File: "testdata/page-info.txt", In: inInfo, Count: 42},
			{File: "testdata/page-submit.txt", In: inSubmit, Count: 3},
		},
		Different: map[string]string{
			"DomainNum":   "counted, where it is left out",
			"CompanyType": "follows from the product, where it is left out",
			"CompanyId":   "a number where the API lists companies: a number here, sent as text, and as 0 where it is left out",
			"ManagerId":   "the same",
		},
	})
}

func TestTableIsWhole(t *testing.T) { fieldstest.Sane(t, table()) }

func TestDocumentationHasTheTable(t *testing.T) {
	fieldstest.Documented(t, *update, documentation, tableBegins, tableEnds, table().Markdown("purchase", "materials", "order to the CA"))
}
