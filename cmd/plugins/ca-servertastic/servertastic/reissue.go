package servertastic

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// reissue asks for another certificate of an order that is paid. A reissue has no mark: it is told from others by what is
// to be published for it, and by its certificate.
func (s *session) reissue(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	reference, token, before, err := s.previousOrder(ctx, order)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	return s.reissueOf(ctx, order, reference, token, before)
}

// previousOrder is the order to reissue: by its reference, or by the certificate where that is all there is.
func (s *session) previousOrder(ctx context.Context, order pluginapi.OrderRequest) (string, pluginapi.Secret, state, error) {
	p := order.Previous
	switch {
	case p == nil || p.Reference == "" && len(p.Chain) == 0:
		return "", pluginapi.Secret{}, state{}, pluginapi.FieldErrorf("previous", "a reissue must say what it follows")
	case p.Reference == "":
		f, err := s.orderOfCertificate(ctx, p.Chain[0])
		return f.reference, f.token, f.st, err
	}
	st := decodeState(p.State)
	token, err := s.locate(ctx, p.Reference, st, pluginapi.NewSecret(order.Settings.Secret(request.SecretToken).Reveal()))
	return p.Reference, token, st, err
}

// reissueOf asks for another certificate of an order.
func (s *session) reissueOf(ctx context.Context, order pluginapi.OrderRequest, reference string, token pluginapi.Secret, before state) (pluginapi.OrderReply, error) {
	names, err := namesOf(order)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	method, err := chooseMethod(order)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	values, err := request.Reissue(order.Settings, request.Computed{CSR: order.CSR, Method: method, Names: names})
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if before.CSR == fingerprint(order.CSR) && request.ProductOf(order.Settings).Family == request.FamilySectigo {
		return pluginapi.OrderReply{}, pluginapi.FieldErrorf("csr", "is the one from before, and Sectigo wants a new one for each certificate: order without reuse_key")
	}
	leave, err := s.orders.Enter(ctx, "order "+reference)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	defer leave()
	r, err := s.client.Review(ctx, token)
	if err != nil {
		return pluginapi.OrderReply{}, restca.Fail("read order "+reference, err)
	}
	if arrived(order, r) {
		return s.reissued(order, reference, token, r, before, ordertoken.Placed{}, s.now()), nil
	}
	if err := reissuable(reference, r); err != nil {
		return pluginapi.OrderReply{}, err
	}
	p, err := s.client.Reissue(ctx, token, values)
	if err != nil {
		return pluginapi.OrderReply{}, s.notReissued(reference, err)
	}
	s.log.Info("reissue requested", "order", orElse(r.OrderID, reference))
	return s.reissued(order, reference, token, r, before, p, s.now()), nil
}

// notReissued says what the failure of a request for a reissue means.
func (s *session) notReissued(reference string, cause error) error {
	failure := restca.FailOnce("reissue order "+reference, cause)
	if failure.Kind == pluginapi.InvalidRequest || failure.Kind == pluginapi.NotFound {
		// Certificates of the order there were before, and their settings were good: a person has to look.
		return pluginapi.Errorf(pluginapi.NeedsPerson, "%s; look whether the order's term has ended: if so, say for how long orders are reissued in term_months", failure.Message)
	}
	return failure
}

// reissuable says why an order has no reissue to give now.
func reissuable(reference string, r ordertoken.Review) error {
	switch r.Status {
	case ordertoken.StatusCompleted:
		return nil
	case ordertoken.StatusCancelled, ordertoken.StatusRollBack:
		return pluginapi.Errorf(pluginapi.NeedsPerson, "order %s is %q at ServerTastic: nothing is reissued on it; approve buying another order", orElse(r.OrderID, reference), r.Told)
	default:
		return pluginapi.Errorf(pluginapi.Conflict, "order %s is %q at ServerTastic: it has no certificate to reissue yet, or another reissue is under way", orElse(r.OrderID, reference), r.Told)
	}
}

// arrived reports that what the API shows of an order is about this request.
func arrived(order pluginapi.OrderRequest, r ordertoken.Review) bool {
	csr, err := x509.ParseCertificateRequest(order.CSR)
	if err != nil {
		return false
	}
	return ownLeaf(order, csr, r) != nil || sectigoToken(order.CSR).matches(r.Control)
}

