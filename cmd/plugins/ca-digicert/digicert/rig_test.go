package digicert

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/digicert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// TestMain lets more tests run at once than there are processors: most of their time they wait for a pause to end.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// authority signs for all stand-ins of a test run: its keys take a while.
var authority = sync.OnceValues(standin.NewAuthority)

const (
	adminKey   = "ADMIN-KEY-FOR-TESTS-0123456789"
	limitedKey = "LIMITED-KEY-FOR-TESTS-0123456789"
)

// rig is what a daemon does for one account at the stand-in: it publishes challenges, keeps states, and calls again.
type rig struct {
	t      testing.TB
	server *standin.Server
	url    string
	zone   *zone
	values map[string]any // account settings
	key    string
	// killed makes every call run in a new instance, as after a kill between any two calls.
	killed bool
	// forgetful drops the order's state between two calls, as for an order that a person resolved.
	forgetful bool
	// settle is how long after a lost call it is looked for: it may be carried out only now. The daemon waits for what
	// Describe says.
	settle time.Duration

	ca   *CA
	logs *syncBuffer
}

func newRig(t testing.TB, change ...func(*standin.Settings)) *rig {
	t.Helper()
	signer, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, zone: newZone(t), values: map[string]any{}, key: adminKey, killed: true, logs: &syncBuffer{}}
	settings := standin.DefaultSettings()
	settings.CheckCAA = false
	for _, c := range change {
		c(&settings)
	}
	r.server, err = standin.New(standin.Options{
		Authority: signer, Settings: &settings, Look: &sandbox.Look{Resolver: r.zone.addr, HTTPPort: r.zone.httpPort, HTTPSPort: -1},
		Users: []standin.User{
			{ID: 1, Key: adminKey, Name: "admin", Role: standin.Administrator, EVApprover: true},
			{ID: 2, Key: limitedKey, Name: "limited", Role: standin.StandardUser},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(r.server)
	r.url = web.URL + standin.BasePath
	t.Cleanup(func() {
		if r.ca != nil {
			r.ca.Close()
		}
		web.CloseClientConnections()
		web.Close()
		if t.Failed() {
			t.Logf("the plugin's log:\n%s", r.logs)
		}
		for _, key := range []string{adminKey, limitedKey} {
			if strings.Contains(r.logs.String(), key) {
				t.Errorf("a key stands in the log")
			}
		}
	})
	return r
}

// instance returns the plugin as the daemon would reach it.
func (r *rig) instance() *CA {
	r.t.Helper()
	if r.ca != nil && !r.killed {
		return r.ca
	}
	if r.ca != nil {
		r.ca.Close()
	}
	r.ca = New(Options{Version: "1.2.3", Now: r.server.Now, Logger: slog.New(slog.NewTextHandler(r.logs, nil))})
	values := map[string]any{"base_url": r.url, "request_timeout": "1s", "organization_id": int64(standin.DemoOrganization)}
	for k, v := range r.values {
		values[k] = v
	}
	done, err := r.ca.Configure(r.t.Context(), pluginapi.Account{Settings: pluginapi.Settings{
		Values: values, Secrets: map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret(r.key)},
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range done.Findings {
		r.t.Fatalf("configure: %s: %s", f.Field, f.Message)
	}
	return r.ca
}

// order makes a request for names.
func (r *rig) order(product string, names ...string) pluginapi.OrderRequest {
	r.t.Helper()
	return orderFor(r.t, newKey(r.t), product, names...)
}

func orderFor(t testing.TB, key *ecdsa.PrivateKey, product string, names ...string) pluginapi.OrderRequest {
	t.Helper()
	mark := make([]byte, 16)
	_, _ = rand.Read(mark)
	o := pluginapi.OrderRequest{
		IdempotencyKey: hex.EncodeToString(mark), Kind: pluginapi.New, CSR: newCSR(t, key, names...), CertificateName: "shop",
		Settings: pluginapi.Settings{Values: map[string]any{
			"product": product, "order_validity": map[string]any{"years": int64(1)}, "skip_approval": true,
		}},
	}
	for _, n := range names {
		o.Identifiers = append(o.Identifiers, pluginapi.Identifier{Value: n, Type: pluginapi.DNS, ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeDNS}})
	}
	return o
}

// follow makes the request that follows an order: another key, the same names unless others are given.
func (r *rig) follow(kind pluginapi.OrderKind, before pluginapi.OrderRequest, issued pluginapi.Order, names ...string) pluginapi.OrderRequest {
	r.t.Helper()
	if len(names) == 0 {
		for _, id := range before.Identifiers {
			names = append(names, id.Value)
		}
	}
	product, _ := before.Settings.Values["product"].(string)
	o := r.order(product, names...)
	o.Kind, o.Settings = kind, before.Settings
	o.Previous = &pluginapi.PreviousOrder{Reference: issued.Reference, State: issued.State, Chain: issued.Chain}
	return o
}

// mostSteps bounds how many calls an order takes; each failed one counts, too.
const mostSteps = 60

// issue takes an order from the intent to its certificate as the daemon does: through whatever goes wrong, never sending
// it twice on a guess.
func (r *rig) issue(o pluginapi.OrderRequest) (pluginapi.Order, error) {
	r.t.Helper()
	placed, err := r.place(o)
	if err != nil {
		return placed, err
	}
	return r.finish(o, placed)
}

func (r *rig) place(o pluginapi.OrderRequest) (pluginapi.Order, error) {
	ctx := r.t.Context()
	sent, notFound := false, 0
	var err error
	var reply pluginapi.OrderReply
	for range mostSteps {
		if !sent {
			if reply, err = r.instance().PlaceOrder(ctx, o); err == nil {
				return reply.Order, nil
			}
			switch pluginapi.KindOf(err) {
			case pluginapi.UnknownOutcome:
				sent, notFound = true, 0
				select {
				case <-time.After(r.settle):
				case <-ctx.Done():
				}
			case pluginapi.RateLimited, pluginapi.Unavailable, pluginapi.Conflict:
			default:
				return pluginapi.Order{}, err
			}
			continue
		}
		if reply, err = r.instance().FindOrder(ctx, o, time.Now()); err == nil {
			return reply.Order, nil
		}
		if kind := pluginapi.KindOf(err); kind == pluginapi.UnknownOutcome {
			return pluginapi.Order{}, err
		} else if kind == pluginapi.NotFound {
			if notFound++; notFound == 2 {
				sent = false
			}
		}
	}
	return pluginapi.Order{}, fmt.Errorf("not placed: %w", err)
}

func (r *rig) finish(o pluginapi.OrderRequest, at pluginapi.Order) (pluginapi.Order, error) {
	ctx := r.t.Context()
	told := map[string]bool{}
	var err error
	for range mostSteps {
		switch at.Status {
		case pluginapi.Issued, pluginapi.OrderRejected, pluginapi.Canceled, pluginapi.Expired, pluginapi.PendingApproval:
			return at, nil
		}
		var ids []string
		for _, a := range at.Authorizations {
			if c, ok := r.zone.choose(a); ok && !a.Valid && !told[c.ID] {
				r.zone.publish(c)
				ids = append(ids, c.ID)
			}
		}
		placed := pluginapi.PlacedOrder{OrderRequest: o, Reference: at.Reference, State: at.State}
		if r.forgetful {
			placed.State = nil
		}
		var reply pluginapi.OrderReply
		if len(ids) > 0 {
			reply, err = r.instance().RespondToChallenges(ctx, placed, ids)
		} else {
			reply, err = r.instance().GetOrder(ctx, placed)
		}
		if err != nil {
			if kind := pluginapi.KindOf(err); kind == 0 || kind == pluginapi.InvalidRequest {
				return at, err
			}
			continue
		}
		for _, id := range ids {
			told[id] = true
		}
		at = reply.Order
	}
	return at, fmt.Errorf("still %s: %s (last error: %w)", at.Status, at.Detail, err)
}

// mustIssue issues and looks at what was issued as the daemon does.
func (r *rig) mustIssue(o pluginapi.OrderRequest) pluginapi.Order {
	r.t.Helper()
	got, err := r.issue(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.checkIssued(o, got)
	return got
}

func (r *rig) checkIssued(o pluginapi.OrderRequest, got pluginapi.Order) {
	r.t.Helper()
	if got.Status != pluginapi.Issued || len(got.Chain) < 2 {
		r.t.Fatalf("the order is %s with %d certificates: %s", got.Status, len(got.Chain), got.Detail)
	}
	csr, err := x509.ParseCertificateRequest(o.CSR)
	if err != nil {
		r.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(got.Chain[0])
	if err != nil {
		r.t.Fatal(err)
	}
	if !bytes.Equal(leaf.RawSubjectPublicKeyInfo, csr.RawSubjectPublicKeyInfo) {
		r.t.Fatal("the certificate is for another key")
	}
	if o.Previous != nil && bytes.Equal(got.Chain[0], o.Previous.Chain[0]) {
		r.t.Fatal("the certificate is the one from before")
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(r.server.RootsPEM())
	for _, der := range got.Chain[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			r.t.Fatal(err)
		}
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: leaf.NotBefore.Add(time.Minute)}); err != nil {
		r.t.Fatalf("the chain: %v", err)
	}
	for _, id := range o.Identifiers {
		if !strings.Contains(strings.Join(leaf.DNSNames, " ")+" ", id.Value+" ") {
			r.t.Errorf("%s is not among %v", id.Value, leaf.DNSNames)
		}
	}
}

// bought checks how often money was spent and reissues were made.
func (r *rig) bought(purchases, reissues int) {
	r.t.Helper()
	l := r.server.Ledger()
	if p, re := l.Count(sandbox.Purchase), l.Count(sandbox.Reissue); p != purchases || re != reissues {
		r.t.Errorf("%d purchases and %d reissues, want %d and %d", p, re, purchases, reissues)
	}
}

func (r *rig) misbehave(m sandbox.Misbehaviour) {
	r.t.Helper()
	if err := r.server.Misbehave(m); err != nil {
		r.t.Fatal(err)
	}
}

// post makes a call of the API that the plugin does not make.
func (r *rig) post(ctx context.Context, path string, into any) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+path, strings.NewReader("{}"))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-DC-DEVKEY", adminKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode/100 != 2 {
		r.t.Fatalf("POST %s: HTTP %d, %v", path, resp.StatusCode, err)
	}
}

// zone is the DNS and the web server of all names.
type zone struct {
	addr     string
	httpPort int
	// refused are types of challenges, "TXT", "CNAME" and "file", that cannot be published.
	refused map[string]bool

	mu    sync.Mutex
	txt   map[string][]string
	cname map[string]string
	files map[string]string // host + path
	seen  map[string]int    // by type
}

func newZone(t testing.TB) *zone {
	t.Helper()
	z := &zone{refused: map[string]bool{}, txt: map[string][]string{}, cname: map[string]string{}, files: map[string]string{}, seen: map[string]int{}}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(z.answer), NotifyStartedFunc: func() { close(started) }}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown(); <-done })
	z.addr = conn.LocalAddr().String()
	web := httptest.NewServer(http.HandlerFunc(z.serveFile))
	t.Cleanup(web.Close)
	_, port, _ := net.SplitHostPort(web.Listener.Addr().String())
	z.httpPort, _ = strconv.Atoi(port)
	return z
}

