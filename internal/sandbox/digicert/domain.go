package digicert

import (
	"net/http"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// domain is the account's record of a domain of OV and EV orders.
type domain struct {
	ID           int64     `json:"id"`
	Name         string    `json:"name"`
	Organization int64     `json:"organization"`
	Container    int64     `json:"container"`
	Method       string    `json:"method"`
	Created      time.Time `json:"created"`
	Random       string    `json:"random,omitempty"`
	Expires      time.Time `json:"expires,omitzero"`
	File         string    `json:"file,omitempty"`
	Approved     time.Time `json:"approved,omitzero"`
	ValidTill    time.Time `json:"valid_till,omitzero"`
}

// valid reports whether the domain's validation may be used again. OV and EV have it for as long.
func (d *domain) valid(now time.Time) bool { return now.Before(d.ValidTill) }

func (d *domain) approve(now time.Time, method string, day time.Duration) {
	d.Method, d.Approved, d.ValidTill = method, now, now.Add(reuseDays*day)
	d.Random, d.Expires = "", time.Time{}
}

func (d *domain) token() obj {
	v := obj{"token": d.Random, "status": "pending", "expiration_date": stamp(d.Expires)}
	switch d.Method {
	case methodCNAME:
		v["verification_value"] = cnameHost
	case methodHTTP:
		v["http_token_url"] = "http://" + d.Name + filePath + fileName
	case methodHTTPDynamic:
		v["http_token_url"] = "http://" + d.Name + filePath + d.File
	}
	return v
}

// newDomain records a domain with a value of its own. The lock is held.
func (s *Server) newDomain(now time.Time, name string, org, box int64, method string) *domain {
	d := &domain{ID: s.Account.nextID(), Name: name, Organization: org, Container: box, Method: method, Created: now}
	s.renewDomain(d, now)
	s.Account.Domains[d.ID] = d
	return d
}

// renewDomain gives a domain a new value; the earlier one is worth nothing from now on.
func (s *Server) renewDomain(d *domain, now time.Time) {
	v := dcvState{Method: d.Method}
	s.renewRandom(&v, now)
	d.Random, d.Expires, d.File = v.Random, v.Expires, v.File
}

func (s *Server) domainView(d *domain, c *call) obj {
	q := c.r.URL.Query()
	valid := d.valid(c.now)
	v := obj{
		"id": d.ID, "name": d.Name, "is_active": true, "status": "active", "date_created": stamp(d.Created), "dcv_method": d.Method,
		"is_pending_validation": !valid, "container": obj{"id": d.Container},
	}
	if org := s.Account.Organizations[d.Organization]; org != nil {
		v["organization"] = obj{"id": org.ID, "name": org.Name}
	}
	if !d.Approved.IsZero() {
		v["dcv_approval_datetime"], v["dcv_expiration_datetime"] = stamp(d.Approved), stamp(d.ValidTill)
		v["dcv_expiration"] = obj{"ov": d.ValidTill.Format(dateForm), "ev": d.ValidTill.Format(dateForm)}
	}
	if q.Get("include_dcv") == "true" && d.Random != "" {
		v["dcv_token"] = d.token()
	}
	if q.Get("include_validation") == "true" {
		one := obj{"type": typeOV, "name": "OV", "status": "pending", "dcv_status": "pending"}
		if valid {
			one["status"], one["dcv_status"], one["validated_until"] = "active", "complete", stamp(d.ValidTill)
		}
		v["validations"] = []obj{one}
	}
	return v
}

// listDomains is GET /domain.
func (s *Server) listDomains(c *call) (reply, error) {
	search := strings.ToLower(c.r.URL.Query().Get("filters[search]"))
	var list []obj
	_ = s.Read(func(st *state) error { // the function returns none
		for _, d := range sortedByID(st.Domains) {
			if c.user.sees(d.Container) && strings.Contains(d.Name, search) {
				list = append(list, s.domainView(d, c))
			}
		}
		return nil
	})
	return c.paged("domains", list)
}

func (s *Server) domainOf(c *call) (*domain, error) {
	n, err := c.number("id")
	if err != nil {
		return nil, err
	}
	d := s.Account.Domains[n]
	if d == nil || !c.user.sees(d.Container) {
		return nil, notFound("domain")
	}
	return d, nil
}

// getDomain is GET /domain/{id}.
func (s *Server) getDomain(c *call) (reply, error) {
	var body obj
	err := s.Read(func(*state) error {
		d, err := s.domainOf(c)
		if err == nil {
			body = s.domainView(d, c)
		}
		return err
	})
	return ok(body), err
}

// postDomain is POST /domain: a domain to be validated before an order needs it.
func (s *Server) postDomain(c *call) (reply, error) {
	var b struct {
		Name         string `json:"name"`
		Organization idBody `json:"organization"`
		Method       string `json:"dcv_method"`
	}
	if err := c.decode(&b, s.settings().Strict,
		sandbox.Required(sandbox.Text("name")), sandbox.Required(sandbox.ObjectOf("organization", sandbox.Required(sandbox.Integer("id", 1, mostID)))),
		sandbox.Required(sandbox.ListOf("validations", sandbox.ObjectOf("", sandbox.Required(sandbox.TextOf("type", typeOV, typeEV)), sandbox.ObjectOf("user", sandbox.Integer("id", 1, mostID))))),
		sandbox.TextOf("dcv_method", dcvMethods()...), sandbox.ObjectOf("container", sandbox.Integer("id", 1, mostID)), sandbox.Boolean("keep_www"),
	); err != nil {
		return reply{}, err
	}
	var body obj
	err := s.Change(c.now, func(st *state) error {
		if wrong := sandbox.CheckName(b.Name); wrong != "" || strings.HasPrefix(b.Name, sandbox.Wildcard) || sandbox.IsAddress(b.Name) {
			return fail(http.StatusBadRequest, "invalid_value:name", "name %q is not a domain name", b.Name)
		}
		if st.Organizations[b.Organization.ID] == nil {
			return fail(http.StatusBadRequest, "invalid_value:organization.id", "organization.id %d is no organization of the account", b.Organization.ID)
		}
		if b.Method == "" {
			b.Method = methodEmail
		}
		box := c.user.Container
		if box == 0 {
			box = rootContainer
		}
		d := s.newDomain(c.now, sandbox.Bare(b.Name), b.Organization.ID, box, b.Method)
		body = obj{"id": d.ID}
		if d.Random != "" {
			body["dcv_token"] = d.token()
		}
		return nil
	})
	return reply{status: http.StatusCreated, body: body}, err
}

// putDomainMethod is PUT /domain/{id}/dcv/method.
func (s *Server) putDomainMethod(c *call) (reply, error) {
	var b struct {
		Method string `json:"dcv_method"`
	}
	if err := c.decode(&b, s.settings().Strict, sandbox.Required(sandbox.TextOf("dcv_method", dcvMethods()...)), sandbox.Boolean("send_dcv_email_flag")); err != nil {
		return reply{}, err
	}
	var body obj
	err := s.Change(c.now, func(*state) error {
		d, err := s.domainOf(c)
		if err != nil {
			return err
		}
		d.Method = b.Method
		s.renewDomain(d, c.now)
		if d.Random != "" {
			body = obj{"dcv_token": d.token()}
		}
		return nil
	})
	if body == nil {
		return reply{status: http.StatusNoContent}, err
	}
	return ok(body), err
}

// postDomainToken is POST /domain/{id}/dcv/token: a new value, after which the earlier one is worth nothing.
func (s *Server) postDomainToken(c *call) (reply, error) {
	var body obj
	err := s.Change(c.now, func(*state) error {
		d, err := s.domainOf(c)
		if err != nil {
			return err
		}
		if s.renewDomain(d, c.now); d.Random == "" {
			return fail(http.StatusBadRequest, "invalid_dcv_method", "The method %s has no token.", d.Method)
		}
		body = d.token()
		delete(body, "status")
		return nil
	})
	return reply{status: http.StatusCreated, body: body}, err
}

// validateToken is PUT /domain/{id}/dcv/validate-token: look at one domain. The order's random value proves it as well.
func (s *Server) validateToken(c *call) (reply, error) {
	var pr proof
	var v validation
	var orders []int64
	if err := s.Read(func(st *state) error {
		d, err := s.domainOf(c)
		if err != nil {
			return err
		}
		pr, v = proof{method: d.Method, file: (&dcvState{Method: d.Method, File: d.File}).file()}, validation{Scope: d.Name, Names: []string{d.Name}, Domain: d.ID}
		if d.Random != "" && c.now.Before(d.Expires) {
			pr.values = append(pr.values, d.Random)
		}
		for _, o := range st.sorted(c.user) {
			for _, w := range o.DCV.Validations {
				if w.Domain == d.ID && w.Approved.IsZero() && o.open() != nil {
					orders = append(orders, o.ID)
					if o.DCV.Random != "" && c.now.Before(o.DCV.Expires) {
						pr.values = append(pr.values, o.DCV.Random)
					}
				}
			}
		}
		return nil
	}); err != nil {
		return reply{}, err
	}
	if err := s.proves(c.ctx(), pr, v); err != nil {
		if byFile(pr.method) {
			return reply{}, fail(http.StatusBadRequest, "file_random_value_not_found", "The file was not found: %v", err)
		}
		return reply{}, fail(http.StatusBadRequest, "invalid_dns_txt", "No matching record: %v", err)
	}
	if err := s.Change(c.now, func(st *state) error {
		if d := st.Domains[v.Domain]; d != nil {
			d.approve(c.now, pr.method, s.Day())
		}
		for _, n := range orders {
			for i := range st.Orders[n].DCV.Validations {
				if w := &st.Orders[n].DCV.Validations[i]; w.Domain == v.Domain {
					w.Approved = c.now
				}
			}
		}
		return nil
	}); err != nil {
		return reply{}, err
	}
	for _, n := range orders {
		if err := s.tryIssue(c.ctx(), n); err != nil {
			return reply{}, err
		}
	}
	return ok(obj{"status": "active"}), nil
}
