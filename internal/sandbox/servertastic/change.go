package servertastic

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// cancelDays is for how long after its issue an order can be cancelled.
const cancelDays = 30

// approverList is order/approverlist.
func (s *Server) approverList(c *call) (any, error) {
	name := strings.ToLower(c.form["domain_name"])
	if wrong := sandbox.CheckName(name); wrong != "" || sandbox.IsAddress(name) {
		return nil, refuse("domain_name %q is no domain name", name)
	}
	var list []obj
	for _, address := range approvers(name) {
		list = append(list, obj{"email": address})
	}
	return obj{"success": "ApproverList", "approver_email": list}, nil
}

// pending finds out whether an order waits for domain control.
func pending(o *order) error {
	p, _ := productByCode(o.Product)
	switch {
	case o.Ended != "":
		return refuse("the order is %s", o.Ended)
	case o.Placed.IsZero():
		return refuse("the order has not been placed")
	case o.open() == nil || o.DCV.done(p.Family):
		return refuse("the order does not wait for domain validation")
	}
	return nil
}

// pollAuth is order/pollauth: the CA looks now. What review tells follows later.
//
// Unconfirmed: pollauth's answer for an order that waits for nothing, or for an email; the stand-in refuses both.
func (s *Server) pollAuth(c *call) (any, error) {
	if err := s.byToken(c, func(_ *state, o *order) error {
		if o.Ended == "" && o.open() != nil && o.DCV.Method == methodEmail {
			return refuse("the order is validated by email")
		}
		return pending(o)
	}); err != nil {
		return nil, err
	}
	missing, err := s.checkOrder(c.ctx(), c.form[needsToken])
	if err != nil {
		return nil, err
	}
	for name, why := range missing {
		c.remark("%s: %v", name, why)
	}
	status := ""
	if len(missing) > 0 {
		status = "not found for " + strings.Join(slices.Sorted(maps.Keys(missing)), ", ")
	}
	return obj{"success": "Order Polled", "status": status}, nil
}

// cancel is order/cancel. An order that was issued is cancelled by its admin contact, who gets a mail.
//
// Unconfirmed: cancel's answers for an order that is cancelled already, which is a success here, and for one that was issued more than 30 days ago, which is refused.
func (s *Server) cancel(c *call) (any, error) {
	var answer obj
	err := s.byToken(c, func(st *state, o *order) error {
		answer = obj{"success": "Order cancelled - " + o.ResellerID}
		switch list := o.issued(); {
		case o.Ended == statusCancelled:
			return nil
		case o.Ended != "":
			return refuse("the order is %s", o.Ended)
		case len(list) == 0:
			s.end(c.now, st, o, statusCancelled)
			return nil
		case c.now.Sub(list[0].Issued) > cancelDays*s.Day():
			return refuse("the order was issued more than %d days ago", cancelDays)
		}
		if o.CancelAsked.IsZero() {
			o.CancelAsked = c.now
			o.happened(c.now, "Cancellation Requested")
		}
		return nil
	})
	return answer, err
}

// end ends an order, gives its points back and revokes its certificates.
//
// Unconfirmed: that the points of an order that was rolled back come back.
func (s *Server) end(now time.Time, st *state, o *order, status string) {
	o.Ended, o.Held, o.ReleaseAt = status, "", time.Time{}
	o.happened(now, "Order "+status)
	if o.Placed.IsZero() {
		o.sync(now, &st.Settings)
	}
	st.Ledger.Add(st.entry(now, sandbox.Cancel, o))
	for _, cert := range o.issued() {
		cert.Revoked = now
		entry := st.entry(now, sandbox.Revoke, o)
		entry.Detail = "serial " + cert.Serial
		st.Ledger.Add(entry)
	}
	st.pay(now, o, -o.Points, status+" "+o.Product)
	entry := st.entry(now, sandbox.Refund, o)
	entry.Amount, entry.Detail = -cents(o.Points), status
	st.Ledger.Add(entry)
	s.Log.Info("ended", "order", o.ResellerID, "status", status)
}

// resendEmail is order/resendemail.
func (s *Server) resendEmail(c *call) (any, error) {
	kind := c.form["email_type"]
	sent := obj{"approver_email": "", "admin_contact_email": "", "tech_contact_email": ""}
	err := s.byToken(c, func(_ *state, o *order) error {
		switch kind {
		case "Approver":
			if err := pending(o); err != nil {
				return err
			}
			if o.DCV.Method != methodEmail {
				return refuse("the order is not validated by email")
			}
			sent["approver_email"] = o.DCV.Email
		case "Fulfillment":
			if len(o.issued()) == 0 || o.Ended != "" {
				return refuse("the order is not completed")
			}
			sent["admin_contact_email"], sent["tech_contact_email"] = o.Fields["admin_contact_email"], o.Fields["tech_contact_email"]
		default:
			return refuse("email_type must be one of Approver, Fulfillment")
		}
		return nil
	})
	return obj{"success": "Email resent", "type": kind, "email_sent_to": sent}, err
}

// changeApprover is order/changeapproveremail.
func (s *Server) changeApprover(c *call) (any, error) {
	err := s.byToken(c, func(_ *state, o *order) error {
		if err := pending(o); err != nil {
			return err
		}
		if o.DCV.Method != methodEmail {
			return refuse("the order is not validated by email")
		}
		return o.approveBy(c.form["email"])
	})
	return obj{"success": "Change Approver Email Reset"}, err
}

