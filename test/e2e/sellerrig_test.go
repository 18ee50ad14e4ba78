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
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/sandbox"
	"github.com/certbridge/certbridged/test/peer"
)

// standIn is what the stand-ins for the commercial CAs' APIs have in common.
type standIn interface {
	http.Handler
	Calls() []sandbox.Call
	Misbehave(sandbox.Misbehaviour) error
	Ledger() sandbox.Ledger
	RootsPEM() []byte
}

// seller is a daemon with an account at a stand-in for a commercial CA, which looks at the domains through a real BIND.
type seller struct {
	*rig
	bind   *peer.BINDServer
	server *httptest.Server
	old    *x509.Certificate

	plugin string // its file
	// endsIn is when the certificate ends that a world begins with, patience how long an order may take.
	endsIn, patience time.Duration
	// call says which call of the API a request is, with "*" for what differs from run to run; false when it is none.
	call func(*http.Request) (method, path string, ok bool)

	standIn standIn
	mu      sync.Mutex
	kills   []*killing
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

// sellerZone is a zone whose names lead to this machine.
func sellerZone(keys ...string) peer.Zone {
	z := shopZone(keys...)
	z.Records = append(z.Records, "@ A 127.0.0.1")
	return z
}

// look is how a stand-in looks at the domains: it fetches files where the rig says that the world sees them.
func (d *seller) look() *sandbox.Look {
	d.t.Helper()
	_, text, err := net.SplitHostPort(d.challenges)
	if err != nil {
		d.t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		d.t.Fatal(err)
	}
	return &sandbox.Look{Resolver: d.bind.Addr(), HTTPPort: port, HTTPSPort: -1}
}

// serve puts a stand-in on the network. Where the test fails, what it was asked is told, and what state says.
func (d *seller) serve(s standIn, state func() any) {
	d.t.Helper()
	server := httptest.NewServer(d)
	d.standIn, d.server = s, server
	d.t.Cleanup(func() {
		server.CloseClientConnections() // Close waits for requests, and some hang
		server.Close()
		if d.t.Failed() {
			d.t.Logf("what the stand-in was asked:\n%s\n%+v", asked(s), state())
		}
	})
}

// asked is what a stand-in was asked, a line for each call.
func asked(s standIn) string {
	var b strings.Builder
	for _, c := range s.Calls() {
		fmt.Fprintf(&b, "%s %s %s %d %s %s %q\n", c.Time.Format("15:04:05.000"), c.Method, c.Path, c.Status, c.Code, c.Misbehaved, c.Remarks)
	}
	return b.String()
}

// varying is a part of a path that differs from run to run: an id, a serial number, or an order's mark.
var varying = regexp.MustCompile(`/(\d+|[0-9A-Fa-f]{16,})(/|$)`)

func pattern(path string) string { return varying.ReplaceAllString(path, "/*$2") }

// below says which call of an API with a base path a request is.
func below(base string) func(*http.Request) (string, string, bool) {
	return func(r *http.Request) (string, string, bool) {
		path, ok := strings.CutPrefix(r.URL.Path, base)
		return r.Method, pattern(path), ok
	}
}

// ServeHTTP is the stand-in, with somebody who dies in the middle.
func (d *seller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller was killed while it sent
	}
	r.Body = io.NopCloser(bytes.NewReader(body)) // only with the body read does the server notice that the caller has gone
	k := d.next(r)
	if k == nil {
		d.standIn.ServeHTTP(w, r)
		return
	}
	if k.done {
		d.standIn.ServeHTTP(httptest.NewRecorder(), r)
	}
	k.kill()
	panic(http.ErrAbortHandler) // closes the connection; nobody is left to listen
}

// next takes the killing that is meant for a request.
func (d *seller) next(r *http.Request) *killing {
	d.mu.Lock()
	defer d.mu.Unlock()
	method, path, api := d.call(r)
	for _, k := range d.kills {
		if !api || k.happened || method != k.exchange.method || path != k.exchange.path {
			continue
		}
		if k.exchangeNo++; k.exchangeNo == k.exchange.time {
			k.happened = true
			return k
		}
	}
	return nil
}

