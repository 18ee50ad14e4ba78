package cadrive_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

const toyKey = "TOY-KEY-0123456789"

// authority signs for all toy stand-ins of a test run.
var authority = sync.OnceValues(func() (*sandbox.Authority, error) {
	return sandbox.NewAuthority([]sandbox.IssuerShape{{Root: "Toy Root", Name: "Toy CA", Kind: sandbox.ECDSA}})
})

// toyServer is the smallest CA that takes money: POST /orders?mark= buys, GET /orders?mark= finds, and GET /look?mark=
// looks at the record and issues.
type toyServer struct {
	sandbox.Mischief
	issuer *sandbox.Issuer
	look   *sandbox.Look

	calls  sandbox.Calls
	mu     sync.Mutex
	ledger sandbox.Ledger
	orders map[string]*toyOrder // by mark
}

type toyOrder struct {
	CSR   []byte
	Value string
	Chain [][]byte
}

func (s *toyServer) Ledger() sandbox.Ledger                 { s.mu.Lock(); defer s.mu.Unlock(); return s.ledger.Copy() }
func (s *toyServer) Calls() []sandbox.Call                  { return s.calls.List() }
func (s *toyServer) Misbehave(m sandbox.Misbehaviour) error { return s.Add(m) }
func (s *toyServer) roots() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.issuer.Root.Raw})
}

func (s *toyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := s.calls.Begin(time.Now(), r.Method, r.URL.Path)
	note := func(kind string) { s.calls.Note(n, func(c *sandbox.Call) { c.Misbehaved = kind }) }
	s.Serve(w, r, r.URL.Path, note, http.HandlerFunc(s.answer))
}

func (s *toyServer) answer(w http.ResponseWriter, r *http.Request) {
	mark := r.URL.Query().Get("mark")
	csr, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.orders[mark]
	if r.Method == http.MethodPost {
		s.ledger.Add(sandbox.Entry{Kind: sandbox.Purchase})
		o = &toyOrder{CSR: csr, Value: "value-of-" + mark}
		s.orders[mark] = o
	}
	if o == nil {
		http.Error(w, "{}", http.StatusNotFound)
		return
	}
	if r.URL.Path == "/look" {
		s.issue(r.Context(), o)
	}
	_ = json.NewEncoder(w).Encode(o)
}

func (s *toyServer) issue(ctx context.Context, o *toyOrder) {
	csr, err := x509.ParseCertificateRequest(o.CSR)
	if err != nil || o.Chain != nil {
		return
	}
	texts, err := s.look.Texts(ctx, "_toy."+strings.TrimPrefix(csr.DNSNames[0], "*."))
	if err != nil || len(texts) != 1 || texts[0] != o.Value {
		return
	}
	leaf, err := s.issuer.Issue(sandbox.Leaf{PublicKey: csr.PublicKey, Names: csr.DNSNames, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour)})
	if err == nil {
		o.Chain = [][]byte{leaf.Raw, s.issuer.Cert.Raw}
	}
}

// toyPlugin is a plugin for it, with faults that a Driver has to notice.
type toyPlugin struct {
	fault string // empty: it does its work
	log   *slog.Logger
	url   string
	key   string
	began bool // lost at every kill
}

func (p *toyPlugin) Describe(context.Context) (pluginapi.Description, error) {
	return pluginapi.Description{Name: "toy", CSRCommonName: true}, nil
}

func (p *toyPlugin) Configure(_ context.Context, a pluginapi.Account) (pluginapi.Configured, error) {
	p.url, _ = a.Settings.Values["base_url"].(string)
	p.key = a.Settings.Secret("api_key").Reveal()
	if p.fault == "talks" {
		p.log.Info("configured", "key", p.key)
	}
	return pluginapi.Configured{}, nil
}

// errLost is an answer that did not come.
var errLost = errors.New("no answer")

