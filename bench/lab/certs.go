package lab

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Authority signs certificates quickly. All of them have one key: what is measured is the daemon, not the making of
// what it finds.
type Authority struct {
	root    *x509.Certificate
	rootDER []byte
	signer  *ecdsa.PrivateKey
	key     *ecdsa.PrivateKey
	keyPEM  []byte
	serial  atomic.Int64
}

// NewAuthority makes an authority.
func NewAuthority() (*Authority, error) {
	signer, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Benchmark root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &Authority{
		root: root, rootDER: der, signer: signer, key: key,
		keyPEM: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}),
	}, nil
}

// RootPEM is the root.
func (a *Authority) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.rootDER})
}

// chain makes a certificate and returns it as PEM, the root with it as the intermediate that servers send.
func (a *Authority) chain(template *x509.Certificate) ([]byte, error) {
	template.SerialNumber = big.NewInt(time.Now().Unix()<<24 + a.serial.Add(1))
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, a.key.Public(), a.signer)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = errors.Join(
		pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: a.rootDER}),
	)
	return text.Bytes(), err
}

// Pair makes a certificate for a domain: chain and key, PEM.
func (a *Authority) Pair(domain string, from, until time.Time) (chain, key []byte, err error) {
	chain, err = a.chain(&x509.Certificate{DNSNames: []string{domain}, NotBefore: from, NotAfter: until})
	return chain, a.keyPEM, err
}

// Server makes a certificate for a server on the loopback addresses.
func (a *Authority) Server() (chain, key []byte, err error) {
	chain, err = a.chain(&x509.Certificate{
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 1, 0),
	})
	return chain, a.keyPEM, err
}

// Put writes a certificate's files into a folder, each in full beside its place and then renamed, as tools do.
func (a *Authority) Put(f *Folder, c Certificate, from, until time.Time) error {
	chain, key, err := a.Pair(c.Domain, from, until)
	if err != nil {
		return err
	}
	for path, text := range map[string][]byte{f.Path("tls", c.Name+".key"): key, f.Path("tls", c.Name+".pem"): chain} {
		// As old as the certificate: a file that was changed a moment ago is read once more for safety's sake.
		err := errors.Join(os.WriteFile(path+"~", text, 0o600), os.Chtimes(path+"~", from, from), os.Rename(path+"~", path))
		if err != nil {
			return err
		}
	}
	return nil
}

// PutAll does Put for many; until says how long each lasts.
func (a *Authority) PutAll(f *Folder, list []Certificate, from time.Time, until func(n int) time.Time) error {
	return inParallel(len(list), func(n int) error { return a.Put(f, list[n], from, until(n)) })
}

// Installed checks that certificates are on disk as ordered: a key that matches, the right name, and an issuer that is
// not this authority. It is how a run proves that what was counted was done.
func (a *Authority) Installed(f *Folder, list []Certificate) error {
	return inParallel(len(list), func(n int) error {
		c := list[n]
		pair, err := tls.LoadX509KeyPair(f.Path("tls", c.Name+".pem"), f.Path("tls", c.Name+".key"))
		if err != nil {
			return fmt.Errorf("certificate %s: %w", c.Name, err)
		}
		switch {
		case pair.Leaf.VerifyHostname(c.Domain) != nil:
			return fmt.Errorf("certificate %s is not for %s", c.Name, c.Domain)
		case bytes.Equal(pair.Leaf.RawIssuer, a.root.RawSubject):
			return fmt.Errorf("certificate %s is the one from before", c.Name)
		}
		return nil
	})
}
