package servertastic

import (
	"context"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// OrderSummary is an order as a rehearsal sees it: as it is, not as the reseller has last heard.
type OrderSummary struct {
	// ID is the reseller order id, by which all of the functions below know an order. They know it by its token as well.
	ID        string    `json:"id"`
	Token     string    `json:"token"`
	Reference string    `json:"reference"`
	Product   string    `json:"product"`
	Status    string    `json:"status"`
	Shown     string    `json:"shown_status"`
	Placed    bool      `json:"placed"`
	Names     []string  `json:"names,omitempty"`
	Method    string    `json:"dv_auth_method,omitempty"`
	RenewalOf string    `json:"renewal_of,omitempty"`
	Until     time.Time `json:"until,omitzero"`
	// Unproven are the names whose control is still to be proven.
	Unproven     []string             `json:"unproven,omitempty"`
	Certificates []CertificateSummary `json:"certificates,omitempty"`
}

// CertificateSummary is a certificate that was issued.
type CertificateSummary struct {
	Serial   string    `json:"serial"`
	Names    []string  `json:"names"`
	NotAfter time.Time `json:"not_after"`
	Revoked  bool      `json:"revoked"`
}

// Key returns the account's API key.
func (s *Server) Key() string {
	var key string
	_ = s.Read(func(st *state) error { // the function returns none
		key = st.Key
		return nil
	})
	return key
}

// Points returns the points that the account has left.
func (s *Server) Points() int64 {
	var points int64
	_ = s.Read(func(st *state) error { // the function returns none
		points = st.Points
		return nil
	})
	return points
}

// SetPoints sets them.
func (s *Server) SetPoints(points int64) error {
	return s.Change(s.Now(), func(st *state) error {
		st.Points = points
		return nil
	})
}

// Orders returns all orders, oldest first.
func (s *Server) Orders() []OrderSummary {
	list := []OrderSummary{}
	_ = s.Read(func(st *state) error { // the function returns none
		for _, o := range st.Orders {
			list = append(list, o.view(&st.Settings))
		}
		return nil
	})
	return list
}

func (o *order) view(settings *Settings) OrderSummary {
	v := OrderSummary{
		ID: o.ResellerID, Token: o.Token, Reference: o.Reference, Product: o.Product, Status: o.status(settings), Shown: o.Shown.Status,
		Placed: !o.Placed.IsZero(), Method: o.DCV.Method, RenewalOf: o.RenewalOf, Until: o.Until,
	}
	if n := len(o.Certificates); n > 0 {
		v.Names = o.Certificates[n-1].Names
	}
	if o.open() != nil {
		v.Unproven = o.DCV.unproven()
	}
	for _, c := range o.issued() {
		v.Certificates = append(v.Certificates, CertificateSummary{c.Serial, c.Secured, c.NotAfter, !c.Revoked.IsZero()})
	}
	return v
}

// Configure changes the account's settings.
func (s *Server) Configure(change func(*Settings)) error {
	return s.configure(func(changed *Settings) error {
		change(changed)
		return nil
	})
}

// configure changes the settings where change, and their own check, find nothing wrong.
func (s *Server) configure(change func(*Settings) error) error {
	return s.Change(s.Now(), func(st *state) error {
		changed := st.Settings.clone()
		if err := change(&changed); err != nil {
			return err
		}
		if err := changed.check(); err != nil {
			return err
		}
		st.Settings = changed
		return nil
	})
}

// direct changes an order, and then issues what can be issued.
func (s *Server) direct(ctx context.Context, id string, do func(now time.Time, st *state, o *order) error) error {
	now := s.Now()
	var token string
	if err := s.Change(now, func(st *state) error {
		o := st.find(id)
		if o == nil {
			return sandbox.NoSuch("there is no order %s", id)
		}
		token = o.Token
		return do(now, st, o)
	}); err != nil {
		return err
	}
	return s.tryIssue(ctx, token)
}

// SetStatus puts an order into a status, and says something about it. Cancelled and Roll Back end it; any other text
// holds it until Release, also one that no client knows. An order that was not placed can only end.
func (s *Server) SetStatus(ctx context.Context, id, status, info string) error {
	return s.direct(ctx, id, func(now time.Time, st *state, o *order) error {
		switch {
		case o.Ended != "":
			return refuse("the order is %s", o.Ended)
		case status == statusCancelled || status == statusRollBack:
			s.end(now, st, o, status)
			o.Info = info
		case o.Placed.IsZero():
			return refuse("the order has not been placed")
		case strings.EqualFold(status, statusCompleted) || status == "":
			return refuse("an order is completed by its certificate: prove its domains, or release it")
		default:
			o.Held, o.Info, o.ReleaseAt = status, info, time.Time{}
			o.happened(now, status)
		}
		return nil
	})
}

// Release ends what an order was held by.
func (s *Server) Release(ctx context.Context, id string) error {
	return s.direct(ctx, id, func(now time.Time, _ *state, o *order) error {
		if o.Held == "" {
			return refuse("the order is not held")
		}
		o.release(now)
		return nil
	})
}

// FollowEmail does what a person does who follows the link in a validation email, for one domain or, with none, for all.
func (s *Server) FollowEmail(ctx context.Context, id, domain string) error {
	return s.direct(ctx, id, func(now time.Time, _ *state, o *order) error {
		if err := pending(o); err != nil {
			return err
		}
		if o.DCV.Method != methodEmail {
			return refuse("the order is not validated by email")
		}
		for name := range o.DCV.Names {
			if domain == "" || sandbox.Covers(sandbox.Bare(domain), name) {
				o.DCV.Names[name] = now
			}
		}
		return nil
	})
}

// Vet finishes the vetting of an OV or EV order's organization.
func (s *Server) Vet(ctx context.Context, id string) error {
	return s.direct(ctx, id, func(now time.Time, _ *state, o *order) error {
		if p, _ := productByCode(o.Product); !p.vetted() || o.Placed.IsZero() {
			return refuse("the order has no organization to be vetted")
		}
		o.Vetted = now
		return nil
	})
}

// ApproveCancel does what the admin contact does who follows the link in the mail about a cancellation.
func (s *Server) ApproveCancel(ctx context.Context, id string) error {
	return s.direct(ctx, id, func(now time.Time, st *state, o *order) error {
		if o.CancelAsked.IsZero() || o.Ended != "" {
			return refuse("nobody has asked to cancel the order")
		}
		s.end(now, st, o, statusCancelled)
		return nil
	})
}

// Sync has the reseller ask the CA about all orders now.
func (s *Server) Sync() error {
	now := s.Now()
	return s.Change(now, func(st *state) error {
		for _, o := range st.Orders {
			o.sync(now, &st.Settings)
		}
		return nil
	})
}
