package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Instance is one CA account or one DCV profile: a plugin with its settings. It has a process of its own.
type Instance struct {
	// Name is the account's or the profile's.
	Name string
	// Plugin is the plugin's name: "digicert" for the file ca-digicert.
	Plugin string
	// SHA256 pins the plugin's file, in hexadecimal digits; empty: any file.
	SHA256   string
	Settings pluginapi.Settings
	// Env is the instance's environment. The daemon's own is never handed on, so proxies and the like belong here.
	Env map[string]string
	// DNSResolvers are what a DCV profile looks records up with, "host:port"; empty: the system's.
	DNSResolvers []string
	// State returns the account state as last stored; it is asked at every launch. For CA accounts; may be nil.
	State func() []byte
	// SaveState stores account state that came with a reply, before the caller sees the reply. For CA accounts; with
	// nil, state is dropped.
	SaveState func([]byte) error
}

// instance is an Instance at work. Its methods may be called concurrently.
type instance struct {
	host *Host
	kind Kind
	file string
	spec Instance
	mask *masker
	log  *slog.Logger

	badEnv error // what is wrong with spec.Env

	slots  chan struct{} // one for each call under way
	saving saving

	mu       sync.Mutex
	current  *running
	starting *flight[*running]
	waking   bool // a start that nobody waits for is under way
	rec      record
	recFor   identity // the file the record is about
	refusal  error    // why the last start was not tried
	restarts int
	restart  bool // the next start follows a failure
	closed   bool
}

// wrap says in an error whose it is: the plugin's name stands in each error once.
func (i *instance) wrap(err error) error {
	if err == nil {
		return nil
	}
	what := "account"
	if i.kind == KindDCV {
		what = "profile"
	}
	return fmt.Errorf("plugin %s, %s %s: %w", i.file, what, i.spec.Name, err)
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// checkEnv refuses what no environment can hold, and what would talk to the loader or the handshake.
func checkEnv(env map[string]string) error {
	for name, value := range env {
		switch {
		case !envName.MatchString(name):
			return pluginapi.FieldErrorf("env", "%q is no name of an environment variable", name)
		case strings.ContainsRune(value, 0):
			return pluginapi.FieldErrorf("env."+name, "the value has a zero byte")
		case strings.HasPrefix(name, "LD_"), strings.HasPrefix(name, "PLUGIN_"):
			return pluginapi.FieldErrorf("env."+name, "this variable belongs to the loader or the launcher and cannot be set")
		}
	}
	return nil
}

// acquire returns a running plugin with a call counted on it; release gives it back. Callers share one start.
func (i *instance) acquire(ctx context.Context) (*running, error) {
	if i.badEnv != nil {
		return nil, i.badEnv
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, undelivered(err, 0)
		}
		i.notice()
		id, err := i.host.folder.glance(i.file)
		r, start, wait, err := i.claim(id, err)
		if err != nil {
			return nil, undelivered(err, wait)
		}
		if r != nil {
			return r, nil
		}
		if _, err := start.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// wake has the plugin started and configured, where it is not, and waits for nothing. What becomes of that is told as for every
// start, and whoever needs the plugin meanwhile joins.
func (i *instance) wake() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.current != nil || i.waking || !i.host.enter() {
		return
	}
	i.waking = true
	go func() {
		defer i.host.leave()
		_, _ = i.ready(context.Background())
		i.mu.Lock()
		i.waking = false
		i.mu.Unlock()
	}()
}

// claim takes the current process, or joins or begins a start, for the file as it is now.
func (i *instance) claim(id identity, looked error) (*running, *flight[*running], time.Duration, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil, nil, 0, ErrClosed
	}
	i.refusal = looked
	if looked != nil {
		i.retire()
		return nil, nil, 0, looked
	}
	i.fileIs(id)
	if r := i.current; r != nil {
		r.calls++
		if r.idle != nil {
			r.idle.Stop()
		}
		return r, nil, 0, nil
	}
	if i.starting != nil {
		return nil, i.starting, 0, nil
	}
	if wait, err := i.rec.gate(time.Now()); err != nil {
		return nil, nil, wait, err
	}
	if !i.host.enter() {
		return nil, nil, 0, ErrClosed
	}
	i.starting = newFlight[*running]()
	go i.start(i.starting, id)
	return nil, i.starting, 0, nil
}

// fileIs notes which file is there: a process of another one takes no more calls, and failures of another one are
// forgotten. It is called with the lock held.
func (i *instance) fileIs(id identity) {
	if i.current != nil && i.current.id != id {
		i.retire()
	}
	if len(i.rec.failures) > 0 && i.recFor != id {
		i.rec = record{}
	}
}

// retire lets the current process end as soon as no call is under way. It is called with the lock held.
func (i *instance) retire() {
	r := i.current
	if r == nil {
		return
	}
	i.current = nil
	r.retired = true
	if r.idle != nil {
		r.idle.Stop()
	}
	if r.calls == 0 {
		close(r.stop)
	}
}

// start launches the plugin for all who wait.
func (i *instance) start(f *flight[*running], id identity) {
	defer i.host.leave()
	r, err := i.host.launch(i)
	i.mu.Lock()
	i.starting = nil
	event := Event{Kind: EventStarted}
	var failure error
	switch {
	case err == nil && i.closed:
		err = ErrClosed
		i.current = r
		i.retire()
	case err == nil:
		event.PID = r.proc.number()
		i.current, i.refusal = r, nil
		if i.restart {
			i.restarts++
			i.restart = false
		}
		i.armIdle(r)
	case errors.Is(err, ErrStart):
		event, failure = i.fail(id, err.Error()), err
		err = undelivered(err, time.Until(i.rec.until))
	default: // refused, gone, busy, closed: not the plugin's fault
		i.refusal = err
		event = Event{Kind: EventRefused, Reason: err.Error()}
		err = undelivered(err, 0)
	}
	i.mu.Unlock()
	if !errors.Is(err, ErrClosed) {
		i.tell(event, failure)
	}
	f.finish(r, err)
}

