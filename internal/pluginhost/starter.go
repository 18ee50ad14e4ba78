package pluginhost

import (
	"runtime"
	"sync"
)

// starter runs functions on one operating system thread that lives until close. The kernel sends the parent-death
// signal of a process when the thread that forked it ends, not when the process does; a thread of Go's own pool may
// end at any time and would take its plugins with it.
type starter struct {
	once sync.Once
	work chan func()
	quit chan struct{}
	gone chan struct{}
}

func newStarter() *starter {
	return &starter{work: make(chan func()), quit: make(chan struct{}), gone: make(chan struct{})}
}

// do runs f on the thread and returns what it returns. After close it returns ErrClosed.
func (s *starter) do(f func() error) error {
	s.once.Do(func() { go s.loop() })
	result := make(chan error, 1)
	select {
	case s.work <- func() { result <- f() }:
		return <-result
	case <-s.quit:
		return ErrClosed
	}
}

func (s *starter) loop() {
	runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
	defer close(s.gone)
	for {
		select {
		case f := <-s.work:
			f()
		case <-s.quit:
			return
		}
	}
}

// close ends the thread, and with it every process it started. It is called once.
func (s *starter) close() {
	close(s.quit)
	s.once.Do(func() { close(s.gone) }) // it never ran
	<-s.gone
}
