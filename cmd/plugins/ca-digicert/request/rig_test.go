package request

import (
	"encoding/base64"
	"maps"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// today is the day of all tests.
var today = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// requestText is a certificate request that stays the same, so that bodies do. Its key is nowhere.
const requestText = "MIG5MGICAQAwADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABI6HPQTfJ6KDBgScUf4YrdOCTrcjh4kgqFYoANcEFypFw8lKlH/tadywmfJcHxXWgSmf" +
	"k+c89o8q6HD/PyVNc8igADAKBggqhkjOPQQDAgNHADBEAiBjp7B4q7o2HIvu84T/3qtpzrTso4zHPKJd2gLmyqZItwIgF5aMQeG8OOz6pCLkJnie+KNetyVrzamZwVtUVY8irQM="

func csr(t testing.TB) []byte {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(requestText)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// with lays values over a copy of others; a nil takes a key away.
func with(base, more map[string]any) map[string]any {
	out := maps.Clone(base)
	for k, v := range more {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

type values = map[string]any

func dv() values {
	return values{"product": "ssl_dv_geotrust", "order_validity": values{"years": int64(1)}}
}

func ov() values {
	return values{"product": "ssl_basic", "order_validity": values{"years": int64(1)}, "organization": values{"id": int64(117483)}}
}

func secrets(texts map[string]string) map[string]pluginapi.Secret {
	out := map[string]pluginapi.Secret{}
	for path, text := range texts {
		out[path] = pluginapi.NewSecret(text)
	}
	return out
}

// computed is what the plugin fills in for an order of shop.example.com.
func computed(t testing.TB) Computed {
	return Computed{
		CSR: csr(t), CommonName: "shop.example.com", DNSNames: []string{"shop.example.com", "www.shop.example.com"},
		AlternativeOrderID: "7c0f5f0e2b6d4f6c9a1e55d3b1c2a901", DCVMethod: MethodTXT,
	}
}

// card are the secrets of a card that is nobody's: the number is one that payment systems give out for tests.
func card() map[string]string {
	return map[string]string{
		"credit_card.number": "4111 1111 1111 1111", "credit_card.expiration_month": "04", "credit_card.expiration_year": "2029",
		"credit_card.cvv": "123", "credit_card.cardholder_name": "Jane Doe",
	}
}

func cardOrder() values {
	return with(dv(), values{
		"payment_method": "card", "vat_number": "DE129273398",
		"billing_address": values{"address": "Main Street 1", "city": "Berlin", "country": "de", "zip": "10115"},
	})
}
