package schedule

import (
	"hash/fnv"
	"time"
)

// The shape of back-off: it doubles from firstWait, and its upper limit shrinks as expiry nears, so that there is
// always time for some twenty more tries, but never more often than shortestLimit.
const (
	firstWait     = 30 * time.Second
	longestWait   = 6 * time.Hour
	shortestLimit = 5 * time.Second
	triesLeft     = 24
)

// Backoff is how long to wait after a number of failures (one for the first) when this much is left until what is on
// disk expires; remaining at or below zero means that it has expired or that there is nothing yet. The seed spreads
// waits that would otherwise coincide by up to a tenth, the same for the same seed and number.
func Backoff(failures int, remaining time.Duration, seed string) time.Duration {
	wait := firstWait
	for i := 1; i < failures && wait < longestWait; i++ {
		wait *= 2
	}
	wait = min(wait, longestWait, limit(remaining))
	return wait + spread(wait/10, failures, seed)
}

// MostSpread is by how much a wait is spread at most that another side asks for.
const MostSpread = time.Second

// Paced is how long to wait when another side says from when on it takes calls again: that long, and up to a twentieth
// more, the same for the same seed.
func Paced(wait time.Duration, seed string) time.Duration {
	return wait + spread(min(wait/20, MostSpread), 0, seed)
}

func limit(remaining time.Duration) time.Duration {
	if remaining <= 0 {
		// Nothing is served that could still expire: urgent, but the other side is not to be hammered for ever.
		return 15 * time.Minute
	}
	return max(remaining/triesLeft, shortestLimit)
}

func spread(within time.Duration, failures int, seed string) time.Duration {
	if within <= 0 {
		return 0
	}
	return Within(within, string(append([]byte(seed), byte(failures))))
}

// Within returns a part of a positive span that depends on a seed alone: what is put off by it spreads evenly, and a restart
// does not throw the dice again.
func Within(span time.Duration, seed string) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(seed)) // never fails
	return time.Duration(h.Sum64() % uint64(span))
}
