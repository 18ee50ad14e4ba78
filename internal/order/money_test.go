package order_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/internal/schedule"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// What would cost money a second time, or go on without end.

// A placeholder that lives for ten years, a certificate for other names, a revoked one and a broken set were made later
// than some CAs date what they issue, and end later. None of them is a reason to throw away what was bought, and to
// order the same again.
func TestWhatIsBoughtReplacesWhatIsOfNoUse(t *testing.T) {
	both := []string{"a.example.com", "b.example.com"}
	for name, c := range map[string]struct {
		set     func(t *testing.T, w *world, hand *shop) diskSet
		revoked bool
	}{
		"a placeholder signed by itself": {set: func(t *testing.T, w *world, hand *shop) diskSet {
			t.Helper()
			return diskSet{leaf: placeholder(t, hand.rootKey, both)}
		}},
		"for other names": {set: func(t *testing.T, w *world, hand *shop) diskSet {
			t.Helper()
			return diskSet{leaf: parse(t, hand.sign(hand.rootKey.Public(), []string{"other.example.com"}, 3650*day))}
		}},
		"a broken set": {set: func(t *testing.T, w *world, hand *shop) diskSet {
			t.Helper()
			return diskSet{leaf: parse(t, hand.sign(hand.rootKey.Public(), both, 3650*day)), broken: true}
		}},
		"of another type of key": {set: func(t *testing.T, w *world, hand *shop) diskSet {
			t.Helper()
			key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return diskSet{leaf: parse(t, hand.sign(key.Public(), both, 3650*day))}
		}},
		"revoked": {revoked: true, set: func(t *testing.T, w *world, hand *shop) diskSet {
			t.Helper()
			return diskSet{leaf: parse(t, hand.sign(hand.rootKey.Public(), both, 3650*day))}
		}},
	} {
		t.Run(name, func(t *testing.T) {
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
				w.disk.sets["web"] = c.set(t, w, newShop(time.Now))
				if c.revoked {
					if _, err := w.engine.Revoke(t.Context(), "web", 1); err != nil {
						t.Fatal(err)
					}
				}
				want(t, w.run(r.ID, day), order.Deployed)
			})
		})
	}
}

func placeholder(t *testing.T, key crypto.Signer, names []string) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), DNSNames: names, NotBefore: time.Now(), NotAfter: time.Now().Add(3650 * day)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, der)
}

// A certificate that must be replaced for another reason than its age is reissued, also when it lasts as long as the
// plan that was paid for.
func TestPaidTimeIsUsedUpWhateverTheReason(t *testing.T) {
	for reason, kind := range map[schedule.Reason]string{
		schedule.NamesChanged: "reissue", schedule.KeyChanged: "reissue", schedule.BrokenSet: "reissue",
		schedule.Revoked: "reissue", schedule.Expired: "reissue", schedule.Requested: "reissue", schedule.NearExpiry: "renew",
	} {
		t.Run(string(reason), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.shop.coverage, w.shop.lifetime = 199*day, 199*day
				want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
				time.Sleep(10 * day)
				begun, err := w.engine.Begin(order.Intent{Certificate: "web", Reason: string(reason)})
				if err != nil {
					t.Fatal(err)
				}
				r := w.run(begun.ID, time.Hour)
				want(t, r, order.Deployed)
				if r.Kind.String() != kind {
					t.Errorf("kind %s, want %s", r.Kind, kind)
				}
			})
		})
	}
}

// Somebody who cannot wait has the CA asked for a lost order over and over. Only answers that lie apart count.
func TestImpatienceDoesNotMakeAnAnswerTrusted(t *testing.T) { // invariant 1
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.place = func(n int) (bool, error) { return n > 1, map[bool]error{false: errors.New("lost")}[n > 1] }
		r := w.runUntil(w.begin("web").ID, day, func(r order.Record) bool { return r.NotFound == 1 })
		for range 5 {
			if err := w.engine.Step(t.Context(), r.ID); err != nil {
				t.Fatal(err)
			}
		}
		if w.shop.calls != 1 {
			t.Errorf("sent %d times", w.shop.calls)
		}
		want(t, w.run(r.ID, day), order.Deployed)
		if w.shop.calls != 2 {
			t.Errorf("sent %d times in the end", w.shop.calls)
		}
	})
}

