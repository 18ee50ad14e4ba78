package tencent

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/request"
	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/sslapi"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// reissue asks for another certificate inside of what was paid for: at Tencent it is a certificate with an id of its own,
// which becomes the order's reference. A reissue has no mark, so it is told from others by its certificate request.
func (s *session) reissue(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	id, before, err := s.previous(ctx, order)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	computed, err := s.compute(order)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if _, err := request.Replace(order.Settings, computed, id, ""); err != nil {
		return pluginapi.OrderReply{}, err
	}
	leave, err := s.orders.Enter(ctx, "certificate "+id)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	defer leave()
	if reply, used, err := s.instead(ctx, order, id, before); err != nil || used {
		return reply, err
	}
	l, err := s.lineage(ctx, id, before, order, time.Time{})
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if l.own != nil {
		return s.reissued(*l.own, l), nil
	}
	if err := l.reissuable(); err != nil {
		return pluginapi.OrderReply{}, err
	}
	body, err := request.Replace(order.Settings, computed, string(l.base.ID), reason(order))
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	next, err := s.client.Replace(ctx, body)
	if err != nil {
		return s.notReissued(ctx, order, l, err)
	}
	s.log.Info("reissue requested", "certificate", next, "replaces", l.base.ID)
	return begun(next, l.state(), fmt.Sprintf("Tencent Cloud reissues certificate %s as %s", l.base.ID, next)), nil
}

// reason is what a reissue says for people, and in the account's log of operations.
func reason(order pluginapi.OrderRequest) string { return "certbridged " + order.IdempotencyKey }

// instead uses a certificate of the account that a person names, where it is paid and waits for its materials: what is
// left of the time that was paid for may come as one. Any other cert_id has to do with an order that is through.
func (s *session) instead(ctx context.Context, order pluginapi.OrderRequest, id string, before state) (pluginapi.OrderReply, bool, error) {
	named := request.CertID(order.Settings)
	if named == "" || named == id || slices.Contains(before.Ancestors, named) {
		return pluginapi.OrderReply{}, false, nil
	}
	c, err := s.client.Certificate(ctx, named)
	switch {
	case sslapi.Has(err, notFound):
		return pluginapi.OrderReply{}, false, pluginapi.FieldErrorf(request.SettingCertID, "the account has no certificate %s", named)
	case err != nil:
		return pluginapi.OrderReply{}, false, sslapi.Fail("read certificate "+named, err)
	case !c.Is(sslapi.ToSubmit):
		return pluginapi.OrderReply{}, false, nil
	}
	reply, err := s.useNamed(ctx, order, named)
	return reply, err == nil, err
}

// previous is the certificate to reissue: by its id, or by its content where that is all there is.
func (s *session) previous(ctx context.Context, order pluginapi.OrderRequest) (string, state, error) {
	p := order.Previous
	switch {
	case p == nil || p.Reference == "" && len(p.Chain) == 0:
		return "", state{}, pluginapi.FieldErrorf("previous", "a reissue must say what it follows")
	case p.Reference != "":
		id, err := certificateID(p.Reference)
		return id, decodeState(p.State), err
	}
	c, err := s.certificateOf(ctx, p.Chain[0])
	return string(c.ID), state{PaidUntil: paidFor(c)}, err
}

// lineage is what is known of a certificate and of those that replace it.
type lineage struct {
	// from is the certificate that a reissue was asked for, which the line is followed from.
	from string
	// base is the last certificate of the line that is issued, or the first one; before is its state.
	base   sslapi.Certificate
	before state
	// own is the certificate of the reissue that is asked for; other is one that somebody else has asked for and that is
	// under way.
	own, other *sslapi.Certificate
}

// state is that of the reissue.
func (l lineage) state() state { return l.before.after(string(l.base.ID)) }

func (s *session) reissued(c sslapi.Certificate, l lineage) pluginapi.OrderReply {
	return begun(string(c.ID), l.state(), fmt.Sprintf("certificate %s is the reissue of %s", c.ID, l.base.ID))
}

// longestLine bounds how many reissues of one certificate are followed.
const longestLine = 20

