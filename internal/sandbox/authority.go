package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // key identifiers and thumbprints, as RFC 5280 section 4.2.1.2 and the CAs' APIs have them
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// KeyKind is what an issuing CA signs with.
type KeyKind string

// The kinds of issuing keys.
const (
	RSA   KeyKind = "rsa"
	ECDSA KeyKind = "ecdsa"
)

// IssuerShape is one issuing CA that an Authority shall have.
type IssuerShape struct {
	// Root and Name are common names. Issuers with the same root share it.
	Root, Name string
	Kind       KeyKind
}

// Issuer is an issuing CA below a root.
type Issuer struct {
	// ID names the issuer in an API: 16 hexadecimal digits, the same for as long as its key.
	ID         string
	Cert, Root *x509.Certificate
	key        crypto.Signer
}

// Authority is the root and issuing CAs of a stand-in.
type Authority struct {
	Issuers []*Issuer
	stored  []storedIssuer
}

// storedIssuer is how an issuer is kept: DER, the key in PKCS#8. Roots sign nothing more, so that their keys are gone.
type storedIssuer struct {
	Cert []byte `json:"cert"`
	Root []byte `json:"root"`
	Key  []byte `json:"key"`
}

// NewAuthority makes the keys and certificates of a stand-in's CAs.
func NewAuthority(shapes []IssuerShape) (*Authority, error) {
	type root struct {
		cert *x509.Certificate
		key  crypto.Signer
	}
	roots := map[string]root{}
	var stored []storedIssuer
	for _, s := range shapes {
		r, ok := roots[s.Root]
		if !ok {
			key, err := newKey(s.Kind)
			if err != nil {
				return nil, err
			}
			template := caTemplate(s.Root, -1)
			cert, err := sign(template, template, key.Public(), key)
			if err != nil {
				return nil, fmt.Errorf("make root %q: %w", s.Root, err)
			}
			r = root{cert, key}
			roots[s.Root] = r
		}
		key, err := newKey(s.Kind)
		if err != nil {
			return nil, err
		}
		cert, err := sign(caTemplate(s.Name, 0), r.cert, key.Public(), r.key)
		if err != nil {
			return nil, fmt.Errorf("make issuing CA %q: %w", s.Name, err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("encode the key of %q: %w", s.Name, err)
		}
		stored = append(stored, storedIssuer{Cert: cert.Raw, Root: r.cert.Raw, Key: der})
	}
	a := &Authority{}
	if err := a.restore(stored); err != nil {
		return nil, err
	}
	return a, nil
}

func newKey(kind KeyKind) (crypto.Signer, error) {
	switch kind {
	case RSA:
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, fmt.Errorf("make an RSA key: %w", err)
		}
		return key, nil
	case ECDSA:
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make an ECDSA key: %w", err)
		}
		return key, nil
	default:
		return nil, fmt.Errorf("unknown kind of key %q", kind)
	}
}

// caTemplate describes a CA. Its dates are wide, so that the stand-in's clock can be set to any day.
func caTemplate(name string, below int) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"Sandbox, worth nothing"}, Country: []string{"US"}},
		NotBefore:    time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC),
		IsCA:         true, BasicConstraintsValid: true, MaxPathLen: below, MaxPathLenZero: below == 0,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	if below == 0 {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	return t
}

