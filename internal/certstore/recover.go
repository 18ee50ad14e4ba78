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
	certificates, err := s.busy()
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
	for _, m := range h.interrupted() {
		outcome, err := s.settle(ctx, h, m)
		out = append(out, Recovery{Certificate: certificate, ID: m.ID, Outcome: outcome, Err: err})
	}
	return out, nil
}

// settleAll brings every interrupted generation of a certificate to an end and returns what there is then.
func (s *Store) settleAll(ctx context.Context, certificate string) (*history, error) {
	h, err := s.history(certificate)
	if err != nil {
		return nil, err
	}
	for _, m := range h.interrupted() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, err := s.settle(ctx, h, m); err != nil {
			return nil, fmt.Errorf("finish the interrupted generation %q: %w", m.ID, err)
		}
	}
	return h, nil
}

// settle brings an interrupted generation to an end.
func (s *Store) settle(ctx context.Context, h *history, m *manifest) (Outcome, error) {
	if m.Phase == rollingBack {
		if err := s.takeBack(ctx, h, m); err != nil {
			return Stuck, err
		}
		return RolledBack, nil
	}
	forward := s.forward(m)
	if forward == nil {
		if err := s.removeStaged(m); err != nil {
			return Stuck, err
		}
		m.Phase = switched
		if err := s.save(h, nil); err != nil {
			return Stuck, err
		}
		return Finished, nil
	}
	if err := s.undo(ctx, h, m); err != nil {
		return Stuck, errors.Join(forward, err)
	}
	s.log.Info("an interrupted installation was taken back", "certificate", h.Certificate, "generation", m.ID, "reason", forward)
	return Undone, nil
}

// forward goes on with a switch, or says why the way is back.
//
// The journal does not say whether every new file was complete before the first was put in place; the files do. A new
// file is renamed only when all are complete and synced. So one that is in its place, where another was before, proves
// that all were; and as long as none is, all of them must lie staged. Where a power cut took one away after all, the
// folder's entry never having reached the disk, there is no whole new set, and the old one is put back.
func (s *Store) forward(m *manifest) error {
	b := newBatch(s.disk)
	defer b.close()
	placed := false   // a new file is in its place for sure
	var doubt []error // what only that makes up for
	for _, e := range m.Files {
		f, err := b.folderOf(e)
		if err != nil {
			return err
		}
		staged, err := f.sum(e.Temp)
		if err != nil {
			return err
		}
		now, err := f.sum(e.Base)
		if err != nil {
			return err
		}
		changed := e.Sum != e.beforeSum()
		placed = placed || changed && now == e.Sum
		switch {
		case staged == e.Sum:
			b.changes = append(b.changes, &change{path: e.Path, folder: f, base: e.Base, temp: e.Temp, attributes: e.Attributes})
		case now != e.Sum:
			return fmt.Errorf("%s: the new file is not complete", e.Path)
		case !changed:
			doubt = append(doubt, fmt.Errorf("%s: holds already what the new file is to hold, which is not complete", e.Path))
		}
		if now != "" && now != e.Sum && now != e.beforeSum() {
			doubt = append(doubt, fmt.Errorf("%s: %w", e.Path, ErrChanged))
		}
	}
	if !placed && len(doubt) > 0 {
		return errors.Join(doubt...)
	}
	if err := b.complete(); err != nil {
		return err
	}
	return b.apply()
}

// folderOf opens the real folder of an entry, once.
func (b *batch) folderOf(e entry) (*folder, error) {
	if f, ok := b.folders[e.Dir]; ok {
		return f, nil
	}
	where, err := resolve(filepath.Join(e.Dir, e.Temp))
	if err != nil {
		return nil, err
	}
	if where.dir != e.Dir {
		return nil, fmt.Errorf("%s: the folder %s leads to %s by now", e.Path, e.Dir, where.dir)
	}
	return b.at(where)
}

