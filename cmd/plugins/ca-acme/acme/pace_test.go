package acme

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bucket is a CA that grants so many requests a second and some at once, and names a second for each that it refuses.
type bucket struct {
	perSecond, burst float64

	mu      sync.Mutex
	tokens  float64
	filled  time.Time
	granted int
	refused int
}

func (b *bucket) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.tokens = min(b.burst, b.tokens+now.Sub(b.filled).Seconds()*b.perSecond)
	b.filled = now
	if b.tokens < 1 {
		b.refused++
		return false
	}
	b.tokens--
	b.granted++
	return true
}

// Many calls at once find out what a CA grants and use nearly all of it, with few refusals.
func TestPaceUsesTheLimit(t *testing.T) {
	t.Parallel()
	for limit, least := range map[float64]float64{2: 0.75, 20: 0.94, 50: 0.95, 100: 0.95, 300: 0.95} { // a pause costs the slow ones more
		synctest.Test(t, func(t *testing.T) {
			const learning, measured = 30 * time.Second, 5 * time.Minute
			ca := &bucket{perSecond: limit, burst: max(1, limit/10), tokens: max(1, limit/10), filled: time.Now()}
			p := newPace(0)
			ctx, cancel := context.WithTimeout(t.Context(), learning+measured)
			defer cancel()
			var group sync.WaitGroup
			for range 64 {
				group.Go(func() {
					for ctx.Err() == nil {
						if p.turn(ctx) != nil {
							return
						}
						time.Sleep(20 * time.Millisecond) // on its way
						if ca.take() {
							p.granted(time.Now())
						} else {
							p.refused(time.Now(), time.Second)
						}
					}
				})
			}
			time.Sleep(learning)
			ca.mu.Lock()
			before, refusedBefore := ca.granted, ca.refused
			ca.mu.Unlock()
			group.Wait()
			share := float64(ca.granted-before) / (limit * measured.Seconds())
			if share < least || float64(ca.refused-refusedBefore) > 0.06*float64(ca.granted-before) {
				t.Errorf("at %v a second %.3f of the limit was used, with %d refusals (%d while learning)", limit, share, ca.refused-refusedBefore, refusedBefore)
			}
			if early := float64(before) / (limit * learning.Seconds()); early < 0.5 || limit >= 50 && early < 0.75 {
				t.Errorf("at %v a second %.3f of the limit was used while learning", limit, early)
			}
		})
	}
}

// The setting holds whatever the CA would take.
func TestPaceThatIsSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPace(10)
		began := time.Now()
		for range 101 {
			if err := p.turn(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began).Seconds(); math.Abs(took-10) > 0.2 {
			t.Errorf("101 requests at 10 a second took %.2f s", took)
		}
	})
}

// The setting uses the whole limit of a CA that it was made for, and is not refused.
func TestPaceThatIsSetUsesTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit, measured = 100.0, time.Minute
		ca := &bucket{perSecond: limit, burst: 10, tokens: 10, filled: time.Now()}
		p := newPace(limit)
		ctx, cancel := context.WithTimeout(t.Context(), measured)
		defer cancel()
		var group sync.WaitGroup
		for range 64 {
			group.Go(func() {
				for p.turn(ctx) == nil && ctx.Err() == nil {
					time.Sleep(20 * time.Millisecond) // on its way
					ca.take()
				}
			})
		}
		group.Wait()
		if share := float64(ca.granted) / (limit * measured.Seconds()); share < 0.99 || ca.refused > 0 {
			t.Errorf("%.3f of the limit was used, with %d refusals", share, ca.refused)
		}
	})
}

// Nobody sends while the gate is closed, and a call that would end before it opens is told at once.
func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPace(0)
		began := time.Now()
		p.refused(began, 5*time.Second)
		p.refused(began, 3*time.Second) // one that was under way, and asks for less
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var told *limited
		if err := p.turn(short); !errors.As(err, &told) || told.after != 5*time.Second || time.Since(began) != 0 {
			t.Errorf("a call of one second: %v after %s", err, time.Since(began))
		}
		if err := p.turn(t.Context()); err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("passed after %s: %v", time.Since(began), err)
		}
		time.Sleep(10 * time.Minute)
		if !p.free(time.Now()) {
			t.Error("a refusal is never forgotten")
		}
	})
}

// A wait ends with its call, also behind others.
func TestTurnEndsWithTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPace(0)
		p.refused(time.Now(), 5*time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				if err := p.turn(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		cancel()
		group.Wait()
	})
}
