package acme

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// A library that other people wrote reads what is signed here, for each type of key and with both ways of naming it.
func TestSignaturesAsOthersReadThem(t *testing.T) {
	t.Parallel()
	for _, keyType := range keyTypes() {
		t.Run(keyType, func(t *testing.T) {
			t.Parallel()
			key, err := newAccountKey(keyType)
			if err != nil {
				t.Fatal(err)
			}
			for _, address := range []string{"", "https://ca.example/account/1?a=<b>&c=\"d\""} {
				for _, payload := range []string{"", `{"a":"ä"}`} {
					text, err := signer{key: key, url: address}.sign("https://ca.example/new", "bm9uY2U", []byte(payload))
					if err != nil {
						t.Fatal(err)
					}
					read, err := jose.ParseSigned(string(text), []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.RS256})
					if err != nil {
						t.Fatalf("%v: %s", err, text)
					}
					got, err := read.Verify(key.Public())
					head := read.Signatures[0].Protected
					if err != nil || string(got) != payload || head.Nonce != "bm9uY2U" || head.ExtraHeaders["url"] != "https://ca.example/new" || head.KeyID != address {
						t.Errorf("read as %q, %+v: %v", got, head, err)
					}
					if (head.JSONWebKey != nil) != (address == "") || head.JSONWebKey != nil && !head.JSONWebKey.IsPublic() {
						t.Errorf("with the address %q the key in the header is %v", address, head.JSONWebKey)
					}
					read.Signatures[0].Signature[0] ^= 1
					if _, err := read.Verify(key.Public()); err == nil {
						t.Error("a signature that was changed is taken")
					}
				}
			}
		})
	}
}

func TestBinding(t *testing.T) {
	t.Parallel()
	key, err := newAccountKey("ecdsa-p256")
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("a secret of thirty-two bytes ...")
	text, err := signer{key: key}.bind("https://ca.example/new", "kid-1", pluginapi.NewSecret(base64.RawURLEncoding.EncodeToString(secret)))
	if err != nil {
		t.Fatal(err)
	}
	read, err := jose.ParseSigned(string(text), []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := read.Verify(secret)
	var bound jose.JSONWebKey
	if err != nil || json.Unmarshal(payload, &bound) != nil || !bound.Key.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) || !bound.IsPublic() {
		t.Errorf("bound %s: %v", payload, err)
	}
	if head := read.Signatures[0].Protected; head.KeyID != "kid-1" || head.Nonce != "" || head.ExtraHeaders["url"] != "https://ca.example/new" {
		t.Errorf("header %+v", head)
	}
	if _, err := (signer{key: key}).bind("", "", pluginapi.NewSecret("not base64!")); err == nil || strings.Contains(err.Error(), "not base64!") {
		t.Errorf("a key that is none: %v", err)
	}
}

// BenchmarkSign is what the signature of one request costs.
func BenchmarkSign(b *testing.B) {
	key, err := newAccountKey("ecdsa-p256")
	if err != nil {
		b.Fatal(err)
	}
	who := signer{key: key, url: "https://ca.example/account/1"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := who.sign("https://ca.example/order/1", "bm9uY2U", []byte(`{}`)); err != nil {
			b.Fatal(err)
		}
	}
}
