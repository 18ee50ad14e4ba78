package order_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// What people and other work do to an order while a step of it is under way, or could not be journaled.

func TestNothingIsResolvedWhileTheCallIsUnderWay(t *testing.T) { // invariant 1
	inBubble(t, func(t *testing.T, w *world) {
		r := w.begin("web")
		var resolved error
		w.shop.place = func(n int) (bool, error) {
			if n > 1 {
				return true, nil
			}
			_, resolved = w.engine.Resolve(r.ID, "") // the person sees an order that was sent and has no answer
			return true, errors.New("connection reset by peer")
		}
		want(t, w.run(r.ID, day), order.Deployed)
		if !errors.Is(resolved, order.ErrBusy) {
			t.Errorf("resolving got %v, want ErrBusy", resolved)
		}
		if n := len(w.shop.requests); n != 1 {
			t.Errorf("sent %d times", n)
		}
	})
}

func TestApprovalThatIsNotJournaledChangesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		spec := w.specs["web"]
		spec.MaxPerDay = 0
		w.specs["web"] = spec
		r := w.run(w.begin("web").ID, day)
		want(t, r, order.Held)
		w.journal.fail = func(int) error { return errors.New("no space left on device") }
		for range 2 {
			if got, err := w.engine.Approve(r.ID); err == nil || got.Phase != order.Held {
				t.Errorf("%s, %v", got.Phase, err)
			}
		}
		w.journal.fail = nil
		if err := w.engine.Step(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		if still, _ := w.engine.Order(r.ID); still.Phase != order.Held {
			t.Errorf("an approval that was answered with an error took effect: %s", still.Phase)
		}
		if _, err := w.engine.Approve(r.ID); err != nil {
			t.Fatal(err)
		}
		want(t, w.run(r.ID, day), order.Deployed)
	})
}

// A name is valid already and its challenge is taken down, while the other's is published again after a restart.
func TestWithdrawingOneChallengeWhileAnotherIsPublished(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.stepwise = true
		r := w.runUntil(w.begin("web").ID, day, func(r order.Record) bool { return r.Step == "responded" })
		if len(r.Publications) != 2 || !r.Publications[0].Obsolete || r.Publications[1].Obsolete {
			t.Fatalf("%+v", r.Publications)
		}
		w.restart()
		w.zone.publishing = func() {
			if err := w.engine.Withdraw(t.Context(), r.ID); err != nil {
				t.Error(err)
			}
		}
		if err := w.engine.Step(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		after, _ := w.engine.Order(r.ID)
		if len(after.Publications) != 1 || after.Publications[0].Challenge.ID != r.Publications[1].Challenge.ID || !after.Publications[0].Published {
			t.Errorf("%+v", after.Publications)
		}
	})
}

func TestTimesAreThoseOfTheWallClock(t *testing.T) {
	r := newWorld(t).begin("web")
	if r.NextAt != r.NextAt.Round(0) { // the monotonic reading stands still while a machine sleeps
		t.Errorf("%v has a monotonic reading", r.NextAt)
	}
}

// An order whose certificate is configured no more shows nothing, and goes on where it was when it comes back.
func TestOrderThatRestsShowsNothing(t *testing.T) {
	for name, early := range map[string]bool{"back after it was withdrawn": false, "back before": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				id := w.begin("web").ID
				w.runUntil(id, time.Minute, func(r order.Record) bool { return r.Step == "published" })
				if len(w.zone.left()) != 2 {
					t.Fatalf("published: %v", w.zone.left())
				}
				if err := w.engine.Rest(id); err != nil {
					t.Fatal(err)
				}
				if early {
					// The wait for the withdrawal is no failure, and makes no haste.
					before := w.shop.looks
					r := w.runUntil(id, 10*time.Minute, func(order.Record) bool { return false })
					if r.Attempts != 0 || len(r.Publications) != 2 || w.shop.looks-before > 12 {
						t.Errorf("%d attempts, %d publications, %d looks", r.Attempts, len(r.Publications), w.shop.looks-before)
					}
				}
				if err := w.engine.Withdraw(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				if left := w.zone.left(); len(left) != 0 {
					t.Errorf("still published: %v", left)
				}
				if err := w.engine.Rest(id); !errors.Is(err, order.ErrWrongPhase) {
					t.Errorf("nothing is left to rest: %v", err)
				}
				begin := time.Now()
				want(t, w.run(id, day), order.Deployed)
				if took := time.Since(begin); took > time.Minute || w.shop.purchases != 1 {
					t.Errorf("it took %s and %d purchases", took, w.shop.purchases)
				}
			})
		})
	}
}

