package digicert

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// caaIdentifiers are what a CAA record may name to let DigiCert issue.
//
// Unconfirmed: the full list of CAA identifiers; digicert.com is certain.
func caaIdentifiers() []string {
	return []string{"digicert.com", "www.digicert.com", "digicert.ne.jp", "cybertrust.ne.jp", "symantec.com", "thawte.com", "geotrust.com", "rapidssl.com"}
}

// tryIssue issues an order's open certificate if nothing is left to wait for: approval, domains, organization, CAA.
func (s *Server) tryIssue(ctx context.Context, id int64) error {
	var names []string
	var looked int64
	checkCAA := false
	if err := s.Read(func(st *state) error {
		if o := st.Orders[id]; o != nil && s.ready(o) {
			names, looked, checkCAA = o.open().names(), o.open().ID, st.Settings.CheckCAA
		}
		return nil
	}); err != nil || looked == 0 {
		return err
	}
	messages := map[string]string{}
	if checkCAA {
		messages = s.caaMessages(ctx, names)
	}
	now := s.Now()
	return s.Change(now, func(st *state) error {
		o := st.Orders[id]
		if o == nil || !s.ready(o) || o.open().ID != looked {
			return nil
		}
		o.CAAMessages = messages
		if len(messages) > 0 {
			return nil
		}
		cert := o.open()
		if cert.Ready.IsZero() {
			cert.Ready = now
		}
		if now.Sub(cert.Ready) < time.Duration(st.Settings.IssueDelay) {
			return nil
		}
		return s.issue(now, o, cert)
	})
}

// caaMessages say which names must not be issued for.
func (s *Server) caaMessages(ctx context.Context, names []string) map[string]string {
	messages := map[string]string{}
	for _, name := range names {
		if sandbox.IsAddress(name) {
			continue
		}
		allowed, err := s.look.MayIssue(ctx, name, caaIdentifiers())
		switch {
		case err != nil:
			messages[name] = "caa_not_found|" + name
		case !allowed:
			messages[name] = "caa_check_failed|" + name
		}
	}
	return messages
}

// ready reports whether an order's open certificate can be issued, CAA aside. The lock is held.
func (s *Server) ready(o *order) bool {
	cert := o.open()
	if cert == nil || cert.Status != statusPending || o.Status != statusPending && o.Status != statusReissuePending && cert.Kind != kindDuplicate {
		return false
	}
	if !o.DCV.done() && cert.Kind != kindDuplicate {
		return false
	}
	p, ok := productByID(o.Product)
	if !ok {
		return false
	}
	if org := s.Account.Organizations[o.Organization]; p.reuses() && !org.valid(p.Validation, s.Now()) {
		return false
	}
	return true
}

// issue signs a certificate. The lock is held.
//
// Unconfirmed: when a plan begins; the stand-in counts it from the first certificate.
func (s *Server) issue(now time.Time, o *order, cert *certificate) error {
	p, ok := productByID(o.Product)
	if !ok {
		return fmt.Errorf("order %d is of the unknown product %q", o.ID, o.Product)
	}
	csr, err := parseCSR(cert.CSR)
	if err != nil {
		return fmt.Errorf("order %d has a CSR that was judged before: %w", o.ID, err)
	}
	issuer := s.Account.Authority.Issuer(cert.Issuer)
	if issuer == nil {
		return fmt.Errorf("order %d wants the issuing CA %s, which is gone", o.ID, cert.Issuer)
	}
	if o.ValidTill.IsZero() {
		o.ValidTill = s.planEnd(now, o.Terms)
	}
	leaf := sandbox.Leaf{
		PublicKey: csr.PublicKey, CommonName: cert.CommonName, Names: cert.names(), Hash: cert.SignatureHash, ClientAuth: cert.ClientAuth,
		NotBefore: s.days.begin(now), NotAfter: s.certEnd(now, p, cert.Terms, o.ValidTill),
	}
	if org := s.Account.Organizations[o.Organization]; org != nil {
		leaf.Organization, leaf.Country = org.Name, org.Country
	}
	if !leaf.NotAfter.After(leaf.NotBefore) {
		s.expire(now, o)
		return nil
	}
	signed, err := issuer.Issue(leaf)
	if err != nil {
		return err
	}
	before := o.primary()
	cert.DER, cert.Serial, cert.Thumbprint = signed.Raw, sandbox.Serial(signed), sandbox.Thumbprint(signed.Raw)
	cert.NotBefore, cert.NotAfter, cert.Issued, cert.Status = signed.NotBefore, signed.NotAfter, now, statusIssued
	o.Updated = now
	if cert.Kind != kindDuplicate {
		o.Status = statusIssued
	}
	if cert.Kind == kindReissue {
		s.endDropped(now, o, before, cert)
	}
	entry := s.entry(now, sandbox.Issue, o)
	entry.Names, entry.Detail = cert.names(), "serial "+cert.Serial
	s.Account.Ledger.Add(entry)
	s.Log.Info("issued", "order", o.ID, "certificate", cert.ID, "kind", cert.Kind, "names", strings.Join(cert.names(), " "), "not_after", cert.NotAfter)
	return nil
}

// endDropped lets earlier certificates of an order be revoked when a reissue has dropped names.
func (s *Server) endDropped(now time.Time, o *order, before, after *certificate) {
	gone := dropped(before.names(), after.names())
	if len(gone) == 0 {
		return
	}
	at := now.Add(revokeAfter * s.Day())
	for _, c := range o.Certificates {
		if c != after && c.Status == statusIssued {
			c.RevokeAt = at
		}
	}
	s.Log.Warn("a reissue drops names; the earlier certificates will be revoked", "order", o.ID, "names", strings.Join(gone, " "), "at", at)
}

// revokeAfter is how many days after a reissue that drops names the earlier certificates end: the end of the documented
// 48 to 72 hours.
const revokeAfter = 3

// due does what has become due by now: revocations, ends of orders. The lock is held.
func (s *Server) due(now time.Time) {
	for _, o := range s.Account.Orders {
		for _, c := range o.Certificates {
			if !c.RevokeAt.IsZero() && c.Status == statusIssued && !now.Before(c.RevokeAt) {
				c.Status, c.Revoked, c.Reason = statusRevoked, now, "superseded"
				entry := s.entry(now, sandbox.Revoke, o)
				entry.Detail = "serial " + c.Serial + ": a reissue dropped names"
				s.Account.Ledger.Add(entry)
			}
		}
		if !o.ValidTill.IsZero() && now.After(o.ValidTill) {
			s.expire(now, o)
		}
	}
}

// expire ends an order whose plan is over, whatever is under way on it. The lock is held.
func (s *Server) expire(now time.Time, o *order) {
	switch o.Status {
	case statusExpired, statusRevoked, statusCanceled, statusRejected:
		return
	}
	o.Status, o.Updated = statusExpired, now
	for cert := o.open(); cert != nil; cert = o.open() {
		cert.Status = statusCanceled
	}
}

// chainObjects are a certificate, its issuing CA and the root, as the API lists them.
func chainObjects(a *sandbox.Authority, cert *certificate) []obj {
	list := []obj{{"subject_common_name": cert.CommonName, "pem": encodePEM(cert.DER)}}
	if i := a.Issuer(cert.Issuer); i != nil {
		list = append(list,
			obj{"subject_common_name": i.Cert.Subject.CommonName, "pem": encodePEM(i.Cert.Raw)},
			obj{"subject_common_name": i.Root.Subject.CommonName, "pem": encodePEM(i.Root.Raw)})
	}
	return list
}
