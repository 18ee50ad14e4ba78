package digicert

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// view is what is known of an order during one call.
type view struct {
	placed     pluginapi.PlacedOrder
	settings   pluginapi.Settings
	validation string // request.DV and so on
	id         certcentral.ID
	st         state
	order      certcentral.Order
	// remark is what DigiCert said about the last look at what is published.
	remark string
}

// GetOrder reads an order and takes its next step.
func (c *CA) GetOrder(ctx context.Context, placed pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	s, v, err := c.view(ctx, placed)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	return s.step(ctx, v)
}

// view reads an order from DigiCert.
func (c *CA) view(ctx context.Context, placed pluginapi.PlacedOrder) (*session, *view, error) {
	s, err := c.up.Get()
	if err != nil {
		return nil, nil, err
	}
	id, err := orderID(placed.Reference)
	if err != nil {
		return nil, nil, err
	}
	v := &view{placed: placed, settings: s.orderSettings(placed.Settings), id: id, st: decodeState(placed.State)}
	_, v.validation = request.Product(v.settings)
	return s, v, s.refresh(ctx, v)
}

func (s *session) refresh(ctx context.Context, v *view) error {
	o, err := s.client.Order(ctx, v.id)
	if err != nil {
		return restca.Fail("read order "+v.id.String(), err)
	}
	v.order = o
	switch validation := strings.ToLower(string(o.Product.ValidationType)); validation {
	case request.DV, request.OV, request.EV, request.Private: // the order's own word counts for more than the settings'
		v.validation = validation
	}
	return nil
}

// step makes the reply to what an order looks like, and does what is next.
func (s *session) step(ctx context.Context, v *view) (pluginapi.OrderReply, error) {
	out, err := s.stand(ctx, v)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if now := string(v.order.Status) + " " + out.Status.String(); now != v.st.Status {
		v.st.Status, v.st.Looks = now, 0
	}
	if out.LookAgainAfter == nil {
		out.LookAgainAfter = pluginapi.After(s.pace(v, out))
	}
	v.st.Looks++
	return s.reply(v, out), nil
}

// reply completes what is said of an order.
func (s *session) reply(v *view, out pluginapi.Order) pluginapi.OrderReply {
	out.Reference, out.State, out.CoverageEnd = reference(v.id), v.st.encode(), coverageEnd(v.order)
	if v.placed.Kind != pluginapi.Reissue { // what a reissue adds to the price of its order is not told
		out.Price = priceOf(v.order)
	}
	return pluginapi.OrderReply{Order: out}
}

// stand says where an order stands.
func (s *session) stand(ctx context.Context, v *view) (pluginapi.Order, error) {
	if v.placed.Kind == pluginapi.Reissue {
		return s.reissueStands(ctx, v)
	}
	if status, final := finalStatus(string(v.order.Status)); final {
		return pluginapi.Order{Status: status, Detail: fmt.Sprintf("order %s is %s at DigiCert%s", v.id, v.order.Status, s.comments(ctx, v.order.Requests))}, nil
	}
	switch v.order.Status {
	case certcentral.OrderNeedsApproval:
		return s.approval(v, openRequest(v.order.Requests, "", v.st.RequestID)), nil
	case certcentral.OrderIssued, certcentral.OrderReissuePending, certcentral.OrderApproved:
		if c := v.order.Certificate; c.Status == certcentral.OrderRevoked && c.ID == v.st.CertificateID {
			return revoked(v, c), nil
		}
		return s.issued(ctx, v)
	case certcentral.OrderPending:
		if r := openRequest(v.order.Requests, "", v.st.RequestID); r.ID != 0 {
			return s.approval(v, r), nil
		}
		return s.validate(ctx, v)
	default: // processing, waiting_pickup, and what nobody knows yet
		return pluginapi.Order{Status: pluginapi.Processing, Detail: fmt.Sprintf("order %s is %s at DigiCert", v.id, v.order.Status)}, nil
	}
}

