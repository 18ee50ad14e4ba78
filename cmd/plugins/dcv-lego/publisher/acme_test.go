package publisher

import (
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const acmeName = "_acme-challenge." + zoneName

func wantAt(t *testing.T, h *host, name, when string, want int) {
	t.Helper()
	if got := h.values(name); len(got) != want {
		t.Errorf("%s: %q, want %d", when, got, want)
	}
}

// ACME's record stands where the daemon says, and is taken down there.
func TestACMERecordStandsWhereTheDaemonSays(t *testing.T) {
	const elsewhere = "shop.challenges." + zoneName
	for kind, tr := range kinds() {
		t.Run(kind, func(t *testing.T) {
			h := newHost()
			address := h.serve(t)
			c := acmeTXT()
			c.Identifier, c.DNS.Name = "shop.another.example", elsewhere
			receipt := mustPublish(t, start(t, h, address, tr), c)
			wantAt(t, h, elsewhere, "published", 1)
			mustWithdraw(t, start(t, h, address, tr), c, receipt)
			wantAt(t, h, elsewhere, "withdrawn", 0)
			for _, domain := range h.domains {
				if domain != zoneName { // the certificate's name is in another zone
					t.Errorf("the provider was told the domain %q", domain)
				}
			}
		})
	}
}

// Nobody else has records at ACME's name: what is left of an earlier attempt is replaced, and nothing is looked up.
func TestALeftOverAtACMEsNameIsReplaced(t *testing.T) {
	h := newHost()
	h.rrset = true
	h.put(acmeName, "of an earlier attempt")
	p := start(t, h, h.serve(t), traits{overwrites: "replaces all TXT records of the name"})
	p.profile.dns = newResolver([]string{"127.0.0.1:1"})
	receipt := mustPublish(t, p, acmeTXT())
	if got := h.values(acmeName); len(got) != 1 || got[0] != acmeTXT().DNS.Value {
		t.Errorf("%q", got)
	}
	h.put(acmeName, "of somebody else")
	mustWithdraw(t, p, acmeTXT(), receipt)
	wantAt(t, h, acmeName, "withdrawn", 0)
}

func TestACMERecordAtAnApexThatTheProviderHasNoPlaceFor(t *testing.T) {
	h := newHost()
	p := start(t, h, h.serve(t), traits{noApex: "there is no name for it"})
	c := acmeTXT()
	c.DNS.Name = zoneName
	_, err := p.Publish(t.Context(), c)
	wantError(t, err, pluginapi.InvalidRequest, "the zone's own name")
	mustPublish(t, p, acmeTXT())
}
