package e2e

import (
	"slices"
	"testing"

	"github.com/certbridge/certbridged/internal/sandbox"
	"github.com/certbridge/certbridged/test/peer"
)

// settle implements buyer.
func (d *tencent) settle(reissues int) {
	d.t.Helper()
	leaf := d.issuedAndInstalled(d.old, names...)
	d.settled(reissues)
	if l := d.ca.Ledger(); l.Count(sandbox.Issue) != 1+reissues {
		d.t.Errorf("the ledger says %v", l.Counts())
	}
	if got := d.ca.Certificates(); len(got) != 1+reissues || !got[reissues].NotAfter.Equal(leaf.NotAfter) || len(got[0].Tags) != 1 {
		d.t.Errorf("at the CA: %v", got)
	}
	d.tidy(tencentKey().SecretKey)
}

// TestTencentIsBoughtFromOnceWhateverHappens is invariant 1 with the real plugin.
func TestTencentIsBoughtFromOnceWhateverHappens(t *testing.T) {
	bind := peer.BIND(t, peer.BINDOptions{Zones: []peer.Zone{sellerZone()}})
	sellerTrials{
		account: "tencent.json",
		open: func(t testing.TB, dir string) buyer {
			return newTencent(t, bind, tencentOptions{dir: dir})
		},
		config: func(b buyer) string {
			return b.(*tencent).base("") + ordered("tencent", `"http"`, tencentOrder(tencentMany), `renew_before = "30d"`, names...)
		},
		times: 2,
		spoilt: func(x exchange, how string) bool {
			buys := slices.Contains([]string{"/CreateCertificate", "/ReplaceCertificate"}, x.path)
			return buys || slices.Contains([]string{"answer lost", "a gateway's page afterwards"}, how)
		},
	}.run(t)
}
