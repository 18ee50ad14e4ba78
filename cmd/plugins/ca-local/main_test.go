package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
)

// asPlugin in the environment makes the test binary the plugin itself.
const asPlugin = "CA_LOCAL_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
		return
	}
	if dir := os.Getenv(buyerDir); dir != "" {
		fmt.Fprintln(os.Stderr, buy(dir, os.Stdout)) // it never ends well
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func options(t *testing.T, values map[string]any) plugintest.Options {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	values["dir"] = filepath.Join(t.TempDir(), "ca")
	return plugintest.Options{
		Path: path, Env: []string{asPlugin + "=1"},
		Settings: pluginapi.Settings{Values: values},
		BadOrderSettings: []pluginapi.Settings{
			{Values: map[string]any{"lifetime": "1ms"}}, {Values: map[string]any{"lifetime": "soon"}}, {Values: map[string]any{"years": int64(1)}},
		},
		Identifiers: []pluginapi.Identifier{
			{Value: "shop.example.com", Type: pluginapi.DNS},
			{Value: "www.shop.example.com", Type: pluginapi.DNS},
			{Value: "192.0.2.7", Type: pluginapi.IP},
		},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	o := options(t, map[string]any{"lifetime": "90s", "coverage": "720h"})
	report := plugintest.Test(t, o)
	for _, c := range report.Checks {
		// Without a challenge an order is issued at once; that orders can be canceled is seen with one.
		if c.Result == plugintest.Skip && c.Name != "cancel" {
			t.Errorf("%s was skipped: %s", c.Name, c.Words)
		}
	}
	verifyWithOpenSSL(t, o.Settings.Values["dir"].(string))
}

// verifyWithOpenSSL looks at what the run left behind with another implementation.
func verifyWithOpenSSL(t *testing.T, dir string) {
	t.Helper()
	tool, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("openssl is missing")
		}
		t.Log("SKIP the look with openssl: it is not installed")
		return
	}
	for _, args := range [][]string{
		{"verify", "-x509_strict", "-CAfile", dir + "/ca/root.pem", dir + "/ca/issuer.pem"},
		{"crl", "-in", dir + "/crl.pem", "-CAfile", dir + "/ca/issuer.pem", "-noout", "-verify"},
	} {
		out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
		if err != nil {
			t.Errorf("openssl %v: %v\n%s", args, err, out)
		}
	}
}

// webServer shows the challenge files that the suite publishes.
type webServer struct {
	mu    sync.Mutex
	files map[string]string // by host and path
}

func (w *webServer) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	host, _, err := net.SplitHostPort(in.Host)
	if err != nil {
		host = in.Host
	}
	body, ok := w.files[host+in.URL.Path]
	if !ok {
		http.NotFound(out, in)
		return
	}
	_, _ = out.Write([]byte(body))
}

func (w *webServer) publish(_ context.Context, c pluginapi.Challenge) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := c.HTTP.Host + c.HTTP.Path
	w.files[name] = c.HTTP.Body
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.files, name)
	}, nil
}

func startWeb(t *testing.T) (*webServer, int) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &webServer{files: make(map[string]string)}
	server := &http.Server{Handler: web}
	go server.Serve(listener)
	t.Cleanup(func() { _ = server.Close() })
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return web, n
}

func TestConformanceWithHTTPChallenge(t *testing.T) {
	t.Parallel()
	web, port := startWeb(t)
	o := options(t, map[string]any{"challenge": "http", "resolve_to": "127.0.0.1", "http_port": port})
	o.Publish = web.publish
	for _, c := range plugintest.Test(t, o).Checks {
		if c.Result == plugintest.Skip {
			t.Errorf("%s was skipped: %s", c.Name, c.Words)
		}
	}
}
