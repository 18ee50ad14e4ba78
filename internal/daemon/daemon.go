// Package daemon joins the parts into one program that runs: it starts them in order, reacts to files, timers and
// people, reloads the configuration, and stops everything in the reverse order.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/certbridge/certbridged/internal/certstore"
	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/dcv"
	"github.com/certbridge/certbridged/internal/deploy"
	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/internal/pluginhost"
	"github.com/certbridge/certbridged/internal/schedule"
	"github.com/certbridge/certbridged/internal/state"
)

// Options are what a Daemon is made of.
type Options struct {
	ConfigPath string
	Version    string
	Logger     *slog.Logger
	// HTTPListener is the socket for HTTP challenges that the service manager handed over; nil means none.
	HTTPListener net.Listener
	// RuntimeDir is a private folder for plugin sockets; empty means one beside the control socket.
	RuntimeDir string
	// Notify tells the service manager how the daemon is ("READY=1"); nil tells nobody.
	Notify func(state string)
	// WatchdogEvery is how often the service manager wants a sign of life; zero means never.
	WatchdogEvery time.Duration
}

// Daemon is one running certbridged.
type Daemon struct {
	opts     Options
	log      *slog.Logger
	started  time.Time
	machine  string // its name, or what stands for it
	registry *prometheus.Registry
	metrics  *metrics
	events   *eventLog

	state  *state.Store
	store  *certstore.Store
	host   *pluginhost.Host
	solver *dcv.Solver
	runner *deploy.Runner
	engine *order.Engine
	timer  *schedule.Timer
	lanes  *lanes
	server *control.Server
	// watcher looks after certificate files; it is there once Run has begun.
	watcher *certstore.Watcher

	setup     atomic.Pointer[setup]
	reloading sync.Mutex

	mu    sync.Mutex
	known map[string]*standing // by certificate
	// loaded is called when all are known; counted is how many were when that was last looked at.
	loaded  func()
	counted int
	repose  repose
	// windowless are CA accounts whose plugin gives no renewal windows; limits are how many orders theirs allows at once.
	windowless map[string]bool
	limits     map[string]int
	// configLoaded is when the running configuration was read; configProblems is what keeps a newer one from running.
	configLoaded   time.Time
	configProblems []string

	stopWork context.CancelFunc
	cleanups []cleanup
	closed   sync.Once
	closeErr error
}

// cleanup is something to be undone at the end, the last begun first.
type cleanup struct {
	name string
	do   func(context.Context) error
}

// stopTimeout bounds stopping as a whole; work under way gets workGrace of it to end by itself. A paid call that is
// cut off is found again at the next start, but finishing it is better.
const (
	stopTimeout = 30 * time.Second
	workGrace   = 15 * time.Second
)

// New reads the configuration, opens the state, brings what a crash left half-made on disk to an end, and reads the
// journal. What it began it undoes when it fails. A mistake in the configuration is a *config.Errors.
func New(ctx context.Context, opts Options) (*Daemon, error) {
	loaded := loadDensely(opts.ConfigPath)
	c, err := config.Load(opts.ConfigPath, config.Options{})
	if err != nil {
		return nil, err
	}
	d := &Daemon{
		opts: opts, log: opts.Logger, started: time.Now(), registry: prometheus.NewRegistry(), events: newEventLog(),
		timer: schedule.NewTimer(), known: map[string]*standing{},
		windowless: map[string]bool{}, limits: map[string]int{}, configLoaded: time.Now(),
	}
	d.loaded = sync.OnceFunc(func() {
		loaded()
		d.timer.Set(trimKey, time.Now()) // the last of what was read for the start is not needed any more
	})
	if d.machine, err = os.Hostname(); err != nil {
		d.machine = c.Daemon.StateDir
	}
	d.metrics = newMetrics(d.registry)
	owned := true
	defer func() {
		if owned {
			_ = d.Close() // the first error is the one to tell
		}
	}()
	if err := d.open(ctx, c); err != nil {
		return nil, err
	}
	owned = false
	return d, nil
}

