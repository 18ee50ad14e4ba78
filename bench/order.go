package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/certbridge/certbridged/bench/acmeload"
	"github.com/certbridge/certbridged/bench/lab"
	"github.com/certbridge/certbridged/bench/nameserver"
	"github.com/certbridge/certbridged/bench/pebble"
	"github.com/certbridge/certbridged/bench/report"
)

// ordering is what became of many certificates that a daemon ordered.
type ordering struct {
	// took is from the start of the daemon's process to the last certificate that it says is deployed.
	took time.Duration
	// at is when each was done, after the start.
	at map[string]time.Duration
	// daemon and plugins are their processor time, peak is the daemon's most memory.
	daemon, plugins time.Duration
	peak            int64
	// pebble is the CA's processor time, where that is a process.
	pebble time.Duration
	// own is this process's processor time meanwhile: it follows the daemon's log, and is the name server.
	own time.Duration
	// troubles counts events of trouble by their kind.
	troubles map[string]int
}

// rate is certificates per second.
func (o ordering) rate(n int) float64 { return float64(n) / o.took.Seconds() }

// tally counts what the daemon tells. It is told from another goroutine.
type tally struct {
	mu    sync.Mutex
	done  map[string]time.Time
	other map[string]int
	last  string // trouble
	news  chan struct{}
}

func newTally() *tally {
	return &tally{done: map[string]time.Time{}, other: map[string]int{}, news: make(chan struct{}, 1)}
}

func (t *tally) follow(e lab.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case e.Kind == "deployed":
		t.done[e.Certificate] = e.Time
	case e.Level != "INFO" && e.Level != "DEBUG":
		t.other[e.Kind+" ("+strings.ToLower(e.Level)+")"]++
		t.last = e.Message
		return
	default:
		return
	}
	select {
	case t.news <- struct{}{}:
	default:
	}
}

func (t *tally) count(of map[string]bool) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if of == nil {
		return len(t.done)
	}
	n := 0
	for name := range t.done {
		if of[name] {
			n++
		}
	}
	return n
}

// noProgress is how long nothing may come before a run is given up: longer than any single wait of the daemon's that
// these runs should see, so that a slow run is measured and a dead one is told.
const noProgress = 90 * time.Second

// await waits until so many of some certificates are done (of all for nil), or until the limit, where there is one.
func (t *tally) await(ctx context.Context, d *lab.Daemon, n int, of map[string]bool, limit time.Duration) error {
	var end <-chan time.Time
	if limit > 0 {
		end = time.After(limit)
	}
	patience := time.NewTimer(noProgress)
	defer patience.Stop()
	for have := 0; ; {
		if now := t.count(of); now >= n {
			return nil
		} else if now > have {
			have = now
			patience.Reset(noProgress)
		}
		select {
		case <-t.news:
		case <-end:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-d.Gone():
			return fmt.Errorf("the daemon ended:\n%s", d.Words())
		case <-patience.C:
			t.mu.Lock()
			defer t.mu.Unlock()
			return fmt.Errorf("%d of %d certificates, and none in %s; other events: %v, the last: %s", have, n, noProgress, t.other, t.last)
		}
	}
}

// result is what the daemon has told, and what it used.
func (t *tally) result(d *lab.Daemon) (ordering, error) {
	o := ordering{at: map[string]time.Duration{}, plugins: lab.ChildrenCPU(d.PID())}
	var err1, err2 error
	o.daemon, err1 = lab.CPU(d.PID())
	_, o.peak, err2 = lab.Memory(d.PID())
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, at := range t.done {
		o.at[name] = at.Sub(d.Began)
		o.took = max(o.took, o.at[name])
	}
	o.troubles = t.other
	return o, errors.Join(err1, err2)
}

// order lets a daemon order all certificates of a folder, and checks that they are on disk.
func (b *bench) order(ctx context.Context, f *lab.Folder, list []lab.Certificate) (ordering, error) {
	t := newTally()
	before, err1 := lab.CPU(os.Getpid())
	d, err := f.Start(ctx, t.follow)
	if err != nil {
		return ordering{}, err
	}
	if err := t.await(ctx, d, len(list), nil, 0); err != nil {
		return ordering{}, errors.Join(err, d.Kill())
	}
	o, err := t.result(d)
	after, err2 := lab.CPU(os.Getpid())
	o.own = after - before
	if err := errors.Join(err, err1, err2, d.Stop()); err != nil {
		return o, err
	}
	return o, b.ca.Installed(f, list)
}

