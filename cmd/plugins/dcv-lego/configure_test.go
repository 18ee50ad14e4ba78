package main

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-acme/lego/v4/providers/dns"

	"github.com/certbridge/certbridged/cmd/plugins/dcv-lego/catalog"
	"github.com/certbridge/certbridged/cmd/plugins/dcv-lego/publisher"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Whoever forgets the credentials is told which, or at least where that stands, whatever the provider.
func TestEveryProviderNamesWhatItMisses(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("HOME", t.TempDir())
	variable := regexp.MustCompile(`\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b`)
	var named, unnamed, usable []string
	for _, name := range catalog.Names() {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		p := publisher.New(publisher.Options{DNSProvider: dns.NewDNSChallengeProviderByName})
		got, err := p.Configure(ctx, pluginapi.DCVProfile{
			Settings: pluginapi.Settings{Values: values(name)}, DNSResolvers: []string{"127.0.0.1:1"},
		})
		cancel()
		at := slices.IndexFunc(got.Findings, func(f pluginapi.Finding) bool { return f.Severity == pluginapi.Fault })
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case at < 0:
			usable = append(usable, name)
		case got.Findings[at].Field != "provider":
			t.Errorf("%s: a fault of %q", name, got.Findings[at].Field)
		case variable.MatchString(got.Findings[at].Message):
			named = append(named, name)
		default:
			unnamed = append(unnamed, name)
			if name != "manual" && !strings.Contains(got.Findings[at].Message, "https://go-acme.github.io/lego/dns/"+name+"/") {
				t.Errorf("%s: %s", name, got.Findings[at].Message)
			}
		}
	}
	t.Logf("%d name their variables; not: %q; usable without any: %q", len(named), unnamed, usable)
	if len(named) < 170 {
		t.Errorf("only %d providers name their variables", len(named))
	}
}
