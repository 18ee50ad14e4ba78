package order

import (
	"context"
	"fmt"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Adopt returns what the history of a certificate would be if its order had been ours: where nothing is remembered of an
// order at the account, the CA is asked which one the certificate on disk belongs to. Paid time that is left is used up
// before anything is bought. adopted is false when there is nothing to ask about, or the CA knows no such order.
//
// An error means that it could not be found out.
func Adopt(ctx context.Context, ca CA, d pluginapi.Description, account string, h History, current Current) (adopted bool, _ History, _ error) {
	known := h.Last != nil && h.Account == account
	if known || current.Leaf == nil || !d.OrdersCostMoney || !d.Has(pluginapi.AbilityFindByCertificate) {
		return false, h, nil
	}
	reply, err := ca.FindOrderByCertificate(ctx, current.Leaf.Raw)
	switch kind := pluginapi.KindOf(err); {
	case err == nil:
	case kind == pluginapi.NotFound:
		return false, h, nil // another CA's, or one of another account
	default:
		return false, h, fmt.Errorf("find the order that the certificate on disk belongs to: %w", err)
	}
	o := reply.Order
	if o.Status != pluginapi.Issued || o.Reference == "" {
		return false, h, nil // revoked or ended: nothing is left of it
	}
	chain := o.Chain
	if len(chain) == 0 {
		chain = [][]byte{current.Leaf.Raw}
	}
	h.Account = account
	h.Last = &Previous{Reference: o.Reference, PluginState: o.State, Chain: chain, CoverageEnd: o.CoverageEnd}
	return true, h, nil
}

// adopt finds the order that the certificate on disk belongs to, and what to journal of it.
func (w *work) adopt(ctx context.Context, d pluginapi.Description, current Current) (History, []sidecar, error) {
	h := w.History(w.record.Certificate)
	adopted, found, err := Adopt(ctx, w.ca, d, w.record.Account, h, current)
	if err != nil || !adopted {
		return h, nil, err
	}
	return found, []sidecar{w.historySidecar(w.record.Certificate, func(h *History) { h.Account, h.Last = found.Account, found.Last })}, nil
}
