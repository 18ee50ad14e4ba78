// Package throttle stands in front of a CA for the benchmark: it lets so many requests a second through and refuses the
// others as ACME servers do, or never answers at all.
package throttle

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// Options say what stands in front of what.
type Options struct {
	// Target is host:port of the CA.
	Target string
	// Chain and Key are the TLS certificate, PEM; Root is what that of the CA leads to.
	Chain, Key, Root []byte
	// PerSecond is how many requests a second go through. Burst is how many may come at once.
	PerSecond float64
	Burst     int
}

// CA is a CA with something in front of it.
type CA struct {
	// DirectoryURL is its ACME directory.
	DirectoryURL string

	server *http.Server
	limit  limit
}

// Counts is what came.
type Counts struct {
	Granted, Refused int
	// First is when the first request came.
	First time.Time
}

// Share is which part of what the limit allowed was used, from the first request to an instant at which there was still, or
// just no more, something to be done.
func (c Counts) Share(perSecond float64, burst int, until time.Time) float64 {
	if c.Granted == 0 {
		return 0
	}
	return float64(c.Granted) / (until.Sub(c.First).Seconds()*perSecond + float64(burst))
}

// Limited starts a CA with a limit. What is over it gets the problem rateLimited and Retry-After (RFC 8555 section 6.6).
func Limited(o Options) (*CA, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(o.Root)
	target := &url.URL{Scheme: "https", Host: o.Target}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // the CA makes its addresses of it, and signatures hold them
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 64, ForceAttemptHTTP2: true},
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	ca := &CA{limit: limit{perSecond: o.PerSecond, burst: o.Burst}}
	return ca, ca.serve(o, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ca.limit.take(time.Now()) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many requests"}`)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
}

// Hung starts a CA that takes every request and answers none.
func Hung(o Options) (*CA, error) {
	ca := &CA{}
	return ca, ca.serve(o, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
}

func (c *CA) serve(o Options, handler http.Handler) error {
	pair, err := tls.X509KeyPair(o.Chain, o.Key)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c.DirectoryURL = "https://" + l.Addr().String() + "/dir"
	c.server = &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}},
	}
	go func() { _ = c.server.ServeTLS(l, "", "") }() // ends with Close
	return nil
}

// Close ends it.
func (c *CA) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // requests that hang never end by themselves
	return errors.Join(ignore(c.server.Shutdown(ctx), context.Canceled), c.server.Close())
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// Counts returns what came until now.
func (c *CA) Counts() Counts {
	c.limit.mu.Lock()
	defer c.limit.mu.Unlock()
	return c.limit.counts
}

// limit is a bucket of tokens that fills at a steady pace.
type limit struct {
	perSecond float64
	burst     int

	mu     sync.Mutex
	tokens float64
	filled time.Time
	counts Counts
}

func (l *limit) take(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts.First.IsZero() {
		l.counts.First, l.filled, l.tokens = now, now, float64(l.burst)
	}
	l.tokens = min(float64(l.burst), l.tokens+now.Sub(l.filled).Seconds()*l.perSecond)
	l.filled = now
	if l.tokens < 1 {
		l.counts.Refused++
		return false
	}
	l.tokens--
	l.counts.Granted++
	return true
}
