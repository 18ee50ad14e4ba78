package pluginhost

import (
	"slices"
	"strings"
	"time"
)

// State is where a plugin or an instance of one stands.
type State string

// The states. For a plugin with several instances the last of these that holds for one of them is shown.
const (
	StateIdle         State = "idle"
	StateRunning      State = "running"
	StateStarting     State = "starting"
	StateBackingOff   State = "backing-off"
	StateQuarantined  State = "quarantined"
	StateRefused      State = "refused"       // the file must not be run
	StateNotInstalled State = "not-installed" // an instance wants a file that is not there
)

func (s State) rank() int {
	return slices.Index([]State{StateIdle, StateRunning, StateStarting, StateBackingOff, StateQuarantined, StateRefused, StateNotInstalled}, s)
}

// Info is one plugin.
type Info struct {
	File    string // "ca-digicert"
	Kind    Kind
	Name    string // "digicert"
	Version string // as it describes itself; empty before its first start
	State   State
	Reason  string // for a state that is not as it should be
	SHA256  string // of the file; empty when it is refused
	// Instances are the accounts or profiles that use it, by name.
	Instances []InstanceInfo
}

// InstanceInfo is one CA account or DCV profile.
type InstanceInfo struct {
	Name     string
	State    State
	Reason   string    // the last failure or refusal
	PID      int       // zero when no process runs
	RSS      int64     // resident memory in bytes, while a process runs
	Started  time.Time // of the process
	Calls    int       // under way
	Failures int       // that count at present
	Restarts int       // starts after a failure, since the instance was made
	NextTry  time.Time // no start before it, when in the future
}

// EventKind says what happened.
type EventKind string

// The events. The first three are about a file, the others about an instance.
const (
	EventAdded       EventKind = "added"
	EventReplaced    EventKind = "replaced"
	EventRemoved     EventKind = "removed"
	EventRefused     EventKind = "refused" // a file that must not be run, or a start that was not tried
	EventStarted     EventKind = "started"
	EventStopped     EventKind = "stopped"
	EventFailed      EventKind = "failed" // and will be started again by the first call after Until
	EventQuarantined EventKind = "quarantined"
	EventReleased    EventKind = "released"
)

// Event is something that happened to a plugin.
type Event struct {
	Time     time.Time
	Kind     EventKind
	Plugin   string // file name
	Instance string // empty for an event about the file
	PID      int    // where a process is meant
	Reason   string
	Until    time.Time // no start before it
}

// List shows every plugin in the folder and every instance, by file name.
func (h *Host) List() []Info {
	byFile := map[string]*Info{}
	entry := func(name string) *Info {
		if info := byFile[name]; info != nil {
			return info
		}
		kind, short, _ := strings.Cut(name, "-")
		info := &Info{File: name, Kind: Kind(kind), Name: short, State: StateIdle}
		byFile[name] = info
		if _, id, err := h.folder.look(name); err != nil {
			info.State, info.Reason = stateOf(err), err.Error()
		} else {
			info.SHA256, info.Version = h.folder.sumOf(name, id), h.version(Kind(kind), id)
		}
		return info
	}
	names, err := h.folder.names()
	if err != nil {
		h.log.Warn("plugin folder not readable", "error", err)
	}
	for _, name := range names {
		entry(name)
	}
	for _, i := range h.all() {
		info, one := entry(i.file), i.info()
		info.Instances = append(info.Instances, one)
		if one.State.rank() > info.State.rank() {
			info.State, info.Reason = one.State, one.Reason
		}
	}
	list := make([]Info, 0, len(byFile))
	for _, info := range byFile {
		slices.SortFunc(info.Instances, func(a, b InstanceInfo) int { return strings.Compare(a.Name, b.Name) })
		list = append(list, *info)
	}
	slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.File, b.File) })
	return list
}

// info shows an instance.
func (i *instance) info() InstanceInfo {
	_, id, looked := i.host.folder.look(i.file)
	if looked == nil && i.spec.SHA256 != "" {
		looked = pinned(i.file, i.spec.SHA256, i.host.folder.sumOf(i.file, id))
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	out := InstanceInfo{
		Name: i.spec.Name, State: StateIdle, Reason: i.rec.reason, Failures: len(i.rec.failures), Restarts: i.restarts,
	}
	if r := i.current; r != nil {
		out.PID, out.RSS, out.Started, out.Calls = r.proc.number(), r.proc.rss(), r.started, r.calls
		out.State = StateRunning
	}
	_, gate := i.rec.gate(now)
	switch {
	case looked != nil:
		out.State, out.Reason = stateOf(looked), looked.Error()
	case i.current != nil:
	case i.starting != nil:
		out.State = StateStarting
	case gate != nil && i.recFor == id:
		out.State, out.NextTry = StateBackingOff, i.rec.until
		if i.rec.quarantined {
			out.State = StateQuarantined
		}
	case i.refusal != nil:
		out.State, out.Reason = StateRefused, i.refusal.Error()
	}
	return out
}
