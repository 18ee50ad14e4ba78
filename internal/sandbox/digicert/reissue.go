package digicert

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// reissue is POST /order/certificate/{id}/reissue: another certificate inside the plan. It costs nothing, but for names
// that are added. Names that are left out end the earlier certificates.
func (s *Server) reissue(c *call) (reply, error) { return s.another(c, kindReissue) }

// duplicate is POST /order/certificate/{id}/duplicate: a further certificate, issued at once.
func (s *Server) duplicate(c *call) (reply, error) { return s.another(c, kindDuplicate) }

func (s *Server) another(c *call, kind string) (reply, error) {
	n, err := c.number("id")
	if err != nil {
		return reply{}, err
	}
	p, err := s.productOf(c, n)
	if err != nil {
		return reply{}, err
	}
	b, f, err := decodeOrder(c, s.patterns.reissueFields(p.Validation == typeDV), s.settings().Strict)
	if err != nil {
		return reply{}, err
	}
	s.judgeEmails(c.ctx(), f, b.DCVEmails)
	var miss error
	if b.UseAuthKey {
		miss = s.requestTokens(c.ctx(), b)
	}
	err = s.Change(c.now, func(st *state) error {
		o := st.order(c.user, n)
		if o == nil {
			return orderNotFound()
		}
		j := s.judgeAnother(c, f, kind, p, b, o)
		ap := s.approvalFor(c, f, p, b.SkipApproval)
		if err := f.err(); err != nil {
			return err
		}
		s.makeAnother(c, kind, p, b, o, j, ap)
		if b.UseAuthKey && miss == nil {
			o.DCV.approveAll(c.now)
		}
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	if err := s.tryIssue(c.ctx(), n); err != nil {
		return reply{}, err
	}
	return s.placed(c, n, http.StatusCreated)
}

func (s *Server) productOf(c *call, n int64) (p product, err error) {
	err = s.Read(func(st *state) error {
		o := st.order(c.user, n)
		if o == nil {
			return orderNotFound()
		}
		p, _ = productByID(o.Product)
		return nil
	})
	return p, err
}

// judgeAnother checks a reissue or duplicate against its order.
//
// Unconfirmed: the codes for a reissue of an order that is not issued, of one whose plan has ended, and of one with a reissue under way (whether the second replaces the first or fails); the stand-in refuses all of them.
func (s *Server) judgeAnother(c *call, f *faults, kind string, p product, b *orderBody, o *order) *judged {
	j := &judged{product: p, terms: o.Terms}
	j.terms.CertDays, j.terms.CertTill = 0, time.Time{} // they were for the first certificate
	s.judgeCertificate(c, f, p, &b.Certificate, j)
	s.judgeDCV(f, p, b, j.names)
	if b.Certificate.CACertID == "" {
		if before := s.Account.Authority.Issuer(o.primary().Issuer); before != nil {
			j.issuer = before
		}
	}
	s.certTerms(c, f, p, b.Certificate.CertValidity, &j.terms)
	s.judgeAccount(c, f, b)
	switch {
	case o.Status == statusReissuePending || o.open() != nil:
		f.add(http.StatusBadRequest, "cannot_reissue|pending", "The order is %s.", o.Status)
	case o.Status == statusExpired || !o.ValidTill.IsZero() && c.now.After(o.ValidTill):
		f.add(http.StatusBadRequest, "cannot_reissue|expired", "The order has ended.")
	case o.Status != statusIssued:
		f.add(http.StatusBadRequest, "cannot_reissue|"+o.Status, "The order is %s.", o.Status)
	case kind == kindDuplicate:
		s.judgeDuplicate(c, f, p, o, j)
	}
	return j
}

// judgeDuplicate: a duplicate has no validation of its own.
//
// Unconfirmed: the codes for a duplicate whose domains are not valid, and for one with other names.
func (s *Server) judgeDuplicate(c *call, f *faults, p product, o *order, j *judged) {
	if len(dropped(j.names, o.primary().names())) > 0 && p.public() {
		f.invalid("certificate.dns_names", "a duplicate has no names that the order does not have")
	}
	if !p.public() {
		return
	}
	for _, name := range j.names {
		if !p.reuses() || !slices.ContainsFunc(sortedByID(s.Account.Domains), func(d *domain) bool {
			return d.Organization == o.Organization && d.valid(c.now) && sandbox.Covers(d.Name, name)
		}) {
			f.add(http.StatusBadRequest, "dcv_required|"+name, "The domain validation of %s is not valid; reissue the order first.", name)
		}
	}
}

// makeAnother records a reissue or duplicate that was judged, and charges added names for what is left of the plan.
func (s *Server) makeAnother(c *call, kind string, p product, b *orderBody, o *order, j *judged, ap approval) {
	before := o.primary()
	cert := s.newCertificate(c, o, b, j, kind, ap)
	if kind == kindReissue {
		if b.DCVMethod == "" {
			// Unconfirmed: the method of a reissue that names none; the stand-in keeps the order's.
			b.DCVMethod, b.DCVScope = o.DCV.Method, o.DCV.Scope
			c.remark("the reissue names no dcv_method; the order's, %s, stays", o.DCV.Method)
		}
		o.DCV = s.newDCV(c, o, p, b, j.names)
		o.Status = statusReissuePending
	}
	if ap.made() {
		o.Requests = append(o.Requests, s.newRequest(c, kind, ap, o, cert.ID, b.Comments).ID)
	}
	o.Updated = c.now
	entry := s.entry(c.now, map[string]string{kindReissue: sandbox.Reissue, kindDuplicate: sandbox.Duplicate}[kind], o)
	if kind == kindReissue && !strings.EqualFold(before.CommonName, cert.CommonName) {
		// Unconfirmed: whether another name as the common name revokes earlier certificates as a dropped name does; in the stand-in it does not.
		c.remark("the common name changes from %s to %s, which may count as a change of names", before.CommonName, cert.CommonName)
	}
	gone := dropped(before.names(), cert.names())
	if kind == kindReissue && len(gone) > 0 {
		entry.Detail = "drops " + strings.Join(gone, " ")
	}
	s.Account.Ledger.Add(entry)
	if added := dropped(j.names, before.names()); kind == kindReissue && len(added) > 0 {
		s.chargeNames(c, p, o, added)
	}
}

// chargeNames books names that a reissue adds.
//
// Unconfirmed: what added names cost; the stand-in takes the price of a name for what is left of the plan.
func (s *Server) chargeNames(c *call, p product, o *order, added []string) {
	entry := s.entry(c.now, sandbox.ExtraNames, o)
	years := o.ValidTill.Sub(c.now).Hours() / (365 * s.Day().Hours())
	entry.Names, entry.Amount = added, int64(float64(int64(len(added))*p.Extra)*max(0, years))
	if o.Payment == payBalance {
		s.Account.Balance -= entry.Amount
	}
	s.Account.Ledger.Add(entry)
}

// listReissues is GET /order/certificate/{id}/reissue, listDuplicates the same of duplicates.
//
// Unconfirmed: whether the list of reissues holds the order's first certificate; the stand-in's does not.
func (s *Server) listReissues(c *call) (reply, error) { return s.listKind(c, kindReissue) }

func (s *Server) listDuplicates(c *call) (reply, error) { return s.listKind(c, kindDuplicate) }

func (s *Server) listKind(c *call, kind string) (reply, error) {
	n, err := c.number("id")
	if err != nil {
		return reply{}, err
	}
	list := []obj{}
	err = s.Read(func(st *state) error {
		o := st.order(c.user, n)
		if o == nil {
			return orderNotFound()
		}
		for _, cert := range o.Certificates {
			if cert.Kind == kind && cert.Announced {
				list = append(list, s.listedView(cert))
			}
		}
		return nil
	})
	return ok(obj{"certificates": list}), err
}

func (s *Server) listedView(cert *certificate) obj {
	v := obj{
		"id": cert.ID, "common_name": cert.CommonName, "dns_names": cert.names(), "status": cert.Status, "csr": cert.CSR,
		"date_created": stamp(cert.Created), "signature_hash": cert.SignatureHash, "server_platform": obj{"id": cert.Platform},
	}
	if !cert.Issued.IsZero() {
		v["serial_number"], v["thumbprint"], v["date_issued"] = cert.Serial, cert.Thumbprint, stamp(cert.Issued)
		v["valid_from"], v["valid_till"] = s.certDate(cert.NotBefore), s.certDate(cert.NotAfter)
	}
	return v
}
