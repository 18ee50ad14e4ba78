// Package publisher publishes challenges through the DNS and HTTP providers of lego.
//
// lego's providers compute ACME's own record or file from a key authorization. For anything else a CA may ask for, the
// plugin is built against a copy of lego in which two functions recognise a literal record or path in their argument
// (literal.go). A provider is made anew for every call; what it must remember until the record is removed travels in
// the receipt (package memory).
package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/go-acme/lego/v4/challenge"
	"github.com/go-acme/lego/v4/challenge/dns01"
	legolog "github.com/go-acme/lego/v4/log"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Options say what a Publisher is made of.
type Options struct {
	Version string
	// DNSProvider makes one of lego's DNS providers by its name from the process's environment.
	DNSProvider func(name string) (challenge.Provider, error)
}

// Publisher implements pluginapi.DCV.
type Publisher struct {
	opts Options
	// literals reports whether lego recognises literal records.
	literals func() bool

	mu      sync.Mutex
	profile *profile // nil before Configure
}

var _ pluginapi.DCV = (*Publisher)(nil)

// New makes a Publisher for one DCV profile.
func New(opts Options) *Publisher { return &Publisher{opts: opts, literals: recognisesLiterals} }

// profile is a configured way to publish.
type profile struct {
	name     string // canonical
	traits   traits
	make     func() (challenge.Provider, error)
	literals bool // lego recognises literal records
	mask     mask
	gate     *gate
	seen     *seen
	dns      *resolver
	// settle is for how long after a change name servers may still say what was before.
	settle time.Duration
}

// Describe implements pluginapi.DCV.
func (p *Publisher) Describe(context.Context) (pluginapi.DCVDescription, error) {
	return pluginapi.DCVDescription{
		Name: "lego", Version: p.opts.Version,
		Summary:  "publishes DNS records and files through the providers of lego",
		Settings: schema(),
	}, nil
}

// Configure implements pluginapi.DCV. It makes a provider and throws it away, for only the provider knows what
// environment variables it needs.
func (p *Publisher) Configure(ctx context.Context, given pluginapi.DCVProfile) (pluginapi.DCVConfigured, error) {
	s, findings, err := readSettings(given.Settings)
	if err != nil || pluginapi.HasFault(findings) {
		return pluginapi.DCVConfigured{Findings: findings}, err
	}
	secrets := maskOf(os.Environ())
	legolog.Logger = logger{mask: secrets} // lego has one logger for the process
	// lego has one list of resolvers, and one time-out, for the process. These options never fail and look at no challenge.
	_ = dns01.AddDNSTimeout(queryTimeout)(nil)
	if len(given.DNSResolvers) > 0 {
		_ = dns01.AddRecursiveNameservers(given.DNSResolvers)(nil)
	}
	c := &profile{
		name: s.canonical, traits: s.traits, literals: p.literals(), mask: secrets,
		make: s.maker(p.opts.DNSProvider),
		gate: newGate(s.traits.concurrent), seen: newSeen(),
		dns: newResolver(given.DNSResolvers),
	}
	provider, err := await(ctx, c.make)
	switch {
	case ctx.Err() != nil:
		return pluginapi.DCVConfigured{}, pluginapi.Errorf(pluginapi.Unavailable, "make the provider %s: %w", s.Provider, ctx.Err())
	case isNetwork(err):
		return pluginapi.DCVConfigured{}, pluginapi.Errorf(pluginapi.Unavailable, "make the provider %s, which logs in: %s", s.Provider, secrets.text(err.Error()))
	case err != nil:
		findings = append(findings, unusable(s, secrets.text(err.Error())))
		return pluginapi.DCVConfigured{Findings: findings}, nil
	}
	configured := c.configured(s, provider)
	configured.Findings = append(findings, configured.Findings...)
	c.settle = max(configured.PropagationTimeout, minSettle)

	p.mu.Lock()
	defer p.mu.Unlock()
	p.profile = c
	return configured, nil
}

// minSettle is the least time that name servers are given to forget what was before.
const minSettle = 2 * time.Minute

