package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// Options are what a Host needs. Zero durations and sizes mean the default named at each.
type Options struct {
	// Dir is the folder of the plugins, an absolute path.
	Dir string
	// RuntimeDir is a folder for sockets, absolute and short, made with mode 0700 when absent. One Host uses it at a time.
	RuntimeDir string
	// OwnerUID may own plugins beside root: the daemon's user.
	OwnerUID int
	// Logger takes events and what plugins write; nil drops it.
	Logger *slog.Logger
	// IdleAfter without a call under way a process is stopped (1 min).
	IdleAfter time.Duration
	// StartTimeout bounds a start, up to the plugin's description (20 s).
	StartTimeout time.Duration
	// CallTimeout bounds every call (3 min); a caller's own deadline may be shorter.
	CallTimeout time.Duration
	// StopGrace is how long a plugin may take to end when asked (2 s; go-plugin grants no more), and Close waits for
	// calls under way as long as CloseGrace (10 s).
	StopGrace, CloseGrace time.Duration
	// MaxRSS bounds the resident memory of one process (512 MiB), looked at every RSSInterval (500 ms).
	MaxRSS      int64
	RSSInterval time.Duration
	// MaxCalls bounds the calls under way on one instance (64); further ones wait.
	MaxCalls int
	// RescanEvery is how often the folder is read anew beside what the file system tells (1 min).
	RescanEvery time.Duration
	// Policy is for plugins that fail.
	Policy Policy
	// OnEvent is told what happens, from several goroutines; it must return at once. May be nil.
	OnEvent func(Event)
}

func (o Options) withDefaults() Options {
	o.IdleAfter = orDefault(o.IdleAfter, time.Minute)
	o.StartTimeout = orDefault(o.StartTimeout, 20*time.Second)
	o.CallTimeout = orDefault(o.CallTimeout, 3*time.Minute)
	o.StopGrace = orDefault(o.StopGrace, 2*time.Second)
	o.CloseGrace = orDefault(o.CloseGrace, 10*time.Second)
	o.MaxRSS = orDefault(o.MaxRSS, 512<<20)
	o.RSSInterval = orDefault(o.RSSInterval, 500*time.Millisecond)
	o.MaxCalls = orDefault(o.MaxCalls, 64)
	o.RescanEvery = orDefault(o.RescanEvery, time.Minute)
	o.Policy = o.Policy.withDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Host keeps the plugins of one folder. Its methods may be called concurrently.
type Host struct {
	opt     Options
	log     *slog.Logger
	folder  *folder
	starter *starter
	lock    *os.File

	tasks sync.WaitGroup // starts, processes and what serves them

	mu        sync.Mutex
	closed    bool
	instances map[instanceKey]*instance
	running   map[*running]struct{}
	cas       map[identity]pluginapi.Description // by the file that said it of itself
	dcvs      map[identity]pluginapi.DCVDescription

	closing  sync.Once
	closeErr error
}

type instanceKey struct {
	kind Kind
	name string
}

// socketRoom is what go-plugin appends to RuntimeDir for a socket's path, of which Linux takes 107 bytes (unix(7)).
const socketRoom = len("/plugin-dir4294967295/plugin4294967295")

// New returns a Host. It starts nothing; Close frees what it holds.
func New(opt Options) (*Host, error) {
	opt = opt.withDefaults()
	if !filepath.IsAbs(opt.Dir) {
		return nil, fmt.Errorf("plugin folder %q: the path must be absolute", opt.Dir)
	}
	opt.Dir, opt.RuntimeDir = filepath.Clean(opt.Dir), filepath.Clean(opt.RuntimeDir)
	lock, err := claimRuntimeDir(opt.RuntimeDir, opt.OwnerUID)
	if err != nil {
		return nil, fmt.Errorf("plugin runtime folder: %w", err)
	}
	return &Host{
		opt: opt, log: opt.Logger, lock: lock, starter: newStarter(),
		folder:    &folder{dir: opt.Dir, owner: opt.OwnerUID, sums: map[identity]string{}, seen: map[string]glimpse{}},
		instances: map[instanceKey]*instance{},
		running:   map[*running]struct{}{},
		cas:       map[identity]pluginapi.Description{},
		dcvs:      map[identity]pluginapi.DCVDescription{},
	}, nil
}

// claimRuntimeDir makes the folder for sockets private, takes it for this process and clears what a killed one left.
func claimRuntimeDir(dir string, owner int) (*os.File, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("%q: the path must be absolute", dir)
	}
	if room := 107 - socketRoom; len(dir) > room {
		return nil, fmt.Errorf("%s: the path has %d bytes and sockets leave room for %d; choose a shorter one", dir, len(dir), room)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if _, err := trustedPath(dir, owner); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by another process; give each its own", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "plugin-dir*"))
	if err == nil {
		for _, path := range left {
			_ = os.RemoveAll(path)
		}
	}
	return lock, nil
}

// CA returns a CA account. Nothing is started before its first call, or Wake. An account of the same name that was returned
// before takes no more calls; those under way may end.
func (h *Host) CA(spec Instance) *CA { return &CA{h.add(KindCA, spec)} }

// DCV returns a DCV profile, as CA does an account.
func (h *Host) DCV(spec Instance) *DCV { return &DCV{inst: h.add(KindDCV, spec)} }

func (h *Host) add(kind Kind, spec Instance) *instance {
	i := &instance{
		host: h, kind: kind, spec: spec, file: string(kind) + "-" + spec.Plugin,
		mask: newMasker(spec.Settings, spec.Env), badEnv: checkEnv(spec.Env), slots: make(chan struct{}, h.opt.MaxCalls),
	}
	i.log = h.log.With("plugin", i.file, "instance", spec.Name)
	key := instanceKey{kind, spec.Name}
	h.mu.Lock()
	before := h.instances[key]
	h.instances[key] = i
	i.closed = h.closed
	h.mu.Unlock()
	if before != nil {
		before.close()
	}
	return i
}

// drop forgets an instance that is closed.
func (h *Host) drop(i *instance) {
	i.close()
	h.mu.Lock()
	defer h.mu.Unlock()
	if key := (instanceKey{i.kind, i.spec.Name}); h.instances[key] == i {
		delete(h.instances, key)
	}
}

func (h *Host) all() []*instance {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*instance, 0, len(h.instances))
	for _, i := range h.instances {
		list = append(list, i)
	}
	return list
}

