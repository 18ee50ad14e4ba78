package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

// configured makes a publisher whose clock is ahead by a duration.
func configured(t testing.TB, s pluginapi.Settings, ahead time.Duration) *publisher {
	t.Helper()
	p := &publisher{version: "test", now: func() time.Time { return time.Now().Add(ahead) }}
	c, err := p.Configure(t.Context(), pluginapi.DCVProfile{Settings: s})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range c.Findings {
		if f.Severity == pluginapi.Fault {
			t.Fatalf("%s: %s", f.Field, f.Message)
		}
	}
	return p
}

func publish(t *testing.T, p *publisher, c pluginapi.Challenge) {
	t.Helper()
	if _, err := p.Publish(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func withdraw(t *testing.T, p *publisher, c pluginapi.Challenge) {
	t.Helper()
	if err := p.Withdraw(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
}

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	var keys []peer.TSIGKey
	var names []string
	for _, a := range algorithms() {
		keys = append(keys, peer.NewTSIGKey("key-"+a.(string), a.(string)))
		names = append(names, "key-"+a.(string))
	}
	b := peer.BIND(t, peer.BINDOptions{Port: peer.FreePort(t), Keys: keys, Zones: []peer.Zone{{Name: "example.com", Keys: names}}})
	for _, key := range keys {
		c := txt("_dnsauth.example.com", key.Name)
		publish(t, configured(t, profileOf(b, key), 0), c)
		if got := b.TXT(t, "_dnsauth.example.com"); !slices.Equal(got, []string{key.Name}) {
			t.Errorf("%s: the record is %q", key.Name, got)
		}
		withdraw(t, configured(t, profileOf(b, key), 0), c)
		if got := b.TXT(t, "_dnsauth.example.com"); len(got) > 0 {
			t.Errorf("%s: %q is left", key.Name, got)
		}
		for _, u := range b.Updates(t) {
			if strings.Contains(u.Text, `"`+key.Name+`"`) && u.Key != key.Name {
				t.Errorf("the update of %s was made by %q", key.Name, u.Key)
			}
		}
	}
}

// What stands at a name is not touched: neither values nor their time to live.
func TestBesideOthers(t *testing.T) {
	t.Parallel()
	key := peer.NewTSIGKey("k", "hmac-sha256")
	b := peer.BIND(t, peer.BINDOptions{Port: peer.FreePort(t), Keys: []peer.TSIGKey{key}, Zones: []peer.Zone{{
		Name: "example.com", Keys: []string{key.Name},
		Records: []string{`@ 3600 TXT "v=spf1 -all"`, `@ 3600 TXT "site-verification=1"`, "@ A 192.0.2.1"},
	}}})
	asks, knows := profileOf(b, key), profileOf(b, key)
	knows.Values["zone"] = "example.com"
	long := strings.Repeat(`a"\;`+"ü", 150)
	values := []string{"dcv=1", `quote " backslash \ semicolon ; \065`, long, strings.Repeat("x", 255), strings.Repeat("x", 256)}
	for _, profile := range []pluginapi.Settings{asks, knows} {
		p := configured(t, profile, 0)
		for _, value := range values {
			c := txt("example.com", value)
			publish(t, p, c)
			publish(t, p, c) // as after a crash
			want := []string{value, "site-verification=1", "v=spf1 -all"}
			slices.Sort(want)
			if got := b.TXT(t, "example.com"); !slices.Equal(got, want) {
				t.Errorf("published %q: the apex has %q", value, got)
			}
			for _, rr := range b.Query(t, "example.com", dns.TypeTXT).Answer {
				if rr.Header().Ttl != 3600 {
					t.Errorf("published %q: the time to live is %d now", value, rr.Header().Ttl)
				}
			}
			withdraw(t, p, c)
			if got := b.TXT(t, "example.com"); !slices.Equal(got, []string{"site-verification=1", "v=spf1 -all"}) {
				t.Errorf("withdrew %q: the apex has %q", value, got)
			}
		}
	}
	if got := b.Query(t, "example.com", dns.TypeA).Answer; len(got) != 1 {
		t.Errorf("the apex has the addresses %v", got)
	}
}

func TestZones(t *testing.T) {
	t.Parallel()
	key := peer.NewTSIGKey("k", "hmac-sha256")
	child := peer.BIND(t, peer.BINDOptions{Port: peer.FreePort(t), Bare: true, Keys: []peer.TSIGKey{key}, Zones: []peer.Zone{{Name: "far.example.com", Keys: []string{"k"}}}})
	b := peer.BIND(t, peer.BINDOptions{Port: peer.FreePort(t), Bare: true, Keys: []peer.TSIGKey{key}, Zones: []peer.Zone{
		{Name: "example.com", Keys: []string{"k"}, Records: []string{
			"far NS ns1.far", "ns1.far A " + child.IP(), "*.wild CNAME www", "www A 192.0.2.1", "alias CNAME www", "both TXT x", "both A 192.0.2.1",
		}},
		{Name: "near.example.com", Keys: []string{"k"}},
	}})
	for name, c := range map[string]struct {
		challenge pluginapi.Challenge
		zone      string
		kind      pluginapi.ErrorKind
		words     string
	}{
		"deep below the apex":         {txt("a.b.c.d.example.com", "x"), "example.com", 0, ""},
		"upper case":                  {txt("_DNSAUTH.Shop.Example.COM", "x"), "example.com", 0, ""},
		"apex of a child zone":        {txt("near.example.com", "x"), "near.example.com", 0, ""},
		"in a child zone":             {txt("_dnsauth.near.example.com", "x"), "near.example.com", 0, ""},
		"child zone elsewhere":        {txt("_dnsauth.far.example.com", "x"), "", pluginapi.InvalidRequest, "has delegated far.example.com to other name servers"},
		"no zone of this server":      {txt("_dnsauth.example.org", "x"), "", pluginapi.InvalidRequest, "has no zone for _dnsauth.example.org (it answers REFUSED)"},
		"CNAME":                       {cname("_token.example.com", "dcv.ca.example"), "example.com", 0, ""},
		"below a wildcard":            {cname("_token.wild.example.com", "dcv.ca.example."), "example.com", 0, ""},
		"TXT below a wildcard":        {txt("_x.wild.example.com", "x"), "example.com", 0, ""},
		"TXT beside a CNAME":          {txt("alias.example.com", "x"), "", pluginapi.Conflict, "alias.example.com has a CNAME record, beside which nothing can stand"},
		"CNAME at another CNAME":      {cname("alias.example.com", "dcv.ca.example"), "", pluginapi.Conflict, "alias.example.com is a CNAME record to www.example.com already"},
		"CNAME beside other records":  {cname("both.example.com", "dcv.ca.example"), "", pluginapi.Conflict, "both.example.com has other records"},
		"CNAME at the zone's apex":    {cname("example.com", "dcv.ca.example"), "", pluginapi.Conflict, "example.com has other records"},
		"a name too long for the DNS": {txt(strings.Repeat("a", 64)+".example.com", "x"), "", pluginapi.InvalidRequest, "is no domain name"},
		"a file":                      {pluginapi.Challenge{HTTP: &pluginapi.HTTPFile{}}, "", pluginapi.InvalidRequest, "http challenges have no place"},
	} {
		t.Run(name, func(t *testing.T) {
			p := configured(t, profileOf(b, key), 0)
			_, err := p.Publish(t.Context(), c.challenge)
			if c.words != "" {
				if pluginapi.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.words) {
					t.Errorf("got %s: %v, want %s: %s", pluginapi.KindOf(err), err, c.kind, c.words)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			publish(t, p, c.challenge) // a second time
			if u := b.Updates(t); u[len(u)-1].Zone != c.zone {
				t.Errorf("the zone %s was updated, not %s", u[len(u)-1].Zone, c.zone)
			}
			if got := seen(t, b, c.challenge); !got {
				t.Error("it cannot be seen")
			}
			withdraw(t, p, c.challenge)
			withdraw(t, p, c.challenge)
			if got := seen(t, b, c.challenge); got {
				t.Error("it can still be seen")
			}
		})
	}
	if got := b.CNAME(t, "alias.example.com"); got != "www.example.com" {
		t.Errorf("the CNAME record that was there leads to %q", got)
	}
}

func seen(t *testing.T, b *peer.BINDServer, c pluginapi.Challenge) bool {
	t.Helper()
	if c.DNS.Type == pluginapi.CNAME {
		return b.CNAME(t, c.DNS.Name) == strings.TrimSuffix(c.DNS.Value, ".")
	}
	return slices.Contains(b.TXT(t, c.DNS.Name), c.DNS.Value)
}

// A key of one host changes what it is allowed to, and every refusal says what to do.
func TestRefusals(t *testing.T) {
	t.Parallel()
	key, other := peer.NewTSIGKey("shop", "hmac-sha256"), peer.NewTSIGKey("other", "hmac-sha512")
	b := peer.BIND(t, peer.BINDOptions{
		Port: peer.FreePort(t),
		Keys: []peer.TSIGKey{key, other}, Secondaries: 1,
		Zones: []peer.Zone{{Name: "example.com", Policy: []string{"grant shop name _dnsauth.shop.example.com. TXT"}}},
	})
	secondary := profileOf(b, key)
	secondary.Values["nameserver"] = b.Secondaries[0].Addr()
	with := func(key peer.TSIGKey, change func(s *pluginapi.Settings)) pluginapi.Settings {
		s := profileOf(b, key)
		if change != nil {
			change(&s)
		}
		return s
	}
	good := txt("_dnsauth.shop.example.com", "x")
	for name, c := range map[string]struct {
		settings  pluginapi.Settings
		ahead     time.Duration
		challenge pluginapi.Challenge
		kind      pluginapi.ErrorKind
		words     []string
	}{
		"allowed":         {with(key, nil), 0, good, 0, nil},
		"another name":    {with(key, nil), 0, txt("_dnsauth.www.example.com", "x"), pluginapi.Unauthorized, []string{`refuses the key "shop" to change _dnsauth.www.example.com TXT in the zone example.com (REFUSED)`, "update-policy"}},
		"another type":    {with(key, nil), 0, cname("_dnsauth.shop.example.com", "x.example"), pluginapi.Unauthorized, []string{"to change _dnsauth.shop.example.com CNAME", "REFUSED"}},
		"another key":     {with(other, nil), 0, good, pluginapi.Unauthorized, []string{`the key "other"`, "REFUSED"}},
		"a secondary":     {secondary, 0, good, pluginapi.Unauthorized, []string{"REFUSED", "nameserver must be the primary"}},
		"unknown key":     {with(peer.NewTSIGKey("nobody", "hmac-sha256"), nil), 0, good, pluginapi.Unauthorized, []string{`knows no key "nobody" with hmac-sha256 (BADKEY)`}},
		"wrong algorithm": {with(peer.TSIGKey{Name: "shop", Algorithm: "hmac-sha512", Secret: key.Secret}, nil), 0, good, pluginapi.Unauthorized, []string{`knows no key "shop" with hmac-sha512 (BADKEY)`, "tsig_algorithm"}},
		"wrong secret":    {with(peer.NewTSIGKey("shop", "hmac-sha256"), nil), 0, good, pluginapi.Unauthorized, []string{"BADSIG", "tsig_secret"}},
		"clock ahead":     {with(key, nil), time.Hour, good, pluginapi.Unavailable, []string{"BADTIME", "it has 20", "NTP"}},
		"clock behind":    {with(key, nil), -time.Hour, good, pluginapi.Unavailable, []string{"BADTIME"}},
		"not signed": {pluginapi.Settings{Values: map[string]any{"nameserver": b.Addr()}}, 0, good, pluginapi.Unauthorized, []string{
			"refuses updates that are not signed",
		}},
		"zone of another server": {with(key, func(s *pluginapi.Settings) { s.Values["zone"] = "shop.example.com" }), 0, good, pluginapi.InvalidRequest, []string{
			"nameserver: ", "no authority over the zone shop.example.com (NOTAUTH)",
		}},
		"zone of another name": {with(key, func(s *pluginapi.Settings) { s.Values["zone"] = "example.net" }), 0, good, pluginapi.InvalidRequest, []string{
			"zone: ", "_dnsauth.shop.example.com lies outside of the zone example.net",
		}},
		"zone given": {with(key, func(s *pluginapi.Settings) { s.Values["zone"] = "Example.COM." }), 0, good, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := configured(t, c.settings, c.ahead)
			_, published := p.Publish(t.Context(), c.challenge)
			withdrawn := p.Withdraw(t.Context(), c.challenge, nil)
			for _, err := range []error{published, withdrawn} {
				if c.kind == 0 {
					if err != nil {
						t.Error(err)
					}
					continue
				}
				if pluginapi.KindOf(err) != c.kind {
					t.Errorf("got %s: %v, want %s", pluginapi.KindOf(err), err, c.kind)
					continue
				}
				for _, words := range c.words {
					if !strings.Contains(err.Error(), words) {
						t.Errorf("%q does not say %q", err, words)
					}
				}
			}
		})
	}
	if got := b.TXT(t, good.DNS.Name); len(got) > 0 {
		t.Errorf("%q is left", got)
	}
}

// Another implementation of dynamic updates than BIND's.
func TestPowerDNS(t *testing.T) {
	t.Parallel()
	s := peer.PowerDNS(t, []peer.Zone{
		{Name: "example.com", Records: []string{`@ 3600 TXT "v=spf1 -all"`, "alias CNAME www", "both A 192.0.2.1"}},
		{Name: "sub.example.com"},
	})
	key := peer.NewTSIGKey("web1", "hmac-sha256")
	s.AllowUpdates(t, "example.com", key)
	s.AllowUpdates(t, "sub.example.com", peer.NewTSIGKey("web2", "hmac-sha256")) // a zone without a key takes all
	profile := func(secret string) pluginapi.Settings {
		return pluginapi.Settings{
			Values:  map[string]any{"nameserver": s.Addr(), "tsig_key": key.Name},
			Secrets: map[string]pluginapi.Secret{"tsig_secret": pluginapi.NewSecret(secret)},
		}
	}
	p := configured(t, profile(key.Secret), 0)
	long := strings.Repeat(`"\;`, 100)
	for _, c := range []pluginapi.Challenge{
		txt("_dnsauth.example.com", "one"), txt("_dnsauth.example.com", long), txt("example.com", "apex"), cname("_token.example.com", "dcv.ca.example"),
	} {
		publish(t, p, c)
		publish(t, p, c)
		there := func() bool {
			if c.DNS.Type == pluginapi.CNAME {
				return s.CNAME(t, c.DNS.Name) == c.DNS.Value
			}
			return slices.Contains(s.TXT(t, c.DNS.Name), c.DNS.Value)
		}
		if !there() {
			t.Errorf("%s %s cannot be seen: %q", c.DNS.Type, c.DNS.Name, s.TXT(t, c.DNS.Name))
		}
		withdraw(t, p, c)
		withdraw(t, p, c)
		if there() {
			t.Errorf("%s %s can still be seen", c.DNS.Type, c.DNS.Name)
		}
	}
	if got := s.TXT(t, "example.com"); !slices.Equal(got, []string{"v=spf1 -all"}) {
		t.Errorf("the apex has %q afterwards", got)
	}
	for name, c := range map[string]struct {
		secret    string
		challenge pluginapi.Challenge
		kind      pluginapi.ErrorKind
		words     string
	}{
		"beside a CNAME":           {key.Secret, txt("alias.example.com", "x"), pluginapi.Conflict, "has a CNAME record"},
		"CNAME beside others":      {key.Secret, cname("both.example.com", "x.example"), pluginapi.Conflict, "has other records"},
		"CNAME at another":         {key.Secret, cname("alias.example.com", "x.example"), pluginapi.Conflict, "to www.example.com already"},
		"a zone it may not change": {key.Secret, txt("_dnsauth.sub.example.com", "x"), pluginapi.Unauthorized, "REFUSED"},
		"no such zone":             {key.Secret, txt("_dnsauth.example.org", "x"), pluginapi.InvalidRequest, "has no zone for"},
		"wrong secret":             {peer.NewTSIGKey("x", "x").Secret, txt("_dnsauth.example.com", "x"), pluginapi.Unauthorized, "tsig_secret"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := configured(t, profile(c.secret), 0).Publish(t.Context(), c.challenge)
			if pluginapi.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %s: %v, want %s: %s", pluginapi.KindOf(err), err, c.kind, c.words)
			}
		})
	}
}