// sequential is what providers have whose records must not stand side by side; lego looks for it in the same way.
type sequential interface{ Sequential() time.Duration }

// configured says what a provider can do.
func (c *profile) configured(s settings, provider challenge.Provider) pluginapi.DCVConfigured {
	var out pluginapi.DCVConfigured
	if timed, ok := provider.(challenge.ProviderTimeout); ok {
		out.PropagationTimeout, out.PropagationInterval = timed.Timeout()
	}
	if s.timeout > 0 {
		out.PropagationTimeout = s.timeout
	}
	if s.interval > 0 {
		out.PropagationInterval = s.interval
	}
	_, out.Sequential = provider.(sequential)
	out.Sequential = out.Sequential || c.traits.wholeZone
	// Where one value takes the place of another, or goes with it, two of one name can only be shown one after the other.
	out.SequentialPerName = c.traits.overwrites != ""
	// Each of lego's HTTP providers knows the path alone.
	out.FilesIgnoreHost = c.traits.acme == pluginapi.PublishACMEHTTP
	out.Abilities = []pluginapi.PublishAbility{c.traits.acme}
	if os.Getenv(debugVariable) != "" {
		out.Findings = append(out.Findings, pluginapi.Finding{Severity: pluginapi.Warning, Field: "env." + debugVariable,
			Message: "lego prints what it sends, credentials among it: leave the variable away when you have seen what you wanted to see"})
	}
	switch {
	case c.traits.notLiteral != "":
		out.Findings = append(out.Findings, remark("provider", "the provider %s publishes for ACME alone: %s", c.name, c.traits.notLiteral))
	case !c.literals:
		out.Findings = append(out.Findings, remark("", "%s", noHook))
	default:
		out.Abilities = append(out.Abilities, c.traits.literal)
	}
	return out
}

// debugVariable makes lego's clients print their requests.
const debugVariable = "LEGO_DEBUG_DNS_API_HTTP_CLIENT"

func remark(field, format string, args ...any) pluginapi.Finding {
	return pluginapi.Finding{Severity: pluginapi.Info, Field: field, Message: fmt.Sprintf(format, args...)}
}

// unusable says why no provider can be made. lego's own message names the environment variables that are missing.
func unusable(s settings, why string) pluginapi.Finding {
	message := fmt.Sprintf("the provider %s cannot be used: %s", s.Provider, why)
	if s.traits.acme == pluginapi.PublishACMEDNS {
		message += fmt.Sprintf("; the variables stand in the profile's env, and lego's documentation says what they mean: "+
			"https://go-acme.github.io/lego/dns/%s/", s.canonical)
	}
	return pluginapi.Finding{Severity: pluginapi.Fault, Field: "provider", Message: message}
}

func (p *Publisher) current() (*profile, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.profile == nil {
		return nil, pluginapi.Errorf(pluginapi.InvalidRequest, "Configure comes first")
	}
	return p.profile, nil
}

// await makes a provider, which may take its time without knowing of the context.
func await(ctx context.Context, build func() (challenge.Provider, error)) (challenge.Provider, error) {
	type made struct {
		provider challenge.Provider
		err      error
	}
	done := make(chan made, 1)
	go func() {
		var m made
		m.err = guarded(func() (err error) {
			m.provider, err = build()
			return err
		})
		done <- m
	}()
	select {
	case m := <-done:
		return m.provider, m.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// guarded turns a provider's panic into an error: it must not end calls of others.
func guarded(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			slog.Error("a provider of lego panicked") // with what goes into the error, out of which credentials are masked
			err = fmt.Errorf("the provider panicked: %v", r)
		}
	}()
	return do()
}

// isNetwork reports that something failed for the network's sake rather than the configuration's. net.Error is too wide a
// question: a file that is not there is one as well.
func isNetwork(err error) bool {
	var address *url.Error
	if errors.As(err, &address) {
		return address.Op != "parse"
	}
	var operation *net.OpError
	var lookup *net.DNSError
	return errors.As(err, &operation) || errors.As(err, &lookup)
}
