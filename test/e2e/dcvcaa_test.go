package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/test/peer"
)

// TestCAARecordsKeepMoneyFromBeingSpent: nothing is ordered that the CA would have to refuse. The record that the
// explanation says to add is enough, and nobody has to say so.
func TestCAARecordsKeepMoneyFromBeingSpent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		forbid []string
		// domains is what is ordered; the record stands at shop.test.
		domains []string
		tag     string
	}{
		"another CA":           {[]string{`shop.test. 60 CAA 0 issue "other-ca.example"`}, []string{"www.shop.test"}, "issue"},
		"nobody":               {[]string{`shop.test. 60 CAA 0 issue ";"`}, []string{"shop.test"}, "issue"},
		"another CA, wildcard": {[]string{`shop.test. 60 CAA 0 issue "shop-ca.example"`, `shop.test. 60 CAA 0 issuewild ";"`}, []string{"shop.test", "*.shop.test"}, "issuewild"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := grant{"own", "rfc2136", peer.NewTSIGKey("k", "hmac-sha256")}
			e := newEstate(t, peer.BIND(t, peer.BINDOptions{Keys: []peer.TSIGKey{own.key}, Zones: []peer.Zone{shopZone("k")}}), own)
			update(t, e.bind, "shop.test", own.key, c.forbid...)
			before := len(acts(t, e.bind))
			config := e.base("caa_identity = \"shop-ca.example\"", own) + e.shopped("web", `"own"`, c.domains...)
			e.due(config, map[string][]string{"web": c.domains})
			told := e.untilTrouble("web", "caa")
			right := regexp.MustCompile(`shop\.test\.? CAA 0 ` + c.tag + ` "shop-ca\.example"`).FindString(told)
			if right == "" {
				t.Fatalf("explain names no record to add:\n%s", told)
			}
			// It is looked at again, and still nothing is ordered.
			e.until("web", "a second look", func(c control.Certificate) bool { return c.Order != nil && c.Order.Attempts > 1 })
			if sales := e.shop.sales(); len(sales) > 0 {
				t.Errorf("bought in spite of it: %+v", sales)
			}
			if got := acts(t, e.bind); len(got) != before {
				t.Errorf("published in spite of it: %q", got)
			}
			update(t, e.bind, "shop.test", own.key, append(c.forbid[:len(c.forbid)-1:len(c.forbid)-1], "shop.test. 60 CAA "+right[strings.Index(right, "0 issue"):])...)
			e.untilDone("web")
			if sales := e.shop.sales(); len(sales) != 1 {
				t.Errorf("bought %d times", len(sales))
			}
			e.stop()
		})
	}
}

// TestCAACheckCanBeSwitchedOff: where the inside sees another DNS than the CA.
func TestCAACheckCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	own := grant{"own", "rfc2136", peer.NewTSIGKey("k", "hmac-sha256")}
	zone := shopZone("k")
	zone.Records = append(zone.Records, `@ CAA 0 issue "other-ca.example"`)
	e := newEstate(t, peer.BIND(t, peer.BINDOptions{Keys: []peer.TSIGKey{own.key}, Zones: []peer.Zone{zone}}), own)
	config := strings.Replace(e.base("caa_identity = \"shop-ca.example\"", own), "plugin = \"fake\"\n", "plugin = \"fake\"\ncheck_caa = false\n", 1)
	e.due(config+e.shopped("web", `"own"`, "shop.test"), map[string][]string{"web": {"shop.test"}})
	e.untilDone("web")
	e.stop()
}
