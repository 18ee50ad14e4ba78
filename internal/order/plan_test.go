package order_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/internal/schedule"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// TestPlanIsUsedUpHoweverShortItsCertificatesLive: a plan that outlasts the certificate by more than the margin is reissued,
// and the margin is never more than a part of what the certificate lives.
func TestPlanIsUsedUpHoweverShortItsCertificatesLive(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		reason   schedule.Reason
		lifetime time.Duration // of the certificate on disk, which began at now; zero: there is none
		left     time.Duration // of the plan, from now
		want     pluginapi.OrderKind
	}{
		"two days beyond a long certificate":         {schedule.NearExpiry, 199 * day, 201 * day, pluginapi.Reissue},
		"some hours beyond a long certificate":       {schedule.NearExpiry, 199 * day, 199*day + 20*time.Hour, pluginapi.Renew},
		"a minute beyond one of three minutes":       {schedule.NearExpiry, 3 * time.Minute, 4 * time.Minute, pluginapi.Reissue},
		"some seconds beyond one of three minutes":   {schedule.NearExpiry, 3 * time.Minute, 3*time.Minute + 10*time.Second, pluginapi.Renew},
		"other names, a minute left of the plan":     {schedule.NamesChanged, 3 * time.Minute, time.Minute, pluginapi.Reissue},
		"other names, some hours left of the plan":   {schedule.NamesChanged, 199 * day, 20 * time.Hour, pluginapi.Renew},
		"nothing on disk, some time left":            {schedule.Missing, 0, time.Hour, pluginapi.Reissue},
		"nothing on disk, the plan has ended by now": {schedule.Missing, 0, -time.Hour, pluginapi.Renew},
	} {
		t.Run(name, func(t *testing.T) {
			in := order.PlanInput{
				Description: pluginapi.Description{Abilities: []pluginapi.Ability{pluginapi.AbilityReissue, pluginapi.AbilityRenew}, OrdersCostMoney: true},
				Account:     "a", Reason: string(c.reason), Now: now,
				History: order.History{Account: "a", Last: &order.Previous{Reference: "1", CoverageEnd: now.Add(c.left)}},
			}
			if c.lifetime > 0 {
				in.Current.Leaf = &x509.Certificate{NotBefore: now, NotAfter: now.Add(c.lifetime)}
			}
			if got := order.PlanOrder(in).Kind; got != c.want {
				t.Errorf("planned %v, want %v", got, c.want)
			}
		})
	}
}
