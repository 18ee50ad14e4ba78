package order

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// look reads the order at the CA.
func (w *work) look(ctx context.Context) error {
	reply, err := w.ca.GetOrder(ctx, w.placedOrder(ctx))
	if err != nil {
		return w.lookFailed("look", err)
	}
	return w.accept(ctx, "looked", reply.Order)
}

// lookFailed journals a failed reading. Only the CA's final word ends a placed order.
func (w *work) lookFailed(step string, err error) error {
	switch kind := pluginapi.KindOf(err); kind {
	case pluginapi.Rejected:
		return w.fail(step+"-failed", problem(kind.String(), err, w.Now()))
	case pluginapi.NeedsPerson:
		return w.update(step+"-failed", func(r *Record) {
			w.later(r, problem(kind.String(), err, w.Now()), err)
			r.Action = &pluginapi.PersonAction{Who: "a person", What: err.Error()}
		})
	case pluginapi.NotFound, pluginapi.InvalidRequest:
		if !w.record.CostsMoney {
			return w.fail(step+"-failed", problem(kind.String(), err, w.Now()))
		}
		// A paid order does not vanish: most likely the account or the network is at fault.
		return w.retry(step, kind.String(), err)
	default:
		return w.retry(step, problemKind(err), err)
	}
}

// accept journals what the CA says about the order, and what else changed with it.
func (w *work) accept(ctx context.Context, step string, o pluginapi.Order, also ...func(*Record)) error {
	if w.record.Reference != "" && o.Reference != w.record.Reference {
		return w.retry(step, "plugin", fmt.Errorf("the plugin changed the order's reference from %q to %q", w.record.Reference, o.Reference))
	}
	switch o.Status {
	case pluginapi.OrderRejected, pluginapi.Canceled, pluginapi.Expired:
		w.record.Reference = o.Reference // fail looks at it: a reference means that money may be spent
		p := problem(o.Status.String(), fmt.Errorf("the CA says %s: %s", o.Status, orElse(o.Detail, "no reason given")), w.Now())
		return w.failPlaced(step, o, p)
	}
	pace := w.pace(ctx, o)
	chosen := w.chooseAtOnce(ctx, o)
	down := w.withdrawAtOnce(ctx, o)
	var more []sidecar
	if o.Status == pluginapi.Issued {
		more = append(more, w.remember(o))
	}
	return w.update(step, func(r *Record) {
		w.take(r, o)
		for _, change := range also {
			change(r)
		}
		switch o.Status {
		case pluginapi.PendingApproval:
			r.Phase = Approval
		case pluginapi.PendingValidation:
			r.Phase = Validating
			markObsolete(r)
			r.Publications = append(r.Publications, chosen...)
		case pluginapi.Processing:
			r.Phase = Placed
		case pluginapi.Issued:
			r.Phase, r.Chain = Issued, o.Chain
			r.Publications = slices.DeleteFunc(r.Publications, func(p Publication) bool { return down[p.id()] })
			r.WithdrawAt = w.Now()
		}
		r.paced(w.Now(), pace)
		if r.Phase == Issued || r.Phase == Validating && r.toShow(w.spec.Profiles) {
			r.NextAt = w.Now()
		}
	}, more...)
}

// remember keeps what the next order of the certificate will be linked to. It is kept as soon as the CA has issued:
// paid time is there to be used up, whatever becomes of the installation.
func (w *work) remember(o pluginapi.Order) sidecar {
	return w.historySidecar(w.record.Certificate, func(h *History) {
		h.Account = w.record.Account
		h.Last = &Previous{Reference: o.Reference, PluginState: o.State, Chain: o.Chain, CoverageEnd: o.CoverageEnd, Names: w.record.Names}
		if o.CoverageEnd.IsZero() {
			h.Last.CoverageEnd = w.record.CoverageEnd
		}
		h.Last.Bought = w.record.Created
		if p := w.record.Previous; w.record.Kind == pluginapi.Reissue && p != nil { // it is the same plan
			h.Last.Bought = p.Bought
			if h.Last.CoverageEnd.IsZero() {
				h.Last.CoverageEnd = p.CoverageEnd
			}
		}
	})
}