func (d *seller) killIn(x exchange, done bool, kill func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kills = append(d.kills, &killing{exchange: x, done: done, kill: kill})
}

// pending reports whether somebody is still to die.
func (d *seller) pending() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.kills, func(k *killing) bool { return !k.happened })
}

// killPlugin kills the CA's plugin.
func (d *seller) killPlugin() {
	for _, pid := range d.pidsOf(d.plugin) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone already
	}
}

// world is the configuration of the daemon and its profiles; account is the table of the CA account.
func (d *seller) world(account string, profiles []grant) string {
	text := d.daemonTOML(fmt.Sprintf("dns_resolvers = [%q]", d.bind.Addr())) + account
	for _, p := range profiles {
		d.write("tsig-"+p.profile, p.key.Secret+"\n", 0o600)
		text += (&estate{rig: d.rig, bind: d.bind}).profileTOML(p)
	}
	return text
}

// ordered is the certificate "web" from a CA account. dcv, order and more (keys of the certificate, then its tables) are TOML.
func ordered(ca, dcv, order, more string, domains ...string) string {
	return fmt.Sprintf(`
[[certificate]]
name = "web"
domains = %s
ca = %q
dcv = %s
order = %s
%s
[certificate.files]
fullchain = "tls/web.pem"
key = "tls/web.key"
`, list(domains), ca, dcv, order, more)
}

// serveBy starts nginx with what is on disk, beside further server blocks, and returns the table of its deployment.
func (d *seller) serveBy(more string) (s *site, deploy string) {
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
func (d *seller) due(domains ...string) {
	d.t.Helper()
	d.old = d.put("web", newAuthority(d.t), d.endsIn, domains...)
}

// booked checks what was bought and reissued.
func (d *seller) booked(purchases, reissues int) {
	d.t.Helper()
	l := d.standIn.Ledger()
	if p, r := l.Count(sandbox.Purchase), l.Count(sandbox.Reissue); p != purchases || r != reissues || l.Count(sandbox.ExtraNames) > 0 {
		d.t.Errorf("%d purchases and %d reissues, want %d and %d: %+v", p, r, purchases, reissues, l.Entries)
	}
}

// installed waits until another certificate than before is in place and nothing is published any more, and checks that its
// chain leads to the stand-in's root.
func (d *seller) installed(before *x509.Certificate) *x509.Certificate {
	d.t.Helper()
	d.untilWithin(d.patience, "web", "installed", func(c control.Certificate) bool { return replaced(c, before) && c.Problem == "" })
	d.untilWithdrawn()
	chain := d.pair("web")
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(d.standIn.RootsPEM())
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		d.t.Errorf("the chain on disk: %v", err)
	}
	return chain[0]
}

// isFor checks for which names a certificate is.
func (d *seller) isFor(leaf *x509.Certificate, domains ...string) {
	d.t.Helper()
	if got := slices.Sorted(slices.Values(leaf.DNSNames)); !slices.Equal(got, slices.Sorted(slices.Values(domains))) {
		d.t.Errorf("the certificate is for %q, want %q", got, domains)
	}
}

// tidy checks that a daemon that has ended leaves no processes, sockets, keys and temporary files, and no secret on disk.
func (d *seller) tidy(secrets ...string) {
	d.t.Helper()
	d.noPlugins("after the daemon has ended")
	d.only("run", "c.sock.lock", "sockets", "sockets/lock")
	d.only("tls", "web.key", "web.pem")
	for _, f := range filesBelow(d.t, d.path("state")) {
		if filepath.Base(f) != "state.db" {
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
func (d *seller) says(command string, words ...string) {
	d.t.Helper()
	told, code := d.run(command, "web")
	text := strings.Join(strings.Fields(told), " ") // wherever lines are broken
	for _, w := range words {
		if !strings.Contains(text, w) {
			d.t.Errorf("%s (exit code %d) does not say %q:\n%s", command, code, w, told)
		}
	}
}

// must fails the test on an error of the stand-in.
func (d *seller) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}
