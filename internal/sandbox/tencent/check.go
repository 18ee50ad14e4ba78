package tencent

import "time"

// checkDomainVerification is CheckCertificateDomainVerification: it looks, and tells what was seen.
//
// Unconfirmed: that the call makes the CA look, too; the stand-in issues when all is seen.
func (s *Server) checkDomainVerification(c *call) (obj, error) {
	id := c.text("CertificateId")
	var stale []auth
	throttled, hidden := false, false
	if err := s.Change(c.now, func(st *state) error {
		cert, err := s.mine(c, id)
		if err != nil {
			return err
		}
		if status := s.visible(cert, c.now); !cert.pending() || status == statusPaid {
			return fail(failedNotVerifiable, "The certificate status %d does not allow verifying.", status)
		}
		if hidden = !s.dcvVisible(cert, c.now); hidden {
			return nil
		}
		if throttled = c.now.Before(cert.DCV.Checked.Add(time.Duration(st.Settings.CheckInterval))); throttled {
			stale = append(stale, cert.DCV.Auths...)
			return nil
		}
		cert.DCV.Checked = c.now
		return nil
	}); err != nil {
		return nil, err
	}
	switch {
	case hidden:
		return obj{"VerificationResults": nil}, nil
	case throttled:
		c.remark("asked too often: the result is stale")
		return obj{"VerificationResults": throttledResults(stale)}, nil
	}
	list, err := s.check(c.ctx(), id)
	if err != nil {
		return nil, err
	}
	issued := false
	if err := s.Read(func(st *state) error {
		issued = st.find(id).Status == statusIssued
		return nil
	}); err != nil {
		return nil, err
	}
	return obj{"VerificationResults": results(list, issued)}, nil
}

func (a auth) method() string {
	switch {
	case a.Auto:
		return methodAuto
	case a.Kind == kindFile:
		return methodFile
	default:
		return methodDNS
	}
}

func results(list []verdict, issued bool) []obj {
	out := []obj{}
	for _, v := range list {
		ca, reason := caPassed, ""
		if v.local != localOK {
			ca = caFailed
		}
		if v.err != nil {
			reason = v.err.Error()
		}
		out = append(out, obj{
			"Domain": v.auth.Name, "VerifyType": v.auth.method(), "LocalCheck": v.local, "CaCheck": ca, "LocalCheckFailReason": reason,
			"CheckValue": append([]string{}, v.found...), "Frequently": false, "Issued": issued,
		})
	}
	return out
}

func throttledResults(list []auth) []obj {
	out := []obj{}
	for _, a := range list {
		out = append(out, obj{
			"Domain": a.Name, "VerifyType": a.method(), "LocalCheck": localMissing, "CaCheck": caFailed,
			"LocalCheckFailReason": "too many checks", "CheckValue": nil, "Frequently": true, "Issued": false,
		})
	}
	return out
}

// completeCertificate is the mainland's push of a validation.
func (s *Server) completeCertificate(c *call) (obj, error) {
	id := c.text("CertificateId")
	if err := s.Read(func(st *state) error {
		cert := s.found(id, c.now)
		if cert == nil || !cert.pending() || s.visible(cert, c.now) == statusPaid {
			return fail(failed+".CertificateNotFoundOrAudited", "The certificate %s does not exist, or was reviewed.", id)
		}
		if p, _ := productByID(cert.Product); p.Brand == brandDNSPod || p.Brand == brandWoTrus {
			return fail(failed, "The validation of %s cannot be pushed.", p.name())
		}
		return nil
	}); err != nil {
		return nil, err
	}
	_, err := s.check(c.ctx(), id)
	return obj{"CertificateId": id}, err
}
