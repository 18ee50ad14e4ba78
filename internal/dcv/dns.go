package dcv

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Propagation says who is asked whether a published record can be seen.
type Propagation string

// The ways to look at records.
const (
	// Authoritative: every address of every authoritative name server.
	Authoritative Propagation = "authoritative"
	// Resolvers: the resolvers alone, all of them.
	Resolvers Propagation = "resolvers"
	// None: nobody; the CA is told at once.
	None Propagation = "none"
)

// DNS says how records are looked up and looked at.
type DNS struct {
	// Resolvers are "ip:port"; empty means the system's, read from resolv.conf again whenever it has changed.
	Resolvers []string
	// Propagation is Authoritative when it is empty.
	Propagation Propagation
}

// dnsSettings are a checked DNS.
type dnsSettings struct {
	resolvers   []netip.AddrPort // empty: the system's
	propagation Propagation
}

func (d DNS) check() (dnsSettings, error) {
	s := dnsSettings{propagation: d.Propagation}
	var errs []error
	if s.propagation == "" {
		s.propagation = Authoritative
	}
	if !slices.Contains([]Propagation{Authoritative, Resolvers, None}, s.propagation) {
		errs = append(errs, fmt.Errorf("dns_propagation %q: want %q, %q or %q", d.Propagation, Authoritative, Resolvers, None))
	}
	for _, text := range d.Resolvers {
		address, err := netip.ParseAddrPort(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("dns_resolvers: %q: want an IP address and a port, as in \"192.0.2.1:53\" or \"[2001:db8::1]:53\"", text))
			continue
		}
		s.resolvers = append(s.resolvers, address)
	}
	return s, errors.Join(errs...)
}

// resolvConf is where the system's resolvers stand.
const resolvConf = "/etc/resolv.conf"

// systemResolvers reads the system's resolvers, again when the file has changed.
type systemResolvers struct {
	path string

	mu      sync.Mutex
	changed time.Time
	size    int64
	servers []netip.AddrPort
}

// list returns the resolvers in the file's order.
func (s *systemResolvers) list() ([]netip.AddrPort, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(s.path)
	if errors.Is(err, os.ErrNotExist) {
		// As resolv.conf(5) has it: without the file, the name server of this machine.
		return []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the system's resolvers: %w", err)
	}
	if s.servers != nil && info.ModTime().Equal(s.changed) && info.Size() == s.size {
		return s.servers, nil
	}
	conf, err := dns.ClientConfigFromFile(s.path)
	if err != nil {
		return nil, fmt.Errorf("the system's resolvers: %s: %w", s.path, err)
	}
	servers := []netip.AddrPort{}
	for _, text := range conf.Servers {
		if address, err := netip.ParseAddr(text); err == nil {
			servers = append(servers, netip.AddrPortFrom(address, dnsPort))
		}
	}
	if len(servers) == 0 {
		servers = append(servers, netip.MustParseAddrPort("127.0.0.1:53"))
	}
	s.servers, s.changed, s.size = servers, info.ModTime(), info.Size()
	return servers, nil
}
