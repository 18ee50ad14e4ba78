package digicert

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/request"
	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/digicert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

func (r *rig) processAll(approve bool) {
	r.t.Helper()
	for _, q := range r.server.Requests() {
		if q.Status == "pending" || q.Status == "submitted" {
			if err := r.server.Process(r.t.Context(), q.ID, approve, "by the test"); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// A reissue that waits for approval has no certificate that it could be told by, and its answer may be lost as well.
func TestReissueThatNeedsApproval(t *testing.T) {
	for name, lost := range map[string]bool{"answered": false, "its answer lost": true} {
		for what, approve := range map[string]bool{"approved": true, "rejected": false} {
			t.Run(name+", "+what, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				first := r.order("ssl_basic", "shop.example.com")
				issued := r.MustIssue(first)
				r.key = limitedKey
				if lost {
					r.misbehave(sandbox.Misbehaviour{Method: "POST", Path: "/order/certificate/*/reissue", Kind: sandbox.Drop, After: true})
				}
				o := r.Follow(pluginapi.Reissue, first, issued)
				got, err := r.Issue(o)
				if err != nil || got.Status != pluginapi.PendingApproval || got.Action == nil {
					t.Fatalf("got %s %q, %v", got.Status, got.Detail, err)
				}
				if !strings.Contains(got.Detail, "skip_approval") {
					t.Errorf("nothing explains why skip_approval does not help: %s", got.Detail)
				}
				r.bought(1, 1)
				r.processAll(approve)
				if got, err = r.Again(o, got); err != nil {
					t.Fatal(err)
				}
				if approve {
					r.CheckIssued(o, got)
				} else if got.Status != pluginapi.OrderRejected {
					t.Errorf("after the rejection: %s %s", got.Status, got.Detail)
				}
				r.bought(1, 1)
			})
		}
	}
}

func TestAnotherReissueIsUnderWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.order("ssl_dv_geotrust_flex", "shop.example.com")
	issued := r.MustIssue(first)
	mine := r.Follow(pluginapi.Reissue, first, issued)
	theirs := r.Follow(pluginapi.Reissue, first, issued)
	at, err := r.Place(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Instance().PlaceOrder(t.Context(), mine); pluginapi.KindOf(err) != pluginapi.Conflict {
		t.Errorf("while another is under way: %v", err)
	}
	if _, err := r.Instance().FindOrder(t.Context(), mine, time.Now()); pluginapi.KindOf(err) != pluginapi.NotFound {
		t.Errorf("find mine: %v", err)
	}
	if _, err := r.Finish(theirs, at); err != nil {
		t.Fatal(err)
	}
	r.MustIssue(mine)
	r.bought(1, 2)
}

// DigiCert has a window for renewals; outside of it the link is refused, and whether to buy without it is a person's
// decision.
func TestRenewalThatIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.order("ssl_dv_geotrust_flex", "shop.example.com")
	issued := r.MustIssue(first)
	o := r.Follow(pluginapi.Renew, first, issued)
	_, err := r.Issue(o)
	if pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), "link_renewals") {
		t.Errorf("got %v", err)
	}
	r.bought(1, 0)
	r.values["link_renewals"] = false
	r.MustIssue(o)
	r.bought(2, 0)
}

// An account may refuse a mark that is taken while it does not show the order yet.
func TestMarksThatAreUniqueAndSlow(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *standin.Settings) {
		s.UniqueAlternativeIDs, s.AlternateDelay = true, sandbox.Delay(time.Second)
	})
	r.misbehave(sandbox.Misbehaviour{Method: "POST", Path: "/order/certificate/*", Kind: sandbox.Drop, After: true})
	o := r.order("ssl_dv_geotrust_flex", "shop.example.com")
	if _, err := r.Instance().PlaceOrder(t.Context(), o); pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
		t.Fatalf("the answer was lost: %v", err)
	}
	if _, err := r.Instance().PlaceOrder(t.Context(), o); pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
		t.Errorf("the mark is taken, and nothing is to be seen: %v", err)
	}
	if err := r.server.Advance(2 * time.Second); err != nil {
		t.Fatal(err)
	}
	r.MustIssue(o)
	r.bought(1, 0)
}

