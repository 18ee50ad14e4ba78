package dcv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestResponderListensWhileSomethingIsPublished(t *testing.T) {
	address := freeAddress(t)
	s := newSolver(t, Options{ListenHTTP: address})
	a, b := httpChallenge("a.example.com", token, "body a"), httpChallenge("b.example.com", token, "body b")
	for range 3 { // and again
		if listens(address) {
			t.Fatal("listens before anything is published")
		}
		ra, rb := mustPublish(t, s, BuiltIn, a), mustPublish(t, s, BuiltIn, b)
		mustPublish(t, s, BuiltIn, a) // a repetition changes nothing
		if got := get(t, address, "a.example.com", token); got != "200 body a" {
			t.Errorf("a: %q", got)
		}
		if got := get(t, address, "b.example.com", token); got != "200 body b" {
			t.Errorf("b: %q", got)
		}
		mustWithdraw(t, s, BuiltIn, a, ra)
		mustWithdraw(t, s, BuiltIn, a, ra)
		if got := get(t, address, "a.example.com", token); got != "404 not found\n" {
			t.Errorf("a after its withdrawal: %q", got)
		}
		mustWithdraw(t, s, BuiltIn, b, rb)
		if listens(address) {
			t.Fatal("listens after everything is withdrawn")
		}
	}
	if len(s.published) != 0 {
		t.Errorf("%d publications are still remembered", len(s.published))
	}
}

func TestResponderAnswersOnlyWhatIsPublished(t *testing.T) {
	const fileauth = "/.well-known/pki-validation/fileauth.txt"
	address := freeAddress(t)
	s := newSolver(t, Options{ListenHTTP: address})
	mustPublish(t, s, BuiltIn, httpChallenge("Shop.Example.com", token, "acme"))
	mustPublish(t, s, BuiltIn, httpChallenge("shop.example.com", fileauth, "commercial"))
	mustPublish(t, s, BuiltIn, httpChallenge("2001:db8::1", token, "six"))
	mustPublish(t, s, BuiltIn, httpChallenge("192.0.2.1", token, "four"))
	cases := map[string]struct {
		method, host, path string
		status             int
		body               string
	}{
		"the file":                  {"GET", "shop.example.com", token, 200, "acme"},
		"other capitals":            {"GET", "SHOP.example.COM", token, 200, "acme"},
		"with a port":               {"GET", "shop.example.com:80", token, 200, "acme"},
		"with a dot at the end":     {"GET", "shop.example.com.", token, 200, "acme"},
		"a commercial CA's path":    {"GET", "shop.example.com", fileauth, 200, "commercial"},
		"with a query":              {"GET", "shop.example.com", fileauth + "?x=y", 200, "commercial"},
		"IPv6":                      {"GET", "[2001:DB8:0::1]", token, 200, "six"},
		"IPv6 with a port":          {"GET", "[2001:db8::1]:80", token, 200, "six"},
		"IPv4":                      {"GET", "192.0.2.1", token, 200, "four"},
		"HEAD":                      {"HEAD", "shop.example.com", token, 200, ""},
		"POST":                      {"POST", "shop.example.com", token, 405, ""},
		"POST to nothing":           {"POST", "shop.example.com", "/", 404, "not found\n"},
		"another host":              {"GET", "www.example.com", token, 404, "not found\n"},
		"the path of another host":  {"GET", "192.0.2.1", fileauth, 404, "not found\n"},
		"longer path":               {"GET", "shop.example.com", token + "/", 404, "not found\n"},
		"a folder":                  {"GET", "shop.example.com", "/.well-known/acme-challenge/", 404, "not found\n"},
		"the root":                  {"GET", "shop.example.com", "/", 404, "not found\n"},
		"dots are no way around":    {"GET", "shop.example.com", "/x/.." + token, 404, "not found\n"},
		"two slashes are not one":   {"GET", "shop.example.com", "/" + token, 404, "not found\n"},
		"encoded letters are equal": {"GET", "shop.example.com", strings.Replace(token, "well", "%77ell", 1), 200, "acme"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			status, body, header := request(t, c.method, address, c.host, c.path)
			if status != c.status || body != c.body {
				t.Errorf("%d %q, want %d %q", status, body, c.status, c.body)
			}
			if header.Get("Content-Type") != "text/plain" || header.Get("Server") != "" {
				t.Errorf("headers %v", header)
			}
			if c.status == http.StatusOK && header.Get("Content-Length") == "0" {
				t.Error("the length is missing")
			}
		})
	}
}

func TestResponderRefusesOversizedHeaders(t *testing.T) {
	address := freeAddress(t)
	s := newSolver(t, Options{ListenHTTP: address})
	mustPublish(t, s, BuiltIn, httpChallenge("a.example.com", token, "body"))
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: a.example.com\r\nX: %s\r\n\r\n", strings.Repeat("x", 4*maxHeader))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %s", resp.Status)
	}
}

