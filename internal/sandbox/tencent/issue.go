package tencent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// The issuing CAs.
const (
	issuerDigiCert = "Sandbox RSA TLS CA of Tencent's DigiCert brands"
	issuerSectigo  = "Sandbox RSA TLS CA of Tencent's Sectigo brands"
	issuerECC      = "Sandbox ECC TLS CA of Tencent's brands"
)

// NewAuthority makes root and issuing CAs. Tests share one, for RSA keys take a while.
func NewAuthority() (*sandbox.Authority, error) {
	return sandbox.NewAuthority([]sandbox.IssuerShape{
		{Root: "Sandbox RSA Root of Tencent's brands", Name: issuerDigiCert, Kind: sandbox.RSA},
		{Root: "Sandbox RSA Root of Tencent's brands", Name: issuerSectigo, Kind: sandbox.RSA},
		{Root: "Sandbox ECC Root of Tencent's brands", Name: issuerECC, Kind: sandbox.ECDSA},
	})
}

func issuerOf(p product, caType string) string {
	switch {
	case p.Brand == brandGlobalSign:
		return issuerECC
	case p.aliased(caType):
		return issuerSectigo
	default:
		return issuerDigiCert
	}
}

// caaIdentifiers are what a CAA record may name.
//
// Unconfirmed: the brands' CAA identifiers; the stand-in takes those of the CAs behind them.
func caaIdentifiers() []string {
	return []string{"digicert.com", "sectigo.com", "trust-provider.com", "trustasia.com", "globalsign.com", "wotrus.com", "wosign.com", "dnspod.com"}
}

// ready reports whether an order waits for nothing but the CA's own work.
func (s *Server) ready(cert *certificate, now time.Time) bool {
	return cert.pending() && !cert.Held && !cert.Letter && cert.DCV.done() && !s.onTheWay(cert, now)
}

// tryIssue issues a certificate if nothing is left to wait for: people, domains, CAA, the CA's own time.
func (s *Server) tryIssue(ctx context.Context, id string) error {
	var names []string
	order, checkCAA := "", false
	now := s.Now()
	if err := s.Read(func(st *state) error {
		if cert := st.find(id); cert != nil && s.ready(cert, now) {
			names, order, checkCAA = cert.Materials.names(), cert.OrderID, st.Settings.CheckCAA
		}
		return nil
	}); err != nil || order == "" {
		return err
	}
	forbidden := ""
	if checkCAA {
		forbidden = s.forbidden(ctx, names)
	}
	return s.Change(now, func(st *state) error {
		cert := st.find(id)
		if cert == nil || cert.OrderID != order || !s.ready(cert, now) {
			return nil
		}
		if forbidden != "" {
			cert.Message = forbidden
			return nil
		}
		if cert.Ready.IsZero() {
			cert.Ready, cert.Message = now, messageIssue
		}
		if now.Sub(cert.Ready) < time.Duration(st.Settings.IssueDelay) {
			return nil
		}
		return s.issue(now, cert)
	})
}

// forbidden says which name's CAA records do not let the CA issue; empty means none.
func (s *Server) forbidden(ctx context.Context, names []string) string {
	for _, name := range names {
		if may, err := s.look.MayIssue(ctx, name, caaIdentifiers()); err != nil || !may {
			return "The CAA records of " + name + " do not allow the CA to issue."
		}
	}
	return ""
}

// issue signs a certificate. The lock is held.
//
// Unconfirmed: when the paid term begins; the stand-in counts it from the first certificate.
func (s *Server) issue(now time.Time, cert *certificate) error {
	m := cert.Materials
	p, _ := productByID(cert.Product)
	csr, err := sandbox.ParseCSR(m.CSR)
	if err != nil {
		return fmt.Errorf("certificate %s has a CSR that was judged before: %w", cert.ID, err)
	}
	if cert.Ends.IsZero() {
		cert.Ends = s.days.term(now, cert.Years)
	}
	names := m.names()
	if s.Account.Settings.FreeNames {
		for _, name := range freeNames(p, names) {
			if !slices.ContainsFunc(names, func(have string) bool { return strings.EqualFold(have, name) }) {
				names = append(names, name)
			}
		}
	}
	issuer := s.Account.Authority.Named(issuerOf(p, m.CAType))
	leaf := sandbox.Leaf{
		PublicKey: csr.PublicKey, CommonName: m.CommonName, Names: names, Organization: m.Organization, Country: m.Country,
		NotBefore: s.days.begin(now), NotAfter: s.certEnd(now, cert),
	}
	if !leaf.NotAfter.After(leaf.NotBefore) {
		cert.Status, cert.Message = statusFailed, "The paid term has ended."
		return nil
	}
	signed, err := issuer.Issue(leaf)
	if err != nil {
		return err
	}
	// A message of the review that is over may stay, as it does in the documentation's examples.
	cert.Status, cert.Message, cert.Issued, cert.AllNames = statusIssued, messageReview, now, names
	cert.DER, cert.Issuer, cert.NotBefore, cert.NotAfter = signed.Raw, issuer.ID, signed.NotBefore, signed.NotAfter
	entry := entryOf(now, sandbox.Issue, cert)
	entry.Names, entry.Detail = names, "serial "+sandbox.Serial(signed)
	s.Account.Ledger.Add(entry)
	s.Log.Info("issued", "certificate", cert.ID, "names", strings.Join(names, " "), "not_after", cert.NotAfter)
	return nil
}

// certEnd is when a certificate that is issued now ends: the longest there may be, inside of the paid term; a reissue,
// with the settings of the documentation, with the one that it replaces.
func (s *Server) certEnd(now time.Time, cert *certificate) time.Time {
	end := s.days.add(now, longest(now))
	if cert.Ends.Before(end) {
		end = cert.Ends
	}
	if old := s.Account.find(cert.Replaces); old != nil && !cert.Successor && s.Account.Settings.ReplaceValidity == SameExpiry && old.NotAfter.Before(end) {
		return old.NotAfter
	}
	return end
}
