package servertastic

import (
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// The value of an order that is complete is made anew after a month: that is no sign of a reissue whose answer was lost. One
// that never arrived is asked for again, and one that did is not.
func TestAValueMadeAnewIsNoReissue(t *testing.T) {
	for name, arrived := range map[string]bool{"never arrived": false, "arrived": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			o := r.order("RapidSSL-12", "example.com")
			one := r.MustIssue(o)
			r.advance(100 * 24 * time.Hour)
			old := decodeState(one.State).Control.DNSValue
			if old == "" {
				t.Fatal("the first order's value is not kept")
			}
			r.review(func(v map[string]any) {
				if v["dv_auth_dns_string"] == old {
					v["dv_auth_dns_string"] = "made0anew0after0a0month0000000000"
				}
			})
			r.misbehave(sandbox.Misbehaviour{Path: "/order/reissue.json", Kind: sandbox.Drop, After: arrived})
			next := r.Follow(pluginapi.Reissue, o, one)
			sent := r.server.Now()
			if _, err := r.Instance().PlaceOrder(t.Context(), next); pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
				t.Fatal(err)
			}
			if _, err := r.Instance().FindOrder(t.Context(), next, sent); !arrived && pluginapi.KindOf(err) != pluginapi.Unavailable {
				t.Errorf("at once: %v", err)
			}
			r.advance(15 * time.Minute)
			found, err := r.Instance().FindOrder(t.Context(), next, sent)
			if arrived != (err == nil) || !arrived && pluginapi.KindOf(err) != pluginapi.NotFound {
				t.Fatalf("after ServerTastic must show it: %v", err)
			}
			if !arrived {
				if found.Order, err = r.Place(next); err != nil {
					t.Fatal(err)
				}
			}
			got, err := r.Finish(next, found.Order)
			if err != nil {
				t.Fatal(err)
			}
			r.CheckIssued(next, got)
			r.bought(1, 1)
		})
	}
}

// A reissue that somebody else's has replaced is not waited for without a word.
func TestReplacedReissue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Killed = false
	o := r.order("RapidSSL-12", "example.com")
	one := r.MustIssue(o)
	r.advance(24 * time.Hour)
	mine, other := r.Follow(pluginapi.Reissue, o, one), r.Follow(pluginapi.Reissue, o, one)
	at, err := r.Place(mine)
	if err != nil {
		t.Fatal(err)
	}
	r.advance(48 * time.Hour)
	theirs, err := r.Place(other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Finish(other, theirs); err != nil {
		t.Fatal(err)
	}
	_, err = r.Instance().GetOrder(t.Context(), r.Placed(mine, at))
	if pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), "reissued by somebody else") {
		t.Errorf("got %v", err)
	}
	if got, err := r.Instance().CancelOrder(t.Context(), r.Placed(mine, at), ""); err != nil || got.Order.Status != pluginapi.Canceled || r.only().Status == "Cancelled" {
		t.Errorf("canceled: %s, %v", got.Order.Status, err)
	}
}