// lineage follows the reissues of a certificate, whoever asked for them, to the last one that is issued. Its error says
// that nothing was sent, and that nothing is known. sentAt is when a call went out that was lost; zero: none did.
func (s *session) lineage(ctx context.Context, id string, before state, order pluginapi.OrderRequest, sentAt time.Time) (lineage, error) {
	l := lineage{from: id, before: before}
	for range longestLine {
		c, err := s.client.Certificate(ctx, id)
		if err != nil {
			return l, notNotFound(sslapi.Fail("read certificate "+id, err))
		}
		l.base = c
		if l.before.PaidUntil.IsZero() {
			l.before.PaidUntil = paidFor(c)
		}
		next, err := s.successor(ctx, l, order, sentAt)
		switch {
		case err != nil:
			return l, err
		case next == nil:
			return l, nil
		case s.own(*next, l, order, sentAt):
			l.own = next
			return l, nil
		case !next.Is(sslapi.Issued):
			l.other = next
			return l, nil
		}
		l.before, id = l.before.after(id), string(next.ID)
	}
	return l, pluginapi.Errorf(pluginapi.Unavailable, "certificate %s was reissued more than %d times", l.base.ID, longestLine)
}

// notNotFound keeps the certificate that a reissue follows from counting as the reissue: that it cannot be seen says
// nothing of what was asked of it.
func notNotFound(err error) error {
	if pluginapi.KindOf(err) == pluginapi.NotFound {
		return pluginapi.Errorf(pluginapi.Unavailable, "%w", err)
	}
	return err
}

// successor finds the certificate that replaces the base: by the links between the two, or in the account's list where
// they are not set yet. Those that will never be issued do not count.
func (s *session) successor(ctx context.Context, l lineage, order pluginapi.OrderRequest, sentAt time.Time) (*sslapi.Certificate, error) {
	ids, err := s.relatives(ctx, l.base)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if slices.Contains(l.before.Ancestors, id) {
			continue
		}
		c, err := s.client.Certificate(ctx, id)
		if sslapi.Has(err, notFound) {
			continue
		}
		if err != nil {
			return nil, sslapi.Fail("read certificate "+id, err)
		}
		older := !c.InsertTime.IsZero() && c.InsertTime.Before(l.base.InsertTime.Time)
		if !older && !dead(c) && (linked(l.base, c) || s.own(c, l, order, sentAt)) {
			return &c, nil
		}
	}
	return nil, nil
}

// relatives are the certificates that may replace one: those that it names, and those of the same name and product that
// name it or nobody.
func (s *session) relatives(ctx context.Context, c sslapi.Certificate) ([]string, error) {
	var ids []string
	add := func(id string) {
		if sslapi.ValidID(id) && id != string(c.ID) && !slices.Contains(ids, id) && len(ids) < mostOpened {
			ids = append(ids, id)
		}
	}
	add(string(c.Extra.ReplacedFor))
	add(string(c.Extra.ReplacedBy))
	if c.Domain == "" {
		return ids, nil
	}
	list, _, err := s.client.List(ctx, sslapi.Filter{SearchKey: string(c.Domain), FilterSource: sslapi.Purchases}, 0)
	if err != nil {
		return nil, sslapi.Fail("look for reissues of certificate "+string(c.ID), err)
	}
	for _, n := range list {
		alone := n.Extra.ReplacedBy == "" && n.Extra.ReplacedFor == "" && n.PackageType == c.PackageType
		older := !n.InsertTime.IsZero() && n.InsertTime.Before(c.InsertTime.Time)
		if strings.EqualFold(string(n.Domain), string(c.Domain)) && !older && (alone || linked(n, c)) {
			add(string(n.ID))
		}
	}
	return ids, nil
}

// linked reports whether one of two certificates names the other, on either side of a reissue.
func linked(a, b sslapi.Certificate) bool {
	return a.Extra.ReplacedBy == b.ID || a.Extra.ReplacedFor == b.ID || b.Extra.ReplacedBy == a.ID || b.Extra.ReplacedFor == a.ID
}

// own reports whether a certificate is the one that a reissue asked for: by its request, by its key once it is issued, and
// where it shows neither by having been made after the call went out.
func (s *session) own(c sslapi.Certificate, l lineage, order pluginapi.OrderRequest, sentAt time.Time) bool {
	csr, err := x509.ParseCertificateRequest(order.CSR)
	if err != nil {
		return false
	}
	if text := string(c.Submitted.CSR); text != "" {
		return bytes.Equal(decodeCSR(text), order.CSR)
	}
	if pool := restca.ParsePEM([]byte(c.PublicKey)); len(pool) > 0 {
		leaf := restca.OwnLeaf(pool, csr)
		return leaf != nil && order.Previous != nil && !restca.IsEarlier(leaf, order.Previous.Chain)
	}
	return !sentAt.IsZero() && linked(c, l.base) && !c.InsertTime.IsZero() && !c.InsertTime.Before(sentAt.Add(-skew))
}

