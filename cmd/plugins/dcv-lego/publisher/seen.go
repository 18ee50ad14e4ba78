package publisher

import (
	"sync"
	"time"
)

// maxSeen bounds what a process remembers of its own doings. It is a help, not a journal: a new process does without.
const maxSeen = 10_000

// seen is what this process has published and withdrawn. It makes a repeated call harmless, and it keeps the receipt of
// a call that ended after its caller had left.
type seen struct {
	mu   sync.Mutex
	done map[string]deed
}

// deed is the last thing that was done about a record.
type deed struct {
	name, value string
	published   bool
	receipt     []byte // of what is published
	at          time.Time
}

func newSeen() *seen { return &seen{done: map[string]deed{}} }

func (s *seen) note(key string, d deed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.done[key]; !known && len(s.done) >= maxSeen {
		for other := range s.done {
			delete(s.done, other)
			break
		}
	}
	d.at = time.Now()
	s.done[key] = d
}

// age is how long ago this process did the last thing about a record.
func (s *seen) age(key string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.done[key].at)
}

// published returns the receipt of a record that this process has published and not withdrawn.
func (s *seen) published(key string) (receipt []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.done[key]
	return d.receipt, d.published
}

// withdrawn reports whether the last thing this process did about a record was to withdraw it.
func (s *seen) withdrawn(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, known := s.done[key]
	return known && !d.published
}

// withdrawnValues are the values that this process has withdrawn at a name: name servers may still have them.
func (s *seen) withdrawnValues(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var values []string
	for _, d := range s.done {
		if d.name == name && !d.published {
			values = append(values, d.value)
		}
	}
	return values
}
