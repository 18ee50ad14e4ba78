package servertastic

import (
	"context"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/servertastic"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

// Every status has a sentence for people, and a meaning.
func TestStatuses(t *testing.T) {
	for _, c := range []struct {
		status string // as the API tells it
		want   pluginapi.OrderStatus
		says   string
		person bool
	}{
		{"Awaiting Customer Verification", pluginapi.PendingValidation, "waits until control over its names is shown", false},
		{"awaiting  customer verification ", pluginapi.PendingValidation, "waits until control over its names is shown", false},
		{"Awaiting Provider Approval", pluginapi.PendingValidation, "waits until control over its names is shown", false}, // DV: the record is still wanted
		{"Queued", pluginapi.Processing, "do not cancel this one", false},
		{"Servertastic Review", pluginapi.Processing, "ServerTastic holds order", true},
		{"ServerTastic Review", pluginapi.Processing, "ServerTastic holds order", true},
		{"Cancelled", pluginapi.Canceled, "is canceled at ServerTastic", false},
		{"Roll Back", pluginapi.OrderRejected, "rolled back", false},
		{"On The Moon", pluginapi.Processing, `is "On The Moon" at ServerTastic, which is not known here`, false},
	} {
		t.Run(c.status, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Killed = false
			o := r.order("RapidSSL-12", "example.com")
			at := r.placed(o)
			if err := r.server.SetStatus(t.Context(), r.only().ID, c.status, "token=abcdefgh and words"); err != nil {
				t.Fatal(err)
			}
			r.advance(10 * time.Minute)
			got, err := r.Instance().GetOrder(t.Context(), r.Placed(o, at))
			if err != nil {
				t.Fatal(err)
			}
			if got.Order.Status != c.want || !strings.Contains(got.Order.Detail, c.says) || (got.Order.Action != nil) != c.person {
				t.Errorf("%s, %+v: %s", got.Order.Status, got.Order.Action, got.Order.Detail)
			}
			if !strings.Contains(got.Order.Detail, "and words") || strings.Contains(got.Order.Detail, "abcdefgh") {
				t.Errorf("what ServerTastic says further: %s", got.Order.Detail)
			}
		})
	}
}

// placed takes an order to where it is placed.
func (r *rig) placed(o pluginapi.OrderRequest) pluginapi.Order {
	r.t.Helper()
	at, err := r.Place(o)
	if err != nil {
		r.t.Fatal(err)
	}
	for range 10 {
		if r.only().Placed {
			return at
		}
		reply, err := r.Instance().GetOrder(r.t.Context(), r.Placed(o, at))
		if err != nil {
			r.t.Fatal(err)
		}
		at = reply.Order
	}
	r.t.Fatal("the order is not placed")
	return at
}

