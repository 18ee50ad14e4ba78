package certstore

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watchLoop is the state of Watcher.Run. All work is in proportion to the certificates that something happened to, not
// to all there are, but for set and rescan.
type watchLoop struct {
	options WatcherOptions
	notify  *fsnotify.Watcher
	changed func(string)

	sets map[string][]string // certificate, paths
	hops map[string][]hop    // certificate, the places that matter to it
	// watched: folder, name in it, the certificates that care. A folder's own name is that of all certificates in it.
	watched map[string]map[string]crowd
	// active are the folders that the system watches for us; refused those it would not, so that it is said once.
	active, refused map[string]bool
	// seen is what the files of each certificate were like when last looked at.
	seen    map[string]sight
	pending map[string]pending
}

// pending is a certificate with changes that are not reported yet.
type pending struct{ first, last time.Time }

func newWatchLoop(w *Watcher, changed func(string)) *watchLoop {
	return &watchLoop{
		options: w.options, notify: w.notify, changed: changed,
		hops: make(map[string][]hop), watched: make(map[string]map[string]crowd),
		active: make(map[string]bool), refused: make(map[string]bool),
		seen: make(map[string]sight), pending: make(map[string]pending),
	}
}

// set takes new sets of files. What is new to the watcher is not a change; what changed since it was last seen is.
func (l *watchLoop) set(sets map[string][]string) {
	l.sets = sets
	for certificate := range l.hops {
		if _, ok := sets[certificate]; !ok {
			l.unwatch(certificate, nil)
			delete(l.hops, certificate)
			delete(l.seen, certificate)
			delete(l.pending, certificate)
		}
	}
	l.rescan()
}

// rescan looks at everything, whatever the system reported. Folders are watched before their files are looked at, so
// that no change falls between the two.
func (l *watchLoop) rescan() {
	clear(l.active)
	for _, dir := range l.notify.WatchList() {
		l.active[dir] = true
	}
	look := newSurvey()
	for certificate, paths := range l.sets {
		hops, ids := look.look(paths)
		if !l.watching(certificate, hops) {
			l.watchAt(certificate, hops)
			ids = identitiesOf(paths)
		}
		before, known := l.seen[certificate]
		l.seen[certificate] = sight{paths, ids}
		if known && !before.same(paths, ids) {
			l.note(certificate, time.Now())
		}
	}
}

// watching reports that just these places are watched for a certificate, as they have been.
func (l *watchLoop) watching(certificate string, hops []hop) bool {
	if !slices.Equal(l.hops[certificate], hops) {
		return false
	}
	for _, h := range hops {
		if !l.active[h.dir] {
			return false
		}
	}
	return len(hops) > 0
}

// watch makes sure that everything is watched that matters to a certificate, and nothing that mattered before.
func (l *watchLoop) watch(certificate string) {
	hops, _ := newSurvey().look(l.sets[certificate])
	l.watchAt(certificate, hops)
}

func (l *watchLoop) watchAt(certificate string, hops []hop) {
	for _, h := range hops {
		names := l.watched[h.dir]
		if names == nil {
			names = make(map[string]crowd)
			l.watched[h.dir] = names
		}
		names[h.base] = names[h.base].with(certificate)
		if !l.active[h.dir] {
			l.add(h.dir)
		}
	}
	l.unwatch(certificate, hops)
	l.hops[certificate] = hops
}

// unwatch drops what mattered to a certificate and is not among keep.
func (l *watchLoop) unwatch(certificate string, keep []hop) {
	for _, h := range l.hops[certificate] {
		if slices.Contains(keep, h) {
			continue
		}
		names := l.watched[h.dir]
		if rest := names[h.base].without(certificate); rest.empty() {
			delete(names, h.base)
		} else {
			names[h.base] = rest
		}
		if len(names) == 0 {
			delete(l.watched, h.dir)
			l.drop(h.dir)
		}
	}
}

func (l *watchLoop) add(dir string) {
	err := l.notify.Add(dir)
	if err == nil {
		l.active[dir] = true
		delete(l.refused, dir)
		return
	}
	if errors.Is(err, fs.ErrNotExist) || l.refused[dir] {
		return // gone again: the folder above tells
	}
	l.refused[dir] = true
	l.options.Log.Warn("cannot watch a folder of certificate files, its changes are found only by looking now and then",
		"folder", dir, "every", l.options.Rescan, "error", err, "hint", "raise fs.inotify.max_user_watches")
}

func (l *watchLoop) drop(dir string) {
	_ = l.notify.Remove(dir) // it may be gone, which ends the watching just as well
	delete(l.active, dir)
	delete(l.refused, dir)
}

// hopsOf lists the places where a change can alter what a path leads to.
func hopsOf(path string) []hop {
	r, err := resolve(path)
	if r.dirInfo != nil && r.dir != "/" {
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
	for certificate := range l.watched[filepath.Dir(event.Name)][filepath.Base(event.Name)].all() {
		l.note(certificate, now)
	}
	if !event.Has(fsnotify.Remove) && !event.Has(fsnotify.Rename) {
		return
	}
	if names := l.watched[event.Name]; names != nil {
		// The folder itself went. Where it was only renamed the system would go on watching it under the old name.
		for _, certificates := range names {
			for certificate := range certificates.all() {
				l.note(certificate, now)
			}
		}
		_ = l.notify.Remove(event.Name) // an error means that the watching has ended already
		delete(l.active, event.Name)
	}
}

func (l *watchLoop) note(certificate string, now time.Time) {
	p, ok := l.pending[certificate]
	if !ok {
		p.first = now
	}
	p.last = now
	l.pending[certificate] = p
}

// flush reports the certificates that came to rest, and says how long to wait for the next of the others.
func (l *watchLoop) flush(now time.Time) (wait time.Duration, more bool) {
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
		l.watch(certificate)
		l.seen[certificate] = sight{l.sets[certificate], identitiesOf(l.sets[certificate])}
		l.changed(certificate)
	}
	return wait, more
}
