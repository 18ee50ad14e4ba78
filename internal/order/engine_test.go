package order_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// inBubble runs a test on a fake clock.
func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t)) })
}

const day = 24 * time.Hour

func want(t *testing.T, r order.Record, p order.Phase) {
	t.Helper()
	if r.Phase != p {
		t.Fatalf("order is %s (%+v, hold %+v), want %s", r.Phase, r.LastError, r.Hold, p)
	}
}

func TestOrderRunsFromIntentToDeployed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		r := w.run(w.begin("web").ID, time.Hour)
		want(t, r, order.Deployed)
		steps := []string{"intended", "sending", "placed", "published", "responded", "installed", "deployed"}
		if diff := cmp.Diff(steps, w.steps); diff != "" {
			t.Error(diff)
		}
		if w.shop.purchases != 1 || w.disk.installs != 1 || w.server.reloads != 1 {
			t.Errorf("%d purchases, %d installs, %d reloads", w.shop.purchases, w.disk.installs, w.server.reloads)
		}
		if len(r.Key) != 0 {
			t.Error("the private key stays in the journal of a final order")
		}
		if err := w.engine.Withdraw(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		if left := w.zone.left(); len(left) != 0 {
			t.Errorf("still published: %v", left)
		}
		if _, open := w.engine.OpenOrder("web"); open {
			t.Error("the order is still open")
		}
	})
}

func TestPluginsSeeNoPrivateKey(t *testing.T) { // invariant 3
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.approval = true
		r := w.run(w.begin("web").ID, time.Minute)
		key, err := x509.ParsePKCS8PrivateKey(r.Key)
		if err != nil {
			t.Fatal(err)
		}
		pair, ok := key.(*ecdsa.PrivateKey)
		if !ok {
			t.Fatalf("the key is a %T", key)
		}
		secret, err := pair.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		public, err := pair.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		for _, req := range w.shop.requests {
			var all bytes.Buffer
			spill(&all, reflect.ValueOf(req))
			if !bytes.Contains(all.Bytes(), public) {
				t.Fatal("the public key is not found in the request, so this test would find no private one either")
			}
			if bytes.Contains(all.Bytes(), secret) {
				t.Error("a request holds the private key")
			}
		}
	})
}

func TestSecondIntentIsRefusedWhileOneIsOpen(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.begin("web")
		if _, err := w.engine.Begin(order.Intent{Certificate: "web"}); !errors.Is(err, order.ErrOpenOrder) {
			t.Errorf("got %v, want ErrOpenOrder", err)
		}
	})
}

// Invariant 1: one intent is bought at most once, wherever the process dies. The journal of every write is kept, and
// an engine is started from each of them while the CA remembers all it was sent.
func TestOneIntentIsBoughtOnceFromEveryJournalState(t *testing.T) {
	const anyMore = 1 << 20
	for _, losing := range []string{"before the write", "after the write"} {
		for n := 1; n < anyMore; n++ {
			done := false
			name := fmt.Sprintf("%s %d", losing, n)
			t.Run(name, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					dead := errors.New("killed")
					w.journal.fail = func(write int) error {
						if write >= n && losing == "before the write" || write > n {
							return dead
						}
						return nil
					}
					r, err := w.engine.Begin(order.Intent{Certificate: "web", Reason: "missing"})
					for err == nil && !r.Phase.Final() {
						if wait := time.Until(r.NextAt); wait > 0 {
							time.Sleep(wait)
						}
						err = w.engine.Step(t.Context(), r.ID)
						r, _ = w.engine.Order(r.ID)
					}
					done = err == nil
					w.journal.fail = nil
					w.restart()
					open, ok := w.engine.OpenOrder("web")
					if !ok {
						if r.Phase == order.Deployed || w.shop.purchases == 0 {
							return
						}
						t.Fatal("something was bought and the order is forgotten")
					}
					after := w.run(open.ID, day)
					want(t, after, order.Deployed)
					if w.shop.purchases != 1 {
						t.Errorf("%d purchases, want 1", w.shop.purchases)
					}
					if err := w.engine.Withdraw(t.Context(), open.ID); err != nil {
						t.Fatal(err)
					}
					if left := w.zone.left(); len(left) != 0 {
						t.Errorf("still published: %v", left)
					}
				})
			})
			if done || t.Failed() {
				break
			}
		}
	}
}

