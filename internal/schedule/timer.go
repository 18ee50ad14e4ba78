package schedule

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Timer calls when keys are due by the wall clock: one heap and one timer for all of them, so that what rests costs no
// goroutine. Its clock is that of package time, which testing/synctest fakes.
//
// The wall clock may jump: a machine sleeps, a date is corrected. What a jump forward makes due is called soon after it.
// After a jump back everything is due at once, since what was to come in a minute might else come in a year.
type Timer struct {
	wall    func() time.Time
	mu      sync.Mutex
	entries entryHeap
	byKey   map[string]*entry
	changed chan struct{} // holds one token when something may be due earlier than before
}

// NewTimer returns a Timer that holds nothing.
func NewTimer() *Timer {
	return &Timer{wall: wallClock, byKey: map[string]*entry{}, changed: make(chan struct{}, 1)}
}

// wallClock leaves the monotonic reading out, by which package time would compare: it stands still while a machine
// sleeps.
func wallClock() time.Time { return time.Now().Round(0) }

// Set makes a key due at an instant, instead of whenever it was due before. A zero instant forgets the key.
func (t *Timer) Set(key string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at = at.Round(0)
	e := t.byKey[key]
	switch {
	case at.IsZero() && e == nil:
		return
	case at.IsZero():
		heap.Remove(&t.entries, int(e.index))
		delete(t.byKey, key)
	case e == nil:
		e = newEntry(key, at)
		t.byKey[key] = e
		heap.Push(&t.entries, e)
	default:
		e.set(at)
		heap.Fix(&t.entries, int(e.index))
	}
	if at.IsZero() || e.index > 0 {
		return // another is due before it, or none: Run wakes up in time without being told
	}
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// Due returns when a key is due; it is zero for a key that is not held.
func (t *Timer) Due(key string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byKey[key]; e != nil {
		return e.at()
	}
	return time.Time{}
}

// Len returns how many keys are held.
func (t *Timer) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.entries)
}

// longestSleep bounds how late a jump of the wall clock is noticed.
const longestSleep = time.Minute

// Run calls fire with each key that is due, one after the other, the earliest first, and forgets it before the call.
// It returns when the context ends. fire must not block.
func (t *Timer) Run(ctx context.Context, fire func(key string)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	lastWall, last := t.wall(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-t.changed:
		}
		if back := time.Since(last) - t.wall().Sub(lastWall); back > longestSleep {
			t.allDue()
		}
		lastWall, last = t.wall(), time.Now()
		for key, ok := t.pop(); ok; key, ok = t.pop() {
			fire(key)
		}
		timer.Reset(t.sleep())
	}
}

// allDue makes every key due now.
func (t *Timer) allDue() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.wall()
	for _, e := range t.entries {
		if e.at().After(now) {
			e.set(now)
		}
	}
	heap.Init(&t.entries)
}

func (t *Timer) pop() (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.entries) == 0 || t.wall().Before(t.entries[0].at()) {
		return "", false
	}
	e, _ := heap.Pop(&t.entries).(*entry)
	delete(t.byKey, e.key)
	return e.key, true
}

func (t *Timer) sleep() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.entries) == 0 {
		return time.Hour
	}
	return min(t.entries[0].at().Sub(t.wall()), longestSleep)
}

// entry is a key and when it is due, by the wall clock. There are two for each certificate, so the time is not kept as a
// time.Time, which is larger and has a pointer.
type entry struct {
	key         string
	seconds     int64 // since 1970
	nanoseconds int32
	index       int32 // in the heap
}

func newEntry(key string, at time.Time) *entry {
	e := &entry{key: key}
	e.set(at)
	return e
}

func (e *entry) set(at time.Time) { e.seconds, e.nanoseconds = at.Unix(), int32(at.Nanosecond()) }

func (e *entry) at() time.Time { return time.Unix(e.seconds, int64(e.nanoseconds)) }

func (e *entry) before(other *entry) bool {
	if e.seconds != other.seconds {
		return e.seconds < other.seconds
	}
	return e.nanoseconds < other.nanoseconds
}

// entryHeap orders entries by time (container/heap).
type entryHeap []*entry

func (h entryHeap) Len() int           { return len(h) }
func (h entryHeap) Less(i, j int) bool { return h[i].before(h[j]) }
func (h entryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = int32(i), int32(j)
}

func (h *entryHeap) Push(x any) {
	e, _ := x.(*entry)
	e.index = int32(len(*h))
	*h = append(*h, e)
}

func (h *entryHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
