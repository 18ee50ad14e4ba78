package checkup

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// fakeAccount is one that logs in and has something to say.
type fakeAccount struct {
	findings []pluginapi.Finding
	orders   *[]pluginapi.Settings
}

func (a fakeAccount) Describe(context.Context) (pluginapi.Description, error) {
	return pluginapi.Description{
		Name: "fake", Version: "1", Abilities: []pluginapi.Ability{pluginapi.AbilityPreflight},
		OrderSettings: []pluginapi.Field{{Name: "years", Type: pluginapi.Integer}},
	}, nil
}
func (a fakeAccount) Findings(context.Context) ([]pluginapi.Finding, error) { return nil, nil }
func (a fakeAccount) Configured(context.Context) (pluginapi.Configured, error) {
	return pluginapi.Configured{}, nil
}

func (a fakeAccount) Preflight(_ context.Context, orders []pluginapi.Settings) (pluginapi.PreflightReply, error) {
	*a.orders = orders
	return pluginapi.PreflightReply{Findings: a.findings}, nil
}

// What a CA says about the settings of one certificate's orders stands at that certificate's line.
func TestPreflightFindingsStandWhereTheyBelong(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.toml")
	text := `[daemon]
state_dir = "` + dir + `"
[ca.paid]
plugin = "fake"
settings.key = "k"
[[certificate]]
name = "one"
domains = ["one.example.com"]
ca = "paid"
order = { years = 1 }
files.combined = "one.pem"
[[certificate]]
name = "off"
enabled = false
domains = ["off.example.com"]
ca = "paid"
files.combined = "off.pem"
[[certificate]]
name = "two"
domains = ["two.example.com"]
ca = "paid"
order = { years = 9 }
files.combined = "two.pem"
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var orders []pluginapi.Settings
	a := fakeAccount{orders: &orders, findings: []pluginapi.Finding{
		{Severity: pluginapi.Fault, Field: "years", Message: "nine are too many", Order: 2},
		{Severity: pluginapi.Warning, Field: "key", Message: "is old"},
		{Severity: pluginapi.Warning, Message: "of an order that there is not", Order: 7},
	}}
	var got []string
	for _, r := range preflight(t.Context(), c, "paid", a) {
		got = append(got, strings.TrimPrefix(r.String(), path+":"))
	}
	want := []string{
		"22: certificate.two.order.years: nine are too many",
		"5: ca.paid.settings.key: is old",
		"5: ca.paid.settings: of an order that there is not",
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	if len(orders) != 2 {
		t.Errorf("asked about %d orders, want those of the certificates in use", len(orders))
	}
}
