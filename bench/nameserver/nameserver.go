// Package nameserver is a name server for the benchmark: one zone, in memory, changed by dynamic updates (RFC 2136), in
// which every name has the address 127.0.0.1.
package nameserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Zone is the zone it serves.
const Zone = "bench.test."

const ttl = 1

// Server is a running name server.
type Server struct {
	// Address is where it answers, by UDP and TCP.
	Address string
	// Queries and Updates count what it was asked.
	Queries, Updates atomic.Int64

	udp, tcp *dns.Server
	mu       sync.RWMutex
	texts    map[string][]string // by canonical name
}

// Start starts a name server on a free port.
func Start() (*Server, error) {
	s := &Server{texts: map[string][]string{}}
	var errs []error
	for range 10 { // the port that TCP got may be taken for UDP
		// Without keep-alive probes, which are four calls to set up: a CA opens a connection for each of its questions.
		l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		p, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			errs = append(errs, err, l.Close())
			continue
		}
		s.Address = l.Addr().String()
		ready := make(chan struct{}, 2)
		started := func() { ready <- struct{}{} }
		s.udp = &dns.Server{PacketConn: p, Handler: s, NotifyStartedFunc: started, MsgAcceptFunc: accept}
		s.tcp = &dns.Server{Listener: l, Handler: s, NotifyStartedFunc: started, MsgAcceptFunc: accept}
		go func() { _ = s.udp.ActivateAndServe() }() // ends with Close
		go func() { _ = s.tcp.ActivateAndServe() }()
		<-ready
		<-ready
		return s, nil
	}
	return nil, fmt.Errorf("no port that is free for UDP and TCP: %w", errors.Join(errs...))
}

// accept takes updates too, which the library does not by itself.
func accept(h dns.Header) dns.MsgAcceptAction {
	if opcode := int(h.Bits>>11) & 0xf; opcode == dns.OpcodeUpdate {
		return dns.MsgAccept
	}
	return dns.DefaultMsgAcceptFunc(h)
}

// Close ends it.
func (s *Server) Close() error { return errors.Join(s.udp.Shutdown(), s.tcp.Shutdown()) }

// Set makes a value the only text record at a name; empty removes them.
func (s *Server) Set(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = dns.CanonicalName(name)
	if value == "" {
		delete(s.texts, name)
		return
	}
	s.texts[name] = []string{value}
}

// Left is how many names have text records.
func (s *Server) Left() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.texts)
}

// ServeDNS implements dns.Handler.
func (s *Server) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	reply := new(dns.Msg).SetReply(r)
	reply.Authoritative, reply.RecursionAvailable = true, true
	switch {
	case len(r.Question) != 1:
		reply.Rcode = dns.RcodeFormatError
	case r.Opcode == dns.OpcodeUpdate:
		s.Updates.Add(1)
		s.update(r.Ns)
	default:
		s.Queries.Add(1)
		s.answer(reply, r.Question[0])
	}
	_ = w.WriteMsg(reply) // who has gone does not wait for an answer
}

func (s *Server) answer(reply *dns.Msg, q dns.Question) {
	name := dns.CanonicalName(q.Name)
	header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: ttl}
	soa := &dns.SOA{
		Hdr: dns.RR_Header{Name: Zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns:  "ns." + Zone, Mbox: "root." + Zone, Serial: uint32(time.Now().Unix()), Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl,
	}
	switch {
	case !dns.IsSubDomain(Zone, name):
		reply.Authoritative, reply.Rcode = false, dns.RcodeRefused
		return
	case q.Qtype == dns.TypeA:
		reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: net.IPv4(127, 0, 0, 1)})
	case q.Qtype == dns.TypeSOA && name == Zone:
		reply.Answer = append(reply.Answer, soa)
	case q.Qtype == dns.TypeNS && name == Zone:
		reply.Answer = append(reply.Answer, &dns.NS{Hdr: header, Ns: "ns." + Zone})
	case q.Qtype == dns.TypeTXT:
		s.mu.RLock()
		for _, text := range s.texts[name] {
			reply.Answer = append(reply.Answer, &dns.TXT{Hdr: header, Txt: []string{text}})
		}
		s.mu.RUnlock()
	}
	if len(reply.Answer) == 0 {
		reply.Ns = append(reply.Ns, soa) // RFC 2308: there is nothing of this type
	}
}

// update changes text records as an update says (RFC 2136 section 2.5). Prerequisites are taken for true.
func (s *Server) update(changes []dns.RR) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rr := range changes {
		name := dns.CanonicalName(rr.Header().Name)
		txt, ok := rr.(*dns.TXT)
		switch {
		case rr.Header().Class == dns.ClassANY:
			delete(s.texts, name)
		case !ok || len(txt.Txt) != 1:
		case rr.Header().Class == dns.ClassNONE:
			s.texts[name] = slices.DeleteFunc(s.texts[name], func(text string) bool { return text == txt.Txt[0] })
			if len(s.texts[name]) == 0 {
				delete(s.texts, name)
			}
		case !slices.Contains(s.texts[name], txt.Txt[0]):
			s.texts[name] = append(s.texts[name], txt.Txt[0])
		}
	}
}
