package dcvplugins

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
	"github.com/certbridge/certbridged/test/peer"
)

// page returns the code blocks of one language in the section of a plugin, in order.
func page(t *testing.T, plugin, language string) []string {
	t.Helper()
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)\n```"+regexp.QuoteMeta(language)+"\n(.*?)\n```\n").FindAllStringSubmatch(section(t, plugin), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) == 0 {
		t.Fatalf("the section on %s has no %s", plugin, language)
	}
	return blocks
}

// profile reads the example of a plugin as the daemon would. Each file that it names is made, with a text for a secret;
// change replaces what a test cannot have as it is.
func profile(t *testing.T, plugin, secret string, change ...string) config.DCV {
	t.Helper()
	dir := t.TempDir()
	text := strings.NewReplacer(append(change, `"/etc/certbridged/secrets/`, `"`+dir+`/`)...).Replace(page(t, plugin, "toml")[0])
	for _, m := range regexp.MustCompile(`file = "([^"]+)"`).FindAllStringSubmatch(text, -1) {
		if err := os.WriteFile(m[1], []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.DCV) > 2 { // beside the one that is built in
		t.Fatalf("the example has %d profiles", len(cfg.DCV))
	}
	for _, d := range cfg.DCV {
		if d.Plugin != "" {
			if d.Plugin != plugin {
				t.Fatalf("the example's plugin is %q", d.Plugin)
			}
			return d
		}
	}
	t.Fatal("the example has no profile")
	return config.DCV{}
}

// conform runs the conformance suite on a plugin with the profile of its example.
func conform(t *testing.T, d config.DCV, o plugintest.Options) {
	t.Helper()
	o.Path = filepath.Join(t.TempDir(), "dcv-"+d.Plugin)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", o.Path, "../../cmd/plugins/dcv-"+d.Plugin)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	o.Settings = d.Settings
	o.Env = []string{"PATH=" + os.Getenv("PATH")}
	for name, value := range d.Env {
		o.Env = append(o.Env, name+"="+value.Reveal())
	}
	for _, c := range plugintest.Test(t, o).Checks {
		if c.Result == plugintest.Skip {
			t.Errorf("%s was skipped: %s", c.Name, c.Words)
		}
	}
}

func record(name string, kind pluginapi.RecordType, value string) pluginapi.Challenge {
	return pluginapi.Challenge{ID: name + value, Identifier: "shop.example.com", DNS: &pluginapi.DNSRecord{Name: name, Type: kind, Value: value}}
}

func TestRFC2136(t *testing.T) {
	t.Parallel()
	named := page(t, "rfc2136", "named.conf")[0]
	key := regexp.MustCompile(`(?s)key "(\S+)" \{\s+algorithm (\S+);\s+secret "(\S+)";`).FindStringSubmatch(named)
	grants := regexp.MustCompile(`(?m)^\s+(grant .*);$`).FindAllStringSubmatch(named, -1)
	if key == nil || len(grants) == 0 {
		t.Fatalf("no key or no grants in\n%s", named)
	}
	zone := peer.Zone{Name: "example.com"}
	for _, g := range grants {
		zone.Policy = append(zone.Policy, g[1])
	}
	b := peer.BIND(t, peer.BINDOptions{
		Zones: []peer.Zone{zone}, Keys: []peer.TSIGKey{{Name: key[1], Algorithm: key[2], Secret: key[3]}},
	})
	d := profile(t, "rfc2136", key[3])
	conform(t, d, plugintest.Options{
		DNSResolvers: []string{b.Addr()}, // they know ns1.example.com
		Challenges: []pluginapi.Challenge{
			record("_acme-challenge.shop.example.com", pluginapi.TXT, "one"), record("_acme-challenge.shop.example.com", pluginapi.TXT, "two"),
			record("_dnsauth.shop.example.com", pluginapi.CNAME, "dcv.ca.example"), record("_dnsauth.www.shop.example.com", pluginapi.TXT, "three"),
		},
		Published: func(_ context.Context, c pluginapi.Challenge) (bool, error) {
			if c.DNS.Type == pluginapi.CNAME {
				return b.CNAME(t, c.DNS.Name) == c.DNS.Value, nil
			}
			return slices.Contains(b.TXT(t, c.DNS.Name), c.DNS.Value), nil
		},
	})
}

func TestExec(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte(page(t, "exec", "sh")[0]+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	folders := t.TempDir()
	d := profile(t, "exec", "", "/usr/local/libexec/dcv-docroots", program, `"/srv/www"`, `"`+folders+`"`)
	file := func(host, path, body string) pluginapi.Challenge {
		return pluginapi.Challenge{ID: host + path, Identifier: host, HTTP: &pluginapi.HTTPFile{Host: host, Path: path, Body: body}}
	}
	conform(t, d, plugintest.Options{
		Challenges: []pluginapi.Challenge{
			file("shop.example.com", "/.well-known/pki-validation/fileauth.txt", "one\ntwo\n"),
			file("www.shop.example.com", "/.well-known/pki-validation/fileauth.txt", "three"),
			file("shop.example.com", "/.well-known/acme-challenge/token", "token.thumb"),
		},
		Published: func(_ context.Context, c pluginapi.Challenge) (bool, error) {
			text, err := os.ReadFile(filepath.Join(folders, c.HTTP.Host, c.HTTP.Path))
			if errors.Is(err, fs.ErrNotExist) {
				return false, nil
			}
			return string(text) == c.HTTP.Body, err
		},
	})
}

// The input that the page shows is what a program gets.
func TestExecInput(t *testing.T) {
	t.Parallel()
	for _, want := range page(t, "exec", "json") {
		seen := filepath.Join(t.TempDir(), "seen")
		program := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(program, []byte("#!/bin/sh\nread -r line\n[ $1 = withdraw ] || printf %s \"$line\" >"+seen+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		d := profile(t, "exec", "", "/usr/local/libexec/dcv-docroots", program, `publishes = ["file"]`, `publishes = ["file", "txt"]`)
		c := record("_dnsauth.shop.example.com", pluginapi.TXT, "rndv4l")
		if strings.Contains(want, `"HTTP"`) {
			c.DNS, c.HTTP = nil, &pluginapi.HTTPFile{Host: "shop.example.com", Path: "/.well-known/pki-validation/fileauth.txt", Body: "rndv4l"}
		}
		conform(t, d, plugintest.Options{Only: []string{"configure", "publish"}, Challenges: []pluginapi.Challenge{c}})
		if got, err := os.ReadFile(seen); err != nil || string(got) != want {
			t.Errorf("the program gets\n%s\nnot\n%s\n%v", got, want, err)
		}
	}
}

func TestHTTPReq(t *testing.T) {
	t.Parallel()
	documented, err := http.ReadRequest(bufio.NewReader(strings.NewReader(withLength(page(t, "httpreq", "http")[0]))))
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(documented.Body)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	published := map[string]bool{} // by body
	var alike bool                 // a request as the page shows it came
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Authorization") != documented.Header.Get("Authorization") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		published[string(body)] = strings.HasSuffix(r.URL.Path, "/publish")
		alike = alike || bytes.Equal(body, want) && r.Method == documented.Method && r.URL.Path == documented.URL.Path &&
			r.Header.Get("Content-Type") == documented.Header.Get("Content-Type")
	}))
	defer server.Close()
	user, password, _ := documented.BasicAuth()
	d := profile(t, "httpreq", password, "https://dcv.example.net", server.URL)
	if d.Settings.Values["username"] != user {
		t.Errorf("the request is of %q", user)
	}
	conform(t, d, plugintest.Options{
		Challenges: []pluginapi.Challenge{
			record("_5e1f.shop.example.com", pluginapi.CNAME, "9c2a.ca.example"), record("_dnsauth.shop.example.com", pluginapi.TXT, "one"),
		},
		Published: func(_ context.Context, c pluginapi.Challenge) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			for body, there := range published {
				if there && strings.Contains(body, c.DNS.Name) {
					return true, nil
				}
			}
			return false, nil
		},
	})
	mu.Lock()
	defer mu.Unlock()
	if !alike {
		t.Errorf("no request came as the page shows it: %s %s %s", documented.Method, documented.URL, want)
	}
}

// withLength makes a request of the page's, which leaves the length out, one that can be read.
func withLength(text string) string {
	head, body, _ := strings.Cut(text, "\n\n")
	return fmt.Sprintf("%s\r\nContent-Length: %d\r\n\r\n%s", strings.ReplaceAll(head, "\n", "\r\n"), len(body), body)
}
