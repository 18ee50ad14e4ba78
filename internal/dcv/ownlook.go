package dcv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	// lookKept is how long a connection is used for looks at the shared responder. A new one shows that the listener takes connections;
	// shown once in this time is enough, and an old one costs a third of a new one.
	lookKept = 2 * time.Second
	// mostLooksKept is how many connections wait for the next look. They count among maxConnections.
	mostLooksKept = 8
)

// looks are the connections by which this daemon looks at its own responder. They belong to one listener and end with it, so that
// nothing is ever seen through another one.
type looks struct {
	mu     sync.Mutex
	idle   []*ownConn // the latest at the end
	end    *time.Timer
	closed bool
}

// ownConn is a connection for looks, one after the other.
type ownConn struct {
	net.Conn
	born time.Time
	in   *bufio.Reader
	out  *bufio.Writer
}

// look gets a file through the listener and compares it. There is nothing on that way that a client of net/http is for: no redirect,
// no proxy and no TLS.
func (l *listening) look(ctx context.Context, f pluginapi.HTTPFile) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := fileRequest(ctx, f)
	if err != nil {
		return err
	}
	if c := l.looks.take(); c != nil {
		err := l.fetch(c, req, f)
		var wrong *wrongAnswerError
		if err == nil || errors.As(err, &wrong) || ctx.Err() != nil {
			return err
		}
		// It has ended meanwhile, which says nothing.
	}
	network, address := l.dialAddress()
	conn, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	return l.fetch(&ownConn{Conn: conn, born: time.Now(), in: bufio.NewReader(conn), out: bufio.NewWriter(conn)}, req, f)
}

// fetch looks over a connection, which is kept or closed then.
func (l *listening) fetch(c *ownConn, req *http.Request, f pluginapi.HTTPFile) error {
	// Whatever ends the context ends the writing and reading.
	stop := context.AfterFunc(req.Context(), func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	stays, err := c.fetch(req, f)
	if undisturbed := stop(); undisturbed && stays && err == nil {
		l.looks.keep(c)
	} else {
		_ = c.Close() // nothing more is wanted of it
	}
	return err
}

// fetch asks for a file and compares it. stays reports that the other side waits for another request.
func (c *ownConn) fetch(req *http.Request, f pluginapi.HTTPFile) (stays bool, err error) {
	if err := errors.Join(req.Write(c.out), c.out.Flush()); err != nil {
		return false, err
	}
	resp, err := http.ReadResponse(c.in, req)
	if err != nil {
		return false, err
	}
	err = compare(resp, f)
	return !resp.Close && c.in.Buffered() == 0, err
}

// take returns a connection that waits, nil where there is none that is young enough. The other side may have closed it.
func (l *looks) take() *ownConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.idle) > 0 {
		last := len(l.idle) - 1
		c := l.idle[last]
		l.idle[last], l.idle = nil, l.idle[:last]
		if time.Since(c.born) < lookKept {
			return c
		}
		_ = c.Close()
	}
	return nil
}

// keep lets a connection wait for the next look.
func (l *looks) keep(c *ownConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.idle) == mostLooksKept {
		_ = c.Close()
		return
	}
	l.idle = append(l.idle, c)
	if l.end == nil {
		l.end = time.AfterFunc(lookKept, l.drop)
	} else {
		l.end.Reset(lookKept)
	}
}

// drop closes all that wait: for some time nobody has looked.
func (l *looks) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.idle {
		_ = c.Close()
	}
	l.idle = nil
}

// close ends it with its listener.
func (l *looks) close() {
	l.mu.Lock()
	l.closed = true
	if l.end != nil {
		l.end.Stop()
	}
	l.mu.Unlock()
	l.drop()
}

// dialAddress is where the listener can be reached from this machine.
func (l *listening) dialAddress() (network, address string) {
	addr := l.Addr()
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.Network(), addr.String()
	}
	loopback := "127.0.0.1"
	if tcp.IP.To4() == nil {
		loopback = "::1"
		// A socket for both families may live on a machine without IPv6 on its loopback interface.
		if interfaces, err := net.InterfaceAddrs(); err == nil && !hasAddress(interfaces, net.IPv6loopback) {
			loopback = "127.0.0.1"
		}
	}
	return "tcp", net.JoinHostPort(loopback, strconv.Itoa(tcp.Port))
}

func hasAddress(addrs []net.Addr, want net.IP) bool {
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(want) {
			return true
		}
	}
	return false
}

// look looks at a file through the responder's own listener.
func (r *responder) look(ctx context.Context, f pluginapi.HTTPFile) error {
	r.mu.Lock()
	up := r.up
	r.mu.Unlock()
	if up == nil {
		return fmt.Errorf("the shared responder does not listen on %s", r.address)
	}
	if err := up.look(ctx, f); err != nil {
		return fmt.Errorf("the shared responder at %s: %w", r.address, err)
	}
	return nil
}