// Where the look-up by mark lags behind, the list of orders is the second witness.
func TestAnOrderThatItsMarkDoesNotFind(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *standin.Settings) { s.AlternateDelay = sandbox.Delay(time.Hour) })
	r.MustIssue(r.order("ssl_dv_geotrust_flex", "shop.example.com"))
	r.misbehave(sandbox.Misbehaviour{Method: "POST", Path: "/order/certificate/*", Kind: sandbox.Drop, After: true})
	r.MustIssue(r.order("ssl_dv_geotrust_flex", "shop.example.com"))
	r.bought(2, 0)
}

func TestUnknownMarksAs404(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *standin.Settings) { s.UnknownAlternateIs404, s.CheckDCVFails = true, true })
	r.MustIssue(r.order("ssl_dv_geotrust_flex", "shop.example.com"))
	r.bought(1, 0)
}

func TestOrderByMail(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.order("ssl_dv_geotrust_flex", "shop.example.com")
	o.Settings.Values["dcv_method"] = request.MethodEmail
	at, err := r.Place(o)
	if err != nil {
		t.Fatal(err)
	}
	placed := pluginapi.PlacedOrder{OrderRequest: o, Reference: at.Reference, State: at.State}
	reply, err := r.Instance().GetOrder(t.Context(), placed)
	if err != nil {
		t.Fatal(err)
	}
	got := reply.Order
	if got.Status != pluginapi.PendingValidation || got.Action == nil || len(got.Authorizations) != 1 || got.Authorizations[0].Challenges[0].Email == nil {
		t.Fatalf("got %+v", got)
	}
	if err := r.server.FollowEmail(t.Context(), r.server.Orders()[0].ID, ""); err != nil {
		t.Fatal(err)
	}
	if got, err = r.Again(o, got); err != nil {
		t.Fatal(err)
	}
	r.CheckIssued(o, got)
}

// The value of an order that waits for long expires, and another is published in its place.
func TestRandomValueExpires(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.order("ssl_dv_geotrust_flex", "shop.example.com")
	at, err := r.Place(o)
	if err != nil {
		t.Fatal(err)
	}
	look := func() pluginapi.Order {
		reply, err := r.Instance().GetOrder(t.Context(), pluginapi.PlacedOrder{OrderRequest: o, Reference: at.Reference, State: at.State})
		if err != nil {
			t.Fatal(err)
		}
		at = reply.Order
		return at
	}
	before := look().Authorizations[0].Challenges[0]
	if same := look().Authorizations[0].Challenges[0]; same.ID != before.ID {
		t.Errorf("the challenge changed from %s to %s", before.ID, same.ID)
	}
	if err := r.server.Advance(31 * 24 * time.Hour); err != nil {
		t.Fatal(err)
	}
	// The daemon tells of what it published long ago: that is no answer any more.
	reply, err := r.Instance().RespondToChallenges(t.Context(), pluginapi.PlacedOrder{OrderRequest: o, Reference: at.Reference, State: at.State}, []string{before.ID})
	if err != nil {
		t.Fatal(err)
	}
	after := reply.Order.Authorizations[0].Challenges[0]
	if after.ID == before.ID || after.DNS.Value == before.DNS.Value {
		t.Errorf("after 31 days it is still %s", after.DNS.Value)
	}
	got, err := r.Finish(o, reply.Order)
	if err != nil {
		t.Fatal(err)
	}
	r.CheckIssued(o, got)
}

