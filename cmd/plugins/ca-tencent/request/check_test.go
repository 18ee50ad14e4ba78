package request

import (
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// said is one finding as tests write it: severity, path, part of the message.
type said struct {
	severity pluginapi.Severity
	field    string
	part     string
}

func TestCheck(t *testing.T) {
	const fault, warning = pluginapi.Fault, pluginapi.Warning
	tag := func(key, value string) values { return values{"TagKey": key, "TagValue": value} }
	for name, c := range map[string]struct {
		values  values
		secrets map[string]string
		want    []said
	}{
		"plain DV":                  {values: dv()},
		"a company of the console":  {values: ov()},
		"a company, described":      {values: described()},
		"DV for a company":          {values: with(ov(), values{"ProductId": int64(48), "CompanyType": int64(2)})},
		"a product that is unknown": {values: with(dv(), values{"ProductId": int64(900), "CompanyType": int64(1)}), want: []said{{warning, "ProductId", "is not known here"}}},
		"everything else that fits": {values: with(dv(), values{
			"AutoVoucher": int64(0), "DomainNum": int64(1), "VerifyType": "FILE", "DeleteDnsAutoRecord": int64(0), "CaType": "sectigo", "SignAlgo": "SHA256", "UseCrossSignRoot": true,
			"Tags": []any{tag("department", "web"), tag("cost", "17")},
		})},

		"nothing":        {want: []said{{fault, "ProductId", "is missing"}, {fault, "TimeSpan", "is missing"}}},
		"unknown key":    {values: with(dv(), values{"Produkt": "x"}), want: []said{{fault, "Produkt", "is unknown"}}},
		"wrong types":    {values: with(dv(), values{"TimeSpan": "1", "UseCrossSignRoot": int64(1)}), want: []said{{fault, "TimeSpan", "a whole number"}, {fault, "UseCrossSignRoot", "true or false"}}},
		"no contact":     {values: with(dv(), values{"ContactEmail": nil}), want: []said{{fault, "ContactEmail", "is missing"}}},
		"no address":     {values: with(dv(), values{"ContactEmail": "Ann <a@example.com>"}), want: []said{{fault, "ContactEmail", "is no e-mail address"}}},
		"free":           {values: with(dv(), values{"ProductId": int64(83)}), want: []said{{fault, "ProductId", "is free"}}},
		"for SM2":        {values: with(dv(), values{"ProductId": int64(51)}), want: []said{{fault, "ProductId", "SM2"}}},
		"several years":  {values: with(dv(), values{"TimeSpan": int64(2)}), want: []said{{warning, "TimeSpan", "2 years are paid at once"}}},
		"too many years": {values: with(dv(), values{"TimeSpan": int64(11)}), want: []said{{fault, "TimeSpan", "from 1 to 10"}}},
		"too many names": {values: with(dv(), values{"DomainNum": int64(3)}), want: []said{{fault, "DomainNum", "must be 1"}}},
		"unknown, and nobody says for whom": {values: with(dv(), values{"ProductId": int64(900)}),
			want: []said{{fault, "CompanyType", "is missing"}, {warning, "ProductId", "is not known here"}}},
		"which it is is not known":  {values: with(ov(), values{"ProductId": int64(58), "CompanyType": int64(1)}), want: []said{{fault, "CompanyType", "must be 2"}}},
		"OV for an individual":      {values: with(ov(), values{"CompanyType": int64(1)}), want: []said{{fault, "CompanyType", "must be 2"}}},
		"a company for nobody":      {values: with(dv(), values{"CompanyId": int64(1)}), want: []said{{warning, "CompanyId", "does nothing for an individual"}}},
		"a manager of no company":   {values: with(ov(), values{"CompanyId": nil}), want: []said{{warning, "ManagerId", "CompanyId"}}},
		"a company without people":  {values: with(ov(), values{"ManagerId": nil}), want: missing(personFields()...)},
		"a company without its own": {values: with(described(), values{"OrgCity": nil, "TechTitle": nil}), want: missing("OrgCity", "TechTitle")},
		"countries and numbers": {values: with(described(), values{"OrgCountry": "Singapore", "OrgPhoneNumber": "call me"}),
			want: []said{{fault, "OrgCountry", "is no country"}, {fault, "OrgPhoneNumber", "is no telephone number"}}},
		"ids of nothing": {values: with(ov(), values{"CompanyId": int64(0)}), want: []said{{fault, "CompanyId", "must be 1 or more"}}},

		"Tencent publishes":      {values: with(dv(), values{"VerifyType": "DNS_AUTO"}), want: []said{{fault, "VerifyType", "has Tencent publish"}}},
		"by mail":                {values: with(dv(), values{"VerifyType": "EMAIL"}), want: []said{{fault, "VerifyType", "the API takes no EMAIL"}}},
		"a way that is none":     {values: with(dv(), values{"VerifyType": "dns"}), want: []said{{fault, "VerifyType", "is not allowed"}}},
		"records that go":        {values: with(dv(), values{"DeleteDnsAutoRecord": int64(1)}), want: []said{{warning, "DeleteDnsAutoRecord", "does nothing"}}},
		"a tag twice":            {values: with(dv(), values{"Tags": []any{tag("a", "1"), tag("a", "2")}}), want: []said{{fault, "Tags[1].TagKey", "stands there twice"}}},
		"the mark's tag":         {values: with(dv(), values{"Tags": []any{tag("certbridged", "1")}}), want: []said{{fault, "Tags[0].TagKey", "is the key of the mark"}}},
		"a tag without value":    {values: with(dv(), values{"Tags": []any{values{"TagKey": "a"}}}), want: []said{{fault, "Tags[0].TagValue", "is missing"}}},
		"a certificate":          {values: with(dv(), values{"cert_id": "LqQxgqUe"}), want: []said{{warning, "cert_id", "serves once"}}},
		"no certificate":         {values: with(dv(), values{"cert_id": "../x"}), want: []said{{fault, "cert_id", "is no id of a certificate"}}},
		"a kind that is unclear": {values: with(dv(), values{"Type": int64(1)}), want: []said{{warning, "Type", "does not say what it is for"}}},
		"a CA of DNSPod":         {values: with(dv(), values{"ProductId": int64(25), "CaType": "digicert"}), want: []said{{warning, "CaType", "is for products of DNSPod"}}},
		"papers":                 {values: with(ov(), values{"OrgIdType": "OTHERS"}), secrets: map[string]string{"AdminIdNumber": "X1"}, want: []said{{warning, "AdminIdNumber", "CFCA"}, {warning, "OrgIdType", "CFCA"}}},
		"papers as text":         {values: with(ov(), values{"TechIdNumber": "X1"}), want: []said{{fault, "TechIdNumber", "is a secret"}, {warning, "TechIdNumber", "CFCA"}}},

		"computed": {
			values: with(dv(), values{"CertId": "x", "GenCsrType": "online", "CertCommonName": "x", "Csr": "x", "DnsNames": []any{"x"}, "KeyPass": "x", "CsrEncryptAlgo": "RSA", "CsrKeyParameter": "2048", "AutoRenewFlag": int64(1)}),
			want: []said{
				{fault, "AutoRenewFlag", "cannot be set, remove it: it is always 0"}, {fault, "CertCommonName", "cannot be set"}, {fault, "CertId", "cannot be set"}, {fault, "Csr", "cannot be set"},
				{fault, "CsrEncryptAlgo", "cannot be set"}, {fault, "CsrKeyParameter", "cannot be set"}, {fault, "DnsNames", "cannot be set"}, {fault, "GenCsrType", "cannot be set"}, {fault, "KeyPass", "cannot be set"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings(c.values)
			s.Secrets = map[string]pluginapi.Secret{}
			for path, text := range c.secrets {
				s.Secrets[path] = pluginapi.NewSecret(text)
			}
			found := Check(s, "certbridged")
			if len(found) != len(c.want) {
				t.Fatalf("found\n%swant %v", shown(found), c.want)
			}
			for i, w := range c.want {
				if f := found[i]; f.Severity != w.severity || f.Field != w.field || !strings.Contains(f.Message, w.part) {
					t.Errorf("found %s %s: %s, want %v", f.Severity, f.Field, f.Message, w)
				}
			}
		})
	}
}

func missing(names ...string) []said {
	var out []said
	for _, n := range slices.Sorted(slices.Values(names)) {
		out = append(out, said{pluginapi.Fault, n, "is missing: a certificate for a company needs it"})
	}
	return out
}

// One paid certificate serves one order.
func TestCheckTogether(t *testing.T) {
	one, other := settings(with(dv(), values{"cert_id": "a"})), settings(with(dv(), values{"cert_id": "b"}))
	if found := CheckTogether([]pluginapi.Settings{one, other, settings(dv()), settings(dv())}); len(found) != 0 {
		t.Errorf("%v", found)
	}
	found := CheckTogether([]pluginapi.Settings{one, other, one})
	if f, ok := found[2]; len(found) != 1 || !ok || f.Field != "cert_id" || f.Severity != pluginapi.Fault {
		t.Errorf("%v", found)
	}
}

// Each product of the API's list is known or said not to be, and what is known of it makes sense.
func TestProducts(t *testing.T) {
	seen := map[int64]bool{}
	for _, p := range products() {
		if seen[p.id] {
			t.Errorf("%d stands there twice", p.id)
		}
		seen[p.id] = true
		if !p.sm2 && (p.validation == "" || p.names == anyNames) {
			t.Errorf("%s is known by half", p)
		}
		if strings.Contains(p.name, "wildcard") != (p.names == wildcard || p.names == wildcards) || strings.Contains(p.name, "multi-domain") != (p.names == manyNames || p.names == wildcards) {
			t.Errorf("%s takes %v", p, p.names)
		}
	}
	for id := int64(3); id <= 61; id++ {
		if !seen[id] && id != 36 { // there is none
			t.Errorf("%d is not there", id)
		}
	}
}
