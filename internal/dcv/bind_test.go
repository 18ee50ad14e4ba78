package dcv

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

// updater is a DCV profile that changes zones by dynamic update (RFC 2136), right at the name it is given.
type updater struct {
	server string
	key    peer.TSIGKey
	zones  []string
	limit  time.Duration // for propagation
}

func (u updater) Configured(context.Context) (pluginapi.DCVConfigured, error) {
	return pluginapi.DCVConfigured{
		Abilities:          []pluginapi.PublishAbility{pluginapi.PublishTXT, pluginapi.PublishCNAME},
		PropagationTimeout: u.limit, PropagationInterval: 100 * time.Millisecond,
	}, nil
}

func (u updater) Publish(ctx context.Context, c pluginapi.Challenge) ([]byte, error) {
	return []byte("of " + c.DNS.Name), u.update(ctx, c, (*dns.Msg).Insert)
}

func (u updater) Withdraw(ctx context.Context, c pluginapi.Challenge, _ []byte) error {
	return u.update(ctx, c, (*dns.Msg).Remove)
}

func (u updater) update(ctx context.Context, c pluginapi.Challenge, change func(*dns.Msg, []dns.RR)) error {
	header := dns.RR_Header{Name: dns.Fqdn(c.DNS.Name), Class: dns.ClassINET, Ttl: 1}
	var rr dns.RR
	if c.DNS.Type == pluginapi.CNAME {
		header.Rrtype = dns.TypeCNAME
		rr = &dns.CNAME{Hdr: header, Target: dns.Fqdn(c.DNS.Value)}
	} else {
		header.Rrtype = dns.TypeTXT
		rr = &dns.TXT{Hdr: header, Txt: []string{c.DNS.Value}}
	}
	at := slices.IndexFunc(u.zones, func(zone string) bool { return dns.IsSubDomain(zone+".", header.Name) })
	if at < 0 {
		return pluginapi.Errorf(pluginapi.InvalidRequest, "no zone for %s", c.DNS.Name)
	}
	m := new(dns.Msg).SetUpdate(u.zones[at] + ".")
	change(m, []dns.RR{rr})
	m.SetTsig(u.key.Name+".", u.key.Algorithm+".", 300, time.Now().Unix())
	client := dns.Client{Net: "tcp", Timeout: 20 * time.Second, TsigSecret: map[string]string{u.key.Name + ".": u.key.Secret}}
	reply, _, err := client.ExchangeContext(ctx, m, u.server)
	if err != nil {
		return err
	}
	if reply.Rcode != dns.RcodeSuccess {
		return pluginapi.Errorf(pluginapi.Unauthorized, "%s", dns.RcodeToString[reply.Rcode])
	}
	return nil
}

// realDNS is BIND with a secondary and two zones, and Solvers that look up and look at everything there, for so long.
func realDNS(t *testing.T, stale int) (b *peer.BINDServer, solver func(limit time.Duration) *Solver) {
	t.Helper()
	key := peer.NewTSIGKey("dcv", "hmac-sha256")
	b = peer.BIND(t, peer.BINDOptions{
		Keys: []peer.TSIGKey{key}, Secondaries: 1, Stale: stale,
		Zones: []peer.Zone{
			{Name: "example.com", Keys: []string{key.Name}, Records: []string{
				`@ TXT "v=spf1 -all"`, "_acme-challenge.shop CNAME shop.acme.example.net.", "*.wild CNAME web.example.net.",
			}},
			{Name: "acme.example.net", Keys: []string{key.Name}},
		},
	})
	return b, func(limit time.Duration) *Solver {
		u := updater{server: b.Addr(), key: key, zones: []string{"example.com", "acme.example.net"}, limit: limit}
		return newSolver(t, Options{
			Profiles: []Profile{{Name: "dns", Plugin: u}}, DNS: DNS{Resolvers: []string{b.Addr()}},
			DialDNS: loopbackDial,
		})
	}
}

