package order_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// runAll steps orders beside each other as the daemon does, withdrawing at once what may be withdrawn, until all are
// final or the time is over.
func (w *world) runAll(atMost time.Duration, ids ...string) []order.Record {
	w.t.Helper()
	deadline := time.Now().Add(atMost)
	for {
		var next time.Time
		var records []order.Record
		for _, id := range ids {
			r, ok := w.engine.Order(id)
			if !ok {
				w.t.Fatalf("order %s is gone", id)
			}
			if r.ToWithdraw() && !r.WithdrawAt.After(time.Now()) {
				if err := w.engine.Withdraw(w.t.Context(), id); err != nil {
					w.t.Fatal(err)
				}
				r, _ = w.engine.Order(id)
			}
			records = append(records, r)
			if !r.Phase.Final() && r.Phase != order.Held && (next.IsZero() || r.NextAt.Before(next)) {
				next = r.NextAt
			}
		}
		if next.IsZero() || time.Now().After(deadline) {
			return records
		}
		time.Sleep(time.Until(next)) // in a synctest bubble
		for i, r := range records {
			if !r.Phase.Final() && !r.NextAt.After(time.Now()) {
				if err := w.engine.Step(w.t.Context(), ids[i]); err != nil {
					w.t.Fatalf("step %s: %v", r.Phase, err)
				}
			}
		}
	}
}

func sequential(w *world) {
	w.zone.turns, w.shop.each = true, true
}

func TestNamesTakeTurns(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		sequential(w)
		var names []string
		for i := range 5 {
			names = append(names, fmt.Sprintf("n%d.example.com", i))
		}
		w.add("many", names...)
		begin := time.Now()
		r := w.runAll(day, w.begin("many").ID)[0]
		want(t, r, order.Deployed)
		if w.zone.most != 1 {
			t.Errorf("%d challenges were published side by side", w.zone.most)
		}
		if left := w.zone.left(); len(left) != 0 {
			t.Errorf("still published: %v", left)
		}
		// The CA looks at its own pace, once a minute, and nothing else costs time.
		if took := time.Since(begin); took > 5*time.Minute+10*time.Second || w.shop.looks > 7 {
			t.Errorf("%s and %d looks for five names", took, w.shop.looks)
		}
		if len(w.shop.told) != 5 {
			t.Errorf("the CA was told %v", w.shop.told)
		}
	})
}

func TestTurnsOfSeveralProfiles(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		sequential(w)
		w.add("many", "a.one.example", "b.one.example", "a.two.example", "b.two.example")
		spec := w.specs["many"]
		spec.Profiles = func(name string) []string { return []string{strings.SplitN(name, ".", 2)[1]} }
		w.specs["many"] = spec
		want(t, w.runAll(day, w.begin("many").ID)[0], order.Deployed)
		if w.zone.most != 2 {
			t.Errorf("%d challenges were published side by side, want one for each of two profiles", w.zone.most)
		}
		if len(w.shop.told) != 2 || len(w.shop.told[0]) != 2 {
			t.Errorf("the CA was told %v", w.shop.told)
		}
	})
}

func TestOrdersTakeTurns(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		sequential(w)
		w.add("other", "c.example.com", "d.example.com")
		first := w.begin("web")
		time.Sleep(time.Second) // ids begin with the second
		second := w.begin("other")
		for _, id := range []string{first.ID, second.ID} { // until the first has its turn and the second waits
			w.runUntil(id, time.Minute, func(r order.Record) bool {
				return r.WaitsFor() != ""
			})
		}
		r, _ := w.engine.Order(second.ID)
		if why := r.WaitsFor(); !strings.Contains(why, "c.example.com (and 1 more) waits for its turn with dcv profile http: http-ref-1-") || strings.Contains(why, "makes room") {
			t.Errorf("the second order says %q", why)
		}
		if r.Attempts != 0 || r.LastError != nil {
			t.Errorf("waiting counts as a failure: %d, %+v", r.Attempts, r.LastError)
		}
		if wait := time.Until(r.NextAt); wait > 5*time.Second {
			t.Errorf("the turn is looked at again in %s", wait)
		}
		r, _ = w.engine.Order(first.ID)
		// Which of its names goes first is not said.
		if why := r.WaitsFor(); !strings.Contains(why, "makes room once the CA has validated it") {
			t.Errorf("the first order says %q", why)
		}
		for _, r := range w.runAll(day, first.ID, second.ID) {
			want(t, r, order.Deployed)
			if why := r.WaitsFor(); why != "" {
				t.Errorf("a final order waits: %s", why)
			}
		}
		if w.zone.most != 1 || len(w.zone.left()) != 0 {
			t.Errorf("%d side by side, left %v", w.zone.most, w.zone.left())
		}
	})
}

