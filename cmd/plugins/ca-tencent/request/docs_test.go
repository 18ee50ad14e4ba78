package request

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields/fieldstest"
)

// What people copy from the page works: its examples have no fault.
func TestExamplesInTheDocumentation(t *testing.T) {
	examples := fieldstest.Examples(t, documentation, func(string) string { return "x" })
	for _, e := range examples {
		s := e.Settings
		if _, ok := s.Values["ProductId"]; !ok { // defaults of an account: a certificate says the rest
			for k, v := range dv() {
				if _, ok := s.Values[k]; !ok {
					s.Values[k] = v
				}
			}
		}
		if found := Check(s, "certbridged"); fields.Refusal(found, nil) != nil {
			t.Errorf("%s%s", e.Text, shown(found))
		}
	}
	if len(examples) < 6 {
		t.Errorf("only %d examples of orders", len(examples))
	}
}

// The products that the page lists are those that are known.
func TestProductsInTheDocumentation(t *testing.T) {
	list := products()
	slices.SortFunc(list, func(a, b product) int { return int(a.id - b.id) })
	takes := map[scope]string{oneName: "one name", manyNames: "several names", wildcard: "one wildcard", wildcards: "several wildcards"}
	var b strings.Builder
	b.WriteString("\n| `ProductId` | product | validation | takes |\n|---|---|---|---|\n")
	for _, p := range list {
		if !p.sm2 && !p.free {
			fmt.Fprintf(&b, "| `%d` | %s | %s | %s |\n", p.id, p.name, strings.ToUpper(p.validation), takes[p.names])
		}
	}
	b.WriteString("\n")
	fieldstest.Documented(t, *update, documentation, "<!-- products: written by go test ./cmd/plugins/ca-tencent/request -update -->\n", "<!-- end of products -->\n", b.String())
}
