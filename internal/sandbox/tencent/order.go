package tencent

import (
	"slices"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// managerOK is the state of a manager whose review is done.
const managerOK = "ok"

// certificateOrderSubmit sends an order to the CA.
func (s *Server) certificateOrderSubmit(c *call) (obj, error) {
	var b struct {
		CertID              string `json:"CertId"`
		DeleteDNSAutoRecord int64  `json:"DeleteDnsAutoRecord"`
		VerifyType          string `json:"VerifyType"`
	}
	if err := c.decode(&b); err != nil {
		return nil, err
	}
	var answer obj
	if err := s.Change(c.now, func(st *state) error {
		cert, err := s.mine(c, b.CertID)
		if err != nil {
			return err
		}
		method, err := s.judgeSubmission(c, cert, b.VerifyType)
		if err != nil {
			return err
		}
		if b.DeleteDNSAutoRecord == 1 && method != methodAuto {
			c.remark("DeleteDnsAutoRecord has no effect without DNS_AUTO")
		}
		s.submit(c.now, cert, method)
		answer = obj{"OrderId": orNil(s.orderID(cert, c.now)), "Status": s.visible(cert, c.now), "IsAudited": cert.Letter}
		return nil
	}); err != nil {
		return nil, err
	}
	return answer, s.tryIssue(c.ctx(), b.CertID)
}

// judgeSubmission says what is wrong with sending an order to the CA, and how its domains will be shown.
//
// Unconfirmed: the codes for an order without materials (CertificateInfoSubmitStatusInvalid here), for one that failed or
// was canceled (the same), and for a way of domain control that is named nowhere (InvalidParam).
func (s *Server) judgeSubmission(c *call, cert *certificate, method string) (string, error) {
	set, status := s.Account.Settings, s.visible(cert, c.now)
	switch {
	case !set.Verified:
		return "", fail(failedIdentity, "You have not completed the identity verification.")
	case cert.Source != sourceBuy:
		return "", fail(failedInvalid, "The certificate is invalid.")
	case cert.pending():
		return "", fail(set.SubmittedTwice, "Your order is being processed. Please wait patiently.")
	case status == statusFailed, status == statusCanceled, status == statusFree:
		return "", fail(failedInfoStatus, "The certificate status %d does not allow submitting.", status)
	case status != statusPaid:
		return "", fail(failedStatus, "The certificate status %d is incorrect.", status)
	case cert.Materials == nil:
		return "", fail(failedInfoStatus, "The certificate's materials were not submitted.")
	case slices.ContainsFunc([]string{cert.Materials.ContactEmail, cert.Materials.Submitted["AdminEmail"], cert.Materials.Submitted["TechEmail"]},
		func(email string) bool { return email != "" && !validEmail(email) }):
		return "", fail(failedEmail, "The format of the entered email address is incorrect. Please check and resubmit.")
	case set.CABusy:
		return "", fail(failedBusy, "The CA system is busy. Try again later.")
	}
	if method == "" {
		method = cert.Materials.VerifyType
	}
	if method == "" {
		return "", fail(failedParam, "VerifyType is named neither here nor in the materials.")
	}
	return method, s.canShow(method, cert.Materials.names())
}

// canShow says whether names can be shown in a way.
func (s *Server) canShow(method string, names []string) error {
	if method == methodAuto {
		for _, name := range names {
			if !slices.Contains(s.Account.Settings.Zones, sandbox.BaseOf(name)) {
				return fail(failedParam, "The zone of %q is not in this account's DNS, as DNS_AUTO needs it.", name)
			}
		}
	}
	return checkMethod(method, names)
}

// submit gives an order to the CA. The lock is held.
//
// Unconfirmed: that an order whose manager's review is done waits for nobody, and that a reissue does so.
func (s *Server) submit(now time.Time, cert *certificate, method string) {
	p, _ := productByID(cert.Product)
	m := s.Account.manager(cert.Materials.Manager)
	cert.Submitted, cert.OrderID, cert.Ready = now, randomOf(idLetters+idDigits, idLength), time.Time{}
	again := cert.Replaces != ""
	cert.Letter = p.Validation != typeDV && (m == nil || m.Status != managerOK) && !again
	cert.Held, cert.DCV = false, s.newDCV(now, cert, p, method)
	cert.Status, cert.Message = statusReview, messageDCV
	switch {
	case cert.Letter:
		cert.Status, cert.Message = statusLetter, messagePreReview
	case again && s.Account.Settings.ReplaceStatus != AtOld:
		cert.Status = statusReissuing
	case again:
	case method == methodAuto:
		cert.Status = statusAutoRecord
	case p.Validation == typeDV:
		cert.Status = int(s.Account.Settings.PendingStatus)
	}
}

// onTheWay reports whether an order has not yet come to the CA.
func (s *Server) onTheWay(cert *certificate, now time.Time) bool {
	return cert.pending() && now.Before(cert.Submitted.Add(time.Duration(s.Account.Settings.SubmitTakes)))
}

// visible is the status that a certificate shows. The lock is held.
func (s *Server) visible(cert *certificate, now time.Time) int {
	if s.onTheWay(cert, now) {
		return statusPaid
	}
	if next := s.Account.find(cert.Replaced); cert.Status == statusIssued && next != nil && next.pending() && s.Account.Settings.ReplaceStatus != AtNew {
		return statusReissuing
	}
	return cert.Status
}

func (s *Server) orderID(cert *certificate, now time.Time) string {
	if s.onTheWay(cert, now) {
		return ""
	}
	return cert.OrderID
}

// orNil writes an empty text as null.
func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// due does what has become due by now. The lock is held.
//
// Unconfirmed: what becomes of an order whose domains are not shown in time; the stand-in lets the review fail.
func (s *Server) due(now time.Time) {
	for _, cert := range s.Account.Certificates {
		switch {
		case cert.Held:
		case cert.Status == statusCanceling && !now.Before(cert.Canceling.Add(time.Duration(s.Account.Settings.CancelTakes))):
			cert.Status, cert.Message = statusCanceled, ""
		case cert.pending() && !cert.DCV.done() && now.After(cert.DCV.Deadline):
			cert.Status, cert.Message = statusFailed, "The domains were not verified in time."
		case cert.Status == statusIssued && now.After(cert.NotAfter):
			cert.Status = statusExpired
		}
	}
	s.renewThemselves(now)
	s.succeed(now)
}
