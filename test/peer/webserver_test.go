package peer

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"testing"
	"time"
)

func TestWebServersReload(t *testing.T) {
	servers := map[string]struct {
		start func(testing.TB, string) *WebServer
		conf  string // with a port and a body
	}{
		"nginx": {Nginx, `server { listen 127.0.0.1:%d; location / { return 200 "%s"; } }`},
		"haproxy": {HAProxy, `
defaults
  mode http
  timeout client 10s
frontend web
  bind 127.0.0.1:%d
  http-request return status 200 content-type text/plain string "%s"`},
	}
	for name, server := range servers {
		t.Run(name, func(t *testing.T) {
			port := FreePort(t)
			s := server.start(t, fmt.Sprintf(server.conf, port, "old"))
			if got := fetch(t, port); got != "old" {
				t.Fatalf("served %q before the reload", got)
			}
			s.Configure(t, fmt.Sprintf(server.conf, port, "new"))
			run(t, s.Check)
			run(t, s.Reload)
			deadline := time.Now().Add(startTimeout)
			for fetch(t, port) != "new" {
				if time.Now().After(deadline) {
					t.Fatalf("still the old configuration after the reload\n%s", s.Log())
				}
			}
			s.Configure(t, "nonsense")
			if out, err := exec.Command(s.Check[0], s.Check[1:]...).CombinedOutput(); err == nil {
				t.Errorf("a broken configuration passes the check:\n%s", out)
			}
			s.Stop(t)
		})
	}
}

func run(t *testing.T, argv []string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
}

func fetch(t *testing.T, port int) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + loopback(port))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
