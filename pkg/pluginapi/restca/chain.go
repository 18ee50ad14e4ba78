package restca

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // APIs name certificates by it
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strings"
)

// ParseDER reads certificates; what is none is left out.
func ParseDER(list [][]byte) []*x509.Certificate {
	var out []*x509.Certificate
	for _, der := range list {
		if c, err := x509.ParseCertificate(der); err == nil {
			out = append(out, c)
		}
	}
	return out
}

// ParsePEM reads the certificates of a text; all else in it is left out.
func ParsePEM(text []byte) []*x509.Certificate {
	var list [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			list = append(list, block.Bytes)
		}
	}
	return ParseDER(list)
}

// OwnLeaf returns the certificate of a pool that is for the key of a certificate request; nil when there is none. A CA
// may hand out another certificate of the same order, so that only the key tells.
func OwnLeaf(pool []*x509.Certificate, csr *x509.CertificateRequest) *x509.Certificate {
	i := slices.IndexFunc(pool, func(c *x509.Certificate) bool {
		return !c.IsCA && bytes.Equal(c.RawSubjectPublicKeyInfo, csr.RawSubjectPublicKeyInfo)
	})
	if i < 0 {
		return nil
	}
	return pool[i]
}

// Arrange puts a chain together from a pool in no order: the leaf, and each issuer after what it signed, without the
// root. It is whole when the leaf's issuer is there.
func Arrange(leaf *x509.Certificate, pool []*x509.Certificate) (chain [][]byte, whole bool) {
	chain = [][]byte{leaf.Raw}
	used := []*x509.Certificate{leaf}
	for at := leaf; ; {
		i := slices.IndexFunc(pool, func(c *x509.Certificate) bool {
			return bytes.Equal(c.RawSubject, at.RawIssuer) && !slices.ContainsFunc(used, c.Equal) && at.CheckSignatureFrom(c) == nil
		})
		if i < 0 {
			return chain, len(used) > 1
		}
		at = pool[i]
		used = append(used, at)
		if bytes.Equal(at.RawSubject, at.RawIssuer) {
			return chain, true // a root: servers have no use for it
		}
		chain = append(chain, at.Raw)
	}
}

// IsEarlier reports whether a certificate is the one that an order follows, or one from before it: with a key that is
// kept, all generations fit the request. previous is the chain that the order follows; it may be empty.
func IsEarlier(c *x509.Certificate, previous [][]byte) bool {
	if len(previous) == 0 {
		return false
	}
	before, err := x509.ParseCertificate(previous[0])
	return err == nil && (before.Equal(c) || c.NotBefore.Before(before.NotBefore))
}

// Thumbprint is a certificate's SHA-1 sum in upper-case hexadecimal.
func Thumbprint(der []byte) string {
	sum := sha1.Sum(der) //nolint:gosec // a name, not a protection
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// Serial is a serial number in whole bytes of upper-case hexadecimal.
func Serial(c *x509.Certificate) string {
	text := strings.ToUpper(c.SerialNumber.Text(16))
	if len(text)%2 == 1 {
		text = "0" + text
	}
	return text
}
