package restca

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	maxWords   = 600  // bytes of one text from outside
	maxMessage = 4000 // bytes of all of them together
)

// Refusal is an answer that is not a success.
type Refusal struct {
	Status int
	// Problems are what the API says is wrong; empty when what answered was not the API.
	Problems []Problem
	// RetryAfter is when to come again; zero when nothing was said of it.
	RetryAfter time.Duration

	verdict  Verdict
	location string // of a redirect
	excerpt  string
	own      bool // nothing was sent: our own limit
}

// Problem is one of an API's errors. The code decides, never the message.
type Problem struct {
	Code, Message string
}

// Verdict is what a refusal means.
type Verdict struct {
	Kind pluginapi.ErrorKind
	// Field is the setting at fault, where the answer names one.
	Field string
	// Advice says what to do about it, to be put behind the message: "; check api_key".
	Advice string
	// Doubtful: the call may have had an effect all the same.
	Doubtful bool
	// Lasting: of no use to ask again within the same call, though the kind is Unavailable.
	Lasting bool
}

// ByStatus is what the HTTP status alone says. Nothing was done where the API itself, in its own form, calls the request
// wrong (4xx), and where a key or a limit keeps it from being looked at.
func ByStatus(r *Refusal) Verdict {
	gateway := len(r.Problems) == 0 // a gateway's answer is no word of the API about the call
	switch {
	case r.Status == http.StatusTooManyRequests:
		return Verdict{Kind: pluginapi.RateLimited}
	case r.Status == http.StatusUnauthorized, r.Status == http.StatusForbidden:
		return Verdict{Kind: pluginapi.Unauthorized}
	case gateway, r.Status < 400, r.Status >= 500:
		return Verdict{Kind: pluginapi.Unavailable, Doubtful: true, Lasting: r.Status < 500}
	case r.Status == http.StatusNotFound:
		return Verdict{Kind: pluginapi.NotFound}
	case r.Status == http.StatusConflict:
		return Verdict{Kind: pluginapi.Conflict}
	default:
		return Verdict{Kind: pluginapi.InvalidRequest}
	}
}

