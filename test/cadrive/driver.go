package cadrive

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Options are what a Driver needs to know.
type Options[P pluginapi.CA] struct {
	// Start makes an instance of the plugin, which logs to log. It is configured by the Driver. If it has a method Close,
	// that is called when the instance ends.
	Start func(log *slog.Logger) P
	// Settings are the account's, asked for each instance.
	Settings func() pluginapi.Settings
	// World is where challenges are published.
	World *World
	// Roots are the stand-in's, PEM.
	Roots func() []byte
	// Secrets must be in no log, error or reply.
	Secrets []string
	// Handed are further ones, which the stand-in has handed out since; nil: there are none.
	Handed func() []string
	// Now is the stand-in's clock; nil: the machine's.
	Now func() time.Time
	// Wait is told how long the plugin asks to wait before the next call; nil: nobody waits. Where a stand-in has a clock,
	// it can be moved on here.
	Wait func(d time.Duration)
}

// Driver is what the daemon does for one CA account: it places orders, publishes challenges, keeps states, calls again,
// and never sends a paid call twice on a guess. A Driver is for one goroutine.
type Driver[P pluginapi.CA] struct {
	World *World
	// Killed makes every call run in a new instance, as after a kill between any two calls. It is set at first.
	Killed bool
	// Forgetful drops an order's state between two calls, as for an order that a person resolved.
	Forgetful bool
	// Settle is how long after a lost call it is looked for: it may be carried out only now. The daemon waits for what
	// Describe says.
	Settle time.Duration
	// Types are what the DCV profile of ordered names can publish, its favourite first; at first records alone.
	Types []pluginapi.ChallengeType

	t            testing.TB
	opts         Options[P]
	log          *Log
	web          *httptest.Server
	tap          tap
	instance     *P
	about        *pluginapi.Description
	accountState []byte
	published    map[string]func() // by challenge: what takes it down
	deaths       int
}

// New makes a Driver, which ends with the test.
func New[P pluginapi.CA](t testing.TB, o Options[P]) *Driver[P] {
	t.Helper()
	if o.World == nil {
		o.World = NewWorld(t)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Driver[P]{
		World: o.World, Killed: true, Types: []pluginapi.ChallengeType{pluginapi.ChallengeDNS},
		t: t, opts: o, log: &Log{}, published: map[string]func(){},
	}
	t.Cleanup(d.end)
	return d
}

// end closes what is open, the plugin first, and looks through its log.
func (d *Driver[P]) end() {
	d.stop()
	if d.web != nil {
		d.web.CloseClientConnections()
		d.web.Close()
	}
	if d.t.Failed() {
		d.t.Logf("the plugin's log:\n%s", d.log)
	}
	d.noSecret("the log", d.log.String())
}

// Serve serves a stand-in, whose calls KillAt counts from now on, and returns its address without a path.
func (d *Driver[P]) Serve(standIn http.Handler) (url string) {
	d.tap.inner = standIn
	d.web = httptest.NewServer(&d.tap)
	return d.web.URL
}

// KillAt makes the plugin die within an HTTP call, counted from 0 for the next one: before the stand-in has done its
// work, or after it. The call of the contract that it belongs to has no answer then.
func (d *Driver[P]) KillAt(n int, after bool) { d.tap.arm(n, after) }

// Died reports whether KillAt has had its effect.
func (d *Driver[P]) Died() bool { return d.deaths > 0 }

// SettleFor sets Settle.
func (d *Driver[P]) SettleFor(pause time.Duration) { d.Settle = pause }

// Log is what the plugin has logged so far.
func (d *Driver[P]) Log() string { return d.log.String() }

// Instance returns the plugin as the daemon would reach it: configured, and a new one where Killed says so.
func (d *Driver[P]) Instance() P {
	d.t.Helper()
	if d.instance != nil && !d.Killed {
		return *d.instance
	}
	d.stop()
	p := d.opts.Start(slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	d.instance = &p
	done, err := p.Configure(d.t.Context(), pluginapi.Account{Settings: d.opts.Settings(), State: d.accountState})
	if err != nil {
		d.t.Fatalf("configure: %v", err)
	}
	for _, f := range done.Findings {
		if f.Severity == pluginapi.Fault {
			d.t.Fatalf("configure: %s: %s", f.Field, f.Message)
		}
	}
	d.keep(done.AccountState)
	return p
}

func (d *Driver[P]) stop() {
	if d.instance != nil {
		d.close(*d.instance)
		d.instance = nil
	}
}

func (d *Driver[P]) close(p P) {
	switch p := any(p).(type) {
	case interface{ Close() }:
		p.Close()
	case interface{ Close() error }:
		if err := p.Close(); err != nil {
			d.t.Errorf("close the plugin: %v", err)
		}
	}
}

// describe asks an instance of its own, once.
func (d *Driver[P]) describe() pluginapi.Description {
	d.t.Helper()
	if d.about == nil {
		p := d.opts.Start(slog.New(slog.DiscardHandler))
		defer d.close(p)
		about, err := p.Describe(d.t.Context())
		if err != nil {
			d.t.Fatalf("describe: %v", err)
		}
		d.about = &about
	}
	return *d.about
}

// keep stores the account state of a reply.
func (d *Driver[P]) keep(state []byte) {
	if state != nil {
		d.accountState = slices.Clone(state)
	}
}

// errKilled is the end of a call whose plugin was killed. Whether the CA has heard of it nobody knows.
var errKilled = pluginapi.Errorf(pluginapi.UnknownOutcome, "the plugin was killed within the call")

// call makes one call for an order, and looks through what comes back.
func (d *Driver[P]) call(do func(ctx context.Context, p P) (pluginapi.OrderReply, error)) (pluginapi.Order, error) {
	d.t.Helper()
	p := d.Instance()
	ctx, cancel := context.WithCancel(d.t.Context())
	defer cancel()
	d.tap.during(cancel)
	reply, err := do(ctx, p)
	if d.tap.died() {
		d.deaths++
		d.stop()
		return pluginapi.Order{}, errKilled
	}
	if err != nil {
		d.noSecret("an error", err.Error())
		d.wait(retryAfter(err))
		return pluginapi.Order{}, err
	}
	d.keep(reply.AccountState)
	d.noSecretIn(reply)
	if reply.Order.LookAgainAfter != nil {
		d.wait(*reply.Order.LookAgainAfter)
	}
	return reply.Order, nil
}

func (d *Driver[P]) wait(pause time.Duration) {
	if d.opts.Wait != nil && pause > 0 {
		d.opts.Wait(pause)
	}
}

func retryAfter(err error) time.Duration {
	var e *pluginapi.Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// noSecretIn looks through all that the daemon stores or shows of a reply.
func (d *Driver[P]) noSecretIn(r pluginapi.OrderReply) {
	d.t.Helper()
	d.noSecret("the state of an order", string(r.Order.State))
	d.noSecret("the state of the account", string(r.AccountState))
	r.Order.State, r.Order.Chain = nil, nil
	text, err := json.Marshal(r.Order)
	if err != nil {
		d.t.Fatal(err)
	}
	d.noSecret("an order", string(text))
}

func (d *Driver[P]) noSecret(where, text string) {
	d.t.Helper()
	secrets := d.opts.Secrets
	if d.opts.Handed != nil {
		secrets = slices.Concat(secrets, d.opts.Handed())
	}
	for i, s := range secrets {
		if s != "" && strings.Contains(text, s) {
			d.t.Errorf("secret %d shows in %s", i+1, where)
		}
	}
}
