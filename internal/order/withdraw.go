package order

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/certbridge/certbridged/internal/schedule"
)

// ToWithdraw reports whether something is, or may be, published that is no longer needed.
func (r *Record) ToWithdraw() bool {
	for _, p := range r.Publications {
		if r.withdrawable(p) {
			return true
		}
	}
	return false
}

// withdrawable: an order that still shows control needs its publications, unless the CA no longer asks for them.
func (r *Record) withdrawable(p Publication) bool {
	switch r.Phase {
	case Intended, Placed, Approval, Validating:
		return p.Obsolete
	default:
		return true
	}
}

// Shows reports whether an order that shows control, or may do so again, has something published for it.
func (r *Record) Shows() bool {
	return !r.Phase.Final() && r.waits(func(p Publication) bool { return !r.withdrawable(p) })
}

// neverUp: it never had its turn, or was refused each time.
func (p Publication) neverUp() bool {
	return !p.Published && !p.MayBeUp && (p.Waiting != "" || p.Refused)
}

// Rest lets everything be withdrawn that an order has published, because nobody works on it for now: its certificate is
// not configured any more. An order that goes on later chooses and publishes anew.
func (e *Engine) Rest(id string) error {
	_, err := e.decide(id, "resting", func(r Record) error {
		if r.Shows() {
			return nil
		}
		return fmt.Errorf("order %s has nothing to withdraw: %w", id, ErrWrongPhase)
	}, func(r *Record) {
		for i := range r.Publications {
			r.Publications[i].Obsolete = true
		}
		r.WithdrawAt, r.NextAt, r.LookAt = e.Now(), e.Now(), time.Time{}
	})
	return err
}

// Withdraw takes down what an order published and no longer needs, and journals it; the record's WithdrawAt says when
// to try again. It goes its own pace beside Step: a name server that is down must not keep a certificate from being
// installed.
func (e *Engine) Withdraw(ctx context.Context, id string) error {
	en := e.entry(id)
	if en == nil {
		return fmt.Errorf("order %s: %w", id, ErrNoOrder)
	}
	if !en.claim(&en.withdrawing) {
		return fmt.Errorf("order %s: %w", id, ErrBusy)
	}
	defer en.release(&en.withdrawing)
	if err := e.flush(en); err != nil {
		return err
	}
	r := en.snapshot()
	faults := each(r.Publications, func(p Publication) error {
		switch {
		case !r.withdrawable(p):
			return errStillNeeded
		case p.neverUp():
			// Some providers know one value alone, and would take down another's. And who may not publish may not withdraw.
			return nil
		}
		if err := e.Publisher.Withdraw(ctx, p.Profile, p.Challenge, p.Receipt); err != nil {
			return fmt.Errorf("withdraw the challenge for %s through %s: %w", p.Challenge.Identifier, p.Profile, err)
		}
		return nil
	})
	gone := map[publicationID]bool{}
	var failed []error
	for i, err := range faults {
		switch {
		case err == nil:
			gone[r.Publications[i].id()] = true
		case !errors.Is(err, errStillNeeded):
			failed = append(failed, err)
		}
	}
	if len(gone) == 0 && len(failed) == 0 {
		return nil
	}
	return e.update(en, "withdrawn", func(r *Record) {
		var rest []Publication
		free := map[string]bool{}
		for _, p := range r.Publications {
			if gone[p.id()] {
				free[p.Profile] = true
				continue
			}
			rest = append(rest, p)
		}
		r.Publications, r.WithdrawAttempts, r.WithdrawAt = rest, 0, time.Time{}
		r.freeTurns(free, e.Now())
		if r.Phase == Validating && len(r.unchosen(e.profilesOf(r.Certificate))) > 0 {
			r.NextAt = e.Now()
		}
		if len(failed) > 0 {
			r.WithdrawAttempts++
			r.WithdrawAt = e.Now().Add(e.withdrawalPause(r))
			r.LastError = problem("withdraw", errors.Join(failed...), e.Now())
		}
	})
}

// withdrawalPause is how long to wait after withdrawals that failed. Where others wait for the turn that this would free,
// the first tries follow sooner.
func (e *Engine) withdrawalPause(r *Record) time.Duration {
	pause := schedule.Backoff(r.WithdrawAttempts, 0, r.ID)
	if r.Phase == Validating && r.waits(waiting) {
		pause = min(pause, time.Duration(r.WithdrawAttempts)*turnAgain)
	}
	return pause
}

var errStillNeeded = errors.New("still needed")
