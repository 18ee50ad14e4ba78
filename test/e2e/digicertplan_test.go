package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/digicert"
)

// planDay is how long a day of the plan's test is: a certificate of 199 days lasts a minute, and a year under two.
const planDay = 300 * time.Millisecond

// TestDigiCertUsesUpAPlanBeforeItBuysTheNext: the generations of a plan of one year are a purchase and reissues up to its
// end, then one renewal that is linked to it, then the renewal's own reissues.
func TestDigiCertUsesUpAPlanBeforeItBuysTheNext(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("SKIP: takes two minutes")
	}
	d, own := digicertEstate(t)
	d.open(func(o *standin.Options) { o.Day = planDay })
	_, deploy := d.serveFirst()
	d.write("config.toml", d.base("", own)+ordered("digicert", `"own"`, dvOrder, `renew_before = "48%"`, names...)+deploy, 0o600)
	d.start()
	var first standin.OrderSummary
	renewed := await(t.Context(), patience, func() bool {
		orders := d.ca.Orders()
		if len(orders) > 0 {
			first = orders[0]
		}
		return len(orders) > 1 && len(orders[1].Certificates) > 0 && orders[1].Certificates[0].Serial != ""
	})
	if !renewed {
		t.Fatalf("the plan was never renewed: %+v", d.ca.Orders())
	}
	l := d.ca.Ledger()
	if p, r := l.Count(sandbox.Purchase), l.Count(sandbox.Reissue); p != 2 || r < 2 {
		t.Errorf("%d purchases and %d reissues when the plan was renewed: %+v", p, r, l.Entries)
	}
	last := first.Certificates[len(first.Certificates)-1]
	if !last.NotAfter.Equal(first.ValidTill) {
		t.Errorf("the last certificate of the plan ends at %s, and the plan at %s", last.NotAfter, first.ValidTill)
	}
	if second := d.ca.Orders()[1]; second.RenewalOf != first.ID {
		t.Errorf("the renewal is of order %d, want %d", second.RenewalOf, first.ID)
	}
	// The next reissue is due after half of a certificate's life, and it is no purchase either.
	reissued := await(t.Context(), patience, func() bool { return len(d.ca.Orders()[1].Certificates) > 1 })
	l = d.ca.Ledger()
	if !reissued || l.Count(sandbox.Purchase) != 2 || len(d.ca.Orders()) != 2 {
		t.Errorf("after the renewal: reissued %v, %+v", reissued, l.Entries)
	}
	t.Logf("%d purchases and %d reissues in %s of plan", l.Count(sandbox.Purchase), l.Count(sandbox.Reissue), first.ValidTill.Sub(l.Entries[0].Time).Round(time.Second))
	d.untilWithdrawn()
	d.stop()
	d.noPlugins("after the daemon has ended")
}

// serveFirst serves a certificate of another CA that ends soon.
func (d *digicert) serveFirst() (*site, string) {
	d.t.Helper()
	d.due(names...)
	return d.serveBy(fmt.Sprintf("# %s\n", d.dir))
}
