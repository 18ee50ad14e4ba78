package order

import (
	"context"
	"fmt"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// maxFaults is how many faults of order settings the reason of a hold names.
const maxFaults = 5

// settingsAtFault asks the plugin, where it can tell without the CA, what keeps the order's settings from being ordered
// with; empty: nothing. A reissue is not asked about: what counts there is the plan that was bought.
func (w *work) settingsAtFault(ctx context.Context, d pluginapi.Description, kind pluginapi.OrderKind) (string, error) {
	if kind == pluginapi.Reissue || !d.Has(pluginapi.AbilityCheckOrders) {
		return "", nil
	}
	findings, err := w.ca.CheckOrders(ctx, []pluginapi.Settings{w.settings()})
	if err != nil {
		return "", fmt.Errorf("check the order settings: %w", err)
	}
	var faults []string
	for _, f := range findings {
		if f.Severity == pluginapi.Fault {
			faults = append(faults, w.spec.placed(f))
		}
	}
	if len(faults) == 0 {
		return "", nil
	}
	if more := len(faults) - maxFaults; more > 0 {
		faults = append(faults[:maxFaults], fmt.Sprintf("and %d more", more))
	}
	return "the order settings cannot be ordered with: " + strings.Join(faults, "; ") + "; mend them and reload", nil
}

// settings are the order's. Secrets come from the configuration of the day: the journal has none.
func (w *work) settings() pluginapi.Settings {
	return pluginapi.Settings{Values: w.record.Settings, Secrets: w.spec.Settings.Secrets}
}

func (s Spec) placed(f pluginapi.Finding) string {
	switch {
	case s.Place != nil:
		return s.Place(f)
	case f.Field != "":
		return f.Field + ": " + f.Message
	default:
		return f.Message
	}
}

// RecheckSettings lets an order that its settings hold be looked at again, with the settings of the day: nothing of it was
// sent yet. It fails with ErrWrongPhase where the order is held for something else.
func (e *Engine) RecheckSettings(id string) (Record, error) {
	var spec Spec
	return e.decide(id, "recheck", func(r Record) error {
		if r.Phase != Held || r.Hold.Kind != HoldSettings {
			return fmt.Errorf("order %s is not held by its settings: %w", id, ErrWrongPhase)
		}
		var ok bool
		if spec, ok = e.Catalog.Spec(r.Certificate); !ok || spec.Account != r.Account {
			return fmt.Errorf("order %s: certificate %s: %w", id, r.Certificate, ErrNotConfigured)
		}
		return nil
	}, func(r *Record) {
		r.Settings = spec.Settings.Values
		r.goOn(e.Now())
	})
}
