package publisher

import (
	"context"
	"sync"
)

// maxConcurrent is how many calls of a provider may be under way.
const maxConcurrent = 16

// gate lets calls through: one at a time, or several where the provider bears it, but never two for one record. lego
// itself never calls a provider twice at once, and many read a whole set of records, change it, and write it back.
type gate struct {
	slots chan struct{}

	mu   sync.Mutex
	busy map[string]chan struct{} // by key; closed when the call has ended
}

func newGate(concurrent bool) *gate {
	slots := 1
	if concurrent {
		slots = maxConcurrent
	}
	return &gate{slots: make(chan struct{}, slots), busy: map[string]chan struct{}{}}
}

// enter waits until a call for a key may be made, or until the context ends. Whoever has entered must leave, and only
// when the provider has returned: a call that nobody waits for any more is still under way.
func (g *gate) enter(ctx context.Context, key string) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for {
		g.mu.Lock()
		before, taken := g.busy[key]
		if !taken {
			ended := make(chan struct{})
			g.busy[key] = ended
			g.mu.Unlock()
			return g.takeSlot(ctx, key, ended)
		}
		g.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (g *gate) takeSlot(ctx context.Context, key string, ended chan struct{}) (func(), error) {
	free := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.busy, key)
		close(ended)
	}
	select {
	case g.slots <- struct{}{}:
		return func() { <-g.slots; free() }, nil
	case <-ctx.Done():
		free()
		return nil, ctx.Err()
	}
}
