package cert_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/cert"
)

// oneOfEach is a key of each type, the larger of RSA left out: they differ in nothing but how long they take.
func oneOfEach(t testing.TB) map[cert.KeyType]crypto.Signer {
	t.Helper()
	keys := map[cert.KeyType]crypto.Signer{}
	for _, keyType := range []cert.KeyType{cert.ECDSAP256, cert.ECDSAP384, cert.Ed25519, cert.RSA2048} {
		key, err := cert.GenerateKey(keyType)
		if err != nil {
			t.Fatal(err)
		}
		keys[keyType] = key
	}
	return keys
}

// TestKeysAreEncodedAsTheLibraryDoes, with keys whose number begins with zeros among them.
func TestKeysAreEncodedAsTheLibraryDoes(t *testing.T) {
	keys := []crypto.Signer{}
	for _, key := range oneOfEach(t) {
		keys = append(keys, key)
	}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		for _, number := range []byte{1, 2, 255} {
			scalar := make([]byte, (curve.Params().N.BitLen()+7)/8)
			scalar[len(scalar)-1] = number
			key, err := ecdsa.ParseRawPrivateKey(curve, scalar)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		want, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := cert.MarshalKey(key); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%T: %x, %v; want %x", key, got, err, want)
		}
	}
}

// TestRequestsAreWhatTheLibraryMakes: all that is signed is the same, and so is what names the algorithm.
func TestRequestsAreWhatTheLibraryMakes(t *testing.T) {
	long := strings.Repeat("a.", 50) + "example.com"
	var many []string
	for i := range 700 { // more than 65535 bytes of them
		many = append(many, fmt.Sprintf("%d.%s", i, long))
	}
	lists := [][]string{
		{"example.com"}, {"example.com", "*.example.com"}, {"192.0.2.1"}, {"2001:db8::1", "example.com", "192.0.2.7"}, {long}, {long, "b." + long},
		many[:7], many,
	}
	for keyType, key := range oneOfEach(t) {
		for _, names := range lists {
			for _, commonName := range []bool{false, true} {
				if commonName && len(names[0]) > 64 {
					continue
				}
				der, err := cert.NewCSR(key, names, commonName)
				if err != nil {
					t.Fatal(err)
				}
				got, err := x509.ParseCertificateRequest(der)
				if err != nil {
					t.Fatal(err)
				}
				if err := got.CheckSignature(); err != nil {
					t.Errorf("%s, %d names: %v", keyType, len(names), err)
				}
				want := libraryCSR(t, key, names, commonName)
				if !bytes.Equal(got.RawTBSCertificateRequest, want.RawTBSCertificateRequest) {
					t.Errorf("%s, %d names: %x, want %x", keyType, len(names), got.RawTBSCertificateRequest, want.RawTBSCertificateRequest)
				}
				if !bytes.Equal(unsigned(got), unsigned(want)) {
					t.Errorf("%s, %d names: the signature is encoded otherwise", keyType, len(names))
				}
			}
		}
	}
}

// libraryCSR makes a request of the same by crypto/x509.
func libraryCSR(t *testing.T, key crypto.Signer, names []string, commonName bool) *x509.CertificateRequest {
	t.Helper()
	template := &x509.CertificateRequest{}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	if commonName {
		template.Subject = pkix.Name{CommonName: names[0]}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

// unsigned is what stands between what is signed and the signature: the algorithm. The length of the signature, which differs from
// one to the next, is left out.
func unsigned(csr *x509.CertificateRequest) []byte {
	_, rest, _ := bytes.Cut(csr.Raw, csr.RawTBSCertificateRequest)
	return rest[:2+rest[1]]
}

func BenchmarkNewCSR(b *testing.B) {
	key, err := cert.GenerateKey(cert.ECDSAP256)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cert.NewCSR(key, []string{"www.example.com"}, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMarshalKey(b *testing.B) {
	key, err := cert.GenerateKey(cert.ECDSAP256)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cert.MarshalKey(key); err != nil {
			b.Fatal(err)
		}
	}
}
