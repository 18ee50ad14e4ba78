package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
)

// The limits of an idle daemon.
const (
	mostMemory = 40 << 20
	mostBinary = 25 << 20
	manyCerts  = 100
)

// TestIdleDaemonIsSmallAndRunsNoPlugin: a hundred certificates, none due.
func TestIdleDaemonIsSmallAndRunsNoPlugin(t *testing.T) {
	t.Parallel()
	r := newRig(t, daemon.get(t), caLocal)
	ca := newAuthority(t)
	config := r.daemonTOML("") + fmt.Sprintf("[ca.local]\nplugin = \"local\"\n[ca.local.settings]\ndir = %q\n", r.path("ca"))
	for i := range manyCerts {
		name := fmt.Sprintf("c%02d", i)
		r.put(name, ca, ninetyDays, name+".test", "www."+name+".test")
		config += fmt.Sprintf(`
[[certificate]]
name = %q
ca = "local"
renew_before = "30d"
files = { fullchain = "tls/%s.pem", key = "tls/%s.key" }
`, name, name, name)
	}
	r.write("config.toml", config, 0o600)
	r.start()
	ok := await(t.Context(), patience, func() bool {
		list, err := r.client.Status(t.Context(), "")
		return err == nil && len(list) == manyCerts && !hasWork(list)
	})
	if !ok {
		t.Fatal("the daemon is not idle")
	}
	for _, name := range []string{"status", "explain c07", "plugins list"} { // what people do
		if out := r.cli(strings.Fields(name)...); out == "" {
			t.Errorf("%s prints nothing", name)
		}
	}
	if !await(t.Context(), 10*time.Second, func() bool { return len(processesOf(r.path("plugins"))) == 0 }) {
		t.Errorf("idle, with plugins: %v", processesOf(r.path("plugins")))
	}
	rss := memoryOf(t, int(r.pid.Load()))
	t.Logf("%d certificates, idle: %.1f MB resident", manyCerts, float64(rss)/(1<<20))
	if rss > mostMemory {
		t.Errorf("%d bytes are resident, more than %d", rss, mostMemory)
	}
	r.stop()
}

func hasWork(list []control.Certificate) bool {
	for _, c := range list {
		if c.Order != nil || c.Next.Due || c.Leaf == nil || c.Next.At.IsZero() {
			return true
		}
	}
	return false
}

func TestBinaryIsSmall(t *testing.T) {
	t.Parallel()
	info, err := os.Stat(daemon.get(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the stripped daemon has %.1f MB", float64(info.Size())/(1<<20))
	if info.Size() > mostBinary {
		t.Errorf("the stripped daemon has %d bytes, more than %d", info.Size(), mostBinary)
	}
}

func TestDaemonLinksNoProvider(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"cmd/certbridged").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 50 {
		t.Fatalf("only %d packages", len(packages))
	}
	for _, p := range packages {
		for _, unwanted := range []string{"github.com/go-acme/lego", "github.com/aws/", "cloud.google.com/", "github.com/Azure/"} {
			if strings.HasPrefix(p, unwanted) {
				t.Errorf("the daemon links %s", p)
			}
		}
	}
}
