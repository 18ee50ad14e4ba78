package acme

import (
	"sync"
	"time"
)

const (
	// firstGuess is when an order is looked at for the first time while nothing is known of the CA: most of them need no longer.
	firstGuess = 100 * time.Millisecond
	// longestLook is how long a call waits for the CA to be done. A slower one is looked at by the daemon's next call, in which
	// nobody waits meanwhile.
	longestLook = 400 * time.Millisecond
	// soonest is the shortest wait before a look.
	soonest = 10 * time.Millisecond
	// An estimate goes down a little when the CA was done at the first look, and up by more when it was not, so that nine in ten
	// first looks find it done: each one that does not is a request for nothing.
	hit, miss = 0.95, 1.5
	// guess is in the place of hit until a first look has found nothing.
	guess = 0.5
	// probe is how many orders it takes, when the CA is too slow for a call to wait for it, until one finds out whether it still is.
	probe = 20
)

// promptness is an estimate of how long a CA takes for one kind of work, learned from looks that found the work done or not.
type promptness struct {
	mu   sync.Mutex
	took time.Duration
	// known: a look came too early once, so that the estimate is more than a guess.
	known bool
	// passed are the orders of late that no call waited for.
	passed int
}

func newPromptness() *promptness { return &promptness{took: firstGuess} }

// firstLook is how long to wait for the CA before the first look, zero where a call should not wait at all.
func (p *promptness) firstLook() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.took <= longestLook {
		return p.took
	}
	if p.passed++; p.passed%probe > 0 {
		return 0
	}
	return longestLook
}

// looked tells what a first look found. Many orders wait at once by an estimate that changes meanwhile: the first of those who
// waited for as long as it says now, or found nothing even later, tells something new.
func (p *promptness) looked(after time.Duration, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !done && after >= p.took:
		p.took, p.known = scale(after, miss), true
	case done && after == longestLook && p.took > longestLook:
		p.took, p.known = after, false
	case done && after == p.took && p.known:
		p.took = max(scale(after, hit), soonest)
	case done && after == p.took:
		p.took = max(scale(after, guess), soonest)
	}
}

func scale(d time.Duration, factor float64) time.Duration { return time.Duration(float64(d) * factor) }
