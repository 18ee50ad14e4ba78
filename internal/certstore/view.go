package certstore

import (
	"crypto/sha256"
	"fmt"
	"hash/maphash"
	"slices"
	"time"
	"unique"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/internal/packed"
)

// View is what is remembered of a look at a certificate's files: what decisions need, and what tells that the files are
// still the same. It is never changed.
type View struct {
	// Whole: nothing keeps a server from using the set.
	Whole bool

	// snapshot is what was seen in full, where the set is not whole; else it is nil.
	snapshot *Snapshot
	// files is a digest of the files that were asked for, state one of what they were like.
	files, state uint64
	// issuer and leaf are the certificate, where any file has one that can be read: see Leaf.pack.
	issuer unique.Handle[string]
	leaf   string
	// settled is false when files were read so soon after their last change that a further one might not show, or could
	// not be read and may be readable the next time without having changed.
	settled bool
}

// Snapshot returns what was seen in full, where the set is not whole; else an empty one.
func (v *View) Snapshot() Snapshot {
	if v.snapshot == nil {
		return Snapshot{}
	}
	return *v.snapshot
}

// Leaf returns what is remembered of the certificate; nil when no file has one that can be read.
func (v *View) Leaf() *Leaf {
	if v.leaf == "" {
		return nil
	}
	r := packed.Reader(v.leaf)
	l := &Leaf{
		Serial: r.Text(), Issuer: v.issuer.Value(), Names: r.Texts(), NotBefore: r.Time(), NotAfter: r.Time(), KeyType: cert.KeyType(r.Text()),
	}
	copy(l.Digest[:], r.Bytes(sha256.Size))
	if l.covered = l.Names; r.Flag() {
		l.covered = r.Texts()
	}
	return l
}

// pack keeps what is remembered of a certificate, but for the issuer, which it shares with others.
func (l *Leaf) pack() string {
	var w packed.Writer
	w.Text(l.Serial)
	w.Texts(l.Names)
	w.Time(l.NotBefore)
	w.Time(l.NotAfter)
	w.Text(string(l.KeyType))
	w.Bytes(l.Digest[:])
	others := !slices.Equal(l.Names, l.covered)
	if w.Flag(others); others {
		w.Texts(l.covered)
	}
	return string(w)
}

// Leaf is what is remembered of a leaf certificate.
type Leaf struct {
	Serial              string
	Issuer              string
	Names               []string // as cert.Names has them
	NotBefore, NotAfter time.Time
	// KeyType is empty when it is of a type that is not generated here.
	KeyType cert.KeyType
	// Digest is the SHA-256 of its DER.
	Digest [sha256.Size]byte

	covered []string
}

// Missing returns those names that the certificate does not cover, as cert.Missing does.
func (l *Leaf) Missing(names []string) []string { return cert.Uncovered(l.covered, names) }

// settleTime is how old a change must be for the modification time to tell it from the next one: far above the grain of
// any file system's clock.
const settleTime = 2 * time.Second

// Look returns what is to be known of the files of a certificate. It is the view before, which may be nil, when they have
// not changed since: that costs one call of the system for each file. The error is for files that no configuration may name.
func (s *Store) Look(files []File, before *View) (*View, error) {
	if before != nil && before.settled && before.files == s.digest(files) && s.same(before, files) {
		return before, nil
	}
	snap, err := s.Read(files)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	v := &View{files: s.digest(files), settled: true, Whole: snap.Err() == nil}
	var sum maphash.Hash
	sum.SetSeed(s.seed)
	for _, f := range snap.Files {
		f.stamp.add(&sum)
		if f.unread || f.Exists && now.Sub(f.Identity.Modified) <= settleTime {
			v.settled = false
		}
	}
	v.state = sum.Sum64()
	if !v.Whole {
		v.snapshot = &snap
	}
	if l := snap.leaf(); l != nil {
		v.issuer, v.leaf = unique.Make(l.Issuer), l.pack()
	}
	return v, nil
}

// same reports whether the files are as they were.
func (s *Store) same(v *View, files []File) bool {
	var sum maphash.Hash
	sum.SetSeed(s.seed)
	for _, f := range files {
		now, known := stampAt(f.Path, true)
		if !known {
			return false
		}
		now.add(&sum)
	}
	return sum.Sum64() == v.state
}

// Unchanged reports whether the files of a certificate, given by their paths, are as they were when a view was made of them.
// It is for looking at very many: it costs one call of the system for each file and next to no memory. It follows no link
// in the place of a file, which may lead to a file system that does not answer: such a file counts as changed, and so does
// what a view cannot be sure of. Look then knows better.
func (s *Store) Unchanged(paths []string, v *View) bool {
	if v == nil || !v.settled {
		return false
	}
	var sum maphash.Hash
	sum.SetSeed(s.seed)
	for _, path := range paths {
		now, known := stampAt(path, false)
		if !known || now.link() {
			return false
		}
		now.add(&sum)
	}
	return sum.Sum64() == v.state
}

// leaf takes out of the certificate what is remembered of it.
func (snap Snapshot) leaf() *Leaf {
	c := snap.Leaf()
	if c == nil {
		return nil
	}
	l := &Leaf{
		Serial: cert.Serial(c), Issuer: c.Issuer.String(), Names: cert.Names(c), covered: cert.Covered(c),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, Digest: sha256.Sum256(c.Raw),
	}
	if t, err := cert.KeyTypeOf(c.PublicKey); err == nil {
		l.KeyType = t
	}
	return l
}

// Fingerprint returns the SHA-256 of the certificate in lower-case hexadecimal.
func (l *Leaf) Fingerprint() string { return fmt.Sprintf("%x", l.Digest) }

// digest tells the files that one look was for from those of another, without keeping them.
func (s *Store) digest(files []File) uint64 {
	var sum maphash.Hash
	sum.SetSeed(s.seed)
	for _, f := range files {
		maphash.WriteComparable(&sum, f)
	}
	return sum.Sum64()
}
