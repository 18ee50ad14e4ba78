package dcv

import (
	"net"
	"sync"
	"time"
)

const (
	// keptFor is how long a connection is used, one time after the other.
	keptFor = 2 * time.Second
	// mostKept is how many connections to one place wait for their next use.
	mostKept = 8
)

// aged is a connection that knows when it was opened.
type aged struct {
	net.Conn
	born time.Time
}

func (a aged) opened() time.Time { return a.born }

// kept are connections to one place that wait for their next use. They are dropped some time after they were opened, used or not,
// so that opening one is never long ago. The zero value is ready.
type kept[C interface {
	net.Conn
	opened() time.Time
}] struct {
	mu     sync.Mutex
	idle   []C // the latest at the end
	end    *time.Timer
	closed bool
}

// take returns a connection that waits, and whether there was one. The other side may have closed it.
func (k *kept[C]) take() (c C, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for last := len(k.idle) - 1; last >= 0; last-- {
		c := k.idle[last]
		k.idle = k.idle[:last]
		if time.Since(c.opened()) < keptFor {
			return c, true
		}
		_ = c.Close() // nothing more is wanted of it
	}
	return c, false
}

// put lets a connection wait for its next use where it is still good for one, and closes it otherwise. Nil keeps none.
func (k *kept[C]) put(c C, good bool) {
	if k == nil || !good {
		_ = c.Close() // nothing more is wanted of it
		return
	}
	k.keep(c)
}

// keep lets a connection wait for its next use.
func (k *kept[C]) keep(c C) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.closed || len(k.idle) == mostKept:
		_ = c.Close()
		return
	case k.end == nil:
		k.end = time.AfterFunc(keptFor, k.drop)
	default:
		k.end.Reset(keptFor)
	}
	k.idle = append(k.idle, c)
}

// drop closes all that wait.
func (k *kept[C]) drop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.idle {
		_ = c.Close()
	}
	k.idle = nil
}

// close drops all that wait, and all that would wait later.
func (k *kept[C]) close() {
	k.mu.Lock()
	k.closed = true
	if k.end != nil {
		k.end.Stop()
	}
	k.mu.Unlock()
	k.drop()
}
