package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// What a program is asked to do, as its last argument.
const (
	actionPublish  = "publish"
	actionWithdraw = "withdraw"
)

// publisher is the plugin. Configure is over before anything else begins, so that nothing here is guarded.
type publisher struct {
	version string
	environ func() []string // the process's own environment

	settings  settings
	resolvers []string
}

// Describe says what the plugin is.
func (p *publisher) Describe(context.Context) (pluginapi.DCVDescription, error) {
	return pluginapi.DCVDescription{
		Name: "exec", Version: p.version,
		Summary:  "Hands records and files to a program of yours.",
		Settings: schema(),
	}, nil
}

// Configure checks the settings.
func (p *publisher) Configure(_ context.Context, profile pluginapi.DCVProfile) (pluginapi.DCVConfigured, error) {
	s, findings := readSettings(profile.Settings)
	p.settings, p.resolvers = s, profile.DNSResolvers
	return pluginapi.DCVConfigured{Findings: findings, Abilities: s.abilities}, nil
}

// Publish runs the program. There is no receipt: what Publish knew, Withdraw knows as well.
func (p *publisher) Publish(ctx context.Context, c pluginapi.Challenge) ([]byte, error) {
	return nil, p.run(ctx, actionPublish, c)
}

// Withdraw runs the program.
func (p *publisher) Withdraw(ctx context.Context, c pluginapi.Challenge, _ []byte) error {
	return p.run(ctx, actionWithdraw, c)
}

func (p *publisher) run(ctx context.Context, action string, c pluginapi.Challenge) error {
	j, err := jobOf(action, c)
	if err != nil {
		return err
	}
	input, err := json.Marshal(j)
	if err != nil {
		return pluginapi.Errorf(pluginapi.InvalidRequest, "encode the challenge: %w", err)
	}
	cmd := command{
		argv:    append(p.settings.command[:len(p.settings.command):len(p.settings.command)], action),
		env:     environment(p.environ(), j.variables(p.resolvers)),
		input:   append(input, '\n'),
		timeout: p.settings.timeout,
	}
	return cmd.run(ctx)
}

// job is what the program is given, on its standard input. docs/dcv-plugins.md has its description.
type job struct {
	Action     string `json:"action"`
	Type       string `json:"type"` // TXT, CNAME or HTTP
	Identifier string `json:"identifier"`

	Name  string `json:"name,omitempty"`
	Value string `json:"value,omitempty"`

	Host string `json:"host,omitempty"`
	Path string `json:"path,omitempty"`
	Body string `json:"body,omitempty"`
}

// typeHTTP stands where records have their type.
const typeHTTP = "HTTP"

func jobOf(action string, c pluginapi.Challenge) (job, error) {
	j := job{Action: action, Identifier: c.Identifier}
	switch {
	case c.DNS != nil:
		j.Type, j.Name, j.Value = string(c.DNS.Type), c.DNS.Name, c.DNS.Value
	case c.HTTP != nil:
		j.Type, j.Host, j.Path, j.Body = typeHTTP, c.HTTP.Host, c.HTTP.Path, c.HTTP.Body
	default:
		return job{}, pluginapi.Errorf(pluginapi.InvalidRequest, "%s challenges are neither records nor files", c.Type())
	}
	if strings.ContainsRune(j.Value+j.Body, 0) {
		return job{}, pluginapi.Errorf(pluginapi.InvalidRequest, "the challenge holds a zero byte, which no environment variable can")
	}
	return j, nil
}

// variables are the same for scripts. All are set, so that none is inherited by mistake.
func (j job) variables(resolvers []string) map[string]string {
	return map[string]string{
		"CERTBRIDGED_ACTION": j.Action, "CERTBRIDGED_TYPE": j.Type, "CERTBRIDGED_IDENTIFIER": j.Identifier,
		"CERTBRIDGED_NAME": j.Name, "CERTBRIDGED_VALUE": j.Value,
		"CERTBRIDGED_HOST": j.Host, "CERTBRIDGED_PATH": j.Path, "CERTBRIDGED_BODY": j.Body,
		"CERTBRIDGED_DNS_RESOLVERS": strings.Join(resolvers, " "),
	}
}

// searchPath is the PATH of a program whose profile sets none.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is the plugin's own, which is the profile's, without what host and plugin have between them, and with more.
func environment(own []string, more map[string]string) []string {
	env := []string{"PATH=" + searchPath} // of two, the last one holds
	for _, entry := range own {
		name, _, _ := strings.Cut(entry, "=")
		_, ours := more[name]
		if !ours && name != wire.CookieKey && !strings.HasPrefix(name, "PLUGIN_") {
			env = append(env, entry)
		}
	}
	for name, value := range more {
		env = append(env, name+"="+value)
	}
	return env
}
