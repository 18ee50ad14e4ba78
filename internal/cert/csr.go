package cert

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
)

// maxCommonName is ub-common-name, the longest common name in characters (RFC 5280 appendix A.1).
const maxCommonName = 64

// NewCSR makes a certificate request (PKCS#10, DER; RFC 2986) for DNS names and IP addresses, which it normalizes. The
// subject is empty unless commonName asks for the first name as common name, which some CAs demand; a first name that
// is too long for one is an error.
func NewCSR(key crypto.Signer, names []string, commonName bool) ([]byte, error) {
	names, err := NormalizeNames(names)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	if len(names) == 0 {
		return nil, errors.New("make certificate request: no names")
	}
	template := &x509.CertificateRequest{}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	if commonName {
		if len(names[0]) > maxCommonName {
			return nil, fmt.Errorf("make certificate request: the CA wants the first name as common name, but %q is %d characters long and a common name holds %d: put a shorter name first",
				names[0], len(names[0]), maxCommonName)
		}
		template.Subject = pkix.Name{CommonName: names[0]}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return der, nil
}
