package order

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/internal/schedule"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// intended takes an intent to a placed order: prepare, then send; where an earlier send has no known outcome, find
// out first.
func (w *work) intended(ctx context.Context) error {
	switch {
	case len(w.record.CSR) == 0:
		if goOn, err := w.prepare(ctx); !goOn {
			return err
		}
		return w.send(ctx)
	case !w.record.SentAt.IsZero():
		return w.findOut(ctx)
	default:
		return w.send(ctx)
	}
}

// prepare plans the order and makes key and CSR, before anything is sent. They are journaled with what comes of the order next:
// the sending, at the earliest. It reports false when the order cannot go on now, and has journaled why.
func (w *work) prepare(ctx context.Context) (goOn bool, err error) {
	o, goOn, err := w.plan(ctx)
	if !goOn {
		return false, err
	}
	key, keyType, err := w.makeKey(o.current)
	if err != nil {
		return false, w.retry("prepare", "key", err)
	}
	csr, err := cert.NewCSR(key, w.record.Names, o.description.CSRCommonName)
	if err != nil {
		return false, w.fail("prepare", problem("csr", err, w.Now()))
	}
	der, err := cert.MarshalKey(key)
	if err != nil {
		return false, w.fail("prepare", problem("key", err, w.Now()))
	}
	w.entry.keepKey(der, key)
	prepared := func(r *Record) {
		r.Key, r.KeyType, r.CSR = der, string(keyType), csr
		r.Attempts, r.LastError, r.NextAt = 0, nil, w.Now()
		w.follow(r, o)
	}
	if o.plan.Hold != "" {
		return false, w.update("held", prepared, o.remembered...)
	}
	w.goAhead(prepared, o.remembered...)
	return true, nil
}

func (w *work) makeKey(current Current) (crypto.Signer, cert.KeyType, error) {
	keyType, err := cert.ParseKeyType(w.record.KeyType)
	if err != nil {
		return nil, "", err
	}
	if w.spec.ReuseKey && current.Leaf != nil {
		key, err := w.Files.CurrentKey(w.record.Certificate)
		if err != nil {
			return nil, "", fmt.Errorf("reuse the key on disk: %w", err)
		}
		if have, err := cert.KeyTypeOf(key.Public()); err == nil && have == keyType {
			return key, keyType, nil
		}
	}
	key, err := cert.GenerateKey(keyType)
	return key, keyType, err
}

// send journals that the call goes out, makes it, and journals the answer. From the first save on a crash leads to
// findOut.
func (w *work) send(ctx context.Context) error {
	if goOn, err := w.planAgain(ctx); !goOn {
		return err
	}
	if goOn, err := w.caa(ctx); !goOn {
		return err
	}
	purchase, why := w.reserve()
	if why != "" {
		return w.update("held", func(r *Record) { w.hold(r, HoldBudget, why) })
	}
	now := w.Now()
	err := w.update("sending", func(r *Record) {
		if r.SentAt.IsZero() {
			r.SentAt = now
		}
		r.LastSentAt, r.NotFound = now, 0
		r.Excluded, r.CAAUnknown, r.Previous = w.record.Excluded, w.record.CAAUnknown, w.record.Previous
	}, purchase...)
	if err != nil { // and nothing was sent
		w.entry.drop()
		w.unreserve()
		return err
	}
	reply, err := w.ca.PlaceOrder(ctx, w.request(ctx))
	if err != nil {
		return w.notPlaced(err)
	}
	return w.accept(ctx, "placed", reply.Order)
}

// notPlaced journals why PlaceOrder failed. Only an error whose kind says that nothing was done lets the order be
// sent again; all else is an unknown outcome.
func (w *work) notPlaced(err error) error {
	switch kind := pluginapi.KindOf(err); kind {
	case pluginapi.InvalidRequest, pluginapi.Rejected:
		return w.fail("not-placed", problem(kind.String(), err, w.Now()), w.refund()...)
	case pluginapi.NeedsPerson:
		return w.update("not-placed", func(r *Record) {
			w.notSent(r, kind.String(), err)
			w.hold(r, HoldNeedsPerson, err.Error())
		}, w.refund()...)
	case pluginapi.Unauthorized, pluginapi.RateLimited, pluginapi.Unavailable, pluginapi.Conflict, pluginapi.NotFound:
		return w.update("not-placed", func(r *Record) { w.notSent(r, kind.String(), err) }, w.refund()...)
	default:
		return w.update("outcome-unknown", func(r *Record) {
			w.later(r, problem(pluginapi.UnknownOutcome.String(), err, w.Now()), nil)
		})
	}
}

func (w *work) notSent(r *Record, kind string, err error) {
	r.unsent()
	w.later(r, problem(kind, err, w.Now()), err)
}

// trustedAnswers is how many answers of "no such order", each after the CA's settling time, it takes to send a paid
// order again.
const trustedAnswers = 2

// findOut learns what became of a call whose answer was lost. It never guesses: where the CA cannot tell and money may
// have been spent, a person decides.
func (w *work) findOut(ctx context.Context) error {
	d, err := w.ca.Describe(ctx)
	if err != nil {
		return w.retry("find", problemKind(err), err)
	}
	if !d.Has(pluginapi.AbilityFindOrder) {
		return w.cannotTell(fmt.Errorf("the CA offers no way to look an order up"))
	}
	asked := w.Now()
	switch {
	case w.record.LastSentAt.After(asked):
		return w.sentInTheFuture(asked)
	case w.tooSoon(d, asked):
		return nil
	}
	reply, err := w.ca.FindOrder(ctx, w.request(ctx), w.record.SentAt)
	if err == nil {
		return w.accept(ctx, "found", reply.Order)
	}
	switch pluginapi.KindOf(err) {
	case pluginapi.NotFound:
		return w.notFound(d, asked)
	case pluginapi.UnknownOutcome:
		return w.cannotTell(err)
	default:
		return w.retry("find", problemKind(err), err)
	}
}