func TestCancel(t *testing.T) {
	for name, steps := range map[string]int{"not placed yet": 0, "placed": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Killed = false
			o := r.order("RapidSSL-12", "example.com")
			before := r.server.Points()
			at, err := r.Place(o)
			if err != nil {
				t.Fatal(err)
			}
			if steps > 0 {
				at = r.placed(o)
			}
			for range 2 { // it is safe to repeat
				got, err := r.Instance().CancelOrder(t.Context(), r.Placed(o, at), "no more")
				if err != nil || got.Order.Status != pluginapi.Canceled {
					t.Fatalf("%s, %v", got.Order.Status, err)
				}
			}
			r.advance(10 * time.Minute)
			got, err := r.Instance().GetOrder(t.Context(), r.Placed(o, at))
			if err != nil || got.Order.Status != pluginapi.Canceled {
				t.Errorf("afterwards: %s, %v", got.Order.Status, err)
			}
			if r.server.Points() != before {
				t.Errorf("%d points before, %d after", before, r.server.Points())
			}
		})
	}
	t.Run("issued", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		o := r.order("RapidSSL-12", "example.com")
		at := r.MustIssue(o)
		if _, err := r.Instance().CancelOrder(t.Context(), r.Placed(o, at), ""); pluginapi.KindOf(err) != pluginapi.Conflict {
			t.Errorf("got %v", err)
		}
		next := r.Follow(pluginapi.Reissue, o, at)
		begun, err := r.Place(next)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Instance().CancelOrder(t.Context(), r.Placed(next, begun), "")
		if err != nil || got.Order.Status != pluginapi.Canceled || r.only().Status == "Cancelled" {
			t.Errorf("a reissue: %s, %v; the order is %s", got.Order.Status, err, r.only().Status)
		}
	})
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.order("RapidSSL-12", "example.com")
	one := r.MustIssue(o)
	revoke := func(at pluginapi.Order, known bool) (pluginapi.RevocationReply, error) {
		revocation := pluginapi.Revocation{Leaf: at.Chain[0], Reason: 4}
		if known {
			revocation.Order = cadrive.Previous(at)
		}
		return r.Instance().RevokeCertificate(t.Context(), revocation)
	}
	r.advance(24 * time.Hour)
	two := r.MustIssue(r.Follow(pluginapi.Reissue, o, one))
	for _, at := range []pluginapi.Order{one, two} {
		if _, err := revoke(at, true); pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), "has another certificate that is good") {
			t.Errorf("one of two certificates of the order: %v", err)
		}
	}
	r = newRig(t)
	two = r.MustIssue(r.order("RapidSSL-12", "example.com"))
	for _, known := range []bool{true, false} {
		reply, err := revoke(two, known)
		if err != nil || reply.Action == nil || !strings.Contains(reply.Action.Who, "administrative contact") {
			t.Errorf("got %+v, %v", reply, err)
		}
	}
	if err := r.server.ApproveCancel(t.Context(), r.only().ID); err != nil {
		t.Fatal(err)
	}
	r.advance(10 * time.Minute)
	if now, err := r.Instance().InspectOrder(t.Context(), two.Reference, nil); err != nil || now.Order.Status != pluginapi.Canceled {
		t.Errorf("inspected: %s, %v", now.Order.Status, err)
	}
	if reply, err := revoke(two, true); err != nil || reply.Action != nil {
		t.Errorf("revoked already: %+v, %v", reply, err)
	}

	late := newRig(t)
	three := late.MustIssue(late.order("RapidSSL-12", "example.com"))
	late.advance(31 * 24 * time.Hour)
	_, err := late.Instance().RevokeCertificate(t.Context(), pluginapi.Revocation{Leaf: three.Chain[0], Order: cadrive.Previous(three)})
	if pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), "31 days ago") {
		t.Errorf("after a month: %v", err)
	}
}

func TestPreflight(t *testing.T) {
	for name, c := range map[string]struct {
		prepare  func(*testing.T, *rig)
		orders   []pluginapi.Settings
		severity pluginapi.Severity
		field    string
		says     string
	}{
		"all is well":     {orders: []pluginapi.Settings{settings("RapidSSL-12", nil)}, severity: pluginapi.Info, field: "st_product_code", says: "costs 10 points"},
		"the points":      {severity: pluginapi.Info, field: "api_key", says: "100000 points"},
		"a wrong key":     {prepare: func(_ *testing.T, r *rig) { r.key = "another-key" }, severity: pluginapi.Fault, field: "api_key", says: "check api_key"},
		"a wrong address": {prepare: func(_ *testing.T, r *rig) { r.values["base_url"] = r.url + "/v9" }, severity: pluginapi.Fault, field: "base_url", says: ""},
		"too few points": {prepare: func(t *testing.T, r *rig) {
			if err := r.server.SetPoints(3); err != nil {
				t.Fatal(err)
			}
		}, orders: []pluginapi.Settings{settings("RapidSSL-12", nil)}, severity: pluginapi.Warning, field: "st_product_code", says: "add points"},
		"an unknown product":    {orders: []pluginapi.Settings{settings("RapidSSL-24", nil)}, severity: pluginapi.Fault, field: "st_product_code", says: "is not on ServerTastic's list"},
		"settings at fault":     {orders: []pluginapi.Settings{settings("RapidSSL-12", map[string]any{"dv_auth_method": "EMAIL"})}, severity: pluginapi.Fault, field: "approver_email_address", says: "is missing"},
		"another validation":    {orders: []pluginapi.Settings{settings("RapidSSL-12", map[string]any{"validation": "ov"})}, severity: pluginapi.Fault, field: "validation", says: "validates RapidSSL-12 as DV"},
		"too many servers":      {orders: []pluginapi.Settings{settings("RapidSSL-12", map[string]any{"server_count": int64(3)})}, severity: pluginapi.Fault, field: "server_count", says: "at most 1"},
		"names not known":       {prepare: func(_ *testing.T, r *rig) { r.values["wire_names"] = map[string]any{} }, orders: []pluginapi.Settings{settings("RapidSSL-12", nil), settings("PositiveSSL-12", nil)}, severity: pluginapi.Warning, field: "sectigo_field_1", says: "stops once it is bought"},
		"a token that is known": {orders: []pluginapi.Settings{withToken(settings("RapidSSL-12", nil), "unknown-token")}, severity: pluginapi.Fault, field: "order_token", says: "does not know it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if c.prepare != nil {
				c.prepare(t, r)
			}
			reply, err := r.Instance().Preflight(t.Context(), c.orders)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range reply.Findings {
				if f.Severity == c.severity && f.Field == c.field && strings.Contains(f.Message, c.says) {
					r.bought(0, 0)
					return
				}
			}
			t.Errorf("got %+v", reply.Findings)
		})
	}
}

