package acme

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	jose "github.com/go-jose/go-jose/v4"
)

// keyChange is the payload that the new key signs (RFC 8555 section 7.3.5).
type keyChange struct {
	Account string           `json:"account"`
	OldKey  *jose.JSONWebKey `json:"oldKey"`
}

// changeKey asks the CA to put next in the place of the account's key. An error that is a problem with status 409 means that
// another account has the key.
func (c *client) changeKey(ctx context.Context, current, next signer) error {
	dir, err := c.directory(ctx)
	if err != nil {
		return err
	}
	if dir.KeyChangeURL == "" {
		return errNoKeyChange
	}
	payload, err := json.Marshal(keyChange{Account: current.url, OldKey: &jose.JSONWebKey{Key: current.key.Public()}})
	if err != nil {
		return fmt.Errorf("encode the change of key: %w", err)
	}
	// The inner JWS is signed by the new key, which is in its header, without a nonce.
	inner, err := signer{key: next.key}.sign(dir.KeyChangeURL, "", payload)
	if err != nil {
		return err
	}
	_, err = c.post(ctx, current, dir.KeyChangeURL, json.RawMessage(inner))
	return err
}

// errNoKeyChange is a CA whose directory has no keyChange address.
var errNoKeyChange = errors.New("the CA offers no change of account keys")
