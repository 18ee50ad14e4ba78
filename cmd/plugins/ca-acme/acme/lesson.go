package acme

import "time"

// How a pace grows, in seconds in which it was used: it stays for hold and is twice as much ease later.
const (
	searchEase, nearEase, probeEase = 0.35, 5.0, 20.0
	// probeAfter is for how many times the pause a limit that is known is held until more is tried: the pause is what that costs.
	probeAfter, longestHold = 90, 300.0
)

const (
	// margin keeps a pace below the limit that it was learned from, which is known to about that.
	margin = 0.995
	// unfilled is how much less than full a CA's bucket is held for when it refuses, in requests: it has no room for one more, but up to
	// one less may be in it. Half would be the mean; this does best at limits of all kinds (TestPaceUsesTheLimit).
	unfilled = 0.3
	// mostDoubts is how many refusals in a row may say nothing about the limit, though each came soon.
	mostDoubts = 2
)

// refusal is what closed the gate. It is learned from when the gate opens: a CA refuses sooner than it does what it is asked for, so
// that much of what it granted before is answered after.
type refusal struct {
	last  time.Time // when the last request was sent that was refused with it
	pace  float64   // at which it was sent, in requests a second
	pause float64   // that the CA asked for, in seconds
}

// settle learns from the refusal that closed the gate, once it is open again. It is called with the lock held.
func (p *pace) settle(at time.Time) {
	l := p.lesson
	if l == nil || at.Before(p.closed) {
		return
	}
	p.lesson = nil
	// Less than zero when the gate was closed for longer after the request had its turn; paused is that much more then.
	open := l.last.Sub(p.since.began).Seconds()
	switch {
	case p.learned == 0: // nothing was refused yet, or not for long
		p.begin(l)
	case p.since.count == 0: // the pause was not long enough
		p.paused += max(0, open)
	case p.hardlyUsed(open): // much was sent at once after a moment in which nothing was: that says nothing about the limit
		p.doubts++
		p.paused = 0
	default:
		p.learn(l, open)
		p.searching, p.doubts, p.paused = false, 0, 0
	}
	p.paused += p.closed.Sub(p.shut).Seconds()
	p.since = newHistory(p.closed)
}

// begin takes what was granted until the first refusal for what the CA takes at once, and begins to search.
func (p *pace) begin(l *refusal) {
	p.first, p.searching, p.belief, p.doubts, p.paused = p.since, true, 1, 0, 0
	p.first.end = l.last
	taken := p.first.atOnce(l.last, 0)
	p.learned, p.hold, p.ease = max(2*taken, 1), 0, max(searchEase, 1.5*p.latency)
	p.slack = taken / 3
}

// hardlyUsed reports that less was sent than the pace allows since the gate opened, because there was no more or the machine was
// busy. Refusals that come soon one after the other are believed after some all the same.
func (p *pace) hardlyUsed(open float64) bool {
	return !p.searching && (open > 5 || p.doubts < mostDoubts) && p.since.count < 0.8*p.learned*open
}

// learn finds the limit after a refusal that is not the first. open is for how many seconds the gate was open.
func (p *pace) learn(l *refusal, open float64) {
	limit := p.estimate(l, open)
	// The limit is known well when it is not far below the pace that was refused, or when little of what was granted was at once.
	known := func() bool { return limit >= 0.8*l.pace || p.atOnce(limit) < 0.05*limit*open }
	switch {
	case p.searching:
	case !known() && l.pace > 1.1*p.learned && p.belief > 0.1: // it grew far beyond what is thought to be the limit
		p.belief /= 4
		limit = p.estimate(l, open)
	case p.belief < 1 && limit > 0.97*l.pace && open < 10: // the pace did not grow, and was refused soon
		p.belief = 1
		limit = p.estimate(l, open)
	}
	p.learned = max(slowest, margin*limit)
	p.slack = min(p.first.atOnce(p.first.end, limit)/3, limit*paceSlack.Seconds())
	if p.searching || !known() {
		p.hold, p.ease = 0, max(nearEase, 10/limit)
	} else {
		p.hold, p.ease = min(probeAfter*l.pause, longestHold), probeEase
	}
}

// estimate is the limit of which the CA has granted all, and no more, when it refused a request. For any limit there is a number of
// requests that the CA must then have taken at once, and the smaller the limit the more; it must be the same as at the first refusal.
// What was at once is looked for in all the time since the gate opened: when nothing could be sent for a moment and then much at once,
// the last of it says little. Of several limits that explain both refusals it is the lowest. It cannot be more than what the limit
// allowed during the pause.
func (p *pace) estimate(l *refusal, open float64) float64 {
	explains := func(limit float64) bool {
		full := p.atOnce(limit)
		return p.since.most(l.last, limit) <= full-unfilled*min(1, max(0, full-1)/8)
	}
	low, high := p.since.count/(open+p.paused), l.pace
	for limit := low; limit < high; limit *= 1.02 {
		if explains(limit) {
			high = limit
			break
		}
		low = limit
	}
	for range 20 {
		if middle := (low + high) / 2; explains(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// atOnce is how many requests the CA took at once when it was refused first, were its limit so many a second.
func (p *pace) atOnce(limit float64) float64 {
	return p.belief * max(1, min(p.first.atOnce(p.first.end, limit), limit*p.paused))
}