func (p *toyPlugin) call(ctx context.Context, method, path string, o pluginapi.OrderRequest) (toyOrder, int, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.url+path+"?mark="+o.IdempotencyKey, bytes.NewReader(o.CSR))
	if err != nil {
		return toyOrder{}, 0, err
	}
	req.Close = true
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return toyOrder{}, 0, errLost
	}
	defer resp.Body.Close()
	var out toyOrder
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return toyOrder{}, 0, errLost
	}
	return out, resp.StatusCode, nil
}

func (p *toyPlugin) reply(o pluginapi.OrderRequest, got toyOrder, status int, err error, lost pluginapi.ErrorKind) (pluginapi.OrderReply, error) {
	switch {
	case err != nil || status >= 500 || status == http.StatusTooManyRequests:
		return pluginapi.OrderReply{}, pluginapi.Errorf(lost, "no answer")
	case status != http.StatusOK:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "no such order")
	}
	name := strings.TrimPrefix(o.Identifiers[0].Value, "*.")
	order := pluginapi.Order{
		Reference: o.IdempotencyKey, Status: pluginapi.PendingValidation,
		Authorizations: []pluginapi.Authorization{{Identifier: name, Challenges: []pluginapi.Challenge{
			{ID: "by-hand", Identifier: name, Manual: &pluginapi.Manual{Instructions: "call us"}},
			{ID: got.Value, Identifier: name, DNS: &pluginapi.DNSRecord{Name: "_toy." + name, Type: pluginapi.TXT, Value: got.Value}},
		}}},
	}
	if len(got.Chain) > 0 {
		order.Status, order.Chain = pluginapi.Issued, got.Chain
	}
	switch p.fault {
	case "tells":
		order.State = []byte("the key is " + p.key)
	case "changes its mind":
		order.Reference += time.Now().Format(time.RFC3339Nano)
	}
	return pluginapi.OrderReply{Order: order}, nil
}

func (p *toyPlugin) PlaceOrder(ctx context.Context, o pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	p.began = true
	got, status, err := p.call(ctx, http.MethodPost, "/orders", o)
	lost := pluginapi.UnknownOutcome
	if p.fault == "guesses" {
		lost = pluginapi.Unavailable // and so it will be sent once more
	}
	return p.reply(o, got, status, err, lost)
}

func (p *toyPlugin) FindOrder(ctx context.Context, o pluginapi.OrderRequest, _ time.Time) (pluginapi.OrderReply, error) {
	got, status, err := p.call(ctx, http.MethodGet, "/orders", o)
	return p.reply(o, got, status, err, pluginapi.Unavailable)
}

func (p *toyPlugin) GetOrder(ctx context.Context, o pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	if p.fault == "remembers" && !p.began {
		return pluginapi.OrderReply{}, pluginapi.FieldErrorf("order", "of which this plugin knows nothing")
	}
	got, status, err := p.call(ctx, http.MethodGet, "/look", o.OrderRequest)
	return p.reply(o.OrderRequest, got, status, err, pluginapi.Unavailable)
}

func (p *toyPlugin) RespondToChallenges(ctx context.Context, o pluginapi.PlacedOrder, _ []string) (pluginapi.OrderReply, error) {
	return p.GetOrder(ctx, o)
}

// newToy makes a stand-in and a Driver for a plugin with a fault.
func newToy(t testing.TB, fault string) (*toyServer, *cadrive.Driver[*toyPlugin]) {
	t.Helper()
	signer, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	world := cadrive.NewWorld(t)
	server := &toyServer{issuer: signer.Issuers[0], look: world.Look(), orders: map[string]*toyOrder{}}
	server.TooMany, server.Failed = []byte("{}"), []byte("{}")
	var url string
	d := cadrive.New(t, cadrive.Options[*toyPlugin]{
		Start: func(log *slog.Logger) *toyPlugin { return &toyPlugin{fault: fault, log: log} },
		Settings: func() pluginapi.Settings {
			return pluginapi.Settings{Values: map[string]any{"base_url": url}, Secrets: map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret(toyKey)}}
		},
		World: world, Roots: server.roots, Secrets: []string{toyKey},
	})
	url = d.Serve(server)
	return server, d
}
