package digicert

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// FindOrderByCertificate finds the order that a certificate on disk belongs to, so that it can be reissued and renewed.
// NotFound lets another plan be bought: it is said when the account was looked through, and never because something
// could not be looked at.
func (c *CA) FindOrderByCertificate(ctx context.Context, leaf []byte) (pluginapi.OrderReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	o, err := s.orderOfCertificate(ctx, leaf)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	out, err := s.standing(ctx, o)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	out.Settings = s.settingsLike(o)
	if ended(string(o.Status)) {
		return pluginapi.OrderReply{Order: out}, nil
	}
	st := state{Placed: s.now().UTC()}
	if sameCertificate(o.Certificate, leaf) {
		st.CertificateID = o.Certificate.ID
	}
	out.State, out.Status, out.Chain = st.encode(), pluginapi.Issued, [][]byte{leaf}
	out.Detail = "found at DigiCert as order " + o.ID.String()
	if chain, err := s.chainOf(ctx, o, leaf); err == nil {
		out.Chain = chain
	}
	return pluginapi.OrderReply{Order: out}, nil
}

// scanned bounds how much of the list of orders is looked through, and how many orders with a name in common are opened.
const (
	scannedPages  = 10
	scannedOrders = 25
)

// orderOfCertificate finds the order of a certificate. DigiCert finds an order by its primary certificate alone; for
// an earlier one and for a duplicate the list of orders is looked through.
func (s *session) orderOfCertificate(ctx context.Context, der []byte) (certcentral.Order, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return certcentral.Order{}, pluginapi.FieldErrorf("leaf", "is no certificate: %w", err)
	}
	for _, name := range []string{restca.Serial(leaf), restca.Thumbprint(der)} {
		o, err := s.client.OrderOf(ctx, name)
		switch {
		case absent(err):
			continue
		case err != nil:
			return certcentral.Order{}, restca.Fail("find the order of a certificate", err)
		}
		held, err := s.certificatesOf(ctx, o)
		if err != nil {
			return certcentral.Order{}, err
		}
		if held.have(der) {
			return o, nil
		}
	}
	return s.scan(ctx, leaf)
}

// absent reports an answer that what was asked for is not there.
func absent(err error) bool {
	var no *restca.Refusal
	return errors.As(err, &no) && (no.Status == http.StatusNotFound || no.Status == http.StatusBadRequest) && len(no.Problems) > 0 && !certcentral.Has(no, "not_found|route")
}

// held are the certificates of an order, as far as DigiCert lists them: the list of reissues need not have the first one.
type held struct {
	primary              certcentral.Certificate
	reissues, duplicates []certcentral.Certificate
}

// certificatesOf lists an order's certificates. Its error says that they are not known, which is no word on whose they are.
func (s *session) certificatesOf(ctx context.Context, o certcentral.Order) (h held, err error) {
	h.primary = o.Certificate
	if h.reissues, err = s.client.Reissues(ctx, o.ID); err != nil && !absent(err) {
		return held{}, restca.Fail("list the reissues of order "+o.ID.String(), err)
	}
	if h.duplicates, err = s.client.Duplicates(ctx, o.ID); err != nil && !absent(err) {
		return held{}, restca.Fail("list the duplicates of order "+o.ID.String(), err)
	}
	return h, nil
}

// have reports whether a certificate is one of them.
func (h held) have(der []byte) bool {
	same := func(c certcentral.Certificate) bool { return sameCertificate(c, der) }
	return same(h.primary) || slices.ContainsFunc(h.reissues, same) || slices.ContainsFunc(h.duplicates, same)
}

// sameCertificate compares a listed certificate with one we have.
func sameCertificate(c certcentral.Certificate, der []byte) bool {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	if c.Thumbprint != "" {
		return strings.EqualFold(strings.ReplaceAll(string(c.Thumbprint), ":", ""), restca.Thumbprint(der))
	}
	return sameSerial(string(c.Serial), leaf.SerialNumber)
}

