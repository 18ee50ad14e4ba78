package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/digicert"
	"github.com/certbridge/certbridged/test/peer"
)

// digicertAuthority signs for all stand-ins: its keys take a while.
var digicertAuthority = sync.OnceValues(standin.NewAuthority)

// The keys of the stand-in's account.
const (
	digicertKey        = "ADMINISTRATORS-KEY-0123456789"
	digicertLimitedKey = "STANDARD-USERS-KEY-0123456789"
)

// digicert is a daemon with an account at a stand-in for DigiCert, which looks at the domains through a real BIND.
type digicert struct {
	*rig
	bind   *peer.BINDServer
	ca     *standin.Server
	server *httptest.Server
	old    *x509.Certificate

	mu    sync.Mutex
	kills []*killing
}

// killing kills somebody in the middle of an exchange with the CA.
type killing struct {
	exchange   exchange
	done       bool // once the CA has done its part
	kill       func()
	happened   bool
	exchangeNo int
}

// exchange is one call of the API: the time-th of its kind, counted from 1.
type exchange struct {
	method, path string // path is below the API's base, with "*" for what differs from run to run
	time         int
}

func (x exchange) String() string {
	name := x.method + " " + x.path
	if x.time > 1 {
		name += fmt.Sprintf(" #%d", x.time)
	}
	return name
}

// digicertZone is a zone whose names lead to this machine.
func digicertZone(keys ...string) peer.Zone {
	z := shopZone(keys...)
	z.Records = append(z.Records, "@ A 127.0.0.1")
	return z
}

// newDigiCert makes one without a configuration. The stand-in fetches files where the rig says that the world sees them.
func newDigiCert(t testing.TB, bind *peer.BINDServer, change ...func(*standin.Options)) *digicert {
	t.Helper()
	d := &digicert{rig: newRig(t, failing.get(t), caDigiCert, dcvRFC2136), bind: bind}
	d.open(change...)
	d.write("api-key", digicertKey+"\n", 0o600)
	return d
}

// open opens the stand-in.
func (d *digicert) open(change ...func(*standin.Options)) {
	d.t.Helper()
	signer, err := digicertAuthority()
	if err != nil {
		d.t.Fatal(err)
	}
	_, text, err := net.SplitHostPort(d.challenges)
	if err != nil {
		d.t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		d.t.Fatal(err)
	}
	settings := standin.DefaultSettings()
	settings.CheckCAA = true
	o := standin.Options{
		Authority: signer, Settings: &settings, Look: &sandbox.Look{Resolver: d.bind.Addr(), HTTPPort: port, HTTPSPort: -1},
		Users: []standin.User{
			{ID: 1, Key: digicertKey, Name: "admin", Role: standin.Administrator, EVApprover: true},
			{ID: 2, Key: digicertLimitedKey, Name: "clerk", Role: standin.StandardUser},
		},
	}
	for _, c := range change {
		c(&o)
	}
	if d.ca, err = standin.New(o); err != nil {
		d.t.Fatal(err)
	}
	d.server = httptest.NewServer(d)
	d.t.Cleanup(func() {
		d.server.CloseClientConnections() // Close waits for requests, and some hang
		d.server.Close()
		if d.t.Failed() {
			d.t.Logf("what the stand-in was asked:\n%s", d.asked())
		}
	})
}

// asked is what the stand-in was asked, a line for each call.
func (d *digicert) asked() string {
	var b strings.Builder
	for _, c := range d.ca.Calls() {
		fmt.Fprintf(&b, "%s %s %s %d %s %s %q\n", c.Time.Format("15:04:05.000"), c.Method, c.Path, c.Status, c.Code, c.Misbehaved, c.Remarks)
	}
	return b.String()
}

// varying is a part of a path that differs from run to run: an id, a serial number, or an order's mark.
var varying = regexp.MustCompile(`/(\d+|[0-9A-Fa-f]{16,})(/|$)`)

func pattern(path string) string { return varying.ReplaceAllString(path, "/*$2") }

// ServeHTTP is the stand-in, with somebody who dies in the middle.
func (d *digicert) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller was killed while it sent
	}
	r.Body = io.NopCloser(bytes.NewReader(body)) // only with the body read does the server notice that the caller has gone
	k := d.next(r)
	if k == nil {
		d.ca.ServeHTTP(w, r)
		return
	}
	if k.done {
		d.ca.ServeHTTP(httptest.NewRecorder(), r)
	}
	k.kill()
	panic(http.ErrAbortHandler) // closes the connection; nobody is left to listen
}

// next takes the killing that is meant for a request.
func (d *digicert) next(r *http.Request) *killing {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, api := strings.CutPrefix(r.URL.Path, standin.BasePath)
	for _, k := range d.kills {
		if !api || k.happened || r.Method != k.exchange.method || pattern(at) != k.exchange.path {
			continue
		}
		if k.exchangeNo++; k.exchangeNo == k.exchange.time {
			k.happened = true
			return k
		}
	}
	return nil
}

func (d *digicert) killIn(x exchange, done bool, kill func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kills = append(d.kills, &killing{exchange: x, done: done, kill: kill})
}

// pending reports whether something is still to go wrong.
func (d *digicert) pending() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.kills, func(k *killing) bool { return !k.happened })
}

// killPlugin kills the CA's plugin.
func (d *digicert) killPlugin() {
	for _, pid := range d.pidsOf("ca-digicert") {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone already
	}
}

