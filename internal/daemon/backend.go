package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/internal/schedule"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// backend answers the control socket.
type backend struct{ d *Daemon }

var _ control.Backend = backend{}

// Info implements control.Viewer.
func (b backend) Info(context.Context) (control.Info, error) {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	return control.Info{
		Version: b.d.opts.Version, ConfigPath: b.d.setup.Load().config.Path, PID: os.Getpid(), Started: b.d.started,
		ConfigLoaded: b.d.configLoaded, ConfigProblems: slices.Clone(b.d.configProblems),
	}, nil
}

func (b backend) certificate(name string) (config.Certificate, error) {
	s := b.d.setup.Load()
	c, ok := s.certificate(name)
	if !ok {
		return c, control.Errorf(control.NotFound, "there is no certificate %q; configured are %s", name, orNone(s.names()))
	}
	return c, nil
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// Status implements control.Viewer.
func (b backend) Status(ctx context.Context, name string) ([]control.Certificate, error) {
	if name != "" {
		c, err := b.certificate(name)
		if err != nil {
			return nil, err
		}
		return []control.Certificate{b.status(c)}, nil
	}
	return b.StatusPage(ctx, "", b.d.setup.Load().config.Len())
}

// StatusPage implements control.Viewer.
func (b backend) StatusPage(_ context.Context, after string, limit int) ([]control.Certificate, error) {
	configured := b.d.setup.Load().config
	first := 0
	if after != "" {
		n, ok := configured.Find(after)
		if !ok {
			return nil, control.Errorf(control.Conflict, "the configuration has changed meanwhile, and has no certificate %q any more; ask again", after)
		}
		first = n + 1
	}
	var list []control.Certificate
	for n := first; n < configured.Len() && len(list) < limit; n++ {
		list = append(list, b.status(configured.At(n)))
	}
	return list, nil
}

func (b backend) status(c config.Certificate) control.Certificate {
	l := b.d.look(c)
	h := b.d.engine.History(c.Name)
	v := schedule.Decide(b.d.input(c, l), time.Now())
	out := control.Certificate{
		Name: c.Name, Enabled: c.Enabled, Names: c.Domains, Account: c.CA, Problem: l.broken,
		Next:       control.Next{At: v.At, Due: v.Act, Reason: string(v.Reason), Detail: v.Detail},
		Deployment: deploymentOf(h.Deploy),
	}
	if len(out.Names) == 0 {
		out.Names = l.names()
	}
	for i, f := range c.Files {
		file := control.File{Form: string(f.Form), Path: f.Path}
		if seen := l.Snapshot().Files; i < len(seen) && seen[i].Problem != nil {
			file.Problem = seen[i].Problem.Error()
		}
		out.Files = append(out.Files, file)
	}
	if l.Leaf != nil {
		out.Leaf = &control.Leaf{
			Serial: l.Leaf.Serial, Issuer: l.Leaf.Issuer, Names: l.names(),
			NotBefore: l.Leaf.NotBefore, NotAfter: l.Leaf.NotAfter, KeyType: l.keyType(), Fingerprint: l.Leaf.Fingerprint(),
		}
	}
	if h.Last != nil {
		out.CoverageEnd = h.Last.CoverageEnd
	}
	if r, open := b.d.engine.OpenOrder(c.Name); open {
		o := orderOf(r)
		out.Order = &o
		out.Next.At = r.NextAt
		if waits := r.WaitsFor(); waits != "" {
			out.Next.Detail += ": " + waits
		}
		if out.Deployment != nil && r.Phase != order.Held {
			out.Deployment.NextAt = r.NextAt
		}
	}
	return out
}

// Explain implements control.Viewer.
func (b backend) Explain(_ context.Context, name string) (control.Explanation, error) {
	c, err := b.certificate(name)
	if err != nil {
		return control.Explanation{}, err
	}
	l := b.d.look(c)
	return control.Explanation{Certificate: b.status(c), Facts: b.facts(c, l)}, nil
}

// facts are what a decision rests on, each a sentence.
func (b backend) facts(c config.Certificate, l look) []string {
	var facts []string
	add := func(format string, args ...any) { facts = append(facts, fmt.Sprintf(format, args...)) }
	h := b.d.engine.History(c.Name)
	switch {
	case l.broken != "":
		add("The files on disk are no whole set: %s.", l.broken)
	case l.Leaf == nil:
		add("There is no certificate on disk.")
	}
	if l.Leaf != nil {
		add("The certificate on disk, serial %s from %s, is valid from %s to %s.", l.Leaf.Serial, l.Leaf.Issuer, stamp(l.Leaf.NotBefore), stamp(l.Leaf.NotAfter))
		at := schedule.Threshold(renewBefore(c.RenewBefore), l.Leaf.NotBefore, l.Leaf.NotAfter)
		add("renew_before is %s: renewal is due from %s.", c.RenewBefore, stamp(at))
	}
	if w := h.Window; w != nil && l.Leaf != nil {
		again := cmp.Or(b.d.timer.Due(windowKey+c.Name), w.LookAt)
		if w.Serial == l.Leaf.Serial {
			add("The CA asks for renewal between %s and %s; this certificate's turn is %s. It is asked again at %s.", stamp(w.Start), stamp(w.End),
				stamp(schedule.PickInWindow(schedule.Window{Serial: w.Serial, Start: w.Start, End: w.End})), stamp(again))
		} else {
			add("The CA gave a renewal window for serial %s, which is no longer on disk; it does not count.", w.Serial)
		}
	}
	if h.Last != nil && !h.Last.CoverageEnd.IsZero() {
		add("The paid plan of order %s lasts until %s.", h.Last.Reference, stamp(h.Last.CoverageEnd))
	}
	if h.Failures > 0 {
		last := "The last order"
		if h.Failures > 1 {
			last = fmt.Sprintf("Each of the last %d orders", h.Failures)
		}
		add("%s failed; the latest reason: %s. A new one is not begun before %s.", last, h.LastFailure, stamp(h.RetryAt))
	}
	if r, open := b.d.engine.OpenOrder(c.Name); open {
		facts = append(facts, orderFacts(r)...)
	}
	if h.Deploy != nil && !h.Deploy.OK {
		add("The last deployment failed at %s: %s.", h.Deploy.Stage, h.Deploy.Message)
	}
	return facts
}

func orderFacts(r order.Record) []string {
	facts := []string{fmt.Sprintf("Order %s (%s) was begun at %s because %s; it is %s.", r.ID, r.Kind, stamp(r.Created), r.ReasonDetail, r.Phase)}
	if r.Hold != nil {
		facts = append(facts, fmt.Sprintf("It waits for a person since %s: %s.", stamp(r.Hold.Since), r.Hold.Detail))
	}
	if r.Action != nil {
		facts = append(facts, fmt.Sprintf("%s must %s %s.", r.Action.Who, r.Action.What, r.Action.URL))
	}
	if waits := r.WaitsFor(); waits != "" {
		facts = append(facts, fmt.Sprintf("It is no failure that %s.", waits))
	}
	if r.LastError != nil {
		facts = append(facts, fmt.Sprintf("The last trouble, at %s, %d in a row so far: %s.", stamp(r.LastError.At), r.Attempts, r.LastError.Message))
	}
	if !r.NextAt.IsZero() {
		facts = append(facts, fmt.Sprintf("The next step comes at %s.", stamp(r.NextAt)))
	}
	return facts
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// Events implements control.Viewer.
func (b backend) Events(ctx context.Context, filter control.EventFilter, send func(control.Event) error) error {
	if filter.Certificate != "" && !b.known(filter.Certificate) {
		_, err := b.certificate(filter.Certificate)
		return err
	}
	return b.d.events.follow(ctx, filter.Follow, func(e Event) error {
		if filter.Certificate != "" && e.Certificate != filter.Certificate {
			return nil
		}
		return send(control.Event{
			At: e.Time, Level: strings.ToLower(e.Level.String()), Type: e.Kind, Message: e.Message, Certificate: e.Certificate, Order: e.Order,
		})
	})
}

// Renew implements control.Actor.
func (b backend) Renew(ctx context.Context, req control.RenewRequest) (control.Renewal, error) {
	c, err := b.certificate(req.Name)
	if err != nil {
		return control.Renewal{}, err
	}
	l := b.d.look(c)
	v := schedule.Decide(b.d.input(c, l), time.Now())
	out := control.Renewal{Account: c.CA, Reason: string(v.Reason), Detail: v.Detail}
	spec, _ := catalog(b).Spec(c.Name)
	out.Names = spec.Names
	if r, open := b.d.engine.OpenOrder(c.Name); open {
		o := orderOf(r)
		out.Order, out.Kind, out.CostsMoney, out.CostsUnknown = &o, o.Kind, o.CostsMoney, o.CostsUnknown
		if !req.DryRun && r.Phase != order.Held {
			b.d.timer.Set(stepKey+r.ID, time.Now()) // no need to wait for the next try
		}
		return out, nil
	}
	if !v.Act && !req.Force {
		return out, nil
	}
	if v.Reason == schedule.Disabled {
		return out, control.Errorf(control.Conflict, "certificate %s is switched off in the configuration; set enabled = true first", c.Name)
	}
	if !v.Act {
		out.Reason, out.Detail = string(schedule.Requested), caller(ctx)+" asked for it"
	}
	if req.DryRun {
		return out, b.plan(ctx, c, spec, &out)
	}
	r, err := b.d.engine.Begin(order.Intent{Certificate: c.Name, Reason: out.Reason, Detail: out.Detail})
	if err != nil {
		return out, kindOf(err)
	}
	b.d.timer.Set(stepKey+r.ID, time.Now())
	o := orderOf(r)
	out.Ordered, out.Order, out.CostsUnknown = true, &o, o.CostsUnknown
	return out, nil
}

// caller names who asked, for the journal and for events.
func caller(ctx context.Context) string {
	if c, ok := control.CallerFrom(ctx); ok {
		return c.String()
	}
	return "a person"
}

// plan says what would be ordered, without ordering it.
func (b backend) plan(ctx context.Context, c config.Certificate, spec order.Spec, out *control.Renewal) error {
	ca, ok := catalog(b).CA(c.CA)
	if !ok {
		return control.Errorf(control.NotFound, "there is no CA account %q", c.CA)
	}
	d, err := ca.Describe(ctx)
	if err != nil {
		return control.Errorf(control.Unavailable, "CA account %s: %w", c.CA, err)
	}
	current, err := files(b).Current(c.Name)
	if err != nil {
		return kindOf(err)
	}
	now := time.Now()
	history, err := b.d.engine.WholeHistory(c.Name)
	if err != nil {
		return kindOf(err)
	}
	history, err = order.Survey(ctx, ca, d, c.CA, history, current, now)
	switch {
	case pluginapi.KindOf(err) == pluginapi.NeedsPerson:
		out.Ordered, out.Kind, out.CostsMoney, out.WouldHold = true, pluginapi.New.String(), d.OrdersCostMoney, err.Error()
		return nil
	case err != nil:
		return control.Errorf(control.Unavailable, "%w", err)
	}
	plan := order.PlanOrder(order.PlanInput{
		Description: d, Account: c.CA, Names: spec.Names, Reason: out.Reason, History: history, Current: current, Now: now,
	})
	out.Ordered, out.Kind, out.WouldHold, out.CostsMoney = true, plan.Kind.String(), plan.Why, plan.Costs
	return nil
}

// Deploy implements control.Actor.
func (b backend) Deploy(ctx context.Context, name string) (control.Deployment, error) {
	c, err := b.certificate(name)
	if err != nil {
		return control.Deployment{}, err
	}
	if r, open := b.d.engine.OpenOrder(name); open && (r.Phase == order.Issued || r.Phase == order.Installed) {
		b.d.timer.Set(stepKey+r.ID, time.Now())
		return control.Deployment{}, control.Errorf(control.Conflict, "order %s is being deployed; it is tried now instead of at %s", r.ID, stamp(r.NextAt))
	}
	l := b.d.look(c)
	leaf, err := b.d.leaf(c)
	if err != nil || leaf == nil || l.broken != "" {
		return control.Deployment{}, control.Errorf(control.Conflict, "the files of %s are no whole set: %s", name, cmp.Or(l.broken, "there is no certificate"))
	}
	outcome := deployer(b).Deploy(ctx, name, leaf)
	if err := b.d.engine.SaveDeployment(name, outcome); err != nil {
		return control.Deployment{}, kindOf(err)
	}
	return *deploymentOf(&outcome), nil
}

// Revoke implements control.Actor.
func (b backend) Revoke(ctx context.Context, req control.RevokeRequest) (control.Revocation, error) {
	c, err := b.certificate(req.Name)
	if err != nil {
		return control.Revocation{}, err
	}
	l := b.d.look(c)
	if l.Leaf == nil {
		return control.Revocation{}, control.Errorf(control.Conflict, "certificate %s is not on disk, so there is nothing to revoke", req.Name)
	}
	serial := l.Leaf.Serial
	if req.Serial != "" && !strings.EqualFold(req.Serial, serial) {
		return control.Revocation{}, control.Errorf(control.Conflict, "the certificate on disk has serial %s, not %s", serial, req.Serial)
	}
	reply, err := b.d.engine.Revoke(ctx, req.Name, req.Reason)
	if err != nil {
		return control.Revocation{}, kindOf(err)
	}
	b.d.tell(Event{Kind: "revoked", Certificate: req.Name, Level: slog.LevelWarn,
		Message: fmt.Sprintf("certificate %s was revoked because %s asked for it", serial, caller(ctx))})
	b.d.timer.Set(evaluateKey+req.Name, time.Now())
	out := control.Revocation{Serial: serial, Detail: reply.Detail, Action: actionOf(reply.Action)}
	return out, nil
}

// Reload implements control.Actor.
func (b backend) Reload(ctx context.Context) ([]string, error) {
	warnings, err := b.d.Reload(ctx)
	var mistakes *config.Errors
	if errors.As(err, &mistakes) {
		return nil, control.Errorf(control.BadConfiguration, "%w", err)
	}
	return warnings, err
}

// Orders implements control.OrderDesk.
func (b backend) Orders(_ context.Context, filter control.OrderFilter) ([]control.Order, error) {
	if filter.Certificate != "" && !b.known(filter.Certificate) {
		_, err := b.certificate(filter.Certificate)
		return nil, err
	}
	orders := b.d.engine.Working
	switch {
	case filter.All && filter.Certificate == "":
		orders = b.d.engine.Orders
	case filter.All:
		orders = func() []order.Record { return b.d.engine.OrdersOf(filter.Certificate) }
	}
	var list []control.Order
	for _, r := range orders() {
		if (filter.Certificate == "" || r.Certificate == filter.Certificate) && (filter.All || !r.Phase.Final()) {
			list = append(list, orderOf(r))
		}
	}
	return list, nil
}

// known reports whether a certificate is configured, or was: its orders are in the journal.
func (b backend) known(name string) bool {
	return b.d.setup.Load().has(name) || b.d.engine.HasOrders(name)
}

// Order implements control.OrderDesk.
func (b backend) Order(_ context.Context, id string) (control.Order, error) {
	r, ok := b.d.engine.Order(id)
	if !ok {
		return control.Order{}, control.Errorf(control.NotFound, "there is no order %q", id)
	}
	return orderOf(r), nil
}

// Approve implements control.OrderDesk.
func (b backend) Approve(_ context.Context, id string) (control.Order, error) {
	return b.decided(b.d.engine.Approve(id))
}

// Resolve implements control.OrderDesk.
func (b backend) Resolve(_ context.Context, id, reference string) (control.Order, error) {
	return b.decided(b.d.engine.Resolve(id, reference))
}

// Cancel implements control.OrderDesk.
func (b backend) Cancel(ctx context.Context, id, reason string) (control.Order, error) {
	return b.decided(b.d.engine.Cancel(ctx, id, reason))
}

func (b backend) decided(r order.Record, err error) (control.Order, error) {
	if err != nil {
		return control.Order{}, kindOf(err)
	}
	b.d.scheduleOrder(r.ID)
	return orderOf(r), nil
}

// kindOf says what a failure is to a caller.
func kindOf(err error) error {
	kind := control.FailedAct
	switch {
	case errors.Is(err, order.ErrNoOrder), errors.Is(err, order.ErrNotConfigured):
		kind = control.NotFound
	case errors.Is(err, order.ErrOpenOrder), errors.Is(err, order.ErrBusy), errors.Is(err, order.ErrWrongPhase):
		kind = control.Conflict
	default:
		switch pluginapi.KindOf(err) {
		case pluginapi.Unavailable, pluginapi.RateLimited:
			kind = control.Unavailable
		case pluginapi.NeedsPerson:
			kind = control.NeedsPerson
		case pluginapi.InvalidRequest:
			kind = control.Invalid
		}
	}
	return control.Errorf(kind, "%w", err)
}
