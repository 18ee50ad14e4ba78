package request

import (
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestCheck(t *testing.T) {
	const fault, warning, info = pluginapi.Fault, pluginapi.Warning, pluginapi.Info
	secret := func(s pluginapi.Settings, path, text string) pluginapi.Settings {
		s.Secrets = map[string]pluginapi.Secret{path: pluginapi.NewSecret(text)}
		return s
	}
	for name, c := range map[string]struct {
		settings pluginapi.Settings
		want     []said
	}{
		"plain DV":      {settings: dv(nil)},
		"plain OV":      {settings: ov(nil)},
		"plain Sectigo": {settings: sectigo(nil)},
		"as floats":     {settings: dv(values{"server_count": 1.0, "term_months": 12.0})},
		"all that it may": {settings: dv(values{
			"dv_auth_method": "DNS", "server_count": int64(2), "end_customer_email": "none", "no_companion": true, "issuing_ca": "one", "term_months": int64(6),
			"hashing_algorithm": "SHA2-256", "extra_fields": values{"web_server_type": "Other"},
		})},
		"a token": {settings: secret(dv(nil), "order_token", "ab12cd34\n")},

		"nothing": {settings: pluginapi.Settings{}, want: []said{
			{fault, "admin_contact_email", "is missing"}, {fault, "admin_contact_first_name", "is missing"}, {fault, "admin_contact_last_name", "is missing"}, {fault, "admin_contact_phone", "is missing"}, {fault, "admin_contact_title", "is missing"},
			{fault, "st_product_code", "is missing"},
			{fault, "tech_contact_email", "is missing"}, {fault, "tech_contact_first_name", "is missing"}, {fault, "tech_contact_last_name", "is missing"}, {fault, "tech_contact_phone", "is missing"}, {fault, "tech_contact_title", "is missing"},
		}},
		"unknown": {settings: dv(values{"product": "x"}), want: []said{{fault, "product", "is unknown"}}},
		"computed": {settings: dv(values{"csr": "x", "renewal": int64(1), "san_domains": "x", "san_count": int64(1), "previous_order_token": "x", "reseller_unique_reference": "x", "api_key": "x", "wildcard_san_count": int64(1)}), want: []said{
			{fault, "api_key", "cannot be set, remove it: it is the account setting"}, {fault, "csr", "cannot be set"}, {fault, "previous_order_token", "cannot be set"}, {fault, "renewal", "cannot be set"},
			{fault, "reseller_unique_reference", "cannot be set"}, {fault, "san_count", "cannot be set"}, {fault, "san_domains", "cannot be set"}, {fault, "wildcard_san_count", "cannot be set"},
		}},
		"a token in clear":  {settings: dv(values{"order_token": "ab12cd34"}), want: []said{{fault, "order_token", "is a secret"}}},
		"no token":          {settings: secret(dv(nil), "order_token", "a b"), want: []said{{fault, "order_token", "is no token"}}},
		"no product":        {settings: dv(values{"st_product_code": "../x"}), want: []said{{fault, "st_product_code", "is no product"}}},
		"an unknown one":    {settings: dv(values{"st_product_code": "NewSSL-12"}), want: []said{{warning, "st_product_code", "is taken for a product of the kind DV with the rules of digicert"}}},
		"and said":          {settings: dv(values{"st_product_code": "NewSSL-12", "validation": "dv", "family": "digicert"})},
		"no term":           {settings: dv(values{"st_product_code": "RapidSSL"}), want: []said{{warning, "st_product_code", "has no term"}}},
		"no term, and said": {settings: dv(values{"st_product_code": "RapidSSL", "term_months": int64(12)})},
		"two years":         {settings: dv(values{"st_product_code": "RapidSSL-24"}), want: []said{{warning, "st_product_code", "is for 24 months"}}},
		"a longer term":     {settings: dv(values{"term_months": int64(13)}), want: []said{{warning, "term_months", "is longer than"}}},
		"no such term":      {settings: dv(values{"term_months": int64(37)}), want: []said{{fault, "term_months", "from 0 to 36"}}},
		"no such count":     {settings: dv(values{"server_count": int64(501)}), want: []said{{fault, "server_count", "from 1 to 500"}}},
		"no such method":    {settings: dv(values{"dv_auth_method": "dns"}), want: []said{{fault, "dv_auth_method", "not allowed"}}},

		"mail without an address":     {settings: dv(values{"dv_auth_method": "EMAIL"}), want: []said{{fault, "approver_email_address", "somebody must be written to"}}},
		"mail":                        {settings: dv(values{"dv_auth_method": "EMAIL", "approver_email_address": "admin@example.com"}), want: []said{{info, "dv_auth_method", "a person must answer"}}},
		"an address without mail":     {settings: dv(values{"approver_email_address": "admin@example.com"}), want: []said{{fault, "approver_email_address", "belongs to dv_auth_method"}}},
		"no address":                  {settings: dv(values{"dv_auth_method": "EMAIL", "approver_email_address": "admin"}), want: []said{{fault, "approver_email_address", "is no e-mail address"}, {info, "dv_auth_method", "a person"}}},
		"a file for a wildcard":       {settings: dv(values{"st_product_code": "RapidSSLWildcard-12", "dv_auth_method": "FILE"}), want: []said{{fault, "dv_auth_method", "shows no control over a wildcard"}}},
		"a secure file":               {settings: dv(values{"dv_auth_method": "SFILE"}), want: []said{{info, "dv_auth_method", "over HTTPS alone"}}},
		"a secure file for one":       {settings: dv(values{"st_product_code": "RapidSSLWildcard-12", "dv_auth_method": "SFILE"}), want: []said{{fault, "dv_auth_method", "shows no control over a wildcard"}}},
		"a contact without a number":  {settings: dv(values{"tech_contact_phone": "none"}), want: []said{{fault, "tech_contact_phone", "is no telephone number"}}},
		"a contact in two lines":      {settings: dv(values{"admin_contact_title": "a\nb"}), want: []said{{fault, "admin_contact_title", "line break"}}},
		"an organization of DV":       {settings: dv(values{"org_name": "Example Ltd", "tech_contact_address_city": "Berlin"}), want: []said{{info, "tech_contact_address_city", "none of it is sent (tech_contact_address_city, org_name)"}}},
		"no organization of OV":       {settings: ov(values{"org_name": nil, "admin_contact_address_country": nil}), want: []said{{fault, "admin_contact_address_country", "OV products need it"}, {fault, "org_name", "OV products need it"}}},
		"no organization of EV":       {settings: ov(values{"st_product_code": "SecureSiteEV-12", "org_address_phone": nil}), want: []said{{fault, "org_address_phone", "EV products need it"}}},
		"what OV may have":            {settings: ov(values{"org_duns": "1", "org_division": "IT", "org_address_line3": "x", "org_registration_number": "HRB 1", "org_incorporating_agency": "x", "tech_contact_address_line2": "x"})},
		"no country":                  {settings: ov(values{"org_address_country": "Germany"}), want: []said{{fault, "org_address_country", "is no country"}}},
		"Sectigo's fields missing":    {settings: sectigo(values{Sectigo1: nil, Sectigo2: nil}), want: []said{{fault, Sectigo1, "ask ServerTastic"}, {fault, Sectigo2, "ask ServerTastic"}}},
		"Sectigo's fields by name":    {settings: sectigo(values{Sectigo1: nil, Sectigo2: nil, "extra_fields": values{"ida_email_address": "ada@example.com"}})},
		"Sectigo's fields elsewhere":  {settings: dv(values{Sectigo1: "x"}), want: []said{{fault, Sectigo1, "belongs to Sectigo's products"}}},
		"an issuing CA of Sectigo":    {settings: sectigo(values{IssuingCA: "x"}), want: []said{{fault, IssuingCA, "DigiCert, RapidSSL and GeoTrust products alone"}}},
		"an issuing CA of thawte":     {settings: dv(values{"st_product_code": "SSL123-12", IssuingCA: "x"}), want: []said{{fault, IssuingCA, "DigiCert, RapidSSL and GeoTrust products alone"}}},
		"an extra field that is none": {settings: dv(values{"extra_fields": values{"a b": "x"}}), want: []said{{fault, "extra_fields.a b", "is no name"}}},
		"an extra field twice":        {settings: dv(values{"extra_fields": values{"csr": "x", "issuing_ca": "x"}}), want: []said{{fault, "extra_fields.csr", "has a place of its own"}, {fault, "extra_fields.issuing_ca", "has a place of its own"}}},
		"an extra field of nothing":   {settings: dv(values{"extra_fields": values{"x": " "}}), want: []said{{fault, "extra_fields.x", "is empty"}}},
		"an extra number":             {settings: dv(values{"extra_fields": values{"x": int64(1)}}), want: []said{{fault, "extra_fields.x", "wants text"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Check(c.settings)
			ok := len(got) == len(c.want)
			for i := 0; ok && i < len(got); i++ {
				ok = got[i].Severity == c.want[i].severity && got[i].Field == c.want[i].field && strings.Contains(got[i].Message, c.want[i].part)
			}
			if !ok {
				t.Errorf("got\n%swant %+v", shown(got), c.want)
			}
			if strings.Contains(shown(got), "ab12cd34") {
				t.Error("a secret shows")
			}
		})
	}
}

// Names that can only be guessed once an order is bought are told of before.
func TestCheckNaming(t *testing.T) {
	for name, c := range map[string]struct {
		settings pluginapi.Settings
		names    map[string]string
		warns    bool
	}{
		"Sectigo's":                {sectigo(nil), nil, true},
		"and others are known":     {sectigo(nil), map[string]string{IssuingCA: "ica"}, true},
		"one is known":             {sectigo(nil), map[string]string{Sectigo2: "ida_telephone_number"}, false},
		"both are known":           {sectigo(nil), map[string]string{Sectigo1: "a", Sectigo2: "b"}, false},
		"set by their own names":   {sectigo(values{Sectigo1: nil, Sectigo2: nil, "extra_fields": values{"ida_email_address": "ada@example.com"}}), nil, false},
		"DigiCert's has no fields": {dv(nil), nil, false},
	} {
		got := CheckNaming(c.settings, c.names)
		if (len(got) == 1) != c.warns || c.warns && (got[0].Severity != pluginapi.Warning || got[0].Field != Sectigo1) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestProducts(t *testing.T) {
	for code, want := range map[string]struct {
		validation, family string
		wildcard, known    bool
		months             int
	}{
		"RapidSSL-12":            {DV, FamilyDigiCert, false, true, 12},
		"RapidSSLWildcard-12":    {DV, FamilyDigiCert, true, true, 12},
		"PositiveSSLWildcard-12": {DV, FamilySectigo, true, true, 12},
		"TrueBizIDEVMD-12":       {EV, FamilyDigiCert, false, true, 12},
		"SecureSitePro-24":       {OV, FamilyDigiCert, false, true, 24},
		"SSLWebServer":           {OV, FamilyDigiCert, false, true, 0},
		"SectigoSSL-12":          {DV, FamilySectigo, false, false, 12},
		"SectigoSSLOVWildcard-6": {OV, FamilySectigo, true, false, 6},
		"DigiCertEV-12":          {EV, FamilyDigiCert, false, false, 12},
		"SecureSiteNew-12":       {OV, FamilyDigiCert, false, false, 12},
		"RapidSSL-99":            {DV, FamilyDigiCert, false, false, 0},
		"":                       {DV, FamilyDigiCert, false, false, 0},
	} {
		p := ProductOf(pluginapi.Settings{Values: values{"st_product_code": code}})
		if p.Validation != want.validation || p.Family != want.family || p.Wildcard != want.wildcard || p.Known != want.known || p.Months != want.months {
			t.Errorf("%q is %+v", code, p)
		}
	}
	p := ProductOf(pluginapi.Settings{Values: values{"st_product_code": "RapidSSL-12", "validation": "ov", "family": "sectigo"}})
	if p.Validation != OV || p.Family != FamilySectigo {
		t.Errorf("what the settings say: %+v", p)
	}
}

func TestNamesOf(t *testing.T) {
	for names, want := range map[string]string{ // companion, additional, wildcards
		"example.com":                                        "/",
		"example.com www.example.com":                        "www.example.com/",
		"www.example.com example.com":                        "example.com/",
		"*.example.com example.com":                          "example.com/",
		"example.com a.example.com www.example.com *.x.test": "www.example.com/a.example.com,*.x.test",
		"a.example.com example.com":                          "/example.com",
	} {
		n := NamesOf(strings.Fields(names))
		if got := n.Companion + "/" + strings.Join(n.Additional, ","); got != want || n.Wildcards != strings.Count(strings.Join(n.Additional, ","), "*.") {
			t.Errorf("%s: %s, %d wildcards", names, got, n.Wildcards)
		}
	}
}
