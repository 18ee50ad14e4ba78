package digicert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// ruleCase is an order with one thing changed, and the code that must be the answer. Without a code it is accepted.
type ruleCase struct {
	path string
	v    any
	code string
}

func checkRules(t *testing.T, r *rig, at string, order obj, cases map[string]ruleCase) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := r.count(sandbox.Purchase)
			body := with(order, c.path, c.v)
			if c.code == "" {
				r.call(http.StatusCreated, http.MethodPost, at, body)
				return
			}
			if codes := r.codes(http.StatusBadRequest, http.MethodPost, at, body); !slices.Contains(codes, c.code) {
				t.Errorf("codes %v, want %s", codes, c.code)
			}
			if n := r.count(sandbox.Purchase) - before; n != 0 {
				t.Error("a refused order was bought")
			}
		})
	}
}

func TestRulesOfDVOrders(t *testing.T) {
	r := newRig(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	contact := obj{"first_name": "A", "last_name": "B", "email": "a@example.com", "telephone": "1"}
	card := obj{"number": "4111111111111111", "expiration_month": 12, "expiration_year": time.Now().Year() + 1, "cvv": 333, "cardholder_name": "A B"}
	in := func(days int) string {
		return strings.ToUpper(time.Now().UTC().AddDate(0, 0, days).Format(orderDateForm))
	}
	checkRules(t, r, dv, dvOrder(t, "shop.example.com"), map[string]ruleCase{
		"as it is":                         {"comments", "", ""},
		"no certificate":                   {"certificate", nil, "required_param:certificate"},
		"certificate is text":              {"certificate", "x", "invalid_value:certificate"},
		"no common name":                   {"certificate.common_name", nil, "required_param:certificate.common_name"},
		"empty common name":                {"certificate.common_name", " ", "required_param:certificate.common_name"},
		"common name is a number":          {"certificate.common_name", 5, "invalid_value:certificate.common_name"},
		"common name is no domain":         {"certificate.common_name", "localhost", "invalid_value:certificate.common_name"},
		"common name with underscore":      {"certificate.common_name", "a_b.example.com", "invalid_value:certificate.common_name"},
		"common name not in ASCII":         {"certificate.common_name", "bücher.example", "invalid_value:certificate.common_name"},
		"common name too long":             {"certificate.common_name", strings.Repeat("a", 60) + ".example.com", "invalid_value:certificate.common_name"},
		"wildcard inside":                  {"certificate.common_name", "a.*.example.com", "invalid_value:certificate.common_name"},
		"names are text":                   {"certificate.dns_names", "a.example.com", "invalid_value:certificate.dns_names"},
		"a name is a number":               {"certificate.dns_names", []any{1}, "invalid_value:certificate.dns_names"},
		"a name is null":                   {"certificate.dns_names", []any{nil}, "invalid_value:certificate.dns_names"},
		"a name has a port":                {"certificate.dns_names", []any{"a.example.com:443"}, "invalid_value:certificate.dns_names"},
		"address with TXT":                 {"certificate.dns_names", []any{"192.0.2.1"}, "invalid_value:dcv_method"},
		"no CSR":                           {"certificate.csr", nil, "required_param:certificate.csr"},
		"CSR without header":               {"certificate.csr", "MIIC", "invalid_value:certificate.csr"},
		"CSR is garbage":                   {"certificate.csr", "-----BEGIN CERTIFICATE REQUEST-----\nMIIC\n-----END CERTIFICATE REQUEST-----", "invalid_value:certificate.csr"},
		"CSR on one line":                  {"certificate.csr", strings.ReplaceAll(csrOf(t, testKey()), "\n", ""), ""},
		"CSR of a small key":               {"certificate.csr", csrOf(t, small), "invalid_value:certificate.csr"},
		"CSR of another curve":             {"certificate.csr", csrOf(t, p224), "invalid_value:certificate.csr"},
		"signature hash":                   {"certificate.signature_hash", "sha384", ""},
		"unknown signature hash":           {"certificate.signature_hash", "sha1", "invalid_value:certificate.signature_hash"},
		"units are deprecated":             {"certificate.organization_units", []any{"IT"}, ""},
		"server platform without id":       {"certificate.server_platform", obj{}, "required_param:certificate.server_platform.id"},
		"server platform id is text":       {"certificate.server_platform.id", "45", "invalid_value:certificate.server_platform.id"},
		"server platform id is a fraction": {"certificate.server_platform.id", json.Number("4.5"), "invalid_value:certificate.server_platform.id"},
		"issuing CA":                       {"certificate.ca_cert_id", issuerID(r, issuerECC), ""},
		"issuing CA of private ones":       {"certificate.ca_cert_id", issuerID(r, issuerPrivate), "invalid_value:certificate.ca_cert_id"},
		"profile":                          {"certificate.profile_option", "server_auth_only_eku", ""},
		"profile that has ended":           {"certificate.profile_option", "server_client_auth_eku", "invalid_value:certificate.profile_option"},
		"cert_validity":                    {"certificate.cert_validity", obj{"days": 90}, ""},
		"cert_validity too long":           {"certificate.cert_validity", obj{"days": 200}, "invalid_value:certificate.cert_validity.days"},
		"cert_validity of nothing":         {"certificate.cert_validity", obj{"days": 0}, "invalid_value:certificate.cert_validity.days"},
		"cert_validity in years":           {"certificate.cert_validity", obj{"years": 1}, "unknown_param:certificate.cert_validity.years"},
		"cert_validity empty":              {"certificate.cert_validity", obj{}, "required_param:certificate.cert_validity.days"},
		"cert_validity until":              {"certificate.cert_validity", obj{"custom_expiration_date": in(100)}, ""},
		"cert_validity until too late":     {"certificate.cert_validity", obj{"custom_expiration_date": in(210)}, "invalid_value:certificate.cert_validity.custom_expiration_date"},
		"typing error":                     {"certificate.common_nam", "x", "unknown_param:certificate.common_nam"},
		"no order_validity":                {"order_validity", nil, "required_param:order_validity"},
		"order_validity empty":             {"order_validity", obj{}, "required_param:order_validity.years"},
		"years as text":                    {"order_validity.years", "1", "invalid_value:order_validity.years"},
		"three years":                      {"order_validity.years", 3, ""},
		"four years":                       {"order_validity.years", 4, "invalid_value:order_validity.years"},
		"no years":                         {"order_validity.years", 0, "invalid_value:order_validity.years"},
		"days":                             {"order_validity", obj{"days": 1095}, ""},
		"days beat years":                  {"order_validity", obj{"days": 1096, "years": 1}, "invalid_value:order_validity.days"},
		"date":                             {"order_validity", obj{"custom_expiration_date": in(400)}, ""},
		"date in another form":             {"order_validity", obj{"custom_expiration_date": "2028-01-01"}, "invalid_value:order_validity.custom_expiration_date"},
		"date that is none":                {"order_validity", obj{"custom_expiration_date": "31 FEB 2028"}, "invalid_value:order_validity.custom_expiration_date"},
		"date in the past":                 {"order_validity", obj{"custom_expiration_date": in(-2)}, "invalid_value:order_validity.custom_expiration_date"},
		"date beyond three years":          {"order_validity", obj{"custom_expiration_date": in(1100)}, "invalid_value:order_validity.custom_expiration_date"},
		"deprecated validity is unknown":   {"validity_years", 1, "unknown_param:validity_years"},
		"organization":                     {"organization", obj{"id": DemoOrganization}, "unknown_param:organization"},
		"product":                          {"product", obj{"type_hint": "ov"}, "unknown_param:product"},
		"auto_renew":                       {"auto_renew", 2, "invalid_value:auto_renew"},
		"auto_renew as boolean":            {"auto_renew", true, "invalid_value:auto_renew"},
		"auto_reissue":                     {"auto_reissue", 1, ""},
		"skip_approval as number":          {"skip_approval", 1, "invalid_value:skip_approval"},
		"disable_ct as number":             {"disable_ct", 0, ""},
		"disable_ct as boolean":            {"disable_ct", true, ""},
		"disable_ct as text":               {"disable_ct", "1", "invalid_value:disable_ct"},
		"additional emails":                {"additional_emails", []any{"a@example.com", "nobody"}, "invalid_value:additional_emails"},
		"unknown method":                   {"dcv_method", "dns-01", "invalid_value:dcv_method"},
		"dynamic file is not for DV":       {"dcv_method", methodHTTPDynamic, "invalid_value:dcv_method"},
		"token-based without AuthKey":      {"dcv_method", methodToken, "invalid_value:dcv_method"},
		"AuthKey with another method":      {"use_auth_key", true, "invalid_value:dcv_method"},
		"emails with another method":       {"dcv_emails", []any{obj{"dns_name": "shop.example.com", "email_domain": "example.com"}}, "invalid_value:dcv_emails"},
		"locale":                           {"locale", "english", "invalid_value:locale"},
		"contact":                          {"technical_contact", contact, ""},
		"contact without telephone":        {"technical_contact", with(contact, "telephone", nil), "required_param:technical_contact.telephone"},
		"contact without address":          {"technical_contact", with(contact, "email", "nobody"), "invalid_value:technical_contact.email"},
		"container":                        {"container", obj{"id": DemoContainer}, ""},
		"unknown container":                {"container", obj{"id": 5}, "invalid_value:container.id"},
		"container without id":             {"container", obj{}, "required_param:container.id"},
		"unknown custom field":             {"custom_fields", []any{obj{"metadata_id": 12, "value": "x"}}, "invalid_value:custom_fields.metadata_id"},
		"custom field without value":       {"custom_fields", []any{obj{"metadata_id": 12}}, "required_param:custom_fields.value"},
		"alternative id":                   {"alternative_order_id", strings.Repeat("a", 64), ""},
		"alternative id too long":          {"alternative_order_id", strings.Repeat("a", 65), "invalid_value:alternative_order_id"},
		"alternative id with hyphen":       {"alternative_order_id", "a-b", "invalid_value:alternative_order_id"},
		"guest access":                     {"enable_guest_access", 1, "invalid_value:enable_guest_access"},
		"scope":                            {"certificate_dcv_scope", "domain", "invalid_value:certificate_dcv_scope"},
		"payment":                          {"payment_method", "gold", "invalid_value:payment_method"},
		"wire transfer":                    {"payment_method", "wire_transfer", ""},
		"card without card":                {"payment_method", "card", "required_param:credit_card"},
		"card without address":             {"payment_method", "card", "required_param:billing_address"},
		"card number as number":            {"credit_card", with(card, "number", 4111), "invalid_value:credit_card.number"},
		"card month":                       {"credit_card", with(card, "expiration_month", 13), "invalid_value:credit_card.expiration_month"},
		"card without name":                {"credit_card", with(card, "cardholder_name", nil), "required_param:credit_card.cardholder_name"},
		"renewal of nothing":               {"renewal_of_order_id", 5, "invalid_value:renewal_of_order_id"},
		"renewal id as text":               {"renewal_of_order_id", "5", "invalid_value:renewal_of_order_id"},
		"thumbprint":                       {"renewed_thumbprint", "AB", "invalid_value:renewed_thumbprint"},
		"null":                             {"comments", json.RawMessage("null"), "invalid_value:comments"},
	})
}

func issuerID(r *rig, name string) string { return r.s.Account.Authority.Named(name).ID }

func TestRulesOfOVOrders(t *testing.T) {
	r := newRig(t)
	details := obj{"name": "New Ltd", "address": "2 Road", "city": "Leeds", "country": "GB", "telephone": "1"}
	checkRules(t, r, "/order/certificate/ssl", with(ovOrder(t, "shop.example.com"), "product", obj{"type_hint": "ov"}), map[string]ruleCase{
		"as it is":                 {"comments", "x", ""},
		"no hint":                  {"product", nil, "ambiguous_product"},
		"unknown hint":             {"product.type_hint", "dv", "invalid_value:product.type_hint"},
		"grid":                     {"product.type_hint", "grid", ""},
		"EV":                       {"product.type_hint", "ev", ""},
		"no signature hash":        {"certificate.signature_hash", nil, "required_param:certificate.signature_hash"},
		"no organization":          {"organization", nil, "required_param:organization"},
		"unknown organization":     {"organization", obj{"id": 4}, "invalid_value:organization.id"},
		"new organization":         {"organization", details, ""},
		"new organization lacks":   {"organization", with(details, "city", nil), "required_param:organization.city"},
		"organization is empty":    {"organization", obj{}, "required_param:organization.name"},
		"deprecated validity":      {"validity_days", 100, ""},
		"deprecated date":          {"custom_expiration_date", "2027-31-12", ""},
		"cert_validity of 2 years": {"certificate.cert_validity", obj{"years": 2}, "invalid_value:certificate.cert_validity.years"},
		"cert_validity of 1 year":  {"certificate.cert_validity", obj{"years": 1}, ""},
		"cert_validity of 397":     {"certificate.cert_validity", obj{"days": 397}, ""},
		"cert_validity of 398":     {"certificate.cert_validity", obj{"days": 398}, "invalid_value:certificate.cert_validity.days"},
		"contact needs no phone":   {"organization_contact", obj{"first_name": "A", "last_name": "B", "email": "a@example.com"}, ""},
		"contact needs a name":     {"organization_contact", obj{"first_name": "A", "email": "a@example.com"}, "required_param:organization_contact.last_name"},
		"AuthKey":                  {"use_auth_key", true, "invalid_value:use_auth_key"},
	})
	old := with(with(ovOrder(t, "shop.example.com"), "product", obj{"type_hint": "ov"}), "order_validity", nil)
	checkRules(t, r, "/order/certificate/ssl", old, map[string]ruleCase{
		"deprecated date alone":         {"custom_expiration_date", time.Now().AddDate(0, 6, 0).Format(dateForm), ""},
		"deprecated date in wrong form": {"custom_expiration_date", "31 DEC 2027", "invalid_value:custom_expiration_date"},
		"deprecated years alone":        {"validity_years", 1, ""},
	})
}

func TestRulesOfProducts(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		product string
		names   []string
		change  func(o obj) obj
		want    int
		code    string
	}{
		"standard":                   {"ssl_dv_rapidssl", []string{"example.com"}, nil, 201, ""},
		"standard has no wildcard":   {"ssl_dv_geotrust", []string{"*.example.com"}, nil, 400, "invalid_value:certificate.common_name"},
		"nor among others":           {"ssl_dv_geotrust", []string{"example.com", "*.example.com"}, nil, 400, "invalid_value:certificate.dns_names"},
		"wildcard":                   {"wildcard_dv_geotrust", []string{"*.example.com", "example.com"}, nil, 201, ""},
		"wildcard wants one":         {"wildcard_dv_rapidssl", []string{"example.com"}, nil, 400, "invalid_value:certificate.common_name"},
		"unknown product":            {"ssl_dv_nobody", []string{"example.com"}, nil, 404, "not_found|product"},
		"wildcard and file":          {"ssl_dv_geotrust_flex", []string{"*.example.com"}, func(o obj) obj { return with(o, "dcv_method", methodHTTP) }, 400, "invalid_wildcard_dcv_method"},
		"EV has no wildcard":         {"ssl_ev_basic", []string{"*.example.com"}, func(o obj) obj { return with(ovOrder(t, "*.example.com"), "order_validity", o["order_validity"]) }, 400, "invalid_value:certificate.common_name"},
		"emails of a foreign domain": {"ssl_dv_geotrust_flex", []string{"www.example.com"}, emailOrder("www.example.com", "example.com", "admin@example.net"), 400, "invalid_value:dcv_emails.email"},
		"constructed emails":         {"ssl_dv_geotrust_flex", []string{"www.example.com"}, emailOrder("www.example.com", "example.com", "hostmaster@example.com"), 201, ""},
		"contact in the DNS":         {"ssl_dv_geotrust_flex", []string{"www.example.com"}, emailOrder("www.example.com", "example.com", "jim@example.org"), 201, ""},
		"emails of another base":     {"ssl_dv_geotrust_flex", []string{"www.example.com"}, emailOrder("www.example.com", "www.example.com", "admin@www.example.com"), 400, "invalid_value:dcv_emails.email_domain"},
		"emails of another name":     {"ssl_dv_geotrust_flex", []string{"www.example.com"}, emailOrder("example.com", "example.com", "admin@example.com"), 400, "invalid_value:dcv_emails.dns_name"},
	} {
		t.Run(name, func(t *testing.T) {
			r.publish("_validation-contactemail.example.com. IN TXT jim@example.org")
			order := dvOrder(t, c.names...)
			if c.change != nil {
				order = c.change(order)
			}
			if c.code == "" {
				r.call(c.want, http.MethodPost, "/order/certificate/"+c.product, order)
				return
			}
			if codes := r.codes(c.want, http.MethodPost, "/order/certificate/"+c.product, order); !slices.Contains(codes, c.code) {
				t.Errorf("codes %v", codes)
			}
		})
	}
}

