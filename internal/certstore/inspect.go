package certstore

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Found is what a file that is in use turns out to be.
type Found struct {
	Path string // absolute
	// Target is the real path, where it differs.
	Target string
	Form   Form
	// Chain is leaf first; empty for files without a certificate and for keystores whose password is not known.
	Chain []*x509.Certificate
	Names []string
	// KeyType is that of the key, or of the leaf where there is none; empty when it is of a type that is not
	// generated here.
	KeyType      cert.KeyType
	Owner, Group string
	Mode         fs.FileMode
	// NeedsPassword is set for a keystore that could not be opened without a password.
	NeedsPassword bool

	public crypto.PublicKey // of the key, or of the leaf
}

// Inspect tells what a file holds, for taking over files that are in use. The password is for keystores and may be
// empty.
func Inspect(path string, password pluginapi.Secret) (Found, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Found{}, fmt.Errorf("inspect %s: %w", path, err)
	}
	seen, err := askStamp(path, true)
	if err != nil {
		return Found{}, fmt.Errorf("inspect %s: %w", path, bare(err))
	}
	data, err := readWhole(path)
	if err != nil {
		return Found{}, fmt.Errorf("inspect %s: %w", path, bare(err))
	}
	found := Found{Path: path, Owner: ownerName(int(seen.uid)), Group: groupName(int(seen.gid)), Mode: fs.FileMode(seen.mode).Perm()}
	if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
		found.Target = real
	}
	if err := found.identify(data, password); err != nil {
		return Found{}, fmt.Errorf("inspect %s: %w", path, err)
	}
	found.describe()
	return found, nil
}

// identify finds the form of a file and takes out of it what it can.
func (f *Found) identify(data []byte, password pluginapi.Secret) error {
	switch cert.SniffContainer(data) {
	case cert.ContainerPEM:
		return f.identifyPEM(data)
	case cert.ContainerJKS:
		return f.open(JKS, data, password)
	case cert.ContainerDER:
		return f.identifyDER(data, password)
	case cert.ContainerJCEKS:
		return errors.New("a JCEKS keystore, which is not supported: convert it with keytool -importkeystore")
	default:
		return errors.New("neither PEM nor DER nor PKCS#12 nor JKS")
	}
}

func (f *Found) identifyPEM(data []byte) error {
	contents, err := cert.ParsePEM(data)
	if err != nil {
		return err
	}
	certs := contents.Certificates
	f.Chain = certs
	if contents.Key != nil {
		f.public = contents.Key.Public()
	}
	switch {
	case len(certs) == 0 && contents.Key == nil:
		return errors.New("a PEM file without a certificate or private key")
	case len(certs) == 0:
		f.Form = Key
	case contents.Key != nil:
		f.Form = Combined
	case certs[0].IsCA && (len(certs) != 1 || len(certs[0].DNSNames) == 0):
		f.Form = Chain
	case len(certs) == 1:
		f.Form = Cert
	default:
		f.Form = Fullchain
	}
	return nil
}

func (f *Found) identifyDER(data []byte, password pluginapi.Secret) error {
	if chain, err := cert.ParseChain([][]byte{data}); err == nil {
		f.Form, f.Chain = DER, chain
		return nil
	}
	if key, err := cert.ParseAnyKey(data); err == nil {
		f.Form, f.public = KeyDER, key.Public()
		return nil
	}
	var pfx struct {
		Version int
		Rest    asn1.RawValue
	}
	const pkcs12Version = 3 // RFC 7292 section 4
	if _, err := asn1.Unmarshal(data, &pfx); err != nil || pfx.Version != pkcs12Version {
		return errors.New("DER, but neither a certificate nor a private key nor a PKCS#12 file")
	}
	return f.open(PKCS12, data, password)
}

// open opens a keystore. Without the right password it is known for what it is, but not what it holds.
func (f *Found) open(form Form, data []byte, password pluginapi.Secret) error {
	f.Form = form
	held, _, err := File{Form: form, Path: f.Path, Password: password}.parse(data)
	switch {
	case err == nil:
		f.Chain, f.public = held.certs, held.public
		return nil
	case errors.Is(err, cert.ErrKeystore) && password.Empty():
		f.NeedsPassword = true
		return nil
	default:
		return err
	}
}

// describe draws the conclusions from the key and the certificates.
func (f *Found) describe() {
	if len(f.Chain) > 0 && f.Form != Chain {
		f.Names = cert.Names(f.Chain[0])
		if f.public == nil {
			f.public = f.Chain[0].PublicKey
		}
	}
	if f.public == nil {
		return
	}
	if keyType, err := cert.KeyTypeOf(f.public); err == nil {
		f.KeyType = keyType
	}
}

// leaf returns the certificate a file holds, or nil.
func (f *Found) leaf() *x509.Certificate {
	if len(f.Chain) == 0 || f.Form == Chain {
		return nil
	}
	return f.Chain[0]
}

// Set is files that belong to one certificate.
type Set struct {
	Files   []Found
	Leaf    *x509.Certificate
	Names   []string
	KeyType cert.KeyType
	HasKey  bool
}

// Gather sorts files into sets: those with one certificate, the key that belongs to it, and the chain files that
// continue it. Files that belong nowhere, such as chain files without a leaf and keystores without a password, are
// returned apart.
func Gather(found []Found) (sets []Set, apart []Found) {
	for _, f := range found {
		leaf := f.leaf()
		if leaf == nil {
			continue
		}
		i := slices.IndexFunc(sets, func(s Set) bool { return s.Leaf.Equal(leaf) })
		if i < 0 {
			sets = append(sets, Set{Leaf: leaf, Names: f.Names, KeyType: f.KeyType})
			i = len(sets) - 1
		}
		sets[i].add(f)
	}
	for _, f := range found {
		if f.leaf() != nil {
			continue
		}
		used := false
		for i := range sets {
			if sets[i].wants(f) {
				sets[i].add(f)
				used = true
			}
		}
		if !used {
			apart = append(apart, f)
		}
	}
	for _, s := range sets {
		slices.SortFunc(s.Files, func(a, b Found) int { return cmp.Compare(a.Path, b.Path) })
	}
	return sets, apart
}

func (s *Set) add(f Found) {
	s.Files = append(s.Files, f)
	s.HasKey = s.HasKey || f.Form.HasKey()
}

func (s *Set) wants(f Found) bool {
	switch {
	case f.Form == Chain && len(f.Chain) > 0:
		return s.Leaf.CheckSignatureFrom(f.Chain[0]) == nil
	case f.Form == Key || f.Form == KeyDER:
		return cert.SamePublicKey(s.Leaf.PublicKey, f.public)
	default:
		return false
	}
}