// base is the configuration without certificates. settings are further ones of the account.
func (d *digicert) base(settings string, profiles ...grant) string {
	text := d.daemonTOML(fmt.Sprintf("dns_resolvers = [%q]", d.bind.Addr())) + fmt.Sprintf(`
[ca.digicert]
plugin = "digicert"
max_orders_per_day = 100
max_orders_per_certificate = 100
poll_interval = "1s"
[ca.digicert.settings]
base_url = %q
api_key = { file = "api-key" }
organization_id = %d
requests_per_second = 5
request_timeout = "5s"
%s
`, d.server.URL+standin.BasePath, standin.DemoOrganization, settings)
	for _, p := range profiles {
		d.write("tsig-"+p.profile, p.key.Secret+"\n", 0o600)
		text += (&estate{rig: d.rig, bind: d.bind}).profileTOML(p)
	}
	return text
}

// ordered is the certificate "web". dcv, order and more (keys of the certificate, then its tables) are TOML.
func ordered(dcv, order, more string, domains ...string) string {
	return fmt.Sprintf(`
[[certificate]]
name = "web"
domains = %s
ca = "digicert"
dcv = %s
order = %s
%s
[certificate.files]
fullchain = "tls/web.pem"
key = "tls/web.key"
`, list(domains), dcv, order, more)
}

// dvOrder is a year of a DV product.
const dvOrder = `{ product = "ssl_dv_geotrust", order_validity = { years = 1 }, skip_approval = true }`

// serveBy starts nginx with what is on disk, beside further server blocks, and returns the table of its deployment.
func (d *digicert) serveBy(more string) (s *site, deploy string) {
	d.t.Helper()
	s = &site{rig: d.rig, port: peer.FreePort(d.t)}
	s.server = peer.Nginx(d.t, more+s.tlsServer())
	return s, fmt.Sprintf(`
[certificate.deploy]
check = %s
reload = %s
timeout = "5s"
[certificate.deploy.verify]
address = "127.0.0.1:%d"
`, list(s.server.Check), list(s.server.Reload), s.port)
}

// due puts a certificate of another CA in place that ends soon.
func (d *digicert) due(domains ...string) {
	d.t.Helper()
	d.old = d.put("web", newAuthority(d.t), digicertEndsIn, domains...)
}

// digicertEndsIn is when the certificate ends that a world begins with: the daemon waits some six seconds between two
// tries, and a lost order is looked for twice, half a minute apart.
const digicertEndsIn = 150 * time.Second

// booked checks what was bought and reissued.
func (d *digicert) booked(purchases, reissues int) {
	d.t.Helper()
	l := d.ca.Ledger()
	if p, r := l.Count(sandbox.Purchase), l.Count(sandbox.Reissue); p != purchases || r != reissues || l.Count(sandbox.ExtraNames) > 0 {
		d.t.Errorf("%d purchases and %d reissues, want %d and %d: %+v", p, r, purchases, reissues, l.Entries)
	}
}

// current is the one order of the account and its newest certificate.
func (d *digicert) current() (standin.OrderSummary, standin.CertificateSummary) {
	d.t.Helper()
	orders := d.ca.Orders()
	if len(orders) != 1 || len(orders[0].Certificates) == 0 {
		d.t.Fatalf("the account has the orders %+v, want one", orders)
	}
	return orders[0], orders[0].Certificates[len(orders[0].Certificates)-1]
}

// issuedAndInstalled waits until another certificate than before is in place and nothing is published any more, and checks
// that it is the newest of the account's order, with a chain to the stand-in's root.
func (d *digicert) issuedAndInstalled(before *x509.Certificate, domains ...string) *x509.Certificate {
	d.t.Helper()
	d.untilRenewed("web", before)
	d.untilWithdrawn()
	chain := d.pair("web")
	if _, newest := d.current(); newest.Serial != sandbox.Serial(chain[0]) {
		d.t.Errorf("serial %s is on disk, and the newest of the order is %s", sandbox.Serial(chain[0]), newest.Serial)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(d.ca.RootsPEM())
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		d.t.Errorf("the chain on disk: %v", err)
	}
	if got := slices.Sorted(slices.Values(chain[0].DNSNames)); !slices.Equal(got, slices.Sorted(slices.Values(domains))) {
		d.t.Errorf("the certificate is for %q, want %q", got, domains)
	}
	return chain[0]
}

// post calls the stand-in as somebody else does: its API with the administrator's key, or its own calls.
func (d *digicert) post(method, path string, body any) map[string]any {
	d.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	if !strings.HasPrefix(path, "/_sandbox/") {
		path = standin.BasePath + path
	}
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.server.URL+path, bytes.NewReader(text))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "somebody-else/1.0")
	req.Header.Set("X-DC-DEVKEY", digicertKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		d.t.Fatalf("%s %s: status %d, %v: %s", method, path, resp.StatusCode, err, answer)
	}
	if len(answer) == 0 {
		return nil
	}
	if bytes.HasPrefix(answer, []byte("-----BEGIN")) {
		return map[string]any{"pem": string(answer)}
	}
	var v map[string]any
	if err := json.Unmarshal(answer, &v); err != nil {
		d.t.Fatalf("%s %s: %v: %s", method, path, err, answer)
	}
	return v
}

// csrPEM is a certificate request of a key.
func csrPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// tidy checks that a daemon that has ended leaves no processes, sockets, keys and temporary files.
func (d *digicert) tidy() {
	d.t.Helper()
	d.noPlugins("after the daemon has ended")
	d.only("run", "c.sock.lock", "sockets", "sockets/lock")
	d.only("tls", "web.key", "web.pem")
	for _, f := range filesBelow(d.t, d.path("state")) {
		if n := filepath.Base(f); n != "state.db" {
			d.t.Errorf("%s is left", f)
		}
	}
}

// waitsFor waits until the order is in a phase.
func (d *digicert) waitsFor(phase string) control.Certificate {
	d.t.Helper()
	return d.until("web", "phase "+phase, func(c control.Certificate) bool { return c.Order != nil && c.Order.Phase == phase })
}
