package dcv

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// The limits of the responder. CAs fetch small files with small requests; whoever else comes is sent away soon.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 10 * time.Second
	maxHeader      = 8 << 10
	maxConnections = 256
	closeTimeout   = 2 * time.Second
)

// place is where a file is published.
type place struct {
	host, path string
}

// served is a file at its place. Whoever holds one may read the body without a lock.
type served struct {
	body    string
	fetched bool // by somebody else, which the log has told
}

// userAgent is what this daemon's own looks say they are.
const userAgent = "certbridged"

// responder answers for every certificate on one address. It listens only while something is published, or all the time
// on a listener that was handed over.
type responder struct {
	address string
	handed  bool
	log     *slog.Logger

	mu      sync.Mutex
	files   map[place]*served
	up      *listening // nil when it does not listen
	closed  bool
	running sync.WaitGroup
}

// listening is a listener with what belongs to it.
type listening struct {
	net.Listener
	server *http.Server
	looks  kept[*ownConn] // end with the listener, so that nothing is ever seen through another one
}

func newResponder(address string, handed net.Listener, log *slog.Logger) *responder {
	r := &responder{address: address, handed: handed != nil, log: log, files: map[place]*served{}}
	if handed != nil {
		r.address = handed.Addr().String()
		r.serve(handed)
	}
	return r
}

func (r *responder) can(_ context.Context, c pluginapi.Challenge) error { return checkFile(c) }

func (r *responder) types(context.Context) ([]pluginapi.ChallengeType, error) {
	return []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}, nil
}

func (r *responder) publish(ctx context.Context, c pluginapi.Challenge) ([]byte, error) {
	if err := checkFile(c); err != nil {
		return nil, pluginapi.Errorf(pluginapi.InvalidRequest, "%w", err)
	}
	at := place{normalHost(c.HTTP.Host), c.HTTP.Path}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "the shared responder is closed")
	}
	if f, ok := r.files[at]; ok && f.body != c.HTTP.Body {
		return nil, oneFile(at.host, at.path)
	}
	if r.up == nil {
		if err := r.listen(ctx); err != nil {
			return nil, err
		}
	}
	r.files[at] = &served{body: c.HTTP.Body}
	return receipt{Responder: true}.encode(), nil
}

func (r *responder) withdraw(_ context.Context, c pluginapi.Challenge, _ []byte) error {
	if c.HTTP == nil {
		return nil // such a thing was never published here
	}
	at := place{normalHost(c.HTTP.Host), c.HTTP.Path}
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.files[at]; ok && f.body == c.HTTP.Body {
		delete(r.files, at)
	}
	if len(r.files) == 0 && !r.handed {
		r.stop()
	}
	return nil
}

// listen begins to listen. The lock is held.
func (r *responder) listen(ctx context.Context) error {
	if r.handed {
		return pluginapi.Errorf(pluginapi.Unavailable, "the socket that was handed over for http challenges is broken: restart the socket unit and certbridged")
	}
	// Without keep-alive probes: no connection lives long enough for one, and setting them up is four calls for each.
	l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(ctx, "tcp", r.address)
	switch {
	case err == nil:
		r.serve(l)
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return pluginapi.Errorf(pluginapi.Unavailable, "%s is in use by another server: publish through that one with a "+
			"dcv profile that has its document root as webroot, or let it pass %s on to http_challenge_listen on another "+
			"port, or stop it: %w", r.address, wellKnown, err)
	case errors.Is(err, os.ErrPermission):
		return pluginapi.Errorf(pluginapi.Unavailable, "no right to listen on %s: use systemd socket activation, or "+
			"give the process CAP_NET_BIND_SERVICE, or set http_challenge_listen to a port above 1023 and let a web "+
			"server pass %s on to it: %w", r.address, wellKnown, err)
	default:
		return pluginapi.Errorf(pluginapi.Unavailable, "http_challenge_listen: %w", err)
	}
}

// serve answers on a listener until stop. The lock is held, or nobody else knows the responder yet.
func (r *responder) serve(l net.Listener) {
	server := &http.Server{
		Handler:           http.HandlerFunc(r.answer),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       2 * keptFor, // the one who looks closes it before
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
	}
	up := &listening{Listener: l, server: server}
	r.up = up
	r.log.Debug("http challenge responder listens", "address", l.Addr().String())
	r.running.Go(func() {
		err := server.Serve(netutil.LimitListener(l, maxConnections))
		if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
			return
		}
		r.log.Error("http challenge responder failed", "address", r.address, "error", err)
		up.looks.close()
		_ = server.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.up == up {
			r.up = nil // the next publication listens again
		}
	})
}

// stop ends listening at once, and lets requests in flight finish. The lock is held.
func (r *responder) stop() {
	up := r.up
	if up == nil {
		return
	}
	_ = up.Close() // before anything else, so that the address is free when this returns
	up.looks.close()
	r.up = nil
	r.log.Debug("http challenge responder stopped", "address", r.address)
	r.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if up.server.Shutdown(ctx) != nil {
			_ = up.server.Close()
		}
	})
}

func (r *responder) close() error {
	r.mu.Lock()
	r.closed = true
	r.stop()
	r.mu.Unlock()
	r.running.Wait()
	return nil
}

// answer gives out a published file and says nothing about anything else.
func (r *responder) answer(w http.ResponseWriter, req *http.Request) {
	at := place{normalHost(req.Host), req.URL.Path}
	r.mu.Lock()
	f, ok := r.files[at]
	r.mu.Unlock()
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Type", "text/plain")
	if req.UserAgent() != userAgent {
		header.Set("Connection", "close") // nobody else fetches two files, and open connections only delay the end
	}
	switch {
	case !ok:
		r.log.LogAttrs(req.Context(), slog.LevelDebug, "http request for nothing published", at.asked(req)...)
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "not found\n")
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		header.Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		r.log.LogAttrs(req.Context(), r.news(f, req.UserAgent()), "http challenge fetched", at.asked(req)...)
		header.Set("Content-Length", strconv.Itoa(len(f.body)))
		_, _ = io.WriteString(w, f.body) // of a HEAD request the server drops it
	}
}

// asked is what the log says of who asks for a place.
func (at place) asked(req *http.Request) []slog.Attr {
	return []slog.Attr{
		slog.String("host", at.host), slog.String("path", at.path),
		slog.String("remote", req.RemoteAddr), slog.String("agent", req.UserAgent()),
	}
}

// news is how much a fetch of a file is worth telling. That somebody has come is news once: CAs come from many places, and
// this daemon looks itself.
func (r *responder) news(f *served, agent string) slog.Level {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.fetched || agent == userAgent {
		return slog.LevelDebug
	}
	f.fetched = true
	return slog.LevelInfo
}
