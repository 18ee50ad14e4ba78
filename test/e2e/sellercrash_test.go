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
)

// sellersAtOnce is how many worlds live side by side, where -parallel lets them: mostly they wait, a lost order for a
// minute or two.
const sellersAtOnce = 24

// bought is the time before a reissue: the CA's account with its order, and the journal.
type bought struct{ account, journal string }

// buyer is a daemon with an account at a stand-in.
type buyer interface {
	shop() *seller
	// settle waits until the order is through, and checks what must hold then, whatever went wrong on the way: one purchase,
	// and after a past one reissue more and nothing else.
	settle(reissues int)
}

func (d *seller) shop() *seller { return d }

// sellerTrials are of one CA: everything goes wrong that can, and nothing is bought twice.
type sellerTrials struct {
	// account is the stand-in's file in its folder.
	account string
	// open makes a daemon without a configuration, with the stand-in's folder.
	open func(t testing.TB, dir string) buyer
	// config is the configuration of a buyer that open made.
	config func(buyer) string
	// times is how many exchanges of a kind are tried: later ones look at an order that waits, as earlier ones do.
	times int
	// spoilt says whether an answer is spoilt in a way: the plugin's own tests do it to all, here it is what the daemon makes of
	// it.
	spoilt func(x exchange, how string) bool
}

// world is a daemon whose next order is a new one, or after a past a reissue; domains are proven by files.
func (r sellerTrials) world(t testing.TB, before *bought) buyer {
	t.Helper()
	dir := ""
	if before != nil {
		dir = t.TempDir()
		copyFile(t, before.account, filepath.Join(dir, r.account), 0o600)
	}
	b := r.open(t, dir)
	d := b.shop()
	if before != nil {
		copyFile(t, before.journal, d.path("state/state.db"), 0o600)
	}
	d.due(names...)
	d.write("config.toml", r.config(b)+fmt.Sprintf(`
[certificate.deploy]
reload = ["cp", %q, %q]
`, d.path("tls/web.pem"), d.path("served.pem")), 0o600)
	return b
}

// buy buys an order.
func (r sellerTrials) buy(t testing.TB) *bought {
	t.Helper()
	dir, err := filepath.Abs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := r.open(t, dir)
	d := b.shop()
	d.due(names...)
	d.write("config.toml", r.config(b), 0o600)
	d.start()
	d.installed(d.old)
	d.booked(1, 0)
	d.stop()
	p := &bought{account: filepath.Join(dir, r.account), journal: filepath.Join(dir, "state.db")}
	copyFile(t, d.path("state/state.db"), p.journal, 0o600)
	return p
}

// settled is what must hold at every CA when an order is through; the daemon is stopped by it.
func (d *seller) settled(reissues int) {
	d.t.Helper()
	d.booked(1, reissues)
	if l := d.standIn.Ledger(); l.Count(sandbox.Cancel) > 0 {
		d.t.Errorf("the ledger says %v", l.Counts())
	}
	if d.read("served.pem") != d.read("tls/web.pem") {
		d.t.Error("the server was not told to load what is on disk")
	}
	d.nothingAnswers()
	d.stop()
}

// mishap is one thing that goes wrong with an order.
type mishap struct {
	name string
	// failpoint is what the daemon is told, empty when prepare does it.
	failpoint string
	prepare   func(*seller)
	// kills: the daemon is to be started again afterwards. spoils: an answer of the stand-in is spoilt.
	kills, spoils bool
	// perhaps: the instant need not come in every run.
	perhaps bool
}

