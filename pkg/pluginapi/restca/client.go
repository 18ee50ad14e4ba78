package restca

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

const (
	// maxBody bounds an answer; a list of a thousand orders has some two megabytes.
	maxBody = 8 << 20
	// readTries is how often a call that changes nothing is sent before its failure is told.
	readTries = 3
	// longestPause is the longest wait inside a call; a longer one is the daemon's.
	longestPause = 10 * time.Second
	// defaultPause is how long nothing is sent after 429 without Retry-After.
	defaultPause = 5 * time.Second
	// maxRetryAfter bounds what an answer may ask for.
	maxRetryAfter = time.Hour
	dialTimeout   = 15 * time.Second
)

// Dialect is what one API does in its own way.
type Dialect struct {
	// Sign puts the credentials on a request that is about to leave; nil where they are part of each call. It is called
	// once for each time that a call is sent, so that a signature with the time in it is a fresh one.
	Sign func(req *http.Request, body []byte) error
	// Problems reads what an answer says is wrong. It is shown every answer, for there are APIs that report failures with
	// HTTP 200: an answer is a success when its status is one and there are no problems.
	Problems func(status int, body []byte) []Problem
	// Judge says what a refusal means; nil is ByStatus.
	Judge func(r *Refusal) Verdict
	// Redact takes out of a text from outside what must not be repeated; nil leaves it. Secrets of Options and Call are
	// taken out besides.
	Redact func(text string) string
}

// Options are what a Client needs.
type Options struct {
	// BaseURL is the address that the paths of the API begin at.
	BaseURL string
	// UserAgent is sent with every call.
	UserAgent string
	// Timeout bounds one call.
	Timeout time.Duration
	// PerSecond is how many calls of a group may be sent in a second, in the long run, and Burst how many at once.
	PerSecond float64
	Burst     int
	// Pause is how long nothing is sent after an answer 429 without Retry-After; zero is five seconds.
	Pause time.Duration
	// Secrets are never part of a message, in whatever form an answer or an error repeats them.
	Secrets []pluginapi.Secret
	Dialect Dialect
}

// Client sends the calls of one account. Its methods are safe for concurrent use and share the account's limits.
type Client struct {
	o     Options
	base  *url.URL
	kept  *http.Transport // connections are kept: for calls that are safe to repeat
	fresh *http.Transport // a connection for each call: for calls that are sent once

	mu       sync.Mutex
	limiters map[string]*rate.Limiter // by group
	quiet    time.Time                // until then nothing is sent, after a 429
}

// New makes a Client. It reaches no network.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.BaseURL)
	if err != nil || base.Host == "" {
		return nil, errors.New("the base URL is not an address")
	}
	if o.PerSecond <= 0 || o.Burst < 1 {
		return nil, fmt.Errorf("%v calls a second, %d at once: a client needs a limit above zero", o.PerSecond, o.Burst)
	}
	if o.Pause <= 0 {
		o.Pause = defaultPause
	}
	if o.Dialect.Problems == nil {
		o.Dialect.Problems = func(int, []byte) []Problem { return nil }
	}
	if o.Dialect.Judge == nil {
		o.Dialect.Judge = ByStatus
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
	return &Client{o: o, base: base, kept: transport, fresh: fresh, limiters: map[string]*rate.Limiter{}}, nil
}

func httpOne() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// Close drops idle connections. Calls under way end with their contexts.
func (c *Client) Close() { c.kept.CloseIdleConnections() }

// Base is the address of the API.
func (c *Client) Base() url.URL { return *c.base }

// Call is one call of an API.
type Call struct {
	// Method is GET when it is empty.
	Method string
	// Path is below the base URL, its parts escaped: see Path.
	Path  string
	Query url.Values
	// Header adds to the headers that every call has, or replaces them: Accept and Content-Type are application/json.
	Header http.Header
	Body   []byte
	// Once: the call must not be sent twice, by whatever layer. It gets a connection of its own.
	Once bool
	// Group is what the API's limit counts apart from other calls, such as an action's name; empty is a group, too.
	Group string
	// Secrets are those of this call: never part of a message.
	Secrets []pluginapi.Secret
}

// Path joins parts of a path, each escaped, so that none of them can reach beyond its place.
func Path(parts ...string) string {
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = url.PathEscape(p)
	}
	return strings.Join(escaped, "/")
}

