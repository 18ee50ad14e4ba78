package acme

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxBody bounds an answer; the longest legitimate ones are chains and orders of a hundred names.
	maxBody = 1 << 20
	// maxRetryAfter bounds what a CA may ask for; the daemon's own pace takes over beyond it.
	maxRetryAfter = 7 * 24 * time.Hour
)

// exchange is the transport of one call of lego's client. It binds each request to the call's context, answers for
// the directory and for nonces out of what the client shares, reads every body at once and within bounds, and turns
// answers that are not a success into errors. Because a refused nonce is then an error that lego does not know, lego's
// own retry loop, which sleeps without a context, never runs.
type exchange struct {
	ctx       context.Context // of the call: lego makes requests without one
	client    *client
	directory []byte // what to answer for the directory; nil: ask the CA
	newNonce  string

	// sent: a POST was written at least in part.
	sent atomic.Bool

	mu      sync.Mutex
	header  http.Header // of the last answer
	failure error       // of the last request that failed
}

// cause returns why a call over the exchange failed: go-jose keeps only the words of an error of its nonce source.
func (x *exchange) cause(err error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.failure != nil && !errors.Is(err, x.failure) {
		return x.failure
	}
	return err
}

// last returns the header of the last answer; it may be nil.
func (x *exchange) last() http.Header {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.header
}

// RoundTrip implements http.RoundTripper.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet && x.directory != nil && req.URL.String() == x.client.directoryURL {
		return answer(req, http.Header{"Content-Type": {"application/json"}}, x.directory), nil
	}
	if req.Method == http.MethodHead && req.URL.String() == x.newNonce {
		if nonce, ok := x.client.nonces.pop(); ok {
			return answer(req, http.Header{"Replay-Nonce": {nonce}}, nil), nil
		}
	}
	header, body, err := x.send(req)
	if err != nil {
		x.mu.Lock()
		x.failure = err
		x.mu.Unlock()
		return nil, err
	}
	return answer(req, header, body), nil
}

func answer(req *http.Request, header http.Header, body []byte) *http.Response {
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}
}

// send sends a request once and reads its answer. A nonce in the answer to anything but newNonce goes to the pool.
func (x *exchange) send(req *http.Request) (http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(x.ctx, x.client.timeout)
	defer cancel()
	if req.Method == http.MethodPost {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { x.sent.Store(true) }})
	}
	req = req.Clone(ctx)
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", x.client.userAgent)
	}
	resp, err := x.client.transport.RoundTrip(req)
	if err != nil {
		return nil, nil, x.explain(req, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, nil, x.explain(req, err)
	}
	x.mu.Lock()
	x.header = resp.Header
	x.mu.Unlock()
	header := resp.Header.Clone()
	if nonce := header.Get("Replay-Nonce"); nonce != "" && req.Method != http.MethodHead {
		header.Del("Replay-Nonce")
		defer x.client.nonces.push(nonce) // after a clear below
	}
	if len(body) > maxBody {
		return nil, nil, &garbage{url: req.URL.String(), what: fmt.Sprintf("more than %d bytes", maxBody)}
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return header, body, nil
	}
	p := readProblem(req, resp, body)
	if p.kind() == "badNonce" {
		x.client.nonces.clear()
	}
	if p.refusal() {
		x.sent.Store(false) // the CA answered: nothing was done
	}
	return nil, nil, p
}

// explain says in words what went wrong below HTTP.
func (x *exchange) explain(req *http.Request, err error) error {
	if cause := x.ctx.Err(); cause != nil {
		return &unreachable{host: req.URL.Host, err: cause}
	}
	return &unreachable{host: req.URL.Host, err: err, timeout: x.client.timeout}
}

// readProblem reads an answer that is not a success. Not every such answer has a problem document (RFC 7807) in it.
func readProblem(req *http.Request, resp *http.Response, body []byte) *problem {
	p := &problem{
		status:     resp.StatusCode,
		method:     req.Method,
		url:        req.URL.String(),
		retryAfter: retryAfter(resp.Header, time.Now()),
		location:   resp.Header.Get("Location"),
	}
	// Its own status member is advisory and not used (RFC 7807 section 3.1).
	if err := json.Unmarshal(body, &p.doc); err != nil || (p.doc.Type == "" && p.doc.Detail == "") {
		p.doc.Type, p.doc.Detail, p.doc.SubProblems = "", "", nil
		p.body = body
	}
	return p
}

// retryAfter reads a Retry-After header (RFC 9110 section 10.2.3), zero when there is none that can be used.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	var d time.Duration
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
