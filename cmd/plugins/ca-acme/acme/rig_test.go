package acme

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-acme/lego/v4/challenge/tlsalpn01"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

// rig is what a daemon does for one account: it keeps the states, publishes challenges and calls again.
type rig struct {
	t        *testing.T
	pebble   *peer.PebbleServer
	proxy    *meddler
	settings map[string]any
	secrets  map[string]pluginapi.Secret
	logs     bytes.Buffer

	// killed makes every call run in a new instance, as after a kill between any two calls.
	killed bool
	// forget drops account states that come back in replies, as a kill before they are stored.
	forget bool

	mu    sync.Mutex
	ca    *CA
	state []byte
	told  pluginapi.Configured // what Configure of ca returned
	files map[string]string    // http-01, by path
	alpn  map[string]*tls.Certificate
	seen  map[pluginapi.ChallengeType]int // challenges that were published
}

// newRig starts Pebble, a proxy before it that tests can make meddle, and responders for its validation.
func newRig(t *testing.T, options peer.PebbleOptions) *rig {
	t.Helper()
	r := &rig{
		t: t, pebble: peer.Pebble(t, options), files: map[string]string{},
		alpn: map[string]*tls.Certificate{}, seen: map[pluginapi.ChallengeType]int{},
	}
	r.proxy = newMeddler(t, r.pebble)
	r.settings = map[string]any{
		"directory_url":           r.proxy.URL + "/dir",
		"root_ca_file":            r.proxy.rootFile,
		"terms_of_service_agreed": true,
		"email":                   "admin@example.com",
	}
	r.serve("127.0.0.1", r.pebble.HTTPPort, func(l net.Listener) error {
		return http.Serve(l, http.HandlerFunc(r.file))
	})
	showCertificates := func(l net.Listener) error {
		config := &tls.Config{NextProtos: []string{"acme-tls/1"}, GetCertificate: r.alpnCertificate, MinVersion: tls.VersionTLS12}
		for {
			conn, err := l.Accept()
			if err != nil {
				return err
			}
			c := tls.Server(conn, config)
			_ = c.HandshakeContext(t.Context())
			c.Close()
		}
	}
	for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
		r.serve(host, r.pebble.TLSPort, showCertificates)
	}
	t.Cleanup(func() {
		if r.ca != nil {
			r.ca.Close()
		}
		if t.Failed() {
			t.Logf("the plugin's log:\n%s", &r.logs)
		}
	})
	return r
}

func (r *rig) serve(host string, port int, run func(net.Listener) error) {
	r.t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		r.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = run(l) }()
	r.t.Cleanup(func() { l.Close(); <-done })
}

func (r *rig) file(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	body, ok := r.files[req.URL.Path]
	r.mu.Unlock()
	if !ok {
		http.NotFound(w, req)
		return
	}
	_, _ = w.Write([]byte(body))
}

func (r *rig) alpnCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.alpn[hello.ServerName]; c != nil {
		return c, nil
	}
	return nil, os.ErrNotExist
}

// instance returns the plugin as the daemon would reach it: with the saved state, new after every kill.
func (r *rig) instance() *CA {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ca != nil && !r.killed {
		return r.ca
	}
	if r.ca != nil {
		r.ca.Close()
	}
	r.ca = New(Options{Version: "1.2.3", Logger: slog.New(slog.NewTextHandler(&syncWriter{w: &r.logs}, nil))})
	done, err := r.ca.Configure(r.t.Context(), pluginapi.Account{
		Settings: pluginapi.Settings{Values: r.settings, Secrets: r.secrets}, State: r.state,
	})
	if err != nil {
		r.t.Fatalf("configure: %v", err)
	}
	for _, f := range done.Findings {
		if f.Severity == pluginapi.Fault {
			r.t.Fatalf("configure: %s: %s", f.Field, f.Message)
		}
	}
	if done.AccountState != nil {
		r.state = done.AccountState
	}
	r.told = done
	return r.ca
}

// restart kills the plugin.
func (r *rig) restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ca != nil {
		r.ca.Close()
	}
	r.ca = nil
}

func (r *rig) keep(state []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if state != nil && !r.forget {
		r.state = state
	}
}

