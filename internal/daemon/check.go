package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/certbridge/certbridged/internal/checkup"
	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/dcv"
	"github.com/certbridge/certbridged/internal/pluginhost"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// HideProcess closes the process's environment and memory to the plugins it will start. It is for the main program,
// which is nothing but the daemon.
func HideProcess() error { return pluginhost.HideProcess() }

// CheckOptions say what to check.
type CheckOptions struct {
	Logger *slog.Logger
	// Online lets plugins log in to their CAs. It spends nothing.
	Online bool
}

// Check looks at a configuration as the daemon would, and further. It starts plugins of its own, beside a daemon that
// may be running, and changes nothing.
func Check(ctx context.Context, c *config.Config, opts CheckOptions) (remarks []checkup.Remark, err error) {
	if _, err := os.Stat(c.Daemon.PluginDir); err != nil {
		return checkup.Run(ctx, c, noPlugins{err}, online(opts, nil)), nil
	}
	host, closeHost, err := ownHost(c, opts.Logger)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeHost()) }()
	plugins := newHosted(host, c)
	s := &setup{config: c, dcvs: plugins.profiles}
	// Nothing is published, so the responder does not listen; it is there to count as a way to show control.
	solver, err := dcv.New(dcv.Options{
		Profiles: s.profiles(), DNS: s.dns(), ListenHTTP: c.Daemon.HTTPChallengeListen, Logger: opts.Logger, SelfCheck: -1,
	})
	if err != nil {
		return nil, fmt.Errorf("domain control: %w", err)
	}
	defer func() { err = errors.Join(err, solver.Close()) }()
	return checkup.Run(ctx, c, plugins, online(opts, solver)), nil
}

// online is how a check looks beyond this machine; nil when it does not.
func online(opts CheckOptions, solver *dcv.Solver) *checkup.Online {
	if !opts.Online {
		return nil
	}
	o := &checkup.Online{}
	if solver != nil {
		o.CAA = func(ctx context.Context, cert config.Certificate, a checkup.Account) error {
			_, err := checkCAA(ctx, solver, a, cert.Domains, cert.Profiles)
			return err
		}
	}
	return o
}

// ownHost starts plugins beside a daemon that may be running. Closing it ends them.
func ownHost(c *config.Config, log *slog.Logger) (*pluginhost.Host, func() error, error) {
	runtimeDir, err := socketFolder()
	if err != nil {
		return nil, nil, err
	}
	forget := func() { _ = os.RemoveAll(runtimeDir) } // it holds sockets of processes that are gone
	host, err := pluginhost.New(hostOptions(c, runtimeDir, log))
	if err != nil {
		forget()
		return nil, nil, fmt.Errorf("prepare to start plugins: %w", err)
	}
	return host, func() error {
		defer forget()
		return host.Close()
	}, nil
}

// socketFolder makes a private folder whose path is short enough for sockets (unix(7)).
func socketFolder() (string, error) {
	base := os.TempDir()
	if len(base) > 40 {
		base = "/tmp"
	}
	dir, err := os.MkdirTemp(base, "certbridged-")
	if err != nil {
		return "", fmt.Errorf("make a folder for plugin sockets: %w", err)
	}
	return dir, nil
}

// hosted makes accounts and profiles of a plugin host. What accounts learn is forgotten with it.
type hosted struct {
	host     *pluginhost.Host
	profiles map[string]*pluginhost.DCV

	mu     sync.Mutex
	states map[string][]byte // by account
}

func newHosted(host *pluginhost.Host, c *config.Config) *hosted {
	h := &hosted{host: host, profiles: map[string]*pluginhost.DCV{}, states: map[string][]byte{}}
	for name, p := range c.DCV {
		if p.Plugin != "" {
			h.profiles[name] = host.DCV(dcvInstance(c, p))
		}
	}
	return h
}

// Account implements checkup.Plugins.
func (h *hosted) Account(ca config.CA) checkup.Account {
	return h.host.CA(caInstance(ca, accountMemory{
		read: func() []byte {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.states[ca.Name]
		},
		save: func(state []byte) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.states[ca.Name] = state
			return nil
		},
	}))
}

// Profile implements checkup.Plugins.
func (h *hosted) Profile(p config.DCV) checkup.Profile { return h.profiles[p.Name] }

// noPlugins stands for a plugin folder that is not there.
type noPlugins struct{ err error }

