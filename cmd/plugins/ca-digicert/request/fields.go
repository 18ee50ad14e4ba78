package request

import (
	"sync"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// table is every request field of DigiCert's two order pages (Order SSL with type_hint, and Order DV SSL) and the few
// settings that are ours. It is made once, and read only.
var table = sync.OnceValue(allFields)

// allFields lists the fields in the order of the pages.
func allFields() []field {
	var out []field
	for _, part := range [][]field{
		productFields(), {certificateTable()}, planFields(), discountFields(), lifeFields(), paymentFields(),
		validationFields(), handlingFields(), peopleFields(), ourMarks(),
	} {
		out = append(out, part...)
	}
	return out
}

// productFields: the API has an object "product" with one key. As a setting, product is the endpoint's name, and one key
// cannot be both text and a table, so that the hint has a name of its own.
func productFields() []field {
	return []field{
		{name: "product", kind: pluginapi.String, required: true, own: true, on: onHint | onDV, test: productName,
			help: `Product to order, the last part of the endpoint's path: "ssl_dv_geotrust", "ssl_basic", ... or "ssl" to let DigiCert pick by product_type_hint.`,
			rule: "lower-case letters, digits and `_`; a product that is not known here is warned about"},
		{name: "product_type_hint", kind: pluginapi.String, api: []string{"product", "type_hint"}, on: onHint, allowed: []any{"ov", "ev", "grid", "private"},
			help: `Kind of certificate DigiCert picks the product by; with product = "ssl" only.`,
			rule: "only with `product = \"ssl\"`; left out there, DigiCert may answer `ambiguous_product`"},
	}
}

// planFields say for how long the order is paid.
func planFields() []field {
	deprecated := "DigiCert has deprecated it: use order_validity, and certificate.cert_validity for the certificate"
	return []field{
		{name: "order_validity", kind: pluginapi.Table, required: true, on: onHint | onDV,
			help: "For how long the order is paid (a Multi-year Plan): years, days or custom_expiration_date.",
			rule: "at least one of the three",
			fields: []field{
				{name: "years", kind: pluginapi.Integer, on: onHint | onDV, test: between(1, maxPlanYears), help: "Length of the plan in years.", rule: "1 to 3; 2 and 3 need an account with Multi-year Plans"},
				{name: "days", kind: pluginapi.Integer, on: onHint | onDV, test: between(1, maxPlanDays), help: "Length of the plan in days; overrides years.", rule: "1 to 1095; warned about beside `years`"},
				{name: "custom_expiration_date", kind: pluginapi.String, on: onHint | onDV, test: planDate, help: `Last day of the plan, as "09 JUN 2027"; overrides days and years.`, rule: "`dd MMM YYYY`, in the future, within three years; warned about, since it serves for one order alone"},
			}},
		{name: "validity_years", kind: pluginapi.Integer, on: onHint, deprecated: deprecated, test: between(1, maxPlanYears), help: "Deprecated: length of the plan in years.", rule: "1 to 3; must not contradict `order_validity`"},
		{name: "validity_days", kind: pluginapi.Integer, on: onHint, deprecated: deprecated, test: between(1, maxPlanDays), help: "Deprecated: length of the plan in days.", rule: "1 to 1095; must not contradict `order_validity`"},
		{name: "custom_expiration_date", kind: pluginapi.String, on: onHint, deprecated: deprecated, test: oldPlanDate, help: `Deprecated: last day of the plan, as "2027-06-09".`, rule: "`yyyy-MM-dd`, in the future, within three years; must not contradict `order_validity`"},
	}
}

func discountFields() []field {
	return []field{
		{name: "comments", kind: pluginapi.String, on: onHint | onDV, reissue: true, test: paragraph, help: "Words for whoever approves the request.", rule: "warned about with `skip_approval`: there is no request then that could carry them"},
		{name: "apply_cr_discount", kind: pluginapi.Boolean, on: onHint | onDV, dflt: false, help: "Take the discounts for replacing certificates of another CA."},
		{name: "serial_number", kind: pluginapi.String, on: onHint | onDV, test: serialNumber, help: "Serial number of the other CA's certificate the discount is for.", rule: "hexadecimal; warned about without `apply_cr_discount`"},
	}
}

// lifeFields say what DigiCert does of its own accord while the order lives.
func lifeFields() []field {
	return []field{
		{name: "auto_renew", kind: pluginapi.Integer, on: onHint | onDV, allowed: zeroOrOne(), dflt: int64(0), help: "1: DigiCert itself orders a renewal, beside certbridged.", rule: "1 is warned about: DigiCert would buy once more"},
		{name: "auto_reissue", kind: pluginapi.Integer, on: onHint | onDV, allowed: zeroOrOne(), dflt: int64(0), help: "1: DigiCert itself requests a reissue 30 days before a certificate ends, with the old key.", rule: "1 is warned about: such a reissue blocks certbridged's own"},
		{name: "custom_renewal_message", kind: pluginapi.String, on: onDV, test: paragraph, help: "Words for DigiCert's mails about renewal."},
		{name: "disable_renewal_notifications", kind: pluginapi.Boolean, on: onHint | onDV, dflt: false, help: "No mails about renewal; certbridged renews anyway."},
		{name: "additional_emails", kind: pluginapi.List, element: pluginapi.String, on: onHint | onDV, test: emailList, help: "Further addresses for DigiCert's mails about the certificate.", rule: "each an e-mail address, none twice"},
		{name: "renewed_thumbprint", kind: pluginapi.String, on: onHint | onDV, computed: "the SHA-1 thumbprint of the certificate on disk, where the earlier order is not known", help: "Certificate that an order renews."},
		{name: "renewal_of_order_id", kind: pluginapi.Integer, on: onHint | onDV, computed: "the number of the earlier order, from the journal", help: "Order that an order renews."},
	}
}

// paymentFields: what the card table holds is secret and comes from files, the environment or systemd credentials. The
// daemon's journal holds no secrets, so that a card's data is nowhere but where the configuration points.
func paymentFields() []field {
	card := func(name, help, rule string, as func(any, endpoint) any, test func(*report, string, any)) field {
		return field{name: name, kind: pluginapi.String, required: true, secret: true, on: onDV, help: help, rule: rule, as: as, test: test}
	}
	address := func(name, help string, required bool) field {
		return field{name: name, kind: pluginapi.String, required: required, on: onDV, test: line, help: help}
	}
	return []field{
		// Not confirmed by DigiCert's pages: the values; other clients use these four.
		{name: "payment_method", kind: pluginapi.String, on: onDV, allowed: []any{"balance", "card", "profile", paymentWire}, help: "How the order is paid: from the balance, by a card, by the account's default card, or by wire transfer.", rule: "`card` needs `credit_card` and `billing_address`"},
		{name: "credit_card", kind: pluginapi.Table, on: onDV, help: "Card that is charged; all of it comes from secrets.", rule: "only and always with `payment_method = \"card\"`",
			fields: []field{
				card("number", "Number of the card.", "12 to 19 digits with a right check digit", asDigits, cardNumber),
				card("expiration_month", "Month in which the card expires, 01 to 12.", "01 to 12", asNumber, cardMonth),
				card("expiration_year", "Year in which the card expires, four digits.", "four digits; not past", asNumber, cardYear),
				card("cvv", "Card verification value.", "3 or 4 digits; goes out as text where it begins with 0, which a number would lose", asNumber, cardCVV),
				card("cardholder_name", "First and last name of the card's holder.", "one line", nil, line),
			}},
		{name: "billing_address", kind: pluginapi.Table, on: onDV, help: "Address the card is billed to.", rule: "only and always with `payment_method = \"card\"`",
			fields: []field{
				address("address", "Street and number.", true),
				address("address2", "Second line of the street address.", false),
				address("city", "City.", true),
				address("state", "State or province, in countries that have one.", false),
				address("country", "Country.", true),
				address("zip", "Postal code, in countries that have one.", false),
			}},
		{name: "vat_number", kind: pluginapi.String, on: onDV, test: line, help: "VAT or GST number for the receipt; left out: the account's.", rule: "warned about unless `payment_method` is `card` or `profile`"},
	}
}

// validationFields say how domain control is shown.
func validationFields() []field {
	return []field{
		{name: "dcv_method", kind: pluginapi.String, on: onHint | onDV, reissue: true,
			allowed: []any{MethodEmail, MethodTXT, MethodCNAME, MethodHTTP, MethodHTTPDynamic, MethodAuthKey},
			help:    "How domain control is shown; left out, the plugin chooses by what the DCV profile can publish. DigiCert's own default is e-mail, which waits for a person.",
			rule:    "`http-token` not with a wildcard, `token-based` only for DV with `use_auth_key`; `http-token-dynamic` is not supported, for the API does not say which file is meant"},
		{name: "dcv_emails", kind: pluginapi.List, on: onDV, reissue: true, test: dcvEmails, help: "Where the mails of dcv_method \"email\" go, by name.", rule: "only with `dcv_method = \"email\"`; each name once, and a name of the certificate",
			fields: []field{
				{name: "dns_name", kind: pluginapi.String, required: true, on: onDV, test: dnsName, help: "Name on the certificate.", rule: "a DNS name"},
				{name: "email_domain", kind: pluginapi.String, required: true, on: onDV, test: dnsName, help: "Domain whose addresses are written to.", rule: "the name itself or a domain above it"},
				{name: "email", kind: pluginapi.String, on: onDV, test: email, help: "Address to write to: a constructed one of that domain, or one its DNS names.", rule: "an e-mail address"},
			}},
		// Not confirmed by DigiCert's pages: that a reissue takes this and the next one.
		{name: "use_auth_key", kind: pluginapi.Boolean, on: onDV, reissue: true, dflt: false, help: "Show control by a request token made with an AuthKey.", rule: "DV only; needs `auth_key_id`, `auth_key` and `dcv_method = \"token-based\"`"},
		{name: "auth_key_id", kind: pluginapi.String, on: onDV, reissue: true, test: line, help: "Which AuthKey the order uses.", rule: "needed with `use_auth_key`, warned about without"},
		{name: SecretAuthKey, kind: pluginapi.String, secret: true, own: true, help: "Text of the AuthKey, to make request tokens with. It is never sent.", rule: "needed with `use_auth_key`"},
		{name: "locale", kind: pluginapi.String, on: onDV, test: locale, help: "Language of the mails of dcv_method \"email\".", rule: "as `en` or `pt_BR`; warned about with another `dcv_method`"},
		// Not confirmed by DigiCert's order pages: the two values.
		{name: "certificate_dcv_scope", kind: pluginapi.String, on: onHint | onDV, reissue: true, allowed: []any{"base_domain", "fqdn"}, help: "Whether the registrable domain of each name is validated, or each name as it is; left out: the account's setting."},
	}
}

// handlingFields say how DigiCert handles the request.
func handlingFields() []field {
	return []field{
		{name: "skip_approval", kind: pluginapi.Boolean, on: onHint | onDV, reissue: true, help: "Go on without a person's approval, where the API key's role allows that; the account setting of the same name is used where this is left out."},
		// The DV page has a number here, the other one a boolean.
		{name: "disable_ct", kind: pluginapi.Boolean, on: onHint | onDV, dflt: false, as: asFlag, help: "Keep the certificate out of Certificate Transparency logs, where the account may.", rule: "`true` is warned about: browsers refuse such certificates"},
		{name: "container", kind: pluginapi.Table, on: onHint | onDV, help: "Division the order is placed in; left out: the account setting container_id, if there is one.",
			fields: []field{{name: "id", kind: pluginapi.Integer, required: true, on: onHint | onDV, test: atLeast(1), help: "Number of the container.", rule: "positive"}}},
		{name: "custom_fields", kind: pluginapi.List, on: onDV, test: customFields, help: "Fields that your account has added to orders.", rule: "none twice; which ones are needed, your account says",
			fields: []field{
				{name: "metadata_id", kind: pluginapi.Integer, required: true, on: onDV, test: atLeast(1), help: "Number of the field.", rule: "positive"},
				{name: "value", kind: pluginapi.String, required: true, on: onDV, test: paragraph, help: "Its value."},
			}},
		{name: "enable_guest_access", kind: pluginapi.Integer, on: onHint | onDV, allowed: zeroOrOne(), help: "Whether guests may see the order, where the account allows guests at all; left out: the account's setting.", rule: "DigiCert refuses it where guest access is off"},
	}
}

// ourMarks are fields by which an order is found again.
func ourMarks() []field {
	return []field{
		{name: "alternative_order_id", kind: pluginapi.String, on: onHint | onDV, computed: "made from the order's idempotency key; it is how an order is found again after a lost answer, so that nothing is bought twice", help: "Mark of an order."},
	}
}

func zeroOrOne() []any { return []any{int64(0), int64(1)} }
