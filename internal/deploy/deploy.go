// Package deploy makes a server use the certificate that was just installed: it runs the commands that check and reload
// the server, and looks at what the server then serves.
//
// It decides nothing: it runs what a Plan says and reports what it saw. Whether a failure brings the old files back is
// for its caller to say.
package deploy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"
)

// DefaultTimeout is how long a stage may take when its Plan does not say.
const DefaultTimeout = 30 * time.Second

// ErrTimedOut is wrapped by the error of a stage that took longer than its Plan allows.
var ErrTimedOut = errors.New("timed out")

// Plan is how one certificate is deployed.
type Plan struct {
	// Certificate is the managed certificate's name and Domains its names; commands find them in their environment as
	// CERTBRIDGED_CERTIFICATE and, separated by spaces, CERTBRIDGED_DOMAINS.
	Certificate string
	Domains     []string
	// Check and Reload are commands with their arguments; no shell is involved. An empty one is skipped.
	Check, Reload []string
	// Verify is where to look for the new certificate. All targets must show it.
	Verify []Target
	// Timeout is how long each stage may take; zero means DefaultTimeout.
	Timeout time.Duration
	// Env is added to the environment of the commands, which holds PATH, LANG and the two variables above and nothing
	// of the daemon's own. It may replace PATH and LANG.
	Env map[string]string
	// Dir is the folder commands run in; empty means "/".
	Dir string
	// Chain is what was installed between leaf and root, so that a server which leaves some of it out can be named. When
	// it is nil, a leaf that is served alone is reported unless it is self-signed.
	Chain []*x509.Certificate
}

// Stage is a part of a deployment.
type Stage string

// The stages, in their order.
const (
	StageCheck  Stage = "check"
	StageReload Stage = "reload"
	StageVerify Stage = "verify"
)

// Result is what became of a stage or, from Run, of the stage that ended the deployment.
type Result struct {
	Stage Stage
	// Err says why the stage failed, or is nil. It wraps ErrTimedOut, the cause of the context's end, a
	// *CommandError or a *MismatchError where it is one of these.
	Err error
	// Output is what commands wrote to their standard output and standard error. Of long output the beginning and the
	// end are kept.
	Output string
	// ExitCode is the command's exit status; -1 when it did not run, was killed by a signal, or there is none.
	ExitCode int
	Took     time.Duration
	// Served is what each target of Verify showed last, in their order.
	Served []Served
}

// Runner runs deployments. Its zero value is ready for use; it may be used concurrently.
type Runner struct {
	// Logger gets a line for each stage that ran and for each warning; nil means none.
	Logger *slog.Logger
	// Dial opens the connections of Verify; nil means a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	turns   turns
	sharing sharing
	unaware []string // nil: those of unaware()
}

// Check runs the plan's check command.
func (r *Runner) Check(ctx context.Context, plan Plan) Result {
	return r.command(ctx, StageCheck, plan, plan.Check)
}

// Reload runs the plan's reload command.
func (r *Runner) Reload(ctx context.Context, plan Plan) Result {
	return r.command(ctx, StageReload, plan, plan.Reload)
}

// Run checks, reloads and verifies that leaf is served, and stops at the first failure. The result is that of the last
// stage that ran, with the output of all commands and the time of all stages.
func (r *Runner) Run(ctx context.Context, plan Plan, leaf *x509.Certificate) Result {
	start := time.Now()
	var outputs []string
	var result Result
	for _, stage := range []func() Result{
		func() Result { return r.Check(ctx, plan) },
		func() Result { return r.Reload(ctx, plan) },
		func() Result { return r.Verify(ctx, plan, leaf) },
	} {
		result = stage()
		if result.Output != "" {
			outputs = append(outputs, strings.TrimSuffix(result.Output, "\n"))
		}
		if result.Err != nil {
			break
		}
	}
	result.Output = strings.Join(outputs, "\n")
	result.Took = time.Since(start)
	return result
}

func (r *Runner) command(ctx context.Context, stage Stage, plan Plan, argv []string) Result {
	result := Result{Stage: stage, ExitCode: -1}
	if len(argv) == 0 {
		return result
	}
	start := time.Now()
	c := command{argv: argv, dir: plan.Dir, env: plan.environment()}
	out := &output{}
	if key, bare, ok := r.sharable(plan, c); ok {
		result.ExitCode, result.Err = r.sharing.join(ctx, key, func(ctx context.Context, begin func(), out *output) (int, error) {
			return r.run(ctx, plan, bare, begin, out)
		}, out)
	} else {
		result.ExitCode, result.Err = r.run(ctx, plan, c, func() {}, out)
	}
	result.Output = out.String()
	if result.Err != nil {
		result.Err = fmt.Errorf("%s: %w", stage, result.Err)
	}
	return r.finish(ctx, plan, result, start)
}

// run runs a command in its turn, which is awaited without the plan's limit.
func (r *Runner) run(ctx context.Context, plan Plan, c command, begin func(), out *output) (exitCode int, err error) {
	giveBack, err := r.turns.take(ctx)
	if err != nil {
		return -1, fmt.Errorf("command %s: %w", c.argv[0], err)
	}
	defer giveBack()
	begin()
	ctx, cancel := plan.limit(ctx)
	defer cancel()
	return c.run(ctx, out)
}

// finish completes the result of a stage and logs it.
func (r *Runner) finish(ctx context.Context, plan Plan, result Result, start time.Time) Result {
	result.Took = time.Since(start)
	if r.Logger == nil {
		return result
	}
	level, attrs := slog.LevelDebug, []slog.Attr{
		slog.String("certificate", plan.Certificate),
		slog.String("stage", string(result.Stage)),
		slog.Duration("took", result.Took),
	}
	if result.Err != nil {
		level, attrs = slog.LevelWarn, append(attrs, slog.Any("error", result.Err))
	}
	r.Logger.LogAttrs(ctx, level, "deploy stage done", attrs...)
	for _, served := range result.Served {
		for _, warning := range served.Warnings {
			r.Logger.LogAttrs(ctx, slog.LevelWarn, "served chain is incomplete", slog.String("certificate", plan.Certificate),
				slog.String("target", served.Target.String()), slog.String("warning", warning))
		}
	}
	return result
}

// limit bounds a stage in time, with a cause that tells this limit from the end of the caller's context.
func (p Plan) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	d := p.Timeout
	if d <= 0 {
		d = DefaultTimeout
	}
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("%w after %s", ErrTimedOut, d))
}