func TestOrganizationThatIsNotValidated(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.values["organization_id"] = int64(standin.PendingOrganization)
	o := r.order("ssl_basic", "shop.example.com")
	at, err := r.Place(o)
	if err != nil {
		t.Fatal(err)
	}
	told := false
	for range 10 {
		for _, a := range at.Authorizations {
			if c, ok := r.World.Choose(a); ok && !a.Valid {
				if _, err := r.World.Publish(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
		}
		placed := pluginapi.PlacedOrder{OrderRequest: o, Reference: at.Reference, State: at.State}
		ids := []string{}
		for _, a := range at.Authorizations {
			if c, ok := r.World.Choose(a); ok {
				ids = append(ids, c.ID)
			}
		}
		var reply pluginapi.OrderReply
		if len(ids) > 0 {
			reply, err = r.Instance().RespondToChallenges(t.Context(), placed, ids)
		} else {
			reply, err = r.Instance().GetOrder(t.Context(), placed)
		}
		if err != nil {
			t.Fatal(err)
		}
		at = reply.Order
		told = told || at.Action != nil && strings.Contains(at.Detail, "organization")
	}
	if at.Status == pluginapi.Issued || !told {
		t.Errorf("the order is %s: %s (%+v)", at.Status, at.Detail, at.Action)
	}
	if err := r.server.ValidateOrganization(t.Context(), standin.PendingOrganization, true, "ov"); err != nil {
		t.Fatal(err)
	}
	if at, err = r.Again(o, at); err != nil {
		t.Fatal(err)
	}
	r.CheckIssued(o, at)
}

func TestCancel(t *testing.T) {
	cancel := func(r *rig, o pluginapi.OrderRequest, at pluginapi.Order) (pluginapi.OrderReply, error) {
		return r.Instance().CancelOrder(t.Context(), pluginapi.PlacedOrder{OrderRequest: o, Reference: at.Reference, State: at.State}, "the test")
	}
	t.Run("an order", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		o := r.order("ssl_dv_geotrust_flex", "shop.example.com")
		at, err := r.Place(o)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if reply, err := cancel(r, o, at); err != nil || reply.Order.Status != pluginapi.Canceled {
				t.Errorf("got %s, %v", reply.Order.Status, err)
			}
		}
		if got, err := r.Again(o, at); err != nil || got.Status != pluginapi.Canceled {
			t.Errorf("afterwards: %s, %v", got.Status, err)
		}
	})
	t.Run("an order that waits for approval", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.key = limitedKey
		o := r.order("ssl_basic", "shop.example.com")
		at, err := r.Issue(o)
		if err != nil || at.Status != pluginapi.PendingApproval {
			t.Fatal(at.Status, err)
		}
		r.key = adminKey
		if reply, err := cancel(r, o, at); err != nil || reply.Order.Status != pluginapi.Canceled {
			t.Errorf("got %s, %v", reply.Order.Status, err)
		}
		if got, err := r.Again(o, at); err != nil || got.Status != pluginapi.Canceled && got.Status != pluginapi.OrderRejected {
			t.Errorf("afterwards: %s, %v", got.Status, err)
		}
	})
	t.Run("a reissue", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		first := r.order("ssl_dv_geotrust_flex", "shop.example.com")
		issued := r.MustIssue(first)
		o := r.Follow(pluginapi.Reissue, first, issued)
		at, err := r.Place(o)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if reply, err := cancel(r, o, at); err != nil && pluginapi.KindOf(err) != pluginapi.Conflict || err == nil && reply.Order.Status != pluginapi.Canceled && reply.Order.Status != pluginapi.OrderRejected {
				t.Errorf("got %s, %v", reply.Order.Status, err)
			}
		}
		if err := r.server.Advance(vanished + time.Minute); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Again(o, at); err != nil || got.Status != pluginapi.Canceled && got.Status != pluginapi.OrderRejected {
			t.Errorf("afterwards: %s %s, %v", got.Status, got.Detail, err)
		}
		r.MustIssue(r.Follow(pluginapi.Reissue, first, issued)) // the order is as it was
		r.bought(1, 2)
	})
	t.Run("what is issued", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		o := r.order("ssl_dv_geotrust_flex", "shop.example.com")
		at := r.MustIssue(o)
		if _, err := cancel(r, o, at); pluginapi.KindOf(err) != pluginapi.Conflict {
			t.Errorf("got %v", err)
		}
		next := r.Follow(pluginapi.Reissue, o, at)
		got := r.MustIssue(next)
		if _, err := cancel(r, next, got); pluginapi.KindOf(err) != pluginapi.Conflict {
			t.Errorf("a reissue: got %v", err)
		}
		if r.server.Orders()[0].Status != "issued" {
			t.Error("the order was canceled")
		}
	})
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.order("ssl_dv_geotrust_flex", "shop.example.com")
	issued := r.MustIssue(first)
	revoke := func(leaf []byte, reason int) (pluginapi.RevocationReply, error) {
		return r.Instance().RevokeCertificate(t.Context(), pluginapi.Revocation{Leaf: leaf, Reason: reason})
	}
	if _, err := revoke(issued.Chain[0], 9); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
		t.Errorf("a reason that DigiCert does not know: %v", err)
	}
	r.key = limitedKey
	for range 2 {
		reply, err := revoke(issued.Chain[0], 4)
		if err != nil || reply.Action == nil {
			t.Fatalf("without the right to: %+v, %v", reply, err)
		}
	}
	if got, err := r.Again(first, issued); err != nil || got.Status != pluginapi.Issued {
		t.Errorf("while nobody has approved: %s, %v", got.Status, err)
	}
	if n := len(r.server.Requests()); n != 1 {
		t.Errorf("%d requests to revoke", n)
	}
	r.key = adminKey
	r.processAll(false)
	next := r.Follow(pluginapi.Reissue, first, issued)
	at, err := r.Place(next)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := revoke(issued.Chain[0], 4); pluginapi.KindOf(err) != pluginapi.Conflict {
		t.Errorf("while a reissue is under way: %v", err)
	}
	if at, err = r.Finish(next, at); err != nil {
		t.Fatal(err)
	}
	if _, err := revoke(at.Chain[0], 4); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Again(next, at); err != nil || got.Status != pluginapi.OrderRejected {
		t.Errorf("a certificate that was revoked meanwhile: %s, %v", got.Status, err)
	}
	for range 2 {
		if reply, err := revoke(issued.Chain[0], 1); err != nil || reply.Action != nil {
			t.Errorf("got %+v, %v", reply, err)
		}
	}
	if l := r.server.Ledger(); l.Count(sandbox.Revoke) != 2 {
		t.Errorf("%d revocations", l.Count(sandbox.Revoke))
	}
	if r.server.Orders()[0].Status != "issued" {
		t.Error("the whole order was revoked")
	}
}

