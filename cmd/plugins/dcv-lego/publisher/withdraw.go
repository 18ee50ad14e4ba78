package publisher

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-acme/lego/v4/challenge"

	"github.com/certbridge/certbridged/cmd/plugins/dcv-lego/publisher/memory"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Withdraw implements pluginapi.DCV. docs/adr/0007 says what can be done without a receipt.
func (p *Publisher) Withdraw(ctx context.Context, ch pluginapi.Challenge, blob []byte) error {
	c, err := p.current()
	if err != nil {
		return err
	}
	t, err := c.plan(ch)
	if err != nil {
		return err
	}
	_, err = c.run(ctx, t, "withdraw "+t.what(), func() ([]byte, error) {
		if c.seen.withdrawn(t.key) {
			return nil, nil
		}
		if err := c.withdraw(ctx, t, c.receiptOf(t, blob)); err != nil {
			return nil, err
		}
		c.seen.note(t.key, deed{name: t.name, value: t.value})
		return nil, nil
	})
	return err
}

// receiptOf reads the receipt given, or else takes the one that this process remembers; nil when there is none that fits.
func (c *profile) receiptOf(t task, blob []byte) *receipt {
	for _, b := range [][]byte{blob, c.remembered(t)} {
		if len(b) == 0 {
			continue
		}
		r, err := parseReceipt(b, c.name, t.key)
		if err == nil {
			return r
		}
		slog.Warn("the receipt cannot be used; going on without one", "record", t.name, "file", t.path, "error", err)
	}
	return nil
}

func (c *profile) remembered(t task) []byte {
	blob, _ := c.seen.published(t.key)
	return blob
}

func (c *profile) withdraw(ctx context.Context, t task, r *receipt) error {
	provider, reminded, err := c.reminded(t, r)
	if err != nil {
		return err
	}
	if t.path != "" {
		return provider.CleanUp(t.domain, t.token, t.keyAuth) // each of the HTTP providers succeeds when the file is gone
	}
	if t.literal || t.delegated {
		if err := c.findZone(ctx, &t); err != nil {
			return err
		}
	}
	if gone, err := c.mayWithdraw(ctx, t); gone || err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.traits.needsReceipt && !reminded {
		return c.presentAndCleanUp(ctx, t)
	}
	err = provider.CleanUp(t.domain, t.token, t.keyAuth)
	if err == nil {
		return nil
	}
	// It failed, or there is nothing to remove: the providers do not tell these apart, but the name servers do.
	answer, lookup := c.dns.txt(ctx, t.name)
	if lookup != nil || answer.anywhere(t.value) {
		return err
	}
	if c.traits.needsReceipt {
		if age := time.Since(r.At); age < c.settle {
			return fmt.Errorf("%w (no name server has the record, but it is only %s old)", err, age.Round(time.Second))
		}
		slog.Info("the record is gone already", "record", t.name, "error", c.words(err))
		return nil
	}
	return c.presentAndCleanUp(ctx, t)
}

// reminded makes a provider, and reminds it of what the one knew that published. It reports false when there is nothing
// to remind it of, or when it has no place for that: lego's next version may remember in another way.
func (c *profile) reminded(t task, r *receipt) (challenge.Provider, bool, error) {
	provider, err := c.make()
	if err != nil {
		return nil, false, fmt.Errorf("make the provider: %w", err)
	}
	if r == nil || len(r.State) == 0 {
		return provider, false, nil
	}
	if err := memory.Restore(provider, r.State); err != nil {
		slog.Warn("the provider cannot be reminded by the receipt; going on without one", "provider", c.name, "record", t.name, "error", err)
		return provider, false, nil
	}
	return provider, true, nil
}

// presentAndCleanUp removes a record whose receipt was lost, with a provider that remembers what it publishes: it
// publishes the record once more, which most providers take as the same one, and removes it. It also shows of a record
// that is not there that it can be removed.
func (c *profile) presentAndCleanUp(ctx context.Context, t task) error {
	stood := c.stands(ctx, t)
	provider, err := c.make()
	if err != nil {
		return fmt.Errorf("make the provider: %w", err)
	}
	if err := c.again(provider, t); err != nil {
		if stood {
			return pluginapi.Errorf(pluginapi.NeedsPerson, "%s with the value %q must be removed by hand: its receipt was lost, and the provider %s cannot find it: %s",
				t.what(), t.value, c.name, c.words(err))
		}
		return err
	}
	if stood {
		slog.Warn("a record was removed without its receipt; if the provider keeps equal records apart, one may be left", "record", t.name, "value", t.value)
	}
	return nil
}

func (c *profile) again(provider challenge.Provider, t task) error {
	if err := provider.Present(t.domain, t.token, t.keyAuth); err != nil {
		return fmt.Errorf("publish once more what shall be removed: %w", err)
	}
	return provider.CleanUp(t.domain, t.token, t.keyAuth)
}

// mayWithdraw looks what else stands at the name of a literal record, where the provider would remove that too.
func (c *profile) mayWithdraw(ctx context.Context, t task) (gone bool, err error) {
	if !t.literal || c.traits.overwrites == "" {
		return false, nil
	}
	answer, err := c.dns.txt(ctx, t.name)
	if err != nil {
		return false, pluginapi.Errorf(pluginapi.Unavailable, "the provider %s endangers other TXT records of the name (%s), and which there are at %s cannot be found out: %w",
			c.name, c.traits.overwrites, t.name, err)
	}
	others := answer.others(append(c.seen.withdrawnValues(t.name), t.value))
	switch {
	case len(others) == 0:
		return false, nil
	case !answer.anywhere(t.value):
		return true, nil
	default:
		return false, pluginapi.Errorf(pluginapi.NeedsPerson, "%s with the value %q must be removed by hand: the provider %s endangers other TXT records of the name (%s), and meanwhile there is %s",
			t.what(), t.value, c.name, c.traits.overwrites, quoteAll(others))
	}
}
