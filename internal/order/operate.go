package order

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// What a person can say about an order, and what can be done with a certificate outside an order.

// Approve releases a hold: the order goes on where it stopped. What became of a call whose answer was lost is no
// matter of approval; Resolve settles that.
func (e *Engine) Approve(id string) (Record, error) {
	return e.decide(id, "approved", func(r Record) error {
		switch {
		case r.Phase != Held:
			return fmt.Errorf("order %s is %s, not held: %w", id, r.Phase, ErrWrongPhase)
		case r.Hold.Kind == HoldUnknownOutcome:
			return fmt.Errorf("order %s: approving cannot tell whether it was bought; resolve it: %w", id, ErrWrongPhase)
		}
		return nil
	}, func(r *Record) {
		switch r.Hold.Kind {
		case HoldBudget, HoldDropsNames, HoldRepeats, HoldUnclearOrder: // a yes to this order; the others ask for another look
			r.approve()
		}
		r.goOn(e.Now())
	})
}

// goOn lets an order go on where it was held. What was planned before it was held is planned anew.
func (r *Record) goOn(now time.Time) {
	r.Phase, r.Hold = r.Hold.Resume, nil
	r.Attempts, r.LastError, r.NextAt, r.Planned = 0, nil, now, time.Time{}
}

// Resolve settles what became of a call whose answer was lost. A reference is the CA's name of the order that was
// bought; without one the person says that nothing was bought, and the order is sent again.
func (e *Engine) Resolve(id, reference string) (Record, error) {
	return e.decide(id, "resolved", func(r Record) error {
		if r.Phase == Held && r.Hold.Kind == HoldUnknownOutcome || r.Phase == Intended && !r.SentAt.IsZero() {
			return nil
		}
		return fmt.Errorf("order %s is %s and no answer is missing: %w", id, r.Phase, ErrWrongPhase)
	}, func(r *Record) {
		r.Hold, r.Attempts, r.LastError, r.NextAt = nil, 0, nil, e.Now()
		r.unsent()
		if r.Phase = Intended; reference != "" {
			r.Phase, r.Reference = Placed, reference
		}
	})
}

// decide journals a person's decision where it is allowed. It takes the order's turn: a call that is under way may be
// the very one that the decision is about. A decision that cannot be journaled is not taken.
func (e *Engine) decide(id, step string, allowed func(Record) error, change func(*Record)) (Record, error) {
	en := e.entry(id)
	if en == nil {
		return Record{}, fmt.Errorf("order %s: %w", id, ErrNoOrder)
	}
	if !en.claim(&en.stepping) {
		return en.snapshot(), fmt.Errorf("order %s: %w", id, ErrBusy)
	}
	defer en.release(&en.stepping)
	if err := e.flush(en); err != nil {
		return en.snapshot(), err
	}
	if err := allowed(en.snapshot()); err != nil {
		return en.snapshot(), err
	}
	err := e.update(en, step, change)
	if err != nil {
		en.drop()
	}
	return en.snapshot(), err
}

