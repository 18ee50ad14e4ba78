package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/test/peer"
)

// TestRecordsAreWithdrawnAfterACrash is invariant 7 for records: whenever the daemon dies between the choice of what to
// publish and the withdrawal, nothing is left in the zone once the order is through. (For the responder and for webroots
// see TestCrashAtAnyInstantBuysOnceAndLeavesAMatchingPair.)
func TestRecordsAreWithdrawnAfterACrash(t *testing.T) {
	t.Parallel()
	for name, way := range dnsWays(peer.NewTSIGKey("k", "hmac-sha256")) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, step := range dcvSteps(t, way) {
				for _, when := range []string{"before", "after"} {
					t.Run(when+" saving "+step, func(t *testing.T) {
						t.Parallel()
						e := crashable(t, way)
						e.begin("CERTBRIDGED_FAILPOINT=" + when + ":" + step)
						e.untilDead()
						if when+step == "afterpublished" && len(e.shown()) == 0 {
							t.Error("this is no crash between publishing and withdrawing: there is nothing")
						}
						e.start()
						e.untilClean(way)
					})
				}
			}
		})
	}
}

// crashable is an estate with a due certificate for a name and the one below it, whose daemon is not started.
func crashable(t testing.TB, way grant) *estate {
	t.Helper()
	e := newEstate(t, peer.BIND(t, peer.BINDOptions{Keys: []peer.TSIGKey{way.key}, Zones: []peer.Zone{shopZone("k")}}), way)
	e.put("web", e.shop.ca, endsIn, names...)
	e.write("config.toml", e.base("", way)+e.shopped("web", fmt.Sprintf("%q", way.profile), names...), 0o600)
	return e
}

// shown is what stands in the zone for the order: of lego's turns it may be the one name or the other.
func (e *estate) shown() []string {
	var values []string
	for _, name := range names {
		values = append(values, e.bind.TXT(e.t, "_dnsauth."+name)...)
	}
	return values
}

// dcvSteps are the journal's steps from the choice of what is published, which is saved with the CA's answer that the order is placed,
// to the last withdrawal, in an order in which nothing crashes.
func dcvSteps(t *testing.T, way grant) []string {
	t.Helper()
	e := crashable(t, way)
	e.start("CERTBRIDGED_FAILPOINT=list:" + e.path("steps"))
	e.untilClean(way)
	steps := strings.Fields(e.read("steps"))
	from, to := slices.Index(steps, "placed"), len(steps)
	for to > 0 && steps[to-1] != "withdrawn" {
		to--
	}
	if from < 0 || to <= from {
		t.Fatalf("nothing was published and withdrawn: %q", steps)
	}
	var list []string
	times := map[string]int{}
	for _, step := range steps[from:to] {
		if times[step]++; times[step] == 1 { // later ones need not come again in another run
			list = append(list, step)
		}
	}
	return list
}

// untilDead waits until the daemon has killed itself.
func (e *estate) untilDead() {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	select {
	case <-e.proc.done:
	case <-ctx.Done():
		e.t.Fatal("the daemon lives on")
	}
	e.noPlugins("after the daemon was killed")
}

// untilClean waits until the order is through and checks that nothing is left, and that nothing was bought twice.
func (e *estate) untilClean(way grant) {
	e.t.Helper()
	e.untilDone("web")
	bare(e.t, &e.bind.NameServer, "_dnsauth.shop.test", "_dnsauth.www.shop.test", "www.shop.test")
	e.mustStay()
	if sales := e.shop.sales(); len(sales) != 1 {
		e.t.Errorf("bought %d times", len(sales))
	}
	for _, act := range acts(e.t, e.bind) {
		if f := strings.Fields(act); f[1] != way.key.Name {
			e.t.Errorf("the name server has seen %s", act)
		}
	}
	e.stop()
	e.noPlugins("after the end")
}

