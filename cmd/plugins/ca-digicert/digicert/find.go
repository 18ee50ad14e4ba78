package digicert

import (
	"context"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// FindOrder tells whether a lost PlaceOrder call arrived: an order by its mark, a reissue by its certificate request.
func (c *CA) FindOrder(ctx context.Context, order pluginapi.OrderRequest, _ time.Time) (pluginapi.OrderReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if order.Kind == pluginapi.Reissue {
		return s.findLostReissue(ctx, order)
	}
	reply, found, err := s.arrived(ctx, order)
	if err != nil || found {
		return reply, err
	}
	return s.amongNewest(ctx, order)
}

// newest is how many of the newest orders with the right name are opened in search of a mark.
const newest = 10

// amongNewest looks for an order's mark in the list of orders. An order is bought again on the word that there is none,
// and nobody knows how soon DigiCert finds a new order by its mark: this is a second witness. A key that may not list
// orders leaves it at one.
func (s *session) amongNewest(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	none := pluginapi.Errorf(pluginapi.NotFound, "DigiCert has no order with the mark %s", alternativeID(order))
	computed, err := s.compute(s.orderSettings(order.Settings), order)
	if err != nil { // it was never sent like this, but what was sent is not known
		return pluginapi.OrderReply{}, none
	}
	list, _, err := s.client.Orders(ctx, 0)
	if err != nil {
		return pluginapi.OrderReply{}, witness(none, "look through the newest orders", err)
	}
	opened := 0
	for _, listed := range list {
		if !strings.EqualFold(string(listed.Certificate.CommonName), computed.CommonName) || opened == newest {
			continue
		}
		opened++
		o, err := s.client.Order(ctx, listed.ID)
		if err != nil {
			return pluginapi.OrderReply{}, witness(none, "read order "+listed.ID.String(), err)
		}
		if string(o.AlternativeOrderID) == alternativeID(order) {
			return s.begun(certcentral.Placed{ID: o.ID, CertificateID: o.Certificate.ID}, ""), nil
		}
	}
	return pluginapi.OrderReply{}, none
}

// witness leaves an answer as it is when the second witness may not speak, and asks again when it cannot just now.
func witness(answer error, what string, err error) error {
	failure := restca.Fail(what, err)
	switch failure.Kind {
	case pluginapi.Unavailable, pluginapi.RateLimited:
		return failure
	default:
		return answer
	}
}

func (s *session) findLostReissue(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	id, err := s.previousOrder(ctx, order)
	if err != nil {
		return pluginapi.OrderReply{}, notNotFound(err)
	}
	f, err := s.findReissue(ctx, id, order)
	switch {
	case err != nil:
		return pluginapi.OrderReply{}, notNotFound(err)
	case f.found:
		return s.begun(f.placed(), ""), nil
	case hiddenRequest(f.order.Requests), f.order.Status == certcentral.OrderReissuePending && !s.accountedFor(ctx, id):
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Unavailable, "a reissue of order %s is under way, and DigiCert does not show yet for which certificate request", id)
	default:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "order %s has no reissue for this certificate request", id)
	}
}

// hiddenRequest reports a request for a reissue that waits for approval and says nothing of whose it is.
func hiddenRequest(list []certcentral.Request) bool {
	r := strangeRequest(list)
	return r.ID != 0 && r.Comments == ""
}

// accountedFor reports that the reissue under way is to be seen in the list, so that it is known to be another's.
func (s *session) accountedFor(ctx context.Context, id certcentral.ID) bool {
	list, err := s.client.Reissues(ctx, id)
	if err != nil {
		return false
	}
	for _, c := range list {
		if c.Serial == "" && !dropped(c) && c.CSR != "" {
			return true
		}
	}
	return false
}

// notNotFound keeps the order that a reissue belongs to from counting as the reissue: that the order cannot be seen says
// nothing of what was asked of it.
func notNotFound(err error) error {
	if pluginapi.KindOf(err) == pluginapi.NotFound {
		return pluginapi.Errorf(pluginapi.Unavailable, "%w", err)
	}
	return err
}
