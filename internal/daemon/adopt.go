package daemon

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"time"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// FoundOrder is what a CA account tells of the order that a certificate belongs to, and of how to order the next.
type FoundOrder struct {
	// Reference is empty where the CA knows none, or is not one that sells plans.
	Reference string
	// Status is where it stands; one that is canceled or has expired leaves nothing to take over.
	Status pluginapi.OrderStatus
	// CoverageEnd is until when the plan is paid; zero where that is not known.
	CoverageEnd time.Time
	// RenewedBy is the order that renewed it; empty when none did.
	RenewedBy string
	// Settings are those the order was made with, as far as the CA tells, and the account's defaults say otherwise.
	Settings map[string]any
	// Missing says what still keeps the account from being ordered with, by these settings and the account's defaults.
	Missing []pluginapi.Finding
	// Err is why it could not be found out.
	Err error
}

// Over reports that nothing is left of the order.
func (f FoundOrder) Over() bool {
	return f.Status == pluginapi.OrderRejected || f.Status == pluginapi.Canceled || f.Status == pluginapi.Expired
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
		one := findOrder(ctx, plugin, d, leaf)
		one.Settings, one.Missing = orderable(ctx, plugin, d, ca.OrderDefaults, one.Settings)
		found = append(found, one)
	}
	return found, nil
}

func findOrder(ctx context.Context, ca pluginapi.CertificateFinder, d pluginapi.Description, leaf *x509.Certificate) FoundOrder {
	if !d.OrdersCostMoney || !d.Has(pluginapi.AbilityFindByCertificate) {
		return FoundOrder{}
	}
	reply, err := ca.FindOrderByCertificate(ctx, leaf.Raw)
	switch {
	case pluginapi.KindOf(err) == pluginapi.NotFound:
		return FoundOrder{}
	case err != nil:
		return FoundOrder{Err: err}
	}
	o := reply.Order
	return FoundOrder{Reference: o.Reference, Status: o.Status, CoverageEnd: o.CoverageEnd, RenewedBy: o.RenewedBy, Settings: o.Settings}
}

// orderable leaves out the settings that the account's defaults say already, and says what is still at fault with them. A
// plugin that cannot tell is no fault: certbridged check asks it again.
func orderable(
	ctx context.Context, ca pluginapi.OrderChecker, d pluginapi.Description, defaults pluginapi.Settings, told map[string]any,
) (own map[string]any, missing []pluginapi.Finding) {
	whole := pluginapi.Settings{Values: map[string]any{}, Secrets: defaults.Secrets}
	maps.Copy(whole.Values, defaults.Values)
	maps.Copy(whole.Values, told)
	own = maps.Clone(told)
	maps.DeleteFunc(own, func(name string, value any) bool { return reflect.DeepEqual(defaults.Values[name], value) })
	findings := pluginapi.CheckSettings(d.OrderSettings, whole)
	if !pluginapi.HasFault(findings) && d.Has(pluginapi.AbilityCheckOrders) {
		findings, _ = ca.CheckOrders(ctx, []pluginapi.Settings{whole}) // check asks again
	}
	for _, f := range findings {
		if f.Severity == pluginapi.Fault {
			missing = append(missing, f)
		}
	}
	return own, missing
}