func TestFindByCertificate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.order("ssl_dv_geotrust_flex", "shop.example.com")
	one := r.MustIssue(first)
	second := r.Follow(pluginapi.Reissue, first, one)
	two := r.MustIssue(second)
	three := r.MustIssue(r.Follow(pluginapi.Reissue, second, two))
	other := r.order("ssl_dv_geotrust_flex", "shop.example.com") // another order for the same name
	another := r.MustIssue(other)
	for name, leaf := range map[string][]byte{"the primary": three.Chain[0], "an earlier one": two.Chain[0]} {
		reply, err := r.Instance().FindOrderByCertificate(t.Context(), leaf)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		o := reply.Order
		if o.Reference != one.Reference || o.Status != pluginapi.Issued || string(o.Chain[0]) != string(leaf) || o.CoverageEnd.IsZero() {
			t.Errorf("%s: order %s, %s, until %s", name, o.Reference, o.Status, o.CoverageEnd)
		}
		// What was found can be reissued: taking over costs nothing.
		next := r.Follow(pluginapi.Reissue, first, o)
		if name == "the primary" {
			r.MustIssue(next)
			r.bought(2, 3)
		}
	}
	// The first certificate is neither the primary one any more nor a reissue: as long as there is just one order that it
	// can be of, that is taken over and nothing is bought; then they are named, and a person decides.
	if reply, err := r.Instance().FindOrderByCertificate(t.Context(), one.Chain[0]); err != nil || reply.Order.Reference != one.Reference {
		t.Errorf("the first one: order %s, %v", reply.Order.Reference, err)
	}
	r.MustIssue(r.Follow(pluginapi.Reissue, other, another))
	if _, err := r.Instance().FindOrderByCertificate(t.Context(), one.Chain[0]); pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), one.Reference) {
		t.Errorf("the first one of two orders: %v", err)
	}
	before := time.Now().AddDate(0, 0, -4) // the orders were placed; of one with their dates nobody could tell
	stranger := cadrive.SelfSigned(t, cadrive.NewKey(t), "shop.example.com", 77, before)
	if _, err := r.Instance().FindOrderByCertificate(t.Context(), stranger.Raw); pluginapi.KindOf(err) != pluginapi.NotFound {
		t.Errorf("a stranger: %v", err)
	}
}

