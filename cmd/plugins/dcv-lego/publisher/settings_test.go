package publisher

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-acme/lego/v4/challenge"

	"github.com/certbridge/certbridged/cmd/plugins/dcv-lego/catalog"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// timed is a provider that says how long its name servers take.
type timed struct{ *byValue }

func (timed) Timeout() (timeout, interval time.Duration) { return 3 * time.Minute, 7 * time.Second }

// inTurn is one that wants its records one after the other.
type inTurn struct{ timed }

func (inTurn) Sequential() time.Duration { return time.Minute }

func configure(p *Publisher, values map[string]any) (pluginapi.DCVConfigured, error) {
	return p.Configure(context.Background(), pluginapi.DCVProfile{Settings: pluginapi.Settings{Values: values}})
}

func withProvider(provider challenge.Provider, err error) *Publisher {
	p := New(Options{DNSProvider: func(string) (challenge.Provider, error) { return provider, err }})
	p.literals = func() bool { return true }
	return p
}

func TestSettingsAreChecked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gone")
	for name, c := range map[string]struct {
		values map[string]any
		field  string
		parts  []string
	}{
		"no provider":             {nil, "provider", []string{"missing"}},
		"a provider misspelt":     {map[string]any{"provider": "cloudfare"}, "provider", []string{"near it: ", "cloudflare"}},
		"a part of a name":        {map[string]any{"provider": "azur"}, "provider", []string{"azuredns"}},
		"in capitals":             {map[string]any{"provider": "Route53"}, "provider", []string{"route53"}},
		"an http one misspelt":    {map[string]any{"provider": "webrot"}, "provider", []string{"webroot"}},
		"nothing near":            {map[string]any{"provider": "my own name server"}, "provider", []string{"https://"}},
		"at a terminal":           {map[string]any{"provider": "manual"}, "provider", []string{"terminal"}},
		"an unknown setting":      {map[string]any{"provider": "webroot", "root": "/"}, "root", []string{"unknown"}},
		"a webroot without path":  {map[string]any{"provider": "webroot"}, "path", []string{"missing"}},
		"a webroot somewhere":     {map[string]any{"provider": "webroot", "path": "html"}, "path", []string{"absolute"}},
		"a webroot that is gone":  {map[string]any{"provider": "webroot", "path": file}, "provider", []string{file}},
		"memcached without hosts": {map[string]any{"provider": "memcached"}, "hosts", []string{"missing"}},
		"s3 without a bucket":     {map[string]any{"provider": "s3"}, "bucket", []string{"missing"}},
		"a path for DNS":          {map[string]any{"provider": "ovh", "path": "/"}, "path", []string{"webroot", "ovh"}},
		"no time at all":          {map[string]any{"provider": "ovh", "propagation_timeout": "0s"}, "propagation_timeout", []string{"above zero"}},
		"time before now":         {map[string]any{"provider": "ovh", "propagation_interval": "-1s"}, "propagation_interval", []string{"above zero"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := configure(withProvider(timed{}, nil), c.values)
			if err != nil {
				t.Fatal(err)
			}
			at := slices.IndexFunc(got.Findings, func(f pluginapi.Finding) bool { return f.Severity == pluginapi.Fault && f.Field == c.field })
			if at < 0 {
				t.Fatalf("no fault of %s: %v", c.field, got.Findings)
			}
			for _, part := range c.parts {
				if !strings.Contains(got.Findings[at].Message, part) {
					t.Errorf("%q lacks %q", got.Findings[at].Message, part)
				}
			}
		})
	}
}

func TestMissingCredentialsAreNamed(t *testing.T) {
	got, err := configure(withProvider(nil, errors.New("ovh: some credentials information are missing: OVH_ENDPOINT")), map[string]any{"provider": "ovh"})
	if err != nil || !pluginapi.HasFault(got.Findings) {
		t.Fatalf("%v %v", got, err)
	}
	message := got.Findings[len(got.Findings)-1].Message
	for _, part := range []string{"OVH_ENDPOINT", "env", "https://go-acme.github.io/lego/dns/ovh/"} {
		if !strings.Contains(message, part) {
			t.Errorf("%q lacks %q", message, part)
		}
	}
}

// A provider that logs in when it is made may be configured well all the same.
func TestNetworkAtFaultIsNoFaultOfTheSettings(t *testing.T) {
	t.Setenv("OVH_SECRET", "hush-hush")
	down := &url.Error{Op: "Post", URL: "https://hush-hush@127.0.0.1", Err: os.ErrDeadlineExceeded}
	_, err := configure(withProvider(nil, down), map[string]any{"provider": "ovh"})
	wantError(t, err, pluginapi.Unavailable)
	if strings.Contains(err.Error(), "hush") {
		t.Errorf("%v holds a secret", err)
	}
	got, err := configure(withProvider(nil, &os.PathError{Op: "open", Path: "/credentials", Err: syscall.ENOENT}), map[string]any{"provider": "ovh"})
	if err != nil || !pluginapi.HasFault(got.Findings) {
		t.Errorf("a missing file: %v %v", got, err)
	}
	got, err = configure(withProvider(nil, &url.Error{Op: "parse", URL: "::", Err: errors.New("bad")}), map[string]any{"provider": "ovh"})
	if err != nil || !pluginapi.HasFault(got.Findings) {
		t.Errorf("a wrong address: %v %v", got, err)
	}
}