func TestLostAnswer(t *testing.T) { // invariant 1
	lost := errors.New("connection reset by peer")
	for name, c := range map[string]struct {
		arrives   bool
		err       error
		find      error
		noFind    bool
		free      bool
		wantPhase order.Phase
		wantHold  order.HoldKind
		purchases int
	}{
		"arrived, the CA can tell: it is found":                    {arrives: true, err: lost, wantPhase: order.Deployed, purchases: 1},
		"not arrived, the CA can tell: it is sent again":           {err: lost, wantPhase: order.Deployed, purchases: 1},
		"unknown-outcome by name: it is found":                     {arrives: true, err: pluginapi.Errorf(pluginapi.UnknownOutcome, "timeout"), wantPhase: order.Deployed, purchases: 1},
		"an error without a kind counts as unknown":                {arrives: true, err: errors.New("unavailable"), wantPhase: order.Deployed, purchases: 1},
		"the CA offers no way to look: hold":                       {arrives: true, err: lost, noFind: true, wantPhase: order.Held, wantHold: order.HoldUnknownOutcome, purchases: 1},
		"the CA cannot tell this time: hold":                       {err: lost, find: pluginapi.Errorf(pluginapi.UnknownOutcome, "the list is empty"), wantPhase: order.Held, wantHold: order.HoldUnknownOutcome},
		"a free order, no way to look: it is sent again":           {err: lost, noFind: true, free: true, wantPhase: order.Deployed, purchases: 1},
		"unavailable says that nothing was done: it is sent again": {err: pluginapi.Errorf(pluginapi.Unavailable, "no route"), wantPhase: order.Deployed, purchases: 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.shop.description.OrdersCostMoney = !c.free
				if c.noFind {
					w.shop.description.Abilities = []pluginapi.Ability{pluginapi.AbilityReissue}
				}
				w.shop.place = func(n int) (bool, error) {
					if n == 1 {
						return c.arrives, c.err
					}
					return true, nil
				}
				w.shop.find = func() error { return c.find }
				r := w.run(w.begin("web").ID, day)
				want(t, r, c.wantPhase)
				if r.Hold != nil && r.Hold.Kind != c.wantHold {
					t.Errorf("held for %s, want %s", r.Hold.Kind, c.wantHold)
				}
				if w.shop.purchases != c.purchases {
					t.Errorf("%d purchases, want %d", w.shop.purchases, c.purchases)
				}
			})
		})
	}
}

func TestNotFoundIsTrustedOnlyAfterSettlingAndTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.description.FindOrderSettle = 10 * time.Minute
		asked := 0
		w.shop.place = func(n int) (bool, error) { return n > 1, map[bool]error{true: nil, false: errors.New("lost")}[n > 1] }
		var times []time.Time
		w.shop.find = func() error { asked++; times = append(times, time.Now()); return nil }
		begun := time.Now()
		r := w.run(w.begin("web").ID, day)
		want(t, r, order.Deployed)
		if sent := w.shop.calls; sent != 2 {
			t.Errorf("sent %d times", sent)
		}
		trusted := 0
		for _, at := range times {
			if at.Sub(begun) >= 10*time.Minute {
				trusted++
			}
		}
		if trusted < 2 {
			t.Errorf("sent again after %d trusted answers of %d", trusted, asked)
		}
	})
}

func TestResolveUnknownOutcome(t *testing.T) {
	for name, reference := range map[string]string{"it was bought": "ref-1", "it was not bought": ""} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.shop.description.Abilities = nil
				w.shop.place = func(n int) (bool, error) {
					if n == 1 {
						return reference != "", errors.New("lost")
					}
					return true, nil
				}
				r := w.run(w.begin("web").ID, day)
				want(t, r, order.Held)
				if _, err := w.engine.Approve(r.ID); !errors.Is(err, order.ErrWrongPhase) {
					t.Errorf("approving an unknown outcome: %v", err)
				}
				if _, err := w.engine.Cancel(t.Context(), r.ID, ""); !errors.Is(err, order.ErrWrongPhase) {
					t.Errorf("canceling an unknown outcome: %v", err)
				}
				w.restart()
				if _, err := w.engine.Resolve(r.ID, reference); err != nil {
					t.Fatal(err)
				}
				want(t, w.run(r.ID, day), order.Deployed)
				if w.shop.purchases != 1 {
					t.Errorf("%d purchases", w.shop.purchases)
				}
			})
		})
	}
}

