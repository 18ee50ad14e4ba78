package certcentral

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "TOP-SECRET-KEY-0123456789"

func newTestClient(t *testing.T, base string) *Client {
	t.Helper()
	c, err := New(Options{BaseURL: base, Key: pluginapi.NewSecret(testKey), UserAgent: "certbridged/test", Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// serve starts a server that does the steps one after the other, the last one for ever.
func serve(t *testing.T, steps ...http.HandlerFunc) (base string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(requests.Add(1))
		steps[min(n, len(steps))-1](w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/services/v2", requests
}

func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// drop breaks the connection without an answer.
func drop(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

// cutOff breaks the connection in the middle of an answer.
func cutOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"id":90`)
	panic(http.ErrAbortHandler)
}

// Whatever becomes of the paid call, it is sent once, and only what surely had no effect says so.
func TestPlaceGoesOutOnce(t *testing.T) {
	slow := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	for name, c := range map[string]struct {
		do   http.HandlerFunc
		kind pluginapi.ErrorKind // zero: success
	}{
		"taken":                   {reply(201, `{"id":900,"certificate_id":"800","dcv_random_value":"abcdefgh"}`), 0},
		"taken, status 200":       {reply(200, `{"id":"900"}`), 0},
		"no answer":               {drop, pluginapi.UnknownOutcome},
		"an answer cut off":       {cutOff, pluginapi.UnknownOutcome},
		"a slow answer":           {slow, pluginapi.UnknownOutcome},
		"an empty answer":         {reply(201, ``), pluginapi.UnknownOutcome},
		"half a JSON value":       {reply(201, `{"id":900,`), pluginapi.UnknownOutcome},
		"no id":                   {reply(201, `{"certificate_id":800}`), pluginapi.UnknownOutcome},
		"an HTML page as success": {reply(200, `<html>maintenance</html>`), pluginapi.UnknownOutcome},
		"an HTML page as failure": {reply(502, `<html>bad gateway</html>`), pluginapi.UnknownOutcome},
		"a gateway's 400":         {reply(400, `<html>bad request</html>`), pluginapi.UnknownOutcome},
		"a gateway's 404":         {reply(404, `not here`), pluginapi.UnknownOutcome},
		"408":                     {reply(408, ``), pluginapi.UnknownOutcome},
		"500 in the API's form":   {reply(500, `{"errors":[{"code":"server_error","message":"x"}]}`), pluginapi.UnknownOutcome},
		"503":                     {reply(503, ``), pluginapi.UnknownOutcome},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, pluginapi.UnknownOutcome},
		"429":                         {reply(429, `{"errors":[{"code":"request_limit_exceeded","message":"x"}]}`), pluginapi.RateLimited},
		"429 from a gateway":          {reply(429, `slow down`), pluginapi.RateLimited},
		"a wrong key":                 {reply(403, `{"errors":[{"code":"access_denied|access_denied_invalid_key"}]}`), pluginapi.Unauthorized},
		"401 without words":           {reply(401, ``), pluginapi.Unauthorized},
		"a wrong field":               {reply(400, `{"errors":[{"code":"invalid_value:order_validity","message":"no"}]}`), pluginapi.InvalidRequest},
		"a single error":              {reply(400, `{"errors":{"code":"bad_request_format"}}`), pluginapi.InvalidRequest},
		"an unknown product":          {reply(404, `{"errors":[{"code":"not_found|product"}]}`), pluginapi.InvalidRequest},
		"CAA forbids":                 {reply(400, `{"errors":[{"code":"caa_check_failed|a.example"}]}`), pluginapi.NeedsPerson},
		"a renewal that is not taken": {reply(400, `{"errors":[{"code":"order_renewed_already"}]}`), pluginapi.NeedsPerson},
	} {
		t.Run(name, func(t *testing.T) {
			base, requests := serve(t, c.do)
			client := newTestClient(t, base)
			client.timeout = 20 * time.Second
			if name == "a slow answer" {
				client.timeout = time.Second
			}
			placed, err := client.Place(t.Context(), "/order/certificate/ssl_basic", []byte(`{"a":1}`))
			if c.kind == 0 {
				if err != nil || placed.ID != 900 {
					t.Errorf("got %+v, %v", placed, err)
				}
			} else if got := FailOnce("place the order", err); got.Kind != c.kind {
				t.Errorf("got %s: %s, want %s", got.Kind, got, c.kind)
			} else if strings.Contains(got.Error(), testKey) {
				t.Errorf("the key stands in %s", got)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

func TestPlaceThatNeverLeft(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	client := newTestClient(t, "http://"+address)
	_, err = client.Place(t.Context(), "order/certificate/ssl_basic", []byte(`{}`))
	if got := FailOnce("place the order", err); got.Kind != pluginapi.Unavailable {
		t.Errorf("nobody listens: got %s: %v", got.Kind, got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.Place(ended, "order/certificate/ssl_basic", []byte(`{}`))
	if got := FailOnce("place the order", err); got.Kind != pluginapi.Unavailable {
		t.Errorf("a context that has ended: got %s: %v", got.Kind, got)
	}
}

// A connection that was kept may die just when it is used again, and the transport repeats what it may: the paid call
// has a connection of its own.
func TestPlaceUsesAFreshConnection(t *testing.T) {
	var mu sync.Mutex
	seen := map[string][]string{} // connection -> methods
	base, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.RemoteAddr] = append(seen[r.RemoteAddr], r.Method)
		mu.Unlock()
		reply(200, `{"id":1,"status":"pending"}`)(w, r)
	})
	client := newTestClient(t, base)
	for range 3 {
		if _, err := client.Order(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Place(t.Context(), "order", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 4 {
		t.Errorf("%d connections, want one for three reads and three for the orders: %v", len(seen), seen)
	}
	for address, methods := range seen {
		if len(methods) > 1 && strings.Contains(strings.Join(methods, " "), http.MethodPost) {
			t.Errorf("an order shared the connection %s: %v", address, methods)
		}
	}
}

func TestReadsAreRepeated(t *testing.T) {
	good := reply(200, `{"id":900,"status":"issued"}`)
	for name, c := range map[string]struct {
		steps    []http.HandlerFunc
		requests int32
		kind     pluginapi.ErrorKind
	}{
		"503, then good":     {[]http.HandlerFunc{reply(503, ""), good}, 2, 0},
		"dropped, then good": {[]http.HandlerFunc{drop, drop, good}, 3, 0},
		"cut off, then good": {[]http.HandlerFunc{cutOff, good}, 2, 0},
		"HTML, then good":    {[]http.HandlerFunc{reply(200, "<html>"), good}, 2, 0},
		"429, then good": {[]http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "1")
			reply(429, `{"errors":[{"code":"request_limit_exceeded"}]}`)(w, r)
		}, good}, 2, 0},
		"429 for long": {[]http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "120")
			reply(429, ``)(w, r)
		}}, 1, pluginapi.RateLimited},
		"always 502":       {[]http.HandlerFunc{reply(502, "")}, 3, pluginapi.Unavailable},
		"404":              {[]http.HandlerFunc{reply(404, `{"errors":[{"code":"not_found|order"}]}`)}, 1, pluginapi.NotFound},
		"a gateway's 404":  {[]http.HandlerFunc{reply(404, `<html>`)}, 1, pluginapi.Unavailable},
		"no such path":     {[]http.HandlerFunc{reply(404, `{"errors":[{"code":"not_found|route"}]}`)}, 1, pluginapi.Unavailable},
		"another order":    {[]http.HandlerFunc{reply(200, `{"id":901,"status":"issued"}`)}, 1, pluginapi.Unavailable},
		"without a status": {[]http.HandlerFunc{reply(200, `{"id":900}`)}, 1, pluginapi.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			base, requests := serve(t, c.steps...)
			_, err := newTestClient(t, base).Order(t.Context(), 900)
			if c.kind == 0 && err != nil || c.kind != 0 && Fail("read", err).Kind != c.kind {
				t.Errorf("got %v, want %s", err, c.kind)
			}
			if n := requests.Load(); n != c.requests {
				t.Errorf("%d requests, want %d", n, c.requests)
			}
		})
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	var leaked atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leaked.Store(r.Header.Get("X-DC-DEVKEY") != "")
	}))
	defer other.Close()
	base, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	_, err := newTestClient(t, base).Me(t.Context())
	if err == nil || !strings.Contains(err.Error(), "points to") || leaked.Load() {
		t.Errorf("got %v, key leaked: %v", err, leaked.Load())
	}
}

func TestHeadersAndPaths(t *testing.T) {
	var got *http.Request
	base, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		reply(404, `{"errors":[{"code":"not_found"}]}`)(w, r)
	})
	client := newTestClient(t, base)
	found, err := client.OrdersByAlternative(t.Context(), "a/../b?c")
	if err != nil || found != nil {
		t.Fatalf("an unknown mark: got %v, %v", found, err)
	}
	if want := "/services/v2/order/alternate/a%2F..%2Fb%3Fc"; got.URL.EscapedPath() != want {
		t.Errorf("path %s, want %s", got.URL.EscapedPath(), want)
	}
	for name, want := range map[string]string{"X-DC-DEVKEY": testKey, "Content-Type": "application/json", "Accept": "application/json", "User-Agent": "certbridged/test"} {
		if h := got.Header.Get(name); h != want {
			t.Errorf("%s: %q, want %q", name, h, want)
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	base, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for range maxBody/1000 + 10 {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	})
	client := newTestClient(t, base)
	client.timeout = 20 * time.Second
	_, err := client.Download(t.Context(), 1)
	var g *Garbage
	if !errors.As(err, &g) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v", err)
	}
}

// The key's limits hold over all calls: 100 in 5 seconds, 1000 in 3 minutes.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, err := New(Options{BaseURL: BaseUS, Timeout: time.Second, PerSecond: MaxPerSecond})
		if err != nil {
			t.Fatal(err)
		}
		var sent []time.Time
		for end := time.Now().Add(6 * time.Minute); time.Now().Before(end); {
			if err := client.turn(t.Context()); err != nil {
				t.Fatal(err)
			}
			sent = append(sent, time.Now())
		}
		for i, from := range sent {
			for window, most := range map[time.Duration]int{5 * time.Second: 100, 3 * time.Minute: 1000} {
				n := 0
				for _, at := range sent[i:] {
					if at.Sub(from) < window {
						n++
					}
				}
				if n > most {
					t.Fatalf("%d calls in %s", n, window)
				}
			}
		}
	})
}

func TestAfter429NothingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, err := New(Options{BaseURL: BaseUS, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		client.keepQuiet(4 * time.Second)
		began := time.Now()
		if err := client.turn(t.Context()); err != nil || time.Since(began) < 4*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		client.keepQuiet(time.Hour)
		began = time.Now()
		failure := Fail("read", client.turn(t.Context()))
		if failure.Kind != pluginapi.RateLimited || failure.RetryAfter < 59*time.Minute || time.Since(began) != 0 {
			t.Errorf("got %s, retry after %s, waited %s", failure.Kind, failure.RetryAfter, time.Since(began))
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "x": 0, "999999999": time.Hour,
		"Sun, 22 Nov 2026 12:01:00 GMT": time.Minute, "Sun, 22 Nov 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// Every code of the table, and what qualifies it.
func TestKinds(t *testing.T) {
	for code, want := range map[string]struct {
		kind  pluginapi.ErrorKind
		field string
	}{
		"request_limit_exceeded":             {pluginapi.RateLimited, ""},
		"access_denied":                      {pluginapi.Unauthorized, ""},
		"access_denied|missing_permission":   {pluginapi.Unauthorized, ""},
		"access_denied|invalid_approver":     {pluginapi.NeedsPerson, ""},
		"not_found":                          {pluginapi.NotFound, ""},
		"not_found|order":                    {pluginapi.NotFound, ""},
		"not_found|product":                  {pluginapi.InvalidRequest, "product"},
		"not_found|route":                    {pluginapi.Unavailable, ""},
		"not_foundling":                      {pluginapi.InvalidRequest, ""},
		"required_param:certificate.csr":     {pluginapi.InvalidRequest, "certificate.csr"},
		"invalid_value:validity_years":       {pluginapi.InvalidRequest, "validity_years"},
		"invalid_wildcard_dcv_method":        {pluginapi.InvalidRequest, "dcv_method"},
		"ambiguous_product":                  {pluginapi.InvalidRequest, "product"},
		"auth_key_not_setup":                 {pluginapi.InvalidRequest, "auth_key_id"},
		"caa_check_failed|example.com":       {pluginapi.NeedsPerson, ""},
		"caa_not_found|example.com":          {pluginapi.Unavailable, ""},
		"order_not_eligible_for_renewal":     {pluginapi.NeedsPerson, ""},
		"something_that_nobody_has_seen_yet": {pluginapi.InvalidRequest, ""},
	} {
		r := &Refusal{Status: 400, Problems: []Problem{{Code: code}}}
		if kind, field := r.Kind(); kind != want.kind || field != want.field {
			t.Errorf("%s: got %s %q, want %s %q", code, kind, field, want.kind, want.field)
		}
	}
	for status, want := range map[int]pluginapi.ErrorKind{
		409: pluginapi.Conflict, 403: pluginapi.Unauthorized, 404: pluginapi.NotFound, 500: pluginapi.Unavailable, 400: pluginapi.InvalidRequest,
	} {
		r := &Refusal{Status: status, Problems: []Problem{{Code: "odd"}}}
		if kind, _ := r.Kind(); kind != want {
			t.Errorf("%d: got %s, want %s", status, kind, want)
		}
	}
}

func ExampleFail() {
	no := &Refusal{Status: 403, Problems: []Problem{{Code: "access_denied|missing_permission", Message: "You do not have permission."}}}
	fmt.Println(Fail("place the order", no))
	// Output: place the order: You do not have permission (access_denied|missing_permission); give the key's user a role with this right (administrator or manager), or leave skip_approval out
}