// TestKilledDCVPluginLeavesNothing: the plugin dies while its record is up, and another process withdraws it.
func TestKilledDCVPluginLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, way := range dnsWays(peer.NewTSIGKey("k", "hmac-sha256")) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := crashable(t, way)
			e.shop.set(func(s *shop) { s.blind = true })
			e.start()
			if !await(t.Context(), patience, func() bool { return len(e.shown()) > 0 }) {
				t.Fatal("nothing was published")
			}
			plugin := "dcv-" + way.plugin
			pids := e.pidsOf(plugin)
			if len(pids) == 0 {
				t.Fatalf("no %s runs", plugin)
			}
			for _, pid := range pids {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			// A call within half a second of the death would be refused, and a withdrawal tried again after thirty seconds.
			if !await(t.Context(), patience, func() bool { return e.recovered(plugin, pids) }) {
				t.Fatalf("%s does not recover", plugin)
			}
			e.shop.set(func(s *shop) { s.blind = false })
			e.untilClean(way)
			if now := e.pidsOf(plugin); len(now) > 0 {
				t.Errorf("%s still runs: %v", plugin, now)
			}
		})
	}
}

// recovered reports that a plugin's death was noticed, and that there is another process or the next call will start one.
func (e *estate) recovered(plugin string, killed []int) bool {
	list, err := e.client.Plugins(e.t.Context())
	return err == nil && slices.ContainsFunc(list, func(p control.Plugin) bool {
		return p.File == plugin && (p.State == "idle" || p.State == "running" && !slices.ContainsFunc(p.PIDs, func(pid int) bool { return slices.Contains(killed, pid) }))
	})
}

// TestCrashInTheMiddleOfAProfileTest: what "dcv test" has published is withdrawn by the next daemon.
func TestCrashInTheMiddleOfAProfileTest(t *testing.T) {
	t.Parallel()
	for name, way := range dnsWays(peer.NewTSIGKey("k", "hmac-sha256")) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEstate(t, peer.BIND(t, peer.BINDOptions{Keys: []peer.TSIGKey{way.key}, Zones: []peer.Zone{shopZone("k")}, Stale: 1}), way)
			e.write("config.toml", e.base("", way), 0o600)
			e.start()
			test := exec.CommandContext(t.Context(), e.binary, "dcv", "test", way.profile, "www.shop.test", "--config", e.path("config.toml"))
			ended := make(chan string, 1)
			go func() {
				text, err := test.CombinedOutput()
				ended <- fmt.Sprintf("%s%v", text, err)
			}()
			const at = "_acme-challenge.www.shop.test"
			e.texts(at)
			select {
			case said := <-ended:
				t.Fatalf("it is over although a server does not follow:\n%s", said)
			default:
			}
			e.kill()
			if said := <-ended; test.ProcessState.ExitCode() == 0 {
				t.Errorf("the command says that all is well:\n%s", said)
			}
			e.noPlugins("after the daemon was killed")
			if left := e.bind.TXT(t, at); len(left) != 1 {
				t.Fatalf("after the crash there is %q", left)
			}
			e.start()
			if !await(t.Context(), patience, func() bool { return len(e.bind.TXT(t, at)) == 0 }) {
				t.Errorf("%s still has %q", at, e.bind.TXT(t, at))
			}
			e.stop()
		})
	}
}

// TestHungUpCallerOfAProfileTest: who goes away in the middle leaves nothing behind either.
func TestHungUpCallerOfAProfileTest(t *testing.T) {
	t.Parallel()
	way := grant{"own", "rfc2136", peer.NewTSIGKey("k", "hmac-sha256")}
	e := newEstate(t, peer.BIND(t, peer.BINDOptions{Keys: []peer.TSIGKey{way.key}, Zones: []peer.Zone{shopZone("k")}, Stale: 1}), way)
	e.write("config.toml", e.base("", way), 0o600)
	e.start()
	ctx, hangUp := context.WithCancel(t.Context())
	test := exec.CommandContext(ctx, e.binary, "dcv", "test", "own", "www.shop.test", "--config", e.path("config.toml"))
	test.Cancel = func() error { return test.Process.Signal(syscall.SIGKILL) }
	if err := test.Start(); err != nil {
		t.Fatal(err)
	}
	const at = "_acme-challenge.www.shop.test"
	e.texts(at)
	hangUp()
	_ = test.Wait() // it was killed
	if !await(t.Context(), 20*time.Second, func() bool { return len(e.bind.TXT(t, at)) == 0 }) {
		t.Errorf("%s still has %q", at, e.bind.TXT(t, at))
	}
	e.stop()
}
