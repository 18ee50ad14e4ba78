package main

import (
	"crypto/rand"
	"encoding/base64"
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
	zone    = "shop.test."
	keyName = "rehearsal."
	ttl     = 1
)

// nameServer is a name server of one zone that takes signed dynamic updates (RFC 2136) for TXT and CNAME records. Every
// name of the zone has the address of this machine.
type nameServer struct {
	addr   string
	secret string // of the key that updates are signed with, base64

	udp, tcp *dns.Server
	mu       sync.Mutex
	records  []dns.RR
}

// startNameServer listens on a port that is free by UDP and by TCP.
func startNameServer() (*nameServer, error) {
	const tries = 10
	var errs []error
	for range tries {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("start the name server: %w", err)
		}
		l, err := net.Listen("tcp", conn.LocalAddr().String())
		if err != nil {
			errs = append(errs, err, conn.Close())
			continue
		}
		secret := make([]byte, 32)
		_, _ = rand.Read(secret)
		s := &nameServer{addr: conn.LocalAddr().String(), secret: base64.StdEncoding.EncodeToString(secret)}
		keys := map[string]string{keyName: s.secret}
		s.udp = &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(s.serve), TsigSecret: keys, MsgAcceptFunc: acceptUpdates}
		s.tcp = &dns.Server{Listener: l, Handler: dns.HandlerFunc(s.serve), TsigSecret: keys, MsgAcceptFunc: acceptUpdates}
		go func() { _ = s.udp.ActivateAndServe() }()
		go func() { _ = s.tcp.ActivateAndServe() }()
		return s, nil
	}
	return nil, fmt.Errorf("start the name server: %w", errors.Join(errs...))
}

// acceptUpdates lets updates pass, which the library turns away unless it is told.
func acceptUpdates(h dns.Header) dns.MsgAcceptAction {
	if opcode := int(h.Bits>>11) & 0xF; opcode == dns.OpcodeUpdate {
		return dns.MsgAccept
	}
	return dns.DefaultMsgAcceptFunc(h)
}

func (s *nameServer) close() error {
	return errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
}

func (s *nameServer) serve(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	switch {
	case q.Opcode == dns.OpcodeUpdate:
		m.Rcode = s.update(w, q)
	case len(q.Question) != 1:
		m.Rcode = dns.RcodeFormatError
	case !dns.IsSubDomain(zone, strings.ToLower(q.Question[0].Name)): // there is nothing else in this world
		m.Ns = append(m.Ns, soa())
	default:
		s.answer(m, q.Question[0])
	}
	if t := q.IsTsig(); t != nil && w.TsigStatus() == nil {
		m.SetTsig(t.Hdr.Name, t.Algorithm, t.Fudge, time.Now().Unix())
	}
	_ = w.WriteMsg(m) // who asks, asks again
}

func (s *nameServer) answer(m *dns.Msg, q dns.Question) {
	name := strings.ToLower(q.Name)
	header := func(kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: q.Name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if strings.EqualFold(r.Header().Name, name) && (r.Header().Rrtype == q.Qtype || r.Header().Rrtype == dns.TypeCNAME) {
			m.Answer = append(m.Answer, dns.Copy(r))
		}
	}
	switch {
	case len(m.Answer) > 0:
	case q.Qtype == dns.TypeA:
		m.Answer = append(m.Answer, &dns.A{Hdr: header(dns.TypeA), A: net.IPv4(127, 0, 0, 1)})
	case q.Qtype == dns.TypeSOA && name == zone:
		m.Answer = append(m.Answer, soa())
	case q.Qtype == dns.TypeNS && name == zone:
		m.Answer = append(m.Answer, &dns.NS{Hdr: header(dns.TypeNS), Ns: "ns." + zone})
	default:
		m.Ns = append(m.Ns, soa())
	}
}

func soa() *dns.SOA {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns:  "ns." + zone, Mbox: "hostmaster." + zone, Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: ttl,
	}
}

// update carries out a dynamic update and returns its response code (RFC 2136 section 2.2).
func (s *nameServer) update(w dns.ResponseWriter, q *dns.Msg) int {
	if q.IsTsig() == nil || w.TsigStatus() != nil {
		return dns.RcodeRefused
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range q.Ns { // the update section; what we are sent has no prerequisites
		h := r.Header()
		if !dns.IsSubDomain(zone, strings.ToLower(h.Name)) {
			return dns.RcodeNotZone
		}
		switch h.Class {
		case dns.ClassINET:
			s.remove(func(have dns.RR) bool { return dns.IsDuplicate(have, r) })
			s.records = append(s.records, r)
		case dns.ClassNONE: // one record, named by its content
			one := dns.Copy(r)
			one.Header().Class = dns.ClassINET
			s.remove(func(have dns.RR) bool { return dns.IsDuplicate(have, one) })
		case dns.ClassANY: // all records of a type, or of the name
			s.remove(func(have dns.RR) bool {
				return strings.EqualFold(have.Header().Name, h.Name) && (h.Rrtype == dns.TypeANY || h.Rrtype == have.Header().Rrtype)
			})
		default:
			return dns.RcodeFormatError
		}
	}
	return dns.RcodeSuccess
}

func (s *nameServer) remove(which func(dns.RR) bool) { s.records = slices.DeleteFunc(s.records, which) }

// left is what is published still.
func (s *nameServer) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.records)
}
