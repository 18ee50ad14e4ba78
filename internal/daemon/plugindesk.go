package daemon

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/pluginhost"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Plugins implements control.PluginDesk.
func (b backend) Plugins(context.Context) ([]control.Plugin, error) {
	var list []control.Plugin
	for _, info := range b.d.host.List() {
		list = append(list, pluginOf(info))
	}
	return list, nil
}

func pluginOf(info pluginhost.Info) control.Plugin {
	p := control.Plugin{
		File: info.File, Kind: string(info.Kind), Name: info.Name, Version: info.Version,
		State: string(info.State), Reason: info.Reason, SHA256: info.SHA256,
	}
	for _, i := range info.Instances {
		p.Users = append(p.Users, i.Name)
		p.Restarts += i.Restarts
		if i.PID != 0 {
			p.PIDs = append(p.PIDs, i.PID)
		}
	}
	return p
}

// DescribePlugin implements control.PluginDesk. The plugin is started if it has never been.
func (b backend) DescribePlugin(ctx context.Context, name string) (control.PluginDescription, error) {
	return describePlugin(ctx, b.d.host, name)
}

// DescribePlugin says what a plugin of a plugin folder is where no daemon runs that could be asked, such as before its first
// configuration is written. Its errors are of the same kinds.
func DescribePlugin(ctx context.Context, c config.Daemon, name string) (_ control.PluginDescription, err error) {
	host, closeHost, err := ownHost(&config.Config{Daemon: c}, slog.New(slog.DiscardHandler))
	if err != nil {
		return control.PluginDescription{}, err
	}
	defer func() { err = errors.Join(err, closeHost()) }()
	return describePlugin(ctx, host, name)
}

func describePlugin(ctx context.Context, host *pluginhost.Host, name string) (control.PluginDescription, error) {
	info, err := findPlugin(host, name)
	if err != nil {
		return control.PluginDescription{}, err
	}
	out := control.PluginDescription{Plugin: pluginOf(info)}
	instance := pluginhost.Instance{Name: "describe " + info.File, Plugin: info.Name}
	if info.Kind == pluginhost.KindDCV {
		probe := host.DCV(instance)
		defer probe.Close()
		d, err := probe.Describe(ctx)
		if err != nil {
			return out, control.Errorf(control.Unavailable, "%w", err)
		}
		out.Plugin.Version, out.Summary, out.Settings = d.Version, d.Summary, settingsOf("", d.Settings)
		return out, nil
	}
	probe := host.CA(instance)
	defer probe.Close()
	d, err := probe.Describe(ctx)
	if err != nil {
		return out, control.Errorf(control.Unavailable, "%w", err)
	}
	out.Plugin.Version, out.Summary, out.OrdersCostMoney = d.Version, d.Summary, d.OrdersCostMoney
	out.Settings, out.OrderSettings = settingsOf("", d.AccountSettings), settingsOf("", d.OrderSettings)
	for _, a := range d.Abilities {
		out.Abilities = append(out.Abilities, a.String())
	}
	for _, t := range d.ChallengeTypes {
		out.ChallengeTypes = append(out.ChallengeTypes, t.String())
	}
	return out, nil
}

// findPlugin finds a plugin by its file name or, where only one has it, by its name.
func findPlugin(host *pluginhost.Host, name string) (pluginhost.Info, error) {
	var found []pluginhost.Info
	var there []string
	for _, info := range host.List() {
		if info.File == name {
			return info, nil
		}
		there = append(there, info.File)
		if info.Name == name {
			found = append(found, info)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return pluginhost.Info{}, control.Errorf(control.NotFound, "there is no plugin %q in the plugin folder, only %s", name, cmp.Or(strings.Join(there, ", "), "nothing"))
	default:
		return pluginhost.Info{}, control.Errorf(control.Invalid, "both %s and %s have the name %q; give the file's", found[0].File, found[1].File, name)
	}
}

// ReleasePlugin implements control.PluginDesk.
func (b backend) ReleasePlugin(_ context.Context, name string) error {
	if !b.d.host.Release(name) {
		return control.Errorf(control.NotFound, "no plugin, CA account or DCV profile in use has the name %q", name)
	}
	return nil
}

func settingsOf(at string, fields []pluginapi.Field) []control.Setting {
	var list []control.Setting
	for _, f := range fields {
		path := f.Name
		if at != "" {
			path = at + "." + f.Name
		}
		list = append(list, control.Setting{
			Path: path, Type: f.Type.String(), Required: f.Required, Secret: f.Secret, Default: f.Default, Allowed: f.Allowed, Help: f.Help,
		})
		list = append(list, settingsOf(path, f.Fields)...)
		if f.Element != nil {
			list = append(list, settingsOf(path+"[]", f.Element.Fields)...)
		}
	}
	return list
}
