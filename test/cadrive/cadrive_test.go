package cadrive_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/internal/sandbox"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// toyFaults leaves out what a toy cannot do.
func toyFaults() map[string]cadrive.Fault {
	all := cadrive.Faults()
	delete(all, "types flipped")
	delete(all, "another certificate")
	return all
}

func TestAPluginThatDoesItsWork(t *testing.T) {
	cadrive.Matrix{Purchases: 1, FewestCalls: 2, Faults: toyFaults(), Prepare: func(t testing.TB) cadrive.Case {
		server, d := newToy(t, "")
		return cadrive.Case{StandIn: server, Driver: d, Run: func() { d.MustIssue(d.Order(pluginapi.Settings{}, "shop.example.com")) }}
	}}.Test(t)
}

// trial is a test within a test: it keeps what is said, and ends as a test does.
type trial struct {
	testing.TB
	mu      sync.Mutex
	said    []string
	cleanup []func()
}

func (r *trial) Helper()                   {}
func (r *trial) Logf(string, ...any)       {}
func (r *trial) Cleanup(f func())          { r.cleanup = append(r.cleanup, f) }
func (r *trial) Failed() bool              { r.mu.Lock(); defer r.mu.Unlock(); return len(r.said) > 0 }
func (r *trial) Error(args ...any)         { r.Errorf("%s", fmt.Sprint(args...)) }
func (r *trial) Fatal(args ...any)         { r.Fatalf("%s", fmt.Sprint(args...)) }
func (r *trial) Fatalf(f string, a ...any) { r.Errorf(f, a...); runtime.Goexit() }
func (r *trial) Errorf(f string, a ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf(f, a...))
}

// try runs a test within a test, and returns what it complained of.
func try(t *testing.T, test func(t testing.TB)) string {
	t.Helper()
	r := &trial{TB: t}
	done := make(chan struct{})
	go func() { defer close(done); test(r) }()
	<-done
	for i := len(r.cleanup) - 1; i >= 0; i-- {
		r.cleanup[i]()
	}
	return strings.Join(r.said, "\n")
}

// What a plugin must not do is noticed.
func TestFaultyPluginsAreFound(t *testing.T) {
	for fault, c := range map[string]struct {
		misbehave cadrive.Fault
		want      string // empty: nothing is wrong
	}{
		"":                 {cadrive.Fault{}, ""},
		"guesses":          {cadrive.Fault{Misbehaviour: sandbox.Misbehaviour{Kind: sandbox.Drop, After: true}}, "2 purchases"},
		"talks":            {cadrive.Fault{}, "secret 1 shows in the log"},
		"tells":            {cadrive.Fault{}, "secret 1 shows in the state of an order"},
		"changes its mind": {cadrive.Fault{}, "reference changed"},
		"remembers":        {cadrive.Fault{}, "knows nothing"},
	} {
		t.Run("it "+fault, func(t *testing.T) {
			t.Parallel()
			got := try(t, func(t testing.TB) {
				server, d := newToy(t, fault)
				if c.misbehave.Kind != "" {
					if err := server.Misbehave(c.misbehave.Misbehaviour); err != nil {
						t.Fatal(err)
					}
				}
				d.MustIssue(d.Order(pluginapi.Settings{}, "shop.example.com"))
				cadrive.WantSpent(t, server, 1, 0)
			})
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("said %q, want %q", got, c.want)
			}
		})
	}
}

// A plugin that is not killed may remember.
func TestWithoutKills(t *testing.T) {
	server, d := newToy(t, "remembers")
	d.Killed = false
	d.MustIssue(d.Order(pluginapi.Settings{}, "shop.example.com"))
	cadrive.WantSpent(t, server, 1, 0)
}

// Where a lost order is not found, it is sent again only when that was said twice.
func TestLostBeforeItArrived(t *testing.T) {
	server, d := newToy(t, "")
	d.KillAt(0, false)
	o := d.Order(pluginapi.Settings{}, "shop.example.com")
	if _, err := d.Place(o); err != nil {
		t.Fatal(err)
	}
	var way []string
	for _, c := range server.Calls() {
		way = append(way, c.Method)
	}
	if got := strings.Join(way, " "); got != "GET GET POST" || !d.Died() {
		t.Errorf("the calls were %s", got)
	}
}

