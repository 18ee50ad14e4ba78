package config

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

var update = flag.Bool("update", false, "write the golden files anew")

// env is the environment of the configurations under test.
func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

// write lays out files below a new folder and returns the path of config.toml in it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "config.toml")
}

func problems(t *testing.T, err error) []Problem {
	t.Helper()
	var all *Errors
	if !errors.As(err, &all) || len(all.Problems) == 0 {
		t.Fatalf("Load: %v; want *Errors with problems", err)
	}
	return all.Problems
}

// TestMistakes loads testdata/mistakes/*.toml, one kind of mistake each, and compares what is said with the golden
// file beside it.
func TestMistakes(t *testing.T) {
	paths, err := filepath.Glob("testdata/mistakes/*.toml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no mistakes found: %v", err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".toml"), func(t *testing.T) {
			cfg, err := Load(path, Options{LookupEnv: env(map[string]string{"EMPTY": ""})})
			if err == nil {
				t.Fatalf("accepted: %+v", cfg)
			}
			var got strings.Builder
			for _, p := range problems(t, err) {
				if p.Line == 0 {
					t.Errorf("no line: %s", p)
				}
				got.WriteString(strings.ReplaceAll(p.String(), wd+"/testdata/mistakes/", "") + "\n")
			}
			golden := strings.TrimSuffix(path, ".toml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExample(t *testing.T) {
	cfg, err := Load("../../examples/config.toml", Options{})
	if err != nil {
		t.Fatal(err)
	}
	shop, ok := cfg.Certificate("shop")
	if !ok {
		t.Fatalf("no certificate shop in %v", cfg.Sources())
	}
	if got, want := shop.RenewBefore, (RenewBefore{Duration: 30 * day}); got != want {
		t.Errorf("renew_before = %v, want %v", got, want)
	}
	if got := shop.Deploy.Verify[0]; got != (VerifyTarget{Address: "127.0.0.1:443", ServerName: "shop.example.com", Protocol: "tls"}) {
		t.Errorf("verify = %+v", got)
	}
	if d := cfg.Daemon; len(d.DNSResolvers) != 0 || d.DNSPropagation != PropagationAuthoritative || !cfg.CA["local"].CheckCAA {
		t.Errorf("resolvers %v, propagation %q, CAA records looked at: %t", d.DNSResolvers, d.DNSPropagation, cfg.CA["local"].CheckCAA)
	}
	if len(cfg.Sources()) != 3 || len(cfg.Warnings) != 0 {
		t.Errorf("sources %v, warnings %v", cfg.Sources(), cfg.Warnings)
	}
}

// TestValues loads a configuration with all there is and compares every value.
func TestValues(t *testing.T) {
	main := write(t, map[string]string{
		"secrets/digicert": "planted-key\n",
		"secrets/keep":     "planted-cloud\r\n",
		"creds/store":      "changeit",
		"config.toml": `
[daemon]
state_dir = "state"
dns_resolvers = ["192.0.2.53", "192.0.2.53:5353", "[2001:DB8::53]:053", "2001:db8::54", "[::1]"]
dns_propagation = "resolvers"
plugin_idle_after = "1m30s"
plugin_memory_limit = "1GiB"
log_level = "debug"
log_format = "json"
default_renew_before = "20%"

[ca.digicert]
plugin = "digicert"
sha256 = "` + strings.Repeat("AB", 32) + `"
max_orders_per_day = 5
poll_interval = "5m"
check_caa = false
[ca.digicert.settings]
api_key = { file = "secrets/digicert" }
organization_id = 117483
nested.deep = { list = [1, 2.5, "x", { y = true }], token = { env = "TOKEN" } }
[ca.digicert.settings.order]
product = "ssl_basic"
order_validity = { years = 1, days = 2 }

[dcv.cloudflare]
plugin = "lego"
provider = "cloudflare"
env = { CF_DNS_API_TOKEN = { file = "secrets/keep" }, CF_TTL = 120 }
[dcv.web]
webroot = "www"
`,
		"conf.d/10-shop.toml": `
[[certificate]]
name = "shop"
domains = ["Shop.Example.com.", "*.shop.example.com", "192.0.2.1"]
ca = "digicert"
dcv = { "*.shop.example.com" = ["cloudflare", "web"], "*" = "http", "shop.example.com" = "web" }
reuse_key = true
order = { order_validity = { years = 2 } }
[certificate.files]
fullchain = ["tls/shop.pem", { path = "/srv/shop.pem", owner = "0" }]
jks = { path = "tls/shop.jks", password = { credential = "store" }, alias = "tomcat", mode = "0640", group = "tomcat" }
[certificate.deploy]
verify = ["[::1]:8443", { address = "mail:25", server_name = "mx.example.com", protocol = "smtp" }]
`,
		"conf.d/20-off.toml": `
[[certificate]]
name = "off"
enabled = false
ca = "digicert"
renew_before = "720h"
files = { combined = "tls/off.pem" }
`,
		"conf.d/.#hidden.toml": "not toml",
		"conf.d/README":        "not toml",
	})
	dir := filepath.Dir(main)
	cfg, err := Load(main, Options{LookupEnv: env(map[string]string{
		"TOKEN": "planted-token", "CREDENTIALS_DIRECTORY": filepath.Join(dir, "creds"),
	})})
	if err != nil {
		t.Fatal(err)
	}
	in := func(p string) string { return filepath.Join(dir, p) }

	if d := cfg.Daemon; d.StateDir != in("state") || d.PluginIdleAfter != 90*time.Second || d.PluginMemoryLimit != 1<<30 ||
		d.LogLevel.String() != "DEBUG" || d.LogFormat != LogJSON || d.HTTPChallengeListen != ":80" ||
		d.ControlSocket != "/run/certbridged/control.sock" || d.RescanInterval != time.Hour {
		t.Errorf("daemon = %+v", d)
	}
	resolvers := []string{"192.0.2.53:53", "192.0.2.53:5353", "[2001:db8::53]:53", "[2001:db8::54]:53", "[::1]:53"}
	if diff := cmp.Diff(resolvers, cfg.Daemon.DNSResolvers); diff != "" || cfg.Daemon.DNSPropagation != PropagationResolvers {
		t.Errorf("propagation %s, resolvers: %s", cfg.Daemon.DNSPropagation, diff)
	}
	ca := cfg.CA["digicert"]
	if ca.CheckCAA || ca.SHA256 != strings.Repeat("ab", 32) || ca.MaxOrdersPerDay != 5 || ca.MaxOrdersPerCertificate != 2 || ca.PollInterval != 5*time.Minute {
		t.Errorf("ca = %+v", ca)
	}
	wantValues := map[string]any{
		"organization_id": int64(117483),
		"nested":          map[string]any{"deep": map[string]any{"list": []any{int64(1), 2.5, "x", map[string]any{"y": true}}}},
	}
	if diff := cmp.Diff(wantValues, ca.Settings.Values); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	for path, want := range map[string]string{"api_key": "planted-key", "nested.deep.token": "planted-token"} {
		if got := ca.Settings.Secret(path).Reveal(); got != want {
			t.Errorf("secret %s = %q, want %q", path, got, want)
		}
	}
	cloud := cfg.DCV["cloudflare"]
	if cloud.Env["CF_DNS_API_TOKEN"].Reveal() != "planted-cloud" || cloud.Env["CF_TTL"].Reveal() != "120" || cloud.Settings.Values["provider"] != "cloudflare" {
		t.Errorf("dcv.cloudflare = %+v", cloud)
	}
	if web := cfg.DCV["web"]; web.Webroot != in("www") || !cfg.DCV[BuiltinHTTP].Responder {
		t.Errorf("dcv = %+v", cfg.DCV)
	}

	if cfg.Len() != 2 || cfg.Name(0) != "shop" {
		t.Fatalf("certificates = %+v", slices.Collect(cfg.All()))
	}
	shop, off := cfg.At(0), cfg.At(1)
	if diff := cmp.Diff([]string{"shop.example.com", "*.shop.example.com", "192.0.2.1"}, shop.Domains); diff != "" {
		t.Errorf("domains (-want +got):\n%s", diff)
	}
	for domain, want := range map[string]string{
		"shop.example.com": "web", "*.shop.example.com": "cloudflare web", "a.b.shop.example.com": "cloudflare web", "192.0.2.1": "http",
	} {
		if got := strings.Join(shop.Profiles(domain), " "); got != want {
			t.Errorf("profiles of %s = %q, want %q", domain, got, want)
		}
	}
	wantOrder := map[string]any{"product": "ssl_basic", "order_validity": map[string]any{"years": int64(2), "days": int64(2)}}
	if diff := cmp.Diff(wantOrder, shop.Order.Values); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if got := ca.OrderDefaults.Values["order_validity"].(map[string]any)["years"]; got != int64(1) {
		t.Errorf("the account's default was changed to %v by merging", got)
	}
	if len(shop.Files) != 3 || shop.Files[0].Path != in("tls/shop.pem") || shop.Files[1].Owner != "0" {
		t.Errorf("files = %+v", shop.Files)
	}
	if f := shop.Files[2]; f.Form != JKS || f.Mode != 0o640 || f.Group != "tomcat" || f.Alias != "tomcat" || f.Password.Reveal() != "changeit" {
		t.Errorf("jks = %+v", f)
	}
	wantVerify := []VerifyTarget{
		{Address: "[::1]:8443", ServerName: "shop.example.com", Protocol: "tls"},
		{Address: "mail:25", ServerName: "mx.example.com", Protocol: "smtp"},
	}
	if diff := cmp.Diff(wantVerify, shop.Deploy.Verify); diff != "" {
		t.Errorf("verify (-want +got):\n%s", diff)
	}
	if !shop.Enabled || shop.RenewBefore.Fraction != 0.2 || shop.Deploy.Timeout != 30*time.Second || !shop.ReuseKey {
		t.Errorf("shop = %+v", shop)
	}
	if off.Enabled || off.RenewBefore.Duration != 720*time.Hour || len(off.Domains) != 0 || off.File != in("conf.d/20-off.toml") || off.Line != 2 {
		t.Errorf("off = %+v", off)
	}
}

func TestPosition(t *testing.T) {
	main := write(t, map[string]string{
		"config.toml": "[ca.x]\nplugin = \"x\"\n[ca.x.settings]\na = 1\n[[ca.x.settings.lists]]\nb = 2\n[[ca.x.settings.lists]]\n\nb = 3\n",
		"conf.d/a.toml": "[[certificate]]\nname = \"one\"\nca = \"x\"\nfiles.combined = \"one.pem\"\n\n" +
			"[[certificate]]\nname = \"two\"\nca = \"x\"\nfiles.combined = \"two.pem\"\n[certificate.order]\nproduct = 1\nvalidity = { years = 1,\n\n  days = 2 }\n",
	})
	cfg, err := Load(main, Options{})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path string
		file string
		line int
	}{
		{"", "config.toml", 1},
		{"ca/x", "config.toml", 1},
		{"ca/x/settings/a", "config.toml", 4},
		{"ca/x/settings/lists.1.b", "config.toml", 9},
		{"ca/x/settings/lists/0/b", "config.toml", 6},
		{"ca/x/settings/missing", "config.toml", 3},
		{"certificate/one", "conf.d/a.toml", 1},
		{"certificate/two/name", "conf.d/a.toml", 7},
		{"certificate/two/order/product", "conf.d/a.toml", 11},
		{"certificate/two/order/validity.days", "conf.d/a.toml", 14},
		{"certificate/two/order/validity.weeks", "conf.d/a.toml", 12},
		{"certificate/none/order", "config.toml", 1},
	}
	for _, tt := range tests {
		file, line := cfg.Position(strings.Split(tt.path, "/")...)
		if rel, _ := filepath.Rel(filepath.Dir(main), file); rel != tt.file || line != tt.line {
			t.Errorf("Position(%s) = %s:%d, want %s:%d", tt.path, rel, line, tt.file, tt.line)
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	t.Run("missing", func(t *testing.T) {
		_, err := Load(filepath.Join(t.TempDir(), "config.toml"), Options{})
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error %v is not fs.ErrNotExist", err)
		}
	})
	t.Run("folder", func(t *testing.T) {
		_, err := Load(t.TempDir(), Options{})
		if got := problems(t, err)[0].Message; !strings.Contains(got, "not a regular file") {
			t.Errorf("message = %q", got)
		}
	})
	t.Run("a broken file hides no names", func(t *testing.T) {
		main := write(t, map[string]string{
			"config.toml":   "[ca.x\n",
			"conf.d/a.toml": "[[certificate]]\nname = \"a\"\nca = \"x\"\nfiles.combined = \"a.pem\"\n",
		})
		_, err := Load(main, Options{})
		if got := problems(t, err); len(got) != 1 || !strings.Contains(got[0].Message, "not TOML") {
			t.Errorf("problems = %v; want the syntax error alone", got)
		}
	})
	t.Run("too large", func(t *testing.T) {
		main := write(t, map[string]string{"config.toml": strings.Repeat("#", maxFile+1)})
		_, err := Load(main, Options{})
		if got := problems(t, err)[0].Message; !strings.Contains(got, "larger than") {
			t.Errorf("message = %q", got)
		}
	})
}

func TestNamesAcrossFiles(t *testing.T) {
	link := write(t, map[string]string{
		"config.toml": "[ca.x]\nplugin = \"x\"\n",
		"conf.d/a.toml": "[daemon]\n[ca.x]\nplugin = \"y\"\n" +
			"[[certificate]]\nname = \"a\"\nca = \"x\"\nfiles.combined = \"real/a.pem\"\n",
		"conf.d/b.toml": "[[certificate]]\nname = \"a\"\nca = \"x\"\nfiles.combined = \"link/a.pem\"\n",
		"real/a.pem":    "",
	})
	dir := filepath.Dir(link)
	if err := os.Symlink("real", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	_, err := Load(link, Options{})
	var got []string
	for _, p := range problems(t, err) {
		got = append(got, strings.ReplaceAll(p.String(), dir+"/", ""))
	}
	want := []string{
		"conf.d/a.toml:1: daemon: stands in config.toml alone",
		"conf.d/a.toml:2: ca.x: stands in config.toml already",
		`conf.d/b.toml:2: certificate[0].name: the certificate "a" stands in conf.d/a.toml:4 already`,
		`conf.d/b.toml:4: certificate.a.files.combined: link/a.pem is written by certificate "a" too, at conf.d/a.toml:7`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestSecrets(t *testing.T) {
	text := "[ca.x]\nplugin = \"x\"\nsettings.key = { file = \"key\" }\n"
	t.Run("open to everybody", func(t *testing.T) {
		main := write(t, map[string]string{"config.toml": text, "key": "k"})
		if err := os.Chmod(filepath.Join(filepath.Dir(main), "key"), 0o644); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(main, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(cfg.Warnings) != 1 || cfg.Warnings[0].Line != 3 || cfg.Warnings[0].Path != "ca.x.settings.key.file" {
			t.Errorf("warnings = %v", cfg.Warnings)
		}
	})
	t.Run("skipped", func(t *testing.T) {
		main := write(t, map[string]string{"config.toml": text})
		if _, err := Load(main, Options{SkipSecrets: true}); err != nil {
			t.Error(err)
		}
	})
	t.Run("missing", func(t *testing.T) {
		main := write(t, map[string]string{"config.toml": text})
		_, err := Load(main, Options{})
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("not printed", func(t *testing.T) {
		main := write(t, map[string]string{
			"config.toml": text + "unknown = 1\n", "key": "planted-secret",
		})
		_, err := Load(main, Options{})
		if strings.Contains(err.Error(), "planted-secret") {
			t.Errorf("the secret is in the message: %v", err)
		}
	})
}

func TestLoadDaemonIgnoresTheRest(t *testing.T) {
	main := write(t, map[string]string{
		"config.toml":   "[daemon]\ncontrol_socket = \"c.sock\"\n[ca.x]\nnonsense = { file = \"none\" }\n",
		"conf.d/a.toml": "not toml",
	})
	d, err := LoadDaemon(main)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(filepath.Dir(main), "c.sock"); d.ControlSocket != want {
		t.Errorf("socket = %q, want %q", d.ControlSocket, want)
	}
	if _, err := LoadDaemon(write(t, map[string]string{"config.toml": "[daemon]\ncontrol_sokket = \"c.sock\"\n"})); err == nil {
		t.Error("an unknown key in [daemon] was accepted")
	}
}

func TestMergeSettings(t *testing.T) {
	secret := pluginapi.NewSecret
	defaults := pluginapi.Settings{
		Values:  map[string]any{"a": int64(1), "t": map[string]any{"x": int64(1), "y": int64(2)}, "plain": "text"},
		Secrets: map[string]pluginapi.Secret{"s": secret("old"), "t.k": secret("old"), "gone.k": secret("old"), "kept.k": secret("kept")},
	}
	own := pluginapi.Settings{
		Values:  map[string]any{"t": map[string]any{"y": int64(3)}, "gone": "now text"},
		Secrets: map[string]pluginapi.Secret{"s": secret("new"), "plain": secret("now secret")},
	}
	got := mergeSettings(defaults, own)
	wantValues := map[string]any{"a": int64(1), "t": map[string]any{"x": int64(1), "y": int64(3)}, "gone": "now text"}
	if diff := cmp.Diff(wantValues, got.Values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	wantSecrets := map[string]string{"s": "new", "t.k": "old", "kept.k": "kept", "plain": "now secret"}
	gotSecrets := map[string]string{}
	for k, v := range got.Secrets {
		gotSecrets[k] = v.Reveal()
	}
	if diff := cmp.Diff(wantSecrets, gotSecrets); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}

func TestRenewBefore(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end := start.Add(90 * day)
	for text, want := range map[string]time.Time{
		"33.34%": end.Add(-time.Duration(float64(90*day) * 0.3334)),
		"30d":    end.Add(-30 * day),
		"1d12h":  end.Add(-36 * time.Hour),
	} {
		r, err := parseRenewBefore(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := r.At(start, end); got.Sub(want).Abs() > time.Second {
			t.Errorf("%s: due %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"", "33", "0%", "100%", "-5d", "0s", "NaN%", "Infd", "1e3d", "5dd", "d"} {
		if r, err := parseRenewBefore(text); err == nil {
			t.Errorf("%q was accepted as %v", text, r)
		}
	}
}
