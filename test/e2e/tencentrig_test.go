package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/tencent"
	"github.com/certbridge/certbridged/test/peer"
)

var caTencent = &build{pkg: "cmd/plugins/ca-tencent", file: "plugins/ca-tencent", args: strip}

// tencentAuthority signs for all stand-ins: its keys take a while.
var tencentAuthority = sync.OnceValues(standin.NewAuthority)

// tencentKey is the key of the stand-in's account.
func tencentKey() standin.Key {
	return standin.Key{SecretID: "AKIDEND2END0123456789", SecretKey: "SECRETEND2END0123456789"}
}

// tencent is a daemon with an account at a stand-in for Tencent Cloud.
type tencent struct {
	*seller
	ca *standin.Server
}

// tencentOptions are what a test changes of a stand-in.
type tencentOptions struct {
	dir    string
	day    time.Duration
	change func(*standin.Settings)
}

func newTencent(t testing.TB, bind *peer.BINDServer, o tencentOptions) *tencent {
	t.Helper()
	d := &tencent{seller: &seller{
		rig: newRig(t, failing.get(t), caTencent, dcvRFC2136), bind: bind, plugin: "ca-tencent", call: tencentCall,
		endsIn: tencentEndsIn, patience: tencentPatience,
	}}
	signer, err := tencentAuthority()
	if err != nil {
		t.Fatal(err)
	}
	settings := standin.DefaultSettings()
	settings.CheckInterval, settings.FreeNames = sandbox.Delay(time.Second), false
	if o.change != nil {
		o.change(&settings)
	}
	d.ca, err = standin.New(standin.Options{
		Dir: o.dir, Day: o.day, Authority: signer, Settings: &settings, Keys: []standin.Key{tencentKey()},
		Look: d.look(),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.serve(d.ca, func() any { return d.ca.Certificates() })
	d.write("secret-id", tencentKey().SecretID+"\n", 0o600)
	d.write("secret-key", tencentKey().SecretKey+"\n", 0o600)
	return d
}

// tencentCall says which action a request is: all are posted to one address.
func tencentCall(r *http.Request) (method, path string, ok bool) {
	action := r.Header.Get("X-TC-Action")
	return r.Method, "/" + action, action != ""
}

// base is the configuration without certificates. settings are further ones of the account.
func (d *tencent) base(settings string, profiles ...grant) string {
	return d.world(fmt.Sprintf(`
[ca.tencent]
plugin = "tencent"
max_orders_per_day = 100
max_orders_per_certificate = 100
poll_interval = "1s"
[ca.tencent.settings]
base_url = %q
secret_id = { file = "secret-id" }
secret_key = { file = "secret-key" }
request_timeout = "5s"
find_settle = "1m"
%s
`, d.server.URL, settings), profiles)
}

// tencentOrder is a year of a product for an individual.
func tencentOrder(product int) string {
	return fmt.Sprintf(`{ ProductId = %d, TimeSpan = 1, ContactEmail = "certs@shop.test" }`, product)
}

// The products: DNSPod's DV for several names and for a wildcard, TrustAsia's for several, and DNSPod's OV.
const (
	tencentMany, tencentWildcard, tencentCNAME, tencentOV = 50, 49, 11, 43
)

// tencentEndsIn is when the certificate ends that a world begins with: a lost order is looked for twice, a minute apart.
const tencentEndsIn = 10 * time.Minute

// tencentPatience is how long an order may take, with a lost answer on its way.
const tencentPatience = 6 * time.Minute

// issuedAndInstalled waits until another certificate than before is in place, for these names.
func (d *tencent) issuedAndInstalled(before *x509.Certificate, domains ...string) *x509.Certificate {
	d.t.Helper()
	leaf := d.installed(before)
	d.isFor(leaf, domains...)
	return leaf
}

// console posts to the stand-in's own calls, as somebody in the console does.
func (d *tencent) console(path string, body any) {
	d.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.server.URL+"/_sandbox/"+path, bytes.NewReader(text))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode/100 != 2 {
		d.t.Fatalf("%s: status %d, %v: %s", path, resp.StatusCode, err, answer)
	}
}
