package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/test/peer"
)

// site is a daemon with an ACME CA and a real web server that serves its certificate "web".
type site struct {
	*rig
	ca     *authority // of the certificate it begins with
	old    *x509.Certificate
	pebble *peer.PebbleServer
	server *peer.WebServer
	port   int // of TLS
}

// The external account at Pebble.
const (
	eabID  = "kid-1"
	eabKey = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
)

// newSite makes a site whose challenges Pebble looks for at the rig's address.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{rig: newRig(t, daemon.get(t), caACME), ca: newAuthority(t), port: peer.FreePort(t)}
	_, port, err := net.SplitHostPort(s.challenges)
	if err != nil {
		t.Fatal(err)
	}
	lookAt, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	s.pebble = peer.Pebble(t, peer.PebbleOptions{HTTPPort: lookAt, EAB: map[string]string{eabID: eabKey}, EABRequired: true})
	s.old = s.put("web", s.ca, endsIn, names...)
	return s
}

// configure writes the configuration, with the certificate's tables.
func (s *site) configure(certificate string) {
	s.t.Helper()
	s.write("eab-key", eabKey+"\n", 0o600)
	s.write("config.toml", s.daemonTOML("")+fmt.Sprintf(`
[ca.pebble]
plugin = "acme"
[ca.pebble.settings]
directory_url = %q
terms_of_service_agreed = true
root_ca_file = %q
eab_kid = %q
eab_hmac_key = { file = "eab-key" }

[dcv.webroot]
webroot = "webroot"
`, s.pebble.DirectoryURL, s.pebble.RootFile, eabID)+certificate, 0o600)
}

// certificateTOML is a certificate in nginx's files, deployed to the server.
func (s *site) certificateTOML(profile, files string) string {
	return fmt.Sprintf(`
[[certificate]]
name = "web"
domains = ["shop.test", "www.shop.test"]
ca = "pebble"
dcv = %q
[certificate.files]
%s
[certificate.deploy]
check = %s
reload = %s
verify = "127.0.0.1:%d"
timeout = "5s"
`, profile, files, list(s.server.Check), list(s.server.Reload), s.port)
}

const pemFiles = "fullchain = \"tls/web.pem\"\nkey = \"tls/web.key\""

func list(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// tlsServer is nginx's server block.
func (s *site) tlsServer() string {
	return fmt.Sprintf(`server { listen 127.0.0.1:%d ssl; ssl_certificate %s; ssl_certificate_key %s; location / { return 200 ok; } }`,
		s.port, s.path("tls/web.pem"), s.path("tls/web.key"))
}

// served is what the server shows.
func (s *site) served() *x509.Certificate {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{ServerName: names[0], InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
}

// issuedByPebble checks that a chain leads to Pebble's root.
func (s *site) issuedByPebble(chain []*x509.Certificate) {
	s.t.Helper()
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(s.pebble.Root(s.t, 0))
	for _, c := range chain[1:] {
		middle.AddCert(c)
	}
	for _, name := range names {
		if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: middle}); err != nil {
			s.t.Error(err)
		}
	}
}

// renewedAndServed waits for another certificate than before and checks that the server serves it.
func (s *site) renewedAndServed(before *x509.Certificate) *x509.Certificate {
	s.t.Helper()
	s.untilRenewed("web", before)
	s.untilWithdrawn()
	chain := s.pair("web")
	s.issuedByPebble(chain)
	if served := s.served(); !served.Equal(chain[0]) {
		s.t.Errorf("serial %x is on disk, %x is served", chain[0].SerialNumber, served.SerialNumber)
	}
	return chain[0]
}

func TestACMECertificateIsProvenByTheResponderAndServedByNginx(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.server = peer.Nginx(t, s.tlsServer())
	s.configure(s.certificateTOML("http", pemFiles))
	s.start()
	first := s.renewedAndServed(s.old)
	s.nothingAnswers()
	// The CA is asked when it would like the certificate renewed (RFC 9773): about a new one some hours later, and after a restart
	// at once.
	s.stop()
	s.start()
	ok := await(t.Context(), patience, func() bool {
		e, err := s.client.Explain(t.Context(), "web")
		return err == nil && strings.Contains(strings.Join(e.Facts, "\n"), "The CA asks for renewal between")
	})
	if !ok {
		t.Error("the CA's renewal window is not known")
	}
	s.cli("renew", "web") // is not due, so this orders nothing
	if c := s.untilRenewed("web", s.old); c.Leaf.Serial != serialOf(first) {
		t.Error("ordered before it is due")
	}
	s.cli("renew", "web", "--force")
	second := s.renewedAndServed(first)
	if second.Equal(first) {
		t.Error("the same certificate")
	}
	s.stop()
	s.noPlugins("after the end")
}