func TestProviderThatHangsWhenItIsMade(t *testing.T) {
	end := make(chan struct{})
	p := New(Options{DNSProvider: func(string) (challenge.Provider, error) { <-end; return nil, errors.New("late") }})
	p.literals = func() bool { return true }
	defer close(end)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Configure(ctx, pluginapi.DCVProfile{Settings: pluginapi.Settings{Values: map[string]any{"provider": "ovh"}}})
	wantError(t, err, pluginapi.Unavailable)
}

func TestWhatAProfileCan(t *testing.T) {
	for name, c := range map[string]struct {
		provider   challenge.Provider
		values     map[string]any
		env        map[string]string
		noHook     bool
		abilities  []pluginapi.PublishAbility
		timeout    time.Duration
		interval   time.Duration
		sequential bool
		perName    bool
		hostless   bool
		says       string
	}{
		"any record":  {provider: timed{}, values: map[string]any{"provider": "ovh"}, abilities: []pluginapi.PublishAbility{pluginapi.PublishACMEDNS, pluginapi.PublishTXT}, timeout: 3 * time.Minute, interval: 7 * time.Second},
		"no times":    {provider: &byValue{}, values: map[string]any{"provider": "ovh"}, abilities: []pluginapi.PublishAbility{pluginapi.PublishACMEDNS, pluginapi.PublishTXT}},
		"own times":   {provider: timed{}, values: map[string]any{"provider": "ovh", "propagation_timeout": "1h", "propagation_interval": "1s"}, abilities: []pluginapi.PublishAbility{pluginapi.PublishACMEDNS, pluginapi.PublishTXT}, timeout: time.Hour, interval: time.Second},
		"in turn":     {provider: inTurn{}, values: map[string]any{"provider": "rfc2136"}, abilities: []pluginapi.PublishAbility{pluginapi.PublishACMEDNS, pluginapi.PublishTXT}, timeout: 3 * time.Minute, interval: 7 * time.Second, sequential: true, perName: true},
		"no hook":     {provider: timed{}, values: map[string]any{"provider": "ovh"}, noHook: true, abilities: []pluginapi.PublishAbility{pluginapi.PublishACMEDNS}, timeout: 3 * time.Minute, interval: 7 * time.Second, says: "make"},
		"ACME alone":  {provider: &byValue{}, values: map[string]any{"provider": "acme-dns"}, abilities: []pluginapi.PublishAbility{pluginapi.PublishACMEDNS}, perName: true, says: "ACME alone"},
		"raw exec":    {provider: &byValue{}, values: map[string]any{"provider": "exec"}, env: map[string]string{"EXEC_MODE": "RAW"}, abilities: []pluginapi.PublishAbility{pluginapi.PublishACMEDNS}, perName: true, says: "RAW"},
		"raw httpreq": {provider: &byValue{}, values: map[string]any{"provider": "httpreq"}, env: map[string]string{"HTTPREQ_MODE": "RAW"}, abilities: []pluginapi.PublishAbility{pluginapi.PublishACMEDNS}, perName: true, says: "RAW"},
		"files":       {hostless: true, values: map[string]any{"provider": "memcached", "hosts": []any{"127.0.0.1:1"}}, abilities: []pluginapi.PublishAbility{pluginapi.PublishACMEHTTP, pluginapi.PublishFile}},
		"whole zone":  {provider: &byValue{}, values: map[string]any{"provider": "gandi"}, abilities: []pluginapi.PublishAbility{pluginapi.PublishACMEDNS}, sequential: true, perName: true},
		"debugging":   {provider: &byValue{}, values: map[string]any{"provider": "ovh"}, env: map[string]string{debugVariable: "true"}, abilities: []pluginapi.PublishAbility{pluginapi.PublishACMEDNS, pluginapi.PublishTXT}, says: "credentials"},
		"s3":          {hostless: true, values: map[string]any{"provider": "s3", "bucket": "b"}, env: map[string]string{"AWS_REGION": ""}, abilities: []pluginapi.PublishAbility{pluginapi.PublishACMEHTTP, pluginapi.PublishFile}, says: "AWS_REGION"},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range c.env {
				t.Setenv(key, value)
			}
			p := withProvider(c.provider, nil)
			p.literals = func() bool { return !c.noHook }
			got, err := configure(p, c.values)
			if err != nil || pluginapi.HasFault(got.Findings) {
				t.Fatalf("%v %v", got.Findings, err)
			}
			if !slices.Equal(got.Abilities, c.abilities) {
				t.Errorf("abilities %v", got.Abilities)
			}
			if got.PropagationTimeout != c.timeout || got.PropagationInterval != c.interval || got.Sequential != c.sequential || got.SequentialPerName != c.perName || got.FilesIgnoreHost != c.hostless {
				t.Errorf("%v", got)
			}
			if c.says != "" && !slices.ContainsFunc(got.Findings, func(f pluginapi.Finding) bool { return strings.Contains(f.Message, c.says) }) {
				t.Errorf("no finding says %q: %v", c.says, got.Findings)
			}
		})
	}
}

func TestHTTPNamesAreNoneOfTheDNSProviders(t *testing.T) {
	for _, name := range httpNames() {
		if canonical, _, ok := catalog.Find(name); ok {
			t.Errorf("%s is also the DNS provider %s: settings must tell them apart", name, canonical)
		}
	}
}

func TestDescribe(t *testing.T) {
	d, err := New(Options{Version: "1.2.3"}).Describe(t.Context())
	if err != nil || d.Name != "lego" || d.Version != "1.2.3" || len(d.Settings) != len(schema()) {
		t.Errorf("%v %v", d, err)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"ovh", "ovh", 0}, {"flaw", "lawn", 2}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%s to %s: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
