package sandbox

import (
	"slices"
	"sync"
	"time"
)

// mostCalls is how many calls are remembered.
const mostCalls = 20000

// Call is one request that came in, without its secrets.
type Call struct {
	// Number counts from 1.
	Number int       `json:"number"`
	Time   time.Time `json:"time"`
	Method string    `json:"method"`
	// Path is below the API's base.
	Path   string `json:"path"`
	Status int    `json:"status"` // 0 while it is being answered, or where no answer was given
	Code   string `json:"code,omitempty"`
	// Remarks are what the CA would let pass, and what a client had better know: ignored, deprecated, silently capped.
	Remarks []string `json:"remarks,omitempty"`
	// Misbehaved is what the stand-in was told to do with the call.
	Misbehaved string `json:"misbehaved,omitempty"`
}

// Calls remembers the last requests. The zero value is ready.
type Calls struct {
	mu    sync.Mutex
	total int
	calls []Call
}

// Begin notes a request and returns its number.
func (c *Calls) Begin(now time.Time, method, path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total++
	if len(c.calls) == mostCalls {
		c.calls = slices.Delete(c.calls, 0, mostCalls/10)
	}
	c.calls = append(c.calls, Call{Number: c.total, Time: now, Method: method, Path: path})
	return c.total
}

// Note changes what is remembered of a call.
func (c *Calls) Note(number int, change func(*Call)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.calls) == 0 {
		return
	}
	if i := number - c.calls[0].Number; i >= 0 && i < len(c.calls) {
		change(&c.calls[i])
	}
}

// List returns the calls, oldest first.
func (c *Calls) List() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.Clone(c.calls)
	for i := range list {
		list[i].Remarks = slices.Clone(list[i].Remarks)
	}
	return list
}

// Clear forgets the calls. Numbers go on.
func (c *Calls) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = nil
}
