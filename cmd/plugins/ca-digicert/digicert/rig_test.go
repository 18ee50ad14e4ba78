package digicert

import (
	"context"
	"crypto"
	"encoding/json"
	"flag"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/digicert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

// TestMain lets more tests run at once than there are processors: most of their time they wait for a pause to end.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// authority signs for all stand-ins of a test run: its keys take a while.
var authority = sync.OnceValues(standin.NewAuthority)

const (
	adminKey   = "ADMIN-KEY-FOR-TESTS-0123456789"
	limitedKey = "LIMITED-KEY-FOR-TESTS-0123456789"
)

// rig is a daemon's account at a stand-in of its own.
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
	r := &rig{t: t, values: map[string]any{}, key: adminKey}
	settings := standin.DefaultSettings()
	settings.CheckCAA = false
	for _, c := range change {
		c(&settings)
	}
	world := cadrive.NewWorld(t)
	r.server, err = standin.New(standin.Options{
		Authority: signer, Settings: &settings, Look: world.Look(),
		Users: []standin.User{
			{ID: 1, Key: adminKey, Name: "admin", Role: standin.Administrator, EVApprover: true},
			{ID: 2, Key: limitedKey, Name: "limited", Role: standin.StandardUser},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Driver = cadrive.New(t, cadrive.Options[*CA]{
		Start:    func(log *slog.Logger) *CA { return New(Options{Version: "1.2.3", Now: r.server.Now, Logger: log}) },
		Settings: r.account, World: world, Roots: r.server.RootsPEM, Secrets: []string{adminKey, limitedKey}, Now: r.server.Now,
	})
	r.url = r.Serve(r.server) + standin.BasePath
	return r
}

// account is how the account is set at the time.
func (r *rig) account() pluginapi.Settings {
	values := map[string]any{"base_url": r.url, "request_timeout": "1s", "organization_id": int64(standin.DemoOrganization)}
	maps.Copy(values, r.values)
	return pluginapi.Settings{Values: values, Secrets: map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret(r.key)}}
}

// order makes a request for names.
func (r *rig) order(product string, names ...string) pluginapi.OrderRequest {
	r.t.Helper()
	return r.orderWithKey(cadrive.NewKey(r.t), product, names...)
}

func (r *rig) orderWithKey(key crypto.Signer, product string, names ...string) pluginapi.OrderRequest {
	r.t.Helper()
	return r.OrderWithKey(key, pluginapi.Settings{Values: map[string]any{
		"product": product, "order_validity": map[string]any{"years": int64(1)}, "skip_approval": true,
	}}, names...)
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

// post makes a call of the API that the plugin does not make.
func (r *rig) post(ctx context.Context, path string, into any) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+path, strings.NewReader("{}"))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-DC-DEVKEY", adminKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode/100 != 2 {
		r.t.Fatalf("POST %s: HTTP %d, %v", path, resp.StatusCode, err)
	}
}
