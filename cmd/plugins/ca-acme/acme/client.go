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
)

const (
	// directoryAge is how long a directory is believed.
	directoryAge = time.Hour
	// nonceTries is how often a request is signed anew after the CA refused its nonce (RFC 8555 section 6.5).
	nonceTries = 10
	// connections to one CA at once; more requests than that wait for a free one.
	connections = 32
)

// client sends requests to one CA. Connections, directory, nonces and pace are shared by all calls.
type client struct {
	directoryURL string
	userAgent    string
	timeout      time.Duration // of one request
	transport    *http.Transport
	nonces       noncePool
	pace         *pace

	mu      sync.Mutex
	dir     *lego.Directory
	fetched time.Time
}

// signer is an account key and, once known, the account's address.
type signer struct {
	key        crypto.Signer
	thumbprint string
	url        string
}

func newClient(s accountSettings, userAgent string) *client {
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // over HTTP/2 the transport repeats requests on its own when a connection goes away
	return &client{
		directoryURL: s.directoryURL,
		userAgent:    userAgent,
		timeout:      s.requestTimeout,
		pace:         newPace(s.perSecond),
		transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         dialer.DialContext,
			TLSClientConfig:     s.tlsConfig(),
			TLSHandshakeTimeout: 15 * time.Second,
			Protocols:           protocols,
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
func (c *client) directory(ctx context.Context) (*lego.Directory, error) {
	c.mu.Lock()
	dir, age := c.dir, time.Since(c.fetched)
	c.mu.Unlock()
	if dir != nil && age < directoryAge {
		return dir, nil
	}
	dir, err := c.fetchDirectory(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.dir, c.fetched = dir, time.Now()
	c.mu.Unlock()
	return dir, nil
}

func (c *client) fetchDirectory(ctx context.Context) (*lego.Directory, error) {
	a, err := c.get(ctx, http.MethodGet, c.directoryURL)
	if err != nil {
		return nil, err
	}
	dir := new(lego.Directory)
	if err := json.Unmarshal(a.body, dir); err != nil {
		return nil, &garbage{url: c.directoryURL, what: "no ACME directory; is this the address the CA gives for its directory?", body: a.body}
	}
	for name, address := range map[string]string{
		"newNonce": dir.NewNonceURL, "newAccount": dir.NewAccountURL, "newOrder": dir.NewOrderURL,
	} {
		if !isHTTPS(address) {
			return nil, &garbage{url: c.directoryURL, what: "a directory without an https address for " + name + " (RFC 8555 section 7.1.1)", body: a.body}
		}
	}
	return dir, nil
}

// get sends a request without a signature, and again after the pause that the CA asks for.
func (c *client) get(ctx context.Context, method, address string) (answer, error) {
	hurry := newHurry(ctx)
	for {
		a, _, err := c.once(ctx, method, address, nil)
		if err == nil || !c.again(ctx, hurry, err) {
			return a, err
		}
	}
}

// post sends a request that is signed by who, and again when the CA refuses its nonce or wants it later. A nil payload reads a
// resource (POST-as-GET, RFC 8555 section 6.3).
//
// The error is an *outcome: it knows whether the request may have been carried out.
func (c *client) post(ctx context.Context, who signer, address string, payload any) (answer, error) {
	text, err := encodePayload(payload)
	if err != nil {
		return answer{}, &outcome{err: err}
	}
	hurry, pause, sent, nonce := newHurry(ctx), 50*time.Millisecond, false, ""
	for try := 1; ; try++ {
		a, doubt, err := c.postOnce(ctx, who, address, text, nonce)
		if err == nil {
			return a, nil
		}
		sent, nonce = sent || doubt, ""
		switch {
		case try < nonceTries && isProblem(err, "badNonce"):
			// The refusal brought a fresh nonce. Those of the pool may be as old as the one that was refused, and cost no more
			// to try than new ones would to fetch.
			nonce = a.header.Get("Replay-Nonce")
			if try < 3 || wait(ctx, pause) == nil {
				pause *= 2
				continue
			}
		case c.again(ctx, hurry, err):
			continue
		}
		return a, &outcome{err: err, sent: sent}
	}
}

func encodePayload(payload any) ([]byte, error) {
	if payload == nil {
		return nil, nil
	}
	text, err := json.Marshal(payload)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	return text, nil
}

// postOnce sends a request with a nonce, or where that is empty with one of the pool. It reports besides whether the request may
// have been carried out though it failed.
func (c *client) postOnce(ctx context.Context, who signer, address string, payload []byte, nonce string) (answer, bool, error) {
	if !isHTTPS(address) {
		return answer{}, false, &garbage{url: c.directoryURL, what: "an address that is not https"}
	}
	if nonce == "" { // before the request's turn, for it may take a request with a turn of its own
		var err error
		if nonce, err = c.nonce(ctx); err != nil {
			return answer{}, false, err
		}
	}
	return c.once(ctx, http.MethodPost, address, func() ([]byte, error) { return who.sign(address, nonce, payload) })
}

// nonce takes one of the pool, or else asks the CA for one.
func (c *client) nonce(ctx context.Context) (string, error) {
	if nonce, ok := c.nonces.pop(); ok {
		return nonce, nil
	}
	dir, err := c.directory(ctx)
	if err != nil {
		return "", err
	}
	a, err := c.get(ctx, http.MethodHead, dir.NewNonceURL)
	if err != nil {
		return "", err
	}
	nonce := a.header.Get("Replay-Nonce")
	if nonce == "" {
		return "", &garbage{url: dir.NewNonceURL, what: "no nonce"}
	}
	return nonce, nil
}

// hurry is how long a request may still be repeated.
type hurry struct {
	until time.Time
	pause time.Duration // where the CA names none
}

func newHurry(ctx context.Context) *hurry {
	h := &hurry{until: time.Now().Add(patience), pause: firstPause}
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(h.until) {
		h.until = deadline
	}
	return h
}

// again reports that a request was refused for coming too fast, so that it was not carried out and its turn will come again
// within the call.
func (c *client) again(ctx context.Context, h *hurry, err error) bool {
	var p *problem
	if !errors.As(err, &p) || !p.tooFast() {
		return false
	}
	pause := p.retryAfter
	if pause == 0 {
		pause = h.pause
		h.pause *= 2
	}
	// A limit that lasts longer is mostly about one name or one kind of request; others must not wait for it.
	if pause > longestPause {
		return false
	}
	now := time.Now()
	c.pace.refused(p.by, now, pause)
	return ctx.Err() == nil && now.Add(pause).Before(h.until)
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

// outcome is how a signed request failed.
type outcome struct {
	err error
	// sent: the request was written, and its answer, if any, does not say that nothing was done.
	sent bool
}

func (o *outcome) Error() string { return o.err.Error() }
func (o *outcome) Unwrap() error { return o.err }

// noncePool keeps nonces that the CA gave with its answers (RFC 8555 section 6.5.1), the freshest on top.
type noncePool struct {
	mu     sync.Mutex
	nonces []string
}

// maxNonces bounds the pool; there are never more requests at once than connections.
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

func isHTTPS(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && u.Host != ""
}

// isProblem reports whether an error is a problem document of an ACME type, given without its namespace.
func isProblem(err error, kind string) bool {
	var p *problem
	return errors.As(err, &p) && p.kind() == kind
}
