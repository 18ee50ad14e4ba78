package e2e

import (
	"net/http"
	"slices"
	"testing"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/digicert"
	"github.com/certbridge/certbridged/test/peer"
)

// settle implements buyer.
func (d *digicert) settle(reissues int) {
	d.t.Helper()
	d.issuedAndInstalled(d.old, names...)
	d.settled(reissues)
	if l := d.ca.Ledger(); l.Count(sandbox.Issue) != 1+reissues || l.Count(sandbox.Duplicate) > 0 {
		d.t.Errorf("the ledger says %v", l.Counts())
	}
	if o, _ := d.current(); o.AlternativeID == "" || len(o.Certificates) != 1+reissues {
		d.t.Errorf("the order has the mark %q and the certificates %+v", o.AlternativeID, o.Certificates)
	}
	d.tidy()
}

// TestDigiCertIsBoughtFromOnceWhateverHappens is invariant 1 with the real plugin.
func TestDigiCertIsBoughtFromOnceWhateverHappens(t *testing.T) {
	bind := peer.BIND(t, peer.BINDOptions{Zones: []peer.Zone{sellerZone()}})
	sellerTrials{
		account: "digicert.json",
		open: func(t testing.TB, dir string) buyer {
			return newDigiCert(t, bind, func(o *standin.Options) { o.Dir = dir })
		},
		config: func(b buyer) string {
			return b.(*digicert).base("") + ordered("digicert", `"http"`, dvOrder, `renew_before = "30d"`, names...)
		},
		times: 1000,
		spoilt: func(x exchange, how string) bool {
			return x.method == http.MethodPost || slices.Contains([]string{"answer lost", "internal error instead", "a gateway's page afterwards", "types flipped"}, how)
		},
	}.run(t)
}
