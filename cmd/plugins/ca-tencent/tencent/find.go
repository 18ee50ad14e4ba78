package tencent

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/request"
	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/sslapi"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// skew is by how much the clocks of Tencent and of this machine may differ: signatures count for as long.
const skew = 5 * time.Minute

// FindOrder tells whether a lost PlaceOrder call arrived: a purchase by its mark, a reissue by its certificate request.
func (c *CA) FindOrder(ctx context.Context, order pluginapi.OrderRequest, sentAt time.Time) (pluginapi.OrderReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if order.Kind == pluginapi.Reissue {
		return s.findLostReissue(ctx, order, sentAt)
	}
	if id := request.CertID(order.Settings); id != "" {
		return s.findNamed(ctx, order, id)
	}
	reply, found, err := s.arrived(ctx, order)
	if err != nil || found {
		return reply, err
	}
	return s.amongNewest(ctx, order, sentAt)
}

// findNamed: nothing was bought. A certificate that waits for its materials is as good as found; otherwise the call is to
// be made again, and says what is the matter.
func (s *session) findNamed(ctx context.Context, order pluginapi.OrderRequest, id string) (pluginapi.OrderReply, error) {
	c, err := s.client.Certificate(ctx, id)
	switch {
	case err == nil && c.Is(sslapi.ToSubmit):
		return begun(id, stateOfNamed(order, c), "certificate "+id+" is paid, and used as cert_id says"), nil
	case err == nil || sslapi.Has(err, notFound):
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "certificate %s of cert_id does not wait for its materials", id)
	default:
		return pluginapi.OrderReply{}, sslapi.Fail("read certificate "+id, err)
	}
}

// scannedPages bounds how much of the list of certificates is looked through.
const scannedPages = 10

// amongNewest looks at what was bought lately. A certificate is bought again on the word that there is none, and nobody
// knows how soon a purchase can be found, or has its tag: this is a second witness, and before the time for that is over its
// word does not count either. A certificate that may be the one, and whose tags are not to be seen, is left to a person:
// somebody else may have bought it.
func (s *session) amongNewest(ctx context.Context, order pluginapi.OrderRequest, sentAt time.Time) (pluginapi.OrderReply, error) {
	seen, err := s.newest(ctx, order, sentAt.Add(-skew))
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	wait := min(sentAt.Add(s.settings.findSettle).Sub(s.now()), s.settings.findSettle)
	switch {
	case seen.own != "":
		return begun(seen.own, state{}, fmt.Sprintf("certificate %s was bought for this order", seen.own)), nil
	case wait > 0:
		words := "nothing is to be seen of the purchase yet, which is no proof"
		if len(seen.unclear) > 0 {
			words = strings.Join(seen.unclear, ", ") + " was bought lately, and its tags are not to be seen yet"
		}
		return pluginapi.OrderReply{}, later(wait, "%s: it is looked again until %s", words, s.now().Add(wait).UTC().Format(time.RFC3339))
	case len(seen.unclear) > 0:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "certificate %s was bought at that time and has no mark: if nobody else has bought it, it is this order's", strings.Join(seen.unclear, ", "))
	case seen.cut:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "too much was bought since then to be looked through: search the console for the tag %s with the value %s", s.settings.tagKey, s.mark(order).Value)
	default:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "nothing was bought for the order with the mark %s", s.mark(order).Value)
	}
}

// later is an error that says when to come again.
func later(wait time.Duration, format string, args ...any) *pluginapi.Error {
	err := pluginapi.Errorf(pluginapi.Unavailable, format, args...)
	err.RetryAfter = wait
	return err
}

// bought is what is seen of the newest purchases.
type bought struct {
	own     string   // the certificate with the mark of the order
	unclear []string // those that may be it
	cut     bool     // there are more than were looked at
}

