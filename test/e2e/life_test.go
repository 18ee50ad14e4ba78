package e2e

import (
	"crypto/x509"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
)

// names are what the certificate of a world is for. Nobody can have a name in .test (RFC 6761 section 6.2).
var names = []string{"shop.test", "www.shop.test"}

// endsIn is when the certificate ends that a world begins with. It is so near that the daemon waits five seconds between
// two tries, and far enough for all tries that a test needs.
const endsIn = 110 * time.Second

// world is a daemon with one certificate, "web", that is due, and a shop to buy the next one from.
type world struct {
	*rig
	shop    *shop
	kind    string // of order: new, renew, reissue
	profile string // http or webroot
	old     *x509.Certificate
}

// past is the time before a world begins: a first order, so that there is something to renew or to reissue.
type past struct {
	shop  *shop
	state string // the state.db it left
}

// newPast makes one whose order is paid for a while.
func newPast(t testing.TB, plan time.Duration) *past {
	t.Helper()
	w := newWorld(t, "new", "http", nil)
	w.shop.set(func(s *shop) { s.plan = plan })
	w.start()
	w.untilRenewed("web", w.old)
	w.untilWithdrawn()
	w.stop()
	p := &past{shop: w.shop, state: filepath.Join(base, fmt.Sprintf("past-%s.db", newSerial().Text(36)))}
	copyFile(t, w.path("state/state.db"), p.state, 0o600)
	return p
}

// newWorld makes a world whose order will be of a kind. The kinds renew and reissue need a past.
func newWorld(t testing.TB, kind, profile string, before *past) *world {
	t.Helper()
	w := &world{rig: newRig(t, failing.get(t), caFake), kind: kind, profile: profile}
	if profile == "webroot" {
		listen := w.challenges
		w.serveWebroot()
		w.challenges, listen = listen, w.challenges
		w.shop = w.open(t, listen, before)
	} else {
		w.shop = w.open(t, w.challenges, before)
	}
	w.old = w.put("web", w.shop.ca, endsIn, names...)
	w.configure("")
	return w
}

func (w *world) open(t testing.TB, lookAt string, before *past) *shop {
	t.Helper()
	if before == nil {
		return newShop(t, lookAt, nil)
	}
	copyFile(t, before.state, w.path("state/state.db"), 0o600)
	return newShop(t, lookAt, before.shop)
}

// configure writes the configuration; settings are further ones of the CA account.
func (w *world) configure(settings string) {
	w.t.Helper()
	w.write("api-key", w.shop.apiKey+"\n", 0o600)
	w.write("config.toml", w.daemonTOML(`plugin_call_timeout = "3s"`)+fmt.Sprintf(`
[ca.shop]
plugin = "fake"
[ca.shop.settings]
base_url = %q
api_key = { file = "api-key" }
die_before = %q
%s

[dcv.webroot]
webroot = "webroot"

[[certificate]]
name = "web"
domains = ["shop.test", "www.shop.test"]
ca = "shop"
dcv = %q
renew_before = "30d"
order = { product = "dv" }
[certificate.files]
fullchain = "tls/web.pem"
key = "tls/web.key"
[certificate.deploy]
reload = ["cp", %q, %q]
`, w.shop.server.URL, w.path("die-before"), settings, w.profile, w.path("tls/web.pem"), w.path("served.pem")), 0o600)
}

// settle waits until the order is through, and checks what must hold then, whatever went wrong on the way.
func (w *world) settle() {
	w.t.Helper()
	w.untilRenewed("web", w.old)
	w.untilWithdrawn()
	w.boughtOnce()
	w.installed()
	w.nothingPublished()
	w.stop()
	w.noPlugins("after the daemon has ended")
	w.nothingLeftBehind()
}

// nothingLeftBehind checks that a daemon that has ended leaves no sockets, keys and temporary files.
func (w *world) nothingLeftBehind() {
	w.t.Helper()
	w.only("run", "c.sock.lock", "sockets", "sockets/lock")
	w.only("plugins", "ca-fake")
	err := filepath.WalkDir(w.path("state"), func(path string, e fs.DirEntry, err error) error {
		if !e.IsDir() && e.Name() != "state.db" {
			w.t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
}

// boughtOnce checks that the shop sold one order, of the kind that it had to be.
func (w *world) boughtOnce() {
	w.t.Helper()
	sales := w.shop.sales()
	if len(sales) != 1 {
		w.t.Fatalf("bought %d times: %+v", len(sales), sales)
	}
	if sales[0].Kind != w.kind {
		w.t.Errorf("a %s order was sent, want %s", sales[0].Kind, w.kind)
	}
}

// installed checks that what the shop issued is on disk, whole, and served.
func (w *world) installed() {
	w.t.Helper()
	chain := w.pair("web")
	sold := w.shop.sales()[0]
	if len(sold.Chain) == 0 || !slices.Equal(chain[0].Raw, sold.Chain[0]) {
		w.t.Errorf("on disk is serial %x, which is not what was bought", chain[0].SerialNumber)
	}
	if len(chain) != 2 || chain[0].CheckSignatureFrom(chain[1]) != nil {
		w.t.Errorf("the chain on disk has %d certificates that do not follow each other", len(chain))
	}
	if w.read("served.pem") != w.read("tls/web.pem") {
		w.t.Error("the server was not told to load what is on disk")
	}
	w.only("tls", "web.key", "web.pem")
}

// nothingPublished checks that no challenge can be seen any more.
func (w *world) nothingPublished() {
	w.t.Helper()
	if w.profile == "webroot" {
		w.only("webroot")
	}
	w.nothingAnswers()
	for _, name := range names {
		if body, err := fetch(w.t.Context(), w.shop.lookAt, name); err == nil {
			w.t.Errorf("http://%s%s still holds %q", name, challengePath, body)
		}
	}
}

func TestOrderOfEachKindIsBoughtOnceAndInstalled(t *testing.T) {
	pasts := newPasts(t)
	for _, kind := range []string{"new", "renew", "reissue"} {
		for _, profile := range []string{"http", "webroot"} {
			t.Run(kind+" "+profile, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, kind, profile, pasts[kind])
				w.start()
				w.settle()
			})
		}
	}
}

// newPasts makes a past for each kind of order.
func newPasts(t testing.TB) map[string]*past {
	t.Helper()
	return map[string]*past{"renew": newPast(t, time.Second), "reissue": newPast(t, oneYear)}
}

func TestManualApprovalIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "new", "http", nil)
	w.shop.set(func(s *shop) { s.approval = true })
	w.start()
	c := w.until("web", "approval", func(c control.Certificate) bool { return c.Order != nil && c.Order.Phase == "approval" })
	if c.Order.Action == nil || c.Order.Action.Who != "the shop's clerk" {
		t.Errorf("nobody is told who must act: %+v", c.Order)
	}
	w.shop.approve()
	w.settle()
}
