package order

import (
	"context"
	"slices"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// What is published in this process alone needs no steps of its own. It waits for nobody, so that it cannot hold up the lane of
// the CA; and it goes with the process, so that a crash leaves nothing up that the journal would have to know of. It is published
// with the telling of the CA, and withdrawn with the certificate's coming.

// chooseAtOnce chooses what is to be published for an order as the CA describes it, where that waits for nobody: in this process,
// and with profiles that were asked for the call that the CA has answered. It is journaled with the CA's answer. Where something is
// amiss, it leaves all to choose.
func (w *work) chooseAtOnce(ctx context.Context, o pluginapi.Order) []Publication {
	if o.Status != pluginapi.PendingValidation {
		return nil
	}
	r := w.record.clone()
	w.take(&r, o)
	markObsolete(&r)
	missing := r.unchosen(w.spec.Profiles)
	for _, a := range missing {
		if !w.asked && slices.ContainsFunc(w.spec.Profiles(a.Identifier), func(p string) bool { return !w.Publisher.InProcess(p) }) {
			return nil
		}
	}
	chosen, err := w.chosen(ctx, missing)
	if err != nil {
		return nil
	}
	return chosen
}

// inProcess reports whether all publications that have a property, of which there are some, are in this process alone.
func (w *work) inProcess(has func(Publication) bool) bool {
	some := false
	for _, p := range w.record.Publications {
		if !has(p) {
			continue
		}
		if !w.Publisher.InProcess(p.Profile) {
			return false
		}
		some = true
	}
	return some
}

// withdrawAtOnce takes down what an order needs no more now that the certificate has been issued, and says what that is. What
// it leaves, Withdraw takes down.
func (w *work) withdrawAtOnce(ctx context.Context, o pluginapi.Order) map[publicationID]bool {
	if o.Status != pluginapi.Issued || !w.entry.claim(&w.entry.withdrawing) {
		return nil
	}
	defer w.entry.release(&w.entry.withdrawing)
	down := map[publicationID]bool{}
	for _, p := range w.record.Publications {
		if !w.Publisher.InProcess(p.Profile) {
			continue
		}
		if p.neverUp() || w.Publisher.Withdraw(ctx, p.Profile, p.Challenge, p.Receipt) == nil {
			down[p.id()] = true
		}
	}
	return down
}

func failed(answers map[string]*answer) bool {
	for _, a := range answers {
		if a.err != nil {
			return true
		}
	}
	return false
}
