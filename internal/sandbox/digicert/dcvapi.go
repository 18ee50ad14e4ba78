package digicert

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// checkDCV is PUT /order/certificate/{id}/check-dcv: look now.
//
// Unconfirmed: whether a missing TXT record is answered with 200 or 400 today; Settings choose between 200, the default, and 400 with invalid_dns_txt.
//
// Unconfirmed: the values of dcv_status and of a name's status beside valid and approved; the stand-in says pending.
//
// Unconfirmed: check-dcv of an order that waits for nothing; the stand-in answers with the order's status.
func (s *Server) checkDCV(c *call) (reply, error) {
	n, err := c.number("id")
	if err != nil {
		return reply{}, err
	}
	only, err := s.namesToCheck(c)
	if err != nil {
		return reply{}, err
	}
	var method string
	if err := s.Read(func(st *state) error {
		o := st.order(c.user, n)
		if o == nil {
			return orderNotFound()
		}
		if o.Status == statusNeedsApproval {
			// Unconfirmed: the answer to check-dcv of an order that waits for approval.
			return fail(http.StatusBadRequest, "invalid_order_status", "The order is %s.", o.Status)
		}
		method = o.DCV.Method
		return nil
	}); err != nil {
		return reply{}, err
	}
	missing, err := s.checkOrder(c.ctx(), n, only)
	if err != nil {
		return reply{}, err
	}
	for domain, why := range missing {
		c.remark("%s is not validated: %v", domain, why)
	}
	if err := s.missed(method, missing); err != nil {
		return reply{}, err
	}
	return s.dcvStatus(c, n)
}

func (s *Server) namesToCheck(c *call) ([]string, error) {
	if len(c.body) == 0 {
		return nil, nil
	}
	var b struct {
		Names []string `json:"dns_names_validations"`
		Older []string `json:"dns_name_validations"`
	}
	err := c.decode(&b, s.settings().Strict, sandbox.ListOf("dns_names_validations", sandbox.Text("")), sandbox.ListOf("dns_name_validations", sandbox.Text("")))
	return slices.Concat(b.Names, b.Older), err
}

// missed makes an error of what is missing, where the API has one for the method.
func (s *Server) missed(method string, missing map[string]error) error {
	if len(missing) == 0 {
		return nil
	}
	var all []error
	for _, err := range missing {
		all = append(all, err)
	}
	switch why := errors.Join(all...); {
	case byFile(method):
		return fail(http.StatusBadRequest, "file_random_value_not_found", "The file was not found: %v", why)
	case s.settings().CheckDCVFails && method == methodCNAME:
		// Unconfirmed: the code for a CNAME record that is not found.
		return fail(http.StatusBadRequest, "invalid_dns_cname", "No matching CNAME record: %v", why)
	case s.settings().CheckDCVFails && method != methodEmail:
		return fail(http.StatusBadRequest, "invalid_dns_txt", "No matching TXT record: %v", why)
	}
	return nil
}

func (s *Server) dcvStatus(c *call, n int64) (reply, error) {
	var body obj
	err := s.Read(func(st *state) error {
		o := st.order(c.user, n)
		if o == nil {
			return orderNotFound()
		}
		names, all := []obj{}, "valid"
		for _, v := range o.DCV.Validations {
			status := "approved"
			if v.Approved.IsZero() {
				status, all = "pending", "pending"
			}
			for _, name := range v.Names {
				names = append(names, obj{"dns_name": name, "status": status})
			}
		}
		body = obj{"order_status": o.Status, "dcv_status": all, "dns_name_validations": names}
		if cert := o.Certificates[len(o.Certificates)-1]; cert.Announced {
			body["certificate_id"] = cert.ID
		}
		return nil
	})
	return ok(body), err
}

// putDCVMethod is PUT /order/certificate/{id}/dcv-method: another method, and a new random value.
//
// Unconfirmed: whether names that were validated by the earlier method stay so; in the stand-in they do.
func (s *Server) putDCVMethod(c *call) (reply, error) {
	n, err := c.number("id")
	if err != nil {
		return reply{}, err
	}
	var b struct {
		Method string `json:"dcv_method"`
	}
	if err := c.decode(&b, s.settings().Strict, sandbox.Required(sandbox.TextOf("dcv_method", dcvMethods()...))); err != nil {
		return reply{}, err
	}
	var body obj
	err = s.Change(c.now, func(st *state) error {
		o, p, err := s.orderInDCV(c, n)
		if err != nil {
			return err
		}
		names := o.open().names()
		f := &faults{}
		s.judgeDCV(f, p, &orderBody{DCVMethod: b.Method, UseAuthKey: o.DCV.UseAuthKey, AuthKeyID: o.DCV.AuthKeyID}, names)
		if b.Method != methodToken {
			f = &faults{}
			s.judgeDCV(f, p, &orderBody{DCVMethod: b.Method}, names)
		}
		if err := f.err(); err != nil {
			return err
		}
		s.switchMethod(c, o, p, b.Method)
		if o.DCV.usesRandom() {
			body = s.randomView(o)
		}
		return nil
	})
	if body == nil {
		return reply{status: http.StatusNoContent}, err
	}
	return ok(body), err
}

