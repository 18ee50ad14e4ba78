package sandbox

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nameServer answers from zone text over UDP and TCP on one port. Names that begin with "big." do not fit into UDP.
func nameServer(t *testing.T, records ...string) string {
	t.Helper()
	zone := map[string][]dns.RR{}
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		at := rr.Header().Name + dns.TypeToString[rr.Header().Rrtype]
		zone[at] = append(zone[at], rr)
	}
	answer := func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		name := strings.ToLower(q.Question[0].Name)
		m.Answer = zone[name+dns.TypeToString[q.Question[0].Qtype]]
		if len(m.Answer) == 0 {
			m.Answer = zone[name+"CNAME"] // the target is left to whoever asks
		}
		if len(m.Answer) == 0 {
			m.Rcode = dns.RcodeNameError
		}
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp && strings.HasPrefix(name, "big.") {
			m.Truncated, m.Answer = true, nil
		}
		if strings.HasPrefix(name, "refused.") {
			m.Rcode = dns.RcodeRefused
		}
		_ = w.WriteMsg(m)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", listener.Addr().String())
	if err != nil {
		t.Skipf("the UDP port of the same number is taken: %v", err)
	}
	for _, s := range []*dns.Server{{Listener: listener}, {PacketConn: packets}} {
		ready, done := make(chan struct{}), make(chan struct{})
		s.Handler, s.NotifyStartedFunc = dns.HandlerFunc(answer), func() { close(ready) }
		go func() { defer close(done); _ = s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { _ = s.Shutdown(); <-done })
	}
	return listener.Addr().String()
}

func TestLookAtRecords(t *testing.T) {
	l := &Look{Resolver: nameServer(t,
		`a.example. IN TXT "one" "two"`, `a.example. IN TXT three`, `big.example. IN TXT large`, `alias.example. IN CNAME a.example.`,
		`loop.example. IN CNAME pool.example.`, `pool.example. IN CNAME loop.example.`, `Self.example. IN CNAME self.example.`,
		`example. IN CAA 0 issue "ca.example"`, `own.example. IN CAA 0 issue ";"`,
	)}
	for name, want := range map[string]string{
		"a.example": "onetwo three", "big.example": "large", "alias.example": "onetwo three", "none.example": "", "self.example": "",
	} {
		got, err := l.Texts(t.Context(), name)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"loop.example", "refused.example"} {
		if got, err := l.Texts(t.Context(), name); err == nil {
			t.Errorf("%s: %q without an error", name, got)
		}
	}
	if alias, err := l.Alias(t.Context(), "alias.example"); err != nil || alias != "a.example" {
		t.Errorf("alias %q, %v", alias, err)
	}
	for name, want := range map[string]string{"x.y.example": "ca.example", "own.example": ";", "elsewhere.test": ""} {
		var got string
		records, err := l.CAA(t.Context(), name)
		for _, r := range records {
			got += r.Value
		}
		if err != nil || got != want {
			t.Errorf("CAA of %s: %q, %v", name, got, err)
		}
	}
}

// RFC 8659 section 4: issue and issuewild.
func TestMayIssue(t *testing.T) {
	l := &Look{Resolver: nameServer(t,
		`one.example. IN CAA 0 issue "ca.example; account=1"`, `none.example. IN CAA 0 issue ";"`, `other.example. IN CAA 0 issue "other.example"`,
		`wild.example. IN CAA 0 issue "ca.example"`, `wild.example. IN CAA 0 issuewild "other.example"`, `mail.example. IN CAA 0 iodef "mailto:a@b.example"`,
	)}
	for name, want := range map[string]bool{
		"one.example": true, "a.b.one.example": true, "*.one.example": true, "none.example": false, "other.example": false, "*.other.example": false,
		"wild.example": true, "*.wild.example": false, "mail.example": true, "free.test": true,
	} {
		if got, err := l.MayIssue(t.Context(), name, []string{"www.ca.example", "CA.example"}); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := l.MayIssue(t.Context(), "refused.example", nil); err == nil {
		t.Error("a look-up that failed allows it")
	}
}

func TestFetch(t *testing.T) {
	site := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/here":
			_, _ = io.WriteString(w, r.Host)
		case "/long":
			_, _ = io.WriteString(w, strings.Repeat("x", 2*mostBody))
		case "/moved":
			http.Redirect(w, r, "http://b.example/here", http.StatusFound)
		case "/elsewhere":
			http.Redirect(w, r, "http://b.example:8080/here", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}
	server, secure := httptest.NewServer(http.HandlerFunc(site)), httptest.NewTLSServer(http.HandlerFunc(site))
	defer server.Close()
	defer secure.Close()
	l := &Look{
		Resolver: nameServer(t, "a.example. IN A 127.0.0.1", "b.example. IN A 127.0.0.1", "c.example. IN CNAME a.example."),
		HTTPPort: portOf(t, server), HTTPSPort: -1,
	}
	for url, want := range map[string]string{"a.example/here": "a.example", "a.example/moved": "b.example", "c.example/here": "c.example"} {
		host, path, _ := strings.Cut(url, "/")
		if got, err := l.Fetch(t.Context(), host, "/"+path); err != nil || got != want {
			t.Errorf("%s: %q, %v", url, got, err)
		}
	}
	if got, err := l.Fetch(t.Context(), "a.example", "/long"); err != nil || len(got) != mostBody {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, url := range []string{"a.example/none", "a.example/elsewhere", "a.example/round", "none.example/here"} {
		host, path, _ := strings.Cut(url, "/")
		if got, err := l.Fetch(t.Context(), host, "/"+path); err == nil {
			t.Errorf("%s: %q without an error", url, got)
		}
	}
	strict := *l
	strict.SameHost = true
	if got, err := strict.FetchOver(t.Context(), "http", "a.example", "/moved"); err == nil {
		t.Errorf("another host's file: %q", got)
	}
	if got, err := strict.FetchOver(t.Context(), "http", "b.example", "/moved"); err != nil || got != "b.example" {
		t.Errorf("moved on the same host: %q, %v", got, err)
	}
	server.Close()
	l.HTTPSPort = portOf(t, secure)
	if got, err := l.FetchOver(t.Context(), "http", "a.example", "/here"); err == nil {
		t.Errorf("HTTP alone: %q", got)
	}
	if got, err := l.Fetch(t.Context(), "a.example", "/here"); err != nil || got != "a.example" {
		t.Errorf("over HTTPS: %q, %v", got, err)
	}
}

func portOf(t *testing.T, s *httptest.Server) int {
	t.Helper()
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCheckResolver(t *testing.T) {
	for address, fits := range map[string]bool{"": true, "127.0.0.1:53": true, "[::1]:53": true, "127.0.0.1": false, "localhost:53": false} {
		if err := CheckResolver(address); (err == nil) != fits {
			t.Errorf("%q: %v", address, err)
		}
	}
}
