package cert

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Skew is how far a certificate's beginning may lie ahead of our clock.
const Skew = 5 * time.Minute

// FaultKind is a reason not to install a certificate.
type FaultKind string

// The kinds of fault.
const (
	FaultNothing     FaultKind = "nothing"      // key or certificate is absent
	FaultKeyMismatch FaultKind = "key-mismatch" // the leaf is not for the key
	FaultNames       FaultKind = "names"        // a name is not covered
	FaultDates       FaultKind = "dates"        // it ends before it begins
	FaultExpired     FaultKind = "expired"
	FaultNotYetValid FaultKind = "not-yet-valid"
	FaultUsage       FaultKind = "usage" // not for TLS servers
	FaultChain       FaultKind = "chain" // the chain does not hold or is not complete
	FaultOlder       FaultKind = "older" // older than what is there
)

// Fault is one reason not to install a certificate.
type Fault struct {
	Kind   FaultKind
	Detail string // for people
}

// Error returns the detail.
func (f *Fault) Error() string { return f.Detail }

// HasFault reports whether one of the faults that err is made of has a kind.
func HasFault(err error, kind FaultKind) bool {
	return slices.ContainsFunc(Faults(err), func(f *Fault) bool { return f.Kind == kind })
}

// Faults lists the faults that err is made of.
func Faults(err error) []*Fault {
	var faults []*Fault
	switch e := err.(type) { //nolint:errorlint // this walks the tree itself
	case nil:
	case *Fault:
		faults = append(faults, e)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			faults = append(faults, Faults(inner)...)
		}
	case interface{ Unwrap() error }:
		faults = Faults(e.Unwrap())
	}
	return faults
}

// Acceptance is what decides whether a certificate may be installed.
type Acceptance struct {
	Key crypto.Signer
	// Chain is leaf first. A root at its end is allowed.
	Chain []*x509.Certificate
	// Ordered: Chain is what OrderChain has returned, so each certificate is known to be signed by the next.
	Ordered bool
	// Names the leaf must cover.
	Names []string
	Now   time.Time
	// Current is the leaf that is installed; nil when there is none.
	Current *x509.Certificate
}

// Check returns nil when the certificate may be installed: the leaf is for the key, covers the names, is valid now,
// is for TLS servers, its chain holds and is complete, and it is not older than the current one. Otherwise it returns every
// fault, joined; ask with errors.As for a *Fault, or with HasFault and Faults. A certificate that is merely shorter
// than was ordered is accepted.
func (a Acceptance) Check() error {
	if len(a.Chain) == 0 || a.Key == nil {
		return &Fault{FaultNothing, "there is no certificate or no private key to install"}
	}
	checks := []func() []*Fault{a.checkKey, a.checkNames, a.checkDates, a.checkUsage, a.checkChain, a.checkCurrent}
	var errs []error
	for _, check := range checks {
		for _, fault := range check() {
			errs = append(errs, fault)
		}
	}
	return errors.Join(errs...)
}

func faultf(kind FaultKind, format string, args ...any) []*Fault {
	return []*Fault{{Kind: kind, Detail: fmt.Sprintf(format, args...)}}
}

func (a Acceptance) checkKey() []*Fault {
	if SamePublicKey(a.Key.Public(), a.Chain[0].PublicKey) {
		return nil
	}
	return faultf(FaultKeyMismatch, "the certificate (serial %s) is not for this private key", Serial(a.Chain[0]))
}

func (a Acceptance) checkNames() []*Fault {
	missing := Missing(a.Chain[0], a.Names)
	if len(missing) == 0 {
		return nil
	}
	return faultf(FaultNames, "the certificate does not cover %s: it is for %s",
		strings.Join(missing, ", "), strings.Join(Names(a.Chain[0]), ", "))
}