func (r *rig) place(request pluginapi.OrderRequest) (pluginapi.Order, error) {
	reply, err := r.instance().PlaceOrder(r.t.Context(), request)
	r.keep(reply.AccountState)
	return reply.Order, err
}

func (r *rig) get(placed pluginapi.PlacedOrder) (pluginapi.Order, error) {
	reply, err := r.instance().GetOrder(r.t.Context(), placed)
	r.keep(reply.AccountState)
	return reply.Order, err
}

func (r *rig) respond(placed pluginapi.PlacedOrder, ids []string) (pluginapi.Order, error) {
	reply, err := r.instance().RespondToChallenges(r.t.Context(), placed, ids)
	r.keep(reply.AccountState)
	return reply.Order, err
}

// order takes an order to its end, publishing challenges of the wanted type.
func (r *rig) order(request pluginapi.OrderRequest, want pluginapi.ChallengeType) pluginapi.Order {
	r.t.Helper()
	o, err := r.place(request)
	if err != nil {
		r.t.Fatalf("place the order: %v", err)
	}
	return r.finish(request, o, want)
}

// finish takes a placed order to its end.
func (r *rig) finish(request pluginapi.OrderRequest, o pluginapi.Order, want pluginapi.ChallengeType) pluginapi.Order {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	responded := false
	for {
		placed := pluginapi.PlacedOrder{OrderRequest: request, Reference: o.Reference, State: o.State}
		var err error
		switch {
		case o.Status == pluginapi.Issued, o.Status == pluginapi.OrderRejected, o.Status == pluginapi.Expired, o.Status == pluginapi.Canceled:
			return o
		case o.Status == pluginapi.PendingValidation && !responded:
			var ids []string
			for _, a := range o.Authorizations {
				if a.Valid {
					continue
				}
				i := slices.IndexFunc(a.Challenges, func(c pluginapi.Challenge) bool { return c.Type() == want })
				if i < 0 {
					r.t.Fatalf("no %s challenge for %s in %+v", want, a.Identifier, a.Challenges)
				}
				r.publish(a.Challenges[i])
				ids = append(ids, a.Challenges[i].ID)
			}
			responded = true
			o, err = r.respond(placed, ids)
		default:
			if o.LookAgainAfter == nil {
				r.t.Fatalf("status %s (%s) with no time to look again", o.Status, o.Detail)
			}
			if err := wait(ctx, *o.LookAgainAfter); err != nil {
				r.t.Fatalf("still %s: %s\n%s", o.Status, o.Detail, r.pebble.Log())
			}
			o, err = r.get(placed)
		}
		if err != nil {
			r.t.Fatalf("work on the order: %v", err)
		}
	}
}

func (r *rig) publish(c pluginapi.Challenge) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[c.Type()]++
	switch c.Type() {
	case pluginapi.ChallengeHTTP:
		r.files[c.HTTP.Path] = c.HTTP.Body
	case pluginapi.ChallengeDNS:
		r.pebble.DNS.AddDNSTXTRecord(c.DNS.Name+".", c.DNS.Value)
	case pluginapi.ChallengeTLSALPN:
		certificate, err := tlsalpn01.ChallengeCert(c.Identifier, c.ACME.KeyAuthorization)
		if err != nil {
			r.t.Fatal(err)
		}
		r.alpn[c.TLSALPN.Host] = certificate
	default:
		r.t.Fatalf("cannot publish %s", c.Type())
	}
}

// published is how often a type of challenge was published.
func (r *rig) published(t pluginapi.ChallengeType) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[t]
}

// request makes an order for names with a key of its own.
func request(t testing.TB, settings map[string]any, names ...string) pluginapi.OrderRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return requestFor(t, key, settings, names...)
}