func TestBudget(t *testing.T) { // invariant 2
	inBubble(t, func(t *testing.T, w *world) {
		for i := range 3 {
			w.add(fmt.Sprintf("c%d", i), fmt.Sprintf("c%d.example.com", i))
		}
		for name, s := range w.specs {
			s.MaxPerDay = 2
			w.specs[name] = s
		}
		for i := range 2 {
			want(t, w.run(w.begin(fmt.Sprintf("c%d", i)).ID, time.Hour), order.Deployed)
		}
		w.restart() // the count survives
		r := w.run(w.begin("c2").ID, time.Hour)
		want(t, r, order.Held)
		if r.Hold.Kind != order.HoldBudget || w.shop.purchases != 2 {
			t.Fatalf("held for %s after %d purchases", r.Hold.Kind, w.shop.purchases)
		}
		if _, err := w.engine.Approve(r.ID); err != nil {
			t.Fatal(err)
		}
		want(t, w.run(r.ID, time.Hour), order.Deployed)
		if w.shop.purchases != 3 {
			t.Errorf("%d purchases", w.shop.purchases)
		}
		time.Sleep(day)
		r = w.run(w.begin("c0").ID, time.Hour)
		want(t, r, order.Deployed)
	})
}

func TestBudgetPerCertificate(t *testing.T) { // invariant 2
	inBubble(t, func(t *testing.T, w *world) {
		s := w.specs["web"]
		s.MaxPerCertificate = 1
		w.specs["web"] = s
		want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
		r := w.run(w.begin("web").ID, time.Hour)
		want(t, r, order.Held)
		if r.Hold.Kind != order.HoldBudget || w.shop.purchases != 1 {
			t.Errorf("held for %s after %d purchases", r.Hold.Kind, w.shop.purchases)
		}
	})
}

func TestBudgetCountsNoOrderThatWasSurelyNotMade(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.specs["web"]
		s.MaxPerCertificate = 1
		w.specs["web"] = s
		w.shop.place = func(n int) (bool, error) {
			if n < 4 {
				return false, pluginapi.Errorf(pluginapi.Unavailable, "down")
			}
			return true, nil
		}
		want(t, w.run(w.begin("web").ID, day), order.Deployed)
	})
}

func TestKinds(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.coverage, w.shop.lifetime = 365*day, 100*day
		var kinds []string
		for range 5 {
			r := w.run(w.begin("web").ID, time.Hour)
			want(t, r, order.Deployed)
			kinds = append(kinds, r.Kind.String())
			time.Sleep(95 * day)
			w.restart()
		}
		// A year's plan: bought once, used up by three reissues, then renewed once.
		if diff := cmp.Diff([]string{"new", "reissue", "reissue", "reissue", "renew"}, kinds); diff != "" {
			t.Error(diff)
		}
		if w.shop.purchases != 2 || w.shop.reissues != 3 {
			t.Errorf("%d purchases, %d reissues", w.shop.purchases, w.shop.reissues)
		}
		last := w.shop.requests[len(w.shop.requests)-1]
		if last.Previous == nil || last.Previous.Reference != "ref-4" {
			t.Errorf("the renewal is linked to %+v", last.Previous)
		}
	})
}

// Some CAs add a name for free: that one is missing in every order, and nobody has dropped it.
func TestAFreeNameIsNotDropped(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.coverage, w.shop.description.ReissueNames = 365*day, pluginapi.ReissueRemovalRevokes
		w.add("web", "shop.example.com")
		w.shop.freeName = "www.shop.example.com"
		want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
		if names := w.disk.sets["web"].leaf.DNSNames; len(names) != 2 {
			t.Fatalf("the certificate is for %v", names)
		}
		r := w.run(w.begin("web").ID, time.Hour)
		want(t, r, order.Deployed)
		if r.Kind != pluginapi.Reissue {
			t.Errorf("kind %s", r.Kind)
		}
	})
}

