package acme

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	jose "github.com/go-jose/go-jose/v4"
)

// keyChange is the payload that the new key signs (RFC 8555 section 7.3.5).
type keyChange struct {
	Account string           `json:"account"`
	OldKey  *jose.JSONWebKey `json:"oldKey"`
}

// changeKey asks the CA to put next in the place of the account's key. lego's client has no such request, so it is
// signed here. An error that is a problem with status 409 means that another account has the key.
func (c *client) changeKey(ctx context.Context, current, next signer) error {
	_, err := c.attempt(ctx, func(x *exchange) error {
		dir, err := c.directory(ctx)
		if err != nil {
			return err
		}
		if dir.KeyChangeURL == "" {
			return errNoKeyChange
		}
		inner, err := signKeyChange(dir.KeyChangeURL, current, next)
		if err != nil {
			return err
		}
		x.newNonce = dir.NewNonceURL
		outer, err := sign(current, jose.SignerOptions{
			NonceSource:  nonceSource{x},
			ExtraHeaders: map[jose.HeaderKey]any{"url": dir.KeyChangeURL},
		}, inner)
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, dir.KeyChangeURL, bytes.NewReader(outer))
		if err != nil {
			return fmt.Errorf("make the request: %w", err)
		}
		req.Header.Set("Content-Type", "application/jose+json")
		_, _, err = x.send(req)
		return err
	})
	return err
}

// errNoKeyChange is a CA whose directory has no keyChange address.
var errNoKeyChange = errors.New("the CA offers no change of account keys")

// signKeyChange makes the inner JWS: signed by the new key, which is in its header, without a nonce.
func signKeyChange(url string, current, next signer) ([]byte, error) {
	payload, err := json.Marshal(keyChange{Account: current.url, OldKey: &jose.JSONWebKey{Key: current.key.Public()}})
	if err != nil {
		return nil, fmt.Errorf("encode the change of key: %w", err)
	}
	return sign(signer{key: next.key}, jose.SignerOptions{
		EmbedJWK:     true,
		ExtraHeaders: map[jose.HeaderKey]any{"url": url},
	}, payload)
}

func sign(who signer, options jose.SignerOptions, payload []byte) ([]byte, error) {
	algorithm, err := signatureAlgorithm(who.key)
	if err != nil {
		return nil, err
	}
	s, err := jose.NewSigner(jose.SigningKey{
		Algorithm: algorithm,
		Key:       jose.JSONWebKey{Key: who.key, KeyID: who.url},
	}, &options)
	if err != nil {
		return nil, fmt.Errorf("make a signer: %w", err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return []byte(jws.FullSerialize()), nil
}

// nonceSource gives a signer a nonce of the pool, or else one the CA is asked for.
type nonceSource struct{ x *exchange }

// Nonce implements jose.NonceSource.
func (n nonceSource) Nonce() (string, error) {
	req, err := http.NewRequestWithContext(n.x.ctx, http.MethodHead, n.x.newNonce, nil)
	if err != nil {
		return "", fmt.Errorf("make the request for a nonce: %w", err)
	}
	resp, err := n.x.RoundTrip(req)
	if err != nil {
		return "", fmt.Errorf("get a nonce: %w", err)
	}
	defer resp.Body.Close()
	nonce := resp.Header.Get("Replay-Nonce")
	if nonce == "" {
		return "", &garbage{url: n.x.newNonce, what: "no nonce"}
	}
	return nonce, nil
}
