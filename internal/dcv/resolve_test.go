package dcv

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// exampleCom is a zone with two name servers, as most have.
const exampleCom = `@ IN NS ns1
@ IN NS ns2
ns1 IN A 192.0.2.1
ns2 IN A 192.0.2.2
@ IN TXT "v=spf1 -all"
www IN A 192.0.2.80
`

func TestDNSSettingsAreChecked(t *testing.T) {
	_, err := New(Options{DNS: DNS{Resolvers: []string{"192.0.2.53", "dns.example.com:53", "[2001:db8::1]:53"}, Propagation: "everywhere"}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{`dns_propagation "everywhere": want "authoritative", "resolvers" or "none"`,
		`dns_resolvers: "192.0.2.53": want an IP address and a port`, `dns_resolvers: "dns.example.com:53"`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	if strings.Contains(err.Error(), `: "[2001:db8`) {
		t.Errorf("%v", err)
	}
	s := newSolver(t, Options{DNS: noDNS})
	if err := s.Reconfigure(nil, DNS{Propagation: "x"}); err == nil || s.dns.Load().propagation != None {
		t.Errorf("error %v, and now %v", err, s.dns.Load())
	}
}

func TestLookup(t *testing.T) {
	rcode := func(code int) func(string, *dns.Msg, *dns.Msg) [][]byte {
		return func(_ string, q, _ *dns.Msg) [][]byte { return [][]byte{pack(new(dns.Msg).SetRcode(q, code))} }
	}
	cases := map[string]struct {
		first, second *fakeServer
		name          string
		err           []string
		took          time.Duration
		rcode         int
	}{
		"the first answers":                           {first: &fakeServer{resolver: true}},
		"the second answers when the first is silent": {first: &fakeServer{silent: true}, second: &fakeServer{resolver: true}, took: 2 * time.Second},
		"the second answers when the first is down":   {first: &fakeServer{closed: true}, second: &fakeServer{resolver: true}},
		"the second answers when the first cannot":    {first: &fakeServer{mangle: rcode(dns.RcodeServerFailure)}, second: &fakeServer{resolver: true}},
		"a slow one":                  {first: &fakeServer{resolver: true, slow: 2500 * time.Millisecond}, took: 4500 * time.Millisecond},
		"a name that does not exist":  {first: &fakeServer{resolver: true}, name: "nosuch.example.com", rcode: dns.RcodeNameError},
		"a name without such records": {first: &fakeServer{resolver: true}, name: "ns1.example.com"},
		"TCP alone": {first: &fakeServer{resolver: true, mangle: func(network string, _, m *dns.Msg) [][]byte {
			if network == "udp" {
				return nil
			}
			return [][]byte{pack(m)}
		}}, took: 5 * time.Second},
		"cut short": {first: &fakeServer{resolver: true, mangle: func(network string, q, m *dns.Msg) [][]byte {
			if network == "udp" {
				m = new(dns.Msg).SetReply(q)
				m.Truncated = true
			}
			return [][]byte{pack(m)}
		}}},
		"no EDNS": {first: &fakeServer{resolver: true, mangle: func(_ string, q, m *dns.Msg) [][]byte {
			if q.IsEdns0() != nil {
				m = new(dns.Msg)
				m.Id, m.Response, m.Rcode = q.Id, true, dns.RcodeFormatError
			}
			return [][]byte{pack(m)}
		}}},
		"others answer first": {first: &fakeServer{resolver: true, mangle: func(_ string, q, m *dns.Msg) [][]byte {
			forged, other, question := m.Copy(), m.Copy(), q.Copy()
			forged.Id++
			other.Question[0].Name = "other.example."
			return [][]byte{[]byte("noise"), pack(forged), pack(other), pack(question), pack(m)}
		}}},
		"nobody answers": {first: &fakeServer{silent: true}, second: &fakeServer{closed: true}, took: 8 * time.Second, err: []string{
			"look up TXT example.com: ", "resolver 192.0.2.53:53: no answer by tcp within 3s", "resolver 192.0.2.54:53: no answer by tcp: connect: connection refused"}},
		"refused, and broken": {first: &fakeServer{mangle: rcode(dns.RcodeRefused)}, second: &fakeServer{mangle: func(_ string, q, _ *dns.Msg) [][]byte {
			m := new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
			m.SetEdns0(udpPayload, false)
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus, ExtraText: "expired"})
			return [][]byte{pack(m)}
		}}, err: []string{"192.0.2.53:53: REFUSED", `192.0.2.54:53: SERVFAIL (DNSSEC Bogus) "expired"`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				servers := map[string]*fakeServer{resolverIP: c.first, "192.0.2.1": {zones: []*fakeZone{zone(t, "example.com", exampleCom)}}}
				resolvers := []string{resolverIP + ":53"}
				if c.second != nil {
					servers["192.0.2.54"] = c.second
					resolvers = append(resolvers, "192.0.2.54:53")
				}
				s := newSolver(t, Options{DialDNS: newInternet(servers).dial, DNS: DNS{Resolvers: resolvers}})
				ask := c.name
				if ask == "" {
					ask = "example.com"
				}
				begun := time.Now()
				m, err := s.lookup(t.Context(), ask, dns.TypeTXT)
				if took := time.Since(begun); took != c.took {
					t.Errorf("took %s, want %s", took, c.took)
				}
				if c.err != nil {
					wantError(t, err, pluginapi.Unavailable, c.err...)
					var why *lookupError
					if !errors.As(err, &why) {
						t.Errorf("%T is no *lookupError", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if m.Rcode != c.rcode || (c.name == "") != (len(m.Answer) == 1) {
					t.Errorf("%v", m)
				}
				if c.second != nil { // the one that has answered is the first to be asked now
					begun = time.Now()
					if _, err := s.lookup(t.Context(), ask, dns.TypeTXT); err != nil || time.Since(begun) != 0 {
						t.Errorf("the next look-up took %s: %v", time.Since(begun), err)
					}
				}
			})
		})
	}
}

func TestLookupEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSolver(t, Options{DialDNS: newInternet(map[string]*fakeServer{resolverIP: {silent: true}}).dial})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begun := time.Now()
		_, err := s.lookup(ctx, "example.com", dns.TypeA)
		if !errors.Is(err, context.Canceled) || time.Since(begun) != time.Second {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		_, err = s.lookup(t.Context(), "a..b", dns.TypeA)
		wantError(t, err, pluginapi.InvalidRequest, `"a..b." is no domain name`)
	})
}

