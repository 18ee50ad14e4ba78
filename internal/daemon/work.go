package daemon

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/internal/schedule"
)

// The timer's keys are a kind of work and what it is about.
const (
	evaluateKey = "evaluate/" // a certificate's name: decide whether it must be ordered
	stepKey     = "order/"    // an order's id: take its next step
	withdrawKey = "withdraw/" // an order's id: take down what it no longer needs
	windowKey   = "window/"   // a certificate's name: ask the CA when to renew
	sweepKey    = "sweep"     // look at all certificates
	pruneKey    = "prune"     // forget old orders
	trimKey     = "trim"      // give back memory that the start or orders took
	trialKey    = "trial/"    // the id of a test of a DCV profile: take down what it has left
)

// Limits of what runs at once. Certificates are many, cores and file descriptors are not.
const (
	evaluationsAtOnce = 4  // per part of the file system, which may hang as a whole
	ordersAtOnce      = 16 // per CA account, unless the plugin says otherwise
	localAtOnce       = 32 // installations and deployments; one that hangs holds one place until its timeout
	windowsAtOnce     = 2
	withdrawalsAtOnce = 8
	beginsAtOnce      = 64 // these wait for the journal alone, which saves them together
)

const pruneEvery = 24 * time.Hour

// at has work done at an instant. What is due goes into its lane without a way round by the timer.
func (d *Daemon) at(key string, at time.Time) {
	if at.After(time.Now()) {
		d.timer.Set(key, at)
		return
	}
	d.timer.Set(key, time.Time{})
	d.fire(key)
}

// fire puts work that is due into its lane.
func (d *Daemon) fire(key string) {
	kind, name, _ := strings.Cut(key, "/")
	switch kind + "/" {
	case evaluateKey:
		d.lanes.put(job{key: key, lane: "evaluate" + d.setup.Load().partOf(name), limit: evaluationsAtOnce, do: func(ctx context.Context) { d.evaluate(ctx, name) }})
	case stepKey:
		d.fireStep(key, name)
	case withdrawKey:
		r, _ := d.engine.Order(name)
		d.lanes.put(job{key: key, lane: "withdraw/" + profilesOf(r), limit: withdrawalsAtOnce, do: func(ctx context.Context) { d.withdraw(ctx, name) }})
	case windowKey:
		c, _ := d.setup.Load().certificate(name)
		d.lanes.put(job{key: key, lane: "window/" + c.CA, gate: accountGate(c.CA), limit: windowsAtOnce, do: func(ctx context.Context) { d.askWindow(ctx, name) }})
	case trialKey:
		d.lanes.put(job{key: key, lane: key, limit: 1, do: func(ctx context.Context) { d.clearTrial(ctx, name) }})
	case sweepKey + "/":
		d.sweep()
	case trimKey + "/":
		d.lanes.put(job{key: key, lane: "trim", limit: 1, do: func(context.Context) { d.trim() }})
	case pruneKey + "/":
		d.lanes.put(job{key: key, lane: "prune", limit: 1, do: func(context.Context) { d.prune() }})
	}
}

// fireStep chooses the lane by what the step will wait for: the CA, the DCV profiles, or nothing but this machine.
func (d *Daemon) fireStep(key, id string) {
	r, ok := d.engine.Order(id)
	if !ok {
		return
	}
	lane, limit, gate := "ca/"+r.Account, d.accountLimit(r.Account), accountGate(r.Account)
	switch r.Phase {
	case order.Issued, order.Installed:
		lane, limit, gate = "local", localAtOnce, ""
		if r.Phase == order.Installed { // a command that hangs must not hold up another certificate's
			lane, limit = "deploy/"+r.Certificate, 1
		}
	case order.Validating:
		lane = "ca/" + r.Account + "/dcv/" + profilesOf(r)
	}
	d.lanes.put(job{
		key: key, lane: lane, gate: gate, limit: limit, urgency: d.urgency(r.Certificate),
		begun: r.Phase != order.Intended || !r.SentAt.IsZero(), // calls that were made for it are not to have been in vain
		do:    func(ctx context.Context) { d.step(ctx, id) },
	})
}

