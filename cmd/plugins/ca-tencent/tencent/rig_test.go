package tencent

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"log/slog"
	"math/big"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/tencent"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

// TestMain lets more tests run at once than there are processors: most of their time they wait for a pause to end.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// authority signs for all stand-ins of a test run: its keys take a while.
var authority = sync.OnceValues(standin.NewAuthority)

// testKey is the account's key at the stand-in.
func testKey() standin.Key {
	return standin.Key{SecretID: "AKIDFORTESTS0123456789", SecretKey: "SECRETKEYFORTESTS0123456789"}
}

// rig is an account at a stand-in, and what drives the plugin there.
type rig struct {
	*cadrive.Driver[*CA]
	t      testing.TB
	server *standin.Server
	url    string
	key    standin.Key
	values map[string]any // account settings
}

func newRig(t testing.TB, change ...func(*standin.Settings)) *rig {
	t.Helper()
	signer, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, key: testKey(), values: map[string]any{}}
	world := cadrive.NewWorld(t)
	settings := standin.DefaultSettings()
	settings.RateLimits = false // every call is made by a plugin of its own, which begins to count anew
	settings.CheckInterval = 0
	for _, c := range change {
		c(&settings)
	}
	r.server, err = standin.New(standin.Options{
		Authority: signer, Settings: &settings, Look: world.Look(),
		Keys: []standin.Key{testKey(), {SecretID: "AKIDPOOR0123456789", SecretKey: "SECRETPOOR0123456789", Denied: []string{"CreateCertificate"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Driver = cadrive.New(t, cadrive.Options[*CA]{
		World: world, Roots: r.server.RootsPEM, Now: r.server.Now, Secrets: []string{testKey().SecretKey, "SECRETPOOR0123456789"},
		Start: func(log *slog.Logger) *CA { return New(Options{Version: "1.2.3", Now: r.server.Now, Logger: log}) },
		Settings: func() pluginapi.Settings {
			values := map[string]any{"base_url": r.url, "request_timeout": "1s"}
			for k, v := range r.values {
				values[k] = v
			}
			return pluginapi.Settings{Values: values, Secrets: map[string]pluginapi.Secret{
				"secret_id": pluginapi.NewSecret(r.key.SecretID), "secret_key": pluginapi.NewSecret(r.key.SecretKey),
			}}
		},
		Wait: func(d time.Duration) {
			if err := r.server.Advance(d); err != nil {
				t.Error(err)
			}
		},
	})
	r.url = r.Serve(r.server)
	t.Cleanup(func() {
		if t.Failed() {
			for _, c := range r.server.Calls() {
				t.Logf("%s %d %s %s %q", c.Path, c.Status, c.Code, c.Misbehaved, c.Remarks)
			}
		}
	})
	return r
}

// dv are order settings of a product of DNSPod with an individual's contact.
func dv(product int) pluginapi.Settings {
	return pluginapi.Settings{Values: map[string]any{"ProductId": int64(product), "TimeSpan": int64(1), "ContactEmail": "certs@example.com"}}
}

// The products.
const (
	dvOne, dvWildcard, dvMany = 48, 49, 50
	ovOne                     = 43
)

// bought holds how often money was spent and reissues were made.
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

// selfSigned is a certificate that nobody has bought.
func selfSigned(t testing.TB, key *ecdsa.PrivateKey, name string) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}
