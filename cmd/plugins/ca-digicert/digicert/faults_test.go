package digicert

import (
	"fmt"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// slow is longer than the rig waits for one answer.
const slow = 1500 * time.Millisecond

// faults are the ways in which a call can go wrong, before the work is done and after it.
func faults() map[string]sandbox.Misbehaviour {
	return map[string]sandbox.Misbehaviour{
		"dropped before":      {Kind: sandbox.Drop},
		"dropped after":       {Kind: sandbox.Drop, After: true},
		"reset before":        {Kind: sandbox.Reset},
		"reset after":         {Kind: sandbox.Reset, After: true},
		"429":                 {Kind: sandbox.RateLimited, RetryAfter: "1"},
		"500 before":          {Kind: sandbox.ServerError, Status: 500},
		"503 after":           {Kind: sandbox.ServerError, After: true},
		"HTML, 200, before":   {Kind: sandbox.HTML},
		"HTML, 200, after":    {Kind: sandbox.HTML, After: true},
		"HTML, 502, after":    {Kind: sandbox.HTML, Status: 502, After: true},
		"HTML, 400, after":    {Kind: sandbox.HTML, Status: 400, After: true},
		"truncated":           {Kind: sandbox.Truncated},
		"cut off":             {Kind: sandbox.Cut},
		"slow":                {Kind: sandbox.Slow, Delay: sandbox.Delay(slow)}, // the client gives up, and then the work is done
		"types flipped":       {Kind: sandbox.FlipTypes},
		"another certificate": {Kind: sandbox.OtherCertificate},
	}
}

// misbehaveAt makes the call with a number from now on go wrong.
func (r *rig) misbehaveAt(at int, fault sandbox.Misbehaviour) {
	r.t.Helper()
	fault.Skip, r.settle = at, time.Duration(fault.Delay)
	r.misbehave(fault)
}

// misbehaved holds that the call that was to go wrong did so.
func (r *rig) misbehaved() {
	r.t.Helper()
	for _, c := range r.server.Calls() {
		if c.Misbehaved != "" {
			return
		}
	}
	r.t.Error("nothing went wrong")
}

// Every fault at every call of an order: it is issued all the same, and bought once.
func TestEveryFaultAtEveryCallOfAnOrder(t *testing.T) {
	clean := newRig(t)
	clean.mustIssue(clean.order("ssl_dv_geotrust_flex", "shop.example.com"))
	calls := len(clean.server.Calls())
	if calls < 6 {
		t.Fatalf("an order takes only %d calls", calls)
	}
	runs := 0
	for name, fault := range faults() {
		for at := range calls {
			runs++
			t.Run(fmt.Sprintf("%s at call %d", name, at+1), func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				other := r.mustIssue(r.order("ssl_dv_geotrust_flex", "other.example.com")) // for the wrong certificate
				r.misbehaveAt(at, fault)
				got := r.mustIssue(r.order("ssl_dv_geotrust_flex", "shop.example.com"))
				r.bought(2, 0)
				r.misbehaved()
				if got.Reference == other.Reference {
					t.Error("the order of another certificate was taken for ours")
				}
			})
		}
	}
	t.Cleanup(func() { // when all runs are through
		if !t.Failed() {
			t.Logf("%d runs, 1 purchase in each", runs)
		}
	})
}

// The same for a reissue, which has no mark at DigiCert: one purchase, and one reissue wherever the answer of the one
// call that asks for it can be told.
func TestEveryFaultAtEveryCallOfAReissue(t *testing.T) {
	clean := newRig(t)
	first := clean.order("ssl_dv_geotrust_flex", "shop.example.com")
	issued := clean.mustIssue(first)
	before := len(clean.server.Calls())
	clean.mustIssue(clean.follow(pluginapi.Reissue, first, issued))
	calls := len(clean.server.Calls()) - before
	if calls < 6 {
		t.Fatalf("a reissue takes only %d calls", calls)
	}
	runs := 0
	for name, fault := range faults() {
		for at := range calls {
			runs++
			t.Run(fmt.Sprintf("%s at call %d", name, at+1), func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				first := r.order("ssl_dv_geotrust_flex", "shop.example.com")
				issued := r.mustIssue(first)
				r.misbehaveAt(at, fault)
				r.mustIssue(r.follow(pluginapi.Reissue, first, issued))
				r.bought(1, 1)
				r.misbehaved()
			})
		}
	}
	t.Cleanup(func() { // when all runs are through
		if !t.Failed() {
			t.Logf("%d runs, 1 purchase and 1 reissue in each", runs)
		}
	})
}

// With all answers in flipped types an order, its reissue and its revocation go as ever.
func TestAllTypesFlipped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.misbehave(sandbox.Misbehaviour{Kind: sandbox.FlipTypes, Times: -1})
	o := r.order("ssl_basic", "shop.example.com", "api.example.com")
	one := r.mustIssue(o)
	next := r.follow(pluginapi.Reissue, o, one)
	two := r.mustIssue(next)
	r.bought(1, 1)
	found, err := r.instance().FindOrderByCertificate(t.Context(), two.Chain[0])
	if err != nil || found.Order.Reference != one.Reference {
		t.Errorf("find by certificate: %s, %v", found.Order.Reference, err)
	}
	if _, err := r.instance().RevokeCertificate(t.Context(), pluginapi.Revocation{Leaf: two.Chain[0], Reason: 4}); err != nil {
		t.Error(err)
	}
}

// An order whose answers are lost every time is bought once, however long that lasts.
func TestEveryAnswerOfThePaidCallIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.misbehave(sandbox.Misbehaviour{Method: "POST", Path: "/order/certificate/*", Kind: sandbox.Drop, After: true, Times: -1})
	r.mustIssue(r.order("ssl_dv_geotrust_flex", "shop.example.com"))
	r.bought(1, 0)
}

// Where the look-up cannot tell either, nothing is bought on a guess.
func TestNothingIsBoughtWithoutALookUp(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sandbox.Misbehaviour{
		"HTML":    {Kind: sandbox.HTML},
		"404":     {Kind: sandbox.HTML, Status: 404},
		"dropped": {Kind: sandbox.Drop},
		"500":     {Kind: sandbox.ServerError, Status: 500},
		"half":    {Kind: sandbox.Truncated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.misbehave(sandbox.Misbehaviour{Path: "/order/alternate/*", Times: -1, Kind: fault.Kind, Status: fault.Status})
			o := r.order("ssl_dv_geotrust_flex", "shop.example.com")
			if _, err := r.instance().PlaceOrder(t.Context(), o); pluginapi.KindOf(err) != pluginapi.Unavailable {
				t.Errorf("PlaceOrder: %v", err)
			}
			if _, err := r.instance().FindOrder(t.Context(), o, r.server.Now()); pluginapi.KindOf(err) != pluginapi.Unavailable {
				t.Errorf("FindOrder: %v", err)
			}
			r.bought(0, 0)
		})
	}
}
