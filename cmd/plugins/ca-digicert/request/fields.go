package request

import (
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// allFields lists the fields in the order of the pages.
func allFields() []fields.Field {
	var out []fields.Field
	for _, part := range [][]fields.Field{
		productFields(), {certificateTable()}, planFields(), discountFields(), lifeFields(), paymentFields(),
		validationFields(), handlingFields(), peopleFields(), ourMarks(),
	} {
		out = append(out, part...)
	}
	return out
}

// productFields: the API has an object "product" with one key. As a setting, product is the endpoint's name, and one key
// cannot be both text and a table, so that the hint has a name of its own.
func productFields() []fields.Field {
	return []fields.Field{
		{Name: "product", Type: pluginapi.String, Required: true, Own: true, In: onHint | onDV, Test: productName,
			Help: `Product to order, the last part of the endpoint's path: "ssl_dv_geotrust", "ssl_basic", ... or "ssl" to let DigiCert pick by product_type_hint.`,
			Rule: "lower-case letters, digits and `_`; a product that is not known here is warned about"},
		{Name: "product_type_hint", Type: pluginapi.String, API: []string{"product", "type_hint"}, In: onHint, Allowed: []any{"ov", "ev", "grid", "private"},
			Help: `Kind of certificate DigiCert picks the product by; with product = "ssl" only.`,
			Rule: "only with `product = \"ssl\"`; left out there, DigiCert may answer `ambiguous_product`"},
	}
}

// planFields say for how long the order is paid.
func planFields() []fields.Field {
	deprecated := "DigiCert has deprecated it: use order_validity, and certificate.cert_validity for the certificate"
	return []fields.Field{
		{Name: "order_validity", Type: pluginapi.Table, Required: true, In: onHint | onDV,
			Help: "For how long the order is paid (a Multi-year Plan): years, days or custom_expiration_date.",
			Rule: "at least one of the three",
			Fields: []fields.Field{
				{Name: "years", Type: pluginapi.Integer, In: onHint | onDV, Test: fields.Between(1, maxPlanYears), Help: "Length of the plan in years.", Rule: "1 to 3; 2 and 3 need an account with Multi-year Plans"},
				{Name: "days", Type: pluginapi.Integer, In: onHint | onDV, Test: fields.Between(1, maxPlanDays), Help: "Length of the plan in days; overrides years.", Rule: "1 to 1095; warned about beside `years`"},
				{Name: "custom_expiration_date", Type: pluginapi.String, In: onHint | onDV, Test: planDate, Help: `Last day of the plan, as "09 JUN 2027"; overrides days and years.`, Rule: "`dd MMM YYYY`, in the future, within three years; warned about, since it serves for one order alone"},
			}},
		{Name: "validity_years", Type: pluginapi.Integer, In: onHint, Deprecated: deprecated, Test: fields.Between(1, maxPlanYears), Help: "Deprecated: length of the plan in years.", Rule: "1 to 3; must not contradict `order_validity`"},
		{Name: "validity_days", Type: pluginapi.Integer, In: onHint, Deprecated: deprecated, Test: fields.Between(1, maxPlanDays), Help: "Deprecated: length of the plan in days.", Rule: "1 to 1095; must not contradict `order_validity`"},
		{Name: "custom_expiration_date", Type: pluginapi.String, In: onHint, Deprecated: deprecated, Test: oldPlanDate, Help: `Deprecated: last day of the plan, as "2027-06-09".`, Rule: "`yyyy-MM-dd`, in the future, within three years; must not contradict `order_validity`"},
	}
}

func discountFields() []fields.Field {
	return []fields.Field{
		{Name: "comments", Type: pluginapi.String, In: onHint | onDV | onReissue, Test: fields.Paragraph, Help: "Words for whoever approves the request.", Rule: "warned about with `skip_approval`: there is no request then that could carry them"},
		{Name: "apply_cr_discount", Type: pluginapi.Boolean, In: onHint | onDV, Default: false, Help: "Take the discounts for replacing certificates of another CA."},
		{Name: "serial_number", Type: pluginapi.String, In: onHint | onDV, Test: serialNumber, Help: "Serial number of the other CA's certificate the discount is for.", Rule: "hexadecimal; warned about without `apply_cr_discount`"},
	}
}

// lifeFields say what DigiCert does of its own accord while the order lives.
func lifeFields() []fields.Field {
	return []fields.Field{
		{Name: "auto_renew", Type: pluginapi.Integer, In: onHint | onDV, Allowed: zeroOrOne(), Default: int64(0), Help: "1: DigiCert itself orders a renewal, beside certbridged.", Rule: "1 is warned about: DigiCert would buy once more"},
		{Name: "auto_reissue", Type: pluginapi.Integer, In: onHint | onDV, Allowed: zeroOrOne(), Default: int64(0), Help: "1: DigiCert itself requests a reissue 30 days before a certificate ends, with the old key.", Rule: "1 is warned about: such a reissue blocks certbridged's own"},
		{Name: "custom_renewal_message", Type: pluginapi.String, In: onDV, Test: fields.Paragraph, Help: "Words for DigiCert's mails about renewal."},
		{Name: "disable_renewal_notifications", Type: pluginapi.Boolean, In: onHint | onDV, Default: false, Help: "No mails about renewal; certbridged renews anyway."},
		{Name: "additional_emails", Type: pluginapi.List, Element: pluginapi.String, In: onHint | onDV, Test: fields.All(fields.Elements(fields.Email), fields.NoneTwice), Help: "Further addresses for DigiCert's mails about the certificate.", Rule: "each an e-mail address, none twice"},
		{Name: "renewed_thumbprint", Type: pluginapi.String, In: onHint | onDV, Computed: "the SHA-1 thumbprint of the certificate on disk, where the earlier order is not known", Help: "Certificate that an order renews."},
		{Name: "renewal_of_order_id", Type: pluginapi.Integer, In: onHint | onDV, Computed: "the number of the earlier order, from the journal", Help: "Order that an order renews."},
	}
}

// paymentFields: what the card table holds is secret and comes from files, the environment or systemd credentials. The
// daemon's journal holds no secrets, so that a card's data is nowhere but where the configuration points.
func paymentFields() []fields.Field {
	card := func(name, help, rule string, as func(any, fields.Calls) any, test fields.Test) fields.Field {
		return fields.Field{Name: name, Type: pluginapi.String, Required: true, Secret: true, In: onDV, Help: help, Rule: rule, As: as, Test: test}
	}
	address := func(name, help string, required bool) fields.Field {
		return fields.Field{Name: name, Type: pluginapi.String, Required: required, In: onDV, Test: fields.Line, Help: help}
	}
	return []fields.Field{
		// Not confirmed by DigiCert's pages: the values; other clients use these four.
		{Name: "payment_method", Type: pluginapi.String, In: onDV, Allowed: []any{"balance", "card", "profile", paymentWire}, Help: "How the order is paid: from the balance, by a card, by the account's default card, or by wire transfer.", Rule: "`card` needs `credit_card` and `billing_address`"},
		{Name: "credit_card", Type: pluginapi.Table, In: onDV, Help: "Card that is charged; all of it comes from secrets.", Rule: "only and always with `payment_method = \"card\"`",
			Fields: []fields.Field{
				card("number", "Number of the card.", "12 to 19 digits with a right check digit", asDigits, cardNumber),
				card("expiration_month", "Month in which the card expires, 01 to 12.", "01 to 12", asNumber, cardMonth),
				card("expiration_year", "Year in which the card expires, four digits.", "four digits; not past", asNumber, cardYear),
				card("cvv", "Card verification value.", "3 or 4 digits; goes out as text where it begins with 0, which a number would lose", asNumber, cardCVV),
				card("cardholder_name", "First and last name of the card's holder.", "one line", nil, fields.Line),
			}},
		{Name: "billing_address", Type: pluginapi.Table, In: onDV, Help: "Address the card is billed to.", Rule: "only and always with `payment_method = \"card\"`",
			Fields: []fields.Field{
				address("address", "Street and number.", true),
				address("address2", "Second line of the street address.", false),
				address("city", "City.", true),
				address("state", "State or province, in countries that have one.", false),
				address("country", "Country.", true),
				address("zip", "Postal code, in countries that have one.", false),
			}},
		{Name: "vat_number", Type: pluginapi.String, In: onDV, Test: fields.Line, Help: "VAT or GST number for the receipt; left out: the account's.", Rule: "warned about unless `payment_method` is `card` or `profile`"},
	}
}

// validationFields say how domain control is shown.
func validationFields() []fields.Field {
	return []fields.Field{
		{Name: "dcv_method", Type: pluginapi.String, In: onHint | onDV | onReissue,
			Allowed: []any{MethodEmail, MethodTXT, MethodCNAME, MethodHTTP, MethodHTTPDynamic, MethodAuthKey},
			Help:    "How domain control is shown; left out, the plugin chooses by what the DCV profile can publish. DigiCert's own default is e-mail, which waits for a person.",
			Rule:    "`http-token` not with a wildcard, `token-based` only for DV with `use_auth_key`; `http-token-dynamic` is not supported, for the API does not say which file is meant"},
		{Name: "dcv_emails", Type: pluginapi.List, In: onDV | onReissue, Test: dcvEmails, Help: "Where the mails of dcv_method \"email\" go, by name.", Rule: "only with `dcv_method = \"email\"`; each name once, and a name of the certificate",
			Fields: []fields.Field{
				{Name: "dns_name", Type: pluginapi.String, Required: true, In: onDV, Test: fields.DNSName, Help: "Name on the certificate.", Rule: "a DNS name"},
				{Name: "email_domain", Type: pluginapi.String, Required: true, In: onDV, Test: fields.DNSName, Help: "Domain whose addresses are written to.", Rule: "the base domain of `dns_name`: what is registered, as `example.com` is of `www.example.com`"},
				{Name: "email", Type: pluginapi.String, In: onDV, Test: fields.Email, Help: "Address to write to: a constructed one of that domain, or one its DNS names.", Rule: "an e-mail address"},
			}},
		// Not confirmed by DigiCert's pages: that a reissue takes this and the next one.
		{Name: "use_auth_key", Type: pluginapi.Boolean, In: onDV | onReissue, Default: false, Help: "Show control by a request token made with an AuthKey.", Rule: "DV only; needs `auth_key_id`, `auth_key` and `dcv_method = \"token-based\"`"},
		{Name: "auth_key_id", Type: pluginapi.String, In: onDV | onReissue, Test: fields.Line, Help: "Which AuthKey the order uses.", Rule: "needed with `use_auth_key`, warned about without"},
		{Name: SecretAuthKey, Type: pluginapi.String, Secret: true, Own: true, Help: "Text of the AuthKey, to make request tokens with. It is never sent.", Rule: "needed with `use_auth_key`"},
		{Name: "locale", Type: pluginapi.String, In: onDV, Test: fields.Locale, Help: "Language of the mails of dcv_method \"email\".", Rule: "as `en` or `pt_BR`; warned about with another `dcv_method`"},
		// Not confirmed by DigiCert's order pages: the two values.
		{Name: "certificate_dcv_scope", Type: pluginapi.String, In: onHint | onDV | onReissue, Allowed: []any{"base_domain", "fqdn"}, Help: "Whether the registrable domain of each name is validated, or each name as it is; left out: the account's setting."},
	}
}

// handlingFields say how DigiCert handles the request.
func handlingFields() []fields.Field {
	return []fields.Field{
		{Name: "skip_approval", Type: pluginapi.Boolean, In: onHint | onDV | onReissue, Help: "Go on without a person's approval, where the API key's role allows that; the account setting of the same name is used where this is left out."},
		// The DV page has a number here, the other one a boolean.
		{Name: "disable_ct", Type: pluginapi.Boolean, In: onHint | onDV, Default: false, As: asFlag, Help: "Keep the certificate out of Certificate Transparency logs, where the account may.", Rule: "`true` is warned about: browsers refuse such certificates"},
		{Name: "container", Type: pluginapi.Table, In: onHint | onDV, Help: "Division the order is placed in; left out: the account setting container_id, if there is one.",
			Fields: []fields.Field{{Name: "id", Type: pluginapi.Integer, Required: true, In: onHint | onDV, Test: fields.AtLeast(1), Help: "Number of the container.", Rule: "positive"}}},
		{Name: "custom_fields", Type: pluginapi.List, In: onDV, Test: customFields, Help: "Fields that your account has added to orders.", Rule: "none twice; which ones are needed, your account says",
			Fields: []fields.Field{
				{Name: "metadata_id", Type: pluginapi.Integer, Required: true, In: onDV, Test: fields.AtLeast(1), Help: "Number of the field.", Rule: "positive"},
				{Name: "value", Type: pluginapi.String, Required: true, In: onDV, Test: fields.Paragraph, Help: "Its value."},
			}},
		{Name: "enable_guest_access", Type: pluginapi.Integer, In: onHint | onDV, Allowed: zeroOrOne(), Help: "Whether guests may see the order, where the account allows guests at all; left out: the account's setting.", Rule: "DigiCert refuses it where guest access is off"},
	}
}

// ourMarks are fields by which an order is found again.
func ourMarks() []fields.Field {
	return []fields.Field{
		{Name: "alternative_order_id", Type: pluginapi.String, In: onHint | onDV, Computed: "made from the order's idempotency key; it is how an order is found again after a lost answer, so that nothing is bought twice", Help: "Mark of an order."},
	}
}

func zeroOrOne() []any { return []any{int64(0), int64(1)} }