func TestReissueNames(t *testing.T) {
	for name, c := range map[string]struct {
		rule  pluginapi.ReissueNames
		names []string
		phase order.Phase
		kind  string
		hold  order.HoldKind
	}{
		"any names, one dropped: reissue":        {pluginapi.ReissueAnyNames, []string{"a.example.com"}, order.Deployed, "reissue", ""},
		"removal revokes, one dropped: hold":     {pluginapi.ReissueRemovalRevokes, []string{"a.example.com"}, order.Held, "reissue", order.HoldDropsNames},
		"removal revokes, one added: reissue":    {pluginapi.ReissueRemovalRevokes, []string{"a.example.com", "b.example.com", "c.example.com"}, order.Deployed, "reissue", ""},
		"same names wanted, one added: purchase": {pluginapi.ReissueSameNames, []string{"a.example.com", "b.example.com", "c.example.com"}, order.Deployed, "renew", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.shop.coverage, w.shop.description.ReissueNames = 365*day, c.rule
				want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
				w.add("web", c.names...)
				r := w.run(w.begin("web").ID, time.Hour)
				want(t, r, c.phase)
				if r.Kind.String() != c.kind {
					t.Errorf("kind %s, want %s", r.Kind, c.kind)
				}
				if r.Hold != nil && r.Hold.Kind != c.hold {
					t.Errorf("held for %s", r.Hold.Kind)
				}
				if c.phase == order.Held {
					if _, err := w.engine.Approve(r.ID); err != nil {
						t.Fatal(err)
					}
					want(t, w.run(r.ID, time.Hour), order.Deployed)
				}
			})
		})
	}
}

func TestApprovalWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.approval = true
		r := w.run(w.begin("web").ID, 3*day)
		want(t, r, order.Approval)
		if r.Action == nil || r.Action.Who != "an administrator" {
			t.Errorf("nobody is named: %+v", r.Action)
		}
		w.shop.approval = false
		w.restart()
		want(t, w.run(r.ID, day), order.Deployed)
		if w.shop.purchases != 1 {
			t.Errorf("%d purchases", w.shop.purchases)
		}
	})
}

func TestRejectedPaidOrderIsNotBoughtAgainUnasked(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.reject = true
		r := w.run(w.begin("web").ID, day)
		want(t, r, order.Failed)
		if !strings.Contains(r.LastError.Message, "the organization is unknown") {
			t.Errorf("the reason is lost: %s", r.LastError.Message)
		}
		if h := w.engine.History("web"); h.Failures != 1 || !h.RetryAt.After(time.Now()) {
			t.Errorf("history %+v", h)
		}
		r = w.run(w.begin("web").ID, day)
		want(t, r, order.Held)
		if r.Hold.Kind != order.HoldRepeats || w.shop.purchases != 1 {
			t.Errorf("held for %s after %d purchases", r.Hold.Kind, w.shop.purchases)
		}
	})
}

func TestNothingUnfitIsInstalled(t *testing.T) { // invariant 4
	inBubble(t, func(t *testing.T, w *world) {
		other := [][]byte{w.shop.sign(w.shop.rootKey.Public(), []string{"a.example.com", "b.example.com"}, 90*day)}
		w.shop.chain = func([][]byte) [][]byte { return other }
		r := w.run(w.begin("web").ID, 30*day)
		want(t, r, order.Held)
		if r.Hold.Kind != order.HoldUnusable || w.disk.installs != 0 {
			t.Fatalf("held for %s after %d installs", r.Hold.Kind, w.disk.installs)
		}
		w.shop.chain = nil
		if _, err := w.engine.Approve(r.ID); err != nil {
			t.Fatal(err)
		}
		want(t, w.run(r.ID, day), order.Deployed)
	})
}

func TestNewerCertificateOnDiskSupersedes(t *testing.T) { // invariant 4
	inBubble(t, func(t *testing.T, w *world) {
		w.disk.fail = func(call string) error {
			if call == "install" {
				return errors.New("no space left on device")
			}
			return nil
		}
		r := w.run(w.begin("web").ID, time.Hour)
		want(t, r, order.Issued)
		w.disk.fail = nil
		hand := newShop(time.Now)
		hand.lifetime = 365 * day
		key := hand.rootKey
		der := hand.sign(key.Public(), []string{"a.example.com", "b.example.com"}, 365*day)
		w.disk.sets["web"] = diskSet{id: "by hand", key: key, leaf: parse(t, der)}
		r = w.run(r.ID, day)
		want(t, r, order.Superseded)
		if w.disk.sets["web"].id != "by hand" {
			t.Error("the newer certificate was overwritten")
		}
		if h := w.engine.History("web"); !h.RetryAt.After(time.Now()) || h.FailedPaid {
			t.Errorf("nothing keeps the next order back, or it is held for one renewal by hand: %+v", h)
		}
	})
}

