package request

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields/fieldstest"
)

// What people copy from the page works: its examples have no fault.
func TestExamplesInTheDocumentation(t *testing.T) {
	examples := fieldstest.Examples(t, documentation, func(path string) string {
		if text, ok := card()[path]; ok {
			return text
		}
		return "x"
	})
	for _, e := range examples {
		s := e.Settings
		if _, ok := s.Values["product"]; !ok { // defaults of an account: a certificate says the rest
			maps.Copy(s.Values, dv())
		}
		if found := check(WithAccount(s, Account{OrganizationID: 1}), today); fields.Refusal(found, nil) != nil {
			t.Errorf("%s%s", e.Text, shown(found))
		}
	}
	if len(examples) < 4 {
		t.Errorf("only %d examples of orders", len(examples))
	}
}

func TestProductsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.FromSlash(documentation))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## What to order\n")
	body, _, _ := strings.Cut(rest, "\n## ")
	listed := map[string]bool{productByHint: true}
	for name := range products() {
		listed[name] = true
		if !strings.Contains(body, "`"+name+"`") {
			t.Errorf("%s is not documented", name)
		}
	}
	for _, m := range regexp.MustCompile("`((?:ssl|wildcard|cloud|private)_[a-z_]+)`").FindAllStringSubmatch(body, -1) {
		if !listed[m[1]] {
			t.Errorf("%s is documented and not known", m[1])
		}
	}
}
