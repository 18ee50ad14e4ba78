package main

import (
	"net/http/httptest"
	"os"
	"testing"

	standin "github.com/certbridge/certbridged/internal/sandbox/digicert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
	"github.com/certbridge/certbridged/test/cadrive"
)

// asPlugin in the environment makes the test binary the plugin itself.
const asPlugin = "CA_DIGICERT_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestConformance runs the plugin as a process of its own against the stand-in, for a product that needs validation
// every time and for one whose validation is used again.
func TestConformance(t *testing.T) {
	authority, err := standin.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for product, only := range map[string][]string{
		"ssl_dv_geotrust_flex": nil,
		// An order whose names are validated is issued before it can be canceled.
		"ssl_basic": {"preflight", "order", "replay", "find-order", "kill-between-calls", "certificate", "follow-up", "secrets"},
	} {
		t.Run(product, func(t *testing.T) {
			t.Parallel()
			world := cadrive.NewWorld(t)
			settings := standin.DefaultSettings()
			settings.CheckCAA = false
			settings.RateLimits = false // the suite starts a process for almost every call, and each begins to count anew
			server, err := standin.New(standin.Options{
				Authority: authority, Settings: &settings, Look: world.Look(),
			})
			if err != nil {
				t.Fatal(err)
			}
			web := httptest.NewServer(server)
			t.Cleanup(web.Close)
			report := plugintest.Test(t, plugintest.Options{
				Path: path, Env: []string{asPlugin + "=1"},
				Settings: pluginapi.Settings{
					Values:  map[string]any{"base_url": web.URL + standin.BasePath, "organization_id": int64(standin.DemoOrganization), "skip_approval": true},
					Secrets: map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret(server.Key())},
				},
				Only:          only,
				OrderSettings: pluginapi.Settings{Values: map[string]any{"product": product, "order_validity": map[string]any{"days": int64(60)}}}, // renewed within the last 90 days
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
		})
	}
}
