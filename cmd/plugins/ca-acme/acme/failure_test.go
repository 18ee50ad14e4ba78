package acme

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

func asError(err error, into **pluginapi.Error) bool { return errors.As(err, into) }

// An answer that is lost, wherever that happens, costs nothing and ends the order nowhere.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		method, prefix string
		fails          pluginapi.ErrorKind // of PlaceOrder, zero when it must not fail
	}{
		"directory":     {http.MethodGet, "/dir", pluginapi.Unavailable},
		"nonce":         {http.MethodHead, "/nonce-plz", 0}, // net/http itself repeats a HEAD when a reused connection dies
		"registration":  {http.MethodPost, "/sign-me-up", pluginapi.Unavailable},
		"order":         {http.MethodPost, "/order-plz", pluginapi.UnknownOutcome},
		"authorization": {http.MethodPost, "/authZ/", 0},
		"challenge":     {http.MethodPost, "/chalZ/", 0},
		"finalization":  {http.MethodPost, "/finalize-order/", 0},
		"look at order": {http.MethodPost, "/my-order/", 0},
		"certificate":   {http.MethodPost, "/certZ/", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, peer.PebbleOptions{Env: []string{"PEBBLE_WFE_NONCEREJECT=0"}})
			lost := false
			r.proxy.meddle(func(req *http.Request) verdict {
				if !lost && req.Method == c.method && strings.HasPrefix(req.URL.Path, c.prefix) {
					lost = true
					return verdict{lose: true}
				}
				return verdict{}
			})
			req := request(t, nil, "lost.example.com")
			o, err := r.place(req)
			if pluginapi.KindOf(err) != c.fails {
				t.Fatalf("place the order: %v (%s), want %s", err, pluginapi.KindOf(err), c.fails)
			}
			if err != nil {
				if o, err = r.place(req); err != nil {
					t.Fatalf("place the order again: %v", err)
				}
			}
			if o.Reference == "" {
				t.Fatal("no reference")
			}
			r.persist(req, o)
			if !lost {
				t.Error("nothing was lost")
			}
		})
	}
}

// persist works on an order as the daemon does: a call that fails is made again, in a new process.
func (r *rig) persist(request pluginapi.OrderRequest, o pluginapi.Order) {
	r.t.Helper()
	failures := 0
	for range 30 {
		placed := pluginapi.PlacedOrder{OrderRequest: request, Reference: o.Reference, State: o.State}
		var next pluginapi.Order
		var err error
		if o.Status == pluginapi.PendingValidation && o.LookAgainAfter == nil {
			c := o.Authorizations[0].Challenges[0]
			r.publish(c)
			next, err = r.respond(placed, []string{c.ID})
		} else {
			if o.LookAgainAfter != nil {
				_ = wait(r.t.Context(), *o.LookAgainAfter)
			}
			next, err = r.get(placed)
		}
		if err != nil {
			if failures++; failures > 1 || pluginapi.KindOf(err) != pluginapi.Unavailable {
				r.t.Fatalf("call failed: %v (%s)", err, pluginapi.KindOf(err))
			}
			r.restart()
			continue
		}
		if o = next; o.Status == pluginapi.Issued {
			leafOf(r.t, o, request)
			return
		}
	}
	r.t.Fatalf("order is still %s: %s", o.Status, o.Detail)
}

// A private CA that is set up anew knows neither the account nor its orders.
func TestAccountThatTheCALost(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{})
	req := request(t, nil, "lostaccount.example.com")
	o, err := r.place(req)
	if err != nil {
		t.Fatal(err)
	}
	lost := says(400, "accountDoesNotExist", "who are you?")
	r.proxy.meddle(once(http.MethodPost, "/my-order/", verdict{answer: lost}))
	if _, err := r.get(pluginapi.PlacedOrder{OrderRequest: req, Reference: o.Reference, State: o.State}); pluginapi.KindOf(err) != pluginapi.NotFound {
		t.Errorf("look at an order of the lost account: %v", err)
	}
	before := r.proxy.requests("POST sign-me-up")
	r.proxy.meddle(once(http.MethodPost, "/order-plz", verdict{answer: lost}))
	next := request(t, nil, "lostaccount.example.com")
	leafOf(t, r.order(next, pluginapi.ChallengeHTTP), next)
	if r.proxy.requests("POST sign-me-up") == before {
		t.Error("the account was not registered again")
	}
}