func (z *zone) answer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	name := strings.ToLower(q.Question[0].Name)
	header := func(kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: 1}
	}
	z.mu.Lock()
	alias := z.cname[name]
	texts := z.txt[name]
	z.mu.Unlock()
	switch kind := q.Question[0].Qtype; {
	case alias != "":
		m.Answer = append(m.Answer, &dns.CNAME{Hdr: header(dns.TypeCNAME), Target: dns.Fqdn(alias)})
	case kind == dns.TypeTXT:
		for _, text := range texts {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: header(kind), Txt: []string{text}})
		}
	case kind == dns.TypeA:
		m.Answer = append(m.Answer, &dns.A{Hdr: header(kind), A: net.IPv4(127, 0, 0, 1)})
	}
	_ = w.WriteMsg(m)
}

func (z *zone) serveFile(w http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	z.mu.Lock()
	body, ok := z.files[host+r.URL.Path]
	z.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write([]byte(body))
}

func kindOf(c pluginapi.Challenge) string {
	switch {
	case c.DNS != nil:
		return string(c.DNS.Type)
	case c.HTTP != nil:
		return "file"
	default:
		return c.Type().String()
	}
}

// choose takes the first challenge that can be published.
func (z *zone) choose(a pluginapi.Authorization) (pluginapi.Challenge, bool) {
	for _, c := range a.Challenges {
		if kind := kindOf(c); !z.refused[kind] && kind != "email" {
			return c, true
		}
	}
	return pluginapi.Challenge{}, false
}

func (z *zone) publish(c pluginapi.Challenge) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.seen[kindOf(c)]++
	switch {
	case c.HTTP != nil:
		z.files[c.HTTP.Host+c.HTTP.Path] = c.HTTP.Body
	case c.DNS != nil && c.DNS.Type == pluginapi.CNAME:
		z.cname[dns.Fqdn(c.DNS.Name)] = c.DNS.Value
	case c.DNS != nil:
		name := dns.Fqdn(c.DNS.Name)
		delete(z.cname, name)
		z.txt[name] = append(z.txt[name], c.DNS.Value)
	}
}

func (z *zone) published(kind string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.seen[kind]
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
