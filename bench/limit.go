package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/certbridge/certbridged/bench/lab"
	"github.com/certbridge/certbridged/bench/report"
	"github.com/certbridge/certbridged/bench/throttle"
)

// underLimits is part f.
func (b *bench) underLimits(ctx context.Context) error {
	return errors.Join(b.limitedCA(ctx, false), b.limitedCA(ctx, true), b.hung(ctx))
}

// limitedCA lets certificates that are all due order from a CA that takes so many requests a second and refuses the rest. The
// account is told of the limit, or has to learn it from refusals.
func (b *bench) limitedCA(ctx context.Context, told bool) error {
	f, remove, err := b.folder()
	if err != nil {
		return err
	}
	defer remove()
	s, end, err := b.pebbleSite(ctx, f.Dir)
	if err != nil {
		return err
	}
	defer end()
	chain, key, err := b.ca.Server()
	if err != nil {
		return err
	}
	burst := max(1, int(b.limit/10))
	ca, err := throttle.Limited(throttle.Options{
		Target: s.pebble.Address, Chain: chain, Key: key, Root: b.ca.RootPEM(), PerSecond: b.limit, Burst: burst,
	})
	if err != nil {
		return err
	}
	defer func() { _ = ca.Close() }() // its daemon is gone
	list, settings := names(b.limited, "limited", "pebble", "http"), ""
	if told {
		settings = fmt.Sprintf("requests_per_second = %g\n", b.limit)
	}
	rank, err := b.putDue(f, list)
	if err != nil {
		return err
	}
	if err := b.acmeWorld(f, s, ca.DirectoryURL, settings, list); err != nil {
		return err
	}
	t := newTally()
	d, err := f.Start(ctx, t.follow)
	if err != nil {
		return err
	}
	if err := t.await(ctx, d, len(list), nil, b.limitedFor); err != nil {
		return errors.Join(err, d.Kill())
	}
	counts, until := ca.Counts(), time.Now()
	o, err := t.result(d)
	if err := errors.Join(err, d.Kill()); err != nil { // an order may wait for long yet
		return err
	}
	b.limitedRows(told, o, counts, burst, until, rank)
	return nil
}

// putDue writes certificates that are all due, and returns the place of each among them by expiry. The order of the names
// says nothing about it.
func (b *bench) putDue(f *lab.Folder, list []lab.Certificate) (map[string]int, error) {
	place := rand.New(rand.NewPCG(1, 2)).Perm(len(list)) // the same in every run
	now := time.Now()
	rank := map[string]int{}
	for i, c := range list {
		rank[c.Name] = place[i]
	}
	return rank, b.ca.PutAll(f, list, now.AddDate(0, 0, -80), func(n int) time.Time {
		return now.Add(24*time.Hour + time.Duration(place[n])*time.Minute)
	})
}

func (b *bench) limitedRows(told bool, o ordering, counts throttle.Counts, burst int, until time.Time, rank map[string]int) {
	n, done := len(rank), len(o.at)
	inOrder, overtaken := fairness(o.at, rank)
	what := fmt.Sprintf("CA that takes %g requests a second: ", b.limit)
	if told {
		what = fmt.Sprintf("the same, with requests_per_second = %g: ", b.limit)
	}
	add := func(name string, value float64, unit string, target *report.Target, note string) {
		b.Add(report.Row{Part: "f", What: what + name, N: n, Value: value, Unit: unit, Target: target, Note: note})
	}
	add("share of the limit used", counts.Share(b.limit, burst, until), "", report.AtLeast(0.95),
		fmt.Sprintf("%d requests let through, %d refused, %.1f for each certificate", counts.Granted, counts.Refused, float64(counts.Granted)/float64(max(done, 1))))
	add("done", float64(done), "certificates", report.AtLeast(float64(n)), fmt.Sprintf("in %.0f s", until.Sub(counts.First).Seconds()))
	add("pairs of which the nearer expiry was done first", inOrder, "", nil, "0.5 is chance")
	add("most that overtook a nearer expiry", float64(overtaken), "certificates", nil, "that many with a later expiry were done before it")
	note := ""
	for _, kind := range sortedKeys(o.troubles) {
		note += fmt.Sprintf("%d × %s; ", o.troubles[kind], kind)
	}
	add("events of trouble", float64(sum(o.troubles)), "", nil, note)
}

