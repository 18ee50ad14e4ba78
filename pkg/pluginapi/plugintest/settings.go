package plugintest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// badSettings is one set of settings that must be refused, and the field the plugin should name for it.
type badSettings struct {
	what     string
	settings pluginapi.Settings
	field    string // empty: any
}

// configure gives a process settings, whichever contract it serves.
func (s *suite) configure(ctx context.Context, p *process, settings pluginapi.Settings, state []byte) ([]pluginapi.Finding, []byte, error) {
	ctx, cancel := s.callContext(ctx)
	defer cancel()
	if s.report.Kind == wire.PluginDCV {
		c, err := p.dcv.Configure(ctx, pluginapi.DCVProfile{Settings: settings, DNSResolvers: s.o.DNSResolvers})
		return c.Findings, nil, err
	}
	c, err := p.ca.Configure(ctx, pluginapi.Account{Settings: settings, State: state})
	return c.Findings, c.AccountState, err
}

func faultsOf(findings []pluginapi.Finding) []pluginapi.Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f pluginapi.Finding) bool { return f.Severity != pluginapi.Fault })
}

// settingsMissing reports that no settings were given to a plugin that needs some: most checks cannot be made then.
func (s *suite) settingsMissing() bool {
	return len(s.o.Settings.Values) == 0 && len(s.o.Settings.Secrets) == 0 &&
		slices.ContainsFunc(s.accountSchema(), func(f pluginapi.Field) bool { return f.Required })
}

func (s *suite) checkSettings(ctx context.Context, v *verdict) {
	if s.settingsMissing() {
		v.skip("no settings are given, and the plugin needs some; nothing beyond this can be checked")
		return
	}
	s.with(v, func(p *process) {
		findings, _, err := s.configure(ctx, p, s.o.Settings, nil)
		if err != nil {
			v.failf("Configure with the settings given: %v", err)
		}
		for _, f := range faultsOf(findings) {
			v.failf("Configure with the settings given: %s: %s", f.Field, f.Message)
		}
	})
}

// checkBadSettings gives one process every mistake in turn, for settings that were refused leave it as it was. A process
// that took one of them, or died of it, is followed by a new one.
func (s *suite) checkBadSettings(ctx context.Context, v *verdict) {
	cases := s.makeBadSettings()
	for len(cases) > 0 && ctx.Err() == nil {
		before := len(cases)
		s.with(v, func(p *process) {
			for usable := true; usable && len(cases) > 0; cases = cases[1:] {
				usable = s.checkRefused(ctx, v, p, cases[0])
			}
		})
		if len(cases) == before || len(v.words) > maxWords {
			return // it does not start, or takes everything: more examples say nothing new
		}
	}
}

// maxWords is after how many faults of one kind a check need not go on.
const maxWords = 20

// checkRefused reports whether the process can be used further.
func (s *suite) checkRefused(ctx context.Context, v *verdict, p *process, c badSettings) bool {
	findings, _, err := s.configure(ctx, p, c.settings, nil)
	faults := faultsOf(findings)
	var e *pluginapi.Error
	switch {
	case errors.As(err, &e) && e.Kind == pluginapi.InvalidRequest && !errors.Is(err, wire.ErrNotSent):
		faults = append(faults, pluginapi.Finding{Field: e.Field, Message: e.Message})
	case err != nil:
		v.failf("%s: Configure fails with %s instead of findings: %v", c.what, pluginapi.KindOf(err), err)
		return false
	}
	if len(faults) == 0 {
		v.failf("%s: Configure finds nothing wrong", c.what)
		return false
	}
	names := func(f pluginapi.Finding) bool {
		return f.Field == c.field || strings.HasPrefix(f.Field, c.field+".") || strings.HasSuffix(f.Field, "."+c.field)
	}
	if c.field != "" && !slices.ContainsFunc(faults, names) {
		v.failf("%s: no finding names the field %s, but %q: %s", c.what, c.field, faults[0].Field, faults[0].Message)
	}
	if !p.alive(ctx) {
		v.failf("%s: the plugin died", c.what)
		return false
	}
	return true
}

// makeBadSettings makes mistakes from the schema. Every one carries a planted secret beside it.
func (s *suite) makeBadSettings() []badSettings {
	good := s.o.Settings
	var out []badSettings
	add := func(what, field string, change func(values map[string]any, secrets map[string]pluginapi.Secret)) {
		values, secrets := maps.Clone(good.Values), maps.Clone(good.Secrets)
		if values == nil {
			values = make(map[string]any)
		}
		if secrets == nil {
			secrets = make(map[string]pluginapi.Secret)
		}
		change(values, secrets)
		out = append(out, badSettings{what: what, field: field, settings: pluginapi.Settings{Values: values, Secrets: secrets}})
	}
	planted := "planted-" + randomHex()
	s.rec.plant(planted)
	add("a setting that is not in the schema", "", func(values map[string]any, secrets map[string]pluginapi.Secret) {
		values["no_such_setting"] = "x"
		for _, f := range s.accountSchema() {
			if f.Secret && f.Type == pluginapi.String {
				secrets[f.Name] = pluginapi.NewSecret(planted)
			}
		}
	})
	for _, f := range s.accountSchema() {
		if f.Required {
			add("without "+f.Name, f.Name, func(values map[string]any, secrets map[string]pluginapi.Secret) {
				delete(values, f.Name)
				delete(secrets, f.Name)
			})
		}
		if wrong := wrongValue(f); wrong != nil {
			add(f.Name+" of a wrong type", f.Name, func(values map[string]any, _ map[string]pluginapi.Secret) { values[f.Name] = wrong })
		}
		if len(f.Allowed) > 0 && f.Type == pluginapi.String {
			add(f.Name+" with a value that is not allowed", f.Name, func(values map[string]any, _ map[string]pluginapi.Secret) {
				values[f.Name] = "no-such-value"
			})
		}
	}
	for _, b := range s.o.BadSettings {
		out = append(out, badSettings{what: "the bad settings given", settings: b})
	}
	return out
}

// wrongValue is one of another type than the field's, or nil for a secret, whose type is always text.
func wrongValue(f pluginapi.Field) any {
	if f.Secret {
		return nil
	}
	switch f.Type {
	case pluginapi.String, pluginapi.Boolean, pluginapi.Table, pluginapi.Map, pluginapi.List:
		return int64(1234567)
	case pluginapi.Duration:
		return "soon"
	default:
		return "a few"
	}
}
