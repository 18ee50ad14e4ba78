package digicert

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// OrderSummary is an order as a rehearsal sees it.
type OrderSummary struct {
	ID            int64     `json:"id"`
	AlternativeID string    `json:"alternative_id,omitempty"`
	Product       string    `json:"product"`
	Status        string    `json:"status"`
	Names         []string  `json:"names"`
	DCVMethod     string    `json:"dcv_method"`
	RandomValue   string    `json:"random_value,omitempty"`
	ValidTill     time.Time `json:"valid_till,omitzero"`
	RenewalOf     int64     `json:"renewal_of,omitempty"`
	// Certificates are all of the order, oldest first.
	Certificates []CertificateSummary `json:"certificates"`
}

// CertificateSummary is a certificate of an order.
type CertificateSummary struct {
	ID       int64     `json:"id"`
	Kind     string    `json:"kind"`
	Status   string    `json:"status"`
	Serial   string    `json:"serial,omitempty"`
	NotAfter time.Time `json:"not_after,omitzero"`
	RevokeAt time.Time `json:"revoke_at,omitzero"`
}

// RequestSummary is a request as a rehearsal sees it.
type RequestSummary struct {
	ID     int64  `json:"id"`
	Type   string `json:"type"`
	Status string `json:"status"`
	Order  int64  `json:"order"`
}

// Key returns the API key of the account's first user.
func (s *Server) Key() string {
	var key string
	_ = s.Read(func(st *state) error { // the function returns none
		key = st.Users[0].Key
		return nil
	})
	return key
}

// Orders returns all orders, oldest first.
func (s *Server) Orders() []OrderSummary {
	list := []OrderSummary{}
	_ = s.Read(func(st *state) error { // the function returns none
		for _, o := range sortedByID(st.Orders) {
			list = append(list, o.summary())
		}
		return nil
	})
	return list
}

func (o *order) summary() OrderSummary {
	v := OrderSummary{
		ID: o.ID, AlternativeID: o.AlternativeID, Product: o.Product, Status: o.Status, Names: o.primary().names(), DCVMethod: o.DCV.Method,
		RandomValue: o.DCV.Random, ValidTill: o.ValidTill, RenewalOf: o.RenewalOf,
	}
	for _, c := range o.Certificates {
		v.Certificates = append(v.Certificates, CertificateSummary{c.ID, c.Kind, c.Status, c.Serial, c.NotAfter, c.RevokeAt})
	}
	return v
}

// Requests returns all requests, oldest first.
func (s *Server) Requests() []RequestSummary {
	list := []RequestSummary{}
	_ = s.Read(func(st *state) error { // the function returns none
		for _, r := range sortedByID(st.Requests) {
			list = append(list, RequestSummary{r.ID, r.Type, r.Status, r.Order})
		}
		return nil
	})
	return list
}

// Process approves or rejects a request, as an administrator does in the console.
func (s *Server) Process(ctx context.Context, id int64, approve bool, comment string) error {
	var orderID int64
	now := s.Now()
	err := s.Change(now, func(st *state) error {
		r := st.Requests[id]
		if r == nil {
			return fail(http.StatusNotFound, "sandbox_not_found", "there is no request %d", id)
		}
		orderID = r.Order
		if approve {
			return s.process(now, r, requestApproved, comment)
		}
		return s.process(now, r, requestRejected, comment)
	})
	if err != nil {
		return err
	}
	return s.tryIssue(ctx, orderID)
}

// FollowEmail does what a person does who follows the link in a validation email, for one domain or, with none, for all.
func (s *Server) FollowEmail(ctx context.Context, order int64, domain string) error {
	if err := s.approveEmail(order, domain); err != nil {
		return err
	}
	return s.tryIssue(ctx, order)
}

// ValidateOrganization finishes the vetting of an organization for types of validation (ov, ev), or ends it.
func (s *Server) ValidateOrganization(ctx context.Context, id int64, validated bool, types ...string) error {
	if err := s.validateOrganization(id, types, validated); err != nil {
		return err
	}
	var orders []int64
	for _, o := range s.Orders() {
		orders = append(orders, o.ID)
	}
	for _, n := range orders {
		if err := s.tryIssue(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// SetBalance sets the account's balance, in cents.
func (s *Server) SetBalance(cents int64) error {
	return s.Change(s.Now(), func(st *state) error {
		st.Balance = cents
		return nil
	})
}

// AddUser adds the owner of another API key.
func (s *Server) AddUser(u User) error {
	return s.Change(s.Now(), func(st *state) error { return st.addUser(u) })
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

// lookAtAll looks at the domains of all orders that wait for them.
func (s *Server) lookAtAll(ctx context.Context) error {
	var errs []error
	for _, o := range s.Orders() {
		if o.Status != statusPending && o.Status != statusReissuePending {
			continue
		}
		if _, err := s.checkOrder(ctx, o.ID, nil); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
