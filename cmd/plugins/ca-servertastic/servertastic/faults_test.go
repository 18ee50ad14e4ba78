package servertastic

import (
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/servertastic"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

// Every fault at every call of an order: it is issued all the same, and bought once.
func TestEveryFaultAtEveryCallOfAnOrder(t *testing.T) {
	most := cadrive.Faults()
	another := map[string]cadrive.Fault{"another certificate": most["another certificate"]}
	delete(most, "another certificate")
	for name, c := range map[string]struct {
		product string
		killed  bool
		before  int // orders before
		faults  map[string]cadrive.Fault
	}{
		"a plugin that lives":   {product: "RapidSSL-12", faults: most},
		"killed every time":     {product: "PositiveSSL-12", killed: true, faults: lost()},
		"somebody else's order": {product: "PositiveSSL-12", before: 1, faults: another},
	} {
		t.Run(name, func(t *testing.T) {
			cadrive.Matrix{Purchases: 1 + c.before, FewestCalls: 8, Faults: c.faults, Prepare: func(t testing.TB) cadrive.Case {
				r := newRig(t)
				r.Killed, r.values["request_timeout"] = c.killed, "1s"
				for range c.before {
					r.MustIssue(r.order(c.product, "other.example.com"))
				}
				return cadrive.Case{StandIn: r.server, Driver: r, Run: func() { r.MustIssue(r.order(c.product, "example.com")) }}
			}}.Test(t)
		})
	}
}

// lost are the faults after which nobody knows what was done.
func lost() map[string]cadrive.Fault {
	all := cadrive.Faults()
	return map[string]cadrive.Fault{"dropped after": all["dropped after"], "dropped before": all["dropped before"], "killed after": all["killed after"], "killed before": all["killed before"], "HTML, 200, after": all["HTML, 200, after"]}
}

// The same for a reissue, which has no mark: one purchase, and one reissue wherever it can be told.
func TestEveryFaultAtEveryCallOfAReissue(t *testing.T) {
	for _, product := range []string{"RapidSSL-12", "PositiveSSL-12"} {
		t.Run(product, func(t *testing.T) {
			faults := lost()
			if product == "RapidSSL-12" {
				faults = nil
			}
			cadrive.Matrix{Purchases: 1, Reissues: 1, FewestCalls: 5, Faults: faults, Prepare: func(t testing.TB) cadrive.Case {
				r := newRig(t)
				r.Killed, r.values["request_timeout"] = false, "1s"
				o := r.order(product, "example.com")
				issued := r.MustIssue(o)
				return cadrive.Case{StandIn: r.server, Driver: r, Run: func() { r.MustIssue(r.Follow(pluginapi.Reissue, o, issued)) }}
			}}.Test(t)
		})
	}
}

// With all answers in flipped types an order and its reissue go as ever.
func TestAllTypesFlipped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.misbehave(sandbox.Misbehaviour{Kind: sandbox.FlipTypes, Times: -1})
	o := r.order("RapidSSL-12", "example.com", "www.example.com")
	one := r.MustIssue(o)
	r.MustIssue(r.Follow(pluginapi.Reissue, o, one))
	r.bought(1, 1)
	found, err := r.Instance().FindOrderByCertificate(t.Context(), one.Chain[0])
	if err != nil || found.Order.Reference != one.Reference {
		t.Errorf("find by certificate: %s, %v", found.Order.Reference, err)
	}
}

// An order whose answers are lost every time is bought once, however long that lasts; and a reference that the API takes
// twice is never sent while the first may have arrived.
func TestEveryAnswerOfThePaidCallIsLost(t *testing.T) {
	for _, duplicate := range []string{"refuse", "token", "allow"} {
		t.Run(duplicate, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(s *standin.Settings) { s.DuplicateReference = duplicate })
			r.misbehave(sandbox.Misbehaviour{Path: "/order/generatetoken.json", Kind: sandbox.Drop, After: true, Times: -1})
			r.MustIssue(r.order("RapidSSL-12", "example.com"))
			r.bought(1, 0)
		})
	}
}

// A token that showtokens does not have yet is not bought again, whatever a reference that was used does.
func TestTokensThatShowLate(t *testing.T) {
	for _, duplicate := range []string{"refuse", "token", "allow"} {
		t.Run(duplicate, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(s *standin.Settings) {
				s.TokensDelay, s.DuplicateReference = sandbox.Delay(30*time.Second), duplicate
			})
			o := r.order("RapidSSL-12", "example.com")
			r.misbehave(sandbox.Misbehaviour{Path: "/order/generatetoken.json", Kind: sandbox.Drop, After: true})
			sent := r.server.Now()
			if _, err := r.Instance().PlaceOrder(t.Context(), o); pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
				t.Fatalf("PlaceOrder: %v", err)
			}
			if _, err := r.Instance().FindOrder(t.Context(), o, sent); pluginapi.KindOf(err) != pluginapi.NotFound {
				t.Errorf("FindOrder, too early: %v", err)
			}
			if duplicate == "refuse" {
				// Whoever asks for it again all the same is told that it is not known, not that it failed.
				if _, err := r.Instance().PlaceOrder(t.Context(), o); pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
					t.Errorf("PlaceOrder again: %v", err)
				}
			}
			about, err := r.Instance().Describe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r.advance(about.FindOrderSettle) // so that the daemon asks once more, before anything is sent again
			found, err := r.Instance().FindOrder(t.Context(), o, sent)
			if err != nil {
				t.Fatal(err)
			}
			if !found.Order.CoverageEnd.Equal(sent.AddDate(1, 0, 0).UTC().Truncate(time.Second)) {
				t.Errorf("the term begins with the call that was lost, and ends %s", found.Order.CoverageEnd)
			}
			r.bought(1, 0)
		})
	}
}

// Where the look-up cannot tell either, nothing is bought on a guess.
func TestNothingIsBoughtWithoutALookUp(t *testing.T) {
	for name, fault := range map[string]sandbox.Misbehaviour{
		"HTML": {Kind: sandbox.HTML}, "404": {Kind: sandbox.HTML, Status: 404}, "dropped": {Kind: sandbox.Drop},
		"500": {Kind: sandbox.ServerError, Status: 500}, "half": {Kind: sandbox.Truncated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			fault.Path, fault.Times = "/order/showtokens.json", -1
			r.misbehave(fault)
			o := r.order("RapidSSL-12", "example.com")
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
