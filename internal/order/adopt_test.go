package order_test

import (
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Taking over a certificate that was bought before costs nothing while its plan lasts: the CA knows which order it is of.
func TestACertificateOnDiskBringsItsOrderAlong(t *testing.T) { // invariant 1
	no := func(kind pluginapi.ErrorKind) func(pluginapi.Order) (pluginapi.Order, error) {
		return func(pluginapi.Order) (pluginapi.Order, error) {
			return pluginapi.Order{}, pluginapi.Errorf(kind, "planted")
		}
	}
	cases := map[string]struct {
		answer   func(found pluginapi.Order) (pluginapi.Order, error)
		unable   bool // the plugin does not offer to look
		free     bool
		coverage time.Duration
		phase    order.Phase
		kind     string
	}{
		"its plan lasts":    {coverage: 365 * day, phase: order.Deployed, kind: "reissue"},
		"its plan has gone": {coverage: time.Hour, phase: order.Deployed, kind: "renew"},
		"without its chain": {coverage: 365 * day, phase: order.Deployed, kind: "reissue",
			answer: func(o pluginapi.Order) (pluginapi.Order, error) { o.Chain = nil; return o, nil }},
		"not known to the CA":      {answer: no(pluginapi.NotFound), coverage: 365 * day, phase: order.Deployed, kind: "new"},
		"revoked":                  {coverage: 365 * day, phase: order.Deployed, kind: "new", answer: func(o pluginapi.Order) (pluginapi.Order, error) { o.Status = pluginapi.Canceled; return o, nil }},
		"the CA cannot tell which": {answer: no(pluginapi.NeedsPerson), coverage: 365 * day, phase: order.Held, kind: "new"},
		"the CA does not answer":   {answer: no(pluginapi.Unavailable), coverage: 365 * day, phase: order.Intended},
		"the key may not look":     {answer: no(pluginapi.Unauthorized), coverage: 365 * day, phase: order.Intended},
		"the plugin cannot look":   {unable: true, coverage: 365 * day, phase: order.Deployed, kind: "new"},
		"orders that cost nothing": {free: true, coverage: 365 * day, phase: order.Deployed, kind: "new"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.shop.coverage = c.coverage
				w.shop.description.OrdersCostMoney = !c.free
				bought := w.run(w.begin("web").ID, time.Hour)
				want(t, bought, order.Deployed)
				time.Sleep(2 * time.Hour)
				w.journal.buckets = map[string]map[string][]byte{} // another machine, or a state that was lost
				w.restart()
				if !c.unable {
					w.shop.description.Abilities = append(w.shop.description.Abilities, pluginapi.AbilityFindByCertificate)
				}
				asked := 0
				w.shop.byCertificate = func(leaf []byte) (pluginapi.Order, error) {
					if asked++; string(leaf) != string(w.disk.sets["web"].leaf.Raw) {
						t.Error("asked for another certificate than that on disk")
					}
					found := pluginapi.Order{Reference: bought.Reference, Status: pluginapi.Issued, Chain: bought.Chain, CoverageEnd: bought.CoverageEnd}
					if c.answer != nil {
						return c.answer(found)
					}
					return found, nil
				}
				spent := w.shop.purchases
				r := w.run(w.begin("web").ID, day)
				want(t, r, c.phase)
				if c.phase == order.Intended {
					if w.shop.purchases != spent || r.Attempts == 0 {
						t.Errorf("%d purchases, %d attempts", w.shop.purchases-spent, r.Attempts)
					}
					return
				}
				if c.phase == order.Held {
					if r.Hold.Kind != order.HoldUnclearOrder || w.shop.purchases != spent {
						t.Fatalf("%+v, %d purchases", r.Hold, w.shop.purchases-spent)
					}
					if _, err := w.engine.Approve(r.ID); err != nil {
						t.Fatal(err)
					}
					r = w.run(r.ID, day)
					want(t, r, order.Deployed)
				}
				if r.Kind.String() != c.kind {
					t.Errorf("kind %s, want %s", r.Kind, c.kind)
				}
				if free := c.kind == "reissue"; free != (w.shop.purchases == spent) {
					t.Errorf("%d purchases", w.shop.purchases-spent)
				}
				if (c.free || c.unable) && asked > 0 {
					t.Error("asked for nothing")
				}
				if h := w.engine.History("web"); h.Last == nil || h.Account == "" {
					t.Errorf("history %+v", h)
				}
			})
		})
	}
}
