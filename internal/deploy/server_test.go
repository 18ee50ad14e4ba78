package deploy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/test/peer"
)

// realServer is a real web server in front of a slow backend, with a certificate file of ours.
type realServer struct {
	*peer.WebServer
	conf    string
	address string
	file    string
	served  tls.Certificate
	ca      *authority
	arrived chan struct{} // a request is at the backend
	release chan struct{} // lets it go on
}

var realServers = map[string]struct {
	start func(testing.TB, string) *peer.WebServer
	conf  string // port, certificate file, backend
}{
	"nginx": {peer.Nginx, `
server {
  listen 127.0.0.1:%[1]d ssl;
  server_name shop.example.com;
  ssl_certificate %[2]s;
  ssl_certificate_key %[2]s;
  location / { proxy_pass http://%[3]s; }
}`},
	"haproxy": {peer.HAProxy, `
defaults
  mode http
  timeout client 30s
  timeout connect 5s
  timeout server 30s
frontend web
  bind 127.0.0.1:%[1]d ssl crt %[2]s
  default_backend slow
backend slow
  server one %[3]s`},
}

func startReal(t *testing.T, name string) *realServer {
	t.Helper()
	s := &realServer{
		file:    filepath.Join(t.TempDir(), "shop.pem"),
		ca:      newAuthority(t),
		arrived: make(chan struct{}, 1),
		release: make(chan struct{}),
	}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.arrived <- struct{}{}
		<-s.release
		_, _ = io.WriteString(w, "finished")
	}))
	t.Cleanup(backend.Close)
	s.served = s.ca.issue(t, newKey(t))
	store(t, s.file, s.served)
	port := peer.FreePort(t)
	s.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.conf = fmt.Sprintf(realServers[name].conf, port, s.file, strings.TrimPrefix(backend.URL, "http://"))
	s.WebServer = realServers[name].start(t, s.conf)
	return s
}

func (s *realServer) plan() Plan {
	return Plan{
		Certificate: "shop",
		Domains:     []string{"shop.example.com"},
		Check:       s.Check,
		Reload:      s.Reload,
		Verify:      []Target{{Address: s.address}},
		Timeout:     20 * time.Second,
	}
}

// verifyServed fails the test unless the server serves c.
func (s *realServer) verifyServed(t *testing.T, c tls.Certificate) {
	t.Helper()
	if got := new(Runner).Verify(t.Context(), s.plan(), c.Leaf); got.Err != nil {
		t.Fatalf("%v\n%s", got.Err, s.Log())
	}
}

func forEachServer(t *testing.T, test func(t *testing.T, s *realServer)) {
	for name := range realServers {
		t.Run(name, func(t *testing.T) { test(t, startReal(t, name)) })
	}
}

func TestReloadOfRealServersKeepsOpenConnections(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, s *realServer) {
		s.verifyServed(t, s.served)
		client := &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, ServerName: "shop.example.com"},
		}}
		answer := make(chan string, 1)
		go func() {
			resp, err := client.Get("https://" + s.address)
			if err != nil {
				answer <- err.Error()
				return
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			answer <- fmt.Sprintf("%s %s %s %v", resp.Status, resp.TLS.PeerCertificates[0].SerialNumber, body, err)
		}()
		<-s.arrived

		fresh := s.ca.issue(t, newKey(t))
		store(t, s.file, fresh)
		got := new(Runner).Run(t.Context(), s.plan(), fresh.Leaf)
		if got.Err != nil || got.Stage != StageVerify {
			t.Fatalf("stage %s: %v\n%s\n%s", got.Stage, got.Err, got.Output, s.Log())
		}
		if got.Served[0].Leaf.Serial != fresh.Leaf.SerialNumber.Text(16) || got.Served[0].Warnings != nil {
			t.Errorf("served %+v", got.Served[0])
		}
		close(s.release)
		if got, want := <-answer, fmt.Sprintf("200 OK %s finished <nil>", s.served.Leaf.SerialNumber); got != want {
			t.Errorf("request in flight during the reload: %q, want %q", got, want)
		}
	})
}

func TestBrokenConfigurationFailsTheCheckAndChangesNothing(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, s *realServer) {
		s.Configure(t, strings.Replace(s.conf, "127.0.0.1", "no such thing", 1))
		got := new(Runner).Run(t.Context(), s.plan(), s.ca.issue(t, newKey(t)).Leaf)
		var failure *CommandError
		if got.Stage != StageCheck || !errors.As(got.Err, &failure) || got.ExitCode != 1 {
			t.Errorf("stage %s, exit code %d, error %v", got.Stage, got.ExitCode, got.Err)
		}
		if !strings.Contains(got.Output, filepath.Base(s.ConfigFile)) {
			t.Errorf("the output does not name the file: %q", got.Output)
		}
		s.verifyServed(t, s.served)
	})
}

func TestReloadWithoutEffectFailsTheVerification(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, s *realServer) {
		fresh := s.ca.issue(t, newKey(t))
		store(t, s.file, fresh)
		plan := s.plan()
		plan.Reload, plan.Timeout = []string{"true"}, 2*time.Second
		got := new(Runner).Run(t.Context(), plan, fresh.Leaf)
		var mismatch *MismatchError
		if got.Stage != StageVerify || !errors.As(got.Err, &mismatch) || mismatch.Served.Serial != s.served.Leaf.SerialNumber.Text(16) {
			t.Errorf("stage %s: %v", got.Stage, got.Err)
		}
	})
}

// A reload that the server cannot carry out leaves the old workers serving: that is what verification must see.
func TestServerThatRefusesTheNewFileFailsTheVerification(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, s *realServer) {
		fresh := s.ca.issue(t, newKey(t))
		wrong := tls.Certificate{Certificate: fresh.Certificate, PrivateKey: newKey(t)}
		store(t, s.file, wrong)
		plan := s.plan()
		if got := new(Runner).Check(t.Context(), plan); got.Err == nil {
			t.Errorf("the check passes with the wrong key:\n%s", got.Output)
		}
		plan.Check, plan.Timeout = nil, 2*time.Second
		got := new(Runner).Run(t.Context(), plan, fresh.Leaf)
		if got.Err == nil {
			t.Fatalf("deployed a certificate with the wrong key: %+v", got)
		}
		// Back to the old set, as the caller does it.
		store(t, s.file, s.served)
		if got := new(Runner).Run(t.Context(), s.plan(), s.served.Leaf); got.Err != nil {
			t.Errorf("back to the old set: %v\n%s\n%s", got.Err, got.Output, s.Log())
		}
	})
}
