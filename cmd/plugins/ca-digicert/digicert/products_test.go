package digicert

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	standin "github.com/certbridge/certbridged/internal/sandbox/digicert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// What the account has agreed upon with DigiCert is known before money is spent: which plans it buys, and from which
// intermediates and in which containers.
func TestPreflightKnowsTheProduct(t *testing.T) {
	order := func(product string, more map[string]any) pluginapi.Settings {
		all := map[string]any{"product": product, "order_validity": map[string]any{"years": int64(1)}}
		for k, v := range more {
			all[k] = v
		}
		return pluginapi.Settings{Values: all}
	}
	lasting := func(product, unit string, n int64) pluginapi.Settings {
		return order(product, map[string]any{"order_validity": map[string]any{unit: n}})
	}
	single := func(s *standin.Settings) { s.MultiYearPlans = false }
	two := func(s *standin.Settings) { s.PlanYears = 2 }
	usual := func(*standin.Settings) {}
	for name, c := range map[string]struct {
		account  func(*standin.Settings)
		order    pluginapi.Settings
		field    string // empty: nothing is said of the order
		severity pluginapi.Severity
		says     string
	}{
		"three years":                          {usual, lasting("ssl_basic", "years", 3), "", 0, ""},
		"three years of at most two":           {two, lasting("ssl_basic", "years", 3), "order_validity.years", pluginapi.Fault, "at most 2 years"},
		"two years of at most two":             {two, lasting("ssl_basic", "years", 2), "", 0, ""},
		"740 days of at most two years":        {two, lasting("ssl_basic", "days", 740), "order_validity.days", pluginapi.Fault, "at most 2 years"},
		"three years without Multi-year Plans": {single, lasting("ssl_basic", "years", 3), "order_validity.years", pluginapi.Fault, "at most a year"},
		"a year without Multi-year Plans":      {single, lasting("ssl_basic", "years", 1), "order_validity.years", pluginapi.Info, "every renewal is a purchase"},
		"100 days without Multi-year Plans":    {single, lasting("ssl_basic", "days", 100), "", 0, ""},
		"picked by DigiCert, three years":      {single, order("ssl", map[string]any{"product_type_hint": "ov", "order_validity": map[string]any{"years": int64(3)}}), "order_validity.years", pluginapi.Fault, "what DigiCert picks"},
		"an intermediate that is not allowed":  {usual, order("ssl_basic", map[string]any{"certificate": map[string]any{"ca_cert_id": "ABC"}}), "certificate.ca_cert_id", pluginapi.Fault, "allowed are"},
		"a hash that is allowed":               {usual, order("ssl_basic", map[string]any{"certificate": map[string]any{"signature_hash": "sha384"}}), "", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.account)
			reply, err := r.Instance().Preflight(t.Context(), []pluginapi.Settings{c.order, c.order})
			if err != nil {
				t.Fatal(err)
			}
			said := 0
			for _, f := range reply.Findings {
				switch {
				case f.Order == 0, c.field == "" && f.Severity == pluginapi.Info:
				case f.Field == c.field && f.Severity == c.severity && strings.Contains(f.Message, c.says):
					said++
				case f.Severity != pluginapi.Info:
					t.Errorf("%s %s: %s", f.Severity, f.Field, f.Message)
				}
			}
			if want := map[pluginapi.Severity]int{0: 0, pluginapi.Info: 1, pluginapi.Fault: 2}[c.severity]; said != want {
				t.Errorf("said %d times, want %d: %+v", said, want, reply.Findings)
			}
		})
	}
}

func product(t *testing.T, text string) (l certcentral.Product) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestPreflightKnowsTheContainer(t *testing.T) {
	t.Parallel()
	c := apiAt(t, nil)
	s, err := c.up.Get()
	if err != nil {
		t.Fatal(err)
	}
	for id, fault := range map[int64]bool{5: false, 6: true} {
		p := &preflight{session: s}
		l := product(t, `{"name_id":"ssl_basic","allowed_container_ids":["5"],"signature_hash_types":{"allowed_hash_types":[{"id":"sha256"}]}}`)
		p.product(0, pluginapi.Settings{Values: map[string]any{
			"container": map[string]any{"id": id}, "certificate": map[string]any{"signature_hash": "sha256"},
		}}, l)
		if pluginapi.HasFault(p.found) != fault {
			t.Errorf("container %d: %v", id, p.found)
		}
	}
}