// rows tells an ordering.
func (b *bench) rows(letter, what string, n int, o ordering) {
	note := ""
	for _, kind := range sortedKeys(o.troubles) {
		note += fmt.Sprintf("%d × %s; ", o.troubles[kind], kind)
	}
	add := func(name string, value float64, unit, note string) {
		b.Add(report.Row{Part: letter, What: what + ": " + name, N: n, Value: value, Unit: unit, Note: note})
	}
	add("daemon's processor time", o.daemon.Seconds(), "CPU s", fmt.Sprintf("%.2f ms each", o.daemon.Seconds()*1000/float64(n)))
	add("plugins' processor time", o.plugins.Seconds(), "CPU s", fmt.Sprintf("%.2f ms each", o.plugins.Seconds()*1000/float64(n)))
	if o.pebble > 0 {
		add("Pebble's processor time", o.pebble.Seconds(), "CPU s", fmt.Sprintf("%.2f ms each", o.pebble.Seconds()*1000/float64(n)))
	}
	add("bench's own processor time", o.own.Seconds(), "CPU s", fmt.Sprintf("%.2f ms each", o.own.Seconds()*1000/float64(n)))
	add("daemon's most memory", float64(o.peak)/(1<<20), "MB", strings.TrimSuffix(note, "; "))
}

// names makes certificates with one name each. A new tag makes new names.
func names(n int, tag string, ca, profile string) []lab.Certificate {
	zone := strings.TrimSuffix(nameserver.Zone, ".")
	list := make([]lab.Certificate, n)
	for i := range list {
		list[i] = lab.Certificate{Name: lab.Name(i), Domain: fmt.Sprintf("%s.%s.%s", lab.Name(i), tag, zone), CA: ca, DCV: profile}
	}
	return list
}

// throughPebble is part a.
func (b *bench) throughPebble(ctx context.Context) error {
	for _, n := range b.orders {
		for _, challenge := range []string{"http-01", "dns-01"} {
			if err := b.pebbleRun(ctx, n, challenge); err != nil {
				return fmt.Errorf("%d by %s: %w", n, challenge, err)
			}
		}
	}
	return nil
}

// pebbleRun measures the ceiling with each number of orders in flight and, right after each, the daemon. Others may use the machine
// too, and one try be half as fast as the next: the best of both counts, of as many tries.
func (b *bench) pebbleRun(ctx context.Context, n int, challenge string) error {
	var ceiling, ours tries
	var best ordering
	for _, inFlight := range b.inFlight {
		rate, err := b.ceiling(ctx, n, challenge, inFlight)
		if err != nil {
			return fmt.Errorf("ceiling with %d in flight: %w", inFlight, err)
		}
		ceiling.add(rate, fmt.Sprintf("%.0f with %d in flight", rate, inFlight))
		o, err := b.daemonAtPebble(ctx, n, challenge)
		if err != nil {
			return err
		}
		if ours.add(o.rate(n), fmt.Sprintf("%.2f s", o.took.Seconds())) {
			best = o
		}
	}
	what := "Pebble " + challenge
	b.Add(report.Row{Part: "a", What: what + ": ceiling", N: n, Value: ceiling.best, Unit: "certificates/s", Note: ceiling.note()})
	b.Add(report.Row{Part: "a", What: what + ": certbridged", N: n, Value: ours.best, Unit: "certificates/s", Note: ours.note()})
	b.Add(report.Row{Part: "a", What: what + ": share of the ceiling", N: n, Value: ours.best / ceiling.best, Target: report.AtLeast(0.5)})
	b.Add(report.Row{Part: "a", What: what + ": certbridged, all done", N: n, Value: best.took.Seconds(), Unit: "s"})
	b.rows("a", what, n, best)
	return nil
}

// tries are the rates of several tries at the same thing.
type tries struct {
	best float64
	each []string
}

// add takes one more and reports whether it is the best.
func (t *tries) add(rate float64, told string) bool {
	t.each = append(t.each, told)
	if rate <= t.best {
		return false
	}
	t.best = rate
	return true
}

func (t *tries) note() string {
	if len(t.each) == 1 {
		return t.each[0]
	}
	return "best of " + strings.Join(t.each, ", ")
}

// site is a Pebble with its name server, and where it looks for files.
type site struct {
	names  *nameserver.Server
	pebble *pebble.Server
	files  string
}

// pebbleSite starts a fresh Pebble: a CA that remembers thousands of orders is slower than one that does not. The
// caller calls the function it gets when done.
func (b *bench) pebbleSite(ctx context.Context, dir string) (*site, func(), error) {
	files, err := pebble.FreeAddress()
	if err != nil {
		return nil, nil, err
	}
	port := 0
	if _, err := fmt.Sscanf(files, "127.0.0.1:%d", &port); err != nil {
		return nil, nil, err
	}
	ns, err := nameserver.Start()
	if err != nil {
		return nil, nil, err
	}
	chain, key, err := b.ca.Server()
	if err != nil {
		return nil, nil, errors.Join(err, ns.Close())
	}
	p, err := pebble.Start(ctx, pebble.Options{
		Binary: b.pebble, Dir: filepath.Join(dir, "pebble"), Chain: chain, Key: key, Root: b.ca.RootPEM(),
		HTTPPort: port, DNS: ns.Address, NonceReject: b.nonceReject, RetryAfter: b.retryAfter,
	})
	if err != nil {
		return nil, nil, errors.Join(err, ns.Close())
	}
	return &site{names: ns, pebble: p, files: files}, func() {
		p.Close()
		_ = ns.Close() // nobody asks any more
	}, nil
}

