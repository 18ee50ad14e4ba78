package main

import (
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/servertastic"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
	"github.com/certbridge/certbridged/test/cadrive"
)

// asPlugin in the environment makes the test binary the plugin itself.
const asPlugin = "CA_SERVERTASTIC_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestConformance runs the plugin as a process of its own against the stand-in, for a product of each family. The suite
// waits as long as the plugin asks: the stand-in's copy of orders is as old as the setting says, and that is a second.
func TestConformance(t *testing.T) {
	authority, err := standin.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for product, more := range map[string]map[string]any{"RapidSSL-12": {}, "PositiveSSL-12": {"sectigo_field_1": "ada@example.com", "sectigo_field_2": "49305550100"}} {
		t.Run(product, func(t *testing.T) {
			t.Parallel()
			world := cadrive.NewWorld(t)
			settings := standin.DefaultSettings()
			settings.SyncLag = sandbox.Delay(200 * time.Millisecond)
			settings.ReviewAfterCancel = false
			server, err := standin.New(standin.Options{Authority: authority, Settings: &settings, Look: world.Look()})
			if err != nil {
				t.Fatal(err)
			}
			web := httptest.NewServer(server)
			t.Cleanup(web.Close)
			order := map[string]any{"st_product_code": product}
			for _, who := range []string{"tech", "admin"} {
				for name, text := range map[string]string{"first_name": "Ada", "last_name": "Example", "phone": "+49 30 5550100", "email": "ada@example.com", "title": "Engineer"} {
					order[who+"_contact_"+name] = text
				}
			}
			for name, value := range more {
				order[name] = value
			}
			report := plugintest.Test(t, plugintest.Options{
				Path: path, Env: []string{asPlugin + "=1"},
				Settings: pluginapi.Settings{
					Values: map[string]any{
						"base_url": web.URL + standin.BasePath, "sync_period": "1s", "requests_per_second": 10.0,
						"wire_names": map[string]any{"sectigo_field_1": settings.Names.SectigoFirst, "sectigo_field_2": settings.Names.SectigoSecond},
					},
					Secrets: map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret(server.Key())},
				},
				OrderSettings:    pluginapi.Settings{Values: order},
				BadOrderSettings: []pluginapi.Settings{{Values: map[string]any{"st_product_code": product, "dv_auth_method": "EMAIL"}}},
				Identifiers: []pluginapi.Identifier{
					{Value: "example.com", Type: pluginapi.DNS, ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeDNS}},
					{Value: "www.example.com", Type: pluginapi.DNS, ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeDNS}},
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
