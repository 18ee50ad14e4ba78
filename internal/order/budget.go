package order

import (
	"fmt"
	"maps"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// budgetWindow is the time purchases are counted over: a rolling day, so that midnight opens no gap.
const budgetWindow = 24 * time.Hour

// keepPurchases is how long purchases are remembered, for people who ask what was bought.
const keepPurchases = 400 * 24 * time.Hour

// Buys reports whether sending the order can spend money. A reissue is inside paid time, unless it adds names that cost.
func (r *Record) Buys() bool {
	return r.CostsMoney && (r.Kind != pluginapi.Reissue || r.ReissueCosts)
}

// reserve counts the purchase against the budget, before it is sent: two orders must not both take the last place. It
// returns what must be journaled with the order, or why the budget says no.
func (w *work) reserve() ([]sidecar, string) {
	r := &w.record
	if !r.Buys() {
		return nil, ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turnOver(w.Now().Add(-budgetWindow))
	if _, counted := w.purchases[r.ID]; counted {
		return nil, "" // sent before, with an outcome that is known by now
	}
	if !r.approved(HoldBudget) {
		if why := w.overBudget(r); why != "" {
			return nil, why
		}
	}
	p := Purchase{Order: r.ID, Account: r.Account, Certificate: r.Certificate, At: w.Now()}
	w.purchases[r.ID], w.recent[r.ID] = p, p
	return []sidecar{{key: purchasePrefix + r.ID, value: func() (any, error) { return p, nil }, apply: func() {}}}, ""
}

// turnOver makes recent hold the purchases after an instant: all that are remembered would be too many to walk over for
// each order. Where the clock was set back, older ones count again. It is called with the lock held.
func (e *Engine) turnOver(since time.Time) {
	if e.recent == nil || since.Before(e.recentSince) {
		e.recent = maps.Clone(e.purchases)
	}
	for id, p := range e.recent {
		if !p.At.After(since) {
			delete(e.recent, id)
		}
	}
	e.recentSince = since
}

// takeBack forgets a purchase. It is called with the lock held.
func (e *Engine) takeBack(id string) {
	delete(e.purchases, id)
	delete(e.recent, id)
}

// overBudget is called with the lock held, after turnOver.
func (w *work) overBudget(r *Record) string {
	account, certificate := 0, 0
	for _, p := range w.recent {
		if p.Account == r.Account {
			account++
		}
		if p.Certificate == r.Certificate {
			certificate++
		}
	}
	switch {
	case account >= w.spec.MaxPerDay:
		return fmt.Sprintf("CA account %s has made %d of at most %d purchases in 24 hours; approve this one or raise max_orders_per_day",
			r.Account, account, w.spec.MaxPerDay)
	case certificate >= w.spec.MaxPerCertificate:
		return fmt.Sprintf("certificate %s was bought %d times in 24 hours, at most %d are allowed; approve this one or raise max_orders_per_certificate",
			r.Certificate, certificate, w.spec.MaxPerCertificate)
	default:
		return ""
	}
}

// ReleaseBudget lets an order go on that the budget has held, where today's limits leave room for it. It fails with
// ErrWrongPhase where they do not, or where the order is held for something else.
func (e *Engine) ReleaseBudget(id string) (Record, error) {
	return e.decide(id, "released", func(r Record) error {
		if r.Phase != Held || r.Hold.Kind != HoldBudget {
			return fmt.Errorf("order %s is not held by the budget: %w", id, ErrWrongPhase)
		}
		spec, ok := e.Catalog.Spec(r.Certificate)
		if !ok || spec.Account != r.Account {
			return fmt.Errorf("order %s: certificate %s: %w", id, r.Certificate, ErrNotConfigured)
		}
		w := &work{Engine: e, record: r, spec: spec}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.turnOver(e.Now().Add(-budgetWindow))
		if why := w.overBudget(&r); why != "" {
			return fmt.Errorf("order %s: %s: %w", id, why, ErrWrongPhase)
		}
		return nil
	}, func(r *Record) {
		r.goOn(e.Now())
	})
}

// unreserve takes a reservation back that never reached the journal.
func (w *work) unreserve() {
	w.mu.Lock()
	w.takeBack(w.record.ID)
	w.mu.Unlock()
}

// refund takes a purchase back that surely was not made.
func (w *work) refund() []sidecar { return w.refundIf(true) }

func (w *work) refundIf(surely bool) []sidecar {
	w.mu.Lock()
	_, counted := w.purchases[w.record.ID]
	w.mu.Unlock()
	if !surely || !counted {
		return nil
	}
	id := w.record.ID
	return []sidecar{{key: purchasePrefix + id, value: func() (any, error) { return nil, nil }, apply: func() { w.takeBack(id) }}}
}

// Purchases returns the paid calls that went out since an instant.
func (e *Engine) Purchases(since time.Time) []Purchase {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []Purchase
	for _, p := range e.purchases {
		if !p.At.Before(since) {
			list = append(list, p)
		}
	}
	return list
}
