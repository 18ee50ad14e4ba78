package certstore

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"

	"github.com/certbridge/certbridged/internal/cert"
)

// The kinds of failure that a caller decides by; ask with errors.Is.
var (
	// ErrUnknownGeneration: there is no generation with this id.
	ErrUnknownGeneration = errors.New("no such generation")
	// ErrProven: the generation was committed, so its old set is gone.
	ErrProven = errors.New("the generation is proven and its old files are forgotten")
	// ErrChanged: somebody else changed a file since; nothing was done, so that the change is not lost.
	ErrChanged = errors.New("the file was changed by somebody else meanwhile")
	// ErrSuperseded: a later generation was installed.
	ErrSuperseded = errors.New("a later generation is installed")
	// ErrShared: two files of the configuration are one on disk.
	ErrShared = errors.New("is one file on disk with")
)

// Store installs sets of certificate files and reads them. Its methods may be called concurrently; those for one
// certificate wait for each other, those for different ones do not.
type Store struct {
	disk    disk
	journal Journal
	log     *slog.Logger

	mu    sync.Mutex
	locks map[string]chan struct{} // per certificate, one token each
	left  map[uint64]*View         // by their files: what installations have left that nobody has looked at
	open  map[string]*history      // per certificate: what the journal has of those whose last generation is not proven yet

	seed maphash.Seed // of digests
}

// Generation is a set of files to install. Its ID names the attempt: installing the same ID again goes on where it
// was interrupted, or does nothing.
type Generation struct {
	ID          string
	Certificate string
	Files       []File
	Key         crypto.Signer
	Chain       []*x509.Certificate // leaf first, without the root
}

// Open makes a store that keeps its records in a journal, which no other store uses. Since old private keys are among
// them, nobody but the daemon's user may be able to read it. Call Recover before anything else.
func Open(journal Journal, log *slog.Logger) *Store {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Store{
		journal: journal, log: log, locks: make(map[string]chan struct{}), left: make(map[uint64]*View), open: make(map[string]*history),
		seed: maphash.MakeSeed(),
	}
}

