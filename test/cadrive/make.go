package cadrive

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// NewKey makes a key.
func NewKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// NewCSR makes a certificate request (DER) for names and addresses, with the first of them as its common name or without.
func NewCSR(t testing.TB, key crypto.Signer, commonName bool, names ...string) []byte {
	t.Helper()
	request := &x509.CertificateRequest{}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			request.IPAddresses = append(request.IPAddresses, ip)
		} else {
			request.DNSNames = append(request.DNSNames, n)
		}
	}
	if commonName && len(names) > 0 {
		request.Subject.CommonName = names[0]
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, request, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// SelfSigned makes a certificate for a name that lasts for a day: one that no CA knows.
func SelfSigned(t testing.TB, key crypto.Signer, name string, serial int64, began time.Time) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: began, NotAfter: began.AddDate(0, 0, 1), BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// newMark makes an idempotency key.
func newMark() string {
	mark := make([]byte, 16)
	_, _ = rand.Read(mark) // never fails
	return hex.EncodeToString(mark)
}

func identifier(name string, types []pluginapi.ChallengeType) pluginapi.Identifier {
	id := pluginapi.Identifier{Value: name, Type: pluginapi.DNS, ChallengeTypes: slices.Clone(types)}
	if net.ParseIP(name) != nil {
		id.Type = pluginapi.IP
	}
	return id
}

// covers reports whether a certificate is for a name or address.
func covers(leaf *x509.Certificate, id pluginapi.Identifier) bool {
	if id.Type == pluginapi.IP {
		return slices.ContainsFunc(leaf.IPAddresses, net.ParseIP(id.Value).Equal)
	}
	return slices.ContainsFunc(leaf.DNSNames, func(name string) bool { return strings.EqualFold(name, id.Value) })
}