// candidates are the orders that a certificate can be of, though none shows it.
type candidates struct {
	orders []certcentral.Order
	// sure are those of them that can be taken without asking.
	sure []certcentral.Order
	// unread counts those that were too many to look at; cut: the list of orders was too long to be read.
	unread int
	cut    bool
}

// scan looks through the list of orders, the newest first, for those with a name of the certificate.
// (Not confirmed by DigiCert's pages: that the list tells all names of an order, and not its common name alone.)
func (s *session) scan(ctx context.Context, leaf *x509.Certificate) (certcentral.Order, error) {
	var found candidates
	var seen []string
	offset, more := 0, true
	for page := 0; more; page++ {
		if page == scannedPages {
			found.cut = true
			break
		}
		var list []certcentral.Listed
		var err error
		if list, more, err = s.client.Orders(ctx, offset); err != nil {
			return certcentral.Order{}, restca.Fail("look through the list of orders", err)
		}
		offset += len(list)
		for _, listed := range list {
			if !overlap(listed.Certificate.Names(), namesOf(leaf)) || tooYoung(listed.DateCreated, leaf) {
				continue
			}
			if len(seen) == scannedOrders {
				found.unread++
				continue
			}
			seen = append(seen, listed.ID.String())
			o, ours, err := s.consider(ctx, listed.ID, leaf, &found)
			if err != nil || ours {
				return o, err
			}
		}
	}
	return found.verdict(leaf, seen)
}

// namesOf are the names of a certificate in lower case.
func namesOf(leaf *x509.Certificate) []string {
	names := []certcentral.Text{}
	for _, n := range leaf.DNSNames {
		names = append(names, certcentral.Text(n))
	}
	return certcentral.Certificate{CommonName: certcentral.Text(leaf.Subject.CommonName), DNSNames: names}.Names()
}

// slack is how far apart two dates may lie that are of the same event: certificates begin with their day, and days are
// told without a time zone.
const slack = 48 * time.Hour

// tooYoung reports that an order was placed after a certificate was issued.
func tooYoung(created certcentral.Time, leaf *x509.Certificate) bool {
	return created.After(leaf.NotBefore.Add(slack))
}

// consider looks at one order: whether the certificate is ours to see there, and if not, whether it can be of it.
func (s *session) consider(ctx context.Context, id certcentral.ID, leaf *x509.Certificate, found *candidates) (o certcentral.Order, ours bool, err error) {
	o, err = s.client.Order(ctx, id)
	if absent(err) {
		return certcentral.Order{}, false, nil
	}
	if err != nil {
		return certcentral.Order{}, false, restca.Fail("read order "+id.String(), err)
	}
	list, err := s.certificatesOf(ctx, o)
	if err != nil {
		return certcentral.Order{}, false, err
	}
	if list.have(leaf.Raw) {
		return o, true, nil
	}
	if s.canBeFirst(o, list, leaf) {
		found.orders = append(found.orders, o)
		if alike(o, leaf) {
			found.sure = append(found.sure, o)
		}
	}
	return certcentral.Order{}, false, nil
}

// canBeFirst reports whether a certificate can be the first one of an order with paid time left that was reissued since:
// only that one need not be listed. It was issued after the order was placed and before its first reissue, and does not
// end after the plan. What is not told rules nothing out.
func (s *session) canBeFirst(o certcentral.Order, list held, leaf *x509.Certificate) bool {
	end := coverageEnd(o)
	switch {
	case ended(string(o.Status)), tooYoung(o.DateCreated, leaf):
		return false
	case !end.IsZero() && (end.Before(s.now()) || leaf.NotAfter.After(end.Add(slack))):
		return false
	case !slices.ContainsFunc(list.reissues, mayBeIssued):
		return false // the certificate that the order shows is its first, and it is another one
	}
	return !slices.ContainsFunc(list.reissues, func(c certcentral.Certificate) bool {
		return !c.DateCreated.IsZero() && leaf.NotBefore.After(c.DateCreated.Time) || !c.ValidFrom.IsZero() && leaf.NotBefore.After(c.ValidFrom.Time)
	})
}

