package pluginapi

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrorKind is the closed list of reasons a call can fail for. The daemon decides what to do by it alone, never by a
// message. Its zero value is no kind: what a plugin returns without one is taken as unknown.
type ErrorKind int

// The numbers are those of the wire and are never used again for something else.
const (
	// InvalidRequest: the request can never succeed as it is; Error.Field names what is wrong.
	InvalidRequest ErrorKind = 1
	// Unauthorized: the credentials are wrong or lack a right.
	Unauthorized ErrorKind = 2
	// RateLimited: too many calls, and nothing was done; Error.RetryAfter says when to try again.
	RateLimited ErrorKind = 3
	// Unavailable: the other side cannot be reached or has a passing fault, and nothing was done.
	Unavailable ErrorKind = 4
	// Conflict: the other side is in a state that excludes the call.
	Conflict ErrorKind = 5
	// NotFound: what was asked for surely does not exist.
	NotFound ErrorKind = 6
	// Rejected: the CA said a final no.
	Rejected ErrorKind = 7
	// NeedsPerson: a person must act first; the message says who and what.
	NeedsPerson ErrorKind = 8
	// UnknownOutcome: the call was sent and nobody knows whether it was carried out. A plugin must return it when a
	// call that spends money went out and no answer came.
	UnknownOutcome ErrorKind = 9
)

// ErrorKinds lists every kind, in the order of their numbers.
func ErrorKinds() []ErrorKind {
	return []ErrorKind{InvalidRequest, Unauthorized, RateLimited, Unavailable, Conflict, NotFound, Rejected, NeedsPerson, UnknownOutcome}
}

// String returns the kind's name as logs, metrics and documents spell it.
func (k ErrorKind) String() string {
	switch k {
	case InvalidRequest:
		return "invalid-request"
	case Unauthorized:
		return "unauthorized"
	case RateLimited:
		return "rate-limited"
	case Unavailable:
		return "unavailable"
	case Conflict:
		return "conflict"
	case NotFound:
		return "not-found"
	case Rejected:
		return "rejected"
	case NeedsPerson:
		return "needs-person"
	case UnknownOutcome:
		return "unknown-outcome"
	default:
		return "unspecified"
	}
}

// Error is how a plugin fails: a kind that the daemon decides by, and words for people. Message must hold no secret.
type Error struct {
	Kind    ErrorKind
	Message string
	// Field is the dotted path of the setting or field at fault, where there is one.
	Field string
	// RetryAfter says when to try again; zero leaves it to the daemon.
	RetryAfter time.Duration
	// Err is what lies beneath. It stays in the process it happened in: it does not travel.
	Err error
}

// Error returns the field, if any, and the message.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Field != "" {
		b.WriteString(e.Field)
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	if e.Message == "" {
		b.WriteString(e.Kind.String())
	}
	return b.String()
}

// Unwrap returns what lies beneath.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a kind. A %w in the format becomes what lies beneath.
func Errorf(kind ErrorKind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), Err: errors.Unwrap(err)}
}

// FieldErrorf makes an InvalidRequest that names the field at fault.
func FieldErrorf(field, format string, args ...any) *Error {
	e := Errorf(InvalidRequest, format, args...)
	e.Field = field
	return e
}

// FieldOf returns the field that the first Error in err's chain names, or nothing.
func FieldOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Field
	}
	return ""
}

// KindOf returns the kind of the first Error in err's chain, or zero when there is none.
func KindOf(err error) ErrorKind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}
