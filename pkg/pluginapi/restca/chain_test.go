package restca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newCert(t testing.TB, subject string, serial int64, public crypto.PublicKey, issuer *x509.Certificate, signer crypto.Signer, ca bool) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: subject}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: ca, BasicConstraintsValid: true,
	}
	if issuer == nil {
		issuer = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestArrange(t *testing.T) {
	rootKey, oneKey, twoKey, leafKey := newKey(t), newKey(t), newKey(t), newKey(t)
	root := newCert(t, "root", 1, rootKey.Public(), nil, rootKey, true)
	two := newCert(t, "two", 2, twoKey.Public(), root, rootKey, true)
	one := newCert(t, "one", 3, oneKey.Public(), two, twoKey, true)
	leaf := newCert(t, "a.example", 4, leafKey.Public(), one, oneKey, false)
	impostor := newCert(t, "one", 5, newKey(t).Public(), two, twoKey, true) // the same name, another key
	for name, c := range map[string]struct {
		pool  []*x509.Certificate
		want  []*x509.Certificate
		whole bool
	}{
		"in order":             {[]*x509.Certificate{leaf, one, two, root}, []*x509.Certificate{leaf, one, two}, true},
		"in no order":          {[]*x509.Certificate{root, two, leaf, one}, []*x509.Certificate{leaf, one, two}, true},
		"twice":                {[]*x509.Certificate{one, one, leaf, two, leaf, two}, []*x509.Certificate{leaf, one, two}, true},
		"without the root":     {[]*x509.Certificate{leaf, one}, []*x509.Certificate{leaf, one}, true},
		"without the issuer":   {[]*x509.Certificate{leaf, two, root}, []*x509.Certificate{leaf}, false},
		"the leaf alone":       {[]*x509.Certificate{leaf}, []*x509.Certificate{leaf}, false},
		"with another's issue": {[]*x509.Certificate{impostor, leaf, one}, []*x509.Certificate{leaf, one}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, whole := Arrange(leaf, c.pool)
			if whole != c.whole || len(got) != len(c.want) {
				t.Fatalf("got %d certificates, whole %v", len(got), whole)
			}
			for i, cert := range c.want {
				if !bytes.Equal(got[i], cert.Raw) {
					t.Errorf("certificate %d is not %s", i, cert.Subject)
				}
			}
		})
	}
}

func TestOwnLeafAndNames(t *testing.T) {
	caKey, ours, other := newKey(t), newKey(t), newKey(t)
	root := newCert(t, "root", 1, caKey.Public(), nil, caKey, true)
	mine := newCert(t, "a.example", 0x0abc, ours.Public(), root, caKey, false)
	theirs := newCert(t, "a.example", 3, other.Public(), root, caKey, false)
	var text []byte
	for _, c := range []*x509.Certificate{root, theirs, mine} {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: []byte("x")})...)
	text = append(text, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"...)
	pool := ParsePEM(text)
	if len(pool) != 3 {
		t.Fatalf("%d certificates", len(pool))
	}
	request := func(key crypto.Signer) *x509.CertificateRequest {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			t.Fatal(err)
		}
		csr, err := x509.ParseCertificateRequest(der)
		if err != nil {
			t.Fatal(err)
		}
		return csr
	}
	if got := OwnLeaf(pool, request(ours)); got == nil || !got.Equal(mine) {
		t.Errorf("got %v", got)
	}
	if got := OwnLeaf(pool, request(newKey(t))); got != nil {
		t.Errorf("a strange key has %s", got.Subject)
	}
	if got := OwnLeaf(pool, request(caKey)); got != nil {
		t.Error("a CA's certificate counts as a leaf")
	}
	if Serial(mine) != "0ABC" || len(Thumbprint(mine.Raw)) != 40 {
		t.Errorf("serial %s, thumbprint %s", Serial(mine), Thumbprint(mine.Raw))
	}
	if !IsEarlier(mine, [][]byte{mine.Raw}) || IsEarlier(theirs, [][]byte{mine.Raw}) || IsEarlier(mine, nil) {
		t.Error("which certificate is earlier")
	}
}
