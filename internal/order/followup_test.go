package order_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/internal/schedule"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// What follows a paid order, when somebody was at the CA's own site meanwhile.

func (w *world) inspects() {
	w.shop.description.Abilities = append(w.shop.description.Abilities, pluginapi.AbilityInspectOrder)
}

func (w *world) beginFor(reason schedule.Reason) order.Record {
	w.t.Helper()
	r, err := w.engine.Begin(order.Intent{Certificate: "web", Reason: string(reason), Detail: "a test asks for it"})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) approve(r order.Record) order.Record {
	w.t.Helper()
	r, err := w.engine.Approve(r.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// lastRequest is what was sent last.
func (s *shop) lastRequest() pluginapi.OrderRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[len(s.requests)-1]
}

// A plan of a year is bought, used for 80 days, and then the CA says something about it.
func TestWhatTheCASaysOfThePreviousOrderDecides(t *testing.T) { // invariant 1
	names := func(list ...string) func(o *pluginapi.Order) error {
		return func(o *pluginapi.Order) error { o.Names = list; return nil }
	}
	status := func(s pluginapi.OrderStatus) func(o *pluginapi.Order) error {
		return func(o *pluginapi.Order) error { o.Status, o.Detail = s, "so it is"; return nil }
	}
	fails := func(kind pluginapi.ErrorKind) func(o *pluginapi.Order) error {
		return func(*pluginapi.Order) error { return pluginapi.Errorf(kind, "planted") }
	}
	for name, c := range map[string]struct {
		says   func(o *pluginapi.Order) error
		free   bool
		rule   pluginapi.ReissueNames
		phase  order.Phase
		hold   order.HoldKind
		words  []string
		kind   string // of what is sent in the end, after an approval where it is held
		bought int
	}{
		"all as it was":                 {phase: order.Deployed, kind: "reissue"},
		"revoked":                       {says: status(pluginapi.Canceled), phase: order.Deployed, kind: "new", bought: 1},
		"ended":                         {says: status(pluginapi.Expired), phase: order.Deployed, kind: "new", bought: 1},
		"rejected":                      {says: status(pluginapi.OrderRejected), phase: order.Deployed, kind: "new", bought: 1},
		"a reissue of it under way":     {says: status(pluginapi.Processing), phase: order.Deployed, kind: "reissue"},
		"not known":                     {says: fails(pluginapi.NotFound), phase: order.Held, hold: order.HoldUnclearOrder, words: []string{"ref-1"}, kind: "new", bought: 1},
		"no answer":                     {says: fails(pluginapi.Unavailable), phase: order.Intended},
		"a key without the right":       {says: fails(pluginapi.Unauthorized), phase: order.Intended},
		"at a CA that costs nothing":    {says: status(pluginapi.Canceled), free: true, phase: order.Deployed, kind: "reissue"},
		"more names, which is harmless": {says: names("a.example.com", "b.example.com", "c.example.com"), phase: order.Deployed, kind: "reissue"},
		"more names, of which one would be dropped": {
			says: names("A.example.com", "b.example.com", "c.example.com"), rule: pluginapi.ReissueRemovalRevokes,
			phase: order.Held, hold: order.HoldDropsNames, words: []string{"without c.example.com"}, kind: "reissue",
		},
		"the same names in another order": {says: names("b.example.com", "a.example.com"), rule: pluginapi.ReissueRemovalRevokes, phase: order.Deployed, kind: "reissue"},
		"renewed by hand": {
			says:  func(o *pluginapi.Order) error { o.RenewedBy = "by-hand"; return nil },
			phase: order.Held, hold: order.HoldUnclearOrder, words: []string{"ref-1", "by-hand", "cancel this order", "approve"}, kind: "new", bought: 1,
		},
		"paid for a shorter time than it was": {
			says:  func(o *pluginapi.Order) error { o.CoverageEnd = time.Now().Add(time.Hour); return nil },
			phase: order.Deployed, kind: "renew", bought: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.inspects()
				w.shop.coverage, w.shop.lifetime = 365*day, 100*day
				w.shop.description.OrdersCostMoney, w.shop.description.ReissueNames = !c.free, c.rule
				want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
				time.Sleep(80 * day)
				before := w.shop.purchases
				w.shop.inspect = c.says
				r := w.run(w.beginFor(schedule.NearExpiry).ID, day)
				want(t, r, c.phase)
				if c.phase == order.Intended {
					if w.shop.calls != 1 || r.Attempts < 2 || !strings.Contains(r.LastError.Message, "ref-1") {
						t.Errorf("%d calls, %d attempts, %+v", w.shop.calls, r.Attempts, r.LastError)
					}
					return
				}
				if c.phase == order.Held {
					if r.Hold.Kind != c.hold || w.shop.calls != 1 {
						t.Fatalf("%+v, %d calls", r.Hold, w.shop.calls)
					}
					for _, word := range c.words {
						if !strings.Contains(r.Hold.Detail, word) {
							t.Errorf("%q is missing in %q", word, r.Hold.Detail)
						}
					}
					r = w.run(w.approve(r).ID, day)
					want(t, r, order.Deployed)
				}
				if r.Kind.String() != c.kind || w.shop.purchases-before != c.bought {
					t.Errorf("%s, %d purchases; want %s, %d", r.Kind, w.shop.purchases-before, c.kind, c.bought)
				}
				if previous := w.shop.lastRequest().Previous; (previous == nil) != (c.kind == "new") {
					t.Errorf("follows %+v", previous)
				}
				if c.free == (len(w.shop.inspected) > 0) {
					t.Errorf("inspected %v", w.shop.inspected)
				}
			})
		})
	}
}

