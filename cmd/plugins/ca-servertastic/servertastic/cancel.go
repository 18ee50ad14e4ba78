package servertastic

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// CancelOrder drops an order that has no certificate yet, which brings its points back. ServerTastic has no call to drop a
// reissue: it is let alone, and the order and its certificates stay as they are.
func (c *CA) CancelOrder(ctx context.Context, placed pluginapi.PlacedOrder, _ string) (pluginapi.OrderReply, error) {
	s, v, err := c.view(ctx, placed)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if err := s.refresh(ctx, v); err != nil {
		return pluginapi.OrderReply{}, err
	}
	r := v.review
	if err := s.otherDomain(v); err != nil {
		return pluginapi.OrderReply{}, err
	}
	switch {
	case ended(r.Status):
		return s.reply(v, pluginapi.Order{Status: pluginapi.Canceled, Detail: fmt.Sprintf("order %s was %q at ServerTastic already", v.name(), r.Told)}), nil
	case v.reissue():
		return s.reply(v, pluginapi.Order{Status: pluginapi.Canceled, Detail: fmt.Sprintf("the reissue of order %s is not waited for any more; ServerTastic cannot cancel it without the order", v.name())}), nil
	case r.Status == ordertoken.StatusCompleted && s.strangers(v):
		return s.reply(v, pluginapi.Order{Status: pluginapi.Canceled, Detail: fmt.Sprintf("order %s was issued for another key and is not waited for any more; it stays as it is at ServerTastic, and order_token reissues it", v.name())}), nil
	case r.Status == ordertoken.StatusCompleted, slices.ContainsFunc(r.Certificates, func(c *x509.Certificate) bool { return !c.IsCA }):
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Conflict, "order %s is issued: there is nothing to cancel any more, only to revoke", v.name())
	}
	if err := s.client.Cancel(ctx, v.token); err != nil {
		return pluginapi.OrderReply{}, unseen("cancel order "+v.name(), err)
	}
	s.log.Info("order canceled", "order", v.name())
	detail := fmt.Sprintf("order %s was canceled at ServerTastic, and its points come back", v.name())
	if err := s.refresh(ctx, v); err != nil || !ended(v.review.Status) {
		// It may have been issued in the minutes that the API is behind.
		detail = fmt.Sprintf("ServerTastic was asked to cancel order %s and does not show that yet; should it have been issued minutes ago, its administrative contact has to agree by mail before its points come back", v.name())
		s.log.Warn("order asked to be canceled, and not shown as such yet", "order", v.name())
	}
	return s.reply(v, pluginapi.Order{Status: pluginapi.Canceled, Detail: detail}), nil
}

// strangers reports that an order has been without a certificate for our key for too long: it was issued for another.
func (s *session) strangers(v *view) bool {
	csr, err := x509.ParseCertificateRequest(v.placed.CSR)
	return err == nil && ownLeaf(v.placed.OrderRequest, csr, v.review) == nil && s.late(v, "") != nil
}

// cancelable is for how long after it was issued an order can be canceled.
const cancelable = 30 * 24 * time.Hour

// RevokeCertificate begins what comes next to a revocation in this API: canceling the order, within 30 days of its issue,
// which the administrative contact has to agree to by mail. Everything else is for people.
func (c *CA) RevokeCertificate(ctx context.Context, revocation pluginapi.Revocation) (pluginapi.RevocationReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.RevocationReply{}, err
	}
	leaf, err := x509.ParseCertificate(revocation.Leaf)
	if err != nil {
		return pluginapi.RevocationReply{}, pluginapi.FieldErrorf("leaf", "is no certificate: %w", err)
	}
	name, token, err := s.orderToRevoke(ctx, revocation)
	if err != nil {
		return pluginapi.RevocationReply{}, err
	}
	r, err := s.client.Review(ctx, token)
	if err != nil {
		return pluginapi.RevocationReply{}, restca.Fail("read order "+name, err)
	}
	name = orElse(r.OrderID, name)
	if ended(r.Status) {
		return pluginapi.RevocationReply{Detail: fmt.Sprintf("order %s is canceled, and with it its certificates", name)}, nil
	}
	if err := s.revocable(leaf, r, name); err != nil {
		return pluginapi.RevocationReply{}, err
	}
	if err := s.client.Cancel(ctx, token); err != nil { // safe to repeat
		return pluginapi.RevocationReply{}, restca.Fail("cancel order "+name, err)
	}
	s.log.Info("cancellation of an issued order begun", "order", name)
	if again, err := s.client.Review(ctx, token); err == nil && ended(again.Status) {
		return pluginapi.RevocationReply{Detail: fmt.Sprintf("order %s is canceled, and with it its certificates", name)}, nil
	}
	return pluginapi.RevocationReply{
		Detail: fmt.Sprintf("ServerTastic was asked to cancel order %s, and has written to its administrative contact", name),
		Action: &pluginapi.PersonAction{Who: "the order's administrative contact (admin_contact_email)", What: "agree to cancel order " + name + " by the link in the mail; its certificates are revoked then"},
	}, nil
}

func (s *session) orderToRevoke(ctx context.Context, revocation pluginapi.Revocation) (string, pluginapi.Secret, error) {
	if o := revocation.Order; o != nil && o.Reference != "" {
		token, err := s.locate(ctx, o.Reference, decodeState(o.State), pluginapi.Secret{})
		return o.Reference, token, err
	}
	f, err := s.orderOfCertificate(ctx, revocation.Leaf)
	return f.reference, f.token, err
}

// revocable says why a certificate cannot be revoked through its order.
func (s *session) revocable(leaf *x509.Certificate, r ordertoken.Review, name string) error {
	issued := orTime(r.Issued().Time, leaf.NotBefore)
	// Which of two is newer their dates do not tell: CAs date certificates to the beginning of the day.
	if other := slices.IndexFunc(r.Certificates, func(c *x509.Certificate) bool { return !c.IsCA && c.NotAfter.After(s.now()) && !c.Equal(leaf) }); other >= 0 {
		return pluginapi.Errorf(pluginapi.NeedsPerson, "order %s has another certificate that is good, and canceling it would revoke that (serial %s), too, which may be in use; ask ServerTastic's support to revoke serial %s alone", name, restca.Serial(r.Certificates[other]), restca.Serial(leaf))
	}
	if age := s.now().Sub(issued); age > cancelable {
		return pluginapi.Errorf(pluginapi.NeedsPerson, "order %s was issued %d days ago, and ServerTastic cancels within 30 days alone; ask its support, or the CA itself, to revoke serial %s", name, int(age.Hours()/24), restca.Serial(leaf))
	}
	return nil
}
