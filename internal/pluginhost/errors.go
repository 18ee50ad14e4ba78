package pluginhost

import (
	"errors"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Why a call was not delivered. Each comes inside a pluginapi.Error of kind Unavailable: nothing was done.
var (
	// ErrNotInstalled: the plugin's file is not in the folder.
	ErrNotInstalled = errors.New("not installed")
	// ErrRefused: the file must not be run; the message says what is wrong with it and how to put it right.
	ErrRefused = errors.New("refused")
	// ErrStart: the process could not be brought to the point where it takes calls.
	ErrStart = errors.New("could not be started")
	// ErrBackingOff: it failed a moment ago; RetryAfter says when it may be started again.
	ErrBackingOff = errors.New("waiting before the next start")
	// ErrQuarantined: it failed too often.
	ErrQuarantined = errors.New("quarantined")
	// ErrClosed: the host or the instance is closed.
	ErrClosed = errors.New("closed")
)

// ErrFaults lies beneath the InvalidRequest of an instance whose settings the plugin found at fault.
var ErrFaults = errors.New("the settings have faults")

// undelivered makes the error of a call that did not reach the plugin.
func undelivered(cause error, retryAfter time.Duration) *pluginapi.Error {
	return &pluginapi.Error{Kind: pluginapi.Unavailable, Message: cause.Error(), RetryAfter: retryAfter, Err: cause}
}
