package certstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Defaults of WatcherOptions.
const (
	defaultSettle = 200 * time.Millisecond
	defaultRescan = time.Hour
	// settleLimit is how many times Settle a certificate that never comes to rest is held back.
	settleLimit = 10
)

// WatcherOptions says how to watch.
type WatcherOptions struct {
	// Settle is for how long a certificate's files must be at rest before a change is reported, so that key and chain
	// written one after the other are one event. Zero means 200 ms.
	Settle time.Duration
	// Rescan is how often all files are looked at whether or not the system reported anything: network file systems and
	// replaced parent folders tell nothing. Zero means an hour.
	Rescan time.Duration
	Log    *slog.Logger
}

// Watcher reports which certificates' files changed. It watches folders, those of every link on the way to a file too,
// and for a folder that does not exist yet the nearest one above. It does not tell whose change it was: the store's own
// installations are reported as well, and the receiver compares fingerprints.
type Watcher struct {
	options WatcherOptions
	notify  *fsnotify.Watcher
	wake    chan struct{} // holds a token after Set

	mu   sync.Mutex
	sets map[string][]string // as given to Set
}

// NewWatcher makes a watcher. Close it, or let Run do so.
func NewWatcher(options WatcherOptions) (*Watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch certificate files: %w (raise fs.inotify.max_user_instances?)", err)
	}
	if options.Settle <= 0 {
		options.Settle = defaultSettle
	}
	if options.Rescan <= 0 {
		options.Rescan = defaultRescan
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &Watcher{options: options, notify: notify, wake: make(chan struct{}, 1)}, nil
}

// Set says which files belong to which certificate, in place of what was said before. It does not wait for the
// watching to begin; changes between the call and then are noticed all the same.
func (w *Watcher) Set(sets map[string][]string) {
	own := make(map[string][]string, len(sets))
	for certificate, paths := range sets {
		own[certificate] = slices.Clone(paths)
	}
	w.mu.Lock()
	w.sets = own
	w.mu.Unlock()
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
	rescan := time.NewTicker(w.options.Rescan)
	defer rescan.Stop()
	settle := time.NewTimer(0)
	defer settle.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
			w.mu.Lock()
			sets := w.sets
			w.mu.Unlock()
			loop.set(sets)
		case event, ok := <-w.notify.Events:
			if !ok {
				return errors.New("watch certificate files: the watcher was closed")
			}
			loop.event(event)
		case err, ok := <-w.notify.Errors:
			if !ok {
				return errors.New("watch certificate files: the watcher was closed")
			}
			// Mostly an overflow: events were lost, so everything must be looked at.
			w.options.Log.Warn("watching certificate files: events were lost, looking at all of them", "error", err)
			loop.rescan()
		case <-rescan.C:
			loop.rescan()
		case <-settle.C:
		}
		if wait, ok := loop.flush(time.Now()); ok {
			settle.Reset(wait)
		}
	}
}
