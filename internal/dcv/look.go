package dcv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Answer is what one server says about a record.
type Answer struct {
	// Server is the name server's name with a dot at the end, or "resolver".
	Server string
	// Address is where it was asked; of a name server without an address it is not valid.
	Address netip.AddrPort
	// Values are what it has at the record's name, of the record's type.
	Values []string
	// Seen: the record is among them.
	Seen bool
	// Took is the time until the answer, or until it was given up.
	Took time.Duration
	// Err says why the record was not seen; nil when it was.
	Err error

	outcome outcome
}

// outcome sorts answers by what they mean for a wait.
type outcome int

const (
	cut         outcome = iota // there was no time to hear the answer
	seen                       // it has the record
	lacks                      // it answers for the zone, and the record is not there
	lame                       // it answers, but not for the zone
	silent                     // nothing came
	unreachable                // this machine has no way there, or it has no address
)

// answered reports that a server speaks for the zone.
func (a Answer) answered() bool { return a.outcome == seen || a.outcome == lacks }

func (a Answer) is6() bool { return a.Address.Addr().Is6() }

// AllSeen reports whether a record can be seen wherever it must be: one server has it, and of the others none lacks it
// or keeps silent. What cannot be asked from this machine does not count: a server without an address, and an address of
// a family that the machine has no way to, as long as others answer.
func AllSeen(answers []Answer) bool {
	for _, a := range answers {
		if a.outcome != seen && !excused(a, answers) {
			return false
		}
	}
	return slices.ContainsFunc(answers, func(a Answer) bool { return a.outcome == seen })
}

// excused reports whether a server's not answering can be put down to this machine.
func excused(a Answer, all []Answer) bool {
	switch a.outcome {
	case unreachable:
		return slices.ContainsFunc(all, Answer.answered)
	case silent:
		// A machine may have a route for a family that leads nowhere. That is so when not one address of that family
		// answers while the same server answers by the other family.
		family := slices.ContainsFunc(all, func(o Answer) bool { return o.is6() == a.is6() && o.answered() })
		same := slices.ContainsFunc(all, func(o Answer) bool {
			return o.Server == a.Server && o.Server != resolverName && o.is6() != a.is6() && o.answered()
		})
		return !family && same
	default:
		return false
	}
}

// Look asks once, and all at the same time, every address of every authoritative server, or every resolver where
// dns_propagation says so, and nobody where that is "none". Answers are sorted by server. They are those of the servers
// where CNAME records at a TXT record's name lead to.
func (s *Solver) Look(ctx context.Context, c pluginapi.Challenge) ([]Answer, error) {
	w, err := s.newWatch(c)
	if err != nil {
		return nil, err
	}
	return w.look(ctx)
}

// watch looks at one record, perhaps many times.
type watch struct {
	solver *Solver
	dns    *dnsSettings
	record pluginapi.DNSRecord
	// name is where CNAME records have led so far.
	name string
	zone string
	// have are servers that were seen to have the record. They are not asked again.
	have map[serverAddress]Answer
}

type serverAddress struct {
	server  string
	address netip.AddrPort
}

func (s *Solver) newWatch(c pluginapi.Challenge) (*watch, error) {
	if c.DNS == nil {
		return nil, pluginapi.Errorf(pluginapi.InvalidRequest, "%s has no place in the DNS", describe(c))
	}
	return &watch{solver: s, dns: s.dns.Load(), record: *c.DNS, name: dns.Fqdn(c.DNS.Name), have: map[serverAddress]Answer{}}, nil
}

// look asks all who have not been seen to have the record.
func (w *watch) look(ctx context.Context) ([]Answer, error) {
	switch w.dns.propagation {
	case None:
		return nil, nil
	case Resolvers:
		resolvers, err := w.solver.resolvers()
		if err != nil {
			return nil, pluginapi.Errorf(pluginapi.Unavailable, "%w", err)
		}
		return w.ask(ctx, []nameServer{{name: resolverName, addresses: resolvers}}), nil
	default:
		return w.lookAtAuthority(ctx)
	}
}

const resolverName = "resolver"

// lookAtAuthority asks the servers that answer for the record's name. Where those have a CNAME record in the place of a
// TXT record, it goes on with the servers of the target, as the CA's resolver does. A CNAME record that a wildcard makes
// is not followed: the record is published in its place, and is not there yet.
func (w *watch) lookAtAuthority(ctx context.Context) ([]Answer, error) {
	for visited := map[string]bool{}; ; {
		at, err := w.solver.authority(ctx, w.name)
		if err != nil {
			return nil, err
		}
		w.zone = at.zone
		answers := w.ask(ctx, at.servers)
		if !slices.ContainsFunc(answers, Answer.answered) && ctx.Err() == nil {
			w.solver.forget(w.name, at.zone) // perhaps the servers are others by now
		}
		target := cnameOf(answers)
		if target == "" {
			return answers, nil
		}
		if visited[strings.ToLower(w.name)] = true; visited[target] || len(visited) > maxCNAMEs {
			return answers, nil // each has a CNAME record, and says so
		}
		wild, err := w.solver.isWildcard(ctx, w.name, strings.TrimSuffix(target, "."))
		if err != nil || wild {
			return answers, nil //nolint:nilerr // the next look asks again
		}
		w.name = target
	}
}

// cnameOf returns where a CNAME record leads that servers have in place of the record, unless one of them has the record
// itself: then the others are only late. It returns nothing where there is none.
func cnameOf(answers []Answer) string {
	target := ""
	for _, a := range answers {
		var elsewhere *cnameError
		switch {
		case a.Seen:
			return ""
		case errors.As(a.Err, &elsewhere):
			target = elsewhere.target
		}
	}
	return target
}