// Answer is a reply that is a success.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Read sends a call that changes nothing and has its answer parsed; it does so again when that fails in passing. What
// parse cannot make sense of it reports as Garbage.
func (c *Client) Read(ctx context.Context, k Call, parse func(Answer) error) error {
	pause := 200 * time.Millisecond
	for try := 1; ; try++ {
		err := c.Do(ctx, k, parse)
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

// Do sends a call one time and has its answer parsed; parse may be nil. It keeps within the account's limits and follows
// no redirects, which would carry the credentials to wherever they point. It fails with a Refusal, a NoAnswer, or what
// parse returns; Fail and FailOnce say what that means.
func (c *Client) Do(ctx context.Context, k Call, parse func(Answer) error) error {
	a, err := c.send(ctx, k)
	if err != nil || parse == nil {
		return err
	}
	err = parse(a)
	var odd *Garbage
	if errors.As(err, &odd) {
		odd.excerpt, odd.What = c.hide(odd.excerpt, k), c.hide(odd.What, k)
	}
	return err
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
		switch no.verdict.Kind {
		case pluginapi.Unavailable:
			return !no.verdict.Lasting
		case pluginapi.RateLimited:
			return no.RetryAfter <= longestPause
		default:
			return false
		}
	case errors.As(err, &odd):
		return true
	default:
		return errors.As(err, &away) && !away.ended
	}
}

// send sends a call and reads its answer.
func (c *Client) send(ctx context.Context, k Call) (Answer, error) {
	if err := c.turn(ctx, k.Group); err != nil {
		return Answer{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(bounded, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }, // from here on bytes may leave
	})
	req, err := c.request(traced, k)
	if err != nil {
		return Answer{}, c.noAnswer(ctx, k, false, err)
	}
	transport := c.kept
	if k.Once {
		transport = c.fresh
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return Answer{}, c.noAnswer(ctx, k, sent.Load(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return Answer{}, c.noAnswer(ctx, k, true, fmt.Errorf("read the answer: %w", err))
	case len(body) > maxBody:
		return Answer{}, &Garbage{What: fmt.Sprintf("more than %d bytes", maxBody)}
	}
	problems := c.o.Dialect.Problems(resp.StatusCode, body)
	if resp.StatusCode >= 200 && resp.StatusCode < 300 && len(problems) == 0 {
		return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
	}
	return Answer{}, c.refusal(k, resp, body, problems)
}

func (c *Client) noAnswer(ctx context.Context, k Call, sent bool, err error) *NoAnswer {
	return &NoAnswer{
		Host: c.base.Host, Sent: sent, err: err, ended: ctx.Err() != nil, timeout: c.o.Timeout,
		hide: func(text string) string { return c.hide(text, k) },
	}
}

func (c *Client) request(ctx context.Context, k Call) (*http.Request, error) {
	u := *c.base
	u.RawQuery = k.Query.Encode()
	target := &u
	if k.Path != "" {
		target = u.JoinPath(k.Path)
	}
	var body io.Reader
	if k.Body != nil {
		body = bytes.NewReader(k.Body)
	}
	method := k.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if k.Once {
		req.GetBody = nil // without it no layer below can send the body again
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.o.UserAgent)
	for name, values := range k.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if c.o.Dialect.Sign != nil {
		if err := c.o.Dialect.Sign(req, k.Body); err != nil {
			return nil, fmt.Errorf("sign the request: %w", err)
		}
	}
	return req, nil
}

// turn waits until a call of a group may be sent. It fails, with nothing sent, when that takes too long.
func (c *Client) turn(ctx context.Context, group string) error {
	c.mu.Lock()
	quiet := time.Until(c.quiet)
	limiter := c.limiters[group]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Limit(c.o.PerSecond), c.o.Burst)
		c.limiters[group] = limiter
	}
	c.mu.Unlock()
	if quiet > longestPause {
		return ownLimit(quiet)
	}
	if quiet > 0 {
		if err := sleep(ctx, quiet); err != nil {
			return c.noAnswer(ctx, Call{}, false, err)
		}
	}
	if err := limiter.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return c.noAnswer(ctx, Call{}, false, ctx.Err())
		}
		return ownLimit(c.o.Pause)
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

// hide takes secrets out of a text, in the forms in which a URL or a JSON text would have them, too.
func (c *Client) hide(text string, k Call) string {
	for _, list := range [][]pluginapi.Secret{c.o.Secrets, k.Secrets} {
		for _, s := range list {
			plain := s.Reveal()
			if len(plain) < leastSecret {
				continue
			}
			for _, form := range []string{plain, url.QueryEscape(plain), url.PathEscape(plain)} {
				text = strings.ReplaceAll(text, form, "[secret]")
			}
		}
	}
	if c.o.Dialect.Redact != nil {
		text = c.o.Dialect.Redact(text)
	}
	return text
}

// leastSecret is the length, in bytes, from which on a secret can be told from a word that stands there by chance.
const leastSecret = 4

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