func requestFor(t testing.TB, key crypto.Signer, settings map[string]any, names ...string) pluginapi.OrderRequest {
	t.Helper()
	var random [16]byte
	_, _ = rand.Read(random[:])
	out := pluginapi.OrderRequest{
		IdempotencyKey: hex.EncodeToString(random[:]), Kind: pluginapi.New,
		Settings: pluginapi.Settings{Values: settings}, CertificateName: "test",
	}
	template := x509.CertificateRequest{}
	for _, name := range names {
		id := pluginapi.Identifier{Value: name, Type: pluginapi.DNS}
		if address, err := netip.ParseAddr(name); err == nil {
			id.Type = pluginapi.IP
			template.IPAddresses = append(template.IPAddresses, address.AsSlice())
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
		out.Identifiers = append(out.Identifiers, id)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	out.CSR = csr
	return out
}

// leafOf checks that an order is issued, that its chain holds together and that the leaf fits the request.
func leafOf(t testing.TB, o pluginapi.Order, request pluginapi.OrderRequest) *x509.Certificate {
	t.Helper()
	if o.Status != pluginapi.Issued {
		t.Fatalf("order is %s, not issued: %s", o.Status, o.Detail)
	}
	var chain []*x509.Certificate
	for _, der := range o.Chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, c)
	}
	for i := 1; i < len(chain); i++ {
		if err := chain[i-1].CheckSignatureFrom(chain[i]); err != nil {
			t.Errorf("certificate %d does not sign certificate %d: %v", i, i-1, err)
		}
	}
	if !csrKeyMatches(request.CSR, chain[0]) {
		t.Error("the leaf is not for the CSR's key")
	}
	for _, id := range request.Identifiers {
		if err := chain[0].VerifyHostname(strings.Replace(id.Value, "*", "any", 1)); err != nil {
			t.Errorf("the leaf does not cover %s: %v", id.Value, err)
		}
	}
	return chain[0]
}

// meddler is a TLS proxy before Pebble. A rule sees each request before it goes on and may answer in its place, or
// have the answer thrown away after Pebble gave it.
type meddler struct {
	*httptest.Server
	rootFile string

	mu    sync.Mutex
	rule  func(*http.Request) verdict
	count map[string]int // requests by path without its last part's number
}

// verdict is what a rule wants done with a request.
type verdict struct {
	// answer is written in Pebble's place, when set.
	answer http.HandlerFunc
	// lose has Pebble answer and the connection die before the answer is passed on.
	lose bool
}

func newMeddler(t *testing.T, p *peer.PebbleServer) *meddler {
	t.Helper()
	target, err := url.Parse(p.DirectoryURL)
	if err != nil {
		t.Fatal(err)
	}
	target.Path = ""
	m := &meddler{count: map[string]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(target)
			pr.Out.Host = pr.In.Host // Pebble makes its addresses from it
		},
		Transport: p.Client().Transport,
		ModifyResponse: func(resp *http.Response) error {
			if resp.Request.Context().Value(loseKey{}) != nil {
				return http.ErrAbortHandler
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
		ErrorLog:     slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	m.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		m.mu.Lock()
		m.count[req.Method+" "+strings.SplitN(req.URL.Path, "/", 3)[1]]++
		rule := m.rule
		m.mu.Unlock()
		var v verdict
		if rule != nil {
			v = rule(req)
		}
		switch {
		case v.answer != nil:
			v.answer(w, req)
		case v.lose:
			proxy.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), loseKey{}, true)))
		default:
			proxy.ServeHTTP(w, req)
		}
	}))
	m.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	m.StartTLS()
	t.Cleanup(m.Close)
	m.rootFile = writeRoot(t, m.Server)
	return m
}

type loseKey struct{}

func (m *meddler) meddle(rule func(*http.Request) verdict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rule = rule
}

// requests is how many requests of a kind ("POST order-plz") there were.
func (m *meddler) requests(kind string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count[kind]
}

// once applies a verdict to the first request of a method and path prefix.
func once(method, prefix string, v verdict) func(*http.Request) verdict {
	var first sync.Once
	return func(req *http.Request) (out verdict) {
		if req.Method == method && strings.HasPrefix(req.URL.Path, prefix) {
			first.Do(func() { out = v })
		}
		return out
	}
}

// says answers with a problem document.
func says(status int, kind, detail string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"type":"` + errorNamespace + kind + `","detail":"` + detail + `"}`))
	}
}

func writeRoot(t testing.TB, s *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "root.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

type syncWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (s *syncWriter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

// total is how many requests there were.
func (m *meddler) total() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, of := range m.count {
		n += of
	}
	return n
}
