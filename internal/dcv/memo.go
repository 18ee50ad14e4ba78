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
	swept   time.Time // when all that is out of date was last dropped
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
	m.sweep(now)
	if r := m.entries[key]; r != nil && !r.outdated(now) {
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

func (r *remembered[V]) outdated(now time.Time) bool { return r.finished() && !now.Before(r.until) }

// sweep drops what is out of date, now and then: walking over everything at each question would be too much with many names. The
// lock is held.
func (m *memo[V]) sweep(now time.Time) {
	if age := now.Sub(m.swept); age >= 0 && age < m.keep {
		return
	}
	m.swept = now
	for key, r := range m.entries {
		if r.outdated(now) {
			delete(m.entries, key)
		}
	}
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
