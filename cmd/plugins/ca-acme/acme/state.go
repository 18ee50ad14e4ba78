package acme

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// stateVersion is written into every state; a state of a later version is refused and left as it is.
const stateVersion = 1

// accountState is what the daemon keeps for the account. It holds one record per directory, so that pointing the
// account at another CA (a staging one, say) and back again loses no key.
type accountState struct {
	Version  int                      `json:"version"`
	Accounts map[string]accountRecord `json:"accounts"` // by directory URL
}

// accountRecord is the account at one directory.
type accountRecord struct {
	Key keyRecord `json:"key"`
	// Next is the key that a change of key is under way to. Both are kept until the CA is known to have changed.
	Next *keyRecord `json:"next,omitempty"`
	// URL is the account's address at the CA, the "kid" of its requests; empty before registration.
	URL string `json:"url,omitempty"`
	// CAAIdentities are the issuer domain names that the directory named last (RFC 8555 section 7.1.1): Configure tells
	// them, and reaches no network.
	CAAIdentities []string `json:"caa_identities,omitempty"`
	// Orders are the latest orders, oldest first, so that a call of PlaceOrder that is made again finds its order.
	Orders []orderNote `json:"orders,omitempty"`
}

// maxNotes bounds the orders that are remembered.
const maxNotes = 64

// orderNote remembers which order a call of PlaceOrder made.
type orderNote struct {
	IdempotencyKey string `json:"idempotency_key"`
	URL            string `json:"url"`
	Thumbprint     string `json:"thumbprint"` // see orderState
}

type keyRecord struct {
	// Generation counts the keys of the account; see the setting account_key_generation.
	Generation int `json:"generation"`
	// PKCS8 is the private key, DER.
	PKCS8 []byte `json:"pkcs8"`
}

func newKeyRecord(keyType string, generation int) (keyRecord, error) {
	key, err := newAccountKey(keyType)
	if err != nil {
		return keyRecord{}, fmt.Errorf("make an account key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return keyRecord{}, fmt.Errorf("encode the account key: %w", err)
	}
	return keyRecord{Generation: generation, PKCS8: der}, nil
}

// decodeAccountState reads an account state and every key in it. No state is an empty one.
func decodeAccountState(data []byte) (accountState, error) {
	state := accountState{Version: stateVersion, Accounts: map[string]accountRecord{}}
	if len(data) == 0 {
		return state, nil
	}
	if err := decodeStrictly(data, &state); err != nil {
		return accountState{}, err
	}
	if state.Version != stateVersion {
		return accountState{}, fmt.Errorf("version %d is not known to this plugin", state.Version)
	}
	if state.Accounts == nil {
		state.Accounts = map[string]accountRecord{}
	}
	for directory, r := range state.Accounts {
		keys := []keyRecord{r.Key}
		if r.Next != nil {
			keys = append(keys, *r.Next)
		}
		for _, k := range keys {
			if _, err := parseAccountKey(k.PKCS8); err != nil {
				return accountState{}, fmt.Errorf("account at %s: %w", directory, err)
			}
		}
	}
	return state, nil
}

// encode gives the state's bytes, the same for the same state.
func (s accountState) encode() ([]byte, error) {
	out, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the account state: %w", err)
	}
	return out, nil
}

// orderState is what the daemon keeps for an order besides its address.
type orderState struct {
	Version int `json:"version"`
	// Thumbprint is that of the account key the order's challenges were made with.
	Thumbprint string `json:"thumbprint"`
	// Responded reports that the CA was told to look at a challenge.
	Responded bool `json:"responded,omitempty"`
	// Remark is a sentence for people about how the order was placed.
	Remark string `json:"remark,omitempty"`
}

// decodeOrderState reads an order's state. No state is an empty one.
func decodeOrderState(data []byte) (orderState, error) {
	if len(data) == 0 {
		return orderState{Version: stateVersion}, nil
	}
	var state orderState
	if err := decodeStrictly(data, &state); err != nil {
		return orderState{}, pluginapi.FieldErrorf("state", "the order's state is not this plugin's: %w", err)
	}
	if state.Version != stateVersion {
		return orderState{}, pluginapi.FieldErrorf("state", "the order's state has version %d, which this plugin does not know", state.Version)
	}
	return state, nil
}

func (s orderState) encode() ([]byte, error) {
	s.Version = stateVersion
	out, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the order state: %w", err)
	}
	return out, nil
}

// decodeStrictly reads one JSON value without unknown keys. Its errors hold nothing of the text, which has keys in it.
func decodeStrictly(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New("not readable as JSON of the known shape")
	}
	if d.More() {
		return errors.New("more than one JSON value")
	}
	return nil
}