// A call that is made again finds its order, also in a new process, and two at once do not make two.
func TestPlaceOrderAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{})
	req := request(t, nil, "again.example.com")
	first, err := r.place(req)
	if err != nil {
		t.Fatal(err)
	}
	r.restart()
	second, err := r.place(req)
	if err != nil || second.Reference != first.Reference || second.Status != pluginapi.PendingValidation {
		t.Errorf("again: %s (%s), not %s: %v", second.Reference, second.Status, first.Reference, err)
	}
	leafOf(t, r.finish(req, second, pluginapi.ChallengeHTTP), req)
	done, err := r.place(req)
	if err != nil || done.Reference != first.Reference {
		t.Errorf("again after its end: %s, %v", done.Reference, err)
	}
	leafOf(t, r.finish(req, done, pluginapi.ChallengeHTTP), req)

	// The CA holds back its answer to one call until another with the same key was told off.
	other := request(t, nil, "atonce.example.com")
	arrived, goOn := make(chan struct{}), make(chan struct{})
	var held sync.Once
	r.proxy.meddle(func(req *http.Request) verdict {
		if req.URL.Path == "/order-plz" {
			held.Do(func() { close(arrived); <-goOn })
		}
		return verdict{}
	})
	ended := make(chan error, 1)
	go func() { _, err := r.place(other); ended <- err }()
	<-arrived
	if _, err := r.place(other); pluginapi.KindOf(err) != pluginapi.Conflict {
		t.Errorf("a second call at once: %v", err)
	}
	close(goOn)
	if err := <-ended; err != nil {
		t.Errorf("the first call: %v", err)
	}
}

func TestNonceRefusedForEver(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{})
	req := request(t, nil, "nonce.example.com")
	r.proxy.meddle(func(req *http.Request) verdict {
		if req.URL.Path == "/order-plz" {
			return verdict{answer: says(400, "badNonce", "no", "Replay-Nonce", "bm9uY2U")}
		}
		return verdict{}
	})
	// The call ends with its context: between two tries, when it is known that nothing was done, or within one, when it is
	// not.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := r.instance().PlaceOrder(ctx, req)
	if kind := pluginapi.KindOf(err); kind != pluginapi.Unavailable && kind != pluginapi.UnknownOutcome {
		t.Errorf("got %v (%s)", err, kind)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %s after its time had ended", took)
	}
	r.proxy.meddle(nil)
	leafOf(t, r.order(req, pluginapi.ChallengeHTTP), req)
}