// A plan whose end the CA did not tell when it issued is asked for; where it still does not tell, nobody buys beside it.
func TestUnknownEndOfAPlanIsNotItsEnd(t *testing.T) { // invariant 1
	for name, c := range map[string]struct {
		inspects, told bool
		phase          order.Phase
		kind           string
	}{
		"told when asked":     {inspects: true, told: true, phase: order.Deployed, kind: "reissue"},
		"never told":          {inspects: true, phase: order.Held, kind: "renew"},
		"it can not be asked": {phase: order.Deployed, kind: "renew"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				if c.inspects {
					w.inspects()
				}
				w.shop.coverage, w.shop.lifetime = 365*day, 100*day
				w.shop.spoil = func(o *pluginapi.Order) { o.CoverageEnd = time.Time{} }
				want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
				w.shop.spoil = nil
				if !c.told {
					w.shop.inspect = func(o *pluginapi.Order) error { o.CoverageEnd = time.Time{}; return nil }
				}
				time.Sleep(80 * day)
				r := w.run(w.beginFor(schedule.NearExpiry).ID, time.Hour)
				want(t, r, c.phase)
				if c.phase == order.Held {
					if r.Hold.Kind != order.HoldUnclearOrder || w.shop.calls != 1 {
						t.Fatalf("%+v, %d calls", r.Hold, w.shop.calls)
					}
					r = w.run(w.approve(r).ID, time.Hour)
					want(t, r, order.Deployed)
				}
				if r.Kind.String() != c.kind {
					t.Errorf("%s, want %s", r.Kind, c.kind)
				}
			})
		})
	}
}

// A reissue's reply need not repeat until when the plan is paid.
func TestAReissueKeepsTheEndOfItsPlan(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.coverage, w.shop.lifetime = 365*day, 100*day
		want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
		end := w.engine.History("web").Last.CoverageEnd
		w.shop.spoil = func(o *pluginapi.Order) { o.CoverageEnd = time.Time{} }
		time.Sleep(80 * day)
		want(t, w.run(w.beginFor(schedule.NearExpiry).ID, time.Hour), order.Deployed)
		if got := w.engine.History("web").Last.CoverageEnd; !got.Equal(end) {
			t.Errorf("the plan lasts until %s, was %s", got, end)
		}
	})
}

