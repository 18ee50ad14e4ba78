package acme

import (
	"context"
	"sync"
	"time"
)

const (
	// firstGuess is when an order is looked at for the first time while nothing is known of the CA: most of them need no longer.
	firstGuess = 100 * time.Millisecond
	// longestLook is how long a call waits for the CA to be done. A slower one is looked at by the daemon's next call, for which
	// nobody waits. That comes a second later or more, and so much would be lost on a CA that needs less.
	longestLook = time.Second
	// soonest is the shortest wait before a look.
	soonest = 10 * time.Millisecond
	// longer is what an estimate becomes after a look that came too early: a request for nothing.
	longer = 1.5
	// tries is of how many orders one is looked at in half the time that the estimate says, to find out whether that is enough.
	tries = 10
	// enough tries in a row that found the work done halve the estimate: a CA may be quick once.
	enough = 2
	// probe is how many orders it takes, when the CA is too slow for a call to wait for it, until one finds out whether it still is.
	probe = 20
)

// promptness is an estimate of how long a CA takes for one kind of work, learned from looks that found the work done or not.
type promptness struct {
	mu   sync.Mutex
	took time.Duration
	// known: a look came too early once, so that the estimate is more than a guess. Until then each order tries less.
	known bool
	// orders counts those that were begun, fit the tries in a row that found the work done.
	orders, fit int
	// upTo is when the latest order was begun that was found done; news is closed when a later one is found so.
	upTo time.Time
	news chan struct{}
}

func newPromptness() *promptness { return &promptness{took: 2 * firstGuess} }

// waiting is one order's wait for the CA to be done with one kind of work.
type waiting struct {
	work  *promptness
	begun time.Time
	pause time.Duration // until the next look
	// first is how long the first look waits, unless there is news, and zero from then on.
	first time.Duration
	heard bool // the news was heeded once
}

// begin is called when the CA was just set to work.
func (p *promptness) begin() *waiting {
	first := p.firstLook()
	return &waiting{work: p, begun: time.Now(), pause: first, first: first}
}

// next waits until the order is worth a look. It reports false when a call should not wait for it any longer.
//
// A CA works on what it was asked first before the rest, more or less. So when a later order is found done, those that were begun
// before it are looked at without delay, once: many that came too early and were to wait for long are done a moment later.
func (w *waiting) next(ctx context.Context) bool {
	w.pause = min(w.pause, longestLook-time.Since(w.begun))
	if w.pause <= 0 {
		return false
	}
	timer := time.NewTimer(w.pause)
	defer timer.Stop()
	for {
		overtaken, news := w.work.overtaken(w.begun)
		if overtaken && !w.heard {
			w.heard, w.first = true, 0
			return true
		}
		select {
		case <-timer.C:
			w.pause *= 2
			return true
		case <-news:
		case <-ctx.Done():
			return false
		}
	}
}

// looked tells what a look found.
func (w *waiting) looked(done bool) {
	if w.first > 0 {
		w.work.looked(w.first, done)
		w.first = 0
	}
	if done {
		w.work.doneUpTo(w.begun)
	}
}

// overtaken reports whether an order was found done that was begun later; more is known when the channel is closed.
func (p *promptness) overtaken(begun time.Time) (bool, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.news == nil {
		p.news = make(chan struct{})
	}
	return begun.Before(p.upTo), p.news
}

func (p *promptness) doneUpTo(begun time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !begun.After(p.upTo) {
		return
	}
	p.upTo = begun
	if p.news != nil {
		close(p.news)
		p.news = nil
	}
}

// firstLook is how long to wait for the CA before the first look, zero where a call should not wait at all.
func (p *promptness) firstLook() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orders++
	switch {
	case p.took > longestLook && p.orders%probe > 0:
		return 0
	case p.took > longestLook:
		return longestLook
	case p.known && p.orders%tries > 0:
		return p.took
	default:
		return max(p.took/2, soonest)
	}
}

// looked tells what a first look found. Many orders wait at once by an estimate that changes meanwhile: one who waited for as
// long as it says now and found nothing tells something new, and one who tried half of it and found the work done.
func (p *promptness) looked(after time.Duration, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case done && 2*after <= p.took:
		if p.fit++; p.fit == enough {
			p.took, p.fit = after, 0
		}
	case done && after == longestLook && p.took > longestLook:
		p.took = after
	case !done:
		if p.fit = 0; after >= p.took {
			p.took = time.Duration(longer * float64(after))
		}
	}
	p.known = p.known || !done
}
