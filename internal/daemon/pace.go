package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/certbridge/certbridged/internal/pluginhost"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// longestPause is how long a CA account may be let alone as a whole. A CA that wants a longer pause mostly means what was
// asked for, such as one more certificate for the same names, and that must not keep others from being renewed: then only
// the order that was refused waits.
const longestPause = time.Minute

// heed lets a CA account alone that takes no more calls for a moment.
func (d *Daemon) heed(account string, err error) {
	var e *pluginapi.Error
	if errors.As(err, &e) && e.Kind == pluginapi.RateLimited && e.RetryAfter > 0 && e.RetryAfter <= longestPause {
		d.lanes.shut(accountGate(account), e.RetryAfter)
	}
}

// pacedCA is a CA account whose refusals of too many calls are heeded, before the order that was refused goes on.
type pacedCA struct {
	*pluginhost.CA
	heed func(error)
}

// PlaceOrder implements order.Orderer.
func (c pacedCA) PlaceOrder(ctx context.Context, o pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	return heeded(c, func() (pluginapi.OrderReply, error) { return c.CA.PlaceOrder(ctx, o) })
}

// GetOrder implements order.Orderer.
func (c pacedCA) GetOrder(ctx context.Context, o pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	return heeded(c, func() (pluginapi.OrderReply, error) { return c.CA.GetOrder(ctx, o) })
}

// RespondToChallenges implements order.Orderer.
func (c pacedCA) RespondToChallenges(ctx context.Context, o pluginapi.PlacedOrder, ids []string) (pluginapi.OrderReply, error) {
	return heeded(c, func() (pluginapi.OrderReply, error) { return c.CA.RespondToChallenges(ctx, o, ids) })
}

// FindOrder implements pluginapi.OrderFinder.
func (c pacedCA) FindOrder(ctx context.Context, o pluginapi.OrderRequest, sentAt time.Time) (pluginapi.OrderReply, error) {
	return heeded(c, func() (pluginapi.OrderReply, error) { return c.CA.FindOrder(ctx, o, sentAt) })
}

// InspectOrder implements pluginapi.OrderInspector.
func (c pacedCA) InspectOrder(ctx context.Context, reference string, state []byte) (pluginapi.OrderReply, error) {
	return heeded(c, func() (pluginapi.OrderReply, error) { return c.CA.InspectOrder(ctx, reference, state) })
}

func heeded[T any](c pacedCA, call func() (T, error)) (T, error) {
	value, err := call()
	c.heed(err)
	return value, err
}