func TestFiftyAtOnce(t *testing.T) {
	t.Parallel()
	key := peer.NewTSIGKey("k", "hmac-sha256")
	b := peer.BIND(t, peer.BINDOptions{Port: peer.FreePort(t), Keys: []peer.TSIGKey{key}, Zones: []peer.Zone{{Name: "example.com", Keys: []string{"k"}}}})
	p := configured(t, profileOf(b, key), 0)
	challenges := []pluginapi.Challenge{}
	for i := range 50 {
		// Half of them at one name.
		challenges = append(challenges, txt(fmt.Sprintf("_dnsauth.host%d.example.com", min(i, 25)), fmt.Sprint("value ", i)))
	}
	each := func(do func(c pluginapi.Challenge) error) time.Duration {
		began := time.Now()
		errs := make([]error, len(challenges))
		var group sync.WaitGroup
		for i, c := range challenges {
			group.Go(func() { errs[i] = do(c) })
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	began := time.Now()
	publish(t, p, txt("_dnsauth.first.example.com", "x"))
	one := time.Since(began)
	took := each(func(c pluginapi.Challenge) error { _, err := p.Publish(t.Context(), c); return err })
	for _, c := range challenges {
		if !seen(t, b, c) {
			t.Errorf("%s %q cannot be seen", c.DNS.Name, c.DNS.Value)
		}
	}
	back := each(func(c pluginapi.Challenge) error { return p.Withdraw(t.Context(), c, nil) })
	for _, c := range challenges {
		if got := b.TXT(t, c.DNS.Name); len(got) > 0 {
			t.Errorf("%s still has %q", c.DNS.Name, got)
		}
	}
	t.Logf("one published in %s, %d in %s; these withdrawn in %s", one, len(challenges), took, back)
}

// The name server's own name is looked up with the resolvers of the configuration.
func TestResolvers(t *testing.T) {
	t.Parallel()
	key := peer.NewTSIGKey("k", "hmac-sha256")
	b := peer.BIND(t, peer.BINDOptions{Keys: []peer.TSIGKey{key}, Zones: []peer.Zone{{Name: "example.com", Keys: []string{"k"}}}})
	s := profileOf(b, key)
	s.Values["nameserver"] = "ns1.example.com"
	p := &publisher{now: time.Now}
	if _, err := p.Configure(t.Context(), pluginapi.DCVProfile{Settings: s, DNSResolvers: []string{b.Addr()}}); err != nil {
		t.Fatal(err)
	}
	publish(t, p, txt("_dnsauth.example.com", "x"))
	if got := b.TXT(t, "_dnsauth.example.com"); !slices.Equal(got, []string{"x"}) {
		t.Errorf("the record is %q", got)
	}

	s.Values["nameserver"] = "ns9.example.com"
	if _, err := p.Configure(t.Context(), pluginapi.DCVProfile{Settings: s, DNSResolvers: []string{b.Addr()}}); err != nil {
		t.Fatal(err)
	}
	_, err := p.Publish(t.Context(), txt("_dnsauth.example.com", "y"))
	for _, want := range []string{"correct nameserver, or look at dns_resolvers", "ns9.example.com on " + b.Addr(), "no such host"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a name that does not exist: error %v says nothing of %q", err, want)
		}
	}
}

// listen starts a TCP server that hands each connection to serve.
func listen(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); group.Wait() })
	return l.Addr().String()
}

