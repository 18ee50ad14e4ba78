package certstore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/certbridge/certbridged/internal/cert"
)

// FileState is what one file of a set looks like on disk.
type FileState struct {
	File   File
	Exists bool
	// Problem says why the file cannot be used; nil when it can. It is fs.ErrNotExist when the file is not there.
	Problem error

	stamp stamp
	// unread: it may be that it can be read the next time without having changed.
	unread bool
}

// Snapshot is what a certificate's files hold.
type Snapshot struct {
	Files []FileState
	// Chain is leaf first; nil when no file has a leaf that can be read.
	Chain []*x509.Certificate
	// KeyPresent: a private key is there. KeyMatches: every key that is there belongs to the leaf.
	KeyPresent, KeyMatches bool
	// Problems are what is wrong with the set as a whole, such as two files with different certificates.
	Problems []error
}

// Leaf returns the certificate, or nil.
func (snap Snapshot) Leaf() *x509.Certificate {
	if len(snap.Chain) == 0 {
		return nil
	}
	return snap.Chain[0]
}

// Err returns everything that keeps a server from using the set as it is, joined, or nil.
func (snap Snapshot) Err() error {
	var errs []error
	for _, f := range snap.Files {
		if f.Problem != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.File.Path, f.Problem))
		}
	}
	return errors.Join(append(errs, snap.Problems...)...)
}

// Read reads the files of a certificate. What is wrong with them stands in the Snapshot; the error is for files that
// no configuration may name.
func (s *Store) Read(files []File) (Snapshot, error) {
	loaded, err := load(files)
	if err != nil {
		return Snapshot{}, err
	}
	return snapshotOf(loaded), nil
}

// loadedFile is a file with its bytes, where it could be read.
type loadedFile struct {
	state FileState
	data  []byte
}

// load reads files without looking into them.
func load(files []File) ([]loadedFile, error) {
	loaded := make([]loadedFile, len(files))
	for i, f := range files {
		if err := f.validate(); err != nil {
			return nil, fmt.Errorf("read certificate files: %w", err)
		}
		loaded[i] = loadFile(f)
	}
	return loaded, nil
}

// snapshotOf says what files hold.
func snapshotOf(loaded []loadedFile) Snapshot {
	var snap Snapshot
	held := make([]parsed, len(loaded))
	for i, f := range loaded {
		if f.state.Problem == nil {
			held[i], _, f.state.Problem = f.state.File.parse(f.data)
		}
		snap.Files = append(snap.Files, f.state)
	}
	snap.assemble(held)
	return snap
}

// Key reads the private key of a set. It is read afresh each time and not kept. A set without one that can be read is an
// error.
func (s *Store) Key(files []File) (crypto.Signer, error) {
	errs := []error{errors.New("read private key: no file has one that can be read")}
	for _, f := range files {
		if !f.Form.HasKey() {
			continue
		}
		data, err := readWhole(f.Path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		_, key, err := f.parse(data)
		if err == nil {
			return key, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", f.Path, err))
	}
	return nil, errors.Join(errs...)
}

func loadFile(f File) loadedFile {
	state := FileState{File: f}
	file, err := openQuietly(f.Path)
	if err != nil {
		if state.Problem = bare(err); errors.Is(err, fs.ErrNotExist) {
			return loadedFile{state: state}
		}
		state.unread = true
		if seen, err := askStamp(f.Path, true); err == nil {
			state.see(seen)
		}
		return loadedFile{state: state}
	}
	defer func() { _ = file.close() }()
	data, st, err := file.read()
	if st != nil {
		state.see(stampOf(st))
	}
	if err != nil {
		state.Problem, state.unread = bare(err), true
	}
	return loadedFile{state: state, data: data}
}

func (f *FileState) see(s stamp) { f.Exists, f.stamp = true, s }

// bare drops the path from an error of the system; the caller names it.
func bare(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

func readWhole(path string) ([]byte, error) {
	file, err := openQuietly(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.close() }()
	data, _, err := file.read()
	return data, err
}

// assemble draws the conclusions from what the files hold one by one.
func (snap *Snapshot) assemble(held []parsed) {
	var source string // the file the leaf is from
	var intermediates []*x509.Certificate
	var complete bool
	for i := range snap.Files {
		p, f := held[i], snap.Files[i].File
		switch {
		case f.Form == Chain:
			if !complete {
				intermediates = p.certs
			}
		case !f.Form.hasLeaf() || len(p.certs) == 0:
		case source == "":
			source = f.Path
			snap.Chain = p.certs[:1:1]
			if f.Form.hasChain() {
				intermediates, complete = p.certs[1:], true
			}
		case !bytes.Equal(p.certs[0].Raw, snap.Chain[0].Raw):
			snap.Problems = append(snap.Problems, fmt.Errorf("%s and %s hold different certificates", source, f.Path))
		case f.Form.hasChain() && !complete:
			intermediates, complete = p.certs[1:], true
		}
	}
	if snap.Chain != nil {
		snap.Chain = append(snap.Chain, intermediates...)
	}
	snap.matchKeys(held)
}

func (snap *Snapshot) matchKeys(held []parsed) {
	leaf := snap.Leaf()
	snap.KeyMatches = leaf != nil
	for i, f := range snap.Files {
		// A key may also lie in a file that is only expected to have certificates.
		if held[i].public == nil {
			continue
		}
		snap.KeyPresent = true
		if leaf != nil && !cert.SamePublicKey(leaf.PublicKey, held[i].public) {
			snap.KeyMatches = false
			snap.Problems = append(snap.Problems, fmt.Errorf("%s: the private key does not belong to the certificate (serial %s)", f.File.Path, cert.Serial(leaf)))
		}
	}
	snap.KeyMatches = snap.KeyMatches && snap.KeyPresent
	if !snap.KeyMatches {
		snap.findMisplaced(held)
	}
}

// findMisplaced says where the certificate that belongs to a key stands after another: CAs send chains in any order, and servers
// take the first one for their own.
func (snap *Snapshot) findMisplaced(held []parsed) {
	for i, c := range snap.Chain {
		if i > 0 && slices.ContainsFunc(held, func(p parsed) bool { return p.public != nil && cert.SamePublicKey(c.PublicKey, p.public) }) {
			snap.Problems = append(snap.Problems, fmt.Errorf("certificate %d of the chain is the one of the private key: it must stand first in its file", i+1))
		}
	}
}
