package request

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

var update = flag.Bool("update", false, "write the golden bodies and the table in docs/ca-digicert.md anew")

func TestBodies(t *testing.T) {
	everything := with(dv(), values{
		"certificate": values{
			"ca_cert_id": "A1B2C3", "profile_option": "server_auth_only_eku", "server_platform": values{"id": int64(45)},
			"cert_validity": values{"days": int64(90)},
		},
		"order_validity": values{"years": int64(2)}, "comments": "for <the> shop & more", "apply_cr_discount": true, "serial_number": "0A:1B",
		"auto_renew": int64(0), "auto_reissue": int64(0), "custom_renewal_message": "Renew me.", "disable_renewal_notifications": true,
		"additional_emails": []any{"it@example.com"}, "payment_method": "balance", "dcv_method": MethodEmail,
		"dcv_emails": []any{values{"dns_name": "www.shop.example.com", "email_domain": "example.com", "email": "admin@example.com"}},
		"locale":     "en", "skip_approval": false, "disable_ct": false, "container": values{"id": int64(69748)},
		"custom_fields":       []any{values{"metadata_id": int64(12), "value": "Invoice #12345"}},
		"technical_contact":   values{"first_name": "Jim", "last_name": "Smith", "telephone": "555-555-5555", "job_title": "IT Admin", "email": "jim.smith@example.com"},
		"enable_guest_access": int64(1), "certificate_dcv_scope": "fqdn",
	})
	people := values{"first_name": "Ann", "last_name": "Lee", "email": "ann@example.com", "job_title": "CTO", "telephone": "+49 30 1", "telephone_extension": "22"}
	for name, c := range map[string]struct {
		values  values
		secrets map[string]string
		account Account
		change  func(*Computed)
		path    string
	}{
		"dv":            {values: dv(), path: "/order/certificate/ssl_dv_geotrust"},
		"dv-everything": {values: everything, path: "/order/certificate/ssl_dv_geotrust"},
		"dv-card":       {values: cardOrder(), secrets: card(), path: "/order/certificate/ssl_dv_geotrust"},
		"dv-authkey": {
			values:  with(dv(), values{"dcv_method": MethodAuthKey, "use_auth_key": true, "auth_key_id": "42"}),
			secrets: map[string]string{"auth_key": "the text of the AuthKey"}, path: "/order/certificate/ssl_dv_geotrust",
		},
		"ov": {
			values: with(dv(), values{"product": "ssl_basic"}), path: "/order/certificate/ssl_basic",
			account: Account{OrganizationID: 117483, ContainerID: 69748, SkipApproval: new(true)},
		},
		"ev": {
			values: with(ov(), values{
				"product": "ssl", "product_type_hint": "ev", "organization_contact": people, "technical_contact": people, "disable_ct": true,
				"organization":   values{"id": int64(1), "contacts": []any{values{"contact_type": "ev_approver", "user_id": int64(7)}}, "skip_duplicate_org_check": false},
				"order_validity": values{"days": int64(730)}, "certificate": values{"signature_hash": "sha384"},
			}),
			path: "/order/certificate/ssl",
		},
		"grid":    {values: with(ov(), values{"product": "ssl", "product_type_hint": "grid"}), path: "/order/certificate/ssl"},
		"private": {values: with(ov(), values{"product": "ssl", "product_type_hint": "private", "certificate": values{"ca_cert_id": "5A6B"}}), change: func(c *Computed) { c.DCVMethod = "" }, path: "/order/certificate/ssl"},
		"wildcard": {
			values: with(dv(), values{"product": "wildcard_dv_geotrust"}), path: "/order/certificate/wildcard_dv_geotrust",
			change: func(c *Computed) {
				c.CommonName, c.DNSNames, c.DCVMethod = "*.example.com", []string{"example.com"}, MethodCNAME
			},
		},
		"renewal":               {values: dv(), change: func(c *Computed) { c.RenewalOfOrderID = 900100200 }, path: "/order/certificate/ssl_dv_geotrust"},
		"renewal-of-a-stranger": {values: dv(), change: func(c *Computed) { c.RenewedThumbprint = strings.Repeat("0a", 20) }, path: "/order/certificate/ssl_dv_geotrust"},
		"deprecated":            {values: with(ov(), values{"validity_years": int64(1), "certificate": values{"organization_units": []any{"IT"}}}), path: "/order/certificate/ssl_basic"},
	} {
		t.Run(name, func(t *testing.T) {
			made := computed(t)
			if c.change != nil {
				c.change(&made)
			}
			s := WithAccount(pluginapi.Settings{Values: c.values, Secrets: secrets(c.secrets)}, c.account)
			path, text, err := order(s, made, today)
			if err != nil {
				t.Fatal(err)
			}
			if path != c.path {
				t.Errorf("path %s, want %s", path, c.path)
			}
			if bytes.Contains(text, []byte("AuthKey")) {
				t.Error("the AuthKey is in the body")
			}
			golden(t, "order-"+name, text)
		})
	}
}

