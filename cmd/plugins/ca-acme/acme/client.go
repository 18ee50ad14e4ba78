package acme

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	lego "github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"
)

const (
	// directoryAge is how long a directory is believed.
	directoryAge = time.Hour
	// nonceTries is how often a request is signed anew after the CA refused its nonce (RFC 8555 section 6.5).
	nonceTries = 10
	// connections to one CA at once; more calls than that wait for a free one.
	connections = 16
)

// client sends requests to one CA. Connections, directory and nonces are shared by all calls.
type client struct {
	directoryURL string
	userAgent    string
	timeout      time.Duration // of one request
	transport    *http.Transport
	nonces       noncePool

	mu      sync.Mutex
	dir     *directory
	fetched time.Time
}

// directory is the CA's directory, parsed and as sent; lego wants to parse it itself.
type directory struct {
	lego.Directory
	raw []byte
}

// signer is an account key and, once known, the account's address.
type signer struct {
	key        crypto.Signer
	thumbprint string
	url        string
}

func newClient(s accountSettings, userAgent string) *client {
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	return &client{
		directoryURL: s.directoryURL,
		userAgent:    userAgent,
		timeout:      s.requestTimeout,
		transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         dialer.DialContext,
			TLSClientConfig:     s.tlsConfig(),
			TLSHandshakeTimeout: 15 * time.Second,
			ForceAttemptHTTP2:   true,
			MaxIdleConns:        connections,
			MaxIdleConnsPerHost: connections,
			MaxConnsPerHost:     connections,
			IdleConnTimeout:     time.Minute,
		},
	}
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// directory returns the CA's directory, fetched at most once per directoryAge. Callers who find none may fetch it at
// the same time; it is small.
func (c *client) directory(ctx context.Context) (*directory, error) {
	c.mu.Lock()
	dir, age := c.dir, time.Since(c.fetched)
	c.mu.Unlock()
	if dir != nil && age < directoryAge {
		return dir, nil
	}
	dir, err := c.fetchDirectory(ctx)
	if err != nil {
		return nil, fmt.Errorf("get the directory: %w", err)
	}
	c.mu.Lock()
	c.dir, c.fetched = dir, time.Now()
	c.mu.Unlock()
	return dir, nil
}

func (c *client) fetchDirectory(ctx context.Context) (*directory, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.directoryURL, nil)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	x := &exchange{ctx: ctx, client: c}
	_, body, err := x.send(req)
	if err != nil {
		return nil, err
	}
	dir := &directory{raw: body}
	if err := json.Unmarshal(body, &dir.Directory); err != nil {
		return nil, &garbage{url: c.directoryURL, what: "no ACME directory; is this the address the CA gives for its directory?", body: body}
	}
	for name, address := range map[string]string{
		"newNonce": dir.NewNonceURL, "newAccount": dir.NewAccountURL, "newOrder": dir.NewOrderURL,
	} {
		if !isHTTPS(address) {
			return nil, &garbage{url: c.directoryURL, what: "a directory without an https address for " + name + " (RFC 8555 section 7.1.1)", body: body}
		}
	}
	return dir, nil
}

// call runs f with an instance of lego's client that is bound to ctx and signs as who; a zero who cannot sign. When
// the CA refuses a nonce, f runs again. It returns the header of the last answer.
//
// The error is an *outcome: it knows whether a signed request may have reached the CA.
func (c *client) call(ctx context.Context, who signer, f func(*api.Core) error) (http.Header, error) {
	return c.attempt(ctx, func(x *exchange) error {
		dir, err := c.directory(ctx)
		if err != nil {
			return err
		}
		x.directory = dir.raw
		x.newNonce = dir.NewNonceURL
		// A client of its own for each call: lego wraps the transport it is given.
		httpClient := &http.Client{Transport: x, CheckRedirect: lastResponse}
		core, err := api.New(httpClient, c.userAgent, c.directoryURL, who.url, who.key)
		if err != nil {
			return err
		}
		return f(core)
	})
}

// attempt runs f over an exchange of its own, and again with another when the CA refuses the nonce.
func (c *client) attempt(ctx context.Context, f func(*exchange) error) (http.Header, error) {
	pause := 50 * time.Millisecond
	for try := 1; ; try++ {
		x := &exchange{ctx: ctx, client: c}
		err := f(x)
		if err == nil {
			return x.last(), nil
		}
		err = x.cause(err)
		if try < nonceTries && isProblem(err, "badNonce") {
			// The refusal brought a fresh nonce; older ones are as likely to be refused.
			if try < 3 || wait(ctx, pause) == nil {
				pause *= 2
				continue
			}
		}
		return x.last(), &outcome{err: err, sent: x.sent.Load()}
	}
}

// wait waits for d or for the context's end.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func lastResponse(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// outcome is how a call failed.
type outcome struct {
	err error
	// sent: a signed request was written, and its answer, if any, does not say that nothing was done.
	sent bool
}

func (o *outcome) Error() string { return o.err.Error() }
func (o *outcome) Unwrap() error { return o.err }

// noncePool keeps nonces that the CA gave with its answers (RFC 8555 section 6.5.1), the freshest on top.
type noncePool struct {
	mu     sync.Mutex
	nonces []string
}

// maxNonces bounds the pool; there are never more calls at once than connections.
const maxNonces = 4 * connections

func (p *noncePool) push(nonce string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.nonces) >= maxNonces {
		p.nonces = append(p.nonces[:0], p.nonces[1:]...)
	}
	p.nonces = append(p.nonces, nonce)
}

func (p *noncePool) pop() (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.nonces) == 0 {
		return "", false
	}
	top := len(p.nonces) - 1
	nonce := p.nonces[top]
	p.nonces = p.nonces[:top]
	return nonce, true
}

// clear drops all nonces: one of them was refused, and the others are of the same age or older.
func (p *noncePool) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nonces = nil
}

func isHTTPS(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && u.Host != ""
}

// isProblem reports whether an error is a problem document of an ACME type, given without its namespace.
func isProblem(err error, kind string) bool {
	var p *problem
	return errors.As(err, &p) && p.kind() == kind
}
