package nameserver

import (
	"testing"

	"github.com/miekg/dns"
)

func ask(t *testing.T, s *Server, network string, m *dns.Msg) *dns.Msg {
	t.Helper()
	client := dns.Client{Net: network}
	reply, _, err := client.Exchange(m, s.Address)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestZoneTakesUpdatesAndAnswers(t *testing.T) {
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const name = "_acme-challenge.a.bench.test."
	texts := func() int {
		return len(ask(t, s, "tcp", new(dns.Msg).SetQuestion("_ACME-challenge.a.bench.test.", dns.TypeTXT)).Answer)
	}
	record := func(value string) []dns.RR {
		rr, err := dns.NewRR(name + ` 60 IN TXT "` + value + `"`)
		if err != nil {
			t.Fatal(err)
		}
		return []dns.RR{rr}
	}
	for i, step := range []struct {
		change func(m *dns.Msg)
		want   int
	}{
		{func(m *dns.Msg) { m.Insert(record("1")) }, 1},
		{func(m *dns.Msg) { m.Insert(record("1")) }, 1},
		{func(m *dns.Msg) { m.Insert(record("2")) }, 2},
		{func(m *dns.Msg) { m.Remove(record("1")) }, 1},
		{func(m *dns.Msg) { m.RemoveName(record("1")) }, 0},
	} {
		m := new(dns.Msg).SetUpdate(Zone)
		step.change(m)
		if reply := ask(t, s, "tcp", m); reply.Rcode != dns.RcodeSuccess {
			t.Fatalf("step %d: %s", i, reply)
		}
		if n := texts(); n != step.want || s.Left() != min(n, 1) {
			t.Errorf("step %d: %d records, %d names, want %d", i, n, s.Left(), step.want)
		}
	}
	if reply := ask(t, s, "udp", new(dns.Msg).SetQuestion("a.bench.test.", dns.TypeA)); len(reply.Answer) != 1 || !reply.Authoritative {
		t.Error(reply)
	}
	if reply := ask(t, s, "udp", new(dns.Msg).SetQuestion("a.bench.test.", dns.TypeCAA)); len(reply.Answer) != 0 || len(reply.Ns) != 1 || reply.Rcode != dns.RcodeSuccess {
		t.Error(reply)
	}
	if reply := ask(t, s, "udp", new(dns.Msg).SetQuestion("elsewhere.test.", dns.TypeA)); reply.Rcode != dns.RcodeRefused {
		t.Error(reply)
	}
}

// A CA asks by a connection for each question.
func BenchmarkQuestionByTCP(b *testing.B) {
	s, err := Start()
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	client := dns.Client{Net: "tcp"}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := client.Exchange(new(dns.Msg).SetQuestion("_acme-challenge.a.bench.test.", dns.TypeTXT), s.Address); err != nil {
			b.Fatal(err)
		}
	}
}
