package servertastic

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standin "github.com/certbridge/certbridged/internal/sandbox/servertastic"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// refuse answers one call with an error in the API's form, and does not carry it out, until that is switched off.
func (r *rig) refuse(call string) *atomic.Bool {
	var on atomic.Bool
	on.Store(true)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !on.Load() || !strings.HasSuffix(q.URL.Path, call) {
			r.server.ServeHTTP(w, q)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		if _, err := w.Write([]byte(`{"error":{"code":400,"message":"The contact is not known"}}`)); err != nil {
			r.t.Log(err)
		}
	}))
	r.t.Cleanup(web.Close)
	r.values["base_url"] = web.URL + standin.BasePath
	return &on
}

// An order that ServerTastic refuses to place says so and who must do what, and goes on when the reason is gone.
func TestPlaceIsRefused(t *testing.T) {
	for name, renewal := range map[string]bool{"a new order": false, "a linked renewal": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			o, purchases := r.order("RapidSSL-12", "example.com"), 1
			if renewal {
				before := r.MustIssue(o)
				r.advance(340 * 24 * time.Hour)
				o, purchases = r.Follow(pluginapi.Renew, o, before), 2
			}
			refused := r.refuse("/order/place.json")
			at, err := r.Place(o)
			if err != nil {
				t.Fatal(err)
			}
			at, _ = r.Finish(o, at)
			if at.Status != pluginapi.Processing || at.Action == nil {
				t.Fatalf("%s, %+v: %s", at.Status, at.Action, at.Detail)
			}
			for _, words := range []string{"find out why ServerTastic refuses to place order", "The contact is not known", "canceling the order brings its points back"} {
				if !strings.Contains(at.Action.What, words) {
					t.Errorf("does not say %q: %s", words, at.Action.What)
				}
			}
			if renewal != strings.Contains(at.Action.What, "set link_renewals = false") {
				t.Errorf("of the link it says: %s", at.Action.What)
			}
			if orders := r.server.Orders(); orders[len(orders)-1].Placed {
				t.Error("the order was placed")
			}
			refused.Store(false)
			if at, err = r.Finish(o, at); err != nil {
				t.Fatal(err)
			}
			r.CheckIssued(o, at)
			r.bought(purchases, 0)
		})
	}
}

// An order that was placed meanwhile is seen, whatever place answers to a second call.
func TestPlaceIsForbiddenThoughPlaced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Killed = false
	r.front(func(path string, status int, b []byte) (int, []byte) { // the call arrives, and this is what comes back
		if strings.HasSuffix(path, "/order/place.json") {
			return 403, []byte(`{"error":{"code":403,"message":"Order already placed"}}`)
		}
		return status, b
	})
	o := r.order("RapidSSL-12", "example.com")
	at, err := r.Place(o)
	if err != nil {
		t.Fatal(err)
	}
	announced, err := r.Instance().GetOrder(t.Context(), r.Placed(o, at))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Instance().GetOrder(t.Context(), r.Placed(o, announced.Order)); pluginapi.KindOf(err) != pluginapi.Unauthorized {
		t.Fatalf("got %v", err)
	}
	r.advance(10 * time.Minute)
	got, err := r.Instance().GetOrder(t.Context(), r.Placed(o, announced.Order))
	if err != nil || got.Order.Status != pluginapi.PendingValidation {
		t.Errorf("%s, %v", got.Order.Status, err)
	}
}