// answering replies to each question with what change makes of an empty reply.
func answering(t *testing.T, change func(reply *dns.Msg)) string {
	t.Helper()
	return listen(t, func(c net.Conn) {
		conn := &dns.Conn{Conn: c}
		question, err := conn.ReadMsg()
		if question == nil {
			t.Error(err)
			return
		}
		reply := new(dns.Msg).SetReply(question)
		reply.Authoritative = true
		change(reply)
		packed, err := reply.Pack() // as it is: WriteMsg would sign it
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Write(packed)
	})
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	silent := listen(t, func(c net.Conn) {
		for b := make([]byte, 512); ; {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	})
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	soa := &dns.SOA{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: "ns1.", Mbox: "x."}
	for name, c := range map[string]struct {
		addr  string
		kind  pluginapi.ErrorKind
		words string
	}{
		"silence":         {silent, pluginapi.Unavailable, "does not answer within 1s"},
		"nobody there":    {gone.Addr().String(), pluginapi.Unavailable, "connection refused"},
		"closed":          {listen(t, func(net.Conn) {}), pluginapi.Unavailable, "ask the name server"},
		"garbage":         {listen(t, func(c net.Conn) { _, _ = c.Write([]byte("\x00\x20HTTP/1.1 400 Bad Request\r\n\r\n....")) }), pluginapi.Unavailable, "ask the name server"},
		"another id":      {answering(t, func(m *dns.Msg) { m.Id++ }), pluginapi.Unavailable, "belongs to another question"},
		"another opcode":  {answering(t, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), pluginapi.Unavailable, "belongs to another question"},
		"a question":      {answering(t, func(m *dns.Msg) { m.Response = false }), pluginapi.Unavailable, "belongs to another question"},
		"unsigned answer": {answering(t, func(m *dns.Msg) { m.Ns = append(m.Ns, soa) }), pluginapi.Unauthorized, "answers a signed message with an unsigned one"},
		"wrongly signed": {answering(t, func(m *dns.Msg) {
			m.Extra = append(m.Extra, &dns.TSIG{
				Hdr:       dns.RR_Header{Name: "k.", Rrtype: dns.TypeTSIG, Class: dns.ClassANY},
				Algorithm: dns.HmacSHA256, TimeSigned: uint64(time.Now().Unix()), Fudge: 300, MACSize: 32, MAC: strings.Repeat("00", 32), OrigId: m.Id,
			})
		}), pluginapi.Unavailable, "the reply's signature"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := configured(t, pluginapi.Settings{
				Values:  map[string]any{"nameserver": c.addr, "tsig_key": "k", "timeout": "1s"},
				Secrets: map[string]pluginapi.Secret{"tsig_secret": pluginapi.NewSecret("c2VjcmV0")},
			}, 0)
			_, err := p.Publish(t.Context(), txt("_dnsauth.example.com", "x"))
			if pluginapi.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %s: %v, want %s: %s", pluginapi.KindOf(err), err, c.kind, c.words)
			}
		})
	}
	t.Run("the caller gives up", func(t *testing.T) {
		t.Parallel()
		p := configured(t, pluginapi.Settings{Values: map[string]any{"nameserver": silent, "timeout": "1m"}}, 0)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		began := time.Now()
		_, err := p.Publish(ctx, txt("_dnsauth.example.com", "x"))
		if !errors.Is(err, context.Canceled) || time.Since(began) > 10*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// Whatever a name server says to an update, there are words for it.
func TestEveryRcodeHasWords(t *testing.T) {
	p := configured(t, pluginapi.Settings{Values: map[string]any{"nameserver": "192.0.2.53"}}, 0)
	for code := range 24 {
		err := p.explain(&dns.Msg{MsgHdr: dns.MsgHdr{Rcode: code}}, "example.com.", record{name: "_dnsauth.example.com."})
		if (err == nil) != (code == dns.RcodeSuccess) {
			t.Errorf("%s: %v", rcode(code), err)
		}
		if err != nil && (pluginapi.KindOf(err) == 0 || strings.HasSuffix(err.Error(), ".")) {
			t.Errorf("%s: %s: %v", rcode(code), pluginapi.KindOf(err), err)
		}
	}
}

func FuzzReply(f *testing.F) {
	reply := new(dns.Msg).SetReply(question("_dnsauth.example.com.", dns.TypeSOA))
	reply.Authoritative = true
	reply.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: "ns1.", Mbox: "x."}}
	packed, err := reply.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed, "_dnsauth.example.com.")
	f.Add([]byte("garbage"), "example.com.")
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		m := new(dns.Msg)
		if _, ok := dns.IsDomainName(name); !ok || m.Unpack(text) != nil {
			return
		}
		name = dns.CanonicalName(name)
		zone, elsewhere := zoneIn(m, name)
		if zone != "" && elsewhere != "" {
			t.Errorf("%s is both in %s and delegated to %s", name, zone, elsewhere)
		}
		if zone != "" && !dns.IsSubDomain(zone, name) {
			t.Errorf("%s does not lie in %s", name, zone)
		}
		s := &server{addr: "192.0.2.53:53", key: tsigKey{name: "k.", algorithm: dns.HmacSHA256}, now: time.Now}
		if err := s.judge(m, nil); err == nil && m.Rcode == dns.RcodeSuccess && m.IsTsig() == nil {
			t.Error("an unsigned success is believed")
		}
	})
}

