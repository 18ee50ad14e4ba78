// Package schedule decides when to act: pure decisions with a reason, and one timer heap that calls when they are due.
package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Reason is the word for why something is or isn't done; logs, metrics, status and tests show the same one.
type Reason string

// The reasons.
const (
	Disabled      Reason = "disabled"       // switched off in the configuration
	Unreadable    Reason = "unreadable"     // the files cannot be read, so nobody knows what is in them
	NoNames       Reason = "no-names"       // neither the configuration nor the files say which names
	OrderOpen     Reason = "order-open"     // an order is under way
	OrderHeld     Reason = "order-held"     // an order waits for a person
	BackingOff    Reason = "backing-off"    // the last order failed, a new one comes later
	Missing       Reason = "missing"        // no certificate on disk
	BrokenSet     Reason = "broken-set"     // the files do not make a whole set
	Expired       Reason = "expired"        // the certificate has expired
	NamesChanged  Reason = "names-changed"  // configured names the certificate does not cover
	KeyChanged    Reason = "key-changed"    // another type of key is configured
	Revoked       Reason = "revoked"        // it was revoked through us
	RenewalWindow Reason = "renewal-window" // the CA asked for it (RFC 9773)
	NearExpiry    Reason = "near-expiry"    // renew_before is reached
	Requested     Reason = "requested"      // a person asked for it
	NotDue        Reason = "not-due"        // nothing to do yet
)

// RenewBefore is how long before its end a certificate is renewed: a fraction of its lifetime, or a duration where
// that is set.
type RenewBefore struct {
	Fraction float64
	Duration time.Duration
}

// Window is a renewal window that the CA gave for one certificate (RFC 9773 section 4.2).
type Window struct {
	// Serial is the serial number of the certificate the window was given for.
	Serial     string
	Start, End time.Time
}

// Certificate is what is on disk.
type Certificate struct {
	Serial              string
	NotBefore, NotAfter time.Time
	// Missing are configured names it does not cover.
	Missing []string
	// KeyType is the type of its key.
	KeyType string
}

// Order is the open order of a certificate.
type Order struct {
	Phase string
	Held  bool
	// Why is its hold in words.
	Why string
}

// Input is all a decision rests on.
type Input struct {
	Name     string
	Disabled bool
	// HasNames reports that names are known from the configuration or the files.
	HasNames bool
	// Certificate is nil when there is none on disk.
	Certificate *Certificate
	// Unreadable says why there is no telling what is on disk; empty when there is.
	Unreadable string
	// Broken says in words what is wrong with the files on disk; empty when they make a whole set. BrokenSince is when
	// that was first seen.
	Broken      string
	BrokenSince time.Time
	// KeyType is the configured one; empty leaves it to what is on disk.
	KeyType       string
	RenewBefore   RenewBefore
	Window        *Window
	RevokedSerial string
	Order         *Order
	// RetryAt keeps a new order back after one that failed.
	RetryAt time.Time
	// Failures is how many orders failed one after the other, Failure why the last of them did.
	Failures int
	Failure  string
}

// Verdict is a decision: whether to act now, why in a word and in a sentence, and, where not, when that changes.
type Verdict struct {
	Act    bool
	Reason Reason
	Detail string
	// At is when to act, or to decide again; zero when nothing but an event changes the decision.
	At time.Time
}

// Decide says whether a certificate must be ordered at an instant, and why.
func Decide(in Input, now time.Time) Verdict {
	if v, ok := blocked(in); ok {
		return v
	}
	v := due(in, now)
	if v.Act && now.Before(in.RetryAt) && in.RetryAt.Sub(now) < noBackoff {
		return Verdict{
			Reason: BackingOff,
			Detail: fmt.Sprintf("%s; %s, the next try comes at %s", v.Detail, failures(in), stamp(in.RetryAt)),
			At:     in.RetryAt,
		}
	}
	return v
}

// noBackoff is longer than any back-off: an instant so far ahead was noted by a clock that has been set back since.
const noBackoff = 48 * time.Hour

