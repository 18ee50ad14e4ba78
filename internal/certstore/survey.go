package certstore

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// survey looks at many paths at once. Certificate files share folders: each is resolved one time, and a file that is no
// link costs one call of the system.
type survey struct{ folders map[string]folderView }

// folderView is where a folder of a configured path really is, with the places on the way to it that matter.
type folderView struct {
	hops []hop
	real string // empty: it is not there, or not to be trusted; then each path is resolved by itself
}

func newSurvey() *survey { return &survey{folders: map[string]folderView{}} }

// probe is a name that no file has: what a path to it leads to is its folder.
const probe = ".certbridged-probe"

// folder resolves the folder that a path names.
func (s *survey) folder(dir string) folderView {
	view, known := s.folders[dir]
	if known {
		return view
	}
	r, err := resolve(filepath.Join(dir, probe))
	if err == nil && r.base == probe {
		view.real = strings.Clone(r.dir)
		view.hops = r.hops[:len(r.hops)-1] // without the probe
	}
	s.folders[dir] = view
	return view
}

// look returns the places that matter to some paths, as hopsOf does, and what the files are like.
func (s *survey) look(paths []string) ([]hop, []Identity) {
	hops := make([]hop, 0, 2*len(paths))
	ids := make([]Identity, len(paths))
	add := func(list ...hop) {
		for _, h := range list {
			if !slices.Contains(hops, h) {
				hops = append(hops, h)
			}
		}
	}
	for i, path := range paths {
		view, base := s.folder(filepath.Dir(path)), filepath.Base(path)
		if view.real == "" {
			add(hopsOf(path)...)
			ids[i] = identityOf(path)
			continue
		}
		info, err := os.Lstat(filepath.Join(view.real, base))
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			add(hopsOf(path)...)
			ids[i] = identityOf(path)
			continue
		}
		if err == nil {
			ids[i] = identify(info)
		}
		add(view.hops...)
		add(hop{view.real, base})
		if view.real != "/" {
			add(hop{filepath.Dir(view.real), filepath.Base(view.real)})
		}
	}
	return hops, ids
}

// identityOf is what a file is like; zero when there is none.
func identityOf(path string) Identity {
	info, err := os.Stat(path)
	if err != nil {
		return Identity{}
	}
	return identify(info)
}

func identitiesOf(paths []string) []Identity {
	ids := make([]Identity, len(paths))
	for i, path := range paths {
		ids[i] = identityOf(path)
	}
	return ids
}

// sight is what the files of a certificate were like when last looked at.
type sight struct {
	paths []string
	ids   []Identity
}

// same reports whether files are as they were. A file that was not looked at before counts as one that was not there.
func (s sight) same(paths []string, ids []Identity) bool {
	if slices.Equal(s.paths, paths) {
		return slices.Equal(s.ids, ids)
	}
	for i, path := range paths {
		var before Identity
		if at := slices.Index(s.paths, path); at >= 0 {
			before = s.ids[at]
		}
		if before != ids[i] {
			return false
		}
	}
	return true
}