func TestRealDNS(t *testing.T) {
	t.Parallel()
	b, solver := realDNS(t, 0)
	s := solver(time.Minute)
	cname := dnsChallenge(pluginapi.CNAME, "_0123456789abcdef.example.com", false)
	cname.DNS.Value = "target.ca.example"
	for place, c := range map[string]pluginapi.Challenge{
		"_dnsauth.example.com":              dnsChallenge(pluginapi.TXT, "_dnsauth.example.com", false),
		"_dnsauth.a.b.c.example.com":        dnsChallenge(pluginapi.TXT, "_dnsauth.a.b.c.example.com", false),
		"example.com":                       dnsChallenge(pluginapi.TXT, "example.com", false),
		"shop.acme.example.net":             dnsChallenge(pluginapi.TXT, "_acme-challenge.shop.example.com", true),
		"_acme-challenge.wild.example.com":  dnsChallenge(pluginapi.TXT, "_acme-challenge.wild.example.com", true),
		"_0123456789abcdef.example.com":     cname,
		"deep._acme-challenge.example.com":  dnsChallenge(pluginapi.TXT, "deep._acme-challenge.example.com", false),
		"x.acme.example.net":                dnsChallenge(pluginapi.TXT, "x.acme.example.net", false),
		"_acme-challenge.plain.example.com": dnsChallenge(pluginapi.TXT, "_acme-challenge.plain.example.com", true),
	} {
		t.Run(place, func(t *testing.T) {
			before := everywhere(t, b, c, place)
			receipt := mustPublish(t, s, "dns", c)
			if err := s.AwaitVisible(t.Context(), "dns", c); err != nil {
				t.Fatal(err)
			}
			for _, server := range append(b.Secondaries, b) {
				if values := have(t, server, c, place); !slices.Contains(values, c.DNS.Value) || len(values) != len(before)/2+1 {
					t.Errorf("%s has %q, and had %q", server.Addr(), values, before)
				}
			}
			answers, err := s.Look(t.Context(), c)
			if err != nil || len(answers) != 2 || !AllSeen(answers) {
				t.Errorf("%+v, %v", answers, err)
			}
			mustWithdraw(t, s, "dns", c, receipt)
			if values := have(t, b, c, place); slices.Contains(values, c.DNS.Value) {
				t.Errorf("still has %q", values)
			}
		})
	}
}

// have returns the values a server has at a place.
func have(t *testing.T, server *peer.BINDServer, c pluginapi.Challenge, place string) []string {
	t.Helper()
	if c.DNS.Type == pluginapi.TXT {
		return server.TXT(t, place)
	}
	if target := server.CNAME(t, place); target != "" {
		return []string{target}
	}
	return nil
}

func everywhere(t *testing.T, b *peer.BINDServer, c pluginapi.Challenge, place string) (values []string) {
	t.Helper()
	for _, server := range append(b.Secondaries, b) {
		values = append(values, have(t, server, c, place)...)
	}
	return values
}

func TestRealDNSWithASecondaryThatStaysBehind(t *testing.T) {
	t.Parallel()
	b, solver := realDNS(t, 1)
	brief, patient := solver(2*time.Second), solver(time.Minute)
	c := dnsChallenge(pluginapi.TXT, "_dnsauth.example.com", false)
	mustPublish(t, brief, "dns", c)
	late := b.Stale[0]
	wantError(t, brief.AwaitVisible(t.Context(), "dns", c), pluginapi.Unavailable,
		fmt.Sprintf("(%s) has it", b.IP()), fmt.Sprintf("(%s) does not have the name (NXDOMAIN)", late.IP()), "some servers are late")
	seen := make(chan error, 1)
	go func() { seen <- patient.AwaitVisible(t.Context(), "dns", c) }()
	late.Refresh(t)
	if err := <-seen; err != nil {
		t.Error(err)
	}
	// One that is down keeps nobody for ever.
	late.Stop(t)
	for range patience {
		wantError(t, brief.AwaitVisible(t.Context(), "dns", c), pluginapi.Unavailable, fmt.Sprintf("(%s) no answer", late.IP()), "look at the servers that do not answer")
	}
	if err := brief.AwaitVisible(t.Context(), "dns", c); err != nil {
		t.Error(err)
	}
}

func TestRealDNSFiftyNames(t *testing.T) {
	t.Parallel()
	b, solver := realDNS(t, 0)
	s := solver(time.Minute)
	show := func(from, names int) time.Duration {
		var wg sync.WaitGroup
		begun := time.Now()
		for i := range names {
			wg.Go(func() {
				c := dnsChallenge(pluginapi.TXT, fmt.Sprintf("_dnsauth.www%d.example.com", from+i), false)
				if _, err := s.Publish(t.Context(), "dns", c, nil); err != nil {
					t.Error(err)
				}
				if err := s.AwaitVisible(t.Context(), "dns", c); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return time.Since(begun)
	}
	one := show(0, 1)
	fifty := show(1, 50)
	t.Logf("one name was published and seen in %s, fifty in %s", one, fifty)
	// One after the other they would take fifty times as long.
	if fifty > 10*one+5*time.Second {
		t.Errorf("fifty names took %s, one %s", fifty, one)
	}
	for i := range 51 {
		if values := b.TXT(t, fmt.Sprintf("_dnsauth.www%d.example.com", i)); strings.Join(values, " ") != "v" {
			t.Errorf("www%d has %q", i, values)
		}
	}
}
