package request

import (
	"encoding/pem"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// sent shows a form as lines, its keys in order.
func sent(v url.Values) string {
	var lines []string
	for name, list := range v {
		for _, text := range list {
			if name == "csr" {
				text = "..."
			}
			lines = append(lines, name+"="+text)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestToken(t *testing.T) {
	reference := "cb-" + strings.Repeat("a", 32)
	for name, c := range map[string]struct {
		settings pluginapi.Settings
		names    string
		least    int
		wire     map[string]string
		want     string
		field    string // of the refusal
	}{
		"one name":        {settings: dv(nil), names: "example.com www.example.com", want: "end_customer_email=tech@example.com\nreseller_unique_reference=" + reference + "\nsan_count=0\nst_product_code=RapidSSL-12"},
		"all of it":       {settings: ov(values{"server_count": 2.0, "end_customer_email": "none"}), names: "example.com a.example.com example.org", want: "end_customer_email=none\nreseller_unique_reference=" + reference + "\nsan_count=2\nserver_count=2\nst_product_code=SecureSite-12"},
		"at least four":   {settings: dv(values{"st_product_code": "QuickSSLPremiumMD-12"}), names: "example.com example.org", want: "end_customer_email=tech@example.com\nreseller_unique_reference=" + reference + "\nsan_count=4\nst_product_code=QuickSSLPremiumMD-12"},
		"as the list has": {settings: ov(nil), names: "example.com example.org", least: 3, want: "end_customer_email=tech@example.com\nreseller_unique_reference=" + reference + "\nsan_count=3\nst_product_code=SecureSite-12"},
		"wildcards":       {settings: ov(nil), names: "example.com *.example.org a.test", wire: map[string]string{WildcardSANCount: "wild"}, want: "end_customer_email=tech@example.com\nreseller_unique_reference=" + reference + "\nsan_count=1\nst_product_code=SecureSite-12\nwild=1"},

		"wildcards that nobody can count": {settings: ov(nil), names: "example.com *.example.org", field: "wire_names.wildcard_san_count"},
		"too many":                        {settings: dv(nil), names: "example.com example.org", field: "identifiers"},
		"no wildcard":                     {settings: dv(values{"st_product_code": "RapidSSLWildcard-12"}), names: "example.com", field: "identifiers"},
		"a wildcard":                      {settings: dv(nil), names: "*.example.com", field: "identifiers"},
		"settings at fault":               {settings: dv(values{"tech_contact_email": nil}), names: "example.com", field: "tech_contact_email"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Token(c.settings, Purchase{Reference: reference, Names: NamesOf(strings.Fields(c.names)), LeastSANs: c.least, WireNames: c.wire})
			if pluginapi.FieldOf(err) != c.field || err == nil && sent(got) != c.want {
				t.Errorf("got\n%s\n%v", sent(got), err)
			}
		})
	}
	for _, mark := range []string{reference + "a", "", "a b"} {
		if _, err := Token(dv(nil), Purchase{Reference: mark, Names: NamesOf([]string{"example.com"})}); pluginapi.FieldOf(err) != "reseller_unique_reference" {
			t.Errorf("the mark %q: %v", mark, err)
		}
	}
}

const dvContacts = `admin_contact_email=admin@example.com
admin_contact_first_name=Ada
admin_contact_last_name=Example
admin_contact_phone=49305550100
admin_contact_title=Engineer
`

const dvRest = `tech_contact_email=tech@example.com
tech_contact_first_name=Ada
tech_contact_last_name=Example
tech_contact_phone=49305550100
tech_contact_title=Engineer`

func TestPlace(t *testing.T) {
	unknown := Spec{Name: "shoe_size", Required: true}
	for name, c := range map[string]struct {
		settings pluginapi.Settings
		names    string
		renewal  bool
		previous string
		specs    []Spec
		wire     map[string]string
		want     string
		says     []string // of the refusal
	}{
		"plain": {settings: dv(nil), want: dvContacts + "csr=...\ndv_auth_method=DNS\n" + dvRest},
		"the method that is set, and an organization that a DV order does not have": {settings: dv(values{"dv_auth_method": "FILE", "org_name": "x"}), want: dvContacts + "csr=...\ndv_auth_method=FILE\n" + dvRest},
		"several names":       {settings: dv(values{"st_product_code": "QuickSSLPremiumMD-12"}), names: "example.com www.example.com a.test b.test", want: dvContacts + "csr=...\ndv_auth_method=DNS\nsan_domains=a.test,b.test\n" + dvRest},
		"without a companion": {settings: dv(values{NoCompanion: true}), specs: []Spec{{Name: "omit_www"}, {Name: "other"}}, want: dvContacts + "csr=...\ndv_auth_method=DNS\nomit_www=1\n" + dvRest},
		"as it is called":     {settings: dv(values{NoCompanion: true}), specs: []Spec{{Name: "bare"}}, wire: map[string]string{NoCompanion: "bare"}, want: "" + dvContacts + "bare=1\ncsr=...\ndv_auth_method=DNS\n" + dvRest},
		"an issuing CA":       {settings: dv(values{IssuingCA: "one"}), specs: []Spec{{Name: "ica", Options: []string{"one", "two"}}}, want: dvContacts + "csr=...\ndv_auth_method=DNS\nica=one\n" + dvRest},
		"a renewal":           {settings: dv(nil), renewal: true, previous: "old-token", specs: []Spec{{Name: "previous_token"}}, want: dvContacts + "csr=...\ndv_auth_method=DNS\nprevious_token=old-token\nrenewal=1\n" + dvRest},
		"a renewal of Sectigo's, whose fields the order does not have": {settings: sectigo(nil), renewal: true, want: dvContacts + "csr=...\ndv_auth_method=DNS\nrenewal=1\n" + dvRest},
		"extra fields": {settings: dv(values{"extra_fields": values{"shoe_size": "44"}}), specs: []Spec{unknown}, want: dvContacts + "csr=...\ndv_auth_method=DNS\nshoe_size=44\n" + dvRest},
		"Sectigo's, one of them found": {settings: sectigo(nil), specs: []Spec{{Name: "one", Required: true}, {Name: "two", Required: true}}, wire: map[string]string{Sectigo2: "two"},
			want: dvContacts + "csr=...\ndv_auth_method=DNS\none=ada@example.com\n" + dvRest + "\ntwo=49305550100"},
		"a condition that holds for a field that is known": {settings: dv(nil), specs: []Spec{{Name: "approver_email_address", RequiredIf: []string{"dv_auth_method"}}}, want: dvContacts + "csr=...\ndv_auth_method=DNS\n" + dvRest},
		"a condition that does not hold":                   {settings: dv(nil), specs: []Spec{{Name: "x", RequiredIf: []string{"domain_name", "!csr"}}}, want: dvContacts + "csr=...\ndv_auth_method=DNS\n" + dvRest},

		"Sectigo's, none of them named":    {settings: sectigo(nil), specs: []Spec{{Name: "one", Required: true}, {Name: "two", Required: true}}, says: []string{"may be any of one, two", "wire_names.sectigo_field_1"}},
		"no field that looks like it":      {settings: dv(values{NoCompanion: true}), specs: []Spec{{Name: "bare"}}, says: []string{"no field of the order looks like no_companion", "bare"}},
		"two fields that look like it":     {settings: dv(values{NoCompanion: true}), specs: []Spec{{Name: "www_a"}, {Name: "www_b"}}, says: []string{"may be any of www_a, www_b"}},
		"a name that the order has not":    {settings: dv(values{NoCompanion: true}), wire: map[string]string{NoCompanion: "bare"}, says: []string{"wire_names.no_companion is bare, and the order has no such field"}},
		"a required field":                 {settings: dv(nil), specs: []Spec{unknown}, says: []string{"needs what is not configured: shoe_size", "shoe_size (required)"}},
		"a condition that holds":           {settings: dv(nil), specs: []Spec{{Name: "x", RequiredIf: []string{"csr", "!org_name"}}}, says: []string{"needs what is not configured: x"}},
		"an extra field that is not there": {settings: dv(values{"extra_fields": values{"shoe_size": "44"}}), says: []string{"has no field shoe_size"}},
		"a method that is not there":       {settings: dv(values{"dv_auth_method": "SFILE"}), says: []string{`dv_auth_method is "SFILE", and the order takes EMAIL, FILE, DNS`}},
		"another issuing CA":               {settings: dv(values{IssuingCA: "three"}), specs: []Spec{{Name: "ica", Options: []string{"one", "two"}}}, says: []string{`ica is "three"`}},
	} {
		t.Run(name, func(t *testing.T) {
			names := strings.Fields(c.names)
			if len(names) == 0 {
				names = []string{"example.com"}
			}
			computed := Computed{CSR: newCSR(t, names[0]), Method: MethodDNS, Names: NamesOf(names), Renewal: c.renewal, Previous: pluginapi.NewSecret(c.previous)}
			got, _, err := Place(c.settings, computed, specs(c.settings, c.specs...), c.wire)
			if (err == nil) != (c.says == nil) || err == nil && sent(got) != c.want {
				t.Errorf("got\n%s\n%v\nwant\n%s", sent(got), err, c.want)
			}
			for _, words := range c.says {
				if err != nil && (pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), words)) {
					t.Errorf("does not say %q: %v", words, err)
				}
			}
			if err != nil && c.previous != "" && strings.Contains(err.Error(), c.previous) {
				t.Error("a token shows")
			}
		})
	}
}

func TestPlaceOV(t *testing.T) {
	s := ov(nil)
	got, _, err := Place(s, Computed{CSR: newCSR(t, "example.com"), Method: MethodDNS, Names: NamesOf([]string{"example.com"})}, specs(s), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range NeedsOrganization() {
		if got.Get(name) == "" {
			t.Errorf("%s is not sent", name)
		}
	}
	if got.Get("org_address_phone") != "0305550100" {
		t.Errorf("the number is sent as %q", got.Get("org_address_phone"))
	}
}

func TestReissue(t *testing.T) {
	c := Computed{CSR: newCSR(t, "example.com"), Method: MethodFile}
	got, err := Reissue(dv(values{"hashing_algorithm": "SHA2-256"}), c)
	if err != nil || sent(got) != "csr=...\ndv_auth_method=FILE\nhashing_algorithm=SHA2-256" {
		t.Errorf("got %s, %v", sent(got), err)
	}
	// What has to do with buying alone keeps no reissue back.
	if got, err = Reissue(ov(values{"org_name": nil, "tech_contact_email": "x", "dv_auth_method": "DNS"}), c); err != nil || got.Get("dv_auth_method") != "DNS" {
		t.Errorf("got %s, %v", sent(got), err)
	}
	if _, err = Reissue(dv(values{"hashing_algorithm": "MD5"}), c); pluginapi.FieldOf(err) != "hashing_algorithm" {
		t.Errorf("got %v", err)
	}
}

func TestCSRText(t *testing.T) {
	der := newCSR(t, "example.com")
	text, err := CSRText(der)
	block, _ := pem.Decode([]byte(text))
	if err != nil || block == nil || strings.Contains(text, "\r") || string(block.Bytes) != string(der) {
		t.Errorf("got %q, %v", text, err)
	}
	for _, bad := range [][]byte{nil, {1}, newCSR(t, "")} {
		var e *pluginapi.Error
		if _, err := CSRText(bad); !errors.As(err, &e) || e.Field != "csr" {
			t.Errorf("got %v", err)
		}
	}
}

func TestTermMonths(t *testing.T) {
	for want, s := range map[int]pluginapi.Settings{12: dv(nil), 0: dv(values{"term_months": int64(0)}), 6: dv(values{"term_months": 6.0}), 24: dv(values{"st_product_code": "X-24"})} {
		if got := TermMonths(s); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}

// Settings that nobody has seen before: nothing panics, what is refused names a field, and no secret shows.
func FuzzSettings(f *testing.F) {
	f.Add("RapidSSL-12", "dv_auth_method", "EMAIL", "secret-token")
	f.Add("PositiveSSL-12", "extra_fields", "x", "")
	f.Add("TrueBizIDEV-12", "org_name", "Example", "a b")
	f.Fuzz(func(t *testing.T, code, name, text, token string) {
		s := ov(values{"st_product_code": code, name: text})
		s.Secrets = map[string]pluginapi.Secret{SecretToken: pluginapi.NewSecret(token)}
		found := Check(s)
		if len(token) > 8 && token != text && token != code && token != name && strings.Contains(shown(found), token) && !strings.Contains(shown(Check(ov(values{"st_product_code": code, name: text}))), token) {
			t.Errorf("a secret shows:\n%s", shown(found))
		}
		if _, err := Token(s, Purchase{Reference: "cb-1", Names: NamesOf([]string{"example.com"})}); err != nil && pluginapi.FieldOf(err) == "" {
			t.Errorf("no field: %v", err)
		}
	})
}