// fail notes a failure. It is called with the lock held and returns what to tell.
func (i *instance) fail(id identity, reason string) Event {
	i.rec = i.rec.failed(time.Now(), reason, i.host.opt.Policy)
	i.recFor = id
	i.restart = true
	if i.rec.quarantined {
		return Event{Kind: EventQuarantined, Reason: reason, Until: i.rec.until}
	}
	return Event{Kind: EventFailed, Reason: reason, Until: i.rec.until}
}

func (i *instance) armIdle(r *running) {
	if r.idle == nil {
		r.idle = time.AfterFunc(i.host.opt.IdleAfter, func() { i.idled(r) })
		return
	}
	r.idle.Reset(i.host.opt.IdleAfter)
}

func (i *instance) idled(r *running) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.current == r && r.calls == 0 {
		i.retire()
	}
}

// release gives a process back. An answer lifts a quarantine.
func (i *instance) release(r *running, answered bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if answered {
		i.rec = i.rec.succeeded()
	}
	r.calls--
	switch {
	case r.calls > 0:
	case r.retired:
		close(r.stop)
	case i.current == r:
		i.armIdle(r)
	}
}

// suspect takes a process out of use that let a call run into its deadline. Other calls on it may end; nobody knows
// what the one still does. When it is the host's own limit that ran out, it is a failure.
func (i *instance) suspect(r *running, reason string) {
	i.mu.Lock()
	if i.current != r { // another call has said so
		i.mu.Unlock()
		return
	}
	var event Event
	if reason != "" {
		event = i.fail(r.id, reason)
		event.PID = r.proc.number()
	}
	i.retire()
	i.mu.Unlock()
	if reason != "" {
		i.tell(event, errors.New(reason))
	}
}

// notice takes a process that has ended out of use, should nobody have come to it yet: no call may be made on it.
func (i *instance) notice() {
	i.mu.Lock()
	r := i.current
	i.mu.Unlock()
	if r != nil && r.proc.ended() {
		i.fell(r)
	}
}

// fell draws the conclusions when a process ended that was not asked to. Whoever sees it first calls it; a call that
// broke of it does so before it returns, so that the next one finds the failure on the record.
func (i *instance) fell(r *running) {
	i.mu.Lock()
	if r.fallen {
		i.mu.Unlock()
		return
	}
	r.fallen = true
	busy, first := r.calls > 0, !r.retired
	if i.current == r {
		i.current = nil
	}
	if !r.retired {
		r.retired = true
		if r.idle != nil {
			r.idle.Stop()
		}
	}
	reason := r.end()
	quiet := r.proc.verdict == verdict(nil) && !busy && r.killCause() == ""
	var event Event
	switch {
	case quiet: // it may leave when it has nothing to do
		event = Event{Kind: EventStopped, Reason: reason}
	case first || busy:
		event = i.fail(r.id, reason)
	}
	i.mu.Unlock()
	event.PID = r.proc.number()
	if event.Kind != "" {
		var failure error
		if !quiet {
			failure = errors.New(reason)
		}
		i.tell(event, failure)
	}
}

// end says how a process that is gone came to its end.
func (r *running) end() string {
	reason := r.killCause()
	if reason == "" {
		reason = r.proc.verdict
	}
	if last := r.out.lastWords(); last != "" {
		reason += "; its last words: " + last
	}
	return clip(r.inst.mask.text(reason), 1000)
}

// stopped is called when a process that was asked to end is gone.
func (i *instance) stopped(r *running) {
	i.tell(Event{Kind: EventStopped, PID: r.proc.number()}, nil)
}

// forgive forgets all failures, so that the next call starts the plugin.
func (i *instance) forgive() {
	i.mu.Lock()
	i.rec = record{}
	i.mu.Unlock()
	i.tell(Event{Kind: EventReleased}, nil)
}

// refresh looks at the file and lets a process of an earlier one end.
func (i *instance) refresh() {
	_, id, err := i.host.folder.look(i.file)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.refusal = err
	if err != nil {
		i.retire()
		return
	}
	i.fileIs(id)
}

// close ends the instance: calls under way may end, further ones fail.
func (i *instance) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	i.retire()
}

// saveState stores account state before the reply it came with is used. An empty, non-nil state is stored too.
func (i *instance) saveState(state []byte) error {
	if state == nil || i.spec.SaveState == nil {
		return nil
	}
	if err := i.saving.save(state, i.spec.SaveState); err != nil {
		return fmt.Errorf("store the account state: %w", err)
	}
	return nil
}

// tell logs and publishes what happened.
func (i *instance) tell(e Event, failure error) {
	e.Time, e.Plugin, e.Instance = time.Now(), i.file, i.spec.Name
	args := []any{"event", string(e.Kind)}
	if e.PID != 0 {
		args = append(args, "pid", e.PID)
	}
	if e.Reason != "" {
		args = append(args, "reason", e.Reason)
	}
	if !e.Until.IsZero() {
		args = append(args, "until", e.Until)
	}
	switch {
	case e.Kind == EventQuarantined:
		i.log.Error("plugin event", args...)
	case failure != nil || e.Kind == EventRefused:
		i.log.Warn("plugin event", args...)
	default:
		i.log.Debug("plugin event", args...)
	}
	i.host.publish(e)
}
