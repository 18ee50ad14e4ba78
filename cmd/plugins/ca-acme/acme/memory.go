package acme

import (
	"container/list"
	"sync"
)

// memory keeps what is known of the latest orders, so that the CA need not be asked again for what it has just said. It is a
// convenience of this process: what is forgotten, or was known to an earlier process, is asked for.
type memory[V any] struct {
	room int

	mu    sync.Mutex
	known map[string]*list.Element
	order list.List // of remembered, oldest first
}

type remembered[V any] struct {
	key   string
	value V
}

// maxRemembered bounds a memory. The daemon works on fewer orders of an account at once.
const maxRemembered = 4096

func newMemory[V any](room int) *memory[V] {
	return &memory[V]{room: room, known: map[string]*list.Element{}}
}

// put remembers a value and forgets the oldest one where there is no room.
func (m *memory[V]) put(key string, value V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.known[key]; ok {
		m.order.Remove(e)
	}
	m.known[key] = m.order.PushBack(remembered[V]{key, value})
	if m.order.Len() > m.room {
		delete(m.known, m.order.Remove(m.order.Front()).(remembered[V]).key)
	}
}

func (m *memory[V]) get(key string) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.known[key]
	if !ok {
		var none V
		return none, false
	}
	return e.Value.(remembered[V]).value, true
}

func (m *memory[V]) drop(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.known[key]; ok {
		m.order.Remove(e)
		delete(m.known, key)
	}
}
