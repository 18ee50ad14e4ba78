package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// KeyType is an algorithm and size of private key, as the configuration spells it.
type KeyType string

// The key types that can be generated.
const (
	ECDSAP256 KeyType = "ecdsa-p256"
	ECDSAP384 KeyType = "ecdsa-p384"
	RSA2048   KeyType = "rsa-2048"
	RSA3072   KeyType = "rsa-3072"
	RSA4096   KeyType = "rsa-4096"
	Ed25519   KeyType = "ed25519"
)

// KeyTypes lists every key type, the recommended one first.
func KeyTypes() []KeyType {
	return []KeyType{ECDSAP256, ECDSAP384, RSA2048, RSA3072, RSA4096, Ed25519}
}

// ParseKeyType checks the name of a key type.
func ParseKeyType(s string) (KeyType, error) {
	names := make([]string, 0, len(KeyTypes()))
	for _, t := range KeyTypes() {
		if s == string(t) {
			return t, nil
		}
		names = append(names, string(t))
	}
	return "", fmt.Errorf("unknown key type %q: use one of %s", s, strings.Join(names, ", "))
}

// KeyTypeOf returns the key type of a public key. A key that could not be generated here, such as RSA with 1024 bits
// or ECDSA on P-521, is an error that says what it is.
func KeyTypeOf(pub crypto.PublicKey) (KeyType, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return ECDSAP256, nil
		case elliptic.P384():
			return ECDSAP384, nil
		}
		return "", fmt.Errorf("unsupported key: ECDSA on curve %s", k.Curve.Params().Name)
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); bits {
		case 2048:
			return RSA2048, nil
		case 3072:
			return RSA3072, nil
		case 4096:
			return RSA4096, nil
		default:
			return "", fmt.Errorf("unsupported key: RSA with %d bits", bits)
		}
	case ed25519.PublicKey:
		return Ed25519, nil
	default:
		return "", fmt.Errorf("unsupported key: %T", pub)
	}
}

// GenerateKey makes a new private key from the system's randomness.
func GenerateKey(t KeyType) (crypto.Signer, error) {
	var key crypto.Signer
	var err error
	switch t {
	case ECDSAP256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSAP384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case RSA2048:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		key, err = rsa.GenerateKey(rand.Reader, 4096)
	case Ed25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		_, err = ParseKeyType(string(t))
	}
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return key, nil
}

// MarshalKey returns a private key as PKCS#8 DER (RFC 5208).
func MarshalKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return der, nil
}

// ParseKey reads a private key from PKCS#8 DER. Nothing may follow it.
func ParseKey(der []byte) (crypto.Signer, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("parse PKCS#8 private key: %w", err)
	}
	return signer(parsed)
}

// ParseAnyKey reads a private key from DER in any of the three forms in use: PKCS#8, PKCS#1 (RSA) and SEC 1 (EC).
func ParseAnyKey(der []byte) (crypto.Signer, error) {
	if parsed, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return signer(parsed)
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, errors.New("parse private key: neither PKCS#8 nor PKCS#1 nor SEC 1, or damaged")
}

// SamePublicKey reports whether two public keys are the same key.
func SamePublicKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// signer narrows what the x509 parsers return to keys that can sign, which X25519 keys cannot.
func signer(parsed any) (crypto.Signer, error) {
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign and so cannot belong to a certificate", parsed)
	}
	return key, nil
}
