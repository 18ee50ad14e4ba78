package dcv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const dnsauth = "_dnsauth.example.com"

// slowPlugin is a DCV profile with times of its own.
type slowPlugin struct {
	fakePlugin
	configured pluginapi.DCVConfigured
}

func (p slowPlugin) Configured(context.Context) (pluginapi.DCVConfigured, error) {
	return p.configured, nil
}

// world is example.com with a primary (192.0.2.1), a secondary that has its own copy (192.0.2.2), and a resolver.
type world struct {
	*internet
	primary, secondary *fakeZone
}

func newWorld(t testing.TB, more string) *world {
	t.Helper()
	primary := zone(t, "example.com", exampleCom+more)
	secondary := primary.copy()
	return &world{primary: primary, secondary: secondary, internet: newInternet(map[string]*fakeServer{
		resolverIP:  {resolver: true},
		"192.0.2.1": {zones: []*fakeZone{primary}},
		"192.0.2.2": {zones: []*fakeZone{secondary}},
	})}
}

func (w *world) publish(t testing.TB, text string) {
	t.Helper()
	w.primary.add(t, text)
	w.secondary.add(t, text)
}

// remove removes records from both, so that it does not matter whom the resolver asks.
func (w *world) remove(name string, kind uint16) {
	w.primary.remove(name, kind)
	w.secondary.remove(name, kind)
}

func (w *world) solver(t *testing.T, opts Options) *Solver {
	t.Helper()
	opts.DialDNS = w.dial
	if opts.Profiles == nil {
		opts.Profiles = []Profile{{Name: "dns", Plugin: newFake(pluginapi.PublishTXT, pluginapi.PublishCNAME)}}
	}
	return newSolver(t, opts)
}

// await publishes through a plugin that does nothing, waits, and returns how long it took.
func await(t *testing.T, s *Solver, c pluginapi.Challenge) (time.Duration, error) {
	t.Helper()
	mustPublish(t, s, "dns", c)
	begun := time.Now()
	err := s.AwaitVisible(t.Context(), "dns", c)
	return time.Since(begun), err
}