// An order that is gone at the CA refuses each reissue. Whoever approves the hold, or cancels it and orders again, is not
// sent round in a circle: the CA is asked how the order stands, and a new one is bought, through the budget.
func TestAReissueOfWhatIsGoneBecomesAPurchase(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.inspects()
		w.shop.coverage, w.shop.lifetime = 365*day, 100*day
		want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
		time.Sleep(80 * day)
		w.shop.place = func(int) (bool, error) {
			if w.shop.requests[len(w.shop.requests)-1].Kind == pluginapi.Reissue {
				return false, pluginapi.Errorf(pluginapi.NeedsPerson, "order ref-1 is revoked")
			}
			return true, nil
		}
		r := w.run(w.beginFor(schedule.NearExpiry).ID, day)
		want(t, r, order.Held)
		if r.Kind != pluginapi.Reissue || r.Hold.Kind != order.HoldNeedsPerson {
			t.Fatalf("%s %+v", r.Kind, r.Hold)
		}
		w.shop.inspect = func(o *pluginapi.Order) error { o.Status = pluginapi.Canceled; return nil }
		spec := w.specs["web"]
		spec.MaxPerDay = 0
		w.specs["web"] = spec
		r = w.run(w.approve(r).ID, day)
		want(t, r, order.Held)
		if r.Kind != pluginapi.New || r.Hold.Kind != order.HoldBudget || w.shop.purchases != 1 {
			t.Fatalf("%s %+v, %d purchases", r.Kind, r.Hold, w.shop.purchases)
		}
		if last := w.engine.History("web").Last; last.Gone == "" {
			t.Errorf("nothing is remembered of it: %+v", last)
		}
		r = w.run(w.approve(r).ID, day)
		want(t, r, order.Deployed)
		if w.shop.purchases != 2 {
			t.Errorf("%d purchases", w.shop.purchases)
		}
	})
}

// What a person agreed to is that these names are dropped, and not whatever is dropped on the day.
func TestApprovalOfDroppedNamesIsForTheseNames(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.inspects()
		w.shop.coverage, w.shop.lifetime = 365*day, 100*day
		w.shop.description.ReissueNames = pluginapi.ReissueRemovalRevokes
		want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
		spec := w.specs["web"]
		spec.Names = spec.Names[:1]
		w.specs["web"] = spec
		r := w.run(w.beginFor(schedule.Requested).ID, day)
		want(t, r, order.Held)
		w.shop.inspect = func(o *pluginapi.Order) error { o.Names = append(o.Names, "c.example.com"); return nil }
		r = w.run(w.approve(r).ID, day)
		want(t, r, order.Held)
		if r.Hold.Kind != order.HoldDropsNames || !strings.Contains(r.Hold.Detail, "b.example.com, c.example.com") || w.shop.calls != 1 {
			t.Fatalf("%+v, %d calls", r.Hold, w.shop.calls)
		}
		r = w.run(w.approve(r).ID, day)
		want(t, r, order.Deployed)
	})
}

// A name that the CA adds for free is held by the order and not ordered again: it comes with each certificate.
func TestAFreeNameThatTheOrderHoldsIsNotDropped(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.inspects()
		w.shop.freeName = "www.a.example.com"
		w.shop.inspect = func(o *pluginapi.Order) error { o.Names = append(o.Names, w.shop.freeName); return nil }
		w.shop.coverage, w.shop.lifetime = 365*day, 100*day
		w.shop.description.ReissueNames = pluginapi.ReissueRemovalRevokes
		want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
		time.Sleep(80 * day)
		r := w.run(w.beginFor(schedule.NearExpiry).ID, day)
		want(t, r, order.Deployed)
		if r.Kind != pluginapi.Reissue {
			t.Error(r.Kind)
		}
	})
}

