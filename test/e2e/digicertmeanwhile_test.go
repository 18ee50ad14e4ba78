package e2e

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/control"
)

// shortPlan is one that can be renewed from its first day: DigiCert takes renewals from 90 days before a plan's end.
const shortPlan = `{ product = "ssl_dv_geotrust", order_validity = { days = 80 }, skip_approval = true }`

// TestDigiCertFollowsWhatBecameOfTheOrder: an order that somebody revoked in the console is followed by a new one, and one
// that somebody renewed there by nothing before a person has decided.
func TestDigiCertFollowsWhatBecameOfTheOrder(t *testing.T) { // invariant 1
	t.Parallel()
	for name, c := range map[string]struct {
		meanwhile func(d *digicert, order int64)
		held      string
		bought    int // in the end
	}{
		"revoked": {bought: 2, meanwhile: func(d *digicert, order int64) {
			d.post(http.MethodPut, fmt.Sprintf("/order/certificate/%d/revoke", order), map[string]any{"comments": "a drill", "skip_approval": true})
		}},
		"renewed": {held: "unclear-order", bought: 3, meanwhile: func(d *digicert, order int64) {
			csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, newKey(d.t))
			if err != nil {
				d.t.Fatal(err)
			}
			d.post(http.MethodPost, "/order/certificate/ssl_dv_geotrust", map[string]any{
				"certificate":    map[string]any{"common_name": names[0], "dns_names": names[1:], "csr": csrPEM(csr), "server_platform": map[string]any{"id": -1}},
				"order_validity": map[string]any{"years": 1}, "dcv_method": "dns-txt-token", "skip_approval": true, "renewal_of_order_id": order,
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, own := digicertEstate(t)
			d.due(names...)
			d.write("config.toml", d.base("", own)+ordered("digicert", `"own"`, shortPlan, `renew_before = "30d"`, names...), 0o600)
			d.start()
			first := d.issuedAndInstalled(d.old, names...)
			d.booked(1, 0)
			order, _ := d.current()
			c.meanwhile(d, order.ID)
			if _, err := d.client.Renew(t.Context(), control.RenewRequest{Name: "web", Force: true}); err != nil {
				t.Fatal(err)
			}
			if c.held != "" {
				held := d.until("web", "held", func(c control.Certificate) bool { return c.Order != nil && c.Order.Hold != nil })
				if h := held.Order.Hold; h.Kind != c.held || !strings.Contains(h.Detail, fmt.Sprint(order.ID)) {
					t.Errorf("held for %+v", h)
				}
				d.booked(c.bought-1, 0)
				if _, err := d.client.Approve(t.Context(), held.Order.ID); err != nil {
					t.Fatal(err)
				}
			}
			d.untilRenewed("web", first)
			d.untilWithdrawn()
			d.booked(c.bought, 0)
			d.stop()
		})
	}
}
