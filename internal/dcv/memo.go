package dcv

import (
	"context"
	"sync"
	"time"
)

// memo finds each thing once for all who ask at the same time, and remembers it for a while. What could not be found is
// forgotten at once.
type memo[V any] struct {
	keep time.Duration

	mu      sync.Mutex
	entries map[string]*remembered[V]
}

type remembered[V any] struct {
	cancel  context.CancelFunc
	waiters int
	done    chan struct{} // closed when value, err and until are there
	value   V
	err     error
	until   time.Time
}

func (r *remembered[V]) finished() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// get returns what find finds. The finding goes on while anybody waits for it, whoever has asked first.
func (m *memo[V]) get(ctx context.Context, key string, find func(context.Context) (V, error)) (V, error) {
	r := m.join(ctx, key, find)
	defer m.leave(key, r)
	select {
	case <-r.done:
		return r.value, r.err
	case <-ctx.Done():
		var none V
		return none, context.Cause(ctx)
	}
}

func (m *memo[V]) join(ctx context.Context, key string, find func(context.Context) (V, error)) *remembered[V] {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for other, r := range m.entries {
		if r.finished() && !now.Before(r.until) {
			delete(m.entries, other)
		}
	}
	if r := m.entries[key]; r != nil {
		r.waiters++
		return r
	}
	r := &remembered[V]{waiters: 1, done: make(chan struct{})}
	if m.entries == nil {
		m.entries = map[string]*remembered[V]{}
	}
	m.entries[key] = r
	finding, cancel := context.WithCancel(context.WithoutCancel(ctx)) //nolint:gosec // the last one to leave calls it
	r.cancel = cancel
	go func() {
		r.value, r.err = find(finding)
		r.until = time.Now().Add(m.keep)
		m.mu.Lock()
		defer m.mu.Unlock()
		if r.err != nil && m.entries[key] == r {
			delete(m.entries, key)
		}
		close(r.done)
	}()
	return r
}

// leave ends the finding when nobody waits for it any more.
func (m *memo[V]) leave(key string, r *remembered[V]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.waiters--; r.waiters > 0 {
		return
	}
	r.cancel()
	if !r.finished() && m.entries[key] == r {
		delete(m.entries, key)
	}
}

// clear drops all that is remembered. What is being found now is not remembered either.
func (m *memo[V]) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.entries)
}

// forget drops what is remembered for a key.
func (m *memo[V]) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.entries[key]; r != nil && r.finished() {
		delete(m.entries, key)
	}
}
