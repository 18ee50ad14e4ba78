package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// What is packed comes back, whatever certificates share.
func TestPackedCertificatesComeBack(t *testing.T) {
	base := func(name string) Certificate {
		domain := name + ".example.com"
		return Certificate{
			Name: name, Enabled: true, Domains: []string{"*." + domain, domain}, CA: "a", DCV: []DCVRule{{Pattern: "*", Profiles: []string{"http"}}},
			RenewBefore: RenewBefore{Fraction: 0.33},
			Files:       []File{{Form: FullChain, Path: "/tls/" + name + ".pem"}, {Form: Key, Path: "/keys/" + name + ".key", Mode: 0o640}},
			Deploy: Deploy{
				Reload: []string{"reload", "it"}, Timeout: 30,
				Verify: []VerifyTarget{{Address: "a:443", ServerName: domain, Protocol: "tls"}, {Address: "a:25", ServerName: "mail", Protocol: "smtp"}},
			},
		}
	}
	change := func(name string, do func(*Certificate)) Certificate {
		crt := base(name)
		do(&crt)
		return crt
	}
	order := func(v any) func(*Certificate) {
		return func(crt *Certificate) { crt.Order.Values = map[string]any{"n": v} }
	}
	secret := func(text string) func(*Certificate) {
		return func(crt *Certificate) {
			crt.Order.Secrets = map[string]pluginapi.Secret{"key": pluginapi.NewSecret(text)}
		}
	}
	password := func(text string) func(*Certificate) {
		return func(crt *Certificate) { crt.Files[0].Password = pluginapi.NewSecret(text) }
	}
	certs := []Certificate{
		base("zulu"), base("alpha"), {Name: "bare"}, base(""),
		change("d1", func(crt *Certificate) { crt.Domains = nil; crt.Deploy.Verify[0].ServerName = "" }),
		change("d2", func(crt *Certificate) { crt.Domains = []string{"192.0.2.1"}; crt.Deploy.Verify[0].ServerName = "" }),
		change("d3", func(crt *Certificate) { crt.Deploy.Verify[0].ServerName = "other" }),
		change("off", func(crt *Certificate) { crt.Enabled = false }), change("reuse", func(crt *Certificate) { crt.ReuseKey = true }),
		change("before", func(crt *Certificate) { crt.RenewBefore = RenewBefore{Duration: 5} }),
		change("mode", func(crt *Certificate) { crt.Files[1].Mode = 0o600 }), change("owner", func(crt *Certificate) { crt.Files[1].Owner = "0" }),
		change("ca", func(crt *Certificate) { crt.CA = "b" }), change("key", func(crt *Certificate) { crt.Key = "rsa-2048" }),
		change("dcv", func(crt *Certificate) { crt.DCV = []DCVRule{{Pattern: "*", Profiles: []string{"http", "web"}}} }),
		change("check", func(crt *Certificate) { crt.Deploy.Check, crt.Deploy.Reload = crt.Deploy.Reload, nil }),
		change("o1", order(int64(1))), change("o2", order(1.0)), change("o3", order("1")), change("o4", order(true)), change("o5", order([]any{int64(1)})),
		change("o6", order(map[string]any{"1": int64(1)})), change("o7", order(int64(1))),
		change("s1", secret("one")), change("s2", secret("two")), change("p1", password("one")), change("p2", password("two")),
		change("many", func(crt *Certificate) {
			crt.Deploy.Verify = nil
			for i := range maxNamed + 2 {
				crt.Deploy.Verify = append(crt.Deploy.Verify, VerifyTarget{Address: fmt.Sprint(i), ServerName: "many.example.com"})
			}
		}),
	}
	c := &Config{places: newPlaceIndex("/m/config.toml")}
	c.places.names = []string{"b.toml"}
	m := newManager(c)
	for i := range certs {
		certs[i].Line, certs[i].source, certs[i].File = i+1, i%2, []string{"/m/config.toml", "/m/conf.d/b.toml"}[i%2]
		m.add(certs[i], likeness(&certs[i], len(certs[i].Order.Values)+len(certs[i].Order.Secrets) > 0))
	}
	m.done()
	same := cmp.Options{
		cmp.Transformer("secret", pluginapi.Secret.Reveal),
		cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".source" }, cmp.Ignore()),
	}
	for i, want := range certs {
		if diff := cmp.Diff(want, c.At(i), same); diff != "" {
			t.Errorf("%s came back as another (-want +got):\n%s", want.Name, diff)
		}
		if n, ok := c.Find(want.Name); !ok || n != i {
			t.Errorf("%s is found at %d, %t", want.Name, n, ok)
		}
		var paths []string
		for _, f := range want.Files {
			paths = append(paths, f.Path)
		}
		if folder := c.Folder(i); (folder != "") != (len(paths) > 0) || len(paths) > 0 && folder != "/tls/" {
			t.Errorf("folder of %s: %q", want.Name, folder)
		}
		if diff := cmp.Diff(paths, c.Paths(i, nil)); diff != "" {
			t.Errorf("paths of %s (-want +got):\n%s", want.Name, diff)
		}
	}
	if at := func(n int) *Certificate { return c.managed.list[n].like }; at(0) != at(1) || at(16) != at(22) {
		t.Error("what is alike is not shared")
	}
	if n, ok := c.Find("none"); ok {
		t.Errorf("a certificate that is not there is found at %d", n)
	}
}

