package sandbox

import (
	"crypto/rand"
	"math/big"
	"strings"
)

// lowerAlphanumeric are the characters of random values.
const lowerAlphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789"

// RandomValue returns n characters of a-z and 0-9 that nobody can guess.
func RandomValue(n int) string {
	var b strings.Builder
	most := byte(256 - 256%len(lowerAlphanumeric)) // beyond it some characters would be likelier than others
	for one := make([]byte, 1); b.Len() < n; {
		_, _ = rand.Read(one) // never fails: crypto/rand ends the program instead
		if one[0] < most {
			b.WriteByte(lowerAlphanumeric[int(one[0])%len(lowerAlphanumeric)])
		}
	}
	return b.String()
}

// newSerial returns a serial number of 16 octets (RFC 5280 section 4.1.2.2 wants it positive and unique).
func newSerial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[0] = b[0]&0x7f | 0x01
	return new(big.Int).SetBytes(b)
}
