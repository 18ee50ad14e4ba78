package restca

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
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

const testKey = "TOP/SECRET KEY+0123456789"

// dialect is that of an API that reports its failures as {"error":"code"}, with whatever status.
func dialect() Dialect {
	return Dialect{
		Sign: func(req *http.Request, _ []byte) error {
			req.Header.Set("X-Key", testKey)
			return nil
		},
		Problems: func(_ int, body []byte) []Problem {
			var in struct {
				Error   string `json:"error"`
				Message string `json:"message"`
			}
			if json.Unmarshal(body, &in) != nil || in.Error == "" {
				return nil
			}
			return []Problem{{Code: in.Error, Message: in.Message}}
		},
		Judge: func(r *Refusal) Verdict {
			if len(r.Problems) > 0 && r.Problems[0].Code == "poor" {
				return Verdict{Kind: pluginapi.NeedsPerson, Field: "budget", Advice: "; pay"}
			}
			return ByStatus(r)
		},
	}
}

func newTestClient(t *testing.T, base string, change ...func(*Options)) *Client {
	t.Helper()
	o := Options{
		BaseURL: base, UserAgent: "certbridged/test", Timeout: 2 * time.Second, PerSecond: 1000, Burst: 1000,
		Secrets: []pluginapi.Secret{pluginapi.NewSecret(testKey)}, Dialect: dialect(),
	}
	for _, c := range change {
		c(&o)
	}
	c, err := New(o)
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
	return s.URL + "/v1", requests
}