func (d *Daemon) open(ctx context.Context, c *config.Config) (err error) {
	for _, w := range c.Warnings {
		d.log.Warn("configuration", "remark", w.String())
	}
	if err := os.MkdirAll(c.Daemon.StateDir, 0o700); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	if d.state, err = state.Open(filepath.Join(c.Daemon.StateDir, "state.db")); err != nil {
		return err
	}
	d.undo("state", func(context.Context) error { return d.state.Close() })
	journal := failpoint(d.state)
	d.store = certstore.Open(generations{journal}, d.log)
	if err := d.recover(ctx); err != nil {
		return err
	}
	if err := d.openHost(c); err != nil {
		return err
	}
	s := d.newSetup(c, nil)
	d.setup.Store(s)
	solving := dcv.Options{
		Profiles: s.profiles(), DNS: s.dns(), ListenHTTP: c.Daemon.HTTPChallengeListen, Listener: d.opts.HTTPListener, Logger: d.log,
	}
	if !c.Daemon.HTTPChallengeSelfCheck {
		solving.SelfCheck = -1
	}
	if d.solver, err = dcv.New(solving); err != nil {
		return fmt.Errorf("domain control: %w", err)
	}
	d.undo("domain control", func(context.Context) error { return d.solver.Close() })
	d.runner = &deploy.Runner{Logger: d.log}
	d.engine, err = order.New(order.Options{
		Journal: journal, Catalog: catalog{d}, Publisher: publisher{d.solver}, Files: files{d}, Deployer: deployer{d},
		CAA: caaChecker{d}, Now: time.Now, Logger: d.log, Changed: d.orderChanged,
	})
	if err != nil {
		return err
	}
	d.registry.MustRegister(newCollector(d))
	if d.server, err = control.NewServer(control.Options{Group: c.Daemon.ControlGroup, Backend: backend{d}, Logger: d.log}); err != nil {
		return err
	}
	work, cancel := context.WithCancel(context.Background())
	d.lanes, d.stopWork = newLanes(work), cancel
	d.undo("work", d.endWork)
	return nil
}

// recover brings what a crash left half-made on disk to an end.
func (d *Daemon) recover(ctx context.Context) error {
	recovered, err := d.store.Recover(ctx)
	if err != nil {
		return fmt.Errorf("recover interrupted installations: %w", err)
	}
	for _, r := range recovered {
		level := slog.LevelInfo
		message := "an interrupted installation was brought to an end: " + string(r.Outcome)
		if r.Err != nil {
			level, message = slog.LevelError, "an interrupted installation could not be brought to an end: "+r.Err.Error()
		}
		d.tell(Event{Kind: "recovered", Certificate: r.Certificate, Order: r.ID, Message: message, Level: level})
	}
	return nil
}

func (d *Daemon) openHost(c *config.Config) (err error) {
	runtimeDir := d.opts.RuntimeDir
	if runtimeDir == "" {
		runtimeDir = filepath.Join(filepath.Dir(c.Daemon.ControlSocket), "sockets")
	}
	opts := hostOptions(c, runtimeDir, d.log)
	opts.OnEvent = d.pluginEvent
	if d.host, err = pluginhost.New(opts); err != nil {
		return fmt.Errorf("%w (it lies beside control_socket, which each daemon needs for itself)", err)
	}
	d.undo("plugins", func(context.Context) error { return d.host.Close() })
	return nil
}

func hostOptions(c *config.Config, runtimeDir string, log *slog.Logger) pluginhost.Options {
	return pluginhost.Options{
		Dir: c.Daemon.PluginDir, RuntimeDir: runtimeDir, OwnerUID: os.Geteuid(), Logger: log,
		IdleAfter: c.Daemon.PluginIdleAfter, StartTimeout: c.Daemon.PluginStartTimeout, CallTimeout: c.Daemon.PluginCallTimeout,
		MaxRSS: c.Daemon.PluginMemoryLimit,
	}
}

// pluginEvent is called from the plugin host's goroutines.
func (d *Daemon) pluginEvent(e pluginhost.Event) {
	d.metrics.plugin(e)
	switch e.Kind {
	case pluginhost.EventAdded, pluginhost.EventReplaced, pluginhost.EventReleased:
		d.pluginChanged(e.Plugin)
	}
	if e.Kind == pluginhost.EventQuarantined || e.Kind == pluginhost.EventFailed {
		d.events.add(Event{Time: e.Time, Kind: "plugin-" + string(e.Kind), Message: e.Plugin + " (" + e.Instance + "): " + e.Reason, Level: slog.LevelWarn})
	}
}

func (d *Daemon) undo(name string, do func(context.Context) error) {
	d.cleanups = append(d.cleanups, cleanup{name, do})
}

// endWork lets work under way end by itself for a while, then ends it.
func (d *Daemon) endWork(ctx context.Context) error {
	grace, cancel := context.WithTimeout(ctx, workGrace)
	defer cancel()
	defer d.stopWork()
	if d.lanes.close(grace) == nil {
		return nil
	}
	d.stopWork()
	return d.lanes.close(ctx)
}