// mishaps lists all of a kind of order: the daemon killed before and after each step that the journal writes; daemon and
// plugin killed in each exchange with the CA, before and after it has done its part; and its answers lost or spoilt.
func (r sellerTrials) mishaps(t testing.TB, before *bought, reissues int) []mishap {
	t.Helper()
	b := r.world(t, before)
	d := b.shop()
	d.start("CERTBRIDGED_FAILPOINT=list:" + d.path("steps"))
	b.settle(reissues)
	var list []mishap
	times := map[string]int{}
	for _, step := range strings.Fields(d.read("steps")) {
		times[step]++
		name := step
		if times[step] > 1 {
			name = fmt.Sprintf("%s#%d", step, times[step])
		}
		for _, when := range []string{"before", "after"} {
			list = append(list, mishap{name: "daemon killed " + when + " saving " + name, failpoint: when + ":" + name, kills: true, perhaps: times[step] > 1})
		}
	}
	clear(times)
	for _, c := range d.standIn.Calls() {
		x := exchange{method: c.Method, path: pattern(c.Path)}
		times[x.String()]++
		if x.time = times[x.String()]; x.time <= r.times {
			list = append(list, r.mishapsIn(x)...)
		}
	}
	return list
}

// mishapsIn are those of one exchange.
func (r sellerTrials) mishapsIn(x exchange) []mishap {
	var list []mishap
	for when, done := range map[string]bool{"before": false, "after": true} {
		list = append(list,
			mishap{name: fmt.Sprintf("daemon killed %s the CA has done %s", when, x), kills: true, perhaps: x.time > 1, prepare: func(d *seller) { d.killIn(x, done, d.kill) }},
			mishap{name: fmt.Sprintf("plugin killed %s the CA has done %s", when, x), perhaps: x.time > 1, prepare: func(d *seller) { d.killIn(x, done, d.killPlugin) }})
	}
	spoilt := map[string]sandbox.Misbehaviour{
		"request lost": {Kind: sandbox.Drop}, "answer lost": {Kind: sandbox.Drop, After: true}, "answer reset": {Kind: sandbox.Reset, After: true},
		"answer cut": {Kind: sandbox.Cut}, "answer truncated": {Kind: sandbox.Truncated}, "no answer ever": {Kind: sandbox.Slow},
		"internal error instead": {Kind: sandbox.ServerError}, "internal error afterwards": {Kind: sandbox.ServerError, After: true},
		"a gateway's page afterwards": {Kind: sandbox.HTML, After: true}, "too many requests": {Kind: sandbox.RateLimited, RetryAfter: "1"},
		"types flipped": {Kind: sandbox.FlipTypes},
	}
	for _, how := range slices.Sorted(maps.Keys(spoilt)) {
		if x.time > 1 || !r.spoilt(x, how) {
			continue
		}
		m := spoilt[how]
		m.Method, m.Path = x.method, x.path
		list = append(list, mishap{name: fmt.Sprintf("%s in %s", how, x), spoils: true, prepare: func(d *seller) { d.must(d.standIn.Misbehave(m)) }})
	}
	return list
}

// run lets it happen, and checks that nothing was lost and nothing bought twice. It reports whether it happened.
func (m mishap) run(t *testing.T, b buyer, reissues int) bool {
	d := b.shop()
	if m.prepare != nil {
		m.prepare(d)
	}
	if !m.kills {
		d.start()
		b.settle(reissues)
		spoilt := slices.ContainsFunc(d.standIn.Calls(), func(c sandbox.Call) bool { return c.Misbehaved != "" })
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
	finished := await(ctx, patience, func() bool { return !d.alive() || m.perhaps && d.through("web", d.old) })
	switch {
	case !finished:
		t.Fatalf("this instant did not come within %s", patience)
	case d.alive(): // this time the order took fewer steps
		b.settle(reissues)
		return false
	}
	d.noPlugins("after the daemon was killed")
	d.start()
	b.settle(reissues)
	return true
}

// run is invariant 1 with a real plugin: every step of the journal, and the exchanges with the CA.
func (r sellerTrials) run(t *testing.T) {
	begun := time.Now()
	free := make(places, sellersAtOnce)
	var runs, absent atomic.Int64
	t.Run("kinds", func(t *testing.T) {
		for _, kind := range []string{"new", "reissue"} {
			var before *bought
			reissues := 0
			if kind == "reissue" {
				before, reissues = r.buy(t), 1
			}
			for i, m := range r.mishaps(t, before, reissues) {
				if testing.Short() && i%8 != 0 {
					continue
				}
				t.Run(kind+" "+m.name, func(t *testing.T) {
					t.Parallel()
					free.take(t)
					if m.run(t, r.world(t, before), reissues) {
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
