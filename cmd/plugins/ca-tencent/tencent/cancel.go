package tencent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/sslapi"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// CancelOrder drops an order that has no certificate yet. No money comes back by that, and the certificate stays paid: it
// can be used by its id (cert_id).
func (c *CA) CancelOrder(ctx context.Context, placed pluginapi.PlacedOrder, reason string) (pluginapi.OrderReply, error) {
	s, v, err := c.view(ctx, placed)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	what := "cancel certificate " + v.id
	switch status := v.cert.Stands(); status {
	case sslapi.ToSubmit, sslapi.FreeToSubmit:
		err = s.client.Cancel(ctx, v.id)
	case sslapi.UnderReview, sslapi.RecordAdded, sslapi.LetterWanted:
		err = s.takeBack(ctx, v.id)
	case sslapi.Reissuing:
		if v.cert.PublicKey != "" {
			return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Conflict, "certificate %s is issued: there is nothing to cancel any more, only to revoke", v.id)
		}
		err = s.takeBack(ctx, v.id)
	case sslapi.Issued:
		if _, _, err := s.chain(ctx, v); errors.Is(err, errOfNoUse) {
			s.log.Info("order of no use given up", "certificate", v.id, "reason", restca.Clean(reason, 200))
			return s.reply(v, pluginapi.Order{Status: pluginapi.Canceled, Detail: fmt.Sprintf("given up, and certificate %s stays issued at Tencent Cloud: %v", v.id, err)}), nil
		}
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Conflict, "certificate %s is %s: there is nothing to cancel any more, only to revoke", v.id, status)
	case sslapi.RevokeLetter, sslapi.Revoking:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Conflict, "certificate %s is %s: there is nothing to cancel any more, only to revoke", v.id, status)
	case sslapi.Migrating:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Conflict, "certificate %s is %s, and cannot be canceled now", v.id, status)
	default: // canceled, being canceled, rejected, revoked, refunded, expired
		return s.step(ctx, v)
	}
	if err != nil {
		return pluginapi.OrderReply{}, sslapi.FailWrite(what, err)
	}
	s.log.Info("order canceled", "certificate", v.id, "reason", restca.Clean(reason, 200))
	if err := s.refresh(ctx, v); err != nil {
		return pluginapi.OrderReply{}, err
	}
	if v.cert.Is(sslapi.ToSubmit, sslapi.UnderReview, sslapi.RecordAdded, sslapi.LetterWanted, sslapi.Reissuing) { // not to be seen yet
		return s.reply(v, pluginapi.Order{Status: pluginapi.Processing, Detail: "certificate " + v.id + " is being canceled"}), nil
	}
	return s.step(ctx, v)
}

// takeBack takes a certificate out of the review. Where that is no way, canceling the order may be.
func (s *session) takeBack(ctx context.Context, id string) error {
	done, err := s.client.Withdraw(ctx, id)
	switch {
	case err == nil && !done, sslapi.Has(err, sslapi.CantCancel):
		return s.client.Cancel(ctx, id)
	default:
		return err
	}
}

