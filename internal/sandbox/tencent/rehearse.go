package tencent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// CertificateSummary is a certificate as a rehearsal sees it.
type CertificateSummary struct {
	ID        string    `json:"id"`
	Product   int64     `json:"product"`
	Source    string    `json:"source"`
	Status    int       `json:"status"`
	Message   string    `json:"message,omitempty"`
	OrderID   string    `json:"order_id,omitempty"`
	Names     []string  `json:"names,omitempty"`
	Tags      []string  `json:"tags,omitempty"` // KEY=VALUE
	Alias     string    `json:"alias,omitempty"`
	Replaces  string    `json:"replaces,omitempty"`
	Replaced  string    `json:"replaced,omitempty"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	Ends      time.Time `json:"ends,omitzero"` // of what was paid for
	AutoRenew bool      `json:"auto_renew,omitempty"`
	// Shows is what must be published: "TXT NAME VALUE", "FILE PATH VALUE".
	Shows []string `json:"shows,omitempty"`
}

// Key returns the account's first key.
func (s *Server) Key() Key {
	var key Key
	_ = s.Read(func(st *state) error { // the function returns none
		key = *st.Keys[0]
		return nil
	})
	return key
}

// Site is the account's.
func (s *Server) Site() Site { return s.site() }

// Certificates returns all certificates, oldest first.
func (s *Server) Certificates() []CertificateSummary {
	list := []CertificateSummary{}
	now := s.Now()
	_ = s.Read(func(st *state) error { // the function returns none
		for _, cert := range st.Certificates {
			list = append(list, s.summary(cert, now))
		}
		return nil
	})
	return list
}

func (s *Server) summary(cert *certificate, now time.Time) CertificateSummary {
	v := CertificateSummary{
		ID: cert.ID, Product: cert.Product, Source: cert.Source, Status: s.visible(cert, now), Message: cert.Message, OrderID: cert.OrderID,
		Names: slices.Clone(cert.names()), Alias: cert.Alias, Replaces: cert.Replaces, Replaced: cert.Replaced, NotAfter: cert.NotAfter,
		Ends: cert.Ends, AutoRenew: cert.Materials != nil && cert.Materials.AutoRenew,
	}
	for _, t := range cert.Tags {
		v.Tags = append(v.Tags, t.Key+"="+t.Value)
	}
	auths := cert.Revocation
	if cert.pending() {
		auths = cert.DCV.Auths
	}
	for _, a := range auths {
		at := a.Key
		if a.Kind == kindFile {
			at = filePath + a.Key
		}
		v.Shows = append(v.Shows, a.Kind+" "+at+" "+a.Value)
	}
	return v
}

// Refuse answers calls that would succeed with an error code.
func (s *Server) Refuse(r Refusal) error { return s.refused.add(r) }

// Permit ends all refusals.
func (s *Server) Permit() { s.refused.clear() }

// edit changes a certificate that must be there.
func (s *Server) edit(id string, do func(st *state, cert *certificate) error) error {
	return s.Change(s.Now(), func(st *state) error {
		cert := st.find(id)
		if cert == nil {
			return sandbox.NoSuch("there is no certificate %q", id)
		}
		return do(st, cert)
	})
}

// Review ends what people have to do for an order: the check of an organization, a letter. With passed false the order
// fails, with the words for StatusMsg.
func (s *Server) Review(ctx context.Context, id string, passed bool, message string) error {
	if err := s.edit(id, func(_ *state, cert *certificate) error {
		if !cert.pending() {
			return fmt.Errorf("the certificate %s has status %d, and waits for no review", id, cert.Status)
		}
		if passed {
			cert.reviewed()
			return nil
		}
		cert.Status, cert.Held, cert.Message = statusFailed, false, orElse(message, "The review was not passed.")
		return nil
	}); err != nil {
		return err
	}
	return s.tryIssue(ctx, id)
}

// Show takes the domains of an order, or of a revocation, for shown without looking.
func (s *Server) Show(ctx context.Context, id string) error {
	t, ok := s.toSee(id, s.Now())
	if !ok {
		return fmt.Errorf("the certificate %s waits for no domain", id)
	}
	var list []verdict
	for _, a := range t.auths {
		list = append(list, verdict{auth: a, local: localOK})
	}
	if err := s.shown(id, t, list); err != nil {
		return err
	}
	return s.tryIssue(ctx, id)
}

// SetStatus makes a certificate show a status, whatever it is about, until a call changes it or Release lets it go on.
func (s *Server) SetStatus(id string, status int, message string) error {
	return s.edit(id, func(_ *state, cert *certificate) error {
		cert.Status, cert.Message, cert.Held = status, message, true
		return nil
	})
}

// Release lets a certificate go on from the status that SetStatus gave it.
func (s *Server) Release(ctx context.Context, id string) error {
	if err := s.edit(id, func(_ *state, cert *certificate) error {
		cert.Held = false
		return nil
	}); err != nil {
		return err
	}
	return s.tryIssue(ctx, id)
}

// Refund gives the price of an order back, as a person at the console does, where it was not issued.
func (s *Server) Refund(id string) error {
	return s.edit(id, func(st *state, cert *certificate) error {
		if cert.Source != sourceBuy || cert.Refunded || !cert.Issued.IsZero() || cert.Replaces != "" {
			return fmt.Errorf("the certificate %s is none whose price can be given back", id)
		}
		cert.Status, cert.Message, cert.Refunded = statusRefunded, "", true
		st.Balance += cert.Price
		entry := entryOf(s.Now(), sandbox.Refund, cert)
		entry.Amount = -cert.Price
		st.Ledger.Add(entry)
		return nil
	})
}

// EndRevocation does what a person does with the revocation letter of an OV or EV certificate.
func (s *Server) EndRevocation(id string) error {
	return s.edit(id, func(_ *state, cert *certificate) error {
		if cert.Status != statusRevokeLetter {
			return fmt.Errorf("the certificate %s has status %d, and waits for no letter", id, cert.Status)
		}
		s.revoked(s.Now(), cert)
		return nil
	})
}

// Bind says whether a cloud resource uses a certificate, so that it cannot be revoked.
func (s *Server) Bind(id string, bound bool) error {
	return s.edit(id, func(_ *state, cert *certificate) error {
		cert.Bound = bound
		return nil
	})
}

// Upload puts a certificate into the account that was not bought, and returns its id.
func (s *Server) Upload(domain, alias string) (string, error) {
	var id string
	now := s.Now()
	err := s.Change(now, func(st *state) error {
		if wrong := sandbox.CheckName(domain); wrong != "" {
			return fmt.Errorf("domain %q %s", domain, wrong)
		}
		id = st.newID()
		st.Certificates = append(st.Certificates, &certificate{
			ID: id, Source: sourceUpload, Alias: alias, Status: statusIssued, Created: now, Issued: now, NotBefore: now,
			NotAfter: now.Add(90 * s.days.day), AllNames: []string{domain}, Materials: &materials{CommonName: domain},
		})
		return nil
	})
	return id, err
}

// SetBalance sets the account's balance, in cents.
func (s *Server) SetBalance(cents int64) error {
	return s.Change(s.Now(), func(st *state) error {
		st.Balance = cents
		return nil
	})
}

// AddKey adds another key.
func (s *Server) AddKey(k Key) error {
	return s.Change(s.Now(), func(st *state) error { return st.addKey(k) })
}

// SetManager adds a manager of the demo company, or changes the state of one.
func (s *Server) SetManager(id int64, status string) error {
	states := []string{"none", "audit", "CAaudit", managerOK, "invalid", "expiring", "expired"}
	if id < 1 || !slices.Contains(states, status) {
		return fmt.Errorf("a manager has a number, and one of the states %v", states)
	}
	return s.Change(s.Now(), func(st *state) error {
		m := st.manager(id)
		if m == nil {
			m = &manager{ID: id, Company: DemoCompany, First: "Sam", Last: "Sandbox", Email: "sam@example.com"}
			st.Managers = append(st.Managers, m)
		}
		m.Status = status
		return nil
	})
}

// Configure changes the account's settings.
func (s *Server) Configure(change func(*Settings)) error {
	return s.configure(func(set *Settings) error {
		change(set)
		return nil
	})
}

func (s *Server) configure(do func(*Settings) error) error {
	return s.Change(s.Now(), func(st *state) error {
		changed := st.Settings.clone()
		if err := errors.Join(do(&changed), changed.check()); err != nil {
			return err
		}
		st.Settings = changed
		return nil
	})
}

// String is JSON, so that a test's failure can be read.
func (v CertificateSummary) String() string {
	text, err := json.Marshal(v)
	if err != nil {
		return v.ID
	}
	return string(text)
}
