package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"strings"
)

// A certificate's serial number is as long as one may be, twenty octets (RFC 5280 section 4.1.2.2): four of them random,
// but for the two highest bits, which make it positive and all serial numbers equally long, and then the sixteen of the
// order's idempotency key, which is random itself. So a certificate leads to its order, and no index has to be written
// beside the order.
const (
	serialBits = 159
	keyOctets  = 16
)

// leafSerial returns a serial number for the certificate of an order.
func leafSerial(key string) (*big.Int, error) {
	var octets [serialBits/8 + 1]byte
	random := octets[:len(octets)-keyOctets]
	_, _ = rand.Read(random) // never fails (crypto/rand)
	octets[0] = octets[0]&0x3f | 0x40
	rest, err := hex.DecodeString(key)
	if err != nil || len(rest) != keyOctets {
		return nil, fmt.Errorf("make serial number: %q is no idempotency key", key)
	}
	copy(octets[len(random):], rest)
	return new(big.Int).SetBytes(octets[:]), nil
}

// caSerial returns a serial number for a certificate of the CA itself: 128 random bits.
func caSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return n.SetBit(n, 127, 1), nil // of full length, so that all are written alike
}

// keyOfSerial returns the key of the order that a serial number stems from, if it is one of this CA.
func (d folder) keyOfSerial(serial *big.Int) (string, bool) {
	if serial.Sign() > 0 && serial.BitLen() == serialBits {
		octets := serial.Bytes()
		return hex.EncodeToString(octets[len(octets)-keyOctets:]), true
	}
	// Older certificates have random serial numbers, and a file each that holds the key.
	text, err := os.ReadFile(d.path("serials", serial.Text(16)))
	if err != nil {
		return "", false
	}
	return keyOf(referencePrefix + strings.TrimSpace(string(text)))
}

func serialOf(c *x509.Certificate) string { return c.SerialNumber.Text(16) }