func TestAwaitRecord(t *testing.T) {
	txt := dnsChallenge(pluginapi.TXT, dnsauth, false)
	apex := dnsChallenge(pluginapi.TXT, "example.com", false)
	cname := dnsChallenge(pluginapi.CNAME, "_abc.example.com", false)
	cname.DNS.Value = "Target.CA.example."
	long := dnsChallenge(pluginapi.TXT, dnsauth, false)
	long.DNS.Value = strings.Repeat("a", 255) + strings.Repeat("b", 45)
	after := func(wait time.Duration, do func()) { time.AfterFunc(wait, do) }
	cases := map[string]struct {
		challenge pluginapi.Challenge
		zone      string // what stands in the zone beside the usual
		more      func(t *testing.T, w *world)
		dns       DNS
		took      time.Duration // exactly, or "at least" when atMost is set
		atMost    time.Duration
		err       []string
	}{
		"there at once":                {challenge: txt, zone: `_dnsauth IN TXT "v"`},
		"beside other values":          {challenge: apex, zone: "@ IN TXT \"v\"\n@ IN TXT \"other\""},
		"in several strings":           {challenge: long, zone: `_dnsauth IN TXT "` + strings.Repeat("a", 255) + `" "` + strings.Repeat("b", 45) + `"`},
		"a CNAME record":               {challenge: cname, zone: "_abc IN CNAME target.ca.example."},
		"a CNAME record elsewhere":     {challenge: cname, zone: "_abc IN CNAME other.ca.example.", took: 2 * time.Minute, err: []string{`has other values: "other.ca.example"`}},
		"below a name without records": {challenge: dnsChallenge(pluginapi.TXT, "_dnsauth.a.b.example.com", false), zone: `_dnsauth.a.b IN TXT "v"`},
		"what a wildcard has":          {challenge: txt, zone: `* IN TXT "w"`, took: 2 * time.Minute, err: []string{`ns1.example.com (192.0.2.1) has other values: "w"`}},
		"in the place of a wildcard":   {challenge: txt, zone: "* IN TXT \"w\"\n_dnsauth IN TXT \"v\""},
		"in the place of a wild alias": {challenge: txt, zone: "* IN CNAME web.example.org.\n_dnsauth IN TXT \"v\""},
		"soon in the place of one": {challenge: txt, zone: "* IN CNAME web.example.org.", more: func(t *testing.T, w *world) {
			after(3*time.Second, func() { w.publish(t, `_dnsauth IN TXT "v"`) })
		}, took: 3 * time.Second, atMost: 5100 * time.Millisecond},
		"never in the place of one": {challenge: txt, zone: "* IN CNAME web.example.org.", took: 2 * time.Minute, err: []string{
			"TXT _dnsauth.example.com is not seen everywhere: ns1.example.com (192.0.2.1) has a CNAME record to web.example.org. there"}},
		"by a CNAME in the same zone":   {challenge: txt, zone: "_dnsauth IN CNAME there\nthere IN TXT \"v\""},
		"by a CNAME that leads nowhere": {challenge: txt, zone: "_dnsauth IN CNAME there", took: 2 * time.Minute, err: []string{"TXT _dnsauth.example.com (by CNAME at there.example.com) is not seen everywhere: ns1.example.com (192.0.2.1) does not have the name (NXDOMAIN)"}},
		"CNAMEs in a circle": {challenge: txt, more: func(t *testing.T, w *world) {
			// They were none when it was published.
			after(100*time.Millisecond, func() { w.publish(t, "_dnsauth IN CNAME there\nthere IN CNAME _dnsauth") })
		}, took: 2 * time.Minute, err: []string{"ns1.example.com (192.0.2.1) has a CNAME record to "}},
		"by a CNAME in another zone": {challenge: txt, zone: "_dnsauth IN CNAME a.acme.example.net.", more: func(t *testing.T, w *world) {
			w.servers["192.0.2.7"] = &fakeServer{zones: []*fakeZone{zone(t, "acme.example.net", "@ IN NS ns\nns IN A 192.0.2.7\na IN TXT \"v\"")}}
		}},
		"in a delegated zone": {challenge: dnsChallenge(pluginapi.TXT, "_dnsauth.child.example.com", false), zone: "child IN NS ns.child\nns.child IN A 192.0.2.8", more: func(t *testing.T, w *world) {
			w.servers["192.0.2.8"] = &fakeServer{zones: []*fakeZone{zone(t, "child.example.com", "@ IN NS ns\nns IN A 192.0.2.8\n_dnsauth IN TXT \"v\"")}}
		}},
		"a late secondary": {challenge: txt, more: func(t *testing.T, w *world) {
			w.primary.add(t, `_dnsauth IN TXT "v"`)
			after(5*time.Second, func() { w.secondary.add(t, `_dnsauth IN TXT "v"`) })
		}, took: 5 * time.Second, atMost: 7100 * time.Millisecond},
		"a secondary that stays behind": {challenge: txt, more: func(t *testing.T, w *world) { w.primary.add(t, `_dnsauth IN TXT "v"`) }, took: 2 * time.Minute, err: []string{
			`dcv profile "dns": after 2m0s TXT _dnsauth.example.com is not seen everywhere: ns1.example.com (192.0.2.1) has it, ns2.example.com (192.0.2.2) does not have the name (NXDOMAIN); some servers are late`}},
		"no such record at the name": {challenge: dnsChallenge(pluginapi.TXT, "www.example.com", false), took: 2 * time.Minute, err: []string{"has no TXT record there", "look whether the profile changes the zone that these servers have"}},
		"a lame server": {challenge: txt, zone: `_dnsauth IN TXT "v"`, more: func(_ *testing.T, w *world) { w.servers["192.0.2.2"].zones = nil }, took: 2 * time.Minute, err: []string{
			"ns1.example.com (192.0.2.1) has it, ns2.example.com (192.0.2.2) answers REFUSED; look at the zone's NS records"}},
		"a server that is none": {challenge: txt, zone: `_dnsauth IN TXT "v"`, more: func(_ *testing.T, w *world) {
			w.servers["192.0.2.2"] = &fakeServer{mangle: func(_ string, q, _ *dns.Msg) [][]byte { return [][]byte{pack(new(dns.Msg).SetReply(q))} }}
		}, took: 2 * time.Minute, err: []string{"does not serve the zone: its answer is not authoritative"}},
		"a broken server": {challenge: txt, zone: `_dnsauth IN TXT "v"`, more: func(_ *testing.T, w *world) {
			w.servers["192.0.2.2"].mangle = func(_ string, q, _ *dns.Msg) [][]byte {
				return [][]byte{pack(new(dns.Msg).SetRcode(q, dns.RcodeServerFailure))}
			}
		}, took: 2 * time.Minute, err: []string{"ns2.example.com (192.0.2.2) answers SERVFAIL"}},
		"a server that sends noise": {challenge: txt, zone: `_dnsauth IN TXT "v"`, more: func(_ *testing.T, w *world) {
			w.servers["192.0.2.2"].mangle = func(_ string, _, m *dns.Msg) [][]byte {
				m.Id++
				return [][]byte{[]byte("noise"), pack(m)}
			}
		}, took: 2 * time.Minute, err: []string{"ns2.example.com (192.0.2.2) no answer by tcp"}},
		"noise before the answer": {challenge: txt, zone: `_dnsauth IN TXT "v"`, more: func(_ *testing.T, w *world) {
			w.servers["192.0.2.2"].mangle = func(_ string, _, m *dns.Msg) [][]byte { return [][]byte{[]byte("noise"), pack(m)} }
		}},
		"more than UDP holds": {challenge: txt, zone: `_dnsauth IN TXT "v"`, more: func(t *testing.T, w *world) {
			for i := range 20 {
				w.publish(t, fmt.Sprintf(`_dnsauth IN TXT "%d%s"`, i, strings.Repeat("x", 200)))
			}
			for _, address := range []string{"192.0.2.1", "192.0.2.2"} {
				w.servers[address].mangle = func(network string, _, m *dns.Msg) [][]byte {
					if network == "udp" {
						m.Truncate(udpPayload)
					}
					return [][]byte{pack(m)}
				}
			}
		}},
		"a resolver that leaves out SOA records": {challenge: dnsChallenge(pluginapi.TXT, "_dnsauth.a.b.example.com", false), zone: `_dnsauth.a.b IN TXT "v"`, more: func(_ *testing.T, w *world) {
			w.servers[resolverIP].mangle = func(_ string, _, m *dns.Msg) [][]byte {
				m.Ns = nil
				return [][]byte{pack(m)}
			}
		}},
		"resolvers that fail": {challenge: txt, zone: `_dnsauth IN TXT "v"`, more: func(_ *testing.T, w *world) {
			w.servers[resolverIP].mangle = func(_ string, q, m *dns.Msg) [][]byte {
				if q.Question[0].Qtype != dns.TypeCNAME {
					m = new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
				}
				return [][]byte{pack(m)}
			}
		}, took: 2 * time.Minute, err: []string{"dns (TXT _dnsauth.example.com) cannot be looked at: find the zone of _dnsauth.example.com: look up SOA _dnsauth.example.com: resolver 192.0.2.53:53: SERVFAIL"}},
		"a silent server": {challenge: txt, zone: `_dnsauth IN TXT "v"`, more: func(_ *testing.T, w *world) { w.servers["192.0.2.2"].silent = true }, took: 2 * time.Minute, err: []string{
			"ns2.example.com (192.0.2.2) no answer", "look at the servers that do not answer"}},
		"all silent": {challenge: txt, zone: `_dnsauth IN TXT "v"`, more: func(_ *testing.T, w *world) {
			w.servers["192.0.2.1"].silent, w.servers["192.0.2.2"].closed = true, true
		}, took: 2 * time.Minute, err: []string{"no name server answers, so outgoing port 53 may be blocked here", `set dns_propagation = "resolvers"`}},
		"a server that recovers": {challenge: txt, zone: `_dnsauth IN TXT "v"`, more: func(_ *testing.T, w *world) {
			w.servers["192.0.2.2"].mangle = func(string, *dns.Msg, *dns.Msg) [][]byte { return nil }
			after(4*time.Second, func() { // whoever dials from now on finds a better one
				w.mu.Lock()
				defer w.mu.Unlock()
				w.servers["192.0.2.2"] = &fakeServer{zones: []*fakeZone{w.secondary}}
			})
		}, took: 4 * time.Second, atMost: 12 * time.Second},
		"no way to IPv6": {challenge: txt, zone: "_dnsauth IN TXT \"v\"\nns1 IN AAAA 2001:db8::1\n@ IN NS ns3\nns3 IN AAAA 2001:db8::3", more: func(_ *testing.T, w *world) { w.noIPv6 = true }},
		"IPv6 that leads nowhere": {challenge: txt, zone: "_dnsauth IN TXT \"v\"\nns1 IN AAAA 2001:db8::1\nns2 IN AAAA 2001:db8::2", more: func(_ *testing.T, w *world) {
			w.servers["2001:db8::1"], w.servers["2001:db8::2"] = &fakeServer{silent: true}, &fakeServer{silent: true}
		}, took: 8 * time.Second},
		"one IPv6 address that is silent": {challenge: txt, zone: "_dnsauth IN TXT \"v\"\nns1 IN AAAA 2001:db8::1\nns2 IN AAAA 2001:db8::2", more: func(_ *testing.T, w *world) {
			w.servers["2001:db8::1"] = w.servers["192.0.2.1"]
		}, took: 2 * time.Minute, err: []string{"ns2.example.com (192.0.2.2) has it, ns2.example.com (2001:db8::2) no answer"}},
		"IPv6 alone": {challenge: dnsChallenge(pluginapi.TXT, "_dnsauth.six.example", false), more: func(t *testing.T, w *world) {
			w.servers["2001:db8::6"] = &fakeServer{zones: []*fakeZone{zone(t, "six.example", "@ IN NS ns\nns IN AAAA 2001:db8::6\n_dnsauth IN TXT \"v\"")}}
		}},
		"IPv6 alone and no way there": {challenge: dnsChallenge(pluginapi.TXT, "_dnsauth.six.example", false), more: func(t *testing.T, w *world) {
			w.noIPv6 = true
			w.servers["2001:db8::6"] = &fakeServer{zones: []*fakeZone{zone(t, "six.example", "@ IN NS ns\nns IN AAAA 2001:db8::6\n_dnsauth IN TXT \"v\"")}}
		}, took: 2 * time.Minute, err: []string{"ns.six.example (2001:db8::6) cannot be reached from this machine", `set dns_propagation = "resolvers"`}},
		"a server without an address": {challenge: txt, zone: "_dnsauth IN TXT \"v\"\n@ IN NS ns9"},
		"no server with an address": {challenge: dnsChallenge(pluginapi.TXT, "_dnsauth.lost.example", false), more: func(t *testing.T, w *world) {
			w.servers["192.0.2.7"] = &fakeServer{zones: []*fakeZone{zone(t, "lost.example", "@ IN NS ns")}}
		}, took: 2 * time.Minute, err: []string{"dns (TXT _dnsauth.lost.example) cannot be looked at: find the name servers of lost.example.: the name server ns.lost.example. has no address", `set dns_propagation = "resolvers"`}},
		"no such domain":              {challenge: dnsChallenge(pluginapi.TXT, "_dnsauth.nosuch.invalid", false), took: 2 * time.Minute, err: []string{"find the zone of _dnsauth.nosuch.invalid: the resolvers know none: look whether the domain is registered"}},
		"resolvers: there":            {challenge: txt, zone: "_dnsauth IN CNAME there\nthere IN TXT \"v\"", dns: DNS{Propagation: Resolvers}, more: func(_ *testing.T, w *world) { w.servers["192.0.2.1"].silent = true }},
		"resolvers: not there":        {challenge: txt, dns: DNS{Propagation: Resolvers}, took: 2 * time.Minute, err: []string{"resolver (192.0.2.53) does not have the name (NXDOMAIN), and may remember that for 60 seconds", "it may need more time than the profile allows"}},
		"resolvers: all must have it": {challenge: txt, zone: `_dnsauth IN TXT "v"`, dns: DNS{Propagation: Resolvers, Resolvers: []string{resolverIP + ":53", "192.0.2.99:53"}}, took: 2 * time.Minute, err: []string{"resolver (192.0.2.53) has it, resolver (192.0.2.99) no answer", "take them out of dns_resolvers"}},
		"none":                        {challenge: txt, dns: DNS{Propagation: None}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, c.zone)
				s := w.solver(t, Options{DNS: c.dns})
				if c.more != nil {
					c.more(t, w)
				}
				took, err := await(t, s, c.challenge)
				if most := max(c.took, c.atMost); took < c.took || took > most {
					t.Errorf("took %s, want %s to %s", took, c.took, most)
				}
				if c.err != nil {
					wantError(t, err, pluginapi.Unavailable, c.err...)
				} else if err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The profile knows its DNS host best.
func TestAwaitRecordKeepsToTheProfilesTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		s := w.solver(t, Options{Profiles: []Profile{{Name: "dns", Plugin: slowPlugin{newFake(), pluginapi.DCVConfigured{
			PropagationTimeout: 10 * time.Minute, PropagationInterval: 30 * time.Second}}}}})
		took, err := await(t, s, dnsChallenge(pluginapi.TXT, dnsauth, false))
		wantError(t, err, pluginapi.Unavailable, "after 10m0s TXT _dnsauth.example.com")
		if took != 10*time.Minute {
			t.Errorf("took %s", took)
		}
		// 0.25 s, 0.5 s, ... up to the interval: eight quick looks, then one each half minute.
		if n := w.asked("192.0.2.1", "TXT"); n < 20 || n > 30 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestAwaitRecordEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "")
		w.servers["192.0.2.1"].silent = true
		s := w.solver(t, Options{})
		c := dnsChallenge(pluginapi.TXT, dnsauth, false)
		mustPublish(t, s, "dns", c)
		for _, wait := range []time.Duration{time.Millisecond, 500 * time.Millisecond, 30 * time.Second} {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(wait, cancel)
			begun := time.Now()
			if err := s.AwaitVisible(ctx, "dns", c); !errors.Is(err, context.Canceled) || time.Since(begun) != wait {
				t.Errorf("%v after %s, want %s", err, time.Since(begun), wait)
			}
		}
	})
}