// take copies what a reply says in any status.
func (w *work) take(r *Record, o pluginapi.Order) {
	r.Reference, r.PluginState = o.Reference, o.State
	r.Status, r.Detail, r.Action = o.Status, o.Detail, o.Action
	r.Authorizations = o.Authorizations
	if !o.CoverageEnd.IsZero() {
		r.CoverageEnd = o.CoverageEnd
	}
	if o.Price != nil {
		r.Price = o.Price
	}
	r.SentAt, r.NotFound = time.Time{}, 0
	r.Attempts, r.LastError, r.Hold = 0, nil, nil
}

func (w *work) failPlaced(step string, o pluginapi.Order, p *Problem) error {
	if err := w.update(step, func(r *Record) {
		phase := r.Phase
		w.take(r, o)
		if r.Phase = phase; phase == Intended {
			r.Phase = Placed
		}
	}); err != nil {
		return err
	}
	return w.fail("failed", p)
}

// shortestPace keeps a plugin that always asks for an immediate next call from spinning.
const shortestPace = 500 * time.Millisecond

// defaultPace is how often an order is looked at when neither plugin nor configuration say.
const defaultPace = time.Minute

func (w *work) pace(ctx context.Context, o pluginapi.Order) time.Duration {
	progressed := w.record.Status != o.Status || string(w.record.PluginState) != string(o.State)
	switch {
	case o.Status == pluginapi.Issued: // there is nothing to look at again
		return 0
	case o.LookAgainAfter != nil && *o.LookAgainAfter == 0 && progressed:
		return 0
	case w.spec.PollInterval > 0:
		return w.spec.PollInterval
	case o.LookAgainAfter != nil:
		return max(*o.LookAgainAfter, shortestPace)
	}
	if d, err := w.ca.Describe(ctx); err == nil && d.PollInterval > 0 {
		return d.PollInterval
	}
	return defaultPace
}

// markObsolete marks publications the CA no longer asks for.
func markObsolete(r *Record) {
	wanted := map[string]bool{}
	for _, a := range r.Authorizations {
		for _, c := range a.Challenges {
			if !a.Valid {
				wanted[c.ID] = true
			}
		}
	}
	for i, p := range r.Publications {
		if !wanted[p.Challenge.ID] && !p.Obsolete {
			r.Publications[i].Obsolete = true
			r.WithdrawAt = r.Updated
		}
	}
}

// validate shows domain control: choose, publish, see, respond, look; one of them a step. What waits for its turn keeps
// nothing else from being shown.
func (w *work) validate(ctx context.Context) error {
	if w.record.waits(w.misplaced) {
		return w.leaveProfiles()
	}
	if missing := w.record.unchosen(w.spec.Profiles); len(missing) > 0 {
		return w.choose(ctx, missing)
	}
	switch {
	case w.toRepublish():
		return w.publish(ctx, func(p Publication) bool { return p.Published })
	case w.record.waits(inTurn):
		return w.publish(ctx, inTurn)
	case w.record.waits(untold):
		return w.respond(ctx)
	case w.turnFirst():
		return w.publish(ctx, waiting)
	default:
		return w.look(ctx)
	}
}

// misplaced: the configuration does not give the profile to the name any more, and the CA does not know of it yet.
func (w *work) misplaced(p Publication) bool {
	return !p.Responded && !slices.Contains(w.spec.Profiles(p.Challenge.Identifier), p.Profile)
}

// leaveProfiles gives up publications through profiles that a person has replaced, mostly because they did not work.
func (w *work) leaveProfiles() error {
	return w.update("profile-left", func(r *Record) {
		for i, p := range r.Publications {
			if !p.Obsolete && w.misplaced(p) {
				r.Publications[i].Obsolete = true
				r.WithdrawAt = w.Now()
			}
		}
		r.NextAt = w.Now()
	})
}

// enliven notes that what the record says is published was published by this process.
func (en *entry) enliven() {
	en.mu.Lock()
	defer en.mu.Unlock()
	en.live = true
}

func (en *entry) isLive() bool {
	en.mu.Lock()
	defer en.mu.Unlock()
	return en.live
}

// toShow reports whether there is something to publish, or to tell the CA of.
func (r *Record) toShow(profiles func(string) []string) bool {
	return len(r.unchosen(profiles)) > 0 || r.waits(inTurn) || r.waits(untold)
}

// waits reports whether a publication that is still wanted has a property.
func (r *Record) waits(has func(Publication) bool) bool {
	for _, p := range r.Publications {
		if !p.Obsolete && has(p) {
			return true
		}
	}
	return false
}

