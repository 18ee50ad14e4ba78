package request

import (
	"encoding/json"
	"encoding/pem"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func decode(t *testing.T, body []byte, err error) values {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var v values
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestBuy(t *testing.T) {
	s := settings(with(dv(), values{"AutoVoucher": int64(0), "Tags": []any{values{"TagKey": "cost", "TagValue": "17"}}, "CaType": "sectigo"}))
	body, err := Buy(s, computed(t, "shop.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"AutoVoucher":0,"DomainNum":1,"ProductId":48,"Tags":[{"TagKey":"cost","TagValue":"17"},` +
		`{"TagKey":"certbridged","TagValue":"7c0f5f0e2b6d4f6c9a1e55d3b1c2a901"}],"TimeSpan":1}`
	if string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	if tags := s.Values["Tags"].([]any); len(tags) != 1 {
		t.Error("the settings were changed")
	}
}

// How many domains are paid for, and which of the names are told.
func TestNames(t *testing.T) {
	order := func(id int64, more values) values { return with(described(), with(values{"ProductId": id}, more)) }
	for name, c := range map[string]struct {
		order values
		names []string
		count float64
		other []string
		fault string // part of the message
	}{
		"one":                               {dv(), []string{"shop.example.com"}, 1, nil, ""},
		"its www comes along":               {dv(), []string{"example.com", "www.example.com"}, 1, nil, ""},
		"not below a name":                  {dv(), []string{"shop.example.com", "www.shop.example.com"}, 0, nil, "is for one domain"},
		"not the other way round":           {dv(), []string{"www.example.com", "example.com"}, 0, nil, "is for one domain"},
		"not at a registry":                 {dv(), []string{"example.co.uk", "www.co.uk"}, 0, nil, "is for one domain"},
		"not from GlobalSign":               {order(18, nil), []string{"example.com", "www.example.com"}, 0, nil, "is for one domain"},
		"no wildcard for one name":          {dv(), []string{"*.example.com"}, 0, nil, "takes no wildcard"},
		"a wildcard":                        {with(dv(), values{"ProductId": int64(49)}), []string{"*.example.com", "example.com"}, 1, nil, ""},
		"a wildcard in the second place":    {with(dv(), values{"ProductId": int64(49)}), []string{"example.com", "*.example.com"}, 0, nil, "put a wildcard in the first place"},
		"two wildcards in a product of one": {with(dv(), values{"ProductId": int64(49)}), []string{"*.example.com", "*.example.net"}, 0, nil, "is for one domain"},
		"several":                           {with(dv(), values{"ProductId": int64(50)}), []string{"a.example", "b.example", "c.example"}, 3, []string{"b.example", "c.example"}, ""},
		"several, and room for more":        {with(dv(), values{"ProductId": int64(50), "DomainNum": int64(5)}), []string{"a.example", "b.example"}, 5, []string{"b.example"}, ""},
		"several, and not room enough":      {with(dv(), values{"ProductId": int64(50), "DomainNum": int64(1)}), []string{"a.example", "b.example"}, 0, nil, "has 2 domains to pay for"},
		"several wildcards":                 {with(dv(), values{"ProductId": int64(42)}), []string{"*.a.example", "a.example", "*.b.example"}, 2, []string{"*.b.example"}, ""},
		"a plain name among wildcards":      {with(dv(), values{"ProductId": int64(42)}), []string{"*.a.example", "shop.b.example"}, 0, nil, "is for wildcards"},
		"unknown, one":                      {with(dv(), values{"ProductId": int64(900), "CompanyType": int64(1)}), []string{"a.example"}, 1, nil, ""},
		"unknown, two":                      {with(dv(), values{"ProductId": int64(900), "CompanyType": int64(1)}), []string{"a.example", "b.example"}, 0, nil, "say for how many domains"},
		"unknown, two, said":                {with(dv(), values{"ProductId": int64(900), "CompanyType": int64(1), "DomainNum": int64(2)}), []string{"a.example", "b.example"}, 2, []string{"b.example"}, ""},
		"a long name":                       {dv(), []string{strings.Repeat("a", 60) + ".example.com"}, 0, nil, "characters of a common name"},
		"no name":                           {dv(), []string{"a..b"}, 0, nil, "is no domain name"},
	} {
		t.Run(name, func(t *testing.T) {
			with := computed(t, c.names...)
			body, err := Buy(settings(c.order), with)
			if c.fault != "" {
				if pluginapi.KindOf(err) != pluginapi.InvalidRequest || !strings.Contains(err.Error(), c.fault) || body != nil {
					t.Errorf("got %v, want %q", err, c.fault)
				}
				return
			}
			if got := decode(t, body, err)["DomainNum"]; got != c.count {
				t.Errorf("%v domains are paid for, want %v", got, c.count)
			}
			text, err := Info(settings(c.order), with, "id")
			info := decode(t, text, err)
			var other []string
			list, _ := info["DnsNames"].([]any)
			for _, n := range list {
				other = append(other, n.(string))
			}
			if !slices.Equal(other, c.other) || info["CertCommonName"] != c.names[0] {
				t.Errorf("%v and %v, want %v", info["CertCommonName"], other, c.other)
			}
		})
	}
}

func TestInfo(t *testing.T) {
	c := computed(t, "example.com", "api.example.com")
	text, err := Info(settings(described()), c, "Tq7LmN2y")
	got := decode(t, text, err)
	want := maps.Clone(described())
	delete(want, "ProductId")
	delete(want, "TimeSpan")
	for k, v := range (values{
		"CertId": "Tq7LmN2y", "GenCsrType": "parse", "CertCommonName": "example.com", "CompanyType": float64(2), "CompanyId": "0", "ManagerId": "0", "VerifyType": "DNS", "AutoRenewFlag": float64(0),
	}) {
		want[k] = v
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %v, want %v", k, got[k], v)
		}
	}
	if len(got) != len(want)+2 { // Csr and DnsNames
		t.Errorf("%d fields, want %d: %v", len(got), len(want)+2, got)
	}
	csr, _ := got["Csr"].(string)
	if block, rest := pem.Decode([]byte(csr)); block == nil || block.Type != "CERTIFICATE REQUEST" || len(rest) > 0 {
		t.Errorf("the request is %q", csr)
	}

	text, err = Info(settings(with(ov(), values{"VerifyType": "FILE"})), computed(t, "example.com"), "a")
	if got = decode(t, text, err); got["CompanyId"] != "20001" || got["ManagerId"] != "30001" || got["VerifyType"] != "FILE" {
		t.Errorf("%v", got)
	}
	text, err = Info(settings(dv()), computed(t, "example.com"), "a")
	if got = decode(t, text, err); got["CompanyType"] != float64(1) || got["CompanyId"] != "0" || got["ContactEmail"] != "certs@example.com" || got["ManagerId"] != nil {
		t.Errorf("%v", got)
	}
}

func TestSubmitAndReplace(t *testing.T) {
	c := computed(t, "example.com")
	body, err := Submit(settings(with(dv(), values{"DeleteDnsAutoRecord": int64(1)})), c, "Dsqef134")
	if err != nil || string(body) != `{"CertId":"Dsqef134","DeleteDnsAutoRecord":1,"VerifyType":"DNS"}` {
		t.Errorf("%s, %v", body, err)
	}
	body, err = Replace(settings(with(dv(), values{"VerifyType": "FILE"})), c, "Dsqef134", "why")
	got := decode(t, body, err)
	if got["CertificateId"] != "Dsqef134" || got["ValidType"] != "FILE" || got["CsrType"] != "Upload" || got["Reason"] != "why" || len(got) != 5 {
		t.Errorf("%v", got)
	}
	// What is wrong with a purchase keeps no reissue back; what is wrong with the names or the request does.
	if _, err := Replace(settings(values{"ProductId": int64(48), "TimeSpan": int64(99)}), c, "a", ""); err != nil {
		t.Errorf("a reissue is kept back: %v", err)
	}
	if _, err := Replace(settings(with(dv(), values{"VerifyType": "EMAIL"})), c, "a", ""); pluginapi.FieldOf(err) != "VerifyType" {
		t.Errorf("%v", err)
	}
}

func TestWhatIsComputedMustFit(t *testing.T) {
	good := computed(t, "example.com")
	for name, c := range map[string]struct {
		change func(*Computed)
		field  string
	}{
		"no request":           {func(c *Computed) { c.CSR = []byte("x") }, "csr"},
		"another common name":  {func(c *Computed) { c.CSR = computed(t, "example.net").CSR }, "csr"},
		"no names":             {func(c *Computed) { c.Names = nil }, "identifiers"},
		"a way that is none":   {func(c *Computed) { c.VerifyType = "" }, "VerifyType"},
		"a file, and wildcard": {func(c *Computed) { *c = computed(t, "*.example.com"); c.VerifyType = VerifyFile }, "VerifyType"},
	} {
		t.Run(name, func(t *testing.T) {
			with := good
			c.change(&with)
			if body, err := Buy(settings(dv()), with); pluginapi.FieldOf(err) != c.field || pluginapi.KindOf(err) != pluginapi.InvalidRequest || body != nil {
				t.Errorf("%v, want a fault of %s", err, c.field)
			}
		})
	}
}

// FuzzCheck: no settings make Check panic, and Buy makes a body of none that has a Fault.
func FuzzCheck(f *testing.F) {
	for _, v := range []values{dv(), ov(), described(), nil, {"ProductId": "x", "Tags": []any{nil, "x", values{"TagKey": 1}}, "cert_id": 7}} {
		text, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "AdminIdNumber", "DNS")
	}
	f.Add([]byte(`{"ProductId":9e99,"TimeSpan":1.5,"DomainNum":-1,"CompanyId":"7"}`), "cert_id", "FILE")
	c := computed(f, "shop.example.com")
	f.Fuzz(func(t *testing.T, text []byte, path, kind string) {
		var decoded map[string]any
		if json.Unmarshal(text, &decoded) != nil {
			t.Skip()
		}
		s := pluginapi.Settings{Values: decoded, Secrets: map[string]pluginapi.Secret{path: pluginapi.NewSecret("x")}}
		with := c
		with.VerifyType = kind
		found := Check(s, "certbridged")
		body, err := Buy(s, with)
		if pluginapi.HasFault(found) && (err == nil || body != nil) {
			t.Error("a purchase was made of settings with a fault")
		}
		for _, make := range []func() ([]byte, error){
			func() ([]byte, error) { return body, err }, func() ([]byte, error) { return Info(s, with, "a") }, func() ([]byte, error) { return Replace(s, with, "a", "") },
		} {
			switch text, err := make(); {
			case err == nil && !json.Valid(text):
				t.Errorf("no JSON: %s", text)
			case err != nil && pluginapi.KindOf(err) != pluginapi.InvalidRequest:
				t.Errorf("%v is no invalid request", err)
			}
		}
	})
}
