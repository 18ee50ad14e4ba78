package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/test/peer"
)

// needles are secrets in all the forms that they could be written in.
type needles map[string][][]byte

// word adds a secret that is text.
func (n needles) word(name, secret string) {
	n[name] = append(n[name], forms([]byte(secret))...)
	n[name] = append(n[name], []byte(url.QueryEscape(secret)))
}

// keyFile adds the private key of a PEM file: its DER, the number that is its secret, and what a PEM file of it says.
func (n needles) keyFile(t testing.TB, name string, text string) {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	pair, err := parseKey(block)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	number, err := pair.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	n[name] = append(n[name], forms(number)...)
	n[name] = append(n[name], forms(block.Bytes)...)
	// A PEM file may be written with other words around, or escaped. Of its lines those count that hold some of the
	// number: the others hold the public key, which is no secret.
	from := bytes.Index(block.Bytes, number)
	until := from + len(number)
	at := 0
	for line := range strings.Lines(text) {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
		if err != nil {
			continue // BEGIN and END
		}
		if at < until && at+len(raw) > from {
			n[name] = append(n[name], []byte(strings.TrimSpace(line)))
		}
		at += len(raw)
	}
}

func forms(secret []byte) [][]byte {
	return [][]byte{
		secret, []byte(hex.EncodeToString(secret)), []byte(strings.ToUpper(hex.EncodeToString(secret))),
		[]byte(base64.StdEncoding.EncodeToString(secret)), []byte(base64.RawStdEncoding.EncodeToString(secret)),
		[]byte(base64.RawURLEncoding.EncodeToString(secret)),
	}
}

// haystack is everything that somebody else may read, by where it was found.
type haystack struct {
	mu    sync.Mutex
	found map[string][]byte
}

func (h *haystack) add(place string, text []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.found[place] = append(h.found[place], text...)
}

var anyPrivateKey = regexp.MustCompile(`BEGIN [A-Z ]*PRIVATE KEY`)

// search checks that none of the secrets lies in the haystack. except says where one may be.
func (h *haystack) search(t testing.TB, secrets needles, except func(secret, place string) bool) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, place := range slices.Sorted(maps.Keys(h.found)) {
		text := h.found[place]
		if at := anyPrivateKey.FindIndex(text); at != nil {
			t.Errorf("%s holds a private key: %s", place, around(text, at[0]))
		}
		for secret, all := range secrets {
			if except(secret, place) {
				continue
			}
			for _, form := range all {
				if at := bytes.Index(text, form); at >= 0 {
					t.Errorf("%s holds the %s: %s", place, secret, around(text, at))
					break
				}
			}
		}
	}
}

// around shows where in a text something is, without much of it.
func around(text []byte, at int) string {
	return fmt.Sprintf("...%q...", text[max(0, at-120):min(len(text), at+8)])
}

// vault is a daemon with every kind of secret, and what it told.
type vault struct {
	*site
	shop    *shop
	secrets needles
	tells   *haystack
	metrics string
}

func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{site: newSite(t), secrets: needles{}, tells: &haystack{found: map[string][]byte{}}}
	v.write("plugins/ca-fake", contents(caFake.get(t)), 0o700)
	v.shop = newShop(t, v.challenges, nil)
	v.shop.ca = v.ca
	v.shop.set(func(s *shop) { s.blab = true })
	v.metrics = fmt.Sprintf("127.0.0.1:%d", peer.FreePort(t))
	v.secrets.word("API key", v.shop.apiKey)
	v.secrets.word("EAB key", eabKey)
	v.secrets.keyFile(t, "first key of web", v.read("tls/web.key"))
	plant := func(name string) string {
		secret := "planted-" + newSerial().Text(62)
		v.secrets.word(name, secret)
		return secret
	}
	v.env = append(v.env, "P12_PASSWORD="+plant("PKCS#12 password"), "UNRELATED_TOKEN="+plant("unrelated variable"))
	v.write("jks-password", plant("JKS password"), 0o600)
	v.write("api-key", v.shop.apiKey, 0o600)
	return v
}

// configure has the certificate web from the shop, in every form that holds a key, and acme from Pebble. reload is what
// follows an installation of web.
func (v *vault) configure(reload string) {
	v.t.Helper()
	v.site.configure(fmt.Sprintf(`
[ca.shop]
plugin = "fake"
[ca.shop.settings]
base_url = %q
api_key = { file = "api-key" }
blab = true

[[certificate]]
name = "web"
domains = ["shop.test", "www.shop.test"]
ca = "shop"
renew_before = "30d"
order = { product = "dv" }
[certificate.files]
fullchain = "tls/web.pem"
key = "tls/web.key"
combined = "tls/web.comb"
key_der = "tls/web.der"
pkcs12 = { path = "tls/web.p12", password = { env = "P12_PASSWORD" } }
jks = { path = "tls/web.jks", password = { file = "jks-password" } }
[certificate.deploy]
reload = %s

[[certificate]]
name = "acme"
domains = ["acme.test"]
ca = "pebble"
files = { fullchain = "tls/acme.pem", key = "tls/acme.key" }
`, v.shop.server.URL, reload))
	text := strings.Replace(v.read("config.toml"), "[daemon]\n", fmt.Sprintf("[daemon]\nmetrics_listen = %q\n", v.metrics), 1)
	v.write("config.toml", text, 0o600)
}

// watch collects, until the test ends, what can be seen of the processes from outside.
func (v *vault) watch() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			v.lookAtProcesses()
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return sync.OnceFunc(func() { close(done); <-ended })
}

