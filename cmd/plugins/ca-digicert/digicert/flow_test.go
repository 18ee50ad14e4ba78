package digicert

import (
	"testing"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/request"
	standin "github.com/certbridge/certbridged/internal/sandbox/digicert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

func TestDVOrder(t *testing.T) {
	for name, c := range map[string]struct {
		names     []string
		product   string
		set       string
		refused   []pluginapi.PublishAbility
		types     []pluginapi.ChallengeType
		published pluginapi.PublishAbility
	}{
		"records":                         {names: []string{"shop.example.com", "api.example.com"}, published: pluginapi.PublishTXT},
		"a wildcard":                      {names: []string{"*.example.com", "example.com"}, published: pluginapi.PublishTXT},
		"a wildcard product":              {names: []string{"example.com", "*.example.com"}, product: "wildcard_dv_geotrust", published: pluginapi.PublishTXT},
		"files":                           {names: []string{"shop.example.com", "api.example.com"}, types: []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}, published: pluginapi.PublishFile},
		"CNAME records, as set":           {names: []string{"shop.example.com"}, set: request.MethodCNAME, published: pluginapi.PublishCNAME},
		"a profile for CNAME alone":       {names: []string{"shop.example.com"}, refused: []pluginapi.PublishAbility{pluginapi.PublishTXT}, published: pluginapi.PublishCNAME},
		"a profile that changed its mind": {names: []string{"shop.example.com", "api.example.com"}, refused: []pluginapi.PublishAbility{pluginapi.PublishTXT, pluginapi.PublishCNAME}, published: pluginapi.PublishFile},
	} {
		for _, forgetful := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				r.Forgetful = forgetful
				r.World.Refuse(c.refused...)
				product := c.product
				if product == "" {
					product = "ssl_dv_geotrust_flex"
				}
				o := r.order(product, c.names...)
				if c.set != "" {
					o.Settings.Values["dcv_method"] = c.set
				}
				if c.types != nil {
					for i := range o.Identifiers {
						o.Identifiers[i].ChallengeTypes = c.types
					}
				}
				got := r.MustIssue(o)
				r.bought(1, 0)
				if r.World.Published(c.published) == 0 {
					t.Errorf("nothing was published as %s", c.published)
				}
				if got.CoverageEnd.IsZero() {
					t.Error("the end of the plan is missing")
				}
			})
		}
	}
}

func TestOVOrderWithoutValidation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.MustIssue(r.order("ssl_basic", "shop.example.com"))
	before := r.World.Published(pluginapi.PublishTXT)
	r.MustIssue(r.order("ssl_basic", "shop.example.com"))
	if r.World.Published(pluginapi.PublishTXT) != before || before == 0 {
		t.Errorf("%d records for the first order, %d for both: a validated domain is used again", before, r.World.Published(pluginapi.PublishTXT))
	}
	r.bought(2, 0)
}

func TestReissueAndRenew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.order("ssl_dv_geotrust_flex", "shop.example.com")
	one := r.MustIssue(first)
	second := r.Follow(pluginapi.Reissue, first, one)
	two := r.MustIssue(second)
	third := r.Follow(pluginapi.Reissue, second, two)
	three := r.MustIssue(third)
	if two.Reference != one.Reference || three.Reference != one.Reference {
		t.Errorf("references %s, %s, %s", one.Reference, two.Reference, three.Reference)
	}
	r.bought(1, 2)
	if err := r.server.Advance(320 * 24 * time.Hour); err != nil {
		t.Fatal(err)
	}
	renewal := r.Follow(pluginapi.Renew, third, three)
	four := r.MustIssue(renewal)
	r.bought(2, 2)
	if four.Reference == one.Reference {
		t.Error("a renewal is another order")
	}
	for _, e := range r.server.Ledger().Entries {
		if e.Order == four.Reference && e.Kind == "purchase" && e.Renews != one.Reference {
			t.Errorf("the renewal is linked to %q, not %s", e.Renews, one.Reference)
		}
	}
}

// A key that is kept makes the requests of all generations look alike.
func TestReissueWithTheSameKey(t *testing.T) {
	t.Parallel()
	for _, forgetful := range []bool{false, true} {
		r := newRig(t)
		r.Forgetful = forgetful
		key := cadrive.NewKey(t)
		o := r.orderWithKey(key, "ssl_dv_geotrust_flex", "shop.example.com")
		got := r.MustIssue(o)
		for range 3 {
			next := r.orderWithKey(key, "ssl_dv_geotrust_flex", "shop.example.com")
			next.Kind, next.CSR = pluginapi.Reissue, o.CSR
			next.Previous = cadrive.Previous(got)
			got = r.MustIssue(next)
		}
		r.bought(1, 3)
	}
}

func TestApproval(t *testing.T) {
	for _, how := range []standin.Approval{standin.ApproveByHand, standin.ApproveTwice} {
		for _, approve := range []bool{true, false} {
			t.Run(string(how), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, func(s *standin.Settings) { s.Approval = how })
				r.key = limitedKey
				o := r.order("ssl_basic", "shop.example.com")
				got, err := r.Issue(o)
				if err != nil || got.Status != pluginapi.PendingApproval || got.Action == nil || got.Action.URL == "" {
					t.Fatalf("got %s, %+v, %v", got.Status, got.Action, err)
				}
				for _, q := range r.server.Requests() {
					for range map[standin.Approval]int{standin.ApproveByHand: 1, standin.ApproveTwice: 2}[how] {
						if err := r.server.Process(t.Context(), q.ID, approve, "by the test"); err != nil {
							t.Fatal(err)
						}
						if !approve {
							break
						}
					}
				}
				got, err = r.Finish(o, pluginapi.Order{Reference: got.Reference, State: got.State, Status: pluginapi.Processing})
				if err != nil {
					t.Fatal(err)
				}
				if approve {
					r.CheckIssued(o, got)
				} else if got.Status != pluginapi.OrderRejected && got.Status != pluginapi.Canceled {
					t.Errorf("after a rejection: %s", got.Status)
				}
				r.bought(1, 0)
			})
		}
	}
}
