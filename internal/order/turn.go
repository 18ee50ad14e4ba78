package order

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// A DCV profile may publish one challenge at a time only, or one for each record name. Its publications then take turns:
// one is published, shown to the CA, and withdrawn as soon as the CA has validated the name; that frees the profile for
// the next, of this order or of another. A CA that begins to validate only when all names of an order are shown never gets
// there with such a profile, and nothing here can help: the order is looked at in its normal pace and says what it waits
// for.

// ErrTurn is what Publisher.Publish fails with when the profile cannot publish a challenge beside another one, which has
// its turn. That is no failure of the order.
var ErrTurn = errors.New("another challenge has its turn")

// turnAgain is how soon a profile that is taken is tried again.
const turnAgain = 5 * time.Second

// longestLook bounds how long publishing may go before looking; a clock that was set back must not make it longer.
const longestLook = time.Hour

// inTurn: its profile is free, as far as is known.
func inTurn(p Publication) bool { return !p.Published && p.Waiting == "" }

// waiting: another publication has its profile's turn.
func waiting(p Publication) bool { return !p.Published && p.Waiting != "" }

// untold: it is published, and the CA was not told yet.
func untold(p Publication) bool { return p.Published && !p.Responded }

// turnFirst reports that the turns are to be looked at before the order at the CA: that has its own pace.
func (w *work) turnFirst() bool {
	ahead := w.record.LookAt.Sub(w.Now())
	return w.record.waits(waiting) && (!w.record.TurnTried || ahead > 0 && ahead <= longestLook)
}

// paced sets when to step again, after something that the CA was asked for or told.
func (r *Record) paced(now time.Time, pace time.Duration) {
	r.TurnTried = false
	r.LookAt = now.Add(min(pace, longestLook))
	r.NextAt = now.Add(pace)
	r.awaitTurn(now)
}

// awaitTurn sees to it that a step comes soon while something waits for its turn.
func (r *Record) awaitTurn(now time.Time) {
	if soon := now.Add(turnAgain); r.Phase == Validating && r.waits(waiting) && r.NextAt.After(soon) {
		r.NextAt = soon
	}
}

// toRepublish reports that a restart has taken down what the journal says is published. It comes first: until it is
// known to be there again nobody else may have its profile's turn.
func (w *work) toRepublish() bool {
	return !w.entry.isLive() && w.record.waits(func(p Publication) bool { return p.Published })
}

// taken reports that something was published through a profile before a restart, and has neither been published again nor
// withdrawn since: the profile is still its own, though nobody in this process knows. That may be another order's, also one
// that is over, or what this order itself no longer needs.
func (w *work) taken(profile string) bool {
	for id, en := range w.heirs() {
		all, its := en.inherited(profile, en == w.entry)
		if its {
			return true
		}
		if all == 0 { // and never again: only reading the journal makes one inherited
			w.mu.Lock()
			delete(w.inherited, id)
			w.mu.Unlock()
		}
	}
	return false
}

func (e *Engine) heirs() map[string]*entry {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.inherited)
}

// inherited counts what an order still inherits, and reports whether some of it has a profile. What an order itself still
// needs does not stand in its own way.
func (en *entry) inherited(profile string, itself bool) (all int, its bool) {
	en.mu.Lock()
	defer en.mu.Unlock()
	for _, p := range en.record.Publications {
		if !p.inherited {
			continue
		}
		all++
		its = its || p.Profile == profile && (!itself || p.Obsolete)
	}
	return all, its
}

// freeTurns lets publications be tried again at once whose profile something was withdrawn from.
func (r *Record) freeTurns(profiles map[string]bool, now time.Time) {
	for i, p := range r.Publications {
		if waiting(p) && profiles[p.Profile] {
			r.Publications[i].Waiting = ""
			if r.Phase == Validating {
				r.NextAt = now
			}
		}
	}
}

// whyWait is the reason for a publication to wait, without what is said anyway.
func whyWait(err error) string {
	var e *pluginapi.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// WaitsFor says what turn an order waits for; empty when it waits for none.
func (r *Record) WaitsFor() string {
	if r.Phase != Validating || !r.waits(waiting) {
		return ""
	}
	var sentences []string
	for _, profile := range r.profilesThat(waiting) {
		var wait, shown []string
		why := ""
		for _, p := range r.Publications {
			switch {
			case p.Profile != profile || p.Obsolete:
			case waiting(p):
				wait = append(wait, p.Challenge.Identifier)
				why = orElse(why, p.Waiting)
			case p.Published:
				shown = append(shown, p.Challenge.Identifier)
			}
		}
		text := fmt.Sprintf("%s waits for its turn with dcv profile %s: %s", few(wait), profile, why)
		if len(shown) > 0 {
			text += fmt.Sprintf("; %s is shown to the CA and makes room once the CA has validated it", few(shown))
		}
		sentences = append(sentences, text)
	}
	return strings.Join(sentences, "; ")
}

func (r *Record) profilesThat(has func(Publication) bool) []string {
	var list []string
	for _, p := range r.Publications {
		if !p.Obsolete && has(p) && !slices.Contains(list, p.Profile) {
			list = append(list, p.Profile)
		}
	}
	return list
}

// few names the first of a list and how many there are beside it.
func few(list []string) string {
	if len(list) > 1 {
		return fmt.Sprintf("%s (and %d more)", list[0], len(list)-1)
	}
	return strings.Join(list, "")
}