func (v *vault) lookAtProcesses() {
	for _, p := range processesOf(v.path("plugins")) {
		name, pid, _ := strings.Cut(p, " ")
		v.tells.add("arguments of "+name, []byte(contents("/proc/"+pid+"/cmdline")))
		v.tells.add("environment of "+name, []byte(contents("/proc/"+pid+"/environ")))
	}
	v.tells.add("arguments of the daemon", []byte(contents(fmt.Sprintf("/proc/%d/cmdline", v.pid.Load()))))
}

// interview asks the daemon everything there is to ask.
func (v *vault) interview() {
	v.t.Helper()
	for _, args := range []string{
		"status", "status web", "explain web", "explain acme", "orders list --all", "plugins list", "plugins describe fake",
		"plan --until 2099-01-01", "events", "renew web --dry-run", "check",
	} {
		v.tells.add("certbridged "+args, []byte(v.cli(strings.Fields(args)...)))
		v.tells.add("certbridged "+args+" --json", []byte(v.cli(append(strings.Fields(args), "--json")...)))
	}
	orders, err := v.client.Orders(v.t.Context(), control.OrderFilter{All: true})
	if err != nil {
		v.t.Error(err)
	}
	for _, o := range orders {
		v.tells.add("certbridged orders show", []byte(v.cli("orders", "show", o.ID, "--json")))
	}
	resp, err := http.Get("http://" + v.metrics + "/metrics")
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(page, []byte("certbridged_")) {
		v.t.Errorf("metrics: %v, %q", err, page)
	}
	v.tells.add("metrics", page)
}

// files adds every file of the rig but those whose purpose is to hold secrets.
func (v *vault) files() {
	v.t.Helper()
	purpose := []string{"api-key", "eab-key", "jks-password", "state/state.db", "tls/web.key", "tls/web.comb", "tls/web.der", "tls/web.p12", "tls/web.jks", "tls/acme.key"}
	err := filepath.WalkDir(v.dir, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(v.dir, path)
		if err != nil || !e.Type().IsRegular() || slices.Contains(purpose, name) || strings.HasPrefix(name, "plugins/") {
			return err
		}
		text, err := os.ReadFile(path)
		v.tells.add("file "+name, text)
		return err
	})
	if err != nil {
		v.t.Error(err)
	}
}

// TestNoSecretIsToldToAnybody is invariant 3 and the rule about secrets, over a life with failures and successes.
func TestNoSecretIsToldToAnybody(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.configure(`["sh", "-c", "env; set; exit 1"]`)
	// The CA echoes the key, in every way that a CA can answer.
	v.shop.misbehave("POST /orders", echo(http.StatusTooManyRequests), echo(http.StatusInternalServerError))
	v.shop.misbehave("GET /orders", echo(http.StatusBadGateway), garbage)
	v.shop.misbehave("POST /orders/{id}/validate", echo(http.StatusUnauthorized), killPluginAfter)
	v.shop.misbehave("GET /orders/{id}", echo(http.StatusConflict))
	stop := v.watch()
	defer stop()
	v.start()
	v.until("web", "failed deployment", func(c control.Certificate) bool { return c.Deployment != nil && !c.Deployment.OK })
	v.interview()
	v.configure(`["true"]`)
	if _, err := v.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.untilRenewed("web", v.old)
	v.until("acme", "deployed", func(c control.Certificate) bool { return c.Leaf != nil && c.Order == nil })
	v.untilWithdrawn()
	v.interview()
	v.write("tls/web.p12", "garbage", 0o600) // so that the reading of a file with a password fails
	v.until("web", "trouble or a new order", func(c control.Certificate) bool { return c.Problem != "" || c.Order != nil })
	v.interview()
	v.kill()
	v.start() // with another life comes another chance to tell
	v.interview()
	stop()
	v.stop()

	v.tells.add("the daemon's output", []byte(v.out.String()))
	for _, request := range v.shop.requests() {
		v.tells.add("requests to the shop", []byte(request))
	}
	v.tells.add("the log of Pebble", []byte(v.pebble.Log()))
	v.files()
	v.secrets.keyFile(t, "key of web", v.read("tls/web.key"))
	v.secrets.keyFile(t, "key of acme", v.read("tls/acme.key"))
	if len(v.tells.found["the daemon's output"]) < 1000 || len(v.tells.found["environment of ca-fake"]) == 0 {
		t.Error("nothing was collected")
	}
	v.tells.search(t, v.secrets, func(secret, place string) bool {
		return secret == "API key" && place == "requests to the shop" // that is whom it is for
	})
}

// TestSearchFindsWhatIsThere: the search that finds nothing above does find.
func TestSearchFindsWhatIsThere(t *testing.T) {
	key := newKey(t)
	text := keyPEM(t, key)
	block, _ := pem.Decode([]byte(text))
	secrets := needles{}
	secrets.word("word", "s3cret/value+1")
	secrets.keyFile(t, "key", text)
	number, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for place, text := range map[string]string{
		"plain": "x s3cret/value+1 y", "base64": base64.StdEncoding.EncodeToString([]byte("s3cret/value+1")), "query": "k=s3cret%2Fvalue%2B1",
		"PEM": text, "DER": string(block.Bytes), "escaped": strings.ReplaceAll(text, "\n", `\n`), "scalar": hex.EncodeToString(number),
		"one line": base64.StdEncoding.EncodeToString(block.Bytes),
	} {
		probe := &recorder{TB: t}
		(&haystack{found: map[string][]byte{place: []byte(text)}}).search(probe, secrets, func(string, string) bool { return false })
		if probe.errors == 0 {
			t.Errorf("%s is not found", place)
		}
	}
}

// recorder counts errors instead of failing.
type recorder struct {
	testing.TB
	errors int
}

func (r *recorder) Errorf(string, ...any) { r.errors++ }

func parseKey(block *pem.Block) (*ecdsa.PrivateKey, error) {
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	p256, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a %T", key)
	}
	return p256, nil
}
