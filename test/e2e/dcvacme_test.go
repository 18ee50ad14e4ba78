package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/test/peer"
)

// caaName is what Pebble is called in CAA records here.
const caaName = "pebble.example"

// acmeEstate is an estate that also has an account at a Pebble whose DNS is the BIND, and an nginx that serves what the
// files of the certificate "web" hold.
type acmeEstate struct {
	*estate
	pebble *peer.PebbleServer
	site   *site
}

func newACMEEstate(t *testing.T, bind *peer.BINDServer, profiles ...grant) *acmeEstate {
	t.Helper()
	e := newEstate(t, bind, profiles...)
	copyFile(t, caACME.get(t), e.path("plugins", "ca-acme"), 0o700)
	a := &acmeEstate{estate: e, pebble: peer.Pebble(t, peer.PebbleOptions{DNSServer: bind.Addr(), CAAIdentities: []string{caaName}})}
	a.site = &site{rig: e.rig, pebble: a.pebble, port: peer.FreePort(t)}
	return a
}

// begin puts a certificate in place that ends soon, serves it, and starts the daemon.
func (a *acmeEstate) begin(dcv string, domains []string, profiles ...grant) *x509.Certificate {
	a.t.Helper()
	old := a.put("web", a.shop.ca, endsIn, domains...)
	a.site.server = peer.Nginx(a.t, a.site.tlsServer())
	a.write("config.toml", a.base("", profiles...)+a.ordered(dcv, domains...), 0o600)
	a.start()
	return old
}

// ordered is the certificate "web" from Pebble.
func (a *acmeEstate) ordered(dcv string, domains ...string) string {
	return fmt.Sprintf(`
[ca.pebble]
plugin = "acme"
[ca.pebble.settings]
directory_url = %q
terms_of_service_agreed = true
root_ca_file = %q

[[certificate]]
name = "web"
domains = %s
ca = "pebble"
dcv = %s
[certificate.files]
fullchain = "tls/web.pem"
key = "tls/web.key"
[certificate.deploy]
check = %s
reload = %s
verify = "127.0.0.1:%d"
timeout = "5s"
`, a.pebble.DirectoryURL, a.pebble.RootFile, list(domains), dcv, list(a.site.server.Check), list(a.site.server.Reload), a.site.port)
}

// served waits until another certificate than before is served, which Pebble has issued for the domains, and nothing of its
// order is published any more.
func (a *acmeEstate) served(before *x509.Certificate, domains []string) *x509.Certificate {
	a.t.Helper()
	a.untilRenewed("web", before)
	a.untilWithdrawn()
	chain := a.pair("web")
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(a.pebble.Root(a.t, 0))
	for _, c := range chain[1:] {
		middle.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle}); err != nil {
		a.t.Error(err)
	}
	if got := slices.Sorted(slices.Values(chain[0].DNSNames)); !slices.Equal(got, slices.Sorted(slices.Values(domains))) {
		a.t.Errorf("the certificate is for %q, want %q", got, domains)
	}
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(a.t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", a.site.port))
	if err != nil {
		a.t.Fatal(err)
	}
	defer conn.Close()
	if served := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]; !served.Equal(chain[0]) {
		a.t.Errorf("serial %x is on disk, %x is served", chain[0].SerialNumber, served.SerialNumber)
	}
	return chain[0]
}

// dnsWays are the two ways to make dynamic updates, with a key.
func dnsWays(key peer.TSIGKey) map[string]grant {
	return map[string]grant{"own": {"own", "rfc2136", key}, "lego": {"lego", "lego", key}}
}

// TestACMEWildcardBesideItsBase: "*.shop.test" and "shop.test" want two values at one name. Our own plugin shows them side by
// side, lego's provider holds one value and shows one after the other.
func TestACMEWildcardBesideItsBase(t *testing.T) {
	t.Parallel()
	domains := []string{"*.shop.test", "shop.test"}
	const at = "k shop.test _acme-challenge.shop.test/TXT"
	want := map[string][]string{"own": {"+ " + at, "+ " + at, "- " + at, "- " + at}, "lego": {"+ " + at, "- " + at, "+ " + at, "- " + at}}
	for name, way := range dnsWays(peer.NewTSIGKey("k", "hmac-sha256")) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bind := peer.BIND(t, peer.BINDOptions{Keys: []peer.TSIGKey{way.key}, Zones: []peer.Zone{shopZone("k")}, Secondaries: 1})
			a := newACMEEstate(t, bind, way)
			old := a.begin(fmt.Sprintf("%q", way.profile), domains, way)
			a.served(old, domains)
			if got := acts(t, bind); !slices.Equal(got, want[name]) {
				t.Errorf("the name server has seen\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want[name], "\n"))
			}
			bare(t, &bind.NameServer, "_acme-challenge.shop.test")
			a.mustStay()
			a.stop()
		})
	}
}

