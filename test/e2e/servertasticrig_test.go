package e2e

import (
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/servertastic"
	"github.com/certbridge/certbridged/test/peer"
)

var caServerTastic = &build{pkg: "cmd/plugins/ca-servertastic", file: "plugins/ca-servertastic", args: strip}

// servertasticAuthority signs for all stand-ins: its keys take a while.
var servertasticAuthority = sync.OnceValues(standin.NewAuthority)

// servertasticKey is the key of the stand-in's account.
const servertasticKey = "RESELLERS-KEY-END2END-0123456789"

// servertastic is a daemon with an account at a stand-in for ServerTastic.
type servertastic struct {
	*seller
	ca *standin.Server
}

// servertasticOptions are what a test changes of a stand-in.
type servertasticOptions struct {
	dir    string
	day    time.Duration
	change func(*standin.Settings)
}

func newServerTastic(t testing.TB, bind *peer.BINDServer, o servertasticOptions) *servertastic {
	t.Helper()
	d := &servertastic{seller: &seller{
		rig: newRig(t, failing.get(t), caServerTastic, dcvRFC2136), bind: bind, plugin: "ca-servertastic", call: below(standin.BasePath),
		endsIn: servertasticEndsIn, patience: servertasticPatience,
	}}
	signer, err := servertasticAuthority()
	if err != nil {
		t.Fatal(err)
	}
	settings := standin.DefaultSettings()
	settings.SyncLag = sandbox.Delay(500 * time.Millisecond) // the account below knows it to be a second
	if o.change != nil {
		o.change(&settings)
	}
	d.ca, err = standin.New(standin.Options{
		Dir: o.dir, Day: o.day, Authority: signer, Settings: &settings, Key: servertasticKey,
		Look: d.look(),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.serve(d.ca, func() any { return d.ca.Orders() })
	d.write("api-key", servertasticKey+"\n", 0o600)
	return d
}

// base is the configuration without certificates. settings are further ones of the account.
func (d *servertastic) base(settings string, profiles ...grant) string {
	names := standin.DefaultSettings().Names
	return d.world(fmt.Sprintf(`
[ca.servertastic]
plugin = "servertastic"
max_orders_per_day = 100
max_orders_per_certificate = 100
poll_interval = "1s"
[ca.servertastic.settings]
base_url = %q
api_key = { file = "api-key" }
request_timeout = "5s"
requests_per_second = 10
sync_period = "1s"
wire_names = { sectigo_field_1 = %q, sectigo_field_2 = %q }
%s
[ca.servertastic.settings.order]
tech_contact_first_name = "Ada"
tech_contact_last_name = "Example"
tech_contact_phone = "+49 30 5550100"
tech_contact_email = "tls@shop.test"
tech_contact_title = "Engineer"
admin_contact_first_name = "Bo"
admin_contact_last_name = "Example"
admin_contact_phone = "+49 30 5550101"
admin_contact_email = "bo@shop.test"
admin_contact_title = "Manager"
`, d.server.URL+standin.BasePath, names.SectigoFirst, names.SectigoSecond, settings), profiles)
}

// The orders: of DigiCert's family and of Sectigo's.
const (
	rapidOrder    = `{ st_product_code = "RapidSSL-12" }`
	positiveOrder = `{ st_product_code = "PositiveSSL-12", sectigo_field_1 = "tls@shop.test", sectigo_field_2 = "49305550100" }`
)

// servertasticEndsIn is when the certificate ends that a world begins with: a lost order is looked for twice, a minute apart.
const servertasticEndsIn = 10 * time.Minute

// servertasticPatience is how long an order may take, with a lost answer on its way.
const servertasticPatience = 6 * time.Minute

// issuedAndInstalled waits until another certificate than before is in place, and checks that it is the newest of its order,
// for these names and perhaps a companion.
func (d *servertastic) issuedAndInstalled(before *x509.Certificate, domains ...string) *x509.Certificate {
	d.t.Helper()
	leaf := d.installed(before)
	for _, name := range domains {
		if !slices.Contains(leaf.DNSNames, name) {
			d.t.Errorf("the certificate is for %q, without %s", leaf.DNSNames, name)
		}
	}
	orders := d.ca.Orders()
	last := orders[len(orders)-1].Certificates
	if n := len(last); n == 0 || last[n-1].Serial != sandbox.Serial(leaf) {
		d.t.Errorf("serial %s is on disk, and the order has %+v", sandbox.Serial(leaf), last)
	}
	return leaf
}

// clean is tidy, with what must not stand on disk.
func (d *servertastic) clean() {
	d.t.Helper()
	secrets := []string{servertasticKey}
	for _, o := range d.ca.Orders() {
		secrets = append(secrets, o.Token)
	}
	d.tidy(secrets...)
}