// reissueStands says where a reissue stands; the order it belongs to has a life of its own.
func (s *session) reissueStands(ctx context.Context, v *view) (pluginapi.Order, error) {
	if out, ended, err := s.reissueEnded(ctx, v); err != nil || ended {
		return out, err
	}
	if s.over(v.order) {
		return s.tooLate(ctx, v)
	}
	switch v.order.Status {
	case certcentral.OrderIssued, certcentral.OrderApproved, certcentral.OrderNeedsApproval:
		if r := s.ownOpenRequest(v); r.ID != 0 {
			return s.approval(v, r), nil
		}
		return s.issued(ctx, v)
	case certcentral.OrderReissuePending, certcentral.OrderPending:
		if r := s.ownOpenRequest(v); r.ID != 0 {
			return s.approval(v, r), nil
		}
		if chain, err := s.ownChain(ctx, v); err != nil || chain != nil {
			return s.issuedReply(v, chain), err // issued, and the order waits for another reissue
		}
		return s.validate(ctx, v)
	default:
		if status, final := finalStatus(string(v.order.Status)); final {
			return pluginapi.Order{Status: status, Detail: fmt.Sprintf("order %s, which was to be reissued, is %s at DigiCert", v.id, v.order.Status)}, nil
		}
		return pluginapi.Order{Status: pluginapi.Processing, Detail: fmt.Sprintf("order %s is %s at DigiCert", v.id, v.order.Status)}, nil
	}
}

// over reports that an order's plan has ended, with a day's grace for time zones.
func (s *session) over(o certcentral.Order) bool {
	end := coverageEnd(o)
	return !end.IsZero() && s.now().After(end.Add(24*time.Hour))
}

// tooLate is the reply for a reissue whose plan has ended meanwhile: unless it was issued, it never will be, and the
// daemon goes on to the next plan.
func (s *session) tooLate(ctx context.Context, v *view) (pluginapi.Order, error) {
	if chain, err := s.ownChain(ctx, v); err != nil || chain != nil {
		return s.issuedReply(v, chain), err
	}
	detail := fmt.Sprintf("the plan of order %s ended on %s while its reissue waited: nothing is issued on it any more", v.id, coverageEnd(v.order).Format(time.DateOnly))
	if r := s.ownOpenRequest(v); r.ID != 0 {
		detail += fmt.Sprintf("; reject request %s in the console", r.ID)
	}
	return pluginapi.Order{Status: pluginapi.Expired, Detail: detail}, nil
}

// revoked is the reply for a certificate that was revoked before it could be installed.
func revoked(v *view, c certcentral.Certificate) pluginapi.Order {
	return pluginapi.Order{Status: pluginapi.OrderRejected, Detail: fmt.Sprintf("certificate %s of order %s is revoked", c.ID, v.id)}
}

// vanished is how long a reissue may be missing at DigiCert before it counts as canceled.
const vanished = 10 * time.Minute

// reissueEnded finds out whether a reissue was rejected or canceled, which leaves its order as it was before. It also
// learns which certificate the reissue is for.
func (s *session) reissueEnded(ctx context.Context, v *view) (pluginapi.Order, bool, error) {
	for _, r := range v.order.Requests {
		if r.Status == certcentral.RequestRejected && (r.ID == v.st.RequestID || strings.Contains(string(r.Comments), remark(v.placed.OrderRequest))) {
			return pluginapi.Order{
				Status: pluginapi.OrderRejected, Detail: fmt.Sprintf("request %s for a reissue of order %s was rejected%s", r.ID, v.id, s.comments(ctx, []certcentral.Request{r})),
			}, true, nil
		}
	}
	list, err := s.client.Reissues(ctx, v.id)
	if err != nil {
		return pluginapi.Order{}, false, restca.Fail("list the reissues of order "+v.id.String(), err)
	}
	i := slices.IndexFunc(list, func(c certcentral.Certificate) bool { return v.st.CertificateID != 0 && c.ID == v.st.CertificateID })
	own, found := ownCertificate(list, v.placed.OrderRequest)
	switch {
	case i >= 0:
		own, found = list[i], true
	case found:
		v.st.CertificateID = own.ID
	}
	waits := v.order.Status == certcentral.OrderReissuePending || v.order.Status == certcentral.OrderNeedsApproval ||
		s.ownOpenRequest(v).ID != 0 || v.order.Certificate.ID == v.st.CertificateID && v.st.CertificateID != 0
	s.noteMissing(v, !found && !waits)
	switch {
	case found && own.Status == certcentral.OrderRevoked:
		return revoked(v, own), true, nil
	case found && dropped(own):
		return pluginapi.Order{Status: pluginapi.Canceled, Detail: fmt.Sprintf("the reissue of order %s is %s at DigiCert", v.id, own.Status)}, true, nil
	case !v.st.Missing.IsZero() && s.now().Sub(v.st.Missing) > vanished:
		return pluginapi.Order{Status: pluginapi.Canceled, Detail: fmt.Sprintf("the reissue is not among those of order %s any more: it was canceled", v.id)}, true, nil
	default:
		return pluginapi.Order{}, false, nil
	}
}

