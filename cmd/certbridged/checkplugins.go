package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/pluginhost"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// checkAtOnce is how many plugins are started side by side.
const checkAtOnce = 4

// plugins asks every account's and profile's plugin what it says about its settings; online, the CA plugins log in too.
func (c *checkup) plugins(ctx context.Context, online bool) (err error) {
	if _, err := os.Stat(c.cfg.Daemon.PluginDir); err != nil {
		return nil // noted already
	}
	// The paths of sockets are short (unix(7)), and some systems have long ones for temporary files.
	base := os.TempDir()
	if len(base) > 40 {
		base = "/tmp"
	}
	runtimeDir, err := os.MkdirTemp(base, "certbridged-")
	if err != nil {
		return fmt.Errorf("make a folder for plugin sockets: %w", err)
	}
	defer os.RemoveAll(runtimeDir)
	host, err := pluginhost.New(pluginhost.Options{
		Dir: c.cfg.Daemon.PluginDir, RuntimeDir: runtimeDir, OwnerUID: os.Geteuid(),
		StartTimeout: c.cfg.Daemon.PluginStartTimeout, CallTimeout: c.cfg.Daemon.PluginCallTimeout, MaxRSS: c.cfg.Daemon.PluginMemoryLimit,
	})
	if err != nil {
		return fmt.Errorf("prepare to start plugins: %w", err)
	}
	defer func() { err = errors.Join(err, host.Close()) }()

	var mu sync.Mutex
	// note is what the goroutines below note findings with.
	note := func(level string, path []string, format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		c.note(level, path, format, args...)
	}
	var group errgroup.Group
	group.SetLimit(checkAtOnce)
	for _, name := range sortedKeys(c.cfg.CA) {
		group.Go(func() error { c.account(ctx, host, c.cfg.CA[name], online, note); return nil })
	}
	for _, name := range sortedKeys(c.cfg.DCV) {
		if c.cfg.DCV[name].Plugin != "" {
			group.Go(func() error { c.profile(ctx, host, c.cfg.DCV[name], online, note); return nil })
		}
	}
	return group.Wait()
}

type noteFunc func(level string, path []string, format string, args ...any)

func (c *checkup) account(ctx context.Context, host *pluginhost.Host, ca config.CA, online bool, note noteFunc) {
	plugin := host.CA(pluginhost.Instance{Name: ca.Name, Plugin: ca.Plugin, SHA256: ca.SHA256, Settings: ca.Settings})
	defer plugin.Close()
	at := []string{"ca", ca.Name}
	findings, err := plugin.Findings(ctx)
	if err != nil {
		note(severity(online), append(at, "plugin"), "%v", err)
		return
	}
	noteFindings(note, at, findings)
	if !online || hasFault(findings) {
		return
	}
	var orders []pluginapi.Settings
	for _, crt := range c.cfg.Certificates {
		if crt.CA == ca.Name && crt.Enabled {
			orders = append(orders, crt.Order)
		}
	}
	reply, err := plugin.Preflight(ctx, orders)
	if errors.Is(err, wire.ErrUnsupported) {
		return
	}
	if err != nil {
		note(levelError, at, "%v", err)
		return
	}
	noteFindings(note, at, reply.Findings)
}

func (c *checkup) profile(ctx context.Context, host *pluginhost.Host, d config.DCV, online bool, note noteFunc) {
	env := make(map[string]string, len(d.Env))
	for name, value := range d.Env {
		env[name] = value.Reveal()
	}
	plugin := host.DCV(pluginhost.Instance{Name: d.Name, Plugin: d.Plugin, SHA256: d.SHA256, Settings: d.Settings, Env: env})
	defer plugin.Close()
	at := []string{"dcv", d.Name}
	findings, err := plugin.Findings(ctx)
	if err != nil {
		note(severity(online), append(at, "plugin"), "%v", err)
		return
	}
	noteFindings(note, at, findings)
}

// severity is how much it matters that a plugin cannot be started: a configuration may be checked before its plugins
// are there.
func severity(online bool) string {
	if online {
		return levelError
	}
	return levelWarning
}

func noteFindings(note noteFunc, at []string, findings []pluginapi.Finding) {
	for _, f := range findings {
		path := at[:2:2]
		if f.Field != "" {
			path = append(path, "settings", f.Field)
		}
		switch f.Severity {
		case pluginapi.Fault:
			note(levelError, path, "%s", f.Message)
		case pluginapi.Warning:
			note(levelWarning, path, "%s", f.Message)
		}
	}
}

func hasFault(findings []pluginapi.Finding) bool {
	for _, f := range findings {
		if f.Severity == pluginapi.Fault {
			return true
		}
	}
	return false
}
