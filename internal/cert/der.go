package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"strings"
)

// What is made once for each order is put together here, as encoding/asn1 would do it by reflection in ten times the time. Tests
// hold it against crypto/x509, byte for byte.

// The tags in use (X.690 section 8.1.2; those in brackets in RFC 5280, 5915 and 2986).
const (
	tagInteger     = 0x02
	tagBitString   = 0x03
	tagOctetString = 0x04
	tagOID         = 0x06
	tagSequence    = 0x30
	tagSet         = 0x31
	tagDNSName     = 0x82 // [2] of a GeneralName
	tagIPAddress   = 0x87 // [7] of a GeneralName
	tagAttributes  = 0xa0 // [0] of a CertificationRequestInfo
	tagPublicKey   = 0xa1 // [1] of an ECPrivateKey
)

// Object identifiers as they are encoded.
const (
	oidECPublicKey      = "\x2a\x86\x48\xce\x3d\x02\x01"         // 1.2.840.10045.2.1
	oidP256             = "\x2a\x86\x48\xce\x3d\x03\x01\x07"     // 1.2.840.10045.3.1.7
	oidP384             = "\x2b\x81\x04\x00\x22"                 // 1.3.132.0.34
	oidECDSAWithSHA256  = "\x2a\x86\x48\xce\x3d\x04\x03\x02"     // 1.2.840.10045.4.3.2
	oidECDSAWithSHA384  = "\x2a\x86\x48\xce\x3d\x04\x03\x03"     // 1.2.840.10045.4.3.3
	oidSHA256WithRSA    = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b" // 1.2.840.113549.1.1.11
	oidEd25519          = "\x2b\x65\x70"                         // 1.3.101.112
	oidExtensionRequest = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e" // 1.2.840.113549.1.9.14
	oidSubjectAltName   = "\x55\x1d\x11"                         // 2.5.29.17
)

// derNull is the value that is none.
const derNull = "\x05\x00"

// tlv is one value in DER: its tag, its length in bytes and what it consists of (X.690 section 10.1).
func tlv(tag byte, content string) string {
	n := len(content)
	if n < 0x80 {
		return string([]byte{tag, byte(n)}) + content
	}
	length := strings.TrimLeft(string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), "\x00")
	return string([]byte{tag, 0x80 | byte(len(length))}) + length + content
}

// bits is a bit string of whole bytes.
func bits(content []byte) string { return tlv(tagBitString, "\x00"+string(content)) }

// ecAlgorithm is the AlgorithmIdentifier of keys on a curve (RFC 5480 section 2.1.1); empty for one that is not made here.
func ecAlgorithm(curve elliptic.Curve) string {
	switch curve {
	case elliptic.P256():
		return tlv(tagSequence, tlv(tagOID, oidECPublicKey)+tlv(tagOID, oidP256))
	case elliptic.P384():
		return tlv(tagSequence, tlv(tagOID, oidECPublicKey)+tlv(tagOID, oidP384))
	default:
		return ""
	}
}

// marshalPrivateKey returns a key in PKCS#8 form (RFC 5208 section 5), which has that of RFC 5915 in it.
func marshalPrivateKey(signer crypto.Signer) ([]byte, error) {
	key, ok := signer.(*ecdsa.PrivateKey)
	if !ok || ecAlgorithm(key.Curve) == "" {
		return x509.MarshalPKCS8PrivateKey(signer)
	}
	private, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	inner := tlv(tagSequence, tlv(tagInteger, "\x01")+tlv(tagOctetString, string(private))+tlv(tagPublicKey, bits(public)))
	return []byte(tlv(tagSequence, tlv(tagInteger, "\x00")+ecAlgorithm(key.Curve)+tlv(tagOctetString, inner))), nil
}

// marshalPublicKey returns a SubjectPublicKeyInfo.
func marshalPublicKey(public crypto.PublicKey) (string, error) {
	if key, ok := public.(*ecdsa.PublicKey); ok {
		if algorithm := ecAlgorithm(key.Curve); algorithm != "" {
			point, err := key.Bytes()
			return tlv(tagSequence, algorithm+bits(point)), err
		}
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	return string(der), err
}
