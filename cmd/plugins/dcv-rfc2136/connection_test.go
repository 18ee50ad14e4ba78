package main

import (
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

// standIn is a name server with a zone in which nothing stands. It closes each connection after some replies.
type standIn struct {
	replies int // of a connection, zero for all that are asked for
	refuse  int // an rcode for updates of the zone refused
	refused string

	mu          sync.Mutex
	connections int
	asked       []string // such as "SOA" and "update example.com."
}

func (s *standIn) serve(c net.Conn) {
	s.mu.Lock()
	s.connections++
	s.mu.Unlock()
	conn := &dns.Conn{Conn: c}
	for n := 1; ; n++ {
		m, err := conn.ReadMsg()
		if err != nil {
			return
		}
		if conn.WriteMsg(s.reply(m)) != nil || n == s.replies {
			return
		}
	}
}

func (s *standIn) reply(m *dns.Msg) *dns.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply := new(dns.Msg).SetReply(m)
	if m.Opcode == dns.OpcodeUpdate {
		zone := m.Question[0].Name
		s.asked = append(s.asked, "update "+zone)
		if zone == s.refused {
			reply.Rcode = s.refuse
		}
		return reply
	}
	s.asked = append(s.asked, dns.TypeToString[m.Question[0].Qtype])
	reply.Authoritative = true
	reply.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: "ns1.", Mbox: "x."}}
	return reply
}

func TestMessagesShareConnections(t *testing.T) {
	t.Parallel()
	const once = "TXT, update example.com., update example.com."
	for name, c := range map[string]struct {
		replies, connections int
	}{
		"one for all":               {0, 1},
		"closed after each reply":   {1, 6},
		"closed after some replies": {4, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &standIn{replies: c.replies}
			p := configured(t, pluginapi.Settings{Values: map[string]any{"nameserver": listen(t, s.serve)}}, 0)
			for _, host := range []string{"a", "b"} {
				challenge := txt("_dnsauth."+host+".example.com", "x")
				receipt, err := p.Publish(t.Context(), challenge)
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Withdraw(t.Context(), challenge, receipt); err != nil {
					t.Fatal(err)
				}
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if got := strings.Join(s.asked, ", "); got != once+", "+once {
				t.Errorf("the server was asked %s", got)
			}
			if s.connections != c.connections {
				t.Errorf("there were %d connections, want %d", s.connections, c.connections)
			}
		})
	}
}