// RevokeCertificate revokes a certificate. One that was validated by domain control alone must show it once more, which is
// left to a person: it happens seldom, and the certificate stays good until then.
func (c *CA) RevokeCertificate(ctx context.Context, revocation pluginapi.Revocation) (pluginapi.RevocationReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.RevocationReply{}, err
	}
	reason, ok := revocationReasons()[revocation.Reason]
	if !ok {
		return pluginapi.RevocationReply{}, pluginapi.FieldErrorf("reason", "a certificate is revoked for 0 (unspecified), 1 (keyCompromise), 3 (affiliationChanged), 4 (superseded) or 5 (cessationOfOperation), not %d", revocation.Reason)
	}
	cert, err := s.toRevoke(ctx, revocation)
	if err != nil {
		return pluginapi.RevocationReply{}, err
	}
	id := string(cert.ID)
	switch cert.Stands() {
	case sslapi.Revoked:
		return pluginapi.RevocationReply{Detail: "the certificate was revoked before"}, nil
	case sslapi.Revoking, sslapi.RevokeLetter:
		return s.revoking(cert, authProofs(cert)), nil
	}
	proofs, err := s.client.Revoke(ctx, id, reason)
	if err != nil {
		return pluginapi.RevocationReply{}, sslapi.FailWrite("revoke certificate "+id, err)
	}
	s.log.Info("revocation requested", "certificate", id, "proofs", len(proofs))
	if cert, err = s.client.Certificate(ctx, id); err != nil {
		return pluginapi.RevocationReply{}, sslapi.Fail("read certificate "+id, err)
	}
	if len(proofs) == 0 {
		proofs = authProofs(cert)
	}
	return s.revoking(cert, proofs), nil
}

// toRevoke finds the certificate at Tencent, by the order's reference where that leads to it.
func (s *session) toRevoke(ctx context.Context, r pluginapi.Revocation) (sslapi.Certificate, error) {
	if r.Order != nil && sslapi.ValidID(r.Order.Reference) {
		c, err := s.client.Certificate(ctx, r.Order.Reference)
		if err != nil && !sslapi.Has(err, notFound) {
			return c, sslapi.Fail("read certificate "+r.Order.Reference, err)
		}
		ours := len(r.Order.Chain) > 0 && bytes.Equal(r.Order.Chain[0], r.Leaf) // one that is revoked need not show itself any more
		if err == nil && (ours || holds(c, r.Leaf)) {
			return c, nil
		}
	}
	return s.certificateOf(ctx, r.Leaf)
}

// authProofs are what a certificate says must be shown before it is revoked.
func authProofs(c sslapi.Certificate) []sslapi.Proof {
	var out []sslapi.Proof
	for _, a := range c.RevokeAuth {
		out = append(out, sslapi.Proof{Path: a.Path, Key: a.Key, Value: a.Value, Domain: a.Domain})
	}
	return out
}

// revoking is the reply to a revocation that was asked for.
func (s *session) revoking(c sslapi.Certificate, proofs []sslapi.Proof) pluginapi.RevocationReply {
	detail := fmt.Sprintf("certificate %s is %s at Tencent Cloud", c.ID, c.Stands())
	switch {
	case c.Is(sslapi.Revoked):
		return pluginapi.RevocationReply{Detail: "Tencent Cloud has revoked certificate " + string(c.ID)}
	case c.Is(sslapi.RevokeLetter):
		return pluginapi.RevocationReply{Detail: detail, Action: s.person("upload the letter that confirms the revocation of certificate " + string(c.ID))}
	case len(proofs) == 0:
		return pluginapi.RevocationReply{Detail: detail}
	}
	var words []string
	for _, p := range proofs {
		words = append(words, proofWords(p))
	}
	return pluginapi.RevocationReply{Detail: detail + ", and wants domain control shown once more", Action: s.person("publish " + strings.Join(words, ", and ") + " until the certificate is revoked")}
}

// proofWords says what to publish, in words.
func proofWords(p sslapi.Proof) string {
	clean := func(t sslapi.Text) string { return restca.Clean(string(t), 300) }
	if p.Path != "" {
		return fmt.Sprintf("the file %s%s with the content %q on %s", clean(p.Path), strings.TrimPrefix(clean(p.Key), "/"), clean(p.Value), clean(p.Domain))
	}
	return fmt.Sprintf("the record %s with the value %q in the zone %s", clean(p.Key), clean(p.Value), clean(p.Domain))
}

// revocationReasons are the reasons (RFC 5280 section 5.3.1) in words: the API takes any text.
func revocationReasons() map[int]string {
	return map[int]string{0: "unspecified", 1: "key compromise", 3: "affiliation changed", 4: "superseded", 5: "cessation of operation"}
}
