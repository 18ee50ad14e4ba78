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

// tencentPast is the time before a reissue: the account with its certificate, and the journal.
type tencentPast struct{ account, journal string }

// newTencentWorld is a daemon whose next order is a new one, or after a past a reissue; domains are proven by files.
func newTencentWorld(t testing.TB, bind *peer.BINDServer, before *tencentPast) *tencent {
	t.Helper()
	o := tencentOptions{}
	if before != nil {
		o.dir = t.TempDir()
		copyFile(t, before.account, filepath.Join(o.dir, "tencent.json"), 0o600)
	}
	d := newTencent(t, bind, o)
	if before != nil {
		copyFile(t, before.journal, d.path("state/state.db"), 0o600)
	}
	d.due(names...)
	d.write("config.toml", d.base("")+tencentCert(`"http"`, tencentOrder(tencentMany), `renew_before = "30d"`, names...)+fmt.Sprintf(`
[certificate.deploy]
reload = ["cp", %q, %q]
`, d.path("tls/web.pem"), d.path("served.pem")), 0o600)
	return d
}

// newTencentPast buys a certificate.
func newTencentPast(t testing.TB, bind *peer.BINDServer) *tencentPast {
	t.Helper()
	dir, err := filepath.Abs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := newTencent(t, bind, tencentOptions{dir: dir})
	d.due(names...)
	d.write("config.toml", d.base("")+tencentCert(`"http"`, tencentOrder(tencentMany), `renew_before = "30d"`, names...), 0o600)
	d.start()
	d.issuedAndInstalled(d.old, names...)
	d.booked(1, 0)
	d.stop()
	p := &tencentPast{account: filepath.Join(dir, "tencent.json"), journal: filepath.Join(dir, "state.db")}
	copyFile(t, d.path("state/state.db"), p.journal, 0o600)
	return p
}

// settle waits until the order is through, and checks what must hold then, whatever went wrong on the way: one purchase,
// and after a past one reissue more and nothing else.
func (d *tencent) settle(reissues int) {
	d.t.Helper()
	leaf := d.issuedAndInstalled(d.old, names...)
	d.booked(1, reissues)
	if l := d.ca.Ledger(); l.Count(sandbox.Issue) != 1+reissues || l.Count(sandbox.Cancel) > 0 {
		d.t.Errorf("the ledger says %v", l.Counts())
	}
	if got := d.ca.Certificates(); len(got) != 1+reissues || !got[reissues].NotAfter.Equal(leaf.NotAfter) || len(got[0].Tags) != 1 {
		d.t.Errorf("at the CA: %v", got)
	}
	if d.read("served.pem") != d.read("tls/web.pem") {
		d.t.Error("the server was not told to load what is on disk")
	}
	d.nothingAnswers()
	d.stop()
	d.tidy()
}

// tencentMishap is one thing that goes wrong with an order.
type tencentMishap struct {
	name string
	// failpoint is what the daemon is told, empty when prepare does it.
	failpoint string
	prepare   func(*tencent)
	// kills: the daemon is to be started again afterwards. spoils: an answer of the stand-in is spoilt.
	kills, spoils bool
	// perhaps: the instant need not come in every run.
	perhaps bool
}

// tencentMishaps lists all of a kind of order: the daemon killed before and after each step that the journal writes;
// daemon and plugin killed in each exchange with the CA, before and after it has done its part; and answers lost or spoilt.
func tencentMishaps(t testing.TB, bind *peer.BINDServer, before *tencentPast, reissues int) []tencentMishap {
	t.Helper()
	d := newTencentWorld(t, bind, before)
	d.start("CERTBRIDGED_FAILPOINT=list:" + d.path("steps"))
	d.settle(reissues)
	var list []tencentMishap
	times := map[string]int{}
	for _, step := range strings.Fields(d.read("steps")) {
		times[step]++
		name := step
		if times[step] > 1 {
			name = fmt.Sprintf("%s#%d", step, times[step])
		}
		for _, when := range []string{"before", "after"} {
			list = append(list, tencentMishap{name: "daemon killed " + when + " saving " + name, failpoint: when + ":" + name, kills: true, perhaps: times[step] > 1})
		}
	}
	clear(times)
	for _, c := range d.ca.Calls() {
		x := exchange{method: c.Method, path: c.Path}
		times[x.String()]++
		if x.time = times[x.String()]; x.time > 2 { // the same again: how often it is looked differs from run to run
			continue
		}
		list = append(list, tencentMishapsIn(x)...)
	}
	return list
}

