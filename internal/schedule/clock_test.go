package schedule

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A wall clock that jumps while the monotonic one goes on: a machine that slept, a date that was corrected.
func TestTimerWhenTheClockJumps(t *testing.T) {
	for name, c := range map[string]struct {
		jump   time.Duration
		atMost time.Duration // after the jump
	}{
		"a machine slept":             {8 * time.Hour, 2 * time.Minute},
		"the date was a year ahead":   {-365 * 24 * time.Hour, 2 * time.Minute},
		"slept for less than is left": {time.Hour, 4*time.Hour + time.Minute},
		"a second back":               {-time.Second, 5*time.Hour + time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var offset atomic.Int64
				timer := NewTimer()
				timer.wall = func() time.Time { return time.Now().Round(0).Add(time.Duration(offset.Load())) }
				ctx, cancel := context.WithCancel(t.Context())
				fired := make(chan struct{}, 1)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					timer.Run(ctx, func(string) { fired <- struct{}{} })
				}()
				timer.Set("due", time.Now().Add(6*time.Hour))
				time.Sleep(time.Hour + time.Second/2)
				synctest.Wait()
				offset.Store(int64(c.jump))
				jumped := time.Now()
				<-fired
				if took := time.Since(jumped); took > c.atMost {
					t.Errorf("called %s after the jump", took)
				}
				cancel()
				<-ended
			})
		})
	}
}

func TestTimerForgetsTheMonotonicClock(t *testing.T) {
	timer := NewTimer()
	at := time.Now().Add(time.Hour)
	timer.Set("due", at)
	if got := timer.Due("due"); got != at.Round(0) { //nolint:gocritic // the readings are what counts
		t.Errorf("%v keeps a monotonic reading, which stands still while a machine sleeps", got)
	}
}

// Run is woken by what is due before all else, and sleeps on beside the rest.
func TestTimerWakesForTheEarliestAlone(t *testing.T) {
	timer := NewTimer()
	now := time.Now()
	for _, step := range []struct {
		key   string
		after time.Duration // less than zero: it is forgotten
		wakes bool
	}{
		{"b", time.Hour, true},
		{"c", 2 * time.Hour, false},
		{"a", time.Minute, true},
		{"c", time.Second, true},
		{"c", 3 * time.Hour, false},
		{"a", -1, false},
		{"none", -1, false},
	} {
		at := now.Add(step.after)
		if step.after < 0 {
			at = time.Time{}
		}
		timer.Set(step.key, at)
		if woken := len(timer.changed) > 0; woken != step.wakes {
			t.Errorf("%s after %s: woken %t", step.key, step.after, woken)
		}
		for len(timer.changed) > 0 {
			<-timer.changed
		}
	}
}
