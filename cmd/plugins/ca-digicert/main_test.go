package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/digicert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
)

// asPlugin in the environment makes the test binary the plugin itself.
const asPlugin = "CA_DIGICERT_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestConformance runs the plugin as a process of its own against the stand-in, for a product that needs validation
// every time and for one whose validation is used again.
func TestConformance(t *testing.T) {
	authority, err := standin.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for product, only := range map[string][]string{
		"ssl_dv_geotrust_flex": nil,
		// An order whose names are validated is issued before it can be canceled.
		"ssl_basic": {"preflight", "order", "replay", "find-order", "kill-between-calls", "certificate", "follow-up", "secrets"},
	} {
		t.Run(product, func(t *testing.T) {
			t.Parallel()
			records := newRecords(t)
			settings := standin.DefaultSettings()
			settings.CheckCAA = false
			settings.RateLimits = false // the suite starts a process for almost every call, and each begins to count anew
			server, err := standin.New(standin.Options{
				Authority: authority, Settings: &settings, Look: &sandbox.Look{Resolver: records.addr, HTTPSPort: -1},
			})
			if err != nil {
				t.Fatal(err)
			}
			web := httptest.NewServer(server)
			t.Cleanup(web.Close)
			report := plugintest.Test(t, plugintest.Options{
				Path: path, Env: []string{asPlugin + "=1"},
				Settings: pluginapi.Settings{
					Values:  map[string]any{"base_url": web.URL + standin.BasePath, "organization_id": int64(standin.DemoOrganization), "skip_approval": true},
					Secrets: map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret(server.Key())},
				},
				Only:          only,
				OrderSettings: pluginapi.Settings{Values: map[string]any{"product": product, "order_validity": map[string]any{"days": int64(60)}}}, // renewed within the last 90 days
				Identifiers: []pluginapi.Identifier{
					{Value: "shop.example.com", Type: pluginapi.DNS, ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeDNS}},
					{Value: "api.example.com", Type: pluginapi.DNS, ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeDNS}},
				},
				Publish: records.publish, SpendMoney: true,
			})
			for _, c := range report.Checks {
				if c.Result == plugintest.Skip {
					t.Errorf("%s was skipped: %s", c.Name, c.Words)
				}
			}
		})
	}
}

// records is a name server that knows what was published.
type records struct {
	addr string
	mu   sync.Mutex
	txt  map[string][]string
}

func newRecords(t *testing.T) *records {
	t.Helper()
	r := &records{txt: map[string][]string{}}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = conn.LocalAddr().String()
	started, done := make(chan struct{}), make(chan struct{})
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(r.answer), NotifyStartedFunc: func() { close(started) }}
	go func() { defer close(done); _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown(); <-done })
	return r
}

func (r *records) answer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	name := strings.ToLower(q.Question[0].Name)
	r.mu.Lock()
	for _, text := range r.txt[name] {
		if q.Question[0].Qtype == dns.TypeTXT {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 1}, Txt: []string{text}})
		}
	}
	r.mu.Unlock()
	_ = w.WriteMsg(m)
}

func (r *records) publish(_ context.Context, c pluginapi.Challenge) (func(), error) {
	if c.DNS == nil || c.DNS.Type != pluginapi.TXT {
		return nil, http.ErrNotSupported
	}
	name := dns.Fqdn(c.DNS.Name)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.txt[name] = append(r.txt[name], c.DNS.Value)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if i := slices.Index(r.txt[name], c.DNS.Value); i >= 0 {
			r.txt[name] = slices.Delete(r.txt[name], i, i+1)
		}
	}, nil
}
