package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kind is one way to misbehave.
type Kind string

// The ways to misbehave. Those that lose or replace an answer do so before the work, or with After when it is done.
const (
	// Drop closes the connection without an answer.
	Drop Kind = "drop"
	// Reset resets the connection.
	Reset Kind = "reset"
	// RateLimited answers 429.
	RateLimited Kind = "rate-limited"
	// ServerError answers a status of 500 or more.
	ServerError Kind = "server-error"
	// HTML answers with a gateway's error page and the status 200, or the one given.
	HTML Kind = "html"
	// Truncated does the work and answers with the first half of the JSON.
	Truncated Kind = "truncated"
	// Cut does the work, promises the whole answer, and closes the connection after half of it.
	Cut Kind = "cut"
	// Slow waits before it answers.
	Slow Kind = "slow"
	// FlipTypes does the work and answers with numbers as text, text of digits as numbers, and null for empty lists.
	FlipTypes Kind = "flip-types"
	// OtherCertificate hands out a certificate of another order. Only a CA can do that: see Told.
	OtherCertificate Kind = "other-certificate"
)

func kinds() []Kind {
	return []Kind{Drop, Reset, RateLimited, ServerError, HTML, Truncated, Cut, Slow, FlipTypes, OtherCertificate}
}

// Misbehaviour says what to do wrong with which calls.
type Misbehaviour struct {
	// Method and Path choose the calls; empty means any. Path is below the API's base; "*" is anything but a slash, and
	// "/**" at the end is anything.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Skip lets that many such calls pass first.
	Skip int `json:"skip,omitempty"`
	// Times is how many calls it is for; 0 means one, -1 all.
	Times int  `json:"times,omitempty"`
	Kind  Kind `json:"kind"`
	// After does the work first.
	After bool `json:"after,omitempty"`
	// Status is that of ServerError (default 503) and HTML.
	Status int `json:"status,omitempty"`
	// RetryAfter is the header of RateLimited and ServerError; empty leaves it out.
	RetryAfter string `json:"retry_after,omitempty"`
	// Delay is how long Slow waits; 0 means until the client gives up.
	Delay Delay `json:"delay,omitempty"`
}

// Delay is a duration that is written as "1.5s".
type Delay time.Duration

// MarshalText writes it.
func (d Delay) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads it.
func (d *Delay) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("read a delay: %w", err)
	}
	*d = Delay(v)
	return nil
}

// Check says what is wrong with a misbehaviour.
func (m Misbehaviour) Check() error {
	var errs []error
	if !slices.Contains(kinds(), m.Kind) {
		errs = append(errs, fmt.Errorf("kind %q is none of %v", m.Kind, kinds()))
	}
	if _, err := path.Match(strings.TrimSuffix(m.Path, "/**"), ""); err != nil {
		errs = append(errs, fmt.Errorf("path %q: %w", m.Path, err))
	}
	if m.Skip < 0 || m.Times < -1 || m.Delay < 0 {
		errs = append(errs, errors.New("skip and delay are not negative, and times is not below -1"))
	}
	if m.Status != 0 && (m.Status < 200 || m.Status > 599) {
		errs = append(errs, fmt.Errorf("status %d is none of an HTTP answer", m.Status))
	}
	return errors.Join(errs...)
}

func (m Misbehaviour) matches(method, at string) bool {
	if m.Method != "" && !strings.EqualFold(m.Method, method) {
		return false
	}
	if m.Path == "" {
		return true
	}
	pattern, open := strings.CutSuffix(m.Path, "/**")
	if open {
		parts := strings.Split(at, "/")
		if n := strings.Count(pattern, "/") + 1; len(parts) > n {
			at = strings.Join(parts[:n], "/")
		}
	}
	ok, err := path.Match(pattern, at)
	return ok && err == nil
}

// Mischief makes calls go wrong as it was told. The zero value is ready and lets all pass.
type Mischief struct {
	// TooMany and Failed are the bodies of 429 and 5xx, as the CA writes them.
	TooMany, Failed []byte

	mu    sync.Mutex
	rules []Misbehaviour
}

// Add tells of a misbehaviour; earlier ones come first.
func (m *Mischief) Add(b Misbehaviour) error {
	if err := b.Check(); err != nil {
		return fmt.Errorf("misbehave: %w", err)
	}
	if b.Times == 0 {
		b.Times = 1
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rules = append(m.rules, b)
	return nil
}

// Clear makes it behave again.
func (m *Mischief) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rules = nil
}

// List returns what is still to be done wrong.
func (m *Mischief) List() []Misbehaviour {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.rules)
}

// next takes the misbehaviour that is meant for a call.
func (m *Mischief) next(method, at string) (Misbehaviour, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.rules {
		r := &m.rules[i]
		if !r.matches(method, at) {
			continue
		}
		if r.Skip > 0 {
			r.Skip--
			continue
		}
		taken := *r
		if r.Times > 0 {
			if r.Times--; r.Times == 0 {
				m.rules = slices.Delete(m.rules, i, i+1)
			}
		}
		return taken, true
	}
	return Misbehaviour{}, false
}

