package dcv

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// resolverIP is where tests have their resolver.
const resolverIP = "192.0.2.53"

// internet is name servers in memory, reached through Options.DialDNS. Connections are net.Pipe, so that time may be that
// of testing/synctest.
type internet struct {
	mu      sync.Mutex
	servers map[string]*fakeServer // by IP address
	queries map[string]int         // by "IP TYPE"
	// noIPv6: this machine has no route for IPv6.
	noIPv6 bool
}

// fakeServer answers for its zones, or as a resolver for all zones of the world.
type fakeServer struct {
	zones    []*fakeZone
	resolver bool
	// silent servers take everything and answer nothing; closed ones refuse connections; slow ones wait first.
	silent, closed bool
	slow           time.Duration
	// mangle makes the packets to send of an answer.
	mangle func(network string, query, answer *dns.Msg) [][]byte
}

// fakeZone is records. It is shared or copied between servers as a test likes.
type fakeZone struct {
	origin string
	mu     sync.Mutex
	rrs    []dns.RR
}

func newInternet(servers map[string]*fakeServer) *internet {
	return &internet{servers: servers, queries: map[string]int{}}
}

func zone(t testing.TB, origin, text string) *fakeZone {
	t.Helper()
	z := &fakeZone{origin: dns.Fqdn(origin)}
	z.add(t, "@ 300 IN SOA ns hostmaster 1 2 3 4 60\n"+text)
	return z
}

func (z *fakeZone) add(t testing.TB, text string) {
	t.Helper()
	z.mu.Lock()
	defer z.mu.Unlock()
	p := dns.NewZoneParser(strings.NewReader("$TTL 300\n"+text+"\n"), z.origin, "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		z.rrs = append(z.rrs, rr)
	}
	if err := p.Err(); err != nil {
		t.Errorf("zone %s: %v", z.origin, err)
	}
}

func (z *fakeZone) copy() *fakeZone {
	z.mu.Lock()
	defer z.mu.Unlock()
	return &fakeZone{origin: z.origin, rrs: append([]dns.RR{}, z.rrs...)}
}

func (z *fakeZone) remove(name string, kind uint16) {
	z.mu.Lock()
	defer z.mu.Unlock()
	var rest []dns.RR
	for _, rr := range z.rrs {
		if !sameName(rr.Header().Name, name) || rr.Header().Rrtype != kind {
			rest = append(rest, rr)
		}
	}
	z.rrs = rest
}

// at returns the records at a name, those of a wildcard where there is nothing, and whether the name exists.
func (z *fakeZone) at(name string) (records []dns.RR, exists bool) {
	for _, rr := range z.rrs {
		if sameName(rr.Header().Name, name) {
			records = append(records, rr)
		}
		exists = exists || dns.IsSubDomain(name, rr.Header().Name)
	}
	if exists || name == z.origin {
		return records, exists
	}
	above, _ := parent(name)
	if _, closest := z.at(above); !closest {
		return z.at(above)
	}
	for _, rr := range z.rrs {
		if sameName(rr.Header().Name, "*."+above) {
			made := dns.Copy(rr)
			made.Header().Name = name
			records, exists = append(records, made), true
		}
	}
	return records, exists
}

// answer fills in what the zone says (RFC 1034 section 4.3.2), for one step of CNAME records.
func (z *fakeZone) answer(name string, kind uint16, m *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	m.Authoritative = true
	for at, end := name, false; !end && !sameName(at, z.origin); at, end = parent(at) {
		records, _ := z.at(at)
		for _, rr := range records {
			if _, ok := rr.(*dns.NS); ok {
				m.Authoritative = false
				m.Ns = append(m.Ns, rr)
			}
		}
		if !m.Authoritative {
			return
		}
	}
	records, exists := z.at(name)
	for _, rr := range records {
		if t := rr.Header().Rrtype; t == kind || t == dns.TypeCNAME {
			m.Answer = append(m.Answer, rr)
		}
	}
	if len(m.Answer) > 0 {
		return
	}
	if !exists {
		m.Rcode = dns.RcodeNameError
	}
	for _, rr := range z.rrs {
		if rr.Header().Rrtype == dns.TypeSOA {
			m.Ns = append(m.Ns, rr)
		}
	}
}

