package servertastic

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// view is what is known of an order during one call.
type view struct {
	placed pluginapi.PlacedOrder
	names  request.Names
	token  pluginapi.Secret
	st     state
	review ordertoken.Review
	// remark is what ServerTastic said about the last look at what is published.
	remark string
}

// reissue reports whether the certificate that is waited for is not the order's first.
func (v *view) reissue() bool { return v.placed.Kind == pluginapi.Reissue || v.st.Reissue }

// name is the order's, for people.
func (v *view) name() string {
	return orElse(v.review.OrderID, orElse(v.st.OrderID, v.placed.Reference))
}

// GetOrder reads an order and takes its next step.
func (c *CA) GetOrder(ctx context.Context, placed pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	s, v, err := c.view(ctx, placed)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if v.st.Placed.IsZero() && s.notes.take(v.st.Note) { // noted a moment ago, and surely not sent
		return s.place(ctx, v)
	}
	if err := s.refresh(ctx, v); err != nil {
		return pluginapi.OrderReply{}, err
	}
	return s.step(ctx, v)
}

// view finds the token of an order. What the API shows of it is not read yet.
func (c *CA) view(ctx context.Context, placed pluginapi.PlacedOrder) (*session, *view, error) {
	s, err := c.up.Get()
	if err != nil {
		return nil, nil, err
	}
	v := &view{placed: placed, st: decodeState(placed.State)}
	if v.names, err = namesOf(placed.OrderRequest); err != nil {
		return nil, nil, err
	}
	v.st.settleClock(s.now(), s.settings.sync)
	given, _ := givenToken(placed.OrderRequest)
	if v.token, err = s.locate(ctx, placed.Reference, v.st, given); err != nil {
		return nil, nil, err
	}
	if _, ok := s.open(v.st.Sealed); !ok {
		v.st.Sealed = s.seal(v.token)
	}
	return s, v, nil
}

func (s *session) refresh(ctx context.Context, v *view) error {
	r, err := s.client.Review(ctx, v.token)
	if err != nil {
		return unseen("read order "+v.name(), err)
	}
	v.review = r
	if v.st.OrderID == "" {
		v.st.OrderID = r.OrderID
	}
	return nil
}

