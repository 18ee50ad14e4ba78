package request

import (
	"strings"
	"sync"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// The calls that take a field.
const (
	onToken   fields.Calls = 1 << iota // generatetoken
	onPlace                            // place
	onReissue                          // reissue
)

// The ways to show domain control, as dv_auth_method names them.
const (
	MethodEmail = "EMAIL"
	MethodDNS   = "DNS"
	MethodFile  = "FILE"
	MethodSFile = "SFILE"
)

// SecretToken is the path of the token of an order that there is already. It is never kept in clear.
const SecretToken = "order_token"

const (
	maxMonths  = 36
	maxServers = 500
)

// table is every parameter of ServerTastic's pages on generatetoken, place and reissue, and the few settings that are ours.
// The page of place tells what its 51 parameters mean and which are needed, but not their names: those are taken from older
// pages and from clients. Five of them are not known at all, as is the second count of names of generatetoken; these have
// names of their own here, and get those of the API from the account setting wire_names or from productfields.
var table = sync.OnceValue(func() *fields.Table {
	var all []fields.Field
	for _, part := range [][]fields.Field{
		tokenFields(), placeFields(), contactFields("tech", "technical"), contactFields("admin", "administrative"),
		sectigoFields(), organizationFields(), lastFields(), ownFields(),
	} {
		all = append(all, part...)
	}
	return fields.New(all...)
})

// Fields is the schema of the order settings: the API's own names. What is computed is not among them.
func Fields() []pluginapi.Field { return table().Schema() }

func tokenFields() []fields.Field {
	return []fields.Field{
		{Name: "api_key", Type: pluginapi.String, In: onToken, Computed: "the account setting of the same name", Help: "Key of the account."},
		{Name: "st_product_code", Type: pluginapi.String, Required: true, In: onToken, Test: productCode,
			Help: `Product to order, with its term in months: "RapidSSL-12".`, Rule: "letters, digits, `_` and `-`; a product that is not known here, or one without a term, is warned about"},
		{Name: "end_customer_email", Type: pluginapi.String, In: onToken, Test: emailOrNone,
			Help: "Address for your own records; no mail goes there. Left out: tech_contact_email.", Rule: "an e-mail address, or `none`"},
		{Name: "reseller_unique_reference", Type: pluginapi.String, In: onToken, Computed: "made from the order's idempotency key; it is how an order is found again after a lost answer, so that nothing is bought twice", Help: "Mark of an order."},
		{Name: "server_count", Type: pluginapi.Integer, In: onToken, Default: int64(1), Test: fields.Between(1, maxServers), Help: "Number of servers, for products that are charged by it.", Rule: "1 to 500"},
		{Name: "san_count", Type: pluginapi.Integer, In: onToken, Computed: "the number of names in `domains` beyond the first and its www. companion", Help: "Number of additional names."},
		// Not confirmed by ServerTastic's pages: what it counts; the page repeats the words of san_count.
		{Name: "wildcard_san_count", Type: pluginapi.Integer, In: onToken, Computed: "the number of those additional names that are wildcards; its name in the API has to be given by `wire_names`", Help: "Second count of additional names."},
	}
}

func placeFields() []fields.Field {
	return []fields.Field{
		{Name: SecretToken, Type: pluginapi.String, Secret: true, Own: true, In: onPlace | onReissue, Test: tokenShape,
			Help: "Token of an order that there is already: not placed yet, it is placed instead of buying another; issued, it is reissued. Left out: generatetoken buys one.", Rule: "for the first order of a certificate alone: renewals and reissues know their own"},
		{Name: "dv_auth_method", Type: pluginapi.String, In: onPlace | onReissue, Allowed: []any{MethodEmail, MethodDNS, MethodFile, MethodSFile},
			Help: "How domain control is shown: by mail, record, file over HTTP or file over HTTPS. Left out, the plugin chooses by what the DCV profile can publish.", Rule: "it cannot be changed later; no file for wildcards"},
		{Name: "approver_email_address", Type: pluginapi.String, In: onPlace | onReissue, Test: fields.Email,
			Help: "Address that the mail of EMAIL goes to, one of ServerTastic's approver list for the domain.", Rule: "an e-mail address; with `dv_auth_method = \"EMAIL\"` always, otherwise not"},
		{Name: "csr", Type: pluginapi.String, In: onPlace | onReissue, Computed: "made with the certificate's key, see `key`", Help: "Certificate request."},
		{Name: NoCompanion, Type: pluginapi.Boolean, In: onPlace, Own: true, Default: false,
			Help: "true: the companion of the first name (www.example.com for example.com, and the other way round) is not added to the certificate.", Rule: "its name in the API is looked up, see `wire_names`"},
		{Name: "renewal", Type: pluginapi.Integer, In: onPlace, Computed: "1 for an order that renews one with the same names that ends within 90 days", Help: "Whether what is left of the earlier order is added, 90 days at most."},
		{Name: "san_domains", Type: pluginapi.String, In: onPlace, Computed: "the names that `san_count` counts", Help: "Additional names."},
		{Name: PreviousToken, Type: pluginapi.String, In: onPlace, Computed: "the token of the earlier order, for renewals of DigiCert's products; its name in the API is looked up, see `wire_names`", Help: "Order that is renewed."},
	}
}

// contactFields are those of a person. The address is for products that have an organization.
func contactFields(prefix, words string) []fields.Field {
	name := func(n string) string { return prefix + "_contact_" + n }
	of := " of the " + words + " contact."
	address := func(n, help, rule string, test fields.Test) fields.Field {
		return fields.Field{Name: name(n), Type: pluginapi.String, In: onPlace, Test: test, Help: help + of, Rule: rule}
	}
	return []fields.Field{
		{Name: name("first_name"), Type: pluginapi.String, Required: true, In: onPlace, Test: fields.Line, Help: "First name" + of, Rule: "a real person"},
		{Name: name("last_name"), Type: pluginapi.String, Required: true, In: onPlace, Test: fields.Line, Help: "Last name" + of, Rule: "a real person"},
		{Name: name("phone"), Type: pluginapi.String, Required: true, In: onPlace, Test: fields.Telephone, As: digits, Help: "Telephone number" + of, Rule: "holds a digit; its digits alone are sent"},
		{Name: name("email"), Type: pluginapi.String, Required: true, In: onPlace, Test: fields.Email, Help: "E-mail address" + of, Rule: emailRule(prefix)},
		{Name: name("title"), Type: pluginapi.String, Required: true, In: onPlace, Test: fields.Line, Help: "Job title" + of},
		address("organisation_name", "Organization", neededOV, fields.Line),
		address("address_line1", "First line of the address", neededOV, fields.Line),
		address("address_line2", "Second line of the address", "sent for OV and EV", fields.Line),
		address("address_city", "City", neededOV, fields.Line),
		address("address_region", "State, province or county", neededOV, fields.Line),
		address("address_post_code", "Postal code", neededOV, fields.Line),
		address("address_country", "Country", neededOV+"; two capital letters", fields.Country),
	}
}

const neededOV = "needed for OV and EV, not sent for DV"

func emailRule(prefix string) string {
	if prefix == "admin" {
		return "an e-mail address that is read: agreeing to cancel an issued order is asked for there"
	}
	return "an e-mail address; the certificate is sent there, too"
}

// sectigoFields: the page says that they are needed for PositiveSSL and SectigoSSL, and neither what they are called nor
// what they mean.
func sectigoFields() []fields.Field {
	rule := "needed for Sectigo's products unless `extra_fields` has what they need; its name in the API is looked up, see `wire_names`"
	return []fields.Field{
		{Name: Sectigo1, Type: pluginapi.String, In: onPlace, Own: true, Test: fields.Line, Help: "First of two parameters for Sectigo's products that the page does not explain; ask ServerTastic.", Rule: rule},
		{Name: Sectigo2, Type: pluginapi.String, In: onPlace, Own: true, Test: fields.Line, Help: "Second of the two.", Rule: rule},
	}
}

// organizationFields: mind postal_code, where contacts have post_code.
func organizationFields() []fields.Field {
	text := func(name, help, rule string, test fields.Test) fields.Field {
		return fields.Field{Name: name, Type: pluginapi.String, In: onPlace, Test: test, Help: help, Rule: rule}
	}
	const sent = "sent for OV and EV"
	phone := text("org_address_phone", "Telephone number of the organization.", neededOV+"; its digits alone are sent", fields.Telephone)
	phone.As = digits
	return []fields.Field{
		text("org_name", "Name of the organization.", neededOV, fields.Line),
		text("org_duns", "DUNS number of the organization.", sent, fields.Line),
		text("org_division", "Division of the organization.", sent, fields.Line),
		text("org_incorporating_agency", "Agency that the organization is registered with.", sent, fields.Line),
		text("org_registration_number", "Number that the organization is registered under.", sent, fields.Line),
		text("org_jurisdiction_city", "City of the organization's registration.", neededOV, fields.Line),
		text("org_jurisdiction_region", "State or province of the organization's registration.", neededOV, fields.Line),
		text("org_jurisdiction_country", "Country of the organization's registration.", neededOV+"; two capital letters", fields.Country),
		text("org_address_line1", "First line of the organization's address.", neededOV, fields.Line),
		text("org_address_line2", "Second line of the organization's address.", sent, fields.Line),
		text("org_address_line3", "Third line of the organization's address.", sent, fields.Line),
		text("org_address_city", "City of the organization.", neededOV, fields.Line),
		text("org_address_region", "State or province of the organization.", neededOV, fields.Line),
		text("org_address_postal_code", "Postal code of the organization.", neededOV, fields.Line),
		text("org_address_country", "Country of the organization.", neededOV+"; two capital letters", fields.Country),
		phone,
	}
}

func lastFields() []fields.Field {
	return []fields.Field{
		{Name: IssuingCA, Type: pluginapi.String, In: onPlace, Own: true, Test: fields.Line,
			Help: "Intermediate CA to issue from, one of the values that productfields lists. Left out: the most compatible one.", Rule: "DigiCert, RapidSSL and GeoTrust products alone; its name in the API is looked up, see `wire_names`"},
		// Not confirmed by ServerTastic's current pages: that reissue still takes it.
		{Name: "hashing_algorithm", Type: pluginapi.String, In: onReissue, Allowed: []any{"SHA2-256", "SHA2-256-FULL-CHAIN"}, Help: "Hash of a reissued certificate. Left out: ServerTastic's choice."},
	}
}

func ownFields() []fields.Field {
	return []fields.Field{
		{Name: "extra_fields", Type: pluginapi.Map, Own: true, In: onPlace,
			Help: "Further parameters of place by their names in the API, with text values, for what productfields asks of your order.", Rule: "no parameter that this table has; each must be one that productfields lists"},
		{Name: "term_months", Type: pluginapi.Integer, Own: true, Test: fields.Between(0, maxMonths),
			Help: "For how many months after it was bought an order is reissued. Left out: the number in st_product_code. 0: an order is worth one certificate.", Rule: "0 to 36"},
		{Name: "validation", Type: pluginapi.String, Own: true, Allowed: []any{DV, OV, EV}, Help: "How the product is validated, for products that are not known here."},
		{Name: "family", Type: pluginapi.String, Own: true, Allowed: []any{FamilyDigiCert, FamilySectigo}, Help: "Whose rules of domain control hold, for products that are not known here."},
	}
}

// digits takes all but the digits out of a telephone number.
func digits(value any, _ fields.Calls) any {
	text, _ := value.(string)
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, text)
}
