package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// fudge is how far the clocks of two sides may be apart, in seconds (RFC 8945 section 10).
const fudge = 300

// mostConnections is how many connections there are at once. BIND lets ten wait to be accepted (tcp-listen-queue); one
// more is turned away without a word, and costs a second until TCP tries again.
const mostConnections = 8

// server is the name server, spoken to by TCP: an update may be long, and must not be answered by somebody else.
type server struct {
	addr      string
	resolvers []string // of the configuration
	key       tsigKey
	timeout   time.Duration
	dialer    net.Dialer
	slots     chan struct{} // one for each connection in use
	idle      idle
	now       func() time.Time
}

func newServer(s settings, resolvers []string, now func() time.Time) *server {
	return &server{
		addr: s.nameserver, resolvers: resolvers, key: s.key, timeout: s.timeout, now: now,
		dialer: net.Dialer{Resolver: resolver(resolvers)}, slots: make(chan struct{}, mostConnections),
	}
}

// resolver looks the name server's own name up with the resolvers of the configuration, in turn; nil is the system's.
func resolver(addrs []string) *net.Resolver {
	if len(addrs) == 0 {
		return nil
	}
	var turn atomic.Uint64
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			n := turn.Add(1) - 1
			return new(net.Dialer).DialContext(ctx, network, addrs[n%uint64(len(addrs))])
		},
	}
}

// exchange sends a message, signed, and returns the reply if it is the name server's own word on it. Every failure of
// the exchange itself is Unavailable: all that is asked here may be asked again.
func (s *server) exchange(ctx context.Context, m *dns.Msg) (*dns.Msg, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "wait for a connection to the name server %s: %w", s.addr, ctx.Err())
	}
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	reply, err := s.send(limited, m)
	switch {
	case err == nil:
		return reply, nil
	case ctx.Err() != nil:
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "ask the name server %s: %w", s.addr, ctx.Err())
	case limited.Err() != nil:
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "the name server %s does not answer within %s: look whether it can be "+
			"reached by TCP from here, or raise timeout: %w", s.addr, s.timeout, err)
	case pluginapi.KindOf(err) != 0:
		return nil, err
	default:
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "ask the name server %s: %w", s.addr, err)
	}
}

// send asks over a connection that an earlier message has left, or over a new one. Servers close connections at any time (RFC 7766
// section 6.2.4), which shows only when one is used again: a message that is not answered there is sent anew.
func (s *server) send(ctx context.Context, m *dns.Msg) (*dns.Msg, error) {
	if c := s.idle.take(); c != nil {
		if reply, err := s.over(ctx, c, m); reply != nil || ctx.Err() != nil {
			return reply, err
		}
	}
	raw, err := s.dialer.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, s.explainDial(err)
	}
	return s.over(ctx, newConnection(raw), m)
}

// over sends a message over a connection, which is kept or closed then. There is a reply also when it cannot be believed.
func (s *server) over(ctx context.Context, c *connection, m *dns.Msg) (*dns.Msg, error) {
	var secrets map[string]string
	if !s.key.none() {
		secrets = map[string]string{s.key.name: s.key.secret.Reveal()}
		m.SetTsig(s.key.name, s.key.algorithm, fudge, s.now().Unix())
	}
	reply, usable, err := c.ask(ctx, m, secrets)
	if usable {
		s.idle.keep(c)
	} else {
		_ = c.Close() // nothing more is wanted of it
	}
	if reply == nil {
		return nil, err
	}
	return reply, s.judge(reply, err)
}

// explainDial says which resolvers were asked for the name server's address: net names that of /etc/resolv.conf, whoever
// was asked.
func (s *server) explainDial(err error) error {
	var lookup *net.DNSError
	if !errors.As(err, &lookup) {
		return err
	}
	told := *lookup // it may be shared with other look-ups
	if len(s.resolvers) > 0 {
		told.Server = strings.Join(s.resolvers, " or ")
	}
	return fmt.Errorf("correct nameserver, or look at dns_resolvers: %w", &told)
}

// judge says whether a reply can be believed. err is what came of checking its signature.
func (s *server) judge(reply *dns.Msg, err error) error {
	tsig := reply.IsTsig()
	switch {
	case s.key.none():
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		return nil
	case reply.Rcode == dns.RcodeNotAuth && tsig != nil && tsig.Error != dns.RcodeSuccess:
		return s.explainTSIG(tsig.Error, tsig.OtherData) // such a reply may be unsigned (RFC 8945 section 5.3.2)
	case reply.Rcode == dns.RcodeNotAuth && reply.Opcode == dns.OpcodeQuery:
		return s.explainTSIG(dns.RcodeSuccess, "") // PowerDNS does not say what it has against the signature
	case errors.Is(err, dns.ErrAuth):
		return nil // NOTAUTH for another reason; the library does not look at its signature
	case err != nil:
		return fmt.Errorf("the reply's signature: %w", err)
	case tsig == nil && reply.Rcode == dns.RcodeSuccess:
		return pluginapi.Errorf(pluginapi.Unauthorized, "the name server %s answers a signed message with an unsigned one: it does not "+
			"know of TSIG, or something on the way answers for it", s.addr)
	default:
		return nil // an unsigned refusal is still no success
	}
}

// explainTSIG says what the name server has against the signature, with the error and other data of its TSIG record (RFC
// 8945 section 5.2).
func (s *server) explainTSIG(tsigError uint16, other string) error {
	key, algorithm := strings.TrimSuffix(s.key.name, "."), strings.TrimSuffix(s.key.algorithm, ".")
	switch tsigError {
	case dns.RcodeBadKey:
		return pluginapi.Errorf(pluginapi.Unauthorized, "the name server %s knows no key %q with %s (BADKEY): compare tsig_key and "+
			"tsig_algorithm with its configuration", s.addr, key, algorithm)
	case dns.RcodeBadSig:
		return pluginapi.Errorf(pluginapi.Unauthorized, "the name server %s has another secret for the key %q (BADSIG): compare "+
			"tsig_secret and tsig_algorithm with its configuration", s.addr, key)
	case dns.RcodeBadTime:
		return pluginapi.Errorf(pluginapi.Unavailable, "the clock of the name server %s and the one here are more than %d seconds "+
			"apart (BADTIME)%s: set both by NTP", s.addr, fudge, s.clocks(other))
	default:
		what := rcode(int(tsigError))
		if tsigError == dns.RcodeSuccess {
			what = rcode(dns.RcodeNotAuth)
		}
		return pluginapi.Errorf(pluginapi.Unauthorized, "the name server %s does not accept the signature of the key %q (%s): compare "+
			"tsig_key, tsig_secret and tsig_algorithm with its configuration, and the clocks", s.addr, key, what)
	}
}

// clocks says what time the name server has, which it tells in a BADTIME reply (RFC 8945 section 5.2.3): 48 bits.
func (s *server) clocks(other string) string {
	var theirs int64
	if n, err := fmt.Sscanf(other, "%012x", &theirs); n != 1 || err != nil || len(other) != 12 {
		return ""
	}
	return fmt.Sprintf("; it has %s, and here it is %s", time.Unix(theirs, 0).UTC().Format(time.RFC3339), s.now().UTC().Format(time.RFC3339))
}

func rcode(n int) string {
	if text, ok := dns.RcodeToString[n]; ok {
		return text
	}
	return fmt.Sprintf("RCODE%d", n)
}
