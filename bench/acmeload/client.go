// Package acmeload orders certificates by ACME (RFC 8555) as fast as a CA gives them, and does nothing with them: the
// ceiling that the daemon is measured against. It keeps connections and nonces, looks again at once, and journals and
// installs nothing.
package acmeload

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// client speaks ACME with one account.
type client struct {
	http       *http.Client
	key        *ecdsa.PrivateKey
	thumbprint string
	account    string
	urls       struct{ NewNonce, NewAccount, NewOrder string }

	mu     sync.Mutex
	nonces []string
}

// maxBody bounds an answer.
const maxBody = 1 << 20

// errBadNonce is the refusal of a nonce; the request is signed anew then.
var errBadNonce = errors.New("badNonce")

// errInvalid is an order that failed. A CA on a machine that is busy may fail to look at a challenge in time.
var errInvalid = errors.New("the order is invalid")

// newClient reads the directory and registers an account.
func newClient(ctx context.Context, directory string, root []byte, connections int) (*client, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &client{key: key, http: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: connections, ForceAttemptHTTP2: true,
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, directory, nil)
	if err != nil {
		return nil, err
	}
	_, body, err := c.do(req)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &c.urls); err != nil {
		return nil, fmt.Errorf("read the directory: %w", err)
	}
	sum := sha256.Sum256(c.jwk())
	c.thumbprint = base64.RawURLEncoding.EncodeToString(sum[:])
	header, _, err := c.post(ctx, c.urls.NewAccount, []byte(`{"termsOfServiceAgreed":true}`))
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	c.account = header.Get("Location")
	return c, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// jwk is the public key in the form whose digest is the thumbprint (RFC 7638 section 3).
func (c *client) jwk() []byte {
	point, err := c.key.PublicKey.Bytes()
	if err != nil {
		return nil // a P-256 key that was just made has a point
	}
	x, y := point[1:33], point[33:]
	return fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, base64.RawURLEncoding.EncodeToString(x), base64.RawURLEncoding.EncodeToString(y))
}

// post sends a signed request; a nil payload makes it a POST-as-GET.
func (c *client) post(ctx context.Context, url string, payload []byte) (http.Header, []byte, error) {
	for {
		nonce, err := c.nonce(ctx)
		if err != nil {
			return nil, nil, err
		}
		body, err := c.sign(url, nonce, payload)
		if err != nil {
			return nil, nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return nil, nil, err
		}
		req.Header.Set("Content-Type", "application/jose+json")
		header, answer, err := c.do(req)
		if !errors.Is(err, errBadNonce) {
			return header, answer, err
		}
	}
}

// sign makes a flattened JWS with ES256 (RFC 8555 section 6.2).
func (c *client) sign(url, nonce string, payload []byte) ([]byte, error) {
	who := fmt.Sprintf(`"kid":%q`, c.account)
	if c.account == "" {
		who = `"jwk":` + string(c.jwk())
	}
	protected := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"ES256",%s,"nonce":%q,"url":%q}`, who, nonce, url))
	text := base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(protected + "." + text))
	r, s, err := ecdsa.Sign(rand.Reader, c.key, digest[:])
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return fmt.Appendf(nil, `{"protected":%q,"payload":%q,"signature":%q}`, protected, text, base64.RawURLEncoding.EncodeToString(signature)), nil
}

func (c *client) nonce(ctx context.Context) (string, error) {
	c.mu.Lock()
	if n := len(c.nonces); n > 0 {
		nonce := c.nonces[n-1]
		c.nonces = c.nonces[:n-1]
		c.mu.Unlock()
		return nonce, nil
	}
	c.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, c.urls.NewNonce, nil)
	if err != nil {
		return "", err
	}
	reply, err := c.http.Do(req)
	if err != nil {
		return "", err
	}
	return reply.Header.Get("Replay-Nonce"), reply.Body.Close()
}

// do sends a request and keeps the nonce of the answer.
func (c *client) do(req *http.Request) (http.Header, []byte, error) {
	reply, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(io.LimitReader(reply.Body, maxBody))
	if err != nil {
		return nil, nil, err
	}
	if nonce := reply.Header.Get("Replay-Nonce"); nonce != "" {
		c.mu.Lock()
		c.nonces = append(c.nonces, nonce)
		c.mu.Unlock()
	}
	switch {
	case reply.StatusCode < 300:
		return reply.Header, body, nil
	case strings.Contains(string(body), "error:badNonce"):
		return nil, nil, errBadNonce
	default:
		return nil, nil, fmt.Errorf("%s %s: %s: %s", req.Method, req.URL, reply.Status, body)
	}
}

// order is an order or an authorization as far as it matters here.
type order struct {
	Status                string
	Authorizations        []string
	Finalize, Certificate string
	Challenges            []struct{ Type, URL, Token string }
}

func (c *client) fetch(ctx context.Context, url string, payload []byte) (order, http.Header, error) {
	header, body, err := c.post(ctx, url, payload)
	if err != nil {
		return order{}, nil, err
	}
	var o order
	err = json.Unmarshal(body, &o)
	return o, header, err
}

// await looks at an order until it has left a status, first at once and then at growing intervals.
func (c *client) await(ctx context.Context, url string, while ...string) (order, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		o, _, err := c.fetch(ctx, url, nil)
		if err != nil {
			return o, err
		}
		waits := false
		for _, status := range while {
			waits = waits || o.Status == status
		}
		switch {
		case o.Status == "invalid":
			return o, fmt.Errorf("%s: %w", url, errInvalid)
		case !waits:
			return o, nil
		}
		select {
		case <-ctx.Done():
			return o, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// request makes a certificate request with a key of its own.
func request(domain string) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{domain}}, crypto.Signer(key))
	return base64.RawURLEncoding.EncodeToString(der), err
}