func withToken(s pluginapi.Settings, token string) pluginapi.Settings {
	s.Secrets = map[string]pluginapi.Secret{"order_token": pluginapi.NewSecret(token)}
	return s
}

// What cannot be ordered is refused before anything is bought, and says why.
func TestRefusedBeforeItIsBought(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*testing.T, *rig)
		product string
		set     map[string]any
		names   []string
		types   []pluginapi.ChallengeType
		mixed   bool // the first name has a profile for files
		kind    pluginapi.ErrorKind
		says    string
	}{
		"no points": {prepare: func(t *testing.T, r *rig) {
			if err := r.server.SetPoints(3); err != nil {
				t.Fatal(err)
			}
		}, kind: pluginapi.NeedsPerson, says: "the account has 3 points and RapidSSL-12 costs 10"},
		"a wrong key":             {prepare: func(_ *testing.T, r *rig) { r.key = "another-key" }, kind: pluginapi.Unauthorized, says: "check api_key"},
		"an unknown product":      {product: "RapidSSL-24", kind: pluginapi.InvalidRequest, says: "is not on ServerTastic's list"},
		"too many names":          {names: []string{"example.com", "example.org"}, kind: pluginapi.InvalidRequest, says: "takes 0 additional names"},
		"too many for the list":   {product: "SectigoSSL-12", names: strings.Fields("a.example b.example c.example d.example e.example f.example g.example h.example i.example j.example k.example l.example"), kind: pluginapi.InvalidRequest, says: "takes 10 additional names"},
		"a wildcard":              {names: []string{"*.example.com"}, kind: pluginapi.InvalidRequest, says: "RapidSSLWildcard-12"},
		"no wildcard":             {product: "RapidSSLWildcard-12", kind: pluginapi.InvalidRequest, says: "put the wildcard first"},
		"a file for a wildcard":   {product: "RapidSSLWildcard-12", names: []string{"*.example.com"}, types: []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}, kind: pluginapi.InvalidRequest, says: "no way can be published for all"},
		"an address":              {names: []string{"example.com", "192.0.2.1"}, kind: pluginapi.InvalidRequest, says: "IP addresses"},
		"wildcards among names":   {prepare: func(_ *testing.T, r *rig) { r.values["wire_names"] = map[string]any{} }, product: "SectigoSSL-12", names: []string{"example.com", "*.example.net"}, kind: pluginapi.InvalidRequest, says: "ask ServerTastic, or split the certificate"},
		"Sectigo's fields unset":  {product: "PositiveSSL-12", set: map[string]any{"sectigo_field_2": nil}, kind: pluginapi.InvalidRequest, says: "wants text"},
		"a file, one name":        {types: []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}, kind: pluginapi.InvalidRequest, says: "a file has to be on www.example.com, too"},
		"a file, one name, asked": {types: []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}, set: map[string]any{"dv_auth_method": "SFILE"}, kind: pluginapi.InvalidRequest, says: "SFILE needs the file on www.example.com, too"},
		"a file, records alone":   {set: map[string]any{"dv_auth_method": "FILE"}, names: []string{"example.com", "www.example.com"}, kind: pluginapi.InvalidRequest, says: "FILE takes files for every name, and the dcv profile publishes none for example.com, www.example.com"},
		"one name without files":  {set: map[string]any{"dv_auth_method": "SFILE"}, names: []string{"example.com", "www.example.com"}, mixed: true, kind: pluginapi.InvalidRequest, says: "publishes none for www.example.com"},
		"a record, files alone":   {set: map[string]any{"dv_auth_method": "DNS"}, types: []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}, kind: pluginapi.InvalidRequest, says: "DNS takes records for every name, and the dcv profile publishes none for example.com"},
		"fewer names than least":  {product: "QuickSSLPremiumMD-12", kind: pluginapi.InvalidRequest, says: "is for 4 additional names at least"},
		"an organization missing": {product: "TrueBizID-12", set: map[string]any{"org_name": " "}, kind: pluginapi.InvalidRequest, says: "is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if c.prepare != nil {
				c.prepare(t, r)
			}
			if c.types != nil {
				r.Types = c.types
			}
			product, names := c.product, c.names
			if product == "" {
				product = "RapidSSL-12"
			}
			if names == nil {
				names = []string{"example.com"}
			}
			o := r.Order(settings(product, c.set), names...)
			if c.mixed {
				o.Identifiers[0].ChallengeTypes = []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}
			}
			_, err := r.Place(o)
			if pluginapi.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %s: %v", pluginapi.KindOf(err), err)
			}
			r.bought(0, 0)
		})
	}
}

