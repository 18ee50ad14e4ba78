package sslapi

import (
	"context"
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
	"golang.org/x/time/rate"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testID    = "AKIDTOPSECRET0123456789"
	testKey   = "TOP-SECRET-KEY-0123456789"
	testToken = "TOP-SECRET-TOKEN-0123456789"
)

func newTestClient(t *testing.T, base string, timeout time.Duration) *Client {
	t.Helper()
	c, err := New(Options{
		BaseURL: base, SecretID: pluginapi.NewSecret(testID), SecretKey: pluginapi.NewSecret(testKey), Token: pluginapi.NewSecret(testToken),
		Region: "ap-singapore", UserAgent: "certbridged/test", Timeout: timeout, PerSecond: 10,
	})
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
	return s.URL, requests
}

func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// ok is an answer in the envelope; no is one that is an error, with HTTP 200 as they come.
func ok(inner string) http.HandlerFunc { return reply(200, `{"Response":{`+inner+`}}`) }

func no(code string) http.HandlerFunc {
	return reply(200, `{"Response":{"Error":{"Code":"`+code+`","Message":"words"},"RequestId":"9b397ac6"}}`)
}

// drop breaks the connection without an answer.
func drop(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

// cutOff breaks the connection in the middle of an answer.
func cutOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"Response":{"CertificateIds":["Tq`)
	panic(http.ErrAbortHandler)
}

// Whatever becomes of the paid call, it is sent once, and only what surely had no effect says so.
func TestBuyGoesOutOnce(t *testing.T) {
	slow := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	const unknown = pluginapi.UnknownOutcome
	for name, c := range map[string]struct {
		do   http.HandlerFunc
		kind pluginapi.ErrorKind // zero: success
	}{
		"bought":                   {ok(`"CertificateIds":["Tq7LmN2x"],"DealIds":["1"]`), 0},
		"bought, one without list": {ok(`"CertificateIds":"Tq7LmN2x"`), 0},
		"no answer":                {drop, unknown},
		"an answer cut off":        {cutOff, unknown},
		"a slow answer":            {slow, unknown},
		"an empty answer":          {reply(200, ``), unknown},
		"half a JSON value":        {reply(200, `{"Response":{"CertificateIds":["Tq7LmN2x"]`), unknown},
		"no envelope":              {reply(200, `{"CertificateIds":["Tq7LmN2x"]}`), unknown},
		"an envelope with nothing": {reply(200, `{"Response":null}`), unknown},
		"no id":                    {ok(`"CertificateIds":[],"DealIds":["1"]`), unknown},
		"an id that is none":       {ok(`"CertificateIds":["../x"]`), unknown},
		"a page as success":        {reply(200, `<html>maintenance</html>`), unknown},
		"a page as failure":        {reply(502, `<html>bad gateway</html>`), unknown},
		"a gateway's 400":          {reply(400, `<html>bad request</html>`), unknown},
		"503":                      {reply(503, ``), unknown},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, unknown},
		"an internal error":         {no("InternalError"), unknown},
		"one of the backend":        {no("InternalError.BackendResponseError"), unknown},
		"an empty one":              {no("InternalError.BackendResponseEmpty"), unknown},
		"no order to be got":        {no("FailedOperation.CannotGetOrder"), unknown},
		"a system error":            {no("FailedOperation.SystemError"), unknown},
		"a busy CA":                 {no("FailedOperation.NetworkError"), unknown},
		"unavailable":               {no("ServiceUnavailable"), unknown},
		"a code that nobody knows":  {no("Something.New"), unknown},
		"an error without a code":   {reply(200, `{"Response":{"Error":{},"RequestId":"x"}}`), unknown},
		"the form of before":        {reply(200, `{"code":4000,"codeDesc":"InvalidParameter","message":"no"}`), pluginapi.InvalidRequest},
		"the form of before, 5100":  {reply(200, `{"code":5100,"message":"no"}`), unknown},
		"too many":                  {no("RequestLimitExceeded"), pluginapi.RateLimited},
		"too many of the account":   {no("RequestLimitExceeded.UinLimitExceeded"), pluginapi.RateLimited},
		"too many of the service":   {no("LimitExceeded.RateLimitExceeded"), pluginapi.RateLimited},
		"429 from a gateway":        {reply(429, `slow down`), pluginapi.RateLimited},
		"a wrong key":               {no("AuthFailure.SignatureFailure"), pluginapi.Unauthorized},
		"no right":                  {no("UnauthorizedOperation"), pluginapi.Unauthorized},
		"an error with status 403":  {reply(403, `{"Response":{"Error":{"Code":"AuthFailure.SecretIdNotFound"}}}`), pluginapi.Unauthorized},
		"a wrong field":             {no("InvalidParameterValue"), pluginapi.InvalidRequest},
		"a failure without a why":   {no("FailedOperation"), pluginapi.NeedsPerson},
		"a failure that is new":     {no("FailedOperation.BalanceInsufficient"), pluginapi.UnknownOutcome},
		"an identity to be shown":   {no("FailedOperation.NoRealNameAuth"), pluginapi.NeedsPerson},
		"a resource that is scarce": {no("ResourceInsufficient.Balance"), pluginapi.NeedsPerson},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, requests := serve(t, c.do)
			timeout := 20 * time.Second
			if name == "a slow answer" {
				timeout = time.Second
			}
			bought, err := newTestClient(t, base, timeout).Buy(t.Context(), []byte(`{"ProductId":48}`))
			if c.kind == 0 {
				if err != nil || len(bought.IDs) != 1 || bought.IDs[0] != "Tq7LmN2x" {
					t.Errorf("got %+v, %v", bought, err)
				}
			} else if got := FailOnce("buy", err); got.Kind != c.kind {
				t.Errorf("got %s: %s, want %s", got.Kind, got, c.kind)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

func TestBuyThatNeverLeft(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	client := newTestClient(t, "http://"+address, 2*time.Second)
	_, err = client.Buy(t.Context(), []byte(`{}`))
	if got := FailOnce("buy", err); got.Kind != pluginapi.Unavailable {
		t.Errorf("nobody listens: got %s: %v", got.Kind, got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.Buy(ended, []byte(`{}`))
	if got := FailOnce("buy", err); got.Kind != pluginapi.Unavailable {
		t.Errorf("a context that has ended: got %s: %v", got.Kind, got)
	}
}

// The calls that must not be repeated have a connection of their own; the others share one.
func TestConnections(t *testing.T) {
	var mu sync.Mutex
	from := map[string]int{}
	base, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		from[r.RemoteAddr]++
		mu.Unlock()
		ok(`"CertificateId":"a","CertificateIds":["a"],"Status":0,"TotalCount":0`)(w, r)
	})
	c := newTestClient(t, base, 2*time.Second)
	for range 2 {
		if _, err := c.Certificate(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	if len(from) != 1 {
		t.Errorf("two reads came over %d connections", len(from))
	}
	if _, err := c.Buy(t.Context(), []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SubmitOrder(t.Context(), []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Replace(t.Context(), []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if len(from) != 4 {
		t.Errorf("%d connections, want 4", len(from))
	}
}

// Each call is signed as it is sent, retries anew, and nothing secret is on show.
func TestWhatIsSent(t *testing.T) {
	var got []*http.Request
	var bodies []string
	keep := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got, bodies = append(got, r.Clone(context.Background())), append(bodies, string(body))
			next(w, r)
		}
	}
	base, _ := serve(t, keep(no("InternalError")), keep(ok(`"CertificateId":"abc12345","Status":"5"`)))
	cert, err := newTestClient(t, base, 2*time.Second).Certificate(t.Context(), "abc12345")
	if err != nil || !cert.Is(ToSubmit) || len(got) != 2 {
		t.Fatalf("%+v, %v, %d requests", cert, err, len(got))
	}
	for i, r := range got {
		for name, want := range map[string]string{
			"X-TC-Action": "DescribeCertificateDetail", "X-TC-Version": "2019-12-05", "X-TC-Language": "en-US", "X-TC-Region": "ap-singapore", "X-TC-Token": testToken,
			"Content-Type": contentType, "User-Agent": "certbridged/test",
		} {
			if h := r.Header.Get(name); h != want {
				t.Errorf("%s: %q, want %q", name, h, want)
			}
		}
		auth := r.Header.Get("Authorization")
		if !strings.HasPrefix(auth, "TC3-HMAC-SHA256 Credential="+testID+"/") || !strings.Contains(auth, "SignedHeaders=content-type;host;x-tc-action, Signature=") || strings.Contains(auth, testKey) {
			t.Errorf("Authorization: %s", auth)
		}
		if r.Method != http.MethodPost || r.URL.RequestURI() != "/" || bodies[i] != `{"CertificateId":"abc12345"}` {
			t.Errorf("%s %s %s", r.Method, r.URL, bodies[i])
		}
	}
}

// What an answer repeats of the key, and a private key that it holds, is in no message.
func TestNothingSecretInMessages(t *testing.T) {
	const private = `-----BEGIN RSA PRIVATE KEY-----\nMIIEsecretsecret\n-----END RSA PRIVATE KEY-----`
	for name, body := range map[string]string{
		"in an error":     `{"Response":{"Error":{"Code":"AuthFailure.SignatureFailure","Message":"` + testKey + ` ` + testID + ` ` + testToken + ` ` + private + `"}}}`,
		"in an odd one":   `{"CertificatePrivateKey":"` + private + `","x":"` + testKey + `"}`,
		"in half of one":  `{"CertificatePrivateKey":"-----BEGIN RSA PRIVATE KEY-----\nMIIEsecretsecret`,
		"in a page":       `<html>` + testKey + testID + `</html>`,
		"in what is none": testToken,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, _ := serve(t, reply(200, body))
			_, err := newTestClient(t, base, 2*time.Second).Certificate(t.Context(), "a")
			text := Fail("read", err).Error()
			for _, secret := range []string{testID, testKey, testToken, "MIIEsecretsecret"} {
				if strings.Contains(text, secret) {
					t.Errorf("%q stands in %q", secret, text)
				}
			}
		})
	}
}

// Reads are repeated, writes are not; an answer about another certificate is none.
func TestRepeats(t *testing.T) {
	t.Parallel()
	base, requests := serve(t, drop, no("InternalError"), ok(`"CertificateId":"a","Status":1`))
	if _, err := newTestClient(t, base, 2*time.Second).Certificate(t.Context(), "a"); err != nil || requests.Load() != 3 {
		t.Errorf("a read: %v after %d requests", err, requests.Load())
	}
	base, requests = serve(t, no("InternalError"), ok(``))
	if err := newTestClient(t, base, 2*time.Second).SubmitInfo(t.Context(), []byte(`{}`), nil); err == nil || requests.Load() != 1 {
		t.Errorf("a write: %v after %d requests", err, requests.Load())
	}
	base, _ = serve(t, ok(`"CertificateId":"b","Status":1`))
	if _, err := newTestClient(t, base, 2*time.Second).Certificate(t.Context(), "a"); Fail("read", err).Kind != pluginapi.Unavailable {
		t.Errorf("another certificate: %v", err)
	}
	base, _ = serve(t, ok(`"CertificateId":"a","Status":null`))
	if _, err := newTestClient(t, base, 2*time.Second).Certificate(t.Context(), "a"); err == nil {
		t.Error("a certificate without a status was taken for one under review")
	}
	base, requests = serve(t, no("FailedOperation.NetworkError"))
	_, err := newTestClient(t, base, 2*time.Second).Certificate(t.Context(), "a")
	if f := Fail("read", err); requests.Load() != 1 || f.RetryAfter < 30*time.Second {
		t.Errorf("a busy CA: %d requests, and again after %s", requests.Load(), f.RetryAfter)
	}
}

// A list must say how much there is, for something may be bought on the strength of it.
func TestLists(t *testing.T) {
	for name, c := range map[string]struct {
		inner string
		want  int
		more  bool
		fails bool
	}{
		"none":               {inner: `"TotalCount":0,"Certificates":[]`},
		"none, null":         {inner: `"TotalCount":0,"Certificates":null`},
		"one":                {inner: `"TotalCount":1,"Certificates":[{"CertificateId":"a","Status":5}]`, want: 1},
		"one, by itself":     {inner: `"TotalCount":"1","Certificates":{"CertificateId":"a"}`, want: 1},
		"more":               {inner: `"TotalCount":7,"Certificates":[{"CertificateId":"a"}]`, want: 1, more: true},
		"without a count":    {inner: `"Certificates":[]`, fails: true},
		"less than it says":  {inner: `"TotalCount":3,"Certificates":[]`, fails: true},
		"one without its id": {inner: `"TotalCount":1,"Certificates":[{"Status":5}]`, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, _ := serve(t, ok(c.inner))
			list, more, err := newTestClient(t, base, 2*time.Second).List(t.Context(), Filter{FilterSource: Purchases}, 0)
			if (err != nil) != c.fails || len(list) != c.want || more != c.more {
				t.Errorf("%v, %t, %v", list, more, err)
			}
		})
	}
}

// At most ten calls of one action in a second, whatever is configured; actions do not wait for each other.
func TestLimits(t *testing.T) {
	for _, perSecond := range []float64{0.1, 1, DefaultPerSecond, 9.5, MaxPerSecond} {
		synctest.Test(t, func(t *testing.T) {
			limiter := rate.NewLimiter(rate.Limit(perSecond), burst(perSecond))
			var sent []time.Time
			for end := time.Now().Add(time.Minute); time.Now().Before(end); {
				if err := limiter.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				sent = append(sent, time.Now())
			}
			for i, from := range sent {
				n := 0
				for _, at := range sent[i:] {
					if at.Sub(from) < time.Second {
						n++
					}
				}
				if n > MaxPerSecond {
					t.Fatalf("%v a second: %d calls in one", perSecond, n)
				}
			}
		})
	}
	base, _ := serve(t, ok(`"CertificateId":"a","Status":5,"TotalCount":0`))
	c := newTestClient(t, base, 2*time.Second)
	begun := time.Now()
	for range 2 { // with ten a second and no burst, the third of one action would wait
		if _, err := c.Certificate(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.List(t.Context(), Filter{}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("four calls of two actions took %s", took)
	}
}

// Every status has words for people and a meaning of its own.
func TestStatusWords(t *testing.T) {
	seen := map[string]bool{}
	for s := UnderReview; s <= Migrating; s++ {
		if w := s.String(); seen[w] || strings.Contains(w, "not known") || !strings.Contains(w, "status") {
			t.Errorf("%d: %q", int(s), w)
		}
		seen[s.String()] = true
	}
	for _, s := range []Status{UnknownStatus, Migrating + 1, 99} {
		if w := s.String(); !strings.Contains(w, "not known") {
			t.Errorf("%d: %q", int(s), w)
		}
	}
}

func TestConsole(t *testing.T) {
	for base, want := range map[string]string{BaseInternational: "https://console.tencentcloud.com/ssl", BaseMainland: "https://console.cloud.tencent.com/ssl"} {
		if got := newTestClient(t, base, time.Second).Console(); got != want {
			t.Errorf("%s: %s", base, got)
		}
	}
}
