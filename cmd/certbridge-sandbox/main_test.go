package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"help":                {[]string{"digicert", "--help"}, exitOK, `plugin = "digicert"`},
		"unknown flag":        {[]string{"digicert", "--lisen", "x"}, exitUsage, "--lisen"},
		"ServerTastic":        {[]string{"servertastic", "--help"}, exitOK, `plugin = "servertastic"`},
		"no points":           {[]string{"servertastic", "--listen", "127.0.0.1:0", "--points", "0"}, exitFailed, "--points"},
		"negative lag":        {[]string{"servertastic", "--listen", "127.0.0.1:0", "--sync-lag", "-1s"}, exitFailed, "delays are not negative"},
		"unknown command":     {[]string{"digisert"}, exitUsage, "digisert"},
		"no address":          {[]string{"digicert", "--listen", "8443"}, exitFailed, "is no address:port"},
		"reached by others":   {[]string{"digicert", "--listen", "0.0.0.0:0"}, exitFailed, "--listen-anywhere"},
		"resolver by name":    {[]string{"digicert", "--resolver", "localhost"}, exitFailed, "resolver"},
		"unknown approval":    {[]string{"digicert", "--listen", "127.0.0.1:0", "--approval", "maybe"}, exitFailed, "approval"},
		"no day":              {[]string{"digicert", "--listen", "127.0.0.1:0", "--day", "0s"}, exitFailed, "--day"},
		"folder that is file": {[]string{"digicert", "--listen", "127.0.0.1:0", "--dir", "/dev/null"}, exitFailed, "/dev/null"},
	} {
		var out bytes.Buffer
		if code := execute(t.Context(), c.args, &out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit code %d: %s", name, code, out.String())
		}
	}
}

// started runs the program until the test ends, and returns what it printed first.
func started(t *testing.T, ca string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan int, 1)
	var errs bytes.Buffer
	go func() {
		code := execute(ctx, append([]string{ca, "--listen", "127.0.0.1:0"}, args...), w, &errs)
		w.Close()
		done <- code
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != exitOK {
			t.Errorf("exit code %d: %s", code, errs.String())
		}
		r.Close()
	})
	var text strings.Builder
	for s := bufio.NewScanner(r); s.Scan(); {
		text.WriteString(s.Text() + "\n")
		last := "What was bought"
		if strings.Contains(strings.Join(args, " "), "--tls") {
			last = "its own root"
		}
		if strings.Contains(s.Text(), last) {
			break
		}
	}
	return text.String()
}

// What is printed at the start is a configuration that works.
func TestStartAndUse(t *testing.T) {
	dir := t.TempDir()
	said := started(t, "digicert", "--dir", dir, "--tls", "--watch", "10ms")
	if !strings.Contains(said, "worth nothing") {
		t.Error("no warning")
	}
	settings := account(t, said).Settings
	roots, err := os.ReadFile(filepath.Join(dir, "roots.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, settings.Values["base_url"].(string)+"/user/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-DC-DEVKEY", settings.Secret("api_key").Reveal())
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var me struct {
		ID int64 `json:"id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&me); err != nil || resp.StatusCode != http.StatusOK || me.ID == 0 {
		t.Errorf("status %d, %+v, %v", resp.StatusCode, me, err)
	}
}

func TestKeyIsTaken(t *testing.T) {
	said := started(t, "digicert", "--api-key", "MYKEY", "--watch", "0")
	if key := account(t, said).Settings.Secret("api_key"); key.Reveal() != "MYKEY" || !strings.Contains(said, "/_sandbox/requests") {
		t.Errorf("said %s", said)
	}
}

// What is printed at the start is a configuration that works.
func TestServerTasticStartAndUse(t *testing.T) {
	said := started(t, "servertastic", "--api-key", "MYKEY", "--points", "7", "--watch", "10ms")
	settings := account(t, said).Settings
	address, key := settings.Values["base_url"].(string), settings.Secret("api_key")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/account/review.json?api_key="+key.Reveal(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var account struct {
		Points int64 `json:"purchased_points"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&account); err != nil || account.Points != 7 || key.Reveal() != "MYKEY" {
		t.Errorf("status %d, %+v, %v", resp.StatusCode, account, err)
	}
}
