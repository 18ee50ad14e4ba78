package order_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certbridge/certbridged/internal/order"
)

// What is over is left in the journal, and is there for whoever asks.
func TestWhatIsOverIsReadFromTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var last order.Record
		w.engine.Changed = func(_, after order.Record) { last = after }
		id := w.begin("web").ID
		if r := w.run(id, time.Hour); r.Phase != order.Deployed {
			t.Fatalf("phase %s", r.Phase)
		}
		if err := w.engine.Withdraw(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		for range 2 { // also after a restart
			if list := w.engine.Working(); len(list) != 0 {
				t.Fatalf("%d orders are worked on", len(list))
			}
			if !w.engine.HasOrders("web") || w.engine.HasOrders("other") {
				t.Error("the orders of a certificate are not known")
			}
			r, ok := w.engine.Order(id)
			want, err := order.EncodeRecord(last)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := order.EncodeRecord(r); err != nil || !ok || !bytes.Equal(got, want) {
				t.Errorf("the order is\n%s, want\n%s (%v)", got, want, err)
			}
			if list := w.engine.OrdersOf("web"); len(list) != 1 || !reflect.DeepEqual(list[0], r) {
				t.Errorf("the certificate's orders are %+v", list)
			}
			if list := w.engine.OrdersOf("other"); len(list) != 0 {
				t.Errorf("another certificate's orders are %+v", list)
			}
			if err := w.engine.Step(t.Context(), id); err != nil {
				t.Error(err)
			}
			if _, err := w.engine.Approve(id); !errors.Is(err, order.ErrWrongPhase) {
				t.Errorf("approved: %v", err)
			}
			if _, err := w.engine.Cancel(t.Context(), id, ""); !errors.Is(err, order.ErrWrongPhase) {
				t.Errorf("canceled: %v", err)
			}

			slim := w.engine.History("web")
			whole, err := w.engine.WholeHistory("web")
			if err != nil || len(whole.Last.Chain) == 0 || len(slim.Last.Chain) != 0 {
				t.Fatalf("chains of %d and %d certificates, %v", len(whole.Last.Chain), len(slim.Last.Chain), err)
			}
			for _, der := range whole.Last.Chain {
				if !slim.Last.Has(der) || !whole.Last.Has(der) {
					t.Error("a certificate that was issued is not known")
				}
			}
			if slim.Last.Has([]byte("other")) || slim.Last.Reference != whole.Last.Reference {
				t.Errorf("last: %+v", slim.Last)
			}
			w.restart()
		}
	})
}

// A history that cannot be read keeps an order from being sent: it may be one that is paid for already.
func TestUnreadableHistoryBuysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.run(w.begin("web").ID, time.Hour)
		bought := w.shop.purchases
		w.journal.broken = errors.New("the disk is broken")
		id := w.begin("web").ID
		if err := w.engine.Step(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		r, _ := w.engine.Order(id)
		if r.Phase != order.Intended || r.LastError == nil || w.shop.purchases != bought {
			t.Errorf("phase %s, trouble %v, %d bought after %d", r.Phase, r.LastError, w.shop.purchases, bought)
		}
	})
}