// tencentMishapsIn are those of one exchange.
func tencentMishapsIn(x exchange) []tencentMishap {
	var list []tencentMishap
	for when, done := range map[string]bool{"before": false, "after": true} {
		list = append(list,
			tencentMishap{name: fmt.Sprintf("daemon killed %s the CA has done %s", when, x), kills: true, perhaps: x.time > 1, prepare: func(d *tencent) { d.killIn(x, done, d.kill) }},
			tencentMishap{name: fmt.Sprintf("plugin killed %s the CA has done %s", when, x), perhaps: x.time > 1, prepare: func(d *tencent) { d.killIn(x, done, d.killPlugin) }})
	}
	spoilt := map[string]sandbox.Misbehaviour{
		"request lost": {Kind: sandbox.Drop}, "answer lost": {Kind: sandbox.Drop, After: true}, "answer reset": {Kind: sandbox.Reset, After: true},
		"answer cut": {Kind: sandbox.Cut}, "answer truncated": {Kind: sandbox.Truncated}, "no answer ever": {Kind: sandbox.Slow},
		"internal error instead": {Kind: sandbox.ServerError}, "internal error afterwards": {Kind: sandbox.ServerError, After: true},
		"a gateway's page afterwards": {Kind: sandbox.HTML, After: true}, "too many requests": {Kind: sandbox.RateLimited, RetryAfter: "1"},
		"types flipped": {Kind: sandbox.FlipTypes},
	}
	once := slices.Contains([]string{"/CreateCertificate", "/ReplaceCertificate"}, x.path)
	for _, name := range slices.Sorted(maps.Keys(spoilt)) {
		// The plugin's own tests spoil every answer in every way. Here it is what the daemon makes of it.
		if x.time > 1 || !once && !slices.Contains([]string{"answer lost", "a gateway's page afterwards"}, name) {
			continue
		}
		m := spoilt[name]
		m.Path = x.path
		list = append(list, tencentMishap{name: fmt.Sprintf("%s in %s", name, x), spoils: true, prepare: func(d *tencent) { d.must(d.ca.Misbehave(m)) }})
	}
	return list
}

// run lets it happen, and checks that nothing was lost and nothing bought twice. It reports whether it happened.
func (m tencentMishap) run(t *testing.T, d *tencent, reissues int) bool {
	if m.prepare != nil {
		m.prepare(d)
	}
	if !m.kills {
		d.start()
		d.settle(reissues)
		spoilt := slices.ContainsFunc(d.ca.Calls(), func(c sandbox.Call) bool { return c.Misbehaved != "" })
		left := d.pending() || m.spoils && !spoilt
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

// through reports whether another certificate is in place and nothing is left to do.
func (d *tencent) through() bool {
	c, err := d.certificate("web")
	if err != nil || c.Leaf == nil || c.Leaf.Serial == fmt.Sprintf("%x", d.old.SerialNumber) || c.Order != nil {
		return false
	}
	left, err := d.publications()
	return err == nil && len(left) == 0
}

// TestTencentIsBoughtFromOnceWhateverHappens is invariant 1 with the real plugin: every step of the journal, and every
// exchange with the CA.
func TestTencentIsBoughtFromOnceWhateverHappens(t *testing.T) {
	begun := time.Now()
	bind := peer.BIND(t, peer.BINDOptions{Zones: []peer.Zone{digicertZone()}})
	free := make(places, digicertAtOnce)
	var runs, absent atomic.Int64
	t.Run("kinds", func(t *testing.T) {
		for _, kind := range []string{"new", "reissue"} {
			var before *tencentPast
			reissues := 0
			if kind == "reissue" {
				before, reissues = newTencentPast(t, bind), 1
			}
			for i, m := range tencentMishaps(t, bind, before, reissues) {
				if testing.Short() && i%8 != 0 {
					continue
				}
				t.Run(kind+" "+m.name, func(t *testing.T) {
					t.Parallel()
					free.take(t)
					if m.run(t, newTencentWorld(t, bind, before), reissues) {
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