func closest(zones []*fakeZone, name string) *fakeZone {
	var best *fakeZone
	for _, z := range zones {
		if dns.IsSubDomain(z.origin, name) && (best == nil || len(z.origin) > len(best.origin)) {
			best = z
		}
	}
	return best
}

func (s *fakeServer) reply(in *internet, q *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	name, kind := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	if s.resolver {
		m.RecursionAvailable = true
		in.resolve(name, kind, m)
		return m
	}
	z := closest(s.zones, name)
	if z == nil {
		m.Rcode = dns.RcodeRefused
		return m
	}
	z.answer(name, kind, m)
	return m
}

// resolve answers as a resolver that knows every zone of the world.
func (in *internet) resolve(name string, kind uint16, m *dns.Msg) {
	in.mu.Lock()
	var all []*fakeZone
	for _, s := range in.servers {
		all = append(all, s.zones...)
	}
	in.mu.Unlock()
	for range 2 * maxCNAMEs {
		z := closest(all, name)
		if z == nil {
			m.Rcode = dns.RcodeNameError
			return
		}
		step := new(dns.Msg)
		z.answer(name, kind, step)
		m.Answer, m.Ns, m.Rcode = append(m.Answer, step.Answer...), step.Ns, step.Rcode
		target := cnameIn(step.Answer, name)
		if target == "" || kind == dns.TypeCNAME {
			return
		}
		name = dns.Fqdn(target)
	}
	m.Rcode = dns.RcodeServerFailure
}

// dial is Options.DialDNS.
func (in *internet) dial(_ context.Context, network, address string) (net.Conn, error) {
	to := netip.MustParseAddrPort(address).Addr()
	fail := func(errno syscall.Errno) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", errno)}
	}
	in.mu.Lock()
	s := in.servers[to.String()]
	in.mu.Unlock()
	switch {
	case to.Is6() && in.noIPv6:
		return fail(syscall.ENETUNREACH)
	case s == nil:
		s = &fakeServer{silent: true}
	case s.closed:
		return fail(syscall.ECONNREFUSED)
	}
	here, there := net.Pipe()
	go in.serve(there, s, network, to.String())
	return here, nil
}

func (in *internet) serve(conn net.Conn, s *fakeServer, network, address string) {
	defer conn.Close()
	for {
		packet, err := readMessage(conn, network)
		if err != nil {
			return
		}
		q := new(dns.Msg)
		if q.Unpack(packet) != nil {
			return
		}
		in.count(address, dns.TypeToString[q.Question[0].Qtype])
		if s.silent {
			continue
		}
		time.Sleep(s.slow)
		m := s.reply(in, q)
		packets := [][]byte{}
		if s.mangle != nil {
			packets = s.mangle(network, q, m)
		} else {
			packets = append(packets, pack(m))
		}
		for _, p := range packets {
			if network == "tcp" {
				p = append(binary.BigEndian.AppendUint16(nil, uint16(len(p))), p...)
			}
			if _, err := conn.Write(p); err != nil {
				return
			}
		}
	}
}

func pack(m *dns.Msg) []byte {
	packed, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return packed
}

func readMessage(conn net.Conn, network string) ([]byte, error) {
	if network == "tcp" {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return nil, err
		}
		packet := make([]byte, binary.BigEndian.Uint16(length[:]))
		_, err := io.ReadFull(conn, packet)
		return packet, err
	}
	packet := make([]byte, udpBuffer)
	n, err := conn.Read(packet)
	return packet[:n], err
}

func (in *internet) count(address, kind string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.queries[address+" "+kind]++
	in.queries[address]++
}

// asked is how many queries an address got, or how many of a type: asked("192.0.2.1", "TXT").
func (in *internet) asked(what ...string) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.queries[strings.Join(what, " ")]
}