// leastCeiling is how many orders the ceiling is measured with at least: it must not look low for want of a warm start.
const leastCeiling = 300

// ceiling is how many certificates a second a client gets that does nothing but order.
func (b *bench) ceiling(ctx context.Context, n int, challenge string, inFlight int) (float64, error) {
	f, remove, err := b.folder()
	if err != nil {
		return 0, err
	}
	defer remove()
	s, end, err := b.pebbleSite(ctx, f.Dir)
	if err != nil {
		return 0, err
	}
	defer end()
	load := acmeload.Load{DirectoryURL: s.pebble.DirectoryURL, Root: b.ca.RootPEM(), InFlight: inFlight, SetText: s.names.Set}
	if challenge == "http-01" {
		load.HTTPAddress = s.files
	}
	n = max(n, leastCeiling)
	for _, c := range names(n, "ceiling", "", "") {
		load.Domains = append(load.Domains, c.Domain)
	}
	took, err := load.Run(ctx)
	if err != nil {
		return 0, err
	}
	return float64(n) / took.Seconds(), nil
}

func (b *bench) daemonAtPebble(ctx context.Context, n int, challenge string) (ordering, error) {
	f, remove, err := b.folder()
	if err != nil {
		return ordering{}, err
	}
	defer remove()
	s, end, err := b.pebbleSite(ctx, f.Dir)
	if err != nil {
		return ordering{}, err
	}
	defer end()
	profile := "http"
	if challenge == "dns-01" {
		profile = "dns"
	}
	list := names(n, "daemon", "pebble", profile)
	if err := b.acmeWorld(f, s, s.pebble.DirectoryURL, "", list); err != nil {
		return ordering{}, err
	}
	o, err := b.order(ctx, f, list)
	used, err2 := lab.CPU(s.pebble.PID())
	o.pebble = used
	if err := errors.Join(err, err2); err != nil {
		return o, err
	}
	if left := s.names.Left(); left > 0 {
		o.troubles["records left in the zone"] = left
	}
	return o, nil
}

// acmeWorld writes the configuration of a daemon that orders from an ACME CA. settings are further ones of the account.
func (b *bench) acmeWorld(f *lab.Folder, s *site, directory, settings string, list []lab.Certificate) error {
	root := f.Path("root.pem")
	text := f.DaemonTable(s.daemonKeys()...) + acmeAccount("pebble", directory, root) + settings + fmt.Sprintf(`
[dcv.dns]
plugin = "rfc2136"
[dcv.dns.settings]
nameserver = %q
zone = %q
`, s.names.Address, nameserver.Zone)
	return errors.Join(writeFile(root, b.ca.RootPEM()), f.Configure(text), f.Manage(list))
}

// daemonKeys are the keys of [daemon] by which it works at a site. The check of a file at its public address is off, as
// on a machine that may not look its own names up: nothing listens on port 80 here.
func (s *site) daemonKeys() []string {
	return []string{
		fmt.Sprintf("http_challenge_listen = %q", s.files), "http_challenge_self_check = false",
		fmt.Sprintf("dns_resolvers = [%q]", s.names.Address), `dns_propagation = "resolvers"`,
	}
}

func acmeAccount(name, directory, root string) string {
	return fmt.Sprintf("\n[ca.%s]\nplugin = \"acme\"\n[ca.%s.settings]\ndirectory_url = %q\nterms_of_service_agreed = true\nroot_ca_file = %q\n", name, name, directory, root)
}

// localAccount is an account of the private CA; dir is the CA's folder.
func localAccount(dir string) string {
	return fmt.Sprintf("\n[ca.local]\nplugin = \"local\"\n[ca.local.settings]\ndir = %q\n", dir)
}

// throughLocal is part b.
func (b *bench) throughLocal(ctx context.Context) error {
	for _, n := range b.orders {
		o, err := b.localRun(ctx, n)
		if err != nil {
			return fmt.Errorf("%d: %w", n, err)
		}
		row := report.Row{Part: "b", What: "ca-local: all done", N: n, Value: o.took.Seconds(), Unit: "s", Note: fmt.Sprintf("%.0f certificates/s", o.rate(n))}
		if n == 1000 {
			row.Target = report.AtMost(5)
		}
		b.Add(row)
		b.rows("b", "ca-local", n, o)
	}
	return nil
}

func (b *bench) localRun(ctx context.Context, n int) (ordering, error) {
	f, remove, err := b.folder()
	if err != nil {
		return ordering{}, err
	}
	defer remove()
	list := names(n, "local", "local", "")
	if err := errors.Join(f.Configure(f.DaemonTable()+localAccount(f.Path("ca"))), f.Manage(list)); err != nil {
		return ordering{}, err
	}
	return b.order(ctx, f, list)
}

func sortedKeys[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}
