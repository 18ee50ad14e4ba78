package order_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestCancel(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.approval = true
		r := w.run(w.begin("web").ID, time.Hour)
		r, err := w.engine.Cancel(t.Context(), r.ID, "not needed")
		if err != nil {
			t.Fatal(err)
		}
		want(t, r, order.Superseded)
		if !slices.Equal(w.shop.canceled, []string{"ref-1"}) {
			t.Errorf("canceled at the CA: %v", w.shop.canceled)
		}
	})
}

// A CA may take the wish and carry it out later, or have issued before it came.
func TestCancelThatTheCAHasNotDoneYet(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.approval = true
		r := w.run(w.begin("web").ID, time.Hour)
		w.shop.cancel = func(o pluginapi.PlacedOrder) pluginapi.Order {
			return pluginapi.Order{Reference: o.Reference, Status: pluginapi.Processing, Detail: "being canceled"}
		}
		r, err := w.engine.Cancel(t.Context(), r.ID, "not needed")
		if err != nil || r.Phase.Final() || r.Detail != "being canceled" {
			t.Fatalf("an order that the CA is still canceling is %s (%q), %v", r.Phase, r.Detail, err)
		}
		w.shop.spoil = func(o *pluginapi.Order) { o.Status, o.Detail = pluginapi.Canceled, "canceled" }
		want(t, w.run(r.ID, day), order.Failed)
		if h := w.engine.History("web"); !h.FailedPaid {
			t.Error("the next purchase would not be held")
		}
	})
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.approval = true
		r := w.run(w.begin("web").ID, time.Hour)
		w.shop.approval = false
		w.shop.cancel = func(o pluginapi.PlacedOrder) pluginapi.Order {
			w.shop.orders[o.Reference].responded = true
			return w.shop.reply(o.Reference).Order
		}
		if r, err := w.engine.Cancel(t.Context(), r.ID, ""); !errors.Is(err, order.ErrWrongPhase) || r.Phase != order.Issued {
			t.Fatalf("an order that was issued meanwhile is %s, %v", r.Phase, err)
		}
		want(t, w.run(r.ID, time.Hour), order.Deployed)
	})
}
