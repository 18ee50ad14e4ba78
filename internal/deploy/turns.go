package deploy

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

const (
	// fewestAtOnce and commandsPerCore say how many commands run at once: when a thousand certificates were renewed, a
	// thousand commands at once would only get in each other's way.
	fewestAtOnce    = 8
	commandsPerCore = 2
	// patience is how long a command counts among those that run at once. One that takes longer mostly waits for something,
	// which may never come; it must not hold up another certificate's.
	patience = time.Second
)

// turns lets commands run in their turn, first come, first served. The zero value is ready for use.
type turns struct {
	mu       sync.Mutex
	most     int           // zero: by the number of cores
	patience time.Duration // zero: patience
	running  int
	waiting  []chan struct{}
}

// take waits for a turn. The function it returns gives it back; a turn that is not given back in time is taken away.
func (t *turns) take(ctx context.Context) (giveBack func(), err error) {
	t.mu.Lock()
	if t.most == 0 {
		t.most = max(fewestAtOnce, commandsPerCore*runtime.GOMAXPROCS(0))
	}
	mine := make(chan struct{})
	if t.running < t.most { // then nobody waits
		t.running++
		close(mine)
	} else {
		t.waiting = append(t.waiting, mine)
	}
	t.mu.Unlock()
	select {
	case <-mine:
	case <-ctx.Done():
		if !t.leave(mine) { // it came at the same moment
			t.next()
		}
		return nil, fmt.Errorf("not started: %w", context.Cause(ctx))
	}
	once := sync.OnceFunc(t.next)
	timer := time.AfterFunc(cmp.Or(t.patience, patience), once)
	return func() {
		timer.Stop()
		once()
	}, nil
}

// next hands a turn to who has waited longest.
func (t *turns) next() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.running--
		return
	}
	close(t.waiting[0])
	t.waiting[0] = nil
	t.waiting = t.waiting[1:]
}

// leave gives up waiting, unless the turn has come.
func (t *turns) leave(mine chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, other := range t.waiting {
		if other == mine {
			t.waiting = append(t.waiting[:i], t.waiting[i+1:]...)
			return true
		}
	}
	return false
}
