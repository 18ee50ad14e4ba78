package certstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
)

// keptManifests is how many generations of a certificate are kept for people to look at.
const keptManifests = 3

// history is the generations of one certificate, the oldest first.
type history []*manifest

// find returns the latest generation with an id, or nil.
func (h history) find(id string) *manifest {
	for _, m := range slices.Backward(h) {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// lastInstalled returns the generation whose files are in place, as far as the store knows, or nil.
func (h history) lastInstalled() *manifest {
	for _, m := range slices.Backward(h) {
		if m.Phase == switched || m.Phase == committed {
			return m
		}
	}
	return nil
}

func (h history) next() int {
	if len(h) == 0 {
		return 1
	}
	return h[len(h)-1].Sequence + 1
}

// history reads the generations of a certificate. A folder without a manifest is what a crash left before anything was
// done; it is removed.
func (s *Store) history(certificate string) (history, error) {
	dir := filepath.Join(s.dir, folderName(certificate))
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read generations: %w", err)
	}
	var h history
	for _, name := range names {
		if !name.IsDir() {
			continue
		}
		path := filepath.Join(dir, name.Name(), manifestName)
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			if err := s.removeHome(filepath.Join(dir, name.Name())); err != nil {
				return nil, fmt.Errorf("remove an unused generation: %w", err)
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read generations: %w", err)
		}
		m, err := decodeManifest(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if m.Certificate != certificate || m.folder() != name.Name() {
			return nil, fmt.Errorf("%s: belongs to generation %q of certificate %q", path, m.ID, m.Certificate)
		}
		h = append(h, m)
	}
	slices.SortFunc(h, func(a, b *manifest) int { return a.Sequence - b.Sequence })
	return h, nil
}

// certificates lists the certificates that have generations.
func (s *Store) certificates() ([]string, error) {
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("read certificate store: %w", err)
	}
	var out []string
	for _, name := range names {
		certificate, err := url.PathUnescape(name.Name())
		if err == nil && name.IsDir() && folderName(certificate) == name.Name() {
			out = append(out, certificate)
		}
	}
	return out, nil
}

// settleAll brings every interrupted generation of a certificate to an end and returns what there is then.
func (s *Store) settleAll(ctx context.Context, certificate string) (history, error) {
	h, err := s.history(certificate)
	if err != nil {
		return nil, err
	}
	for _, m := range h {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, err := s.settle(m); err != nil {
			return nil, fmt.Errorf("finish the interrupted generation %q: %w", m.ID, err)
		}
	}
	return s.history(certificate)
}

// prune removes all but the last generations of a certificate.
func (s *Store) prune(h history) error {
	for i, m := range h {
		if len(h)-i <= keptManifests {
			break
		}
		if m.Phase != committed && m.Phase != rolledBack {
			continue
		}
		if err := s.discard(m); err != nil {
			return err
		}
	}
	return nil
}

// discard removes a generation's folder.
func (s *Store) discard(m *manifest) error {
	if err := s.removeHome(s.homePath(m)); err != nil {
		return fmt.Errorf("remove generation %q: %w", m.ID, err)
	}
	return nil
}

// removeHome removes a generation's folder, the manifest last: without it the staged files would not be found again.
func (s *Store) removeHome(path string) error {
	home, err := s.disk.open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer home.close()
	if err := removeCopies(home); err != nil {
		return err
	}
	if err := home.remove(manifestName); err != nil {
		return err
	}
	above, err := s.disk.open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer above.close()
	if err := above.remove(filepath.Base(path)); err != nil {
		return err
	}
	return above.sync()
}

func (s *Store) homePath(m *manifest) string {
	return filepath.Join(s.dir, folderName(m.Certificate), m.folder())
}

// home opens the folder of a generation and makes it when absent.
func (s *Store) home(m *manifest) (*folder, error) {
	top, err := s.disk.open(s.dir)
	if err != nil {
		return nil, err
	}
	defer top.close()
	if err := top.mkdir(folderName(m.Certificate)); err != nil {
		return nil, err
	}
	middle, err := s.disk.open(top.join(folderName(m.Certificate)))
	if err != nil {
		return nil, err
	}
	defer middle.close()
	if err := middle.mkdir(m.folder()); err != nil {
		return nil, err
	}
	return s.disk.open(s.homePath(m))
}

func writeManifest(home *folder, m *manifest) error {
	data, err := m.encode()
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := home.replace(manifestName, data); err != nil {
		return fmt.Errorf("write manifest of generation %q: %w", m.ID, err)
	}
	return nil
}

// removeCopies removes everything from a generation's folder but the manifest.
func removeCopies(home *folder) error {
	entries, err := fs.ReadDir(home.root.FS(), ".")
	if err != nil {
		return err
	}
	removed := false
	for _, e := range entries {
		if e.Name() == manifestName {
			continue
		}
		if err := home.remove(e.Name()); err != nil {
			return err
		}
		removed = true
	}
	if !removed {
		return nil
	}
	return home.sync()
}