// TestDelegationByCNAME: the key on the machine is good for one name in a zone that holds challenges and nothing else.
func TestDelegationByCNAME(t *testing.T) {
	t.Parallel()
	for name, way := range dnsWays(peer.NewTSIGKey("narrow", "hmac-sha256")) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone := shopZone()
			zone.Records = append(zone.Records, "_acme-challenge CNAME shop.challenges.test.")
			// The CA's resolver follows CNAME records, so this one does.
			bind := peer.BIND(t, peer.BINDOptions{Recursion: true, Keys: []peer.TSIGKey{way.key}, Zones: []peer.Zone{
				zone, {Name: "challenges.test", Policy: []string{"grant narrow name shop.challenges.test. TXT"}},
			}})
			a := newACMEEstate(t, bind, way)
			domains := []string{"shop.test"}
			old := a.begin(fmt.Sprintf("%q", way.profile), domains, way)
			a.served(old, domains)
			want := []string{"+ narrow challenges.test shop.challenges.test/TXT", "- narrow challenges.test shop.challenges.test/TXT"}
			if got := acts(t, bind); !slices.Equal(got, want) {
				t.Errorf("the name server has seen\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			bare(t, &bind.NameServer, "shop.challenges.test")
			if got := bind.CNAME(t, "_acme-challenge.shop.test"); got != "shop.challenges.test" {
				t.Errorf("the delegation leads to %q", got)
			}
			a.stop()
		})
	}
}

// TestCAAOfAnACMEAccount: once the account is known, records that name another one, or another method, forbid it (RFC 8657).
// What the explanation says to add lets the order go on.
func TestCAAOfAnACMEAccount(t *testing.T) {
	t.Parallel()
	own := grant{"own", "rfc2136", peer.NewTSIGKey("k", "hmac-sha256")}
	bind := peer.BIND(t, peer.BINDOptions{Keys: []peer.TSIGKey{own.key}, Zones: []peer.Zone{shopZone("k")}})
	a := newACMEEstate(t, bind, own)
	domains := []string{"shop.test"}
	current := a.served(a.begin(`"own"`, domains, own), domains)
	for _, record := range []string{
		`shop.test. 60 CAA 0 issue "pebble.example; accounturi=https://pebble.example/another"`,
		`shop.test. 60 CAA 0 issue "pebble.example; validationmethods=http-01"`,
	} {
		a.noPlugins("a while after the order") // the next process is told what the last one learned
		update(t, bind, "shop.test", own.key, record)
		before := len(acts(t, bind))
		if _, err := a.client.Renew(t.Context(), control.RenewRequest{Name: "web", Force: true}); err != nil {
			t.Fatal(err)
		}
		told := a.untilTrouble("web", "caa")
		if got := acts(t, bind); len(got) != before {
			t.Errorf("published although it is forbidden: %q", got[before:])
		}
		advice := regexp.MustCompile(`shop\.test\.? CAA 0 issue "[^"]*"`).FindAllString(told, -1)
		if len(advice) == 0 {
			t.Fatalf("explain names no record to add:\n%s", told)
		}
		right := advice[len(advice)-1]
		t.Logf("the record to add: %s", right)
		update(t, bind, "shop.test", own.key, "shop.test. 60 CAA "+right[strings.Index(right, "0 issue"):])
		a.cli("renew", "web")
		current = a.served(current, domains)
	}
	a.stop()
}

// TestACMEThroughNginxToTheResponder: the web server holds the port and passes the path on, by the snippet of the examples.
func TestACMEThroughNginxToTheResponder(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	front, back := s.challenges, fmt.Sprintf("127.0.0.1:%d", peer.FreePort(t))
	snippet := strings.ReplaceAll(readFile(t, "../../examples/nginx/challenge.conf"), "127.0.0.1:8402", back)
	if !strings.Contains(snippet, back) {
		t.Fatalf("the snippet passes nothing on:\n%s", snippet)
	}
	s.challenges = back
	s.server = peer.Nginx(t, fmt.Sprintf("server { listen %s; server_name shop.test www.shop.test;\n%s\nlocation / { return 404; } }\n", front, snippet)+s.tlsServer())
	s.configure(s.certificateTOML("http", pemFiles))
	s.start()
	s.renewedAndServed(s.old)
	s.nothingAnswers()
	s.stop()
}
