package request

import (
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields/fieldstest"
)

// Every field of DigiCert's pages is in the table, with type and need; what differs says why. And the table has no
// field on a page that the page does not have.
func TestTableHasTheFieldsOfThePages(t *testing.T) {
	fieldstest.Covers(t, table(), fieldstest.Lists{
		Pages: []fieldstest.Page{
			{File: "testdata/page-type-hint.txt", In: onHint, Count: 57},
			{File: "testdata/page-dv.txt", In: onDV, Count: 65},
		},
		Different: map[string]string{
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
		},
		Beyond: map[string]string{
			"organization.contacts[].": "the page names the object and points to another one for what is in it",
		},
	})
}

func TestTableIsWhole(t *testing.T) { fieldstest.Sane(t, table()) }