// step makes the reply to what an order looks like, and does what is next.
func (s *session) step(ctx context.Context, v *view) (pluginapi.OrderReply, error) {
	out, err := s.stand(ctx, v)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if now := v.review.Status + " " + out.Status.String(); now != v.st.Status {
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
	if saidTerm(v.placed.Settings) && request.TermMonths(v.placed.Settings) == 0 {
		v.st.Single = true // as for orders that were taken over
	}
	v.st.told(v.review)
	if v.st.Ends.IsZero() && !v.st.Single {
		v.st.Ends = ends(orTime(v.st.Bought, v.review.First().Time), termOf(v.placed.Settings, v.review.Product))
	}
	if v.st.Wrong != "" && out.Action == nil && (out.Status == pluginapi.Processing || out.Status == pluginapi.PendingValidation) {
		out.Action = &pluginapi.PersonAction{Who: "whoever runs certbridged, with ServerTastic's support", What: v.st.Wrong}
	}
	out.Reference, out.State, out.CoverageEnd = v.placed.Reference, v.st.encode(), v.st.Ends
	return pluginapi.OrderReply{Order: out}
}

// stand says where an order stands.
func (s *session) stand(ctx context.Context, v *view) (pluginapi.Order, error) {
	r := v.review
	if err := s.otherDomain(v); err != nil {
		return pluginapi.Order{}, err
	}
	switch {
	case r.Status == ordertoken.StatusCancelled:
		return pluginapi.Order{Status: pluginapi.Canceled, Detail: fmt.Sprintf("order %s is canceled at ServerTastic%s", v.name(), s.further(v))}, nil
	case r.Status == ordertoken.StatusRollBack:
		return pluginapi.Order{Status: pluginapi.OrderRejected, Detail: fmt.Sprintf("order %s could not be placed with the CA and was rolled back; it takes a new order%s", v.name(), s.further(v))}, nil
	case r.Unplaced() || r.Unclear():
		return s.unplaced(ctx, v)
	}
	if v.st.Placed.IsZero() { // by a call whose answer was lost, or by a person
		v.st.Placed = s.now().UTC()
	}
	if out, done, err := s.issued(v); done || err != nil { // whatever the status says, which may be late
		return out, err
	}
	switch r.Status {
	case ordertoken.StatusValidation, ordertoken.StatusPlaced:
		return s.validate(ctx, v)
	case ordertoken.StatusApproval:
		return s.approval(ctx, v)
	case ordertoken.StatusQueued:
		return pluginapi.Order{Status: pluginapi.Processing, Detail: fmt.Sprintf(
			"the CA's people look at order %s before it is issued, which takes until the next working day at most times; another order for the name would be looked at, too: do not cancel this one%s", v.name(), s.further(v))}, nil
	case ordertoken.StatusReview:
		return pluginapi.Order{
			Status: pluginapi.Processing, Detail: fmt.Sprintf("ServerTastic holds order %s to look at it%s", v.name(), s.further(v)),
			Action: &pluginapi.PersonAction{Who: "ServerTastic", What: "release order " + v.name() + "; ask its support when that lasts for more than a working day"},
		}, nil
	case ordertoken.StatusCompleted:
		return s.completed(ctx, v)
	default:
		s.log.Warn("order in a status that is not known", "order", v.name(), "status", r.Told)
		return pluginapi.Order{Status: pluginapi.Processing, Detail: fmt.Sprintf("order %s is %q at ServerTastic, which is not known here%s", v.name(), r.Told, s.further(v))}, nil
	}
}

// otherDomain keeps away from an order that is for another name than ours, as with one order_token for two certificates.
func (s *session) otherDomain(v *view) error {
	theirs, ours := domainOf(v.review.Domain), domainOf(v.names.Common)
	if theirs == "" || theirs == ours {
		return nil
	}
	return pluginapi.Errorf(pluginapi.NeedsPerson, "order %s is for %s at ServerTastic, and not for %s: it is not touched; look whether its order_token stands with another certificate, too", v.name(), restca.Clean(v.review.Domain, 100), v.names.Common)
}

// domainOf is a name without what the API may leave out or add: a wildcard's beginning, or www.
func domainOf(name string) string { return strings.TrimPrefix(baseName(name), "www.") }

// approval: the CA validates the organization of OV and EV orders, or looks at a name that resembles a brand. Control over
// the names may be left to show at the same time.
func (s *session) approval(ctx context.Context, v *view) (pluginapi.Order, error) {
	out, err := s.validate(ctx, v)
	if err != nil || out.Status == pluginapi.PendingValidation && !v.st.Responded {
		return out, err
	}
	out.Status, out.Detail = pluginapi.Processing, fmt.Sprintf("the CA looks at order %s before it is issued%s", v.name(), s.further(v))
	if request.ProductOf(v.placed.Settings).Validation != request.DV {
		out.Detail = fmt.Sprintf("order %s waits for the CA's validation of the organization, which takes up to ten working days%s", v.name(), s.further(v))
		out.Action = &pluginapi.PersonAction{Who: "the organization's contacts", What: "answer the CA's mails and calls about order " + v.name()}
	}
	return out, nil
}

// further is ServerTastic's free text about a status, for people.
func (s *session) further(v *view) string {
	if text := s.client.Words(v.review.Further, v.token); text != "" {
		return "; ServerTastic says: " + text
	}
	return ""
}

// completed: the order is issued, and the certificate for our request is not to be seen. That of a reissue may still have to
// be validated, while the order's status speaks of its first certificate.
func (s *session) completed(ctx context.Context, v *view) (pluginapi.Order, error) {
	if v.reissue() {
		return s.overtaken(ctx, v)
	}
	if err := s.late(v, fmt.Sprintf("order %s is completed, and none of the %d certificates that ServerTastic shows is for the key of the request", v.name(), len(v.review.Certificates))); err != nil {
		return pluginapi.Order{}, err
	}
	return pluginapi.Order{Status: pluginapi.Processing, Detail: fmt.Sprintf("order %s is completed, and its certificate is not to be seen yet", v.name())}, nil
}

// overtaken is the step of a reissue whose order is completed: it may still have to be validated, and the status speaks of the
// certificate before. But where there is a younger one for another key, it was replaced, and its values are somebody else's.
func (s *session) overtaken(ctx context.Context, v *view) (pluginapi.Order, error) {
	const patience = 24 * time.Hour
	for _, c := range v.review.Certificates {
		if !c.IsCA && c.NotBefore.After(v.st.Placed) && (v.placed.Previous == nil || !restca.IsEarlier(c, v.placed.Previous.Chain)) {
			return pluginapi.Order{}, pluginapi.Errorf(pluginapi.NeedsPerson, "order %s was reissued by somebody else since (serial %s), so that this reissue is not to be expected any more: cancel this order here, which leaves the one at ServerTastic as it is; the reissue is asked for again and costs nothing", v.name(), restca.Serial(c))
		}
	}
	out, err := s.validate(ctx, v)
	if err == nil && v.st.Responded && out.Action == nil && out.Status != pluginapi.Issued && s.now().Sub(v.st.Placed) > patience {
		out.Action = &pluginapi.PersonAction{
			Who:  "whoever runs certbridged",
			What: fmt.Sprintf("look at order %s in ServerTastic's control panel: its reissue may have been replaced or never have arrived; if so, cancel this order here, and it is asked for again, which costs nothing", v.name()),
		}
	}
	return out, err
}

// late counts for how long something has been missing of a completed order; after half an hour, in which ServerTastic has
// copied it a number of times, it is an error.
func (s *session) late(v *view, words string) error {
	if v.st.Completed.IsZero() {
		v.st.Completed = s.now().UTC()
	}
	if s.now().Sub(v.st.Completed) < 6*s.settings.sync {
		return nil
	}
	return pluginapi.Errorf(pluginapi.NeedsPerson, "%s; look at the order in ServerTastic's control panel, or ask its support", words)
}

// pace is when to look at an order again: soon after it moved, then as often as ServerTastic copies orders, then less and
// less often.
func (s *session) pace(v *view, out pluginapi.Order) time.Duration {
	period := s.settings.sync
	first := min(period, max(period/5, time.Second))
	switch {
	case v.review.Status == ordertoken.StatusApproval, v.review.Status == ordertoken.StatusQueued, v.review.Status == ordertoken.StatusReview:
		return 6 * period
	case out.Status == pluginapi.PendingValidation && out.Action == nil && !v.st.Responded:
		return period
	case v.st.Looks < 2:
		return first
	case v.st.Looks < 26: // two hours
		return period
	case v.st.Looks < 120: // a day
		return 3 * period
	default:
		return 12 * period
	}
}
