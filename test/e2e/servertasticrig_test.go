package e2e

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/servertastic"
	"github.com/certbridge/certbridged/test/peer"
)

var caServerTastic = &build{pkg: "cmd/plugins/ca-servertastic", file: "plugins/ca-servertastic", args: strip}

// servertasticAuthority signs for all stand-ins: its keys take a while.
var servertasticAuthority = sync.OnceValues(standin.NewAuthority)

// servertasticKey is the key of the stand-in's account.
const servertasticKey = "RESELLERS-KEY-END2END-0123456789"

// servertastic is a daemon with an account at a stand-in for ServerTastic, which looks at the domains through a real BIND.
type servertastic struct {
	*rig
	bind   *peer.BINDServer
	ca     *standin.Server
	server *httptest.Server
	old    *x509.Certificate

	mu    sync.Mutex
	kills []*killing
}

// servertasticOptions are what a test changes of a stand-in.
type servertasticOptions struct {
	dir    string
	day    time.Duration
	change func(*standin.Settings)
}

func newServerTastic(t testing.TB, bind *peer.BINDServer, o servertasticOptions) *servertastic {
	t.Helper()
	d := &servertastic{rig: newRig(t, failing.get(t), caServerTastic, dcvRFC2136), bind: bind}
	signer, err := servertasticAuthority()
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := net.SplitHostPort(d.challenges)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	settings := standin.DefaultSettings()
	settings.SyncLag = sandbox.Delay(500 * time.Millisecond) // the account below knows it to be a second
	if o.change != nil {
		o.change(&settings)
	}
	d.ca, err = standin.New(standin.Options{
		Dir: o.dir, Day: o.day, Authority: signer, Settings: &settings, Key: servertasticKey,
		Look: &sandbox.Look{Resolver: bind.Addr(), HTTPPort: port, HTTPSPort: -1},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.server = httptest.NewServer(d)
	t.Cleanup(func() {
		d.server.CloseClientConnections() // Close waits for requests, and some hang
		d.server.Close()
		if t.Failed() {
			t.Logf("what the stand-in was asked:\n%s\n%+v", d.asked(), d.ca.Orders())
		}
	})
	d.write("api-key", servertasticKey+"\n", 0o600)
	return d
}

// asked is what the stand-in was asked, a line for each call.
func (d *servertastic) asked() string {
	var b strings.Builder
	for _, c := range d.ca.Calls() {
		fmt.Fprintf(&b, "%s %s %s %d %s %s %q\n", c.Time.Format("15:04:05.000"), c.Method, c.Path, c.Status, c.Code, c.Misbehaved, c.Remarks)
	}
	return b.String()
}

// ServeHTTP is the stand-in, with somebody who dies in the middle.
func (d *servertastic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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

// next takes the killing that is meant for a call.
func (d *servertastic) next(r *http.Request) *killing {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, api := strings.CutPrefix(r.URL.Path, standin.BasePath)
	for _, k := range d.kills {
		if !api || k.happened || r.Method != k.exchange.method || at != k.exchange.path {
			continue
		}
		if k.exchangeNo++; k.exchangeNo == k.exchange.time {
			k.happened = true
			return k
		}
	}
	return nil
}

func (d *servertastic) killIn(x exchange, done bool, kill func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kills = append(d.kills, &killing{exchange: x, done: done, kill: kill})
}

// pending reports whether somebody is still to die.
func (d *servertastic) pending() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.kills, func(k *killing) bool { return !k.happened })
}

// killPlugin kills the CA's plugin.
func (d *servertastic) killPlugin() {
	for _, pid := range d.pidsOf("ca-servertastic") {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone already
	}
}

// base is the configuration without certificates. settings are further ones of the account.
func (d *servertastic) base(settings string, profiles ...grant) string {
	names := standin.DefaultSettings().Names
	text := d.daemonTOML(fmt.Sprintf("dns_resolvers = [%q]", d.bind.Addr())) + fmt.Sprintf(`
[ca.servertastic]
plugin = "servertastic"
max_orders_per_day = 100
max_orders_per_certificate = 100
poll_interval = "1s"
[ca.servertastic.settings]
base_url = %q
api_key = { file = "api-key" }
request_timeout = "5s"
requests_per_second = 10
sync_period = "1s"
wire_names = { sectigo_field_1 = %q, sectigo_field_2 = %q }
%s
[ca.servertastic.settings.order]
tech_contact_first_name = "Ada"
tech_contact_last_name = "Example"
tech_contact_phone = "+49 30 5550100"
tech_contact_email = "tls@shop.test"
tech_contact_title = "Engineer"
admin_contact_first_name = "Bo"
admin_contact_last_name = "Example"
admin_contact_phone = "+49 30 5550101"
admin_contact_email = "bo@shop.test"
admin_contact_title = "Manager"
`, d.server.URL+standin.BasePath, names.SectigoFirst, names.SectigoSecond, settings)
	for _, p := range profiles {
		d.write("tsig-"+p.profile, p.key.Secret+"\n", 0o600)
		text += (&estate{rig: d.rig, bind: d.bind}).profileTOML(p)
	}
	return text
}

// servertasticCert is the certificate "web". dcv, order and more (keys of the certificate, then its tables) are TOML.
func servertasticCert(dcv, order, more string, domains ...string) string {
	return strings.Replace(ordered(dcv, order, more, domains...), `ca = "digicert"`, `ca = "servertastic"`, 1)
}

// The orders: of DigiCert's family and of Sectigo's.
const (
	rapidOrder    = `{ st_product_code = "RapidSSL-12" }`
	positiveOrder = `{ st_product_code = "PositiveSSL-12", sectigo_field_1 = "tls@shop.test", sectigo_field_2 = "49305550100" }`
)

// servertasticEndsIn is when the certificate ends that a world begins with: a lost order is looked for twice, a minute apart.
const servertasticEndsIn = 10 * time.Minute

// servertasticPatience is how long an order may take, with a lost answer on its way.
const servertasticPatience = 6 * time.Minute

// due puts a certificate of another CA in place that ends soon.
func (d *servertastic) due(domains ...string) {
	d.t.Helper()
	d.old = d.put("web", newAuthority(d.t), servertasticEndsIn, domains...)
}

// serveBy starts nginx with what is on disk, and returns the table of its deployment.
func (d *servertastic) serveBy() (s *site, deploy string) {
	d.t.Helper()
	return (&digicert{rig: d.rig, bind: d.bind}).serveBy(fmt.Sprintf("# %s\n", d.dir))
}

// booked checks what was bought and reissued.
func (d *servertastic) booked(purchases, reissues int) {
	d.t.Helper()
	l := d.ca.Ledger()
	if p, r := l.Count(sandbox.Purchase), l.Count(sandbox.Reissue); p != purchases || r != reissues {
		d.t.Errorf("%d purchases and %d reissues, want %d and %d: %+v", p, r, purchases, reissues, l.Entries)
	}
}

// issuedAndInstalled waits until another certificate than before is in place and nothing is published any more, and checks
// that it is the newest of its order, for these names and perhaps a companion, with a chain to the stand-in's root.
func (d *servertastic) issuedAndInstalled(before *x509.Certificate, domains ...string) *x509.Certificate {
	d.t.Helper()
	old := fmt.Sprintf("%x", before.SerialNumber)
	var c control.Certificate
	var err error
	if !await(d.t.Context(), servertasticPatience, func() bool {
		c, err = d.certificate("web")
		return err == nil && c.Leaf != nil && c.Leaf.Serial != old && c.Order == nil && c.Problem == ""
	}) {
		d.t.Fatalf("not renewed within %s; last seen %+v, order %+v, %v", servertasticPatience, c, c.Order, err)
	}
	d.untilWithdrawn()
	chain := d.pair("web")
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(d.ca.RootsPEM())
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		d.t.Errorf("the chain on disk: %v", err)
	}
	for _, name := range domains {
		if !slices.Contains(chain[0].DNSNames, name) {
			d.t.Errorf("the certificate is for %q, without %s", chain[0].DNSNames, name)
		}
	}
	orders := d.ca.Orders()
	last := orders[len(orders)-1].Certificates
	if n := len(last); n == 0 || last[n-1].Serial != sandbox.Serial(chain[0]) {
		d.t.Errorf("serial %s is on disk, and the order has %+v", sandbox.Serial(chain[0]), last)
	}
	return chain[0]
}

// tidy checks that a daemon that has ended leaves no processes, sockets and temporary files, and no secret on disk.
func (d *servertastic) tidy() {
	d.t.Helper()
	d.noPlugins("after the daemon has ended")
	d.only("run", "c.sock.lock", "sockets", "sockets/lock")
	d.only("tls", "web.key", "web.pem")
	secrets := []string{servertasticKey}
	for _, o := range d.ca.Orders() {
		secrets = append(secrets, o.Token)
	}
	for _, f := range filesBelow(d.t, d.path("state")) {
		if n := filepath.Base(f); n != "state.db" {
			d.t.Errorf("%s is left", f)
		}
		text := readFile(d.t, f)
		for i, s := range secrets {
			if strings.Contains(text, s) {
				d.t.Errorf("secret %d stands in %s", i+1, f)
			}
		}
	}
}

// says checks what a command prints of the certificate.
func (d *servertastic) says(command string, words ...string) {
	d.t.Helper()
	(&digicert{rig: d.rig}).says(command, words...)
}

// must fails the test on an error of the stand-in.
func (d *servertastic) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}
