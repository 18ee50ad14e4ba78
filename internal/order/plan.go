package order

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/internal/schedule"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// outlook is what a look at the files, at what is remembered and at the CA has led to.
type outlook struct {
	description pluginapi.Description
	current     Current
	plan        Plan
	// remembered is what was learned on the way, to be journaled with the order.
	remembered []sidecar
}

// plan decides the kind of an order and asks what may need a person, before anything is sent. It reports false when the order
// cannot go on now, and has journaled why.
func (w *work) plan(ctx context.Context) (o outlook, goOn bool, err error) {
	if o.description, err = w.ca.Describe(ctx); err != nil {
		return o, false, w.retry("prepare", problemKind(err), err)
	}
	// A certificate that could not be installed is not ordered.
	if err := w.Files.Ready(w.record.Certificate); err != nil {
		return o, false, w.retry("prepare", "files", err)
	}
	if o.current, err = w.Files.Current(w.record.Certificate); err != nil {
		return o, false, w.retry("prepare", "read-files", err)
	}
	history, err := w.survey(ctx, &o)
	switch unclear := pluginapi.KindOf(err) == pluginapi.NeedsPerson; {
	case unclear && w.record.approvedFor(HoldUnclearOrder, ""):
		history.Last = nil // a new one is bought
	case unclear:
		return o, false, w.update("held", func(r *Record) {
			w.hold(r, HoldUnclearOrder, err.Error()+"; approve it to buy anew, or reissue there by hand")
		})
	case err != nil:
		return o, false, w.retry("adopt", problemKind(err), err)
	}
	o.plan = PlanOrder(PlanInput{
		Description: o.description, Account: w.record.Account, Names: w.record.Names, Reason: w.record.Reason,
		History: history, Current: o.current, Now: w.Now(), Approved: w.record.approvedFor,
	})
	why, err := w.settingsAtFault(ctx, o.description, o.plan.Kind)
	switch {
	case err != nil:
		return o, false, w.retry("check-settings", problemKind(err), err)
	case why != "":
		return o, false, w.update("held", func(r *Record) { w.hold(r, HoldSettings, why) })
	}
	return o, true, nil
}

// survey finds out what there is to follow, and notes in the outlook what of it is new.
func (w *work) survey(ctx context.Context, o *outlook) (History, error) {
	before, err := w.WholeHistory(w.record.Certificate)
	if err != nil {
		return before, err
	}
	h, err := Survey(ctx, w.ca, o.description, w.record.Account, before, o.current, w.Now())
	if err == nil && h.Last != before.Last {
		o.remembered = []sidecar{w.historySidecar(w.record.Certificate, func(now *History) { now.Account, now.Last = h.Account, h.Last })}
	}
	return h, err
}

// freshPlan is for how long what the CA said of the previous order is taken for what it says now.
const freshPlan = time.Minute

// planAgain plans an order anew that was planned a while ago: it waited for a person, for its turn or for the CA, and
// meanwhile the plan it follows may have ended, or somebody changed, renewed or revoked the order at the CA.
func (w *work) planAgain(ctx context.Context) (goOn bool, err error) {
	r := &w.record
	if age := w.Now().Sub(r.Planned); !r.CostsMoney || age >= 0 && age < freshPlan {
		return true, nil
	}
	o, goOn, err := w.plan(ctx)
	if !goOn {
		return false, err
	}
	if o.plan.Hold == "" && o.plan.Kind == r.Kind && o.plan.Costs == r.Buys() && o.plan.Previous.sameOrder(r.Previous) {
		r.Previous = o.plan.Previous // with what the CA says now; it is journaled with the sending
		return true, nil
	}
	return false, w.update("planned-anew", func(r *Record) {
		r.NextAt = w.Now()
		w.follow(r, o)
	}, o.remembered...)
}

// follow makes a plan the order's.
func (w *work) follow(r *Record, o outlook) {
	r.Kind, r.Previous, r.CostsMoney = o.plan.Kind, o.plan.Previous, o.description.OrdersCostMoney
	r.ReissueCosts = o.plan.Costs && o.plan.Kind == pluginapi.Reissue
	r.Planned = w.Now()
	if o.plan.Hold != "" {
		w.holdFor(r, o.plan.Hold, o.plan.Subject, o.plan.Why)
	}
}

// sameOrder reports that both are the same order at the CA.
func (p *Previous) sameOrder(q *Previous) bool {
	if p == nil || q == nil {
		return p == q
	}
	return p.Reference == q.Reference
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
	// Approved reports what a person has said yes to; nil: nothing.
	Approved func(kind HoldKind, subject string) bool
}

