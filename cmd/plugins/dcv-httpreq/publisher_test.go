package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// configured makes a publisher and returns what Configure warned of.
func configured(t *testing.T, values map[string]any, secrets map[string]string) (*publisher, []pluginapi.Finding) {
	t.Helper()
	s := pluginapi.Settings{Values: values, Secrets: map[string]pluginapi.Secret{}}
	for name, text := range secrets {
		s.Secrets[name] = pluginapi.NewSecret(text)
	}
	p := &publisher{version: "1.2", now: func() time.Time { return time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC) }}
	c, err := p.Configure(t.Context(), pluginapi.DCVProfile{Settings: s})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range c.Findings {
		if f.Severity == pluginapi.Fault {
			t.Fatalf("%s: %s", f.Field, f.Message)
		}
	}
	t.Cleanup(p.client.CloseIdleConnections)
	return p, c.Findings
}

func TestWhatIsSent(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.String() + " " + r.Header.Get("Authorization") + " " + r.Header.Get("User-Agent") + " " + string(body)
	}))
	defer server.Close()
	for name, c := range map[string]struct {
		endpoint  string
		user      string
		secrets   map[string]string
		challenge pluginapi.Challenge
		want      string
	}{
		"TXT": {"/v1/", "", map[string]string{"bearer_token": "tok"}, challenges()[1],
			`POST /v1/publish Bearer tok certbridged-dcv-httpreq/1.2 {"type":"TXT","identifier":"shop.example.com","name":"_dnsauth.shop.example.com","value":"two"}`},
		"CNAME with a query": {"?code=1", "me", map[string]string{"password": "x:y"}, challenges()[2],
			`POST /publish?code=1 Basic bWU6eDp5 certbridged-dcv-httpreq/1.2 {"type":"CNAME","identifier":"shop.example.com","name":"_token.shop.example.com","value":"dcv.ca.example"}`},
		"file": {"", "", nil, challenges()[3],
			`POST /publish  certbridged-dcv-httpreq/1.2 {"type":"HTTP","identifier":"shop.example.com","host":"shop.example.com","path":"/.well-known/pki-validation/fileauth.txt","body":"body"}`},
	} {
		t.Run(name, func(t *testing.T) {
			values := map[string]any{"endpoint": server.URL + c.endpoint}
			if c.user != "" {
				values["username"] = c.user
			}
			p, findings := configured(t, values, c.secrets)
			if len(findings) > 0 {
				t.Errorf("over loopback it warns of %v", findings)
			}
			if _, err := p.Publish(t.Context(), c.challenge); err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if err := p.Withdraw(t.Context(), c.challenge, nil); err != nil {
				t.Fatal(err)
			}
			if want := strings.Replace(c.want, "/publish", "/withdraw", 1); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	p, _ := configured(t, map[string]any{"endpoint": server.URL}, nil)
	if _, err := p.Publish(t.Context(), pluginapi.Challenge{Manual: &pluginapi.Manual{}}); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
		t.Errorf("a challenge that is no record: %v", err)
	}
}

func TestStatuses(t *testing.T) {
	for name, c := range map[string]struct {
		code       int
		header     [2]string
		body       string
		kind       pluginapi.ErrorKind
		retryAfter time.Duration
		words      string
	}{
		"200":                  {200, [2]string{}, "fine", 0, 0, ""},
		"204":                  {204, [2]string{}, "", 0, 0, ""},
		"redirect":             {308, [2]string{"Location", "https://elsewhere.example/publish"}, "", pluginapi.InvalidRequest, 0, "write where it leads: https://elsewhere.example/publish"},
		"redirect to https":    {301, [2]string{"Location", "https://dcv.example/publish?code=hush-hush"}, "", pluginapi.InvalidRequest, 0, "it leads: https://dcv.example/publish?code=[hidden]"},
		"a page with the key":  {422, [2]string{}, "no such code: hush-hush", pluginapi.InvalidRequest, 0, "no such code: [hidden]"},
		"400":                  {400, [2]string{}, "{\"error\":\n\t\"no such zone\"}\x1b", pluginapi.InvalidRequest, 0, `400 Bad Request: {"error": "no such zone"}`},
		"401":                  {401, [2]string{}, "", pluginapi.Unauthorized, 0, "look at the credentials"},
		"403":                  {403, [2]string{}, "not your name", pluginapi.Unauthorized, 0, "not your name"},
		"404":                  {404, [2]string{}, "", pluginapi.InvalidRequest, 0, "look at the endpoint's path"},
		"409":                  {409, [2]string{}, "a CNAME is there", pluginapi.Conflict, 0, "a CNAME is there"},
		"422":                  {422, [2]string{}, strings.Repeat("x", 5000), pluginapi.InvalidRequest, 0, ": xxx"},
		"429":                  {429, [2]string{"Retry-After", "90"}, "", pluginapi.RateLimited, 90 * time.Second, "429"},
		"429 without a time":   {429, [2]string{}, "", pluginapi.RateLimited, 0, "429"},
		"500":                  {500, [2]string{}, "", pluginapi.Unavailable, 0, "500"},
		"503 with a date":      {503, [2]string{"Retry-After", "Sun, 22 Nov 2026 06:05:00 GMT"}, "", pluginapi.Unavailable, 5 * time.Minute, "503"},
		"503 with a past date": {503, [2]string{"Retry-After", "Sun, 22 Nov 2026 05:05:00 GMT"}, "", pluginapi.Unavailable, 0, "503"},
		"503 for ever":         {503, [2]string{"Retry-After", "2000000000"}, "", pluginapi.Unavailable, mostRetryAfter, "503"},
		"503 with nonsense":    {503, [2]string{"Retry-After", "soon"}, "", pluginapi.Unavailable, 0, "503"},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				if c.header[0] != "" {
					w.Header().Set(c.header[0], c.header[1])
				}
				w.WriteHeader(c.code)
				_, _ = io.WriteString(w, c.body)
			}))
			defer server.Close()
			p, _ := configured(t, map[string]any{"endpoint": server.URL + "?code=hush-hush"}, nil)
			_, err := p.Publish(t.Context(), challenges()[0])
			if pluginapi.KindOf(err) != c.kind || (err != nil) != (c.kind != 0) {
				t.Fatalf("got %s: %v, want %s", pluginapi.KindOf(err), err, c.kind)
			}
			if calls.Load() != 1 {
				t.Errorf("it was sent %d times", calls.Load())
			}
			if err == nil {
				return
			}
			var e *pluginapi.Error
			if errors.As(err, &e); e.RetryAfter != c.retryAfter {
				t.Errorf("it says to wait %s, want %s", e.RetryAfter, c.retryAfter)
			}
			if text := err.Error(); !strings.Contains(text, c.words) || len(text) > mostWords+300 || strings.Contains(text, "hush-hush") {
				t.Errorf("got %q, want %q", text, c.words)
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // then the server sees when the client goes
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer silent.Close()
	defer close(release)
	unknown := httptest.NewUnstartedServer(http.NotFoundHandler())
	unknown.Config.ErrorLog = log.New(io.Discard, "", 0) // that a client hangs up is what is tested
	unknown.StartTLS()
	defer unknown.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, c := range map[string]struct{ endpoint, words string }{
		"silence":      {silent.URL, "does not answer within 1s"},
		"unknown CA":   {unknown.URL, "give that CA's root as ca_file"},
		"nobody there": {gone.URL, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := configured(t, map[string]any{"endpoint": c.endpoint + "/?code=hush-hush", "timeout": "1s"}, nil)
			_, err := p.Publish(t.Context(), challenges()[0])
			if pluginapi.KindOf(err) != pluginapi.Unavailable || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "hush-hush") {
				t.Errorf("got %s: %v, want %q", pluginapi.KindOf(err), err, c.words)
			}
		})
	}
	t.Run("the caller gives up", func(t *testing.T) {
		p, _ := configured(t, map[string]any{"endpoint": silent.URL}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if err := p.Withdraw(ctx, challenges()[0], nil); !errors.Is(err, context.Canceled) || pluginapi.KindOf(err) != pluginapi.Unavailable {
			t.Errorf("got %v", err)
		}
	})
}

