package acme

import (
	"context"
	"fmt"
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
	// fastest is the pace from which on there is none. slowest is the least.
	fastest, slowest = 10000.0, 0.1
	// crowdedPause is how long the next request waits while too many others have no answer.
	crowdedPause = 5 * time.Millisecond
	// forgetAfter is how long nothing must be refused until nothing is known of the limit any more. A pace that is used is
	// refused sooner, for it grows.
	forgetAfter = 10 * time.Minute
)

// pace keeps all requests of an account within the CA's limits, which ACME has no way to ask for: it starts without one of
// its own. A refusal with 429, or with 503 and Retry-After, closes the gate for everyone until the time that the CA gives. Each
// refusal then costs that pause, so as much as possible is learned from one:
//
//   - The first tells how many requests the CA takes at once.
//   - From there the pace grows quickly until the second. The limit is the rate at which what was granted until then is just as
//     much at once as the first time (see estimate).
//   - Near the limit the pace grows slowly until the third, which tells the limit to a percent.
//   - That is held, and more is tried seldom.
//
// Requests that are refused after the gate closed, because they were under way, tell nothing new.
type pace struct {
	most float64 // the setting requests_per_second, zero without
	// turnstile lets one request at a time wait for its turn; the others queue behind it. It has room for one.
	turnstile chan struct{}

	mu     sync.Mutex
	shut   time.Time // when the gate was closed
	closed time.Time // nothing is sent before
	next   time.Time // when the next request is due
	// lesson is the refusal that closed the gate, until it is learned from.
	lesson *refusal
	// doubts are the refusals in a row that said nothing about the limit.
	doubts int
	// paused is for how many seconds nothing was granted before the gate opened, all pauses that the CA asked for in a row.
	paused float64
	// learned is the pace in requests a second as it was when the gate opened, zero as long as nothing was refused. It grows
	// from there as it is used.
	learned, hold, ease float64
	searching           bool // nothing was refused but once
	// first and since are what was granted until the first refusal, and since the gate opened.
	first, since history
	// belief is which part of what was granted at first counts as taken at once: less than one at a CA that counts in windows.
	belief float64
	// slack is how many requests more than due may be sent at once.
	slack float64
	// unanswered are the requests under way, and latency is how many seconds an answer takes.
	unanswered flight
	latency    float64
}

func newPace(most float64) *pace {
	return &pace{most: most, turnstile: make(chan struct{}, 1), slack: most * paceSlack.Seconds()}
}

// now is how many requests a second may be sent, zero without limit. It is called with the lock held.
func (p *pace) now(at time.Time) float64 {
	p.settle(at)
	r := p.learned
	if r > 0 {
		used := p.since.count/r - p.hold
		more := max(0, used) / p.ease
		r *= 1 + more*more
	}
	if r > fastest || at.Sub(p.closed) >= forgetAfter {
		p.learned, r, p.slack = 0, 0, p.most*paceSlack.Seconds()
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
	// When the machine or the way to the CA stands still for a moment, what has its turn already arrives at once. Twice as many as are
	// under way in the mean are normal, for not all answers take the same time.
	if float64(p.unanswered.count(at)) > 2*r*p.latency+max(p.slack, 2) {
		return crowdedPause
	}
	if late := at.Add(-seconds(p.slack / r)); p.next.Before(late) {
		p.next = late
	}
	p.next = p.next.Add(seconds(1 / r))
	p.unanswered.add(at)
	return 0
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

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

// passage is when a request had its turn, and when it was sent: signing it and waiting for a connection lie between.
type passage struct{ turn, sent time.Time }

// granted counts an answer that is no refusal.
func (p *pace) granted(by passage, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unanswered.answered(by.turn)
	if took := at.Sub(by.turn).Seconds(); p.latency == 0 {
		p.latency = took
	} else {
		p.latency += (took - p.latency) / 16
	}
	p.settle(at)
	if p.lesson != nil || !by.turn.Before(p.shut) {
		p.since.add(by.sent, p.learned > 0)
	}
}

// refused closes the gate for as long as the CA asked for.
func (p *pace) refused(by passage, at time.Time, pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unanswered.answered(by.turn)
	until := at.Add(pause)
	if by.turn.Before(p.shut) {
		p.refusedAlso(by.sent, until)
		return
	}
	p.lesson = &refusal{last: by.sent, pace: p.now(at), pause: pause.Seconds()}
	p.shut, p.closed, p.next = at, until, until // the pause is not made up for
}

// refusedAlso is of a request that was under way when the gate closed.
func (p *pace) refusedAlso(sent, until time.Time) {
	if p.lesson != nil && p.lesson.last.Before(sent) {
		p.lesson.last = sent
	}
	longer := until.Sub(p.closed)
	if longer <= 0 {
		return
	}
	p.closed, p.next = until, until
	if p.lesson == nil { // the gate was open again
		p.paused += longer.Seconds()
		p.since = newHistory(until)
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
