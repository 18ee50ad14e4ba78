// Package control is the daemon's unix socket: gRPC with peer credentials on the server side, plain Go on the client
// side. What is asked and answered are the plain types of this package on both ends; the daemon fits Backend.
package control

import (
	"context"
	"time"
)

// Backend is what the daemon does for its callers. The server has checked the caller's right before it calls; who is
// calling is in CallerFrom(ctx). Errors are *Error where a caller can do something about them; any other is FailedAct.
type Backend interface {
	Viewer
	Actor
	OrderDesk
	PluginDesk
	ProfileDesk
}

// Viewer reads.
type Viewer interface {
	Info(ctx context.Context) (Info, error)
	// Status returns one certificate, or all for an empty name. An unknown name is NotFound.
	Status(ctx context.Context, name string) ([]Certificate, error)
	// StatusPage returns no more than limit certificates: those that follow one in the order of the configuration, or the
	// first for an empty name. Conflict: that one is configured no more.
	StatusPage(ctx context.Context, after string, limit int) ([]Certificate, error)
	Explain(ctx context.Context, name string) (Explanation, error)
	// Plan returns what will be done until a moment if nothing changes, in the order of time.
	Plan(ctx context.Context, until time.Time) ([]PlannedAct, error)
	// Events calls send with what happened lately and, when the filter follows, with what happens until ctx ends or
	// send fails.
	Events(ctx context.Context, filter EventFilter, send func(Event) error) error
}

// Actor does something about a certificate or the daemon.
type Actor interface {
	// Renew orders now, or says in a dry run what would be ordered. Without force it orders only what is due.
	Renew(ctx context.Context, req RenewRequest) (Renewal, error)
	// Deploy runs check, reload and verify and returns the outcome, also when that is a failure.
	Deploy(ctx context.Context, name string) (Deployment, error)
	Revoke(ctx context.Context, req RevokeRequest) (Revocation, error)
	// Reload reads the configuration again and returns remarks about it; mistakes are BadConfiguration.
	Reload(ctx context.Context) (warnings []string, err error)
}

// OrderDesk shows orders and takes a person's decisions about them.
type OrderDesk interface {
	Orders(ctx context.Context, filter OrderFilter) ([]Order, error)
	Order(ctx context.Context, id string) (Order, error)
	// Approve lets a held order go on.
	Approve(ctx context.Context, id string) (Order, error)
	// Resolve says what became of a purchase: bought under a reference, or not bought when the reference is empty.
	Resolve(ctx context.Context, id, reference string) (Order, error)
	Cancel(ctx context.Context, id, reason string) (Order, error)
}

// PluginDesk shows plugins.
type PluginDesk interface {
	Plugins(ctx context.Context) ([]Plugin, error)
	// DescribePlugin takes a file name ("ca-digicert") or, where that is plain, a name ("digicert").
	DescribePlugin(ctx context.Context, name string) (PluginDescription, error)
	// ReleasePlugin ends a quarantine.
	ReleasePlugin(ctx context.Context, name string) error
}

// ProfileDesk tries DCV profiles.
type ProfileDesk interface {
	// TestProfile publishes something harmless through a profile, calls send with what it sees, and withdraws it in any
	// case. It fails with FailedAct when the profile would not show control to a CA.
	TestProfile(ctx context.Context, test ProfileTest, send func(ProfileTestStep) error) error
}
