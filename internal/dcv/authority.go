package dcv

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// authorityKept is how long the zone of a name, and the servers of a zone, are remembered: long enough that the names of
// an order share them, short enough that a repaired delegation is soon seen.
const authorityKept = 30 * time.Second

// nameServer is an authoritative server of a zone.
type nameServer struct {
	name      string // fully qualified
	addresses []netip.AddrPort
	// err says why there are no addresses.
	err error
}

// authority is who answers for a name.
type authority struct {
	zone    string // fully qualified, lower case
	servers []nameServer
}

// authority finds the zone a name belongs to and all servers of that zone, through the resolvers.
func (s *Solver) authority(ctx context.Context, name string) (authority, error) {
	name = strings.ToLower(dns.Fqdn(name))
	zone, err := s.zones.get(ctx, name, func(ctx context.Context) (string, error) { return s.findZone(ctx, name) })
	if err != nil {
		return authority{}, err
	}
	servers, err := s.servers.get(ctx, zone, func(ctx context.Context) ([]nameServer, error) { return s.findServers(ctx, zone) })
	return authority{zone, servers}, err
}

// forget drops what is remembered of who answers for a name.
func (s *Solver) forget(name, zone string) {
	s.zones.forget(strings.ToLower(dns.Fqdn(name)))
	s.servers.forget(zone)
}

// findZone returns the closest zone at or above a name: the one whose SOA record is there.
func (s *Solver) findZone(ctx context.Context, name string) (string, error) {
	for at, end := name, false; !end; at, end = parent(at) {
		m, err := s.lookup(ctx, at, dns.TypeSOA)
		if err != nil && ctx.Err() == nil {
			// Where the name is an alias, it may be the target that fails.
			if target, aliasErr := s.cnameAt(ctx, at); aliasErr == nil && target != "" {
				continue
			}
		}
		if err != nil {
			return "", fmt.Errorf("find the zone of %s: %w", strings.TrimSuffix(name, "."), err)
		}
		if zone := zoneIn(m, at); zone != "" && zone != "." {
			return zone, nil
		}
	}
	return "", pluginapi.Errorf(pluginapi.Unavailable, "find the zone of %s: the resolvers know none: look whether the domain is "+
		"registered and delegated, and whether dns_resolvers can see it", strings.TrimSuffix(name, "."))
}

// parent returns the name one label up, and whether there was none left.
func parent(name string) (string, bool) {
	next, end := dns.NextLabel(name, 0)
	if end {
		return "", true
	}
	return name[next:], false
}

// zoneIn returns the zone that the answer to a question for the SOA record at a name shows, or nothing. Where the name is
// no zone's own, the answer says so with the zone's SOA record beside it (RFC 2308 section 2), whether the name exists or
// not; some resolvers leave that out. A CNAME record there leads into another zone, which says nothing about this one.
func zoneIn(m *dns.Msg, at string) string {
	if cnameIn(m.Answer, at) != "" {
		return ""
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, at) {
			return strings.ToLower(soa.Hdr.Name)
		}
	}
	return ""
}

// findServers returns the servers of a zone with all their addresses.
func (s *Solver) findServers(ctx context.Context, zone string) ([]nameServer, error) {
	m, err := s.lookup(ctx, zone, dns.TypeNS)
	if err != nil {
		return nil, fmt.Errorf("find the name servers of %s: %w", zone, err)
	}
	var names []string
	for _, rr := range m.Answer {
		if ns, ok := rr.(*dns.NS); ok && sameName(ns.Hdr.Name, zone) {
			names = append(names, strings.ToLower(ns.Ns))
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "find the name servers of %s: the zone has no NS records", zone)
	}
	servers := make([]nameServer, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { servers[i] = s.findAddresses(ctx, name) })
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	for _, server := range servers {
		if len(server.addresses) > 0 {
			return servers, nil
		}
	}
	return nil, pluginapi.Errorf(pluginapi.Unavailable, "find the name servers of %s: %w", zone, servers[0].err)
}

// findAddresses looks up the IPv4 and IPv6 addresses of a name server.
func (s *Solver) findAddresses(ctx context.Context, name string) nameServer {
	addresses, err := s.addresses(ctx, name)
	server := nameServer{name: name}
	for _, a := range addresses {
		server.addresses = append(server.addresses, netip.AddrPortFrom(a, dnsPort))
	}
	if len(addresses) == 0 {
		server.err = fmt.Errorf("the name server %s has no address", name)
		if err != nil {
			server.err = fmt.Errorf("the address of the name server %s: %w", name, err)
		}
	}
	return server
}

// addresses looks up the addresses of a host, IPv6 after IPv4. There may be addresses and an error, of one family.
func (s *Solver) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	types := []uint16{dns.TypeA, dns.TypeAAAA}
	found := make([][]netip.Addr, len(types))
	errs := make([]error, len(types))
	var wg sync.WaitGroup
	for i, t := range types {
		wg.Go(func() {
			m, err := s.lookup(ctx, host, t)
			if err != nil {
				errs[i] = err
				return
			}
			found[i] = addressesIn(m)
		})
	}
	wg.Wait()
	return slices.Concat(found...), cmp.Or(errs...)
}

// addressesIn returns the addresses in an answer, sorted.
func addressesIn(m *dns.Msg) []netip.Addr {
	var list []netip.Addr
	for _, rr := range m.Answer {
		var raw []byte
		switch a := rr.(type) {
		case *dns.A:
			raw = a.A.To4()
		case *dns.AAAA:
			raw = a.AAAA.To16()
		}
		if address, ok := netip.AddrFromSlice(raw); ok {
			list = append(list, address.Unmap())
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}
