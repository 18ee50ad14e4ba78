package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// deathNotice is how long a call whose connection broke waits for the news of how the plugin ended.
const deathNotice = time.Second

// use runs one call on the instance's process, configured, starting it when needed. The error names the plugin once
// and shows no secret.
func use[T any](ctx context.Context, i *instance, call func(ctx context.Context, r *running) (T, error)) (T, error) {
	var none T
	select {
	case i.slots <- struct{}{}:
		defer func() { <-i.slots }()
	case <-ctx.Done():
		return none, i.wrap(undelivered(ctx.Err(), 0))
	}
	r, err := i.acquire(ctx)
	if err != nil {
		return none, i.wrap(i.clean(err))
	}
	if _, err := i.configure(ctx, r); err != nil {
		i.release(r, false)
		return none, i.wrap(i.clean(err))
	}
	value, err := one(ctx, i, r, call)
	i.release(r, answered(err))
	return value, i.wrap(i.clean(err))
}

// one makes one call on a process within the host's own time limit, and draws the conclusions from how it went.
func one[T any](ctx context.Context, i *instance, r *running, call func(ctx context.Context, r *running) (T, error)) (T, error) {
	limit := i.host.opt.CallTimeout
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	value, err := call(bounded, r)
	if err == nil || !errors.Is(err, wire.ErrNoDetail) {
		if errors.Is(err, wire.ErrBadReply) {
			i.suspect(r, i.mask.text(err.Error()))
		}
		return value, err
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return value, err
	case over(ctx, err): // the caller was in more of a hurry than the host
		i.suspect(r, "")
		return value, err
	case over(bounded, err):
		i.suspect(r, fmt.Sprintf("it left a call without an answer for %s", limit))
		return value, err
	}
	if r.connected() {
		return value, err
	}
	r.proc.settle(deathNotice)
	if !r.proc.ended() {
		i.suspect(r, "it broke the connection")
		return value, err
	}
	i.fell(r)
	return value, died(err, r)
}

// timerSlack is how far apart the two ends' timers for one deadline may go off.
const timerSlack = 100 * time.Millisecond

// over reports that a context has ended, or that the other end has called its deadline a moment early.
func over(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return true
	}
	deadline, ok := ctx.Deadline()
	return ok && errors.Is(err, context.DeadlineExceeded) && time.Until(deadline) < timerSlack
}

// died says of a call's error that the plugin died of it.
func died(err error, r *running) error {
	var e *pluginapi.Error
	if !errors.As(err, &e) {
		return err
	}
	told := *e
	told.Message = "the plugin ended during the call: " + r.end()
	return &told
}

// answered reports whether a plugin itself gave the result of a call.
func answered(err error) bool {
	if err == nil {
		return true
	}
	for _, own := range []error{wire.ErrNoDetail, wire.ErrNotSent, wire.ErrBadReply, errNotConfigured} {
		if errors.Is(err, own) {
			return false
		}
	}
	return true
}

// clean takes the secrets out of an error's words.
func (i *instance) clean(err error) error {
	if err == nil {
		return nil
	}
	var e *pluginapi.Error
	if !errors.As(err, &e) {
		return errors.New(i.mask.text(err.Error()))
	}
	told := *e
	told.Message, told.Field = i.mask.text(e.Message), i.mask.text(e.Field)
	return &told
}

var errNotConfigured = errors.New("not configured")

// configure configures a process once, for all who wait.
func (i *instance) configure(ctx context.Context, r *running) (configured, error) {
	i.mu.Lock()
	f := r.configure
	if f == nil {
		f = newFlight[configured]()
		r.configure = f
		r.calls++           // the flight outlives its first caller
		i.host.tasks.Add(1) // never the first: the process counts until its last call is through
		go func() {
			defer i.host.tasks.Done()
			value, err := i.runConfigure(r)
			f.finish(value, err)
			i.release(r, answered(err))
		}()
	}
	i.mu.Unlock()
	return f.wait(ctx)
}

