package digicert

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
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
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st.Users[0].Key
}

// Ledger returns what was bought, and all else that happened.
func (s *Server) Ledger() sandbox.Ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st.Ledger.Copy()
}

// Calls returns the requests that came in, oldest first.
func (s *Server) Calls() []sandbox.Call { return s.calls.List() }

// ClearCalls forgets them.
func (s *Server) ClearCalls() { s.calls.Clear() }

// Orders returns all orders, oldest first.
func (s *Server) Orders() []OrderSummary {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []OrderSummary{}
	for _, o := range sortedByID(s.st.Orders) {
		v := OrderSummary{
			ID: o.ID, AlternativeID: o.AlternativeID, Product: o.Product, Status: o.Status, Names: o.primary().names(), DCVMethod: o.DCV.Method,
			RandomValue: o.DCV.Random, ValidTill: o.ValidTill, RenewalOf: o.RenewalOf,
		}
		for _, c := range o.Certificates {
			v.Certificates = append(v.Certificates, CertificateSummary{c.ID, c.Kind, c.Status, c.Serial, c.NotAfter, c.RevokeAt})
		}
		list = append(list, v)
	}
	return list
}

// Requests returns all requests, oldest first.
func (s *Server) Requests() []RequestSummary {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []RequestSummary{}
	for _, r := range sortedByID(s.st.Requests) {
		list = append(list, RequestSummary{r.ID, r.Type, r.Status, r.Order})
	}
	return list
}

// Process approves or rejects a request, as an administrator does in the console.
func (s *Server) Process(ctx context.Context, id int64, approve bool, comment string) error {
	var orderID int64
	now := s.clock.Now()
	err := s.change(now, func(st *state) error {
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
	return s.change(s.clock.Now(), func(st *state) error {
		st.Balance = cents
		return nil
	})
}

// Advance moves the stand-in's clock, and does what becomes due.
func (s *Server) Advance(d time.Duration) error {
	s.clock.Advance(d)
	return s.change(s.clock.Now(), func(*state) error { return nil })
}

// Now is the stand-in's time.
func (s *Server) Now() time.Time { return s.clock.Now() }

// Misbehave makes calls go wrong.
func (s *Server) Misbehave(b sandbox.Misbehaviour) error { return s.mischief.Add(b) }

// Behave ends all misbehaviour.
func (s *Server) Behave() { s.mischief.Clear() }

// AddUser adds the owner of another API key.
func (s *Server) AddUser(u User) error {
	return s.change(s.clock.Now(), func(st *state) error { return st.addUser(u) })
}

// Configure changes the account's settings.
func (s *Server) Configure(change func(*Settings)) error {
	return s.change(s.clock.Now(), func(st *state) error {
		changed := st.Settings.clone()
		change(&changed)
		if err := changed.check(); err != nil {
			return err
		}
		st.Settings = changed
		return nil
	})
}

// LookNow looks at the domains of all orders that wait for them, as the CA does on its own from time to time.
func (s *Server) LookNow(ctx context.Context) error {
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

// Watch does so again and again until the context ends. DigiCert looks every minute at first and then ever more seldom;
// a rehearsal has one pace.
func (s *Server) Watch(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := s.LookNow(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("could not look at the domains of all orders", "error", err)
			}
		}
	}
}

// ServingCertificate makes a certificate for the stand-in's own HTTPS server.
func (s *Server) ServingCertificate(names []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the server's key: %w", err)
	}
	s.mu.Lock()
	issuer := s.st.Authority.Named(issuerPrivate)
	s.mu.Unlock()
	now := time.Now()
	cert, err := issuer.Issue(sandbox.Leaf{
		PublicKey: key.Public(), CommonName: "certbridge-sandbox", Names: names, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
	})
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw, issuer.Cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}
