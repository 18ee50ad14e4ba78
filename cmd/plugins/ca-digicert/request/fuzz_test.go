package request

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// FuzzCheck: no settings make Check panic, and Order makes a body of none that has a Fault.
func FuzzCheck(f *testing.F) {
	for _, v := range []values{dv(), ov(), cardOrder(), nil} {
		text, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "credit_card.number", "4111111111111111", "dns-txt-token")
	}
	f.Add([]byte(`{"product":"ssl","product_type_hint":"private","order_validity":{"custom_expiration_date":"09 JUN 2027"},"organization":{"contacts":[{"email":1},null]}}`), "auth_key", "x", "email")
	f.Add([]byte(`{"product":"ssl_dv_geotrust","certificate":{"cert_validity":{"days":9e99}},"order_validity":{"years":1.5},"dcv_emails":[{"dns_name":"a","email_domain":""}]}`), "certificate.csr", "", "")
	f.Add([]byte(`{"product":["ssl"],"dcv_emails":{"a":1},"custom_fields":[[]],"container":{"id":"x"},"credit_card":{"number":"1"}}`), "", "", "http-token")
	request := csr(f)
	f.Fuzz(func(t *testing.T, text []byte, path, secret, method string) {
		var decoded map[string]any
		if json.Unmarshal(text, &decoded) != nil {
			t.Skip()
		}
		s := pluginapi.Settings{Values: asTOML(decoded).(map[string]any), Secrets: secrets(map[string]string{path: secret})}
		c := Computed{CSR: request, CommonName: "shop.example.com", AlternativeOrderID: "a", DCVMethod: method}
		findings := check(s, today)
		for _, finding := range findings {
			if finding.Message == "" {
				t.Errorf("%q: no message", finding.Field)
			}
		}
		for _, s := range []pluginapi.Settings{s, WithAccount(s, Account{OrganizationID: 1, ContainerID: 2})} {
			faulty := fields.Refusal(check(s, today), nil) != nil
			_, body, err := order(s, c, today)
			if faulty && (err == nil || body != nil) {
				t.Error("an order was made of settings with a fault")
			}
			if err == nil && !json.Valid(body) {
				t.Errorf("no JSON: %s", body)
			}
			if err != nil && pluginapi.KindOf(err) != pluginapi.InvalidRequest {
				t.Errorf("%v is no invalid request", err)
			}
			if body, err := reissue(s, c, today); err == nil && !json.Valid(body) {
				t.Errorf("no JSON: %s", body)
			}
		}
	})
}

// asTOML makes of JSON values what settings are made of.
func asTOML(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = asTOML(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = asTOML(e)
		}
		return out
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
		return v
	default:
		return v
	}
}