func TestSystemResolvers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	s := systemResolvers{path: path}
	write := func(text string, at int64) func() {
		return func() {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, time.Unix(at, 0), time.Unix(at, 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, step := range []struct {
		what string
		do   func()
		want []string
	}{
		{"no file", func() {}, []string{"127.0.0.1:53"}},
		{"a file", write("search example.com\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver nonsense\n", 1), []string{"192.0.2.1:53", "[fe80::1%eth0]:53"}},
		{"another file", write("nameserver 192.0.2.2\n", 2), []string{"192.0.2.2:53"}},
		{"an empty file", write("", 3), []string{"127.0.0.1:53"}},
	} {
		step.do()
		for range 2 {
			list, err := s.list()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range list {
				got = append(got, a.String())
			}
			if diff := cmp.Diff(step.want, got); diff != "" {
				t.Errorf("%s: %s", step.what, diff)
			}
		}
	}
	s.path = filepath.Join(path, "below")
	if _, err := s.list(); err == nil || !strings.Contains(err.Error(), "the system's resolvers: ") {
		t.Errorf("error %v", err)
	}
}

func TestEffective(t *testing.T) {
	servers := map[string]*fakeServer{
		resolverIP: {resolver: true},
		"192.0.2.1": {zones: []*fakeZone{
			zone(t, "example.com", exampleCom+`
_acme-challenge.one IN CNAME one.acme.example.net.
_acme-challenge.two IN CNAME hop
hop IN CNAME TWO.acme.example.net.
loop IN CNAME pool
pool IN CNAME loop
self IN CNAME self
missing IN CNAME nosuch.example.net.
child IN NS ns.child
ns.child IN A 192.0.2.9
*.wild IN CNAME web.example.org.
explicit.wild IN CNAME x.acme.example.net.
tree IN DNAME elsewhere.example.net.
`), zone(t, "example.net", "@ IN NS ns\n*.made.acme IN CNAME web.example.org.\none.made IN CNAME two.made.acme"),
		}},
		"192.0.2.9": {zones: []*fakeZone{zone(t, "child.example.com", "@ IN NS ns\n_dnsauth IN CNAME a.example.net.")}},
	}
	long := servers["192.0.2.1"].zones[0]
	for i := range 20 {
		long.add(t, strings.Repeat("x", i+1)+" IN CNAME "+strings.Repeat("x", i+2))
	}
	s := newSolver(t, Options{DialDNS: newInternet(servers).dial})
	for name, want := range map[string]string{
		"_acme-challenge.www.example.com":  "_acme-challenge.www.example.com",
		"_acme-challenge.one.example.com":  "one.acme.example.net",
		"_Acme-Challenge.Two.example.com":  "two.acme.example.net",
		"example.com":                      "example.com",
		"missing.example.com":              "nosuch.example.net",
		"_dnsauth.child.example.com":       "a.example.net",
		"_acme-challenge.wild.example.com": "_acme-challenge.wild.example.com",
		"explicit.wild.example.com":        "x.acme.example.net",
		"one.made.example.net":             "two.made.acme.example.net",
		"nosuch.invalid":                   "nosuch.invalid",
	} {
		got, err := s.Effective(t.Context(), dnsChallenge(pluginapi.TXT, name, false))
		if err != nil || got != want {
			t.Errorf("%s stands at %q (%v), want %q", name, got, err, want)
		}
	}
	for name, part := range map[string]string{
		"loop.example.com": "the CNAME records at loop.example.com lead back to loop.example.com",
		"self.example.com": "lead back to self.example.com",
		"x.example.com":    "more than 16 CNAME records one after the other at x.example.com",
	} {
		_, err := s.Effective(t.Context(), dnsChallenge(pluginapi.TXT, name, false))
		wantError(t, err, pluginapi.Unavailable, part)
	}
	if got, err := s.Effective(t.Context(), dnsChallenge(pluginapi.CNAME, "_acme-challenge.one.example.com", false)); err != nil || got != "_acme-challenge.one.example.com" {
		t.Errorf("a CNAME record stands at %q (%v)", got, err)
	}
	_, err := s.Effective(t.Context(), httpChallenge("example.com", token, ""))
	wantError(t, err, pluginapi.InvalidRequest, "has no place in the DNS")
}

func TestDialWebAsksTheConfiguredResolvers(t *testing.T) {
	address := freeAddress(t)
	port := address[strings.LastIndex(address, ":")+1:]
	servers := map[string]*fakeServer{
		resolverIP:  {resolver: true},
		"192.0.2.1": {zones: []*fakeZone{zone(t, "example.com", exampleCom+"shop IN CNAME real\nreal IN A 127.0.0.1\n")}},
	}
	s := newSolver(t, Options{ListenHTTP: address, DialDNS: newInternet(servers).dial, SelfCheck: time.Second})
	c := httpChallenge("shop.example.com", token, "body")
	mustPublish(t, s, BuiltIn, c)
	conn, err := s.dialWeb(t.Context(), "tcp", "shop.example.com:"+port)
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.RemoteAddr().String(); got != address {
		t.Errorf("connected to %s, want %s", got, address)
	}
	_ = conn.Close()
	if _, err := s.dialWeb(t.Context(), "tcp", "nosuch.example.com:"+port); err == nil || !strings.Contains(err.Error(), "no address of nosuch.example.com") {
		t.Errorf("error %v", err)
	}
}

func TestAddressesOfAnAnswer(t *testing.T) {
	m := new(dns.Msg)
	for _, text := range []string{"www.example.com. CNAME web.example.com.", "web.example.com. A 192.0.2.2", "web.example.com. A 192.0.2.1", "web.example.com. AAAA 2001:db8::1"} {
		m.Answer = append(m.Answer, record(t, text))
	}
	m.Extra = append(m.Extra, record(t, "other.example.com. A 192.0.2.9"))
	want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")}
	if got := addressesIn(m); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func record(t testing.TB, text string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", `\"q\"`: `"q"`, `back\\slash`: `back\slash`, `\065\066`: "AB", `\000`: "\x00", `\255`: "\xff",
		`\999`: "999", `\06`: "06", `end\`: `end\`, "": "",
	} {
		if got := unescape(in); got != want {
			t.Errorf("%s is %q, want %q", in, got, want)
		}
	}
}

// What a TXT record holds comes through the wire and back as it was.
func FuzzUnescape(f *testing.F) {
	for _, seed := range []string{"", "value", `a"b\c`, "\x00\xff\\065", strings.Repeat("x", 255)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if len(value) > 255 {
			return
		}
		// The wire has a length and the bytes (RFC 1035 section 3.3).
		rdata := append([]byte{byte(len(value))}, value...)
		header := dns.RR_Header{Name: "a.", Rrtype: dns.TypeTXT, Class: dns.ClassINET, Rdlength: uint16(len(rdata))}
		rr, _, err := dns.UnpackRRWithHeader(header, rdata, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := valuesIn([]dns.RR{rr}, "a.", pluginapi.TXT, false); len(got) != 1 || got[0] != value {
			t.Errorf("%q became %q", value, got)
		}
	})
}

// Packets come from anywhere. One that is taken answers the question, and what is made of it harms nobody.
func FuzzParseAnswer(f *testing.F) {
	query := new(dns.Msg).SetQuestion("_acme-challenge.example.com.", dns.TypeTXT)
	query.Id = 4711
	good := new(dns.Msg).SetReply(query)
	good.Answer = append(good.Answer, record(f, `_acme-challenge.example.com. TXT "v"`), record(f, "_acme-challenge.example.com. CNAME x."))
	good.Ns = append(good.Ns, record(f, "example.com. SOA ns. host. 1 2 3 4 5"), record(f, "example.com. NS ns."))
	f.Add(pack(good))
	f.Add(pack(query))
	f.Add([]byte("noise"))
	s := &Solver{}
	f.Fuzz(func(t *testing.T, packet []byte) {
		m := parseAnswer(packet, query)
		if m == nil {
			return
		}
		if m.Id != query.Id || !m.Response {
			t.Errorf("taken: %v", m)
		}
		if zone := zoneIn(m, query.Question[0].Name); zone != "" && !dns.IsSubDomain(zone, query.Question[0].Name) {
			t.Errorf("zone %q", zone)
		}
		addressesIn(m)
		for _, kind := range []pluginapi.RecordType{pluginapi.TXT, pluginapi.CNAME} {
			for _, server := range []string{resolverName, "ns."} {
				w := &watch{solver: s, record: pluginapi.DNSRecord{Name: "_acme-challenge.example.com", Type: kind, Value: "v"}, name: query.Question[0].Name}
				a := Answer{Server: server}
				w.judge(&a, m)
				if a.Seen != (a.Err == nil) || a.outcome == cut {
					t.Errorf("%+v of %v", a, m)
				}
				if text := WhyUnseen(pluginapi.Challenge{DNS: &w.record}, []Answer{a}); text == "" {
					t.Error("no words")
				}
			}
		}
	})
}