// Somebody buys a plan by hand and puts its certificate in place: what comes next follows that plan, not our older one.
func TestWhatIsOnDiskSaysWhichOrderIsFollowed(t *testing.T) { // invariant 1
	for name, c := range map[string]struct {
		found  func(w *world, leaf []byte) (pluginapi.Order, error)
		kind   string
		follow string
	}{
		"bought by hand": {kind: "reissue", follow: "by-hand", found: func(w *world, leaf []byte) (pluginapi.Order, error) {
			return pluginapi.Order{Reference: "by-hand", Status: pluginapi.Issued, Chain: [][]byte{leaf}, CoverageEnd: time.Now().Add(265 * day)}, nil
		}},
		"another CA's": {kind: "renew", follow: "ref-1", found: func(*world, []byte) (pluginapi.Order, error) {
			return pluginapi.Order{}, pluginapi.Errorf(pluginapi.NotFound, "not ours")
		}},
		"of our own order, reissued there": {kind: "renew", follow: "ref-1", found: func(w *world, leaf []byte) (pluginapi.Order, error) {
			return pluginapi.Order{Reference: "ref-1", Status: pluginapi.Issued, Chain: [][]byte{leaf}, CoverageEnd: time.Now().Add(-70 * day)}, nil
		}},
		"of an order that is revoked": {kind: "renew", follow: "ref-1", found: func(w *world, leaf []byte) (pluginapi.Order, error) {
			return pluginapi.Order{Reference: "by-hand", Status: pluginapi.Canceled}, nil
		}},
		"of an order with a reissue under way": {kind: "reissue", follow: "by-hand", found: func(w *world, leaf []byte) (pluginapi.Order, error) {
			return pluginapi.Order{Reference: "by-hand", Status: pluginapi.PendingApproval, CoverageEnd: time.Now().Add(265 * day)}, nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.shop.coverage, w.shop.lifetime = 100*day, 100*day
				w.shop.description.Abilities = append(w.shop.description.Abilities, pluginapi.AbilityFindByCertificate)
				want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
				time.Sleep(90 * day)
				leaf := w.byHand()
				w.shop.byCertificate = func(asked []byte) (pluginapi.Order, error) { return c.found(w, asked) }
				time.Sleep(80 * day)
				r := w.beginFor(schedule.NearExpiry)
				if c.follow == "by-hand" { // which this shop does not know, so that it would refuse the order
					w.shop.orders["by-hand"] = &shopOrder{end: time.Now().Add(265 * day)}
				}
				r = w.run(r.ID, time.Hour)
				want(t, r, order.Deployed)
				if sent := w.shop.lastRequest(); sent.Kind.String() != c.kind || sent.Previous.Reference != c.follow {
					t.Errorf("%s of %s; want %s of %s (leaf %d bytes)", sent.Kind, sent.Previous.Reference, c.kind, c.follow, len(leaf))
				}
			})
		})
	}
}

// byHand puts a certificate in place that did not come through the engine.
func (w *world) byHand() []byte {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	leaf := parse(w.t, w.shop.sign(key.Public(), []string{"a.example.com", "b.example.com"}, 100*day))
	w.disk.sets["web"] = diskSet{key: key, leaf: leaf}
	return leaf.Raw
}

