package order

import (
	"context"
	"net/netip"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// request is the order as plugins see it.
func (w *work) request(ctx context.Context) pluginapi.OrderRequest {
	r := &w.record
	req := pluginapi.OrderRequest{
		IdempotencyKey:  r.IdempotencyKey,
		Kind:            r.Kind,
		CSR:             r.CSR,
		Settings:        w.settings(),
		CertificateName: r.Certificate,
	}
	if p := r.Previous; p != nil {
		req.Previous = &pluginapi.PreviousOrder{Reference: p.Reference, State: p.PluginState, Chain: p.Chain}
	}
	w.asked = true
	for _, name := range r.Names {
		id := pluginapi.Identifier{Value: name, Type: identifierType(name)}
		types, err := w.Publisher.ChallengeTypes(ctx, w.spec.Profiles(name), name)
		if err == nil {
			id.ChallengeTypes = r.allowedTypes(name, types)
		}
		w.asked = w.asked && err == nil
		req.Identifiers = append(req.Identifiers, id)
	}
	return req
}

// profilesOf returns the DCV profiles for the names of a certificate; of one that is not configured any more, none.
func (e *Engine) profilesOf(certificate string) func(name string) []string {
	if spec, ok := e.Catalog.Spec(certificate); ok && spec.Profiles != nil {
		return spec.Profiles
	}
	return func(string) []string { return nil }
}

func (w *work) placedOrder(ctx context.Context) pluginapi.PlacedOrder {
	return pluginapi.PlacedOrder{OrderRequest: w.request(ctx), Reference: w.record.Reference, State: w.record.PluginState}
}

func identifierType(name string) pluginapi.IdentifierType {
	if _, err := netip.ParseAddr(name); err == nil {
		return pluginapi.IP
	}
	return pluginapi.DNS
}