// reissued is the reply to a reissue that ServerTastic has taken.
func (s *session) reissued(order pluginapi.OrderRequest, reference string, token pluginapi.Secret, r ordertoken.Review, before state, p ordertoken.Placed, at time.Time) pluginapi.OrderReply {
	st := state{
		Sealed: s.seal(token), OrderID: orElse(r.OrderID, before.OrderID), Bought: before.Bought, Ends: before.Ends,
		Placed: at.UTC(), Reissue: true, CSR: fingerprint(order.CSR), Control: p.Control, Wrong: notOurs(p, order.CSR), Looks: 1,
	}
	st.Method, _ = chooseMethod(order)
	if st.Before = markOf(r.Control); st.Before == markOf(p.Control) || p.Control.Empty() && arrived(order, r) {
		st.Before = "" // it is what is to be published for this one
	}
	st.Carried, st.Single = before.Carried, before.Single || saidTerm(order.Settings) && request.TermMonths(order.Settings) == 0
	if st.Ends.IsZero() && !st.Single {
		st.Ends = ends(orTime(st.Bought, r.First().Time), termOf(order.Settings, r.Product))
	}
	return pluginapi.OrderReply{Order: pluginapi.Order{
		Reference: reference, State: st.encode(), Status: pluginapi.Processing, CoverageEnd: st.Ends,
		Detail:         fmt.Sprintf("ServerTastic has taken the reissue of order %s", orElse(st.OrderID, reference)),
		LookAgainAfter: pluginapi.After(0),
	}}
}

func (s *session) findLostReissue(ctx context.Context, order pluginapi.OrderRequest, sentAt time.Time) (pluginapi.OrderReply, error) {
	reference, token, before, err := s.previousOrder(ctx, order)
	if err != nil {
		return pluginapi.OrderReply{}, notNotFound(err)
	}
	r, err := s.client.Review(ctx, token)
	if err != nil {
		return pluginapi.OrderReply{}, notNotFound(restca.Fail("read order "+reference, err))
	}
	return s.reissueFound(ctx, order, reference, token, r, before, sentAt)
}

// reissueFound tells from what an order shows whether a reissue was taken: by its certificate, by Sectigo's values, which
// are made from the request; by the status, which is not that of an order at rest; or by values to publish that are not
// those from before, where the CA is asked to look for them and does. Only when ServerTastic's copy must be younger than the
// call does their absence say no.
func (s *session) reissueFound(ctx context.Context, order pluginapi.OrderRequest, reference string, token pluginapi.Secret, r ordertoken.Review, before state, sentAt time.Time) (pluginapi.OrderReply, error) {
	switch {
	case r.Status == ordertoken.StatusCancelled, r.Status == ordertoken.StatusRollBack:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "order %s is %q at ServerTastic: it has no reissue", reference, r.Told)
	case arrived(order, r):
		return s.reissued(order, reference, token, r, before, ordertoken.Placed{}, sentAt), nil
	}
	underWay := r.Status != ordertoken.StatusCompleted
	if !underWay && changed(order, r.Control, before.Control) {
		var err error
		if underWay, err = s.looksFor(ctx, reference, token); err != nil {
			return pluginapi.OrderReply{}, err
		}
	}
	if underWay {
		reply := s.reissued(order, reference, token, r, before, ordertoken.Placed{}, sentAt)
		st := decodeState(reply.Order.State)
		st.Before = markOf(before.Control)
		reply.Order.State = st.encode()
		return reply, nil
	}
	if wait := sentAt.Add(2 * s.settings.sync).Sub(s.now()); wait > 0 {
		e := pluginapi.Errorf(pluginapi.Unavailable, "whether order %s is being reissued is not to be seen yet", reference)
		e.RetryAfter = max(min(wait, s.settings.sync), time.Second)
		return pluginapi.OrderReply{}, e
	}
	return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "order %s shows no reissue", reference)
}

// looksFor reports whether the CA looks for what is published for an order, as it does while a certificate is to be validated.
// The random values of an order that is complete change without one: they are made anew after 30 days. Where that is all, the
// reissue is asked for again, which costs nothing. (Not confirmed by ServerTastic's pages: that pollauth refuses an order that
// waits for nothing. If it does not, the values alone tell, and somebody is asked to look after a day.)
func (s *session) looksFor(ctx context.Context, reference string, token pluginapi.Secret) (bool, error) {
	_, err := s.client.PollAuth(ctx, token)
	switch {
	case err == nil:
		return true, nil
	case declined(err):
		return false, nil
	default:
		return false, notNotFound(restca.Fail("have the CA look whether order "+reference+" is being reissued", err))
	}
}

// changed reports values that are known to be others than before, and may be ours.
func changed(order pluginapi.OrderRequest, now, before ordertoken.Control) bool {
	return markOf(now) != "" && markOf(before) != "" && markOf(now) != markOf(before) && sectigoToken(order.CSR).fits(now)
}
