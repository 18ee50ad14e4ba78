package servertastic

import (
	"encoding/asn1"
	"fmt"
)

// signedData is the SignedData of RFC 2315 section 9.1, without signers: a bag of certificates.
type signedData struct {
	Version      int
	Digests      asn1.RawValue
	Content      contentInfo
	Certificates asn1.RawValue
	Signers      asn1.RawValue
}

type contentInfo struct {
	Type asn1.ObjectIdentifier
}

type outerInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue
}

// bundle packs certificates as PKCS#7 does.
func bundle(certificates [][]byte) ([]byte, error) {
	data, signed := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	var all []byte
	for _, der := range certificates {
		all = append(all, der...)
	}
	empty := asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true}
	inner, err := asn1.Marshal(signedData{
		Version: 1, Digests: empty, Content: contentInfo{data}, Signers: empty,
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: all},
	})
	if err != nil {
		return nil, fmt.Errorf("encode a PKCS#7 bundle: %w", err)
	}
	out, err := asn1.Marshal(outerInfo{signed, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}})
	if err != nil {
		return nil, fmt.Errorf("encode a PKCS#7 bundle: %w", err)
	}
	return out, nil
}
