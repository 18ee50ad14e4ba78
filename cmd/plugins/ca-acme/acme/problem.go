package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"

	lego "github.com/go-acme/lego/v4/acme"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	// errorNamespace is before every type of problem that RFC 8555 section 6.7 lists.
	errorNamespace = "urn:ietf:params:acme:error:"
	maxWords       = 600  // of one text from the CA
	maxMessage     = 4000 // of all of them together
)

// problem is an answer of the CA that is not a success.
type problem struct {
	status     int
	method     string
	url        string
	doc        lego.ProblemDetails // empty when the answer held none
	body       []byte              // of an answer without a problem document
	retryAfter time.Duration
	by         passage // of the request
	location   string
}

// kind is the ACME type without its namespace, or empty.
func (p *problem) kind() string {
	kind, ok := strings.CutPrefix(p.doc.Type, errorNamespace)
	if !ok {
		return ""
	}
	return kind
}

// refusal reports that the CA itself answered and did nothing.
func (p *problem) refusal() bool {
	return p.status >= 300 && p.status < 500 && p.status != http.StatusRequestTimeout || p.kind() != "" && p.kind() != "serverInternal"
}

// tooFast reports that the CA did not carry a request out because too many come, and would have it later. Without a time that
// it names, 503 is an outage.
func (p *problem) tooFast() bool {
	return p.status == http.StatusTooManyRequests || p.kind() == "rateLimited" || p.status == http.StatusServiceUnavailable && p.retryAfter > 0
}

// Error says what the CA answered.
func (p *problem) Error() string {
	switch {
	case p.doc.Type != "" || p.doc.Detail != "":
		return problemWords(&p.doc)
	case p.status >= 300 && p.status < 400 && p.location != "":
		return fmt.Sprintf("the CA answered HTTP %d and points to %s; use that address", p.status, clean(p.location, maxWords))
	default:
		return fmt.Sprintf("the CA answered HTTP %d %s without a reason (%s)", p.status, http.StatusText(p.status), excerpt(p.body))
	}
}

// problemWords puts a problem document into words, with its subproblems (RFC 8555 section 6.7.1).
func problemWords(doc *lego.ProblemDetails) string {
	var b strings.Builder
	kind := clean(strings.TrimPrefix(doc.Type, errorNamespace), 100)
	b.WriteString(clean(doc.Detail, maxWords))
	if b.Len() == 0 {
		b.WriteString(kind)
	} else if kind != "" {
		fmt.Fprintf(&b, " (%s)", kind)
	}
	for _, sub := range doc.SubProblems {
		b.WriteString("; ")
		if sub.Identifier.Value != "" {
			b.WriteString(clean(sub.Identifier.Value, 300) + ": ")
		}
		fmt.Fprintf(&b, "%s (%s)", clean(sub.Detail, maxWords), clean(strings.TrimPrefix(sub.Type, errorNamespace), 100))
	}
	return clean(b.String(), maxMessage)
}

// garbage is a success that cannot be understood.
type garbage struct {
	url, what string
	body      []byte
}

func (g *garbage) Error() string {
	if g.body == nil {
		return fmt.Sprintf("%s answered with %s", g.url, g.what)
	}
	return fmt.Sprintf("%s answered with %s (%s)", g.url, g.what, excerpt(g.body))
}

// unreachable is a request without an answer.
type unreachable struct {
	host    string
	err     error
	timeout time.Duration // of the request; zero when the call itself ended
}

func (u *unreachable) Unwrap() error { return u.err }

