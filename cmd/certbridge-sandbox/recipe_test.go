package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/digicert"
	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/servertastic"
	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/tencent"
	"github.com/certbridge/certbridged/internal/config"
	standin "github.com/certbridge/certbridged/internal/sandbox/tencent"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// account reads what was printed as certbridged does: put into a file as it stands, with what was exported in the
// environment.
func account(t *testing.T, said string) config.CA {
	t.Helper()
	text, _, ok := strings.Cut(said, "\nWhat was bought")
	start := strings.Index(text, "[ca.")
	if !ok || start < 0 {
		t.Fatalf("no configuration in %q", said)
	}
	environment := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^export ([A-Z_]+)='(.*)'$`).FindAllStringSubmatch(said, -1) {
		environment[m[1]] = m[2]
	}
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte(text[start:]), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, config.Options{LookupEnv: func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	}})
	if err != nil {
		t.Fatalf("what was printed does not load: %v\n%s", err, text[start:])
	}
	if len(cfg.CA) != 1 || len(cfg.Warnings) > 0 {
		t.Fatalf("%d accounts, %v", len(cfg.CA), cfg.Warnings)
	}
	for _, a := range cfg.CA {
		return a
	}
	return config.CA{}
}

// What is printed loads as it stands, the plugin has nothing against it, and the stand-in knows the key.
func TestPrintedConfigurationIsTaken(t *testing.T) {
	plugins := map[string]func() pluginapi.CA{
		"digicert":     func() pluginapi.CA { return digicert.New(digicert.Options{}) },
		"servertastic": func() pluginapi.CA { return servertastic.New(servertastic.Options{}) },
		"tencent":      func() pluginapi.CA { return tencent.New(tencent.Options{}) },
	}
	for name, start := range plugins {
		for _, args := range [][]string{{"--watch", "0"}, {"--watch", "0", "--dir", filepath.Join(t.TempDir(), "it's kept")}} {
			t.Run(name+" "+strings.Join(args[2:], " "), func(t *testing.T) {
				a := account(t, started(t, name, args...))
				if a.Name != name || a.Plugin != name {
					t.Errorf("account %s of plugin %s", a.Name, a.Plugin)
				}
				configured(t, start(), a.Settings)
			})
		}
	}
}

// configured runs a plugin with settings, and logs in.
func configured(t *testing.T, ca pluginapi.CA, settings pluginapi.Settings) {
	t.Helper()
	if c, ok := ca.(interface{ Close() error }); ok {
		defer c.Close()
	}
	done, err := ca.Configure(t.Context(), pluginapi.Account{Settings: settings})
	if err != nil || len(done.Findings) > 0 {
		t.Fatalf("%v, %v", done.Findings, err)
	}
	reply, err := ca.(pluginapi.Preflighter).Preflight(context.WithoutCancel(t.Context()), nil)
	if err != nil || pluginapi.HasFault(reply.Findings) {
		t.Errorf("%v, %v", reply.Findings, err)
	}
}

// Keys in a folder are their owner's alone, also when they are written once more.
func TestKeysAreWrittenForTheirOwner(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if said := started(t, "digicert", "--dir", dir, "--watch", "0"); strings.Contains(said, "SANDBOX") {
			t.Errorf("the key is printed: %s", said)
		}
		info, err := os.Stat(filepath.Join(dir, "api-key"))
		if err != nil || info.Mode() != fs.FileMode(0o600) {
			t.Fatalf("%v, %v", info, err)
		}
	}
}

// The documentation shows what the help shows.
func TestRecipesInTheDocumentation(t *testing.T) {
	text, err := os.ReadFile(filepath.FromSlash("../../docs/sandbox.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []recipe{digicertRecipe(""), servertasticRecipe(""), tencentRecipe(standin.Key{})} {
		listen := map[string]string{"digicert": "8443", "servertastic": "8444", "tencent": "8445"}[r.plugin]
		if want := "```toml\n" + r.example("/home/you/"+r.plugin+"-rehearsal", "http://127.0.0.1:"+listen) + "```\n"; !strings.Contains(string(text), want) {
			t.Errorf("docs/sandbox.md does not show\n%s", want)
		}
	}
}
