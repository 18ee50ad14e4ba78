package cert

import (
	"crypto/sha1" //nolint:gosec // a JKS is closed by a SHA-1 digest, whatever we think of it
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
)

// The libraries that read keystores believe the lengths and counts in a file before they check its digest, so a
// damaged file could take all memory or minutes of processor time. The checks here come first.

// The parts of a JKS that are walked over.
const (
	jksHeaderLength   = 12 // magic, version, number of entries
	jksPrivateKey     = 1
	jksTrusted        = 2
	jksMinKey         = 40 // salt and digest around the encrypted key
	maxPKCS12Rounds   = 10_000_000
	jksCreationLength = 8
)

// jksWalker walks over the structure of a JKS without keeping anything. After the first fault all reads yield zero.
type jksWalker struct {
	rest []byte
	bad  bool
}

func (w *jksWalker) skip(n uint64) []byte {
	if w.bad || n > uint64(len(w.rest)) {
		w.bad = true
		return nil
	}
	part := w.rest[:n]
	w.rest = w.rest[n:]
	return part
}

func (w *jksWalker) uint16() uint64 {
	if b := w.skip(2); b != nil {
		return uint64(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (w *jksWalker) uint32() uint64 {
	if b := w.skip(4); b != nil {
		return uint64(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (w *jksWalker) certificate(version uint64) {
	if version > 1 {
		w.skip(w.uint16()) // type
	}
	w.skip(w.uint32())
}

func (w *jksWalker) entry(version uint64) {
	tag := w.uint32()
	w.skip(w.uint16()) // alias
	w.skip(jksCreationLength)
	switch tag {
	case jksPrivateKey:
		w.key(w.skip(w.uint32()))
		for left := w.uint32(); left > 0 && !w.bad; left-- {
			w.certificate(version)
		}
	case jksTrusted:
		w.certificate(version)
	default:
		w.bad = true
	}
}

// key checks the outer form of an encrypted key.
func (w *jksWalker) key(der []byte) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Encrypted []byte
	}
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 || len(info.Encrypted) < jksMinKey {
		w.bad = true
	}
}

// checkJKSLengths walks over a JKS and refuses one whose lengths or counts do not fit its size.
func checkJKSLengths(data []byte) error {
	w := jksWalker{rest: data}
	w.skip(4) // magic
	version, count := w.uint32(), w.uint32()
	for ; count > 0 && !w.bad; count-- {
		w.entry(version)
	}
	if w.bad || len(w.rest) != sha1.Size || len(data) < jksHeaderLength {
		return fmt.Errorf("%w: its parts do not fit its length", ErrKeystore)
	}
	return nil
}

// checkPKCS12Rounds refuses a PKCS#12 file that asks for an absurd number of rounds to check its password (RFC 7292
// section 4, macData). What lies beneath is protected by that check.
func checkPKCS12Rounds(data []byte) error {
	var pfx struct {
		Version  int
		AuthSafe asn1.RawValue
		MAC      struct {
			Digest struct {
				Algorithm pkix.AlgorithmIdentifier
				Digest    []byte
			}
			Salt   []byte
			Rounds int `asn1:"optional,default:1"`
		} `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(data, &pfx); err != nil {
		return nil //nolint:nilerr // the decoder says it better
	}
	rounds := pfx.MAC.Rounds
	// PBMAC1 (RFC 9579) has its rounds within the algorithm's parameters.
	var pbmac1 struct {
		KDF struct {
			Algorithm asn1.ObjectIdentifier
			Params    struct {
				Salt   asn1.RawValue
				Rounds int
				Length int                      `asn1:"optional"`
				PRF    pkix.AlgorithmIdentifier `asn1:"optional"`
			}
		}
		MAC pkix.AlgorithmIdentifier
	}
	if _, err := asn1.Unmarshal(pfx.MAC.Digest.Algorithm.Parameters.FullBytes, &pbmac1); err == nil {
		rounds = max(rounds, pbmac1.KDF.Params.Rounds)
	}
	if rounds > maxPKCS12Rounds {
		return errors.New("its password check asks for more than ten million rounds")
	}
	return nil
}
