package certstore

import (
	"errors"
	"hash/maphash"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watchLoop is the state of Watcher.Run. All work is in proportion to the certificates that something happened to, not
// to all there are, but for set and renew, and when a folder goes. Certificates go by their numbers in sets.
type watchLoop struct {
	options WatcherOptions
	notify  *fsnotify.Watcher
	changed func(string)

	sets    Sets
	places  [][]place // by certificate: those that matter to it
	watched crowds
	seed    maphash.Seed // of places
	folders []*watchedFolder
	byPath  map[string]*watchedFolder
	former  map[string]*watchedFolder // while new sets are taken: those of the sets before
	pending map[int32]pending
}

// watchedFolder is a folder with places that matter. It keeps its number until new sets are taken.
type watchedFolder struct {
	path   string
	number uint32
	places int // that matter
	// active: the system watches it for us. refused: it would not, which has been said.
	active, refused bool
}

// pending is a certificate with changes that are not reported yet.
type pending struct{ first, last time.Time }

func newWatchLoop(w *Watcher, changed func(string)) *watchLoop {
	return &watchLoop{
		options: w.options, notify: w.notify, changed: changed, sets: noSets{}, watched: newCrowds(), seed: maphash.MakeSeed(),
		byPath: make(map[string]*watchedFolder), pending: make(map[int32]pending),
	}
}

// take takes what was said to the watcher: new sets of files, unless they are nil, and certificates whose paths may lead
// elsewhere now.
func (l *watchLoop) take(sets Sets, moved []string) {
	if sets != nil {
		l.set(sets)
	}
	look := newSurvey()
	for _, certificate := range moved {
		if n, ok := l.sets.Find(certificate); ok { // it may have left the configuration
			l.watch(int32(n), look)
		}
	}
}

// set takes new sets of files: all that matters is found anew, and what nothing cares about any more is let go.
func (l *watchLoop) set(sets Sets) {
	before, late := l.sets, l.pending
	l.sets, l.pending = sets, make(map[int32]pending)
	for n, p := range late {
		if now, still := sets.Find(before.Name(int(n))); still {
			l.pending[int32(now)] = p
		}
	}
	l.places, l.watched = make([][]place, sets.Len()), newCrowds()
	l.findActive()
	l.folders, l.byPath, l.former = nil, make(map[string]*watchedFolder), l.byPath
	look := newSurvey()
	for n := range l.places {
		l.watch(int32(n), look)
	}
	for path, f := range l.former {
		if l.byPath[path] == nil {
			l.drop(f)
		}
	}
	l.former = nil
}

// renew watches what the system would not watch before, or does not any more.
func (l *watchLoop) renew() {
	l.findActive()
	look := newSurvey()
	for n, places := range l.places {
		if slices.ContainsFunc(places, func(p place) bool { return !l.folders[p.folder()].active }) {
			l.watch(int32(n), look)
		}
	}
}

// again watches everything anew, after events were lost: among them may have been the last one of a folder that another has
// taken the place of since.
func (l *watchLoop) again() {
	for _, f := range l.folders {
		f.active = false
	}
	look := newSurvey()
	for n := range l.places {
		l.watch(int32(n), look)
	}
}

// findActive asks which folders are watched.
func (l *watchLoop) findActive() {
	for _, f := range l.folders {
		f.active = false
	}
	for _, dir := range l.notify.WatchList() {
		if f := l.byPath[dir]; f != nil {
			f.active = true
		}
	}
}

// folder returns the folder of a path.
func (l *watchLoop) folder(path string) *watchedFolder {
	f := l.byPath[path]
	if f == nil {
		f = &watchedFolder{path: strings.Clone(path), number: uint32(len(l.folders))}
		if before := l.former[path]; before != nil {
			f.active, f.refused = before.active, before.refused
		}
		l.folders, l.byPath[f.path] = append(l.folders, f), f
	}
	return f
}

// watch makes sure that everything is watched that matters to a certificate, and nothing that mattered before.
func (l *watchLoop) watch(certificate int32, look *survey) {
	before := l.places[certificate]
	hops := look.look(l.sets.Paths(int(certificate), nil))
	places := make([]place, 0, len(hops))
	for _, h := range hops {
		f := l.folder(h.dir)
		p := placeOf(f.number, l.seed, h.base)
		places = append(places, p)
		if l.watched.add(p, certificate) {
			f.places++
		}
		if !f.active {
			l.add(f)
		}
	}
	for _, p := range before {
		if slices.Contains(places, p) || !l.watched.remove(p, certificate) {
			continue
		}
		f := l.folders[p.folder()]
		if f.places--; f.places == 0 {
			l.drop(f)
		}
	}
	l.places[certificate] = places
}

func (l *watchLoop) add(f *watchedFolder) {
	err := l.notify.Add(f.path)
	if err == nil {
		f.active, f.refused = true, false
		return
	}
	if errors.Is(err, fs.ErrNotExist) || f.refused {
		return // gone again: the folder above tells
	}
	f.refused = true
	l.options.Log.Warn("cannot watch a folder of certificate files, its changes are found only by looking now and then",
		"folder", f.path, "error", err, "hint", "raise fs.inotify.max_user_watches")
}

func (l *watchLoop) drop(f *watchedFolder) {
	_ = l.notify.Remove(f.path) // it may be gone, which ends the watching just as well
	f.active, f.refused = false, false
}

// hopsOf lists the places where a change can alter what a path leads to.
func hopsOf(path string) []hop {
	r, err := resolve(path)
	if r.folder != (stamp{}) && r.dir != "/" {
		// The file's folder itself may be moved away and another put in its place; the folder above tells.
		r.hops = append(r.hops, hop{filepath.Dir(r.dir), filepath.Base(r.dir)})
	}
	if err != nil && len(r.hops) == 0 {
		return []hop{{filepath.Dir(path), filepath.Base(path)}}
	}
	return r.hops
}

// event takes one event of the system.
func (l *watchLoop) event(event fsnotify.Event) {
	now := time.Now()
	if f := l.byPath[filepath.Dir(event.Name)]; f != nil {
		for certificate := range l.watched.of(placeOf(f.number, l.seed, filepath.Base(event.Name))) {
			l.note(certificate, now)
		}
	}
	if !event.Has(fsnotify.Remove) && !event.Has(fsnotify.Rename) {
		return
	}
	if f := l.byPath[event.Name]; f != nil && f.places > 0 {
		// The folder itself went. Where it was only renamed the system would go on watching it under the old name.
		for n, places := range l.places {
			if slices.ContainsFunc(places, func(p place) bool { return p.folder() == f.number }) {
				l.note(int32(n), now)
			}
		}
		_ = l.notify.Remove(event.Name) // an error means that the watching has ended already
		f.active = false
	}
}

func (l *watchLoop) note(certificate int32, now time.Time) {
	p, ok := l.pending[certificate]
	if !ok {
		p.first = now
	}
	p.last = now
	l.pending[certificate] = p
}

// flush reports the certificates that came to rest, and says how long to wait for the next of the others.
func (l *watchLoop) flush(now time.Time) (wait time.Duration, more bool) {
	look := newSurvey()
	for certificate, p := range l.pending {
		due := p.last.Add(l.options.Settle)
		if limit := p.first.Add(settleLimit * l.options.Settle); limit.Before(due) {
			due = limit
		}
		if left := due.Sub(now); left > 0 {
			if !more || left < wait {
				wait, more = left, true
			}
			continue
		}
		delete(l.pending, certificate)
		// A link or folder may lead elsewhere now. Only once that is watched is the change reported, so that whoever
		// reads the files then hears of every later one.
		l.watch(certificate, look)
		l.changed(l.sets.Name(int(certificate)))
	}
	return wait, more
}
