package e2e

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	"github.com/certbridge/certbridged/test/peer"
)

// servertasticPast is the time before a reissue: the account with its order, and the journal.
type servertasticPast struct{ account, journal string }

// newServerTasticWorld is a daemon whose next order is a new one, or after a past a reissue; domains are proven by files.
func newServerTasticWorld(t testing.TB, bind *peer.BINDServer, before *servertasticPast) *servertastic {
	t.Helper()
	var o servertasticOptions
	if before != nil {
		o.dir = t.TempDir()
		copyFile(t, before.account, filepath.Join(o.dir, "servertastic.json"), 0o600)
	}
	d := newServerTastic(t, bind, o)
	if before != nil {
		copyFile(t, before.journal, d.path("state/state.db"), 0o600)
	}
	d.due(names...)
	d.write("config.toml", d.base("")+servertasticCert(`"http"`, rapidOrder, `renew_before = "30d"`, names...)+fmt.Sprintf(`
[certificate.deploy]
reload = ["cp", %q, %q]
`, d.path("tls/web.pem"), d.path("served.pem")), 0o600)
	return d
}

// newServerTasticPast buys an order.
func newServerTasticPast(t testing.TB, bind *peer.BINDServer) *servertasticPast {
	t.Helper()
	dir, err := filepath.Abs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := newServerTastic(t, bind, servertasticOptions{dir: dir})
	d.due(names...)
	d.write("config.toml", d.base("")+servertasticCert(`"http"`, rapidOrder, `renew_before = "30d"`, names...), 0o600)
	d.start()
	d.issuedAndInstalled(d.old, names...)
	d.booked(1, 0)
	d.stop()
	p := &servertasticPast{account: filepath.Join(dir, "servertastic.json"), journal: filepath.Join(dir, "state.db")}
	copyFile(t, d.path("state/state.db"), p.journal, 0o600)
	return p
}

// settle waits until the order is through, and checks what must hold then, whatever went wrong on the way.
func (d *servertastic) settle(reissues int) {
	d.t.Helper()
	d.issuedAndInstalled(d.old, names...)
	d.booked(1, reissues)
	if l := d.ca.Ledger(); l.Count(sandbox.Cancel) > 0 || len(d.ca.Orders()) != 1 {
		d.t.Errorf("the ledger says %v, the orders are %+v", l.Counts(), d.ca.Orders())
	}
	if d.read("served.pem") != d.read("tls/web.pem") {
		d.t.Error("the server was not told to load what is on disk")
	}
	d.nothingAnswers()
	d.stop()
	d.tidy()
}

// servertasticMishap is one thing that goes wrong with an order.
type servertasticMishap struct {
	name string
	// failpoint is what the daemon is told, empty when prepare does it.
	failpoint string
	prepare   func(*servertastic)
	// kills: the daemon is to be started again afterwards. perhaps: the instant need not come in every run.
	kills, perhaps bool
}

// servertasticMishaps lists all of a kind of order: the daemon killed before and after each step that the journal writes;
// daemon and plugin killed in each exchange with the CA, before and after it has done its part; and answers lost or spoilt.
func servertasticMishaps(t testing.TB, bind *peer.BINDServer, before *servertasticPast, reissues int) []servertasticMishap {
	t.Helper()
	d := newServerTasticWorld(t, bind, before)
	d.start("CERTBRIDGED_FAILPOINT=list:" + d.path("steps"))
	d.settle(reissues)
	var list []servertasticMishap
	times := map[string]int{}
	for _, step := range strings.Fields(d.read("steps")) {
		times[step]++
		name := step
		if times[step] > 1 {
			name = fmt.Sprintf("%s#%d", step, times[step])
		}
		for _, when := range []string{"before", "after"} {
			list = append(list, servertasticMishap{name: "daemon killed " + when + " saving " + name, failpoint: when + ":" + name, kills: true, perhaps: times[step] > 1})
		}
	}
	clear(times)
	for _, c := range d.ca.Calls() {
		x := exchange{method: c.Method, path: c.Path}
		times[x.String()]++
		if x.time = times[x.String()]; x.time <= 2 { // later ones look at an order that waits, as the second does
			list = append(list, servertasticMishapsIn(x)...)
		}
	}
	return list
}

