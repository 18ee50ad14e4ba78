package acme

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// limiter is a CA's limit on requests. take says how long a request that comes now waits inside the CA, or refuses it with
// what goes into Retry-After. It is called by one goroutine at a time.
type limiter interface {
	take(now time.Time) (wait, retryAfter time.Duration, ok bool)
}

// bucket grants so many requests a second and some at once, as a bucket of tokens, a leaky bucket without a queue and GCRA do.
type bucket struct {
	perSecond func(since time.Duration) float64
	burst     float64
	pause     time.Duration

	tokens        float64
	began, filled time.Time
}

func (b *bucket) take(now time.Time) (wait, retryAfter time.Duration, ok bool) {
	if b.began.IsZero() {
		b.began, b.filled, b.tokens = now, now, b.burst
	}
	b.tokens = min(b.burst, b.tokens+now.Sub(b.filled).Seconds()*b.perSecond(now.Sub(b.began)))
	b.filled = now
	if b.tokens < 1 {
		return 0, b.pause, false
	}
	b.tokens--
	return 0, 0, true
}

// queue is a leaky bucket that lets requests wait for their turn, as long as there is room.
type queue struct {
	perSecond, room float64
	pause           time.Duration

	free time.Time // when what waits will be done
}

func (q *queue) take(now time.Time) (wait, retryAfter time.Duration, ok bool) {
	if q.free.Before(now) {
		q.free = now
	}
	wait = q.free.Sub(now)
	if wait.Seconds()*q.perSecond > q.room {
		return 0, q.pause, false
	}
	q.free = q.free.Add(time.Duration(float64(time.Second) / q.perSecond))
	return wait, 0, true
}

// window grants so many requests in each window of time; windows begin at fixed times. It asks for a fixed pause, or else for the
// rest of the window in whole seconds.
type window struct {
	length time.Duration
	most   int
	pause  time.Duration

	current time.Time
	count   int
}

func (w *window) take(now time.Time) (wait, retryAfter time.Duration, ok bool) {
	if this := now.Truncate(w.length); this != w.current {
		w.current, w.count = this, 0
	}
	if w.count >= w.most {
		if w.pause > 0 {
			return 0, w.pause, false
		}
		return 0, wholeSeconds(w.current.Add(w.length).Sub(now)), false
	}
	w.count++
	return 0, 0, true
}

// sliding grants a request when fewer than so many were granted in the time before it.
type sliding struct {
	length time.Duration
	most   int
	pause  time.Duration

	granted []time.Time
}

func (s *sliding) take(now time.Time) (wait, retryAfter time.Duration, ok bool) {
	for len(s.granted) > 0 && now.Sub(s.granted[0]) >= s.length {
		s.granted = s.granted[1:]
	}
	if len(s.granted) >= s.most {
		if s.pause > 0 {
			return 0, s.pause, false
		}
		return 0, wholeSeconds(s.granted[0].Add(s.length).Sub(now)), false
	}
	s.granted = append(s.granted, now)
	return 0, 0, true
}

func wholeSeconds(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }

func steady(perSecond float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return perSecond }
}

// changing is a limit that is another one from some time on.
func changing(before, after float64, at time.Duration) func(time.Duration) float64 {
	return func(since time.Duration) float64 {
		if since < at {
			return before
		}
		return after
	}
}

// world is what is between a client and a CA.
type world struct {
	limit   limiter
	latency time.Duration
	// work is how much longer an answer takes that is no refusal, give or take a half.
	work time.Duration
	// Each stallEvery the machine does nothing for half a second; with late set, requests get stuck on their way out instead.
	stallEvery time.Duration
	late       bool
	// uneven: one request in ten takes the CA as long as twenty others.
	uneven bool

	mu      sync.Mutex
	began   time.Time
	granted int
	refused int
}

const stall = 500 * time.Millisecond

// stalled is how much longer the machine stands still.
func (w *world) stalled() time.Duration {
	if w.stallEvery == 0 {
		return 0
	}
	return max(0, stall-(time.Since(w.began)+w.stallEvery/2)%w.stallEvery)
}