// What the API calls by names that nobody knows stops an order before it is placed, names what there is, and goes on when
// somebody has said it.
func TestNamesThatNobodyKnows(t *testing.T) {
	for name, c := range map[string]struct {
		product string
		set     map[string]any
		change  func(*standin.Settings)
		says    []string
		then    map[string]any
	}{
		"two that may be either": {product: "PositiveSSL-12", says: []string{"may be any of subscriber_email, subscriber_phone", "wire_names.sectigo_field_1"}, then: map[string]any{"sectigo_field_1": "subscriber_email"}},
		"a switch":               {set: map[string]any{"no_companion": true}, change: func(s *standin.Settings) { s.Names.NoCompanion = "bare" }, says: []string{"wire_names.no_companion is not set", "bare"}, then: map[string]any{"no_companion": "bare"}},
		"one that is not there":  {set: map[string]any{"no_companion": true}, then: nil, says: []string{"wire_names.no_companion is nowhere"}},
		"a field nobody set":     {change: func(s *standin.Settings) { s.ExtraField = "shoe_size" }, says: []string{"needs what is not configured: shoe_size", "extra_fields"}},
		"an issuing CA":          {set: map[string]any{"issuing_ca": "The Wrong One"}, says: []string{`"The Wrong One"`, "the order takes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Killed = false
			r.values["wire_names"] = map[string]any{}
			if name == "one that is not there" {
				r.values["wire_names"] = map[string]any{"no_companion": "nowhere"}
			}
			if c.change != nil {
				if err := r.server.Configure(c.change); err != nil {
					t.Fatal(err)
				}
			}
			product := c.product
			if product == "" {
				product = "RapidSSL-12"
			}
			o := r.Order(settings(product, c.set), "example.com")
			at, err := r.Place(o)
			if err != nil {
				t.Fatal(err)
			}
			first, err := r.Instance().GetOrder(t.Context(), r.Placed(o, at))
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Instance().GetOrder(t.Context(), r.Placed(o, first.Order))
			if pluginapi.KindOf(err) != pluginapi.NeedsPerson {
				t.Fatalf("got %v", err)
			}
			for _, words := range c.says {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("does not say %q: %v", words, err)
				}
			}
			if r.only().Placed {
				t.Error("the order was placed")
			}
			if c.then != nil {
				r.values["wire_names"], r.Killed = c.then, true // a new configuration is a new process
				got, err := r.Finish(o, first.Order)
				if err != nil {
					t.Fatal(err)
				}
				r.CheckIssued(o, got)
			}
			r.bought(1, 0)
		})
	}
}

