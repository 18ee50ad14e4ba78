package dcv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const (
	dnsPort = 53
	// udpPayload is the largest answer we take by UDP: it fits into one packet on every path, so that nothing depends on
	// fragments (RFC 9715 section 3).
	udpPayload = 1232
	udpBuffer  = 4096 // bytes; for servers that send more than they were asked to
	// queriesPerServer is how many queries one server gets at the same time.
	queriesPerServer = 25
)

// dialFunc opens a connection to "ip:port" by "udp" or "tcp".
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// question is what a name server is asked.
type question struct {
	name    string // fully qualified
	qtype   uint16
	recurse bool
}

// errNoAnswer: a server did not answer in time, or there is none at the address.
var errNoAnswer = errors.New("no answer")

// client asks single name servers. Each query has a socket of its own, and with it a port that is hard to guess: who cannot see
// the query must not be able to answer it. To a loopback address that is not needed, since no packet from elsewhere gets there, and
// nobody on this machine can send from the server's own port: there sockets are kept for the next query.
type client struct {
	dial  dialFunc
	lanes lanes

	mu    sync.Mutex
	local map[netip.AddrPort]*kept[*packets] // by loopback address
}

// packets is a socket for UDP with a buffer for what it receives.
type packets struct {
	aged
	buffer []byte
}

// ask asks one server. It tries again by TCP when the answer is cut short, and without EDNS (RFC 6891) where the server
// does not know that; limit is for each try. The answer belongs to the question, and may be any rcode.
func (c *client) ask(ctx context.Context, server netip.AddrPort, q question, network string, limit time.Duration) (*dns.Msg, error) {
	leave, err := c.lanes.enter(ctx, server)
	if err != nil {
		return nil, err
	}
	defer leave()
	edns := true
	for {
		m, err := c.try(ctx, server, q, network, limit, edns)
		switch {
		case err != nil:
			return nil, err
		case m.Truncated && network == "udp":
			network = "tcp"
		case edns && refusesEDNS(m):
			edns = false
		default:
			return m, nil
		}
	}
}

func refusesEDNS(m *dns.Msg) bool {
	return m.IsEdns0() == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) || m.Rcode == dns.RcodeBadVers
}

// try sends one query and reads its answer.
func (c *client) try(ctx context.Context, server netip.AddrPort, q question, network string, limit time.Duration, edns bool) (*dns.Msg, error) {
	short, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m, err := c.roundTrip(short, server, q, network, edns)
	var broken *net.OpError
	switch {
	case err == nil:
		return m, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case isNoRoute(err):
		return nil, err
	case short.Err() != nil:
		return nil, fmt.Errorf("%w by %s within %s", errNoAnswer, network, limit)
	case errors.As(err, &broken):
		return nil, fmt.Errorf("%w by %s: %w", errNoAnswer, network, broken.Err)
	default:
		return nil, fmt.Errorf("%w by %s: %w", errNoAnswer, network, err)
	}
}

func (c *client) roundTrip(ctx context.Context, server netip.AddrPort, q question, network string, edns bool) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(q.name, q.qtype)
	query.RecursionDesired = q.recurse
	if edns {
		query.SetEdns0(udpPayload, false)
	}
	packed, err := query.Pack()
	if err != nil {
		return nil, fmt.Errorf("the question %s %s: %w", q.name, dns.TypeToString[q.qtype], err)
	}
	if network == "udp" {
		return c.overPackets(ctx, server, query, packed)
	}
	conn, err := c.dial(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer endWith(ctx, conn)()
	return overStream(conn, query, packed)
}

