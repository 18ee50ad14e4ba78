package daemon

import (
	"context"
	"crypto/x509"
	"slices"
	"time"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/internal/schedule"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Plan implements control.Viewer: it lets the same decisions that the daemon makes run on into the future.
func (b backend) Plan(ctx context.Context, until time.Time) ([]control.PlannedAct, error) {
	now := time.Now()
	if until.After(now.AddDate(10, 0, 0)) {
		return nil, control.Errorf(control.Invalid, "a plan goes ten years ahead at most")
	}
	var acts []control.PlannedAct
	s := b.d.setup.Load()
	for c := range s.config.All() {
		d, err := s.cas[c.CA].Describe(ctx)
		if err != nil {
			d = pluginapi.Description{} // planned as if free; the account's own trouble is told elsewhere
		}
		acts = append(acts, b.foresee(c, d, now, until)...)
	}
	slices.SortStableFunc(acts, func(a, b control.PlannedAct) int { return a.At.Compare(b.At) })
	return acts, nil
}

// maxActs bounds the plan of one certificate: one that lives for minutes would fill any screen.
const maxActs = 200

// foresee steps one certificate through its future.
func (b backend) foresee(c config.Certificate, d pluginapi.Description, now, until time.Time) []control.PlannedAct {
	l := b.d.look(c)
	in := b.d.input(c, l)
	history, err := b.d.engine.WholeHistory(c.Name)
	if err != nil { // the plan is a forecast: without the past, it is that of a certificate that was never ordered
		b.d.log.Error("what is remembered of a certificate cannot be read", "certificate", c.Name, "error", err)
	}
	if in.Disabled || in.Unreadable != "" || !in.HasNames || in.Order != nil && in.Order.Held {
		v := schedule.Decide(in, now)
		return []control.PlannedAct{{At: now, Certificate: c.Name, Account: c.CA, Reason: string(v.Reason), Detail: v.Detail}}
	}
	in.Order, in.RetryAt, in.Broken = nil, time.Time{}, ""
	spec, _ := catalog(b).Spec(c.Name)
	leaf, err := b.d.leaf(c)
	if err != nil {
		leaf = nil // said by the look at the files
	}
	f := future{description: d, spec: spec, history: history, leaf: leaf}
	if history.Last != nil && history.Account == c.CA {
		f.coverage = history.Last.CoverageEnd
	}
	f.learn(c.CA)
	return f.acts(c, in, now, until)
}

// acts steps through time.
func (f *future) acts(c config.Certificate, in schedule.Input, now, until time.Time) []control.PlannedAct {
	var acts []control.PlannedAct
	for at := now; len(acts) < maxActs; {
		v := schedule.Decide(in, at)
		if !v.Act {
			if v.At.IsZero() || v.At.After(until) {
				return acts
			}
			at = v.At
			continue
		}
		act, end := f.order(c, v, at)
		acts = append(acts, act)
		in.Certificate = &schedule.Certificate{Serial: "planned", NotBefore: at, NotAfter: end, KeyType: in.KeyType}
		in.Window, in.RevokedSerial = nil, ""
	}
	return acts
}

// future is a certificate while it is stepped through time.
type future struct {
	description pluginapi.Description
	spec        order.Spec
	history     order.History
	leaf        *x509.Certificate
	coverage    time.Time
	// lifetime is that of its certificates, where it is less than what the CA gives at most; zero where it is not.
	lifetime time.Duration
	// plan is the end of a plan that begins at an instant.
	plan func(begin time.Time) time.Time
}

// learn takes lengths from what is there.
func (f *future) learn(account string) {
	last, ours := f.history.Last, false
	if last != nil && f.history.Account == account && f.leaf != nil {
		ours = last.Has(f.leaf.Raw)
	}
	f.plan = planOf(f.spec.Settings.Values)
	if last != nil && ours && !last.Bought.IsZero() && last.CoverageEnd.After(last.Bought) && f.plan == nil {
		length := last.CoverageEnd.Sub(last.Bought)
		f.plan = func(begin time.Time) time.Time { return begin.Add(length) }
	}
	if f.plan == nil {
		f.plan = func(begin time.Time) time.Time { return begin.AddDate(1, 0, 0) } // most are sold by the year
	}
	switch {
	case !f.description.OrdersCostMoney && f.leaf == nil:
		f.lifetime = 90 * day
	case !f.description.OrdersCostMoney:
		f.lifetime = f.leaf.NotAfter.Sub(f.leaf.NotBefore)
	case ours:
		lives := f.leaf.NotAfter.Sub(f.leaf.NotBefore)
		cut := !f.coverage.IsZero() && f.leaf.NotAfter.Add(order.MarginOf(lives)).After(f.coverage) // the last of its plan
		if !cut && lives < usualLifetime(f.leaf.NotBefore)-day {
			f.lifetime = lives
		}
	}
}

// order is what would be ordered at an instant, and when the certificate would end.
func (f *future) order(c config.Certificate, v schedule.Verdict, at time.Time) (control.PlannedAct, time.Time) {
	plan := order.PlanOrder(order.PlanInput{
		Description: f.description, Account: c.CA, Names: f.spec.Names, Reason: string(v.Reason), History: f.history,
		Current: order.Current{Leaf: f.leaf, Whole: f.leaf != nil}, Now: at,
	})
	act := control.PlannedAct{At: at, Certificate: c.Name, Account: c.CA, Kind: plan.Kind.String(), Reason: string(v.Reason), Detail: v.Detail, CostsMoney: plan.Costs}
	if plan.Why != "" {
		act.Detail += "; it would be held: " + plan.Why
	}
	end := at.Add(f.lifetime)
	if f.description.OrdersCostMoney {
		if plan.Kind != pluginapi.Reissue {
			f.coverage = f.plan(at)
		}
		lives := usualLifetime(at)
		if f.lifetime > 0 {
			lives = min(lives, f.lifetime)
		}
		if end = at.Add(lives); !f.coverage.IsZero() && f.coverage.Before(end) {
			end = f.coverage
		}
	}
	f.leaf = &x509.Certificate{NotBefore: at, NotAfter: end}
	f.history = order.History{Account: c.CA, Last: &order.Previous{Reference: "planned", CoverageEnd: f.coverage, Names: f.spec.Names}}
	return act, end
}

// planOf reads the length of a plan from order settings, where they say it in one of the ways that CAs' APIs have for it;
// nil where they do not.
func planOf(values map[string]any) func(begin time.Time) time.Time {
	for _, name := range []string{"order_validity", "validity"} {
		if table, ok := values[name].(map[string]any); ok {
			if plan := planOf(table); plan != nil {
				return plan
			}
		}
	}
	whole := func(names ...string) (int, bool) {
		for _, name := range names {
			switch n := values[name].(type) {
			case int64:
				return int(n), n > 0 && n < 10000
			case float64: // as the journal and plugins write whole numbers
				return int(n), n > 0 && n < 10000
			}
		}
		return 0, false
	}
	if n, ok := whole("days", "validity_days"); ok {
		return func(begin time.Time) time.Time { return begin.AddDate(0, 0, n) }
	}
	if n, ok := whole("months", "validity_months", "term_months"); ok {
		return func(begin time.Time) time.Time { return begin.AddDate(0, n, 0) }
	}
	if n, ok := whole("years", "validity_years"); ok {
		return func(begin time.Time) time.Time { return begin.AddDate(n, 0, 0) }
	}
	return nil
}

const day = 24 * time.Hour

// usualLifetime is how long a public TLS certificate lives that is issued at an instant: commercial CAs stay a day below the
// most that is allowed (CA/Browser Forum ballot SC-081v3, TLS Baseline Requirements section 6.3.2).
func usualLifetime(issued time.Time) time.Duration {
	switch {
	case issued.Before(time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC)):
		return 397 * day
	case issued.Before(time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC)):
		return 199 * day
	case issued.Before(time.Date(2029, 3, 15, 0, 0, 0, 0, time.UTC)):
		return 99 * day
	default:
		return 46 * day
	}
}
