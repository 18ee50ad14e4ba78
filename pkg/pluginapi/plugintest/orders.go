package plugintest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// complete places an order and takes it to its certificate. It reports false when there is none, for a reason that
// stands in the verdict.
func (s *suite) complete(ctx context.Context, v *verdict, n *session, r pluginapi.OrderRequest) (pluginapi.Order, bool) {
	o, err := n.place(ctx, r)
	if err != nil {
		v.failf("PlaceOrder: %s", kindAndWords(err))
		return o, false
	}
	return s.finishOrSkip(ctx, v, n, r, o)
}

// finishOrSkip takes a placed order to its certificate.
func (s *suite) finishOrSkip(ctx context.Context, v *verdict, n *session, r pluginapi.OrderRequest, o pluginapi.Order) (pluginapi.Order, bool) {
	reference := o.Reference
	o, err := n.finish(ctx, r, o)
	switch {
	case errors.Is(err, errNoPublish), errors.Is(err, errNeedsPerson):
		v.skip(err.Error())
		return o, false
	case err != nil:
		v.failf("%v", err)
		return o, false
	case o.Reference != reference:
		v.failf("the reference changed from %q to %q", reference, o.Reference)
		return o, false
	}
	return o, true
}

func (s *suite) checkOrder(ctx context.Context, v *verdict) {
	r, err := s.newRequest()
	if err != nil {
		v.failf("%v", err)
		return
	}
	s.session(ctx, v, func(n *session) {
		o, ok := s.complete(ctx, v, n, r)
		if !ok {
			return
		}
		checkChain(v, r, o.Chain)
		again, err := n.get(ctx, r, o)
		if err != nil || again.Status != pluginapi.Issued {
			v.failf("GetOrder of an order that is issued: %s, %v", again.Status, err)
			return
		}
		if !slices.EqualFunc(o.Chain, again.Chain, slices.Equal) {
			v.failf("GetOrder gives another chain the second time")
		}
		if garbled, err := n.get(ctx, r, pluginapi.Order{Reference: o.Reference, State: []byte("\x00garbage{")}); err == nil && garbled.Reference != o.Reference {
			v.failf("GetOrder with a garbled state gives another order")
		}
		if !n.p.alive(ctx) {
			v.failf("GetOrder with a garbled state kills the plugin")
		}
	})
}

// checkReplay places one order three times, twice at once and once in a new process: it must stay one order.
func (s *suite) checkReplay(ctx context.Context, v *verdict) {
	r, err := s.newRequest()
	if err != nil {
		v.failf("%v", err)
		return
	}
	type answer struct {
		reply pluginapi.OrderReply
		err   error
	}
	references := make(map[string]bool)
	s.session(ctx, v, func(n *session) {
		ctx, cancel := s.callContext(ctx)
		defer cancel()
		answers := make(chan answer, 2)
		for range 2 {
			go func() {
				reply, err := n.p.ca.PlaceOrder(ctx, r)
				answers <- answer{reply, err}
			}()
		}
		for range 2 {
			a := <-answers
			// One of two calls at once may be told off; it must not have bought.
			if a.err != nil && pluginapi.KindOf(a.err) != pluginapi.Conflict {
				v.failf("PlaceOrder twice at once: %s", kindAndWords(a.err))
			}
			if a.err == nil {
				references[a.reply.Order.Reference] = true
				n.keep(a.reply.AccountState)
			}
		}
		n.killing = true
		o, err := n.place(ctx, r)
		if err != nil {
			v.failf("PlaceOrder again in a new process: %s", kindAndWords(err))
		} else {
			references[o.Reference] = true
		}
	})
	if len(references) > 1 {
		v.failf("one idempotency key bought %d orders: %q", len(references), sorted(references))
	}
}

