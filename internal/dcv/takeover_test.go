package dcv

import (
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// What a plugin has published stands after a restart, and some DNS hosts would keep it twice if it were published again.
func TestWhatOutlivedARestartIsNotPublishedAgain(t *testing.T) {
	w := newWorld(t, delegated)
	p := newRecording()
	opts := Options{Profiles: []Profile{{Name: "dns", Plugin: p}}}
	c := dnsChallenge(pluginapi.TXT, dnsauth, false)
	receipt := mustPublish(t, w.solver(t, opts), "dns", c)

	s := w.solver(t, opts) // the daemon's next process
	again, err := s.Publish(t.Context(), "dns", c, receipt)
	if err != nil || !slices.Equal(again, receipt) {
		t.Fatalf("after the restart: %q, %v; want %q", again, err, receipt)
	}
	if want := []string{"publish TXT shop.acme.example.net"}; !slices.Equal(*p.calls, want) {
		t.Errorf("%q, want %q", *p.calls, want)
	}
	// Once more in the same process: it was not seen, so it is put up again.
	if _, err := s.Publish(t.Context(), "dns", c, again); err != nil {
		t.Fatal(err)
	}
	mustWithdraw(t, s, "dns", c, again)
	if want := []string{
		"publish TXT shop.acme.example.net", "publish TXT shop.acme.example.net",
		"withdraw TXT shop.acme.example.net receipt of " + dnsauth,
	}; !slices.Equal(*p.calls, want) {
		t.Errorf("%q, want %q", *p.calls, want)
	}
	if len(s.shown) != 0 || len(s.published) != 0 {
		t.Errorf("remembered: %v, %v", s.shown, s.published)
	}
}

// A CNAME that has moved while the daemon was down: the record is put up at the new place, and taken down at the old one.
func TestWhatOutlivedARestartElsewhereIsMoved(t *testing.T) {
	w := newWorld(t, delegated)
	p := newRecording()
	opts := Options{Profiles: []Profile{{Name: "dns", Plugin: p}}}
	c := dnsChallenge(pluginapi.TXT, dnsauth, false)
	receipt := mustPublish(t, w.solver(t, opts), "dns", c)
	for _, zone := range []*fakeZone{w.primary, w.secondary} {
		zone.remove(dnsauth+".", dns.TypeCNAME)
		zone.add(t, "_dnsauth IN CNAME other.acme.example.net.")
	}

	s := w.solver(t, opts)
	for range 2 { // taken over, then published again because it was not seen
		var err error
		if receipt, err = s.Publish(t.Context(), "dns", c, receipt); err != nil {
			t.Fatal(err)
		}
	}
	mustWithdraw(t, s, "dns", c, receipt)
	own := " receipt of " + dnsauth
	want := []string{
		"publish TXT shop.acme.example.net", "withdraw TXT shop.acme.example.net" + own,
		"publish TXT other.acme.example.net", "withdraw TXT other.acme.example.net" + own,
	}
	if !slices.Equal(*p.calls, want) {
		t.Errorf("%q, want %q", *p.calls, want)
	}
}

// Only what the built-in ways have published is gone with the process.
func TestBuiltInWaysPublishAgainAfterARestart(t *testing.T) {
	address := freeAddress(t)
	c := httpChallenge("a.example.com", token, "body")
	first := newSolver(t, Options{ListenHTTP: address})
	receipt := mustPublish(t, first, BuiltIn, c)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s := newSolver(t, Options{ListenHTTP: address})
	if _, err := s.Publish(t.Context(), BuiltIn, c, receipt); err != nil {
		t.Fatal(err)
	}
	if got := get(t, address, "a.example.com", token); got != "200 body" {
		t.Errorf("%q", got)
	}
}

// A plugin that finds its record in place gives an empty receipt: the earlier one still tells how to take it down.
func TestAnEmptyReceiptKeepsTheEarlierOne(t *testing.T) {
	at := func(name, own string) []byte { return pluginReceipt{Name: name, Plugin: []byte(own)}.encode() }
	cases := map[string]struct{ now, before, want []byte }{
		"a new one":           {at("a.example", "new"), at("a.example", "old"), at("a.example", "new")},
		"an empty one":        {at("a.example", ""), at("a.example", "old"), at("a.example", "old")},
		"of another place":    {at("b.example", ""), at("a.example", "old"), at("b.example", "")},
		"nothing before":      {at("a.example", ""), nil, at("a.example", "")},
		"of a built-in way":   {receipt{Responder: true}.encode(), at("a.example", "old"), receipt{Responder: true}.encode()},
		"before, a built-in":  {at("a.example", ""), receipt{Responder: true}.encode(), at("a.example", "")},
		"both of them, empty": {at("a.example", ""), at("a.example", ""), at("a.example", "")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := keepOwn(c.now, c.before); string(got) != string(c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// Whoever corrects a document root may well restart the daemon: the file in the wrong one is not forgotten.
func TestAWebrootThatHasMovedOverARestartIsCleared(t *testing.T) {
	before, now := t.TempDir(), t.TempDir()
	c := httpChallenge("a.example.com", token, "body")
	receipt := mustPublish(t, newSolver(t, Options{Profiles: []Profile{{Name: "web", Webroot: before}}}), "web", c)
	s := newSolver(t, Options{Profiles: []Profile{{Name: "web", Webroot: now}}})
	receipt, err := s.Publish(t.Context(), "web", c, receipt)
	if err != nil {
		t.Fatal(err)
	}
	wantTree(t, before)
	if len(tree(t, now)) == 0 {
		t.Error("nothing is published")
	}
	mustWithdraw(t, s, "web", c, receipt)
	wantTree(t, now)
}
