package order

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
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
		return w.prepare(ctx)
	case !w.record.SentAt.IsZero():
		return w.findOut(ctx)
	default:
		return w.send(ctx)
	}
}

// prepare decides the kind, makes key and CSR and asks the questions that may need a person, before anything is sent.
func (w *work) prepare(ctx context.Context) error {
	d, err := w.ca.Describe(ctx)
	if err != nil {
		return w.retry("prepare", problemKind(err), err)
	}
	// A certificate that could not be installed is not ordered.
	if err := w.Files.Ready(w.record.Certificate); err != nil {
		return w.retry("prepare", "files", err)
	}
	current, err := w.Files.Current(w.record.Certificate)
	if err != nil {
		return w.retry("prepare", "read-files", err)
	}
	history, adopted, err := w.adopt(ctx, d, current)
	switch unclear := pluginapi.KindOf(err) == pluginapi.NeedsPerson; {
	case unclear && w.record.approved(HoldUnclearOrder): // then a new one is bought
	case unclear:
		return w.update("held", func(r *Record) {
			w.hold(r, HoldUnclearOrder, err.Error()+"; approve it to buy anew, or reissue there by hand")
		})
	case err != nil:
		return w.retry("adopt", problemKind(err), err)
	}
	plan := PlanOrder(PlanInput{Description: d, Account: w.record.Account, Names: w.record.Names, Reason: w.record.Reason, History: history, Current: current, Now: w.Now()})
	why, err := w.settingsAtFault(ctx, d, plan.Kind)
	switch {
	case err != nil:
		return w.retry("check-settings", problemKind(err), err)
	case why != "":
		return w.update("held", func(r *Record) { w.hold(r, HoldSettings, why) })
	}
	key, keyType, err := w.makeKey(current)
	if err != nil {
		return w.retry("prepare", "key", err)
	}
	csr, err := cert.NewCSR(key, w.record.Names, d.CSRCommonName)
	if err != nil {
		return w.fail("prepare", problem("csr", err, w.Now()))
	}
	der, err := cert.MarshalKey(key)
	if err != nil {
		return w.fail("prepare", problem("key", err, w.Now()))
	}
	return w.update("prepared", func(r *Record) {
		r.Kind, r.Previous, r.CostsMoney = plan.Kind, plan.Previous, d.OrdersCostMoney
		r.Key, r.KeyType, r.CSR = der, string(keyType), csr
		r.Attempts, r.LastError, r.NextAt = 0, nil, w.Now()
		if plan.Hold != "" {
			w.hold(r, plan.Hold, plan.Why)
		}
	}, adopted...)
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

// PlanInput is what the kind of an order is decided from.
type PlanInput struct {
	Description pluginapi.Description
	Account     string
	Names       []string
	// Reason is schedule's word for why there is an order.
	Reason  string
	History History
	Current Current
	Now     time.Time
}

// Plan is the kind of an order and, where a person must agree first, why.
type Plan struct {
	Kind     pluginapi.OrderKind
	Previous *Previous
	Hold     HoldKind
	Why      string
}

// CoverageMargin is how much longer than the certificate on disk a paid plan must last for a reissue to gain
// anything: coverage is often known as a date only.
const CoverageMargin = 24 * time.Hour

// MarginOf is CoverageMargin for a certificate that lives this long: where certificates live for days or, while somebody
// rehearses, for minutes, a day would be more than all that is left of a plan. Zero is a lifetime that nobody knows.
func MarginOf(lifetime time.Duration) time.Duration {
	if lifetime <= 0 {
		return CoverageMargin
	}
	return min(CoverageMargin, lifetime/10)
}

// PlanOrder decides the kind: reissue while coverage outlasts the certificate and the CA can; else a renewal linked to
// the previous order; else a new one. Buying before a paid plan is used up would be a defect.
func PlanOrder(in PlanInput) Plan {
	d, last := in.Description, in.History.Last
	if last == nil || in.History.Account != in.Account || last.Reference == "" {
		return in.purchase(Plan{Kind: pluginapi.New})
	}
	if d.Has(pluginapi.AbilityReissue) && in.coverageOutlasts() {
		if plan, ok := in.reissue(); ok {
			return plan
		}
	}
	if d.Has(pluginapi.AbilityRenew) {
		return in.purchase(Plan{Kind: pluginapi.Renew, Previous: last})
	}
	return in.purchase(Plan{Kind: pluginapi.New})
}

func (in PlanInput) coverageOutlasts() bool {
	end, leaf := in.History.Last.CoverageEnd, in.Current.Leaf
	margin := CoverageMargin
	if leaf != nil {
		margin = MarginOf(leaf.NotAfter.Sub(leaf.NotBefore))
	}
	switch schedule.Reason(in.Reason) {
	case schedule.NamesChanged, schedule.KeyChanged, schedule.BrokenSet:
		// What is on disk is of no use however long it lasts: any paid time that is left is a gain.
		return end.After(in.Now.Add(margin))
	}
	if !end.After(in.Now) {
		return false
	}
	return leaf == nil || end.After(leaf.NotAfter.Add(margin))
}

// reissue plans another certificate inside paid time, where the CA's rule about names lets it.
func (in PlanInput) reissue() (Plan, bool) {
	last := in.History.Last
	plan := Plan{Kind: pluginapi.Reissue, Previous: last}
	earlier := namesOf(last)
	dropped := without(earlier, in.Names)
	switch in.Description.ReissueNames {
	case pluginapi.ReissueSameNames:
		if len(dropped) > 0 || len(without(in.Names, earlier)) > 0 {
			return Plan{}, false
		}
	case pluginapi.ReissueRemovalRevokes:
		if len(dropped) > 0 {
			plan.Hold = HoldDropsNames
			plan.Why = fmt.Sprintf("a reissue without %s makes the CA revoke the earlier certificates of order %s; approve it, or configure the names again",
				strings.Join(dropped, ", "), last.Reference)
		}
	}
	return plan, true
}

// purchase holds a paid order that follows a failed paid one: the same again would likely fail, and cost, again.
func (in PlanInput) purchase(p Plan) Plan {
	if in.Description.OrdersCostMoney && in.History.FailedPaid {
		p.Hold = HoldRepeats
		p.Why = "the last paid order for this certificate failed: " + in.History.LastFailure + "; approve it to buy again"
	}
	return p
}

// namesOf are the names that the previous order was for.
func namesOf(p *Previous) []string {
	if len(p.Names) > 0 {
		return p.Names
	}
	chain, err := cert.ParseChain(p.Chain)
	if err != nil || len(chain) == 0 {
		return nil
	}
	return cert.Names(chain[0])
}

func without(names, taken []string) []string {
	var rest []string
	for _, n := range names {
		if !slices.Contains(taken, n) {
			rest = append(rest, n)
		}
	}
	return rest
}

// send journals that the call goes out, makes it, and journals the answer. From the first save on a crash leads to
// findOut.
func (w *work) send(ctx context.Context) error {
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
		r.Excluded, r.CAAUnknown = w.record.Excluded, w.record.CAAUnknown
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
			w.later(r, problem(pluginapi.UnknownOutcome.String(), err, w.Now()), 0)
		})
	}
}

