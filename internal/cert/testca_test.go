package cert_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/cert"
)

// now is the instant that the tests take for the present.
var now = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)

// authority is a CA made for a test.
type authority struct {
	key  crypto.Signer
	cert *x509.Certificate
}

// newKey makes an ECDSA key, the quickest one.
func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := cert.GenerateKey(cert.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
}

func leafTemplate(names ...string) *x509.Certificate {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, 90),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return template
}

// newRoot makes a self-signed CA.
func newRoot(t testing.TB, name string) authority {
	t.Helper()
	a := authority{key: newKey(t)}
	a.cert = a.sign(t, caTemplate(name), a.key.Public())
	return a
}

// sub makes a CA below this one.
func (a authority) sub(t testing.TB, template *x509.Certificate) authority {
	t.Helper()
	key := newKey(t)
	return authority{key: key, cert: a.sign(t, template, key.Public())}
}

// sign issues a certificate; the CA's own certificate may be missing, which makes it a self-signed one.
func (a authority) sign(t testing.TB, template *x509.Certificate, pub crypto.PublicKey) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = serial
	parent := a.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, a.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// needTool skips a test whose tool is not on the machine; under CI it fails it.
func needTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is needed: %v", name, err)
		}
		t.Skipf("SKIP: %s is not installed", name)
	}
	return path
}

// run runs a tool in a folder and returns what it prints.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), needTool(t, name), args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
