package cert

import (
	"crypto"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// maxCommonName is ub-common-name, the longest common name in characters (RFC 5280 appendix A.1).
const maxCommonName = 64

// NewCSR makes a certificate request (PKCS#10, DER; RFC 2986) for DNS names and IP addresses, which it normalizes. The
// subject is empty unless commonName asks for the first name as common name, which some CAs demand; a first name that
// is too long for one is an error. The key is of a type that GenerateKey makes.
//
// It is what x509.CreateCertificateRequest makes of the same, which would also verify the signature: that takes twice as long
// as signing. Whoever is sent the request does so.
func NewCSR(key crypto.Signer, names []string, commonName bool) ([]byte, error) {
	der, err := newCSR(key, names, commonName)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return der, nil
}

func newCSR(key crypto.Signer, names []string, commonName bool) ([]byte, error) {
	names, err := NormalizeNames(names)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("no names")
	}
	subject, err := requestSubject(names[0], commonName)
	if err != nil {
		return nil, err
	}
	algorithm, hash, err := signatureOf(key.Public())
	if err != nil {
		return nil, err
	}
	public, err := marshalPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	info := tlv(tagSequence, tlv(tagInteger, "\x00")+subject+public+tlv(tagAttributes, requestedExtensions(names)))
	signature, err := crypto.SignMessage(key, rand.Reader, []byte(info), hash)
	if err != nil {
		return nil, err
	}
	return []byte(tlv(tagSequence, info+algorithm+bits(signature))), nil
}

// requestSubject is the Name of a request.
func requestSubject(first string, commonName bool) (string, error) {
	if !commonName {
		return tlv(tagSequence, ""), nil
	}
	if len(first) > maxCommonName {
		return "", fmt.Errorf("the CA wants the first name as common name, but %q is %d characters long and a common name holds %d: put a shorter name first",
			first, len(first), maxCommonName)
	}
	der, err := asn1.Marshal(pkix.Name{CommonName: first}.ToRDNSequence())
	return string(der), err
}

// requestedExtensions is the attribute that asks for the names as subject alternative names (RFC 2985 section 5.4.2).
func requestedExtensions(names []string) string {
	var domains, addresses strings.Builder
	for _, name := range names {
		if addr, err := netip.ParseAddr(name); err == nil {
			addresses.WriteString(tlv(tagIPAddress, string(addr.AsSlice())))
		} else {
			domains.WriteString(tlv(tagDNSName, name))
		}
	}
	list := tlv(tagSequence, domains.String()+addresses.String())
	extension := tlv(tagSequence, tlv(tagOID, oidSubjectAltName)+tlv(tagOctetString, list))
	return tlv(tagSequence, tlv(tagOID, oidExtensionRequest)+tlv(tagSet, tlv(tagSequence, extension)))
}

// signatureOf is the AlgorithmIdentifier of signatures by a key, and the digest that is signed.
func signatureOf(public crypto.PublicKey) (algorithm string, hash crypto.Hash, err error) {
	keyType, err := KeyTypeOf(public)
	if err != nil {
		return "", 0, err
	}
	switch keyType {
	case ECDSAP256:
		return tlv(tagSequence, tlv(tagOID, oidECDSAWithSHA256)), crypto.SHA256, nil
	case ECDSAP384:
		return tlv(tagSequence, tlv(tagOID, oidECDSAWithSHA384)), crypto.SHA384, nil
	case Ed25519:
		return tlv(tagSequence, tlv(tagOID, oidEd25519)), 0, nil // it signs the message itself
	default:
		return tlv(tagSequence, tlv(tagOID, oidSHA256WithRSA)+derNull), crypto.SHA256, nil
	}
}
