package certstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Outcome is what Recover made of an interrupted generation.
type Outcome string

// The outcomes.
const (
	Finished   Outcome = "finished"    // the new set is in place
	Undone     Outcome = "undone"      // the old set is, as it was
	RolledBack Outcome = "rolled-back" // the old set is back
	Stuck      Outcome = "stuck"       // neither was possible; Err says why
)

// Recovery is one interrupted generation that Recover met.
type Recovery struct {
	Certificate, ID string
	Outcome         Outcome
	Err             error // set when stuck
}

// Recover brings every switch and every roll-back that was interrupted to an end. The daemon calls it at its start,
// before anything else. One certificate that cannot be brought to an end keeps no other from it.
func (s *Store) Recover(ctx context.Context) ([]Recovery, error) {
	certificates, err := s.certificates()
	if err != nil {
		return nil, err
	}
	var out []Recovery
	for _, certificate := range certificates {
		found, err := s.recoverOne(ctx, certificate)
		out = append(out, found...)
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		if err != nil {
			out = append(out, Recovery{Certificate: certificate, Outcome: Stuck, Err: err})
		}
	}
	return out, nil
}

func (s *Store) recoverOne(ctx context.Context, certificate string) ([]Recovery, error) {
	unlock, err := s.lock(ctx, certificate)
	if err != nil {
		return nil, err
	}
	defer unlock()
	h, err := s.history(certificate)
	if err != nil {
		return nil, err
	}
	var out []Recovery
	for _, m := range h {
		ended := m.Phase == switched || m.Phase == committed || m.Phase == rolledBack
		outcome, err := s.settle(m)
		if ended && err == nil {
			continue // it was not interrupted, or nothing but copies without use were left
		}
		out = append(out, Recovery{Certificate: certificate, ID: m.ID, Outcome: outcome, Err: err})
	}
	return out, nil
}

// settle brings one generation to an end. One that was not interrupted is left as it is.
func (s *Store) settle(m *manifest) (Outcome, error) {
	switch m.Phase {
	case staging:
		if err := s.removeStaged(m); err != nil {
			return Stuck, err
		}
		if err := s.discard(m); err != nil {
			return Stuck, err
		}
		return Undone, nil
	case prepared:
		return s.finish(m)
	case rollingBack:
		home, err := s.home(m)
		if err != nil {
			return Stuck, err
		}
		defer home.close()
		if err := s.restore(m, home, false); err != nil {
			return Stuck, err
		}
		return RolledBack, nil
	case rolledBack, committed:
		return Finished, s.removeLeftCopies(m)
	default:
		return Finished, nil
	}
}

// removeStaged removes what a generation may have staged, for the switch or for the way back.
func (s *Store) removeStaged(m *manifest) error {
	var errs []error
	for _, e := range m.Files {
		f, err := s.disk.realFolder(e.Dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone with all that was in it
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove the staged file for %s: %w", e.Path, err))
			continue
		}
		errs = append(errs, f.remove(e.Temp), f.remove(e.restoreTemp()))
		f.close()
	}
	return errors.Join(errs...)
}

// removeLeftCopies removes the old files' copies that a crash left after they had lost their use.
func (s *Store) removeLeftCopies(m *manifest) error {
	home, err := s.home(m)
	if err != nil {
		return err
	}
	defer home.close()
	return removeCopies(home)
}

// finish goes on with a switch: every new file is in its place or staged beside it. Where one is neither, or the switch
// fails again, the old set is put back.
func (s *Store) finish(m *manifest) (Outcome, error) {
	home, err := s.home(m)
	if err != nil {
		return Stuck, err
	}
	defer home.close()
	forward := s.forward(m)
	if forward == nil {
		if err := s.removeStaged(m); err != nil {
			return Stuck, err
		}
		m.Phase = switched
		if err := writeManifest(home, m); err != nil {
			return Stuck, err
		}
		return Finished, nil
	}
	if err := s.restore(m, home, true); err != nil {
		return Stuck, errors.Join(forward, err)
	}
	if err := errors.Join(s.removeStaged(m), s.discard(m)); err != nil {
		return Stuck, errors.Join(forward, err)
	}
	return Undone, nil
}

