package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
)

// crowd is a daemon with several certificates and two shops, one of which hangs.
type crowd struct {
	*rig
	shop, hanging *shop
}

const crowdCertificate = `
[[certificate]]
name = %q
domains = [%q]
ca = %q
dcv = "webroot"
renew_before = "30d"
order = { product = "dv" }
[certificate.files]
fullchain = "tls/%s.pem"
key = "tls/%s.key"
[certificate.deploy]
reload = %s
timeout = "5m"
`

func (c *crowd) account(name string, s *shop) string {
	c.write("key-"+name, s.apiKey, 0o600)
	return fmt.Sprintf(`
[ca.%s]
plugin = "fake"
[ca.%s.settings]
base_url = %q
api_key = { file = "key-%s" }
`, name, name, s.server.URL, name)
}

// newCrowd makes four certificates: the server of "slow" hangs at its reload, the CA of "stuck" in a call; "web" and
// "twin" are not due, and twin is from the CA that hangs.
func newCrowd(t *testing.T) *crowd {
	t.Helper()
	c := &crowd{}
	t.Cleanup(func() { c.endSleepers() }) // after the rig's own cleaning up, which kills the daemon
	c.rig = newRig(t, failing.get(t), caFake)
	c.serveWebroot()
	c.shop, c.hanging = newShop(t, c.challenges, nil), newShop(t, c.challenges, nil)
	c.challenges = "127.0.0.1:1" // the responder is of no use here
	config := c.daemonTOML("plugin_call_timeout = \"5m\"") + c.account("good", c.shop) + c.account("bad", c.hanging) +
		"[dcv.webroot]\nwebroot = \"webroot\"\n"
	for _, x := range []struct {
		name, account, reload string
		ends                  time.Duration
	}{
		{"slow", "good", `["sleep", "1000"]`, endsIn}, {"stuck", "bad", `["true"]`, endsIn},
		{"web", "good", `["true"]`, ninetyDays}, {"twin", "bad", `["true"]`, ninetyDays},
	} {
		c.put(x.name, c.shop.ca, x.ends, x.name+".test")
		config += fmt.Sprintf(crowdCertificate, x.name, x.name+".test", x.account, x.name, x.name, x.reload)
	}
	c.write("config.toml", config, 0o600)
	c.hanging.misbehave("POST /orders", hang)
	return c
}

// hangAll starts the daemon and waits until both hang.
func (c *crowd) hangAll() {
	c.t.Helper()
	c.start()
	c.until("slow", "installed", func(s control.Certificate) bool { return s.Order != nil && s.Order.Phase == "installed" })
	both := await(c.t.Context(), patience, func() bool {
		return len(c.hanging.faultsLeft()) == 0 && len(c.sleepers()) > 0
	})
	if !both {
		c.t.Fatal("nothing hangs")
	}
}

// sleepers are the commands that the daemon runs for certificates in this folder.
func (c *crowd) sleepers() []string {
	var list []string
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		pid := strings.Split(file, "/")[2]
		if strings.Contains(contents(file), "CERTBRIDGED_FILE_KEY="+c.path("tls")) && !zombie(pid) {
			list = append(list, pid+" "+strings.ReplaceAll(contents("/proc/"+pid+"/cmdline"), "\x00", " "))
		}
	}
	return list
}

// TestWhatHangsDelaysNoOtherCertificate is invariant 6.
func TestWhatHangsDelaysNoOtherCertificate(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.hangAll()
	for _, name := range []string{"web", "twin"} {
		before := c.pair(name)[0]
		begun := time.Now()
		if _, err := c.client.Renew(t.Context(), control.RenewRequest{Name: name, Force: true}); err != nil {
			t.Fatal(err)
		}
		c.untilRenewed(name, before)
		took := time.Since(begun)
		t.Logf("%s was renewed in %s beside what hangs", name, took.Round(time.Millisecond))
		if took > 2*time.Second {
			t.Errorf("%s took %s, more than two seconds", name, took)
		}
	}
	for _, name := range []string{"slow", "stuck"} {
		if s, err := c.certificate(name); err != nil || s.Order == nil {
			t.Errorf("%s does not hang any more: %+v, %v", name, s, err)
		}
	}
}

// TestSignalsEndTheDaemonAndEverythingItStarted: also what hangs.
func TestSignalsEndTheDaemonAndEverythingItStarted(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t)
			c.hangAll()
			if len(processesOf(c.path("plugins"))) == 0 {
				t.Fatal("no plugin runs")
			}
			c.proc.signal(t, sig)
			c.noPlugins("after " + sig.String())
			if sig != syscall.SIGKILL && !await(t.Context(), 5*time.Second, func() bool { return len(c.sleepers()) == 0 }) {
				t.Errorf("commands are left: %v", c.sleepers())
			}
		})
	}
}

// endSleepers ends the commands that outlived a daemon that could not end them.
func (c *crowd) endSleepers() {
	for _, s := range c.sleepers() {
		var pid int
		if _, err := fmt.Sscan(s, &pid); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