// Release ends back-off and quarantine of a plugin ("ca-digicert") or of an account or profile by its name. It reports
// whether there is one.
func (h *Host) Release(name string) bool {
	found := false
	for _, i := range h.all() {
		if i.file == name || i.spec.Name == name {
			found = true
			i.forgive()
		}
	}
	return found
}

// enter counts a task of the host, unless it is closed.
func (h *Host) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.tasks.Add(1)
	return true
}

func (h *Host) leave() { h.tasks.Done() }

func (h *Host) track(r *running) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.tasks.Add(1)
	h.running[r] = struct{}{}
	return true
}

func (h *Host) untrack(r *running) {
	h.mu.Lock()
	delete(h.running, r)
	h.mu.Unlock()
	h.tasks.Done()
}

func (h *Host) publish(e Event) {
	if h.opt.OnEvent != nil {
		h.opt.OnEvent(e)
	}
}

// Close ends every plugin: calls under way may end within CloseGrace, then all that is left is killed. It may be called
// more than once. An error names processes that the kernel would not end.
func (h *Host) Close() error {
	h.closing.Do(func() { h.closeErr = h.close() })
	return h.closeErr
}

func (h *Host) close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	for _, i := range h.all() {
		i.close()
	}
	done := make(chan struct{})
	go func() {
		h.tasks.Wait()
		close(done)
	}()
	if !within(done, h.opt.CloseGrace) {
		for _, r := range h.alive() {
			r.kill("the host was closed")
		}
		if !within(done, h.opt.StopGrace+pipeDrain+deathNotice) {
			return h.left()
		}
	}
	h.starter.close()
	return h.lock.Close() // and with it the lock
}

func within(done <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

func (h *Host) alive() []*running {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*running, 0, len(h.running))
	for r := range h.running {
		list = append(list, r)
	}
	return list
}

func (h *Host) left() error {
	var names []string
	for _, r := range h.alive() {
		names = append(names, fmt.Sprintf("%s (%s)", r.inst.file, r.inst.spec.Name))
	}
	return fmt.Errorf("these plugins were killed and have not ended: %s", strings.Join(names, ", "))
}

// maxDescriptions bounds what is remembered of files that are gone.
const maxDescriptions = 256

// learn asks a plugin what it is, once per state of its file.
func (h *Host) learn(r *running) error {
	if h.knows(r.inst.kind, r.id) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), h.opt.StartTimeout)
	defer cancel()
	var name string
	var ca pluginapi.Description
	var dcv pluginapi.DCVDescription
	var err error
	if r.ca != nil {
		ca, err = r.ca.Describe(ctx)
		name = ca.Name
	} else {
		dcv, err = r.dcv.Describe(ctx)
		name = dcv.Name
	}
	if errors.Is(err, wire.ErrUnsupported) {
		return fmt.Errorf("it does not serve the %s contract, which its file name promises", r.inst.kind)
	}
	if err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	if name != r.inst.spec.Plugin {
		r.inst.log.Warn("plugin has another name than its file", "name", clip(name, 100))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.cas)+len(h.dcvs) > maxDescriptions {
		clear(h.cas)
		clear(h.dcvs)
	}
	if r.ca != nil {
		h.cas[r.id] = ca
	} else {
		h.dcvs[r.id] = dcv
	}
	return nil
}

func (h *Host) knows(kind Kind, id identity) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if kind == KindCA {
		_, ok := h.cas[id]
		return ok
	}
	_, ok := h.dcvs[id]
	return ok
}

func (h *Host) version(kind Kind, id identity) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if kind == KindCA {
		return h.cas[id].Version
	}
	return h.dcvs[id].Version
}

// stateOf is the state that a judgement of a file means.
func stateOf(err error) State {
	if errors.Is(err, ErrNotInstalled) {
		return StateNotInstalled
	}
	return StateRefused
}
