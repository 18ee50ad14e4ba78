package tencent

import (
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/tencent"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

// Every fault at every call of an order: it is issued all the same, and bought once.
func TestEveryFaultAtEveryCallOfAnOrder(t *testing.T) {
	cadrive.Matrix{Purchases: 2, FewestCalls: 8, Prepare: func(t testing.TB) cadrive.Case {
		r := newRig(t, func(s *standin.Settings) { s.DetailPEM = standin.LeafInDetail }) // so that the archive is fetched, too
		other := r.MustIssue(r.Order(dv(dvOne), "other.example.com"))                    // for the wrong certificate
		return cadrive.Case{StandIn: r.server, Driver: r, Run: func() {
			got := r.MustIssue(r.Order(dv(dvOne), "shop.example.com"))
			if got.Reference == other.Reference {
				t.Error("the order of another certificate was taken for ours")
			}
		}}
	}}.Test(t)
}

// The same for a reissue, which has no mark at Tencent.
func TestEveryFaultAtEveryCallOfAReissue(t *testing.T) {
	cadrive.Matrix{Purchases: 1, Reissues: 1, FewestCalls: 7, Prepare: func(t testing.TB) cadrive.Case {
		r := newRig(t)
		first := r.Order(dv(dvOne), "shop.example.com")
		issued := r.MustIssue(first)
		return cadrive.Case{StandIn: r.server, Driver: r, Run: func() {
			r.MustIssue(r.Follow(pluginapi.Reissue, first, issued))
		}}
	}}.Test(t)
}

// A renewal looks at the certificate that it follows first.
func TestEveryLossAtEveryCallOfARenewal(t *testing.T) {
	losses := map[string]cadrive.Fault{}
	for name, f := range cadrive.Faults() {
		if f.Kill || f.Kind == sandbox.Drop || f.Kind == sandbox.OtherCertificate {
			losses[name] = f
		}
	}
	cadrive.Matrix{Purchases: 2, FewestCalls: 9, Faults: losses, Prepare: func(t testing.TB) cadrive.Case {
		r := newRig(t)
		first := r.Order(dv(dvOne), "shop.example.com")
		issued := r.MustIssue(first)
		return cadrive.Case{StandIn: r.server, Driver: r, Run: func() {
			r.MustIssue(r.Follow(pluginapi.Renew, first, issued))
		}}
	}}.Test(t)
}

// With all answers in flipped types an order, its reissue and its revocation go as ever.
func TestAllTypesFlipped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.misbehave(sandbox.Misbehaviour{Kind: sandbox.FlipTypes, Times: -1})
	o := r.Order(dv(dvMany), "shop.example.com", "api.example.com")
	one := r.MustIssue(o)
	two := r.MustIssue(r.Follow(pluginapi.Reissue, o, one))
	r.bought(1, 1)
	found, err := r.Instance().FindOrderByCertificate(t.Context(), two.Chain[0])
	if err != nil || found.Order.Reference != two.Reference {
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
	r.misbehave(sandbox.Misbehaviour{Path: "/CreateCertificate", Kind: sandbox.Drop, After: true, Times: -1})
	r.MustIssue(r.Order(dv(dvOne), "shop.example.com"))
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
			r.misbehave(sandbox.Misbehaviour{Path: "/DescribeCertificates", Times: -1, Kind: fault.Kind, Status: fault.Status})
			o := r.Order(dv(dvOne), "shop.example.com")
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

// A purchase whose tags are not to be seen: at first it is waited for them, and then a person decides.
func TestAPurchaseWithoutVisibleTags(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *standin.Settings) { s.TagsAfter = sandbox.Delay(time.Hour) })
	r.misbehave(sandbox.Misbehaviour{Path: "/CreateCertificate", Kind: sandbox.Drop, After: true})
	o := r.Order(dv(dvOne), "shop.example.com")
	sent := r.server.Now()
	if _, err := r.Instance().PlaceOrder(t.Context(), o); pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]pluginapi.ErrorKind{0: pluginapi.Unavailable, 20 * time.Minute: pluginapi.Unavailable, 31 * time.Minute: pluginapi.UnknownOutcome} {
		_, err := r.Instance().FindOrder(t.Context(), o, sent.Add(-after))
		if pluginapi.KindOf(err) != want {
			t.Errorf("after %s: %v, want %s", after, err, want)
		}
	}
	if err := r.server.Advance(2 * time.Hour); err != nil {
		t.Fatal(err)
	}
	found, err := r.Instance().FindOrder(t.Context(), o, sent)
	if err != nil || found.Order.Reference != r.server.Certificates()[0].ID {
		t.Errorf("with its tags: %v, %v", found.Order.Reference, err)
	}
	r.bought(1, 0)
}

// What another program has bought at the same time with a mark of its own is not this order's.
func TestOtherPurchasesAreNotOurs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.Place(r.Order(dv(dvOne), "other.example.com")); err != nil {
		t.Fatal(err)
	}
	_, err := r.Instance().FindOrder(t.Context(), r.Order(dv(dvOne), "shop.example.com"), r.server.Now().Add(-defaultFindSettle))
	if pluginapi.KindOf(err) != pluginapi.NotFound {
		t.Errorf("got %v", err)
	}
}
