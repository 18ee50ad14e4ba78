package e2e

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/test/peer"
)

// digicertEstate is one whose zone its own profile may change.
func digicertEstate(t *testing.T) (*digicert, grant) {
	t.Helper()
	own := grant{"own", "rfc2136", peer.NewTSIGKey("k", "hmac-sha256")}
	bind := peer.BIND(t, peer.BINDOptions{Keys: []peer.TSIGKey{own.key}, Zones: []peer.Zone{sellerZone("k")}})
	return newDigiCert(t, bind), own
}

// clean checks that the zone is as it was, and that no more was added to it than taken away.
func (d *digicert) clean(changes ...string) {
	d.t.Helper()
	bare(d.t, &d.bind.NameServer, "_dnsauth.shop.test", "_dnsauth.www.shop.test", "www.shop.test")
	(&estate{rig: d.rig, bind: d.bind}).mustStay()
	if got := acts(d.t, d.bind); !slices.Equal(got, changes) {
		d.t.Errorf("the name server has seen\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(changes, "\n"))
	}
}

// TestDigiCertByRecordsIsIssuedAndServed: DV orders with TXT and CNAME records, and one for a wildcard.
func TestDigiCertByRecordsIsIssuedAndServed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		domains []string
		order   string
		kind    string
	}{
		"TXT":      {names, dvOrder, "TXT"},
		"CNAME":    {names, `{ product = "ssl_dv_geotrust", order_validity = { years = 1 }, skip_approval = true, dcv_method = "dns-cname-token" }`, "CNAME"},
		"wildcard": {[]string{"*.shop.test"}, `{ product = "wildcard_dv_geotrust", order_validity = { years = 1 }, skip_approval = true }`, "TXT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, own := digicertEstate(t)
			d.due(c.domains...)
			web, deploy := d.serveBy("")
			deploy += "server_name = \"www.shop.test\"\n" // a wildcard is no name to ask a server for
			d.write("config.toml", d.base("", own)+ordered("digicert", `"own"`, c.order, `renew_before = "30d"`, c.domains...)+deploy, 0o600)
			d.start()
			leaf := d.issuedAndInstalled(d.old, c.domains...)
			if served := web.served(); !served.Equal(leaf) {
				t.Errorf("serial %x is on disk, %x is served", leaf.SerialNumber, served.SerialNumber)
			}
			d.booked(1, 0)
			at := "k shop.test _dnsauth.shop.test/" + c.kind
			d.clean(d.scopes(at)...)
			d.stop()
			d.tidy()
		})
	}
}

// scopes are the changes of the zone for the names that the stand-in wants validated.
func (d *digicert) scopes(at ...string) []string {
	var list []string
	for _, sign := range []string{"+ ", "- "} {
		for _, a := range at {
			list = append(list, sign+a)
		}
	}
	return list
}

// TestDigiCertByFilesThroughNginx: the web server holds the port, and passes the path of DigiCert's files on to the daemon.
func TestDigiCertByFilesThroughNginx(t *testing.T) {
	t.Parallel()
	d, _ := digicertEstate(t)
	front, back := d.challenges, fmt.Sprintf("127.0.0.1:%d", peer.FreePort(t))
	snippet := strings.ReplaceAll(readFile(t, "../../examples/nginx/challenge.conf"), "127.0.0.1:8402", back)
	if !strings.Contains(snippet, back) {
		t.Fatalf("the snippet passes nothing on:\n%s", snippet)
	}
	d.challenges = back
	d.due(names...)
	web, deploy := d.serveBy(fmt.Sprintf("server { listen %s; server_name shop.test www.shop.test;\n%s\nlocation / { return 404; } }\n", front, snippet))
	d.write("config.toml", d.base("")+ordered("digicert", `"http"`, dvOrder, `renew_before = "30d"`, names...)+deploy, 0o600)
	d.start()
	leaf := d.issuedAndInstalled(d.old, names...)
	if served := web.served(); !served.Equal(leaf) {
		t.Errorf("serial %x is on disk, %x is served", leaf.SerialNumber, served.SerialNumber)
	}
	d.booked(1, 0)
	if o, _ := d.current(); o.DCVMethod != "http-token" {
		t.Errorf("validated by %s", o.DCVMethod)
	}
	d.nothingAnswers()
	d.clean()
	d.stop()
	d.tidy()
}