// A zone with a broken secondary must not lose its certificate for that, while a record that is missing where it is
// looked for is never told to the CA.
func TestAwaitRecordLeavesItToTheCAInTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		more  func(w *world)
		leave bool
	}{
		"silent": {func(w *world) { w.servers["192.0.2.2"].silent = true }, true},
		"lame":   {func(w *world) { w.servers["192.0.2.2"].zones = nil }, true},
		"late":   {func(w *world) { w.secondary.remove(dnsauth+".", dns.TypeTXT) }, false},
		"all silent": {func(w *world) {
			w.servers["192.0.2.1"].silent, w.servers["192.0.2.2"].silent = true, true
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				w := newWorld(t, `_dnsauth IN TXT "v"`)
				c.more(w)
				s := w.solver(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				challenge := dnsChallenge(pluginapi.TXT, dnsauth, false)
				mustPublish(t, s, "dns", challenge)
				for range patience {
					wantError(t, s.AwaitVisible(t.Context(), "dns", challenge), pluginapi.Unavailable)
				}
				begun := time.Now()
				err := s.AwaitVisible(t.Context(), "dns", challenge)
				if c.leave != (err == nil) || c.leave != strings.Contains(log.String(), "level=WARN") {
					t.Errorf("error %v, log %q", err, &log)
				}
				if took := time.Since(begun); c.leave && took > 10*time.Second {
					t.Errorf("took %s to go on", took)
				}
				mustWithdraw(t, s, "dns", challenge, nil)
			})
		})
	}
}