func (s *suite) checkFindOrder(ctx context.Context, v *verdict) {
	if !s.desc.Has(pluginapi.AbilityFindOrder) {
		v.skip("not offered")
		return
	}
	r, err := s.newRequest()
	if err != nil {
		v.failf("%v", err)
		return
	}
	s.session(ctx, v, func(n *session) {
		sent := time.Now()
		o, err := n.place(ctx, r)
		if err != nil {
			v.failf("PlaceOrder: %s", kindAndWords(err))
			return
		}
		n.killing = true
		found, err := n.order(ctx, func(ctx context.Context, ca *wire.CAClient) (pluginapi.OrderReply, error) {
			return ca.FindOrder(ctx, r, sent)
		})
		settled := time.Since(sent) > s.desc.FindOrderSettle
		switch {
		case err == nil && found.Reference != o.Reference:
			v.failf("FindOrder finds %q, and PlaceOrder gave %q", found.Reference, o.Reference)
		case pluginapi.KindOf(err) == pluginapi.NotFound && !settled:
			v.skip("the CA needs " + s.desc.FindOrderSettle.String() + " to settle")
		case err != nil:
			v.failf("FindOrder of an order just placed: %s", kindAndWords(err))
		}
	})
}

// checkInspectOrder looks at an order before and after its certificate, twice each: looking changes nothing.
func (s *suite) checkInspectOrder(ctx context.Context, v *verdict) {
	if !s.desc.Has(pluginapi.AbilityInspectOrder) {
		v.skip("not offered")
		return
	}
	r, err := s.newRequest()
	if err != nil {
		v.failf("%v", err)
		return
	}
	s.session(ctx, v, func(n *session) {
		o, err := n.place(ctx, r)
		if err != nil {
			v.failf("PlaceOrder: %s", kindAndWords(err))
			return
		}
		n.killing = true
		before, ok := n.inspectTwice(ctx, v, o)
		if ok && o.Status != pluginapi.Issued && before.Status == pluginapi.Issued {
			v.failf("InspectOrder makes an order that was %s an issued one", o.Status)
		}
		n.killing = false
		if o, ok = s.finishOrSkip(ctx, v, n, r, o); !ok {
			return
		}
		n.killing = true
		after, ok := n.inspectTwice(ctx, v, o)
		if !ok {
			return
		}
		if after.Status != pluginapi.Issued {
			v.failf("InspectOrder of an order that is issued: %s", after.Status)
		}
		for _, id := range r.Identifiers {
			if len(after.Names) > 0 && !slices.ContainsFunc(after.Names, func(name string) bool { return strings.EqualFold(name, id.Value) }) {
				v.failf("InspectOrder names %q, and %s was ordered", after.Names, id.Value)
			}
		}
		if again, err := n.get(ctx, r, o); err != nil || !slices.EqualFunc(o.Chain, again.Chain, slices.Equal) {
			v.failf("after InspectOrder, GetOrder gives another chain: %v", err)
		}
	})
}

// inspectTwice holds that two looks at an order by its reference see the same.
func (n *session) inspectTwice(ctx context.Context, v *verdict, o pluginapi.Order) (pluginapi.Order, bool) {
	var seen [2]pluginapi.Order
	for i := range seen {
		var err error
		seen[i], err = n.order(ctx, func(ctx context.Context, ca *wire.CAClient) (pluginapi.OrderReply, error) {
			return ca.InspectOrder(ctx, o.Reference, o.State)
		})
		if err != nil {
			v.failf("InspectOrder of an order that is %s: %s", o.Status, kindAndWords(err))
			return pluginapi.Order{}, false
		}
	}
	if seen[0].Status != seen[1].Status || !slices.Equal(seen[0].Names, seen[1].Names) || !seen[0].CoverageEnd.Equal(seen[1].CoverageEnd) {
		v.failf("InspectOrder twice: %s %q until %s, and then %s %q until %s", seen[0].Status, seen[0].Names, seen[0].CoverageEnd,
			seen[1].Status, seen[1].Names, seen[1].CoverageEnd)
		return pluginapi.Order{}, false
	}
	return seen[1], true
}

