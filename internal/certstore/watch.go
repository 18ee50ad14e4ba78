package certstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Defaults of WatcherOptions.
const (
	defaultSettle = 200 * time.Millisecond
	defaultRenew  = time.Hour
	// settleLimit is how many times Settle a certificate that never comes to rest is held back.
	settleLimit = 10
	// gather is the part of Settle by which a certificate may be reported later, while others are too.
	gather = 4
	// eventsAhead is how many events are taken from the system while others are looked at: an installation makes ten.
	eventsAhead = 64
)

// WatcherOptions says how to watch.
type WatcherOptions struct {
	// Settle is for how long a certificate's files must be at rest before a change is reported, so that key and chain
	// written one after the other are one event. It takes up to a quarter longer when many change. Zero means 200 ms.
	Settle time.Duration
	// Renew is how often it is tried again to watch a folder that the system would not, or does not any more. Zero means an
	// hour.
	Renew time.Duration
	// Lost is called when the system says that it has left out changes, so that everything must be looked at; it must not
	// wait for anything. Nil does nothing.
	Lost func()
	Log  *slog.Logger
}

// Watcher reports which certificates' files changed. It watches folders, those of every link on the way to a file too,
// and for a folder that does not exist yet the nearest one above. It does not tell whose change it was: the store's own
// installations are reported as well, and the receiver compares fingerprints. Network file systems and replaced parent
// folders tell nothing: somebody must look at the files now and then (Store.Unchanged).
type Watcher struct {
	options WatcherOptions
	notify  *fsnotify.Watcher
	wake    chan struct{} // holds a token after Set and Moved

	mu    sync.Mutex
	sets  Sets     // as given to Set, until they are taken over
	moved []string // as given to Moved
}

// Sets says which files belong to which certificate. It never changes, and is asked again later: the watcher keeps no paths.
type Sets interface {
	// Len is how many certificates there are; they are numbered from zero.
	Len() int
	Name(certificate int) string
	// Find returns the number of a certificate.
	Find(name string) (certificate int, ok bool)
	// Paths appends the paths of a certificate's files to a list.
	Paths(certificate int, list []string) []string
}

// noSets are those of a watcher that has not been told yet.
type noSets struct{}

func (noSets) Len() int                            { return 0 }
func (noSets) Name(int) string                     { return "" }
func (noSets) Find(string) (int, bool)             { return 0, false }
func (noSets) Paths(_ int, list []string) []string { return list }

// NewWatcher makes a watcher. Close it, or let Run do so.
func NewWatcher(options WatcherOptions) (*Watcher, error) {
	notify, err := fsnotify.NewBufferedWatcher(eventsAhead)
	if err != nil {
		return nil, fmt.Errorf("watch certificate files: %w (raise fs.inotify.max_user_instances?)", err)
	}
	if options.Settle <= 0 {
		options.Settle = defaultSettle
	}
	if options.Renew <= 0 {
		options.Renew = defaultRenew
	}
	if options.Lost == nil {
		options.Lost = func() {}
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &Watcher{options: options, notify: notify, wake: make(chan struct{}, 1)}, nil
}

// Set says which files belong to which certificate, in place of what was said before.
// It does not wait for the watching to begin: of what changes before then, only Store.Unchanged knows.
func (w *Watcher) Set(sets Sets) {
	w.mu.Lock()
	w.sets = sets
	w.mu.Unlock()
	w.nudge()
}

// Moved says that the files of a certificate changed and nothing told of it: their paths may lead elsewhere now.
func (w *Watcher) Moved(certificate string) {
	w.mu.Lock()
	w.moved = append(w.moved, certificate)
	w.mu.Unlock()
	w.nudge()
}

// take returns what was said since it was last called; the sets are nil when they are as before.
func (w *Watcher) take() (sets Sets, moved []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sets, moved = w.sets, w.moved
	w.sets, w.moved = nil, nil
	return sets, moved
}

func (w *Watcher) nudge() {
	select {
	case w.wake <- struct{}{}:
	default: // a token is there already
	}
}

// Close ends the watching, also when Run was never called.
func (w *Watcher) Close() error { return w.notify.Close() }

// Run watches until the context ends and calls changed with a certificate's name whenever its files may have changed.
// The calls come one at a time from Run's own goroutine, so changed must not wait for anything.
func (w *Watcher) Run(ctx context.Context, changed func(certificate string)) error {
	defer func() { _ = w.Close() }()
	loop := newWatchLoop(w, changed)
	renew := time.NewTicker(w.options.Renew)
	defer renew.Stop()
	settle := time.NewTimer(0)
	defer settle.Stop()
	waiting := true // for settle
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
			loop.take(w.take())
		case event, ok := <-w.notify.Events:
			if !ok {
				return errors.New("watch certificate files: the watcher was closed")
			}
			loop.event(event)
		case err, ok := <-w.notify.Errors:
			if !ok {
				return errors.New("watch certificate files: the watcher was closed")
			}
			// Mostly an overflow: events were lost, so everything must be looked at. First it is watched, so that
			// whoever looks then hears of every later change.
			w.options.Log.Warn("watching certificate files: events were lost, looking at all of them", "error", err)
			loop.again()
			w.options.Lost()
		case <-renew.C:
			loop.renew()
		case <-settle.C:
			var wait time.Duration
			if wait, waiting = loop.flush(time.Now()); waiting {
				settle.Reset(max(wait, w.options.Settle/gather)) // many that change are reported together
			}
		}
		if !waiting && len(loop.pending) > 0 { // nothing is due before then; what comes later is due later
			settle.Reset(w.options.Settle)
			waiting = true
		}
	}
}
