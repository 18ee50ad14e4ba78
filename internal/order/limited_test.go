package order_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// A CA that is asked too often and says from when on it takes calls is asked then, however often that happens, and what
// fails afterwards is a first failure.
func TestALimitedRateIsNoFailure(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var at []time.Time
		w.shop.place = func(n int) (bool, error) {
			at = append(at, time.Now())
			if n <= 30 {
				return false, &pluginapi.Error{Kind: pluginapi.RateLimited, RetryAfter: 10 * time.Second}
			}
			return false, pluginapi.Errorf(pluginapi.Unavailable, "down")
		}
		r := w.runUntil(w.begin("web").ID, day, func(r order.Record) bool { return len(at) == 30 })
		if wait, limited := r.Limited(); r.Attempts != 0 || !limited || wait < 10*time.Second || wait > 11*time.Second {
			t.Errorf("%d attempts, next after %s, %v", r.Attempts, wait, limited)
		}
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < 10*time.Second || gap > 11*time.Second {
				t.Errorf("call %d came after %s", i+1, gap)
			}
		}
		r = w.runUntil(r.ID, day, func(r order.Record) bool { return len(at) == 31 && r.LastError.Kind == "unavailable" })
		if _, limited := r.Limited(); r.Attempts != 1 || limited {
			t.Errorf("%d attempts, limited %v", r.Attempts, limited)
		}
	})
}

// Without a time nobody knows when it ends, and the back-off grows as after any failure.
func TestALimitWithoutATimeBacksOff(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		calls := 0
		w.shop.place = func(int) (bool, error) {
			calls++
			return false, pluginapi.Errorf(pluginapi.RateLimited, "too many")
		}
		r := w.run(w.begin("web").ID, day)
		if r.Attempts != calls || calls > 100 || calls < 3 {
			t.Errorf("%d attempts, %d calls", r.Attempts, calls)
		}
	})
}

// The budget walks over the purchases of a day only, and yet counts again what a clock that is set back brings into it.
func TestBudgetWhenTheClockIsSetBack(t *testing.T) { // invariant 2
	inBubble(t, func(t *testing.T, w *world) {
		for i := range 4 {
			w.add(fmt.Sprintf("c%d", i), fmt.Sprintf("c%d.example.com", i))
		}
		for name, s := range w.specs {
			s.MaxPerDay = 1
			w.specs[name] = s
		}
		want(t, w.run(w.begin("c0").ID, time.Hour), order.Deployed)
		time.Sleep(3 * day)
		want(t, w.run(w.begin("c1").ID, time.Hour), order.Deployed) // the first is not counted any more
		r := w.run(w.begin("c2").ID, time.Hour)
		want(t, r, order.Held)
		w.ahead = -3 * day
		time.Sleep(6 * time.Hour)
		s := w.specs["c3"]
		s.MaxPerDay = 2 // that of the first, which counts again, and that from what is now the future
		w.specs["c3"] = s
		want(t, w.run(w.begin("c3").ID, time.Hour), order.Held)
	})
}
