package main

import (
	"context"
	"os"
	"slices"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
	"github.com/certbridge/certbridged/test/dcvplugins"
	"github.com/certbridge/certbridged/test/peer"
)

// asPlugin in the environment makes the test binary the plugin itself.
const asPlugin = "DCV_RFC2136_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func profileOf(b *peer.BINDServer, key peer.TSIGKey) pluginapi.Settings {
	return pluginapi.Settings{
		Values: map[string]any{
			"nameserver": b.Addr(), "tsig_key": key.Name, "tsig_algorithm": key.Algorithm, "ttl": int64(5),
		},
		Secrets: map[string]pluginapi.Secret{"tsig_secret": pluginapi.NewSecret(key.Secret)},
	}
}

func txt(name, value string) pluginapi.Challenge {
	return pluginapi.Challenge{
		ID: name + value, Identifier: "shop.example.com",
		DNS: &pluginapi.DNSRecord{Name: name, Type: pluginapi.TXT, Value: value},
	}
}

func cname(name, target string) pluginapi.Challenge {
	return pluginapi.Challenge{
		ID: name + target, Identifier: "shop.example.com",
		DNS: &pluginapi.DNSRecord{Name: name, Type: pluginapi.CNAME, Value: target},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	key := peer.NewTSIGKey("certbridged", "hmac-sha256")
	b := peer.BIND(t, peer.BINDOptions{
		Port: peer.FreePort(t),
		Bare: true, Keys: []peer.TSIGKey{key},
		Zones: []peer.Zone{{Name: "example.com", Keys: []string{key.Name}, Records: []string{`@ 3600 TXT "v=spf1 -all"`}}},
	})
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	report := plugintest.Test(t, plugintest.Options{
		Path: path, Env: []string{asPlugin + "=1"}, Settings: profileOf(b, key),
		BadSettings: []pluginapi.Settings{
			{Values: map[string]any{"nameserver": "two words"}},
			{Values: map[string]any{"nameserver": b.Addr(), "tsig_key": "x"}},
			{Values: map[string]any{"nameserver": b.Addr(), "ttl": int64(-1)}},
			{Values: map[string]any{"nameserver": b.Addr(), "timeout": "0s"}},
			{Values: map[string]any{"nameserver": b.Addr(), "zone": "example..com"}},
		},
		Challenges: []pluginapi.Challenge{
			txt("_dnsauth.shop.example.com", "one"), txt("_dnsauth.shop.example.com", "two"),
			txt("example.com", "at the apex"), cname("_token.shop.example.com", "dcv.ca.example"),
		},
		Published: func(_ context.Context, c pluginapi.Challenge) (bool, error) {
			if c.DNS.Type == pluginapi.CNAME {
				return b.CNAME(t, c.DNS.Name) == c.DNS.Value, nil
			}
			return slices.Contains(b.TXT(t, c.DNS.Name), c.DNS.Value), nil
		},
	})
	for _, c := range report.Checks {
		if c.Result == plugintest.Skip {
			t.Errorf("%s was skipped: %s", c.Name, c.Words)
		}
	}
	if got := b.TXT(t, "example.com"); !slices.Equal(got, []string{"v=spf1 -all"}) {
		t.Errorf("the apex has %q afterwards", got)
	}
}

func TestDocumented(t *testing.T) { dcvplugins.Documented(t, "rfc2136", schema()) }
