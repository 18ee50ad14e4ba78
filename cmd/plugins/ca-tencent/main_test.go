package main

import (
	"net/http/httptest"
	"os"
	"testing"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/tencent"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
	"github.com/certbridge/certbridged/test/cadrive"
)

// asPlugin in the environment makes the test binary the plugin itself.
const asPlugin = "CA_TENCENT_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestConformance runs the plugin as a process of its own against the stand-in.
func TestConformance(t *testing.T) {
	authority, err := standin.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	world := cadrive.NewWorld(t)
	settings := standin.DefaultSettings()
	settings.RateLimits = false // the suite starts a process for almost every call, and each begins to count anew
	settings.CheckInterval = sandbox.Delay(0)
	server, err := standin.New(standin.Options{Authority: authority, Settings: &settings, Look: world.Look()})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	order := func(v map[string]any) pluginapi.Settings { return pluginapi.Settings{Values: v} }
	report := plugintest.Test(t, plugintest.Options{
		Path: path, Env: []string{asPlugin + "=1"},
		Settings: pluginapi.Settings{
			Values: map[string]any{"base_url": web.URL},
			Secrets: map[string]pluginapi.Secret{
				"secret_id": pluginapi.NewSecret(server.Key().SecretID), "secret_key": pluginapi.NewSecret(server.Key().SecretKey),
			},
		},
		OrderSettings: order(map[string]any{"ProductId": int64(50), "TimeSpan": int64(1), "ContactEmail": "certs@example.com"}),
		BadOrderSettings: []pluginapi.Settings{
			order(map[string]any{"ProductId": int64(50), "TimeSpan": int64(1)}),
			order(map[string]any{"ProductId": int64(43), "TimeSpan": int64(1), "CompanyId": int64(1)}),
		},
		Identifiers: []pluginapi.Identifier{
			{Value: "shop.example.com", Type: pluginapi.DNS, ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeDNS}},
			{Value: "api.example.com", Type: pluginapi.DNS, ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeDNS}},
		},
		Publish: world.Publish, SpendMoney: true,
	})
	for _, c := range report.Checks {
		if c.Result == plugintest.Skip {
			t.Errorf("%s was skipped: %s", c.Name, c.Words)
		}
	}
}