// unchosen returns the authorizations that are not valid, wait for no person, and have no publication yet. What is to be
// withdrawn is withdrawn before it is published again through the same profile.
func (r *Record) unchosen(profiles func(string) []string) []pluginapi.Authorization {
	chosen := map[string]bool{}
	for _, p := range r.Publications {
		if !p.Obsolete || slices.Contains(profiles(p.Challenge.Identifier), p.Profile) {
			chosen[p.Challenge.ID] = true
		}
	}
	var missing []pluginapi.Authorization
next:
	for _, a := range r.Authorizations {
		if a.Valid || len(publishable(a)) == 0 {
			continue
		}
		for _, c := range a.Challenges {
			if chosen[c.ID] {
				continue next
			}
		}
		missing = append(missing, a)
	}
	return missing
}

// publishable are the challenges that need no person.
func publishable(a pluginapi.Authorization) []pluginapi.Challenge {
	var list []pluginapi.Challenge
	for _, c := range a.Challenges {
		if t := c.Type(); t != pluginapi.ChallengeEmail && t != pluginapi.ChallengeManual {
			list = append(list, c)
		}
	}
	return list
}

// choose journals what will be published where, before it is published.
func (w *work) choose(ctx context.Context, missing []pluginapi.Authorization) error {
	chosen, err := w.chosen(ctx, missing)
	if err != nil {
		return w.retry("choose", "choose", err)
	}
	return w.update("publishing", func(r *Record) {
		r.Publications = append(r.Publications, chosen...)
		r.NextAt = w.Now()
	})
}

func (w *work) chosen(ctx context.Context, missing []pluginapi.Authorization) ([]Publication, error) {
	var chosen []Publication
	var faults []error
	for _, a := range missing {
		profile, c, err := w.Publisher.Choose(ctx, w.spec.Profiles(a.Identifier), w.record.allowedChallenges(a))
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", a.Identifier, err))
			continue
		}
		chosen = append(chosen, Publication{Profile: profile, Challenge: c})
	}
	return chosen, errors.Join(faults...)
}

// answer is what came of publishing a challenge.
type answer struct {
	receipt []byte
	err     error
}

// put publishes what is wanted and has a property, side by side. The answers are by challenge: withdrawing changes the list
// meanwhile.
func (w *work) put(ctx context.Context, which func(Publication) bool) map[string]*answer {
	answers := map[string]*answer{}
	for i, a := range each(w.record.Publications, func(p Publication) *answer {
		switch {
		case p.Obsolete || !which(p):
			return nil
		case p.Waiting != "" && w.taken(p.Profile):
			return &answer{err: ErrTurn}
		}
		receipt, err := w.Publisher.Publish(ctx, p.Profile, p.Challenge, p.Receipt)
		return &answer{receipt, err}
	}) {
		if a != nil {
			answers[w.record.Publications[i].Challenge.ID] = a
		}
	}
	return answers
}

// publish publishes what is wanted and has a property, and journals the receipts. A turn that another challenge has is no
// failure. What is up in this process alone is journaled with what the CA answers to it.
func (w *work) publish(ctx context.Context, which func(Publication) bool) error {
	live := w.entry.isLive()
	doubted, err := w.doubt(which)
	if err != nil {
		return err
	}
	answers := w.put(ctx, which)
	var faults []error
	published := func(r *Record) {
		faults = nil
		for i := range r.Publications {
			p := &r.Publications[i]
			a := answers[p.Challenge.ID]
			switch {
			case a == nil || p.Obsolete:
			case a.err == nil:
				p.Published, p.Waiting, p.MayBeUp, p.Receipt, p.inherited = true, "", false, a.receipt, false
				p.Refused = false
			case errors.Is(a.err, ErrTurn): // and when it was up before a restart, the CA is told again
				p.MayBeUp = p.MayBeUp && !doubted[p.id()] || p.Published || !live
				p.Published, p.Waiting, p.Responded, p.inherited = false, whyWait(a.err), false, false
			default:
				p.Waiting, p.Refused = "", SurelyRefused(a.err)
				p.MayBeUp = p.MayBeUp && !doubted[p.id()] || !p.Refused
				faults = append(faults, fmt.Errorf("%s: %w", p.Challenge.Identifier, a.err))
			}
		}
		w.published(r, faults)
	}
	if w.inProcess(func(p Publication) bool { return answers[p.Challenge.ID] != nil }) && !failed(answers) {
		w.goAhead(published)
		w.entry.enliven()
		return w.validate(ctx)
	}
	err = w.update("published", published)
	if err == nil && len(faults) == 0 {
		w.entry.enliven()
	}
	return err
}