// checkKill takes an order through with a new process for every call, after the first call was cut off.
func (s *suite) checkKill(ctx context.Context, v *verdict) {
	r, err := s.newRequest()
	if err != nil {
		v.failf("%v", err)
		return
	}
	s.session(ctx, v, func(n *session) {
		n.killing = true
		o, ok := s.complete(ctx, v, n, r)
		if ok {
			checkChain(v, r, o.Chain)
		}
	})
	if len(v.words) > 0 || s.desc.OrdersCostMoney && !s.desc.Has(pluginapi.AbilityFindOrder) {
		return // an order that was cut off could be lost for good
	}
	s.checkCutOff(ctx, v)
}

// checkCutOff kills the process in the middle of PlaceOrder. Whatever had happened, the key leads to one order.
func (s *suite) checkCutOff(ctx context.Context, v *verdict) {
	r, err := s.newRequest()
	if err != nil {
		v.failf("%v", err)
		return
	}
	s.session(ctx, v, func(n *session) {
		call, cancel := s.callContext(ctx)
		defer cancel()
		errs := make(chan error, 1)
		go func() {
			_, err := n.p.ca.PlaceOrder(call, r)
			errs <- err
		}()
		kill := time.NewTimer(2 * time.Millisecond)
		defer kill.Stop()
		<-kill.C
		n.p.kill()
		if err := <-errs; err != nil && pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
			v.failf("PlaceOrder whose process was killed: want unknown-outcome, got %s", kindAndWords(err))
		}
		n.killing = true
		first, err := n.place(ctx, r)
		if err != nil {
			v.failf("PlaceOrder after the process was killed in it: %s", kindAndWords(err))
			return
		}
		second, err := n.place(ctx, r)
		if err != nil || second.Reference != first.Reference {
			v.failf("PlaceOrder once more: %q and then %q, %v", first.Reference, second.Reference, err)
		}
	})
}

// checkOrderSettings orders with a setting that is not in the schema: nothing may be bought on a misunderstanding.
func (s *suite) checkOrderSettings(ctx context.Context, v *verdict) {
	r, err := s.newRequest()
	if err != nil {
		v.failf("%v", err)
		return
	}
	r.Settings.Values = maps.Clone(r.Settings.Values)
	if r.Settings.Values == nil {
		r.Settings.Values = make(map[string]any)
	}
	r.Settings.Values["no_such_setting"] = "x"
	s.session(ctx, v, func(n *session) {
		if _, err := n.place(ctx, r); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
			v.failf("PlaceOrder with a setting that is not in the schema: want invalid-request, got %s", kindAndWords(err))
		}
	})
}

func (s *suite) checkCancel(ctx context.Context, v *verdict) {
	if !s.desc.Has(pluginapi.AbilityCancel) {
		v.skip("not offered")
		return
	}
	r, err := s.newRequest()
	if err != nil {
		v.failf("%v", err)
		return
	}
	s.session(ctx, v, func(n *session) {
		o, err := n.place(ctx, r)
		if err != nil {
			v.failf("PlaceOrder: %s", kindAndWords(err))
			return
		}
		if o.Status == pluginapi.Issued {
			v.skip("the order is issued at once")
			return
		}
		cancel := func() (pluginapi.Order, error) {
			return n.order(ctx, func(ctx context.Context, ca *wire.CAClient) (pluginapi.OrderReply, error) {
				return ca.CancelOrder(ctx, placed(r, o), "plugintest")
			})
		}
		if _, err := cancel(); err != nil {
			v.failf("CancelOrder: %s", kindAndWords(err))
			return
		}
		after, err := n.get(ctx, r, o)
		if err != nil || after.Status != pluginapi.Canceled && after.Status != pluginapi.OrderRejected {
			v.failf("GetOrder after CancelOrder: %s, %v", after.Status, err)
		}
		if _, err := cancel(); err != nil && pluginapi.KindOf(err) != pluginapi.Conflict {
			v.failf("CancelOrder twice: %s", kindAndWords(err))
		}
	})
}

