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
// to all there are, but for set and renew.
type watchLoop struct {
	options WatcherOptions
	notify  *fsnotify.Watcher
	changed func(string)

	sets map[string]*watchedSet // by certificate
	// watched: folder, name in it, the certificates that care. A folder's own name is that of all certificates in it.
	watched map[string]map[string]crowd
	// active are the folders that the system watches for us; refused those it would not, so that it is said once.
	active, refused map[string]bool
	pending         map[string]pending
}

// watchedSet is what is watched for a certificate.
type watchedSet struct {
	paths []string
	hops  []hop // the places that matter to them
}

// pending is a certificate with changes that are not reported yet.
type pending struct{ first, last time.Time }

func newWatchLoop(w *Watcher, changed func(string)) *watchLoop {
	return &watchLoop{
		options: w.options, notify: w.notify, changed: changed,
		sets: make(map[string]*watchedSet), watched: make(map[string]map[string]crowd),
		active: make(map[string]bool), refused: make(map[string]bool), pending: make(map[string]pending),
	}
}

// take takes what was said to the watcher: new sets of files, unless they are nil, and certificates whose paths may lead
// elsewhere now.
func (l *watchLoop) take(sets map[string][]string, moved []string) {
	if sets != nil {
		l.set(sets)
	}
	look := newSurvey()
	for _, certificate := range moved {
		l.watch(certificate, look)
	}
}

// set takes new sets of files.
func (l *watchLoop) set(sets map[string][]string) {
	for certificate, before := range l.sets {
		if _, ok := sets[certificate]; !ok {
			l.unwatch(certificate, before.hops, nil)
			delete(l.sets, certificate)
			delete(l.pending, certificate)
		}
	}
	l.findActive()
	look := newSurvey()
	for certificate, paths := range sets {
		if set := l.sets[certificate]; set != nil {
			set.paths = paths
		} else {
			l.sets[certificate] = &watchedSet{paths: paths}
		}
		l.watch(certificate, look)
	}
}

// renew watches what the system would not watch before, or does not any more.
func (l *watchLoop) renew() {
	l.findActive()
	look := newSurvey()
	for certificate, set := range l.sets {
		if slices.ContainsFunc(set.hops, func(h hop) bool { return !l.active[h.dir] }) {
			l.watch(certificate, look)
		}
	}
}

// again watches everything anew, after events were lost: among them may have been the last one of a folder that another has
// taken the place of since.
func (l *watchLoop) again() {
	clear(l.active)
	look := newSurvey()
	for certificate := range l.sets {
		l.watch(certificate, look)
	}
}

// findActive asks which folders are watched.
func (l *watchLoop) findActive() {
	clear(l.active)
	for _, dir := range l.notify.WatchList() {
		l.active[dir] = true
	}
}

// watch makes sure that everything is watched that matters to a certificate, and nothing that mattered before.
func (l *watchLoop) watch(certificate string, look *survey) {
	set := l.sets[certificate]
	if set == nil {
		return // it has left the configuration
	}
	hops := look.look(set.paths)
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
	l.unwatch(certificate, set.hops, hops)
	set.hops = hops
}

// unwatch drops what mattered to a certificate and is not among keep.
func (l *watchLoop) unwatch(certificate string, hops, keep []hop) {
	for _, h := range hops {
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
		"folder", dir, "error", err, "hint", "raise fs.inotify.max_user_watches")
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
		l.watch(certificate, newSurvey())
		l.changed(certificate)
	}
	return wait, more
}
