package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/pluginhost"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Remark is something a check found.
type Remark struct {
	config.Problem
	Severity pluginapi.Severity
}

// CheckOptions say what to check.
type CheckOptions struct {
	ConfigPath string
	Logger     *slog.Logger
	// Online lets plugins log in to their CAs. It spends nothing.
	Online bool
}

// Check looks at a configuration as a daemon would, and further: at the settings each plugin wants, at folders and
// groups, and, online, at the accounts. It starts plugins, but changes nothing. A configuration that cannot be loaded is
// a *config.Errors.
func Check(ctx context.Context, opts CheckOptions) ([]Remark, error) {
	c, err := config.Load(opts.ConfigPath, config.Options{})
	if err != nil {
		return nil, err
	}
	var remarks []Remark
	for _, w := range c.Warnings {
		remarks = append(remarks, Remark{w, pluginapi.Warning})
	}
	runtimeDir, err := os.MkdirTemp(filepath.Dir(c.Daemon.ControlSocket), "check")
	if err != nil { // the daemon's own runtime folder is not there or not ours: any private place will do
		if runtimeDir, err = os.MkdirTemp("", "certbridged-check"); err != nil {
			return nil, fmt.Errorf("make a folder for plugin sockets: %w", err)
		}
	}
	defer func() { _ = os.RemoveAll(runtimeDir) }() // it holds sockets of processes that are gone
	host, err := pluginhost.New(pluginhost.Options{
		Dir: c.Daemon.PluginDir, RuntimeDir: runtimeDir, OwnerUID: os.Getuid(), Logger: opts.Logger,
		StartTimeout: c.Daemon.PluginStartTimeout, CallTimeout: c.Daemon.PluginCallTimeout, MaxRSS: c.Daemon.PluginMemoryLimit,
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = host.Close() }() // what a check leaves behind is killed with its process group
	for _, name := range slices.Sorted(maps.Keys(c.CA)) {
		account := host.CA(pluginhost.Instance{Name: name, Plugin: c.CA[name].Plugin, SHA256: c.CA[name].SHA256, Settings: c.CA[name].Settings})
		remarks = append(remarks, checkAccount(ctx, c, name, account, opts.Online)...)
	}
	for _, name := range slices.Sorted(maps.Keys(c.DCV)) {
		if p := c.DCV[name]; p.Plugin != "" {
			profile := host.DCV(pluginhost.Instance{Name: name, Plugin: p.Plugin, SHA256: p.SHA256, Settings: p.Settings, Env: reveal(p.Env)})
			findings, err := profile.Findings(ctx)
			remarks = append(remarks, at(c, findings, err, "dcv", name, "settings")...)
		}
	}
	return append(remarks, checkFiles(c)...), nil
}

// checkAccount looks at one CA account: the plugin, its settings, and the order settings of the certificates it serves.
func checkAccount(ctx context.Context, c *config.Config, name string, account *pluginhost.CA, online bool) []Remark {
	d, err := account.Describe(ctx)
	if err != nil {
		return at(c, nil, err, "ca", name, "plugin")
	}
	remarks := at(c, pluginapi.CheckSettings(d.AccountSettings, c.CA[name].Settings), nil, "ca", name, "settings")
	remarks = append(remarks, checkOrders(c, name, d)...)
	if slices.ContainsFunc(remarks, func(r Remark) bool { return r.Severity == pluginapi.Fault }) {
		return remarks // the plugin would only say the same again
	}
	findings, err := account.Findings(ctx)
	remarks = append(remarks, at(c, findings, err, "ca", name, "settings")...)
	if !online || err != nil || !d.Has(pluginapi.AbilityPreflight) {
		return remarks
	}
	var orders []pluginapi.Settings
	for _, cert := range c.Certificates {
		if cert.CA == name {
			orders = append(orders, cert.Order)
		}
	}
	reply, err := account.Preflight(ctx, orders)
	return append(remarks, at(c, reply.Findings, err, "ca", name, "settings")...)
}

func checkOrders(c *config.Config, account string, d pluginapi.Description) []Remark {
	var remarks []Remark
	for _, cert := range c.Certificates {
		if cert.CA == account {
			remarks = append(remarks, at(c, pluginapi.CheckSettings(d.OrderSettings, cert.Order), nil, "certificate", cert.Name, "order")...)
		}
	}
	return remarks
}

// at places findings in the configuration, and an error where the table stands.
func at(c *config.Config, findings []pluginapi.Finding, err error, path ...string) []Remark {
	var remarks []Remark
	add := func(severity pluginapi.Severity, field, message string) {
		full := slices.Clone(path)
		if field != "" {
			full = append(full, strings.Split(field, ".")...)
		}
		file, line := c.Position(full...)
		remarks = append(remarks, Remark{config.Problem{File: file, Line: line, Path: strings.Join(full, "."), Message: message}, severity})
	}
	for _, f := range findings {
		add(f.Severity, f.Field, f.Message)
	}
	if err != nil {
		var e *pluginapi.Error
		field := ""
		if errors.As(err, &e) {
			field = e.Field
		}
		add(pluginapi.Fault, field, err.Error())
	}
	return remarks
}

// refuseFaults refuses a configuration whose settings the plugins at hand would not take. What a plugin that is missing
// or does not start would say cannot be known: that is no mistake of the configuration.
func (d *Daemon) refuseFaults(ctx context.Context, c *config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	before := d.setup.Load()
	var problems []config.Problem
	for _, name := range slices.Sorted(maps.Keys(c.CA)) {
		description, err := d.describe(ctx, before, c.CA[name])
		if err != nil {
			d.log.WarnContext(ctx, "settings not checked, the plugin does not answer", "account", name, "error", err)
			continue
		}
		remarks := at(c, pluginapi.CheckSettings(description.AccountSettings, c.CA[name].Settings), nil, "ca", name, "settings")
		for _, r := range append(remarks, checkOrders(c, name, description)...) {
			if r.Severity == pluginapi.Fault {
				problems = append(problems, r.Problem)
			}
		}
	}
	if len(problems) > 0 {
		return &config.Errors{Problems: problems}
	}
	return nil
}

func (d *Daemon) describe(ctx context.Context, s *setup, ca config.CA) (pluginapi.Description, error) {
	if have := s.cas[ca.Name]; have != nil && s.config.CA[ca.Name].Plugin == ca.Plugin && s.config.CA[ca.Name].SHA256 == ca.SHA256 {
		return have.Describe(ctx)
	}
	probe := d.host.CA(pluginhost.Instance{Name: "describe " + ca.Name, Plugin: ca.Plugin, SHA256: ca.SHA256})
	defer probe.Close()
	return probe.Describe(ctx)
}

// checkFiles looks at what the daemon will need on this machine.
func checkFiles(c *config.Config) []Remark {
	var remarks []Remark
	add := func(severity pluginapi.Severity, message string, path ...string) {
		file, line := c.Position(path...)
		remarks = append(remarks, Remark{config.Problem{File: file, Line: line, Path: strings.Join(path, "."), Message: message}, severity})
	}
	for _, cert := range c.Certificates {
		for _, f := range cert.Files {
			path := []string{"certificate", cert.Name, "files", string(f.Form)}
			if err := writable(filepath.Dir(f.Path)); err != nil {
				add(pluginapi.Warning, err.Error(), path...)
			}
			if f.Owner != "" && !userExists(f.Owner) {
				add(pluginapi.Fault, fmt.Sprintf("there is no user %q on this machine", f.Owner), path...)
			}
			if f.Group != "" && !groupExists(f.Group) {
				add(pluginapi.Fault, fmt.Sprintf("there is no group %q on this machine", f.Group), path...)
			}
		}
	}
	if g := c.Daemon.ControlGroup; g != "" && !groupExists(g) {
		add(pluginapi.Fault, fmt.Sprintf("there is no group %q on this machine", g), "daemon", "control_group")
	}
	return remarks
}

func writable(folder string) error {
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the folder %s does not exist; make it before the first certificate is installed", folder)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", folder)
	}
	if err := unix.Access(folder, unix.W_OK); err != nil {
		return fmt.Errorf("the folder %s cannot be written by this user (%w); the daemon's user must be able to", folder, err)
	}
	return nil
}

func userExists(name string) bool {
	if _, err := user.Lookup(name); err == nil {
		return true
	}
	_, err := strconv.ParseUint(name, 10, 32)
	return err == nil
}

func groupExists(name string) bool {
	if _, err := user.LookupGroup(name); err == nil {
		return true
	}
	_, err := strconv.ParseUint(name, 10, 32)
	return err == nil
}
