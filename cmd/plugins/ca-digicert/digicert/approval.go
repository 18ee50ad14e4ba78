package digicert

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// endsSoon is how long before its plan ends who must approve a reissue is told so.
const endsSoon = 30 * 24 * time.Hour

// approval is the reply while a person at the customer must approve.
func (s *session) approval(v *view, r certcentral.Request) pluginapi.Order {
	number := "the request of order " + v.id.String()
	if r.ID != 0 {
		number = fmt.Sprintf("request %s of order %s", r.ID, v.id)
		v.st.RequestID = r.ID
	}
	detail := number + " waits for approval"
	if request.SkipApproval(v.settings) {
		detail += "; skip_approval was asked for, but the API key's user may not skip it: give the user the role of an administrator or manager, or approve by hand"
	}
	if end := coverageEnd(v.order); v.placed.Kind == pluginapi.Reissue && !end.IsZero() && end.Sub(s.now()) < endsSoon {
		detail += fmt.Sprintf("; the plan ends on %s, and after that an approval gives nothing any more", end.Format(time.DateOnly))
	}
	return pluginapi.Order{Status: pluginapi.PendingApproval, Detail: detail, Action: s.approver(number, "approve or reject ")}
}

func (s *session) approver(number, verb string) *pluginapi.PersonAction {
	return &pluginapi.PersonAction{
		Who:  "an administrator or manager of the CertCentral account",
		What: verb + number + " (in the console: Certificates, Requests)",
		URL:  s.client.Console("requests/"),
	}
}

// openRequest finds the request that waits for a person: the one with a number, else the last one of a type. Without a
// type it is any that does not revoke.
func openRequest(list []certcentral.Request, kind certcentral.Text, id certcentral.ID) certcentral.Request {
	var open certcentral.Request
	for _, r := range list {
		switch {
		case !r.Open(), kind != "" && r.Type != kind, kind == "" && r.Type == certcentral.RequestRevoke:
		case id != 0 && r.ID == id:
			return r
		case r.ID > open.ID:
			open = r
		}
	}
	return open
}

// ownOpenRequest finds the request for our reissue that waits for a person. Other people's reissues of the order have
// requests, too: without number or remark it is not ours.
func (s *session) ownOpenRequest(v *view) certcentral.Request {
	for _, r := range v.order.Requests {
		if r.Open() && r.ID == v.st.RequestID {
			return r
		}
	}
	if r, ok := ownRequest(v.order.Requests, v.placed.OrderRequest); ok && r.Open() {
		return r
	}
	return certcentral.Request{}
}

// CancelOrder drops an order or a reissue that has no certificate yet. What waits for approval is rejected instead.
func (c *CA) CancelOrder(ctx context.Context, placed pluginapi.PlacedOrder, reason string) (pluginapi.OrderReply, error) {
	s, v, err := c.view(ctx, placed)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	open := openRequest(v.order.Requests, "", v.st.RequestID)
	if placed.Kind == pluginapi.Reissue {
		open = s.ownOpenRequest(v)
		out, ended, err := s.reissueEnded(ctx, v)
		if err != nil {
			return pluginapi.OrderReply{}, err
		}
		if ended {
			return s.reply(v, out), nil
		}
	}
	if status, final := finalStatus(string(v.order.Status)); final {
		return s.reply(v, pluginapi.Order{Status: status, Detail: fmt.Sprintf("order %s was %s already", v.id, v.order.Status)}), nil
	}
	switch {
	case open.ID != 0: // (Not confirmed by DigiCert's pages: that rejecting is how an order is dropped that waits for approval.)
		err = s.client.RejectRequest(ctx, open.ID, cancelNote(reason))
	case placed.Kind == pluginapi.Reissue && v.order.Status != certcentral.OrderReissuePending:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Conflict, "order %s is %s: no reissue of it is under way that could be canceled", v.id, v.order.Status)
	case placed.Kind != pluginapi.Reissue && (v.order.Status == certcentral.OrderIssued || v.order.Status == certcentral.OrderReissuePending):
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Conflict, "order %s is issued: there is nothing to cancel any more, only to revoke", v.id)
	default:
		err = s.client.Cancel(ctx, v.id, cancelNote(reason))
	}
	if err != nil {
		return pluginapi.OrderReply{}, restca.Fail("cancel order "+v.id.String(), err)
	}
	s.log.Info("order canceled", "order", v.id, "kind", placed.Kind.String())
	return s.reply(v, pluginapi.Order{Status: pluginapi.Canceled, Detail: fmt.Sprintf("order %s was canceled at DigiCert", v.id)}), nil
}

func cancelNote(reason string) string {
	if reason == "" {
		return "canceled by certbridged"
	}
	return "canceled by certbridged: " + reason
}

// RevokeCertificate revokes one certificate; others of its order stay. Where the key may not do that alone, a request is
// left for a person.
func (c *CA) RevokeCertificate(ctx context.Context, revocation pluginapi.Revocation) (pluginapi.RevocationReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.RevocationReply{}, err
	}
	reason, ok := revocationReasons()[revocation.Reason]
	if !ok {
		return pluginapi.RevocationReply{}, pluginapi.FieldErrorf("reason", "DigiCert takes 0 (unspecified), 1 (keyCompromise), 3 (affiliationChanged), 4 (superseded) and 5 (cessationOfOperation), not %d", revocation.Reason)
	}
	serial, err := serialOf(revocation.Leaf)
	if err != nil {
		return pluginapi.RevocationReply{}, err
	}
	// DigiCert shows an order by its primary certificate; where it cannot be seen, another request does no harm.
	if o, err := s.client.OrderOf(ctx, serial); err == nil {
		if r := openRequest(o.Requests, certcentral.RequestRevoke, 0); r.ID != 0 { // an earlier call left it behind
			return s.revocationWaits(r), nil
		}
		if o.Status == certcentral.OrderReissuePending {
			return pluginapi.RevocationReply{}, pluginapi.Errorf(pluginapi.Conflict, "a reissue of order %s is under way, and DigiCert revokes nothing until it is done; wait for it, or cancel it", o.ID)
		}
	}
	skip := s.settings.skipApproval == nil || *s.settings.skipApproval
	r, err := s.client.Revoke(ctx, serial, reason, "by certbridged", skip)
	if already(err) {
		return pluginapi.RevocationReply{Detail: "the certificate was revoked before"}, nil
	}
	if err != nil {
		return pluginapi.RevocationReply{}, restca.Fail("revoke the certificate", err)
	}
	if r != nil {
		return s.revocationWaits(*r), nil
	}
	return pluginapi.RevocationReply{Detail: "DigiCert has revoked the certificate"}, nil
}

func (s *session) revocationWaits(r certcentral.Request) pluginapi.RevocationReply {
	number := "request " + r.ID.String() + " to revoke the certificate"
	return pluginapi.RevocationReply{Detail: number + " waits for approval", Action: s.approver(number, "approve ")}
}

// revocationReasons are the API's names of CRLReason codes (RFC 5280 section 5.3.1).
func revocationReasons() map[int]string {
	return map[int]string{0: "unspecified", 1: "keyCompromise", 3: "affiliationChanged", 4: "superseded", 5: "cessationOfOperation"}
}

// already reports that what is to be revoked is revoked.
// (Not confirmed by DigiCert's pages: the codes; other clients have met them.)
func already(err error) bool {
	no := restca.RefusalOf(err)
	return no != nil && no.Status < http.StatusInternalServerError &&
		certcentral.Has(no, "order_already_revoked", "order_is_revoked", "certificate_already_revoked", "cert_already_revoked", "already_revoked")
}
