package pluginhost

import (
	"fmt"
	"slices"
	"time"
)

// Policy says how a plugin that fails is treated. Its zero value is replaced by the defaults named at each field.
type Policy struct {
	// BackoffBase is the delay after the first failure (500 ms); it doubles with each failure within
	// QuarantineWindow up to BackoffMax (5 min).
	BackoffBase, BackoffMax time.Duration
	// QuarantineAfter failures (5) within QuarantineWindow (30 min) quarantine the instance for QuarantineFor (1 h).
	// After that one start is tried; if it fails too, the instance is quarantined again at once.
	QuarantineAfter  int
	QuarantineWindow time.Duration
	QuarantineFor    time.Duration
}

func (p Policy) withDefaults() Policy {
	p.BackoffBase = orDefault(p.BackoffBase, 500*time.Millisecond)
	p.BackoffMax = orDefault(p.BackoffMax, 5*time.Minute)
	p.QuarantineAfter = orDefault(p.QuarantineAfter, 5)
	p.QuarantineWindow = orDefault(p.QuarantineWindow, 30*time.Minute)
	p.QuarantineFor = orDefault(p.QuarantineFor, time.Hour)
	return p
}

// orDefault returns v, or d when v is zero or less.
func orDefault[T int | int64 | time.Duration](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}

// record is what the host remembers of an instance's failures. Its methods are pure: they return the next record.
type record struct {
	failures    []time.Time
	until       time.Time // no start before it
	quarantined bool
	reason      string // of the last failure
}

// failed notes a failure.
func (r record) failed(now time.Time, reason string, p Policy) record {
	cutoff := now.Add(-p.QuarantineWindow)
	recent := slices.DeleteFunc(slices.Clone(r.failures), func(t time.Time) bool { return t.Before(cutoff) })
	next := record{failures: append(recent, now), reason: reason, quarantined: r.quarantined}
	if r.quarantined || len(next.failures) >= p.QuarantineAfter {
		next.quarantined = true
		next.until = now.Add(p.QuarantineFor)
		return next
	}
	next.until = now.Add(backoff(len(next.failures), p))
	return next
}

// backoff returns the delay after the nth failure in the window.
func backoff(n int, p Policy) time.Duration {
	delay := p.BackoffBase
	for range n - 1 {
		if delay > p.BackoffMax/2 {
			return p.BackoffMax
		}
		delay *= 2
	}
	return min(delay, p.BackoffMax)
}

// succeeded notes that a process answered a call: whoever passes its trial leaves quarantine with a clean record. Outside
// of quarantine failures stay on the record until they are old, for a plugin that fails at every other call.
func (r record) succeeded() record {
	if r.quarantined {
		return record{}
	}
	return r
}

// gate returns nil when a start is allowed, or why it is not and for how long.
func (r record) gate(now time.Time) (time.Duration, error) {
	wait := r.until.Sub(now)
	if wait <= 0 {
		return 0, nil
	}
	if r.quarantined {
		return wait, fmt.Errorf("%w until %s after %d failures, the last: %s",
			ErrQuarantined, r.until.Format(time.RFC3339), len(r.failures), r.reason)
	}
	return wait, fmt.Errorf("%w (%s left) after a failure: %s", ErrBackingOff, wait.Round(time.Millisecond), r.reason)
}
