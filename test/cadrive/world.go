package cadrive

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/internal/sandbox"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// World is where challenges are published: a name server for all names, and a web server for all hosts. Every name has
// the address 127.0.0.1. It ends with the test.
type World struct {
	resolver    string
	http, https int

	mu        sync.Mutex
	txt       map[string][]string // by lower-case name with a dot at its end
	cname     map[string]string
	files     map[string]string // by host and path
	refused   map[pluginapi.PublishAbility]bool
	published map[pluginapi.PublishAbility]int
}

// NewWorld starts one.
func NewWorld(t testing.TB) *World {
	t.Helper()
	w := &World{
		txt: map[string][]string{}, cname: map[string]string{}, files: map[string]string{},
		refused: map[pluginapi.PublishAbility]bool{}, published: map[pluginapi.PublishAbility]int{},
	}
	w.serveNames(t)
	web := httptest.NewServer(http.HandlerFunc(w.serveFile))
	t.Cleanup(web.Close)
	w.http = port(t, web.Listener)
	w.https = -1
	return w
}

// WithHTTPS serves the files over HTTPS as well, with a certificate that nobody trusts. It is called before Look.
func (w *World) WithHTTPS(t testing.TB) *World {
	t.Helper()
	web := httptest.NewTLSServer(http.HandlerFunc(w.serveFile))
	t.Cleanup(web.Close)
	w.https = port(t, web.Listener)
	return w
}

// Look looks at the world as a CA does.
func (w *World) Look() *sandbox.Look {
	return &sandbox.Look{Resolver: w.resolver, HTTPPort: w.http, HTTPSPort: w.https}
}

// Resolver is the name server's address, host:port over UDP.
func (w *World) Resolver() string { return w.resolver }

func port(t testing.TB, l net.Listener) int {
	t.Helper()
	_, text, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (w *World) serveNames(t testing.TB) {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started, done := make(chan struct{}), make(chan struct{})
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(w.answer), NotifyStartedFunc: func() { close(started) }}
	go func() { defer close(done); _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown(); <-done })
	w.resolver = conn.LocalAddr().String()
}

func (w *World) answer(to dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	name, kind := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	header := func(kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: 1}
	}
	w.mu.Lock()
	alias, texts := w.cname[name], slices.Clone(w.txt[name])
	w.mu.Unlock()
	switch {
	case alias != "":
		m.Answer = append(m.Answer, &dns.CNAME{Hdr: header(dns.TypeCNAME), Target: dns.Fqdn(alias)})
	case kind == dns.TypeTXT:
		for _, text := range texts {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: header(kind), Txt: []string{text}})
		}
	case kind == dns.TypeA:
		m.Answer = append(m.Answer, &dns.A{Hdr: header(kind), A: net.IPv4(127, 0, 0, 1)})
	}
	_ = to.WriteMsg(m) // who has asked and gone asks again
}

func (w *World) serveFile(to http.ResponseWriter, q *http.Request) {
	host, _, _ := strings.Cut(q.Host, ":")
	w.mu.Lock()
	body, ok := w.files[strings.ToLower(host)+q.URL.Path]
	w.mu.Unlock()
	if !ok {
		http.NotFound(to, q)
		return
	}
	_, _ = to.Write([]byte(body))
}

// Refuse makes the world like a DCV profile that cannot publish some challenges.
func (w *World) Refuse(kinds ...pluginapi.PublishAbility) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range kinds {
		w.refused[k] = true
	}
}

// Published is how many challenges of a kind were published.
func (w *World) Published(kind pluginapi.PublishAbility) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.published[kind]
}

// abilityFor is what it takes to publish a challenge; zero for one that only a person can answer.
func abilityFor(c pluginapi.Challenge) pluginapi.PublishAbility {
	switch {
	case c.HTTP != nil:
		return pluginapi.PublishFile
	case c.DNS != nil && c.DNS.Type == pluginapi.CNAME:
		return pluginapi.PublishCNAME
	case c.DNS != nil && c.DNS.Type == pluginapi.TXT:
		return pluginapi.PublishTXT
	default:
		return 0
	}
}

// Choose takes the first challenge that can be published.
func (w *World) Choose(a pluginapi.Authorization) (pluginapi.Challenge, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range a.Challenges {
		if kind := abilityFor(c); kind != 0 && !w.refused[kind] {
			return c, true
		}
	}
	return pluginapi.Challenge{}, false
}

// errNotPublishable is for a challenge that only a person can answer.
var errNotPublishable = errors.New("the challenge is no record and no file")

// Publish puts a challenge up and returns what takes it down again. It fits plugintest.Options.Publish.
func (w *World) Publish(_ context.Context, c pluginapi.Challenge) (withdraw func(), err error) {
	kind := abilityFor(c)
	if kind == 0 {
		return nil, errNotPublishable
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.published[kind]++
	if kind == pluginapi.PublishFile {
		at := strings.ToLower(c.HTTP.Host) + c.HTTP.Path
		w.files[at] = c.HTTP.Body
		return func() { w.remove(w.files, at, c.HTTP.Body) }, nil
	}
	name := strings.ToLower(dns.Fqdn(c.DNS.Name))
	if kind == pluginapi.PublishCNAME {
		w.cname[name] = c.DNS.Value
		return func() { w.remove(w.cname, name, c.DNS.Value) }, nil
	}
	delete(w.cname, name) // a name with a CNAME record has no other (RFC 1034 section 3.6.2)
	w.txt[name] = append(w.txt[name], c.DNS.Value)
	return func() { w.removeText(name, c.DNS.Value) }, nil
}

// remove takes something away unless something else has taken its place.
func (w *World) remove(from map[string]string, at, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if from[at] == value {
		delete(from, at)
	}
}

// removeText takes one record away and leaves those beside it.
func (w *World) removeText(name, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.txt[name], value); i >= 0 {
		w.txt[name] = slices.Delete(w.txt[name], i, i+1)
	}
}
