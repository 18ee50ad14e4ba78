package daemon

import (
	"context"
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
	for _, c := range s.config.Certificates {
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
	in, history := b.d.input(c, l), b.d.engine.History(c.Name)
	if in.Disabled || in.Unreadable != "" || !in.HasNames || in.Order != nil && in.Order.Held {
		v := schedule.Decide(in, now)
		return []control.PlannedAct{{At: now, Certificate: c.Name, Account: c.CA, Reason: string(v.Reason), Detail: v.Detail}}
	}
	in.Order, in.RetryAt, in.Broken = nil, time.Time{}, ""
	lifetime := 90 * 24 * time.Hour
	if l.leaf != nil {
		lifetime = l.leaf.NotAfter.Sub(l.leaf.NotBefore)
	}
	coverage := coverageEnd(history)
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
		kind := foreseenKind(d, history.Last != nil, coverage, in.Certificate)
		act := control.PlannedAct{At: at, Certificate: c.Name, Account: c.CA, Kind: kind.String(), Reason: string(v.Reason), Detail: v.Detail,
			CostsMoney: d.OrdersCostMoney && kind != pluginapi.Reissue}
		if act.CostsMoney {
			coverage = at.AddDate(1, 0, 0) // plans are sold by the year
		}
		lives := lifetime
		if d.OrdersCostMoney {
			lives = min(lifetime, longestLifetime(at))
			if coverage.Before(at.Add(lives)) {
				lives = coverage.Sub(at)
			}
		}
		acts = append(acts, act)
		in.Certificate = &schedule.Certificate{Serial: "planned", NotBefore: at, NotAfter: at.Add(lives), KeyType: in.KeyType}
		in.Window, in.RevokedSerial = nil, ""
		history.Last = &order.Previous{Reference: "planned"}
	}
	return acts
}

func coverageEnd(h order.History) time.Time {
	if h.Last == nil {
		return time.Time{}
	}
	return h.Last.CoverageEnd
}

func foreseenKind(d pluginapi.Description, ordered bool, coverage time.Time, c *schedule.Certificate) pluginapi.OrderKind {
	switch {
	case ordered && d.Has(pluginapi.AbilityReissue) && c != nil && coverage.After(c.NotAfter.Add(order.MarginOf(c.NotAfter.Sub(c.NotBefore)))):
		return pluginapi.Reissue
	case ordered && d.Has(pluginapi.AbilityRenew):
		return pluginapi.Renew
	default:
		return pluginapi.New
	}
}

// longestLifetime is the longest a public TLS certificate issued at an instant may live (CA/Browser Forum ballot SC-081,
// TLS Baseline Requirements section 6.3.2).
func longestLifetime(issued time.Time) time.Duration {
	const day = 24 * time.Hour
	switch {
	case issued.Before(time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC)):
		return 398 * day
	case issued.Before(time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC)):
		return 200 * day
	case issued.Before(time.Date(2029, 3, 15, 0, 0, 0, 0, time.UTC)):
		return 100 * day
	default:
		return 47 * day
	}
}
