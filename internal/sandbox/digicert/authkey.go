package digicert

import (
	"crypto/hmac"
	"crypto/sha256"
	"math/big"
	"strconv"
	"strings"
	"time"
)

const (
	stampForm   = "20060102150405"
	tokenLength = 64
	hashLength  = 50
	// tokenAge is how long a request token is good.
	tokenAge = 30 * 24 * time.Hour
)

// authKey is a key that request tokens are made with.
type authKey struct {
	ID      string    `json:"id"`
	Key     string    `json:"key"`
	Expires time.Time `json:"expires,omitzero"` // zero for the one without validity
}

// requestToken is the token of a CSR at a time: the time, then the HMAC-SHA-256 of time and CSR in base 36, filled up
// with zeros to 50 characters.
//
// Unconfirmed: the text of the CSR that goes into the HMAC; the stand-in takes certificate.csr exactly as it was sent.
func requestToken(key, stamp, csr string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(stamp))
	mac.Write([]byte(csr))
	hash := new(big.Int).SetBytes(mac.Sum(nil)).Text(36)
	return stamp + strings.Repeat("0", max(0, hashLength-len(hash))) + hash
}

// findToken looks for a valid request token in the text of a record: it begins with the present or the last year, is
// neither of the future nor too old, and is that of the key and CSR.
func findToken(text, key, csr string, now time.Time) bool {
	for _, year := range []int{now.Year(), now.Year() - 1} {
		for from := 0; ; {
			i := strings.Index(text[from:], strconv.Itoa(year))
			if i < 0 {
				break
			}
			at := from + i
			from = at + 1
			if at+tokenLength > len(text) {
				break
			}
			token := text[at : at+tokenLength]
			made, err := time.Parse(stampForm, token[:len(stampForm)])
			if err != nil || made.After(now) || now.Sub(made) > tokenAge {
				continue
			}
			if hmac.Equal([]byte(token), []byte(requestToken(key, token[:len(stampForm)], csr))) {
				return true
			}
		}
	}
	return false
}

// authKey finds a usable key: the one with the id, or without an id the one without validity.
func (st *state) authKey(id string, now time.Time) *authKey {
	for _, k := range st.AuthKeys {
		if id == "" && k.Expires.IsZero() || id != "" && k.ID == id && (k.Expires.IsZero() || now.Before(k.Expires)) {
			return k
		}
	}
	return nil
}
