package dcv

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	legolog "github.com/go-acme/lego/v4/log"
	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

func TestMain(m *testing.M) {
	legolog.Logger = log.New(io.Discard, "", 0) // Pebble's log says what matters
	goleak.VerifyTestMain(m)
}

const token = "/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"

// httpChallenge is an ACME challenge whose id is made of its parts.
func httpChallenge(host, path, body string) pluginapi.Challenge {
	return pluginapi.Challenge{
		ID:         host + path,
		Identifier: host,
		HTTP:       &pluginapi.HTTPFile{Host: host, Path: path, Body: body},
		ACME:       &pluginapi.KeyAuthorization{Token: path, KeyAuthorization: body},
	}
}

func dnsChallenge(kind pluginapi.RecordType, name string, acme bool) pluginapi.Challenge {
	c := pluginapi.Challenge{ID: name, Identifier: "example.com", DNS: &pluginapi.DNSRecord{Name: name, Type: kind, Value: "v"}}
	if acme {
		c.ACME = &pluginapi.KeyAuthorization{Token: "t", KeyAuthorization: "t.k"}
	}
	return c
}

func newSolver(t *testing.T, opts Options) *Solver {
	t.Helper()
	if opts.SelfCheck == 0 && opts.Dial == nil {
		opts.SelfCheck = -1 // no test looks up names in the real DNS
	}
	if opts.DialDNS == nil {
		opts.DialDNS = newInternet(map[string]*fakeServer{resolverIP: {resolver: true}}).dial
		opts.DNS.Propagation = None
	}
	if opts.DNS.Resolvers == nil {
		opts.DNS.Resolvers = []string{resolverIP + ":53"}
	}
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// noDNS are settings under which no record is looked at.
var noDNS = DNS{Resolvers: []string{resolverIP + ":53"}, Propagation: None}

func freeAddress(t *testing.T) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(peer.FreePort(t)))
}

// loopbackDial keeps the real network out of tests that talk to real servers.
func loopbackDial(ctx context.Context, network, address string) (net.Conn, error) {
	if host, _, err := net.SplitHostPort(address); err != nil || !net.ParseIP(host).IsLoopback() {
		return nil, fmt.Errorf("dial %s: not of this machine", address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// toAddress dials one address whatever is asked for.
func toAddress(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
}

func mustPublish(t *testing.T, s *Solver, profile string, c pluginapi.Challenge) []byte {
	t.Helper()
	receipt, err := s.Publish(t.Context(), profile, c, nil)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return receipt
}

func mustWithdraw(t *testing.T, s *Solver, profile string, c pluginapi.Challenge, receipt []byte) {
	t.Helper()
	if err := s.Withdraw(t.Context(), profile, c, receipt); err != nil {
		t.Fatalf("withdraw: %v", err)
	}
}

func wantError(t *testing.T, err error, kind pluginapi.ErrorKind, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if got := pluginapi.KindOf(err); got != kind {
		t.Errorf("error %v of kind %s, want %s", err, got, kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

// request makes one HTTP request to an address, follows no redirect, and returns status, body and headers.
func request(t *testing.T, method, address, host, path string) (int, string, http.Header) {
	t.Helper()
	client := &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{DialContext: toAddress(address), DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func get(t *testing.T, address, host, path string) string {
	t.Helper()
	status, body, _ := request(t, http.MethodGet, address, host, path)
	return strconv.Itoa(status) + " " + body
}

func listens(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}
