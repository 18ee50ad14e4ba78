package tencent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/request"
	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/sslapi"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// view is what is known of an order during one call.
type view struct {
	placed     pluginapi.PlacedOrder
	validation string // request.DV and so on
	id         string
	st         state
	cert       sslapi.Certificate
	// remark is what Tencent said about the last look at what is published.
	remark string
	// coverage is until when is paid, once there is a certificate.
	coverage time.Time
}

// GetOrder reads a certificate and takes its next step.
func (c *CA) GetOrder(ctx context.Context, placed pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	s, v, err := c.view(ctx, placed)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	return s.step(ctx, v)
}

// view reads a certificate from Tencent.
func (c *CA) view(ctx context.Context, placed pluginapi.PlacedOrder) (*session, *view, error) {
	s, err := c.up.Get()
	if err != nil {
		return nil, nil, err
	}
	id, err := certificateID(placed.Reference)
	if err != nil {
		return nil, nil, err
	}
	v := &view{placed: placed, id: id, st: decodeState(placed.State), validation: request.Validation(placed.Settings)}
	return s, v, s.refresh(ctx, v)
}

func (s *session) refresh(ctx context.Context, v *view) error {
	c, err := s.client.Certificate(ctx, v.id)
	if err != nil {
		return sslapi.Fail("read certificate "+v.id, err)
	}
	v.cert = c
	if !c.Is(sslapi.ToSubmit) {
		v.st.Left = true
	}
	if c.OrderID != "" {
		v.st.Order = restca.Clean(string(c.OrderID), 64)
	}
	return nil
}

