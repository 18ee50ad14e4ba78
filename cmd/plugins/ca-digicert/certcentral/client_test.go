package certcentral

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/time/rate"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "TOP-SECRET-KEY-0123456789"

func newTestClient(t *testing.T, base string, timeout time.Duration) *Client {
	t.Helper()
	c, err := New(Options{BaseURL: base, Key: pluginapi.NewSecret(testKey), UserAgent: "certbridged/test", Timeout: timeout})
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
			timeout := 20 * time.Second
			if name == "a slow answer" {
				timeout = time.Second
			}
			client := newTestClient(t, base, timeout)
			placed, err := client.Place(t.Context(), "/order/certificate/ssl_basic", []byte(`{"a":1}`))
			if c.kind == 0 {
				if err != nil || placed.ID != 900 {
					t.Errorf("got %+v, %v", placed, err)
				}
			} else if got := restca.FailOnce("place the order", err); got.Kind != c.kind {
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
	client := newTestClient(t, "http://"+address, 2*time.Second)
	_, err = client.Place(t.Context(), "order/certificate/ssl_basic", []byte(`{}`))
	if got := restca.FailOnce("place the order", err); got.Kind != pluginapi.Unavailable {
		t.Errorf("nobody listens: got %s: %v", got.Kind, got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.Place(ended, "order/certificate/ssl_basic", []byte(`{}`))
	if got := restca.FailOnce("place the order", err); got.Kind != pluginapi.Unavailable {
		t.Errorf("a context that has ended: got %s: %v", got.Kind, got)
	}
}

func TestHeadersAndPaths(t *testing.T) {
	var got *http.Request
	base, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		reply(404, `{"errors":[{"code":"not_found"}]}`)(w, r)
	})
	client := newTestClient(t, base, 2*time.Second)
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

// The key's limits hold over all calls: 100 in 5 seconds, 1000 in 3 minutes.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := rate.NewLimiter(MaxPerSecond, burst)
		var sent []time.Time
		for end := time.Now().Add(6 * time.Minute); time.Now().Before(end); {
			if err := limiter.Wait(t.Context()); err != nil {
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
		r := &restca.Refusal{Status: 400, Problems: []restca.Problem{{Code: code}}}
		if got := judge(r); got.Kind != want.kind || got.Field != want.field {
			t.Errorf("%s: got %s %q, want %s %q", code, got.Kind, got.Field, want.kind, want.field)
		}
	}
	for status, want := range map[int]pluginapi.ErrorKind{
		409: pluginapi.Conflict, 403: pluginapi.Unauthorized, 404: pluginapi.NotFound, 500: pluginapi.Unavailable, 400: pluginapi.InvalidRequest,
	} {
		r := &restca.Refusal{Status: status, Problems: []restca.Problem{{Code: "odd"}}}
		if got := judge(r); got.Kind != want {
			t.Errorf("%d: got %s, want %s", status, got.Kind, want)
		}
	}
}

func TestAdvice(t *testing.T) {
	base, _ := serve(t, reply(403, `{"errors":[{"code":"access_denied|missing_permission","message":"You do not have permission."}]}`))
	_, err := newTestClient(t, base, 2*time.Second).Place(t.Context(), "order/certificate/ssl_basic", []byte(`{}`))
	const want = "place the order: You do not have permission (access_denied|missing_permission); give the key's user a role with this right (administrator or manager), or leave skip_approval out"
	if got := restca.FailOnce("place the order", err); got.Error() != want {
		t.Errorf("got %s", got)
	}
}

// What a body of the API says is wrong is no failure of a call that went well.
func TestErrorsOfASuccessAreNone(t *testing.T) {
	base, _ := serve(t, reply(200, `{"id":900,"status":"issued","errors":[{"code":"odd"}]}`))
	if _, err := newTestClient(t, base, 2*time.Second).Order(t.Context(), 900); err != nil {
		t.Error(err)
	}
}

// A number like that of a card, which an answer repeats, is not repeated again.
func TestCardsAreHidden(t *testing.T) {
	for in, want := range map[string]string{
		"card 4111 1111 1111 1111 is no": "card [number] is no",
		"card 4111111111111111.":         "card [number].",
		"order 900100200 is gone":        "order 900100200 is gone",
	} {
		base, _ := serve(t, reply(400, `{"errors":[{"code":"odd","message":"`+in+`"}]}`))
		_, err := newTestClient(t, base, 2*time.Second).Order(t.Context(), 900)
		if got := restca.Fail("read", err).Error(); !strings.Contains(got, strings.TrimSuffix(want, ".")) || strings.Contains(got, "4111") {
			t.Errorf("%q: got %q", in, got)
		}
	}
}

// Orders are read from answers that are about them.
func TestAnswersAboutAnotherOrder(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		kind pluginapi.ErrorKind
	}{
		"no such path":     {`{"errors":[{"code":"not_found|route"}]}`, pluginapi.Unavailable},
		"no such order":    {`{"errors":[{"code":"not_found|order"}]}`, pluginapi.NotFound},
		"another order":    {`{"id":901,"status":"issued"}`, pluginapi.Unavailable},
		"without a status": {`{"id":900}`, pluginapi.Unavailable},
	} {
		status := 200
		if strings.Contains(c.text, "errors") {
			status = 404
		}
		base, requests := serve(t, reply(status, c.text))
		_, err := newTestClient(t, base, 2*time.Second).Order(t.Context(), 900)
		if got := restca.Fail("read", err).Kind; got != c.kind || requests.Load() != 1 {
			t.Errorf("%s: got %s after %d requests", name, got, requests.Load())
		}
	}
}