// decodeCSR reads a certificate request as the API repeats it: PEM, or base64 alone.
func decodeCSR(text string) []byte {
	if block, _ := pem.Decode([]byte(text)); block != nil {
		return block.Bytes
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil
	}
	return der
}

// waysOut are what a person can do where nothing comes of a reissue.
func (l lineage) waysOut() string {
	return fmt.Sprintf("name a certificate that is paid by cert_id, or add %q to given_up of the account and cancel this order, so that the next one is bought", l.from)
}

// reissuable says why a certificate cannot be reissued now.
func (l lineage) reissuable() error {
	switch {
	case l.other != nil:
		return pluginapi.Errorf(pluginapi.Conflict, "another reissue of certificate %s is under way, %s; it goes on once that is done or canceled in the console", l.base.ID, l.other.ID)
	case l.base.Is(sslapi.Issued) && l.before.NoGain:
		until := "for longer, as far as is known"
		if !l.before.PaidUntil.IsZero() {
			until = "until " + day(l.before.PaidUntil)
		}
		return pluginapi.Errorf(pluginapi.NeedsPerson, "certificate %s is paid %s, and its reissues reach no further than its end; ask Tencent how the rest is had; %s", l.base.ID, until, l.waysOut())
	case l.base.Is(sslapi.Issued):
		return nil
	case l.base.Is(sslapi.Reissuing):
		return pluginapi.Errorf(pluginapi.Conflict, "another reissue of certificate %s is under way; it goes on once that is done or canceled in the console", l.base.ID)
	case l.base.Is(sslapi.UnderReview, sslapi.RecordAdded, sslapi.ToSubmit, sslapi.LetterWanted, sslapi.Migrating):
		return pluginapi.Errorf(pluginapi.Conflict, "certificate %s is %s and cannot be reissued yet", l.base.ID, l.base.Stands())
	default:
		return pluginapi.Errorf(pluginapi.NeedsPerson, "certificate %s is %s: Tencent reissues nothing on it, though what was paid for was thought to last; %s", l.base.ID, l.base.Stands(), l.waysOut())
	}
}

// leastLeft is how much of its life a certificate must have left to be reissued, by Tencent's documentation.
const leastLeft = 30 * 24 * time.Hour

// notReissued says what the failure of a request for a reissue means. A refusal may be the answer to an earlier call's
// success, or to somebody else's reissue.
func (s *session) notReissued(ctx context.Context, order pluginapi.OrderRequest, l lineage, cause error) (pluginapi.OrderReply, error) {
	failure := sslapi.FailOnce("reissue certificate "+string(l.base.ID), cause)
	no := restca.RefusalOf(cause)
	switch {
	case no == nil, failure.Kind == pluginapi.UnknownOutcome, failure.Kind == pluginapi.Unauthorized, failure.Kind == pluginapi.RateLimited:
		return pluginapi.OrderReply{}, failure
	}
	again, err := s.lineage(ctx, string(l.base.ID), l.before, order, time.Time{})
	switch {
	case err != nil:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "%s, and: %w", failure.Message, err)
	case again.own != nil:
		return s.reissued(*again.own, again), nil
	}
	if err := again.reissuable(); err != nil {
		return pluginapi.OrderReply{}, err
	}
	if end := l.base.CertEndTime; !end.IsZero() && end.Sub(s.now()) <= leastLeft && failure.Kind != pluginapi.Unavailable {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NeedsPerson, "%s; Tencent reissues only what lasts for more than 30 days, and this certificate ends on %s: %s",
			failure.Message, end.UTC().Format(time.DateOnly), l.waysOut())
	}
	return pluginapi.OrderReply{}, failure
}

// findLostReissue looks what became of a request for a reissue.
func (s *session) findLostReissue(ctx context.Context, order pluginapi.OrderRequest, sentAt time.Time) (pluginapi.OrderReply, error) {
	id, before, err := s.previous(ctx, order)
	if err != nil {
		return pluginapi.OrderReply{}, notNotFound(err)
	}
	if named := request.CertID(order.Settings); named != "" && named != id {
		if reply, err := s.findNamed(ctx, order, named); err == nil {
			return reply, nil
		}
	}
	l, err := s.lineage(ctx, id, before, order, sentAt)
	switch {
	case err != nil:
		return pluginapi.OrderReply{}, err
	case l.own != nil:
		return s.reissued(*l.own, l), nil
	case l.other == nil && l.base.Is(sslapi.Reissuing):
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Unavailable, "a reissue of certificate %s is under way, and Tencent does not show yet as which certificate", l.base.ID)
	default:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "certificate %s has no reissue for this certificate request", l.base.ID)
	}
}