// step makes the reply to what a certificate looks like, and does what is next.
func (s *session) step(ctx context.Context, v *view) (pluginapi.OrderReply, error) {
	out, err := s.stand(ctx, v)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if now := fmt.Sprintf("%d %s", v.cert.Stands(), out.Status); now != v.st.Status {
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
	v.st.PaidUntil = v.paidUntil()
	out.Reference, out.State, out.CoverageEnd = v.id, v.st.encode(), v.coverage
	return pluginapi.OrderReply{Order: out}
}

// paidUntil is the end of what was paid for: TimeSpan years from the purchase. A reissue has it from the order before.
func (v *view) paidUntil() time.Time {
	years := request.Years(v.placed.Settings)
	switch p := v.placed.Previous; {
	case !v.st.PaidUntil.IsZero():
		return v.st.PaidUntil
	case v.placed.Kind == pluginapi.Reissue && p != nil:
		return decodeState(p.State).PaidUntil
	case v.placed.Kind == pluginapi.Reissue || v.cert.InsertTime.IsZero() || years == 0:
		return time.Time{}
	default:
		return v.cert.InsertTime.AddDate(years, 0, 0).UTC()
	}
}

// stand says where an order stands.
func (s *session) stand(ctx context.Context, v *view) (pluginapi.Order, error) {
	status := v.cert.Stands()
	plain := fmt.Sprintf("certificate %s is %s at Tencent Cloud%s", v.id, status, v.words())
	switch status {
	case sslapi.ToSubmit:
		return s.submit(ctx, v)
	case sslapi.UnderReview, sslapi.RecordAdded, sslapi.LetterWanted:
		return s.pending(ctx, v)
	case sslapi.Issued:
		return s.issued(ctx, v)
	case sslapi.Reissuing:
		return s.reissuing(ctx, v)
	case sslapi.ReviewFailed:
		return pluginapi.Order{Status: pluginapi.OrderRejected, Detail: plain + "; it stays paid: mend what was wrong and name it by cert_id = \"" + v.id + "\", and it is handed in again"}, nil
	case sslapi.Expired:
		return pluginapi.Order{Status: pluginapi.Expired, Detail: plain}, nil
	case sslapi.Canceled:
		return pluginapi.Order{Status: pluginapi.Canceled, Detail: plain + "; it stays paid: name it by cert_id = \"" + v.id + "\" to use it"}, nil
	case sslapi.Refunded:
		return pluginapi.Order{Status: pluginapi.Canceled, Detail: plain}, nil
	case sslapi.Revoking, sslapi.Revoked:
		return pluginapi.Order{Status: pluginapi.OrderRejected, Detail: plain}, nil
	case sslapi.RevokeLetter:
		return pluginapi.Order{Status: pluginapi.Processing, Detail: plain, Action: s.person("upload the letter that confirms the revocation, or take the revocation back (certificate " + v.id + ")")}, nil
	case sslapi.FreeToSubmit:
		return pluginapi.Order{Status: pluginapi.Processing, Detail: plain, Action: s.person("finish or cancel the free certificate " + v.id + ": certbridged orders paid ones")}, nil
	default: // canceling, migrating, and what nobody knows yet
		return pluginapi.Order{Status: pluginapi.Processing, Detail: plain}, nil
	}
}

// words are what Tencent says of a certificate's status, for people alone: they may be old.
func (v *view) words() string {
	text := restca.Clean(string(v.cert.StatusMsg), 300)
	if text == "" || text == "--" {
		return ""
	}
	return " (" + text + ")"
}

// person is somebody at the customer who must act in the console.
func (s *session) person(what string) *pluginapi.PersonAction {
	return &pluginapi.PersonAction{Who: "somebody who may manage certificates in the account's console", What: what, URL: s.client.Console()}
}

// reissuing: while a reissue runs, it is the old certificate that says so, or the new one.
// (Not confirmed by Tencent's pages: which. What the certificate holds tells.)
func (s *session) reissuing(ctx context.Context, v *view) (pluginapi.Order, error) {
	if v.cert.PublicKey != "" && v.placed.Kind != pluginapi.Reissue {
		return s.issued(ctx, v)
	}
	return s.pending(ctx, v)
}

// pending is the reply while domain control is to be shown, people look at an order, or the CA does.
func (s *session) pending(ctx context.Context, v *view) (pluginapi.Order, error) {
	if len(v.cert.Auth.All()) > 0 {
		return s.validate(ctx, v)
	}
	if v.reviewed() {
		return s.review(v), nil
	}
	detail := fmt.Sprintf("certificate %s is %s%s", v.id, v.cert.Stands(), v.words())
	if v.st.Responded {
		return pluginapi.Order{Status: pluginapi.Processing, Detail: detail + ": nothing is left to show, and the CA is at work"}, nil
	}
	// It comes a moment after the order; where the names are known from before, never.
	return pluginapi.Order{Status: pluginapi.Processing, Detail: detail + ": Tencent does not ask for proof of domain control (yet)"}, nil
}

// reviewed reports whether people look at an order: before the CA does, or because a letter is wanted. Orders of DV have
// been seen to wait in that status for domain control alone.
func (v *view) reviewed() bool {
	return v.st.Audited || v.cert.Is(sslapi.LetterWanted) && v.validation != request.DV
}

// review is the reply while people look at an order.
func (s *session) review(v *view) pluginapi.Order {
	return pluginapi.Order{
		Status: pluginapi.PendingApproval, Action: s.reviewer(v),
		Detail: fmt.Sprintf("certificate %s is %s%s: people look at the order, which takes some days", v.id, v.cert.Stands(), v.words()),
	}
}

func (s *session) reviewer(v *view) *pluginapi.PersonAction {
	what := "answer the mails and calls of Tencent's and the CA's reviewers"
	if v.cert.Is(sslapi.LetterWanted) {
		what += ", and upload the letter of confirmation where the console asks for one"
	}
	order := ""
	if v.st.Order != "" {
		order = ", order " + v.st.Order + " of the CA"
	}
	return &pluginapi.PersonAction{
		Who: "the administrator or technical contact named in the order", What: what + " (certificate " + v.id + order + ")", URL: s.client.Console(),
	}
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

// list names things for people.
func list(names []string) string {
	const most = 6
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
