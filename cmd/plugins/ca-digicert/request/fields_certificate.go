package request

import "github.com/certbridge/certbridged/pkg/pluginapi"

func certificateTable() field {
	return field{name: "certificate", kind: pluginapi.Table, on: onHint | onDV, reissue: true, help: "What the certificate shall be like, apart from its names and key.",
		rule: "always sent; what certbridged computes is filled in", fields: certificateFields()}
}

func certificateFields() []field {
	return []field{
		{name: "common_name", kind: pluginapi.String, on: onHint | onDV, reissue: true, computed: "the first of `domains` that fits into a common name", help: "Domain to be secured."},
		{name: "dns_names", kind: pluginapi.List, element: pluginapi.String, on: onHint | onDV, reissue: true, computed: "the other names of `domains`", help: "Further domains."},
		{name: "csr", kind: pluginapi.String, on: onHint | onDV, reissue: true, computed: "made with the certificate's key, see `key`", help: "Certificate request."},
		// Not confirmed by DigiCert's pages: the list of hashes, which is that of the product's own limits.
		{name: "signature_hash", kind: pluginapi.String, on: onHint, reissue: true, allowed: []any{"sha256", "sha384", "sha512"}, help: "Hash the certificate is signed with; left out: sha256.", rule: "sent as `sha256` where the endpoint demands one"},
		{name: "ca_cert_id", kind: pluginapi.String, on: onHint | onDV, reissue: true, test: word, help: "Intermediate CA to issue from, as the product list numbers them.", rule: "letters and digits; needed for `product_type_hint = \"private\"`"},
		// Not confirmed by DigiCert's pages: that a reissue takes it. Left out, the client authentication a certificate
		// has would be lost without a word.
		{name: "profile_option", kind: pluginapi.String, on: onDV, reissue: true, test: word, help: `Certificate profile, for example "server_auth_only_eku".`, rule: "letters, digits and `_`; `server_client_auth_eku` is warned about, for DigiCert ends it"},
		{name: "organization_units", kind: pluginapi.List, element: pluginapi.String, on: onHint | onDV, deprecated: "public CAs put no organizational unit into certificates any more and DigiCert ignores it: remove it", help: "Deprecated: departments."},
		{name: "server_platform", kind: pluginapi.Table, on: onHint | onDV, reissue: true, help: "Server the certificate is for; DigiCert's mails go by it.",
			rule: "sent as `{ id = -1 }` (other) when left out: a reissue is refused without",
			fields: []field{
				{name: "id", kind: pluginapi.Integer, required: true, on: onHint | onDV, reissue: true, test: atLeast(-1), help: "Number of the platform, -1 for others.", rule: "-1 or more"},
			}},
		{name: "cert_validity", kind: pluginapi.Table, on: onHint | onDV, reissue: true, help: "How long the certificate itself lasts; left out, as long as DigiCert issues.",
			rule: "at least one of the three; not longer than `order_validity`; warned about where DigiCert ignores it (public certificates of plans up to a year)",
			fields: []field{
				// Only the page for type_hint has years, and it is the older of the two.
				{name: "years", kind: pluginapi.Integer, on: onHint, reissue: true, allowed: []any{int64(1)}, help: "Lifetime in years.", rule: "warned about for public certificates, which last 199 days at most"},
				{name: "days", kind: pluginapi.Integer, on: onHint | onDV, reissue: true, test: atLeast(1), help: "Lifetime in days; overrides years.", rule: "1 to 199 for DV, 397 otherwise; more than DigiCert issues for a public certificate at the time is warned about"},
				{name: "custom_expiration_date", kind: pluginapi.String, on: onHint | onDV, reissue: true, test: certificateDate, help: `Last day of the certificate, as "09 JUN 2027"; overrides days and years.`, rule: "`dd MMM YYYY`, in the future, and as far ahead as `days` may; warned about, since it serves for one certificate alone"},
			}},
	}
}