func TestResponderKeepsTwoOrdersForOnePlaceApart(t *testing.T) {
	address := freeAddress(t)
	s := newSolver(t, Options{ListenHTTP: address})
	first := httpChallenge("a.example.com", token, "first")
	second := httpChallenge("A.example.com", token, "second")
	mustPublish(t, s, BuiltIn, first)
	_, err := s.Publish(t.Context(), BuiltIn, second, nil)
	wantError(t, err, pluginapi.Unavailable, `dcv profile "http": publish http (http://a.example.com/.well-known/`, "one file can be at /.well-known/", "that for a.example.com has its turn")
	if !errors.Is(err, ErrTurn) {
		t.Errorf("%v is no ErrTurn", err)
	}
	mustWithdraw(t, s, BuiltIn, second, nil) // what was refused takes nothing away
	if got := get(t, address, "a.example.com", token); got != "200 first" {
		t.Errorf("%q", got)
	}
	mustWithdraw(t, s, BuiltIn, first, nil)
	mustPublish(t, s, BuiltIn, second)
}

func TestResponderRefusesBadChallenges(t *testing.T) {
	address := freeAddress(t)
	s := newSolver(t, Options{ListenHTTP: address})
	for name, c := range map[string]pluginapi.Challenge{
		"dns":              dnsChallenge(pluginapi.TXT, "_acme-challenge.example.com", true),
		"not well-known":   httpChallenge("a.example.com", "/index.html", "x"),
		"up":               httpChallenge("a.example.com", "/.well-known/../index.html", "x"),
		"no host":          httpChallenge("", token, "x"),
		"host with a path": httpChallenge("a.example.com/x", token, "x"),
		"too large":        httpChallenge("a.example.com", token, strings.Repeat("x", maxBody+1)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Publish(t.Context(), BuiltIn, c, nil)
			wantError(t, err, pluginapi.InvalidRequest)
			mustWithdraw(t, s, BuiltIn, c, nil)
		})
	}
	if listens(address) {
		t.Error("listens for a refused challenge")
	}
}

func TestResponderNamesTheWayOutWhenThePortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newSolver(t, Options{ListenHTTP: l.Addr().String()})
	c := httpChallenge("a.example.com", token, "body")
	_, err = s.Publish(t.Context(), BuiltIn, c, nil)
	wantError(t, err, pluginapi.Unavailable, l.Addr().String(), "in use", "webroot", "http_challenge_listen", "address already in use")
	_ = l.Close()
	mustPublish(t, s, BuiltIn, c) // the next attempt works
}

func TestResponderWithoutTheRightToListen(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("SKIP: root may listen everywhere")
	}
	s := newSolver(t, Options{ListenHTTP: "127.0.0.1:80"})
	_, err := s.Publish(t.Context(), BuiltIn, httpChallenge("a.example.com", token, "body"), nil)
	wantError(t, err, pluginapi.Unavailable, "127.0.0.1:80")
}

func TestResponderOnAHandedOverSocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	s := newSolver(t, Options{Listener: l})
	if got := get(t, address, "a.example.com", token); got != "404 not found\n" {
		t.Errorf("before: %q", got)
	}
	c := httpChallenge("a.example.com", token, "body")
	mustPublish(t, s, BuiltIn, c)
	if got := get(t, address, "a.example.com", token); got != "200 body" {
		t.Errorf("published: %q", got)
	}
	mustWithdraw(t, s, BuiltIn, c, nil)
	if got := get(t, address, "a.example.com", token); got != "404 not found\n" {
		t.Errorf("after: %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Publish(t.Context(), BuiltIn, c, nil)
	wantError(t, err, pluginapi.Unavailable, "closed")
}

// The last withdrawal must not cut off who is just fetching.
func TestResponderFinishesRequestsInFlight(t *testing.T) {
	address := freeAddress(t)
	at := &atMessage{message: "http challenge fetched", reached: make(chan struct{}), goOn: make(chan struct{})}
	s := newSolver(t, Options{ListenHTTP: address, Logger: slog.New(at)})
	c := httpChallenge("a.example.com", token, "body")
	mustPublish(t, s, BuiltIn, c)
	answer := make(chan string)
	go func() { answer <- get(t, address, "a.example.com", token) }()
	<-at.reached
	mustWithdraw(t, s, BuiltIn, c, nil)
	if listens(address) {
		t.Error("still listens")
	}
	close(at.goOn)
	if got := <-answer; got != "200 body" {
		t.Errorf("the request in flight got %q", got)
	}
}

// atMessage is a log that stops who writes a message to it.
type atMessage struct {
	message       string
	reached, goOn chan struct{}
}

func (a *atMessage) Enabled(context.Context, slog.Level) bool { return true }
func (a *atMessage) WithAttrs([]slog.Attr) slog.Handler       { return a }
func (a *atMessage) WithGroup(string) slog.Handler            { return a }

func (a *atMessage) Handle(_ context.Context, r slog.Record) error {
	if r.Message == a.message {
		close(a.reached)
		<-a.goOn
	}
	return nil
}

func TestResponderUnderConcurrentOrders(t *testing.T) {
	address := freeAddress(t)
	s := newSolver(t, Options{ListenHTTP: address})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			host := fmt.Sprintf("h%d.example.com", i)
			c := httpChallenge(host, token, host)
			for range 10 {
				receipt, err := s.Publish(context.WithoutCancel(t.Context()), BuiltIn, c, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.AwaitVisible(t.Context(), BuiltIn, c); err != nil {
					t.Error(err)
				}
				if err := s.Withdraw(t.Context(), BuiltIn, c, receipt); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if listens(address) {
		t.Error("listens after everything is withdrawn")
	}
}
