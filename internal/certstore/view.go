package certstore

import (
	"crypto/sha256"
	"crypto/x509"
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
	// files is a digest of the files that were asked for, state one of what they were like, content one of what they held; where
	// not all could be read, that is zero.
	files, state, content uint64
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

func (v *View) hold(l *Leaf) { v.issuer, v.leaf = unique.Make(l.Issuer), l.pack() }

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
// not changed since: that costs one call of the system for each file. Files that hold what they held before, or what was
// installed a moment ago, are read and not parsed. The error is for files that no configuration may name.
func (s *Store) Look(files []File, before *View) (*View, error) {
	digest := s.digest(files)
	if before != nil && before.files != digest {
		before = nil
	}
	if before != nil && before.settled && s.same(before, files) {
		return before, nil
	}
	loaded, err := load(files)
	if err != nil {
		return nil, err
	}
	v := &View{files: digest, content: s.contentOf(loaded), settled: true}
	now := time.Now()
	var sum maphash.Hash
	sum.SetSeed(s.seed)
	for _, f := range loaded {
		f.state.stamp.add(&sum)
		if f.state.unread || f.state.Exists && now.Sub(f.state.stamp.modified()) <= settleTime {
			v.settled = false
		}
	}
	v.state = sum.Sum64()
	if same := s.known(v, before); same != nil {
		v.issuer, v.leaf, v.Whole, v.snapshot = same.issuer, same.leaf, same.Whole, same.snapshot
		return v, nil
	}
	snap := snapshotOf(loaded)
	if v.Whole = snap.Err() == nil; !v.Whole {
		v.snapshot = &snap
	}
	if c := snap.Leaf(); c != nil {
		v.hold(leafOf(c))
	}
	return v, nil
}

// contentOf is a digest of what files hold, or zero when one of them could not be read.
func (s *Store) contentOf(loaded []loadedFile) uint64 {
	texts := make([][]byte, 0, len(loaded))
	for _, f := range loaded {
		if f.state.Problem != nil {
			return 0
		}
		texts = append(texts, f.data)
	}
	return s.contentDigest(texts)
}

func (s *Store) contentDigest(texts [][]byte) uint64 {
	var sum maphash.Hash
	sum.SetSeed(s.seed)
	for _, text := range texts {
		maphash.WriteComparable(&sum, len(text))
		_, _ = sum.Write(text) // never fails
	}
	return max(sum.Sum64(), 1)
}

// known returns the view before, or what an installation has left, where it is of the same files with the same content and
// so shows the same, or nil. A set that is not whole is parsed, since its view has what the files were like.
func (s *Store) known(v, before *View) *View {
	s.mu.Lock()
	left := s.left[v.files]
	delete(s.left, v.files)
	s.mu.Unlock()
	for _, other := range []*View{before, left} {
		if other != nil && other.Whole && v.content != 0 && other.content == v.content {
			return other
		}
	}
	return nil
}

// leave keeps, for the look that follows at once, what reading the files of a generation would show.
func (s *Store) leave(g Generation, b *batch) {
	v := &View{files: s.digest(g.Files), Whole: true}
	v.hold(leafOf(g.Chain[0]))
	var texts [][]byte
	for i, f := range g.Files {
		if f.Form == PKCS12 || f.Form == JKS {
			return // it may hold more than was put into it
		}
		texts = append(texts, b.changes[i].data)
	}
	v.content = s.contentDigest(texts)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.left) >= mostLeft { // nobody has looked
		clear(s.left)
	}
	s.left[v.files] = v
}

// mostLeft bounds what is kept for looks that never come.
const mostLeft = 256

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

// leafOf takes out of a certificate what is remembered of it.
func leafOf(c *x509.Certificate) *Leaf {
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