func TestRaisedBudgetReleasesWhatItHeld(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		limit := func(certificate string, account, each int) {
			spec := w.specs[certificate]
			spec.MaxPerDay, spec.MaxPerCertificate = account, each
			w.specs[certificate] = spec
		}
		w.add("other", "c.example.com")
		limit("web", 0, 1)
		limit("other", 1, 1)
		id := w.begin("web").ID
		want(t, w.run(id, day), order.Held)
		if _, err := w.engine.ReleaseBudget(id); !errors.Is(err, order.ErrWrongPhase) {
			t.Errorf("released within the same limit: %v", err)
		}
		limit("web", 1, 1)
		r, err := w.engine.ReleaseBudget(id)
		if err != nil {
			t.Fatal(err)
		}
		want(t, r, order.Intended)
		if len(r.Approved) != 0 {
			t.Errorf("approved %v: a limit that was raised is still a limit", r.Approved)
		}
		// Until it is sent, another may take the place.
		want(t, w.run(w.begin("other").ID, day), order.Deployed)
		want(t, w.run(id, day), order.Held)
		limit("web", 2, 1)
		if _, err := w.engine.ReleaseBudget(id); err != nil {
			t.Fatal(err)
		}
		want(t, w.run(id, day), order.Deployed)
		if _, err := w.engine.ReleaseBudget(id); !errors.Is(err, order.ErrWrongPhase) {
			t.Errorf("a final order was released: %v", err)
		}
		if n := w.shop.purchases; n != 2 {
			t.Errorf("%d purchases", n)
		}
	})
}

// Somebody may take down what is published: it is put up again before the next look, with its receipt, and taken down
// for good at the end.
func TestWhatCannotBeSeenIsPublishedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.zone.fail = func(call string) error {
			if call == "visible" && len(w.zone.published) != 2 {
				return errors.New("somebody took it down")
			}
			if call == "visible" && w.zone.puts < 4 {
				w.zone.published = nil
				return errors.New("somebody took it down")
			}
			return nil
		}
		r := w.run(w.begin("web").ID, day)
		want(t, r, order.Deployed)
		if w.zone.puts != 4 || w.zone.earlier[0] != "" || !strings.HasPrefix(w.zone.earlier[3], "receipt-") {
			t.Errorf("published %d times, with the receipts %q", w.zone.puts, w.zone.earlier)
		}
		if err := w.engine.Withdraw(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		if r, _ = w.engine.Order(r.ID); r.ToWithdraw() || len(w.zone.left()) != 0 {
			t.Errorf("left: %v", w.zone.left())
		}
	})
}

// Who may not publish may not withdraw either: what was surely never up holds up no end.
func TestWhatWasRefusedIsNotWithdrawn(t *testing.T) {
	for name, c := range map[string]struct {
		kind pluginapi.ErrorKind
		left bool
	}{"refused": {pluginapi.Unauthorized, false}, "perhaps up": {pluginapi.Unavailable, true}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.zone.fail = func(call string) error {
					if call == "visible" {
						return nil
					}
					return pluginapi.Errorf(c.kind, "not with this key")
				}
				r := w.run(w.begin("web").ID, time.Hour)
				want(t, r, order.Validating)
				if _, err := w.engine.Cancel(t.Context(), r.ID, "not wanted"); err != nil {
					t.Fatal(err)
				}
				if err := w.engine.Withdraw(t.Context(), r.ID); err != nil {
					t.Fatal(err)
				}
				if r, _ = w.engine.Order(r.ID); r.ToWithdraw() != c.left {
					t.Errorf("left to withdraw: %+v", r.Publications)
				}
			})
		})
	}
}
