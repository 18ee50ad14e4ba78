package e2e

import (
	"slices"
	"testing"

	"github.com/certbridge/certbridged/test/peer"
)

// settle implements buyer.
func (d *servertastic) settle(reissues int) {
	d.t.Helper()
	d.issuedAndInstalled(d.old, names...)
	d.settled(reissues)
	if n := len(d.ca.Orders()); n != 1 {
		d.t.Errorf("%d orders: %+v", n, d.ca.Orders())
	}
	d.clean()
}

// TestServerTasticIsBoughtFromOnceWhateverHappens is invariant 1 with the real plugin.
func TestServerTasticIsBoughtFromOnceWhateverHappens(t *testing.T) {
	bind := peer.BIND(t, peer.BINDOptions{Zones: []peer.Zone{sellerZone()}})
	sellerTrials{
		account: "servertastic.json",
		open: func(t testing.TB, dir string) buyer {
			return newServerTastic(t, bind, servertasticOptions{dir: dir})
		},
		config: func(b buyer) string {
			return b.(*servertastic).base("") + ordered("servertastic", `"http"`, rapidOrder, `renew_before = "30d"`, names...)
		},
		times: 2,
		spoilt: func(x exchange, how string) bool {
			return slices.Contains([]string{"/order/generatetoken.json", "/order/place.json", "/order/reissue.json"}, x.path) &&
				!slices.Contains([]string{"answer reset", "answer cut", "internal error instead", "types flipped"}, how)
		},
	}.run(t)
}
