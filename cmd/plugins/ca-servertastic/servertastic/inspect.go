package servertastic

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// InspectOrder says what ServerTastic says now of an order, and takes no step. Its names are left out: ServerTastic adds the
// companion of the first one of itself, so that the certificate may hold a name that nobody ordered. By what an order was
// renewed the API does not tell.
func (c *CA) InspectOrder(ctx context.Context, reference string, data []byte) (pluginapi.OrderReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	st := decodeState(data)
	token, err := s.locate(ctx, reference, st, pluginapi.Secret{})
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	r, err := s.client.Review(ctx, token)
	if err != nil {
		return pluginapi.OrderReply{}, unseen("read order "+orElse(st.OrderID, reference), err)
	}
	if st.told(r) {
		data = st.encode()
	}
	out := pluginapi.Order{Reference: reference, State: data, CoverageEnd: st.Ends, Status: pluginapi.Processing}
	out.Detail = fmt.Sprintf("order %s is %q at ServerTastic", orElse(r.OrderID, reference), r.Told)
	if st.Ends.IsZero() && !st.Single {
		out.CoverageEnd = ends(r.First().Time, termOf(pluginapi.Settings{}, r.Product))
	}
	switch {
	case r.Status == ordertoken.StatusCancelled:
		out.Status = pluginapi.Canceled
	case r.Status == ordertoken.StatusRollBack:
		out.Status = pluginapi.OrderRejected
	case slices.ContainsFunc(r.Certificates, func(c *x509.Certificate) bool { return !c.IsCA }):
		out.Status = pluginapi.Issued
	}
	return pluginapi.OrderReply{Order: out}, nil
}
