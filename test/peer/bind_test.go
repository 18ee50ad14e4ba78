package peer

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// update sends one dynamic update and returns the rcode.
func update(t *testing.T, addr, zone string, key TSIGKey, records ...string) string {
	t.Helper()
	m := new(dns.Msg).SetUpdate(dns.Fqdn(zone))
	for _, r := range records {
		rr, err := dns.NewRR(r)
		if err != nil {
			t.Fatal(err)
		}
		m.Insert([]dns.RR{rr})
	}
	client := dns.Client{Net: "tcp", Timeout: stopTimeout, TsigSecret: map[string]string{key.Name + ".": key.Secret}}
	m.SetTsig(key.Name+".", key.Algorithm+".", 300, time.Now().Unix())
	reply, _, err := client.ExchangeContext(t.Context(), m, addr)
	if reply == nil {
		t.Fatal(err)
	}
	return dns.RcodeToString[reply.Rcode]
}

func TestBIND(t *testing.T) {
	t.Parallel()
	all := NewTSIGKey("all", "hmac-sha256")
	shop := NewTSIGKey("shop", "hmac-sha512")
	b := BIND(t, BINDOptions{
		Keys: []TSIGKey{all, shop},
		Zones: []Zone{
			{Name: "example.com", Keys: []string{"all"}, Records: []string{
				`@ TXT "v=spf1 -all"`, `_acme-challenge.shop CNAME shop.acme.example.net.`,
			}},
			{Name: "sub.example.com", Keys: []string{"all"}},
			{Name: "acme.example.net", Policy: []string{"grant shop name shop.acme.example.net. TXT"}},
		},
		Secondaries: 1, Stale: 1,
	})
	if got := b.TXT(t, "example.com"); !slices.Equal(got, []string{"v=spf1 -all"}) {
		t.Errorf("apex has %q", got)
	}
	if got := b.CNAME(t, "_acme-challenge.shop.example.com"); got != "shop.acme.example.net" {
		t.Errorf("CNAME leads to %q", got)
	}
	for _, c := range []struct {
		zone, record, want string
		key                TSIGKey
	}{
		{"example.com", `_dnsauth.example.com. 5 TXT "a\"b"`, "NOERROR", all},
		{"sub.example.com", `_dnsauth.sub.example.com. 5 TXT "c"`, "NOERROR", all},
		{"acme.example.net", `shop.acme.example.net. 5 TXT "d"`, "NOERROR", shop},
		{"acme.example.net", `other.acme.example.net. 5 TXT "d"`, "REFUSED", shop},
		{"example.com", `_dnsauth.example.com. 5 TXT "e"`, "REFUSED", shop},
		{"example.com", `_dnsauth.example.com. 5 TXT "e"`, "NOTAUTH", NewTSIGKey("all", "hmac-sha256")},
	} {
		if got := update(t, b.Addr(), c.zone, c.key, c.record); got != c.want {
			t.Errorf("update of %s by %s: %s, want %s", c.record, c.key.Name, got, c.want)
		}
	}
	if got := b.TXT(t, "_dnsauth.example.com"); !slices.Equal(got, []string{`a"b`}) {
		t.Errorf("the updated record is %q", got)
	}
	var done []string
	for _, u := range b.Updates(t) {
		if strings.HasPrefix(u.Text, "adding an RR") {
			done = append(done, u.Key+" "+u.Zone)
		}
	}
	if diff := cmp.Diff([]string{"all example.com", "all sub.example.com", "shop acme.example.net"}, done); diff != "" {
		t.Errorf("%s\n%+v", diff, b.Updates(t))
	}
	awaitTXT(t, &b.Secondaries[0].NameServer, "shop.acme.example.net", "d")
	if got := b.Stale[0].TXT(t, "shop.acme.example.net"); got != nil {
		t.Errorf("the stale secondary has %q", got)
	}
	b.Stale[0].Refresh(t)
	if got := b.Stale[0].TXT(t, "shop.acme.example.net"); !slices.Equal(got, []string{"d"}) {
		t.Errorf("the stale secondary has %q after a refresh", got)
	}
	checkDelegation(t, b)
	b.Stop(t)
	b.Start(t)
	if got := b.TXT(t, "_dnsauth.example.com"); !slices.Equal(got, []string{`a"b`}) {
		t.Errorf("after a restart the updated record is %q", got)
	}
}

// checkDelegation holds that the NS records of every zone, and of what it delegates, lead to all servers.
func checkDelegation(t *testing.T, b *BINDServer) {
	t.Helper()
	for _, zone := range []string{"example.com", "sub.example.com", "acme.example.net"} {
		var addrs []string
		for _, rr := range b.Query(t, zone, dns.TypeNS).Answer {
			for _, a := range b.Query(t, rr.(*dns.NS).Ns, dns.TypeA).Answer {
				addrs = append(addrs, a.(*dns.A).A.String())
			}
		}
		want := []string{b.IP(), b.Secondaries[0].IP(), b.Stale[0].IP()}
		slices.Sort(addrs)
		slices.Sort(want)
		if !slices.Equal(addrs, want) {
			t.Errorf("name servers of %s are %q, want %q", zone, addrs, want)
		}
	}
	if got := b.Query(t, "com", dns.TypeCAA).Rcode; got != dns.RcodeSuccess {
		t.Errorf("com: %s", dns.RcodeToString[got])
	}
	if got := b.Query(t, "nowhere.test", dns.TypeTXT).Rcode; got != dns.RcodeNameError {
		t.Errorf("nowhere.test: %s", dns.RcodeToString[got])
	}
}

func awaitTXT(t *testing.T, s *NameServer, name string, want ...string) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); !slices.Equal(s.TXT(t, name), want); {
		if time.Now().After(deadline) {
			t.Fatalf("%s has %q at %s", s.Addr(), s.TXT(t, name), name)
		}
	}
}

func TestBINDRecursion(t *testing.T) {
	t.Parallel()
	child := BIND(t, BINDOptions{Bare: true, Zones: []Zone{{Name: "child.example.com", Records: []string{`x TXT "here"`}}}})
	if got := child.Query(t, "example.org", dns.TypeTXT).Rcode; got != dns.RcodeRefused {
		t.Errorf("a bare server answers %s for another's name", dns.RcodeToString[got])
	}
	parent := BIND(t, BINDOptions{Recursion: true, Zones: []Zone{{Name: "example.com", Records: []string{
		"child NS ns1.child", "ns1.child A " + child.IP(),
	}}}})
	if got := parent.TXT(t, "x.child.example.com"); !slices.Equal(got, []string{"here"}) {
		t.Errorf("a resolver finds %q", got)
	}
}
