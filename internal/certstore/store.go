package certstore

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
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
	disk disk
	dir  string
	log  *slog.Logger

	mu    sync.Mutex
	locks map[string]chan struct{} // per certificate, one token each

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

// Open opens the store in a folder, which is made (mode 0700) when absent. The folder must belong to the daemon's user
// and be closed to everybody else, since it holds private keys. Call Recover before anything else.
func Open(dir string, log *slog.Logger) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open certificate store: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open certificate store: %w", err)
	}
	if !ours(info) {
		return nil, fmt.Errorf("open certificate store: %s belongs to another user: it holds private keys and must be the daemon's own", dir)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("open certificate store: %s is open to other users (mode %04o): it holds private keys, so run \"chmod 0700 %s\"", dir, info.Mode().Perm(), dir)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Store{dir: dir, log: log, locks: make(map[string]chan struct{}), seed: maphash.MakeSeed()}, nil
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
	history, err := s.settleAll(ctx, g.Certificate)
	if err != nil {
		return err
	}
	fingerprint := cert.Fingerprint(g.Chain[0])
	previous := history.find(g.ID)
	if previous != nil {
		if previous.Fingerprint != fingerprint {
			return fmt.Errorf("generation %q exists already with another certificate", g.ID)
		}
		if done, err := s.inPlace(previous, g.Files); err != nil || done {
			return err
		}
	}
	return s.replaceSet(ctx, g, history)
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
	if m.Phase != switched && m.Phase != committed || len(m.Files) != len(files) {
		return false, nil
	}
	for i, e := range m.Files {
		if e.Path != files[i].Path || e.Form != files[i].Form {
			return false, nil
		}
		where, err := resolve(e.Path)
		if err != nil || where.dir != e.Dir || where.base != e.Base {
			return false, nil //nolint:nilerr // planning the switch says what is wrong with the path
		}
		sum, err := s.sumOf(e)
		if err != nil {
			return false, err
		}
		if sum != e.Sum {
			return false, nil
		}
	}
	return true, nil
}

func (s *Store) sumOf(e entry) (string, error) {
	f, err := s.disk.realFolder(e.Dir)
	if err != nil {
		return "", err
	}
	defer f.close()
	sum, err := f.sum(e.Base)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", e.Path, err)
	}
	return sum, nil
}

// replaceSet makes the new generation: plan, save the old set, stage the new one, switch.
func (s *Store) replaceSet(ctx context.Context, g Generation, history history) error {
	b := newBatch(s.disk)
	defer b.close()
	m := &manifest{
		Version: manifestVersion, Certificate: g.Certificate, ID: g.ID, Sequence: history.next(),
		Phase: staging, Fingerprint: cert.Fingerprint(g.Chain[0]),
	}
	if err := b.plan(g, m); err != nil {
		return err
	}
	home, err := s.home(m)
	if err != nil {
		return errors.Join(fmt.Errorf("make room for the old files: %w", err), s.discard(m))
	}
	defer home.close()
	if err := s.prepare(ctx, b, m, home); err != nil {
		// Nothing that counts was changed yet.
		return errors.Join(err, b.unstage(), s.discard(m))
	}
	if err := b.apply(); err != nil {
		if undo := s.restore(m, home, true); undo != nil {
			return errors.Join(err, fmt.Errorf("putting the old files back failed too, the next start tries again: %w", undo))
		}
		return errors.Join(err, b.unstage(), s.discard(m))
	}
	m.Phase = switched
	if err := writeManifest(home, m); err != nil {
		// The set is in place. The next look finds "prepared", sees that all is done, and notes it.
		s.log.Warn("certificate files are installed, but noting it failed", "certificate", m.Certificate, "generation", m.ID, "error", err)
	}
	return nil
}

// prepare does all that can fail for want of rights or room. From its success on the way is forward.
func (s *Store) prepare(ctx context.Context, b *batch, m *manifest, home *folder) error {
	if err := b.save(home, m); err != nil {
		return fmt.Errorf("save the old files in %s: %w", home.path, err)
	}
	if err := writeManifest(home, m); err != nil {
		return err
	}
	if err := b.stage(ctx); err != nil {
		return err
	}
	m.Phase = prepared
	return writeManifest(home, m)
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
	history, err := s.settleAll(ctx, certificate)
	if err != nil {
		return err
	}
	m := history.find(id)
	switch {
	case m == nil:
		return fmt.Errorf("generation %q: %w", id, ErrUnknownGeneration)
	case m.Phase == rolledBack:
		return nil
	case m.Phase == committed:
		return fmt.Errorf("generation %q: %w", id, ErrProven)
	}
	// A generation that was installed twice, say because a file was added to it, is taken back twice.
	for last := history.lastInstalled(); last != nil && last.Phase == switched; last = history.lastInstalled() {
		if last.ID != id {
			if m.Phase == rolledBack {
				break
			}
			return fmt.Errorf("generation %q: %w", id, ErrSuperseded)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.takeBack(last); err != nil {
			return err
		}
	}
	return s.prune(history)
}

// takeBack rolls one generation back.
func (s *Store) takeBack(m *manifest) error {
	home, err := s.home(m)
	if err != nil {
		return err
	}
	defer home.close()
	return s.restore(m, home, false)
}

// Commit says that a generation is proven: its old set is forgotten, and so are all earlier generations but for the
// manifests of the last few. Doing it again is fine.
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
	history, err := s.settleAll(ctx, certificate)
	if err != nil {
		return err
	}
	m := history.find(id)
	switch {
	case m == nil:
		return fmt.Errorf("generation %q: %w", id, ErrUnknownGeneration)
	case m.Phase == rolledBack:
		return fmt.Errorf("generation %q was rolled back", id)
	}
	for _, earlier := range history {
		if earlier.Sequence > m.Sequence {
			continue
		}
		if err := s.forget(earlier); err != nil {
			return err
		}
	}
	return s.prune(history)
}

// forget removes a generation's copies of old files.
func (s *Store) forget(m *manifest) error {
	home, err := s.home(m)
	if err != nil {
		return err
	}
	defer home.close()
	if m.Phase == switched {
		// Also an earlier one that nobody committed: its old set has no use now that a later one is proven.
		m.Phase = committed
		if err := writeManifest(home, m); err != nil {
			return err
		}
	}
	return removeCopies(home)
}
