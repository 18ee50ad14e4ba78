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

// FindOrder tells whether a lost PlaceOrder call arrived: an order by its mark, a reissue by its certificate request.
func (c *CA) FindOrder(ctx context.Context, order pluginapi.OrderRequest, _ time.Time) (pluginapi.OrderReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if order.Kind == pluginapi.Reissue {
		return s.findLostReissue(ctx, order)
	}
	reply, found, err := s.arrived(ctx, order)
	if err != nil || found {
		return reply, err
	}
	return s.amongNewest(ctx, order)
}

// newest is how many of the newest orders with the right name are opened in search of a mark.
const newest = 10

// amongNewest looks for an order's mark in the list of orders. An order is bought again on the word that there is none,
// and nobody knows how soon DigiCert finds a new order by its mark: this is a second witness. A key that may not list
// orders leaves it at one.
func (s *session) amongNewest(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	none := pluginapi.Errorf(pluginapi.NotFound, "DigiCert has no order with the mark %s", alternativeID(order))
	computed, err := s.compute(s.orderSettings(order.Settings), order)
	if err != nil { // it was never sent like this, but what was sent is not known
		return pluginapi.OrderReply{}, none
	}
	list, _, err := s.client.Orders(ctx, 0)
	if err != nil {
		return pluginapi.OrderReply{}, witness(none, "look through the newest orders", err)
	}
	opened := 0
	for _, listed := range list {
		if !strings.EqualFold(string(listed.Certificate.CommonName), computed.CommonName) || opened == newest {
			continue
		}
		opened++
		o, err := s.client.Order(ctx, listed.ID)
		if err != nil {
			return pluginapi.OrderReply{}, witness(none, "read order "+listed.ID.String(), err)
		}
		if string(o.AlternativeOrderID) == alternativeID(order) {
			return s.begun(certcentral.Placed{ID: o.ID, CertificateID: o.Certificate.ID}, ""), nil
		}
	}
	return pluginapi.OrderReply{}, none
}

// witness leaves an answer as it is when the second witness may not speak, and asks again when it cannot just now.
func witness(answer error, what string, err error) error {
	failure := restca.Fail(what, err)
	switch failure.Kind {
	case pluginapi.Unavailable, pluginapi.RateLimited:
		return failure
	default:
		return answer
	}
}

func (s *session) findLostReissue(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	id, err := s.previousOrder(ctx, order)
	if err != nil {
		return pluginapi.OrderReply{}, notNotFound(err)
	}
	f, err := s.findReissue(ctx, id, order)
	switch {
	case err != nil:
		return pluginapi.OrderReply{}, notNotFound(err)
	case f.found:
		return s.begun(f.placed(), ""), nil
	case hiddenRequest(f.order.Requests), f.order.Status == certcentral.OrderReissuePending && !s.accountedFor(ctx, id):
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Unavailable, "a reissue of order %s is under way, and DigiCert does not show yet for which certificate request", id)
	default:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "order %s has no reissue for this certificate request", id)
	}
}

// hiddenRequest reports a request for a reissue that waits for approval and says nothing of whose it is.
func hiddenRequest(list []certcentral.Request) bool {
	r := strangeRequest(list)
	return r.ID != 0 && r.Comments == ""
}

// accountedFor reports that the reissue under way is to be seen in the list, so that it is known to be another's.
func (s *session) accountedFor(ctx context.Context, id certcentral.ID) bool {
	list, err := s.client.Reissues(ctx, id)
	if err != nil {
		return false
	}
	for _, c := range list {
		if c.Serial == "" && !dropped(c) && c.CSR != "" {
			return true
		}
	}
	return false
}

// notNotFound keeps the order that a reissue belongs to from counting as the reissue: that the order cannot be seen says
// nothing of what was asked of it.
func notNotFound(err error) error {
	if pluginapi.KindOf(err) == pluginapi.NotFound {
		return pluginapi.Errorf(pluginapi.Unavailable, "%w", err)
	}
	return err
}

