package digicert

import (
	"testing"

	"github.com/certbridge/certbridged/internal/sandbox"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

// Every fault at every call of an order: it is issued all the same, and bought once.
func TestEveryFaultAtEveryCallOfAnOrder(t *testing.T) {
	cadrive.Matrix{Purchases: 2, FewestCalls: 6, Prepare: func(t testing.TB) cadrive.Case {
		r := newRig(t)
		other := r.MustIssue(r.order("ssl_dv_geotrust_flex", "other.example.com")) // for the wrong certificate
		return cadrive.Case{StandIn: r.server, Driver: r, Run: func() {
			got := r.MustIssue(r.order("ssl_dv_geotrust_flex", "shop.example.com"))
			if got.Reference == other.Reference {
				t.Error("the order of another certificate was taken for ours")
			}
		}}
	}}.Test(t)
}

// The same for a reissue, which has no mark at DigiCert: one purchase, and one reissue wherever the answer of the one
// call that asks for it can be told.
func TestEveryFaultAtEveryCallOfAReissue(t *testing.T) {
	cadrive.Matrix{Purchases: 1, Reissues: 1, FewestCalls: 6, Prepare: func(t testing.TB) cadrive.Case {
		r := newRig(t)
		first := r.order("ssl_dv_geotrust_flex", "shop.example.com")
		issued := r.MustIssue(first)
		return cadrive.Case{StandIn: r.server, Driver: r, Run: func() {
			r.MustIssue(r.Follow(pluginapi.Reissue, first, issued))
		}}
	}}.Test(t)
}

// With all answers in flipped types an order, its reissue and its revocation go as ever.
func TestAllTypesFlipped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.misbehave(sandbox.Misbehaviour{Kind: sandbox.FlipTypes, Times: -1})
	o := r.order("ssl_basic", "shop.example.com", "api.example.com")
	one := r.MustIssue(o)
	next := r.Follow(pluginapi.Reissue, o, one)
	two := r.MustIssue(next)
	r.bought(1, 1)
	found, err := r.Instance().FindOrderByCertificate(t.Context(), two.Chain[0])
	if err != nil || found.Order.Reference != one.Reference {
		t.Errorf("find by certificate: %s, %v", found.Order.Reference, err)
	}
	if _, err := r.Instance().RevokeCertificate(t.Context(), pluginapi.Revocation{Leaf: two.Chain[0], Reason: 4}); err != nil {
		t.Error(err)
	}
}

// An order whose answers are lost every time is bought once, however long that lasts.
func TestEveryAnswerOfThePaidCallIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.misbehave(sandbox.Misbehaviour{Method: "POST", Path: "/order/certificate/*", Kind: sandbox.Drop, After: true, Times: -1})
	r.MustIssue(r.order("ssl_dv_geotrust_flex", "shop.example.com"))
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
			if _, err := r.Instance().PlaceOrder(t.Context(), o); pluginapi.KindOf(err) != pluginapi.Unavailable {
				t.Errorf("PlaceOrder: %v", err)
			}
			if _, err := r.Instance().FindOrder(t.Context(), o, r.server.Now()); pluginapi.KindOf(err) != pluginapi.Unavailable {
				t.Errorf("FindOrder: %v", err)
			}
			r.bought(0, 0)
		})
	}
}