// accountGate is the gate of all lanes whose jobs call a CA account.
func accountGate(account string) string { return "ca/" + account }

// profilesOf names the DCV profiles an order publishes through.
func profilesOf(r order.Record) string {
	var names []string
	for _, p := range r.Publications {
		names = append(names, p.Profile)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), "+")
}

func (d *Daemon) accountLimit(account string) int {
	if n := d.limitOf(account); n > 0 {
		return n
	}
	return ordersAtOnce
}

// urgency is when what is on disk ends: the nearest expiry goes first.
func (d *Daemon) urgency(certificate string) time.Time {
	if look, ok := d.lookOf(certificate); ok && look.Leaf != nil {
		return look.Leaf.NotAfter
	}
	return time.Time{}
}

// evaluate decides whether a certificate must be ordered and sees to what follows.
func (d *Daemon) evaluate(ctx context.Context, name string) {
	c, ok := d.setup.Load().certificate(name)
	if !ok {
		return // removed from the configuration: let alone
	}
	if until := d.replacedUntil(name); !until.IsZero() {
		d.timer.Set(evaluateKey+name, until)
		return
	}
	look := d.look(c)
	d.scheduleWindow(c, look)
	v := schedule.Decide(d.input(c, look), time.Now())
	d.noteVerdict(name, v)
	switch {
	case v.Act:
		d.lanes.put(job{key: "begin/" + name, lane: "begin", limit: beginsAtOnce, urgency: d.urgency(name), do: func(ctx context.Context) { d.begin(ctx, c, v) }})
	case v.Reason == schedule.OrderOpen || v.Reason == schedule.OrderHeld || v.Reason == schedule.Disabled:
		d.reconsider(ctx, c, look)
	default:
		d.timer.Set(evaluateKey+name, v.At)
	}
}

// replacing is how long an order that is putting its certificate in place is let do so before its files are looked at: it is
// done in a moment, and then they are looked at anyway, at the latest so much later.
const replacing = 2 * time.Second

// replacedUntil is when to look at files again that an order is replacing; zero when none is.
func (d *Daemon) replacedUntil(name string) time.Time {
	r, open := d.engine.OpenOrder(name)
	if !open || r.Phase != order.Issued && r.Phase != order.Installed || r.LastError != nil {
		return time.Time{}
	}
	if age := time.Since(r.Updated); age < 0 || age >= replacing {
		return time.Time{}
	}
	return r.Updated.Add(replacing)
}

// input is what the decision about a certificate rests on.
func (d *Daemon) input(c config.Certificate, look look) schedule.Input {
	h := d.engine.History(c.Name)
	in := schedule.Input{
		Name: c.Name, Disabled: !c.Enabled, HasNames: len(c.Domains) > 0 || len(look.names()) > 0,
		KeyType: string(c.Key), RenewBefore: renewBefore(c.RenewBefore),
		RevokedSerial: h.RevokedSerial, RetryAt: h.RetryAt, Failures: h.Failures, Failure: h.LastFailure,
	}
	switch {
	case !look.unreadable:
		in.Broken, in.BrokenSince = look.broken, look.since
	case look.Leaf == nil:
		in.Unreadable = look.broken
	}
	if look.Leaf != nil {
		in.Certificate = &schedule.Certificate{
			Serial: look.Leaf.Serial, NotBefore: look.Leaf.NotBefore, NotAfter: look.Leaf.NotAfter,
			Missing: look.Leaf.Missing(c.Domains), KeyType: look.keyType(),
		}
	}
	if w := h.Window; w != nil {
		in.Window = &schedule.Window{Serial: w.Serial, Start: w.Start, End: w.End}
	}
	if r, open := d.engine.OpenOrder(c.Name); open {
		in.Order = &schedule.Order{Phase: string(r.Phase), Held: r.Phase == order.Held}
		if r.Hold != nil {
			in.Order.Why = r.Hold.Detail
		}
	}
	return in
}

