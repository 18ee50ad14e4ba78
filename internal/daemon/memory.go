package daemon

import (
	"os"
	"path/filepath"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"sync"
	"time"
)

// While it waits, and it mostly does, the daemon keeps little room for garbage, unless the environment says how much: the
// memory would be held all year. While orders are worked on it has the usual room, and never less than workRoom, since theirs
// is the processor time that collecting more often would cost: a daemon with few certificates would collect all the time.
const (
	trimAfter     = 10 * time.Second
	restGCPercent = 20
	loadGCPercent = 50 // of many files
	workGCPercent = 100
	manyFiles     = 20_000

	workRoom  = 48 << 20 // bytes of garbage
	roomEvery = 250 * time.Millisecond
)

// loadDensely has the collector run more often until the function that it returns is called: what stays of reading the
// configuration, the journal and the certificates then lies close together, in the place of what is not needed any more.
// With very many files it would take the start too long to be as dense as at rest.
func loadDensely(configPath string) (done func()) {
	files, _ := os.ReadDir(filepath.Join(filepath.Dir(configPath), "conf.d")) // who reads them says what is wrong
	if len(files) <= manyFiles {
		setGCPercent(restGCPercent)
	} else {
		setGCPercent(loadGCPercent)
	}
	return func() { setGCPercent(workGCPercent) }
}

func setGCPercent(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// roomyGCPercent is the percentage that gives workRoom beside so many bytes that are alive.
func roomyGCPercent(live uint64) int {
	return max(workGCPercent, int(workRoom*100/max(live, 1<<20)))
}

// alive is how many bytes the last collection found to be in use.
func alive() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(sample)
	if sample[0].Value.Kind() != runtimemetrics.KindUint64 {
		return workRoom // a Go that does not tell: the usual room it is
	}
	return sample[0].Value.Uint64()
}

// repose knows whether the daemon rests.
type repose struct {
	mu      sync.Mutex
	resting bool
	worked  time.Time // when an order was last worked on
	roomy   time.Time // when the collector was last told how much room there is
}

// wake notes that an order is worked on. It reports true when the daemon rested until now.
func (r *repose) wake() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.worked = time.Now()
	rested := r.resting
	r.resting = false
	if r.worked.Sub(r.roomy) >= roomEvery { // what is alive grows with the orders
		r.roomy = r.worked
		setGCPercent(roomyGCPercent(alive()))
	}
	return rested
}

// rest makes the daemon rest, unless an order was worked on a moment ago: then it reports false.
func (r *repose) rest() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.worked) < trimAfter {
		return false
	}
	r.resting, r.roomy = true, time.Time{}
	setGCPercent(restGCPercent)
	return true
}

// work notes that an order is worked on.
func (d *Daemon) work() {
	if d.repose.wake() {
		d.timer.Set(trimKey, time.Now().Add(trimAfter))
	}
}

// trim lets the daemon rest and gives back the memory that reading everything, or working on orders, has taken. It comes
// again while orders are being worked on, or certificates looked at for the first time.
func (d *Daemon) trim() {
	if d.looking() || !d.repose.rest() {
		d.timer.Set(trimKey, time.Now().Add(trimAfter))
		return
	}
	debug.FreeOSMemory()
}

// looking reports whether certificates have been looked at for the first time since it was last asked, and others are still
// to be: what hangs is not waited for.
func (d *Daemon) looking() bool {
	configured := d.setup.Load().config.Len()
	d.mu.Lock()
	defer d.mu.Unlock()
	known := len(d.known)
	more := known > d.counted && known < configured
	d.counted = known
	return more
}
