package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/certbridge/certbridged/internal/certstore"
	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/order"
)

// Reload reads the configuration again and takes it over as a whole, or changes nothing and says what is wrong with it
// (a *config.Errors). It returns remarks.
func (d *Daemon) Reload(ctx context.Context) ([]string, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	d.notify("RELOADING=1\nMONOTONIC_USEC=" + monotonic())
	defer d.notify("READY=1")
	warnings, err := d.reload(ctx)
	d.mu.Lock()
	d.configProblems = nil
	if err != nil {
		d.configProblems = strings.Split(err.Error(), "\n")
	} else {
		d.configLoaded = time.Now()
	}
	d.mu.Unlock()
	if err != nil {
		d.metrics.reloads.WithLabelValues("refused").Inc()
		for line := range strings.SplitSeq(err.Error(), "\n") {
			d.tell(Event{Kind: "reload-refused", Level: slog.LevelError, Message: "the new configuration is refused, the old one runs on: " + line})
		}
		return nil, err
	}
	d.metrics.reloads.WithLabelValues("ok").Inc()
	d.tell(Event{Kind: "reloaded", Level: slog.LevelInfo, Message: fmt.Sprintf("configuration reloaded: %d certificates", d.setup.Load().config.Len())})
	return warnings, nil
}

func (d *Daemon) reload(ctx context.Context) ([]string, error) {
	c, err := config.Load(d.opts.ConfigPath, config.Options{})
	if err != nil {
		return nil, err
	}
	before := d.setup.Load()
	if err := d.refuseFaults(ctx, c); err != nil {
		return nil, err
	}
	var remarks []string
	for _, w := range c.Warnings {
		remarks = append(remarks, w.String())
	}
	remarks = append(remarks, needRestart(before.config.Daemon, c.Daemon)...)
	if err := d.server.SetGroup(c.Daemon.ControlGroup); err != nil {
		return nil, err
	}
	// From here on the old accounts that have changed make way for the new ones; nothing may fail but what was checked.
	next := d.newSetup(c, before)
	if err := d.solver.Reconfigure(next.profiles(), next.dns()); err != nil {
		again := d.newSetup(before.config, nil)
		next.retire(again)
		d.setup.Store(again)
		return nil, errors.Join(fmt.Errorf("domain control: %w", err), d.solver.Reconfigure(again.profiles(), again.dns()),
			d.server.SetGroup(before.config.Daemon.ControlGroup))
	}
	d.setup.Store(next)
	before.retire(next)
	d.forgetRemoved(before, next)
	d.watcher.Set(next.config)
	d.resume()
	d.timer.Set(trimKey, time.Now().Add(trimAfter))  // there were two configurations for a while
	d.nudge(func(order.Record) bool { return true }) // what failed may be what was just mended
	d.releaseBudgets(before.config, c)
	d.recheckSettings(func(r order.Record) bool {
		cert, _ := next.certificate(r.Certificate)
		return cert.CA == r.Account && orderDiffers(before.config, c, cert)
	})
	for _, r := range remarks {
		d.log.Warn("configuration", "remark", r)
	}
	return remarks, nil
}

// releaseBudgets lets orders go on that were held by a limit which has been raised: to raise it is a person's yes.
func (d *Daemon) releaseBudgets(before, after *config.Config) {
	for _, r := range d.engine.Working() {
		was, is := before.CA[r.Account], after.CA[r.Account]
		raised := is.MaxOrdersPerDay > was.MaxOrdersPerDay || is.MaxOrdersPerCertificate > was.MaxOrdersPerCertificate
		if r.Phase != order.Held || r.Hold.Kind != order.HoldBudget || !raised {
			continue
		}
		switch released, err := d.engine.ReleaseBudget(r.ID); {
		case err == nil:
			d.tell(Event{Kind: "released", Certificate: r.Certificate, Order: r.ID, Level: slog.LevelInfo,
				Message: "the limit that held the order was raised, and it goes on"})
			d.scheduleOrder(released.ID)
		case !errors.Is(err, order.ErrWrongPhase) && !errors.Is(err, order.ErrNotConfigured):
			d.log.Error("an order that the budget held could not be released", "order", r.ID, "error", err)
		}
	}
}

// recheckSettings lets chosen orders that their settings hold be looked at again: what was at fault may be mended.
func (d *Daemon) recheckSettings(chosen func(order.Record) bool) {
	for _, r := range d.engine.Working() {
		if r.Phase != order.Held || r.Hold.Kind != order.HoldSettings || !chosen(r) {
			continue
		}
		switch again, err := d.engine.RecheckSettings(r.ID); {
		case err == nil:
			d.scheduleOrder(again.ID)
		case !errors.Is(err, order.ErrWrongPhase) && !errors.Is(err, order.ErrNotConfigured) && !errors.Is(err, order.ErrBusy):
			d.log.Error("an order that its settings hold could not be looked at again", "order", r.ID, "error", err)
		}
	}
}