func TestPreflight(t *testing.T) {
	order := func(values map[string]any) pluginapi.Settings {
		all := map[string]any{"product": "ssl_basic", "order_validity": map[string]any{"years": int64(1)}}
		for k, v := range values {
			all[k] = v
		}
		return pluginapi.Settings{Values: all}
	}
	for name, c := range map[string]struct {
		key      string
		values   map[string]any
		order    pluginapi.Settings
		field    string // of what must be found
		severity pluginapi.Severity
	}{
		"all is well":                  {adminKey, nil, order(nil), "api_key", pluginapi.Info},
		"a wrong key":                  {"NO-SUCH-KEY", nil, order(nil), "api_key", pluginapi.Fault},
		"an unknown product":           {adminKey, nil, order(map[string]any{"product": "ssl_no_such_flex"}), "product", pluginapi.Fault},
		"an unknown organization":      {adminKey, map[string]any{"organization_id": int64(1)}, order(nil), "organization_id", pluginapi.Fault},
		"an organization not valid":    {adminKey, map[string]any{"organization_id": int64(standin.PendingOrganization)}, order(nil), "organization_id", pluginapi.Warning},
		"a key that may not skip":      {limitedKey, map[string]any{"skip_approval": true}, order(nil), "skip_approval", pluginapi.Warning},
		"a mistake in order settings":  {adminKey, nil, order(map[string]any{"no_such_setting": true}), "no_such_setting", pluginapi.Fault},
		"a path that is not the API's": {adminKey, map[string]any{"base_url": "http://127.0.0.1:1/"}, order(nil), "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.key = c.key
			for k, v := range c.values {
				r.values[k] = v
			}
			reply, err := r.Instance().Preflight(t.Context(), []pluginapi.Settings{c.order})
			if c.severity == 0 {
				if pluginapi.KindOf(err) != pluginapi.Unavailable {
					t.Errorf("got %v, %v", reply.Findings, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range reply.Findings {
				ofOrder := c.field == "product" || c.field == "no_such_setting"
				found = found || f.Field == c.field && f.Severity == c.severity && (f.Order == 1) == ofOrder
				if f.Severity == pluginapi.Fault && c.severity != pluginapi.Fault {
					t.Errorf("a fault: %s: %s", f.Field, f.Message)
				}
			}
			if !found {
				t.Errorf("no %s about %q in %v", c.severity, c.field, reply.Findings)
			}
			r.bought(0, 0)
		})
	}
}

// An AuthKey's request token is published and found like a random value.
func TestAuthKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id, text := r.newAuthKey(t.Context())
	o := r.order("ssl_dv_geotrust_flex", "shop.example.com", "api.example.com")
	o.Settings.Values["dcv_method"], o.Settings.Values["use_auth_key"], o.Settings.Values["auth_key_id"] = request.MethodAuthKey, true, id
	o.Settings.Secrets = map[string]pluginapi.Secret{request.SecretAuthKey: pluginapi.NewSecret(text)}
	r.MustIssue(o)
	r.bought(1, 0)
	if r.World.Published(pluginapi.PublishTXT) != 2 {
		t.Errorf("%d records", r.World.Published(pluginapi.PublishTXT))
	}
}

// newAuthKey makes an AuthKey, as an administrator does by the API.
func (r *rig) newAuthKey(ctx context.Context) (id, text string) {
	r.t.Helper()
	made := struct {
		ID   string `json:"auth_key_id"`
		Text string `json:"auth_key"`
	}{}
	r.post(ctx, "/account/auth-key", &made)
	return made.ID, made.Text
}
