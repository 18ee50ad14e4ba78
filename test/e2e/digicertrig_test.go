package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/digicert"
	"github.com/certbridge/certbridged/test/peer"
)

// digicertAuthority signs for all stand-ins: its keys take a while.
var digicertAuthority = sync.OnceValues(standin.NewAuthority)

// The keys of the stand-in's account.
const (
	digicertKey        = "ADMINISTRATORS-KEY-0123456789"
	digicertLimitedKey = "STANDARD-USERS-KEY-0123456789"
)

// digicert is a daemon with an account at a stand-in for DigiCert.
type digicert struct {
	*seller
	ca *standin.Server
}

// newDigiCert makes one without a configuration.
func newDigiCert(t testing.TB, bind *peer.BINDServer, change ...func(*standin.Options)) *digicert {
	t.Helper()
	d := &digicert{seller: &seller{
		rig: newRig(t, failing.get(t), caDigiCert, dcvRFC2136), bind: bind, plugin: "ca-digicert", call: below(standin.BasePath),
		endsIn: digicertEndsIn, patience: patience,
	}}
	d.open(change...)
	d.write("api-key", digicertKey+"\n", 0o600)
	return d
}

// open opens the stand-in.
func (d *digicert) open(change ...func(*standin.Options)) {
	d.t.Helper()
	signer, err := digicertAuthority()
	if err != nil {
		d.t.Fatal(err)
	}
	settings := standin.DefaultSettings()
	settings.CheckCAA = true
	o := standin.Options{
		Authority: signer, Settings: &settings, Look: d.look(),
		Users: []standin.User{
			{ID: 1, Key: digicertKey, Name: "admin", Role: standin.Administrator, EVApprover: true},
			{ID: 2, Key: digicertLimitedKey, Name: "clerk", Role: standin.StandardUser},
		},
	}
	for _, c := range change {
		c(&o)
	}
	if d.ca, err = standin.New(o); err != nil {
		d.t.Fatal(err)
	}
	d.serve(d.ca, func() any { return d.ca.Orders() })
}

// base is the configuration without certificates. settings are further ones of the account.
func (d *digicert) base(settings string, profiles ...grant) string {
	return d.world(fmt.Sprintf(`
[ca.digicert]
plugin = "digicert"
max_orders_per_day = 100
max_orders_per_certificate = 100
poll_interval = "1s"
[ca.digicert.settings]
base_url = %q
api_key = { file = "api-key" }
organization_id = %d
requests_per_second = 5
request_timeout = "5s"
%s
`, d.server.URL+standin.BasePath, standin.DemoOrganization, settings), profiles)
}

// dvOrder is a year of a DV product.
const dvOrder = `{ product = "ssl_dv_geotrust", order_validity = { years = 1 }, skip_approval = true }`

// digicertEndsIn is when the certificate ends that a world begins with: the daemon waits some six seconds between two
// tries, and a lost order is looked for twice, half a minute apart.
const digicertEndsIn = 150 * time.Second

// current is the one order of the account and its newest certificate.
func (d *digicert) current() (standin.OrderSummary, standin.CertificateSummary) {
	d.t.Helper()
	orders := d.ca.Orders()
	if len(orders) != 1 || len(orders[0].Certificates) == 0 {
		d.t.Fatalf("the account has the orders %+v, want one", orders)
	}
	return orders[0], orders[0].Certificates[len(orders[0].Certificates)-1]
}

// issuedAndInstalled waits until another certificate than before is in place and nothing is published any more, and checks
// that it is the newest of the account's order, with a chain to the stand-in's root.
func (d *digicert) issuedAndInstalled(before *x509.Certificate, domains ...string) *x509.Certificate {
	d.t.Helper()
	d.untilRenewed("web", before)
	leaf := d.installed(before)
	if _, newest := d.current(); newest.Serial != sandbox.Serial(leaf) {
		d.t.Errorf("serial %s is on disk, and the newest of the order is %s", sandbox.Serial(leaf), newest.Serial)
	}
	d.isFor(leaf, domains...)
	return leaf
}

// post calls the stand-in as somebody else does: its API with the administrator's key, or its own calls.
func (d *digicert) post(method, path string, body any) map[string]any {
	d.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	if !strings.HasPrefix(path, "/_sandbox/") {
		path = standin.BasePath + path
	}
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.server.URL+path, bytes.NewReader(text))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "somebody-else/1.0")
	req.Header.Set("X-DC-DEVKEY", digicertKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		d.t.Fatalf("%s %s: status %d, %v: %s", method, path, resp.StatusCode, err, answer)
	}
	if len(answer) == 0 {
		return nil
	}
	if bytes.HasPrefix(answer, []byte("-----BEGIN")) {
		return map[string]any{"pem": string(answer)}
	}
	var v map[string]any
	if err := json.Unmarshal(answer, &v); err != nil {
		d.t.Fatalf("%s %s: %v: %s", method, path, err, answer)
	}
	return v
}

// csrPEM is a certificate request of a key.
func csrPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// waitsFor waits until the order is in a phase.
func (d *digicert) waitsFor(phase string) control.Certificate {
	d.t.Helper()
	return d.until("web", "phase "+phase, func(c control.Certificate) bool { return c.Order != nil && c.Order.Phase == phase })
}
