package cadrive

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// mostSteps bounds how many calls an order takes; each failed one counts, too.
const mostSteps = 60

// Order makes a request for names, with a new key.
func (d *Driver[P]) Order(settings pluginapi.Settings, names ...string) pluginapi.OrderRequest {
	d.t.Helper()
	return d.OrderWithKey(NewKey(d.t), settings, names...)
}

// OrderWithKey makes a request for names with a key that is kept.
func (d *Driver[P]) OrderWithKey(key crypto.Signer, settings pluginapi.Settings, names ...string) pluginapi.OrderRequest {
	d.t.Helper()
	o := pluginapi.OrderRequest{
		IdempotencyKey: newMark(), Kind: pluginapi.New, CSR: NewCSR(d.t, key, d.describe().CSRCommonName, names...), CertificateName: "shop", Settings: settings,
	}
	for _, n := range names {
		o.Identifiers = append(o.Identifiers, identifier(n, d.Types))
	}
	return o
}

// Follow makes the request that follows an order: a new key and the same settings; the same names, unless others are given.
func (d *Driver[P]) Follow(kind pluginapi.OrderKind, before pluginapi.OrderRequest, issued pluginapi.Order, names ...string) pluginapi.OrderRequest {
	d.t.Helper()
	if len(names) == 0 {
		for _, id := range before.Identifiers {
			names = append(names, id.Value)
		}
	}
	o := d.Order(before.Settings, names...)
	o.Kind, o.Previous = kind, Previous(issued)
	return o
}

// Previous is what a renewal or reissue is told of the order it follows.
func Previous(issued pluginapi.Order) *pluginapi.PreviousOrder {
	return &pluginapi.PreviousOrder{Reference: issued.Reference, State: issued.State, Chain: issued.Chain}
}

// Issue takes an order from the intent to its certificate as the daemon does: through whatever goes wrong, never sending
// it twice on a guess.
func (d *Driver[P]) Issue(o pluginapi.OrderRequest) (pluginapi.Order, error) {
	d.t.Helper()
	placed, err := d.Place(o)
	if err != nil {
		return placed, err
	}
	return d.Finish(o, placed)
}

// MustIssue issues, and looks at what was issued as the daemon does.
func (d *Driver[P]) MustIssue(o pluginapi.OrderRequest) pluginapi.Order {
	d.t.Helper()
	got, err := d.Issue(o)
	if err != nil {
		d.t.Fatal(err)
	}
	d.CheckIssued(o, got)
	return got
}

// Place sends an order until its reference is known. After a lost answer it asks by FindOrder, and sends again only
// when the CA has said twice that there is no such order. Where the plugin cannot tell, it fails: a person decides.
func (d *Driver[P]) Place(o pluginapi.OrderRequest) (pluginapi.Order, error) {
	d.t.Helper()
	var sentAt time.Time // zero: nothing is on its way
	var err error
	notFound := 0
	for range mostSteps {
		var at pluginapi.Order
		if sentAt.IsZero() {
			now := d.opts.Now()
			if at, err = d.call(func(ctx context.Context, p P) (pluginapi.OrderReply, error) { return p.PlaceOrder(ctx, o) }); err == nil {
				return at, d.checkPlaced(at)
			}
			switch pluginapi.KindOf(err) {
			case pluginapi.UnknownOutcome:
				sentAt, notFound = now, 0
				d.settle()
			case pluginapi.RateLimited, pluginapi.Unavailable, pluginapi.Conflict:
			default:
				return pluginapi.Order{}, err
			}
			continue
		}
		if at, err = d.find(o, sentAt); err == nil {
			return at, d.checkPlaced(at)
		}
		switch kind := pluginapi.KindOf(err); {
		case kind == pluginapi.UnknownOutcome && !errors.Is(err, errKilled):
			return pluginapi.Order{}, err
		case kind == pluginapi.NotFound:
			if notFound++; notFound == 2 {
				sentAt = time.Time{}
			}
		}
	}
	return pluginapi.Order{}, fmt.Errorf("not placed after %d calls: %w", mostSteps, err)
}

func (d *Driver[P]) find(o pluginapi.OrderRequest, sentAt time.Time) (pluginapi.Order, error) {
	return d.call(func(ctx context.Context, p P) (pluginapi.OrderReply, error) {
		finder, ok := any(p).(pluginapi.OrderFinder)
		if !ok {
			return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "the answer was lost, and the plugin cannot find orders")
		}
		return finder.FindOrder(ctx, o, sentAt)
	})
}

// settle waits until what was lost would have been carried out.
func (d *Driver[P]) settle() {
	select {
	case <-time.After(d.Settle):
	case <-d.t.Context().Done():
	}
}

func (d *Driver[P]) checkPlaced(at pluginapi.Order) error {
	if at.Reference == "" {
		return fmt.Errorf("an order that is %s has no reference", at.Status)
	}
	return nil
}