// newest looks through what was bought since a time.
func (s *session) newest(ctx context.Context, order pluginapi.OrderRequest, since time.Time) (bought, error) {
	mark, seen := s.mark(order), bought{cut: true}
	for page, offset := 0, 0; page < scannedPages; page++ {
		list, more, err := s.client.List(ctx, sslapi.Filter{FilterSource: sslapi.Purchases}, offset)
		if err != nil {
			return seen, sslapi.Fail("look through what was bought lately", err)
		}
		old := len(list) > 0
		for _, c := range list {
			late := c.InsertTime.IsZero() || !c.InsertTime.Before(since)
			old = old && !late
			switch {
			case c.Tagged(mark.Key, mark.Value):
				seen.own = string(c.ID)
				return seen, nil
			case late && s.mayBe(c):
				seen.unclear = append(seen.unclear, string(c.ID))
			}
		}
		if offset += len(list); !more || old {
			seen.cut = false
			break
		}
	}
	return seen, nil
}

// mayBe reports whether a certificate can be what an order bought. Only what is there and speaks against it rules it out:
// another mark, or a status that it cannot have without materials. Every field may be missing, and whether the product has
// the number by which it is bought Tencent's pages do not say.
func (s *session) mayBe(c sslapi.Certificate) bool {
	marked := slices.ContainsFunc(c.Tags, func(t sslapi.Tag) bool { return string(t.Key) == s.settings.tagKey && t.Value != "" })
	return !marked && !c.Is(sslapi.UnderReview, sslapi.Issued, sslapi.ReviewFailed, sslapi.Expired, sslapi.RecordAdded, sslapi.LetterWanted,
		sslapi.Revoking, sslapi.Revoked, sslapi.Reissuing, sslapi.RevokeLetter, sslapi.FreeToSubmit)
}

// FindOrderByCertificate finds what a certificate on disk is at Tencent, so that it can be reissued and renewed.
func (c *CA) FindOrderByCertificate(ctx context.Context, leaf []byte) (pluginapi.OrderReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	found, err := s.certificateOf(ctx, leaf)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	st := state{PaidUntil: paidFor(found)}
	out := s.inspected(found, st)
	if out.Status == pluginapi.Issued {
		out.State, out.Chain, out.Settings = st.encode(), [][]byte{leaf}, suggested(found)
		out.Detail = "found at Tencent Cloud as certificate " + string(found.ID)
		if own, err := x509.ParseCertificate(leaf); err == nil {
			out.Chain, _ = restca.Arrange(own, restca.ParsePEM([]byte(found.PublicKey)))
		}
	}
	return pluginapi.OrderReply{Order: out}, nil
}

// suggested are order settings to buy the like.
func suggested(c sslapi.Certificate) map[string]any {
	id, err := strconv.ParseInt(string(c.PackageType), 10, 64)
	if err != nil || id <= 0 {
		return nil
	}
	out := map[string]any{"ProductId": id}
	if years := max(int64(c.PreAudit.TotalPeriod), int64(c.ValidityPeriod)/12); years > 0 {
		out["TimeSpan"] = years
	}
	return out
}

// paidFor is the end of the time that was paid for, as far as the certificate itself says: zero when it does not, as for
// one that takes the place of another, whose time began before.
// (Not confirmed by Tencent's pages: whether the months are those that were paid for or those of the certificate, and that
// the years are. Less than a year is not sold, so that it is the certificate's.)
func paidFor(c sslapi.Certificate) time.Time {
	months := 12 * int64(c.PreAudit.TotalPeriod)
	if months <= 0 {
		months = int64(c.ValidityPeriod)
	}
	if c.InsertTime.IsZero() || months < 12 || months > 12*20 || c.Extra.ReplacedBy != "" || c.Extra.ReplacedFor != "" {
		return time.Time{}
	}
	return c.InsertTime.AddDate(0, int(months), 0).UTC()
}

// mostOpened bounds how many certificates are opened in search of one.
const mostOpened = 40

