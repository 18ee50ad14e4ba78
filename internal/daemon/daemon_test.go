package daemon_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/daemon"
)

// built is a folder for what tests build; TestMain removes it.
var built string

func TestMain(m *testing.M) {
	if servePicky() || serveMeeting() {
		return
	}
	var err error
	if built, err = os.MkdirTemp("", "certbridged-plugins"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(built) // in the system's own folder for such
	os.Exit(code)
}

// plugins is a folder with the plugins that tests use.
var plugins = sync.OnceValues(func() (string, error) {
	dir := built
	out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "ca-local"), "github.com/certbridge/certbridged/cmd/plugins/ca-local").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build ca-local: %w\n%s", err, out)
	}
	return dir, nil
})

// rig is a daemon in a folder.
type rig struct {
	t      *testing.T
	dir    string
	cancel context.CancelFunc
	done   chan error
	reload chan os.Signal
	client *control.Client
}

func newRig(t *testing.T, certificate string) *rig {
	t.Helper()
	from, err := plugins()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/root", "rig") // short, and in no folder that others may write
	if err != nil {
		if dir, err = os.MkdirTemp(os.Getenv("HOME"), "rig"); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &rig{t: t, dir: dir, reload: make(chan os.Signal)}
	r.mkdir("plugins")
	r.mkdir("tls")
	r.mkdir("conf.d")
	data, err := os.ReadFile(filepath.Join(from, "ca-local"))
	if err != nil {
		t.Fatal(err)
	}
	r.write("plugins/ca-local", string(data), 0o755)
	r.write("config.toml", `
[daemon]
state_dir = "state"
plugin_dir = "plugins"
control_socket = "control.sock"
http_challenge_listen = "127.0.0.1:0"
http_challenge_self_check = false
plugin_idle_after = "1s"

[ca.local]
plugin = "local"
[ca.local.settings]
dir = "`+dir+`/ca"
`, 0o600)
	r.write("conf.d/web.toml", certificate, 0o600)
	return r
}

func (r *rig) mkdir(name string) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Join(r.dir, name), 0o700); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) write(name, text string, mode os.FileMode) {
	r.t.Helper()
	tmp := filepath.Join(r.dir, name+"~")
	if err := os.WriteFile(tmp, []byte(text), mode); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(r.dir, name)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	ready := make(chan struct{}, 8)
	d, err := daemon.New(ctx, daemon.Options{
		ConfigPath: filepath.Join(r.dir, "config.toml"), Version: "test",
		Logger: slog.New(slog.NewTextHandler(testWriter{r.t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Notify: func(s string) {
			if s == "READY=1" {
				ready <- struct{}{}
			}
		},
	})
	if err != nil {
		cancel()
		r.t.Fatal(err)
	}
	r.cancel, r.done = cancel, make(chan error, 1)
	go func() { r.done <- d.Run(ctx, r.reload) }()
	select {
	case <-ready:
	case err := <-r.done:
		r.t.Fatalf("ended before it was ready: %v", err)
	}
	r.t.Cleanup(r.stop)
	if r.client, err = control.NewClient(filepath.Join(r.dir, "control.sock")); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) stop() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	if err := <-r.done; err != nil {
		r.t.Errorf("stopped with %v", err)
	}
	_ = r.client.Close()
	r.cancel = nil
}

// until waits for a certificate to be as wanted, woken by the daemon's events.
func (r *rig) until(name string, wanted func(control.Certificate) bool) control.Certificate {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	there := errors.New("there")
	var last control.Certificate
	look := func() error {
		list, err := r.client.Status(ctx, name)
		if err != nil {
			return err
		}
		if last = list[0]; wanted(last) {
			return there
		}
		return nil
	}
	err := r.client.Events(ctx, control.EventFilter{Follow: true}, func(control.Event) error { return look() })
	if !errors.Is(err, there) {
		r.t.Fatalf("%v; last seen: %+v", err, last)
	}
	return last
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

const webTOML = `
[[certificate]]
name = "web"
ca = "local"
[certificate.files]
fullchain = "tls/web.pem"
key = "tls/web.key"
[certificate.deploy]
reload = ["touch", "%s/reloaded"]
`

// selfSigned writes a pair that ends soon.
func (r *rig) selfSigned(ends time.Duration, names ...string) *x509.Certificate {
	r.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-90 * 24 * time.Hour), NotAfter: time.Now().Add(ends),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		r.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("tls/web.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), 0o640)
	r.write("tls/web.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	return leaf
}

func TestAdoptedCertificateIsRenewedInPlace(t *testing.T) {
	r := newRig(t, "")
	r.write("conf.d/web.toml", fmt.Sprintf(webTOML, r.dir), 0o600)
	old := r.selfSigned(24*time.Hour, "a.example.com", "b.example.com")
	r.start()
	c := r.until("web", func(c control.Certificate) bool { return c.Leaf != nil && c.Leaf.Serial != "7" && c.Order == nil })
	if c.Problem != "" || c.Next.Due || c.Deployment == nil || !c.Deployment.OK {
		t.Errorf("%+v", c)
	}
	if got := strings.Join(c.Leaf.Names, " "); got != strings.Join(old.DNSNames, " ") {
		t.Errorf("names %s", got)
	}
	info, err := os.Stat(filepath.Join(r.dir, "tls/web.key"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("key file %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "reloaded")); err != nil {
		t.Error(err)
	}
}

func TestFilesChangedByHandAreNoticed(t *testing.T) {
	r := newRig(t, "")
	r.write("conf.d/web.toml", fmt.Sprintf(webTOML, r.dir), 0o600)
	r.selfSigned(24*time.Hour, "a.example.com")
	r.start()
	first := r.until("web", func(c control.Certificate) bool { return c.Leaf != nil && c.Leaf.Serial != "7" && c.Order == nil })
	r.selfSigned(24*time.Hour, "a.example.com")
	r.until("web", func(c control.Certificate) bool {
		return c.Leaf != nil && c.Leaf.Serial != "7" && c.Leaf.Serial != first.Leaf.Serial && c.Order == nil
	})
}

func TestBadReloadChangesNothing(t *testing.T) { // invariant 10
	r := newRig(t, "")
	good := fmt.Sprintf(webTOML, r.dir)
	r.write("conf.d/web.toml", good, 0o600)
	r.selfSigned(24*time.Hour, "a.example.com")
	r.start()
	r.until("web", func(c control.Certificate) bool { return c.Leaf != nil && c.Leaf.Serial != "7" && c.Order == nil })
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":          {strings.Replace(good, "ca =", "cca =", 1), "web.toml:"},
		"unknown order key":    {good + "\n[certificate.order]\nnonsense = 1\n", "web.toml:"},
		"no TOML":              {"[[", "web.toml:"},
		"unknown CA account":   {strings.Replace(good, `"local"`, `"other"`, 1), "web.toml:4"},
		"file used twice":      {good + strings.Replace(good, `"web"`, `"web2"`, 1), "web.toml:"},
		"a plugin's own fault": {good + "\n[ca.second]\nplugin = \"local\"\n", "dir"},
	} {
		t.Run(name, func(t *testing.T) {
			r.write("conf.d/web.toml", c.text, 0o600)
			_, err := r.client.Reload(t.Context())
			if control.KindOf(err) != control.BadConfiguration || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v (kind %v), want it to name %s", err, control.KindOf(err), c.want)
			}
			list, err := r.client.Status(t.Context(), "web")
			if err != nil || len(list) != 1 || list[0].Problem != "" {
				t.Errorf("the old configuration does not run on: %v, %+v", err, list)
			}
			info, err := r.client.Info(t.Context())
			if err != nil || len(info.ConfigProblems) == 0 {
				t.Errorf("info shows no problem: %+v, %v", info, err)
			}
		})
	}
	r.write("conf.d/web.toml", good, 0o600)
	if _, err := r.client.Reload(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRemovedCertificateIsLetAlone(t *testing.T) { // invariant 9
	r := newRig(t, "")
	r.write("conf.d/web.toml", fmt.Sprintf(webTOML, r.dir), 0o600)
	r.selfSigned(24*time.Hour, "a.example.com")
	r.start()
	r.until("web", func(c control.Certificate) bool { return c.Leaf != nil && c.Leaf.Serial != "7" && c.Order == nil })
	before := r.read("tls/web.pem") + r.read("tls/web.key")
	r.write("conf.d/web.toml", "", 0o600)
	if _, err := r.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.Status(t.Context(), "web"); control.KindOf(err) != control.NotFound {
		t.Errorf("still managed: %v", err)
	}
	r.stop()
	r.start()
	if r.read("tls/web.pem")+r.read("tls/web.key") != before {
		t.Error("its files were touched")
	}
}

func (r *rig) read(name string) string {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

func TestStartWithABadConfiguration(t *testing.T) {
	r := newRig(t, "nonsense = 1\n")
	_, err := daemon.New(t.Context(), daemon.Options{ConfigPath: filepath.Join(r.dir, "config.toml"), Logger: slog.New(slog.DiscardHandler)})
	var mistakes *config.Errors
	if !errors.As(err, &mistakes) || !strings.Contains(err.Error(), "web.toml:1") {
		t.Errorf("got %v", err)
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	r := newRig(t, "")
	r.write("conf.d/web.toml", fmt.Sprintf(webTOML, r.dir), 0o600)
	r.selfSigned(24*time.Hour, "a.example.com")
	r.start()
	_, err := daemon.New(t.Context(), daemon.Options{ConfigPath: filepath.Join(r.dir, "config.toml"), Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
}

func TestPluginDroppedInTakesEffectAtOnce(t *testing.T) {
	r := newRig(t, "")
	r.write("conf.d/web.toml", fmt.Sprintf(webTOML, r.dir), 0o600)
	r.selfSigned(24*time.Hour, "a.example.com")
	plugin := r.read("plugins/ca-local")
	if err := os.Remove(filepath.Join(r.dir, "plugins/ca-local")); err != nil {
		t.Fatal(err)
	}
	r.start()
	waiting := r.until("web", func(c control.Certificate) bool { return c.Order != nil && c.Order.LastError != nil })
	if !strings.Contains(waiting.Order.LastError.Message, "ca-local") {
		t.Errorf("the trouble does not name the plugin: %s", waiting.Order.LastError.Message)
	}
	begun := time.Now()
	r.write("plugins/ca-local", plugin, 0o755)
	r.until("web", func(c control.Certificate) bool { return c.Leaf.Serial != "7" && c.Order == nil })
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("it took %s, as if nobody had noticed", took)
	}
}

func TestMendedConfigurationIsTriedAtOnce(t *testing.T) {
	r := newRig(t, "")
	broken := strings.Replace(fmt.Sprintf(webTOML, r.dir), "touch", "false", 1)
	r.write("conf.d/web.toml", broken, 0o600)
	old := r.selfSigned(24*time.Hour, "a.example.com")
	r.start()
	r.until("web", func(c control.Certificate) bool { return c.Deployment != nil && c.Deployment.RolledBack })
	if !strings.Contains(r.read("tls/web.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: old.Raw}))) {
		t.Error("the old set is not back")
	}
	r.write("conf.d/web.toml", fmt.Sprintf(webTOML, r.dir), 0o600) // noticed without a signal
	r.until("web", func(c control.Certificate) bool { return c.Leaf.Serial != "7" && c.Order == nil })
}