// request sends one and tells the pace of the answer.
func (w *world) request(p *pace, turn time.Time, random *rand.Rand) {
	time.Sleep(time.Duration(random.Float64() * float64(3*time.Millisecond))) // it is signed
	by := passage{turn: turn, sent: time.Now()}
	time.Sleep(w.stalled())
	if !w.late {
		by.sent = time.Now()
	}
	time.Sleep(time.Duration((0.9 + 0.2*random.Float64()) * float64(w.latency) / 2))
	w.mu.Lock()
	wait, retryAfter, ok := w.limit.take(time.Now())
	if w.uneven && random.IntN(10) == 0 {
		wait += 20 * w.latency
	}
	if ok {
		w.granted++
		wait += time.Duration((0.5 + random.Float64()) * float64(w.work))
	} else {
		w.refused++
	}
	w.mu.Unlock()
	time.Sleep(wait + time.Duration((0.9+0.2*random.Float64())*float64(w.latency)/2))
	if !w.late {
		time.Sleep(w.stalled())
	}
	switch {
	case ok:
		p.granted(by, time.Now())
	case retryAfter <= longestPause:
		p.refused(by, time.Now(), retryAfter)
	default:
		time.Sleep(min(retryAfter, time.Minute)) // the daemon's pause, of all
	}
}

