package cert

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ErrEncryptedKey is returned for a private key that is protected by a passphrase. A server that restarts at night
// cannot use one without a person, and neither can we.
var ErrEncryptedKey = errors.New("the private key is encrypted with a passphrase: decrypt it with \"openssl pkey\"")

// PEM block types that are read or written here; RFC 7468 names most of them.
const (
	pemCertificate = "CERTIFICATE"
	pemPKCS8Key    = "PRIVATE KEY"
	pemDH          = "DH PARAMETERS"
)

// Contents is what a PEM file holds.
type Contents struct {
	// Certificates in the order of the file.
	Certificates []*x509.Certificate
	// Key is nil when the file has none.
	Key crypto.Signer
	// DHParameters are kept as they are: administrators put them beside certificates for HAProxy and Apache.
	DHParameters []*pem.Block
}

// PEMError says which block of a PEM file is bad.
type PEMError struct {
	Block int // counted from 1
	Line  int // of the block's first line, counted from 1
	Type  string
	Err   error
}

// Error names the place and what is wrong there.
func (e *PEMError) Error() string {
	return fmt.Sprintf("PEM block %d (%s) at line %d: %v", e.Block, e.Type, e.Line, e.Err)
}

// Unwrap returns what is wrong.
func (e *PEMError) Unwrap() error { return e.Err }

// ParsePEM reads certificates and at most one private key (PKCS#8, PKCS#1 or SEC 1) from PEM text. As with openssl,
// text between the blocks is passed over, and so are blocks of other types. A damaged block is an error, as it would be for
// the server that reads the file: the errors are joined PEMErrors, and Contents holds what could be read nonetheless.
// Text without any block is no error.
func ParsePEM(data []byte) (Contents, error) {
	var c Contents
	var errs []error
	for i, b := range splitPEM(data) {
		if err := c.add(b); err != nil {
			errs = append(errs, &PEMError{Block: i + 1, Line: b.line, Type: b.kind, Err: err})
		}
	}
	return c, errors.Join(errs...)
}

// rawBlock is the text of one block, from its BEGIN line through its END line or as far as it goes.
type rawBlock struct {
	kind string
	line int
	text []byte
}

// splitPEM cuts text into blocks by their BEGIN lines. encoding/pem passes over damaged blocks silently; cutting first
// makes each of them visible.
func splitPEM(data []byte) []rawBlock {
	const begin = "-----BEGIN "
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var blocks []rawBlock
	start, line := 0, 0 // of the current block; no block while len(blocks) == 0
	for offset := 0; offset < len(data); {
		end := len(data)
		if n := bytes.IndexByte(data[offset:], '\n'); n >= 0 {
			end = offset + n + 1
		}
		line++
		if text := string(bytes.TrimSpace(data[offset:end])); strings.HasPrefix(text, begin) {
			if len(blocks) > 0 {
				blocks[len(blocks)-1].text = data[start:offset]
			}
			kind := strings.TrimSuffix(strings.TrimPrefix(text, begin), "-----")
			blocks = append(blocks, rawBlock{kind: kind, line: line})
			start = offset
		}
		offset = end
	}
	if len(blocks) > 0 {
		blocks[len(blocks)-1].text = data[start:]
	}
	return blocks
}

func (c *Contents) add(b rawBlock) error {
	block, _ := pem.Decode(bytes.TrimLeft(b.text, " \t"))
	if block == nil {
		if !bytes.Contains(b.text, []byte("-----END "+b.kind+"-----")) {
			return errors.New("its END line is missing")
		}
		return errors.New("damaged: not valid base64 between its BEGIN and END lines")
	}
	switch block.Type {
	case pemCertificate, "X509 CERTIFICATE":
		return c.addCertificate(block.Bytes)
	case "TRUSTED CERTIFICATE":
		// openssl's own form: trust settings follow the certificate.
		var first asn1.RawValue
		if _, err := asn1.Unmarshal(block.Bytes, &first); err != nil {
			return fmt.Errorf("parse certificate: %w", err)
		}
		return c.addCertificate(first.FullBytes)
	case pemDH:
		c.DHParameters = append(c.DHParameters, block)
		return nil
	case "ENCRYPTED PRIVATE KEY":
		return ErrEncryptedKey
	case pemPKCS8Key, "RSA PRIVATE KEY", "EC PRIVATE KEY":
		if strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return ErrEncryptedKey
		}
		return c.addKey(block.Bytes)
	case "DSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "ANY PRIVATE KEY":
		return errors.New("this kind of private key cannot be used for TLS")
	default:
		return nil // EC PARAMETERS, X509 CRL, CERTIFICATE REQUEST, ...: not ours to read
	}
}

func (c *Contents) addCertificate(der []byte) error {
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("parse certificate: %w", err)
	}
	c.Certificates = append(c.Certificates, parsed)
	return nil
}

func (c *Contents) addKey(der []byte) error {
	key, err := ParseAnyKey(der)
	if err != nil {
		return err
	}
	if c.Key != nil && !SamePublicKey(c.Key.Public(), key.Public()) {
		return errors.New("a second, different private key in one file")
	}
	c.Key = key
	return nil
}

// EncodeChain returns certificates as PEM, in their order.
func EncodeChain(chain []*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, c := range chain {
		// A bytes.Buffer takes everything, so this cannot fail.
		_ = pem.Encode(&out, &pem.Block{Type: pemCertificate, Bytes: c.Raw})
	}
	return out.Bytes()
}

// EncodeKey returns a private key as PEM in PKCS#8 form.
func EncodeKey(key crypto.Signer) ([]byte, error) {
	der, err := MarshalKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPKCS8Key, Bytes: der}), nil
}
