package daemon

import (
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certbridge/certbridged/internal/config"
)

// The daemon rests once no order was worked on for a while, and its collector knows.
func TestRepose(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(workGCPercent)
	defer debug.SetGCPercent(before)
	percent := func() int {
		p := debug.SetGCPercent(workGCPercent)
		debug.SetGCPercent(p)
		return p
	}
	synctest.Test(t, func(t *testing.T) {
		var r repose
		if r.wake() {
			t.Error("it rested before it was told to")
		}
		time.Sleep(trimAfter - time.Nanosecond)
		if r.rest() || percent() < workGCPercent {
			t.Errorf("it rests right after work, at %d", percent())
		}
		time.Sleep(time.Nanosecond)
		if !r.rest() || percent() != restGCPercent {
			t.Errorf("it does not rest, at %d", percent())
		}
		if !r.wake() || percent() < workGCPercent || r.wake() {
			t.Errorf("it is not awake, at %d", percent())
		}
	})
}

// While there is work, so much garbage comes together before it is collected, and never less than Go lets come together.
func TestRoomAtWork(t *testing.T) {
	for live, want := range map[uint64]int{0: 4800, 1 << 20: 4800, 12 << 20: 400, 48 << 20: 100, 300 << 20: 100} {
		if got := roomyGCPercent(live); got != want {
			t.Errorf("%d MiB are alive: %d%%, want %d%%", live>>20, got, want)
		}
	}
}

// Memory is given back once all certificates have been looked at; what hangs is not waited for.
func TestLookingAtTheFirstOnes(t *testing.T) {
	d := &Daemon{known: map[string]*standing{}}
	d.setup.Store(&setup{config: config.Of(config.Certificate{Name: "a"}, config.Certificate{Name: "b"}, config.Certificate{Name: "c"})})
	for i, step := range []struct {
		looked string
		want   bool
	}{{"a", true}, {"b", true}, {"", false}, {"c", false}, {"", false}} {
		if step.looked != "" {
			d.known[step.looked] = &standing{}
		}
		if got := d.looking(); got != step.want {
			t.Errorf("step %d: %t", i, got)
		}
	}
}