type toldKey struct{}

// Told is the misbehaviour that a call's handler itself has to care for.
func Told(ctx context.Context) Kind {
	kind, _ := ctx.Value(toldKey{}).(Kind)
	return kind
}

// Serve answers a call by do, or goes wrong, and then says how to note. The path is at, below the API's base.
func (m *Mischief) Serve(w http.ResponseWriter, r *http.Request, at string, note func(kind string), do http.Handler) {
	b, ok := m.next(r.Method, at)
	if !ok {
		do.ServeHTTP(w, r)
		return
	}
	what := string(b.Kind)
	if b.After {
		what += " after the work"
	}
	note(what)
	switch b.Kind {
	case Slow:
		if readAhead(r) != nil || !wait(r.Context(), time.Duration(b.Delay)) {
			panic(http.ErrAbortHandler) // the client has gone
		}
		do.ServeHTTP(w, r)
		return
	case OtherCertificate:
		do.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), toldKey{}, b.Kind)))
		return
	case Truncated, Cut, FlipTypes:
		b.After = true
	}
	kept := &kept{header: http.Header{}, status: http.StatusOK}
	if b.After {
		do.ServeHTTP(kept, r)
	}
	m.replace(w, b, kept)
}

// readAhead takes in a request's body: until it is read, the server does not notice that the client goes.
func readAhead(r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, mostWaiting))
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
	return nil
}

// mostWaiting is how much of a body is kept while its call waits. A longer one is taken, but its client may go unnoticed.
const mostWaiting = 4 << 20

// wait reports whether the time has passed before the context ended; with no time it waits for the end.
func wait(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		<-ctx.Done()
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// replace sends what the misbehaviour makes of an answer.
func (m *Mischief) replace(w http.ResponseWriter, b Misbehaviour, k *kept) {
	switch b.Kind {
	case Drop:
		panic(http.ErrAbortHandler) // the server closes the connection
	case Reset:
		reset(w)
	case RateLimited:
		answerInstead(w, http.StatusTooManyRequests, b.RetryAfter, "application/json", m.TooMany)
	case ServerError:
		answerInstead(w, orElse(b.Status, http.StatusServiceUnavailable), b.RetryAfter, "application/json", m.Failed)
	case HTML:
		answerInstead(w, orElse(b.Status, http.StatusOK), b.RetryAfter, "text/html; charset=utf-8", []byte(gatewayPage))
	case Truncated:
		k.send(w, k.body.Bytes()[:k.body.Len()/2], 0)
	case Cut:
		k.send(w, k.body.Bytes()[:k.body.Len()/2], k.body.Len())
		panic(http.ErrAbortHandler)
	case FlipTypes:
		k.send(w, flipTypes(k.body.Bytes()), 0)
	}
}

const gatewayPage = "<!DOCTYPE html>\n<html><head><title>Request unsuccessful</title></head>\n" +
	"<body><h1>Request unsuccessful</h1><p>Incident ID: 0-0</p></body></html>\n"

func orElse(status, other int) int {
	if status != 0 {
		return status
	}
	return other
}

func answerInstead(w http.ResponseWriter, status int, retryAfter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone reads nothing
}

// reset makes the peer see a reset connection rather than an orderly end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	raw := conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		raw = t.NetConn()
	}
	if t, ok := raw.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // without it the end is an orderly one, which is wrong enough
	}
	raw.Close()
}

// kept is an answer that was not sent.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header returns the header.
func (k *kept) Header() http.Header { return k.header }

// WriteHeader keeps the status.
func (k *kept) WriteHeader(status int) { k.status = status }

// Write keeps the body.
func (k *kept) Write(p []byte) (int, error) { return k.body.Write(p) }

// send sends the answer with another body; promised is the length that the header says, 0 for the body's.
func (k *kept) send(w http.ResponseWriter, body []byte, promised int) {
	for name, values := range k.header {
		w.Header()[name] = values
	}
	w.Header().Del("Content-Length")
	if promised > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(promised))
	}
	w.WriteHeader(k.status)
	_, _ = w.Write(body) // a client that has gone reads nothing
	if promised > 0 {
		_ = http.NewResponseController(w).Flush() // what can be sent is sent before the end
	}
}

// flipTypes changes JSON in the ways that loosely typed services are known for.
func flipTypes(body []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return body // no JSON: a certificate
	}
	out, err := json.Marshal(flip("", v))
	if err != nil {
		return body
	}
	return out
}

func flip(key string, v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k := range x {
			x[k] = flip(k, x[k])
		}
		return x
	case []any:
		if len(x) == 0 {
			return nil
		}
		for i := range x {
			x[i] = flip(key, x[i])
		}
		return x
	case json.Number:
		return x.String()
	case bool:
		if strings.HasPrefix(key, "is_") {
			return map[bool]string{true: "1", false: "0"}[x]
		}
		return x
	case string:
		// A leading zero is no number of JSON, and a long one is no id.
		if n, err := strconv.ParseInt(x, 10, 53); err == nil && strconv.FormatInt(n, 10) == x {
			return json.Number(x)
		}
		return x
	default:
		return v
	}
}
