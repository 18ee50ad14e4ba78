package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
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
	standin "github.com/certbridge/certbridged/internal/sandbox/tencent"
	"github.com/certbridge/certbridged/test/peer"
)

var caTencent = &build{pkg: "cmd/plugins/ca-tencent", file: "plugins/ca-tencent", args: strip}

// tencentAuthority signs for all stand-ins: its keys take a while.
var tencentAuthority = sync.OnceValues(standin.NewAuthority)

// tencentKey is the key of the stand-in's account.
func tencentKey() standin.Key {
	return standin.Key{SecretID: "AKIDEND2END0123456789", SecretKey: "SECRETEND2END0123456789"}
}

// tencent is a daemon with an account at a stand-in for Tencent Cloud, which looks at the domains through a real BIND.
type tencent struct {
	*rig
	bind   *peer.BINDServer
	ca     *standin.Server
	server *httptest.Server
	old    *x509.Certificate

	mu    sync.Mutex
	kills []*killing
}

// tencentOptions are what a test changes of a stand-in.
type tencentOptions struct {
	dir    string
	day    time.Duration
	change func(*standin.Settings)
}

func newTencent(t testing.TB, bind *peer.BINDServer, o tencentOptions) *tencent {
	t.Helper()
	d := &tencent{rig: newRig(t, failing.get(t), caTencent, dcvRFC2136), bind: bind}
	signer, err := tencentAuthority()
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
	settings.CheckInterval, settings.FreeNames = sandbox.Delay(time.Second), false
	if o.change != nil {
		o.change(&settings)
	}
	d.ca, err = standin.New(standin.Options{
		Dir: o.dir, Day: o.day, Authority: signer, Settings: &settings, Keys: []standin.Key{tencentKey()},
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
			t.Logf("what the stand-in was asked:\n%s\n%v", d.asked(), d.ca.Certificates())
		}
	})
	d.write("secret-id", tencentKey().SecretID+"\n", 0o600)
	d.write("secret-key", tencentKey().SecretKey+"\n", 0o600)
	return d
}

// asked is what the stand-in was asked, a line for each call.
func (d *tencent) asked() string {
	var b strings.Builder
	for _, c := range d.ca.Calls() {
		fmt.Fprintf(&b, "%s %s %d %s %s %q\n", c.Time.Format("15:04:05.000"), c.Path, c.Status, c.Code, c.Misbehaved, c.Remarks)
	}
	return b.String()
}

// ServeHTTP is the stand-in, with somebody who dies in the middle.
func (d *tencent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller was killed while it sent
	}
	r.Body = io.NopCloser(bytes.NewReader(body)) // only with the body read does the server notice that the caller has gone
	k := d.next(r.Header.Get("X-TC-Action"))
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

// next takes the killing that is meant for a call of an action.
func (d *tencent) next(action string) *killing {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.kills {
		if action == "" || k.happened || "/"+action != k.exchange.path {
			continue
		}
		if k.exchangeNo++; k.exchangeNo == k.exchange.time {
			k.happened = true
			return k
		}
	}
	return nil
}

func (d *tencent) killIn(x exchange, done bool, kill func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kills = append(d.kills, &killing{exchange: x, done: done, kill: kill})
}

// pending reports whether somebody is still to die.
func (d *tencent) pending() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.kills, func(k *killing) bool { return !k.happened })
}

// killPlugin kills the CA's plugin.
func (d *tencent) killPlugin() {
	for _, pid := range d.pidsOf("ca-tencent") {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone already
	}
}

// base is the configuration without certificates. settings are further ones of the account.
func (d *tencent) base(settings string, profiles ...grant) string {
	text := d.daemonTOML(fmt.Sprintf("dns_resolvers = [%q]", d.bind.Addr())) + fmt.Sprintf(`
[ca.tencent]
plugin = "tencent"
max_orders_per_day = 100
max_orders_per_certificate = 100
poll_interval = "1s"
[ca.tencent.settings]
base_url = %q
secret_id = { file = "secret-id" }
secret_key = { file = "secret-key" }
request_timeout = "5s"
find_settle = "1m"
%s
`, d.server.URL, settings)
	for _, p := range profiles {
		d.write("tsig-"+p.profile, p.key.Secret+"\n", 0o600)
		text += (&estate{rig: d.rig, bind: d.bind}).profileTOML(p)
	}
	return text
}

