package acme

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// maxBody bounds an answer; the longest legitimate ones are chains and orders of a hundred names.
	maxBody = 1 << 20
	// usualBody is what most answers have no more than whose length is not told: a chain of two certificates.
	usualBody = 3 << 10
	// maxRetryAfter bounds what a CA may ask for; the daemon's own pace takes over beyond it.
	maxRetryAfter = 7 * 24 * time.Hour
)

// answer is a success.
type answer struct {
	url    string
	header http.Header
	body   []byte
}

// pace is how long the CA wants to be left alone with what it answered about, zero when it does not say.
func (a answer) pace() time.Duration { return retryAfter(a.header, time.Now()) }

// read decodes the body.
func (a answer) read(into any) error {
	if err := json.Unmarshal(a.body, into); err != nil {
		return &garbage{url: a.url, what: "no JSON of the known shape", body: a.body}
	}
	return nil
}

// once makes a request when its turn has come, sends it once and reads its answer; what is not a success becomes an error. It
// reports besides whether a failed request may have been carried out. A nonce goes to the pool, but for that of newNonce and that of
// badNonce, which the request itself is sent with next. The body is made when the request has its turn; without one nothing can be
// carried out.
func (c *client) once(ctx context.Context, method, address string, body func() ([]byte, error)) (answer, bool, error) {
	if err := c.pace.turn(ctx); err != nil {
		return answer{}, false, err
	}
	by := passage{turn: time.Now()}
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var written atomic.Pointer[time.Time]
	req, err := c.request(bounded, method, address, body, &written)
	if err != nil {
		return answer{}, false, err
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return answer{}, written.Load() != nil, c.explain(ctx, req, err)
	}
	defer resp.Body.Close()
	text, err := readBody(resp)
	if err != nil {
		return answer{}, written.Load() != nil, c.explain(ctx, req, err)
	}
	by.sent = by.turn
	if at := written.Load(); at != nil {
		by.sent = *at
	}
	a := answer{url: address, header: resp.Header, body: text}
	var p *problem
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		p = readProblem(req, resp, text)
		p.by = by
	}
	refusedNonce := p != nil && p.kind() == "badNonce"
	if nonce := resp.Header.Get("Replay-Nonce"); nonce != "" && req.Method != http.MethodHead && !refusedNonce {
		c.nonces.push(nonce)
	}
	if p == nil || !p.tooFast() {
		c.pace.granted(by, time.Now())
	}
	switch {
	case p != nil:
		return a, written.Load() != nil && !p.refusal(), p
	case len(text) > maxBody:
		return a, written.Load() != nil, &garbage{url: a.url, what: fmt.Sprintf("more than %d bytes", maxBody)}
	default:
		return a, false, nil
	}
}

// request makes a request. written is set, to the time, when one with a body is on its way.
func (c *client) request(
	ctx context.Context, method, address string, body func() ([]byte, error), written *atomic.Pointer[time.Time],
) (*http.Request, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = body(); err != nil {
			return nil, err
		}
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { now := time.Now(); written.Store(&now) }})
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("User-Agent", c.userAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/jose+json")
	}
	return req, nil
}

// readBody reads an answer's body, of which one that is too long is cut off after maxBody.
func readBody(resp *http.Response) ([]byte, error) {
	size := min(resp.ContentLength, maxBody)
	if size < 0 {
		size = usualBody
	}
	body := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead)) // ReadFrom wants as much room to see the end
	_, err := body.ReadFrom(io.LimitReader(resp.Body, maxBody+1))
	return body.Bytes(), err
}

// explain says in words what went wrong below HTTP.
func (c *client) explain(ctx context.Context, req *http.Request, err error) error {
	if cause := ctx.Err(); cause != nil {
		return &unreachable{host: req.URL.Host, err: cause}
	}
	return &unreachable{host: req.URL.Host, err: err, timeout: c.timeout}
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