func (w *work) notSent(r *Record, kind string, err error) {
	r.SentAt, r.LastSentAt = time.Time{}, time.Time{}
	w.later(r, problem(kind, err, w.Now()), retryAfter(err))
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
	if w.tooSoon(d, asked) {
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
		r.SentAt, r.LastSentAt, r.NotFound = time.Time{}, time.Time{}, 0
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
			r.SentAt, r.LastSentAt, r.NextAt = time.Time{}, time.Time{}, w.Now()
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
func (w *work) hold(r *Record, kind HoldKind, why string) {
	if r.approved(kind) {
		return
	}
	r.Hold = &Hold{Kind: kind, Detail: why, Since: w.Now(), Resume: r.Phase}
	r.Phase, r.NextAt = Held, time.Time{}
}

// fail ends an order for good and keeps the next one back.
func (w *work) fail(step string, p *Problem, more ...sidecar) error {
	history := w.historySidecar(w.record.Certificate, func(h *History) {
		h.Failures++
		h.LastFailure = p.Message
		h.FailedPaid = w.record.CostsMoney && w.record.Kind != pluginapi.Reissue && w.record.Reference != ""
		h.RetryAt = w.Now().Add(schedule.Backoff(h.Failures, w.remaining(), w.record.Certificate))
	})
	return w.update(step, func(r *Record) {
		r.Phase, r.LastError, r.NextAt, r.Hold = Failed, p, time.Time{}, nil
		r.WithdrawAt = w.Now()
	}, append(more, history)...)
}

// retry journals a failure that may pass and when to try again.
func (w *work) retry(step, kind string, err error) error {
	return w.update(step+"-failed", func(r *Record) { w.later(r, problem(kind, err, w.Now()), retryAfter(err)) })
}

func (w *work) later(r *Record, p *Problem, atLeast time.Duration) {
	r.Attempts++
	r.LastError = p
	r.NextAt = w.Now().Add(max(atLeast, schedule.Backoff(r.Attempts, w.remaining(), r.ID)))
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
