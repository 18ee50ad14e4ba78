package order_test

import (
	"errors"
	"testing"

	"github.com/certbridge/certbridged/internal/order"
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
