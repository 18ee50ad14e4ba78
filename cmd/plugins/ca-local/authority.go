package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	maxAge   = 20 * 365 * 24 * time.Hour // of the CA itself
	minRSA   = 2048                      // bits
	pemCert  = "CERTIFICATE"
	pemKey   = "PRIVATE KEY"
	rootName = "root"
	caName   = "issuer"
)

// authority signs certificates.
type authority struct {
	root, issuer *x509.Certificate
	key          crypto.Signer
}

// authority reads the CA, and makes it when there is none. Two processes may race: the folder that is renamed into
// place first is the CA, and the other one is thrown away.
func (d folder) authority(commonName string, now time.Time) (*authority, error) {
	a, err := d.readAuthority()
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	if _, missing := os.Stat(d.path("ca")); missing != nil {
		if err := d.makeAuthority(commonName, now); err != nil {
			return nil, err
		}
	}
	a, err = d.readAuthority() // perhaps another process has made it since
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is there and incomplete; restore it from a backup, or remove it to begin a new CA", d.path("ca"))
	}
	return a, err
}

func (d folder) readAuthority() (*authority, error) {
	root, err := readCertificate(d.path("ca", rootName+".pem"))
	if err != nil {
		return nil, err
	}
	issuer, err := readCertificate(d.path("ca", caName+".pem"))
	if err != nil {
		return nil, err
	}
	file := d.path("ca", caName+".key")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemKey {
		return nil, fmt.Errorf("%s holds no private key in PEM", file)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(issuer.PublicKey) {
		return nil, fmt.Errorf("%s does not belong to %s", file, d.path("ca", caName+".pem"))
	}
	return &authority{root: root, issuer: issuer, key: key}, nil
}

func readCertificate(file string) (*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemCert {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

func (d folder) makeAuthority(commonName string, now time.Time) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(string(d), ".new-ca-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	if err := fillAuthority(folder(fresh), commonName, now); err != nil {
		return err
	}
	err = os.Rename(fresh, d.path("ca"))
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was first
	}
	if err != nil {
		return err
	}
	return syncDir(string(d))
}

func fillAuthority(d folder, commonName string, now time.Time) error {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make root key: %w", err)
	}
	issuerKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make issuer key: %w", err)
	}
	root, err := caTemplate(commonName+" root", now)
	if err != nil {
		return err
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return fmt.Errorf("make root: %w", err)
	}
	if root, err = x509.ParseCertificate(rootDER); err != nil {
		return fmt.Errorf("read new root: %w", err)
	}
	issuer, err := caTemplate(commonName+" issuer", now)
	if err != nil {
		return err
	}
	issuer.MaxPathLenZero = true
	issuer.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	issuerDER, err := x509.CreateCertificate(rand.Reader, issuer, root, issuerKey.Public(), rootKey)
	if err != nil {
		return fmt.Errorf("make issuer: %w", err)
	}
	return errors.Join(
		d.write(pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: rootDER}), 0o644, rootName+".pem"),
		d.write(pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: issuerDER}), 0o644, caName+".pem"),
		d.writeKey(rootKey, rootName+".key"),
		d.writeKey(issuerKey, caName+".key"),
	)
}

func (d folder) writeKey(key *ecdsa.PrivateKey, name string) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	return d.write(pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), 0o600, name)
}

func caTemplate(commonName string, now time.Time) (*x509.Certificate, error) {
	serial, err := caSerial()
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: commonName},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(maxAge),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true, IsCA: true,
	}, nil
}

// sign issues the certificate of an order.
func (a *authority) sign(r *record, acc account, now time.Time) ([][]byte, error) {
	serial, err := leafSerial(r.Key)
	if err != nil {
		return nil, err
	}
	return a.signAs(serial, r, acc, now)
}

// signAs is sign with a serial number of choice.
func (a *authority) signAs(serial *big.Int, r *record, acc account, now time.Time) ([][]byte, error) {
	csr, err := r.parsed()
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: serial,
		NotBefore:    now.Add(-min(acc.backdate, r.Lifetime/10)).Truncate(time.Second),
		NotAfter:     earliest(now.Add(r.Lifetime), r.CoverageEnd, a.issuer.NotAfter).Truncate(time.Second),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	if !leaf.NotAfter.After(now) {
		return nil, pluginapi.Errorf(pluginapi.Conflict, "the paid plan or the CA itself ended on %s", leaf.NotAfter.Format(time.RFC3339))
	}
	if _, ok := csr.PublicKey.(*rsa.PublicKey); ok {
		leaf.KeyUsage |= x509.KeyUsageKeyEncipherment // TLS 1.2 with RSA key exchange
	}
	for _, id := range r.Names {
		if id.Type == pluginapi.IP {
			leaf.IPAddresses = append(leaf.IPAddresses, net.ParseIP(id.Value))
		} else {
			leaf.DNSNames = append(leaf.DNSNames, id.Value)
		}
	}
	if first := r.Names[0].Value; len(first) <= 64 {
		leaf.Subject.CommonName = first
	}
	if acc.crlURL != "" {
		leaf.CRLDistributionPoints = []string{acc.crlURL}
	}
	if leaf.SubjectKeyId, err = keyID(csr.RawSubjectPublicKeyInfo); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.issuer, csr.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return [][]byte{der, a.issuer.Raw}, nil
}

func earliest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// keyTrouble says why a key is not one to certify.
func keyTrouble(key any) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return fmt.Sprintf("an RSA key needs %d bits, this one has %d", minRSA, k.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			return "an ECDSA key needs the curve P-256, P-384 or P-521"
		}
	case ed25519.PublicKey:
	default:
		return "the key is neither RSA nor ECDSA nor Ed25519"
	}
	return ""
}

// revocationList signs the list of all that is revoked. It lasts as long as the CA, and a revocation replaces it.
func (a *authority) revocationList(entries []x509.RevocationListEntry, now time.Time) ([]byte, error) {
	return x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(now.UnixNano()), ThisUpdate: now, NextUpdate: a.issuer.NotAfter, RevokedCertificateEntries: entries,
	}, a.issuer, a.key)
}

func caFile(dir, name string) string { return filepath.Join(dir, "ca", name+".pem") }