func (i *instance) runConfigure(r *running) (configured, error) {
	var value configured
	call := func(ctx context.Context, r *running) (configured, error) {
		if r.dcv != nil {
			reply, err := r.dcv.Configure(ctx, pluginapi.DCVProfile{Settings: i.spec.Settings, DNSResolvers: i.spec.DNSResolvers})
			return configured{findings: reply.Findings, dcv: reply}, err
		}
		account := pluginapi.Account{Settings: i.spec.Settings}
		if i.spec.State != nil {
			account.State = i.spec.State()
		}
		reply, err := r.ca.Configure(ctx, account)
		if err == nil {
			err = i.saved(reply.AccountState)
		}
		return configured{findings: reply.Findings, ca: reply}, err
	}
	value, err := one(context.Background(), i, r, call)
	if err == nil {
		err = faults(value.findings)
	}
	if err != nil {
		// Nothing was ordered yet, and a process that could not be configured is of no use.
		i.suspect(r, "")
		err = beforeUse(err)
	}
	return value, err
}

// saved stores account state; without it stored no order may be placed.
func (i *instance) saved(state []byte) error {
	if err := i.saveState(state); err != nil {
		return &pluginapi.Error{Kind: pluginapi.Unavailable, Message: err.Error(), Err: errors.Join(errNotConfigured, err)}
	}
	return nil
}

// beforeUse makes sure that a failed Configure never looks like an order of unknown fate.
func beforeUse(err error) error {
	var e *pluginapi.Error
	if !errors.As(err, &e) || e.Kind != pluginapi.UnknownOutcome {
		return err
	}
	told := *e
	told.Kind = pluginapi.Unavailable
	return &told
}

// faults makes one error of the findings that keep an instance from being used.
func faults(findings []pluginapi.Finding) error {
	var words []string
	field := ""
	for _, f := range findings {
		if f.Severity != pluginapi.Fault {
			continue
		}
		if len(words) == 0 {
			field = f.Field
		}
		if f.Field != "" && len(words) > 0 {
			words = append(words, f.Field+": "+f.Message)
			continue
		}
		words = append(words, f.Message)
	}
	if len(words) == 0 {
		return nil
	}
	return &pluginapi.Error{Kind: pluginapi.InvalidRequest, Field: field, Message: strings.Join(words, "; "), Err: ErrFaults}
}

// masked returns findings without secrets.
func (i *instance) masked(findings []pluginapi.Finding) []pluginapi.Finding {
	out := slices.Clone(findings)
	for n := range out {
		out[n].Message = i.mask.text(out[n].Message)
	}
	return out
}

// maskedAction returns what a person must do without secrets.
func (i *instance) maskedAction(a *pluginapi.PersonAction) *pluginapi.PersonAction {
	if a == nil {
		return nil
	}
	return &pluginapi.PersonAction{Who: i.mask.text(a.Who), What: i.mask.text(a.What), URL: i.mask.text(a.URL)}
}

// describe returns what is known of the instance's file, after a start where nothing is. known is called with the
// host's lock held.
func describe[T any](ctx context.Context, i *instance, known func(identity) (T, bool)) (T, error) {
	h := i.host
	ask := func(id identity) (T, bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		return known(id)
	}
	if id, err := h.folder.described(i.file); err == nil && i.fits(id) {
		if d, ok := ask(id); ok {
			return d, nil
		}
	}
	var none T
	r, err := i.acquire(ctx)
	if err != nil {
		return none, i.wrap(i.clean(err))
	}
	defer i.release(r, false)
	d, ok := ask(r.id)
	if !ok {
		return none, i.wrap(undelivered(errors.New("its description was forgotten meanwhile"), 0))
	}
	return d, nil
}

// fits reports that a file is what the instance is pinned to, as far as that is known without hashing it.
func (i *instance) fits(id identity) bool {
	return i.spec.SHA256 == "" || strings.EqualFold(i.host.folder.knownSum(id), i.spec.SHA256)
}

// ready has the plugin running and configured, and returns what Configure said.
func (i *instance) ready(ctx context.Context) (configured, error) {
	r, err := i.acquire(ctx)
	if err != nil {
		return configured{}, err
	}
	defer i.release(r, false) // that it answered is noted where it is configured
	return i.configure(ctx, r)
}

// findings returns what Configure says of the settings, faults included.
func findings(ctx context.Context, i *instance) ([]pluginapi.Finding, error) {
	value, err := i.ready(ctx)
	if err != nil && !errors.Is(err, ErrFaults) {
		return nil, i.wrap(i.clean(err))
	}
	return i.masked(value.findings), nil
}