func (d *Daemon) begin(ctx context.Context, c config.Certificate, v schedule.Verdict) {
	r, err := d.engine.Begin(order.Intent{Certificate: c.Name, Reason: string(v.Reason), Detail: v.Detail})
	switch {
	case err == nil:
		d.fire(stepKey + r.ID)
	case errors.Is(err, order.ErrOpenOrder):
	default:
		// Most likely the journal cannot be written. Nothing was sent; the wait is short since the disk may get room.
		d.log.ErrorContext(ctx, "no order could be begun", "certificate", c.Name, "error", err)
		d.timer.Set(evaluateKey+c.Name, time.Now().Add(schedule.Backoff(1, 0, c.Name)))
	}
}

// reconsider looks whether an open order is still what is wanted. One that was never sent ends when it is not.
func (d *Daemon) reconsider(ctx context.Context, c config.Certificate, look look) {
	r, open := d.engine.OpenOrder(c.Name)
	if !open {
		return
	}
	spec, ok := catalog{d}.Spec(c.Name)
	if !ok {
		return
	}
	d.remind(r)
	why := d.unwanted(c, look, r, spec)
	if why == "" {
		// A hold may be about settings that were replaced while the plugin looked at them.
		d.recheckSettings(func(held order.Record) bool { return held.ID == r.ID && !sameValues(r.Settings, spec.Settings.Values) })
		return
	}
	d.replace(ctx, c, r, why)
}

// replace ends an order that was never sent, so that another one comes in its place. What a person asked for is asked for still.
func (d *Daemon) replace(ctx context.Context, c config.Certificate, r order.Record, why string) bool {
	superseded, err := d.engine.Supersede(r.ID, why)
	if err != nil {
		d.log.ErrorContext(ctx, "an order could not be superseded", "order", r.ID, "error", err)
	}
	switch {
	case !superseded:
	case c.Enabled && r.Reason == string(schedule.Requested):
		d.begin(ctx, c, schedule.Verdict{Reason: schedule.Requested, Detail: r.ReasonDetail})
	default:
		d.timer.Set(evaluateKey+c.Name, time.Now())
	}
	return superseded
}

// outdated reports that an order that was never sent is for other order settings than are configured now: it would buy what
// nobody wants any more. One that is held for its settings is looked at again with the new ones instead.
func outdated(r order.Record, spec order.Spec) bool {
	held := r.Hold != nil && r.Hold.Kind == order.HoldSettings
	return r.SentAt.IsZero() && r.Reference == "" && !held && !sameValues(r.Settings, spec.Settings.Values)
}

const otherSettings = "the configuration now has other order settings"

