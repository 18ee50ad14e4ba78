package acme

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

const (
	// longestPause is the longest wait inside a call that the CA may ask for; a longer one is the daemon's.
	longestPause = 10 * time.Second
	// firstPause is how long nothing is sent after 429 without Retry-After; it doubles with each refusal of a request.
	firstPause = time.Second
	// patience is how long one request is repeated that the CA refuses for coming too fast, where the call has no deadline.
	patience = 2 * time.Minute
	// paceSlack is for how much lateness a pace makes up, so that late timers cost no part of the limit.
	paceSlack = 50 * time.Millisecond
	// paceGrowth is how long it takes for a pace to double, from where it was refused, while the CA refuses nothing.
	paceGrowth = 15 * time.Second
	// surer is by how much longer growth takes when a pace is refused where it was before, surest the most.
	surer, surest = 4, 16
	// fastest is the pace from which on there is none.
	fastest = 10000.0
	// slowest is the least pace that one refusal leads to; several may lead below.
	slowest = 2.0
)

// pace keeps all requests of an account within the CA's limits, which ACME has no way to ask for: it starts without one of
// its own. A refusal with 429, or with 503 and Retry-After, closes the gate for everyone until the time that the CA gives, and
// what was granted before tells how fast to go on from there: at first the pace doubles each second until it is refused, then
// it stays a little below and tries more the more slowly, the more often it was refused at the same pace, for each refusal costs a
// pause.
type pace struct {
	most float64 // the setting requests_per_second, zero without
	// turnstile lets one request at a time wait for its turn; the others queue behind it. It has room for one.
	turnstile chan struct{}

	mu     sync.Mutex
	closed time.Time // nothing is sent before
	next   time.Time // when the next request is due
	// learned is the pace in requests a second as it was when the gate opened, zero as long as nothing was refused.
	learned float64
	// top is the pace that was refused: the way back there is quick, and slow around it.
	top float64
	// sure is by how much longer growth takes: a pace that is refused where it was before is known ever better.
	sure int
	// doubling: the CA's limit is not known yet.
	doubling bool
	// count is what was granted since the gate opened, meter what was granted lately.
	count float64
	meter meter
}

func newPace(most float64) *pace {
	return &pace{most: most, turnstile: make(chan struct{}, 1), sure: 1}
}

// now is how many requests a second may be sent, zero without limit. It is called with the lock held.
func (p *pace) now(at time.Time) float64 {
	r := p.learned
	if after := at.Sub(p.closed).Seconds(); r > 0 && after > 0 {
		if p.doubling {
			r *= math.Exp2(after)
		} else {
			x := after/(paceGrowth.Seconds()*float64(p.sure)) - math.Cbrt(1-p.learned/p.top)
			r = p.top * (1 + x*x*x)
		}
	}
	if r > fastest {
		p.learned, r = 0, 0
	}
	if p.most > 0 && (r == 0 || r > p.most) {
		return p.most
	}
	return r
}

// delay takes a request's turn, or says how long it is until the next one.
func (p *pace) delay(at time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if closed := p.closed.Sub(at); closed > 0 {
		return closed
	}
	r := p.now(at)
	if r == 0 {
		return 0
	}
	if early := p.next.Sub(at); early > 0 {
		return early
	}
	if late := at.Add(-paceSlack); p.next.Before(late) {
		p.next = late
	}
	p.next = p.next.Add(time.Duration(float64(time.Second) / r))
	return 0
}

// free reports that there is no limit now.
func (p *pace) free(at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.closed.After(at) && p.now(at) == 0
}

// turn waits until a request may be sent. It fails, with nothing sent, when the call ends before.
func (p *pace) turn(ctx context.Context) error {
	if ctx.Err() != nil || p.free(time.Now()) {
		return nil // a call that has ended is told so by the request
	}
	select {
	case p.turnstile <- struct{}{}:
		defer func() { <-p.turnstile }()
	case <-ctx.Done():
		return &limited{after: p.closedFor(), err: ctx.Err()}
	}
	for {
		d := p.delay(time.Now())
		if d <= 0 {
			return nil
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
			return &limited{after: d, err: context.DeadlineExceeded}
		}
		if err := wait(ctx, d); err != nil {
			return &limited{after: p.closedFor(), err: err}
		}
	}
}

func (p *pace) closedFor() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(time.Until(p.closed), firstPause)
}

// granted counts an answer that is no refusal.
func (p *pace) granted(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	p.meter.count(at)
	if p.doubling && p.closed.After(at) { // it was sent before the gate closed, and tells more of what the CA takes
		p.learned = max(p.learned, p.meter.rate(at))
	}
}

// refused closes the gate for as long as the CA asked for.
func (p *pace) refused(at time.Time, pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	until := at.Add(pause)
	if p.closed.After(at) { // it was sent before the gate closed, and tells nothing new
		if until.After(p.closed) {
			p.closed = until
		}
		return
	}
	// The one more that was just refused keeps a pace of one or two a second from looking like none.
	r, open := p.now(at), max(at.Sub(p.closed).Seconds(), 0.1)
	granted := max(p.meter.rate(at), (p.count+1)/open, slowest)
	switch {
	case r < 0.95*p.top: // perhaps the limit is another now, or much was sent at once after a moment in which nothing was
		p.top, p.sure = (p.top+r)/2, max(p.sure/surer, 1)
	case r > 1.1*p.top:
		p.top, p.sure = r, 1
	default:
		p.top, p.sure = r, min(surer*p.sure, surest)
	}
	switch {
	case r == 0: // nothing was refused yet, or not for long
		p.learned, p.doubling = granted, true
	case p.doubling: // it was overshot by what the CA takes at once, so what it took says more
		p.top = min(r, granted)
		p.learned, p.doubling = 0.95*p.top, false
	case granted < r/2: // so few were sent of late that the pace says nothing
		p.learned, p.doubling = granted, true
	case open < 5: // still too fast, or the machine came to a stand and sent much at once
		p.learned = 0.93 * r
	default:
		p.learned = 0.97 * r
	}
	p.closed, p.count, p.next = until, 0, until // the pause is not made up for
}

// meter counts what happened in the last second.
type meter struct {
	second     time.Time // when the current second began
	last, this float64
}

func (m *meter) count(at time.Time) {
	m.roll(at)
	m.this++
}

func (m *meter) rate(at time.Time) float64 {
	m.roll(at)
	return m.this + m.last*(1-at.Sub(m.second).Seconds())
}

func (m *meter) roll(at time.Time) {
	switch gone := at.Sub(m.second); {
	case gone >= 2*time.Second:
		m.second, m.last, m.this = at, 0, 0
	case gone >= time.Second:
		m.second, m.last, m.this = m.second.Add(time.Second), m.this, 0
	}
}

// limited is a request that was not sent, because the call would have ended before its turn.
type limited struct {
	after time.Duration
	err   error
}

func (l *limited) Unwrap() error { return l.err }

func (l *limited) Error() string {
	return fmt.Sprintf("the CA's limit on requests leaves no room within the call's time; the next may be sent in %s", l.after.Round(time.Millisecond))
}
