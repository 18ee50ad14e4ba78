package pluginhost

import (
	"context"
	"errors"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// CA is a CA account. It has every method of the contract but Configure, which the host calls itself after each launch;
// one that the plugin does not offer fails with wire.ErrUnsupported. Account state that comes with a reply is stored
// before the reply is returned. Every error names the plugin and the account once and holds a *pluginapi.Error.
type CA struct{ inst *instance }

// Name is the account's.
func (c *CA) Name() string { return c.inst.spec.Name }

// Plugin is the file name of its plugin.
func (c *CA) Plugin() string { return c.inst.file }

// Close lets the account's process end; calls under way may end, further ones fail.
func (c *CA) Close() { c.inst.host.drop(c.inst) }

// Wake has the account's process started, where there is none, without waiting for it: an order is about to need it.
func (c *CA) Wake() { c.inst.wake() }

// Describe says what the plugin is and can do; the list of abilities is complete. What is known of the file from an
// earlier start is returned without a start.
func (c *CA) Describe(ctx context.Context) (pluginapi.Description, error) {
	return describe(ctx, c.inst, func(id identity) (pluginapi.Description, bool) {
		d, ok := c.inst.host.cas[id]
		return d, ok
	})
}

// Findings configures the account, when it is not yet, and returns all that the plugin noticed about its settings. With
// a Fault among it the error is nil too: this is what a check of the configuration shows.
func (c *CA) Findings(ctx context.Context) ([]pluginapi.Finding, error) { return findings(ctx, c.inst) }

// Configured is what Configure returned when the account's process was started.
func (c *CA) Configured(ctx context.Context) (pluginapi.Configured, error) {
	return use(ctx, c.inst, func(ctx context.Context, r *running) (pluginapi.Configured, error) {
		value, err := c.inst.configure(ctx, r)
		return value.ca, err
	})
}

// Preflight implements pluginapi.Preflighter.
func (c *CA) Preflight(ctx context.Context, orderSettings []pluginapi.Settings) (pluginapi.PreflightReply, error) {
	for _, s := range orderSettings {
		c.inst.mask.add(s.Secrets)
	}
	return use(ctx, c.inst, func(ctx context.Context, r *running) (pluginapi.PreflightReply, error) {
		reply, err := r.ca.Preflight(ctx, orderSettings)
		if err == nil {
			err = c.store(reply.AccountState, pluginapi.Unavailable)
		}
		reply.Findings = c.inst.masked(reply.Findings)
		return reply, err
	})
}

// CheckOrders implements pluginapi.OrderChecker. A plugin that does not promise to look without the network is not asked:
// it might log in. A process that found nothing to say about some settings is not asked about them again.
func (c *CA) CheckOrders(ctx context.Context, orderSettings []pluginapi.Settings) ([]pluginapi.Finding, error) {
	d, err := c.Describe(ctx)
	if err != nil {
		return nil, err
	}
	if !d.Has(pluginapi.AbilityCheckOrders) {
		return nil, c.inst.wrap(&pluginapi.Error{
			Kind: pluginapi.InvalidRequest, Message: "knows no rules for orders that need no network", Err: wire.ErrUnsupported,
		})
	}
	for _, s := range orderSettings {
		c.inst.mask.add(s.Secrets)
	}
	return use(ctx, c.inst, func(ctx context.Context, r *running) ([]pluginapi.Finding, error) {
		sum, good := r.good.has(orderSettings)
		if good {
			return nil, nil
		}
		findings, err := r.ca.CheckOrders(ctx, orderSettings)
		if err == nil && len(findings) == 0 {
			r.good.add(sum)
		}
		return c.inst.masked(findings), err
	})
}

// PlaceOrder implements pluginapi.CA. It fails with Unavailable when the plugin could not be started, which spends
// nothing, and with UnknownOutcome when the request may have reached it and no answer came, or when the account state
// that came with the answer could not be stored.
func (c *CA) PlaceOrder(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	c.inst.mask.add(order.Settings.Secrets)
	return c.order(ctx, pluginapi.UnknownOutcome, func(ctx context.Context, r *running) (pluginapi.OrderReply, error) {
		return r.ca.PlaceOrder(ctx, order)
	})
}

// FindOrder implements pluginapi.OrderFinder.
func (c *CA) FindOrder(ctx context.Context, order pluginapi.OrderRequest, sentAt time.Time) (pluginapi.OrderReply, error) {
	c.inst.mask.add(order.Settings.Secrets)
	return c.order(ctx, pluginapi.UnknownOutcome, func(ctx context.Context, r *running) (pluginapi.OrderReply, error) {
		return r.ca.FindOrder(ctx, order, sentAt)
	})
}

// FindOrderByCertificate implements pluginapi.CertificateFinder.
func (c *CA) FindOrderByCertificate(ctx context.Context, leaf []byte) (pluginapi.OrderReply, error) {
	return c.order(ctx, pluginapi.Unavailable, func(ctx context.Context, r *running) (pluginapi.OrderReply, error) {
		return r.ca.FindOrderByCertificate(ctx, leaf)
	})
}

// InspectOrder implements pluginapi.OrderInspector.
func (c *CA) InspectOrder(ctx context.Context, reference string, state []byte) (pluginapi.OrderReply, error) {
	return c.order(ctx, pluginapi.Unavailable, func(ctx context.Context, r *running) (pluginapi.OrderReply, error) {
		return r.ca.InspectOrder(ctx, reference, state)
	})
}

// GetOrder implements pluginapi.CA.
func (c *CA) GetOrder(ctx context.Context, order pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	c.inst.mask.add(order.Settings.Secrets)
	return c.order(ctx, pluginapi.Unavailable, func(ctx context.Context, r *running) (pluginapi.OrderReply, error) {
		return r.ca.GetOrder(ctx, order)
	})
}

// RespondToChallenges implements pluginapi.CA.
func (c *CA) RespondToChallenges(ctx context.Context, order pluginapi.PlacedOrder, challengeIDs []string) (pluginapi.OrderReply, error) {
	c.inst.mask.add(order.Settings.Secrets)
	return c.order(ctx, pluginapi.Unavailable, func(ctx context.Context, r *running) (pluginapi.OrderReply, error) {
		return r.ca.RespondToChallenges(ctx, order, challengeIDs)
	})
}

// CancelOrder implements pluginapi.OrderCanceler.
func (c *CA) CancelOrder(ctx context.Context, order pluginapi.PlacedOrder, reason string) (pluginapi.OrderReply, error) {
	c.inst.mask.add(order.Settings.Secrets)
	return c.order(ctx, pluginapi.Unavailable, func(ctx context.Context, r *running) (pluginapi.OrderReply, error) {
		return r.ca.CancelOrder(ctx, order, reason)
	})
}

// RevokeCertificate implements pluginapi.Revoker.
func (c *CA) RevokeCertificate(ctx context.Context, revocation pluginapi.Revocation) (pluginapi.RevocationReply, error) {
	return use(ctx, c.inst, func(ctx context.Context, r *running) (pluginapi.RevocationReply, error) {
		reply, err := r.ca.RevokeCertificate(ctx, revocation)
		if err == nil {
			err = c.store(reply.AccountState, pluginapi.Unavailable)
		}
		reply.Detail = c.inst.mask.text(reply.Detail)
		reply.Action = c.inst.maskedAction(reply.Action)
		return reply, err
	})
}

// RenewalInfo implements pluginapi.RenewalInformer.
func (c *CA) RenewalInfo(ctx context.Context, leaf []byte) (pluginapi.RenewalInfo, error) {
	return use(ctx, c.inst, func(ctx context.Context, r *running) (pluginapi.RenewalInfo, error) {
		return r.ca.RenewalInfo(ctx, leaf)
	})
}

// order makes a call whose reply is an order, and stores the account state. When that fails the reply is returned
// beside the error, so that the reference is not lost with it.
func (c *CA) order(
	ctx context.Context, unstored pluginapi.ErrorKind, call func(context.Context, *running) (pluginapi.OrderReply, error),
) (pluginapi.OrderReply, error) {
	return use(ctx, c.inst, func(ctx context.Context, r *running) (pluginapi.OrderReply, error) {
		reply, err := call(ctx, r)
		if err == nil {
			err = c.store(reply.AccountState, unstored)
		}
		// A CA may quote the key it was asked with, and these words end in the journal, in logs and on screens.
		reply.Order.Detail = c.inst.mask.text(reply.Order.Detail)
		reply.Order.Action = c.inst.maskedAction(reply.Order.Action)
		return reply, err
	})
}

// ErrStateNotStored says that a call was carried out, and that the account state that came with its reply could not be stored.
var ErrStateNotStored = errors.New("account state not stored")

func (c *CA) store(state []byte, kind pluginapi.ErrorKind) error {
	err := c.inst.saveState(state)
	if err == nil {
		return nil
	}
	return &pluginapi.Error{Kind: kind, Message: err.Error(), Err: errors.Join(ErrStateNotStored, err)}
}