func emailOrder(name, domain, email string) func(o obj) obj {
	return func(o obj) obj {
		return with(with(o, "dcv_method", methodEmail), "dcv_emails", []any{obj{"dns_name": name, "email_domain": domain, "email": email}})
	}
}

func TestRulesOfTheAccount(t *testing.T) {
	r := newRig(t)
	order := with(dvOrder(t, "example.com"), "alternative_order_id", "abc")
	r.call(http.StatusCreated, http.MethodPost, dv, order)
	r.call(http.StatusCreated, http.MethodPost, dv, order) // allowed without the option
	r.call(http.StatusOK, http.MethodPatch, "/_sandbox/settings", obj{"unique_alternative_ids": true, "multi_year_plans": false})
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, dv, order); codes[0] != "invalid_value:alternative_order_id" {
		t.Errorf("codes %v", codes)
	}
	order["alternative_order_id"] = "abd"
	checkRules(t, r, dv, order, map[string]ruleCase{
		"two years":       {"order_validity", obj{"years": 2}, "invalid_value:order_validity.years"},
		"a later date":    {"order_validity", obj{"custom_expiration_date": time.Now().AddDate(0, 8, 0).Format(orderDateForm)}, "invalid_value:order_validity.custom_expiration_date"},
		"days are capped": {"order_validity", obj{"days": 300}, ""},
	})
	r.call(http.StatusNoContent, http.MethodPost, "/_sandbox/metadata", obj{"id": 12, "label": "Invoice", "data_type": "int", "is_required": true, "is_active": true})
	order["alternative_order_id"] = "abe"
	checkRules(t, r, dv, order, map[string]ruleCase{
		"required custom field":      {"comments", "", "required_param:custom_fields"},
		"custom field of a type":     {"custom_fields", []any{obj{"metadata_id": 12, "value": "x"}}, "invalid_value:custom_fields.value"},
		"custom field as it must be": {"custom_fields", []any{obj{"metadata_id": 12, "value": "7"}}, ""},
	})
	r.call(http.StatusNoContent, http.MethodPost, "/_sandbox/balance", obj{"cents": 0})
	order = with(with(order, "custom_fields", []any{obj{"metadata_id": 12, "value": "7"}}), "alternative_order_id", "abf")
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, dv, order); codes[0] != "insufficient_funds" {
		t.Errorf("codes %v", codes)
	}
}