func blocked(in Input) (Verdict, bool) {
	switch {
	case in.Disabled:
		return Verdict{Reason: Disabled, Detail: "the configuration switches it off"}, true
	case in.Order != nil && in.Order.Held:
		return Verdict{Reason: OrderHeld, Detail: "its order waits for a person: " + in.Order.Why}, true
	case in.Order != nil:
		return Verdict{Reason: OrderOpen, Detail: "its order is under way, phase " + in.Order.Phase}, true
	case in.Unreadable != "":
		return Verdict{Reason: Unreadable, Detail: "whether a certificate is needed cannot be told: " + in.Unreadable}, true
	case !in.HasNames:
		return Verdict{Reason: NoNames, Detail: "no domains are configured and there is no certificate on disk to take them from"}, true
	default:
		return Verdict{}, false
	}
}

func due(in Input, now time.Time) Verdict {
	c := in.Certificate
	switch {
	case in.Broken != "":
		return broken(in, now)
	case c == nil:
		return act(Missing, "there is no certificate on disk")
	case !now.Before(c.NotAfter):
		return act(Expired, "it expired at "+stamp(c.NotAfter))
	case in.RevokedSerial != "" && in.RevokedSerial == c.Serial:
		return act(Revoked, "certificate "+c.Serial+" was revoked")
	case len(c.Missing) > 0:
		return act(NamesChanged, "it does not cover "+strings.Join(slices.Sorted(slices.Values(c.Missing)), ", "))
	case in.KeyType != "" && c.KeyType != in.KeyType:
		return act(KeyChanged, fmt.Sprintf("its key is %s, configured is %s", c.KeyType, in.KeyType))
	}
	return byTime(in, now)
}

// brokenSettle is how long a broken set must stay so before it is ordered anew: whoever replaces files by hand or by a
// tool puts the key beside another's certificate for a while.
const brokenSettle = time.Minute

func broken(in Input, now time.Time) Verdict {
	detail := "the files on disk are no whole set: " + in.Broken
	at := in.BrokenSince.Add(brokenSettle)
	if wait := at.Sub(now); wait > 0 && wait <= brokenSettle { // longer: the clock was set back
		return Verdict{Reason: BrokenSet, Detail: detail + "; unless that is mended, a new one is ordered at " + stamp(at), At: at}
	}
	return act(BrokenSet, detail)
}

// byTime takes the earlier of the CA's window and renew_before. A window counts only for the serial it was given for.
func byTime(in Input, now time.Time) Verdict {
	c := in.Certificate
	at, reason := Threshold(in.RenewBefore, c.NotBefore, c.NotAfter), NearExpiry
	detail := fmt.Sprintf("it expires at %s, renewal is due from %s", stamp(c.NotAfter), stamp(at))
	if w := in.Window; w != nil && w.Serial == c.Serial {
		if chosen := PickInWindow(*w); chosen.Before(at) {
			at, reason = chosen, RenewalWindow
			detail = fmt.Sprintf("the CA asks for renewal between %s and %s, ours is %s", stamp(w.Start), stamp(w.End), stamp(chosen))
		}
	}
	if now.Before(at) {
		return Verdict{Reason: NotDue, Detail: detail, At: at}
	}
	return Verdict{Act: true, Reason: reason, Detail: detail, At: at}
}

// Threshold is the instant from which renew_before asks for renewal. It is never before a certificate's first
// instant, however long renew_before is.
func Threshold(b RenewBefore, notBefore, notAfter time.Time) time.Time {
	before := b.Duration
	if before <= 0 {
		before = time.Duration(float64(notAfter.Sub(notBefore)) * b.Fraction)
	}
	at := notAfter.Add(-before)
	// A duration that swallows the whole lifetime would order without end: half the lifetime is the limit.
	if half := notBefore.Add(notAfter.Sub(notBefore) / 2); b.Duration > 0 && at.Before(half) {
		at = half
	}
	return at
}

// PickInWindow chooses the instant inside a window to renew at, the same at every call: RFC 9773 section 4.2 wants
// clients spread evenly, and a restart must not throw the dice again.
func PickInWindow(w Window) time.Time {
	span := w.End.Sub(w.Start)
	if span <= 0 {
		return w.Start
	}
	return w.Start.Add(Within(span, w.Serial))
}

func act(r Reason, detail string) Verdict { return Verdict{Act: true, Reason: r, Detail: detail} }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func failures(in Input) string {
	text := "the last order failed"
	if in.Failures != 1 {
		text = fmt.Sprintf("the last %d orders failed", in.Failures)
	}
	if in.Failure != "" {
		text += " (" + in.Failure + ")"
	}
	return text
}