// What could not be installed is still paid: an older certificate on disk does not lead back to its used-up order.
func TestAnOlderCertificateOnDiskDoesNotHideThePlanThatLasts(t *testing.T) { // invariant 1
	for name, answer := range map[string]func(leaf []byte) (pluginapi.Order, error){
		"its order is known": func(leaf []byte) (pluginapi.Order, error) {
			return pluginapi.Order{Reference: "old", Status: pluginapi.Issued, Chain: [][]byte{leaf}, CoverageEnd: time.Now().Add(5 * day)}, nil
		},
		"the CA cannot tell its order": func([]byte) (pluginapi.Order, error) {
			return pluginapi.Order{}, pluginapi.Errorf(pluginapi.NeedsPerson, "one of these")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.shop.coverage, w.shop.lifetime = 365*day, 100*day
				w.shop.description.Abilities = append(w.shop.description.Abilities, pluginapi.AbilityFindByCertificate)
				want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
				w.byHand()
				w.shop.byCertificate = answer
				r := w.run(w.beginFor(schedule.Revoked).ID, time.Hour)
				want(t, r, order.Deployed)
				if sent := w.shop.lastRequest(); sent.Kind != pluginapi.Reissue || sent.Previous.Reference != "ref-1" {
					t.Errorf("%s of %s", sent.Kind, sent.Previous.Reference)
				}
			})
		})
	}
}

// A reissue that waits until its plan has ended is worth nothing: it is planned anew.
func TestAFollowUpThatWaitsIsPlannedAnew(t *testing.T) {
	for _, inspects := range []bool{false, true} {
		inBubble(t, func(t *testing.T, w *world) {
			if inspects {
				w.inspects()
			}
			w.shop.coverage, w.shop.lifetime = 365*day, 340*day
			want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
			time.Sleep(335 * day)
			w.shop.place = func(int) (bool, error) {
				if w.shop.requests[len(w.shop.requests)-1].Kind == pluginapi.Reissue {
					return false, pluginapi.Errorf(pluginapi.Conflict, "another reissue is under way")
				}
				return true, nil
			}
			r := w.run(w.beginFor(schedule.NearExpiry).ID, 60*day)
			want(t, r, order.Deployed)
			if r.Kind != pluginapi.Renew || w.shop.purchases != 2 {
				t.Errorf("%s, %d purchases", r.Kind, w.shop.purchases)
			}
			if over := time.Since(w.engine.History("web").Last.CoverageEnd.Add(-365 * day)); over > 2*day {
				t.Errorf("bought %s late", over)
			}
			keys := map[string]bool{}
			for _, sent := range w.shop.requests[1:] {
				keys[sent.IdempotencyKey] = true
			}
			if len(keys) != 1 {
				t.Errorf("%d idempotency keys of one order", len(keys))
			}
		})
	}
}

// A lost renewal that the CA shows late is seen by what it says of the order before: it is not bought again.
func TestALostRenewalIsSeenInTheOrderBefore(t *testing.T) { // invariant 1
	inBubble(t, func(t *testing.T, w *world) {
		w.inspects()
		w.shop.coverage, w.shop.lifetime = 100*day, 100*day
		want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
		time.Sleep(80 * day)
		w.shop.place = func(int) (bool, error) { return true, pluginapi.Errorf(pluginapi.UnknownOutcome, "lost") }
		w.shop.find = func() error { return pluginapi.Errorf(pluginapi.NotFound, "not shown yet") }
		w.shop.inspect = func(o *pluginapi.Order) error {
			if w.shop.purchases > 1 {
				o.RenewedBy = "ref-2"
			}
			return nil
		}
		r := w.run(w.beginFor(schedule.NearExpiry).ID, day)
		want(t, r, order.Held)
		if r.Hold.Kind != order.HoldUnclearOrder || !strings.Contains(r.Hold.Detail, "ref-2") || w.shop.purchases != 2 {
			t.Errorf("%+v, %d purchases", r.Hold, w.shop.purchases)
		}
	})
}

