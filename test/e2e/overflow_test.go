package e2e

import (
	"crypto/x509"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/certbridge/certbridged/internal/control"
)

// TestChangesThatTheSystemLeavesOutAreFound: more happens in a folder than the kernel's queue holds while the daemon is not
// let on the processor, and the file of a certificate changes after that. Nothing but the rescan that the loss itself asks
// for finds it: the next one would come after an hour.
func TestChangesThatTheSystemLeavesOutAreFound(t *testing.T) {
	t.Parallel()
	r := newRig(t, daemon.get(t), caLocal)
	ca := newAuthority(t)
	old := r.put("web", ca, ninetyDays, names...)
	r.write("config.toml", r.daemonTOML("")+fmt.Sprintf(`
[ca.local]
plugin = "local"
settings = { dir = %q }
[[certificate]]
name = "web"
ca = "local"
renew_before = "30d"
files = { fullchain = "tls/web.pem", key = "tls/web.key" }
`, r.path("ca")), 0o600)
	r.start()
	r.until("web", "known", func(c control.Certificate) bool { return c.Leaf != nil && c.Leaf.Serial == serialOf(old) })
	// A change that is found now shows that the folder is watched.
	seen := r.put("web", ca, ninetyDays, names...)
	r.until("web", "changed", func(c control.Certificate) bool { return c.Leaf != nil && c.Leaf.Serial == serialOf(seen) })

	noise := [2]string{r.path("tls/noise1"), r.path("tls/noise2")}
	for _, name := range noise {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var due *x509.Certificate
	r.suspend(func() {
		for i := range 2 * queuedEvents(t) { // of two files in turn: an event that is like the last one is not kept
			if err := os.Chmod(noise[i%2], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		due = r.put("web", ca, endsIn, names...)
	})
	r.untilRenewed("web", due)
	if !strings.Contains(r.out.String(), "events were lost") {
		t.Error("nothing was lost, and this test shows nothing")
	}
	r.stop()
}

// suspend keeps the daemon from running while something is done.
func (r *rig) suspend(do func()) {
	r.t.Helper()
	pid := int(r.pid.Load())
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }() // it is our child and cannot be gone
	do()
}

// queuedEvents is how many events the kernel keeps for whoever does not listen.
func queuedEvents(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Skipf("SKIP: how many events the system keeps is not known: %v", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