func TestBodiesThatCannotBeRead(t *testing.T) {
	r := newRig(t)
	for _, body := range []string{"", "{", "[]", "null", `{"a":1}{"b":2}`, `{"comments":"a","comments":"b"}`, "{\"comments\":\"\xff\"}"} {
		if codes := r.codes(http.StatusBadRequest, http.MethodPost, dv, body); codes[0] != "bad_request_format" {
			t.Errorf("%q: codes %v", body, codes)
		}
	}
	if err := r.s.Configure(func(s *Settings) { s.Strict = false }); err != nil {
		t.Fatal(err)
	}
	r.call(http.StatusCreated, http.MethodPost, dv, with(dvOrder(t, "example.com"), "certificate.typo", "x"))
}

func FuzzOrder(f *testing.F) {
	for _, seed := range []obj{dvOrder(f, "example.com", "*.example.com"), ovOrder(f, "192.0.2.1")} {
		text, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Add([]byte(`{"order_validity":{"custom_expiration_date":"09 JUN 2027"},"certificate":{"common_name":"a.b","csr":"x","dns_names":[null]}}`), true)
	r := newRig(f)
	f.Fuzz(func(t *testing.T, body []byte, isDV bool) {
		c := &call{r: (&http.Request{}).WithContext(t.Context()), user: &User{Role: Administrator}, body: body, now: r.s.Now()}
		b, found, err := decodeOrder(c, r.s.patterns.orderFields(isDV, !isDV), true)
		if err != nil {
			return
		}
		p, _ := productByID(map[bool]string{true: "ssl_dv_geotrust_flex", false: "ssl_basic"}[isDV])
		_ = r.s.Read(func(*state) error {
			j := r.s.judgeOrder(c, found, p, b)
			if found.err() == nil && (j.csr == nil || j.issuer == nil || len(j.names) == 0 || j.price <= 0 || j.terms == terms{}) {
				t.Errorf("an order was accepted that cannot be fulfilled: %+v", j)
			}
			return nil
		})
	})
}
