package main

import (
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
)

// keyID is the subject key identifier of a public key: the leftmost 160 bits of the SHA-256 of its bits (RFC 7093
// section 2, method 1).
func keyID(publicKeyInfo []byte) ([]byte, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(publicKeyInfo, &info); err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	sum := sha256.Sum256(info.Key.Bytes)
	return sum[:20], nil
}
