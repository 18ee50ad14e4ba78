package order

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Survey returns the history of a certificate as it is to be planned from. At a CA whose orders cost money it asks which order
// the certificate on disk belongs to, where that is not the one remembered, and what the CA says now of the order that would be
// followed: paid time that is left is used up before anything is bought, and people work at the CA's own site as well. Where
// it has learned anything, Last of the history is another one than before.
//
// An error means that it could not be found out; NeedsPerson, that the CA knows paid orders and cannot say which it is.
func Survey(ctx context.Context, ca CA, d pluginapi.Description, account string, h History, current Current, now time.Time) (History, error) {
	h, err := adopted(ctx, ca, d, account, h, current, now)
	if err != nil || !d.OrdersCostMoney || !d.Has(pluginapi.AbilityInspectOrder) || h.Last == nil || h.Account != account || h.Last.Reference == "" {
		return h, err
	}
	last := *h.Last
	reply, err := ca.InspectOrder(ctx, last.Reference, last.PluginState)
	switch {
	case pluginapi.KindOf(err) == pluginapi.NotFound:
		last.NotFound, last.Gone, last.RenewedBy = true, "", ""
	case err != nil:
		return h, fmt.Errorf("look at order %s, which is to be followed: %w", last.Reference, err)
	default:
		last.inspected(reply.Order)
	}
	last.Inspected = now
	h.Last = &last
	return h, nil
}

// inspected takes what the CA says now of the order.
func (p *Previous) inspected(o pluginapi.Order) {
	if o.State != nil {
		p.PluginState = o.State
	}
	if !o.CoverageEnd.IsZero() {
		p.CoverageEnd = o.CoverageEnd
	}
	p.Held = lower(o.Names)
	p.RenewedBy, p.NotFound, p.Gone = o.RenewedBy, false, ""
	switch o.Status {
	case pluginapi.OrderRejected, pluginapi.Canceled, pluginapi.Expired:
		p.Gone = strings.TrimSuffix(o.Status.String()+": "+o.Detail, ": ")
	}
}

func lower(names []string) []string {
	var list []string
	for _, name := range names {
		list = append(list, strings.ToLower(name))
	}
	return list
}

// adopted asks the CA for the order of the certificate on disk, where that did not come from the one remembered: it was
// bought by other means, or the state was lost.
func adopted(ctx context.Context, ca CA, d pluginapi.Description, account string, h History, current Current, now time.Time) (History, error) {
	known := h.Last != nil && h.Account == account
	if current.Leaf == nil || !d.OrdersCostMoney || !d.Has(pluginapi.AbilityFindByCertificate) || known && h.Last.Has(current.Leaf.Raw) {
		return h, nil
	}
	paid := known && h.Last.Gone == "" && h.Last.CoverageEnd.After(now)
	reply, err := ca.FindOrderByCertificate(ctx, current.Leaf.Raw)
	o := reply.Order
	switch kind := pluginapi.KindOf(err); {
	case kind == pluginapi.NotFound: // another CA's, or one of another account
		return h, nil
	case kind == pluginapi.NeedsPerson && paid: // which it is matters to nobody before this plan is used up
		return h, nil
	case err != nil:
		return h, fmt.Errorf("find the order that the certificate on disk belongs to: %w", err)
	case o.Reference == "" || known && o.Reference == h.Last.Reference:
		return h, nil
	case paid && !o.CoverageEnd.After(h.Last.CoverageEnd):
		return h, nil // an older one, say because what was issued since could not be installed
	}
	found := &Previous{Reference: o.Reference, Chain: o.Chain}
	found.PluginState = o.State
	found.inspected(o)
	if found.Gone != "" { // revoked or ended: nothing is left of it
		return h, nil
	}
	if !slices.ContainsFunc(found.Chain, func(der []byte) bool { return string(der) == string(current.Leaf.Raw) }) {
		found.Chain = [][]byte{current.Leaf.Raw} // by which it is known the next time
	}
	h.Account, h.Last = account, found
	return h, nil
}

// Has reports whether a certificate, DER, is among what was last issued.
func (p *Previous) Has(der []byte) bool { return p.HasDigest(sha256.Sum256(der)) }

// HasDigest is Has for a certificate whose SHA-256 is known.
func (p *Previous) HasDigest(digest [sha256.Size]byte) bool {
	return slices.Contains(p.digests, digest) ||
		slices.ContainsFunc(p.Chain, func(der []byte) bool { return sha256.Sum256(der) == digest })
}
