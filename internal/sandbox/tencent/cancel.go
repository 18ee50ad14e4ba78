package tencent

import (
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// cancelCertificateOrder ends an order that is paid and not issued. Nothing is given back.
//
// Unconfirmed: that a certificate whose materials were never submitted can be canceled, too.
func (s *Server) cancelCertificateOrder(c *call) (obj, error) {
	id := c.text("CertificateId")
	return obj{"CertificateId": id}, s.Change(c.now, func(*state) error {
		cert, err := s.mine(c, id)
		if err != nil {
			return err
		}
		if !cert.pending() && cert.Status != statusPaid || cert.Source != sourceBuy {
			return fail(failedStatus, "The certificate status %d is incorrect.", s.visible(cert, c.now))
		}
		s.cancel(c.now, cert, "order canceled")
		return nil
	})
}

// cancelAuditCertificate takes a certificate out of the review.
func (s *Server) cancelAuditCertificate(c *call) (obj, error) {
	id := c.text("CertificateId")
	return obj{"Result": true}, s.Change(c.now, func(*state) error {
		cert, err := s.mine(c, id)
		if err != nil {
			return err
		}
		if !cert.pending() {
			return fail(failedCancelReview, "The certificate does not exist, or cannot be canceled in status %d.", s.visible(cert, c.now))
		}
		s.cancel(c.now, cert, "review canceled")
		return nil
	})
}

// cancel begins the cancellation, which the CA has to answer. The lock is held.
func (s *Server) cancel(now time.Time, cert *certificate, detail string) {
	entry := entryOf(now, sandbox.Cancel, cert)
	entry.Detail = detail
	s.Account.Ledger.Add(entry)
	cert.Status, cert.Message, cert.Canceling, cert.Held = statusCanceling, "", now, false
	s.due(now)
}

// modifyCertificateResubmit brings a certificate whose review failed or was canceled back to where its materials can be
// submitted, without paying again.
func (s *Server) modifyCertificateResubmit(c *call) (obj, error) {
	id := c.text("CertificateId")
	return obj{"CertificateId": id}, s.Change(c.now, func(*state) error {
		cert, err := s.mine(c, id)
		if err != nil {
			return err
		}
		if cert.Status != statusFailed && cert.Status != statusCanceled || cert.Source != sourceBuy {
			return fail(failedResubmit, "The certificate status %d does not allow resubmitting.", s.visible(cert, c.now))
		}
		cert.Status, cert.Message, cert.OrderID, cert.Letter, cert.Held = statusPaid, "", "", false, false
		cert.Submitted, cert.Ready, cert.Canceling, cert.DCV, cert.Materials = time.Time{}, time.Time{}, time.Time{}, dcvState{}, nil
		return nil
	})
}

// revokeCertificate begins a revocation. A DV certificate has to show its domains again, others wait for a letter.
//
// Unconfirmed: the form of what a domain must show; the stand-in asks for what it asked at the order, with new values,
// and writes the name of a record relative to its zone.
func (s *Server) revokeCertificate(c *call) (obj, error) {
	id := c.text("CertificateId")
	list := []obj{}
	return obj{"RevokeDomainValidateAuths": &list}, s.Change(c.now, func(st *state) error {
		cert, err := s.mine(c, id)
		if err != nil {
			return err
		}
		switch {
		case cert.Source != sourceBuy:
			return fail(failedSource, "The certificate %s was uploaded.", cert.ID)
		case cert.Status == statusRevoking || cert.Status == statusRevokeLetter:
			return fail(failedRevoke, "The revocation is under way.")
		case cert.Status != statusIssued:
			return fail(failedStatus, "The certificate status %d is incorrect.", s.visible(cert, c.now))
		case cert.Bound:
			return fail(failedRevokeResource, "The certificate is bound to cloud resources.")
		}
		cert.Held = false
		p, _ := productByID(cert.Product)
		switch {
		case p.Validation != typeDV:
			cert.Status = statusRevokeLetter
		case !st.Settings.RevokeProof || cert.DCV.Method == "":
			s.revoked(c.now, cert)
		default:
			cert.Status, cert.Revocation = statusRevoking, newAuths(c.now, cert.Materials.names(), cert.DCV.Method, p.aliased(cert.Materials.CAType))
		}
		for _, a := range cert.Revocation {
			v := obj{"DomainValidateAuthPath": "", "DomainValidateAuthKey": a.Sub, "DomainValidateAuthValue": a.Value, "DomainValidateAuthDomain": a.Domain}
			if a.Kind == kindFile {
				v["DomainValidateAuthPath"], v["DomainValidateAuthKey"] = filePath, a.Key
			}
			list = append(list, v)
		}
		return nil
	})
}

// revoked ends a certificate. The lock is held.
func (s *Server) revoked(now time.Time, cert *certificate) {
	cert.Status, cert.Message, cert.Revoked = statusRevoked, "", now
	s.Account.Ledger.Add(entryOf(now, sandbox.Revoke, cert))
}

// modifyCertificateAlias sets a certificate's name for people.
func (s *Server) modifyCertificateAlias(c *call) (obj, error) {
	id := c.text("CertificateId")
	return obj{"CertificateId": id}, s.Change(c.now, func(*state) error {
		cert, err := s.mine(c, id)
		if err == nil {
			cert.Alias = c.text("Alias")
		}
		return err
	})
}