// Orders that wait in a queue for longer than a plan is fresh get through all the same.
func TestSlowStepsGetAnOrderThrough(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.inspects()
		w.shop.coverage, w.shop.lifetime = 365*day, 100*day
		want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
		sent := w.shop.calls
		w.shop.place = func(n int) (bool, error) { // the first time it is not taken, and so it is planned again
			if n == sent+1 {
				return false, pluginapi.Errorf(pluginapi.Unavailable, "down for a while")
			}
			return true, nil
		}
		r := w.beginFor(schedule.Requested)
		for step := 0; !r.Phase.Final(); step++ {
			if step > 20 {
				t.Fatalf("after %d steps it is %s, last %s", step, r.Phase, r.Step)
			}
			time.Sleep(10 * time.Minute)
			if err := w.engine.Step(t.Context(), r.ID); err != nil {
				t.Fatal(err)
			}
			r, _ = w.engine.Order(r.ID)
		}
		want(t, r, order.Deployed)
		if state := string(w.shop.lastRequest().Previous.State); state != fmt.Sprintf("state %d", len(w.shop.inspected)) {
			t.Errorf("the plugin is handed the order's %s after %d looks", state, len(w.shop.inspected))
		}
		if !slices.Contains(w.steps, "not-placed") || slices.Contains(w.steps, "planned-anew") {
			t.Errorf("steps %v", w.steps)
		}
	})
}

// A reissue that waits at the CA beyond its plan says so, and once it is canceled a renewal is bought.
func TestReissueThatWaitsBeyondItsPlan(t *testing.T) { // invariant 8
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.coverage, w.shop.lifetime = 365*day, 340*day
		want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
		time.Sleep(335 * day)
		w.shop.approval = true
		r := w.run(w.beginFor(schedule.NearExpiry).ID, day)
		if over := r.PlanOver(time.Now()); over != "" {
			t.Errorf("too early: %s", over)
		}
		r = w.run(r.ID, 60*day)
		want(t, r, order.Approval)
		if over := r.PlanOver(time.Now()); !strings.Contains(over, r.ID) {
			t.Errorf("it says %q", over)
		}
		if _, err := w.engine.Cancel(t.Context(), r.ID, ""); err != nil {
			t.Fatal(err)
		}
		w.shop.approval = false
		r = w.run(w.beginFor(schedule.NearExpiry).ID, day)
		want(t, r, order.Deployed)
		if r.Kind != pluginapi.Renew {
			t.Error(r.Kind)
		}
	})
}

// Where the CA charges for names that a reissue adds, that is a purchase like any other.
func TestNamesThatAReissueAddsMayCost(t *testing.T) { // invariant 2
	for name, c := range map[string]struct {
		charges  bool
		names    []string
		held     bool
		purchase int
	}{
		"one more, which costs":    {charges: true, names: []string{"a.example.com", "b.example.com", "c.example.com"}, held: true, purchase: 1},
		"one more, for free":       {names: []string{"a.example.com", "b.example.com", "c.example.com"}},
		"the same":                 {charges: true, names: []string{"b.example.com", "a.example.com"}},
		"what somebody else added": {charges: true, names: []string{"a.example.com", "b.example.com", "theirs.example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.inspects()
				w.shop.inspect = func(o *pluginapi.Order) error { o.Names = append(o.Names, "theirs.example.com"); return nil }
				w.shop.coverage, w.shop.lifetime = 365*day, 100*day
				w.shop.description.ReissueAdditionsCost = c.charges
				want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
				spec := w.specs["web"]
				spec.Names, spec.MaxPerDay = c.names, 0
				w.specs["web"] = spec
				r := w.run(w.beginFor(schedule.NamesChanged).ID, time.Hour)
				if c.held {
					want(t, r, order.Held)
					if r.Kind != pluginapi.Reissue || r.Hold.Kind != order.HoldBudget || !r.Buys() {
						t.Fatalf("%s %+v", r.Kind, r.Hold)
					}
					r = w.run(w.approve(r).ID, time.Hour)
				}
				want(t, r, order.Deployed)
				if n := len(w.engine.Purchases(time.Now().Add(-time.Hour))); r.Kind != pluginapi.Reissue || n != c.purchase+1 {
					t.Errorf("%s, %d purchases in the budget", r.Kind, n)
				}
			})
		})
	}
}