func FuzzCharacterStrings(f *testing.F) {
	for _, s := range []string{"", "x", `\`, `\065`, strings.Repeat(`"\`, 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if len(value) > 8000 {
			return
		}
		// As many bytes must go out as there are, whatever they are.
		list := characterStrings(value)
		wire := make([]byte, dns.MaxMsgSize)
		h := dns.RR_Header{Name: ".", Rrtype: dns.TypeTXT, Class: dns.ClassINET}
		n, err := dns.PackRR(&dns.TXT{Hdr: h, Txt: list}, wire, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for data := wire[11:n]; len(data) > 0; {
			size := int(data[0])
			got, data = append(got, data[1:1+size]...), data[1+size:]
		}
		if string(got) != value {
			t.Errorf("%q goes out as %q", value, got)
		}
		if _, err := recordOf(txt("_dnsauth.example.com", value)); err != nil {
			t.Errorf("%q: %v", value, err)
		}
	})
}

func TestValuesThatFitIntoNoRecord(t *testing.T) {
	t.Parallel()
	const most = 65000 // with a byte for each string, and what comes before them, just below a record's 65535
	for name, c := range map[string]struct {
		value string
		kind  pluginapi.ErrorKind
	}{
		"large":               {strings.Repeat("x", most), 0},
		"large, all escapes":  {strings.Repeat(`\`, most), 0},
		"too large":           {strings.Repeat("x", most+1000), pluginapi.InvalidRequest},
		"too large by far":    {strings.Repeat("x", 10*most), pluginapi.InvalidRequest},
		"too large, escapes":  {strings.Repeat(`\`, most+1000), pluginapi.InvalidRequest},
		"of two-byte letters": {strings.Repeat("ü", most/2), 0},
	} {
		if _, err := recordOf(txt("_dnsauth.example.com", c.value)); pluginapi.KindOf(err) != c.kind {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}