// Cancel ends an order that has no certificate yet, or none that fits. What the CA has is canceled there first, where the CA can; an
// order whose call may have arrived cannot be canceled before it is resolved. Where the CA has taken the wish and not done it
// yet, the order goes on until the CA says what became of it.
func (e *Engine) Cancel(ctx context.Context, id, reason string) (Record, error) {
	en := e.entry(id)
	if en == nil {
		return Record{}, fmt.Errorf("order %s: %w", id, ErrNoOrder)
	}
	if !en.claim(&en.stepping) {
		return en.snapshot(), fmt.Errorf("order %s: %w", id, ErrBusy)
	}
	defer en.release(&en.stepping)
	if err := e.flush(en); err != nil { // it may know more of what the CA has
		return en.snapshot(), err
	}
	r := en.snapshot()
	switch {
	case r.Phase.Final() || r.Phase == Issued || r.Phase == Installed:
		return r, fmt.Errorf("order %s is %s: %w", id, r.Phase, ErrWrongPhase)
	case !r.SentAt.IsZero() && r.CostsMoney:
		return r, fmt.Errorf("order %s may have been bought; resolve it first: %w", id, ErrWrongPhase)
	}
	issued := r.Phase == Held && r.Hold.Resume == Issued // there is nothing to cancel any more, only to revoke
	if r.Reference != "" && !issued {
		if over, err := e.cancelAtCA(ctx, en, r, reason); err != nil || !over {
			return en.snapshot(), err
		}
	}
	reason = orElse(reason, "canceled by a person")
	var more []sidecar
	if r.Reference != "" && r.Buys() { // whoever says no to this purchase has not said yes to another
		more = append(more, e.historySidecar(r.Certificate, func(h *History) { h.FailedPaid, h.LastFailure = true, reason }))
	}
	err := e.update(en, "canceled", func(r *Record) {
		r.Phase, r.Hold, r.NextAt, r.WithdrawAt = Superseded, nil, time.Time{}, e.Now()
		r.Detail = reason
	}, more...)
	return en.snapshot(), err
}

// cancelAtCA reports whether the CA has no use for the order any more. Where it says otherwise, that is journaled.
func (e *Engine) cancelAtCA(ctx context.Context, en *entry, r Record, reason string) (over bool, err error) {
	ca, ok := e.Catalog.CA(r.Account)
	if !ok {
		return true, nil // the account was taken out of the configuration: only a person can reach it
	}
	d, err := ca.Describe(ctx)
	if err != nil {
		return false, fmt.Errorf("order %s: %w", r.ID, err)
	}
	if !d.Has(pluginapi.AbilityCancel) {
		if !r.CostsMoney {
			return true, nil // a free order that nobody finishes expires by itself
		}
		return false, fmt.Errorf("order %s: the plugin of account %s cannot cancel; do it at the CA, the order then ends by itself: %w", r.ID, r.Account, ErrWrongPhase)
	}
	spec, _ := e.Catalog.Spec(r.Certificate)
	spec.Profiles = e.profilesOf(r.Certificate)
	w := &work{Engine: e, entry: en, record: r, spec: spec, ca: ca}
	reply, err := ca.CancelOrder(ctx, w.placedOrder(ctx), reason)
	switch {
	case pluginapi.KindOf(err) == pluginapi.NotFound:
		return true, nil // there is nothing to cancel; the person is asking, and there would be no other way out
	case err != nil:
		return false, fmt.Errorf("order %s: cancel at the CA: %w", r.ID, err)
	}
	switch reply.Order.Status {
	case pluginapi.Canceled, pluginapi.OrderRejected, pluginapi.Expired:
		return true, nil
	}
	if err := w.accept(ctx, "cancel-asked", reply.Order); err != nil {
		return false, err
	}
	if reply.Order.Status == pluginapi.Issued {
		return false, fmt.Errorf("order %s: the CA has issued it meanwhile, so that there is nothing to cancel any more, only to revoke: %w", r.ID, ErrWrongPhase)
	}
	return false, nil
}

// Supersede ends an order that was never sent, because the configuration now wants something else. It reports whether
// it did.
func (e *Engine) Supersede(id, why string) (bool, error) {
	en := e.entry(id)
	// What can be seen to be too far is not claimed, so that its next step is not turned away.
	if en == nil || !neverSent(en.snapshot()) || !en.claim(&en.stepping) {
		return false, nil
	}
	defer en.release(&en.stepping)
	if err := e.flush(en); err != nil {
		return false, err
	}
	if !neverSent(en.snapshot()) {
		return false, nil
	}
	return true, e.update(en, "superseded", func(r *Record) {
		r.Phase, r.Hold, r.Detail, r.NextAt = Superseded, nil, why, time.Time{}
	})
}

// neverSent reports an order of which the CA surely knows nothing.
func neverSent(r Record) bool {
	phase := r.Phase
	if phase == Held {
		phase = r.Hold.Resume
	}
	return phase == Intended && r.SentAt.IsZero()
}