func TestReissueBodies(t *testing.T) {
	full := with(ov(), values{
		"comments": "new key", "skip_approval": true, "certificate_dcv_scope": "base_domain", "container": values{"id": int64(3)}, "auto_renew": int64(0),
		"certificate":    values{"signature_hash": "sha512", "ca_cert_id": "A1", "cert_validity": values{"days": int64(30)}, "server_platform": values{"id": int64(2)}},
		"payment_method": "balance", "order_validity": values{"years": int64(2)},
	})
	for name, c := range map[string]struct {
		values  values
		secrets map[string]string
	}{
		"dv": {values: dv()}, "ov": {values: full},
		// What has changed since the plan was paid, and is no part of a reissue, does not keep it from being sent.
		"expired-card": {values: cardOrder(), secrets: withText(card(), "credit_card.expiration_year", "2025")},
		"past-plan":    {values: with(dv(), values{"order_validity": values{"custom_expiration_date": "09 JUN 2026"}})},
	} {
		t.Run(name, func(t *testing.T) {
			made := computed(t)
			made.AlternativeOrderID = ""
			text, err := reissue(pluginapi.Settings{Values: c.values, Secrets: secrets(c.secrets)}, made, today)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "reissue-"+name, text)
		})
	}
}

func withText(texts map[string]string, key, text string) map[string]string {
	texts[key] = text
	return texts
}

// golden compares a body, laid out for people, with what testdata has.
func golden(t *testing.T, name string, text []byte) {
	t.Helper()
	var laid bytes.Buffer
	if err := json.Indent(&laid, text, "", "  "); err != nil {
		t.Fatal(err)
	}
	laid.WriteByte('\n')
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, laid.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(laid.Bytes(), want) {
		t.Errorf("%s differs:\n%s", file, laid.Bytes())
	}
}

func TestWhatIsComputedMustFit(t *testing.T) {
	for name, c := range map[string]struct {
		values values
		change func(*Computed)
		field  string
	}{
		"no request":            {change: func(c *Computed) { c.CSR = []byte{1} }, field: "certificate.csr"},
		"long common name":      {change: func(c *Computed) { c.CommonName = strings.Repeat("a", 61) + ".com" }, field: "certificate.common_name"},
		"no common name":        {change: func(c *Computed) { c.CommonName = "" }, field: "certificate.common_name"},
		"name not in ASCII":     {change: func(c *Computed) { c.DNSNames = []string{"bücher.example"} }, field: "certificate.dns_names"},
		"no mark":               {change: func(c *Computed) { c.AlternativeOrderID = "" }, field: "alternative_order_id"},
		"long mark":             {change: func(c *Computed) { c.AlternativeOrderID = strings.Repeat("a", 65) }, field: "alternative_order_id"},
		"mark with a hyphen":    {change: func(c *Computed) { c.AlternativeOrderID = "a-b" }, field: "alternative_order_id"},
		"no order":              {change: func(c *Computed) { c.RenewalOfOrderID = -1 }, field: "renewal_of_order_id"},
		"no thumbprint":         {change: func(c *Computed) { c.RenewedThumbprint = "abc" }, field: "renewed_thumbprint"},
		"two links":             {change: func(c *Computed) { c.RenewalOfOrderID, c.RenewedThumbprint = 1, strings.Repeat("a", 40) }, field: "renewal_of_order_id"},
		"no method":             {change: func(c *Computed) { c.DCVMethod = "" }, field: "dcv_method"},
		"unknown method":        {change: func(c *Computed) { c.DCVMethod = "smoke" }, field: "dcv_method"},
		"method for OV":         {change: func(c *Computed) { c.DCVMethod = MethodHTTPDynamic }, field: "dcv_method"},
		"AuthKey without one":   {change: func(c *Computed) { c.DCVMethod = MethodAuthKey }, field: "dcv_method"},
		"file for a wildcard":   {change: func(c *Computed) { c.DNSNames, c.DCVMethod = []string{"*.example.com"}, MethodHTTP }, field: "dcv_method"},
		"mail for another name": {values: values{"dcv_method": MethodEmail, "dcv_emails": []any{values{"dns_name": "x.example.com", "email_domain": "example.com"}}}, field: "dcv_emails"},
	} {
		t.Run(name, func(t *testing.T) {
			made := computed(t)
			if c.change != nil {
				c.change(&made)
			}
			_, text, err := order(pluginapi.Settings{Values: with(dv(), c.values)}, made, today)
			wantField(t, err, c.field)
			if text != nil {
				t.Errorf("a body all the same: %s", text)
			}
		})
	}
}

