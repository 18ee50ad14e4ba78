package pluginhost

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// run runs the host's watch until the test ends.
func (r *rig) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	// The first scan tells nothing; that a file which keeps changing is told of shows that the watch is on.
	probe := filepath.Join(r.dir, "ca-probe")
	n := 0
	eventually(t, "the folder is watched", func() bool {
		n++
		must(t, os.WriteFile(probe, make([]byte, n), 0o755))
		return r.events.count(EventAdded, "ca-probe")+r.events.count(EventReplaced, "ca-probe") > 0
	})
	must(t, os.Remove(probe))
	eventually(t, "the probe's end is told", func() bool { return r.events.count(EventRemoved, "ca-probe") > 0 })
}

func TestDroppedInReplacedRemovedWhileRunning(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RescanEvery = time.Hour })
	r.run(t)
	c := r.account("shop", "test", "")
	if _, err := c.GetOrder(t.Context(), placed("pid")); !errors.Is(err, ErrNotInstalled) {
		t.Fatalf("before: %v", err)
	}
	if got := r.state(t, "shop"); got.State != StateNotInstalled {
		t.Errorf("before: %+v", got)
	}

	install(t, r.dir, "ca-test", "")
	first := detail(t, c, "pid")
	eventually(t, "it is told", func() bool { return r.events.count(EventAdded, "ca-test") == 1 })

	// A call under way ends on the old process; the next one is served by the new file.
	slow := make(chan string, 1)
	go func() {
		reply, err := c.GetOrder(context.Background(), placed("sleep:1s"))
		if err != nil {
			t.Error(err)
		}
		slow <- reply.Order.Detail
	}()
	eventually(t, "the slow call is under way", func() bool { return r.state(t, "shop").Calls == 1 })
	install(t, r.dir, "ca-test", "version 2")
	second := detail(t, c, "pid")
	if second == first {
		t.Error("the old process answered")
	}
	if got := <-slow; got != first {
		t.Errorf("the call under way was answered by %s, not %s", got, first)
	}
	eventually(t, "the old process ends", func() bool { return !alive(first) })
	eventually(t, "it is told", func() bool { return r.events.count(EventReplaced, "ca-test") > 0 })

	// Without any further call, too.
	install(t, r.dir, "ca-test", "version 3")
	eventually(t, "the process of the replaced file ends", func() bool { return !alive(second) })
	third := detail(t, c, "pid")

	if err := os.Remove(filepath.Join(r.dir, "ca-test")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process of the removed file ends", func() bool { return !alive(third) })
	eventually(t, "it is told", func() bool { return r.events.count(EventRemoved, "ca-test") == 1 })
	if _, err := c.GetOrder(t.Context(), placed("pid")); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("after: %v", err)
	}
	if got := r.state(t, "shop"); got.Failures != 0 {
		t.Errorf("failures: %+v", got)
	}
}

func TestFileThatBecomesUnsafeStopsItsProcess(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RescanEvery = time.Hour })
	path := install(t, r.dir, "ca-test", "")
	r.run(t)
	c := r.account("shop", "test", "")
	pid := detail(t, c, "pid")
	must(t, os.Chmod(path, 0o777))
	eventually(t, "the process ends", func() bool { return !alive(pid) })
	eventually(t, "it is told", func() bool { return r.events.count(EventRefused, "ca-test") > 0 })
	if info := r.plugin(t, "ca-test"); info.State != StateRefused || info.Reason == "" || info.SHA256 != "" {
		t.Errorf("list: %+v", info)
	}
	must(t, os.Chmod(path, 0o755))
	detail(t, c, "pid")
}

// Where the file system tells nothing, as on a network share, the timed scan finds out.
func TestTimedRescan(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RescanEvery = 20 * time.Millisecond })
	must(t, os.Remove(r.dir))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	must(t, os.Mkdir(r.dir, 0o755)) // the folder itself was not there to be watched
	install(t, r.dir, "ca-test", "")
	eventually(t, "the file is seen", func() bool { return r.events.count(EventAdded, "ca-test") == 1 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