func sign(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (a *Authority) restore(stored []storedIssuer) error {
	var issuers []*Issuer
	for _, s := range stored {
		cert, err := x509.ParseCertificate(s.Cert)
		if err != nil {
			return fmt.Errorf("read an issuing CA: %w", err)
		}
		root, err := x509.ParseCertificate(s.Root)
		if err != nil {
			return fmt.Errorf("read the root of %q: %w", cert.Subject.CommonName, err)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(s.Key)
		if err != nil {
			return fmt.Errorf("read the key of %q: %w", cert.Subject.CommonName, err)
		}
		key, ok := parsed.(crypto.Signer)
		if !ok {
			return fmt.Errorf("the key of %q cannot sign", cert.Subject.CommonName)
		}
		sum := sha1.Sum(cert.RawSubjectPublicKeyInfo) //nolint:gosec // a name, not a protection
		issuers = append(issuers, &Issuer{ID: strings.ToUpper(hex.EncodeToString(sum[:8])), Cert: cert, Root: root, key: key})
	}
	if len(issuers) == 0 {
		return errors.New("an authority needs an issuing CA")
	}
	a.Issuers, a.stored = issuers, stored
	return nil
}

// MarshalJSON encodes the authority with its keys.
func (a *Authority) MarshalJSON() ([]byte, error) { return json.Marshal(a.stored) }

// UnmarshalJSON decodes what MarshalJSON made.
func (a *Authority) UnmarshalJSON(text []byte) error {
	var stored []storedIssuer
	if err := json.Unmarshal(text, &stored); err != nil {
		return fmt.Errorf("decode the CAs: %w", err)
	}
	return a.restore(stored)
}

// Issuer finds an issuing CA by its ID in any case, nil where there is none.
func (a *Authority) Issuer(id string) *Issuer {
	for _, i := range a.Issuers {
		if strings.EqualFold(i.ID, id) {
			return i
		}
	}
	return nil
}

// Named finds an issuing CA by its common name, the first one where there is none of that name.
func (a *Authority) Named(name string) *Issuer {
	for _, i := range a.Issuers {
		if i.Cert.Subject.CommonName == name {
			return i
		}
	}
	return a.Issuers[0]
}

// Leaf is what a certificate shall say.
type Leaf struct {
	PublicKey           crypto.PublicKey
	CommonName          string
	Organization        string
	Country             string
	Names               []string // DNS names and addresses
	NotBefore, NotAfter time.Time
	// Hash is sha256, sha384 or sha512; empty means sha256.
	Hash       string
	ClientAuth bool
}

// errHash says that a signature hash is none that is known.
var errHash = errors.New("unknown signature hash")

// Issue signs a certificate.
func (i *Issuer) Issue(l Leaf) (*x509.Certificate, error) {
	algorithm, err := i.algorithm(l.Hash)
	if err != nil {
		return nil, err
	}
	keyID, err := subjectKeyID(l.PublicKey)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{CommonName: l.CommonName},
		NotBefore:    l.NotBefore, NotAfter: l.NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		SignatureAlgorithm:    algorithm,
		SubjectKeyId:          keyID,
	}
	if l.Organization != "" {
		t.Subject.Organization = []string{l.Organization}
	}
	if l.Country != "" {
		t.Subject.Country = []string{l.Country}
	}
	if _, ok := l.PublicKey.(*rsa.PublicKey); ok {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	if l.ClientAuth {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	for _, name := range l.Names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	cert, err := sign(t, i.Cert, l.PublicKey, i.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", l.CommonName, err)
	}
	return cert, nil
}

func (i *Issuer) algorithm(hash string) (x509.SignatureAlgorithm, error) {
	_, isRSA := i.key.(*rsa.PrivateKey)
	switch hash {
	case "", "sha256":
		if isRSA {
			return x509.SHA256WithRSA, nil
		}
		return x509.ECDSAWithSHA256, nil
	case "sha384":
		if isRSA {
			return x509.SHA384WithRSA, nil
		}
		return x509.ECDSAWithSHA384, nil
	case "sha512":
		if isRSA {
			return x509.SHA512WithRSA, nil
		}
		return x509.ECDSAWithSHA512, nil
	default:
		return 0, fmt.Errorf("%w %q", errHash, hash)
	}
}

// subjectKeyID is method 1 of RFC 5280 section 4.2.1.2.
func subjectKeyID(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &spki); err != nil {
		return nil, fmt.Errorf("read the public key: %w", err)
	}
	sum := sha1.Sum(spki.Key.Bytes) //nolint:gosec // an identifier
	return sum[:], nil
}

// Thumbprint is the SHA-1 of a certificate, hexadecimal, upper case.
func Thumbprint(cert []byte) string {
	sum := sha1.Sum(cert) //nolint:gosec // what CAs call a thumbprint
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// Serial is a certificate's serial number, hexadecimal, upper case, two digits for each octet.
func Serial(c *x509.Certificate) string {
	return strings.ToUpper(hex.EncodeToString(c.SerialNumber.Bytes()))
}
