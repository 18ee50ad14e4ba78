package order_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/order"
)

// What was tried in its turn at the moment of a crash may be up, also when the order is canceled before anybody looks.
func TestNothingStaysUpOfAnOrderThatIsCanceledAfterACrash(t *testing.T) { // invariant 7
	for n := 1; ; n++ {
		done := false
		t.Run(fmt.Sprintf("after %d writes", n), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				sequential(w)
				w.add("many", "c.example.com", "d.example.com")
				first := w.begin("web").ID
				time.Sleep(time.Second)
				id := w.begin("many").ID
				writes := 0
				w.journal.fail = func(int) error {
					if writes++; writes > n {
						return errors.New("killed")
					}
					return nil
				}
				done = !w.killed([]string{first, id})
				w.journal.fail = nil
				w.zone.forget()
				w.restart()
				if r, _ := w.engine.Order(id); !r.Phase.Final() {
					if _, err := w.engine.Cancel(t.Context(), id, "not wanted"); err != nil && !errors.Is(err, order.ErrWrongPhase) {
						t.Fatal(err)
					}
				}
				for range 3 { // those that are refused while another has its turn are tried again
					if err := w.engine.Withdraw(t.Context(), id); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Hour)
				}
				want(t, w.runAll(day, first)[0], order.Deployed)
				if r, _ := w.engine.Order(id); r.Phase.Final() && len(w.zone.left()) != 0 {
					t.Errorf("%s, and left %v of %+v", r.Phase, w.zone.left(), r.Publications)
				}
			})
		})
		if done || t.Failed() {
			return
		}
	}
}
