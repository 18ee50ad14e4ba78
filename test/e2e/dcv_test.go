package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/test/peer"
)

const (
	spf   = "v=spf1 -all"
	other = "site-verification=4711"
)

// shopZone is a zone whose apex has TXT records that nobody may lose.
func shopZone(keys ...string) peer.Zone {
	return peer.Zone{Name: "shop.test", Keys: keys, Records: []string{
		fmt.Sprintf("@ 3600 TXT %q", spf), fmt.Sprintf("@ 3600 TXT %q", other), "www A 127.0.0.1",
	}}
}

// mustStay checks that what was at the apex is there and nothing else.
func (e *estate) mustStay() {
	e.t.Helper()
	if got := e.bind.TXT(e.t, "shop.test"); !slices.Equal(got, []string{other, spf}) {
		e.t.Errorf("shop.test has %q, want what was there before", got)
	}
}

// TestRecordsOfCommercialCAs: where commercial CAs look, one profile serves them all, and nobody loses a record.
func TestRecordsOfCommercialCAs(t *testing.T) {
	t.Parallel()
	own := grant{"own", "rfc2136", peer.NewTSIGKey("own-key", "hmac-sha512")}
	lego := grant{"lego", "lego", peer.NewTSIGKey("lego-key", "hmac-sha256")}
	for name, c := range map[string]struct {
		dcv    string
		proofs []string
		// acts are what must have been added and deleted, without sign and in any order.
		acts []string
	}{
		"own, _dnsauth": {`"own"`, []string{"dnsauth"}, []string{
			"own-key shop.test _dnsauth.shop.test/TXT", "own-key shop.test _dnsauth.www.shop.test/TXT",
		}},
		"own, apex": {`"own"`, []string{"apex"}, []string{"own-key shop.test shop.test/TXT", "own-key shop.test www.shop.test/TXT"}},
		"own, CNAME": {`"own"`, []string{"cname"}, []string{
			"own-key shop.test _TOKEN.shop.test/CNAME", "own-key shop.test _TOKEN.www.shop.test/CNAME",
		}},
		"lego, _dnsauth": {`"lego"`, []string{"dnsauth"}, []string{
			"lego-key shop.test _dnsauth.shop.test/TXT", "lego-key shop.test _dnsauth.www.shop.test/TXT",
		}},
		"lego chooses the TXT record": {`"lego"`, []string{"cname", "dnsauth"}, []string{
			"lego-key shop.test _dnsauth.shop.test/TXT", "lego-key shop.test _dnsauth.www.shop.test/TXT",
		}},
		"lego passes a CNAME record on": {`["lego", "own"]`, []string{"cname"}, []string{
			"own-key shop.test _TOKEN.shop.test/CNAME", "own-key shop.test _TOKEN.www.shop.test/CNAME",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEstate(t, peer.BIND(t, peer.BINDOptions{
				Keys: []peer.TSIGKey{own.key, lego.key}, Zones: []peer.Zone{shopZone("own-key", "lego-key")},
			}), profilesIn(c.dcv, own, lego)...)
			e.shop.set(func(s *shop) { s.proofs = c.proofs })
			e.due(e.base("", profilesIn(c.dcv, own, lego)...)+e.shopped("web", c.dcv, names...), map[string][]string{"web": names})
			e.untilDone("web")
			e.mustStay()
			sales := e.shop.sales()
			if len(sales) != 1 {
				t.Fatalf("bought %d times", len(sales))
			}
			var want []string
			for _, act := range c.acts {
				act = strings.ReplaceAll(act, "TOKEN", sales[0].Token)
				want = append(want, "+ "+act, "- "+act)
			}
			if got := slices.Sorted(slices.Values(acts(t, e.bind))); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				t.Errorf("the name server has seen\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			bare(t, &e.bind.NameServer, "_dnsauth.shop.test", "_dnsauth.www.shop.test", "www.shop.test", "_"+sales[0].Token+".shop.test")
			e.stop()
			e.noPlugins("after the end")
		})
	}
}

// profilesIn are the profiles that a dcv value names.
func profilesIn(dcv string, all ...grant) []grant {
	return slices.DeleteFunc(slices.Clone(all), func(p grant) bool { return !strings.Contains(dcv, `"`+p.profile+`"`) })
}

// refused is an estate whose order lego's rfc2136 cannot publish for: it writes the whole set of a name.
func refused(t *testing.T) (e *estate, config, explained string) {
	t.Helper()
	key := peer.NewTSIGKey("k", "hmac-sha256")
	lego, own := grant{"lego", "lego", key}, grant{"own", "rfc2136", key}
	e = newEstate(t, peer.BIND(t, peer.BINDOptions{Keys: []peer.TSIGKey{key}, Zones: []peer.Zone{shopZone("k")}}), lego, own)
	e.shop.set(func(s *shop) { s.proofs = []string{"apex"} })
	config = e.base("", lego, own)
	e.due(config+e.shopped("web", `"lego"`, "shop.test"), map[string][]string{"web": {"shop.test"}})
	return e, config, e.untilTrouble("web", "publish")
}

// TestLegoRefusesToReplaceOtherRecords: what is there stays, and a person is told what to do.
func TestLegoRefusesToReplaceOtherRecords(t *testing.T) {
	t.Parallel()
	e, _, told := refused(t)
	for _, words := range []string{spf, other, "would lose other TXT records", "use another dcv profile"} {
		if !strings.Contains(told, words) {
			t.Errorf("explain does not say %q:\n%s", words, told)
		}
	}
	e.mustStay()
	if got := e.bind.Updates(t); len(got) > 0 {
		t.Errorf("the name server has seen %+v", got)
	}
	e.stop()
}

// TestAnotherProfileTakesOverAnOrder: "use another dcv profile" is one word in the configuration, and the order goes on with
// it. It was bought once.
func TestAnotherProfileTakesOverAnOrder(t *testing.T) {
	t.Parallel()
	e, config, _ := refused(t)
	e.write("config.toml", config+e.shopped("web", `"own"`, "shop.test"), 0o600)
	if _, err := e.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.untilDone("web")
	e.mustStay()
	if sales := e.shop.sales(); len(sales) != 1 {
		t.Errorf("bought %d times", len(sales))
	}
	e.stop()
}

// TestFileThroughLegosWebroot: a commercial CA's file in the document root of a web server, through lego.
func TestFileThroughLegosWebroot(t *testing.T) {
	t.Parallel()
	r := newRig(t, failing.get(t), caFake)
	r.serveWebroot()
	copyFile(t, peer.DCVLego(t), r.path("plugins", "dcv-lego"), 0o700)
	e := &estate{rig: r, shop: newShop(t, r.challenges, nil)}
	r.challenges = "127.0.0.1:1" // the responder is of no use here
	e.write("api-key", e.shop.apiKey, 0o600)
	e.due(e.daemonTOML("")+fmt.Sprintf(`
[ca.shop]
plugin = "fake"
[ca.shop.settings]
base_url = %q
api_key = { file = "api-key" }
[dcv.files]
plugin = "lego"
provider = "webroot"
[dcv.files.settings]
path = %q
`, e.shop.server.URL, e.path("webroot"))+e.shopped("web", `"files"`, names...), map[string][]string{"web": names})
	e.untilDone("web")
	for _, f := range filesBelow(t, e.path("webroot")) {
		t.Errorf("the file %s is left", f)
	}
	e.stop()
}

// TestProfilesNeverMixTheirCredentials: two profiles of one plugin with a key each, used at the same time.
func TestProfilesNeverMixTheirCredentials(t *testing.T) {
	t.Parallel()
	for _, plugin := range []string{"rfc2136", "lego"} {
		t.Run(plugin, func(t *testing.T) {
			t.Parallel()
			alpha := grant{"alpha", plugin, peer.NewTSIGKey("alpha-key", "hmac-sha256")}
			beta := grant{"beta", plugin, peer.NewTSIGKey("beta-key", "hmac-sha512")}
			e := newEstate(t, peer.BIND(t, peer.BINDOptions{Keys: []peer.TSIGKey{alpha.key, beta.key}, Zones: []peer.Zone{
				{Name: "a.test", Keys: []string{"alpha-key"}}, {Name: "b.test", Keys: []string{"beta-key"}},
			}}), alpha, beta)
			certificates := map[string][]string{
				"both": {"a.test", "b.test", "x.a.test", "x.b.test"}, "a": {"y.a.test", "z.a.test"}, "b": {"y.b.test", "z.b.test"},
			}
			config := e.base("", alpha, beta)
			for name, domains := range certificates {
				config += e.shopped(name, `{ "*.a.test" = "alpha", "*.b.test" = "beta" }`, domains...)
			}
			e.due(config, certificates)
			for name := range certificates {
				e.untilDone(name)
			}
			count := map[string]int{}
			for _, act := range acts(t, e.bind) { // whatever was refused is no act, and an error
				f := strings.Fields(act)
				count[strings.Join(f[:3], " ")]++
			}
			want := map[string]int{"+ alpha-key a.test": 4, "- alpha-key a.test": 4, "+ beta-key b.test": 4, "- beta-key b.test": 4}
			if fmt.Sprint(count) != fmt.Sprint(want) {
				t.Errorf("keys have changed zones: %v, want %v", count, want)
			}
			e.stop()
		})
	}
}
