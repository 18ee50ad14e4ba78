package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/certbridge/certbridged/test/peer"
)

// TestFiftyNamesTakeLittleLongerThanOne: all names of an order are published and looked at side by side, at two name
// servers, of which one follows the other.
func TestFiftyNamesTakeLittleLongerThanOne(t *testing.T) {
	t.Parallel()
	own := grant{"own", "rfc2136", peer.NewTSIGKey("k", "hmac-sha256")}
	e := newEstate(t, peer.BIND(t, peer.BINDOptions{
		Keys: []peer.TSIGKey{own.key}, Zones: []peer.Zone{{Name: "shop.test", Keys: []string{"k"}}}, Secondaries: 1,
	}), own)
	// took is the time between the answer to the order and the word that everything can be seen.
	took := func(name string, domains []string) time.Duration {
		e.shop.set(func(s *shop) { clear(s.first) })
		e.put(name, e.shop.ca, endsIn, domains...)
		e.write("conf.d/"+name+".toml", e.shopped(name, `"own"`, domains...), 0o600)
		if _, err := e.client.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		e.untilDone(name)
		var from, to time.Time
		e.shop.set(func(s *shop) {
			from, to = s.first["POST /orders went"], s.first["POST /orders/{id}/validate came"]
		})
		if from.IsZero() || to.IsZero() {
			t.Fatalf("the shop was not asked: %v, %v", from, to)
		}
		return to.Sub(from)
	}
	e.write("config.toml", e.base("", own), 0o600)
	e.start()
	one := took("one", []string{"one.shop.test"})
	fifty := make([]string, 50)
	for i := range fifty {
		fifty[i] = fmt.Sprintf("n%02d.shop.test", i)
	}
	all := took("fifty", fifty)
	t.Logf("published and seen at two name servers: one name in %s, fifty in %s", one.Round(time.Millisecond), all.Round(time.Millisecond))
	if limit := 4*one + 2*time.Second; all > limit {
		t.Errorf("fifty names took %s, more than %s", all, limit)
	}
	if got := len(acts(t, e.bind)); got != 2*51 {
		t.Errorf("%d records were added and deleted, want %d", got, 2*51)
	}
	for _, name := range fifty {
		bare(t, &e.bind.NameServer, "_dnsauth."+name)
	}
	e.stop()
}
