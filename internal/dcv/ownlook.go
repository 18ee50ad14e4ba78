package dcv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// ownConn is a connection by which this daemon looks at files through its own responder, one after the other. A new one shows that
// the listener takes connections; shown once in keptFor is enough, and a look by an old one costs a third.
type ownConn struct {
	aged
	in  *bufio.Reader
	out *bufio.Writer
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
	if c, ok := l.looks.take(); ok {
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
	return l.fetch(&ownConn{aged: aged{conn, time.Now()}, in: bufio.NewReader(conn), out: bufio.NewWriter(conn)}, req, f)
}

// fetch looks over a connection, which is kept or closed then.
func (l *listening) fetch(c *ownConn, req *http.Request, f pluginapi.HTTPFile) error {
	stop := endWith(req.Context(), c)
	stays, err := c.fetch(req, f)
	l.looks.put(c, stop() && stays && err == nil)
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
