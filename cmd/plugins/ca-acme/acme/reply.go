package acme

import (
	"context"
	"fmt"
	"strings"
	"time"

	lego "github.com/go-acme/lego/v4/acme"
	"golang.org/x/sync/errgroup"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// view is an order as the CA last told it, and what is needed to tell it on.
type view struct {
	request pluginapi.PlacedOrder
	order   lego.Order
	state   orderState
	who     signer
	pace    time.Duration // the CA's Retry-After, zero when it gave none
	// placedNow: the order was placed by this very call, so it must come back whatever else fails.
	placedNow bool
	// toldNow: the CA was told by this very call that challenges are published.
	toldNow bool
	// finalizedNow: the certificate was asked for by this very call.
	finalizedNow bool
}

// reply tells an order in the contract's words, after the steps that are free and due.
func (s *session) reply(ctx context.Context, v view) (pluginapi.OrderReply, error) {
	if v.order.Status != lego.StatusPending {
		s.orders.drop(v.request.Reference)
	}
	if v.order.Status == lego.StatusReady && !v.placedNow {
		if err := s.finalize(ctx, &v); err != nil {
			return pluginapi.OrderReply{}, err
		}
	}
	out := pluginapi.Order{Reference: v.request.Reference}
	var err error
	switch v.order.Status {
	case lego.StatusPending:
		err = s.pending(ctx, &v, &out)
	case lego.StatusReady:
		out.Status, out.Detail = pluginapi.Processing, "every name is validated; the certificate can be asked for"
		out.LookAgainAfter = pluginapi.After(v.pace) // zero: at once
	case lego.StatusProcessing:
		out.Status, out.Detail = pluginapi.Processing, "the CA is making the certificate"
		out.LookAgainAfter = pluginapi.After(v.next())
	case lego.StatusValid:
		if v.placedNow {
			out.Status, out.LookAgainAfter = pluginapi.Processing, pluginapi.After(0)
			break
		}
		err = s.issued(ctx, v, &out)
	case lego.StatusInvalid:
		err = s.invalid(ctx, v, &out)
	default:
		err = pluginapi.Errorf(pluginapi.Unavailable, "read the order: the CA gave it the unknown status %q", clean(v.order.Status, 40))
	}
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if v.state.Remark != "" {
		out.Detail = strings.TrimPrefix(out.Detail+"; "+v.state.Remark, "; ")
	}
	if out.State, err = v.state.encode(); err != nil {
		return pluginapi.OrderReply{}, err
	}
	return pluginapi.OrderReply{Order: out, AccountState: s.book.changed()}, nil
}

// next is when to look again at an order that the CA works on.
func (v view) next() time.Duration {
	switch {
	case v.pace > 0:
		return v.pace
	case v.finalizedNow:
		return time.Second // most certificates are made by then
	default:
		return pollInterval
	}
}

// pending tells what must still be shown.
func (s *session) pending(ctx context.Context, v *view, out *pluginapi.Order) error {
	list, err := s.awaited(ctx, v)
	if err != nil {
		if !v.placedNow {
			return err
		}
		// The order exists; its challenges can be read by the next call.
		out.Status, out.Detail = pluginapi.Processing, "placed; its challenges could not be read yet: "+err.Error()
		out.LookAgainAfter = pluginapi.After(0)
		return nil
	}
	return s.pendingWith(v, list, out)
}

// known is what the CA said of a pending order: its authorizations, and where its certificate is asked for.
type known struct {
	list     []lego.Authorization
	finalize string
	read     time.Time
}

// readAgain is how long the authorizations of a pending order are believed. One that ends takes its order with it (RFC 8555
// section 7.1.6), so that the order alone tells; but not every CA is quick to notice.
const readAgain = 10 * time.Second

// awaited are the authorizations of a pending order, as they were read last or anew.
func (s *session) awaited(ctx context.Context, v *view) ([]lego.Authorization, error) {
	if k, ok := s.orders.get(v.request.Reference); ok && time.Since(k.read) < readAgain {
		return k.list, nil
	}
	list, err := s.authorizations(ctx, v)
	if err != nil {
		return nil, err
	}
	s.orders.put(v.request.Reference, known{list, v.order.Finalize, time.Now()})
	return list, nil
}

// pendingWith is pending with the authorizations at hand.
func (s *session) pendingWith(v *view, list []lego.Authorization, out *pluginapi.Order) error {
	if status, words := ended(list); status != 0 {
		out.Status, out.Detail = status, words
		return nil
	}
	waiting := 0
	for _, a := range list {
		told, err := tell(a, v.who.thumbprint)
		if err != nil {
			return err
		}
		if !told.Valid {
			waiting++
		}
		if !told.Valid && len(told.Challenges) == 0 {
			out.Status, out.Authorizations = pluginapi.OrderRejected, nil
			out.Detail = fmt.Sprintf("for %s the CA offers only challenges that are not known here: %s", told.Identifier, challengeTypes(a))
			return nil
		}
		out.Authorizations = append(out.Authorizations, told)
	}
	switch {
	case waiting == 0:
		out.Status, out.Detail = pluginapi.Processing, "every name is validated; the CA has not noticed yet"
		out.LookAgainAfter = pluginapi.After(max(v.pace, time.Second))
	case v.stale():
		out.Status, out.Authorizations = pluginapi.OrderRejected, nil
		out.Detail = "the account key was changed while the order was being validated, so its challenges do not count any more; a new order is needed"
	default:
		out.Status = pluginapi.PendingValidation
		out.Detail = fmt.Sprintf("%d of %d names wait to be validated", waiting, len(list))
		switch {
		case v.toldNow && v.pace == 0:
			out.LookAgainAfter = pluginapi.After(time.Second) // most validations are done by then
		case v.state.Responded:
			out.LookAgainAfter = pluginapi.After(v.next())
		}
	}
	return nil
}

// stale reports that the order's challenges were made with another account key.
func (v *view) stale() bool {
	return v.state.Thumbprint != "" && v.state.Thumbprint != v.who.thumbprint
}

// invalid says why an order failed. For ACME that is final: a new order is needed.
func (s *session) invalid(ctx context.Context, v view, out *pluginapi.Order) error {
	out.Status, out.Detail = pluginapi.OrderRejected, "the CA ended the order without a reason"
	list, err := s.authorizations(ctx, &v)
	if err != nil && v.order.Error == nil {
		return err // the reasons are worth another try
	}
	status, words := ended(list)
	switch {
	case words != "":
		out.Status, out.Detail = status, words
		// Some CAs repeat an authorization's problem as the order's.
		if v.order.Error != nil && !strings.Contains(words, clean(v.order.Error.Detail, maxWords)) {
			out.Detail = problemWords(v.order.Error) + "; " + words
		}
	case v.order.Error != nil:
		out.Detail = problemWords(v.order.Error)
	default:
		if at, err := time.Parse(time.RFC3339, v.order.Expires); err == nil && time.Now().After(at) {
			out.Status, out.Detail = pluginapi.Expired, "the order expired before it was completed"
		}
	}
	out.Detail = clean(out.Detail, maxMessage)
	return nil
}

// authorizations reads all of an order's authorizations, some at a time.
func (s *session) authorizations(ctx context.Context, v *view) ([]lego.Authorization, error) {
	if len(v.order.Authorizations) > 2*maxNames {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "read the order: it has %d authorizations", len(v.order.Authorizations))
	}
	list := make([]lego.Authorization, len(v.order.Authorizations))
	paces := make([]time.Duration, len(list))
	err := each(ctx, v.order.Authorizations, func(ctx context.Context, i int, address string) (err error) {
		list[i], paces[i], err = s.authorization(ctx, v.who, address)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, p := range paces {
		v.pace = max(v.pace, p)
	}
	return list, nil
}

// each does something for each of a list, some at a time, and returns the first error. Most orders have one name, and need no other
// goroutine.
func each[T any](ctx context.Context, list []T, do func(ctx context.Context, i int, of T) error) error {
	if len(list) == 1 {
		return do(ctx, 0, list[0])
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(connections / 2)
	for i, of := range list {
		group.Go(func() error { return do(within, i, of) })
	}
	return group.Wait()
}