func TestWhoWaitsAndGoesTakesNothingDown(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		sequential(w)
		w.add("other", "c.example.com", "d.example.com")
		first := w.begin("web")
		time.Sleep(time.Second)
		second := w.begin("other")
		for _, id := range []string{first.ID, second.ID} {
			w.runUntil(id, time.Minute, func(r order.Record) bool { return r.WaitsFor() != "" })
		}
		up := w.zone.left()
		if _, err := w.engine.Cancel(t.Context(), second.ID, ""); err != nil {
			t.Fatal(err)
		}
		if err := w.engine.Withdraw(t.Context(), second.ID); err != nil {
			t.Fatal(err)
		}
		if r, _ := w.engine.Order(second.ID); len(r.Publications) != 0 || len(up) != 1 || !slices.Equal(up, w.zone.left()) {
			t.Errorf("published was %v, is %v; the canceled order has %v", up, w.zone.left(), r.Publications)
		}
		want(t, w.runAll(day, first.ID)[0], order.Deployed)
	})
}

// A CA that validates only when it sees all names never gets there: the order goes on looking in its own pace, without a
// failure, and says what it waits for.
func TestTurnsThatNeverCome(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		sequential(w)
		w.shop.sees = func(string) bool { return len(w.zone.left()) == 2 }
		id := w.begin("web").ID
		r := w.runAll(time.Hour, id)[0]
		want(t, r, order.Validating)
		if r.Attempts != 0 || !strings.Contains(r.WaitsFor(), "makes room once the CA has validated it") {
			t.Errorf("%d attempts, %q", r.Attempts, r.WaitsFor())
		}
		if w.shop.looks < 50 || w.shop.looks > 70 {
			t.Errorf("%d looks in an hour, want about one a minute", w.shop.looks)
		}
	})
}

func TestTurnsSurviveARestartAnywhere(t *testing.T) {
	for n := 1; ; n++ {
		done := false
		t.Run(fmt.Sprintf("after %d writes", n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				sequential(w)
				w.add("other", "c.example.com")
				ids := []string{w.begin("web").ID}
				time.Sleep(time.Second)
				ids = append(ids, w.begin("other").ID)
				writes, dead := 0, errors.New("killed")
				w.journal.fail = func(int) error {
					if writes++; writes > n {
						return dead
					}
					return nil
				}
				done = !w.killed(ids)
				w.journal.fail = nil
				held := w.zone.left()
				w.zone.forget()
				w.restart()
				for _, r := range w.runAll(day, ids...) {
					want(t, r, order.Deployed)
				}
				if w.shop.purchases != 2 || len(w.zone.left()) != 0 {
					t.Errorf("%d purchases, left %v", w.shop.purchases, w.zone.left())
				}
				// A publication whose answer never reached the journal may be up beside the first one that is tried after the
				// restart; what the journal knows of is not.
				if w.zone.most > 2 {
					t.Errorf("%d side by side after a restart with %v", w.zone.most, held)
				}
			})
		})
		if done || t.Failed() {
			return
		}
	}
}

// killed steps orders until a write fails, and reports whether one did before all were done.
func (w *world) killed(ids []string) bool {
	for range 1000 {
		open := false
		for _, id := range ids {
			r, _ := w.engine.Order(id)
			if r.ToWithdraw() {
				if w.engine.Withdraw(w.t.Context(), id) != nil {
					return true
				}
			}
			if r, _ = w.engine.Order(id); r.Phase.Final() {
				continue
			}
			open = true
			if wait := time.Until(r.NextAt); wait > 0 {
				time.Sleep(wait)
			}
			if w.engine.Step(w.t.Context(), id) != nil {
				return true
			}
		}
		if !open {
			return false
		}
	}
	w.t.Fatal("no end")
	return false
}

// After a restart nobody but the order whose challenge is up gets its profile's turn.
func TestWhatWasPublishedComesFirstAfterARestart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		sequential(w)
		w.add("other", "c.example.com")
		first := w.begin("web")
		time.Sleep(time.Second)
		second := w.begin("other")
		for _, id := range []string{first.ID, second.ID} {
			w.runUntil(id, time.Minute, func(r order.Record) bool { return r.WaitsFor() != "" })
		}
		up := w.zone.left()
		w.zone.forget()
		w.restart()
		// The other order is first to be stepped, and all of its own.
		for range 3 {
			if err := w.engine.Step(t.Context(), second.ID); err != nil {
				t.Fatal(err)
			}
		}
		if now := w.zone.left(); !slices.Equal(now, up) {
			t.Errorf("published is %v, and was %v", now, up)
		}
		for _, r := range w.runAll(day, second.ID, first.ID) {
			want(t, r, order.Deployed)
		}
		if w.zone.most != 1 {
			t.Errorf("%d side by side", w.zone.most)
		}
	})
}