// tencentCert is the certificate "web". dcv, order and more (keys of the certificate, then its tables) are TOML.
func tencentCert(dcv, order, more string, domains ...string) string {
	return strings.Replace(ordered(dcv, order, more, domains...), `ca = "digicert"`, `ca = "tencent"`, 1)
}

// tencentOrder is a year of a product for an individual.
func tencentOrder(product int) string {
	return fmt.Sprintf(`{ ProductId = %d, TimeSpan = 1, ContactEmail = "certs@shop.test" }`, product)
}

// The products: DNSPod's DV for several names and for a wildcard, TrustAsia's for several, and DNSPod's OV.
const (
	tencentMany, tencentWildcard, tencentCNAME, tencentOV = 50, 49, 11, 43
)

// tencentEndsIn is when the certificate ends that a world begins with: a lost order is looked for twice, a minute apart.
const tencentEndsIn = 10 * time.Minute

// tencentPatience is how long an order may take, with a lost answer on its way.
const tencentPatience = 6 * time.Minute

// due puts a certificate of another CA in place that ends soon.
func (d *tencent) due(domains ...string) {
	d.t.Helper()
	d.old = d.put("web", newAuthority(d.t), tencentEndsIn, domains...)
}

// serveBy starts nginx with what is on disk, and returns the table of its deployment.
func (d *tencent) serveBy() (s *site, deploy string) {
	d.t.Helper()
	return (&digicert{rig: d.rig, bind: d.bind}).serveBy(fmt.Sprintf("# %s\n", d.dir))
}

// booked checks what was bought and reissued.
func (d *tencent) booked(purchases, reissues int) {
	d.t.Helper()
	l := d.ca.Ledger()
	if p, r := l.Count(sandbox.Purchase), l.Count(sandbox.Reissue); p != purchases || r != reissues {
		d.t.Errorf("%d purchases and %d reissues, want %d and %d: %+v", p, r, purchases, reissues, l.Entries)
	}
}

// renewed waits until another certificate than before is in place.
func (d *tencent) renewed(before *x509.Certificate) {
	d.t.Helper()
	old := fmt.Sprintf("%x", before.SerialNumber)
	var c control.Certificate
	var err error
	ok := await(d.t.Context(), tencentPatience, func() bool {
		c, err = d.certificate("web")
		return err == nil && c.Leaf != nil && c.Leaf.Serial != old && c.Order == nil && c.Problem == ""
	})
	if !ok {
		d.t.Fatalf("not renewed within %s; last seen %+v, order %+v, %v", tencentPatience, c, c.Order, err)
	}
}

// issuedAndInstalled waits until another certificate than before is in place and nothing is published any more, and checks
// that it is the newest of the account, with a chain to the stand-in's root.
func (d *tencent) issuedAndInstalled(before *x509.Certificate, domains ...string) *x509.Certificate {
	d.t.Helper()
	d.renewed(before)
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
	if got := slices.Sorted(slices.Values(chain[0].DNSNames)); !slices.Equal(got, slices.Sorted(slices.Values(domains))) {
		d.t.Errorf("the certificate is for %q, want %q", got, domains)
	}
	return chain[0]
}

// tidy checks that a daemon that has ended leaves no processes, sockets, keys and temporary files.
func (d *tencent) tidy() {
	d.t.Helper()
	d.noPlugins("after the daemon has ended")
	d.only("run", "c.sock.lock", "sockets", "sockets/lock")
	d.only("tls", "web.key", "web.pem")
	for _, f := range filesBelow(d.t, d.path("state")) {
		if n := filepath.Base(f); n != "state.db" {
			d.t.Errorf("%s is left", f)
		}
		if text := readFile(d.t, f); strings.Contains(text, tencentKey().SecretKey) {
			d.t.Errorf("the secret key stands in %s", f)
		}
	}
}

// says checks what a command prints of the certificate.
func (d *tencent) says(command string, words ...string) {
	d.t.Helper()
	(&digicert{rig: d.rig}).says(command, words...)
}

// console posts to the stand-in's own calls, as somebody in the console does.
func (d *tencent) console(path string, body any) {
	d.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.server.URL+"/_sandbox/"+path, bytes.NewReader(text))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode/100 != 2 {
		d.t.Fatalf("%s: status %d, %v: %s", path, resp.StatusCode, err, answer)
	}
}

// must fails the test on an error of the stand-in.
func (d *tencent) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}
