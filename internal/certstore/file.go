package certstore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Form is what a file holds and how it is encoded, as the configuration spells it.
type Form string

// The forms.
const (
	Fullchain Form = "fullchain" // PEM: leaf and intermediates
	Cert      Form = "cert"      // PEM: leaf
	Chain     Form = "chain"     // PEM: intermediates; empty when a root signed the leaf itself
	Key       Form = "key"       // PEM: private key, PKCS#8
	Combined  Form = "combined"  // PEM: leaf, intermediates, private key, as HAProxy wants it
	PKCS12    Form = "pkcs12"    // leaf, intermediates, private key
	JKS       Form = "jks"       // leaf, intermediates, private key
	DER       Form = "der"       // leaf
	KeyDER    Form = "key-der"   // private key, PKCS#8
)

// Forms lists every form.
func Forms() []Form {
	return []Form{Fullchain, Cert, Chain, Key, Combined, PKCS12, JKS, DER, KeyDER}
}

// ParseForm checks the name of a form.
func ParseForm(s string) (Form, error) {
	if slices.Contains(Forms(), Form(s)) {
		return Form(s), nil
	}
	names := make([]string, 0, len(Forms()))
	for _, f := range Forms() {
		names = append(names, string(f))
	}
	return "", fmt.Errorf("unknown form of file %q: use one of %s", s, strings.Join(names, ", "))
}

// HasKey reports whether files of this form hold the private key.
func (f Form) HasKey() bool {
	return slices.Contains([]Form{Key, Combined, PKCS12, JKS, KeyDER}, f)
}

// hasLeaf reports whether files of this form hold the leaf certificate.
func (f Form) hasLeaf() bool {
	return slices.Contains([]Form{Fullchain, Cert, Combined, PKCS12, JKS, DER}, f)
}

// hasChain reports whether files of this form hold leaf and intermediates.
func (f Form) hasChain() bool {
	return slices.Contains([]Form{Fullchain, Combined, PKCS12, JKS}, f)
}

// pem reports whether files of this form are PEM.
func (f Form) pem() bool {
	return slices.Contains([]Form{Fullchain, Cert, Chain, Key, Combined}, f)
}

// Modes of files that did not exist before and have none configured.
const (
	defaultMode    fs.FileMode = 0o644
	defaultKeyMode fs.FileMode = 0o600
)

// File is one file of a certificate's set.
type File struct {
	Form Form
	// Path is absolute.
	Path string
	// Owner and Group are names or numbers; empty keeps what the file has.
	Owner, Group string
	// Mode holds permission bits; zero keeps what the file has, or means 0644 for a new file, 0600 with a key in it.
	Mode fs.FileMode
	// Password protects a PKCS#12 file or a JKS.
	Password pluginapi.Secret
	// Alias names the entry in a JKS; empty means cert.DefaultAlias for writing, the only private key for reading.
	Alias string
}

// validate checks what can be checked without looking at the disk.
func (f File) validate() error {
	if _, err := ParseForm(string(f.Form)); err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	switch {
	case !filepath.IsAbs(f.Path):
		return fmt.Errorf("%q: the path of a %s file must be absolute", f.Path, f.Form)
	case f.Mode&^fs.ModePerm != 0:
		return fmt.Errorf("%s: mode %v has more than permission bits", f.Path, f.Mode)
	case f.Form == JKS && f.Password.Empty():
		return fmt.Errorf("%s: a JKS needs a password", f.Path)
	}
	return nil
}

// encode returns what goes into the file. old is what the file holds now, or nil: a JKS keeps its other entries, and a
// PEM file its Diffie-Hellman parameters.
func (f File) encode(key crypto.Signer, chain []*x509.Certificate, old []byte) ([]byte, error) {
	switch f.Form {
	case Fullchain:
		return append(cert.EncodeChain(chain), dhParameters(old)...), nil
	case Cert:
		return append(cert.EncodeChain(chain[:1]), dhParameters(old)...), nil
	case Chain:
		return cert.EncodeChain(chain[1:]), nil
	case Key:
		return cert.EncodeKey(key)
	case Combined:
		keyPEM, err := cert.EncodeKey(key)
		if err != nil {
			return nil, err
		}
		return slices.Concat(cert.EncodeChain(chain), keyPEM, dhParameters(old)), nil
	case PKCS12:
		return cert.EncodePKCS12(key, chain, f.Password.Reveal())
	case JKS:
		if old != nil {
			// A keystore that this password does not open is replaced as a whole: the password was changed on purpose,
			// and the old file is still there to roll back to.
			if data, err := cert.UpdateJKS(old, key, chain, f.Password.Reveal(), f.Alias); err == nil {
				return data, nil
			}
		}
		return cert.EncodeJKS(key, chain, f.Password.Reveal(), f.Alias)
	case DER:
		return chain[0].Raw, nil
	case KeyDER:
		return cert.MarshalKey(key)
	default:
		return nil, fmt.Errorf("unknown form of file %q", f.Form)
	}
}

func dhParameters(old []byte) []byte {
	if !bytes.Contains(old, []byte("DH PARAMETERS")) { // most have none, and need not be parsed to know it
		return nil
	}
	contents, _ := cert.ParsePEM(old) // what can be read of a damaged file is good enough here
	var out []byte
	for _, block := range contents.DHParameters {
		out = append(out, pem.EncodeToMemory(block)...)
	}
	return out
}

// parsed is what a file holds. The private key is reduced to its public half: the store keeps no key in memory.
type parsed struct {
	certs  []*x509.Certificate
	public crypto.PublicKey
}

// parse reads a file's bytes and returns the private key beside what may be kept.
func (f File) parse(data []byte) (parsed, crypto.Signer, error) {
	var p parsed
	var key crypto.Signer
	var err error
	switch {
	case f.Form.pem():
		var contents cert.Contents
		contents, err = cert.ParsePEM(data)
		p.certs, key = contents.Certificates, contents.Key
	case f.Form == PKCS12:
		key, p.certs, err = cert.DecodePKCS12(data, f.Password.Reveal())
	case f.Form == JKS:
		key, p.certs, err = cert.DecodeJKS(data, f.Password.Reveal(), f.Alias)
	case f.Form == DER:
		p.certs, err = cert.ParseChain([][]byte{data})
	case f.Form == KeyDER:
		key, err = cert.ParseAnyKey(data)
	default:
		err = fmt.Errorf("unknown form of file %q", f.Form)
	}
	if key != nil {
		p.public = key.Public()
	}
	if err == nil {
		err = f.lacking(p)
	}
	return p, key, err
}

// lacking names what a file of this form should hold and does not.
func (f File) lacking(p parsed) error {
	switch {
	case f.Form.hasLeaf() && len(p.certs) == 0:
		return errors.New("there is no certificate in it")
	case f.Form.HasKey() && p.public == nil:
		return errors.New("there is no private key in it")
	default:
		return nil
	}
}