// doubt journals of what waits for its turn or was refused, before it is tried, that it may be up: what was never up is not
// withdrawn, and a crash right after the try must not make it one of these. It returns which these are.
func (w *work) doubt(which func(Publication) bool) (map[publicationID]bool, error) {
	doubted := map[publicationID]bool{}
	for _, p := range w.record.Publications {
		if !p.Obsolete && which(p) && (waiting(p) || p.Refused) && !p.MayBeUp && !w.taken(p.Profile) {
			doubted[p.id()] = true
		}
	}
	if len(doubted) == 0 {
		return nil, nil
	}
	return doubted, w.update("turn-tried", func(r *Record) {
		for i, p := range r.Publications {
			r.Publications[i].MayBeUp = p.MayBeUp || doubted[p.id()]
		}
	})
}

// SurelyRefused reports that an error of Publisher.Publish means that nothing was published. Whatever else went wrong may
// have gone wrong afterwards.
func SurelyRefused(err error) bool {
	switch pluginapi.KindOf(err) {
	case pluginapi.InvalidRequest, pluginapi.Unauthorized, pluginapi.Conflict:
		return true
	default:
		return false
	}
}

// published sets when to go on after publishing.
func (w *work) published(r *Record, faults []error) {
	now := w.Now()
	r.TurnTried = true
	switch r.NextAt = now; {
	case len(faults) > 0:
		w.later(r, problem("publish", errors.Join(faults...), now), nil)
	case !r.toShow(w.spec.Profiles):
		// All that could be published the CA knows of: it is looked at in its pace.
		if r.LookAt.After(now) {
			r.NextAt = r.LookAt
		}
		r.awaitTurn(now)
	}
}

// respond waits until everything that is published can be seen, then tells the CA.
func (w *work) respond(ctx context.Context) error {
	var ids []string
	var todo []Publication
	for _, p := range w.record.Publications {
		if !p.Obsolete && untold(p) {
			ids, todo = append(ids, p.Challenge.ID), append(todo, p)
		}
	}
	faults := each(todo, func(p Publication) error {
		if err := w.Publisher.AwaitVisible(ctx, p.Profile, p.Challenge); err != nil {
			return fmt.Errorf("%s: %w", p.Challenge.Identifier, err)
		}
		return nil
	})
	if err := errors.Join(faults...); err != nil {
		return w.unseen(todo, faults, err)
	}
	reply, err := w.ca.RespondToChallenges(ctx, w.placedOrder(ctx), ids)
	if err != nil {
		return w.lookFailed("respond", err)
	}
	return w.accept(ctx, "responded", reply.Order, func(r *Record) {
		for i, p := range r.Publications {
			r.Publications[i].Responded = p.Responded || slices.Contains(ids, p.Challenge.ID)
		}
	})
}

// unseen journals that not everything can be seen. What cannot is published once more before the next look: somebody may
// have taken it down.
func (w *work) unseen(shown []Publication, faults []error, err error) error {
	missing := map[string]bool{}
	for i, fault := range faults {
		missing[shown[i].Challenge.ID] = fault != nil
	}
	return w.update("visible-failed", func(r *Record) {
		for i, p := range r.Publications {
			if missing[p.Challenge.ID] {
				r.Publications[i].Published, r.Publications[i].MayBeUp = false, true
			}
		}
		w.later(r, problem("visible", err, w.Now()), err)
	})
}

// each calls do for every element at once and returns the answers in their order. The first, mostly the only one, takes no goroutine.
func each[T, A any](list []T, do func(T) A) []A {
	answers := make([]A, len(list))
	var wg sync.WaitGroup
	for i := 1; i < len(list); i++ {
		wg.Go(func() { answers[i] = do(list[i]) })
	}
	if len(list) > 0 {
		answers[0] = do(list[0])
	}
	wg.Wait()
	return answers
}

func orElse(s, other string) string {
	if strings.TrimSpace(s) == "" {
		return other
	}
	return s
}
