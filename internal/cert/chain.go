package cert

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
)

// ParseChain reads certificates from DER, one each, in their order. Use OrderChain to sort them.
func ParseChain(der [][]byte) ([]*x509.Certificate, error) {
	chain := make([]*x509.Certificate, 0, len(der))
	var errs []error
	for i, raw := range der {
		parsed, err := x509.ParseCertificate(raw)
		if err != nil {
			errs = append(errs, fmt.Errorf("certificate %d of %d: %w", i+1, len(der), err))
			continue
		}
		chain = append(chain, parsed)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return chain, nil
}

// OrderChain picks the chain to serve out of certificates in any order: the leaf first, each signed by the next, the
// root, duplicates and unrelated certificates dropped. The leaf is the certificate for leafKey, the one valid longest where
// there are several; with a nil leafKey it is the one certificate that is no CA.
func OrderChain(certs []*x509.Certificate, leafKey crypto.PublicKey) ([]*x509.Certificate, error) {
	if len(certs) == 0 {
		return nil, errors.New("order chain: no certificates")
	}
	leaf, err := findLeaf(certs, leafKey)
	if err != nil {
		return nil, fmt.Errorf("order chain: %w", err)
	}
	chain := []*x509.Certificate{leaf}
	for {
		issuer := findIssuer(chain[len(chain)-1], certs, chain)
		if issuer == nil || SelfSigned(issuer) {
			return chain, nil
		}
		chain = append(chain, issuer)
	}
}

func findLeaf(certs []*x509.Certificate, leafKey crypto.PublicKey) (*x509.Certificate, error) {
	var leaf *x509.Certificate
	for _, c := range certs {
		switch {
		case leafKey != nil && !SamePublicKey(leafKey, c.PublicKey):
		case leafKey == nil && c.IsCA:
		case leaf == nil:
			leaf = c
		case leafKey == nil && !leaf.Equal(c):
			return nil, fmt.Errorf("two leaf certificates: serial %s and serial %s", Serial(leaf), Serial(c))
		case c.NotAfter.After(leaf.NotAfter):
			leaf = c
		}
	}
	switch {
	case leaf != nil:
		return leaf, nil
	case leafKey != nil:
		return nil, fmt.Errorf("none of the %d certificates is for this private key", len(certs))
	case len(certs) == 1:
		return certs[0], nil // a lone self-signed certificate is often marked as CA
	default:
		return nil, errors.New("every certificate is a CA's")
	}
}

// findIssuer returns the first certificate that signed c and is not in the chain yet, or nil. Cross-signed CAs give
// several candidates; the CA's own order decides, but one that is no root is preferred, since a root ends the chain.
func findIssuer(c *x509.Certificate, certs, chain []*x509.Certificate) *x509.Certificate {
	if SelfSigned(c) {
		return nil
	}
	var root *x509.Certificate
	for _, candidate := range certs {
		if contains(chain, candidate) || !bytes.Equal(c.RawIssuer, candidate.RawSubject) || c.CheckSignatureFrom(candidate) != nil {
			continue
		}
		if !SelfSigned(candidate) {
			return candidate
		}
		root = candidate
	}
	return root
}

func contains(chain []*x509.Certificate, c *x509.Certificate) bool {
	for _, have := range chain {
		if have.Equal(c) {
			return true
		}
	}
	return false
}

// SelfSigned reports whether a certificate is signed by its own key, as a root is.
func SelfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// Serial returns a certificate's serial number in lower-case hexadecimal without leading zeros, the form that
// pluginapi.RenewalInfo.Serial has.
func Serial(c *x509.Certificate) string { return c.SerialNumber.Text(16) }

// Fingerprint returns the SHA-256 of a certificate in lower-case hexadecimal.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}
