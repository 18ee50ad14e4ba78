package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// atOnce is how many worlds live side by side. Most of the time they wait.
const atOnce = 6

// places bounds how many worlds there are at once, whatever -parallel says.
type places chan struct{}

func (p places) take(t testing.TB) {
	t.Helper()
	select {
	case p <- struct{}{}:
		t.Cleanup(func() { <-p })
	case <-t.Context().Done():
		t.Fatal("no place came free")
	}
}

// crash is an instant at which a daemon ends as by a power cut.
type crash struct {
	name string
	// failpoint is what the daemon is told, empty when the test does it.
	failpoint string
	// prepare makes the shop do it.
	prepare func(*world)
	// perhaps: the instant need not come in every run.
	perhaps bool
}

// crashesOf lists every instant of an order: before and after each step that the journal writes, and in the middle of
// each exchange with the CA, before and after the CA has done its part.
func crashesOf(t testing.TB, kind, profile string, before *past) []crash {
	t.Helper()
	w := newWorld(t, kind, profile, before)
	w.start("CERTBRIDGED_FAILPOINT=list:" + w.path("steps"))
	w.settle()
	var list []crash
	times := map[string]int{}
	for _, step := range strings.Fields(w.read("steps")) {
		times[step]++
		name, again := step, times[step] > 1
		if again {
			name = fmt.Sprintf("%s#%d", step, times[step])
		}
		for _, when := range []string{"before", "after"} {
			list = append(list, crash{name: when + " saving " + name, failpoint: when + ":" + name, perhaps: again})
		}
	}
	for _, exchange := range []string{"POST /orders", "POST /orders/{id}/validate", "GET /orders/{id}"} {
		for when, done := range map[string]bool{"before": false, "after": true} {
			list = append(list, crash{name: when + " the CA has done " + exchange, prepare: func(w *world) {
				w.shop.misbehave(exchange, killDaemon(w.rig, done))
			}})
		}
	}
	return list
}

// run lets a world crash, begins it again and checks that nothing was lost and nothing done twice.
func (c crash) run(t *testing.T, w *world) {
	if c.prepare != nil {
		c.prepare(w)
		w.begin()
	} else {
		w.begin("CERTBRIDGED_FAILPOINT=" + c.failpoint)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	finished := await(ctx, patience, func() bool { return !w.alive() || c.perhaps && w.through("web", w.old) })
	switch {
	case !finished:
		t.Fatalf("this instant did not come within %s", patience)
	case w.alive():
		w.stop()
		t.Skip("SKIP: this time the order took fewer steps")
	}
	w.noPlugins("after the daemon was killed")
	w.start()
	w.settle()
}

// TestCrashAtAnyInstantBuysOnceAndLeavesAMatchingPair is invariants 1, 5 and 7, from outside.
func TestCrashAtAnyInstantBuysOnceAndLeavesAMatchingPair(t *testing.T) {
	begun := time.Now()
	pasts := newPasts(t)
	free := make(places, atOnce)
	var runs atomic.Int64
	t.Run("kinds", func(t *testing.T) {
		for _, kind := range []string{"new", "renew", "reissue"} {
			for _, profile := range []string{"http", "webroot"} {
				if testing.Short() && (kind != "renew" || profile != "webroot") {
					continue
				}
				for _, c := range crashesOf(t, kind, profile, pasts[kind]) {
					t.Run(kind+" "+profile+" "+c.name, func(t *testing.T) {
						t.Parallel()
						free.take(t)
						c.run(t, newWorld(t, kind, profile, pasts[kind]))
						runs.Add(1)
					})
				}
			}
		}
	})
	t.Logf("%d crashes and restarts in %s", runs.Load(), time.Since(begun).Round(time.Second))
	if runs.Load() == 0 {
		t.Error("nothing crashed")
	}
}