// A file is put off until all else is known only where it can hold nothing but certificates.
func TestCertificatesAlone(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                 false,
		"# words\n":                        false,
		"[[certificate]]\nname = \"a\"\n":  true,
		"# words\n\r\n\t[[certificate]]\n": true,
		"[[certificate]]\n[certificate.files]\n[[certificate.deploy.verify]]\n": true,
		"[[certificate]]\n[ca.a]\n":                     false,
		"[[certificate]]\n  [dcv.a]\n":                  false,
		"[[certificate]]\n[ \"ca\".a]\n":                false,
		"[[certificate]]\n[[certificates]]\n":           false,
		"ca.a.plugin = \"a\"\n[[certificate]]\n":        false,
		"certificate = []\n":                            false,
		"\xef\xbb\xbf[[certificate]]\n":                 false,
		"[[certificate]]\nx = \"\"\"\n[ca.a]\n\"\"\"\n": false, // not so, and no harm
	} {
		if got := certificatesAlone(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
		raw, _, problem := parse(text)
		for key := range raw {
			if problem == nil && certificatesAlone(text) && key != "certificate" {
				t.Errorf("%q holds %s, too", text, key)
			}
		}
	}
}

// Many files are checked some at a time; what they have in common is found across all of them.
func TestWhatStandsInFilesFarApart(t *testing.T) {
	files := map[string]string{"config.toml": "[ca.a]\nplugin = \"a\"\n"}
	const n = 2*atOnce + 10
	text := "[[certificate]]\nname = \"c%04d\"\nca = \"a\"\n[certificate.files]\ncombined = \"%04d.pem\"\n"
	for i := range n {
		files[fmt.Sprintf("conf.d/%04d.toml", i)] = fmt.Sprintf(text, i, i)
	}
	path := write(t, files)
	cfg, err := Load(path, Options{})
	if err != nil || cfg.Len() != n || cfg.Name(n-1) != fmt.Sprintf("c%04d", n-1) {
		t.Fatalf("%d certificates, %v", cfg.Len(), err)
	}
	files["conf.d/9998.toml"] = fmt.Sprintf(text, 3, 4)
	files["conf.d/9999.toml"] = strings.ReplaceAll(fmt.Sprintf(text, 9999, 9999), `"a"`, `"b"`)
	_, err = Load(write(t, files), Options{})
	var got []string
	for _, p := range problems(t, err) {
		got = append(got, fmt.Sprintf("%s:%d %s", p.File[strings.LastIndexByte(p.File, '/')+1:], p.Line, p.Path))
	}
	want := []string{"9998.toml:2 certificate[0].name", "9998.toml:5 certificate.c0003.files.combined", "9999.toml:3 certificate.c9999.ca"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	// Where a file cannot be parsed, the account may stand in that.
	files["conf.d/0500.toml"] = "[[certificate]]\nname = \n"
	_, err = Load(write(t, files), Options{})
	if list := problems(t, err); len(list) != 3 || !strings.HasSuffix(list[0].File, "0500.toml") {
		t.Errorf("problems: %v", list)
	}
}
