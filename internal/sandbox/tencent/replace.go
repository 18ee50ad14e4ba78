package tencent

import (
	"slices"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

const (
	replaceOriginal = "Original"
	replaceUpload   = "Upload"
	replaceOnline   = "Online"
	// replaceDays must be left of a certificate that shall be replaced.
	replaceDays = 30
)

// replaceBody is what ReplaceCertificate asks for.
type replaceBody struct {
	ID           string `json:"CertificateId"`
	ValidType    string `json:"ValidType"`
	CsrType      string `json:"CsrType"`
	CsrContent   string `json:"CsrContent"`
	KeyPassword  string `json:"CsrkeyPassword"`
	Algorithm    string `json:"CertCSREncryptAlgo"`
	KeyParameter string `json:"CertCSRKeyParameter"`
}

// replaceCertificate is a reissue: it costs nothing, and makes another certificate with an id of its own.
func (s *Server) replaceCertificate(c *call) (obj, error) {
	var b replaceBody
	if err := c.decode(&b); err != nil {
		return nil, err
	}
	if err := s.settle(c); err != nil {
		return nil, err
	}
	var made *certificate
	if err := s.Change(c.now, func(st *state) error {
		old, err := s.mine(c, b.ID)
		if err != nil {
			return err
		}
		if err := s.judgeReplacement(c, old, b); err != nil {
			return err
		}
		m, err := replacementOf(c, old.Materials, b)
		if err != nil {
			return err
		}
		made = s.replace(c.now, old, m, b.ValidType)
		return nil
	}); err != nil {
		return nil, err
	}
	return obj{"CertificateId": made.ID}, s.tryIssue(c.ctx(), made.ID)
}

// judgeReplacement says why a certificate cannot be replaced.
//
// Unconfirmed: the codes where less than 30 days are left and where another reissue of the same main domain runs
// (OrderReplaceFailed), and that a certificate that was replaced is OrderAlreadyReplaced also when the reissue is done.
func (s *Server) judgeReplacement(c *call, old *certificate, b replaceBody) error {
	if next := s.Account.find(old.Replaced); next != nil && next.Status != statusFailed && next.Status != statusCanceling && next.Status != statusCanceled {
		return fail(failedReplaced, "The order was replaced already.")
	}
	switch {
	case old.Source != sourceBuy:
		return fail(failedSource, "The certificate %s was uploaded.", old.ID)
	case old.Status != statusIssued:
		return fail(failedStatus, "The certificate status %d is incorrect.", s.visible(old, c.now))
	case !c.now.Before(old.NotAfter.Add(-replaceDays * s.days.day)):
		return fail(failedReplace, "The certificate ends in less than %d days.", replaceDays)
	case s.Account.Settings.CABusy:
		return fail(failedBusy, "The CA system is busy. Try again later.")
	}
	for _, other := range s.Account.Certificates {
		if other.Replaces != "" && other.pending() && other.domain() == old.domain() {
			return fail(failedReplace, "Another reissue for %s is under way.", old.domain())
		}
	}
	return s.canShow(b.ValidType, old.Materials.names())
}

// replacementOf are the materials of a reissue: those of the original with another CSR.
//
// Unconfirmed: whether the international site takes ECC or, as its page prints, ECC1; the stand-in takes both.
func replacementOf(c *call, original *materials, b replaceBody) (*materials, error) {
	m := *original
	m.VerifyType, m.AutoRenew = b.ValidType, false
	switch b.CsrType {
	case replaceUpload:
		m.CSR, m.Key, m.Generated = b.CsrContent, nil, false
		return &m, checkRequest(c, b.CsrContent, m.names())
	case replaceOnline:
		algorithm, parameter := orElse(b.Algorithm, "RSA"), b.KeyParameter
		if algorithm == "ECC1" {
			algorithm = "ECC"
		}
		var err error
		m.Generated = true
		m.CSR, m.Key, err = makeCSR(algorithm, orElse(parameter, map[string]string{"RSA": "2048", "ECC": "prime256v1"}[algorithm]), m.CommonName)
		return &m, err
	default:
		if b.CsrContent != "" {
			c.remark("CsrContent has no effect where CsrType is not Upload")
		}
		return &m, nil
	}
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// replace makes the new certificate and gives it to the CA. The lock is held.
//
// Unconfirmed: that a reissue has none of the original's tags and no alias.
func (s *Server) replace(now time.Time, old *certificate, m *materials, method string) *certificate {
	st := s.Account
	made := &certificate{
		ID: st.newID(), Source: sourceBuy, Product: old.Product, Names: old.Names, Years: old.Years, Status: statusPaid, Created: now,
		Ends: old.Ends, Replaces: old.ID,
	}
	old.Replaced = made.ID
	st.Certificates = append(st.Certificates, made)
	entry := entryOf(now, sandbox.Reissue, made)
	entry.Names, entry.Renews, entry.Detail = m.names(), old.ID, "replaces "+old.ID
	st.Ledger.Add(entry)
	if st.Settings.ReplaceSubmits {
		return made
	}
	made.Materials = m
	s.submit(now, made, method)
	return made
}

// succeed makes the next certificates of terms that outlast their certificate, where the service does so itself. The lock
// is held.
//
// Unconfirmed: how a paid term of a year gets its second certificate: by nothing, which is the default, by
// ReplaceCertificate, or by the service itself; Settings choose.
func (s *Server) succeed(now time.Time) {
	if !s.Account.Settings.Successors {
		return
	}
	for _, cert := range slices.Clone(s.Account.Certificates) {
		late := now.After(cert.NotAfter.Add(-replaceDays * s.days.day))
		if cert.Held || cert.Status != statusIssued || cert.Source != sourceBuy || cert.Replaced != "" || !late || !cert.NotAfter.Before(cert.Ends) {
			continue
		}
		m := *cert.Materials
		made := s.replace(now, cert, &m, cert.DCV.Method)
		made.Successor = true
	}
}
