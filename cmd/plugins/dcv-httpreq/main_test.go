package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
	"github.com/certbridge/certbridged/test/dcvplugins"
)

// asPlugin in the environment makes the test binary the plugin itself.
const asPlugin = "DCV_HTTPREQ_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// service is an endpoint that keeps what it is told to publish.
type service struct {
	mu        sync.Mutex
	published map[message]bool
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m message
	in := json.NewDecoder(r.Body)
	in.DisallowUnknownFields()
	if name, password, _ := r.BasicAuth(); name != "web1" || password != "correct horse" {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if err := in.Decode(&m); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, fmt.Sprint("bad request: ", err), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.URL.Path {
	case "/v1/publish":
		s.published[m] = true
	case "/v1/withdraw":
		delete(s.published, m)
	default:
		http.NotFound(w, r)
	}
}

// writeRoot writes the certificate of a TLS server as a file of roots.
func writeRoot(t *testing.T, server *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "root.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func challenges() []pluginapi.Challenge {
	record := func(id, name string, kind pluginapi.RecordType, value string) pluginapi.Challenge {
		return pluginapi.Challenge{ID: id, Identifier: "shop.example.com", DNS: &pluginapi.DNSRecord{Name: name, Type: kind, Value: value}}
	}
	return []pluginapi.Challenge{
		record("1", "_dnsauth.shop.example.com", pluginapi.TXT, `<one> & "two"`),
		record("2", "_dnsauth.shop.example.com", pluginapi.TXT, "two"),
		record("3", "_token.shop.example.com", pluginapi.CNAME, "dcv.ca.example"),
		{ID: "4", Identifier: "shop.example.com", HTTP: &pluginapi.HTTPFile{
			Host: "shop.example.com", Path: "/.well-known/pki-validation/fileauth.txt", Body: "body",
		}},
	}
}

func TestConformance(t *testing.T) {
	s := &service{published: map[message]bool{}}
	server := httptest.NewTLSServer(s)
	defer server.Close()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root := writeRoot(t, server)
	values := func(change map[string]any) map[string]any {
		v := map[string]any{"endpoint": server.URL + "/v1", "username": "web1", "ca_file": root, "publishes": []any{"txt", "cname", "file"}}
		for name, value := range change {
			v[name] = value
		}
		return v
	}
	secrets := map[string]pluginapi.Secret{"password": pluginapi.NewSecret("correct horse")}
	bad := func(change map[string]any) pluginapi.Settings {
		return pluginapi.Settings{Values: values(change), Secrets: secrets}
	}
	report := plugintest.Test(t, plugintest.Options{
		Path: path, Env: []string{asPlugin + "=1"},
		Settings: pluginapi.Settings{Values: values(nil), Secrets: secrets},
		BadSettings: []pluginapi.Settings{
			bad(map[string]any{"endpoint": "ftp://example.com"}),
			bad(map[string]any{"endpoint": "https://"}),
			bad(map[string]any{"endpoint": "https://%"}),
			bad(map[string]any{"endpoint": "https://me:pass@example.com"}),
			bad(map[string]any{"endpoint": "https://example.com/#x"}),
			bad(map[string]any{"username": ""}),
			bad(map[string]any{"username": "a:b"}),
			bad(map[string]any{"ca_file": path}),
			bad(map[string]any{"ca_file": "/nowhere"}),
			bad(map[string]any{"publishes": []any{}}),
			bad(map[string]any{"publishes": []any{"mail"}}),
			bad(map[string]any{"timeout": "0s"}),
			{Values: values(nil)},
			{Values: values(nil), Secrets: map[string]pluginapi.Secret{"password": pluginapi.NewSecret("x"), "bearer_token": pluginapi.NewSecret("y")}},
			{Values: map[string]any{"endpoint": server.URL}, Secrets: map[string]pluginapi.Secret{"bearer_token": pluginapi.NewSecret("y z")}},
		},
		Challenges: challenges(),
		Published: func(_ context.Context, c pluginapi.Challenge) (bool, error) {
			m, err := messageOf(c)
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.published[m], err
		},
	})
	for _, c := range report.Checks {
		if c.Result == plugintest.Skip {
			t.Errorf("%s was skipped: %s", c.Name, c.Words)
		}
	}
}

func TestDocumented(t *testing.T) { dcvplugins.Documented(t, "httpreq", schema()) }
