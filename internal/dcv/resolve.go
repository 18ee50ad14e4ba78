package dcv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	// maxCNAMEs is how many CNAME records are followed one after the other. Resolvers stop at about as many.
	maxCNAMEs = 16
	// wildcardProbe is a label that nobody has: what is found there, a wildcard has made.
	wildcardProbe = "_certbridged-wildcard-probe"
)

// passes are the tries of a look-up: each resolver gets the first, then each the second, and so on. A resolver that is
// down costs two seconds so, and only once: the next look-up begins with the one that answered.
func passes() []pass {
	return []pass{{"udp", 2 * time.Second}, {"udp", 3 * time.Second}, {"tcp", 3 * time.Second}}
}

type pass struct {
	network string
	limit   time.Duration
}

// lookupError says why no resolver answered about a name.
type lookupError struct {
	name   string
	qtype  uint16
	faults []resolverFault // the last one of each resolver
}

type resolverFault struct {
	resolver netip.AddrPort
	// rcode is what it answered; dns.RcodeSuccess when there was no answer and err says why.
	rcode int
	err   error
}

func (e *lookupError) Error() string {
	words := make([]string, 0, len(e.faults))
	for _, f := range e.faults {
		words = append(words, fmt.Sprintf("resolver %s: %s", f.resolver, f.err))
	}
	return fmt.Sprintf("look up %s %s: %s", dns.TypeToString[e.qtype], strings.TrimSuffix(e.name, "."), strings.Join(words, "; "))
}

// lookup asks the resolvers for the records of a type at a name, the one that answered last time first. The message is
// an answer or says that there is none (rcode NOERROR or NXDOMAIN); the error is a *lookupError of kind Unavailable, or
// that of the context.
func (s *Solver) lookup(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	name = dns.Fqdn(name)
	if _, ok := dns.IsDomainName(name); !ok {
		return nil, pluginapi.Errorf(pluginapi.InvalidRequest, "%.300q is no domain name", name)
	}
	resolvers, err := s.resolvers()
	if err != nil {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "%w", err)
	}
	q := question{name: name, qtype: qtype, recurse: true}
	first := int(s.resolverAt.Load()) % len(resolvers)
	faults := make([]resolverFault, len(resolvers))
	for _, pass := range passes() {
		for i := range resolvers {
			at := (first + i) % len(resolvers)
			if faults[at].rcode != dns.RcodeSuccess {
				continue // it has answered; asking again gives the same
			}
			m, err := s.client.ask(ctx, resolvers[at], q, pass.network, pass.limit)
			switch {
			case ctx.Err() != nil:
				return nil, fmt.Errorf("look up %s %s: %w", dns.TypeToString[qtype], strings.TrimSuffix(name, "."), context.Cause(ctx))
			case err != nil:
				faults[at] = resolverFault{resolver: resolvers[at], err: err}
			case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
				faults[at] = resolverFault{resolver: resolvers[at], rcode: m.Rcode, err: errors.New(rcodeText(m))}
			default:
				s.resolverAt.Store(int32(at))
				return m, nil
			}
		}
	}
	return nil, pluginapi.Errorf(pluginapi.Unavailable, "%w", &lookupError{name: name, qtype: qtype, faults: faults})
}

// resolvers are those to ask: the configured ones, else the system's. There is at least one.
func (s *Solver) resolvers() ([]netip.AddrPort, error) {
	if configured := s.dns.Load().resolvers; len(configured) > 0 {
		return configured, nil
	}
	return s.system.list()
}

// rcodeText names what a server answered, with the server's own words where it gives some (RFC 8914).
func rcodeText(m *dns.Msg) string {
	text := dns.RcodeToString[m.Rcode]
	if text == "" {
		text = fmt.Sprintf("rcode %d", m.Rcode)
	}
	opt := m.IsEdns0()
	if opt == nil {
		return text
	}
	for _, o := range opt.Option {
		if ede, ok := o.(*dns.EDNS0_EDE); ok {
			text += fmt.Sprintf(" (%s)", dns.ExtendedErrorCodeToString[ede.InfoCode])
			if ede.ExtraText != "" {
				text += fmt.Sprintf(" %.100q", ede.ExtraText)
			}
		}
	}
	return text
}

// Effective returns the name at which a challenge's record has to stand, without a dot at the end. For a TXT record that
// is where the CNAME records at its name lead to; a CNAME record's own name is never followed.
//
// A CNAME record that a wildcard makes is not followed: whatever is published at the name itself takes its place (RFC
// 4592 section 2.2.1), while the target of "*.example.com" mostly is a web server somewhere else.
func (s *Solver) Effective(ctx context.Context, c pluginapi.Challenge) (name string, err error) {
	if c.DNS == nil {
		return "", pluginapi.Errorf(pluginapi.InvalidRequest, "%s has no place in the DNS", describe(c))
	}
	start := strings.TrimSuffix(c.DNS.Name, ".")
	if c.DNS.Type != pluginapi.TXT {
		return start, nil
	}
	name = start
	for visited := map[string]bool{}; ; {
		if visited[strings.ToLower(name)] {
			return "", pluginapi.Errorf(pluginapi.Unavailable, "the CNAME records at %s lead back to %s: remove one of them", start, name)
		}
		if visited[strings.ToLower(name)] = true; len(visited) > maxCNAMEs {
			return "", pluginapi.Errorf(pluginapi.Unavailable, "more than %d CNAME records one after the other at %s: point the first one at the last one's target", maxCNAMEs, start)
		}
		target, err := s.cnameAt(ctx, name)
		if err != nil {
			return "", fmt.Errorf("follow CNAME records from %s: %w", start, err)
		}
		if target == "" {
			return name, nil
		}
		wild, err := s.isWildcard(ctx, name, target)
		if err != nil {
			return "", fmt.Errorf("follow CNAME records from %s: %w", start, err)
		}
		if wild {
			return name, nil
		}
		name = target
	}
}

// cnameAt returns what a CNAME record at a name points at, without a dot at the end, or nothing.
func (s *Solver) cnameAt(ctx context.Context, name string) (string, error) {
	m, err := s.lookup(ctx, name, dns.TypeCNAME)
	if err != nil {
		return "", err
	}
	return cnameIn(m.Answer, name), nil
}

// cnameIn returns the target of the CNAME record at a name, without a dot at the end, or nothing.
func cnameIn(records []dns.RR, name string) string {
	for _, rr := range records {
		if cname, ok := rr.(*dns.CNAME); ok && sameName(cname.Hdr.Name, name) {
			return strings.ToLower(strings.TrimSuffix(cname.Target, "."))
		}
	}
	return ""
}

// isWildcard reports whether a name's neighbour that surely does not exist has the same target.
func (s *Solver) isWildcard(ctx context.Context, name, target string) (bool, error) {
	next, end := dns.NextLabel(name, 0)
	if end {
		return false, nil
	}
	other, err := s.cnameAt(ctx, wildcardProbe+"."+name[next:])
	return other == target, err
}