func (s *Store) forward(m *manifest) error {
	b := newBatch(s.disk)
	defer b.close()
	for _, e := range m.Files {
		f, err := b.folderOf(e)
		if err != nil {
			return err
		}
		staged, err := f.sum(e.Temp)
		if err != nil {
			return err
		}
		if staged == e.Sum {
			b.changes = append(b.changes, &change{path: e.Path, folder: f, base: e.Base, temp: e.Temp})
			continue
		}
		inPlace, err := f.sum(e.Base)
		if err != nil {
			return err
		}
		if inPlace != e.Sum {
			return fmt.Errorf("%s: the staged file is lost", e.Path)
		}
	}
	return b.apply()
}

// folderOf opens the real folder of an entry, once.
func (b *batch) folderOf(e entry) (*folder, error) {
	where, err := resolve(filepath.Join(e.Dir, e.Temp))
	if err != nil {
		return nil, err
	}
	if where.dir != e.Dir {
		return nil, fmt.Errorf("%s: the folder %s leads to %s by now", e.Path, e.Dir, where.dir)
	}
	return b.at(where)
}

// restore puts a generation's old set back, all files together. It may be interrupted and called again. In a switch that
// failed (undo), the caller forgets the generation afterwards; otherwise the manifest says rolled-back.
//
// A file that somebody else changed keeps a roll-back from beginning. Once something is half done, though, it is brought
// to an end around such a file, and around folders that are gone: a certificate must not stay stuck for ever.
func (s *Store) restore(m *manifest, home *folder, undo bool) error {
	b := newBatch(s.disk)
	defer b.close()
	begun := undo || m.Phase == rollingBack
	for _, e := range m.Files {
		c, err := b.restoreFile(e, home)
		if begun && (errors.Is(err, ErrChanged) || errors.Is(err, fs.ErrNotExist)) {
			s.log.Warn("left a certificate file alone while putting old ones back", "certificate", m.Certificate, "path", e.Path, "error", err)
			continue
		}
		if err != nil {
			return err
		}
		if c != nil {
			b.changes = append(b.changes, c)
		}
	}
	if !undo && m.Phase != rollingBack {
		m.Phase = rollingBack
		if err := writeManifest(home, m); err != nil {
			m.Phase = switched
			return err
		}
	}
	// From here on no context stops the way: half a set would be the worst of all.
	if err := b.stage(context.Background()); err != nil {
		return err
	}
	if err := b.apply(); err != nil {
		return errors.Join(err, b.unstage())
	}
	if undo {
		return nil
	}
	m.Phase = rolledBack
	if err := writeManifest(home, m); err != nil {
		return err
	}
	return removeCopies(home)
}

// restoreFile works out how one old file gets back; nil when it is there already. A file that is neither the new one
// nor the old one is somebody else's work and is not touched.
func (b *batch) restoreFile(e entry, home *folder) (*change, error) {
	f, err := b.folderOf(e)
	if err != nil {
		return nil, err
	}
	// An earlier try may have left this; the files staged for the switch stay, while the way forward is open.
	if err := f.remove(e.restoreTemp()); err != nil {
		return nil, fmt.Errorf("%s: %w", e.Path, err)
	}
	now, err := f.sum(e.Base)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Path, err)
	}
	c := &change{path: e.Path, folder: f, base: e.Base, temp: e.restoreTemp()}
	switch {
	case e.Before == nil && now == "":
		return nil, nil
	case e.Before != nil && now == e.Before.Sum:
		return nil, nil
	case now != e.Sum && now != "":
		return nil, fmt.Errorf("%s: %w", e.Path, ErrChanged)
	case e.Before == nil:
		c.remove = true
		return c, nil
	}
	data, _, file, err := home.read(e.Before.Name)
	if err != nil {
		// Not wrapped: that the copy is missing is no reason to go on without it.
		return nil, fmt.Errorf("%s: read the copy of the old file: %v", e.Path, err) //nolint:errorlint // see above
	}
	_ = file.Close()
	if sumOf(data) != e.Before.Sum {
		return nil, fmt.Errorf("%s: the copy of the old file, %s, is damaged", e.Path, home.join(e.Before.Name))
	}
	c.data, c.attributes = data, e.Before.Attributes
	return c, nil
}