func TestACMECertificateIsProvenByAWebrootThatNginxServes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	web := fmt.Sprintf("server { listen %s; root %s; }\n", s.challenges, s.path("webroot"))
	s.mkdir("webroot")
	s.server = peer.Nginx(t, web+s.tlsServer())
	s.challenges = "127.0.0.1:1" // the daemon's own responder could listen nowhere
	s.configure(s.certificateTOML("webroot", pemFiles))
	s.start()
	s.renewedAndServed(s.old)
	s.only("webroot")
	s.stop()
}

func TestDeployThatFailsIsRolledBackAndSucceedsLater(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.server = peer.Nginx(t, s.tlsServer())
	s.configure(s.certificateTOML("http", pemFiles))
	s.server.Configure(t, "nonsense;")
	s.start()
	c := s.until("web", "a failed deployment", func(c control.Certificate) bool { return c.Deployment != nil && !c.Deployment.OK })
	if c.Deployment.Stage != "check" || !c.Deployment.RolledBack || !strings.Contains(c.Deployment.Output, "nonsense") {
		t.Errorf("the deployment says %+v", c.Deployment)
	}
	if disk := s.pair("web")[0]; !disk.Equal(s.old) {
		t.Errorf("serial %x is on disk after the roll-back", disk.SerialNumber)
	}
	if !s.served().Equal(s.old) {
		t.Error("the server does not serve the old certificate")
	}
	s.server.Configure(t, s.tlsServer())
	s.renewedAndServed(s.old)
	orders, err := s.client.Orders(t.Context(), control.OrderFilter{All: true})
	if err != nil || len(orders) != 1 {
		t.Errorf("%d orders for one renewal, %v", len(orders), err)
	}
	s.only("tls", "web.key", "web.pem")
	s.stop()
}

func TestServerThatServesSomethingElseMakesTheOldSetComeBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.server = peer.Nginx(t, s.tlsServer())
	forgetful := *s.server
	forgetful.Reload = []string{"true"} // says yes and does nothing
	good := s.server
	s.server = &forgetful
	s.configure(s.certificateTOML("http", pemFiles))
	s.start()
	c := s.until("web", "a failed deployment", func(c control.Certificate) bool { return c.Deployment != nil && !c.Deployment.OK })
	if c.Deployment.Stage != "verify" || !c.Deployment.RolledBack {
		t.Errorf("the deployment says %+v", c.Deployment)
	}
	if disk := s.pair("web")[0]; !disk.Equal(s.old) {
		t.Errorf("serial %x is on disk after the roll-back", disk.SerialNumber)
	}
	s.server = good
	s.configure(s.certificateTOML("http", pemFiles))
	if _, err := s.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.renewedAndServed(s.old)
	s.stop()
}

func TestACMECertificateIsServedByHAProxyFromOneFile(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("tls/web.comb", s.read("tls/web.pem")+s.read("tls/web.key"), 0o600)
	s.server = peer.HAProxy(t, fmt.Sprintf(`
defaults
  mode http
  timeout client 10s
frontend web
  bind 127.0.0.1:%d ssl crt %s
  http-request return status 200 content-type text/plain string ok`, s.port, s.path("tls/web.comb")))
	s.configure(s.certificateTOML("http", `combined = "tls/web.comb"`))
	s.start()
	s.untilRenewed("web", s.old)
	s.untilWithdrawn()
	pair, err := tls.X509KeyPair([]byte(s.read("tls/web.comb")), []byte(s.read("tls/web.comb")))
	if err != nil {
		t.Fatal(err)
	}
	if served := s.served(); string(served.Raw) != string(pair.Certificate[0]) {
		t.Errorf("serial %x is served, which is not what is on disk", served.SerialNumber)
	}
	s.stop()
}
