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
			p.granted(passage{time.Now(), time.Now()}, time.Now())
		}
		if took := time.Since(began).Seconds(); math.Abs(took-10) > 0.2 {
			t.Errorf("101 requests at 10 a second took %.2f s", took)
		}
	})
}

// The setting uses the whole limit of a CA that it was made for, and is not refused.
func TestPaceThatIsSetUsesTheLimit(t *testing.T) {
	t.Parallel()
	const limit, measured = 100.0, time.Minute
	w := &world{limit: &bucket{perSecond: steady(limit), burst: 10, pause: time.Second}, latency: 20 * time.Millisecond}
	synctest.Test(t, func(t *testing.T) { w.run(t, newPace(limit), measured) })
	if share := float64(w.granted) / (limit * measured.Seconds()); share < 0.99 || w.refused > 0 {
		t.Errorf("%.3f of the limit was used, with %d refusals", share, w.refused)
	}
}

// Nobody sends while the gate is closed, and a call that would end before it opens is told at once.
func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPace(0)
		began := time.Now()
		p.refused(passage{began, began}, began, 5*time.Second)
		p.refused(passage{began.Add(-time.Millisecond), began}, began, 3*time.Second) // one that was under way, and asks for less
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

// A CA that asks for a longer pause when the gate is open again, and then refuses what was sent meanwhile, leaves a pace.
func TestGateThatIsClosedForLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPace(0)
		grant := func() { p.granted(passage{time.Now(), time.Now()}, time.Now()) }
		for range 10 {
			grant()
		}
		straggler := passage{time.Now(), time.Now()}
		time.Sleep(time.Millisecond)
		p.refused(passage{time.Now(), time.Now()}, time.Now(), time.Second)
		time.Sleep(time.Second)
		if err := p.turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		grant()
		sent := passage{time.Now(), time.Now()}
		p.refused(straggler, time.Now(), 5*time.Second)
		grant() // sent before that was known
		p.refused(sent, time.Now(), time.Second)
		began := time.Now()
		if err := p.turn(t.Context()); err != nil || time.Since(began) < time.Second || time.Since(began) > 6*time.Second {
			t.Errorf("passed after %s: %v", time.Since(began), err)
		}
		if r := p.now(time.Now()); r < slowest || r > 100 {
			t.Errorf("the pace is %g", r)
		}
	})
}

// A wait ends with its call, also behind others.
func TestTurnEndsWithTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPace(0)
		p.refused(passage{time.Now(), time.Now()}, time.Now(), 5*time.Second)
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
