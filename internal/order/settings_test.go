package order_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// needsYears finds a fault in orders that do not say for how many years they are.
func needsYears(orders []pluginapi.Settings) ([]pluginapi.Finding, error) {
	var found []pluginapi.Finding
	for i, o := range orders {
		f := pluginapi.Finding{Severity: pluginapi.Info, Message: "a plan of years", Order: i + 1}
		if o.Values["years"] == nil && o.Secrets["years"].Empty() {
			f = pluginapi.Faultf("years", "is missing: say for how long")
			f.Order = i + 1
		}
		found = append(found, f)
	}
	return found, nil
}

// rule makes the shop look at order settings by a rule.
func (w *world) rule(rules func([]pluginapi.Settings) ([]pluginapi.Finding, error)) {
	w.shop.description.Abilities = append(w.shop.description.Abilities, pluginapi.AbilityCheckOrders)
	w.shop.rules = rules
}

// configure gives a certificate other order settings.
func (w *world) configure(certificate string, settings pluginapi.Settings) {
	spec := w.specs[certificate]
	spec.Settings = settings
	w.specs[certificate] = spec
}

// Settings at fault hold the order before anything is sent. Once they are mended it goes on with the new ones, also after
// a restart; what is looked at again and is at fault still is held again.
func TestSettingsAtFaultHoldTheOrder(t *testing.T) {
	for name, mended := range map[string]pluginapi.Settings{
		"by a value":  {Values: map[string]any{"years": int64(1)}},
		"by a secret": {Secrets: map[string]pluginapi.Secret{"years": pluginapi.NewSecret("1")}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.rule(needsYears)
				spec := w.specs["web"]
				spec.Place = func(f pluginapi.Finding) string { return "shop.toml:7: " + f.Field + ": " + f.Message }
				w.specs["web"] = spec
				r := w.run(w.begin("web").ID, day)
				want(t, r, order.Held)
				if r.Hold.Kind != order.HoldSettings || !strings.Contains(r.Hold.Detail, "shop.toml:7: years: is missing") {
					t.Errorf("held for %+v", r.Hold)
				}
				if w.shop.calls != 0 || len(r.CSR) != 0 {
					t.Errorf("%d orders were sent", w.shop.calls)
				}
				if _, err := w.engine.RecheckSettings(r.ID); err != nil {
					t.Fatal(err)
				}
				want(t, w.run(r.ID, day), order.Held)
				w.restart()
				w.configure("web", mended)
				if _, err := w.engine.RecheckSettings(r.ID); err != nil {
					t.Fatal(err)
				}
				want(t, w.run(r.ID, day), order.Deployed)
				if got := w.shop.requests[0].Settings; got.Values["years"] != mended.Values["years"] || w.shop.purchases != 1 {
					t.Errorf("ordered %d times, with %+v", w.shop.purchases, got.Values)
				}
			})
		})
	}
}

func TestManyFaultsAreNamedBriefly(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.rule(func([]pluginapi.Settings) ([]pluginapi.Finding, error) {
			return slices.Repeat([]pluginapi.Finding{pluginapi.Faultf("", "too bad")}, 9), nil
		})
		r := w.run(w.begin("web").ID, day)
		want(t, r, order.Held)
		if n := strings.Count(r.Hold.Detail, "too bad"); n != 5 || !strings.Contains(r.Hold.Detail, "; and 4 more; mend") {
			t.Errorf("%d of them: %s", n, r.Hold.Detail)
		}
	})
}

// A plugin that does not promise to look offline is not asked: it might log in. Neither is one about a reissue, for which
// the plan counts that was bought.
func TestRulesAreAskedForPurchasesAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.shop.rules = needsYears
		w.shop.coverage = 365 * day
		want(t, w.run(w.begin("web").ID, day), order.Deployed)
		if w.shop.ruled != 0 {
			t.Errorf("asked %d times without the ability", w.shop.ruled)
		}
		w.rule(needsYears)
		time.Sleep(60 * day)
		r := w.run(w.begin("web").ID, day)
		want(t, r, order.Deployed)
		if r.Kind != pluginapi.Reissue || w.shop.ruled != 0 {
			t.Errorf("a %s was asked about %d times", r.Kind, w.shop.ruled)
		}
	})
}

// A plugin that cannot be asked now is asked again.
func TestRulesThatDoNotAnswerAreAskedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.configure("web", pluginapi.Settings{Values: map[string]any{"years": int64(1)}})
		w.rule(func(orders []pluginapi.Settings) ([]pluginapi.Finding, error) {
			if w.shop.ruled < 3 {
				return nil, pluginapi.Errorf(pluginapi.Unavailable, "could not be started")
			}
			return needsYears(orders)
		})
		want(t, w.run(w.begin("web").ID, day), order.Deployed)
		if w.shop.ruled != 3 || !slices.Contains(w.steps, "check-settings-failed") {
			t.Errorf("asked %d times: %q", w.shop.ruled, w.steps)
		}
	})
}

func TestOnlyAHoldOfSettingsIsRechecked(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		r := w.begin("web")
		if _, err := w.engine.RecheckSettings(r.ID); !errors.Is(err, order.ErrWrongPhase) {
			t.Errorf("an order that is not held: %v", err)
		}
		w.rule(needsYears)
		want(t, w.run(r.ID, day), order.Held)
		delete(w.specs, "web")
		if _, err := w.engine.RecheckSettings(r.ID); !errors.Is(err, order.ErrNotConfigured) {
			t.Errorf("a certificate that is gone: %v", err)
		}
	})
}
