package sandboxtest

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// World is what a stand-in looks at: records and files that a test publishes. Every name has the address 127.0.0.1;
// names below "broken" are answered with a failure. It ends with the test.
type World struct {
	t        testing.TB
	resolver string
	http     int
	https    int

	mu    sync.Mutex
	zone  map[string][]dns.RR // by lower-case name and type
	files map[string]string   // by scheme, host and path
}

// NewWorld starts one.
func NewWorld(t testing.TB) *World {
	t.Helper()
	w := &World{t: t, zone: map[string][]dns.RR{}, files: map[string]string{}}
	w.resolver = w.nameServer()
	plain := httptest.NewServer(w.web("http"))
	t.Cleanup(plain.Close)
	secure := httptest.NewTLSServer(w.web("https"))
	t.Cleanup(secure.Close)
	w.http, w.https = w.port(plain), w.port(secure)
	return w
}

// Look looks at the world.
func (w *World) Look() *sandbox.Look {
	return &sandbox.Look{Resolver: w.resolver, HTTPPort: w.http, HTTPSPort: w.https}
}

func (w *World) nameServer() string {
	w.t.Helper()
	packets, err := (&net.ListenConfig{}).ListenPacket(w.t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	ready := make(chan struct{})
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(w.answer), NotifyStartedFunc: func() { close(ready) }}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ActivateAndServe() }()
	<-ready
	w.t.Cleanup(func() { _ = server.Shutdown(); <-done })
	return packets.LocalAddr().String()
}

func (w *World) answer(to dns.ResponseWriter, q *dns.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	name, kind := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	m.Answer = w.zone[name+dns.TypeToString[kind]]
	if len(m.Answer) == 0 {
		m.Answer = w.zone[name+"CNAME"]
	}
	if len(m.Answer) == 0 && kind == dns.TypeA {
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
	}
	if strings.HasPrefix(name, "broken.") {
		m.Rcode = dns.RcodeServerFailure
	}
	_ = to.WriteMsg(m)
}

// Publish puts a record into the DNS, such as "a.example. TXT value".
func (w *World) Publish(record string) {
	w.t.Helper()
	rr, err := dns.NewRR(record)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	at := strings.ToLower(rr.Header().Name) + dns.TypeToString[rr.Header().Rrtype]
	w.zone[at] = append(w.zone[at], rr)
}

// Withdraw removes all records of a name and type.
func (w *World) Withdraw(name, kind string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.zone, strings.ToLower(dns.Fqdn(name))+kind)
}

// Clear removes all records.
func (w *World) Clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.zone)
}

// File puts a file on a web server: scheme is http or https, and where is a host and path.
func (w *World) File(scheme, where, body string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[scheme+"://"+where] = body
}

func (w *World) web(scheme string) http.Handler {
	return http.HandlerFunc(func(to http.ResponseWriter, q *http.Request) {
		w.mu.Lock()
		body, there := w.files[scheme+"://"+q.Host+q.URL.Path]
		w.mu.Unlock()
		if !there {
			http.NotFound(to, q)
			return
		}
		_, _ = io.WriteString(to, body)
	})
}

func (w *World) port(s *httptest.Server) int {
	w.t.Helper()
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}
