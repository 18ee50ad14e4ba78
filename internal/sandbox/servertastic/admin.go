package servertastic

import "github.com/certbridge/certbridged/internal/sandbox"

// adminCalls adds the calls that no other stand-in has.
func (s *Server) adminCalls() {
	on := s.Admin.On
	on("GET orders", func(*sandbox.AdminCall) (any, error) { return obj{"orders": s.Orders()}, nil })
	on("POST orders/{id}/status", s.adminStatus)
	on("POST orders/{id}/follow-email", s.adminEmail)
	on("POST orders/{id}/release", func(c *sandbox.AdminCall) (any, error) { return nil, s.Release(c.Context(), c.PathValue("id")) })
	on("POST orders/{id}/vet", func(c *sandbox.AdminCall) (any, error) { return nil, s.Vet(c.Context(), c.PathValue("id")) })
	on("POST orders/{id}/approve-cancel", func(c *sandbox.AdminCall) (any, error) {
		return nil, s.ApproveCancel(c.Context(), c.PathValue("id"))
	})
	on("POST sync", func(*sandbox.AdminCall) (any, error) { return nil, s.Sync() })
	on("GET points", func(*sandbox.AdminCall) (any, error) { return obj{"points": s.Points()}, nil })
	on("POST points", s.adminPoints)
	sandbox.OnSettings(s.Admin, settingsFields(), s.settings, s.configure)
}

func (s *Server) adminStatus(c *sandbox.AdminCall) (any, error) {
	var b struct {
		Status string `json:"status"`
		Info   string `json:"info"`
	}
	if err := c.Decode(&b, sandbox.Required(sandbox.Text("status")), sandbox.Text("info")); err != nil {
		return nil, err
	}
	return nil, s.SetStatus(c.Context(), c.PathValue("id"), b.Status, b.Info)
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
	return nil, s.FollowEmail(c.Context(), c.PathValue("id"), b.Domain)
}

// mostPoints is more than an account ever has.
const mostPoints = 1 << 40

func (s *Server) adminPoints(c *sandbox.AdminCall) (any, error) {
	var b struct {
		Points int64 `json:"points"`
	}
	if err := c.Decode(&b, sandbox.Required(sandbox.Integer("points", 0, mostPoints))); err != nil {
		return nil, err
	}
	return nil, s.SetPoints(b.Points)
}
