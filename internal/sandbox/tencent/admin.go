package tencent

import (
	"github.com/certbridge/certbridged/internal/sandbox"
)

// adminCalls adds the calls that no other stand-in has.
func (s *Server) adminCalls() {
	on := s.Admin.On
	on("GET certificates", func(*sandbox.AdminCall) (any, error) { return obj{"certificates": s.Certificates()}, nil })
	on("POST certificates", s.adminUpload)
	on("POST certificates/{id}/review", s.adminReview)
	on("POST certificates/{id}/show", func(c *sandbox.AdminCall) (any, error) { return nil, s.Show(c.Context(), c.PathValue("id")) })
	on("POST certificates/{id}/status", s.adminStatus)
	on("POST certificates/{id}/release", func(c *sandbox.AdminCall) (any, error) { return nil, s.Release(c.Context(), c.PathValue("id")) })
	on("POST certificates/{id}/refund", func(c *sandbox.AdminCall) (any, error) { return nil, s.Refund(c.PathValue("id")) })
	on("POST certificates/{id}/revocation-letter", func(c *sandbox.AdminCall) (any, error) { return nil, s.EndRevocation(c.PathValue("id")) })
	on("POST certificates/{id}/bind", s.adminBind)
	on("POST managers", s.adminManager)
	on("POST balance", s.adminBalance)
	on("POST keys", s.adminKey)
	on("GET refuse", func(*sandbox.AdminCall) (any, error) { return obj{"refusals": s.refused.all()}, nil })
	on("POST refuse", s.adminRefuse)
	on("DELETE refuse", func(*sandbox.AdminCall) (any, error) { s.Permit(); return nil, nil })
	sandbox.OnSettings(s.Admin, settingsFields(), s.settings, s.configure)
}

func (s *Server) adminReview(c *sandbox.AdminCall) (any, error) {
	var b struct {
		Passed  bool   `json:"passed"`
		Message string `json:"message"`
	}
	if err := c.Decode(&b, sandbox.Required(sandbox.Boolean("passed")), sandbox.Text("message")); err != nil {
		return nil, err
	}
	return nil, s.Review(c.Context(), c.PathValue("id"), b.Passed, b.Message)
}

func (s *Server) adminStatus(c *sandbox.AdminCall) (any, error) {
	var b struct {
		Status  int    `json:"status"`
		Message string `json:"message"`
	}
	if err := c.Decode(&b, sandbox.Required(sandbox.Integer("status", 0, 1000)), sandbox.Text("message")); err != nil {
		return nil, err
	}
	return nil, s.SetStatus(c.PathValue("id"), b.Status, b.Message)
}

func (s *Server) adminBind(c *sandbox.AdminCall) (any, error) {
	var b struct {
		Bound bool `json:"bound"`
	}
	if err := c.Decode(&b, sandbox.Required(sandbox.Boolean("bound"))); err != nil {
		return nil, err
	}
	return nil, s.Bind(c.PathValue("id"), b.Bound)
}

func (s *Server) adminUpload(c *sandbox.AdminCall) (any, error) {
	var b struct {
		Domain string `json:"domain"`
		Alias  string `json:"alias"`
	}
	if err := c.Decode(&b, sandbox.Required(sandbox.Text("domain")), sandbox.Text("alias")); err != nil {
		return nil, err
	}
	id, err := s.Upload(b.Domain, b.Alias)
	return obj{"id": id}, err
}

func (s *Server) adminManager(c *sandbox.AdminCall) (any, error) {
	var b struct {
		ID     int64  `json:"id"`
		Status string `json:"status"`
	}
	if err := c.Decode(&b, sandbox.Required(sandbox.Integer("id", 1, mostNumber)), sandbox.Required(sandbox.Text("status"))); err != nil {
		return nil, err
	}
	return nil, s.SetManager(b.ID, b.Status)
}

func (s *Server) adminBalance(c *sandbox.AdminCall) (any, error) {
	var b struct {
		Cents int64 `json:"cents"`
	}
	if err := c.Decode(&b, sandbox.Required(sandbox.Integer("cents", -mostNumber, mostNumber))); err != nil {
		return nil, err
	}
	return nil, s.SetBalance(b.Cents)
}

func (s *Server) adminKey(c *sandbox.AdminCall) (any, error) {
	var k Key
	if err := c.Decode(&k, sandbox.Required(sandbox.Text("secret_id")), sandbox.Required(sandbox.Text("secret_key")), sandbox.Text("token"),
		sandbox.ListOf("denied", sandbox.Text("")), sandbox.Boolean("foreign")); err != nil {
		return nil, err
	}
	return nil, s.AddKey(k)
}

func (s *Server) adminRefuse(c *sandbox.AdminCall) (any, error) {
	var r Refusal
	if err := c.Decode(&r, sandbox.Text("action"), sandbox.Required(sandbox.Text("code")), sandbox.Text("message"),
		sandbox.Integer("skip", 0, 1<<30), sandbox.Integer("times", -1, 1<<30), sandbox.Boolean("after")); err != nil {
		return nil, err
	}
	return nil, s.Refuse(r)
}