// forgetRemoved drops what is remembered of certificates that are configured no more. Their files are let alone, and
// so are their orders in the journal: a certificate that comes back goes on where it was.
func (d *Daemon) forgetRemoved(before, next *setup) {
	for n := range before.config.Len() {
		name := before.config.Name(n)
		if _, still := next.config.Find(name); still {
			continue
		}
		d.timer.Set(evaluateKey+name, time.Time{})
		d.timer.Set(windowKey+name, time.Time{})
		d.mu.Lock()
		delete(d.known, name)
		d.mu.Unlock()
		d.tell(Event{Kind: "removed", Certificate: name, Level: slog.LevelInfo, Message: "no longer in the configuration; its files are let alone"})
	}
	d.forgetAbilities()
}

// needRestart names the settings that only take effect at the next start.
func needRestart(before, after config.Daemon) []string {
	var list []string
	for name, changed := range map[string]bool{
		"state_dir": before.StateDir != after.StateDir, "plugin_dir": before.PluginDir != after.PluginDir,
		"control_socket": before.ControlSocket != after.ControlSocket, "metrics_listen": before.MetricsListen != after.MetricsListen,
		"http_challenge_listen":     before.HTTPChallengeListen != after.HTTPChallengeListen,
		"http_challenge_self_check": before.HTTPChallengeSelfCheck != after.HTTPChallengeSelfCheck,
		"plugin_idle_after":         before.PluginIdleAfter != after.PluginIdleAfter,
		"plugin_start_timeout":      before.PluginStartTimeout != after.PluginStartTimeout,
		"plugin_call_timeout":       before.PluginCallTimeout != after.PluginCallTimeout,
		"plugin_memory_limit":       before.PluginMemoryLimit != after.PluginMemoryLimit,
	} {
		if changed {
			list = append(list, "daemon."+name+" has changed; that takes effect at the next start")
		}
	}
	return list
}

// startWatching starts watching certificate files and the configuration.
func (d *Daemon) startWatching(start func(string, func(context.Context) error)) error {
	s := d.setup.Load()
	w, err := certstore.NewWatcher(certstore.WatcherOptions{
		Renew: s.config.Daemon.RescanInterval, Lost: func() { d.timer.Set(sweepKey, time.Now()) }, Log: d.log,
	})
	if err != nil {
		return err
	}
	d.watcher = w
	w.Set(s.config)
	start("certificate files", func(ctx context.Context) error {
		return w.Run(ctx, func(name string) { d.timer.Set(evaluateKey+name, time.Now()) })
	})
	folder := filepath.Join(filepath.Dir(s.config.Path), "conf.d")
	start("configuration", func(ctx context.Context) error { return d.watchConfiguration(ctx, folder) })
	return nil
}

// configSettle is how long conf.d must be at rest before it is read: an editor or a package writes more than once.
const configSettle = 500 * time.Millisecond

// watchConfiguration reloads when a file in conf.d changes. A folder that cannot be watched is no reason to stop:
// reload by signal works all the same.
func (d *Daemon) watchConfiguration(ctx context.Context, folder string) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		d.log.WarnContext(ctx, "conf.d is not watched; reload by signal", "error", err)
		return nil
	}
	defer func() { _ = w.Close() }() // nothing is lost with it
	// The folder above tells of a conf.d that is made later.
	if err := w.Add(filepath.Dir(folder)); err != nil {
		d.log.WarnContext(ctx, "conf.d is not watched; reload by signal", "error", err)
		return nil
	}
	_ = w.Add(folder) // it need not be there
	settle := time.NewTimer(time.Hour)
	settle.Stop()
	defer settle.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.Events:
			switch {
			case e.Name == folder:
				_ = w.Add(folder) // gone again: the next event tells
				settle.Reset(configSettle)
			case filepath.Dir(e.Name) == folder && filepath.Ext(e.Name) == ".toml" && e.Op != fsnotify.Chmod:
				settle.Reset(configSettle)
			}
		case err := <-w.Errors:
			d.log.WarnContext(ctx, "watching conf.d", "error", err)
			_ = w.Add(folder) // that it was made anew may be among what was lost
			settle.Reset(configSettle)
		case <-settle.C:
			_, _ = d.Reload(ctx) // told as an event
		}
	}
}
