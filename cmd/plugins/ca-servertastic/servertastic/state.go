package servertastic

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const stateVersion = 1

// state is what the daemon keeps for an order besides its reference. All of it can be missing: the token is found again by
// the reference, and the rest by the token.
type state struct {
	Version int `json:"version"`
	// Sealed is the order's token, encrypted with the account's key: a state is no place for secrets.
	Sealed []byte `json:"sealed,omitempty"`
	// OrderID is ServerTastic's name of the order, for people.
	OrderID string `json:"order_id,omitempty"`
	// Bought is when the order was bought, Ends until when it is reissued. Single: it is worth one certificate, and
	// ends with that.
	Bought time.Time `json:"bought,omitzero"`
	Ends   time.Time `json:"ends,omitzero"`
	Single bool      `json:"single,omitempty"`
	// Link says whether the order is placed as the renewal of the one before, "yes" or "no"; empty: not decided. Carried
	// is the time that ServerTastic adds for that.
	Link    string        `json:"link,omitempty"`
	Carried time.Duration `json:"carried,omitempty"`
	// Announced: the order may have been placed since then. Note is the process's own mark of that; see notes.
	Announced time.Time `json:"announced,omitzero"`
	Note      string    `json:"note,omitempty"`
	// Placed is when the order was placed, or its reissue asked for. Reissue: it is about the latter.
	Placed  time.Time `json:"placed,omitzero"`
	Reissue bool      `json:"reissue,omitempty"`
	// CSR is a fingerprint of the certificate request.
	CSR string `json:"csr,omitempty"`
	// Wrong says what a person must look at, whatever the status.
	Wrong string `json:"wrong,omitempty"`
	// Method and Control are what is to be published. Before is the mark of what the API showed before a reissue, and may
	// go on showing for some time.
	Method  string             `json:"method,omitempty"`
	Control ordertoken.Control `json:"control,omitzero"`
	Before  string             `json:"before,omitempty"`
	// Responded: all is published, as far as the daemon said. NextCheck is when the CA is told again to look.
	Responded bool      `json:"responded,omitempty"`
	NextCheck time.Time `json:"next_check,omitzero"`
	// Completed is since when the order has been completed without a certificate that could be used.
	Completed time.Time `json:"completed,omitzero"`
	// Looks counts how often the order was looked at since it last moved.
	Looks  int    `json:"looks,omitempty"`
	Status string `json:"status,omitempty"`
}

// decodeState reads an order's state. One that cannot be read, or is of a later version, is as good as none.
func decodeState(data []byte) state {
	var st state
	if json.Unmarshal(data, &st) != nil || st.Version != stateVersion {
		return state{Version: stateVersion}
	}
	return st
}

func (st state) encode() []byte {
	st.Version = stateVersion
	out, err := json.Marshal(st)
	if err != nil { // a time beyond the year 9999
		return nil
	}
	return out
}

// told takes over what the API tells of an order's time, and reports whether that changed anything: when it was bought, where
// the clock of this machine says otherwise by more than a day, and until when it lasts, where that is told.
func (st *state) told(r ordertoken.Review) bool {
	const most = 24 * time.Hour
	before := *st
	if first := r.First(); !first.IsZero() && !st.Bought.IsZero() && first.Sub(st.Bought).Abs() > most {
		if !st.Ends.IsZero() && !st.Single {
			st.Ends = st.Ends.Add(first.Sub(st.Bought)).UTC()
		}
		st.Bought = first.UTC()
	}
	// An end that is later than that of every certificate is the order's. (Not confirmed by ServerTastic's pages: whose end
	// it is.)
	if last := lastDay(r); !st.Single && !last.IsZero() && r.Expires.Sub(last) > most && r.Expires.After(st.Ends) && r.Expires.Before(last.AddDate(4, 0, 0)) {
		st.Ends = r.Expires.UTC()
	}
	return !st.Bought.Equal(before.Bought) || !st.Ends.Equal(before.Ends)
}

// settleClock keeps times of the past from lying in the future, as after a clock that was ahead was put right.
func (st *state) settleClock(now time.Time, period time.Duration) {
	for _, at := range []*time.Time{&st.Announced, &st.Placed, &st.Completed} {
		if at.After(now) {
			*at = now.UTC()
		}
	}
	if latest := now.Add(period); st.NextCheck.After(latest) {
		st.NextCheck = latest.UTC()
	}
}

// seal encrypts a token with a key that is made of the account's.
func (s *session) seal(token pluginapi.Secret) []byte {
	box, err := s.box()
	if err != nil {
		return nil // the token is found by the order's reference
	}
	nonce := make([]byte, box.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return box.Seal(nonce, nonce, []byte(token.Reveal()), nil)
}

// open decrypts a token; ok is false for one that was sealed with an earlier key of the account, or is none.
func (s *session) open(sealed []byte) (token pluginapi.Secret, ok bool) {
	box, err := s.box()
	if err != nil || len(sealed) < box.NonceSize() {
		return pluginapi.Secret{}, false
	}
	text, err := box.Open(nil, sealed[:box.NonceSize()], sealed[box.NonceSize():], nil)
	return pluginapi.NewSecret(string(text)), err == nil && len(text) > 0
}

func (s *session) box() (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(s.settings.key.Reveal()), nil, "certbridged ca-servertastic: tokens of orders", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// referenceFor is the mark of an order at ServerTastic, of 35 characters: as many as it takes.
func referenceFor(order pluginapi.OrderRequest) string { return "cb-" + order.IdempotencyKey }

// markOf tells what is published for one certificate from what is published for another.
func markOf(c ordertoken.Control) string {
	if c.Empty() {
		return ""
	}
	return fingerprint([]byte(strings.Join([]string{c.DNSValue, c.FileBody}, "\x00")))
}

func fingerprint(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}