// TestDigiCertWaitsForApproval: an OV order waits for a person, whom status and explain name; a restart changes nothing
// about that, and once it is approved all goes on by itself.
func TestDigiCertWaitsForApproval(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key, skip string
		told      []string
	}{
		"not skipped":    {digicertKey, "", nil},
		"may not skip":   {digicertLimitedKey, "skip_approval = true", []string{"may not skip it"}},
		"asked to do so": {digicertKey, "skip_approval = false", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, own := digicertEstate(t)
			d.write("api-key", c.key, 0o600)
			d.due(names...)
			_, deploy := d.serveBy("")
			d.write("config.toml", d.base(c.skip, own)+ordered("digicert", `"own"`, `{ product = "ssl", product_type_hint = "ov", order_validity = { years = 1 } }`, `renew_before = "30d"`, names...)+deploy, 0o600)
			d.start()
			waiting := d.waitsFor("approval")
			if waiting.Order.Status != "pending-approval" || waiting.Order.Action == nil {
				t.Errorf("nobody is told who must act: %+v", waiting.Order)
			}
			requests := d.ca.Requests()
			if len(requests) != 1 {
				t.Fatalf("the requests are %+v, want one", requests)
			}
			d.says("status", append(c.told, "administrator or manager", fmt.Sprintf("request %d", requests[0].ID), d.server.URL)...)
			d.says("explain", "administrator or manager", fmt.Sprintf("request %d", requests[0].ID), d.server.URL)
			d.kill()
			d.start()
			d.waitsFor("approval")
			d.clean() // nothing is to be shown before
			d.post(http.MethodPost, fmt.Sprintf("/_sandbox/requests/%d", requests[0].ID), map[string]any{"status": "approved"})
			leaf := d.issuedAndInstalled(d.old, names...)
			if !slices.Equal(leaf.Subject.Organization, []string{"Example Ltd"}) {
				t.Errorf("the certificate is for %q", leaf.Subject.Organization)
			}
			d.booked(1, 0)
			d.clean(d.scopes("k shop.test _dnsauth.shop.test/TXT")...)
			d.stop()
			d.tidy()
		})
	}
}

// TestDigiCertRejectedRequestEndsTheOrder: a person's no is final, says why, and nothing is bought again.
func TestDigiCertRejectedRequestEndsTheOrder(t *testing.T) {
	t.Parallel()
	d, own := digicertEstate(t)
	d.due(names...)
	d.write("config.toml", d.base("", own)+ordered("digicert", `"own"`, `{ product = "ssl_basic", order_validity = { years = 1 } }`, `renew_before = "30d"`, names...), 0o600)
	d.start()
	d.waitsFor("approval")
	d.post(http.MethodPost, fmt.Sprintf("/_sandbox/requests/%d", d.ca.Requests()[0].ID), map[string]any{"status": "rejected", "comment": "ask the head of finance"})
	held := d.until("web", "held", func(c control.Certificate) bool { return c.Order != nil && c.Order.Hold != nil })
	if held.Order.Hold.Kind != "repeats-failed-order" || !strings.Contains(held.Order.Hold.Detail, "ask the head of finance") {
		t.Errorf("held for %+v", held.Order.Hold)
	}
	d.booked(1, 0)
	d.clean()
	d.stop()
}

// boughtElsewhere is a certificate that somebody ordered by other means, on disk with its key; it ends in 199 days.
func (d *digicert) boughtElsewhere(key peer.TSIGKey) *x509.Certificate {
	d.t.Helper()
	private := newKey(d.t)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
	if err != nil {
		d.t.Fatal(err)
	}
	placed := d.post(http.MethodPost, "/order/certificate/ssl_dv_geotrust", map[string]any{
		"certificate":    map[string]any{"common_name": names[0], "dns_names": names[1:], "csr": csrPEM(csr), "server_platform": map[string]any{"id": -1}},
		"order_validity": map[string]any{"years": 1}, "dcv_method": "dns-txt-token", "skip_approval": true,
	})
	record := fmt.Sprintf("_dnsauth.shop.test. 60 TXT %q", placed["dcv_random_value"])
	update(d.t, d.bind, "shop.test", key, record)
	order, _ := d.current()
	d.post(http.MethodPut, fmt.Sprintf("/order/certificate/%d/check-dcv", order.ID), map[string]any{})
	order, issued := d.current()
	if order.Status != "issued" {
		d.t.Fatalf("the order is %s", order.Status)
	}
	chain, _ := d.post(http.MethodGet, fmt.Sprintf("/certificate/%d/download/format/pem_noroot", issued.ID), nil)["pem"].(string)
	d.write("tls/web.pem", chain, 0o644)
	d.write("tls/web.key", keyPEM(d.t, private), 0o600)
	return d.pair("web")[0]
}

