package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	standin "github.com/certbridge/certbridged/internal/sandbox/servertastic"
	"github.com/certbridge/certbridged/test/peer"
)

// servertasticEstate is one whose zone its own profile may change.
func servertasticEstate(t *testing.T, o servertasticOptions) (*servertastic, grant) {
	t.Helper()
	own := grant{"own", "rfc2136", peer.NewTSIGKey("k", "hmac-sha256")}
	bind := peer.BIND(t, peer.BINDOptions{Keys: []peer.TSIGKey{own.key}, Zones: []peer.Zone{sellerZone("k")}})
	return newServerTastic(t, bind, o), own
}

// TestServerTasticIsIssuedAndServed: DV orders of both families with records and files, and one for a wildcard.
func TestServerTasticIsIssuedAndServed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		domains []string
		order   string
		dcv     string
		at      string // in what the name server has seen
	}{
		"TXT":            {names, rapidOrder, `"own"`, "/TXT"},
		"CNAME":          {names, positiveOrder, `"own"`, "/CNAME"},
		"wildcard":       {[]string{"*.shop.test", "shop.test"}, `{ st_product_code = "RapidSSLWildcard-12" }`, `"own"`, "/TXT"},
		"files":          {names, rapidOrder, `"http"`, ""},
		"Sectigo's file": {names, positiveOrder, `"http"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, own := servertasticEstate(t, servertasticOptions{})
			d.due(c.domains...)
			web, deploy := d.serveBy("")
			deploy += "server_name = \"www.shop.test\"\n"
			d.write("config.toml", d.base("", own)+ordered("servertastic", c.dcv, c.order, `renew_before = "30d"`, c.domains...)+deploy, 0o600)
			d.start()
			leaf := d.issuedAndInstalled(d.old, c.domains...)
			if served := web.served(); !served.Equal(leaf) {
				t.Errorf("serial %x is on disk, %x is served", leaf.SerialNumber, served.SerialNumber)
			}
			d.booked(1, 0)
			changes := acts(t, d.bind)
			if (c.at == "") != (len(changes) == 0) || !strings.Contains(strings.Join(changes, "\n"), c.at) {
				t.Errorf("the name server has seen %q", changes)
			}
			(&estate{rig: d.rig, bind: d.bind}).mustStay()
			d.nothingAnswers()
			d.stop()
			d.tidy()
		})
	}
}

// TestServerTasticWaitsForMail: an order by mail waits for a person, whom status names; a restart changes nothing about that,
// and once somebody has agreed all goes on by itself.
func TestServerTasticWaitsForMail(t *testing.T) {
	t.Parallel()
	d, own := servertasticEstate(t, servertasticOptions{})
	d.due("shop.test")
	order := `{ st_product_code = "RapidSSL-12", dv_auth_method = "EMAIL", approver_email_address = "hostmaster@shop.test" }`
	d.write("config.toml", d.base("", own)+ordered("servertastic", `"own"`, order, `renew_before = "30d"`, "shop.test"), 0o600)
	d.start()
	waits := func() {
		d.until("web", "waits for mail", func(c control.Certificate) bool {
			return c.Order != nil && c.Order.Phase == "validating" && c.Order.Action != nil
		})
	}
	waits()
	id := d.ca.Orders()[0].ID
	d.says("status", "hostmaster@shop.test", id)
	d.kill()
	d.start()
	waits()
	d.must(d.ca.FollowEmail(t.Context(), id, ""))
	d.issuedAndInstalled(d.old, "shop.test")
	d.booked(1, 0)
	if changes := acts(t, d.bind); len(changes) > 0 {
		t.Errorf("the name server has seen %q", changes)
	}
	d.stop()
	d.tidy()
}

// TestServerTasticReissuesInsideTheTerm: inside the term the next certificates are reissues.
func TestServerTasticReissuesInsideTheTerm(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]string{"DigiCert": rapidOrder, "Sectigo": positiveOrder} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, own := servertasticEstate(t, servertasticOptions{})
			d.due("shop.test")
			d.write("config.toml", d.base("", own)+ordered("servertastic", `"own"`, order, `renew_before = "30d"`, "shop.test"), 0o600)
			d.start()
			last := d.issuedAndInstalled(d.old, "shop.test")
			for range 2 {
				if _, err := d.client.Renew(t.Context(), control.RenewRequest{Name: "web", Force: true}); err != nil {
					t.Fatal(err)
				}
				last = d.issuedAndInstalled(last, "shop.test")
			}
			d.booked(1, 2)
			d.stop()
			d.tidy()
		})
	}
}

// TestServerTasticRenews: an order that is worth one certificate is renewed by another when that ends, and linked to it. A
// certificate lasts 199 seconds.
func TestServerTasticRenews(t *testing.T) {
	t.Parallel()
	d, own := servertasticEstate(t, servertasticOptions{day: time.Second})
	d.due("shop.test")
	d.write("config.toml", d.base("", own)+ordered("servertastic", `"own"`, `{ st_product_code = "RapidSSL-12", term_months = 0 }`, `renew_before = "80%"`, "shop.test"), 0o600)
	d.start()
	first := d.issuedAndInstalled(d.old, "shop.test")
	// The stand-in links a renewal from ninety of its days before the year's end on, and until then the order waits.
	if !await(t.Context(), 2*patience, func() bool { o := d.ca.Orders(); return len(o) == 2 && o[1].Placed }) {
		t.Fatalf("the orders are %+v", d.ca.Orders())
	}
	d.issuedAndInstalled(first, "shop.test")
	d.booked(2, 0)
	orders := d.ca.Orders()
	if len(orders) != 2 || orders[1].RenewalOf == "" {
		t.Errorf("the orders are %+v", orders)
	}
	d.stop()
	d.tidy()
}

// TestServerTasticCancelAndRevoke: what a person does not want any more is canceled, and its points come back; a certificate
// is revoked by canceling its order, once the administrative contact has agreed.
func TestServerTasticCancelAndRevoke(t *testing.T) {
	t.Parallel()
	d, own := servertasticEstate(t, servertasticOptions{change: func(s *standin.Settings) { s.ReviewAfterCancel = false }})
	points := d.ca.Points()
	d.due("shop.test")
	order := `{ st_product_code = "RapidSSL-12", dv_auth_method = "EMAIL", approver_email_address = "hostmaster@shop.test" }`
	d.write("config.toml", d.base("", own)+ordered("servertastic", `"own"`, order, `renew_before = "30d"`, "shop.test"), 0o600)
	d.start()
	waiting := d.until("web", "validating", func(c control.Certificate) bool { return c.Order != nil && c.Order.Phase == "validating" })
	var text string
	var code int
	if !await(t.Context(), patience, func() bool { // it may just be looked at
		text, code = d.run("orders", "cancel", waiting.Order.ID)
		return code == 0
	}) {
		t.Fatalf("orders cancel: exit code %d: %s", code, text)
	}
	if d.ca.Points() != points || d.ca.Orders()[0].Status != "Cancelled" {
		t.Errorf("%d points, %d before; at the CA: %+v", d.ca.Points(), points, d.ca.Orders())
	}
	// Whoever said no to a purchase has not said yes to another.
	held := d.until("web", "held", func(c control.Certificate) bool { return c.Order != nil && c.Order.Hold != nil })
	if text, code := d.run("orders", "approve", held.Order.ID); code != 0 {
		t.Fatalf("orders approve: exit code %d: %s", code, text)
	}
	d.until("web", "validating", func(c control.Certificate) bool { return c.Order != nil && c.Order.Phase == "validating" })
	id := d.ca.Orders()[1].ID
	d.must(d.ca.FollowEmail(t.Context(), id, ""))
	d.issuedAndInstalled(d.old, "shop.test")
	d.booked(2, 0)
	text, code = d.run("revoke", "web", "--yes")
	if said := strings.Join(strings.Fields(text), " "); !strings.Contains(said, "agree to cancel order "+id) {
		t.Errorf("revoke (exit code %d): %s", code, text)
	}
	d.must(d.ca.ApproveCancel(t.Context(), id))
	d.must(d.ca.Sync())
	if text, code := d.run("revoke", "web", "--yes"); code != 0 || !strings.Contains(strings.Join(strings.Fields(text), " "), "is canceled") {
		t.Errorf("revoke again (exit code %d): %s", code, text)
	}
	if got := d.ca.Orders()[1]; got.Status != "Cancelled" || !got.Certificates[0].Revoked {
		t.Errorf("at the CA: %+v", got)
	}
	d.stop()
}

// TestServerTasticCredentialsAndPoints: nothing is bought with a wrong key or without points, and all goes on by itself or
// after a person's yes once that is put right.
func TestServerTasticCredentialsAndPoints(t *testing.T) {
	t.Parallel()
	d, own := servertasticEstate(t, servertasticOptions{})
	d.must(d.ca.SetPoints(0))
	d.due(names...)
	d.write("api-key", "WRONG"+servertasticKey, 0o600)
	d.write("config.toml", d.base("", own)+ordered("servertastic", `"own"`, rapidOrder, `renew_before = "30d"`, names...), 0o600)
	if text, code := d.run("check", "--online"); code == 0 || !strings.Contains(text, "check api_key") {
		t.Errorf("check --online (exit code %d): %s", code, text)
	}
	d.start()
	d.until("web", "unauthorized", func(c control.Certificate) bool {
		return c.Order != nil && c.Order.LastError != nil && strings.Contains(c.Order.LastError.Message, "check api_key")
	})
	d.stop()
	d.write("api-key", servertasticKey, 0o600)
	if text, _ := d.run("check", "--online"); !strings.Contains(text, "the key is good") || !strings.Contains(text, "add points") {
		t.Errorf("check --online: %s", text)
	}
	d.start()
	held := d.until("web", "held", func(c control.Certificate) bool { return c.Order != nil && c.Order.Hold != nil })
	if !strings.Contains(held.Order.Hold.Detail, "add points") {
		t.Errorf("held for %+v", held.Order.Hold)
	}
	d.booked(0, 0)
	d.must(d.ca.SetPoints(1000))
	if text, code := d.run("orders", "approve", held.Order.ID); code != 0 {
		t.Fatalf("orders approve: exit code %d: %s", code, text)
	}
	d.issuedAndInstalled(d.old, names...)
	d.booked(1, 0)
	d.stop()
	d.tidy()
}

// TestServerTasticAdoptsWhatWasBoughtElsewhere: the journal is lost, and what is paid is found by the certificate in use.
func TestServerTasticAdoptsWhatWasBoughtElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, own := servertasticEstate(t, servertasticOptions{dir: dir})
	d.due(names...)
	config := d.base("", own) + ordered("servertastic", `"own"`, rapidOrder, "", names...)
	d.write("config.toml", config, 0o600)
	d.start()
	if _, err := d.client.Renew(t.Context(), control.RenewRequest{Name: "web", Force: true}); err != nil {
		t.Logf("renew: %v", err) // it is due by itself
	}
	first := d.issuedAndInstalled(d.old, names...)
	d.stop()
	d.must(os.Remove(d.path("state/state.db")))
	d.start()
	if _, err := d.client.Renew(t.Context(), control.RenewRequest{Name: "web", Force: true}); err != nil {
		t.Fatal(err)
	}
	d.issuedAndInstalled(first, names...)
	d.booked(1, 1)
	d.stop()
}