func TestRequests(t *testing.T) {
	_, d := newToy(t, "")
	o := d.Order(pluginapi.Settings{}, "shop.example.com", "192.0.2.1")
	csr, err := x509.ParseCertificateRequest(o.CSR)
	if err != nil || csr.Subject.CommonName != "shop.example.com" || len(csr.DNSNames) != 1 || len(csr.IPAddresses) != 1 {
		t.Errorf("the request is for %+v, %v", csr, err)
	}
	if o.Identifiers[0].Type != pluginapi.DNS || o.Identifiers[1].Type != pluginapi.IP || len(o.IdempotencyKey) != 32 {
		t.Errorf("the order is %+v", o)
	}
	next := d.Follow(pluginapi.Renew, o, pluginapi.Order{Reference: "r"})
	if next.IdempotencyKey == o.IdempotencyKey || next.Kind != pluginapi.Renew || next.Previous.Reference != "r" || len(next.Identifiers) != 2 {
		t.Errorf("what follows is %+v", next)
	}
}

func TestWorld(t *testing.T) {
	w := cadrive.NewWorld(t).WithHTTPS(t)
	look, ctx := w.Look(), t.Context()
	publish := func(c pluginapi.Challenge) func() {
		t.Helper()
		withdraw, err := w.Publish(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		return withdraw
	}
	record := func(kind pluginapi.RecordType, value string) pluginapi.Challenge {
		return pluginapi.Challenge{ID: value, DNS: &pluginapi.DNSRecord{Name: "_x.Shop.example.com", Type: kind, Value: value}}
	}
	texts := func() string {
		t.Helper()
		list, err := look.Texts(ctx, "_x.shop.example.com")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(list, " ")
	}
	one := publish(record(pluginapi.TXT, "one"))
	publish(record(pluginapi.TXT, "two"))
	if got := texts(); got != "one two" {
		t.Errorf("the texts are %s", got)
	}
	if one(); texts() != "two" {
		t.Errorf("with one taken away the texts are %s", texts())
	}
	alias := publish(record(pluginapi.CNAME, "elsewhere.example"))
	if got, err := look.Alias(ctx, "_x.shop.example.com"); err != nil || got != "elsewhere.example" {
		t.Errorf("the alias is %s, %v", got, err)
	}
	alias()
	file := pluginapi.Challenge{ID: "f", HTTP: &pluginapi.HTTPFile{Host: "shop.example.com", Path: "/a/b.txt", Body: "the body"}}
	gone := publish(file)
	if got, err := look.Fetch(ctx, "shop.example.com", "/a/b.txt"); err != nil || got != "the body" {
		t.Errorf("the file is %q, %v", got, err)
	}
	gone()
	if got, err := look.Fetch(ctx, "shop.example.com", "/a/b.txt"); err == nil {
		t.Errorf("the file is still there: %q", got)
	}
	if _, err := w.Publish(ctx, pluginapi.Challenge{Email: &pluginapi.Email{}}); err == nil {
		t.Error("a mail was published")
	}
	both := pluginapi.Authorization{Challenges: []pluginapi.Challenge{record(pluginapi.TXT, "t"), file}}
	if c, ok := w.Choose(both); !ok || c.ID != "t" {
		t.Errorf("chosen is %s", c.ID)
	}
	w.Refuse(pluginapi.PublishTXT)
	if c, ok := w.Choose(both); !ok || c.ID != "f" {
		t.Errorf("chosen is %s", c.ID)
	}
	if n := w.Published(pluginapi.PublishTXT); n != 2 {
		t.Errorf("%d texts were published", n)
	}
}

// The name server answers for every name, whatever the case of its letters.
func TestEveryNameHasAnAddress(t *testing.T) {
	w := cadrive.NewWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	answer, _, err := new(dns.Client).ExchangeContext(ctx, new(dns.Msg).SetQuestion("Any.Example.", dns.TypeA), w.Resolver())
	if err != nil || len(answer.Answer) != 1 {
		t.Errorf("%v, %v", answer, err)
	}
}