// Finish takes a placed order as far as it goes without a person: it publishes challenges, tells of them, and looks
// again. An order that waits for approval is as far as it goes.
func (d *Driver[P]) Finish(o pluginapi.OrderRequest, at pluginapi.Order) (pluginapi.Order, error) {
	d.t.Helper()
	defer d.withdraw()
	told := map[string]bool{}
	var err error
	for range mostSteps {
		switch at.Status {
		case pluginapi.Issued, pluginapi.OrderRejected, pluginapi.Canceled, pluginapi.Expired, pluginapi.PendingApproval:
			return at, nil
		}
		ids, failed := d.publish(at, told)
		if failed != nil {
			return at, failed
		}
		var next pluginapi.Order
		if next, err = d.step(d.Placed(o, at), ids); err != nil {
			if kind := pluginapi.KindOf(err); kind == 0 || kind == pluginapi.InvalidRequest {
				return at, err
			}
			continue
		}
		if next.Reference != at.Reference {
			return next, fmt.Errorf("the order's reference changed from %q to %q", at.Reference, next.Reference)
		}
		for _, id := range ids {
			told[id] = true
		}
		at = next
	}
	if err != nil {
		return at, fmt.Errorf("still %s after %d calls: %s, and then: %w", at.Status, mostSteps, at.Detail, err)
	}
	return at, fmt.Errorf("still %s after %d calls: %s", at.Status, mostSteps, at.Detail)
}

// Again looks at an order once more, as after a person has acted.
func (d *Driver[P]) Again(o pluginapi.OrderRequest, at pluginapi.Order) (pluginapi.Order, error) {
	d.t.Helper()
	at.Status, at.Authorizations = pluginapi.Processing, nil
	return d.Finish(o, at)
}

// Placed is how the daemon names an order in later calls.
func (d *Driver[P]) Placed(o pluginapi.OrderRequest, at pluginapi.Order) pluginapi.PlacedOrder {
	placed := pluginapi.PlacedOrder{OrderRequest: o, Reference: at.Reference, State: at.State}
	if d.Forgetful {
		placed.State = nil
	}
	return placed
}

// publish puts up what is not told of yet, and returns its ids.
func (d *Driver[P]) publish(at pluginapi.Order, told map[string]bool) ([]string, error) {
	var ids []string
	for _, a := range at.Authorizations {
		c, ok := d.World.Choose(a)
		if !ok || a.Valid || told[c.ID] {
			continue
		}
		ids = append(ids, c.ID)
		if d.published[c.ID] != nil {
			continue // the plugin could not be told of it yet
		}
		withdraw, err := d.World.Publish(d.t.Context(), c)
		if err != nil {
			return nil, fmt.Errorf("publish %s: %w", c.ID, err)
		}
		d.published[c.ID] = withdraw
	}
	return ids, nil
}

// withdraw takes down all that was published: a plugin must not count on it any longer.
func (d *Driver[P]) withdraw() {
	for _, w := range d.published {
		w()
	}
	clear(d.published)
}

func (d *Driver[P]) step(placed pluginapi.PlacedOrder, ids []string) (pluginapi.Order, error) {
	return d.call(func(ctx context.Context, p P) (pluginapi.OrderReply, error) {
		if len(ids) > 0 {
			return p.RespondToChallenges(ctx, placed, ids)
		}
		return p.GetOrder(ctx, placed)
	})
}

// CheckIssued looks at what was issued as the daemon does before it installs: it is for the request's key and all of its
// names, it is another one than before, and the chain ends at the stand-in's roots.
func (d *Driver[P]) CheckIssued(o pluginapi.OrderRequest, got pluginapi.Order) {
	d.t.Helper()
	if got.Status != pluginapi.Issued || len(got.Chain) < 2 {
		d.t.Fatalf("the order is %s with %d certificates: %s", got.Status, len(got.Chain), got.Detail)
	}
	csr, err := x509.ParseCertificateRequest(o.CSR)
	if err != nil {
		d.t.Fatal(err)
	}
	chain := make([]*x509.Certificate, len(got.Chain))
	for i, der := range got.Chain {
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			d.t.Fatalf("certificate %d of the chain: %v", i+1, err)
		}
	}
	leaf := chain[0]
	if !bytes.Equal(leaf.RawSubjectPublicKeyInfo, csr.RawSubjectPublicKeyInfo) {
		d.t.Fatal("the certificate is for another key")
	}
	if o.Previous != nil && len(o.Previous.Chain) > 0 && bytes.Equal(leaf.Raw, o.Previous.Chain[0]) {
		d.t.Fatal("the certificate is the one from before")
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(d.opts.Roots())
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: leaf.NotBefore.Add(time.Minute)}); err != nil {
		d.t.Fatalf("the chain: %v", err)
	}
	for _, id := range o.Identifiers {
		if !covers(leaf, id) {
			d.t.Errorf("%s is not among %v %v", id.Value, leaf.DNSNames, leaf.IPAddresses)
		}
	}
}