// changeMethod is order/changeauthmethod: from a record or a file to email, and never back.
//
// Unconfirmed: whether changeauthmethod allows more today than the change from a record or a file to email.
func (s *Server) changeMethod(c *call) (any, error) {
	err := s.byToken(c, func(_ *state, o *order) error {
		if err := pending(o); err != nil {
			return err
		}
		if o.DCV.Method == methodEmail {
			return refuse("the order is validated by email already")
		}
		if err := o.approveBy(c.form["email_address"]); err != nil {
			return err
		}
		o.DCV.Method = methodEmail
		return nil
	})
	return obj{"success": "DV Auth Method Updated"}, err
}

// approveBy lets an address of the approver list approve.
func (o *order) approveBy(address string) error {
	address = strings.ToLower(address)
	if !slices.Contains(approvers(o.commonName()), address) {
		return refuse("%q is none of the approver list", address)
	}
	o.DCV.Email = address
	return nil
}

// reissue is order/reissue: another certificate inside the time that was paid for.
//
// Unconfirmed: what becomes of a reissue while another is under way; Settings choose between one that replaces it, the default, and a refusal.
//
// Unconfirmed: that domain control is proven anew for each reissue; that its answer has values says so.
func (s *Server) reissue(c *call) (any, error) {
	var answer obj
	err := s.byToken(c, func(st *state, o *order) error {
		var f faults
		settings := &st.Settings
		known := []string{needsToken, "csr", "dv_auth_method", "approver_email_address", "hashing_algorithm", "integration_source_id"}
		if settings.ReissueSANs {
			known = append(known, "san_domains")
		}
		refuseUnknown(c, &f, settings.Strict, known)
		if err := s.mayReissue(c.now, o, settings); err != nil {
			return err
		}
		w := judgeReissue(c, &f, st, o)
		if err := f.err(); err != nil {
			return err
		}
		p, _ := productByCode(o.Product)
		if cert := o.open(); cert != nil {
			o.Certificates = slices.DeleteFunc(o.Certificates, func(other *certificate) bool { return other == cert })
		}
		o.Certificates = append(o.Certificates, &certificate{CSR: w.request.text, Names: w.names, Issuer: o.Certificates[0].Issuer})
		o.DCV = s.newDCV(c.now, p, w.method, strings.ToLower(w.email), w.request, w.names, w.companion, settings.UniqueValue)
		if names := c.form["san_domains"]; names != "" {
			o.Fields["san_domains"] = names
		}
		o.happened(c.now, "Reissue Requested")
		st.Ledger.Add(st.entry(c.now, sandbox.Reissue, o))
		values := dcvValues(&o.DCV, settings)
		delete(values, "dns_type")
		answer = obj{"success": "Order reissued", "csr": w.request.text, "private_key": w.request.key}
		maps.Copy(answer, values)
		answer = emptied(answer, settings)
		return nil
	})
	return answer, err
}

// mayReissue says why an order cannot be reissued.
func (s *Server) mayReissue(now time.Time, o *order, settings *Settings) error {
	switch {
	case o.Ended != "":
		return refuse("the order is %s", o.Ended)
	case len(o.issued()) == 0 || o.Held != "" || !o.CancelAsked.IsZero():
		return refuse("the order is not completed")
	case !o.Until.After(now):
		return refuse("the time that was paid for has ended")
	case o.open() != nil && settings.SecondReissue == "refuse":
		return refuse("a reissue is under way")
	}
	return nil
}

// judgeReissue checks a reissue. Names and company stay the same.
func judgeReissue(c *call, f *faults, st *state, o *order) placing {
	p, _ := productByCode(o.Product)
	w := placing{method: c.form["dv_auth_method"], email: c.form["approver_email_address"], companion: o.DCV.Free}
	list := o.issued()
	w.names = slices.Clone(list[len(list)-1].Names)
	if w.method == "" {
		w.method = o.DCV.Method
	}
	if w.method == methodEmail && w.email == "" {
		w.email = o.DCV.Email
	}
	if h := c.form["hashing_algorithm"]; h != "" && h != "SHA2-256" && h != "SHA2-256-FULL-CHAIN" {
		f.add("hashing_algorithm must be one of SHA2-256, SHA2-256-FULL-CHAIN")
	}
	if !slices.Contains(p.methods(&st.Settings), w.method) {
		f.add("dv_auth_method must be one of %s", strings.Join(p.methods(&st.Settings), ", "))
	}
	if c.form["csr"] == "" {
		c.remark("without a CSR the service makes the private key, and sends it")
		r, err := makeCSR(o.commonName())
		if err != nil {
			f.add("%v", err)
		}
		w.request = r
	} else {
		r, err := readCSR(c, c.form["csr"])
		if err != nil {
			f.add("%v", err)
			return w
		}
		w.request = r
		if r.name() != o.commonName() {
			f.add("csr: the common name must be %s, as the order's is", o.commonName())
		}
	}
	if c.form["san_domains"] != "" {
		fixed := 1
		if w.companion != "" {
			fixed = 2
		}
		w.names = append(w.names[:fixed:fixed], judgeSANs(c, f, o, w.names[:fixed])...)
	}
	judgeMethod(c, f, w.method, w.email, w.names)
	judgeReuse(f, st, p, w.request)
	return w
}