// endWith lets a context that is over end what is being written or read, until stop, which reports that this has not happened.
func endWith(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// overPackets asks over a socket that is kept, where there is one, or over a new one.
func (c *client) overPackets(ctx context.Context, server netip.AddrPort, query *dns.Msg, packed []byte) (*dns.Msg, error) {
	waiting := c.keptTo(server)
	if waiting != nil {
		if p, ok := waiting.take(); ok {
			if m, err := p.ask(ctx, query, packed, waiting); err == nil || ctx.Err() != nil {
				return m, err
			}
			// The system may tell now what became of a packet sent earlier.
		}
	}
	conn, err := c.dial(ctx, "udp", server.String())
	if err != nil {
		return nil, err
	}
	p := &packets{aged: aged{conn, time.Now()}, buffer: make([]byte, udpBuffer)}
	return p.ask(ctx, query, packed, waiting)
}

// keptTo are the sockets to a server, nil where each query has its own.
func (c *client) keptTo(server netip.AddrPort) *kept[*packets] {
	if !server.Addr().IsLoopback() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.local == nil {
		c.local = map[netip.AddrPort]*kept[*packets]{}
	}
	if c.local[server] == nil {
		c.local[server] = new(kept[*packets])
	}
	return c.local[server]
}

// close drops the sockets that are kept.
func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, waiting := range c.local {
		waiting.close()
	}
}

// ask asks, and keeps the socket where that is wanted and nothing was wrong with it.
func (p *packets) ask(ctx context.Context, query *dns.Msg, packed []byte, waiting *kept[*packets]) (*dns.Msg, error) {
	stop := endWith(ctx, p)
	m, err := p.exchange(query, packed)
	waiting.put(p, stop() && err == nil)
	return m, err
}

// exchange takes the first packet that answers the query. Others are not for us, are late answers, or are forged, and are passed over.
func (p *packets) exchange(query *dns.Msg, packed []byte) (*dns.Msg, error) {
	if _, err := p.Write(packed); err != nil {
		return nil, err
	}
	for {
		n, err := p.Read(p.buffer)
		if err != nil {
			return nil, err
		}
		if m := parseAnswer(p.buffer[:n], query); m != nil {
			return m, nil
		}
	}
}

// overStream is as exchange, by TCP: with the length before each message (RFC 1035 section 4.2.2).
func overStream(conn net.Conn, query *dns.Msg, packed []byte) (*dns.Msg, error) {
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)
	if _, err := conn.Write(framed); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	buffer := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, buffer); err != nil {
		return nil, err
	}
	if m := parseAnswer(buffer, query); m != nil {
		return m, nil
	}
	return nil, errors.New("the answer is damaged or is for another question")
}

// parseAnswer returns the message if it answers the query, else nil.
func parseAnswer(packet []byte, query *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	if err := m.Unpack(packet); err != nil && !m.Truncated {
		return nil
	}
	if m.Id != query.Id || !m.Response || m.Opcode != dns.OpcodeQuery {
		return nil
	}
	if len(m.Question) == 0 && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return m // a server that did not understand need not repeat the question
	}
	if len(m.Question) != 1 {
		return nil
	}
	got, want := m.Question[0], query.Question[0]
	if !sameName(got.Name, want.Name) || got.Qtype != want.Qtype || got.Qclass != want.Qclass {
		return nil
	}
	return m
}

// sameName compares names as the DNS does.
func sameName(a, b string) bool {
	return strings.EqualFold(dns.Fqdn(a), dns.Fqdn(b))
}

// isNoRoute reports that this machine has no way to an address, mostly because it has no IPv6.
func isNoRoute(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EAFNOSUPPORT, syscall.EADDRNOTAVAIL, syscall.EPROTONOSUPPORT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// lanes bound how many queries a server gets at the same time. A server that hangs delays only those who ask it.
type lanes struct {
	mu   sync.Mutex
	open map[netip.AddrPort]*lane
}

type lane struct {
	slots chan struct{}
	users int
}

// enter waits for a slot with a server.
func (l *lanes) enter(ctx context.Context, server netip.AddrPort) (leave func(), err error) {
	l.mu.Lock()
	if l.open == nil {
		l.open = map[netip.AddrPort]*lane{}
	}
	in := l.open[server]
	if in == nil {
		in = &lane{slots: make(chan struct{}, queriesPerServer)}
		l.open[server] = in
	}
	in.users++
	l.mu.Unlock()
	out := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if in.users--; in.users == 0 {
			delete(l.open, server)
		}
	}
	select {
	case in.slots <- struct{}{}:
		return func() { <-in.slots; out() }, nil
	case <-ctx.Done():
		out()
		return nil, context.Cause(ctx)
	}
}
