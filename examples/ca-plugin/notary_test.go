package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
)

const (
	asPlugin  = "CA_NOTARY_AS_PLUGIN" // in the environment it makes the test binary the plugin
	testToken = "tok-1618033988749"
)

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// fakeNotary is the CA's side of the API.
type fakeNotary struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	ca  *x509.Certificate

	mu     sync.Mutex
	orders map[string]*order // by id
	keys   map[string]string // id by idempotency key
	bought map[string]purchase
	sold   int
	// loseAnswer makes it break the connection after a purchase was booked.
	loseAnswer bool
}

func startNotary(t *testing.T) (*fakeNotary, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "The Notary"}, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	n := &fakeNotary{t: t, key: key, ca: ca, orders: map[string]*order{}, keys: map[string]string{}, bought: map[string]purchase{}}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /orders", n.sell)
	routes.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) { n.show(w, n.keys[r.FormValue("key")]) })
	routes.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) { n.show(w, r.PathValue("id")) })
	routes.HandleFunc("POST /orders/{id}/cancel", n.cancel)
	routes.HandleFunc("GET /account", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, struct{}{}) })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+testToken {
			write(w, http.StatusUnauthorized, map[string]string{"error": "who are you?"})
			return
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		routes.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return n, server.URL
}

func write(w http.ResponseWriter, status int, answer any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func (n *fakeNotary) sell(w http.ResponseWriter, r *http.Request) {
	var p purchase
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
		write(w, http.StatusBadRequest, map[string]string{"error": "no purchase"})
		return
	}
	if n.keys[p.Key] == "" {
		n.sold++
		id := "N-" + p.Key[:12]
		n.keys[p.Key], n.bought[id] = id, p
		n.orders[id] = &order{ID: id, Status: "pending", Price: "12.50", PaidTill: time.Now().Add(24 * time.Hour)}
	}
	if n.loseAnswer {
		panic(http.ErrAbortHandler)
	}
	write(w, http.StatusCreated, n.orders[n.keys[p.Key]])
}

// show issues what is pending, as if a notary had looked at it meanwhile.
func (n *fakeNotary) show(w http.ResponseWriter, id string) {
	o := n.orders[id]
	if o == nil {
		write(w, http.StatusNotFound, map[string]string{"error": "no such order"})
		return
	}
	if o.Status == "pending" {
		n.issue(o, n.bought[id])
	}
	write(w, http.StatusOK, o)
}

func (n *fakeNotary) issue(o *order, p purchase) {
	csr, err := x509.ParseCertificateRequest(p.CSR)
	if err != nil {
		n.t.Error(err)
		return
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: p.Names,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, n.ca, csr.PublicKey, n.key)
	if err != nil {
		n.t.Error(err)
		return
	}
	o.Status, o.Chain = "issued", [][]byte{der, n.ca.Raw}
}

func (n *fakeNotary) cancel(w http.ResponseWriter, r *http.Request) {
	o := n.orders[r.PathValue("id")]
	switch {
	case o == nil:
		write(w, http.StatusNotFound, map[string]string{"error": "no such order"})
	case o.Status == "issued":
		write(w, http.StatusConflict, map[string]string{"error": "issued already"})
	default:
		o.Status = "canceled"
		write(w, http.StatusOK, o)
	}
}

func account(base string) pluginapi.Settings {
	return pluginapi.Settings{
		Values:  map[string]any{"base_url": base},
		Secrets: map[string]pluginapi.Secret{"token": pluginapi.NewSecret(testToken)},
	}
}

func TestConformance(t *testing.T) {
	_, base := startNotary(t)
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	plugintest.Test(t, plugintest.Options{
		Path: path, Env: []string{asPlugin + "=1"}, Settings: account(base),
		OrderSettings: pluginapi.Settings{Values: map[string]any{"product": "sealed"}},
		Identifiers:   []pluginapi.Identifier{{Value: "deed.example.com", Type: pluginapi.DNS}},
		SpendMoney:    true, // the Notary of this test takes none
	})
}

// TestLostAnswer holds the rule about money: a purchase whose answer was lost is an unknown outcome and no other kind, it
// is not sent again by anything below, and FindOrder finds it.
func TestLostAnswer(t *testing.T) {
	n, base := startNotary(t)
	n.loseAnswer = true
	plugin := &notary{}
	if _, err := plugin.Configure(t.Context(), pluginapi.Account{Settings: account(base)}); err != nil {
		t.Fatal(err)
	}
	request := pluginapi.OrderRequest{
		IdempotencyKey: strings.Repeat("a", 32), Kind: pluginapi.New,
		Identifiers: []pluginapi.Identifier{{Value: "deed.example.com", Type: pluginapi.DNS}},
	}
	_, err := plugin.PlaceOrder(t.Context(), request)
	if pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
		t.Errorf("got %s: %v", pluginapi.KindOf(err), err)
	}
	n.mu.Lock()
	sold := n.sold
	n.orders["N-aaaaaaaaaaaa"].Status = "refused" // so that nothing is issued
	n.mu.Unlock()
	if sold != 1 {
		t.Errorf("sold %d", sold)
	}
	found, err := plugin.FindOrder(t.Context(), request, time.Now())
	if err != nil || found.Order.Reference != "N-aaaaaaaaaaaa" {
		t.Errorf("found %q, %v", found.Order.Reference, err)
	}
}

func TestPurchaseThatWasNeverSent(t *testing.T) {
	plugin := &notary{}
	if _, err := plugin.Configure(t.Context(), pluginapi.Account{Settings: account("http://127.0.0.1:1")}); err != nil {
		t.Fatal(err)
	}
	_, err := plugin.PlaceOrder(t.Context(), pluginapi.OrderRequest{IdempotencyKey: strings.Repeat("a", 32), Kind: pluginapi.New})
	if pluginapi.KindOf(err) != pluginapi.Unavailable {
		t.Errorf("got %s: %v", pluginapi.KindOf(err), err)
	}
}
