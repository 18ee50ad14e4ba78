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
	// margin keeps a pace below the limit that it was learned from, which is known to about that.
	margin = 0.995
	// crowdedPause is how long the next request waits while too many others have no answer.
	crowdedPause = 5 * time.Millisecond
	// forgetAfter is how long nothing must be refused until nothing is known of the limit any more. A pace that is used is
	// refused sooner, for it grows.
	forgetAfter = 10 * time.Minute
)

// How a pace grows, in seconds in which it was used: it stays for hold and is twice as much ease later.
const (
	searchEase, nearEase, probeEase = 0.35, 5.0, 20.0
	// probeAfter is for how many times the pause a limit that is known is held until more is tried: the pause is what that costs.
	probeAfter, longestHold = 90, 300.0
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
// Requests that were under way when the gate closed tell nothing new.
type pace struct {
	most float64 // the setting requests_per_second, zero without
	// turnstile lets one request at a time wait for its turn; the others queue behind it. It has room for one.
	turnstile chan struct{}

	mu     sync.Mutex
	shut   time.Time // when the gate was closed
	closed time.Time // nothing is sent before
	next   time.Time // when the next request is due
	// paused is for how many seconds nothing was granted before the gate opened, all pauses that the CA asked for in a row.
	paused float64
	// learned is the pace in requests a second as it was when the gate opened, zero as long as nothing was refused. It grows
	// from there as it is used.
	learned, hold, ease float64
	searching           bool // nothing was refused but once
	// first and since are what was granted before the first refusal, and since the gate opened.
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

// granted counts an answer that is no refusal. sent is when the request had its turn.
func (p *pace) granted(sent, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unanswered.answered(sent)
	if took := at.Sub(sent).Seconds(); p.latency == 0 {
		p.latency = took
	} else {
		p.latency += (took - p.latency) / 16
	}
	if sent.Before(p.shut) {
		return
	}
	p.since.add(at, p.learned > 0)
}

// refused closes the gate for as long as the CA asked for.
func (p *pace) refused(sent, at time.Time, pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unanswered.answered(sent)
	until := at.Add(pause)
	if sent.Before(p.shut) { // it tells nothing new but that the pause is longer
		if longer := until.Sub(p.closed); longer > 0 {
			p.paused += longer.Seconds()
			p.closed, p.next, p.since = until, until, newHistory(until)
		}
		return
	}
	p.now(at) // which forgets what is too old
	switch {
	case p.learned == 0: // nothing was refused yet, or not for long
		p.first, p.searching, p.belief, p.paused = p.since, true, 1, 0
		p.first.end = at
		taken := p.first.atOnce(at, 0)
		p.learned, p.hold, p.ease = max(2*taken, 1), 0, max(searchEase, 1.5*p.latency)
		p.slack = taken / 3
	case p.since.count == 0: // the pause was not long enough
		p.paused += at.Sub(p.closed).Seconds()
	case p.hardlyUsed(at): // much was sent at once after a moment in which nothing was: that says nothing about the limit
		p.paused = 0
	default:
		p.learn(at, pause)
		p.searching, p.paused = false, 0
	}
	p.paused += pause.Seconds()
	p.shut, p.closed, p.next, p.since = at, until, until, newHistory(until) // the pause is not made up for
}

// hardlyUsed reports that for long less was sent than the pace allows, because there was no more or the machine was busy.
func (p *pace) hardlyUsed(at time.Time) bool {
	used := at.Sub(p.closed).Seconds() - p.latency
	return !p.searching && used > 5 && p.since.count < 0.8*p.learned*used
}

// learn finds the limit after a refusal that is not the first.
func (p *pace) learn(at time.Time, pause time.Duration) {
	r, open := p.now(at), at.Sub(p.closed).Seconds()
	limit := p.estimate(at, r)
	// The limit is known well when it is not far below the pace that was refused, or when little of what was granted was at once.
	known := func() bool { return limit >= 0.8*r || p.atOnce(limit) < 0.05*limit*open }
	switch {
	case p.searching:
	case !known() && r > 1.1*p.learned && p.belief > 0.1: // it grew far beyond what is thought to be the limit
		p.belief /= 4
		limit = p.estimate(at, r)
	case p.belief < 1 && limit > 0.97*r && open < 10: // the pace did not grow, and was refused soon
		p.belief = 1
		limit = p.estimate(at, r)
	}
	p.learned = max(slowest, margin*limit)
	p.slack = min(p.first.atOnce(p.first.end, limit)/3, limit*paceSlack.Seconds())
	if p.searching || !known() {
		p.hold, p.ease = 0, max(nearEase, 10/limit)
	} else {
		p.hold, p.ease = min(probeAfter*pause.Seconds(), longestHold), probeEase
	}
}

// estimate is the limit of which the CA has granted all, and no more, when it refused a request that came at a pace of r. For any
// limit there is a number of requests that the CA must then have taken at once, and the smaller the limit the more; it must
// be the same as at the first refusal. It cannot be more than what the limit allowed during the pause.
func (p *pace) estimate(at time.Time, r float64) float64 {
	low, high := p.since.count/(at.Sub(p.closed).Seconds()+p.paused), r
	for range 30 {
		middle := (low + high) / 2
		if p.since.atOnce(at, middle) > p.atOnce(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// atOnce is how many requests the CA took at once when it was refused first, were its limit so many a second.
func (p *pace) atOnce(limit float64) float64 {
	return p.belief * max(1, min(p.first.atOnce(p.first.end, limit), limit*p.paused))
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