// lock waits for a certificate's turn. The caller calls the function it gets when done.
func (s *Store) lock(ctx context.Context, certificate string) (func(), error) {
	s.mu.Lock()
	token, ok := s.locks[certificate]
	if !ok {
		token = make(chan struct{}, 1)
		s.locks[certificate] = token
	}
	s.mu.Unlock()
	select {
	case token <- struct{}{}:
		return func() { <-token }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Install puts a generation in place of the files that are there. When it fails, they are as they were; where even that
// could not be had, the error says so and Recover tries again. A context that ends stops the preparation, not the
// switch itself.
func (s *Store) Install(ctx context.Context, g Generation) error {
	if err := s.install(ctx, g); err != nil {
		return fmt.Errorf("install certificate %q: %w", g.Certificate, err)
	}
	return nil
}

func (s *Store) install(ctx context.Context, g Generation) error {
	if err := g.validate(); err != nil {
		return err
	}
	unlock, err := s.lock(ctx, g.Certificate)
	if err != nil {
		return err
	}
	defer unlock()

	// An earlier switch that was interrupted is brought to an end first: what is on disk must be one whole set.
	h, err := s.settleAll(ctx, g.Certificate)
	if err != nil {
		return err
	}
	fingerprint := cert.Fingerprint(g.Chain[0])
	previous := h.find(g.ID)
	if previous != nil {
		if previous.Fingerprint != fingerprint {
			return fmt.Errorf("generation %q exists already with another certificate", g.ID)
		}
		if done, err := s.inPlace(previous, g.Files); err != nil || done {
			return err
		}
	}
	return s.replaceSet(ctx, g, h)
}

func (g Generation) validate() error {
	errs := []error{checkName("certificate name", g.Certificate), checkName("generation", g.ID)}
	if g.Key == nil || len(g.Chain) == 0 {
		errs = append(errs, errors.New("there is no key or no certificate to install"))
	} else if !cert.SamePublicKey(g.Key.Public(), g.Chain[0].PublicKey) {
		errs = append(errs, errors.New("the certificate is not for the private key"))
	}
	if len(g.Files) == 0 {
		errs = append(errs, errors.New("no files are configured"))
	}
	for _, f := range g.Files {
		errs = append(errs, f.validate())
	}
	return errors.Join(errs...)
}

// inPlace reports whether a generation is installed already and nobody changed its files since.
func (s *Store) inPlace(m *manifest, files []File) (bool, error) {
	if m.Phase != switched && m.Phase != committed {
		return false, nil
	}
	b := newBatch(s.disk)
	defer b.close()
	var now []entry
	for _, file := range files {
		where, err := resolve(file.Path)
		if err != nil {
			return false, nil // planning the switch says what is wrong with the path
		}
		f, err := b.at(where)
		if err != nil {
			return false, err
		}
		sum, err := f.sum(where.base)
		if err != nil {
			return false, fmt.Errorf("read %s: %w", file.Path, err)
		}
		now = append(now, entry{Form: file.Form, Path: file.Path, Dir: where.dir, Base: where.base, Sum: sum})
	}
	return setOf(now) == m.Set, nil
}

// replaceSet makes the new generation: plan, copy the old set, stage the new one, switch.
func (s *Store) replaceSet(ctx context.Context, g Generation, h *history) error {
	b := newBatch(s.disk)
	defer b.close()
	m := &manifest{ID: g.ID, Sequence: h.next(), Phase: begun, Fingerprint: cert.Fingerprint(g.Chain[0])}
	if err := b.plan(g, m); err != nil {
		return err
	}
	m.Set = setOf(m.Files)
	h.Generations = append(h.Generations, m)
	if err := s.save(h, b.copies(g.Certificate, m)); err != nil {
		return err
	}
	if err := b.stage(ctx); err != nil {
		// Nothing that counts was changed yet.
		return errors.Join(err, b.unstage(), s.forget(h, m))
	}
	if err := b.apply(); err != nil {
		if back := s.undo(ctx, h, m); back != nil {
			return errors.Join(err, fmt.Errorf("putting the old files back failed too, the next start tries again: %w", back))
		}
		return err
	}
	s.leave(g, b)
	m.Phase = switched
	if err := s.save(h, nil); err != nil {
		// The set is in place. The next look finds "begun", sees that all is done, and notes it.
		s.log.Warn("certificate files are installed, but noting it failed", "certificate", g.Certificate, "generation", m.ID, "error", err)
	}
	return nil
}

// RollBack puts back the files that a generation replaced, and removes those that did not exist before. Doing it again
// is fine. It fails with ErrProven, ErrSuperseded, ErrChanged or ErrUnknownGeneration where it must not be done.
func (s *Store) RollBack(ctx context.Context, certificate, id string) error {
	if err := s.rollBack(ctx, certificate, id); err != nil {
		return fmt.Errorf("roll back certificate %q: %w", certificate, err)
	}
	return nil
}

func (s *Store) rollBack(ctx context.Context, certificate, id string) error {
	unlock, err := s.lock(ctx, certificate)
	if err != nil {
		return err
	}
	defer unlock()
	h, err := s.settleAll(ctx, certificate)
	if err != nil {
		return err
	}
	m := h.find(id)
	switch {
	case m == nil:
		return fmt.Errorf("generation %q: %w", id, ErrUnknownGeneration)
	case m.Phase == rolledBack:
		return nil
	case m.Phase == committed:
		return fmt.Errorf("generation %q: %w", id, ErrProven)
	}
	// A generation that was installed twice, say because a file was added to it, is taken back twice.
	for last := h.lastInstalled(); last != nil && last.Phase == switched; last = h.lastInstalled() {
		if last.ID != id {
			if m.Phase == rolledBack {
				break
			}
			return fmt.Errorf("generation %q: %w", id, ErrSuperseded)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.takeBack(ctx, h, last); err != nil {
			return err
		}
	}
	return nil
}

// Commit says that a generation is proven: its old set is forgotten, and so are all earlier generations but for what the
// last few were. Doing it again is fine.
func (s *Store) Commit(ctx context.Context, certificate, id string) error {
	if err := s.commit(ctx, certificate, id); err != nil {
		return fmt.Errorf("commit certificate %q: %w", certificate, err)
	}
	return nil
}

func (s *Store) commit(ctx context.Context, certificate, id string) error {
	unlock, err := s.lock(ctx, certificate)
	if err != nil {
		return err
	}
	defer unlock()
	h, err := s.settleAll(ctx, certificate)
	if err != nil {
		return err
	}
	m := h.find(id)
	switch {
	case m == nil:
		return fmt.Errorf("generation %q: %w", id, ErrUnknownGeneration)
	case m.Phase == rolledBack:
		return fmt.Errorf("generation %q was rolled back", id)
	}
	changed := false
	copies := make(map[string][]byte)
	for _, g := range h.Generations {
		// Also an earlier one that nobody committed: its old set has no use now that a later one is proven.
		if g.Sequence <= m.Sequence && g.Phase == switched {
			g.close(committed, certificate, copies)
			changed = true
		}
		if g.Sequence < m.Sequence {
			g.Set = "" // other files are in place
		}
	}
	if !changed {
		return nil
	}
	return s.save(h, copies)
}