func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// drop breaks the connection without an answer.
func drop(_ http.ResponseWriter, r *http.Request) {
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

func parse(a Answer) error {
	var in struct {
		ID ID `json:"id"`
	}
	if err := Decode(a.Body, &in); err != nil {
		return err
	}
	if in.ID == 0 {
		return NewGarbage("without an id", a.Body)
	}
	return nil
}

// Whatever becomes of a call that costs money, it is sent once, and only what surely had no effect says so.
func TestOnceGoesOutOnce(t *testing.T) {
	slow := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	for name, c := range map[string]struct {
		do   http.HandlerFunc
		kind pluginapi.ErrorKind // zero: success
	}{
		"taken":                   {reply(201, `{"id":900}`), 0},
		"no answer":               {drop, pluginapi.UnknownOutcome},
		"an answer cut off":       {cutOff, pluginapi.UnknownOutcome},
		"a slow answer":           {slow, pluginapi.UnknownOutcome},
		"an empty answer":         {reply(201, ``), pluginapi.UnknownOutcome},
		"half a JSON value":       {reply(201, `{"id":900,`), pluginapi.UnknownOutcome},
		"no id":                   {reply(201, `{"certificate_id":800}`), pluginapi.UnknownOutcome},
		"an HTML page as success": {reply(200, `<html>maintenance</html>`), pluginapi.UnknownOutcome},
		"an HTML page as failure": {reply(502, `<html>bad gateway</html>`), pluginapi.UnknownOutcome},
		"a gateway's 400":         {reply(400, `<html>bad request</html>`), pluginapi.UnknownOutcome},
		"408":                     {reply(408, ``), pluginapi.UnknownOutcome},
		"500 in the API's form":   {reply(500, `{"error":"broken"}`), pluginapi.UnknownOutcome},
		"200 with an odd error":   {reply(200, `{"error":"broken"}`), pluginapi.UnknownOutcome},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, pluginapi.UnknownOutcome},
		"429":                       {reply(429, `slow down`), pluginapi.RateLimited},
		"403":                       {reply(403, ``), pluginapi.Unauthorized},
		"a wrong field":             {reply(400, `{"error":"wrong"}`), pluginapi.InvalidRequest},
		"200 with an error we know": {reply(200, `{"error":"poor"}`), pluginapi.NeedsPerson},
	} {
		t.Run(name, func(t *testing.T) {
			base, requests := serve(t, c.do)
			client := newTestClient(t, base, func(o *Options) {
				if name == "a slow answer" {
					o.Timeout = 500 * time.Millisecond
				}
			})
			err := client.Do(t.Context(), Call{Method: http.MethodPost, Path: "order", Body: []byte(`{"a":1}`), Once: true}, parse)
			if c.kind == 0 {
				if err != nil {
					t.Error(err)
				}
			} else if got := FailOnce("place the order", err); got.Kind != c.kind {
				t.Errorf("got %s: %s, want %s", got.Kind, got, c.kind)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

func TestOnceThatNeverLeft(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	client := newTestClient(t, "http://"+address)
	k := Call{Method: http.MethodPost, Body: []byte(`{}`), Once: true}
	if got := FailOnce("place the order", client.Do(t.Context(), k, nil)); got.Kind != pluginapi.Unavailable {
		t.Errorf("nobody listens: got %s: %v", got.Kind, got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := FailOnce("place the order", client.Do(ended, k, nil)); got.Kind != pluginapi.Unavailable {
		t.Errorf("a context that has ended: got %s: %v", got.Kind, got)
	}
	unsigned := newTestClient(t, "http://"+address, func(o *Options) {
		o.Dialect.Sign = func(*http.Request, []byte) error { return errors.New("no clock") }
	})
	if got := FailOnce("place the order", unsigned.Do(t.Context(), k, nil)); got.Kind != pluginapi.Unavailable || !strings.Contains(got.Error(), "no clock") {
		t.Errorf("a request that cannot be signed: got %s: %v", got.Kind, got)
	}
}

// A connection that was kept may die just when it is used again, and the transport repeats what it may: what costs money
// has a connection of its own.
func TestOnceUsesAFreshConnection(t *testing.T) {
	var mu sync.Mutex
	seen := map[string][]string{} // connection -> methods
	base, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.RemoteAddr] = append(seen[r.RemoteAddr], r.Method)
		mu.Unlock()
		reply(200, `{"id":1}`)(w, r)
	})
	client := newTestClient(t, base)
	for range 3 {
		if err := client.Read(t.Context(), Call{Path: "order/1"}, parse); err != nil {
			t.Fatal(err)
		}
		if err := client.Do(t.Context(), Call{Method: http.MethodPost, Path: "order", Body: []byte(`{}`), Once: true}, parse); err != nil {
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
	good := reply(200, `{"id":900}`)
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
			reply(429, `{"error":"limit"}`)(w, r)
		}, good}, 2, 0},
		"429 for long": {[]http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "120")
			reply(429, ``)(w, r)
		}}, 1, pluginapi.RateLimited},
		"always 502":      {[]http.HandlerFunc{reply(502, "")}, 3, pluginapi.Unavailable},
		"404":             {[]http.HandlerFunc{reply(404, `{"error":"gone"}`)}, 1, pluginapi.NotFound},
		"a gateway's 404": {[]http.HandlerFunc{reply(404, `<html>`)}, 1, pluginapi.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, requests := serve(t, c.steps...)
			err := newTestClient(t, base).Read(t.Context(), Call{Path: "order/900"}, parse)
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
		leaked.Store(r.Header.Get("X-Key") != "")
	}))
	defer other.Close()
	base, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	err := newTestClient(t, base).Read(t.Context(), Call{Path: "me"}, parse)
	if err == nil || !strings.Contains(err.Error(), "points to") || leaked.Load() {
		t.Errorf("got %v, key leaked: %v", err, leaked.Load())
	}
}

func TestHeadersAndPaths(t *testing.T) {
	var got *http.Request
	base, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		reply(200, `{"id":1}`)(w, r)
	})
	client := newTestClient(t, base)
	k := Call{Path: Path("order", "a/../b?c"), Query: url.Values{"q": {"x y"}}, Header: http.Header{"accept": {"*/*"}}}
	if err := client.Do(t.Context(), k, nil); err != nil {
		t.Fatal(err)
	}
	if want := "/v1/order/a%2F..%2Fb%3Fc"; got.URL.EscapedPath() != want || got.URL.RawQuery != "q=x+y" || got.Method != http.MethodGet {
		t.Errorf("%s %s, want path %s", got.Method, got.URL, want)
	}
	for name, want := range map[string]string{"X-Key": testKey, "Content-Type": "application/json", "Accept": "*/*", "User-Agent": "certbridged/test"} {
		if h := got.Header.Get(name); h != want {
			t.Errorf("%s: %q, want %q", name, h, want)
		}
	}
	if err := client.Do(t.Context(), Call{}, nil); err != nil || got.URL.Path != "/v1" {
		t.Errorf("without a path: %s, %v", got.URL, err)
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
	client := newTestClient(t, base, func(o *Options) { o.Timeout = 20 * time.Second })
	err := client.Do(t.Context(), Call{}, nil)
	var g *Garbage
	if !errors.As(err, &g) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v", err)
	}
}