// fairness says of which share of all pairs the one with the nearer expiry was done first, and by how many with a later
// expiry the most unlucky was overtaken. What is not done comes after all that is.
func fairness(at map[string]time.Duration, rank map[string]int) (share float64, overtaken int) {
	type one struct {
		rank int
		at   time.Duration
	}
	list := make([]one, 0, len(rank))
	for name, r := range rank {
		when, ok := at[name]
		if !ok {
			when = 1<<63 - 1
		}
		list = append(list, one{r, when})
	}
	slices.SortFunc(list, func(a, b one) int { return cmp.Compare(a.rank, b.rank) })
	good, all := 0, 0
	for i, a := range list {
		behind := 0
		for _, b := range list[i+1:] {
			switch {
			case a.at == b.at:
				continue
			case a.at < b.at:
				good++
			default:
				behind++
			}
			all++
		}
		overtaken = max(overtaken, behind)
	}
	return float64(good) / float64(max(all, 1)), overtaken
}

// How many certificates are beside what hangs, and how many hang at the CA.
const (
	others = 200
	stuck  = 20
)

// hung lets certificates order from ca-local with a deploy command each, once alone and once beside a CA that never
// answers and a deploy command that never ends.
func (b *bench) hung(ctx context.Context) error {
	alone, err := b.beside(ctx, false)
	if err != nil {
		return fmt.Errorf("alone: %w", err)
	}
	beside, err := b.beside(ctx, true)
	if err != nil {
		return fmt.Errorf("beside what hangs: %w", err)
	}
	delay := time.Duration(0)
	for i := range alone {
		delay = max(delay, beside[i]-alone[i])
	}
	b.Add(report.Row{
		Part: "f", What: "delay of all others by a hung CA and a hung deploy command", N: others, Value: delay.Seconds(), Unit: "s more", Target: report.AtMost(1),
		Note: fmt.Sprintf("most that the k-th one is later; all done after %.2f s alone, %.2f s beside", alone[others-1].Seconds(), beside[others-1].Seconds()),
	})
	return nil
}

// beside returns when each of the others was done, sorted.
func (b *bench) beside(ctx context.Context, hang bool) ([]time.Duration, error) {
	f, remove, err := b.folder()
	if err != nil {
		return nil, err
	}
	defer remove()
	list := names(others, "others", "local", "")
	healthy := map[string]bool{}
	for i := range list {
		list[i].Reload = []string{"true"}
		healthy[list[i].Name] = true
	}
	all, text := list, f.DaemonTable(`plugin_call_timeout = "5m"`)+localAccount(f.Path("ca"))
	if hang {
		chain, key, err := b.ca.Server()
		if err != nil {
			return nil, err
		}
		ca, err := throttle.Hung(throttle.Options{Chain: chain, Key: key})
		if err != nil {
			return nil, err
		}
		defer func() { _ = ca.Close() }() // its daemon is gone
		text += acmeAccount("hung", ca.DirectoryURL, f.Path("root.pem")) + "request_timeout = \"5m\"\n"
		hanging := names(stuck+1, "hanging", "hung", "http")
		for i := range hanging {
			hanging[i].Name = "a" + hanging[i].Name // before the others in every list
		}
		hanging[stuck].CA, hanging[stuck].DCV, hanging[stuck].Reload = "local", "", []string{"sleep", "1000"}
		all = append(hanging, list...)
	}
	if err := errors.Join(writeFile(f.Path("root.pem"), b.ca.RootPEM()), f.Configure(text), f.Manage(all)); err != nil {
		return nil, err
	}
	t := newTally()
	d, err := f.Start(ctx, t.follow)
	if err != nil {
		return nil, err
	}
	err = t.await(ctx, d, others, healthy, 0)
	o, err2 := t.result(d)
	if err := errors.Join(err, err2); err != nil {
		return nil, errors.Join(err, d.Kill())
	}
	// A daemon that is told to stop ends what hangs; that is no part of this.
	if err := errors.Join(d.Stop(), b.ca.Installed(f, list)); err != nil {
		return nil, err
	}
	var at []time.Duration
	for name := range healthy {
		at = append(at, o.at[name])
	}
	slices.Sort(at)
	return at, nil
}

func sum(counts map[string]int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}