// undo puts the old set back after a switch that did not get through, and forgets the generation. It may be interrupted
// and called again.
func (s *Store) undo(ctx context.Context, h *history, m *manifest) error {
	if err := s.putBack(ctx, h, m, nil); err != nil {
		return err
	}
	if err := s.removeStaged(m); err != nil {
		return err
	}
	return s.forget(h, m)
}

// forget drops a generation, with its copies of old files.
func (s *Store) forget(h *history, m *manifest) error {
	copies := make(map[string][]byte)
	m.close(rolledBack, h.Certificate, copies)
	h.drop(m)
	return s.save(h, copies)
}

// takeBack rolls a generation back: the old set is put back, and its copies have no use any more. It may be interrupted and
// called again.
func (s *Store) takeBack(ctx context.Context, h *history, m *manifest) error {
	var begin func() error
	if m.Phase != rollingBack {
		begin = func() error {
			m.Phase = rollingBack
			return s.save(h, nil)
		}
	}
	if err := s.putBack(ctx, h, m, begin); err != nil {
		return err
	}
	copies := make(map[string][]byte)
	m.close(rolledBack, h.Certificate, copies)
	return s.save(h, copies)
}

// putBack puts a generation's old set back, all files together. begin is called before anything is changed; it is nil
// when something may be half-done already.
//
// A file that somebody else changed keeps the way back from beginning. Once something is half-done, though, it is brought
// to an end around such a file, and around folders that are gone: a certificate must not stay stuck for ever.
func (s *Store) putBack(ctx context.Context, h *history, m *manifest, begin func() error) error {
	b := newBatch(s.disk)
	defer b.close()
	for i, e := range m.Files {
		c, err := b.restoreFile(e, func() ([]byte, error) { return s.journal.Read(m.copyKey(h.Certificate, i)) })
		if begin == nil && (errors.Is(err, ErrChanged) || errors.Is(err, fs.ErrNotExist)) {
			s.log.Warn("left a certificate file alone while putting old ones back", "certificate", h.Certificate, "path", e.Path, "error", err)
			continue
		}
		if err != nil {
			return err
		}
		if c != nil {
			b.changes = append(b.changes, c)
		}
	}
	if begin != nil {
		if err := begin(); err != nil {
			return err
		}
	}
	// From here on nothing stops the way: half a set would be the worst of all.
	if err := b.stage(context.WithoutCancel(ctx)); err != nil {
		return errors.Join(err, b.unstage())
	}
	if err := b.apply(); err != nil {
		return errors.Join(err, b.unstage())
	}
	return nil
}

// restoreFile works out how one old file gets back; nil when it is there already. A file that is neither the new one
// nor the old one is somebody else's work and is not touched.
func (b *batch) restoreFile(e entry, read func() ([]byte, error)) (*change, error) {
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
	case now == e.beforeSum():
		return nil, nil
	case now != e.Sum && now != "":
		return nil, fmt.Errorf("%s: %w", e.Path, ErrChanged)
	case e.Before == nil:
		c.remove = true
		return c, nil
	}
	if c.data, err = read(); err != nil {
		return nil, fmt.Errorf("%s: read the copy of the old file: %w", e.Path, err)
	}
	if sumOf(c.data) != e.Before.Sum {
		return nil, fmt.Errorf("%s: the copy of the old file is lost or damaged", e.Path)
	}
	c.attributes = e.Before.Attributes
	return c, nil
}

// removeStaged removes what a generation may have staged, for the switch or for the way back.
func (s *Store) removeStaged(m *manifest) error {
	b := newBatch(s.disk)
	defer b.close()
	var errs []error
	for _, e := range m.Files {
		f, err := b.folderOf(e)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone with all that was in it
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove the staged file for %s: %w", e.Path, err))
			continue
		}
		errs = append(errs, f.remove(e.Temp), f.remove(e.restoreTemp()))
	}
	return errors.Join(errs...)
}