// mayBeIssued reports whether a reissue can have taken the place of an order's first certificate.
func mayBeIssued(c certcentral.Certificate) bool {
	switch c.Status {
	case certcentral.OrderPending, certcentral.OrderNeedsApproval, certcentral.OrderProcessing, certcentral.OrderReissuePending:
		return false
	default:
		return !dropped(c)
	}
}

// alike reports that it would do no harm to take a certificate for one of an order by mistake: with the same names from
// the same issuer, in an order that is not renewed, a reissue costs nothing and revokes nothing, while a purchase would be
// one too many.
func alike(o certcentral.Order, leaf *x509.Certificate) bool {
	sorted := func(list []string) []string { return slices.Sorted(slices.Values(list)) }
	issuer := string(o.Certificate.Issuer.Name)
	return !bool(o.IsRenewed) && !coverageEnd(o).IsZero() && !o.DateCreated.IsZero() &&
		issuer != "" && strings.EqualFold(issuer, leaf.Issuer.CommonName) && slices.Equal(sorted(o.Names()), sorted(namesOf(leaf)))
}

// verdict is what comes of looking through the list of orders, in which none shows the certificate.
func (c candidates) verdict(leaf *x509.Certificate, seen []string) (certcentral.Order, error) {
	serial := restca.Serial(leaf)
	switch {
	case c.cut:
		return certcentral.Order{}, pluginapi.Errorf(pluginapi.NeedsPerson, "the account has more orders than are looked through for certificate %s; look in the console which one it is of", serial)
	case c.unread > 0:
		return certcentral.Order{}, pluginapi.Errorf(pluginapi.NeedsPerson, "certificate %s is not among those of the orders %s, and %d more with its names were not looked at; look in the console",
			serial, strings.Join(seen, ", "), c.unread)
	case len(c.orders) == 1 && len(c.sure) == 1:
		return c.sure[0], nil
	case len(c.orders) > 0:
		var ids []string
		for _, o := range c.orders {
			ids = append(ids, o.ID.String())
		}
		return certcentral.Order{}, pluginapi.Errorf(pluginapi.NeedsPerson, "certificate %s may be the first one of order %s, which is paid until later and was reissued since; DigiCert does not show whether it is; look in the console",
			serial, strings.Join(ids, " or of order "))
	}
	hint := ""
	if len(seen) > 0 {
		hint = fmt.Sprintf("; with its names it has the orders %s, and it is of none of them", strings.Join(seen, ", "))
	}
	return certcentral.Order{}, pluginapi.Errorf(pluginapi.NotFound, "the account has no order that certificate %s belongs to%s", serial, hint)
}

// settingsLike are the order settings that an order like this one is made with, as far as it tells.
func (s *session) settingsLike(o certcentral.Order) map[string]any {
	if o.Product.NameID == "" {
		return nil
	}
	out := map[string]any{"product": string(o.Product.NameID)}
	if plan := planLike(o); plan != nil {
		out["order_validity"] = plan
	}
	if id := int64(o.Organization.ID); id != 0 && id != s.settings.organization && !strings.EqualFold(string(o.Product.ValidationType), "dv") {
		out["organization"] = map[string]any{"id": id}
	}
	return out
}

// planLike is the length of an order's plan as order_validity says it. Whoever sells no plans beyond a certificate sells
// what lasts 199 days as a year.
func planLike(o certcentral.Order) map[string]any {
	const shortYear, year = 190, 365
	days := 0
	if end := coverageEnd(o); !end.IsZero() && !o.DateCreated.IsZero() {
		days = int(end.Sub(o.DateCreated.Time) / (24 * time.Hour))
	}
	switch {
	case o.ValidityYears > 0:
		return map[string]any{"years": int64(o.ValidityYears)}
	case days >= shortYear:
		return map[string]any{"years": int64(max(1, (days+year/2)/year))}
	case days > 0:
		return map[string]any{"days": int64(days)}
	default:
		return nil
	}
}
