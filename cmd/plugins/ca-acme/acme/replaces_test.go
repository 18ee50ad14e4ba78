package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// RFC 9773 section 5: the two certificates must have a name in common, else the server refuses the order.
func TestReplacesNeedsACommonName(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(authority []byte) []byte {
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(77), AuthorityKeyId: authority, DNSNames: []string{"shop.example.com", "*.example.com"}, IPAddresses: []net.IP{net.ParseIP("2001:db8::1")},
		}, &x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	previous := func(der []byte) *pluginapi.PreviousOrder { return &pluginapi.PreviousOrder{Chain: [][]byte{der}} }
	good := previous(leaf([]byte{1, 2, 3}))
	cases := map[string]struct {
		previous *pluginapi.PreviousOrder
		names    []string
		linked   bool
	}{
		"the same name":           {good, []string{"shop.example.com"}, true},
		"one of several":          {good, []string{"new.example.com", "*.example.com"}, true},
		"an address":              {good, []string{"2001:db8::1"}, true},
		"other capitals":          {good, []string{"SHOP.example.com"}, true},
		"none in common":          {good, []string{"new.example.com"}, false},
		"below its wildcard only": {good, []string{"www.example.com"}, false},
		"no key identifier":       {previous(leaf(nil)), []string{"shop.example.com"}, false},
		"no certificate":          {&pluginapi.PreviousOrder{}, []string{"shop.example.com"}, false},
		"no previous order":       {nil, []string{"shop.example.com"}, false},
		"not a certificate":       {previous([]byte("x")), []string{"shop.example.com"}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := replaces(c.previous, c.names); (got != "") != c.linked {
				t.Errorf("%q, want a link: %t", got, c.linked)
			}
		})
	}
}
