package control

import (
	"errors"
	"fmt"
)

// Kind says why a call failed; the command line's exit code follows from it.
type Kind int

// The kinds. The numbers are those of the wire.
const (
	Invalid          Kind = 1 // the request itself is wrong
	NotFound         Kind = 2 // there is no such certificate, order or plugin
	NotAllowed       Kind = 3 // the caller has no right to it
	Conflict         Kind = 4 // what it is about is not in a state for it
	NeedsPerson      Kind = 5 // a person must act first
	BadConfiguration Kind = 6 // the configuration has mistakes; the message is a line for each
	Unavailable      Kind = 7 // a CA or plugin cannot be reached now
	FailedAct        Kind = 8 // it was tried and failed
	// NotRunning does not travel: no daemon answers on the socket.
	NotRunning Kind = 100
)

// Error is a failure a caller can tell from others.
type Error struct {
	Kind    Kind
	Message string
	Err     error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns what lies beneath; it does not travel.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a kind. A %w in the format becomes what lies beneath.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), Err: errors.Unwrap(err)}
}

// KindOf returns the kind of the first Error in err's chain; FailedAct when there is none, 0 for nil.
func KindOf(err error) Kind {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return FailedAct
}
