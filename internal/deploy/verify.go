package deploy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	// goodInARow is how many fresh connections must show the new certificate one after the other: right after a reload,
	// workers with the old one may still accept connections beside those with the new one.
	goodInARow = 3
	// attemptTimeout bounds one connection, so that one that hangs does not use up the whole time.
	attemptTimeout = 10 * time.Second
	goodPause      = 20 * time.Millisecond
	firstPause     = 50 * time.Millisecond
	longestPause   = time.Second
)

// Target is where to look for a certificate.
type Target struct {
	// Address is "host:port"; an IPv6 address stands in brackets.
	Address string
	// ServerName is sent as SNI; empty means the first name of the certificate. As nobody can ask for a wildcard,
	// "www" takes the place of "*". An IP address is not sent (RFC 6066 section 3).
	ServerName string
	// Protocol is what is spoken before TLS; empty means TLS at once.
	Protocol Protocol
}

// String returns address and, unless it is clear, server name.
func (t Target) String() string {
	if t.ServerName == "" {
		return t.Address
	}
	return fmt.Sprintf("%s (server name %s)", t.Address, t.ServerName)
}

// Leaf is what identifies a certificate to people.
type Leaf struct {
	// Serial is lower-case hexadecimal, Fingerprint the SHA-256 of the certificate, the same.
	Serial, Fingerprint string
	NotAfter            time.Time
	Names               []string
}

func describe(c *x509.Certificate) Leaf {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 && c.Subject.CommonName != "" {
		names = []string{c.Subject.CommonName}
	}
	return Leaf{
		Serial:      c.SerialNumber.Text(16),
		Fingerprint: fmt.Sprintf("%x", sha256.Sum256(c.Raw)),
		NotAfter:    c.NotAfter,
		Names:       names,
	}
}

// String names the certificate by serial number, names and end.
func (l Leaf) String() string {
	const shown = 3
	names := l.Names
	more := ""
	if len(names) > shown {
		names, more = names[:shown], fmt.Sprintf(" and %d more", len(l.Names)-shown)
	}
	return fmt.Sprintf("serial %s (%s%s, valid until %s)", l.Serial, strings.Join(names, ", "), more,
		l.NotAfter.UTC().Format(time.RFC3339))
}

// Served is what a target showed last.
type Served struct {
	Target Target
	// Leaf is nil when no certificate was seen.
	Leaf *Leaf
	// Warnings are about what does not fail the verification, such as a missing intermediate.
	Warnings []string
	// Err says why the target did not pass, or is nil.
	Err error
}

// MismatchError is a target that serves another certificate than the installed one.
type MismatchError struct {
	Target         Target
	Served, Wanted Leaf
}

// Error names both certificates.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s serves the certificate with %s, not the installed one with %s", e.Target, e.Served, e.Wanted)
}

// Verify looks at every target of the plan until it has shown leaf on several fresh connections in a row, or the time
// is up. The targets are looked at side by side. Whether anyone would trust the certificate is not looked at.
func (r *Runner) Verify(ctx context.Context, plan Plan, leaf *x509.Certificate) Result {
	result := Result{Stage: StageVerify, ExitCode: -1}
	if len(plan.Verify) == 0 {
		return result
	}
	start := time.Now()
	if leaf == nil {
		result.Err = fmt.Errorf("%s: no certificate to look for", StageVerify)
		return result
	}
	ctx, cancel := plan.limit(ctx)
	defer cancel()
	result.Served = make([]Served, len(plan.Verify))
	var all sync.WaitGroup
	for i, target := range plan.Verify {
		all.Go(func() { result.Served[i] = r.verifyTarget(ctx, plan, target, leaf) })
	}
	all.Wait()
	var errs []error
	for _, s := range result.Served {
		if s.Err != nil {
			errs = append(errs, s.Err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		result.Err = fmt.Errorf("%s: %w", StageVerify, err)
	}
	return r.finish(ctx, plan, result, start)
}

func (r *Runner) verifyTarget(ctx context.Context, plan Plan, target Target, leaf *x509.Certificate) Served {
	result := Served{Target: target}
	if _, _, err := net.SplitHostPort(target.Address); err != nil {
		result.Err = fmt.Errorf("address %q: want host:port: %w", target.Address, err)
		return result
	}
	if !target.Protocol.known() {
		result.Err = fmt.Errorf("%s: unknown protocol %q: want one of %s", target, target.Protocol, protocolNames())
		return result
	}
	target.ServerName = serverName(target.ServerName, leaf)
	p := prober{dial: r.Dial, target: target, leaf: leaf}
	good, pause := 0, firstPause
	for {
		chain, err := p.probe(ctx)
		switch {
		case err != nil && result.Err != nil && over(ctx):
			// The end of the time cut this attempt short: what was seen before says more.
			result.Err = giveUp(ctx, result.Err)
			return result
		case err != nil:
			good, result.Err = 0, fmt.Errorf("%s: %w", target, err)
		case !bytes.Equal(chain[0].Raw, leaf.Raw):
			served := describe(chain[0])
			good, result.Leaf = 0, &served
			result.Err = &MismatchError{Target: target, Served: served, Wanted: describe(leaf)}
		default:
			served := describe(chain[0])
			good++
			result.Leaf, result.Warnings, result.Err = &served, missing(chain, plan.Chain), nil
			if good == goodInARow {
				return result
			}
		}
		wait := goodPause
		if good == 0 {
			wait, pause = pause, min(2*pause, longestPause)
		}
		if !sleep(ctx, wait) {
			if result.Err == nil {
				result.Err = fmt.Errorf("%s: shows the new certificate, but not yet %d times in a row", target, goodInARow)
			}
			result.Err = giveUp(ctx, result.Err)
			return result
		}
	}
}

// giveUp adds why there was no further attempt.
func giveUp(ctx context.Context, err error) error {
	return fmt.Errorf("%w: %w", err, context.Cause(ctx))
}

// sleep waits and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return !over(ctx)
	case <-ctx.Done():
		return false
	}
}

// serverName is the name to ask for.
func serverName(configured string, leaf *x509.Certificate) string {
	name := configured
	if name == "" && len(leaf.DNSNames) > 0 {
		name = leaf.DNSNames[0]
	}
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		name = "www." + rest
	}
	return name
}

// missing says what the served chain lacks, given what was installed beside the leaf.
func missing(served, installed []*x509.Certificate) []string {
	if installed == nil {
		leaf := served[0]
		if len(served) == 1 && !bytes.Equal(leaf.RawIssuer, leaf.RawSubject) {
			return []string{fmt.Sprintf("the certificate is served alone, without the intermediate %q: many clients will not trust it", leaf.Issuer)}
		}
		return nil
	}
	var warnings []string
	for _, want := range installed {
		if bytes.Equal(want.RawIssuer, want.RawSubject) {
			continue // a root is not served
		}
		if !contains(served[1:], want) {
			warnings = append(warnings, fmt.Sprintf("the intermediate %q is not served: many clients will not trust the certificate", want.Subject))
		}
	}
	return warnings
}

func contains(chain []*x509.Certificate, want *x509.Certificate) bool {
	for _, c := range chain {
		if bytes.Equal(c.Raw, want.Raw) {
			return true
		}
	}
	return false
}
