package daemon

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/order"
)

// FoundOrder is the order at a CA that a certificate belongs to.
type FoundOrder struct {
	// Reference is empty where the CA knows none, or is not one that sells plans.
	Reference string
	// CoverageEnd is until when the plan is paid; zero where that is not known.
	CoverageEnd time.Time
	// Err is why it could not be found out.
	Err error
}

// FindOrders asks a CA account which orders certificates belong to, in the order of these. It starts a plugin of its own,
// beside a daemon that may be running, and changes nothing.
func FindOrders(ctx context.Context, c *config.Config, account string, leaves []*x509.Certificate, log *slog.Logger) (found []FoundOrder, err error) {
	ca, ok := c.CA[account]
	if !ok {
		return nil, fmt.Errorf("there is no CA account %q", account)
	}
	host, closeHost, err := ownHost(c, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeHost()) }()
	plugin := host.CA(caInstance(ca, accountMemory{}))
	defer plugin.Close()
	d, err := plugin.Describe(ctx)
	if err != nil {
		return nil, err
	}
	for _, leaf := range leaves {
		h, err := order.Survey(ctx, plugin, d, account, order.History{}, order.Current{Leaf: leaf}, time.Now())
		one := FoundOrder{Err: err}
		if h.Last != nil {
			one.Reference, one.CoverageEnd = h.Last.Reference, h.Last.CoverageEnd
		}
		found = append(found, one)
	}
	return found, nil
}
