package request

import (
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

func certificateTable() fields.Field {
	return fields.Field{Name: "certificate", Type: pluginapi.Table, In: onHint | onDV | onReissue, Help: "What the certificate shall be like, apart from its names and key.",
		Rule: "always sent; what certbridged computes is filled in", Fields: certificateFields()}
}

func certificateFields() []fields.Field {
	return []fields.Field{
		{Name: "common_name", Type: pluginapi.String, In: onHint | onDV | onReissue, Computed: "the first of `domains` that fits into a common name", Help: "Domain to be secured."},
		{Name: "dns_names", Type: pluginapi.List, Element: pluginapi.String, In: onHint | onDV | onReissue, Computed: "the other names of `domains`", Help: "Further domains."},
		{Name: "csr", Type: pluginapi.String, In: onHint | onDV | onReissue, Computed: "made with the certificate's key, see `key`", Help: "Certificate request."},
		// Not confirmed by DigiCert's pages: the list of hashes, which is that of the product's own limits.
		{Name: "signature_hash", Type: pluginapi.String, In: onHint | onReissue, Allowed: []any{"sha256", "sha384", "sha512"}, Help: "Hash the certificate is signed with; left out: sha256.", Rule: "sent as `sha256` where the endpoint demands one"},
		{Name: "ca_cert_id", Type: pluginapi.String, In: onHint | onDV | onReissue, Test: fields.Word, Help: "Intermediate CA to issue from, as the product list numbers them.", Rule: "letters and digits; needed for `product_type_hint = \"private\"`"},
		// Not confirmed by DigiCert's pages: that a reissue takes it. Left out, the client authentication a certificate
		// has would be lost without a word.
		{Name: "profile_option", Type: pluginapi.String, In: onDV | onReissue, Test: fields.Word, Help: `Certificate profile, for example "server_auth_only_eku".`, Rule: "letters, digits and `_`; `server_client_auth_eku` is warned about, for DigiCert ends it"},
		{Name: "organization_units", Type: pluginapi.List, Element: pluginapi.String, In: onHint | onDV, Deprecated: "public CAs put no organizational unit into certificates any more and DigiCert ignores it: remove it", Help: "Deprecated: departments."},
		{Name: "server_platform", Type: pluginapi.Table, In: onHint | onDV | onReissue, Help: "Server the certificate is for; DigiCert's mails go by it.",
			Rule: "sent as `{ id = -1 }` (other) when left out: a reissue is refused without",
			Fields: []fields.Field{
				{Name: "id", Type: pluginapi.Integer, Required: true, In: onHint | onDV | onReissue, Test: fields.AtLeast(-1), Help: "Number of the platform, -1 for others.", Rule: "-1 or more"},
			}},
		{Name: "cert_validity", Type: pluginapi.Table, In: onHint | onDV | onReissue, Help: "How long the certificate itself lasts; left out, as long as DigiCert issues.",
			Rule: "at least one of the three; not longer than `order_validity`; warned about where DigiCert ignores it (public certificates of plans up to a year)",
			Fields: []fields.Field{
				// Only the page for type_hint has years, and it is the older of the two.
				{Name: "years", Type: pluginapi.Integer, In: onHint | onReissue, Allowed: []any{int64(1)}, Help: "Lifetime in years.", Rule: "warned about for public certificates, which last 199 days at most"},
				{Name: "days", Type: pluginapi.Integer, In: onHint | onDV | onReissue, Test: fields.AtLeast(1), Help: "Lifetime in days; overrides years.", Rule: "1 to 199 for DV, 397 otherwise; more than DigiCert issues for a public certificate at the time is warned about"},
				{Name: "custom_expiration_date", Type: pluginapi.String, In: onHint | onDV | onReissue, Test: certificateDate, Help: `Last day of the certificate, as "09 JUN 2027"; overrides days and years.`, Rule: "`dd MMM YYYY`, in the future, and as far ahead as `days` may; warned about, since it serves for one certificate alone"},
			}},
	}
}
