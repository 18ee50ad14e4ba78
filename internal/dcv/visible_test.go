package dcv

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

func TestAwaitVisible(t *testing.T) {
	c := httpChallenge("shop.example.com", token, "body")
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Host != "shop.example.com" || r.URL.Path != token {
				t.Errorf("asked for %s%s", r.Host, r.URL.Path)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	late := 0
	cases := map[string]struct {
		handler http.HandlerFunc
		err     string // "" means visible
	}{
		"visible":           {handler: answer(200, "body")},
		"with an empty end": {handler: answer(200, "body\r\n")},
		"after a while": {handler: func(w http.ResponseWriter, r *http.Request) {
			if late++; late < 3 {
				http.NotFound(w, r)
				return
			}
			answer(200, "body")(w, r)
		}},
		"another body":     {handler: answer(200, "welcome"), err: "http://shop.example.com" + token + " answers something else"},
		"not found":        {handler: answer(404, ""), err: "answers 404 Not Found"},
		"a broken gateway": {handler: answer(502, ""), err: "answers 502 Bad Gateway, and the CA will see the same"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tc.handler)
			defer server.Close()
			s := newSolver(t, Options{
				Profiles:  []Profile{{Name: "web", Webroot: t.TempDir()}},
				Dial:      toAddress(strings.TrimPrefix(server.URL, "http://")),
				SelfCheck: 2 * time.Second,
			})
			mustPublish(t, s, "web", c)
			err := s.AwaitVisible(t.Context(), "web", c)
			if tc.err == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, pluginapi.Unavailable, `dcv profile "web": the challenge cannot be seen: `, tc.err)
		})
	}
}

// A CA follows a redirect to https and trusts whatever certificate is there; so does the look.
func TestAwaitVisibleFollowsRedirects(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("body")) }))
	defer secure.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, secure.URL+r.URL.Path, http.StatusMovedPermanently)
	}))
	defer plain.Close()
	s := newSolver(t, Options{
		Profiles:  []Profile{{Name: "web", Webroot: t.TempDir()}},
		SelfCheck: 700 * time.Millisecond,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "shop.example.com:80" {
				address = strings.TrimPrefix(plain.URL, "http://")
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	})
	if err := s.AwaitVisible(t.Context(), "web", httpChallenge("shop.example.com", token, "body")); err != nil {
		t.Error(err)
	}
	err := s.AwaitVisible(t.Context(), "web", httpChallenge("shop.example.com", token, "other"))
	wantError(t, err, pluginapi.Unavailable, secure.URL+token)
}

func TestAwaitVisibleWhereNothingAnswers(t *testing.T) {
	address := freeAddress(t)
	dialed := 0
	s := newSolver(t, Options{
		ListenHTTP: address,
		Profiles:   []Profile{{Name: "web", Webroot: t.TempDir()}},
		Dial: func(context.Context, string, string) (net.Conn, error) {
			dialed++
			return nil, errors.New("no route to host")
		},
	})
	c := httpChallenge("shop.example.com", token, "body")
	if err := s.AwaitVisible(t.Context(), "web", c); err != nil || dialed != 1 {
		t.Errorf("%v after %d attempts", err, dialed)
	}
	// The responder's own listener is asked in any case.
	wantError(t, s.AwaitVisible(t.Context(), BuiltIn, c), pluginapi.Unavailable, "does not listen on "+address)
	mustPublish(t, s, BuiltIn, c)
	if err := s.AwaitVisible(t.Context(), BuiltIn, c); err != nil {
		t.Error(err)
	}
	other := httpChallenge("www.example.com", token, "body")
	wantError(t, s.AwaitVisible(t.Context(), BuiltIn, other), pluginapi.Unavailable, "the shared responder at "+address, "404")
	_, err := s.Publish(t.Context(), "nosuch", c, nil)
	wantError(t, err, pluginapi.InvalidRequest)
}

func TestAwaitVisibleOnAllAddresses(t *testing.T) {
	for _, host := range []string{"", "0.0.0.0"} {
		s := newSolver(t, Options{ListenHTTP: net.JoinHostPort(host, strconv.Itoa(peer.FreePort(t)))})
		c := httpChallenge("shop.example.com", token, "body")
		mustPublish(t, s, BuiltIn, c)
		if err := s.AwaitVisible(t.Context(), BuiltIn, c); err != nil {
			t.Errorf("listening on %q: %v", host, err)
		}
	}
}

func TestAwaitVisibleEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{}, 1)
	s := newSolver(t, Options{
		Profiles: []Profile{{Name: "web", Webroot: t.TempDir()}},
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			asked <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	result := make(chan error)
	go func() { result <- s.AwaitVisible(ctx, "web", httpChallenge("shop.example.com", token, "body")) }()
	<-asked
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context canceled", err)
	}
}

// Inside a network a name may lead to another server than outside: that must not keep a certificate from renewal.
func TestAwaitVisibleLeavesItToTheCAInTheEnd(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	var log bytes.Buffer
	s := newSolver(t, Options{
		Profiles:  []Profile{{Name: "web", Webroot: t.TempDir()}},
		Logger:    slog.New(slog.NewTextHandler(&log, nil)),
		Dial:      toAddress(strings.TrimPrefix(server.URL, "http://")),
		SelfCheck: 600 * time.Millisecond,
	})
	c := httpChallenge("shop.example.com", token, "body")
	for round := range 2 {
		mustPublish(t, s, "web", c)
		for range patience {
			wantError(t, s.AwaitVisible(t.Context(), "web", c), pluginapi.Unavailable, "404 Not Found")
		}
		if err := s.AwaitVisible(t.Context(), "web", c); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		mustWithdraw(t, s, "web", c, nil)
	}
	if n := strings.Count(log.String(), "going on"); n != 2 {
		t.Errorf("%d warnings, want 2:\n%s", n, &log)
	}
}
