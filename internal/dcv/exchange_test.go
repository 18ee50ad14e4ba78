package dcv

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// ports is a name server at a UDP port of this machine that notes where questions come from.
type ports struct {
	net.PacketConn
	answers func(q *dns.Msg) []*dns.Msg // to a question

	mu   sync.Mutex
	from []string
}

// servePorts answers each question with what answers makes of it, nil for an empty answer.
func servePorts(t testing.TB, answers func(q *dns.Msg) []*dns.Msg) (*ports, netip.AddrPort) {
	t.Helper()
	if answers == nil {
		answers = func(q *dns.Msg) []*dns.Msg { return []*dns.Msg{new(dns.Msg).SetReply(q)} }
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &ports{PacketConn: conn, answers: answers}
	var serving sync.WaitGroup
	serving.Go(p.serve)
	t.Cleanup(func() {
		_ = conn.Close()
		serving.Wait()
	})
	return p, netip.MustParseAddrPort(conn.LocalAddr().String())
}

func (p *ports) serve() {
	buffer := make([]byte, udpBuffer)
	for {
		n, from, err := p.ReadFrom(buffer)
		if err != nil {
			return
		}
		q := new(dns.Msg)
		if q.Unpack(buffer[:n]) != nil {
			continue
		}
		p.mu.Lock()
		p.from = append(p.from, from.String())
		p.mu.Unlock()
		for _, m := range p.answers(q) {
			_, _ = p.WriteTo(pack(m), from)
		}
	}
}

// sockets is how many there were.
func (p *ports) sockets() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Clone(p.from)
	slices.Sort(list)
	return len(slices.Compact(list))
}

func TestQuestionsToALoopbackAddressShareASocket(t *testing.T) {
	p, server := servePorts(t, nil)
	c := client{dial: new(net.Dialer).DialContext}
	t.Cleanup(c.close)
	ask := func() {
		t.Helper()
		q := question{name: "a.example.", qtype: dns.TypeTXT}
		if _, err := c.ask(t.Context(), server, q, "udp", time.Second); err != nil {
			t.Error(err)
		}
	}
	ask()
	ask()
	if n := p.sockets(); n != 1 {
		t.Errorf("%d sockets for two questions", n)
	}
	waiting := c.local[server]
	waiting.idle[0].born = waiting.idle[0].born.Add(-keptFor)
	ask()
	if n := p.sockets(); n != 2 {
		t.Errorf("%d sockets when the first one's time is over", n)
	}
	_ = waiting.idle[0].Close() // stands for a socket that has become useless
	ask()
	if n := p.sockets(); n != 3 {
		t.Errorf("%d sockets when the second one is of no use", n)
	}
}

// What comes too late is not taken for the answer to the next question, also where the name is the same.
func TestLateAnswersOnASharedSocket(t *testing.T) {
	var late []*dns.Msg
	_, server := servePorts(t, func(q *dns.Msg) []*dns.Msg {
		answer := new(dns.Msg).SetReply(q)
		answer.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"now"}}}
		before := late
		again := answer.Copy()
		again.Answer[0].(*dns.TXT).Txt = []string{"late"}
		late = []*dns.Msg{again}
		return append(before, answer)
	})
	c := client{dial: new(net.Dialer).DialContext}
	t.Cleanup(c.close)
	for range 3 {
		m, err := c.ask(t.Context(), server, question{name: "a.example.", qtype: dns.TypeTXT}, "udp", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Answer[0].(*dns.TXT).Txt[0]; got != "now" {
			t.Errorf("the answer is %q", got)
		}
	}
}

// A question that got no answer leaves no socket behind, and one to another machine never does.
func TestSocketsThatAreNotKept(t *testing.T) {
	_, silent := servePorts(t, func(*dns.Msg) []*dns.Msg { return nil })
	_, local := servePorts(t, nil)
	remote := netip.MustParseAddrPort("192.0.2.1:53")
	c := client{dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == remote.String() {
			address = local.String()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	t.Cleanup(c.close)
	q := question{name: "a.example.", qtype: dns.TypeTXT}
	if _, err := c.ask(t.Context(), silent, q, "udp", 50*time.Millisecond); err == nil {
		t.Error("an answer from nobody")
	}
	if n := len(c.local[silent].idle); n > 0 {
		t.Errorf("%d sockets are kept after a question without an answer", n)
	}
	if _, err := c.ask(t.Context(), remote, q, "udp", time.Second); err != nil {
		t.Error(err)
	}
	if c.local[remote] != nil {
		t.Error("sockets to another machine are kept")
	}
}

func TestKeptConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var list kept[aged]
		open := func() (aged, net.Conn) {
			here, there := net.Pipe()
			return aged{here, time.Now()}, there
		}
		closed := func(there net.Conn) bool {
			_ = there.SetReadDeadline(time.Now().Add(time.Nanosecond))
			_, err := there.Read(make([]byte, 1))
			return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
		}
		first, firstEnd := open()
		list.keep(first)
		time.Sleep(keptFor / 2)
		if c, ok := list.take(); !ok || c != first {
			t.Fatal("it is not kept")
		}
		list.keep(first)
		time.Sleep(keptFor/2 + time.Millisecond)
		if _, ok := list.take(); ok || !closed(firstEnd) {
			t.Error("it is used for longer than it may be")
		}
		var ends []net.Conn
		for range mostKept + 1 {
			c, end := open()
			list.keep(c)
			ends = append(ends, end)
		}
		if !closed(ends[mostKept]) || closed(ends[0]) {
			t.Error("there are more than may be")
		}
		time.Sleep(keptFor + time.Millisecond)
		for i, end := range ends {
			if !closed(end) {
				t.Errorf("connection %d stays open unused", i)
			}
		}
		list.close()
		late, end := open()
		list.keep(late)
		if !closed(end) {
			t.Error("something is kept after the end")
		}
	})
}

func BenchmarkAskLoopback(b *testing.B) {
	_, server := servePorts(b, nil)
	c := client{dial: new(net.Dialer).DialContext}
	b.ReportAllocs()
	for b.Loop() {
		q := question{name: "_acme-challenge.shop.example.com.", qtype: dns.TypeTXT, recurse: true}
		if _, err := c.ask(b.Context(), server, q, "udp", time.Second); err != nil {
			b.Fatal(err)
		}
	}
}
