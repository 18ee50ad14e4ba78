package daemon

import (
	"os"
	"runtime/debug"
	"time"
)

// While it waits, and it mostly does, the daemon keeps little room for garbage, unless the environment says how much: the
// processor time that this costs is spent when certificates are renewed, the memory would be held all year.
const (
	trimAfter     = 10 * time.Second
	restGCPercent = 50
)

// loadDensely has the collector run more often until the function that it returns is called: what stays of reading the
// configuration, the journal and the certificates then lies close together, in the place of what is not needed any more.
func loadDensely() (done func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(restGCPercent)
	return func() { debug.SetGCPercent(before) }
}

// trim gives back the memory that reading everything has taken. It comes again while there are still certificates being
// looked at for the first time.
func (d *Daemon) trim() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(restGCPercent)
	}
	debug.FreeOSMemory()
	configured := len(d.setup.Load().config.Certificates)
	d.mu.Lock()
	known := len(d.known)
	more := known > d.trimmed && known < configured // what hangs is not waited for
	d.trimmed = known
	d.mu.Unlock()
	if more {
		d.timer.Set(trimKey, time.Now().Add(trimAfter))
	}
}