// certificateOf finds a certificate by its content, among those with one of its names. It is NotFound only where all that
// could be it were looked at.
func (s *session) certificateOf(ctx context.Context, der []byte) (sslapi.Certificate, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return sslapi.Certificate{}, pluginapi.FieldErrorf("leaf", "is no certificate: %w", err)
	}
	seen := map[string]bool{}
	for _, name := range namesOf(leaf) {
		for offset := 0; ; {
			list, more, err := s.client.List(ctx, sslapi.Filter{SearchKey: name, FilterSource: sslapi.Purchases}, offset)
			if err != nil {
				return sslapi.Certificate{}, sslapi.Fail("look for the certificate in the account's list", err)
			}
			found, err := s.amongListed(ctx, list, leaf, seen)
			if err != nil || found != nil {
				return deref(found), err
			}
			if offset += len(list); !more {
				break
			}
		}
	}
	return sslapi.Certificate{}, pluginapi.Errorf(pluginapi.NotFound, "the account has bought no certificate %s, as far as it shows", restca.Serial(leaf))
}

func deref(c *sslapi.Certificate) sslapi.Certificate {
	if c == nil {
		return sslapi.Certificate{}
	}
	return *c
}

// mostNames bounds by how many of its names a certificate is looked for.
const mostNames = 10