// servertasticMishapsIn are those of one exchange.
func servertasticMishapsIn(x exchange) []servertasticMishap {
	var list []servertasticMishap
	for when, done := range map[string]bool{"before": false, "after": true} {
		list = append(list,
			servertasticMishap{name: fmt.Sprintf("daemon killed %s the CA has done %s", when, x), kills: true, perhaps: x.time > 1, prepare: func(d *servertastic) { d.killIn(x, done, d.kill) }},
			servertasticMishap{name: fmt.Sprintf("plugin killed %s the CA has done %s", when, x), perhaps: x.time > 1, prepare: func(d *servertastic) { d.killIn(x, done, d.killPlugin) }})
	}
	spoilt := map[string]sandbox.Misbehaviour{
		"request lost": {Kind: sandbox.Drop}, "answer lost": {Kind: sandbox.Drop, After: true}, "answer truncated": {Kind: sandbox.Truncated},
		"no answer ever": {Kind: sandbox.Slow}, "internal error afterwards": {Kind: sandbox.ServerError, After: true},
		"a gateway's page afterwards": {Kind: sandbox.HTML, After: true}, "too many requests": {Kind: sandbox.RateLimited, RetryAfter: "1"},
	}
	for _, name := range slices.Sorted(maps.Keys(spoilt)) {
		// The plugin's own tests spoil every answer in every way. Here it is what the daemon makes of the calls that do something.
		if x.time > 1 || !slices.Contains([]string{"/order/generatetoken.json", "/order/place.json", "/order/reissue.json"}, x.path) {
			continue
		}
		m := spoilt[name]
		m.Method, m.Path = x.method, x.path
		list = append(list, servertasticMishap{name: fmt.Sprintf("%s in %s", name, x), prepare: func(d *servertastic) { d.must(d.ca.Misbehave(m)) }})
	}
	return list
}

// run lets it happen, and checks that nothing was lost and nothing bought twice. It reports whether it happened.
func (m servertasticMishap) run(t *testing.T, d *servertastic, reissues int) bool {
	if m.prepare != nil {
		m.prepare(d)
	}
	if !m.kills {
		d.start()
		d.settle(reissues)
		left := d.pending() || m.spoils(d)
		if left && !m.perhaps {
			t.Error("this did not happen")
		}
		return !left
	}
	var env []string
	if m.failpoint != "" {
		env = append(env, "CERTBRIDGED_FAILPOINT="+m.failpoint)
	}
	d.begin(env...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	finished := await(ctx, patience, func() bool { return !d.alive() || m.perhaps && d.through() })
	switch {
	case !finished:
		t.Fatalf("this instant did not come within %s", patience)
	case d.alive(): // this time the order took fewer steps
		d.settle(reissues)
		return false
	}
	d.noPlugins("after the daemon was killed")
	d.start()
	d.settle(reissues)
	return true
}

// spoils reports whether an answer is still to be spoilt.
func (m servertasticMishap) spoils(d *servertastic) bool {
	return !slices.ContainsFunc(d.ca.Calls(), func(c sandbox.Call) bool { return c.Misbehaved != "" }) && strings.Contains(m.name, " in ")
}

// through reports whether another certificate is in place and nothing is left to do.
func (d *servertastic) through() bool {
	c, err := d.certificate("web")
	if err != nil || c.Leaf == nil || c.Leaf.Serial == fmt.Sprintf("%x", d.old.SerialNumber) || c.Order != nil {
		return false
	}
	left, err := d.publications()
	return err == nil && len(left) == 0
}

// TestServerTasticIsBoughtFromOnceWhateverHappens is invariant 1 with the real plugin: every step of the journal, and the
// exchanges with the CA.
func TestServerTasticIsBoughtFromOnceWhateverHappens(t *testing.T) {
	begun := time.Now()
	bind := peer.BIND(t, peer.BINDOptions{Zones: []peer.Zone{digicertZone()}})
	free := make(places, digicertAtOnce)
	var runs, absent atomic.Int64
	t.Run("kinds", func(t *testing.T) {
		for _, kind := range []string{"new", "reissue"} {
			var before *servertasticPast
			reissues := 0
			if kind == "reissue" {
				before, reissues = newServerTasticPast(t, bind), 1
			}
			for i, m := range servertasticMishaps(t, bind, before, reissues) {
				if testing.Short() && i%8 != 0 {
					continue
				}
				t.Run(kind+" "+m.name, func(t *testing.T) {
					t.Parallel()
					free.take(t)
					if m.run(t, newServerTasticWorld(t, bind, before), reissues) {
						runs.Add(1)
					} else {
						absent.Add(1)
					}
				})
			}
		}
	})
	t.Logf("%d runs in which something went wrong, %d in which it did not come to that, in %s: one purchase in each", runs.Load(), absent.Load(), time.Since(begun).Round(time.Second))
	if runs.Load() == 0 {
		t.Error("nothing went wrong")
	}
}
