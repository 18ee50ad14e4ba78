package publisher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	queryTimeout = 3 * time.Second
	// maxServers bounds how many addresses of name servers are asked about one name.
	maxServers = 32
	// udpSize is what fits into one packet everywhere (DNS flag day 2020).
	udpSize    = 1232
	resolvConf = "/etc/resolv.conf"
)

// resolver finds out what stands in the DNS: at a zone's own name servers, for a cache would tell of yesterday.
type resolver struct {
	resolvers []string // "ip:port"; empty: the system's
	port      string   // of authoritative name servers
}

func newResolver(resolvers []string) *resolver { return &resolver{resolvers: resolvers, port: "53"} }

// answer is what name servers say of the TXT records of a name.
type answer struct {
	servers int            // that answered
	values  map[string]int // by value: how many servers have it
}

func (a answer) everywhere(value string) bool { return a.servers > 0 && a.values[value] == a.servers }
func (a answer) anywhere(value string) bool   { return a.values[value] > 0 }

// others are the values that are not among ours, in alphabetical order.
func (a answer) others(ours []string) []string {
	var others []string
	for value := range a.values {
		if !slices.Contains(ours, value) {
			others = append(others, value)
		}
	}
	slices.Sort(others)
	return others
}

// zone finds the zone that a name is in; a name that is a zone's own is that zone. Neither has a trailing dot.
func (r *resolver) zone(ctx context.Context, name string) (string, error) {
	full := dns.CanonicalName(name)
	var last error
	for _, at := range dns.Split(full) {
		m, err := r.recurse(ctx, full[at:], dns.TypeSOA)
		if err != nil {
			return "", err
		}
		if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
			last = fmt.Errorf("%s: the resolver says %s", full[at:], dns.RcodeToString[m.Rcode])
			continue
		}
		// The authority section of a negative answer names the zone as well (RFC 2308 section 3).
		for _, rr := range slices.Concat(m.Answer, m.Ns) {
			if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, full) {
				return strings.TrimSuffix(dns.CanonicalName(soa.Hdr.Name), "."), nil
			}
		}
	}
	if last == nil {
		last = errors.New("no zone has it")
	}
	return "", fmt.Errorf("find the zone of %s: %w", name, last)
}

// txt asks all of the zone's name servers; where none of them answers, which is so where outgoing port 53 is closed, it
// asks the resolvers.
func (r *resolver) txt(ctx context.Context, name string) (answer, error) {
	servers, err := r.nameservers(ctx, name)
	if err == nil {
		a, failed := r.ask(ctx, servers, name, false)
		if a.servers > 0 {
			return a, nil
		}
		err = failed
	}
	if ctx.Err() != nil {
		return answer{}, ctx.Err()
	}
	resolvers, missing := r.recursive()
	if missing != nil {
		return answer{}, errors.Join(err, missing)
	}
	a, failed := r.ask(ctx, resolvers, name, true)
	if a.servers == 0 {
		return answer{}, fmt.Errorf("look up the TXT records of %s: %w", name, errors.Join(err, failed))
	}
	return a, nil
}

// ask asks all servers at once.
func (r *resolver) ask(ctx context.Context, servers []string, name string, recursion bool) (answer, error) {
	a := answer{values: map[string]int{}}
	var mu sync.Mutex
	var group sync.WaitGroup
	var errs []error
	for _, server := range servers {
		group.Go(func() {
			m, err := exchange(ctx, server, dns.Fqdn(name), dns.TypeTXT, recursion)
			if err == nil && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
				err = fmt.Errorf("%s says %s", server, dns.RcodeToString[m.Rcode])
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			a.servers++
			for _, value := range txtOf(m) {
				a.values[value]++
			}
		})
	}
	group.Wait()
	return a, errors.Join(errs...)
}

// txtOf are the different values of an answer.
func txtOf(m *dns.Msg) []string {
	var values []string
	for _, rr := range m.Answer {
		// A resolver's answer may begin with a CNAME record; what it leads to stands at the name as well.
		txt, ok := rr.(*dns.TXT)
		if !ok {
			continue
		}
		if value := strings.Join(txt.Txt, ""); !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	return values
}

// nameservers are the addresses of the name servers of the zone that a name is in.
func (r *resolver) nameservers(ctx context.Context, name string) ([]string, error) {
	zone, err := r.zone(ctx, name)
	if err != nil {
		return nil, err
	}
	m, err := r.recurse(ctx, dns.Fqdn(zone), dns.TypeNS)
	if err != nil {
		return nil, err
	}
	var servers []string
	for _, rr := range m.Answer {
		ns, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			addresses, err := r.recurse(ctx, ns.Ns, kind)
			if err != nil {
				continue // another of the zone's servers may do
			}
			for _, address := range addresses.Answer {
				switch rr := address.(type) {
				case *dns.A:
					servers = append(servers, net.JoinHostPort(rr.A.String(), r.port))
				case *dns.AAAA:
					servers = append(servers, net.JoinHostPort(rr.AAAA.String(), r.port))
				}
			}
		}
	}
	slices.Sort(servers)
	servers = slices.Compact(servers)
	if len(servers) == 0 {
		return nil, fmt.Errorf("the zone %s has no name server with an address", zone)
	}
	return servers[:min(len(servers), maxServers)], nil
}

// recursive are the resolvers to ask.
func (r *resolver) recursive() ([]string, error) {
	if len(r.resolvers) > 0 {
		return r.resolvers, nil
	}
	config, err := dns.ClientConfigFromFile(resolvConf)
	if err != nil {
		return nil, fmt.Errorf("find the system's resolvers: %w", err)
	}
	var servers []string
	for _, server := range config.Servers {
		servers = append(servers, net.JoinHostPort(server, config.Port))
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("%s names no resolver", resolvConf)
	}
	return servers, nil
}

// recurse asks one resolver after the other until one answers.
func (r *resolver) recurse(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	servers, err := r.recursive()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, server := range servers {
		m, err := exchange(ctx, server, name, kind, true)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			errs = append(errs, err)
		case m.Rcode == dns.RcodeServerFailure || m.Rcode == dns.RcodeRefused:
			errs = append(errs, fmt.Errorf("%s says %s", server, dns.RcodeToString[m.Rcode]))
		default:
			return m, nil
		}
	}
	return nil, fmt.Errorf("look up the %s records of %s: %w", dns.TypeToString[kind], name, errors.Join(errs...))
}

// exchange asks one server one question, over TCP when the answer does not fit into a packet.
func exchange(ctx context.Context, server, name string, kind uint16, recursion bool) (*dns.Msg, error) {
	question := new(dns.Msg).SetQuestion(name, kind)
	question.RecursionDesired = recursion
	question.SetEdns0(udpSize, false)
	for _, network := range []string{"udp", "tcp"} {
		client := &dns.Client{Net: network, Timeout: queryTimeout, UDPSize: udpSize}
		m, _, err := client.ExchangeContext(ctx, question, server)
		switch {
		case err != nil:
			return nil, fmt.Errorf("ask %s: %w", server, err)
		case network == "udp" && m.Truncated:
			continue
		case len(m.Question) != 1 || !strings.EqualFold(m.Question[0].Name, name) || m.Question[0].Qtype != kind:
			return nil, fmt.Errorf("ask %s: it answers another question", server)
		}
		return m, nil
	}
	return nil, fmt.Errorf("ask %s: the answer is cut off", server)
}
