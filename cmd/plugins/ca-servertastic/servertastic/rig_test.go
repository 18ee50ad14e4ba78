package servertastic

import (
	"flag"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/servertastic"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

// TestMain lets more tests run at once than there are processors: most of their time they wait for a pause to end.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// authority signs for all stand-ins of a test run: its keys take a while.
var authority = sync.OnceValues(standin.NewAuthority)

const testKey = "ACCOUNT-KEY-FOR-TESTS-0123456789"

// rig is a daemon's account at a stand-in of its own, whose clock is moved on by what the plugin asks to wait.
type rig struct {
	*cadrive.Driver[*CA]
	t      testing.TB
	server *standin.Server
	url    string
	values map[string]any // account settings
	key    string
}

func newRig(t testing.TB, change ...func(*standin.Settings)) *rig {
	t.Helper()
	signer, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, values: map[string]any{}, key: testKey}
	settings := standin.DefaultSettings()
	for _, c := range change {
		c(&settings)
	}
	world := cadrive.NewWorld(t).WithHTTPS(t)
	r.server, err = standin.New(standin.Options{Authority: signer, Settings: &settings, Look: world.Look(), Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	r.Driver = cadrive.New(t, cadrive.Options[*CA]{
		Start:    func(log *slog.Logger) *CA { return New(Options{Version: "1.2.3", Now: r.server.Now, Logger: log}) },
		Settings: r.account, World: world, Roots: r.server.RootsPEM, Secrets: []string{testKey}, Handed: r.tokens, Now: r.server.Now, Wait: r.advance,
	})
	r.url = r.Serve(r.server) + standin.BasePath
	return r
}

func (r *rig) advance(d time.Duration) {
	if err := r.server.Advance(d); err != nil {
		r.t.Error(err)
	}
}

// tokens are those of all orders, which are as secret as the account's key.
func (r *rig) tokens() []string {
	var list []string
	for _, o := range r.server.Orders() {
		list = append(list, o.Token)
	}
	return list
}

// account is how the account is set at the time.
func (r *rig) account() pluginapi.Settings {
	values := map[string]any{
		"base_url": r.url, "request_timeout": "10s", "requests_per_second": 10.0,
		"wire_names": map[string]any{"sectigo_field_1": "subscriber_email", "sectigo_field_2": "subscriber_phone", "wildcard_san_count": "san_wildcards"},
	}
	maps.Copy(values, r.values)
	return pluginapi.Settings{Values: values, Secrets: map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret(r.key)}}
}

// settings are those of orders: contacts, and what OV and EV want, which a DV order does not send.
func settings(product string, more map[string]any) pluginapi.Settings {
	values := map[string]any{"st_product_code": product}
	for _, who := range []string{"tech", "admin"} {
		for name, text := range map[string]string{
			"first_name": "Ada", "last_name": "Example", "phone": "+49 30 5550100", "email": who + "@example.com", "title": "Engineer",
			"organisation_name": "Example Ltd", "address_line1": "Main Street 1", "address_city": "Berlin", "address_region": "Berlin",
			"address_post_code": "10115", "address_country": "DE",
		} {
			values[who+"_contact_"+name] = text
		}
	}
	for name, text := range map[string]string{
		"org_name": "Example Ltd", "org_jurisdiction_city": "Berlin", "org_jurisdiction_region": "Berlin", "org_jurisdiction_country": "DE",
		"org_address_line1": "Main Street 1", "org_address_city": "Berlin", "org_address_region": "Berlin", "org_address_postal_code": "10115",
		"org_address_country": "DE", "org_address_phone": "+49 30 5550100",
	} {
		values[name] = text
	}
	if strings.HasPrefix(product, "PositiveSSL") || strings.HasPrefix(product, "SectigoSSL") {
		values["sectigo_field_1"], values["sectigo_field_2"] = "ada@example.com", "4930550100"
	}
	maps.Copy(values, more)
	return pluginapi.Settings{Values: values}
}

// order makes a request for names.
func (r *rig) order(product string, names ...string) pluginapi.OrderRequest {
	r.t.Helper()
	return r.Order(settings(product, nil), names...)
}

// bought checks how often money was spent and reissues were made.
func (r *rig) bought(purchases, reissues int) {
	r.t.Helper()
	cadrive.WantSpent(r.t, r.server, purchases, reissues)
}

func (r *rig) misbehave(m sandbox.Misbehaviour) {
	r.t.Helper()
	if err := r.server.Misbehave(m); err != nil {
		r.t.Fatal(err)
	}
}

// only is the one order of the account.
func (r *rig) only() standin.OrderSummary {
	r.t.Helper()
	orders := r.server.Orders()
	if len(orders) != 1 {
		r.t.Fatalf("the account has %d orders", len(orders))
	}
	return orders[0]
}