// Revoke revokes the certificate on disk at the CA account it came from, as far as that is known, or else at the one it
// is ordered from.
func (e *Engine) Revoke(ctx context.Context, certificate string, reason int) (pluginapi.RevocationReply, error) {
	spec, ok := e.Catalog.Spec(certificate)
	if !ok {
		return pluginapi.RevocationReply{}, fmt.Errorf("certificate %s: %w", certificate, ErrNotConfigured)
	}
	current, err := e.Files.Current(certificate)
	if err != nil {
		return pluginapi.RevocationReply{}, fmt.Errorf("certificate %s: %w", certificate, err)
	}
	if current.Leaf == nil {
		return pluginapi.RevocationReply{}, fmt.Errorf("certificate %s: there is none on disk: %w", certificate, ErrNoOrder)
	}
	revocation, account := pluginapi.Revocation{Leaf: current.Leaf.Raw, Reason: reason}, spec.Account
	history, err := e.WholeHistory(certificate)
	if err != nil {
		return pluginapi.RevocationReply{}, err
	}
	if last := history.Last; last != nil && issued(last, current.Leaf) {
		account = history.Account
		revocation.Order = &pluginapi.PreviousOrder{Reference: last.Reference, State: last.PluginState, Chain: last.Chain}
	}
	ca, ok := e.Catalog.CA(account)
	if !ok {
		return pluginapi.RevocationReply{}, fmt.Errorf("CA account %s: %w", account, ErrNotConfigured)
	}
	reply, err := ca.RevokeCertificate(ctx, revocation)
	if err != nil {
		return reply, fmt.Errorf("revoke certificate %s: %w", certificate, err)
	}
	if reply.Action == nil {
		err = e.saveHistory(certificate, func(h *History) { h.RevokedSerial = cert.Serial(current.Leaf) })
	}
	return reply, err
}

func issued(p *Previous, leaf *x509.Certificate) bool {
	return len(p.Chain) > 0 && string(p.Chain[0]) == string(leaf.Raw)
}

// SaveWindow remembers what the CA said about a certificate's renewal, and reports whether it says anything new. That
// it still says the same is not journaled: with many certificates somebody is asked all the time. So after a restart the
// time of the next question may be one that has passed.
func (e *Engine) SaveWindow(certificate string, w Window) (changed bool, err error) {
	known := e.History(certificate).Window
	if known != nil && known.same(w) {
		return false, nil
	}
	return true, e.saveHistory(certificate, func(h *History) { h.Window = &w })
}

func (w Window) same(o Window) bool {
	return w.Serial == o.Serial && w.ExplanationURL == o.ExplanationURL && w.Start.Equal(o.Start) && w.End.Equal(o.End)
}

// SaveDeployment remembers a deployment that a person asked for.
func (e *Engine) SaveDeployment(certificate string, d Deployment) error {
	return e.saveHistory(certificate, func(h *History) {
		h.Deploy = &d
		if d.OK {
			h.DeployedAt = d.At
		}
	})
}

// keepOrders is how many final orders of a certificate stay in the journal, for people who ask what happened.
const keepOrders = 10

// Prune forgets final orders and purchases that nobody needs any more. What is still published is never forgotten.
func (e *Engine) Prune() error {
	records := map[string][]byte{}
	cut := e.Now().Add(-keepPurchases)
	e.mu.Lock()
	for _, id := range e.superfluous() {
		records[orderPrefix+id] = nil
	}
	for id, p := range e.purchases {
		if p.At.Before(cut) {
			records[purchasePrefix+id] = nil
		}
	}
	e.mu.Unlock()
	if len(records) == 0 {
		return nil
	}
	if err := e.Journal.Write(bucket, records); err != nil {
		return fmt.Errorf("prune the journal: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for key := range records {
		if id, ok := strings.CutPrefix(key, orderPrefix); ok {
			delete(e.past, id)
			delete(e.inherited, id)
		} else if id, ok := strings.CutPrefix(key, purchasePrefix); ok {
			e.takeBack(id)
		}
	}
	return nil
}
