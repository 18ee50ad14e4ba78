package digicert

import (
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// What both order pages list.
const bothPages = `certificate certificate.common_name certificate.dns_names certificate.csr certificate.ca_cert_id
certificate.organization_units certificate.server_platform certificate.server_platform.id certificate.cert_validity
certificate.cert_validity.days certificate.cert_validity.custom_expiration_date
renewed_thumbprint order_validity order_validity.years order_validity.days order_validity.custom_expiration_date comments
apply_cr_discount serial_number auto_renew auto_reissue disable_renewal_notifications additional_emails renewal_of_order_id
dcv_method skip_approval disable_ct technical_contact technical_contact.first_name technical_contact.last_name
technical_contact.email technical_contact.job_title technical_contact.telephone container container.id alternative_order_id
enable_guest_access certificate_dcv_scope`

// What the DV page alone lists. All but AuthKeys are taken at the other endpoints too: docs/sandbox.md.
const dvPage = `certificate.profile_option custom_renewal_message payment_method credit_card credit_card.number
credit_card.expiration_month credit_card.expiration_year credit_card.cvv credit_card.cardholder_name billing_address
billing_address.address billing_address.address2 billing_address.city billing_address.state billing_address.country
billing_address.zip vat_number dcv_emails dcv_emails.dns_name dcv_emails.email_domain dcv_emails.email use_auth_key auth_key_id
locale custom_fields custom_fields.metadata_id custom_fields.value`

// What the type_hint page alone lists, and the details of a new organization, which it refers to.
const hintPage = `certificate.signature_hash certificate.cert_validity.years validity_years validity_days custom_expiration_date
product product.type_hint organization_contact organization_contact.first_name organization_contact.last_name
organization_contact.email organization_contact.job_title organization_contact.telephone
organization_contact.telephone_extension technical_contact.telephone_extension organization organization.id
organization.contacts organization.skip_duplicate_org_check`

func paths(prefix string, fields []sandbox.Field) []string {
	var list []string
	for _, f := range fields {
		at := prefix + f.Name
		list = append(list, at)
		list = append(list, paths(at+".", f.Fields)...)
		if f.Elem != nil && f.Elem.Type == sandbox.Object {
			list = append(list, paths(at+".", f.Elem.Fields)...)
		}
	}
	return list
}

// No field of the pages is missing, and none is taken that no page has.
func TestFieldsAreThoseOfThePages(t *testing.T) {
	p := newPatterns()
	for name, c := range map[string]struct {
		fields []sandbox.Field
		want   string
		// beside are taken though the endpoint's own page does not have them.
		beside string
	}{
		"DV":        {p.orderFields(true, false), bothPages + " " + dvPage, "certificate.signature_hash"},
		"type_hint": {p.orderFields(false, true), bothPages + " " + hintPage, dvPage},
	} {
		have := paths("", c.fields)
		for _, f := range strings.Fields(c.want) {
			if !slices.Contains(have, f) {
				t.Errorf("%s: %s of the page is missing", name, f)
			}
		}
		for _, f := range have {
			detail := strings.HasPrefix(f, "organization.") // of a new one
			if !slices.Contains(strings.Fields(c.want+" "+c.beside), f) && !detail {
				t.Errorf("%s: %s stands in no page", name, f)
			}
		}
	}
}