// In whatever form an answer repeats a secret, no message does.
func TestSecretsAreHidden(t *testing.T) {
	const token = "ab 12/cd"
	echo := testKey + " " + url.QueryEscape(testKey) + " " + url.PathEscape(testKey) + " " + token + " " + url.QueryEscape(token)
	body, _ := json.Marshal(map[string]string{"error": "no" + echo, "message": "for " + echo})
	for name, do := range map[string]http.HandlerFunc{
		"a refusal": reply(400, string(body)),
		"a page":    reply(502, echo),
		"garbage":   reply(200, `{"x":"`+echo+`"}`),
		"a redirect": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/?k="+url.QueryEscape(testKey)+"&t="+url.QueryEscape(token))
			w.WriteHeader(http.StatusFound)
		},
		"a broken redirect": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", ":/?k="+testKey+token)
			w.WriteHeader(http.StatusFound)
		},
	} {
		base, _ := serve(t, do)
		err := newTestClient(t, base).Read(t.Context(), Call{
			Query: url.Values{"t": {token}}, Secrets: []pluginapi.Secret{pluginapi.NewSecret(token)},
		}, parse)
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		text := Fail("read", err).Error() + FailOnce("write", err).Error()
		for _, s := range []string{testKey, token} {
			for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s)} {
				if strings.Contains(text, form) {
					t.Errorf("%s: %q stands in %s", name, form, text)
				}
			}
		}
		if !strings.Contains(text, "[secret]") {
			t.Errorf("%s: nothing was hidden in %s", name, text)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + l.Addr().String()
	l.Close()
	err = newTestClient(t, base).Do(t.Context(), Call{Query: url.Values{"t": {token}}, Secrets: []pluginapi.Secret{pluginapi.NewSecret(token)}}, nil)
	if text := Fail("read", err).Error(); strings.Contains(text, "12") && strings.Contains(text, url.QueryEscape(token)) {
		t.Errorf("nobody listens: %s", text)
	}
}

// What one group of calls has used up another has not.
func TestLimitsAreOfAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newTestClient(t, "https://ca.example/", func(o *Options) { o.PerSecond, o.Burst = 10, 1 })
		began := time.Now()
		for range 21 {
			for _, group := range []string{"a", "b"} {
				if err := client.turn(t.Context(), group); err != nil {
					t.Fatal(err)
				}
			}
		}
		if took := time.Since(began); took.Round(time.Millisecond) != 2*time.Second {
			t.Errorf("42 calls of two groups took %s", took)
		}
	})
}

func TestAfter429NothingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newTestClient(t, "https://ca.example/")
		client.keepQuiet(4 * time.Second)
		began := time.Now()
		if err := client.turn(t.Context(), ""); err != nil || time.Since(began) < 4*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		client.keepQuiet(time.Hour)
		began = time.Now()
		failure := Fail("read", client.turn(t.Context(), ""))
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

func TestOptions(t *testing.T) {
	good := Options{BaseURL: "https://ca.example/v1", Timeout: time.Second, PerSecond: 1, Burst: 1}
	for name, change := range map[string]func(*Options){
		"no address": func(o *Options) { o.BaseURL = "ca.example" },
		"no limit":   func(o *Options) { o.PerSecond = 0 },
		"no burst":   func(o *Options) { o.Burst = 0 },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}

func ExampleFail() {
	base := httptest.NewServer(reply(http.StatusPaymentRequired, `{"error":"poor","message":"Balance too low."}`))
	defer base.Close()
	client, err := New(Options{BaseURL: base.URL, Timeout: time.Second, PerSecond: 4, Burst: 4, Dialect: dialect()})
	if err != nil {
		panic(err)
	}
	err = client.Do(context.Background(), Call{Method: http.MethodPost, Path: "order", Once: true}, nil)
	failure := FailOnce("place the order", err)
	fmt.Println(failure.Kind)
	fmt.Println(failure)
	// Output:
	// needs-person
	// budget: place the order: Balance too low (poor); pay
}