// sameValues compares settings as the journal keeps them, where a whole number may have become another type of number.
// What cannot be compared counts as the same, so that nobody looks again and again.
func sameValues(a, b map[string]any) bool {
	if len(a)+len(b) == 0 {
		return true
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX != nil || errY != nil || bytes.Equal(x, y)
}

// unwanted says why an order would not be begun now as it is; empty when it would.
func (d *Daemon) unwanted(c config.Certificate, look look, r order.Record, spec order.Spec) string {
	switch {
	case r.Account != spec.Account:
		return "the configuration now names CA account " + spec.Account
	case len(c.Domains) > 0 && !slices.Equal(r.Names, spec.Names):
		return "the configuration now has other domains"
	case c.Key != "" && r.KeyType != spec.KeyType:
		return "the configuration now asks for a key of type " + spec.KeyType
	case outdated(r, spec):
		return otherSettings
	case r.Reason == string(schedule.Requested):
		return ""
	}
	in := d.input(c, look)
	in.Order, in.RetryAt = nil, time.Time{}
	if v := schedule.Decide(in, time.Now()); v.Reason == schedule.NotDue || v.Reason == schedule.Disabled {
		return "it is not needed any more: " + v.Detail
	}
	return ""
}

// holdReminder is how long a hold is known before it is told of again.
const holdReminder = time.Hour

// remind tells of an order that only a person can bring on, whenever the certificate is looked at: nothing is renewed
// before somebody decides. A hold was told of when it began, and is again once the certificate's end is near.
func (d *Daemon) remind(r order.Record) {
	event := Event{Certificate: r.Certificate, Order: r.ID, Level: slog.LevelWarn}
	urgent := d.urgent(r.Certificate)
	if urgent {
		event.Level = slog.LevelError
	}
	_, configured := catalog{d}.CA(r.Account)
	over := r.PlanOver(time.Now())
	switch {
	case over != "":
		event.Kind, event.Message, event.Level = "plan-over", over, slog.LevelError
	case !configured:
		event.Kind = "rests"
		event.Message = "the order rests, since CA account " + r.Account + " is not configured any more: configure it again, or cancel the order"
	case r.Phase == order.Held && urgent && time.Since(r.Hold.Since) > holdReminder:
		event.Kind, event.Message = string(r.Phase), "the certificate's end is near, and its order is still held: "+r.Hold.Detail
	default:
		return
	}
	d.tell(event)
}

// step takes an order's next step and sees to the one after it.
func (d *Daemon) step(ctx context.Context, id string) {
	d.work()
	if r, ok := d.engine.Order(id); ok && r.Phase == order.Intended {
		spec, configured := catalog{d}.Spec(r.Certificate) // it may have changed a moment ago
		if configured && outdated(r, spec) {
			if c, _ := d.setup.Load().certificate(r.Certificate); d.replace(ctx, c, r, otherSettings) {
				return
			}
		}
		if configured {
			d.wake(r, spec)
		}
	}
	r, err := d.engine.Advance(ctx, id)
	d.learnLimit(ctx, r.Account)
	switch {
	case err == nil, ctx.Err() != nil:
	case errors.Is(err, order.ErrNotConfigured): // until the configuration changes
		d.log.WarnContext(ctx, "an order rests; configure what it needs again, or cancel it", "order", id, "reason", err)
		return
	case errors.Is(err, order.ErrBusy): // by what a person or a look at the files decides about it, which may end as it began
		d.timer.Set(stepKey+id, time.Now().Add(busyAgain))
		return
	case errors.Is(err, order.ErrNoOrder):
		return
	default:
		// The journal cannot be written. The answer is kept in memory; writing it is tried again soon.
		d.log.ErrorContext(ctx, "an order could not be journaled", "order", id, "error", err)
		d.timer.Set(stepKey+id, time.Now().Add(journalAgain))
		return
	}
	if r.Phase.Final() && !r.ToWithdraw() {
		d.schedule(r) // nothing changes it any more, and it would have to be read from the journal
	} else {
		d.scheduleOrder(id)
	}
}

// wake has the plugins started that an order is about to call, of the CA and of its DCV profiles, so that they start beside each
// other and not when it comes to each.
func (d *Daemon) wake(r order.Record, spec order.Spec) {
	s := d.setup.Load()
	if ca := s.cas[r.Account]; ca != nil {
		ca.Wake()
	}
	for _, name := range r.Names {
		for _, profile := range spec.Profiles(name) {
			if p := s.dcvs[profile]; p != nil {
				p.Wake()
			}
		}
	}
}

// learnLimit remembers how many orders a plugin wants at once; it has just been called, so it is known.
func (d *Daemon) learnLimit(ctx context.Context, account string) {
	if account == "" || d.limitOf(account) > 0 {
		return
	}
	ca, ok := catalog{d}.CA(account)
	if !ok {
		return
	}
	if description, err := ca.Describe(ctx); err == nil {
		d.mu.Lock()
		d.limits[account] = cmp.Or(description.MaxConcurrentOrders, ordersAtOnce)
		d.mu.Unlock()
	}
}

// busyAgain is how soon an order is stepped that something else was at work on.
const busyAgain = time.Second

// journalAgain is how soon a journal that could not be written is tried again.
const journalAgain = 10 * time.Second

// scheduleOrder sees to what comes next for an order as it is now.
func (d *Daemon) scheduleOrder(id string) {
	if r, ok := d.engine.Order(id); ok {
		d.schedule(r)
	}
}

// schedule sees to what comes next for an order.
func (d *Daemon) schedule(r order.Record) {
	id := r.ID
	configured := d.setup.Load().has(r.Certificate)
	if !configured && r.Shows() {
		r = d.rest(r)
	}
	if configured && !r.Phase.Final() && r.Phase != order.Held {
		d.at(stepKey+id, d.turnAt(r))
	}
	if r.ToWithdraw() {
		d.at(withdrawKey+id, r.WithdrawAt)
	}
	switch {
	case r.Phase == order.Deployed: // the watcher tells of its files, and they need be looked at once only
		d.timer.Set(evaluateKey+r.Certificate, time.Now().Add(replacing))
	case r.Phase.Final() || r.Phase == order.Held:
		d.timer.Set(evaluateKey+r.Certificate, time.Now())
	}
}

// turnAt is when an order's next step is put into its lane. One that waits for the CA's gate to open does so there, beside
// the others: it might be the most urgent.
func (d *Daemon) turnAt(r order.Record) time.Time {
	_, limited := r.Limited()
	opens := d.lanes.shutUntil(accountGate(r.Account))
	if limited && !opens.IsZero() && r.NextAt.Sub(opens) < schedule.MostSpread {
		return time.Time{}
	}
	return r.NextAt
}

// rest lets what is published for a certificate that is configured no more be taken down. A step that is under way comes
// by here when it ends.
func (d *Daemon) rest(r order.Record) order.Record {
	if err := d.engine.Rest(r.ID); err != nil && !errors.Is(err, order.ErrBusy) && !errors.Is(err, order.ErrWrongPhase) {
		d.log.Error("an order that rests could not be journaled", "order", r.ID, "error", err)
		d.timer.Set(withdrawKey+r.ID, time.Now().Add(journalAgain))
	}
	now, _ := d.engine.Order(r.ID)
	return now
}

func (d *Daemon) withdraw(ctx context.Context, id string) {
	before, _ := d.engine.Order(id)
	if before.Shows() && !d.setup.Load().has(before.Certificate) {
		d.rest(before)
	}
	if err := d.engine.Withdraw(ctx, id); err != nil && ctx.Err() == nil && !errors.Is(err, order.ErrBusy) {
		d.log.ErrorContext(ctx, "a withdrawal could not be journaled", "order", id, "error", err)
		d.timer.Set(withdrawKey+id, time.Now().Add(journalAgain))
		return
	}
	r, ok := d.engine.Order(id)
	if ok && r.Phase == order.Validating && d.setup.Load().has(r.Certificate) {
		d.at(stepKey+id, r.NextAt) // what was taken down may have made room
	}
	if ok && r.ToWithdraw() {
		if r.LastError != nil && r.LastError.Kind == "withdraw" {
			d.tell(Event{Kind: "withdraw-failed", Certificate: r.Certificate, Order: id, Level: slog.LevelWarn,
				Message: r.LastError.Message + "; next try at " + r.WithdrawAt.UTC().Format(time.RFC3339)})
		}
		d.at(withdrawKey+id, r.WithdrawAt)
	}
}

func (d *Daemon) prune() {
	if err := d.engine.Prune(); err != nil {
		d.log.Error("old orders could not be forgotten", "error", err)
	}
	d.timer.Set(pruneKey, time.Now().Add(pruneEvery))
}

// nextAction is when something is next to be done for a certificate; zero when only an event or a person changes
// anything.
func (d *Daemon) nextAction(name string) time.Time {
	if r, open := d.engine.OpenOrder(name); open {
		return r.NextAt
	}
	return d.decidedFor(name)
}