func TestFailedDeploymentRollsBackAndIsTriedAgain(t *testing.T) { // invariant 5
	for _, stage := range []string{order.StageCheck, order.StageReload, order.StageVerify} {
		t.Run(stage, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
				old := w.disk.sets["web"].leaf
				failing := true
				w.server.fail = func(s string) string {
					if failing && s == stage {
						return "it does not work"
					}
					return ""
				}
				r := w.runUntil(w.begin("web").ID, time.Hour, func(r order.Record) bool { return r.Deploy != nil })
				if r.Phase.Final() || !w.disk.sets["web"].leaf.Equal(old) || !w.server.serves["web"].Equal(old) {
					t.Fatalf("phase %s; the old set is not back on disk and in service", r.Phase)
				}
				if r.Deploy == nil || !r.Deploy.RolledBack || r.LastError.Kind != stage {
					t.Errorf("deploy %+v, error %+v", r.Deploy, r.LastError)
				}
				w.restart()
				failing = false
				want(t, w.run(r.ID, day), order.Deployed)
				if w.server.serves["web"].Equal(old) || w.shop.purchases+w.shop.reissues != 2 {
					t.Errorf("not served, or bought again: %d", w.shop.purchases)
				}
			})
		})
	}
}

func TestFirstSetStaysWhenItsDeploymentFails(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.server.fail = func(s string) string { return map[string]string{order.StageCheck: "no such site"}[s] }
		r := w.run(w.begin("web").ID, time.Hour)
		want(t, r, order.Installed)
		if w.disk.rollBack != 0 || r.Attempts < 3 {
			t.Errorf("%d roll-backs, %d attempts", w.disk.rollBack, r.Attempts)
		}
		w.server.fail = nil
		want(t, w.run(r.ID, 7*day), order.Deployed)
	})
}

func TestDiskFaultsLoseNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		full := true
		w.disk.fail = func(call string) error {
			if full && call == "install" {
				return errors.New("no space left on device")
			}
			return nil
		}
		r := w.run(w.begin("web").ID, time.Hour)
		want(t, r, order.Issued)
		if r.LastError == nil || !strings.Contains(r.LastError.Message, "no space left") {
			t.Errorf("last error %+v", r.LastError)
		}
		full = false
		want(t, w.run(r.ID, day), order.Deployed)
	})
}

func TestNothingIsOrderedThatCouldNotBeInstalled(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		missing := true
		w.disk.fail = func(call string) error {
			if missing && call == "ready" {
				return errors.New("the folder /etc/nginx/tls does not exist")
			}
			return nil
		}
		r := w.run(w.begin("web").ID, day)
		want(t, r, order.Intended)
		if w.shop.calls != 0 || r.LastError == nil || !strings.Contains(r.LastError.Message, "/etc/nginx/tls") {
			t.Fatalf("%d calls, last error %+v", w.shop.calls, r.LastError)
		}
		missing = false
		want(t, w.run(r.ID, 2*day), order.Deployed)
	})
}

func TestFullJournalLosesNoAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.description.Abilities = nil // the CA could not tell
		r := w.begin("web")
		full := false
		w.journal.fail = func(int) error {
			if full {
				return errors.New("no space left on device")
			}
			return nil
		}
		w.shop.place = func(int) (bool, error) { full = true; return true, nil }
		var err error
		for err == nil {
			err = w.engine.Step(t.Context(), r.ID)
		}
		if err := w.engine.Step(t.Context(), r.ID); err == nil {
			t.Fatal("the order went on without a journal")
		}
		full = false
		want(t, w.run(r.ID, day), order.Deployed)
		if w.shop.calls != 1 {
			t.Errorf("sent %d times", w.shop.calls)
		}
	})
}

func TestFullJournalLosesNoPaidTime(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.coverage = 365 * day
		r := w.begin("web")
		full := false
		w.journal.fail = func(int) error {
			if full {
				return errors.New("no space left on device")
			}
			return nil
		}
		var err error
		for err == nil { // the answer that says "issued" meets a full disk
			if r, _ = w.engine.Order(r.ID); r.Step == "published" {
				full = true
			}
			err = w.engine.Step(t.Context(), r.ID)
		}
		full = false
		want(t, w.run(r.ID, day), order.Deployed)
		w.restart()
		r = w.run(w.begin("web").ID, day)
		if r.Kind != pluginapi.Reissue {
			t.Errorf("kind %s: the paid plan was forgotten", r.Kind)
		}
	})
}

func TestUnsentOrderIsSentWhenTheJournalIsBack(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.description.Abilities = nil // the CA could not tell
		r := w.begin("web")
		w.journal.fail = func(int) error { return errors.New("no space left on device") }
		if err := w.engine.Step(t.Context(), r.ID); err == nil || w.shop.calls != 0 {
			t.Fatalf("sent %d times without a journal: %v", w.shop.calls, err)
		}
		w.journal.fail = nil
		want(t, w.run(r.ID, day), order.Deployed)
	})
}