// Account implements checkup.Plugins.
func (n noPlugins) Account(config.CA) checkup.Account { return n }

// Profile implements checkup.Plugins.
func (n noPlugins) Profile(config.DCV) checkup.Profile { return n }

func (n noPlugins) fail() error {
	return pluginapi.Errorf(pluginapi.Unavailable, "the plugin folder cannot be read: %w", n.err)
}

// Describe implements checkup.Describer.
func (n noPlugins) Describe(context.Context) (pluginapi.Description, error) {
	return pluginapi.Description{}, n.fail()
}

// Findings implements checkup.Account.
func (n noPlugins) Findings(context.Context) ([]pluginapi.Finding, error) { return nil, n.fail() }

// Configured implements checkup.Account.
func (n noPlugins) Configured(context.Context) (pluginapi.Configured, error) {
	return pluginapi.Configured{}, n.fail()
}

// Preflight implements checkup.Account.
func (n noPlugins) Preflight(context.Context, []pluginapi.Settings) (pluginapi.PreflightReply, error) {
	return pluginapi.PreflightReply{}, n.fail()
}

// CheckOrders implements checkup.Account.
func (n noPlugins) CheckOrders(context.Context, []pluginapi.Settings) ([]pluginapi.Finding, error) {
	return nil, n.fail()
}

// refuseFaults refuses a configuration whose settings the plugins at hand would not take. What a plugin that is missing
// or does not start would say cannot be known: that is no mistake of the configuration.
func (d *Daemon) refuseFaults(ctx context.Context, c *config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	before := d.setup.Load()
	var remarks []checkup.Remark
	for _, name := range slices.Sorted(maps.Keys(c.CA)) {
		description, err := d.describe(ctx, before, c.CA[name])
		if err != nil {
			d.log.WarnContext(ctx, "settings not checked, the plugin does not answer", "account", name, "error", err)
			continue
		}
		remarks = append(remarks, checkup.Settings(c, name, description)...)
		remarks = append(remarks, d.orderFaults(ctx, before, c, name, description)...)
	}
	if problems := checkup.Mistakes(remarks); len(problems) > 0 {
		return &config.Errors{Problems: problems}
	}
	return nil
}

// orderFaults is what the plugin says about the order settings that are new. Those that are as they were keep no change
// of something else out: where they are at fault, the order of the certificate is held and says so.
func (d *Daemon) orderFaults(ctx context.Context, before *setup, c *config.Config, name string, description pluginapi.Description) []checkup.Remark {
	certs := c.Select(func(cert *config.Certificate) bool { return cert.CA == name && orderDiffers(before.config, c, *cert) })
	if len(certs) == 0 {
		return nil
	}
	account := before.cas[name]
	if account == nil || !samePlugin(before.config.CA[name], c.CA[name]) {
		// Beside the account's own process, which works on until the new settings are taken. What it learns is forgotten.
		instance := caInstance(c.CA[name], accountMemory{
			read: func() []byte { return d.accountState(name) }, save: func([]byte) error { return nil },
		})
		instance.Name = "check " + name
		account = d.host.CA(instance)
		defer account.Close()
	}
	remarks, err := checkup.Orders(ctx, c, name, description, account, certs)
	if err != nil {
		d.log.WarnContext(ctx, "order settings not checked, the plugin does not answer", "account", name, "error", err)
	}
	return remarks
}

// orderDiffers reports whether a plugin may say something else about the order settings of a certificate than before.
func orderDiffers(before, after *config.Config, cert config.Certificate) bool {
	was, ok := before.Certificate(cert.Name)
	return !ok || was.CA != cert.CA || !reflect.DeepEqual(was.Order, cert.Order) || !samePlugin(before.CA[cert.CA], after.CA[cert.CA])
}

func (d *Daemon) describe(ctx context.Context, s *setup, ca config.CA) (pluginapi.Description, error) {
	if have := s.cas[ca.Name]; have != nil && s.config.CA[ca.Name].Plugin == ca.Plugin && s.config.CA[ca.Name].SHA256 == ca.SHA256 {
		return have.Describe(ctx)
	}
	probe := d.host.CA(pluginhost.Instance{Name: "describe " + ca.Name, Plugin: ca.Plugin, SHA256: ca.SHA256})
	defer probe.Close()
	return probe.Describe(ctx)
}
