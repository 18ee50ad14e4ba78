package ordertoken

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey   = "TOP-SECRET-KEY-0123456789"
	testToken = "ab12/cd34+ef56"
)

func newTestClient(t *testing.T, base string, timeout time.Duration) *Client {
	t.Helper()
	c, err := New(Options{BaseURL: base, Key: pluginapi.NewSecret(testKey), UserAgent: "certbridged/test", Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, do http.HandlerFunc) (base string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		do(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v2", requests
}

func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// drop breaks the connection without an answer.
func drop(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

// Whatever becomes of the paid call, it is sent once, and only what surely had no effect says so.
func TestPaidCallGoesOutOnce(t *testing.T) {
	slow := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	for name, c := range map[string]struct {
		do   http.HandlerFunc
		kind pluginapi.ErrorKind // zero: success
	}{
		"taken":                        {reply(200, `{"success":"Order placed","reseller_order_id":"STR_1_2","review_url":"https://x/token/ab","order_token":"ab12cd34"}`), 0},
		"taken, the other form":        {reply(200, `{"success":"Order token generated","order_token":"ab12cd34","product_code":"RapidSSL-12"}`), 0},
		"success is empty":             {reply(200, `{"success":"","order_token":"ab12cd34"}`), 0},
		"an error of zero":             {reply(200, `{"success":"x","error":0,"order_token":"ab12cd34"}`), 0},
		"no answer":                    {drop, pluginapi.UnknownOutcome},
		"a slow answer":                {slow, pluginapi.UnknownOutcome},
		"an empty answer":              {reply(200, ``), pluginapi.UnknownOutcome},
		"half a JSON value":            {reply(200, `{"success":"Order placed","order_token":"ab12cd`), pluginapi.UnknownOutcome},
		"no token":                     {reply(200, `{"success":"Order placed"}`), pluginapi.UnknownOutcome},
		"no success":                   {reply(200, `{"order_token":"ab12cd34"}`), pluginapi.UnknownOutcome},
		"an HTML page as success":      {reply(200, `<html>maintenance</html>`), pluginapi.UnknownOutcome},
		"an HTML page as failure":      {reply(502, `<html>bad gateway</html>`), pluginapi.UnknownOutcome},
		"a gateway's 400":              {reply(400, `<html>bad request</html>`), pluginapi.UnknownOutcome},
		"500":                          {reply(500, `{"error":{"code":500,"message":"x"}}`), pluginapi.UnknownOutcome},
		"500 in an answer 200":         {reply(200, `{"error":{"code":"503","message":"x"}}`), pluginapi.UnknownOutcome},
		"an error and success":         {reply(200, `{"success":"x","error":{"code":400,"message":"x"}}`), pluginapi.InvalidRequest},
		"a redirect":                   {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, pluginapi.UnknownOutcome},
		"429":                          {reply(429, ``), pluginapi.RateLimited},
		"a wrong key":                  {reply(401, `{"error":{"code":401,"message":"Unauthorized"}}`), pluginapi.Unauthorized},
		"a wrong key in an answer 200": {reply(200, `{"error":{"code":401,"message":"Unauthorized"}}`), pluginapi.Unauthorized},
		"403":                          {reply(403, `{"error":{"code":403,"message":"no"}}`), pluginapi.Unauthorized},
		"402":                          {reply(402, `{"error":{"code":402,"message":"no points"}}`), pluginapi.NeedsPerson},
		"a wrong field":                {reply(400, `{"error":{"code":400,"message":"no"}}`), pluginapi.InvalidRequest},
		"an error without a code":      {reply(200, `{"error":{"message":"no"}}`), pluginapi.InvalidRequest},
		"an error that is text":        {reply(200, `{"error":"no"}`), pluginapi.InvalidRequest},
		"an error in a list":           {reply(200, `{"error":[{"code":"409","message":"no"}]}`), pluginapi.Conflict},
		"404":                          {reply(404, `{"error":{"code":404,"message":"no"}}`), pluginapi.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, requests := serve(t, c.do)
			timeout := 20 * time.Second
			if name == "a slow answer" {
				timeout = time.Second
			}
			client := newTestClient(t, base, timeout)
			g, err := client.GenerateToken(t.Context(), url.Values{"st_product_code": {"RapidSSL-12"}})
			if c.kind == 0 {
				if err != nil || g.Token != "ab12cd34" {
					t.Errorf("got %v", err)
				}
			} else if got := restca.FailOnce("buy the order", err); got.Kind != c.kind {
				t.Errorf("got %s: %s, want %s", got.Kind, got, c.kind)
			} else if strings.Contains(got.Error(), testKey) || strings.Contains(got.Error(), "ab12cd") {
				t.Errorf("a secret stands in %s", got)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

func TestPaidCallThatNeverLeft(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	client := newTestClient(t, "http://"+address, 2*time.Second)
	_, err = client.GenerateToken(t.Context(), nil)
	got := restca.FailOnce("buy the order", err)
	if got.Kind != pluginapi.Unavailable || strings.Contains(got.Error(), testKey) {
		t.Errorf("nobody listens: %s: %v", got.Kind, got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.GenerateToken(ended, nil)
	if got := restca.FailOnce("buy the order", err); got.Kind != pluginapi.Unavailable {
		t.Errorf("a context that has ended: %s: %v", got.Kind, got)
	}
}

// Each call goes to its address, with the right secret in the right place.
func TestCalls(t *testing.T) {
	token := pluginapi.NewSecret(testToken)
	values := url.Values{"csr": {"-----BEGIN\nx y+z"}}
	for want, call := range map[string]func(context.Context, *Client) error{
		"GET order/generatetoken api_key":                func(ctx context.Context, c *Client) error { _, err := c.GenerateToken(ctx, url.Values{}); return err },
		"POST order/place csr order_token":               func(ctx context.Context, c *Client) error { _, err := c.Place(ctx, token, values); return err },
		"POST order/reissue csr order_token":             func(ctx context.Context, c *Client) error { _, err := c.Reissue(ctx, token, values); return err },
		"GET order/review order_token":                   func(ctx context.Context, c *Client) error { _, err := c.Review(ctx, token); return err },
		"GET order/productfields order_token":            func(ctx context.Context, c *Client) error { _, err := c.ProductFields(ctx, token); return err },
		"GET order/pollauth order_token":                 func(ctx context.Context, c *Client) error { _, err := c.PollAuth(ctx, token); return err },
		"GET order/cancel order_token":                   func(ctx context.Context, c *Client) error { return c.Cancel(ctx, token) },
		"GET order/showtokens api_key":                   func(ctx context.Context, c *Client) error { _, err := c.Tokens(ctx); return err },
		"GET order/approverlist domain_name":             func(ctx context.Context, c *Client) error { _, err := c.Approvers(ctx, "example.com"); return err },
		"GET account/review api_key":                     func(ctx context.Context, c *Client) error { _, err := c.Account(ctx); return err },
		"GET account/pointsaudit api_key":                func(ctx context.Context, c *Client) error { _, err := c.PointsAudit(ctx); return err },
		"GET product/listproducts api_key product_group": func(ctx context.Context, c *Client) error { _, err := c.Products(ctx); return err },
	} {
		t.Run(want, func(t *testing.T) {
			var got *http.Request
			base, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if err := r.ParseForm(); err != nil {
					t.Error(err)
				}
				got = r
				reply(400, `{"error":{"code":400,"message":"the token ab12/cd34+ef56, as URL ab12%2Fcd34%2Bef56, and TOP-SECRET-KEY-0123456789"}}`)(w, r)
			})
			err := call(t.Context(), newTestClient(t, base, 5*time.Second))
			if err == nil {
				t.Fatal("no error")
			}
			parts := strings.Fields(want)
			if got.Method != parts[0] || got.URL.Path != "/v2/"+parts[1]+".json" {
				t.Errorf("%s %s", got.Method, got.URL.Path)
			}
			for _, name := range parts[2:] {
				if v := got.Form.Get(name); v == "" {
					t.Errorf("without %s", name)
				}
			}
			if len(got.Form) != len(parts[2:]) {
				t.Errorf("with %v", got.Form)
			}
			switch {
			case got.Method == http.MethodPost && (got.URL.RawQuery != "" || got.Form.Get("csr") != values.Get("csr")):
				t.Errorf("query %q, csr %q", got.URL.RawQuery, got.Form.Get("csr"))
			case got.Form.Has("order_token") && got.Form.Get("order_token") != testToken, got.Form.Has("api_key") && got.Form.Get("api_key") != testKey:
				t.Errorf("the secrets are %v", got.Form)
			}
			for _, secret := range []string{testKey, testToken, url.QueryEscape(testToken)} {
				// A call that has no token does not know it to be a secret; what names it a token is taken out all the same.
				if strings.Contains(err.Error(), secret) && got.Form.Has("order_token") {
					t.Errorf("%s shows in %v", secret, err)
				}
			}
			if strings.Contains(err.Error(), testKey) {
				t.Errorf("the key shows in %v", err)
			}
		})
	}
}

func TestWords(t *testing.T) {
	client := newTestClient(t, "http://127.0.0.1:1", time.Second)
	for text, want := range map[string]string{
		"waits for the CA": "waits for the CA",
		"open https://manage.example/token/ab12cd34 to go on":   "open https://manage.example/token/[secret] to go on",
		"order_token=ab12&x=1":                                  "order_token=[secret]&x=1",
		`{"order_token":"ab12","invite_url":"https:\/\/x\/ab"}`: `{"order_token":"[secret]","invite_url":"[secret]"}`,
		"key " + testKey + " and " + testToken:                  "key [secret] and [secret]",
		"two\nlines\x00":                                        "two lines",
	} {
		if got := client.Words(text, pluginapi.NewSecret(testToken)); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// A read is tried again when it fails in passing, and a refusal is not.
func TestReads(t *testing.T) {
	for name, c := range map[string]struct {
		do   http.HandlerFunc
		want int32
		kind pluginapi.ErrorKind
	}{
		"503":              {reply(503, `{"error":{"code":503,"message":"x"}}`), 3, pluginapi.Unavailable},
		"half":             {reply(200, `{"success":"x","order_st`), 3, pluginapi.Unavailable},
		"no status":        {reply(200, `{"success":"x"}`), 3, pluginapi.Unavailable},
		"401":              {reply(401, `{"error":{"code":401,"message":"x"}}`), 1, pluginapi.Unauthorized},
		"refused with 200": {reply(200, `{"error":{"code":404,"message":"x"}}`), 1, pluginapi.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, requests := serve(t, c.do)
			_, err := newTestClient(t, base, 5*time.Second).Review(t.Context(), pluginapi.NewSecret(testToken))
			if got := restca.Fail("read", err); got.Kind != c.kind || requests.Load() != c.want {
				t.Errorf("%d requests, %s: %v", requests.Load(), got.Kind, got)
			}
		})
	}
}