func (u *unreachable) Error() string {
	var (
		authority x509.UnknownAuthorityError
		cert      *tls.CertificateVerificationError
		dns       *net.DNSError
		timeout   net.Error
	)
	switch {
	case errors.Is(u.err, context.Canceled):
		return fmt.Sprintf("the call was canceled while %s was asked", u.host)
	case u.timeout == 0:
		return fmt.Sprintf("the call's time ended while %s was asked", u.host)
	case errors.As(u.err, &authority):
		return fmt.Sprintf("the certificate of %s is of an unknown authority; for a private CA name its root in root_ca_file", u.host)
	case errors.As(u.err, &cert):
		return fmt.Sprintf("the certificate of %s is not good: %s", u.host, clean(cert.Err.Error(), maxWords))
	case errors.As(u.err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("there is no host %s; is directory_url right?", u.host)
	case errors.Is(u.err, context.DeadlineExceeded), errors.As(u.err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("%s did not answer within %s", u.host, u.timeout)
	default:
		return fmt.Sprintf("%s cannot be reached: %s", u.host, clean(u.err.Error(), maxWords))
	}
}

// fail turns the error of a call into one of the contract's kinds. What says what was being done. An error that is of
// the contract already stays what it is.
func fail(what string, err error) *pluginapi.Error {
	var done *pluginapi.Error
	if errors.As(err, &done) {
		return done
	}
	var p *problem
	if errors.As(err, &p) {
		e := p.apply(&pluginapi.Error{Err: err, RetryAfter: p.retryAfter})
		e.Message = what + ": " + e.Message
		return e
	}
	out := &pluginapi.Error{Kind: pluginapi.Unavailable, Err: err}
	var (
		bad  *garbage
		away *unreachable
		over *limited
	)
	switch {
	case errors.As(err, &over):
		out.Kind, out.RetryAfter, out.Message = pluginapi.RateLimited, over.after, what+": "+over.Error()
	case errors.As(err, &bad):
		out.Message = what + ": " + bad.Error()
	case errors.As(err, &away):
		out.Message = what + ": " + away.Error()
	default:
		out.Message = what + ": " + clean(err.Error(), maxWords)
	}
	return out
}

// failSent is fail for a call that must not be repeated blindly: without a clear answer its outcome is unknown.
func failSent(what string, err error) *pluginapi.Error {
	out := fail(what, err)
	var o *outcome
	if (out.Kind == pluginapi.Unavailable || out.Kind == pluginapi.RateLimited) && errors.As(err, &o) && o.sent {
		out.Kind = pluginapi.UnknownOutcome
	}
	return out
}

// apply sets kind, field and words of an error from the CA's answer (RFC 8555 section 6.7, and the documents that
// added to its table: RFC 9773 section 7.4, draft-ietf-acme-profiles section 7.3).
func (p *problem) apply(e *pluginapi.Error) *pluginapi.Error {
	e.Kind, e.Field = p.classify(p.kind())
	e.Message = p.Error()
	switch p.kind() {
	case "compound":
		if kind, field, ok := p.common(); ok {
			e.Kind, e.Field = kind, field
		}
	case "userActionRequired":
		if p.doc.Instance != "" {
			e.Message += "; see " + clean(p.doc.Instance, maxWords)
		}
	}
	return e
}

// common is the kind that all subproblems share.
func (p *problem) common() (pluginapi.ErrorKind, string, bool) {
	var kind pluginapi.ErrorKind
	var field string
	for i, sub := range p.doc.SubProblems {
		k, f := p.classify(strings.TrimPrefix(sub.Type, errorNamespace))
		if i > 0 && k != kind {
			return 0, "", false
		}
		kind, field = k, f
	}
	return kind, field, len(p.doc.SubProblems) > 0
}

func (p *problem) classify(kind string) (pluginapi.ErrorKind, string) {
	switch kind {
	case "rateLimited":
		return pluginapi.RateLimited, ""
	case "unauthorized", "accountDoesNotExist":
		return pluginapi.Unauthorized, ""
	case "externalAccountRequired":
		return pluginapi.Unauthorized, "eab_kid"
	case "rejectedIdentifier", "unsupportedIdentifier":
		return pluginapi.InvalidRequest, "identifiers"
	case "badCSR":
		return pluginapi.InvalidRequest, "csr"
	case "invalidProfile":
		return pluginapi.InvalidRequest, "profile"
	case "badRevocationReason":
		return pluginapi.InvalidRequest, "reason"
	case "invalidContact", "unsupportedContact":
		return pluginapi.InvalidRequest, "contacts"
	case "badPublicKey", "badSignatureAlgorithm":
		return pluginapi.InvalidRequest, "account_key_type"
	case "caa", "dns", "connection", "tls", "incorrectResponse":
		return pluginapi.Rejected, ""
	case "userActionRequired":
		return pluginapi.NeedsPerson, ""
	case "orderNotReady", "alreadyReplaced", "alreadyRevoked":
		return pluginapi.Conflict, ""
	case "serverInternal", "badNonce":
		return pluginapi.Unavailable, ""
	}
	switch {
	case p.status == http.StatusNotFound:
		return pluginapi.NotFound, ""
	case p.status == http.StatusTooManyRequests:
		return pluginapi.RateLimited, ""
	case p.status == http.StatusUnauthorized, p.status == http.StatusForbidden:
		return pluginapi.Unauthorized, ""
	case p.status == http.StatusConflict:
		return pluginapi.Conflict, ""
	case kind != "" && p.status < 500:
		return pluginapi.InvalidRequest, ""
	default:
		// A proxy in between, a maintenance page: not an ACME answer, so no word of the CA about the request.
		return pluginapi.Unavailable, ""
	}
}

// excerpt shows the beginning of an answer that should have been something else.
func excerpt(body []byte) string {
	if len(body) == 0 {
		return "an empty body"
	}
	return "it begins " + fmt.Sprintf("%q", clean(string(body[:min(len(body), 200)]), 120))
}

// clean makes a text from outside fit for one line of a log: no control characters, one space between words, valid
// UTF-8, at most limit bytes.
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
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit-len("...")], "") + "..."
	}
	return text
}