// clockDoubt is how far back a lost order is looked for where a clock that was set back has made the time of sending worthless.
const clockDoubt = 24 * time.Hour

// sentInTheFuture dates an order anew that was sent while the clock was ahead. An answer would not be trusted before the wrong
// time has come, which may take months, and a CA would look for the order among those from after it, where there is none.
func (w *work) sentInTheFuture(now time.Time) error {
	return w.update("clock-set-back", func(r *Record) {
		r.LastSentAt, r.NotFound, r.NextAt = now, 0, now
		if r.SentAt.After(now) {
			r.SentAt = now.Add(-clockDoubt)
		}
	})
}

// notFound counts an answer that can be trusted, and lets the order be sent again once there are enough. The
// idempotency key stays the same: should the first call still arrive, the CA has a second chance to notice.
func (w *work) notFound(d pluginapi.Description, asked time.Time) error {
	settled := w.record.LastSentAt.Add(d.FindOrderSettle)
	if asked.Before(settled) {
		return w.update("not-settled", func(r *Record) { r.NextAt = settled })
	}
	enough := trustedAnswers
	if !w.record.CostsMoney {
		enough = 1
	}
	return w.update("not-found", func(r *Record) {
		r.NotFound++
		r.NextAt = w.Now()
		if r.NotFound < enough {
			r.NextAt = w.Now().Add(between(d))
			return
		}
		r.unsent()
	}, w.refundIf(w.record.NotFound+1 >= enough)...)
}

// findAgain is the least time between two questions for a lost order.
const findAgain = 10 * time.Second

// between is how far apart two answers must lie for both to count.
func between(d pluginapi.Description) time.Duration { return max(d.FindOrderSettle, findAgain) }

// tooSoon reports whether a step came before its time, say because a person cannot wait: another answer now would tell
// no more than the last one. A wait longer than can be meant is a clock that was set back.
func (w *work) tooSoon(d pluginapi.Description, now time.Time) bool {
	wait := w.record.NextAt.Sub(now)
	return w.record.NotFound > 0 && wait > 0 && wait <= between(d)
}

func (w *work) cannotTell(err error) error {
	if !w.record.CostsMoney {
		return w.update("send-again", func(r *Record) {
			r.unsent()
			r.NextAt = w.Now()
		})
	}
	why := fmt.Sprintf("the order was sent at %s, no answer came, and nobody can tell whether it arrived (%v); look into the account at the CA, then resolve it",
		w.record.LastSentAt.UTC().Format(time.RFC3339), err)
	return w.update("held", func(r *Record) {
		r.LastError = problem(pluginapi.UnknownOutcome.String(), err, w.Now())
		w.hold(r, HoldUnknownOutcome, why)
	})
}

// hold stops an order until a person decides.
func (w *work) hold(r *Record, kind HoldKind, why string) { w.holdFor(r, kind, "", why) }

// holdFor is hold with what exactly a yes would be said to: should that change, the person is asked again.
func (w *work) holdFor(r *Record, kind HoldKind, subject, why string) {
	if r.approvedFor(kind, subject) {
		return
	}
	r.Hold = &Hold{Kind: kind, Subject: subject, Detail: why, Since: w.Now(), Resume: r.Phase}
	r.Phase, r.NextAt = Held, time.Time{}
}

// fail ends an order for good and keeps the next one back.
func (w *work) fail(step string, p *Problem, more ...sidecar) error {
	history := w.historySidecar(w.record.Certificate, func(h *History) {
		h.Failures++
		h.LastFailure = p.Message
		h.FailedPaid = w.record.Buys() && w.record.Reference != ""
		h.RetryAt = w.Now().Add(schedule.Backoff(h.Failures, w.remaining(), w.record.Certificate))
	})
	return w.update(step, func(r *Record) {
		r.Phase, r.LastError, r.NextAt, r.Hold = Failed, p, time.Time{}, nil
		r.WithdrawAt = w.Now()
	}, append(more, history)...)
}

// retry journals a failure that may pass and when to try again.
func (w *work) retry(step, kind string, err error) error {
	return w.update(step+"-failed", func(r *Record) { w.later(r, problem(kind, err, w.Now()), err) })
}

// later sets when to try again after something that may pass; err, where there is one, may ask for a while. Who is asked too
// often and says from when on he takes calls again has not failed: the order is tried then, and its back-off does not grow.
func (w *work) later(r *Record, p *Problem, err error) {
	r.LastError = p
	if wait := retryAfter(err); wait > 0 && pluginapi.KindOf(err) == pluginapi.RateLimited {
		r.NextAt = w.Now().Add(schedule.Paced(max(wait, shortestPace), r.ID))
		return
	}
	r.Attempts++
	r.NextAt = w.Now().Add(max(retryAfter(err), schedule.Backoff(r.Attempts, w.remaining(), r.ID)))
}

// Limited reports that the order waits for nothing but a CA that says when it takes calls again, and for how long.
func (r *Record) Limited() (wait time.Duration, limited bool) {
	if p := r.LastError; p != nil && p.Kind == pluginapi.RateLimited.String() && !r.NextAt.IsZero() {
		return r.NextAt.Sub(p.At), true
	}
	return 0, false
}

func problem(kind string, err error, now time.Time) *Problem {
	return &Problem{Kind: kind, Message: err.Error(), At: now}
}

func problemKind(err error) string {
	if kind := pluginapi.KindOf(err); kind != 0 {
		return kind.String()
	}
	return pluginapi.Unavailable.String()
}

func retryAfter(err error) time.Duration {
	var e *pluginapi.Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