// What was bought elsewhere is found by its certificate, and reissued.
func TestAdoption(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, name := range []string{"a.example.com", "b.example.com", "c.example.com"} {
		r.MustIssue(r.order("RapidSSL-12", name))
	}
	o := r.order("RapidSSL-12", "example.com")
	issued := r.MustIssue(o)
	found, err := r.Instance().FindOrderByCertificate(t.Context(), issued.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if d := found.Order.CoverageEnd.Sub(issued.CoverageEnd); found.Order.Reference != issued.Reference || d.Abs() > time.Hour || len(found.Order.Chain) != len(issued.Chain) {
		t.Errorf("got %s until %s, want %s until %s", found.Order.Reference, found.Order.CoverageEnd, issued.Reference, issued.CoverageEnd)
	}
	next := r.Follow(pluginapi.Reissue, o, found.Order)
	two := r.MustIssue(next)
	// And with the certificate alone.
	three := r.Follow(pluginapi.Reissue, next, two)
	three.Previous = &pluginapi.PreviousOrder{Chain: two.Chain}
	r.MustIssue(three)
	r.bought(4, 2)
	if now, err := r.Instance().InspectOrder(t.Context(), issued.Reference, issued.State); err != nil || now.Order.Status != pluginapi.Issued || !now.Order.CoverageEnd.Equal(issued.CoverageEnd) {
		t.Errorf("inspected: %+v, %v", now.Order, err)
	}
	if _, err := r.Instance().InspectOrder(t.Context(), "cb-"+strings.Repeat("0", 32), nil); pluginapi.KindOf(err) != pluginapi.NotFound {
		t.Errorf("an order that there is not: %v", err)
	}
	stranger := cadrive.SelfSigned(t, cadrive.NewKey(t), "example.com", 7, time.Now())
	if _, err := r.Instance().FindOrderByCertificate(t.Context(), stranger.Raw); pluginapi.KindOf(err) != pluginapi.NotFound {
		t.Errorf("a stranger: %v", err)
	}
}

// An order that is worth one certificate ends with that, whoever looks at it.
func TestNoTerm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.Order(settings("RapidSSL-12", map[string]any{"term_months": int64(0)}), "example.com")
	issued := r.MustIssue(o)
	leaf, err := x509.ParseCertificate(issued.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	now, err := r.Instance().InspectOrder(t.Context(), issued.Reference, issued.State)
	if err != nil || !issued.CoverageEnd.Equal(leaf.NotAfter) || !now.Order.CoverageEnd.Equal(leaf.NotAfter) {
		t.Errorf("paid until %s, and then %s, %v", issued.CoverageEnd, now.Order.CoverageEnd, err)
	}
}

// An order that there is already is used instead of buying another.
func TestOrderToken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Killed = false
	bought, err := r.Place(r.order("PositiveSSL-12", "example.com"))
	if err != nil {
		t.Fatal(err)
	}
	token := r.only().Token
	with := withToken(settings("PositiveSSL-12", nil), token+"\n")
	o := r.Order(with, "example.com")
	one := r.MustIssue(o) // it was not placed yet
	r.bought(1, 0)
	if one.Reference != bought.Reference {
		t.Errorf("the reference is %q, want %q", one.Reference, bought.Reference)
	}
	two := r.MustIssue(r.Order(with, "example.com")) // it is issued: a reissue
	r.bought(1, 1)
	if !two.CoverageEnd.Equal(one.CoverageEnd) {
		t.Errorf("paid until %s and then %s", one.CoverageEnd, two.CoverageEnd)
	}
	lost := r.Order(with, "example.com")
	r.misbehave(sandbox.Misbehaviour{Path: "/order/reissue.json", Kind: sandbox.Drop, After: true})
	r.MustIssue(lost)
	r.bought(1, 2)
	for name, o := range map[string]pluginapi.OrderRequest{
		"order_token":     r.Order(with, "example.org"),
		"st_product_code": r.Order(withToken(settings("SSL123-12", nil), token), "example.com"),
	} {
		if _, err := r.Instance().PlaceOrder(t.Context(), o); pluginapi.FieldOf(err) != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if strings.Contains(string(two.State), token) {
		t.Error("the state holds the token")
	}
}

// Values that were made from another request than ours are not published.
func TestValuesOfAnotherRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Killed = false
	o := r.order("PositiveSSL-12", "example.com")
	at := r.placed(o)
	other := o
	other.CSR = cadrive.NewCSR(t, cadrive.NewKey(t), true, "example.com")
	r.advance(10 * time.Minute)
	_, err := r.Instance().GetOrder(context.WithoutCancel(t.Context()), r.Placed(other, at))
	if pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), "another certificate request") {
		t.Errorf("got %v", err)
	}
}

// The certificate of an issuer is waited for, and what was issued handed over without it at last: whoever checks it holds it,
// and the term that is paid is known.
func TestIssuerIsMissing(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *standin.Settings) { s.NoIssuers = true })
	before := r.server.Now()
	got, err := r.Issue(r.order("RapidSSL-12", "example.com"))
	if err != nil || got.Status != pluginapi.Issued || len(got.Chain) != 1 || got.CoverageEnd.IsZero() || !strings.Contains(got.Detail, "does not show the certificate of its issuer") {
		t.Errorf("%s, %d certificates, until %s, %v: %s", got.Status, len(got.Chain), got.CoverageEnd, err, got.Detail)
	}
	if r.server.Now().Sub(before) < 30*time.Minute {
		t.Error("it was not waited for")
	}
	r.bought(1, 0)
}
