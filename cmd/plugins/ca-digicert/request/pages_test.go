package request

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// listed is a request field as a page of DigiCert lists it.
type listed struct{ path, kind, needed string }

func page(t *testing.T, name string) []listed {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []listed
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if parts := strings.Fields(lines.Text()); len(parts) == 3 && parts[0] != "#" {
			out = append(out, listed{parts[0], parts[1], parts[2]})
		}
	}
	return out
}

// different says why a field is not what the page has it to be.
var different = map[string]string{
	"product":                      "names the endpoint; type_hint has a name of its own, since one key is not both text and a table",
	"order_validity.years":         "the page itself lets days or custom_expiration_date stand for it: a rule",
	"organization":                 "the account setting organization_id may stand for it: a rule",
	"organization.id":              "the account setting organization_id may stand for it: a rule",
	"certificate":                  "what is needed in it is computed",
	"certificate.signature_hash":   "filled in: sha256",
	"technical_contact.telephone":  "needed on one page alone: a rule",
	"disable_ct":                   "a number on one page and a boolean on the other: a boolean here, sent as the page wants it",
	"credit_card.expiration_month": "a secret is text; sent as a number",
	"credit_card.expiration_year":  "a secret is text; sent as a number",
	"credit_card.cvv":              "a secret is text; sent as a number",
}

// Every field of DigiCert's pages is in the table, with type and need; what differs says why. And the table has no
// field on a page that the page does not have.
func TestTableHasTheFieldsOfThePages(t *testing.T) {
	known := map[string]row{}
	for _, r := range rows() {
		known[apiPath(r)] = r
	}
	kinds := map[pluginapi.FieldType]string{
		pluginapi.String: "string", pluginapi.Integer: "int", pluginapi.Boolean: "bool", pluginapi.Table: "object", pluginapi.List: "array",
	}
	used := map[string]bool{}
	for name, c := range map[string]struct {
		on    pages
		count int
	}{"page-type-hint.txt": {onHint, 57}, "page-dv.txt": {onDV, 65}} {
		list := page(t, name)
		if len(list) != c.count {
			t.Errorf("%s has %d fields, the page had %d", name, len(list), c.count)
		}
		there := map[string]bool{"product": true} // as a part of the path
		for _, f := range list {
			there[f.path] = true
			r, ok := known[f.path]
			_, explained := different[f.path]
			used[f.path] = true
			switch {
			case !ok:
				t.Errorf("%s: %s is not in the table", name, f.path)
			case r.on&c.on == 0:
				t.Errorf("%s: %s is there, and the table says it is not", name, f.path)
			case r.computed == "" && kinds[r.kind] != f.kind && !explained:
				t.Errorf("%s: %s is of type %s, in the table %s", name, f.path, f.kind, r.kind)
			case r.computed == "" && r.required != (f.needed == "required") && !explained:
				t.Errorf("%s: %s is %s, in the table %t", name, f.path, f.needed, r.required)
			}
		}
		for path, r := range known {
			if r.on&c.on != 0 && !there[path] && !strings.HasPrefix(path, "organization.contacts[].") {
				t.Errorf("%s: the table says that %s is there", name, path)
			}
		}
	}
	for path := range different {
		if !used[path] {
			t.Errorf("%s is explained and on no page", path)
		}
	}
}

func TestTableIsWhole(t *testing.T) {
	for _, r := range rows() {
		if r.help == "" || !strings.HasSuffix(r.help, ".") {
			t.Errorf("%s: %q is no sentence", r.path, r.help)
		}
		if r.on == 0 && !r.own {
			t.Errorf("%s is on no page and goes out", r.path)
		}
		if r.required && r.dflt != nil {
			t.Errorf("%s is required and has a default", r.path)
		}
		if r.computed == "" && r.kind == pluginapi.List && (r.fields == nil) == (r.element == 0) {
			t.Errorf("%s: a list has fields or an element", r.path)
		}
		if r.secret && r.kind != pluginapi.String {
			t.Errorf("%s: only text can be secret", r.path)
		}
	}
}
