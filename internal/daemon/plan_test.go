package daemon

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/internal/schedule"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// The calendar of a certificate: with the lifetimes that the rules of the day allow, and with plans as long as they are.
func TestForesee(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	abilities := []pluginapi.Ability{pluginapi.AbilityReissue, pluginapi.AbilityRenew}
	paid := pluginapi.Description{OrdersCostMoney: true, Abilities: abilities}
	leaf := func(days int, names ...string) *x509.Certificate {
		return &x509.Certificate{NotBefore: now, NotAfter: now.AddDate(0, 0, days), DNSNames: names, Raw: []byte{byte(days)}}
	}
	validity := func(key string, n any) map[string]any {
		return map[string]any{"order_validity": map[string]any{key: n}}
	}
	for name, c := range map[string]struct {
		d        pluginapi.Description
		settings map[string]any
		leaf     *x509.Certificate
		last     *order.Previous
		years    int
		want     []string
	}{
		"nothing yet, a year": {d: paid, settings: validity("years", int64(1)), years: 1, want: []string{
			"2026-11-22 new costs", "2027-04-04 reissue", "2027-06-09 reissue", "2027-08-14 reissue", "2027-10-20 renew costs",
		}},
		"nothing yet, two years": {d: paid, settings: validity("years", 2.0), years: 2, want: []string{
			"2026-11-22 new costs", "2027-04-04 reissue", "2027-06-09 reissue", "2027-08-14 reissue", "2027-10-20 reissue",
			"2027-12-25 reissue", "2028-02-29 reissue", "2028-05-06 reissue", "2028-07-11 reissue", "2028-09-15 reissue", "2028-10-30 renew costs",
		}},
		"a month": {d: paid, settings: map[string]any{"term_months": int64(1)}, years: 0, want: []string{"2026-11-22 new costs", "2026-12-12 renew costs"}},
		"what is not said is as long as it was": {
			d: paid, leaf: leaf(199), years: 3,
			last: &order.Previous{Reference: "1", Chain: [][]byte{leaf(199).Raw}, Bought: now.AddDate(0, 0, -1), CoverageEnd: now.AddDate(0, 0, 729)},
			want: []string{"2027-04-04 reissue", "2027-06-09 reissue", "2027-08-14 reissue", "2027-10-20 reissue", "2027-12-25 reissue",
				"2028-02-29 reissue", "2028-05-06 reissue", "2028-07-11 reissue", "2028-09-15 reissue", "2028-10-29 renew costs",
				"2029-01-03 reissue", "2029-03-11 reissue", "2029-05-16 reissue", "2029-06-16 reissue", "2029-07-17 reissue", "2029-08-16 reissue",
				"2029-09-16 reissue", "2029-10-17 reissue", "2029-11-17 reissue", "2029-12-18 reissue"},
		},
		"a shorter lifetime than the most is wanted": {
			d: paid, leaf: leaf(30), last: &order.Previous{Reference: "1", Chain: [][]byte{leaf(30).Raw}, CoverageEnd: now.AddDate(1, 0, 0)}, years: 0,
			want: []string{"2026-12-12 reissue"},
		},
		"the last certificate of a plan says nothing of the next": {
			d: paid, leaf: leaf(30), last: &order.Previous{Reference: "1", Chain: [][]byte{leaf(30).Raw}, CoverageEnd: now.AddDate(0, 0, 30)}, years: 0,
			want: []string{"2026-12-12 renew costs"},
		},
		"of another CA, which gave 90 days": {d: paid, leaf: leaf(90), years: 0, want: nil},
		"revoked at the CA":                 {d: paid, leaf: leaf(30), last: &order.Previous{Reference: "1", Chain: [][]byte{leaf(30).Raw}, CoverageEnd: now.AddDate(1, 0, 0), Gone: "canceled"}, years: 0, want: []string{"2026-12-12 new costs"}},
		"for free":                          {d: pluginapi.Description{}, leaf: leaf(30), years: 0, want: []string{"2026-12-12 new"}},
		"nothing yet, for free":             {d: pluginapi.Description{}, years: 0, want: []string{"2026-11-22 new"}},
		"held": {
			d: paid, leaf: leaf(30), last: &order.Previous{Reference: "1", Chain: [][]byte{leaf(30).Raw}, CoverageEnd: now.AddDate(1, 0, 0), RenewedBy: "2"}, years: 0,
			want: []string{"2026-12-12 new costs held"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := future{description: c.d, leaf: c.leaf, spec: order.Spec{Settings: pluginapi.Settings{Values: c.settings}}}
			in := schedule.Input{HasNames: true, RenewBefore: schedule.RenewBefore{Fraction: 0.33}}
			if c.last != nil {
				f.history, f.coverage = order.History{Account: "a", Last: c.last}, c.last.CoverageEnd
			}
			if c.leaf != nil {
				in.Certificate = &schedule.Certificate{Serial: "1", NotBefore: c.leaf.NotBefore, NotAfter: c.leaf.NotAfter}
			}
			f.learn("a")
			var got []string
			for _, act := range f.acts(config.Certificate{Name: "web", CA: "a"}, in, now, now.AddDate(c.years, 0, 28)) {
				text := act.At.Format(time.DateOnly) + " " + act.Kind
				if act.CostsMoney {
					text += " costs"
				}
				if strings.Contains(act.Detail, "would be held") {
					text += " held"
				}
				got = append(got, text)
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
				t.Errorf("planned %q\nwant    %q", got, c.want)
			}
		})
	}
}