func TestWithdrawalGoesItsOwnPace(t *testing.T) { // invariant 7
	inBubble(t, func(t *testing.T, w *world) {
		w.zone.fail = func(call string) error {
			if call == "withdraw" {
				return errors.New("the name server is down")
			}
			return nil
		}
		r := w.run(w.begin("web").ID, time.Hour)
		want(t, r, order.Deployed)
		if err := w.engine.Withdraw(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		r, _ = w.engine.Order(r.ID)
		if !r.ToWithdraw() || !r.WithdrawAt.After(time.Now()) || r.WithdrawAttempts != 1 {
			t.Fatalf("it gave up: %+v", r)
		}
		w.zone.fail = nil
		w.restart()
		if err := w.engine.Withdraw(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		if r, _ = w.engine.Order(r.ID); r.ToWithdraw() || len(w.zone.left()) != 0 {
			t.Errorf("left: %v", w.zone.left())
		}
	})
}

func TestPublishesAgainAfterRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		blind := true
		w.zone.fail = func(call string) error {
			if blind && call == "visible" {
				return errors.New("not seen yet")
			}
			return nil
		}
		r := w.run(w.begin("web").ID, 5*time.Minute)
		want(t, r, order.Validating)
		w.zone.published = nil // what a responder in memory forgets
		w.restart()
		blind = false
		w.zone.fail = func(call string) error {
			if call == "visible" && len(w.zone.published) != 2 {
				return errors.New("not published again")
			}
			return nil
		}
		want(t, w.run(r.ID, day), order.Deployed)
	})
}

func TestBackoffGrowsAndNeverEnds(t *testing.T) { // invariant 8
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.place = func(int) (bool, error) { return false, pluginapi.Errorf(pluginapi.Unauthorized, "the key is wrong") }
		r := w.run(w.begin("web").ID, 60*day)
		want(t, r, order.Intended)
		if r.Attempts < 50 || r.LastError.Kind != "unauthorized" || !r.NextAt.After(time.Now().Add(-time.Second)) {
			t.Errorf("%d attempts, %+v, next %s", r.Attempts, r.LastError, r.NextAt)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var at []time.Time
		w.shop.place = func(n int) (bool, error) {
			at = append(at, time.Now())
			if n == 1 {
				return false, &pluginapi.Error{Kind: pluginapi.RateLimited, RetryAfter: 3 * time.Hour}
			}
			return true, nil
		}
		want(t, w.run(w.begin("web").ID, day), order.Deployed)
		if gap := at[1].Sub(at[0]); gap < 3*time.Hour {
			t.Errorf("sent again after %s", gap)
		}
	})
}

func TestJournalOfANewerDaemonIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		r := w.begin("web")
		text := w.journal.buckets["journal"]["order/"+r.ID]
		w.journal.buckets["journal"]["order/"+r.ID] = []byte(strings.Replace(string(text), `"version":1`, `"version":2`, 1))
		_, err := order.New(order.Options{Journal: w.journal, Now: time.Now})
		if err == nil || !strings.Contains(err.Error(), r.ID) || !strings.Contains(err.Error(), "newer") {
			t.Errorf("got %v", err)
		}
	})
}

func TestPruneKeepsWhatMatters(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.description.OrdersCostMoney = false
		for range 15 {
			r := w.run(w.begin("web").ID, time.Hour)
			want(t, r, order.Deployed)
			if err := w.engine.Withdraw(t.Context(), r.ID); err != nil {
				t.Fatal(err)
			}
			time.Sleep(day)
		}
		if err := w.engine.Prune(); err != nil {
			t.Fatal(err)
		}
		if n := len(w.engine.Orders()); n != 10 {
			t.Errorf("%d orders in memory", n)
		}
		w.restart()
		if n := len(w.engine.Orders()); n != 10 {
			t.Errorf("%d orders in the journal", n)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	good, err := order.EncodeRecord(order.Record{ID: "1", Certificate: "web", Account: "shop", Phase: order.Intended})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1,"record":{"phase":"held"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := order.DecodeRecord(text)
		if err != nil {
			return
		}
		again, err := order.EncodeRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := order.DecodeRecord(again); err != nil {
			t.Errorf("a record that was read cannot be read again: %v", err)
		}
	})
}
