package request

import (
	"crypto/hmac"
	"crypto/sha256"
	"math/big"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	requestTokenTime = "20060102150405"
	// requestTokenDigits is how many base 36 digits the largest SHA-256 sum has.
	requestTokenDigits = 50
)

// Token is the text that shows control over a name with an AuthKey: a time, and an HMAC-SHA-256 over that time
// and the request, in base 36. DigiCert refuses a time that lies in the future or more than 30 days back, so hand in a
// time a minute or so ago.
//
// csr must be, byte for byte, what goes out as certificate.csr: CSRText of the same DER. (Not confirmed by DigiCert's
// pages: that the header lines and line ends of the PEM text are part of what is summed.)
func Token(authKey pluginapi.Secret, csr string, at time.Time) string {
	stamp := at.UTC().Format(requestTokenTime)
	mac := hmac.New(sha256.New, []byte(authKey.Reveal()))
	mac.Write([]byte(stamp + csr))
	digits := new(big.Int).SetBytes(mac.Sum(nil)).Text(36)
	return stamp + strings.Repeat("0", requestTokenDigits-len(digits)) + digits
}