// fakeCA is a directory and nonces before a handler of a test's own.
func fakeCA(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	var s *httptest.Server
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Replay-Nonce", base64.RawURLEncoding.EncodeToString([]byte(time.Now().String())))
		switch req.URL.Path {
		case "/directory":
			_, _ = io.WriteString(w, strings.ReplaceAll(`{"newNonce":"URL/nonce","newAccount":"URL/account","newOrder":"URL/order","revokeCert":"URL/revoke","keyChange":"URL/change","renewalInfo":"URL/ari"}`, "URL", s.URL))
		case "/nonce":
		case "/account":
			w.Header().Set("Location", s.URL+"/account/1")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"status":"valid"}`)
		default:
			handler(w, req)
		}
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// against configures a CA for a server of a test's own.
func against(t *testing.T, s *httptest.Server, path string, more map[string]any) *CA {
	t.Helper()
	settings := map[string]any{"directory_url": s.URL + path, "root_ca_file": writeRoot(t, s), "terms_of_service_agreed": true}
	for k, v := range more {
		settings[k] = v
	}
	ca := New(Options{Logger: slog.New(slog.DiscardHandler)})
	done, err := ca.Configure(t.Context(), pluginapi.Account{Settings: pluginapi.Settings{Values: settings}})
	if err != nil || pluginapi.HasFault(done.Findings) {
		t.Fatalf("configure: %v, %v", done.Findings, err)
	}
	t.Cleanup(func() { ca.Close() })
	return ca
}

func write(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestBadDirectories(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		handler http.HandlerFunc
		kind    pluginapi.ErrorKind
		words   string
		after   time.Duration
	}{
		"a web page":           {write(200, "<html><title>Welcome</title></html>"), pluginapi.Unavailable, "no ACME directory", 0},
		"truncated JSON":       {write(200, `{"newNonce": "https://`), pluginapi.Unavailable, "no ACME directory", 0},
		"JSON of another kind": {write(200, `{"hello": "world"}`), pluginapi.Unavailable, "directory without an https address", 0},
		"addresses by http":    {write(200, `{"newNonce":"http://a/","newAccount":"http://a/","newOrder":"http://a/"}`), pluginapi.Unavailable, "without an https address", 0},
		"nothing":              {write(200, ""), pluginapi.Unavailable, "an empty body", 0},
		"endless":              {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.CopyN(w, zeros{}, 3*maxBody) }, pluginapi.Unavailable, "more than", 0},
		"404":                  {write(404, "not here"), pluginapi.NotFound, "HTTP 404", 0},
		"500":                  {write(500, "oops"), pluginapi.Unavailable, "HTTP 500", 0},
		"503 with time":        {write(503, "maintenance", "Retry-After", "120"), pluginapi.Unavailable, "HTTP 503", 2 * time.Minute},
		"429 with time":        {write(429, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"slow down"}`, "Retry-After", "77"), pluginapi.RateLimited, "slow down", 77 * time.Second},
		"moved":                {write(301, "", "Location", "https://elsewhere.example/dir"), pluginapi.Unavailable, "https://elsewhere.example/dir", 0},
		"a dead connection":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, pluginapi.Unavailable, "cannot be reached", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(c.handler)
			s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			s.StartTLS()
			t.Cleanup(s.Close)
			ca := against(t, s, "/directory", nil)
			_, err := ca.Preflight(t.Context(), nil)
			checkFailure(t, err, c.kind, c.words, c.after)
			_, err = ca.PlaceOrder(t.Context(), request(t, nil, "a.example.com"))
			checkFailure(t, err, c.kind, c.words, c.after)
		})
	}
}

func checkFailure(t *testing.T, err error, kind pluginapi.ErrorKind, words string, after time.Duration) {
	t.Helper()
	var e *pluginapi.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no error of the contract", err)
	}
	if e.Kind != kind || !strings.Contains(e.Message, words) || e.RetryAfter != after {
		t.Errorf("got %s after %s: %s", e.Kind, e.RetryAfter, e.Message)
	}
	if len(e.Message) > 2*maxMessage || strings.ContainsAny(e.Message, "\n\r\x00") {
		t.Errorf("the message does not fit a line: %.200q", e.Message)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBadAnswersToNewOrder(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		handler http.HandlerFunc
		kind    pluginapi.ErrorKind
		words   string
		after   time.Duration
	}{
		"a web page":      {write(201, "<html>"), pluginapi.UnknownOutcome, "", 0},
		"truncated":       {write(201, `{"status":"pen`), pluginapi.UnknownOutcome, "", 0},
		"no address":      {write(201, `{"status":"pending","identifiers":[{"type":"dns","value":"a.example.com"}]}`), pluginapi.UnknownOutcome, "no https address", 0},
		"dead connection": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, pluginapi.UnknownOutcome, "", 0},
		"bad gateway":     {write(502, "<html>"), pluginapi.UnknownOutcome, "HTTP 502", 0},
		"limit":           {says(429, "rateLimited", "too many certificates", "Retry-After", "3600"), pluginapi.RateLimited, "too many certificates", time.Hour},
		"unauthorized":    {says(403, "unauthorized", "account deactivated"), pluginapi.Unauthorized, "account deactivated", 0},
		"terms changed":   {write(403, `{"type":"urn:ietf:params:acme:error:userActionRequired","detail":"new terms","instance":"https://ca.example/terms"}`), pluginapi.NeedsPerson, "https://ca.example/terms", 0},
		"CAA":             {says(403, "caa", "CAA forbids issuance"), pluginapi.Rejected, "CAA forbids", 0},
		"compound": {write(400, `{"type":"urn:ietf:params:acme:error:compound","detail":"two","subproblems":[
			{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"policy","identifier":{"type":"dns","value":"x.example"}},
			{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"policy","identifier":{"type":"dns","value":"y.example"}}]}`), pluginapi.InvalidRequest, "y.example: policy", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca := against(t, fakeCA(t, c.handler), "/directory", nil)
			_, err := ca.PlaceOrder(t.Context(), request(t, nil, "a.example.com"))
			checkFailure(t, err, c.kind, c.words, c.after)
		})
	}
}

