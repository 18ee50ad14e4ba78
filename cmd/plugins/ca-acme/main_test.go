package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
	"github.com/certbridge/certbridged/test/peer"
)

// asPlugin in the environment makes the test binary the plugin itself.
const asPlugin = "CA_ACME_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestConformance runs the plugin as a process of its own against a real Pebble that wants accounts bound.
func TestConformance(t *testing.T) {
	const hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	pebble := peer.Pebble(t, peer.PebbleOptions{EAB: map[string]string{"kid-1": hmac}, EABRequired: true})
	responder := newResponder(t, pebble.HTTPPort)
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	report := plugintest.Test(t, plugintest.Options{
		Path: path, Env: []string{asPlugin + "=1"},
		Settings: pluginapi.Settings{
			Values: map[string]any{
				"directory_url": pebble.DirectoryURL, "root_ca_file": pebble.RootFile,
				"terms_of_service_agreed": true, "eab_kid": "kid-1",
			},
			Secrets: map[string]pluginapi.Secret{"eab_hmac_key": pluginapi.NewSecret(hmac)},
		},
		OrderSettings: pluginapi.Settings{Values: map[string]any{"profile": "shortlived"}},
		BadOrderSettings: []pluginapi.Settings{
			{Values: map[string]any{"lifetime": "1s"}},
			{Values: map[string]any{"lifetime": "240h", "not_after": "2190-01-31T00:00:00Z"}},
			{Values: map[string]any{"not_after": "2020-01-31T00:00:00Z"}},
		},
		Identifiers: []pluginapi.Identifier{
			{Value: "shop.example.com", Type: pluginapi.DNS},
			{Value: "127.0.0.1", Type: pluginapi.IP},
		},
		Publish: responder.publish,
	})
	skipped := map[string]bool{"find-order": true, "cancel": true, "inspect-order": true} // ACME has the first two not, and sells nothing
	for _, c := range report.Checks {
		if c.Result == plugintest.Skip && !skipped[c.Name] {
			t.Errorf("%s was skipped: %s", c.Name, c.Words)
		}
	}
}

// responder answers http-01.
type responder struct {
	mu    sync.Mutex
	files map[string]string
}

func newResponder(t *testing.T, port int) *responder {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	r := &responder{files: map[string]string{}}
	server := &http.Server{Handler: r}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	return r
}

func (r *responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = w.Write([]byte(r.files[req.URL.Path]))
}

func (r *responder) publish(_ context.Context, c pluginapi.Challenge) (func(), error) {
	if c.HTTP == nil {
		return nil, http.ErrNotSupported
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files[c.HTTP.Path] = c.HTTP.Body
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.files, c.HTTP.Path)
	}, nil
}
