package publisher

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-acme/lego/v4/challenge/dns01"

	"github.com/certbridge/certbridged/cmd/plugins/dcv-lego/publisher/memory"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Publish implements pluginapi.DCV.
//
// An empty receipt says that the record stands there already and this process has not made it: an earlier receipt, where
// there is one, is still the right one.
func (p *Publisher) Publish(ctx context.Context, ch pluginapi.Challenge) ([]byte, error) {
	c, err := p.current()
	if err != nil {
		return nil, err
	}
	t, err := c.plan(ch)
	if err != nil {
		return nil, err
	}
	return c.run(ctx, t, "publish "+t.what(), func() ([]byte, error) { return c.publish(ctx, t) })
}

// run makes a call in a goroutine of its own, for lego's providers know no context. When the context ends first, the call
// goes on: the next one for the provider waits for it, and its outcome is kept and logged.
func (c *profile) run(ctx context.Context, t task, doing string, do func() ([]byte, error)) ([]byte, error) {
	leave, err := c.gate.enter(ctx, t.key)
	if err != nil {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "%s: wait for an earlier call of the provider %s: %w", doing, c.name, err)
	}
	type outcome struct {
		receipt []byte
		err     error
	}
	done := make(chan outcome, 1)
	go func() {
		defer leave()
		var o outcome
		if err := guarded(func() (err error) {
			o.receipt, err = do()
			return err
		}); err != nil {
			dns01.ClearFqdnCache() // the zones may have changed, which would explain the failure
			o.err = err
		}
		done <- o
	}()
	select {
	case o := <-done:
		if o.err != nil && pluginapi.KindOf(o.err) == 0 {
			o.err = c.failed(doing, o.err)
		}
		return o.receipt, o.err
	case <-ctx.Done():
		began := time.Now()
		go func() {
			o := <-done
			slog.Warn("a call that nobody waited for any more has ended", "call", doing, "provider", c.name,
				"late", time.Since(began).Round(time.Millisecond), "error", c.words(o.err))
		}()
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "%s: the provider %s is still at it: %w", doing, c.name, ctx.Err())
	}
}

// words are an error's for the log.
func (c *profile) words(err error) string {
	if err == nil {
		return ""
	}
	return c.mask.text(err.Error())
}

func (c *profile) publish(ctx context.Context, t task) ([]byte, error) {
	if t.path == "" {
		// Once more would make a second record, or fail because there is one.
		if receipt, ok := c.seen.published(t.key); ok && !c.vanished(ctx, t) {
			return receipt, nil
		}
		if err := c.mayPublish(ctx, &t); err != nil {
			return nil, err
		}
		if c.traits.needsReceipt && c.stands(ctx, t) {
			slog.Info("the record stands there already, and the receipt that it was published with is still the right one", "record", t.name)
			return nil, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err // nobody waits for it: do not begin
	}
	made, err := c.present(t)
	if err != nil {
		if t.path == "" && c.stands(ctx, t) {
			slog.Info("the provider failed to publish what stands there already", "record", t.name, "error", c.words(err))
			return nil, nil
		}
		return nil, err
	}
	blob := made.encode()
	c.seen.note(t.key, deed{name: t.name, value: t.value, published: true, receipt: blob})
	return blob, nil
}

// present publishes with a new provider and takes along what that remembers.
func (c *profile) present(t task) (receipt, error) {
	r := receipt{Version: receiptVersion, Provider: c.name, Key: t.key, At: time.Now().UTC()}
	provider, err := c.make()
	if err != nil {
		return r, fmt.Errorf("make the provider: %w", err)
	}
	before, err := memory.Take(provider)
	if err != nil {
		slog.Warn("cannot look at what the provider remembers", "provider", c.name, "error", err)
	}
	if err := provider.Present(t.domain, t.token, t.keyAuth); err != nil {
		return r, err
	}
	if r.State, err = before.Changes(); err != nil {
		// The record is up. Without the receipt's help Withdraw does what it does when the receipt was lost.
		slog.Warn("cannot take along what the provider remembers", "provider", c.name, "record", t.name, "error", err)
		r.State = nil
	}
	return r, nil
}

// mayPublish refuses a record that the provider has no place for, and a literal one that would take the place of others.
// ACME's name is nobody else's: there a left-over value may well be replaced.
func (c *profile) mayPublish(ctx context.Context, t *task) error {
	if !t.literal && !t.delegated {
		return nil
	}
	if err := c.findZone(ctx, t); err != nil {
		return err
	}
	if c.traits.noApex != "" && t.domain == t.name {
		return pluginapi.Errorf(pluginapi.InvalidRequest, "the provider %s cannot publish at %s, which is the zone's own name: %s; "+
			"use another dcv profile, or show control in another way", c.name, t.name, c.traits.noApex)
	}
	if !t.literal || c.traits.overwrites == "" {
		return nil
	}
	answer, err := c.dns.txt(ctx, t.name)
	if err != nil {
		return pluginapi.Errorf(pluginapi.Unavailable, "the provider %s endangers other TXT records of the name (%s), and which there are at %s cannot be found out: %w",
			c.name, c.traits.overwrites, t.name, err)
	}
	if others := answer.others(append(c.seen.withdrawnValues(t.name), t.value)); len(others) > 0 {
		return pluginapi.Errorf(pluginapi.Conflict, "%s would lose other TXT records, so it is not published: the provider %s endangers them (%s), and there is %s; "+
			"use another dcv profile, or, unless it is the zone's own name, make it a CNAME record to a name that is for this alone",
			t.what(), c.name, c.traits.overwrites, quoteAll(others))
	}
	return nil
}

// findZone makes the zone of a record that is not at ACME's own name the domain that the provider is told. Most look at the record's name alone,
// but some look for the zone by the domain, or take the domain for the zone, and the certificate's name may be in another
// zone than a record that a CNAME has led to.
func (c *profile) findZone(ctx context.Context, t *task) error {
	zone, err := c.dns.zone(ctx, t.name)
	if err != nil {
		return pluginapi.Errorf(pluginapi.Unavailable, "find the zone in which the provider %s shall change %s: %w", c.name, t.what(), err)
	}
	t.domain = zone
	return nil
}

// stands reports whether every name server has the record. What this process has just withdrawn does not count: name
// servers may lag behind.
func (c *profile) stands(ctx context.Context, t task) bool {
	if c.seen.withdrawn(t.key) {
		return false
	}
	answer, err := c.dns.txt(ctx, t.name)
	return err == nil && answer.everywhere(t.value)
}

// vanished reports that what this process has published is not there any more: somebody has taken it down. Name servers that
// lag behind have had their time.
func (c *profile) vanished(ctx context.Context, t task) bool {
	if c.seen.age(t.key) < c.settle {
		return false
	}
	answer, err := c.dns.txt(ctx, t.name)
	return err == nil && !answer.anywhere(t.value)
}

// quoteAll shows a few records; they are public.
func quoteAll(values []string) string {
	const most, longest = 4, 80
	var words []string
	for _, v := range values[:min(most, len(values))] {
		if len(v) > longest {
			v = strings.ToValidUTF8(v[:longest], "") + "..."
		}
		words = append(words, fmt.Sprintf("%q", v))
	}
	if more := len(values) - most; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}