func TestUnknownAuthorityIsNamed(t *testing.T) {
	t.Parallel()
	s := fakeCA(t, http.NotFound)
	ca := New(Options{})
	_, err := ca.Configure(t.Context(), pluginapi.Account{Settings: pluginapi.Settings{Values: map[string]any{
		"directory_url": s.URL + "/directory", "terms_of_service_agreed": true,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = ca.Preflight(t.Context(), nil)
	checkFailure(t, err, pluginapi.Unavailable, "root_ca_file", 0)
}

// Every call ends with its context, and leaves nothing running.
func TestDeadlines(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	hang := make(chan struct{})
	s := fakeCA(t, func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-req.Context().Done():
		case <-hang:
		}
	})
	req := request(t, nil, "a.example.com")
	placed := pluginapi.PlacedOrder{OrderRequest: req, Reference: s.URL + "/order/1"}
	ca := against(t, s, "/directory", nil)
	calls := map[string]func(context.Context) error{
		"PlaceOrder": func(ctx context.Context) error { _, err := ca.PlaceOrder(ctx, req); return err },
		"GetOrder":   func(ctx context.Context) error { _, err := ca.GetOrder(ctx, placed); return err },
		"RespondToChallenges": func(ctx context.Context) error {
			_, err := ca.RespondToChallenges(ctx, placed, nil)
			return err
		},
		"RevokeCertificate": func(ctx context.Context) error {
			_, err := ca.RevokeCertificate(ctx, pluginapi.Revocation{Leaf: s.Certificate().Raw})
			return err
		},
	}
	for name, call := range calls {
		for _, after := range []time.Duration{0, 200 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			began := time.Now()
			err := call(ctx)
			cancel()
			if took := time.Since(began); took > after+2*time.Second {
				t.Errorf("%s took %s", name, took)
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			if kind := pluginapi.KindOf(err); kind != pluginapi.Unavailable && (kind != pluginapi.UnknownOutcome || name != "PlaceOrder" || after == 0) {
				t.Errorf("%s: %v is %s", name, err, kind)
			}
		}
	}
	// The plugin's own limit on one request.
	short := against(t, s, "/directory", map[string]any{"request_timeout": "1s"})
	_, err := short.GetOrder(t.Context(), placed)
	checkFailure(t, err, pluginapi.Unavailable, "did not answer within 1s", 0)

	close(hang)
	ca.Close()
	short.Close()
	s.Close()
	goleak.VerifyNone(t, ignore)
}

// Neither key may stand in an error, a finding, a log line or, for the binding's, in a state.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	var logs strings.Builder
	const hmac = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"
	s := fakeCA(t, func(w http.ResponseWriter, req *http.Request) { // echoes what it was sent
		body, _ := io.ReadAll(req.Body)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(body)
	})
	account := pluginapi.Account{Settings: pluginapi.Settings{
		Values: map[string]any{
			"directory_url": s.URL + "/directory", "root_ca_file": writeRoot(t, s),
			"terms_of_service_agreed": true, "eab_kid": "kid",
		},
		Secrets: map[string]pluginapi.Secret{"eab_hmac_key": pluginapi.NewSecret(hmac)},
	}}
	ca := New(Options{Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	done, err := ca.Configure(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	state, err := decodeAccountState(done.AccountState)
	if err != nil {
		t.Fatal(err)
	}
	key := base64.StdEncoding.EncodeToString(state.Accounts[s.URL+"/directory"].Key.PKCS8)
	if strings.Contains(string(done.AccountState), hmac) {
		t.Error("the binding's key is in the account state")
	}
	var said []string
	_, err = ca.PlaceOrder(t.Context(), request(t, nil, "a.example.com"))
	said = append(said, err.Error())
	_, err = ca.Preflight(t.Context(), nil)
	if err != nil {
		said = append(said, err.Error())
	}
	account.Settings.Secrets["eab_hmac_key"] = pluginapi.NewSecret("!" + hmac + "!")
	account.State = append([]byte("x"), done.AccountState...)
	again, err := ca.Configure(t.Context(), account)
	if err == nil && !pluginapi.HasFault(again.Findings) {
		t.Error("neither the broken key nor the broken state is a fault")
	}
	for _, f := range again.Findings {
		said = append(said, f.Message)
	}
	delete(account.Settings.Secrets, "eab_hmac_key")
	delete(account.Settings.Values, "eab_kid")
	if again, err = ca.Configure(t.Context(), account); err != nil || !pluginapi.HasFault(again.Findings) || again.AccountState != nil {
		t.Errorf("a broken state is no fault, or was replaced: %v, %v", again.Findings, err)
	}
	for _, f := range again.Findings {
		said = append(said, f.Message)
	}
	for _, text := range append(said, logs.String()) {
		for _, secret := range []string{hmac, key, key[10:40]} {
			if strings.Contains(text, secret) {
				t.Errorf("a secret is in %q", text)
			}
		}
	}
}
