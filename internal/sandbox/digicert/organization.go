package digicert

import (
	"net/http"
	"strings"
	"time"
)

// organization is one that certificates are for.
type organization struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	Address   string `json:"address"`
	City      string `json:"city"`
	State     string `json:"state"`
	Country   string `json:"country"`
	Telephone string `json:"telephone"`
	Container int64  `json:"container"`
	Active    bool   `json:"active"`
	// Validated says by validation type until when.
	Validated map[string]time.Time `json:"validated"`
}

// organizationReuse is how many days the validation of an organization is good.
const organizationReuse = 397

// valid reports whether the organization is validated for a type. An EV validation is one of OV too.
func (o *organization) valid(kind string, now time.Time) bool {
	if o == nil || !o.Active {
		return false
	}
	return now.Before(o.Validated[kind]) || kind == typeOV && now.Before(o.Validated[typeEV])
}

func (o *organization) validations(now time.Time) []obj {
	list := []obj{}
	for _, kind := range []string{typeOV, typeEV} {
		until, there := o.Validated[kind]
		if !there {
			continue
		}
		status := "active"
		if !now.Before(until) {
			status = "expired"
		}
		list = append(list, obj{"type": kind, "name": strings.ToUpper(kind), "validated_until": stamp(until), "status": status})
	}
	return list
}

func (o *organization) view() obj {
	status := "active"
	if !o.Active {
		status = "inactive"
	}
	return obj{
		"id": o.ID, "name": o.Name, "display_name": o.Name, "status": status, "is_active": o.Active, "address": o.Address, "city": o.City,
		"state": o.State, "country": o.Country, "telephone": o.Telephone, "container": obj{"id": o.Container},
	}
}

// judgeOrganization finds the organization of an OV or EV order, or makes one of its details: those of one that the
// account has lead to the oldest such, unless skip_duplicate_org_check says otherwise.
func (s *Server) judgeOrganization(c *call, f *faults, b *orderBody, j *judged) {
	org := b.Organization
	if j.product.Validation == typeDV || org == nil {
		return // that there must be one is a rule of the fields
	}
	if org.ID != 0 {
		found := s.Account.Organizations[org.ID]
		if found == nil || !c.user.sees(found.Container) && found.Container != rootContainer {
			f.invalid("organization.id", "organization.id %d is no organization of the account", org.ID)
			return
		}
		if !found.Active {
			f.invalid("organization.id", "the organization %d is not active", org.ID)
		}
		j.organization = found
		return
	}
	for name, value := range map[string]string{
		"name": org.Name, "address": org.Address, "city": org.City, "country": org.Country, "telephone": org.Telephone,
	} {
		if value == "" {
			f.missing("organization."+name, "organization.id, or the details of a new organization with %s, is required", name)
		}
	}
	if !org.SkipDuplicateOrgCheck {
		for _, have := range sortedByID(s.Account.Organizations) {
			if strings.EqualFold(have.Name, org.Name) && strings.EqualFold(have.City, org.City) && strings.EqualFold(have.Country, org.Country) {
				c.remark("organization %d is taken, whose details match", have.ID)
				j.organization = have
				return
			}
		}
	}
	j.organization = &organization{
		ID: s.Account.nextID(), Name: org.Name, Address: org.Address, City: org.City, State: org.State, Country: org.Country,
		Telephone: org.Telephone, Container: j.container, Active: true, Validated: map[string]time.Time{},
	}
}

// listOrganizations is GET /organization.
func (s *Server) listOrganizations(c *call) (reply, error) {
	q := c.r.URL.Query()
	var list []obj
	_ = s.Read(func(st *state) error { // the function returns none
		for _, o := range sortedByID(st.Organizations) {
			if !c.user.sees(o.Container) && o.Container != rootContainer {
				continue
			}
			if status := q.Get("filters[status]"); status != "" && (status == "active") != o.Active {
				continue
			}
			v := o.view()
			if q.Get("include_validation") == "true" {
				v["validations"] = o.validations(c.now)
			}
			list = append(list, v)
		}
		return nil
	})
	return c.paged("organizations", list)
}

func (s *Server) organizationOf(c *call, show func(o *organization)) error {
	n, err := c.number("id")
	if err != nil {
		return err
	}
	return s.Read(func(st *state) error {
		o := st.Organizations[n]
		if o == nil || !c.user.sees(o.Container) && o.Container != rootContainer {
			return notFound("organization")
		}
		show(o)
		return nil
	})
}

// getOrganization is GET /organization/{id}.
func (s *Server) getOrganization(c *call) (reply, error) {
	var body obj
	err := s.organizationOf(c, func(o *organization) { body = o.view() })
	return ok(body), err
}

// organizationValidation is GET /organization/{id}/validation.
func (s *Server) organizationValidation(c *call) (reply, error) {
	var body obj
	err := s.organizationOf(c, func(o *organization) { body = obj{"validations": o.validations(c.now)} })
	return ok(body), err
}

// validateOrganization sets or ends an organization's validations.
func (s *Server) validateOrganization(n int64, types []string, validated bool) error {
	now := s.Now()
	return s.Change(now, func(st *state) error {
		o := st.Organizations[n]
		if o == nil {
			return fail(http.StatusNotFound, "sandbox_not_found", "there is no organization %d", n)
		}
		for _, kind := range types {
			if kind != typeOV && kind != typeEV {
				return fail(http.StatusBadRequest, "sandbox_invalid", "an organization is validated for ov or ev, not for %q", kind)
			}
		}
		for _, kind := range types {
			if validated {
				o.Validated[kind] = now.Add(organizationReuse * s.Day())
			} else {
				delete(o.Validated, kind)
			}
		}
		return nil
	})
}