func TestLook(t *testing.T) {
	w := newWorld(t, "_dnsauth IN TXT \"v\"\n_dnsauth IN TXT \"a\"")
	w.secondary.remove(dnsauth+".", dns.TypeTXT)
	s := w.solver(t, Options{})
	c := dnsChallenge(pluginapi.TXT, dnsauth, false)
	for range 2 { // a second look asks again
		answers, err := s.Look(t.Context(), c)
		if err != nil || len(answers) != 2 || AllSeen(answers) {
			t.Fatalf("%v, %v", answers, err)
		}
		first, second := answers[0], answers[1]
		if first.Server != "ns1.example.com." || first.Address.String() != "192.0.2.1:53" || strings.Join(first.Values, " ") != "a v" ||
			!first.Seen || first.Err != nil || first.Took <= 0 {
			t.Errorf("%+v", first)
		}
		if second.Server != "ns2.example.com." || len(second.Values) != 0 || second.Seen || second.Err == nil {
			t.Errorf("%+v", second)
		}
		if why := WhyUnseen(c, answers); !strings.Contains(why, "ns2.example.com (192.0.2.2) does not have the name") {
			t.Error(why)
		}
	}
	if n := w.asked("192.0.2.1", "TXT"); n != 2 {
		t.Errorf("asked %d times", n)
	}
	if answers, err := newSolver(t, Options{}).Look(t.Context(), c); err != nil || answers != nil || AllSeen(answers) {
		t.Errorf("with dns_propagation = none: %v, %v", answers, err)
	}
	_, err := s.Look(t.Context(), httpChallenge("example.com", token, "body"))
	wantError(t, err, pluginapi.InvalidRequest)
}

