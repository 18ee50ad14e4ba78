// Package certcentral speaks DigiCert's CertCentral Services API v2: it sends one call at a time within the API's limits,
// reads its loosely typed answers, and says of every failure whether anything can have been done.
package certcentral

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// The hosts of the API. A key of one is unknown to the other.
const (
	BaseUS = "https://www.digicert.com/services/v2"
	BaseEU = "https://certcentral.digicert.eu/services/v2"
)

// What a key may do: 100 calls in 5 seconds and 1000 in 3 minutes. The default stays well below both, for a key may
// have other users: in 3 minutes Burst + 180 * DefaultPerSecond calls.
const (
	MaxPerSecond     = 5.0
	DefaultPerSecond = 4.0
	burst            = 40
)

const (
	// maxBody bounds an answer; a list of a thousand orders has some two megabytes.
	maxBody = 8 << 20
	// readTries is how often a call that changes nothing is sent before its failure is told.
	readTries = 3
	// longestPause is the longest wait inside a call; a longer one is the daemon's.
	longestPause = 10 * time.Second
	// defaultPause is how long a key is left in peace after 429 without Retry-After: the shorter window of the limit.
	defaultPause = 5 * time.Second
	// maxRetryAfter bounds what an answer may ask for.
	maxRetryAfter = time.Hour
	dialTimeout   = 15 * time.Second
)

// Options are what a Client needs.
type Options struct {
	// BaseURL is the address that the paths of the API begin at, such as BaseUS.
	BaseURL string
	Key     pluginapi.Secret
	// UserAgent is sent with every call: DigiCert asks for one.
	UserAgent string
	// Timeout bounds one call.
	Timeout time.Duration
	// PerSecond is how many calls may be sent in a second, in the long run; zero is DefaultPerSecond.
	PerSecond float64
}

// Client is one API key. Its methods are safe for concurrent use and share the key's limits.
type Client struct {
	base    *url.URL
	key     pluginapi.Secret
	agent   string
	timeout time.Duration
	limiter *rate.Limiter
	kept    *http.Transport // connections are kept: for calls that are safe to repeat
	fresh   *http.Transport // a connection for each call: for calls that are sent once

	mu    sync.Mutex
	quiet time.Time // until then nothing is sent, after a 429
}

// New makes a Client. It reaches no network.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.BaseURL)
	if err != nil || base.Host == "" {
		return nil, errors.New("the base URL is not an address")
	}
	if o.PerSecond <= 0 {
		o.PerSecond = DefaultPerSecond
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout,
		MaxIdleConns: 8, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
		// HTTP/1.1 alone: over HTTP/2 the transport repeats requests on its own when a connection goes away.
		Protocols: httpOne(),
	}
	fresh := transport.Clone()
	fresh.DisableKeepAlives = true
	return &Client{
		base: base, key: o.Key, agent: o.UserAgent, timeout: o.Timeout,
		limiter: rate.NewLimiter(rate.Limit(o.PerSecond), burst),
		kept:    transport, fresh: fresh,
	}, nil
}

func httpOne() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// Close drops idle connections. Calls under way end with their contexts.
func (c *Client) Close() { c.kept.CloseIdleConnections() }

// Host is the API's host, for people.
func (c *Client) Host() string { return c.base.Host }

// Console returns the address of a page of the console.
// (Not confirmed by DigiCert's pages: that the console's pages lie at these paths of the API's host.)
func (c *Client) Console(page string) string {
	u := url.URL{Scheme: c.base.Scheme, Host: c.base.Host, Path: "/secure/" + page}
	return u.String()
}

// call is one call of the API.
type call struct {
	method, path string // path below the base URL, its parts escaped
	query        url.Values
	body         []byte
	accept       string // default JSON
	// once: the call must not be sent twice, by whatever layer.
	once bool
}

// answer is a reply with a status of success.
type answer struct {
	status int
	body   []byte
}