func (s *Server) switchMethod(c *call, o *order, p product, method string) {
	before := o.DCV.Validations
	o.DCV.Method = method
	s.renewRandom(&o.DCV, c.now)
	o.DCV.Validations = scopesOf(o.open().names(), o.DCV.Scope, method)
	for i := range o.DCV.Validations {
		v := &o.DCV.Validations[i]
		if p.reuses() {
			s.attachDomain(c.now, o, &o.DCV, v)
		}
		for _, old := range before {
			if old.Scope == v.Scope && !old.Approved.IsZero() {
				v.Approved = old.Approved
			}
		}
	}
	o.Updated = c.now
}

// orderInDCV finds an order whose domain control is under way. The lock is held.
func (s *Server) orderInDCV(c *call, n int64) (*order, product, error) {
	o := s.Account.order(c.user, n)
	if o == nil {
		return nil, product{}, orderNotFound()
	}
	p, _ := productByID(o.Product)
	if cert := o.open(); cert == nil || cert.Status != statusPending || !p.public() {
		// Unconfirmed: the code for a change of method or a random value where nothing is pending.
		return nil, p, fail(http.StatusBadRequest, "invalid_order_status", "The order is %s.", o.Status)
	}
	return o, p, nil
}

// putRandomValue is PUT /order/certificate/{id}/dcv-random-value: the value while it is good, else a new one.
func (s *Server) putRandomValue(c *call) (reply, error) {
	n, err := c.number("id")
	if err != nil {
		return reply{}, err
	}
	var body obj
	err = s.Change(c.now, func(*state) error {
		o, _, err := s.orderInDCV(c, n)
		if err != nil {
			return err
		}
		if !o.DCV.usesRandom() {
			return fail(http.StatusBadRequest, "invalid_dcv_method", "The method %s has no random value.", o.DCV.Method)
		}
		if !c.now.Before(o.DCV.Expires) {
			s.renewRandom(&o.DCV, c.now)
		}
		body = s.randomView(o)
		return nil
	})
	return ok(body), err
}

// randomView tells the random value, and for http-token-dynamic where its file is fetched.
//
// Unconfirmed: the field that has the file's name of http-token-dynamic; the stand-in tells http_token_url.
func (s *Server) randomView(o *order) obj {
	v := obj{"dcv_random_value": o.DCV.Random, "expiration_date": stamp(o.DCV.Expires)}
	if o.DCV.Method == methodHTTPDynamic {
		v["http_token_url"] = "http://" + sandbox.Bare(o.DCV.Validations[0].Names[0]) + filePath + o.DCV.File
	}
	return v
}

// orderValidation is GET /order/certificate/{id}/validation. Its ids are strings.
func (s *Server) orderValidation(c *call) (reply, error) {
	n, err := c.number("id")
	if err != nil {
		return reply{}, err
	}
	var body obj
	err = s.Read(func(st *state) error {
		o := st.order(c.user, n)
		if o == nil {
			return orderNotFound()
		}
		p, _ := productByID(o.Product)
		names := []obj{}
		for _, v := range o.DCV.Validations {
			status := "approved"
			if v.Approved.IsZero() {
				status = "pending"
			}
			one := obj{
				"name_scope": v.Scope, "approval_scope": approvalScope(o.DCV.Method), "status": status,
				"method": o.DCV.Method, "dns_names": v.Names,
			}
			if v.Domain != 0 {
				one["domain_id"] = number(v.Domain)
			}
			names = append(names, one)
		}
		body = obj{
			"order_id": number(o.ID), "order_status": o.Status, "order_name_scope": o.DCV.Scope,
			"order_dcv_method": o.DCV.Method, "dns_name_validations": names,
		}
		if org := st.Organizations[o.Organization]; org != nil && p.reuses() {
			body["organization_id"], body["organization_name"] = number(org.ID), org.Name
			body["organization_validations"] = org.validations(c.now)
		}
		return nil
	})
	return ok(body), err
}

func approvalScope(method string) string {
	if byFile(method) {
		return "exact"
	}
	return "subdomains"
}

// approveEmail is what a person does who follows the link in a validation email: all names of an order, or one domain's.
func (s *Server) approveEmail(n int64, domain string) error {
	now := s.Now()
	return s.Change(now, func(st *state) error {
		o := st.Orders[n]
		if o == nil || o.open() == nil || o.open().Status != statusPending {
			return fail(http.StatusConflict, "sandbox_conflict", "order %d waits for no validation", n)
		}
		if o.DCV.Method != methodEmail {
			return fail(http.StatusConflict, "sandbox_conflict", "order %d is validated by %s, not by email", n, o.DCV.Method)
		}
		for i := range o.DCV.Validations {
			v := &o.DCV.Validations[i]
			if domain == "" || strings.EqualFold(v.Scope, domain) {
				v.Approved = now
				if d := st.Domains[v.Domain]; d != nil {
					d.approve(now, methodEmail, s.Day())
				}
			}
		}
		return nil
	})
}
