package digicert

import (
	"github.com/certbridge/certbridged/internal/sandbox"
)

// adminCalls adds the calls that no other stand-in has.
func (s *Server) adminCalls() {
	on := s.Admin.On
	on("GET orders", func(*sandbox.AdminCall) (any, error) { return obj{"orders": s.Orders()}, nil })
	on("GET requests", func(*sandbox.AdminCall) (any, error) { return obj{"requests": s.Requests()}, nil })
	on("POST requests/{id}", s.adminRequest)
	on("POST orders/{id}/follow-email", s.adminEmail)
	on("POST organizations/{id}", s.adminOrganization)
	on("POST balance", s.adminBalance)
	on("POST users", s.adminUser)
	on("POST metadata", s.adminMetadata)
	sandbox.OnSettings(s.Admin, settingsFields(), s.settings, s.configure)
}

func (s *Server) adminRequest(c *sandbox.AdminCall) (any, error) {
	var b struct {
		Status  string `json:"status"`
		Comment string `json:"comment"`
	}
	if err := c.Decode(&b, sandbox.Required(sandbox.TextOf("status", requestApproved, requestRejected)), sandbox.Text("comment")); err != nil {
		return nil, err
	}
	n, err := c.ID()
	if err != nil {
		return nil, err
	}
	return nil, s.Process(c.Context(), n, b.Status == requestApproved, b.Comment)
}

func (s *Server) adminEmail(c *sandbox.AdminCall) (any, error) {
	var b struct {
		Domain string `json:"domain"`
	}
	if !c.Empty() {
		if err := c.Decode(&b, sandbox.Text("domain")); err != nil {
			return nil, err
		}
	}
	n, err := c.ID()
	if err != nil {
		return nil, err
	}
	return nil, s.FollowEmail(c.Context(), n, b.Domain)
}

func (s *Server) adminOrganization(c *sandbox.AdminCall) (any, error) {
	b := struct {
		Validated bool     `json:"validated"`
		Types     []string `json:"types"`
	}{Types: []string{typeOV, typeEV}}
	if err := c.Decode(&b, sandbox.Required(sandbox.Boolean("validated")), sandbox.ListOf("types", sandbox.TextOf("", typeOV, typeEV))); err != nil {
		return nil, err
	}
	n, err := c.ID()
	if err != nil {
		return nil, err
	}
	return nil, s.ValidateOrganization(c.Context(), n, b.Validated, b.Types...)
}

func (s *Server) adminBalance(c *sandbox.AdminCall) (any, error) {
	var b struct {
		Cents int64 `json:"cents"`
	}
	if err := c.Decode(&b, sandbox.Required(sandbox.Integer("cents", -mostID, mostID))); err != nil {
		return nil, err
	}
	return nil, s.SetBalance(b.Cents)
}

func settingsFields() []sandbox.Field {
	fields := []sandbox.Field{
		sandbox.Text("approval"), sandbox.Text("dcv_scope"), sandbox.Text("alternate_delay"), sandbox.Text("issue_delay"),
		sandbox.Text("renewed_order_id"), sandbox.Text("taken_mark_code"),
		sandbox.Integer("plan_years", 1, mostPlanYears), sandbox.ListOf("products", sandbox.Text("")),
	}
	for _, name := range []string{
		"strict", "multi_year_plans", "unique_alternative_ids", "guest_access", "ica_selection", "choose_ct", "check_caa", "free_counterpart",
		"rate_limits", "check_dcv_fails", "unknown_alternate_is_404", "auth_key_miss_fails", "skip_denied_fails", "last_revokes_order",
	} {
		fields = append(fields, sandbox.Boolean(name))
	}
	return fields
}

func (s *Server) adminUser(c *sandbox.AdminCall) (any, error) {
	var u User
	if err := c.Decode(&u, sandbox.Required(sandbox.Text("key")), sandbox.Text("name"), sandbox.Required(sandbox.Integer("role", 1, 5)), sandbox.Text("restriction"),
		sandbox.Integer("container", 0, mostID), sandbox.Boolean("ev_approver")); err != nil {
		return nil, err
	}
	return nil, s.AddUser(u)
}

func (s *Server) adminMetadata(c *sandbox.AdminCall) (any, error) {
	var m metadata
	if err := c.Decode(&m, sandbox.Required(sandbox.Integer("id", 1, mostID)), sandbox.Required(sandbox.Text("label")),
		sandbox.TextOf("data_type", "text", "int", "email_address"), sandbox.Boolean("is_required"), sandbox.Boolean("is_active")); err != nil {
		return nil, err
	}
	return nil, s.Change(s.Now(), func(st *state) error {
		st.Metadata = append(st.Metadata, m)
		return nil
	})
}
