package cert_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/cert"
)

func TestEveryKeyTypeSurvivesEncoding(t *testing.T) {
	for _, keyType := range cert.KeyTypes() {
		t.Run(string(keyType), func(t *testing.T) {
			if keyType == cert.RSA4096 && testing.Short() {
				t.Skip("SKIP: a key of 4096 bits takes seconds")
			}
			parsed, err := cert.ParseKeyType(string(keyType))
			if err != nil || parsed != keyType {
				t.Fatalf("ParseKeyType = %q, %v", parsed, err)
			}
			key, err := cert.GenerateKey(keyType)
			if err != nil {
				t.Fatal(err)
			}
			der, err := cert.MarshalKey(key)
			if err != nil {
				t.Fatal(err)
			}
			back, err := cert.ParseKey(der)
			if err != nil {
				t.Fatal(err)
			}
			if !cert.SamePublicKey(key.Public(), back.Public()) {
				t.Error("the key came back as another one")
			}
			if got, err := cert.KeyTypeOf(back.Public()); err != nil || got != keyType {
				t.Errorf("KeyTypeOf = %q, %v", got, err)
			}
			csr, err := cert.NewCSR(key, []string{"example.com"}, true)
			if err != nil {
				t.Fatal(err)
			}
			request, err := x509.ParseCertificateRequest(csr)
			if err != nil {
				t.Fatal(err)
			}
			if err := request.CheckSignature(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUnsupportedKeys(t *testing.T) {
	if _, err := cert.ParseKeyType("rsa-1024"); err == nil || !strings.Contains(err.Error(), "ecdsa-p256") {
		t.Errorf("ParseKeyType(rsa-1024) = %v, want an error that lists what there is", err)
	}
	if _, err := cert.GenerateKey("dsa"); err == nil {
		t.Error("GenerateKey(dsa) succeeded")
	}
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cert.KeyTypeOf(key.Public()); err == nil || !strings.Contains(err.Error(), "P-521") {
		t.Errorf("KeyTypeOf(P-521) = %q, %v", got, err)
	}
}

func TestNewCSR(t *testing.T) {
	key := newKey(t)
	long := strings.Repeat("a", 60) + ".example.com"
	tests := map[string]struct {
		names      []string
		commonName bool
		wantCN     string
		wantDNS    int
		wantIP     int
		wantErr    string
	}{
		"names and addresses":    {names: []string{"EXAMPLE.com.", "*.example.com", "192.0.2.1", "2001:DB8::1"}, wantDNS: 2, wantIP: 2},
		"common name":            {names: []string{"example.com", "a.example.com"}, commonName: true, wantCN: "example.com", wantDNS: 2},
		"duplicates are dropped": {names: []string{"example.com", "Example.COM"}, wantDNS: 1},
		"long without CN":        {names: []string{long}, wantDNS: 1},
		"long with CN":           {names: []string{long}, commonName: true, wantErr: "put a shorter name first"},
		"no names":               {wantErr: "no names"},
		"bad name":               {names: []string{"exa mple.com"}, wantErr: "exa mple.com"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			der, err := cert.NewCSR(key, tt.names, tt.commonName)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("err = %v, want %q in it", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			csr, err := x509.ParseCertificateRequest(der)
			if err != nil {
				t.Fatal(err)
			}
			if csr.Subject.CommonName != tt.wantCN || len(csr.DNSNames) != tt.wantDNS || len(csr.IPAddresses) != tt.wantIP {
				t.Errorf("CN %q, DNS %q, IP %v", csr.Subject.CommonName, csr.DNSNames, csr.IPAddresses)
			}
		})
	}
}

func FuzzParseKey(f *testing.F) {
	key := newKey(f)
	der, err := cert.MarshalKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, der []byte) {
		key, err := cert.ParseKey(der)
		if err != nil {
			if key != nil {
				t.Error("a key beside an error")
			}
			return
		}
		again, err := cert.MarshalKey(key)
		if err != nil {
			t.Fatalf("a parsed key cannot be encoded: %v", err)
		}
		back, err := cert.ParseKey(again)
		if err != nil || !cert.SamePublicKey(back.Public(), key.Public()) {
			t.Fatalf("the key came back differently: %v", err)
		}
	})
}

func FuzzParseAnyKey(f *testing.F) {
	key, ok := newKey(f).(*ecdsa.PrivateKey)
	if !ok {
		f.Fatal("not an ECDSA key")
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, der []byte) {
		key, err := cert.ParseAnyKey(der)
		if err == nil && key.Public() == nil {
			t.Error("a key without a public key")
		}
	})
}
