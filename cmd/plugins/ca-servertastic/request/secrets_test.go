package request

import (
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// What an order says of its tokens is in no message.
func TestTokensAmongOptions(t *testing.T) {
	s := dv(nil)
	_, _, err := Place(s, Computed{
		CSR: newCSR(t, "example.com"), Method: MethodDNS, Names: NamesOf([]string{"example.com"}), Renewal: true, Previous: pluginapi.NewSecret("OLDTOKEN12345678"),
	}, specs(s, Spec{Name: "renewed_token", Input: "select", Options: []string{"OTHERTOKEN"}}), nil)
	if pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), "renewed_token") || strings.Contains(err.Error(), "OLDTOKEN") || strings.Contains(err.Error(), "OTHERTOKEN") {
		t.Errorf("got %v", err)
	}
}

// A product with a least number of additional names is not bought without any: place would need them.
func TestLeastNames(t *testing.T) {
	for names, fits := range map[string]bool{"example.com": false, "example.com www.example.com": false, "example.com a.example.com": true} {
		s := dv(map[string]any{"st_product_code": "QuickSSLPremiumMD-12"})
		_, err := Token(s, Purchase{Reference: "cb-1", Names: NamesOf(strings.Fields(names))})
		if fits != (err == nil) || err != nil && pluginapi.FieldOf(err) != "identifiers" {
			t.Errorf("%s: %v", names, err)
		}
	}
}
