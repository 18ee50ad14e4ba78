package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	csrBegin = "-----BEGIN CERTIFICATE REQUEST-----"
	csrEnd   = "-----END CERTIFICATE REQUEST-----"
	leastRSA = 2048
	mostRSA  = 8192
)

// ParseCSR reads a request in PEM, on many lines or on one, and checks its signature and key: RSA of 2048 to 8192 bits,
// or the curves P-256 and P-384.
func ParseCSR(text string) (*x509.CertificateRequest, error) {
	text = strings.TrimSpace(text)
	body, ok := strings.CutPrefix(text, csrBegin)
	if !ok {
		return nil, errors.New("it does not begin with " + csrBegin)
	}
	body, ok = strings.CutSuffix(body, csrEnd)
	if !ok {
		return nil, errors.New("it does not end with " + csrEnd)
	}
	der, err := base64.StdEncoding.DecodeString(strings.Map(dropSpace, body))
	if err != nil {
		return nil, fmt.Errorf("it is not base64: %w", err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("it is no PKCS#10 request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("its signature is wrong: %w", err)
	}
	switch key := csr.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < leastRSA || n > mostRSA {
			return nil, fmt.Errorf("its RSA key has %d bits, not %d to %d", n, leastRSA, mostRSA)
		}
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return nil, fmt.Errorf("its key is of the curve %s, not P-256 or P-384", key.Curve.Params().Name)
		}
	default:
		return nil, errors.New("its key is neither RSA nor ECDSA")
	}
	return csr, nil
}

func dropSpace(r rune) rune {
	if r == '\n' || r == '\r' || r == ' ' || r == '\t' {
		return -1
	}
	return r
}