// namesOf are the names by which a certificate may be listed.
func namesOf(leaf *x509.Certificate) []string {
	var names []string
	for _, n := range append([]string{leaf.Subject.CommonName}, leaf.DNSNames...) {
		if n = strings.ToLower(n); n != "" && len(names) < mostNames && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// amongListed opens those of a list that can be a certificate. One that ends at another time cannot.
func (s *session) amongListed(ctx context.Context, list []sslapi.Certificate, leaf *x509.Certificate, seen map[string]bool) (*sslapi.Certificate, error) {
	const zones = 48 * time.Hour // what times without a zone may be off by, and more
	for _, c := range list {
		if seen[string(c.ID)] || c.Is(sslapi.ToSubmit, sslapi.FreeToSubmit, sslapi.UnderReview, sslapi.RecordAdded, sslapi.LetterWanted, sslapi.ReviewFailed) || !c.CertEndTime.IsZero() && c.CertEndTime.Sub(leaf.NotAfter).Abs() > zones {
			continue
		}
		if len(seen) == mostOpened {
			return nil, pluginapi.Errorf(pluginapi.NeedsPerson, "the account has more than %d certificates that may be %s, and not all were looked at: look in the console which it is", mostOpened, restca.Serial(leaf))
		}
		seen[string(c.ID)] = true
		full, err := s.client.Certificate(ctx, string(c.ID))
		if err != nil && !sslapi.Has(err, notFound) {
			return nil, sslapi.Fail("read certificate "+string(c.ID), err)
		}
		if err == nil && holds(full, leaf.Raw) {
			full.PreAudit = c.PreAudit
			return &full, nil
		}
	}
	return nil, nil
}

// holds reports whether a certificate at Tencent is one that we have.
func holds(c sslapi.Certificate, der []byte) bool {
	for _, have := range restca.ParsePEM([]byte(c.PublicKey)) {
		if bytes.Equal(have.Raw, der) {
			return true
		}
	}
	return c.PublicKey == "" && strings.EqualFold(strings.ReplaceAll(string(c.Fingerprint), ":", ""), restca.Thumbprint(der))
}

// InspectOrder says what Tencent says now of a certificate, and does nothing.
func (c *CA) InspectOrder(ctx context.Context, reference string, data []byte) (pluginapi.OrderReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	id, err := certificateID(reference)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	found, err := s.client.Certificate(ctx, id)
	if err != nil {
		return pluginapi.OrderReply{}, sslapi.Fail("read certificate "+id, err)
	}
	st := decodeState(data)
	out := s.inspected(found, st)
	if out.State = data; out.RenewedBy != "" {
		next, err := s.client.Certificate(ctx, out.RenewedBy)
		switch {
		case err == nil && next.Is(sslapi.ToSubmit): // it is paid and waits: the next purchase takes it
			out.RenewedBy, out.Detail = "", out.Detail+", and is renewed by "+out.RenewedBy+", which is paid and waits for its materials"
		case err != nil && !sslapi.Has(err, notFound):
			return pluginapi.OrderReply{}, sslapi.Fail("read certificate "+out.RenewedBy, err)
		}
	}
	if out.Status == pluginapi.Canceled && s.settings.reissues(id, st) {
		if err := s.replaced(ctx, found, st, &out); err != nil {
			return pluginapi.OrderReply{}, err
		}
	}
	return pluginapi.OrderReply{Order: out}, nil
}

// replaced looks whether a certificate that is revoked or canceled has given its place to another by a reissue, whoever
// asked for it: then what was paid for goes on there, and a reissue finds it.
func (s *session) replaced(ctx context.Context, c sslapi.Certificate, st state, out *pluginapi.Order) error {
	for _, id := range []string{string(c.Extra.ReplacedFor), string(c.Extra.ReplacedBy)} {
		if !sslapi.ValidID(id) || id == string(c.ID) || slices.Contains(st.Ancestors, id) {
			continue
		}
		next, err := s.client.Certificate(ctx, id)
		if err != nil && !sslapi.Has(err, notFound) {
			return sslapi.Fail("read certificate "+id, err)
		}
		older := !next.InsertTime.IsZero() && !c.InsertTime.IsZero() && next.InsertTime.Before(c.InsertTime.Time)
		if err != nil || older || dead(next) {
			continue
		}
		out.Status, out.CoverageEnd = pluginapi.Processing, st.PaidUntil
		out.Detail += fmt.Sprintf(", and replaced by %s, which is %s", id, next.Stands())
		return nil
	}
	return nil
}

// dead reports whether nothing comes of a certificate any more.
func dead(c sslapi.Certificate) bool {
	return c.Is(sslapi.ReviewFailed, sslapi.Expired, sslapi.Canceling, sslapi.Canceled, sslapi.Revoking, sslapi.Revoked, sslapi.RevokeLetter, sslapi.Refunded)
}

// inspected is what a certificate looks like, without a step.
func (s *session) inspected(c sslapi.Certificate, st state) pluginapi.Order {
	out := pluginapi.Order{Reference: string(c.ID), Status: pluginapi.Processing, Detail: fmt.Sprintf("certificate %s is %s", c.ID, c.Stands())}
	if id := string(c.Extra.RenewOrder); sslapi.ValidID(id) && id != string(c.ID) {
		out.RenewedBy = id
	}
	switch c.Stands() {
	case sslapi.Issued, sslapi.Reissuing, sslapi.Migrating:
		pool := restca.ParsePEM([]byte(c.PublicKey))
		i := slices.IndexFunc(pool, func(p *x509.Certificate) bool { return !p.IsCA })
		if i < 0 {
			return out
		}
		leaf := pool[i]
		chain, _ := restca.Arrange(leaf, pool)
		out.Status, out.Chain, out.Names = pluginapi.Issued, chain, leaf.DNSNames
		out.CoverageEnd = s.coverage(string(c.ID), st, leaf)
	case sslapi.Canceled, sslapi.Refunded, sslapi.Revoking, sslapi.Revoked, sslapi.RevokeLetter:
		out.Status = pluginapi.Canceled
	case sslapi.Expired:
		out.Status = pluginapi.Expired
		if s.settings.reissues(string(c.ID), st) && st.PaidUntil.After(s.now()) { // something may be owed: a person is asked, see reissuable
			out.Status, out.CoverageEnd = pluginapi.Processing, st.PaidUntil
			out.Detail += ", and paid until " + day(st.PaidUntil)
		}
	case sslapi.ReviewFailed:
		out.Status = pluginapi.OrderRejected
	}
	return out
}
