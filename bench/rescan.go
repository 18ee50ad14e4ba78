package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/bench/lab"
	"github.com/certbridge/certbridged/bench/pebble"
	"github.com/certbridge/certbridged/bench/report"
)

const (
	// rescans is how many are looked at.
	rescans = 3
	// rescanTick is how often the daemon's processor time is read around a rescan, and with it how exact that of the rescan is.
	rescanTick = 2 * time.Millisecond
)

// rescan is part d. The daemon tells by its metrics when its last rescan began and how long it took; the processor time is what
// the daemon, which is at rest before and after, uses from then to then.
func (b *bench) rescan(ctx context.Context, f *lab.Folder, list []lab.Certificate) error {
	address, err := pebble.FreeAddress()
	if err != nil {
		return err
	}
	// The metrics of many certificates take seconds to tell: that must be over when the next rescan begins.
	every := 5*time.Second + time.Duration(len(list)/5)*time.Millisecond
	d, _, _, err := b.rested(ctx, f, nil, fmt.Sprintf("rescan_interval = %q", every), fmt.Sprintf("metrics_listen = %q", address))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, restTimeout)
	defer cancel()
	took, used, err := watchSweeps(ctx, d, address, every)
	if err != nil {
		return errors.Join(err, d.Kill())
	}
	var target *report.Target
	if len(list) == 10000 {
		target = report.AtMost(100)
	}
	note := fmt.Sprintf("median of %d, as the daemon tells it", rescans)
	b.Add(report.Row{Part: "d", What: "full rescan, nothing changed", N: len(list), Value: milliseconds(median(took)), Unit: "ms", Target: target, Note: note})
	note = fmt.Sprintf("of the whole daemon from its beginning to its end, ±%s", 2*rescanTick)
	b.Add(report.Row{Part: "d", What: "full rescan: processor time", N: len(list), Value: milliseconds(median(used)), Unit: "CPU ms", Note: note})
	return d.Stop()
}

func watchSweeps(ctx context.Context, d *lab.Daemon, address string, every time.Duration) (took, used []time.Duration, err error) {
	last, err := lastSweep(ctx, address)
	for err == nil && len(took) < rescans {
		var clock []reading
		var s sweep
		if clock, err = watch(ctx, d, last.began.Add(every)); err != nil {
			break
		}
		if s, err = lastSweep(ctx, address); err != nil {
			break
		}
		// One that began before it was watched, or that has not ended, is let alone.
		if s.began.After(clock[0].at) && s.took > 0 && s.end().Before(clock[len(clock)-1].at) {
			took, used = append(took, s.took), append(used, usedAt(clock, s.end())-usedAt(clock, s.began))
		}
		last = s
	}
	return took, used, err
}

// reading is how much processor time a process had used at an instant.
type reading struct {
	at   time.Time
	used time.Duration
}

// watch reads the daemon's processor time from now until it rests after an instant.
func watch(ctx context.Context, d *lab.Daemon, until time.Time) ([]reading, error) {
	tick := time.NewTicker(rescanTick)
	defer tick.Stop()
	var list []reading
	const back = int(restWindow / rescanTick)
	for {
		used, err := lab.CPU(d.PID())
		if err != nil {
			return nil, err
		}
		list = append(list, reading{time.Now(), used})
		if n := len(list) - back; n > 0 && time.Since(until) > restWindow && used-list[n].used < restWindow/50 {
			return list, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no rescan is seen: %w", context.Cause(ctx))
		case <-d.Gone():
			return nil, fmt.Errorf("the daemon ended:\n%s", d.Words())
		case <-tick.C:
		}
	}
}

// usedAt is the last reading until an instant, which is not before the first.
func usedAt(list []reading, at time.Time) time.Duration {
	used := list[0].used
	for _, r := range list {
		if r.at.After(at) {
			break
		}
		used = r.used
	}
	return used
}

// sweep is a rescan as the daemon tells it.
type sweep struct {
	began time.Time
	took  time.Duration // zero: none has ended yet
}

func (s sweep) end() time.Time { return s.began.Add(s.took) }

// lastSweep asks for the daemon's metrics.
func lastSweep(ctx context.Context, address string) (sweep, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return sweep{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return sweep{}, err
	}
	defer resp.Body.Close()
	var s sweep
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if name != "certbridged_last_sweep_timestamp_seconds" && name != "certbridged_last_sweep_duration_seconds" {
			continue
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return s, fmt.Errorf("the metric %s: %w", name, err)
		}
		if strings.Contains(name, "duration") {
			s.took = time.Duration(value * float64(time.Second))
		} else {
			whole, part := math.Modf(value)
			s.began = time.Unix(int64(whole), int64(part*1e9))
		}
	}
	if s.began.IsZero() {
		return s, errors.Join(fmt.Errorf("the daemon does not tell when its last rescan began: %s", resp.Status), lines.Err())
	}
	return s, lines.Err()
}
