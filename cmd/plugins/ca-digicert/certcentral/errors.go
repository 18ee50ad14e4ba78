package certcentral

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	maxWords   = 600  // of one text from outside
	maxMessage = 4000 // of all of them together
)

// Refusal is an answer that is not a success.
type Refusal struct {
	Status int
	// Problems are what the API says is wrong; empty when what answered was not the API.
	Problems []Problem
	// RetryAfter is when to come again; zero when nothing was said of it.
	RetryAfter time.Duration
	location   string // of a redirect
	excerpt    string
	own        bool // nothing was sent: our own limit
}

// Problem is one of the API's errors. The code decides, never the message.
type Problem struct {
	Code, Message string
}

// newRefusal reads an answer that is not a success.
func newRefusal(resp *http.Response, body []byte, now time.Time) *Refusal {
	r := &Refusal{
		Status: resp.StatusCode, Problems: decodeProblems(body), location: resp.Header.Get("Location"), excerpt: excerpt(body),
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), now),
	}
	if r.Status == http.StatusTooManyRequests && r.RetryAfter == 0 {
		r.RetryAfter = defaultPause
	}
	return r
}

// decodeProblems reads the errors of a body: a list, or as older answers have it a single object.
func decodeProblems(body []byte) []Problem {
	var in struct {
		Errors List[struct {
			Code    Text `json:"code"`
			Message Text `json:"message"`
		}] `json:"errors"`
	}
	if decode(body, &in) != nil {
		return nil
	}
	var out []Problem
	for _, e := range in.Errors {
		if e.Code != "" || e.Message != "" {
			out = append(out, Problem{Code: clean(string(e.Code), maxWords), Message: clean(string(e.Message), maxWords)})
		}
	}
	return out
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

// Has reports whether one of the codes is the problem; what follows a ":" or "|" in the answer is a qualifier.
func (r *Refusal) Has(codes ...string) bool {
	for _, p := range r.Problems {
		for _, code := range codes {
			if rest, ok := strings.CutPrefix(p.Code, code); ok && (rest == "" || rest[0] == ':' || rest[0] == '|') {
				return true
			}
		}
	}
	return false
}

// NothingDone reports that the API itself refused the call, so that it had no effect.
func (r *Refusal) NothingDone() bool {
	switch r.Status {
	case http.StatusTooManyRequests, http.StatusUnauthorized, http.StatusForbidden:
		return true
	default:
		return r.Status >= 400 && r.Status < 500 && len(r.Problems) > 0
	}
}

// Error says what the API answered.
func (r *Refusal) Error() string {
	switch {
	case r.own:
		return "the API key's limit of calls is used up for now"
	case len(r.Problems) > 0:
		var words []string
		for _, p := range r.Problems {
			words = append(words, p.words())
		}
		return clean(strings.Join(words, "; "), maxMessage)
	case r.Status >= 300 && r.Status < 400 && r.location != "":
		return fmt.Sprintf("the API answered HTTP %d and points to %s; is base_url right?", r.Status, clean(r.location, maxWords))
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

// Garbage is a success that cannot be understood.
type Garbage struct {
	What    string
	excerpt string
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
		return fmt.Sprintf("the certificate of %s is not good: %s", n.Host, clean(cert.Err.Error(), maxWords))
	case errors.As(n.err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("there is no host %s; is base_url right?", n.Host)
	case errors.Is(n.err, context.DeadlineExceeded), errors.As(n.err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("%s did not answer within %s", n.Host, n.timeout)
	default:
		return fmt.Sprintf("%s gave no answer: %s", n.Host, clean(n.err.Error(), maxWords))
	}
}

// kinds is what the API's codes mean for the caller, the most exact first. Codes without a place here are judged by the
// status of the answer. Those marked (*) are not confirmed by DigiCert's pages; other clients have met them.
var kinds = []struct {
	code  string
	kind  pluginapi.ErrorKind
	field string
}{
	{code: "request_limit_exceeded", kind: pluginapi.RateLimited},
	{code: "access_denied|invalid_approver", kind: pluginapi.NeedsPerson}, // (*)
	{code: "access_denied", kind: pluginapi.Unauthorized},
	{code: "not_found|product", kind: pluginapi.InvalidRequest, field: "product"},
	{code: "not_found|route", kind: pluginapi.Unavailable}, // the address is wrong, so it tells nothing of what was asked for
	{code: "not_found", kind: pluginapi.NotFound},
	{code: "ambiguous_product", kind: pluginapi.InvalidRequest, field: "product"},
	{code: "invalid_wildcard_dcv_method", kind: pluginapi.InvalidRequest, field: "dcv_method"},
	{code: "invalid_dcv_method", kind: pluginapi.InvalidRequest, field: "dcv_method"},
	{code: "auth_key_not_setup", kind: pluginapi.InvalidRequest, field: "auth_key_id"},
	{code: "caa_check_failed", kind: pluginapi.NeedsPerson},
	{code: "caa_not_found", kind: pluginapi.Unavailable},
	{code: "order_not_eligible_for_renewal", kind: pluginapi.NeedsPerson}, // (*)
	{code: "order_renewed_already", kind: pluginapi.NeedsPerson},          // (*)
}

// fieldCodes carry the name of a request field behind the colon.
var fieldCodes = []string{"required_param", "invalid_value", "missing_param", "invalid_param"}

// Kind is what an answer means for the caller, with the field at fault where the answer names one.
func (r *Refusal) Kind() (pluginapi.ErrorKind, string) {
	for _, k := range kinds {
		if r.Has(k.code) {
			return k.kind, k.field
		}
	}
	for _, p := range r.Problems {
		code, field, ok := strings.Cut(p.Code, ":")
		if ok && slices.Contains(fieldCodes, code) {
			return pluginapi.InvalidRequest, field
		}
	}
	switch {
	case r.Status == http.StatusTooManyRequests:
		return pluginapi.RateLimited, ""
	case r.Status == http.StatusUnauthorized, r.Status == http.StatusForbidden:
		return pluginapi.Unauthorized, ""
	case len(r.Problems) == 0: // a gateway's answer is no word of the API about the call
		return pluginapi.Unavailable, ""
	case r.Status == http.StatusNotFound:
		return pluginapi.NotFound, ""
	case r.Status == http.StatusConflict:
		return pluginapi.Conflict, ""
	case r.Status >= 400 && r.Status < 500:
		return pluginapi.InvalidRequest, ""
	default:
		return pluginapi.Unavailable, ""
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
	var no *Refusal
	if errors.As(err, &no) {
		out.Kind, out.Field = no.Kind()
		out.RetryAfter = no.RetryAfter
		out.Message = what + ": " + no.Error() + no.advice()
	}
	return out
}

// FailOnce is Fail for a call that may have bought something or is not safe to repeat: unless it surely had no effect,
// its outcome is unknown.
func FailOnce(what string, err error) *pluginapi.Error {
	out := Fail(what, err)
	var (
		no   *Refusal
		away *NoAnswer
		odd  *Garbage
	)
	switch {
	case errors.As(err, &no) && no.NothingDone():
	case errors.As(err, &away) && !away.Sent:
		out.Kind = pluginapi.Unavailable
	case errors.As(err, &no), errors.As(err, &away), errors.As(err, &odd):
		out.Kind, out.Field = pluginapi.UnknownOutcome, ""
	}
	return out
}

// advice says what to do about an answer that people meet.
func (r *Refusal) advice() string {
	switch {
	case r.Has("access_denied|missing_permission"):
		return "; give the key's user a role with this right (administrator or manager), or leave skip_approval out"
	case r.Has("access_denied|invalid_approver"):
		return "; a person with the right to approve must act"
	case r.Has("access_denied"), r.Status == http.StatusUnauthorized:
		return "; check api_key, and that base_url is the host the key belongs to"
	case r.Has("not_found|product"):
		return "; the product is not enabled for the account"
	case r.Has("not_found|route"):
		return "; is base_url right?"
	case r.Has("caa_check_failed"):
		return "; let the names' CAA records allow digicert.com"
	case r.Has("order_not_eligible_for_renewal", "order_renewed_already"):
		return "; to order without the link to the earlier order set link_renewals = false"
	default:
		return ""
	}
}

// excerpt shows the beginning of an answer that should have been something else.
func excerpt(body []byte) string {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return "an empty body"
	}
	return fmt.Sprintf("it begins %q", clean(string(body[:min(len(body), 200)]), 120))
}

// cardLike finds numbers as long as those of payment cards, which an answer may repeat.
var cardLike = regexp.MustCompile(`\b[0-9](?:[ -]?[0-9]){12,18}\b`)

// clean makes a text from outside fit for one line of a log: no control characters, one space between words, valid
// UTF-8, at most limit bytes, and nothing that looks like the number of a payment card.
func clean(text string, limit int) string {
	if len(text) > 4*limit {
		text = text[:4*limit]
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(text, ""))
	text = cardLike.ReplaceAllString(strings.Join(strings.Fields(text), " "), "[number]")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit-len("...")], "") + "..."
	}
	return text
}

// decode reads one JSON object. Fields whose type is another than expected are left out: the API's types are loose, and
// who needs a field looks whether it is there.
func decode(body []byte, into any) error {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || body[0] != '{' {
		return &Garbage{What: "not a JSON object", excerpt: excerpt(body)}
	}
	err := json.Unmarshal(body, into)
	var loose *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &loose) {
		return &Garbage{What: "broken or cut off", excerpt: excerpt(body)}
	}
	return nil
}
