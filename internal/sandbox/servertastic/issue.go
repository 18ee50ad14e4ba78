package servertastic

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// tryIssue issues an order's open certificate if nothing is left to wait for: domains, organization, CAA, a person.
func (s *Server) tryIssue(ctx context.Context, token string) error {
	var names []string
	var identifiers []string
	var looked string
	if err := s.Read(func(st *state) error {
		if o := st.byToken(token); o != nil && ready(o) {
			p, _ := productByCode(o.Product)
			looked = o.open().CSR
			if st.Settings.CheckCAA {
				names, identifiers = securedNames(o), p.caaIdentifiers()
			}
		}
		return nil
	}); err != nil || looked == "" {
		return err
	}
	refused := s.refusedByCAA(ctx, names, identifiers)
	now := s.Now()
	return s.Change(now, func(st *state) error {
		o := st.byToken(token)
		if o == nil || !ready(o) || o.open().CSR != looked {
			return nil
		}
		o.Info = ""
		if len(refused) > 0 {
			o.Info = "CAA records forbid the CA to issue for " + strings.Join(refused, ", ")
			return nil
		}
		cert := o.open()
		if cert.Ready.IsZero() {
			cert.Ready = now
		}
		if now.Sub(cert.Ready) < time.Duration(st.Settings.IssueDelay) {
			return nil
		}
		return s.issue(now, st, o, cert)
	})
}

// refusedByCAA are the names whose CAA records name other CAs, or cannot be looked up.
func (s *Server) refusedByCAA(ctx context.Context, names, identifiers []string) []string {
	var list []string
	for _, name := range names {
		if allowed, err := s.look.MayIssue(ctx, name, identifiers); err != nil || !allowed {
			list = append(list, name)
		}
	}
	return list
}

// ready reports whether an order's open certificate can be issued, CAA aside.
func ready(o *order) bool {
	p, ok := productByCode(o.Product)
	return ok && o.Ended == "" && o.Held == "" && o.CancelAsked.IsZero() && o.open() != nil && o.DCV.done(p.Family) &&
		(!p.vetted() || !o.Vetted.IsZero())
}

// securedNames are the names of the open certificate without a free companion that was not proven: Sectigo leaves it
// out silently.
func securedNames(o *order) []string {
	var names []string
	for _, name := range o.open().Names {
		if at, there := o.DCV.Names[name]; !there || !at.IsZero() {
			names = append(names, name)
		}
	}
	return names
}

// issue signs a certificate.
func (s *Server) issue(now time.Time, st *state, o *order, cert *certificate) error {
	p, _ := productByCode(o.Product)
	csr, err := sandbox.ParseCSR(cert.CSR)
	if err != nil {
		return fmt.Errorf("order %s has a CSR that was judged before: %w", o.ResellerID, err)
	}
	begin := now.Truncate(time.Second)
	if s.Day() == 24*time.Hour {
		begin = now.Truncate(24 * time.Hour)
	}
	end := begin.Add(time.Duration(longest(now))*s.Day() - time.Second)
	if end.After(o.Until) {
		end = o.Until.Truncate(time.Second)
	}
	if !end.After(now) {
		o.Info = "The time that was paid for has ended."
		return nil
	}
	leaf := sandbox.Leaf{
		PublicKey: csr.PublicKey, CommonName: cert.Names[0], Names: securedNames(o), Hash: cert.Hash, NotBefore: begin, NotAfter: end,
	}
	if p.vetted() {
		leaf.Organization, leaf.Country = o.Fields["org_name"], o.Fields["org_address_country"]
	}
	signed, err := st.Authority.Named(cert.Issuer).Issue(leaf)
	if err != nil {
		return err
	}
	cert.DER, cert.Serial, cert.NotAfter, cert.Secured, cert.Issued = signed.Raw, sandbox.Serial(signed), signed.NotAfter, leaf.Names, now
	o.happened(now, "Order Completed")
	entry := st.entry(now, sandbox.Issue, o)
	entry.Names, entry.Detail = leaf.Names, "serial "+cert.Serial
	st.Ledger.Add(entry)
	s.Log.Info("issued", "order", o.ResellerID, "names", strings.Join(leaf.Names, " "), "not_after", cert.NotAfter)
	return nil
}

// due does what has become due by now: new random values, the end of queues and of vetting. The lock is held.
func (s *Server) due(now time.Time) {
	for _, o := range s.Account.Orders {
		if o.Placed.IsZero() || o.Ended != "" {
			continue
		}
		if o.DCV.Random != "" && o.open() != nil && !o.DCV.Expires.After(now) {
			o.DCV.renew(now, s.Day())
		}
		if o.Held != "" && !o.ReleaseAt.IsZero() && !o.ReleaseAt.After(now) {
			o.release(now)
		}
		if !o.VetAt.IsZero() && o.Vetted.IsZero() && !o.VetAt.After(now) {
			o.Vetted = now
		}
	}
}

// release ends what an order was held by.
func (o *order) release(now time.Time) {
	o.Held, o.Info, o.ReleaseAt = "", "", time.Time{}
	o.happened(now, "Order Released")
}

// lookAtAll looks at the names of all orders that wait for it.
func (s *Server) lookAtAll(ctx context.Context) error {
	var tokens []string
	if err := s.Change(s.Now(), func(st *state) error {
		for _, o := range st.Orders {
			if o.Ended == "" && o.open() != nil {
				tokens = append(tokens, o.Token)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	var errs []error
	for _, token := range tokens {
		if _, err := s.checkOrder(ctx, token); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
