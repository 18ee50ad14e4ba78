package peer

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// relay passes DNS messages on from one loopback address to another, as they are, by UDP and TCP. named needs it: it
// listens on addresses that an interface has, and of 127.0.0.0/8 that is 127.0.0.1 alone.
type relay struct {
	to  string
	udp *net.UDPConn
	tcp net.Listener

	group sync.WaitGroup
	mu    sync.Mutex
	conns map[net.Conn]bool // what is passed on right now; nil when closed
}

// startRelay passes on what comes to the address from until it is closed, at the latest when the test ends.
func startRelay(t testing.TB, from, to string) *relay {
	t.Helper()
	r, err := newRelay(from, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

func newRelay(from, to string) (*relay, error) {
	tcp, err := net.Listen("tcp", from)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	udp, err := net.ListenPacket("udp", from)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("relay: %w", err), tcp.Close())
	}
	r := &relay{to: to, udp: udp.(*net.UDPConn), tcp: tcp, conns: map[net.Conn]bool{}}
	r.group.Go(r.serveUDP)
	r.group.Go(r.serveTCP)
	return r, nil
}

// close ends it and everything under way. It may be called again.
func (r *relay) close() {
	r.tcp.Close()
	r.udp.Close()
	r.mu.Lock()
	for c := range r.conns {
		c.Close()
	}
	r.conns = nil
	r.mu.Unlock()
	r.group.Wait()
}

// hold makes close end a connection too. It reports false when the relay is closed already.
func (r *relay) hold(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		c.Close()
		return false
	}
	r.conns[c] = true
	return true
}

func (r *relay) drop(c net.Conn) {
	c.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

func (r *relay) serveUDP() {
	for {
		message := make([]byte, 64<<10)
		n, client, err := r.udp.ReadFromUDPAddrPort(message)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // news of an earlier answer that its client did not take
		}
		r.group.Go(func() {
			server, err := net.Dial("udp", r.to)
			if err != nil || !r.hold(server) {
				return
			}
			defer r.drop(server)
			_ = server.SetDeadline(time.Now().Add(stopTimeout))
			if _, err := server.Write(message[:n]); err != nil {
				return
			}
			answer := make([]byte, 64<<10)
			if n, err = server.Read(answer); err == nil {
				_, _ = r.udp.WriteToUDPAddrPort(answer[:n], client)
			}
		})
	}
}

func (r *relay) serveTCP() {
	for {
		client, err := r.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || !r.hold(client) {
			continue
		}
		r.group.Go(func() {
			defer r.drop(client)
			server, err := net.Dial("tcp", r.to)
			if err != nil || !r.hold(server) {
				return
			}
			defer r.drop(server)
			var back sync.WaitGroup
			back.Go(func() { pass(client, server) })
			pass(server, client)
			back.Wait()
		})
	}
}

// pass copies one direction of a connection and its end.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.(*net.TCPConn).CloseWrite()
}