// noteMissing keeps since when a reissue is not to be seen. It counts from when that was noticed: a request may have been
// approved a moment ago, however long it waited, and the list may not have its certificate yet.
func (s *session) noteMissing(v *view, missing bool) {
	now := s.now().UTC()
	switch {
	case !missing:
		v.st.Missing = time.Time{}
	case v.st.Missing.IsZero(), v.st.Missing.After(now): // a clock that was set back
		v.st.Missing = now
	}
}

// issued fetches the certificate of an order that says it is issued.
func (s *session) issued(ctx context.Context, v *view) (pluginapi.Order, error) {
	chain, err := s.ownChain(ctx, v)
	switch {
	case err != nil:
		return pluginapi.Order{}, err
	case chain == nil:
		return pluginapi.Order{Status: pluginapi.Processing, Detail: fmt.Sprintf("order %s is %s, and its certificate cannot be downloaded yet", v.id, v.order.Status)}, nil
	default:
		return s.issuedReply(v, chain), nil
	}
}

// issuedReply tells a certificate, and when it ends: DigiCert shortens what was asked for without saying so.
func (s *session) issuedReply(v *view, chain [][]byte) pluginapi.Order {
	if chain == nil {
		return pluginapi.Order{}
	}
	detail := fmt.Sprintf("order %s is issued", v.id)
	if words := lifetimeWords(v, chain[0]); words != "" {
		detail += ": " + words
		s.log.Warn("certificate ends earlier than asked for", "order", v.id, "detail", words)
	}
	return pluginapi.Order{Status: pluginapi.Issued, Chain: chain, Detail: detail}
}

// finalStatus is what an order's last statuses mean.
func finalStatus(status string) (pluginapi.OrderStatus, bool) {
	switch status {
	case certcentral.OrderRejected, certcentral.OrderDenied, certcentral.OrderRevoked:
		return pluginapi.OrderRejected, true
	case certcentral.OrderCanceled:
		return pluginapi.Canceled, true
	case certcentral.OrderExpired:
		return pluginapi.Expired, true
	default:
		return 0, false
	}
}

func ended(status string) bool {
	_, final := finalStatus(status)
	return final
}

// comments are what people wrote who rejected requests; where that cannot be read, what stands on the requests.
func (s *session) comments(ctx context.Context, list []certcentral.Request) string {
	var words []string
	for _, r := range list {
		if r.Status != certcentral.RequestRejected {
			continue
		}
		if full, err := s.client.Request(ctx, r.ID); err == nil && full.Processor != "" {
			r.Comments = full.Processor
		}
		if r.Comments != "" {
			words = append(words, string(r.Comments))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return ": " + strings.Join(words, "; ")
}

// coverageEnd is the end of the last day of a plan. The day is given without a time zone.
func coverageEnd(o certcentral.Order) time.Time {
	end := o.OrderValidTill.Time
	if end.IsZero() {
		return end
	}
	if end.Equal(end.Truncate(24 * time.Hour)) {
		end = end.Add(24*time.Hour - time.Second)
	}
	return end.UTC()
}

// pace is when to look at an order again: soon after it moved, then less and less often.
func (s *session) pace(v *view, out pluginapi.Order) time.Duration {
	const person = 5 * time.Minute
	quick := []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second}
	switch {
	case out.Status == pluginapi.PendingApproval, out.Action != nil:
		return person
	case out.Status == pluginapi.PendingValidation && !v.st.Responded:
		return pollInterval
	case v.st.Looks < len(quick):
		return quick[v.st.Looks]
	case v.st.Looks < 40:
		return pollInterval
	default:
		return person
	}
}
