package e2e

import (
	"testing"

	"github.com/certbridge/certbridged/internal/control"
)

// TestMisbehavingCAIsBoughtFromOnce is invariant 1 where the daemon lives on: whatever becomes of an exchange with the
// CA, or of the plugin in the middle of it, one order is bought, and it comes through.
func TestMisbehavingCAIsBoughtFromOnce(t *testing.T) {
	faults := map[string]fault{
		"request lost": lostBefore, "answer lost": lostAfter, "answer cut off": cutOff, "answer is garbage": garbage,
		"internal error instead": failBefore, "internal error afterwards": failAfter, "no answer ever": hang,
		"plugin killed before the work": killPluginBefore, "plugin killed after the work": killPluginAfter,
	}
	for _, exchange := range []string{"POST /orders", "GET /orders", "POST /orders/{id}/validate", "GET /orders/{id}"} {
		for name, f := range faults {
			t.Run(exchange+" "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, "new", "http", nil)
				if exchange == "GET /orders" { // is asked only after a lost answer
					w.shop.misbehave("POST /orders", lostAfter)
				}
				w.shop.misbehave(exchange, f)
				w.start()
				w.settle()
				if left := w.shop.faultsLeft(); len(left) > 0 {
					t.Errorf("there was no %v", left)
				}
			})
		}
	}
}

// TestPluginKilledBeforeItSendsIsStartedAgain: nothing was sent, and the daemon cannot know.
func TestPluginKilledBeforeItSendsIsStartedAgain(t *testing.T) {
	for _, exchange := range []string{"POST /orders", "GET /orders?key=", "POST /orders/shop-1/validate", "GET /orders/shop-1"} {
		t.Run(exchange, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "new", "webroot", nil)
			if exchange == "GET /orders?key=" {
				w.shop.misbehave("POST /orders", lostAfter)
			}
			w.write("die-before", exchange, 0o600)
			w.start()
			w.settle()
		})
	}
}

// TestLostAnswerOfACAThatCannotTellWaitsForAPerson: what nobody can know is not guessed (invariant 1), and a restart
// changes nothing about that.
func TestLostAnswerOfACAThatCannotTellWaitsForAPerson(t *testing.T) {
	for name, c := range map[string]struct {
		fault     fault
		reference string
	}{
		"bought":     {lostAfter, "shop-1"},
		"not bought": {lostBefore, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "new", "http", nil)
			w.configure("blind = true")
			w.shop.misbehave("POST /orders", c.fault)
			w.start()
			held := func(c control.Certificate) bool { return c.Order != nil && c.Order.Hold != nil }
			w.until("web", "held", held)
			w.kill()
			w.start()
			o := w.until("web", "held", held).Order
			if o.Hold.Kind != "unknown-outcome" {
				t.Fatalf("held for %+v", o.Hold)
			}
			if _, err := w.client.Approve(t.Context(), o.ID); err == nil {
				t.Error("can be approved, though nobody knows what became of it")
			}
			if _, err := w.client.Resolve(t.Context(), o.ID, c.reference); err != nil {
				t.Fatal(err)
			}
			w.settle()
		})
	}
}

// TestWrongCertificateIsNeverInstalled is invariant 4: a CA that issues for another key is asked again, and what is on
// disk stays.
func TestWrongCertificateIsNeverInstalled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "new", "http", nil)
	w.shop.set(func(s *shop) { s.wrong = 1 })
	w.start()
	w.until("web", "trouble", func(c control.Certificate) bool {
		return c.Order != nil && c.Order.LastError != nil && c.Order.LastError.Kind == "unusable-certificate"
	})
	if now := w.pair("web")[0]; !now.Equal(w.old) {
		t.Errorf("serial %x is on disk", now.SerialNumber)
	}
	w.settle()
}

// TestRejectedOrderThatMayHaveCostMoneyIsNotRepeated: the same again would cost again.
func TestRejectedOrderThatMayHaveCostMoneyIsNotRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "new", "http", nil)
	w.shop.set(func(s *shop) { s.approval = true })
	w.start()
	w.until("web", "approval", func(c control.Certificate) bool { return c.Order != nil && c.Order.Phase == "approval" })
	w.shop.set(func(s *shop) { s.orders["shop-1"].Status = "rejected" })
	c := w.until("web", "held", func(c control.Certificate) bool { return c.Order != nil && c.Order.Hold != nil })
	if c.Order.Hold.Kind != "repeats-failed-order" {
		t.Errorf("held for %+v", c.Order.Hold)
	}
	w.boughtOnce()
	w.stop()
}