// Close stops everything, the last started first. It may be called more than once and is bounded in time.
func (d *Daemon) Close() error {
	d.closed.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		var errs []error
		for i := len(d.cleanups) - 1; i >= 0; i-- {
			if err := d.cleanups[i].do(ctx); err != nil {
				errs = append(errs, fmt.Errorf("stop %s: %w", d.cleanups[i].name, err))
			}
		}
		d.closeErr = errors.Join(errs...)
	})
	return d.closeErr
}

// Run works until the context ends, then stops everything. Each value from reload makes it read the configuration
// again; the channel may be nil.
func (d *Daemon) Run(ctx context.Context, reload <-chan os.Signal) error {
	err := d.run(ctx, reload)
	d.notify("STOPPING=1")
	return errors.Join(err, d.Close())
}

func (d *Daemon) run(ctx context.Context, reload <-chan os.Signal) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var background sync.WaitGroup
	defer background.Wait()
	defer cancel(nil)
	// start runs a part until the context ends; a part that fails ends the daemon.
	start := func(name string, part func(context.Context) error) {
		background.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	if err := d.startParts(ctx, start); err != nil {
		return err
	}
	start("reload", func(ctx context.Context) error { return d.reloadOn(ctx, reload) })
	d.resume()
	d.republish()
	d.resumeTrials()
	d.recheckSettings(func(order.Record) bool { return true }) // the configuration may have been mended meanwhile
	s := d.setup.Load()
	d.tell(Event{Kind: "started", Level: slog.LevelInfo,
		Message: fmt.Sprintf("certbridged %s is ready: %d certificates, %d CA accounts", d.opts.Version, s.config.Len(), len(s.cas))})
	d.notify("READY=1")
	d.timer.Set(trimKey, time.Now().Add(trimAfter))
	d.loop(ctx)
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	d.tell(Event{Kind: "stopping", Message: "certbridged is stopping", Level: slog.LevelInfo})
	return nil
}

// loop gives signs of life until the context ends.
func (d *Daemon) loop(ctx context.Context) {
	var alive <-chan time.Time
	if d.opts.WatchdogEvery > 0 {
		ticker := time.NewTicker(d.opts.WatchdogEvery)
		defer ticker.Stop()
		alive = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-alive:
			d.notify("WATCHDOG=1")
		}
	}
}

// reloadOn reads the configuration again whenever it is told to.
func (d *Daemon) reloadOn(ctx context.Context, reload <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-reload:
			_, _ = d.Reload(ctx) // told as an event
		}
	}
}

func (d *Daemon) notify(state string) {
	if d.opts.Notify != nil {
		d.opts.Notify(state)
	}
}

// pluginChanged lets orders that failed for want of this plugin go on at once.
func (d *Daemon) pluginChanged(file string) {
	s := d.setup.Load()
	if s == nil {
		return // the host looks at its folder before the daemon is whole
	}
	d.forgetAbilities()
	d.nudge(func(r order.Record) bool {
		return "ca-"+s.config.CA[r.Account].Plugin == file || strings.HasPrefix(file, "dcv-")
	})
	d.recheckSettings(func(r order.Record) bool { return "ca-"+s.config.CA[r.Account].Plugin == file })
}

// forgetAbilities drops what was learnt of plugins, which may be others now.
func (d *Daemon) forgetAbilities() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.windowless)
	clear(d.limits)
}

// nudge lets chosen orders that wait after a failure try again now.
func (d *Daemon) nudge(chosen func(order.Record) bool) {
	for _, r := range d.engine.Working() {
		_, limited := r.Limited()
		if !r.Phase.Final() && r.Phase != order.Held && (r.Attempts > 0 || limited) && chosen(r) {
			d.timer.Set(stepKey+r.ID, time.Now())
		}
	}
}

// republish lets orders that show control do so again at once after a start: a responder forgets, and a profile that
// publishes one challenge at a time must not be given to somebody else.
func (d *Daemon) republish() {
	s := d.setup.Load()
	for _, r := range d.engine.Working() {
		if r.Phase == order.Validating && len(r.Publications) > 0 && s.has(r.Certificate) {
			d.timer.Set(stepKey+r.ID, time.Now())
		}
	}
}

// resume goes on with what the journal holds and looks at every certificate.
func (d *Daemon) resume() {
	now := time.Now()
	for _, r := range d.engine.Working() {
		if !r.Phase.Final() || r.ToWithdraw() {
			d.scheduleOrder(r.ID)
		}
		if d.timer.Due(stepKey+r.ID).After(now) && r.Updated.After(now.Add(time.Minute)) {
			d.timer.Set(stepKey+r.ID, now) // a clock that was ahead wrote this; its next step may be years away
		}
	}
	d.evaluateAll()
	d.timer.Set(pruneKey, time.Now().Add(time.Hour))
}
