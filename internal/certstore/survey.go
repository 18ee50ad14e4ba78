package certstore

import (
	"path/filepath"
	"slices"
	"strings"
)

// survey finds the places that matter to many paths. Certificate files share folders: each is resolved one time, and a file
// that is no link costs one call of the system.
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

// look returns the places that matter to some paths, as hopsOf does.
func (s *survey) look(paths []string) []hop {
	hops := make([]hop, 0, 2*len(paths))
	add := func(list ...hop) {
		for _, h := range list {
			if !slices.Contains(hops, h) {
				hops = append(hops, h)
			}
		}
	}
	for _, path := range paths {
		view, base := s.folder(filepath.Dir(path)), filepath.Base(path)
		if view.real == "" {
			add(hopsOf(path)...)
			continue
		}
		if file, _ := stampAt(filepath.Join(view.real, base), false); file.link() {
			add(hopsOf(path)...)
			continue
		}
		add(view.hops...)
		add(hop{view.real, base})
		if view.real != "/" {
			add(hop{filepath.Dir(view.real), filepath.Base(view.real)})
		}
	}
	return hops
}