// A machine whose clock was a year ahead sends an order, loses the answer, and is put right: the order is looked for at once,
// and not only in a year, and not among orders from the future.
func TestClockSetBackWhileAnAnswerIsLost(t *testing.T) { // invariants 1 and 8
	inBubble(t, func(t *testing.T, w *world) {
		ahead := 400 * day
		engine, err := order.New(order.Options{
			Journal: w.journal, Catalog: w, Publisher: w.zone, Files: w.disk, Deployer: w.server, Logger: slog.New(slog.DiscardHandler),
			Now: func() time.Time { return time.Now().Add(ahead) },
		})
		if err != nil {
			t.Fatal(err)
		}
		w.engine = engine
		w.shop.description.FindOrderSettle = 30 * time.Second
		w.shop.place = func(int) (bool, error) { return true, errors.New("lost") }
		shown := false
		w.shop.found = func(sentAt time.Time) error {
			if sentAt.After(time.Now()) {
				t.Errorf("looked for as sent in %s", time.Until(sentAt))
			}
			if !shown {
				shown = true
				return pluginapi.Errorf(pluginapi.NotFound, "not shown yet")
			}
			return nil
		}
		r := w.begin("web")
		if err := w.engine.Step(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		ahead = 0
		time.Sleep(10 * time.Second)
		if err := w.engine.Step(t.Context(), r.ID); err != nil { // the daemon looks at what seems to be far ahead
			t.Fatal(err)
		}
		r = w.run(r.ID, 10*time.Minute)
		want(t, r, order.Deployed)
		if w.shop.calls != 1 || w.shop.purchases != 1 {
			t.Errorf("%d calls, %d purchases", w.shop.calls, w.shop.purchases)
		}
	})
}

func TestCanceledPurchaseIsNotRepeatedUnasked(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.approval = true
		r := w.run(w.begin("web").ID, time.Hour)
		if _, err := w.engine.Cancel(t.Context(), r.ID, "the wrong product"); err != nil {
			t.Fatal(err)
		}
		next := w.run(w.begin("web").ID, time.Hour)
		want(t, next, order.Held)
		if next.Hold.Kind != order.HoldRepeats || w.shop.purchases != 1 {
			t.Errorf("held for %s after %d purchases", next.Hold.Kind, w.shop.purchases)
		}
	})
}

func TestCanceledOrderThatIsGoneAtTheCA(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.approval = true
		r := w.run(w.begin("web").ID, time.Hour)
		clear(w.shop.orders)
		r, err := w.engine.Cancel(t.Context(), r.ID, "")
		if err != nil {
			t.Fatal(err)
		}
		want(t, r, order.Superseded)
	})
}

// There is a way out of a certificate that never fits, also where the CA cancels nothing. What was issued is not
// canceled at the CA: that would be a revocation.
func TestUnusableCertificateCanBeGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.description.Abilities = slices.DeleteFunc(w.shop.description.Abilities, func(a pluginapi.Ability) bool { return a == pluginapi.AbilityCancel })
		w.shop.chain = func(good [][]byte) [][]byte {
			return [][]byte{w.shop.sign(w.shop.rootKey.Public(), []string{"a.example.com"}, 90*day)}
		}
		r := w.run(w.begin("web").ID, 30*day)
		want(t, r, order.Held)
		r, err := w.engine.Cancel(t.Context(), r.ID, "")
		if err != nil {
			t.Fatal(err)
		}
		want(t, r, order.Superseded)
		if len(w.shop.canceled) != 0 {
			t.Errorf("canceled at the CA: %v", w.shop.canceled)
		}
	})
}

// Orders that are issued and never fit follow each other at a growing distance.
func TestBackoffGrowsFromOrderToOrder(t *testing.T) { // invariant 8
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.description.OrdersCostMoney = false
		w.shop.chain = func(good [][]byte) [][]byte {
			return [][]byte{w.shop.sign(w.shop.rootKey.Public(), []string{"a.example.com"}, 90*day)}
		}
		for n := 1; n <= 3; n++ {
			want(t, w.run(w.begin("web").ID, 30*day), order.Failed)
			if h := w.engine.History("web"); h.Failures != n {
				t.Fatalf("failure %d counts as %d", n, h.Failures)
			}
		}
		w.shop.chain = nil
		want(t, w.run(w.begin("web").ID, 30*day), order.Deployed)
		if h := w.engine.History("web"); h.Failures != 0 || !h.RetryAt.IsZero() {
			t.Errorf("history after success: %+v", h)
		}
	})
}

// The challenges of an order come in another order each time, as from a map. That is no news to act upon at once.
func TestRestlessAnswerIsNotPolledWithoutPause(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.stepwise = true // never done
		w.shop.spoil = func(o *pluginapi.Order) {
			if w.shop.looks%2 == 0 {
				slices.Reverse(o.Authorizations)
			}
		}
		w.runUntil(w.begin("web").ID, time.Hour, func(order.Record) bool { return w.shop.looks > 100 })
		if w.shop.looks > 70 {
			t.Errorf("looked %d times in an hour, every minute was asked for", w.shop.looks)
		}
	})
}

// The set on disk never shows what was installed, say because another program writes the same files.
func TestSetThatDoesNotStayIsNotInstalledWithoutPause(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		hand := newShop(time.Now)
		theirs := parse(t, hand.sign(hand.rootKey.Public(), []string{"other.example.com"}, 10*day))
		steps := 0
		w.runUntil(w.begin("web").ID, time.Hour, func(r order.Record) bool {
			if r.Phase == order.Installed {
				w.disk.sets["web"] = diskSet{id: "theirs", leaf: theirs}
			}
			steps++
			return steps > 1000
		})
		if steps > 300 {
			t.Errorf("%d steps in an hour", steps)
		}
	})
}

func TestRevocationGoesToTheAccountThatIssued(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		want(t, w.run(w.begin("web").ID, time.Hour), order.Deployed)
		spec := w.specs["web"]
		spec.Account = "other"
		w.specs["web"] = spec
		w.accounts = nil
		if _, err := w.engine.Revoke(t.Context(), "web", 1); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(w.accounts, []string{"shop"}) {
			t.Errorf("asked %v", w.accounts)
		}
	})
}
