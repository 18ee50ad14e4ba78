package order

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// CAAChecker looks whether CAA records (RFC 8659) let a CA account issue.
type CAAChecker interface {
	// CheckCAA returns, by name, the types of challenge that the records exclude (RFC 8657 section 4). Its error is one of
	// ErrCAAForbids when a name is forbidden; any other error means that it cannot be told.
	CheckCAA(ctx context.Context, certificate, account string, names []string) (excluded map[string][]pluginapi.ChallengeType, err error)
}

// ErrCAAForbids is what a CAAChecker fails with when the CA would have to refuse.
var ErrCAAForbids = errors.New("CAA records forbid it")

// caaPatience is how often an order waits for CAA records that cannot be looked up. After that the CA, which looks at
// them itself, decides.
const caaPatience = 2

// caa looks at the CAA records of an order that is about to be sent. It reports false when the order must wait, and has
// journaled why. Forbidden never ends the order: a record is added more quickly than an order is begun anew, and nothing
// was spent.
func (w *work) caa(ctx context.Context) (goOn bool, err error) {
	if w.CAA == nil {
		return true, nil
	}
	excluded, err := w.CAA.CheckCAA(ctx, w.record.Certificate, w.record.Account, w.record.Names)
	switch {
	case err == nil:
		w.record.Excluded, w.record.CAAUnknown = excluded, 0
		return true, nil
	case ctx.Err() != nil:
		return false, context.Cause(ctx) // nothing was learned
	case errors.Is(err, ErrCAAForbids):
		return false, w.update("caa-failed", func(r *Record) {
			r.CAAUnknown = 0
			w.later(r, problem(problemCAA, err, w.Now()), nil)
		})
	case w.record.CAAUnknown < caaPatience:
		return false, w.update("caa-failed", func(r *Record) {
			r.CAAUnknown++
			w.later(r, problem(problemCAA, err, w.Now()), nil)
		})
	}
	w.Logger.WarnContext(ctx, "CAA records cannot be looked up; the order is sent all the same, for the CA looks itself",
		slog.String("order", w.record.ID), slog.String("certificate", w.record.Certificate), slog.Any("error", err))
	return true, nil
}

// problemCAA is the kind of a Problem that CAA records make.
const problemCAA = "caa"

// allowedTypes leaves out the types of challenge that CAA records exclude for a name.
func (r *Record) allowedTypes(name string, types []pluginapi.ChallengeType) []pluginapi.ChallengeType {
	return slices.DeleteFunc(slices.Clone(types), func(t pluginapi.ChallengeType) bool { return slices.Contains(r.Excluded[name], t) })
}

// allowedChallenges leaves out the challenges that CAA records exclude. When that leaves none it leaves all: the order
// is placed, so let the CA decide.
func (r *Record) allowedChallenges(a pluginapi.Authorization) pluginapi.Authorization {
	excluded := r.excludedFor(a.Identifier)
	allowed := slices.DeleteFunc(slices.Clone(a.Challenges), func(c pluginapi.Challenge) bool { return slices.Contains(excluded, c.Type()) })
	if len(allowed) > 0 {
		a.Challenges = allowed
	}
	return a
}

// excludedFor are the excluded types for what the CA validates: a name as ordered, or a broader one that stands for all
// names below it.
func (r *Record) excludedFor(identifier string) []pluginapi.ChallengeType {
	if slices.Contains(r.Names, identifier) {
		return r.Excluded[identifier]
	}
	var types []pluginapi.ChallengeType
	broader := strings.TrimPrefix(identifier, "*.")
	for _, name := range r.Names {
		if base := strings.TrimPrefix(name, "*."); base == broader || strings.HasSuffix(base, "."+broader) {
			types = append(types, r.Excluded[name]...)
		}
	}
	return types
}