// cnameError says that there is a CNAME record in the place of the one looked for.
type cnameError struct{ target string } // lower case, fully qualified

func (e *cnameError) Error() string { return "has a CNAME record to " + e.target + " there" }

// ask asks every address of every server at the same time.
func (w *watch) ask(ctx context.Context, servers []nameServer) []Answer {
	var answers []Answer
	for _, server := range servers {
		if len(server.addresses) == 0 {
			answers = append(answers, Answer{Server: server.name, Err: server.err, outcome: unreachable})
		}
		for _, address := range server.addresses {
			answers = append(answers, Answer{Server: server.name, Address: address})
		}
	}
	var wg sync.WaitGroup
	for i, a := range answers {
		if a.Err != nil {
			continue
		}
		if before, ok := w.have[serverAddress{a.Server, a.Address}]; ok {
			answers[i] = before
			continue
		}
		if len(answers) == 1 { // the one resolver that most machines have
			w.askOne(ctx, &answers[i])
			break
		}
		wg.Go(func() { w.askOne(ctx, &answers[i]) })
	}
	wg.Wait()
	for _, a := range answers {
		if a.Seen {
			w.have[serverAddress{a.Server, a.Address}] = a
		}
	}
	slices.SortStableFunc(answers, func(a, b Answer) int {
		return cmp.Or(strings.Compare(a.Server, b.Server), a.Address.Compare(b.Address))
	})
	return answers
}

// askOne asks one address, by UDP and in the end by TCP, and judges what it says.
func (w *watch) askOne(ctx context.Context, a *Answer) {
	begun := time.Now()
	q := question{name: w.name, qtype: dns.StringToType[string(w.record.Type)], recurse: a.Server == resolverName}
	for _, pass := range passes() {
		m, err := w.solver.client.ask(ctx, a.Address, q, pass.network, pass.limit)
		a.Took = time.Since(begun)
		switch {
		case err == nil:
			w.judge(a, m)
			return
		case ctx.Err() != nil:
			a.outcome, a.Err = cut, fmt.Errorf("%w in time", errNoAnswer)
			return
		case isNoRoute(err):
			a.outcome, a.Err = unreachable, fmt.Errorf("cannot be reached from this machine: %w", err)
			return
		default:
			a.outcome, a.Err = silent, err
		}
	}
}

// judge says what an answer means.
func (w *watch) judge(a *Answer, m *dns.Msg) {
	var elsewhere string
	a.Values, elsewhere = valuesIn(m.Answer, w.name, w.record.Type, a.Server == resolverName)
	a.Seen = slices.ContainsFunc(a.Values, w.isOurs)
	authoritative := m.Authoritative || a.Server == resolverName
	switch {
	case a.Seen:
		a.outcome = seen
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		a.outcome, a.Err = lame, fmt.Errorf("answers %s", rcodeText(m))
	case elsewhere != "":
		a.outcome, a.Err = lacks, &cnameError{elsewhere}
	case !authoritative:
		a.outcome, a.Err = lame, errors.New("does not serve the zone: its answer is not authoritative")
	case m.Rcode == dns.RcodeNameError:
		a.outcome, a.Err = lacks, fmt.Errorf("does not have the name (NXDOMAIN)%s", w.cached(a, m))
	case len(a.Values) > 0:
		a.outcome, a.Err = lacks, fmt.Errorf("has other values: %s", quotedValues(a.Values))
	default:
		a.outcome, a.Err = lacks, fmt.Errorf("has no %s record there%s", w.record.Type, w.cached(a, m))
	}
}

// cached says for how long a resolver may go on to say that there is nothing (RFC 2308 section 5).
func (w *watch) cached(a *Answer, m *dns.Msg) string {
	if a.Server != resolverName {
		return ""
	}
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return fmt.Sprintf(", and may remember that for %d seconds", min(soa.Hdr.Ttl, soa.Minttl))
		}
	}
	return ""
}

func (w *watch) isOurs(value string) bool {
	if w.record.Type == pluginapi.CNAME {
		return sameName(value, w.record.Value)
	}
	return value == w.record.Value
}

// valuesIn returns the values of a type at a name, and the target of a CNAME record that is there in their place. A
// resolver's answer holds the CNAME records it has followed, and these are followed here as well.
func valuesIn(records []dns.RR, name string, kind pluginapi.RecordType, follow bool) (values []string, elsewhere string) {
	if kind == pluginapi.CNAME {
		if target := cnameIn(records, name); target != "" {
			values = append(values, target)
		}
		return values, ""
	}
	for range maxCNAMEs {
		target := cnameIn(records, name)
		if target == "" {
			break
		}
		if !follow {
			return nil, dns.Fqdn(target)
		}
		name = target
	}
	for _, rr := range records {
		if txt, ok := rr.(*dns.TXT); ok && sameName(txt.Hdr.Name, name) {
			values = append(values, unescape(strings.Join(txt.Txt, "")))
		}
	}
	slices.Sort(values)
	return values, ""
}

// unescape turns the text of a TXT record from its written form, with \" and \065, into the bytes it stands for (RFC
// 1035 section 5.1).
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		if n, ok := threeDigits(text[i:]); ok {
			b.WriteByte(n)
			i += 2
			continue
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

func threeDigits(text string) (byte, bool) {
	if len(text) < 3 {
		return 0, false
	}
	n := 0
	for _, d := range []byte(text[:3]) {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = 10*n + int(d-'0')
	}
	return byte(n), n < 256
}

// quotedValues lists a few values for people.
func quotedValues(values []string) string {
	const most, longest = 3, 60
	var words []string
	for i, v := range values {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(values)-most))
			break
		}
		if len(v) > longest {
			v = v[:longest] + "..."
		}
		words = append(words, fmt.Sprintf("%q", v))
	}
	return strings.Join(words, ", ")
}
