package acme

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// protected is the header that a JWS signs (RFC 8555 section 6.2). It has either a JWK or the account's address.
type protected struct {
	Algorithm string           `json:"alg"`
	KeyID     string           `json:"kid,omitempty"`
	JWK       *jose.JSONWebKey `json:"jwk,omitempty"`
	Nonce     string           `json:"nonce,omitempty"`
	URL       string           `json:"url"`
}

// sign makes a JWS in the flattened form that ACME demands (RFC 7515 section 7.2.2). A signer that has no address yet is
// named by its key. Every request needs one, which is why no general library stands here.
func (s signer) sign(url, nonce string, payload []byte) ([]byte, error) {
	algorithm, err := signatureAlgorithm(s.key)
	if err != nil {
		return nil, err
	}
	header := protected{Algorithm: string(algorithm), KeyID: s.url, Nonce: nonce, URL: url}
	if s.url == "" {
		header.JWK = &jose.JSONWebKey{Key: s.key.Public()}
	}
	return flattened(header, payload, s.signature)
}

// bind makes the JWS by which a CA knows whose account a key is (RFC 8555 section 7.3.4).
func (s signer) bind(url, keyID string, secret pluginapi.Secret) ([]byte, error) {
	key, err := base64.RawURLEncoding.DecodeString(secret.Reveal())
	if err != nil {
		return nil, fmt.Errorf("the key of the external account binding is not base64url text")
	}
	payload, err := json.Marshal(&jose.JSONWebKey{Key: s.key.Public()})
	if err != nil {
		return nil, fmt.Errorf("encode the account key: %w", err)
	}
	return flattened(protected{Algorithm: "HS256", KeyID: keyID, URL: url}, payload, func(input []byte) ([]byte, error) {
		mac := hmac.New(sha256.New, key)
		mac.Write(input)
		return mac.Sum(nil), nil
	})
}

// flattened joins the three parts of a JWS; none of them needs escaping.
func flattened(header protected, payload []byte, signature func(input []byte) ([]byte, error)) ([]byte, error) {
	head, err := json.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("encode the header: %w", err)
	}
	encoding := base64.RawURLEncoding
	input := make([]byte, 0, encoding.EncodedLen(len(head))+1+encoding.EncodedLen(len(payload)))
	input = encoding.AppendEncode(input, head)
	dot := len(input)
	input = encoding.AppendEncode(append(input, '.'), payload)
	signed, err := signature(input)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	out := make([]byte, 0, len(input)+encoding.EncodedLen(len(signed))+48)
	out = append(append(out, `{"protected":"`...), input[:dot]...)
	out = append(append(out, `","payload":"`...), input[dot+1:]...)
	out = encoding.AppendEncode(append(out, `","signature":"`...), signed)
	return append(out, `"}`...), nil
}

// signature signs with the algorithm of the key (RFC 7518 sections 3.3 and 3.4).
func (s signer) signature(input []byte) ([]byte, error) {
	switch key := s.key.(type) {
	case *rsa.PrivateKey:
		digest := sha256.Sum256(input)
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	case *ecdsa.PrivateKey:
		return ecdsaSignature(key, input)
	default:
		return nil, fmt.Errorf("account keys of type %T cannot sign here", key)
	}
}

// ecdsaSignature signs without random numbers (RFC 6979), as RFC 8725 section 3.2 recommends for such signatures. That also takes a
// quarter less time than Go's way of mixing some in: every request needs a signature.
func ecdsaSignature(key *ecdsa.PrivateKey, input []byte) ([]byte, error) {
	size := (key.Curve.Params().BitSize + 7) / 8
	hash := crypto.SHA256
	if size == 48 {
		hash = crypto.SHA384
	}
	h := hash.New()
	h.Write(input)
	der, err := key.Sign(nil, h.Sum(nil), hash)
	if err != nil {
		return nil, err
	}
	var parts struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &parts); err != nil {
		return nil, err
	}
	out := make([]byte, 2*size)
	parts.R.FillBytes(out[:size])
	parts.S.FillBytes(out[size:])
	return out, nil
}