func TestConfiguredMethodHolds(t *testing.T) {
	_, text, err := order(pluginapi.Settings{Values: with(dv(), values{"dcv_method": MethodHTTP})}, computed(t), today)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Method string `json:"dcv_method"`
	}
	if err := json.Unmarshal(text, &got); err != nil || got.Method != MethodHTTP {
		t.Errorf("dcv_method %q, %v", got.Method, err)
	}
}

func TestAddressAsName(t *testing.T) {
	made := computed(t)
	made.CommonName, made.DNSNames, made.DCVMethod = "192.0.2.1", nil, MethodHTTP
	_, text, err := order(pluginapi.Settings{Values: dv()}, made, today)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("dns_names")) {
		t.Errorf("further names: %s", text)
	}
}

func TestWithAccount(t *testing.T) {
	account := Account{OrganizationID: 1, ContainerID: 2, SkipApproval: new(true)}
	for name, c := range map[string]struct{ in, want values }{
		"an order with an organization": {
			values{"product": "ssl_basic"},
			values{"product": "ssl_basic", "organization": values{"id": int64(1)}, "container": values{"id": int64(2)}, "skip_approval": true},
		},
		"a DV order has none": {
			values{"product": "ssl_dv_geotrust"},
			values{"product": "ssl_dv_geotrust", "container": values{"id": int64(2)}, "skip_approval": true},
		},
		"what the order says holds": {
			values{"product": "ssl_basic", "organization": values{"id": int64(8)}, "container": values{"id": int64(9)}, "skip_approval": false},
			values{"product": "ssl_basic", "organization": values{"id": int64(8)}, "container": values{"id": int64(9)}, "skip_approval": false},
		},
		"a table is filled up": {
			values{"product": "ssl_basic", "organization": values{"skip_duplicate_org_check": false}},
			values{"product": "ssl_basic", "organization": values{"id": int64(1), "skip_duplicate_org_check": false}, "container": values{"id": int64(2)}, "skip_approval": true},
		},
		"what is no table is left": {
			values{"product": "ssl_basic", "organization": "x", "container": int64(1)},
			values{"product": "ssl_basic", "organization": "x", "container": int64(1), "skip_approval": true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := json.Marshal(c.in)
			got, _ := json.Marshal(WithAccount(pluginapi.Settings{Values: c.in}, account).Values)
			if want, _ := json.Marshal(c.want); !bytes.Equal(got, want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if after, _ := json.Marshal(c.in); !bytes.Equal(before, after) {
				t.Errorf("the settings handed in have changed: %s", after)
			}
		})
	}
	if got := WithAccount(pluginapi.Settings{}, Account{}); len(got.Values) != 0 {
		t.Errorf("nothing became %v", got.Values)
	}
}