// run keeps a pace busy for a time.
func (w *world) run(t *testing.T, p *pace, lasts time.Duration) {
	w.began = time.Now()
	end := w.began.Add(lasts)
	wires := make(chan struct{}, connections)
	var group sync.WaitGroup
	for i := range 2 * connections {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			time.Sleep(time.Duration(i) * 2 * time.Millisecond) // orders begin one after the other
			for time.Now().Before(end) {
				if !w.late {
					time.Sleep(w.stalled())
				}
				if p.turn(t.Context()) != nil {
					return
				}
				turn := time.Now()
				wires <- struct{}{}
				if time.Now().Before(end) {
					w.request(p, turn, random)
				}
				<-wires
			}
		})
	}
	if w.stallEvery > 0 && !w.late {
		group.Go(func() {
			for time.Now().Before(end) {
				if d := w.stalled(); d > 0 { // no turn is given either
					p.turnstile <- struct{}{}
					time.Sleep(d)
					<-p.turnstile
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	group.Wait()
}

// Whatever a CA's limit is like, most of it is used though nobody tells what it is. The share is of what the limit allowed from the
// first request on, the time in which it was learned included; -v prints it. The time is not real, so that the share is the same in
// every run, and what is wanted is a little less than it is. A limit that is raised is found some 90 pauses after the last refusal.
func TestPaceUsesTheLimit(t *testing.T) {
	t.Parallel()
	const second, minute = time.Second, time.Minute
	for _, c := range []struct {
		name    string
		world   *world
		lasts   time.Duration
		allowed float64 // in that time
		least   float64
	}{
		{"bucket, 100 a second, 10 at once", &world{limit: &bucket{perSecond: steady(100), burst: 10, pause: second}, latency: 10 * time.Millisecond}, 80 * second, 8010, 0.95},
		{"the same, longer", &world{limit: &bucket{perSecond: steady(100), burst: 10, pause: second}, latency: 10 * time.Millisecond}, 300 * second, 30010, 0.95},
		{"bucket, 100 a second, 3 at once", &world{limit: &bucket{perSecond: steady(100), burst: 3, pause: second}, latency: 10 * time.Millisecond}, 80 * second, 8003, 0.93},
		{"bucket, 100 a second, 100 at once", &world{limit: &bucket{perSecond: steady(100), burst: 100, pause: second}, latency: 10 * time.Millisecond}, 80 * second, 8100, 0.95},
		{"bucket, 100 a second, 1000 at once", &world{limit: &bucket{perSecond: steady(100), burst: 1000, pause: second}, latency: 10 * time.Millisecond}, 80 * second, 9000, 0.97},
		{"bucket, 20 a second, 10 at once", &world{limit: &bucket{perSecond: steady(20), burst: 10, pause: second}, latency: 20 * time.Millisecond}, 300 * second, 6010, 0.95},
		{"bucket, 2 a second, 1 at once", &world{limit: &bucket{perSecond: steady(2), burst: 1, pause: second}, latency: 20 * time.Millisecond}, 600 * second, 1201, 0.92},
		{"bucket, 2 a second, 10 at once", &world{limit: &bucket{perSecond: steady(2), burst: 10, pause: second}, latency: 20 * time.Millisecond}, 600 * second, 1210, 0.97},
		{"bucket, 1000 a second, 100 at once", &world{limit: &bucket{perSecond: steady(1000), burst: 100, pause: second}, latency: 5 * time.Millisecond}, 80 * second, 80100, 0.95},
		{"bucket, 1000 a second, 20 at once", &world{limit: &bucket{perSecond: steady(1000), burst: 20, pause: second}, latency: 5 * time.Millisecond}, 80 * second, 80020, 0.95},
		{"bucket, latency 1 ms", &world{limit: &bucket{perSecond: steady(100), burst: 10, pause: second}, latency: time.Millisecond}, 80 * second, 8010, 0.95},
		{"bucket, latency 200 ms", &world{limit: &bucket{perSecond: steady(100), burst: 10, pause: second}, latency: 200 * time.Millisecond}, 80 * second, 8010, 0.94},
		{"bucket, latency 2 s", &world{limit: &bucket{perSecond: steady(10), burst: 5, pause: second}, latency: 2 * second}, 300 * second, 3005, 0.90},
		{"bucket, latency 2 s, not reached", &world{limit: &bucket{perSecond: steady(100), burst: 40, pause: second}, latency: 2 * second}, 80 * second, 80 * 16, 0.97},
		{"bucket of a CA that is slow now and then", &world{limit: &bucket{perSecond: steady(100), burst: 10, pause: second}, latency: 30 * time.Millisecond, uneven: true}, 80 * second, 8010, 0.93},
		{"bucket that asks for 5 s", &world{limit: &bucket{perSecond: steady(100), burst: 10, pause: 5 * second}, latency: 10 * time.Millisecond}, 600 * second, 60010, 0.95},
		{"bucket that refuses sooner than it grants", &world{limit: &bucket{perSecond: steady(100), burst: 10, pause: second}, latency: time.Millisecond, work: 10 * time.Millisecond}, 80 * second, 8010, 0.95},
		{"bucket that refuses much sooner than it grants", &world{limit: &bucket{perSecond: steady(100), burst: 10, pause: second}, latency: 20 * time.Millisecond, work: 200 * time.Millisecond}, 80 * second, 8010, 0.95},
		{"bucket, 20 a second, that grants after a second", &world{limit: &bucket{perSecond: steady(20), burst: 20, pause: second}, latency: 20 * time.Millisecond, work: second}, 300 * second, 6020, 0.95},
		{"sliding ten seconds, refuses sooner than it grants", &world{limit: &sliding{length: 10 * second, most: 200}, latency: 20 * time.Millisecond, work: 500 * time.Millisecond}, 300 * second, 6200, 0.90},
		{"queue with room for 20", &world{limit: &queue{perSecond: 100, room: 20, pause: second}, latency: 10 * time.Millisecond}, 80 * second, 8020, 0.95},
		{"queue with room for 200", &world{limit: &queue{perSecond: 100, room: 200, pause: second}, latency: 10 * time.Millisecond}, 80 * second, 8200, 0.95},
		{"window of a second", &world{limit: &window{length: second, most: 100, pause: second}, latency: 10 * time.Millisecond}, 80 * second, 8000, 0.93},
		{"window of a second, 1000", &world{limit: &window{length: second, most: 1000, pause: second}, latency: 5 * time.Millisecond}, 80 * second, 80000, 0.93},
		{"window of ten seconds", &world{limit: &window{length: 10 * second, most: 1000}, latency: 10 * time.Millisecond}, 300 * second, 30000, 0.97},
		{"window of ten seconds, asks for 1 s", &world{limit: &window{length: 10 * second, most: 1000, pause: second}, latency: 10 * time.Millisecond}, 300 * second, 30000, 0.95},
		{"window of a minute", &world{limit: &window{length: minute, most: 6000}, latency: 10 * time.Millisecond}, 600 * second, 60000, 0.97},
		{"window of a minute, asks for 10 s", &world{limit: &window{length: minute, most: 6000, pause: 10 * second}, latency: 10 * time.Millisecond}, 600 * second, 60000, 0.97},
		{"sliding second", &world{limit: &sliding{length: second, most: 100, pause: second}, latency: 10 * time.Millisecond}, 80 * second, 8100, 0.90},
		{"sliding ten seconds", &world{limit: &sliding{length: 10 * second, most: 1000}, latency: 10 * time.Millisecond}, 300 * second, 31000, 0.90},
		{"sliding ten seconds, asks for 1 s", &world{limit: &sliding{length: 10 * second, most: 1000, pause: second}, latency: 10 * time.Millisecond}, 300 * second, 31000, 0.88},
		{"lowered to a half", &world{limit: &bucket{perSecond: changing(100, 50, 60*second), burst: 10, pause: second}, latency: 10 * time.Millisecond}, 180 * second, 12010, 0.93},
		{"lowered to a tenth", &world{limit: &bucket{perSecond: changing(100, 10, 60*second), burst: 10, pause: second}, latency: 10 * time.Millisecond}, 180 * second, 7210, 0.94},
		{"raised to the double", &world{limit: &bucket{perSecond: changing(50, 100, 60*second), burst: 10, pause: second}, latency: 10 * time.Millisecond}, 300 * second, 27010, 0.87},
		{"raised to ten times", &world{limit: &bucket{perSecond: changing(20, 200, 60*second), burst: 10, pause: second}, latency: 10 * time.Millisecond}, 300 * second, 49210, 0.71},
		{"stalls each 10 s", &world{limit: &bucket{perSecond: steady(100), burst: 10, pause: second}, latency: 10 * time.Millisecond, stallEvery: 10 * second}, 80 * second, 8010 * 0.95, 0.90},
		{"stalls each 20 s", &world{limit: &bucket{perSecond: steady(100), burst: 10, pause: second}, latency: 10 * time.Millisecond, stallEvery: 20 * second}, 80 * second, 8010 * 0.975, 0.92},
		{"stuck on the way each 20 s", &world{limit: &bucket{perSecond: steady(100), burst: 10, pause: second}, latency: 10 * time.Millisecond, stallEvery: 20 * second, late: true}, 80 * second, 8010 * 0.975, 0.93},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { c.world.run(t, newPace(0), c.lasts) })
			share := float64(c.world.granted) / c.allowed
			t.Logf("%.3f of the limit was used in %s, with %d refusals", share, c.lasts, c.world.refused)
			if share < c.least {
				t.Errorf("%.3f is wanted", c.least)
			}
		})
	}
}

// A refusal while less is sent than the pace allows does not lower it, unless more follow soon.
func TestPaceThatIsHardlyUsed(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	p := newPace(0)
	send := func(n int, perSecond float64) {
		for range n {
			now = now.Add(seconds(1 / perSecond))
			p.granted(passage{now, now}, now)
		}
	}
	refuse := func() {
		p.refused(passage{now, now}, now, time.Second)
		now = now.Add(time.Second)
		p.settle(now)
	}
	send(15, 1000)
	refuse()
	p.searching, p.learned, p.hold = false, 100, 1000
	before := p.now(now)
	send(400, 20)
	refuse()
	if after := p.now(now); after != before {
		t.Errorf("the pace was %.1f and is %.1f", before, after)
	}
	for range 3 {
		send(30, 20)
		refuse()
	}
	if after := p.now(now); after > before/2 {
		t.Errorf("a limit that was lowered is not noticed: the pace was %.1f and is %.1f", before, after)
	}
}