// checkCertificate makes the calls that are about a certificate.
func (s *suite) checkCertificate(ctx context.Context, v *verdict) {
	if !s.desc.Has(pluginapi.AbilityFindByCertificate) && !s.desc.Has(pluginapi.AbilityRenewalInfo) && !s.desc.Has(pluginapi.AbilityRevoke) {
		v.skip("not offered")
		return
	}
	r, err := s.newRequest()
	if err != nil {
		v.failf("%v", err)
		return
	}
	s.session(ctx, v, func(n *session) {
		o, ok := s.complete(ctx, v, n, r)
		if !ok {
			return
		}
		n.killing = true
		leaf := o.Chain[0]
		if s.desc.Has(pluginapi.AbilityFindByCertificate) {
			found, err := n.order(ctx, func(ctx context.Context, ca *wire.CAClient) (pluginapi.OrderReply, error) {
				return ca.FindOrderByCertificate(ctx, leaf)
			})
			if err != nil || found.Reference != o.Reference {
				v.failf("FindOrder by certificate: %q instead of %q, %v", found.Reference, o.Reference, err)
			}
		}
		n.killing = false
		if s.desc.Has(pluginapi.AbilityRenewalInfo) {
			s.checkRenewalInfo(ctx, v, n, leaf)
		}
		if s.desc.Has(pluginapi.AbilityRevoke) {
			s.checkRevoke(ctx, v, n, r, o)
		}
	})
}

func (s *suite) checkRenewalInfo(ctx context.Context, v *verdict, n *session, leaf []byte) {
	ctx, cancel := s.callContext(ctx)
	defer cancel()
	info, err := n.p.ca.RenewalInfo(ctx, leaf)
	if err != nil {
		v.failf("RenewalInfo: %s", kindAndWords(err))
	} else if !sameSerial(leaf, info.Serial) {
		v.failf("RenewalInfo is about the serial %s, which is not that of the certificate", info.Serial)
	}
}

func (s *suite) checkRevoke(ctx context.Context, v *verdict, n *session, r pluginapi.OrderRequest, o pluginapi.Order) {
	const superseded = 4 // RFC 5280 section 5.3.1
	for _, words := range []string{"RevokeCertificate", "RevokeCertificate of what is revoked already"} {
		ctx, cancel := s.callContext(ctx)
		reply, err := n.p.ca.RevokeCertificate(ctx, pluginapi.Revocation{
			Leaf: o.Chain[0], Reason: superseded, Order: &pluginapi.PreviousOrder{Reference: o.Reference, State: o.State, Chain: o.Chain},
		})
		cancel()
		n.keep(reply.AccountState)
		if err != nil {
			v.failf("%s (order %s): %s", words, r.IdempotencyKey, kindAndWords(err))
		}
	}
}

// checkFollowUp renews and reissues.
func (s *suite) checkFollowUp(ctx context.Context, v *verdict) {
	var kinds []pluginapi.OrderKind
	if s.desc.Has(pluginapi.AbilityReissue) {
		kinds = append(kinds, pluginapi.Reissue)
	}
	if s.desc.Has(pluginapi.AbilityRenew) {
		kinds = append(kinds, pluginapi.Renew)
	}
	if len(kinds) == 0 {
		v.skip("not offered")
		return
	}
	r, err := s.newRequest()
	if err != nil {
		v.failf("%v", err)
		return
	}
	s.session(ctx, v, func(n *session) {
		o, ok := s.complete(ctx, v, n, r)
		for i := 0; ok && i < len(kinds); i++ {
			next, err := s.newRequest()
			if err != nil {
				v.failf("%v", err)
				return
			}
			next.Kind = kinds[i]
			next.Previous = &pluginapi.PreviousOrder{Reference: o.Reference, State: o.State, Chain: o.Chain}
			before := len(v.words)
			after, done := s.complete(ctx, v, n, next)
			if !done {
				for j := before; j < len(v.words); j++ {
					v.words[j] = kinds[i].String() + ": " + v.words[j]
				}
				return
			}
			checkChain(v, next, after.Chain)
			if slices.Equal(after.Chain[0], o.Chain[0]) {
				v.failf("%s gives the certificate that was there before", kinds[i])
			}
			o = after
		}
	})
}