func (a Acceptance) checkDates() []*Fault {
	faults := datesOf(a.Chain[0], "the certificate", a.Now)
	for i, c := range a.Chain[1:] {
		if i == len(a.Chain)-2 && SelfSigned(c) {
			continue // clients judge a root by their own store, not by its dates
		}
		faults = append(faults, datesOf(c, fmt.Sprintf("the intermediate certificate %q", c.Subject), a.Now)...)
	}
	return faults
}

func datesOf(c *x509.Certificate, what string, now time.Time) []*Fault {
	switch {
	case !c.NotAfter.After(c.NotBefore):
		return faultf(FaultDates, "%s ends at %s, not after its beginning at %s", what, when(c.NotAfter), when(c.NotBefore))
	case now.After(c.NotAfter):
		return faultf(FaultExpired, "%s expired at %s", what, when(c.NotAfter))
	case c.NotBefore.After(now.Add(Skew)):
		return faultf(FaultNotYetValid, "%s is valid only from %s: is this machine's clock right?", what, when(c.NotBefore))
	default:
		return nil
	}
}

func when(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// checkUsage wants a leaf that TLS clients take for a server (RFC 5280 section 4.2.1.12): no extended key usage means
// any.
func (a Acceptance) checkUsage() []*Fault {
	leaf := a.Chain[0]
	if len(leaf.ExtKeyUsage) == 0 && len(leaf.UnknownExtKeyUsage) == 0 {
		return nil
	}
	if slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return nil
	}
	return faultf(FaultUsage, "the certificate is not for TLS servers: its extended key usage lacks serverAuth")
}

func (a Acceptance) checkChain() []*Fault {
	var faults []*Fault
	for i, c := range a.Chain[:len(a.Chain)-1] {
		issuer := a.Chain[i+1]
		switch {
		case !issuer.BasicConstraintsValid || !issuer.IsCA:
			faults = append(faults, faultf(FaultChain, "certificate %d of the chain, %q, is not a CA's", i+2, issuer.Subject)...)
		case !bytes.Equal(c.RawIssuer, issuer.RawSubject):
			faults = append(faults, faultf(FaultChain, "certificate %d of the chain was issued by %q, but %q follows it", i+1, c.Issuer, issuer.Subject)...)
		case !a.Ordered:
			if err := c.CheckSignatureFrom(issuer); err != nil {
				faults = append(faults, faultf(FaultChain, "certificate %d of the chain is not signed by the next, %q: %v", i+1, issuer.Subject, err)...)
			}
		}
	}
	if leaf := a.Chain[0]; len(a.Chain) == 1 && publiclyTrusted(leaf) && !SelfSigned(leaf) {
		faults = append(faults, faultf(FaultChain, "the chain is not complete: the certificate of the issuer, %q, is missing", leaf.Issuer)...)
	}
	return faults
}

// publiclyTrusted reports whether a leaf carries a policy of the CA/Browser Forum (2.23.140.1). Such a leaf never comes
// straight from a root (TLS Baseline Requirements section 6.1.7), so without an intermediate its chain has a hole; a
// private CA may well have none.
func publiclyTrusted(leaf *x509.Certificate) bool {
	forum := asn1.ObjectIdentifier{2, 23, 140, 1}
	return slices.ContainsFunc(leaf.PolicyIdentifiers, func(oid asn1.ObjectIdentifier) bool {
		return len(oid) > len(forum) && forum.Equal(oid[:len(forum)])
	})
}

// checkCurrent refuses a certificate that both begins earlier than the current one and ends no later. Either alone
// happens with good ones: some CAs date the beginning back to midnight, and a shorter lifetime can end earlier.
func (a Acceptance) checkCurrent() []*Fault {
	leaf := a.Chain[0]
	if a.Current == nil || !leaf.NotBefore.Before(a.Current.NotBefore) || leaf.NotAfter.After(a.Current.NotAfter) {
		return nil
	}
	return faultf(FaultOlder, "the certificate (%s to %s) is older than the installed one (%s to %s)",
		when(leaf.NotBefore), when(leaf.NotAfter), when(a.Current.NotBefore), when(a.Current.NotAfter))
}