func BenchmarkPublishAndWithdraw(b *testing.B) {
	s := new(standIn)
	p := configured(b, pluginapi.Settings{Values: map[string]any{"nameserver": listen(b, s.serve)}}, 0)
	challenge := txt("_acme-challenge.shop.example.com", strings.Repeat("x", 43))
	b.ReportAllocs()
	for b.Loop() {
		receipt, err := p.Publish(b.Context(), challenge)
		if err == nil {
			err = p.Withdraw(b.Context(), challenge, receipt)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// A zone in the settings spares the question where nothing stands at the name, and no more than that.
func TestAGivenZone(t *testing.T) {
	t.Parallel()
	key := peer.NewTSIGKey("k", "hmac-sha256")
	b := peer.BIND(t, peer.BINDOptions{Port: peer.FreePort(t), Keys: []peer.TSIGKey{key}, Zones: []peer.Zone{{
		Name: "example.com", Keys: []string{key.Name}, Records: []string{"alias CNAME www", "www A 192.0.2.1", "has 600 TXT x"},
	}}})
	profile := profileOf(b, key)
	profile.Values["zone"] = "example.com"
	for name, c := range map[string]struct {
		kind     pluginapi.ErrorKind
		messages int
		ttl      uint32
	}{
		"_dnsauth.example.com": {0, 1, 5},
		"www.example.com":      {0, 1, 5},
		"has.example.com":      {0, 3, 600},
		"alias.example.com":    {pluginapi.Conflict, 3, 0},
	} {
		through, messages := counting(t, b.Addr())
		counted := profile
		counted.Values = maps.Clone(profile.Values)
		counted.Values["nameserver"] = through
		p := configured(t, counted, 0)
		receipt, err := p.Publish(t.Context(), txt(name, "value"))
		if pluginapi.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
		if n := messages.Load(); n != int32(c.messages) {
			t.Errorf("%s: %d messages, want %d", name, n, c.messages)
		}
		if err != nil {
			continue
		}
		if string(receipt) != "example.com." {
			t.Errorf("%s: the receipt is %q", name, receipt)
		}
		for _, rr := range b.Query(t, name, dns.TypeTXT).Answer {
			if rr.Header().Ttl != c.ttl {
				t.Errorf("%s: the time to live is %d, want %d", name, rr.Header().Ttl, c.ttl)
			}
		}
		if got := b.TXT(t, name); !slices.Contains(got, "value") {
			t.Errorf("%s: the values are %q", name, got)
		}
	}
}

// counting passes messages on to a name server, and counts them.
func counting(t *testing.T, to string) (address string, messages *atomic.Int32) {
	t.Helper()
	messages = new(atomic.Int32)
	return listen(t, func(c net.Conn) {
		there, err := net.Dial("tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		defer there.Close()
		here, up := &dns.Conn{Conn: c}, &dns.Conn{Conn: there}
		message := make([]byte, dns.MaxMsgSize)
		for {
			n, err := here.Read(message)
			if err != nil {
				return
			}
			messages.Add(1)
			if _, err := up.Write(message[:n]); err != nil {
				return
			}
			if n, err = up.Read(message); err != nil {
				return
			}
			if _, err := here.Write(message[:n]); err != nil {
				return
			}
		}
	}), messages
}

// A receipt spares a question, and no more than that: what it says may be out of date, or not be of this plugin.
func TestReceipts(t *testing.T) {
	t.Parallel()
	asked := []string{"SOA", "update example.com."}
	for name, c := range map[string]struct {
		receipt string
		refuse  int
		want    []string
	}{
		"the zone":                           {"example.com.", 0, asked[1:]},
		"none":                               {"", 0, asked},
		"not of this plugin":                 {`{"a":1} "`, 0, asked},
		"a zone that the name is not in":     {"example.net.", 0, asked},
		"a zone that has gone":               {"shop.example.com.", dns.RcodeNotAuth, append([]string{"update shop.example.com."}, asked...)},
		"a zone that the name is not in now": {"shop.example.com.", dns.RcodeNotZone, append([]string{"update shop.example.com."}, asked...)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &standIn{refuse: c.refuse, refused: "shop.example.com."}
			p := configured(t, pluginapi.Settings{Values: map[string]any{"nameserver": listen(t, s.serve)}}, 0)
			if err := p.Withdraw(t.Context(), txt("_dnsauth.shop.example.com", "x"), []byte(c.receipt)); err != nil {
				t.Fatal(err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if !slices.Equal(s.asked, c.want) {
				t.Errorf("the server was asked %q, want %q", s.asked, c.want)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		s := &standIn{refuse: dns.RcodeRefused, refused: "shop.example.com."}
		p := configured(t, pluginapi.Settings{Values: map[string]any{"nameserver": listen(t, s.serve)}}, 0)
		err := p.Withdraw(t.Context(), txt("_dnsauth.shop.example.com", "x"), []byte("shop.example.com."))
		if pluginapi.KindOf(err) != pluginapi.Unauthorized {
			t.Errorf("got %v", err)
		}
	})
}

func TestIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var list idle
		ends := make([]net.Conn, 2)
		for n := range ends {
			var here net.Conn
			here, ends[n] = net.Pipe()
			list.keep(newConnection(here))
			time.Sleep(idleFor / 2)
		}
		list.keep(list.take()) // the second one, whose time begins anew
		time.Sleep(idleFor * 3 / 4)
		list.mu.Lock()
		left := len(list.list)
		list.mu.Unlock()
		if left != 1 {
			t.Errorf("%d connections are kept, want the one that was used", left)
		}
		time.Sleep(idleFor)
		if list.take() != nil {
			t.Error("an old connection is kept")
		}
		for n, end := range ends {
			if _, err := end.Read(make([]byte, 1)); err == nil {
				t.Errorf("connection %d is open", n)
			}
		}
	})
}
