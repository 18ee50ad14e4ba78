package digicert

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// InspectOrder says what DigiCert says now of an order, and takes no step.
func (c *CA) InspectOrder(ctx context.Context, ref string, data []byte) (pluginapi.OrderReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	id, err := orderID(ref)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	o, err := s.client.Order(ctx, id)
	if err != nil {
		return pluginapi.OrderReply{}, restca.Fail("read order "+id.String(), err)
	}
	out, err := s.standing(ctx, o)
	out.State = data
	return pluginapi.OrderReply{Order: out}, err
}

// standing is what holds of an order whoever looks at it: its status, plan, names, price, and who renewed it.
func (s *session) standing(ctx context.Context, o certcentral.Order) (pluginapi.Order, error) {
	by, err := s.renewedBy(ctx, o)
	if err != nil {
		return pluginapi.Order{}, err
	}
	out := pluginapi.Order{Reference: reference(o.ID), CoverageEnd: coverageEnd(o), Names: heldNames(o), Price: priceOf(o), RenewedBy: by}
	out.Detail = "order " + o.ID.String() + " is " + string(o.Status) + " at DigiCert"
	status, final := finalStatus(string(o.Status))
	if out.Status = status; final {
		return out, nil
	}
	switch o.Status {
	case certcentral.OrderNeedsApproval:
		out.Status = pluginapi.PendingApproval
	case certcentral.OrderIssued, certcentral.OrderReissuePending:
		out.Status = pluginapi.Issued
	default:
		out.Status = pluginapi.Processing
	}
	return out, nil
}

// heldNames are the names of an order that can be told: DNS names and addresses.
func heldNames(o certcentral.Order) []string {
	return slices.DeleteFunc(o.Names(), func(name string) bool {
		_, err := netip.ParseAddr(name)
		return err != nil && !isDNSName(strings.TrimPrefix(name, "*."))
	})
}

// isAmount is what a price may look like.
var isAmount = regexp.MustCompile(`^[0-9]{1,12}(?:\.[0-9]{1,4})?$`).MatchString

// priceOf is what an order costs, where DigiCert says so. The currency is that of the account where it is not told.
func priceOf(o certcentral.Order) *pluginapi.Price {
	if !isAmount(string(o.Price)) {
		return nil
	}
	return &pluginapi.Price{Amount: string(o.Price), Currency: orElse(restca.Clean(string(o.Currency), 16), "(the account's currency)")}
}

// unnamedRenewal stands for the number of an order that is known to be there, and nothing else of it.
const unnamedRenewal = "(DigiCert does not tell its number)"

// renewedBy is the order that renewed one, or nothing. An order that was dropped again has renewed nothing.
func (s *session) renewedBy(ctx context.Context, o certcentral.Order) (string, error) {
	if !o.IsRenewed {
		return "", nil
	}
	if id := o.RenewedOrderID; id != 0 && id != o.ID {
		other, err := s.client.Order(ctx, id)
		switch {
		case absent(err) && !bool(o.IsRenewal): // of another division, say
			return reference(id), nil
		case err != nil && !absent(err):
			return "", restca.Fail("read order "+id.String(), err)
		case err == nil && placedAfter(other, o):
			return unlessDropped(other), nil
		}
	}
	return s.renewalInList(ctx, o)
}

// renewalInList looks among the orders placed after one for that which renewed it.
func (s *session) renewalInList(ctx context.Context, o certcentral.Order) (string, error) {
	dropped := false
	list, _, err := s.client.Orders(ctx, 0)
	if err != nil {
		return "", restca.Fail("look through the list of orders", err)
	}
	opened := 0
	for _, listed := range list {
		younger := listed.DateCreated.IsZero() || o.DateCreated.IsZero() || !listed.DateCreated.Before(o.DateCreated.Time)
		if listed.ID == o.ID || !younger || !overlap(listed.Certificate.Names(), o.Names()) || opened == newest {
			continue
		}
		opened++
		other, err := s.client.Order(ctx, listed.ID)
		switch {
		case err != nil && !absent(err):
			return "", restca.Fail("read order "+listed.ID.String(), err)
		case err != nil, !bool(other.IsRenewal), other.RenewedOrderID != o.ID, !placedAfter(other, o):
		case unlessDropped(other) != "":
			return reference(other.ID), nil
		default:
			dropped = true
		}
	}
	if dropped {
		return "", nil
	}
	return unnamedRenewal, nil
}

// placedAfter reports whether one order is younger than another.
func placedAfter(a, b certcentral.Order) bool {
	if !a.DateCreated.IsZero() && !b.DateCreated.IsZero() && !a.DateCreated.Equal(b.DateCreated.Time) {
		return a.DateCreated.After(b.DateCreated.Time)
	}
	return a.ID > b.ID
}

// unlessDropped is an order's reference, unless it never came to a certificate.
func unlessDropped(o certcentral.Order) string {
	switch o.Status {
	case certcentral.OrderRejected, certcentral.OrderDenied, certcentral.OrderCanceled:
		return ""
	default:
		return reference(o.ID)
	}
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(name string) bool { return slices.Contains(b, name) })
}