// Fifty names cost little more than one: what they share is found once.
func TestFiftyNamesCostLittleMoreThanOne(t *testing.T) {
	const latency = 20 * time.Millisecond
	measure := func(t *testing.T, names int) (took time.Duration, w *world) {
		synctest.Test(t, func(t *testing.T) {
			w = newWorld(t, "")
			for _, server := range w.servers {
				server.slow = latency
			}
			s := w.solver(t, Options{})
			var wg sync.WaitGroup
			begun := time.Now()
			for i := range names {
				name := fmt.Sprintf("_dnsauth.www%d", i)
				w.publish(t, name+` IN TXT "v"`)
				wg.Go(func() {
					c := dnsChallenge(pluginapi.TXT, name+".example.com", false)
					if _, err := s.Publish(t.Context(), "dns", c, nil); err != nil {
						t.Error(err)
					}
					if err := s.AwaitVisible(t.Context(), "dns", c); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			took = time.Since(begun)
		})
		return took, w
	}
	one, _ := measure(t, 1)
	fifty, w := measure(t, 50)
	t.Logf("one name: %s, fifty: %s", one, fifty)
	if fifty > 2*one {
		t.Errorf("fifty names took %s, one %s", fifty, one)
	}
	for what, most := range map[string]int{"NS": 1, "A": 2, "AAAA": 2, "SOA": 50, "CNAME": 50} {
		if n := w.asked(resolverIP, what); n > most {
			t.Errorf("the resolver was asked for %s records %d times, want at most %d", what, n, most)
		}
	}
	if n := w.asked("192.0.2.2", "TXT"); n != 50 {
		t.Errorf("a name server was asked %d times", n)
	}
}