func TestPlainHTTPIsWarnedOf(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint string
		secrets  map[string]string
		words    string
	}{
		"without credentials": {"http://dcv.example.com", nil, "unprotected"},
		"with credentials":    {"http://dcv.example.com", map[string]string{"bearer_token": "x"}, "credentials"},
		"https":               {"https://dcv.example.com", map[string]string{"bearer_token": "x"}, ""},
		"loopback":            {"http://[::1]:80", map[string]string{"bearer_token": "x"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, findings := configured(t, map[string]any{"endpoint": c.endpoint}, c.secrets)
			if c.words == "" {
				if len(findings) > 0 {
					t.Errorf("it warns of %v", findings)
				}
			} else if len(findings) != 1 || findings[0].Severity != pluginapi.Warning || !strings.Contains(findings[0].Message, c.words) {
				t.Errorf("it finds %v", findings)
			}
		})
	}
}

func FuzzReply(f *testing.F) {
	f.Add([]byte("no such zone\n"), "90")
	f.Add([]byte("\xff\x00\x1b[31m"), "Sun, 22 Nov 2026 06:05:00 GMT")
	f.Fuzz(func(t *testing.T, body []byte, after string) {
		text := words(bytes.NewReader(body))
		if len(text) > 3*mostWords+2 || strings.ContainsAny(text, "\n\r\x1b\x00") || strings.ToValidUTF8(text, "") != text {
			t.Errorf("%q becomes %q", body, text)
		}
		if d := retryAfter(after, time.Unix(0, 0)); d < 0 || d > mostRetryAfter {
			t.Errorf("%q becomes %s", after, d)
		}
	})
}