// read sends a call that changes nothing, and has its answer parsed; it does so again when that fails in passing.
func (c *Client) read(ctx context.Context, k call, parse func(body []byte) error) error {
	k.method = http.MethodGet
	pause := 200 * time.Millisecond
	for try := 1; ; try++ {
		a, err := c.send(ctx, k)
		if err == nil {
			err = parse(a.body)
		}
		if err == nil || try == readTries || !passing(err) {
			return err
		}
		wait := pause + rand.N(pause) //nolint:gosec // jitter is no secret
		pause *= 4
		if ctx.Err() != nil || sleep(ctx, wait) != nil {
			return err
		}
	}
}

// passing reports failures that the next try may not meet. What the rate limit refuses waits in send.
func passing(err error) bool {
	var (
		no   *Refusal
		away *NoAnswer
		odd  *Garbage
	)
	switch {
	case errors.As(err, &no):
		return no.Status >= 500 || no.Status == http.StatusTooManyRequests && no.RetryAfter <= longestPause
	case errors.As(err, &odd):
		return true
	default:
		return errors.As(err, &away) && !away.ended
	}
}

// send sends a call and reads its answer: within the limits of the key, and without following redirects, which would
// carry the key to wherever they point.
func (c *Client) send(ctx context.Context, k call) (answer, error) {
	if err := c.turn(ctx); err != nil {
		return answer{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(bounded, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }, // from here on bytes may leave
	})
	req, err := c.request(traced, k)
	if err != nil {
		return answer{}, &NoAnswer{Host: c.base.Host, err: err}
	}
	transport := c.kept
	if k.once {
		transport = c.fresh
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return answer{}, &NoAnswer{Host: c.base.Host, Sent: sent.Load(), err: err, ended: ctx.Err() != nil, timeout: c.timeout}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return answer{}, &NoAnswer{Host: c.base.Host, Sent: true, err: fmt.Errorf("read the answer: %w", err), ended: ctx.Err() != nil, timeout: c.timeout}
	case len(body) > maxBody:
		return answer{}, &Garbage{What: fmt.Sprintf("more than %d bytes", maxBody)}
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return answer{status: resp.StatusCode, body: body}, nil
	}
	no := newRefusal(resp, body, time.Now())
	if no.Status == http.StatusTooManyRequests {
		c.keepQuiet(no.RetryAfter)
	}
	return answer{}, no
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	u := *c.base
	u.RawQuery = k.query.Encode()
	target := u.JoinPath(k.path)
	var body io.Reader
	if k.body != nil {
		body = bytes.NewReader(k.body)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if k.once {
		req.GetBody = nil // without it no layer below can send the body again
	}
	req.Header.Set("X-DC-DEVKEY", c.key.Reveal())
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if k.accept != "" {
		req.Header.Set("Accept", k.accept)
	}
	req.Header.Set("User-Agent", c.agent)
	return req, nil
}

// turn waits until the key may be used. It fails, with nothing sent, when that takes too long.
func (c *Client) turn(ctx context.Context) error {
	c.mu.Lock()
	quiet := time.Until(c.quiet)
	c.mu.Unlock()
	if quiet > longestPause {
		return &Refusal{Status: http.StatusTooManyRequests, RetryAfter: quiet, own: true}
	}
	if quiet > 0 {
		if err := sleep(ctx, quiet); err != nil {
			return &NoAnswer{Host: c.base.Host, err: err, ended: true}
		}
	}
	if err := c.limiter.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return &NoAnswer{Host: c.base.Host, err: ctx.Err(), ended: true}
		}
		return &Refusal{Status: http.StatusTooManyRequests, RetryAfter: defaultPause, own: true}
	}
	return nil
}

func (c *Client) keepQuiet(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if until := time.Now().Add(d); until.After(c.quiet) {
		c.quiet = until
	}
}

// sleep waits for d or for the context's end.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// path joins parts of a path, each escaped, so that none of them can reach beyond its place.
func path(parts ...string) string {
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}
