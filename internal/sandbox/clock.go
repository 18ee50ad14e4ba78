package sandbox

import (
	"sync"
	"time"
)

// Clock is the stand-in's idea of the time: the machine's, moved by what Advance was told. The zero value is ready.
type Clock struct {
	mu     sync.Mutex
	offset time.Duration
}

// Now returns the stand-in's time in UTC.
func (c *Clock) Now() time.Time { return time.Now().Add(c.Offset()).UTC() }

// Offset is how far the clock is ahead of the machine's.
func (c *Clock) Offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}

// SetOffset puts the clock that far ahead of the machine's.
func (c *Clock) SetOffset(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = d
}

// Advance moves the clock; a negative duration moves it back.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}
