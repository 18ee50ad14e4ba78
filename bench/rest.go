package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/bench/lab"
	"github.com/certbridge/certbridged/bench/report"
)

func writeFile(path string, text []byte) error { return os.WriteFile(path, text, 0o600) }

// atRest is parts c, d and e: certificates on disk, none due.
func (b *bench) atRest(ctx context.Context) error {
	for _, n := range b.managed {
		if err := b.restRun(ctx, n); err != nil {
			return fmt.Errorf("%d: %w", n, err)
		}
	}
	return nil
}

func (b *bench) restRun(ctx context.Context, n int) error {
	f, remove, err := b.folder()
	if err != nil {
		return err
	}
	defer remove()
	list := names(n, "rest", "local", "")
	now := time.Now()
	err = errors.Join(
		b.ca.PutAll(f, list, now.AddDate(0, 0, -10), func(int) time.Time { return now.AddDate(0, 0, 80) }),
		f.Manage(list),
	)
	if err == nil {
		err = giveAPast(f, list, now.AddDate(0, 0, -10))
	}
	if err != nil {
		return err
	}
	for _, p := range []struct {
		letter string
		run    func(context.Context, *lab.Folder, []lab.Certificate) error
	}{{"c", b.start}, {"d", b.rescan}, {"e", b.reaction}} { // the last one changes files
		if !strings.Contains(b.parts, p.letter) {
			continue
		}
		if err := p.run(ctx, f, list); err != nil {
			return fmt.Errorf("part %s: %w", p.letter, err)
		}
	}
	return nil
}

// restWindow is for how long a daemon must use next to nothing before it counts as being at rest: longer than a slow disk lets
// one wait that reads a hundred thousand files.
const restWindow = 2 * time.Second

// restTimeout bounds the wait for that.
const restTimeout = 5 * time.Minute

// rested starts a daemon and waits until it is at rest.
func (b *bench) rested(ctx context.Context, f *lab.Folder, follow func(lab.Event), more ...string) (d *lab.Daemon, since time.Time, used time.Duration, err error) {
	if err := f.Configure(f.DaemonTable(more...) + localAccount(f.Path("ca"))); err != nil {
		return nil, since, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, restTimeout)
	defer cancel()
	if d, err = f.Start(ctx, follow); err != nil {
		return nil, since, 0, err
	}
	if since, used, err = d.Quiet(ctx, restWindow); err != nil {
		return nil, since, 0, errors.Join(err, d.Kill())
	}
	return d, since, used, nil
}

// start is part c.
func (b *bench) start(ctx context.Context, f *lab.Folder, list []lab.Certificate) error {
	n := len(list)
	d, since, used, err := b.rested(ctx, f, nil)
	if err != nil {
		return err
	}
	rss, peak, err1 := lab.Memory(d.PID())
	mapped, err2 := lab.Mapped(d.PID())
	if err := errors.Join(err1, err2); err != nil {
		return errors.Join(err, d.Kill())
	}
	ready := map[int]*report.Target{10000: report.AtMost(2), 100000: report.AtMost(15)}
	memory := map[int]*report.Target{10000: report.AtMost(60), 100000: report.AtMost(300)}
	add := func(what string, value float64, unit string, target *report.Target, note string) {
		b.Add(report.Row{Part: "c", What: what, N: n, Value: value, Unit: unit, Target: target, Note: note})
	}
	add("start to ready", d.Ready.Sub(d.Began).Seconds(), "s", ready[n], "")
	add("start to all looked at", since.Sub(d.Began).Seconds(), "s", ready[n], "")
	add("start: processor time", used.Seconds(), "CPU s", nil, "")
	add("resident memory after the start", float64(rss)/(1<<20), "MB", nil, fmt.Sprintf("peak %.1f; %.1f of it are pages of files", float64(peak)/(1<<20), float64(mapped)/(1<<20)))
	if err := b.known(ctx, f, n); err != nil {
		return errors.Join(err, d.Kill())
	}
	// The question just asked is not what an idle daemon does.
	settling, cancel := context.WithTimeout(ctx, restTimeout)
	defer cancel()
	if _, _, err := d.Quiet(settling, restWindow); err != nil {
		return errors.Join(err, d.Kill())
	}
	if err := b.idleRun(ctx, d, n, memory[n]); err != nil {
		return errors.Join(err, d.Kill())
	}
	return d.Stop()
}

