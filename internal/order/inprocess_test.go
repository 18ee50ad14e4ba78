package order_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// What is published in this process alone is up no longer than the process, and needs no saves of its own.
func TestWhatIsPublishedInProcessNeedsNoSteps(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.zone.inProcess = true
		r := w.run(w.begin("web").ID, time.Hour)
		want(t, r, order.Deployed)
		if diff := cmp.Diff([]string{"intended", "sending", "placed", "responded", "installed", "deployed"}, w.steps); diff != "" {
			t.Error(diff)
		}
		if left := w.zone.left(); len(left) != 0 || len(r.Publications) != 0 || w.zone.puts != 2 {
			t.Errorf("%d were published, left are %v and in the journal %v", w.zone.puts, left, r.Publications)
		}
	})
}

// Invariants 1 and 7, from each state that a crash may leave in the journal, with everything that was up gone by the crash.
func TestCrashWithWhatIsPublishedInProcess(t *testing.T) {
	for n, done := 1, false; !done && !t.Failed(); n++ {
		t.Run(fmt.Sprintf("after %d writes", n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.zone.inProcess = true
				id := w.begin("web").ID
				writes := 1
				w.journal.fail = func(int) error {
					if writes++; writes > n {
						return errors.New("killed")
					}
					return nil
				}
				done = !w.killed([]string{id})
				w.journal.fail = nil
				w.zone.forget()
				w.zone.published = nil
				w.restart()
				want(t, w.run(id, day), order.Deployed)
				if err := w.engine.Withdraw(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				if left := w.zone.left(); len(left) != 0 || w.shop.purchases != 1 {
					t.Errorf("%d purchases, left %v", w.shop.purchases, left)
				}
			})
		})
	}
}

// What goes wrong is journaled with all that was done before it, and nothing stays published for it.
func TestFailuresWithWhatIsPublishedInProcess(t *testing.T) {
	for call, step := range map[string]string{"publish": "published", "visible": "visible-failed", "withdraw": "responded"} {
		t.Run(call, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.zone.inProcess = true
				failures := 0
				w.zone.fail = func(c string) error {
					if c == call && failures < 2 {
						failures++
						return pluginapi.Errorf(pluginapi.Unavailable, "the port is taken")
					}
					return nil
				}
				id := w.begin("web").ID
				r := w.runUntil(id, time.Hour, func(r order.Record) bool { return r.Step == step })
				if len(r.Publications) != 2 {
					t.Errorf("of two publications the journal has %+v", r.Publications)
				}
				w.restart() // whatever the record says now, it says in the journal
				again, _ := w.engine.Order(id)
				if len(again.Publications) != 2 {
					t.Errorf("after a restart it has %+v", again.Publications)
				}
				want(t, w.run(id, day), order.Deployed)
				if err := w.engine.Withdraw(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				if left := w.zone.left(); len(left) != 0 || w.shop.purchases != 1 {
					t.Errorf("%d purchases, left %v", w.shop.purchases, left)
				}
			})
		})
	}
}

// Where one name is shown in another way, all goes step by step; and nothing is chosen in the CA's lane with a profile that does not
// say what it can publish.
func TestAllStepsWhereOneProfileIsNotInProcess(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.zone.inProcess = true
		spec := w.specs["web"]
		spec.Profiles = func(name string) []string {
			if name == "b.example.com" {
				return []string{"dns"}
			}
			return []string{"http"}
		}
		w.specs["web"] = spec
		w.zone.mute = true
		w.mixed("dns")
		want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
		for _, step := range []string{"publishing", "published"} {
			if !slices.Contains(w.steps, step) {
				t.Errorf("steps %v", w.steps)
			}
		}
	})
}

// mixed makes one profile publish outside of this process.
func (w *world) mixed(outside string) {
	w.publisher = partly{w.zone, outside}
	w.restart()
}

// partly is a zone of which one profile outlives the process.
type partly struct {
	*zone
	outside string
}

func (p partly) InProcess(profile string) bool { return profile != p.outside }

// A file that this process has put in place a moment ago is not read again before it is deployed; after a restart it is.
func TestWhatWasInstalledIsReadAgainAfterARestart(t *testing.T) {
	for name, restart := range map[string]bool{"at once": false, "after a restart": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				id := w.begin("web").ID
				w.runUntil(id, time.Hour, func(r order.Record) bool { return r.Phase == order.Installed })
				if restart {
					w.restart()
				}
				before := w.disk.reads
				if err := w.engine.Step(context.Background(), id); err != nil {
					t.Fatal(err)
				}
				if read := w.disk.reads > before+1; read != restart { // the server reads it once to serve it
					t.Errorf("%d readings", w.disk.reads-before)
				}
				want(t, w.run(id, day), order.Deployed)
			})
		})
	}
}
