package servertastic

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5" //nolint:gosec // a name that Sectigo chose, not a protection
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// request is a CSR that was read.
type request struct {
	text string
	csr  *x509.CertificateRequest
	// key is a private key that the service made, as PEM; empty where the client sent a CSR.
	key string
}

// name is the common name, which the order is about.
func (r request) name() string { return strings.ToLower(r.csr.Subject.CommonName) }

// readCSR reads a request that a client sent.
//
// Unconfirmed: whether carriage returns in a CSR are taken; both known clients avoid them, and the stand-in remarks upon them.
func readCSR(c *call, text string) (request, error) {
	csr, err := sandbox.ParseCSR(text)
	if err != nil {
		return request{}, fmt.Errorf("csr: %w", err)
	}
	if csr.Subject.CommonName == "" {
		return request{}, fmt.Errorf("csr: it has no common name, which the order would be about")
	}
	if wrong := sandbox.CheckName(csr.Subject.CommonName); wrong != "" || sandbox.IsAddress(csr.Subject.CommonName) {
		return request{}, fmt.Errorf("csr: the common name %q is no domain name", csr.Subject.CommonName)
	}
	if strings.Contains(text, "\r") {
		c.remark("the CSR has carriage returns")
	}
	return request{text: text, csr: csr}, nil
}

// makeCSR makes the key that a client did not.
func makeCSR(name string) (request, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return request{}, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		return request{}, fmt.Errorf("make a CSR: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return request{}, fmt.Errorf("encode a key: %w", err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	return request{
		text: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), csr: csr,
		key: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	}, err
}

// csrHashes are MD5 and SHA-256 of a request's DER, hexadecimal: what Sectigo's values are made of.
func csrHashes(der []byte) (md5Hex, sha string) {
	m, s := md5.Sum(der), sha256.Sum256(der) //nolint:gosec // a name
	return hex.EncodeToString(m[:]), hex.EncodeToString(s[:])
}

// fingerprint tells requests apart.
func fingerprint(der []byte) string {
	_, sha := csrHashes(der)
	return sha
}

// decodeCSR is order/decodecsr.
func (s *Server) decodeCSR(c *call) (any, error) {
	csr, err := sandbox.ParseCSR(c.form["csr"])
	if err != nil {
		c.remark("%v", err)
		return obj{"QueryResponseHeader": obj{"SuccessCode": -1}}, nil
	}
	first := func(list []string) string { return strings.Join(list, ", ") }
	return obj{
		"DomainName": csr.Subject.CommonName, "Organization": first(csr.Subject.Organization),
		"OrganizationUnit": first(csr.Subject.OrganizationalUnit), "Locality": first(csr.Subject.Locality),
		"State": first(csr.Subject.Province), "Country": first(csr.Subject.Country), "QueryResponseHeader": obj{"SuccessCode": 0},
	}, nil
}