// known checks that the daemon has looked at all certificates, and that none is due.
func (b *bench) known(ctx context.Context, f *lab.Folder, n int) error {
	client, err := f.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	begun := time.Now()
	list, err := client.Status(ctx, "")
	if err != nil {
		return err
	}
	b.Add(report.Row{Part: "c", What: "status of all certificates by the control socket", N: n, Value: time.Since(begun).Seconds(), Unit: "s"})
	if len(list) != n {
		return fmt.Errorf("the daemon knows %d certificates", len(list))
	}
	for _, c := range list {
		if c.Order != nil || c.Next.Due || c.Leaf == nil || c.Next.At.IsZero() {
			return fmt.Errorf("certificate %s is not at rest: %+v", c.Name, c)
		}
	}
	return nil
}

func (b *bench) idleRun(ctx context.Context, d *lab.Daemon, n int, target *report.Target) error {
	before, err := lab.CPU(d.PID())
	if err != nil {
		return err
	}
	begun := time.Now()
	select {
	case <-time.After(b.idle):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	after, err1 := lab.CPU(d.PID())
	rss, peak, err2 := lab.Memory(d.PID())
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	share := (after - before).Seconds() / time.Since(begun).Seconds() * 100
	note := fmt.Sprintf("over %s", b.idle)
	if children := lab.Children(d.PID()); len(children) > 0 {
		note += fmt.Sprintf("; %d plugins run", len(children))
	}
	b.Add(report.Row{Part: "c", What: "idle: processor use", N: n, Value: share, Unit: "% of a core", Target: report.AtMost(0.1), Note: note})
	b.Add(report.Row{Part: "c", What: "idle: resident memory", N: n, Value: float64(rss) / (1 << 20), Unit: "MB", Target: target, Note: fmt.Sprintf("peak %.1f with the question for all", float64(peak)/(1<<20))})
	return nil
}

// reactions is how often a file is changed.
const reactions = 5

// reaction is part e: a pair of files is replaced by one that is due, and the daemon says that it intends an order. The
// status would not do, for it looks at the files itself.
func (b *bench) reaction(ctx context.Context, f *lab.Folder, list []lab.Certificate) error {
	type news struct {
		certificate string
		at          time.Time
	}
	told := make(chan news, len(list))
	d, _, _, err := b.rested(ctx, f, func(e lab.Event) {
		if e.Kind == "intended" {
			told <- news{e.Certificate, e.Time}
		}
	})
	if err != nil {
		return err
	}
	var took []time.Duration
	ctx, cancel := context.WithTimeout(ctx, restTimeout)
	defer cancel()
	for i := range min(reactions, len(list)) {
		c := list[(i*len(list)/reactions+1)%len(list)]
		now := time.Now()
		if err := b.ca.Put(f, c, now.AddDate(0, 0, -80), now.Add(time.Hour)); err != nil {
			return errors.Join(err, d.Kill())
		}
		changed := time.Now()
		for seen := false; !seen; {
			select {
			case n := <-told:
				if seen = n.certificate == c.Name; seen {
					took = append(took, n.at.Sub(changed))
				}
			case <-ctx.Done():
				return errors.Join(fmt.Errorf("the daemon does not notice: %w", context.Cause(ctx)), d.Kill())
			}
		}
	}
	b.Add(report.Row{
		Part: "e", What: "a file was changed to the daemon acting on it", N: len(list), Value: slices.Max(took).Seconds(), Unit: "s", Target: report.AtMost(1),
		Note: fmt.Sprintf("slowest of %d, median %s", len(took), median(took).Round(time.Millisecond)),
	})
	return d.Stop()
}

func median(list []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
