package pluginhost

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleTime gathers the many events of one installation.
const settleTime = 100 * time.Millisecond

// sight is what was seen of a file.
type sight struct {
	id     identity
	reason string // why it is refused
}

// Run watches the folder until ctx ends and then closes the host: when it returns, no plugin runs. Plugins can be
// used without it; each call looks at its file itself. Run adds that a process of a replaced or removed file ends at
// once, not at the next call, and that the change is told.
func (h *Host) Run(ctx context.Context) error {
	var events <-chan fsnotify.Event // nil without a watcher: they never deliver
	var lost <-chan error
	watch := func() {}
	if watcher, err := fsnotify.NewWatcher(); err != nil {
		h.log.Warn("plugin folder is read on a timer only", "error", err)
	} else {
		defer func() { _ = watcher.Close() }()
		events, lost = watcher.Events, watcher.Errors
		watch = func() {
			if err := watcher.Add(h.folder.dir); err != nil {
				h.log.Warn("plugin folder not watched", "folder", h.folder.dir, "error", err)
			}
		}
	}
	watch()
	seen := h.scan(nil)
	tick := time.NewTicker(h.opt.RescanEvery)
	defer tick.Stop()
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return h.Close()
		case <-events:
			if settled == nil {
				settled = time.After(settleTime)
			}
		case err := <-lost:
			h.log.Debug("plugin folder watch lost events", "error", err)
			settled = time.After(settleTime)
		case <-settled:
			settled = nil
			seen = h.scan(seen)
		case <-tick.C:
			watch() // the folder itself may have been replaced
			seen = h.scan(seen)
		}
	}
}

// scan reads the folder, tells what changed since before, and returns what is there. A first scan tells nothing but
// refusals.
func (h *Host) scan(before map[string]sight) map[string]sight {
	now := map[string]sight{}
	names, err := h.folder.names()
	if err != nil {
		h.log.Warn("plugin folder not readable", "error", err)
		names = nil
	}
	for _, name := range names {
		_, id, err := h.folder.look(name)
		now[name] = sight{id: id}
		if err != nil {
			now[name] = sight{id: id, reason: err.Error()}
		}
	}
	changed := map[string]bool{}
	for name, s := range now {
		old, was := before[name]
		if was && old == s {
			continue
		}
		changed[name] = true
		switch {
		case s.reason != "":
			h.tellFile(EventRefused, name, s.reason)
		case before == nil:
		case was:
			h.tellFile(EventReplaced, name, "")
		default:
			h.tellFile(EventAdded, name, "")
		}
	}
	for name := range before {
		if _, still := now[name]; !still {
			changed[name] = true
			h.tellFile(EventRemoved, name, "")
		}
	}
	for _, i := range h.all() {
		if changed[i.file] {
			i.refresh()
		}
	}
	return now
}

func (h *Host) tellFile(kind EventKind, name, reason string) {
	if reason != "" {
		h.log.Warn("plugin event", "event", string(kind), "plugin", name, "reason", reason)
	} else {
		h.log.Info("plugin event", "event", string(kind), "plugin", name)
	}
	h.publish(Event{Time: time.Now(), Kind: kind, Plugin: name, Reason: reason})
}
