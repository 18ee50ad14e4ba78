package pluginhost

import (
	"errors"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel ends a plugin with the thread that forked it, so it must be one thread, and it must stay.
func TestStarterKeepsItsThread(t *testing.T) {
	s := newStarter()
	quit := make(chan struct{})
	var load sync.WaitGroup
	for range 8 { // other goroutines that would take the thread over whenever it is free
		load.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
					time.Sleep(10 * time.Microsecond)
				}
			}
		})
	}
	threads := map[int]bool{}
	for range 200 {
		if err := s.do(func() error {
			threads[unix.Gettid()] = true
			time.Sleep(50 * time.Microsecond)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	close(quit)
	load.Wait()
	if len(threads) != 1 {
		t.Errorf("%d threads", len(threads))
	}
	s.close()
	if err := s.do(func() error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	newStarter().close() // one that was never used
}