// TestDigiCertAdoptsWhatWasBoughtElsewhere: what is paid is used up; taking over costs nothing.
func TestDigiCertAdoptsWhatWasBoughtElsewhere(t *testing.T) {
	t.Parallel()
	d, own := digicertEstate(t)
	before := d.boughtElsewhere(own.key)
	order, _ := d.current()
	d.write("config.toml", d.base("", own), 0o600)
	told, code := d.run("adopt", "--ca", "digicert", d.path("tls"))
	comment := fmt.Sprintf("belongs to order %d, paid until %s", order.ID, order.ValidTill.Format("2006-01-02"))
	if code != 0 || !slices.ContainsFunc(strings.Split(told, "\n"), func(l string) bool {
		return strings.HasPrefix(l, "#") && strings.Contains(l, comment)
	}) {
		t.Errorf("adopt (exit code %d) has no comment %q:\n%s", code, comment, told)
	}
	d.write("conf.d/adopted.toml", told, 0o600)
	if checked, code := d.run("check"); code != 0 || !strings.Contains(told, `product = "ssl_dv_geotrust"`) {
		t.Errorf("what adopt prints does not load (exit code %d):\n%s\n%s", code, checked, told)
	}
	if err := os.Remove(d.path("conf.d/adopted.toml")); err != nil {
		t.Fatal(err)
	}
	d.write("config.toml", d.base("", own)+ordered("digicert", `"own"`, dvOrder, "", names...), 0o600)
	d.start()
	if c, err := d.certificate("web"); err != nil || c.Next.Due || c.Order != nil {
		t.Errorf("what lasts is ordered anew: %+v, %v", c, err)
	}
	d.booked(1, 0)
	if _, err := d.client.Renew(t.Context(), control.RenewRequest{Name: "web", Force: true}); err != nil {
		t.Fatal(err)
	}
	second := d.issuedAndInstalled(before, names...)
	d.booked(1, 1)
	if !second.NotAfter.After(before.NotBefore) || order.AlternativeID != "" {
		t.Errorf("the certificate ends %s; the order has the mark %q", second.NotAfter, order.AlternativeID)
	}
	// From now on the order is known, and found again without a question.
	if _, err := d.client.Renew(t.Context(), control.RenewRequest{Name: "web", Force: true}); err != nil {
		t.Fatal(err)
	}
	d.issuedAndInstalled(second, names...)
	d.booked(1, 2)
	d.stop()
	d.tidy()
}

// TestDigiCertAdoptsAnOlderCertificateOfAnOrder: what is on disk need not be the newest of its order, which is all that
// DigiCert finds by serial number.
func TestDigiCertAdoptsAnOlderCertificateOfAnOrder(t *testing.T) {
	t.Parallel()
	d, own := digicertEstate(t)
	before := d.boughtElsewhere(own.key)
	private := newKey(t)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
	if err != nil {
		t.Fatal(err)
	}
	order, _ := d.current()
	again := d.post(http.MethodPost, fmt.Sprintf("/order/certificate/%d/reissue", order.ID), map[string]any{
		"certificate": map[string]any{"common_name": names[0], "dns_names": names[1:], "csr": csrPEM(csr), "server_platform": map[string]any{"id": -1}, "signature_hash": "sha256"},
		"dcv_method":  "dns-txt-token", "skip_approval": true,
	})
	update(t, d.bind, "shop.test", own.key, fmt.Sprintf("_dnsauth.shop.test. 60 TXT %q", again["dcv_random_value"]))
	d.post(http.MethodPut, fmt.Sprintf("/order/certificate/%d/check-dcv", order.ID), map[string]any{})
	d.booked(1, 1)
	d.write("config.toml", d.base("", own)+ordered("digicert", `"own"`, dvOrder, "", names...), 0o600)
	d.start()
	if _, err := d.client.Renew(t.Context(), control.RenewRequest{Name: "web", Force: true}); err != nil {
		t.Fatal(err)
	}
	d.issuedAndInstalled(before, names...)
	d.booked(1, 2)
	d.stop()
	d.tidy()
}
