package digicert

import (
	"crypto/x509"
	"encoding/pem"
	"strings"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// parseCSR reads a request in PEM.
//
// Unconfirmed: whether a CSR without header and footer is taken; one client in the field sends it. The stand-in refuses it, as the reissue page asks for both.
//
// Unconfirmed: the keys that are allowed; the stand-in takes RSA of 2048 to 8192 bits and the curves P-256 and P-384.
func parseCSR(text string) (*x509.CertificateRequest, error) { return sandbox.ParseCSR(text) }

// encodePEM writes a certificate with the line ends that the API has.
func encodePEM(der []byte) string {
	return strings.ReplaceAll(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), "\n", "\r\n")
}