// FindOrderByCertificate finds the order that a certificate on disk belongs to, so that it can be reissued and renewed.
func (c *CA) FindOrderByCertificate(ctx context.Context, leaf []byte) (pluginapi.OrderReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	o, err := s.orderOfCertificate(ctx, leaf)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	out := pluginapi.Order{Reference: reference(o.ID), CoverageEnd: coverageEnd(o)}
	if status, final := finalStatus(string(o.Status)); final {
		out.Status, out.Detail = status, "the order is "+string(o.Status)+" at DigiCert"
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

// scanned bounds how much of the list of orders is looked through, and how many orders with the right name are opened.
const (
	scannedPages  = 10
	scannedOrders = 25
)

// orderOfCertificate finds the order of a certificate. DigiCert finds an order by its primary certificate alone; for
// an earlier one the list of orders is looked through.
func (s *session) orderOfCertificate(ctx context.Context, der []byte) (certcentral.Order, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return certcentral.Order{}, pluginapi.FieldErrorf("leaf", "is no certificate: %w", err)
	}
	for _, name := range []string{restca.Serial(leaf), restca.Thumbprint(der)} {
		o, err := s.client.OrderOf(ctx, name)
		if err == nil && s.belongs(ctx, o, der) {
			return o, nil
		}
		if err != nil && !absent(err) {
			return certcentral.Order{}, restca.Fail("find the order of a certificate", err)
		}
	}
	return s.scan(ctx, leaf)
}

// absent reports an answer that what was asked for is not there.
func absent(err error) bool {
	var no *restca.Refusal
	return errors.As(err, &no) && (no.Status == http.StatusNotFound || no.Status == http.StatusBadRequest) && len(no.Problems) > 0 && !certcentral.Has(no, "not_found|route")
}

// belongs reports whether a certificate is one of an order.
func (s *session) belongs(ctx context.Context, o certcentral.Order, der []byte) bool {
	if sameCertificate(o.Certificate, der) {
		return true
	}
	list, err := s.client.Reissues(ctx, o.ID)
	if err != nil {
		return false
	}
	for _, c := range list {
		if sameCertificate(c, der) {
			return true
		}
	}
	return false
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

// scan looks through the list of orders, the newest first. The list of an order's reissues need not hold its first
// certificate: where there is just one order that it can be of, that is it, and otherwise they are named, for a person to
// decide.
func (s *session) scan(ctx context.Context, leaf *x509.Certificate) (certcentral.Order, error) {
	var similar []string
	var first []certcentral.Order
	for page, offset := 0, 0; page < scannedPages; page++ {
		orders, more, err := s.client.Orders(ctx, offset)
		if err != nil {
			return certcentral.Order{}, restca.Fail("look through the list of orders", err)
		}
		offset += len(orders)
		for _, listed := range orders {
			if !strings.EqualFold(string(listed.Certificate.CommonName), leaf.Subject.CommonName) || len(similar) == scannedOrders {
				continue
			}
			o, err := s.client.Order(ctx, listed.ID)
			if err != nil && !absent(err) {
				return certcentral.Order{}, restca.Fail("read order "+listed.ID.String(), err)
			}
			if err == nil && s.belongs(ctx, o, leaf.Raw) {
				return o, nil
			}
			if err == nil && s.canBeFirst(ctx, o, leaf) {
				first = append(first, o)
			}
			similar = append(similar, listed.ID.String())
		}
		if !more {
			break
		}
	}
	switch {
	case len(first) == 1:
		return first[0], nil
	case len(first) > 1:
		var ids []string
		for _, o := range first {
			ids = append(ids, o.ID.String())
		}
		return certcentral.Order{}, pluginapi.Errorf(pluginapi.NeedsPerson, "certificate %s may be of any of the orders %s, and DigiCert does not show of which; look in the console",
			restca.Serial(leaf), strings.Join(ids, ", "))
	}
	hint := ""
	if len(similar) > 0 {
		hint = fmt.Sprintf(", as far as it shows; for %s it has the orders %s", leaf.Subject.CommonName, strings.Join(similar, ", "))
	}
	return certcentral.Order{}, pluginapi.Errorf(pluginapi.NotFound, "the account has no order that certificate %s belongs to%s", restca.Serial(leaf), hint)
}

// canBeFirst reports whether a certificate can be the first one of an order that was reissued since: for the same names,
// issued after the order was placed and before its first reissue, with no end beyond the plan's. With the same names a
// reissue costs nothing and revokes nothing, so that a mistake here does no harm, while a second purchase would.
func (s *session) canBeFirst(ctx context.Context, o certcentral.Order, leaf *x509.Certificate) bool {
	end := coverageEnd(o)
	if ended(string(o.Status)) || end.IsZero() || leaf.NotAfter.After(end) || o.DateCreated.IsZero() {
		return false
	}
	names := []string{strings.ToLower(string(o.Certificate.CommonName))}
	for _, n := range o.Certificate.DNSNames {
		names = append(names, strings.ToLower(string(n)))
	}
	if !sameSet(names, leaf.DNSNames) {
		return false
	}
	list, err := s.client.Reissues(ctx, o.ID)
	if err != nil || len(list) == 0 {
		return false // the certificate that the order shows is its first, and it is another one
	}
	const day = 24 * time.Hour // certificates begin with their day
	if leaf.NotBefore.Before(o.DateCreated.Add(-day)) {
		return false
	}
	for _, c := range list {
		if !c.ValidFrom.IsZero() && leaf.NotBefore.After(c.ValidFrom.Time) || !c.DateCreated.IsZero() && leaf.NotBefore.After(c.DateCreated.Time) {
			return false
		}
	}
	return true
}

func sameSet(a, b []string) bool {
	sorted := func(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
	return slices.Equal(sorted(a), sorted(b))
}