// "Use another dcv profile" is a word in the configuration: the order goes on with it, and what the old one may have
// published is withdrawn through the old one.
func TestAnOrderLeavesAProfileThatIsNotConfiguredAnyMore(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		profile := "old"
		w.zone.fail = func(call string) error {
			if call == "publish" && profile == "old" {
				return pluginapi.Errorf(pluginapi.Conflict, "use another dcv profile")
			}
			return nil
		}
		spec := w.specs["web"]
		spec.Profiles = func(string) []string { return []string{profile} }
		w.specs["web"] = spec
		r := w.run(w.begin("web").ID, 10*time.Minute)
		want(t, r, order.Validating)
		if len(r.Publications) != 2 || r.Publications[0].Profile != "old" {
			t.Fatalf("%+v", r.Publications)
		}
		profile = "new"
		r = w.runUntil(r.ID, day, func(r order.Record) bool { return len(r.Publications) == 4 })
		if err := w.engine.Withdraw(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		r, _ = w.engine.Order(r.ID)
		for _, p := range r.Publications {
			if p.Profile != "new" || p.Obsolete {
				t.Errorf("%+v", p)
			}
		}
		want(t, w.run(r.ID, day), order.Deployed)
	})
}

// What was tried and got no answer may be up. It is withdrawn also when another challenge has its turn by then.
func TestALostAnswerIsWithdrawnThoughAnotherHasItsTurn(t *testing.T) {
	for name, c := range map[string]struct {
		fault       error
		withdrawals int
	}{
		"no answer": {fault: pluginapi.Errorf(pluginapi.Unavailable, "no answer in time"), withdrawals: 2},
		"no kind":   {fault: errors.New("the plugin is gone"), withdrawals: 2},
		"a refusal": {fault: pluginapi.Errorf(pluginapi.Unauthorized, "not with this key")},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				sequential(w)
				w.add("other", "c.example.com")
				withdrawals := 0
				w.zone.fail = func(call string) error {
					if call == "withdraw" {
						withdrawals++
						return nil
					}
					return c.fault
				}
				id := w.begin("web").ID
				w.runUntil(id, time.Minute, func(r order.Record) bool { return r.LastError != nil && r.LastError.Kind == "publish" })
				c.fault = nil
				time.Sleep(time.Second)
				w.runUntil(w.begin("other").ID, time.Minute, func(r order.Record) bool { return r.WaitsFor() == "" && w.zone.left() != nil })
				w.runUntil(id, time.Hour, func(r order.Record) bool { return r.WaitsFor() != "" })
				if _, err := w.engine.Cancel(t.Context(), id, ""); err != nil {
					t.Fatal(err)
				}
				if err := w.engine.Withdraw(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				if withdrawals != c.withdrawals {
					t.Errorf("%d withdrawals, want %d", withdrawals, c.withdrawals)
				}
			})
		})
	}
}

// What an order that is over has left has its turn until it is withdrawn, also after a restart: withdrawing it might take
// down what came after it.
func TestWhatIsLeftKeepsItsTurnOverARestart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		sequential(w)
		w.add("other", "c.example.com")
		first := w.begin("web")
		time.Sleep(time.Second)
		second := w.begin("other")
		for _, id := range []string{first.ID, second.ID} {
			w.runUntil(id, time.Minute, func(r order.Record) bool { return r.WaitsFor() != "" })
		}
		if _, err := w.engine.Cancel(t.Context(), first.ID, ""); err != nil {
			t.Fatal(err)
		}
		up := w.zone.left()
		w.zone.forget()
		w.restart()
		for range 3 {
			if err := w.engine.Step(t.Context(), second.ID); err != nil {
				t.Fatal(err)
			}
		}
		if now := w.zone.left(); len(up) != 1 || !slices.Equal(now, up) {
			t.Errorf("published is %v, and was %v", now, up)
		}
		if err := w.engine.Withdraw(t.Context(), first.ID); err != nil {
			t.Fatal(err)
		}
		want(t, w.runAll(day, second.ID)[0], order.Deployed)
		if w.zone.most != 1 || len(w.zone.left()) != 0 {
			t.Errorf("%d side by side, left %v", w.zone.most, w.zone.left())
		}
	})
}
