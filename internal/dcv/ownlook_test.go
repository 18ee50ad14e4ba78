package dcv

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

// counted is a listener that counts whom it lets in.
type counted struct {
	net.Listener
	n atomic.Int32
}

func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return c, err
}

func countedListener(t testing.TB) *counted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &counted{Listener: l}
}

func TestOwnLooksShareConnections(t *testing.T) {
	l := countedListener(t)
	s := newSolver(t, Options{Listener: l})
	look := func(host string) {
		t.Helper()
		c := httpChallenge(host, token, host)
		mustPublish(t, s, BuiltIn, c)
		if err := s.AwaitVisible(t.Context(), BuiltIn, c); err != nil {
			t.Error(err)
		}
		mustWithdraw(t, s, BuiltIn, c, nil)
	}
	wantConnections := func(when string, want int32) {
		t.Helper()
		if n := l.n.Load(); n != want {
			t.Errorf("%s: %d connections, want %d", when, n, want)
		}
	}
	look("a.example.com")
	look("b.example.com")
	wantConnections("two files", 1)
	// What is not there, or is another file, is told, and is no reason to ask twice.
	wantError(t, s.AwaitVisible(t.Context(), BuiltIn, httpChallenge("c.example.com", token, "c")), pluginapi.Unavailable, "404")
	wantConnections("a file that is not there", 1)
	waiting := &s.responder.up.looks
	look("d.example.com")
	wantConnections("after an answer that was not read to its end", 2)
	waiting.idle[0].born = waiting.idle[0].born.Add(-keptFor)
	look("e.example.com")
	wantConnections("after its time", 3)
	_ = waiting.idle[0].Conn.(*net.TCPConn).CloseWrite() // the responder closes it for that
	look("f.example.com")
	wantConnections("closed by the other side", 4)
	waiting.drop()
	look("g.example.com")
	wantConnections("after a while without looks", 5)
}

func TestOwnLooksAtTheSameTime(t *testing.T) {
	s := newSolver(t, Options{Listener: countedListener(t)})
	c := httpChallenge("a.example.com", token, "body")
	mustPublish(t, s, BuiltIn, c)
	var all sync.WaitGroup
	for range 4 * mostKept {
		all.Go(func() {
			for range 5 {
				if err := s.AwaitVisible(t.Context(), BuiltIn, c); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := len(s.responder.up.looks.idle); n == 0 || n > mostKept {
		t.Errorf("%d connections are kept", n)
	}
}

// A look never sees a file through a listener that is no more.
func TestOwnLooksEndWithTheirListener(t *testing.T) {
	address := freeAddress(t)
	s := newSolver(t, Options{ListenHTTP: address})
	c := httpChallenge("a.example.com", token, "body")
	var before *listening
	for range 2 {
		mustPublish(t, s, BuiltIn, c)
		if err := s.AwaitVisible(t.Context(), BuiltIn, c); err != nil {
			t.Fatal(err)
		}
		now := s.responder.up
		if now == before || len(now.looks.idle) != 1 {
			t.Errorf("%d connections are kept", len(now.looks.idle))
		}
		mustWithdraw(t, s, BuiltIn, c, nil)
		if len(now.looks.idle) > 0 {
			t.Error("a connection outlives the listener")
		}
		before = now
	}
}

func TestResponderKeepsNobodyElsesConnection(t *testing.T) {
	l := countedListener(t)
	s := newSolver(t, Options{Listener: l})
	mustPublish(t, s, BuiltIn, httpChallenge("a.example.com", token, "body"))
	for _, path := range []string{token, "/"} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a.example.com\r\nUser-Agent: a CA\r\nConnection: keep-alive\r\n\r\n", path)
		in := bufio.NewReader(c)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if !resp.Close {
			t.Errorf("%s: the connection stays open: %v", path, resp.Header)
		}
	}
}

func BenchmarkOwnLook(b *testing.B) {
	s, err := New(Options{Listener: countedListener(b), SelfCheck: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c := httpChallenge("a.example.com", token, "body")
	if _, err := s.Publish(b.Context(), BuiltIn, c, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.AwaitVisible(b.Context(), BuiltIn, c); err != nil {
			b.Fatal(err)
		}
	}
}

// A CA opens a connection for each look.
func BenchmarkFetchByCA(b *testing.B) {
	address := "127.0.0.1:" + strconv.Itoa(peer.FreePort(b))
	s, err := New(Options{ListenHTTP: address, SelfCheck: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Publish(b.Context(), BuiltIn, httpChallenge("a.example.com", token, "body"), nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a.example.com\r\nUser-Agent: a CA\r\nConnection: close\r\n\r\n", token)
		if answer, err := io.ReadAll(c); err != nil || !bytes.HasSuffix(answer, []byte("\r\n\r\nbody")) {
			b.Fatalf("%q: %v", answer, err)
		}
		_ = c.Close()
	}
}
