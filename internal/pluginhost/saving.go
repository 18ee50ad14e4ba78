package pluginhost

import "sync"

// saving stores the states of one account one after the other. While one is being stored, those that come meanwhile wait
// together: only the latest of them is stored, as it would be last in any case, and all of them return when it is. So the
// replies of many calls wait for two writes at most and not for one each.
type saving struct {
	mu   sync.Mutex
	busy bool
	next *save // what waits while busy, nil when nothing does
}

// save is a state that waits, and everyone who waits for it or for one that it superseded.
type save struct {
	state []byte
	done  chan struct{} // closed when err is set
	mine  chan struct{} // has a token for the one of them who is to store it
	err   error
}

// save stores a state or a later one, and returns when that is done.
func (s *saving) save(state []byte, store func([]byte) error) error {
	s.mu.Lock()
	if !s.busy {
		s.busy = true
		s.mu.Unlock()
		err := store(state)
		s.pass()
		return err
	}
	if s.next == nil {
		s.next = &save{done: make(chan struct{}), mine: make(chan struct{}, 1)}
	}
	s.next.state = state
	waits := s.next
	s.mu.Unlock()
	select {
	case <-waits.mine:
	case <-waits.done:
		return waits.err
	}
	s.mu.Lock()
	s.next = nil // whoever comes from here on is not part of it
	s.mu.Unlock()
	waits.err = store(waits.state)
	close(waits.done)
	s.pass()
	return waits.err
}

// pass hands the storing on to one of those who wait.
func (s *saving) pass() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.busy = false
		return
	}
	s.next.mine <- struct{}{}
}