// Plan is the kind of an order and, where a person must agree first, why.
type Plan struct {
	Kind     pluginapi.OrderKind
	Previous *Previous
	// Costs: sending it can spend money.
	Costs bool
	Hold  HoldKind
	// Subject is what exactly the person agrees to, Why the sentence for it.
	Subject, Why string
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
// the previous order; else a new one. Buying before a paid plan is used up would be a defect, and so would buying where nobody
// knows whether one is.
func PlanOrder(in PlanInput) Plan {
	d, last := in.Description, in.History.Last
	if last == nil || in.History.Account != in.Account || last.Reference == "" || last.Gone != "" {
		return in.purchase(Plan{Kind: pluginapi.New})
	}
	if plan, doubtful := in.doubt(); doubtful {
		return plan
	}
	if d.Has(pluginapi.AbilityReissue) && in.coverageOutlasts() {
		if plan, ok := in.reissue(); ok {
			return plan
		}
	}
	return in.purchase(in.renewal())
}

// renewal links a purchase to the previous order, where the CA can.
func (in PlanInput) renewal() Plan {
	if in.Description.Has(pluginapi.AbilityRenew) {
		return Plan{Kind: pluginapi.Renew, Previous: in.History.Last}
	}
	return Plan{Kind: pluginapi.New}
}

// doubt plans a purchase that a person must agree to, where what the CA says of the previous order leaves open which paid time
// there is.
func (in PlanInput) doubt() (Plan, bool) {
	last := in.History.Last
	plan := Plan{Kind: pluginapi.New, Hold: HoldUnclearOrder}
	switch {
	case !in.Description.OrdersCostMoney:
		return Plan{}, false
	case last.NotFound:
		plan.Subject = "not-found " + last.Reference
		plan.Why = fmt.Sprintf("the CA does not know order %s, which the certificate was issued under: is it the right account? Approve it to buy a new one",
			last.Reference)
	case last.RenewedBy != "":
		plan.Subject = "renewed-by " + last.RenewedBy
		plan.Why = fmt.Sprintf("order %s was renewed at the CA by order %s, which is not followed here; to go on with %[2]s, cancel this order and put a "+
			"certificate of %[2]s in place of the one on disk, which is then adopted with its plan; or approve it to buy a new one beside it",
			last.Reference, last.RenewedBy)
	case in.Description.Has(pluginapi.AbilityReissue) && last.CoverageEnd.IsZero() && !last.Inspected.IsZero():
		plan = in.renewal()
		plan.Hold, plan.Subject = HoldUnclearOrder, "coverage "+last.Reference
		plan.Why = fmt.Sprintf("the CA does not say until when order %s is paid, so nobody knows whether it can be reissued; look at it there, and approve "+
			"this order to buy again", last.Reference)
	default:
		return Plan{}, false
	}
	if in.approves(HoldUnclearOrder, plan.Subject) {
		plan.Hold, plan.Subject, plan.Why = "", "", ""
		return in.purchase(plan), true
	}
	plan.Costs = true
	return plan, true
}

func (in PlanInput) approves(kind HoldKind, subject string) bool {
	return in.Approved != nil && in.Approved(kind, subject)
}

func (in PlanInput) coverageOutlasts() bool {
	end, leaf := in.History.Last.CoverageEnd, in.Current.Leaf
	margin := CoverageMargin
	if leaf != nil {
		margin = MarginOf(leaf.NotAfter.Sub(leaf.NotBefore))
	}
	switch schedule.Reason(in.Reason) {
	case schedule.NamesChanged, schedule.KeyChanged, schedule.BrokenSet, schedule.Revoked, schedule.Expired, schedule.Requested:
		// What is on disk is of no use however long it lasts, or somebody fears so: any paid time that is left is a gain.
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
	earlier := last.wanted()
	dropped, added := without(earlier, in.Names), without(in.Names, append(earlier, last.Held...))
	plan.Costs = in.Description.OrdersCostMoney && in.Description.ReissueAdditionsCost && len(added) > 0
	subject := strings.Join(dropped, ", ")
	switch rule := in.Description.ReissueNames; {
	case rule == pluginapi.ReissueSameNames && (len(dropped) > 0 || len(added) > 0):
		return Plan{}, false
	case rule == pluginapi.ReissueRemovalRevokes && len(dropped) > 0 && !in.approves(HoldDropsNames, subject):
		plan.Hold, plan.Subject = HoldDropsNames, subject
		plan.Why = fmt.Sprintf("a reissue without %s makes the CA revoke the earlier certificates of order %s; approve it, or configure the names again",
			subject, last.Reference)
		return plan, true
	}
	return in.repeated(plan), true
}

func (in PlanInput) purchase(p Plan) Plan {
	p.Costs = in.Description.OrdersCostMoney
	return in.repeated(p)
}

// repeated holds a paid order that follows a failed paid one: the same again would likely fail, and cost, again.
func (in PlanInput) repeated(p Plan) Plan {
	if p.Costs && in.History.FailedPaid && !in.approves(HoldRepeats, "") {
		p.Hold = HoldRepeats
		p.Why = "the last paid order for this certificate failed: " + in.History.LastFailure + "; approve it to buy again"
	}
	return p
}

// wanted are the names of the order that a reissue must carry on for none to be dropped: all that the CA says it holds, or
// else those it was ordered for. A name that the CA adds for free comes with the next certificate as it came with the last.
func (p *Previous) wanted() []string {
	issued := p.issuedNames()
	switch {
	case len(p.Held) > 0 && len(p.Names) > 0:
		return without(p.Held, without(issued, p.Names))
	case len(p.Held) > 0:
		return p.Held
	case len(p.Names) > 0:
		return p.Names
	default:
		return issued
	}
}

// issuedNames are those of the certificate that was last issued.
func (p *Previous) issuedNames() []string {
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

// PlanOver says that nothing can come any more of a reissue that is at the CA, since the plan it is inside of has ended while it
// waited; empty while something may. Nothing else is bought for the certificate before it is over.
func (r *Record) PlanOver(now time.Time) string {
	end := r.CoverageEnd
	if end.IsZero() && r.Previous != nil {
		end = r.Previous.CoverageEnd
	}
	waits := r.Phase == Placed || r.Phase == Approval || r.Phase == Validating
	if r.Kind != pluginapi.Reissue || !waits || end.IsZero() || end.After(now) {
		return ""
	}
	return fmt.Sprintf("the plan of order %s ended at %s, so that this reissue gives nothing any more: have it rejected at the CA, or cancel it with "+
		"\"certbridged orders cancel %s\"; what the certificate needs is then bought", r.Reference, end.UTC().Format(time.RFC3339), r.ID)
}