// refusal makes the error for an answer that is not a success.
func (c *Client) refusal(k Call, resp *http.Response, body []byte, problems []Problem) *Refusal {
	r := &Refusal{
		Status: resp.StatusCode, location: Clean(c.hide(resp.Header.Get("Location"), k), maxWords),
		excerpt: excerpt([]byte(c.hide(string(body[:min(len(body), 4*excerpted)]), k))), RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
	for _, p := range problems {
		r.Problems = append(r.Problems, Problem{Code: Clean(c.hide(p.Code, k), maxWords), Message: Clean(c.hide(p.Message, k), maxWords)})
	}
	r.verdict = c.o.Dialect.Judge(r)
	if r.verdict.Kind == pluginapi.RateLimited {
		if r.RetryAfter == 0 {
			r.RetryAfter = c.o.Pause
		}
		c.keepQuiet(r.RetryAfter)
	}
	return r
}

// ownLimit is the refusal of a call that was not sent.
func ownLimit(after time.Duration) *Refusal {
	return &Refusal{Status: http.StatusTooManyRequests, RetryAfter: after, own: true, verdict: Verdict{Kind: pluginapi.RateLimited}}
}

// retryAfter reads a Retry-After header (RFC 9110 section 10.2.3).
func retryAfter(text string, now time.Time) time.Duration {
	if text == "" {
		return 0
	}
	d := time.Duration(0)
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

// Verdict is what the refusal means.
func (r *Refusal) Verdict() Verdict { return r.verdict }

// Error says what the API answered.
func (r *Refusal) Error() string {
	switch {
	case r.own:
		return "the account's limit of calls is used up for now"
	case len(r.Problems) > 0:
		var words []string
		for _, p := range r.Problems {
			words = append(words, p.words())
		}
		return Clean(strings.Join(words, "; "), maxMessage)
	case r.Status >= 300 && r.Status < 400 && r.location != "":
		return fmt.Sprintf("the API answered HTTP %d and points to %s; is base_url right?", r.Status, r.location)
	default:
		return fmt.Sprintf("HTTP %d %s, not in the API's form: %s", r.Status, http.StatusText(r.Status), r.excerpt)
	}
}

func (p Problem) words() string {
	switch {
	case p.Message == "":
		return p.Code
	case p.Code == "":
		return p.Message
	default:
		return strings.TrimSuffix(p.Message, ".") + " (" + p.Code + ")"
	}
}

// RefusalOf returns the API's refusal in an error, or nil.
func RefusalOf(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	return nil
}

// Garbage is a success that cannot be understood.
type Garbage struct {
	What    string
	excerpt string
}

// NewGarbage says what is wrong with an answer, and shows its beginning.
func NewGarbage(what string, body []byte) *Garbage {
	return &Garbage{What: what, excerpt: excerpt(body)}
}

// Error says what is wrong with the answer.
func (g *Garbage) Error() string {
	if g.excerpt == "" {
		return "the answer is " + g.What
	}
	return "the answer is " + g.What + ": " + g.excerpt
}

// NoAnswer is a call that nobody answered.
type NoAnswer struct {
	Host string
	// Sent reports that a connection was there: part of the call may have left.
	Sent    bool
	err     error
	ended   bool // the caller's context ended
	timeout time.Duration
	hide    func(string) string
}

// Unwrap returns what lies beneath.
func (n *NoAnswer) Unwrap() error { return n.err }

// Error says why there is no answer.
func (n *NoAnswer) Error() string {
	var (
		cert    *tls.CertificateVerificationError
		dns     *net.DNSError
		timeout net.Error
	)
	switch {
	case n.ended && errors.Is(n.err, context.Canceled):
		return fmt.Sprintf("the call was canceled while %s was asked", n.Host)
	case n.ended:
		return fmt.Sprintf("the call's time ended while %s was asked", n.Host)
	case errors.As(n.err, &cert):
		return fmt.Sprintf("the certificate of %s is not good: %s", n.Host, Clean(cert.Err.Error(), maxWords))
	case errors.As(n.err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("there is no host %s; is base_url right?", n.Host)
	case errors.Is(n.err, context.DeadlineExceeded), errors.As(n.err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("%s did not answer within %s", n.Host, n.timeout)
	default:
		return fmt.Sprintf("%s gave no answer: %s", n.Host, Clean(n.hide(n.err.Error()), maxWords))
	}
}

// Fail turns the failure of a call that is safe to repeat into one of the contract's kinds; what says what was being
// done. An error of the contract stays what it is.
func Fail(what string, err error) *pluginapi.Error {
	var done *pluginapi.Error
	if errors.As(err, &done) {
		return done
	}
	out := &pluginapi.Error{Kind: pluginapi.Unavailable, Message: what + ": " + err.Error(), Err: err}
	if no := RefusalOf(err); no != nil {
		out.Kind, out.Field = no.verdict.Kind, no.verdict.Field
		out.RetryAfter = no.RetryAfter
		out.Message = what + ": " + no.Error() + no.verdict.Advice
	}
	return out
}

// FailOnce is Fail for a call that may have bought something or is not safe to repeat: unless it surely had no effect,
// its outcome is unknown.
func FailOnce(what string, err error) *pluginapi.Error {
	out := Fail(what, err)
	var (
		away *NoAnswer
		odd  *Garbage
	)
	no := RefusalOf(err)
	switch {
	case no != nil && !no.verdict.Doubtful:
	case errors.As(err, &away) && !away.Sent:
		out.Kind = pluginapi.Unavailable
	case no != nil, errors.As(err, &away), errors.As(err, &odd):
		out.Kind, out.Field = pluginapi.UnknownOutcome, ""
	}
	return out
}

// excerpted is how many bytes of an answer that should have been something else are looked at for a message.
const excerpted = 200

// excerpt shows the beginning of an answer that should have been something else.
func excerpt(body []byte) string {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return "an empty body"
	}
	return fmt.Sprintf("it begins %q", Clean(string(body[:min(len(body), excerpted)]), 120))
}
