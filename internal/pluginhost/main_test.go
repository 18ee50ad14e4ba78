package pluginhost

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// The test binary is three programs: a plugin when it finds the handshake's cookie in its environment, a host that can
// be killed when told so, and the tests.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(wire.CookieKey) != "":
		servePlugin()
	case os.Getenv(hostChildEnv) != "":
		serveHost()
	default:
		goleak.VerifyTestMain(m)
	}
}

// deadline bounds every wait of the tests.
const deadline = 20 * time.Second

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	end := time.Now().Add(deadline)
	for !holds() {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", deadline, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// tempDir makes a folder with a path short enough for sockets.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cbh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// install puts a plugin into a folder as administrators do: a finished file takes its place at once. tail makes it
// another file with the same behaviour.
func install(t *testing.T, dir, name, tail string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path, part := filepath.Join(dir, name), filepath.Join(dir, ".part-"+name)
	// Another process writes it: a descriptor open for writing here would be inherited by a plugin forked meanwhile,
	// and the file could not be executed until that one has let go of it.
	script := `umask 022 && cp "$1" "$2" && printf %s "$3" >> "$2" && chmod 0755 "$2" && mv "$2" "$4"`
	if out, err := exec.Command("/bin/sh", "-c", script, "sh", self, part, tail, path).CombinedOutput(); err != nil {
		t.Fatalf("install %s: %v: %s", name, err, out)
	}
	return path
}

// events collects what a host tells.
type events struct {
	mu   sync.Mutex
	list []Event
}

func (e *events) add(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, event)
}

func (e *events) count(kind EventKind, name string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, event := range e.list {
		if event.Kind == kind && (event.Plugin == name || event.Instance == name) {
			n++
		}
	}
	return n
}

func (e *events) last(kind EventKind) Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range slices.Backward(e.list) {
		if event.Kind == kind {
			return event
		}
	}
	return Event{}
}

// rig is a host on a folder of its own.
type rig struct {
	*Host
	dir, runtime string
	events       *events
}

func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	base := tempDir(t)
	r := &rig{dir: filepath.Join(base, "plugins"), runtime: filepath.Join(base, "run"), events: &events{}}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	opt := Options{
		Dir: r.dir, RuntimeDir: r.runtime, OwnerUID: os.Geteuid(), OnEvent: r.events.add,
		IdleAfter: time.Minute, StartTimeout: deadline, CallTimeout: deadline,
		Policy: Policy{BackoffBase: time.Millisecond, BackoffMax: 2 * time.Millisecond, QuarantineAfter: 100},
	}
	if change != nil {
		change(&opt)
	}
	h, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = h
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if left, _ := filepath.Glob(filepath.Join(r.runtime, "plugin-dir*")); len(left) > 0 {
			t.Errorf("folders left behind: %v", left)
		}
	})
	return r
}

// account makes a CA account of the plugin "test" whose process misbehaves as told from its start.
func (r *rig) account(name, plugin, behaviour string) *CA {
	return r.CA(Instance{Name: name, Plugin: plugin, Env: map[string]string{behaviourEnv: behaviour}})
}

// state returns what the list says of an instance.
func (r *rig) state(t *testing.T, name string) InstanceInfo {
	t.Helper()
	for _, info := range r.List() {
		for _, one := range info.Instances {
			if one.Name == name {
				return one
			}
		}
	}
	t.Fatalf("no instance %s in the list", name)
	return InstanceInfo{}
}

func (r *rig) plugin(t *testing.T, file string) Info {
	t.Helper()
	for _, info := range r.List() {
		if info.File == file {
			return info
		}
	}
	t.Fatalf("no plugin %s in the list", file)
	return Info{}
}

var csr = sync.OnceValue(func() []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "example.com"}}, key)
	if err != nil {
		panic(err)
	}
	return der
})

// request is an order whose certificate name tells the plugin of the tests what to do.
func request(command string) pluginapi.OrderRequest {
	return pluginapi.OrderRequest{
		IdempotencyKey: "00112233445566778899aabbccddeeff", Kind: pluginapi.New, CSR: csr(),
		Identifiers:     []pluginapi.Identifier{{Value: "example.com", Type: pluginapi.DNS, ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}}},
		CertificateName: command,
	}
}

// placed names an order by GetOrder, which is safe to repeat.
func placed(command string) pluginapi.PlacedOrder {
	return pluginapi.PlacedOrder{OrderRequest: request(command), Reference: "r"}
}

// hanging starts a PlaceOrder that never returns by itself and waits until the plugin has it.
func hanging(ctx context.Context, t *testing.T, c *CA) <-chan error {
	t.Helper()
	arrived := filepath.Join(tempDir(t), "arrived")
	result := make(chan error, 1)
	go func() {
		_, err := c.PlaceOrder(ctx, request("hang:"+arrived))
		result <- err
	}()
	eventually(t, "the call is under way", func() bool {
		_, err := os.Stat(arrived)
		return err == nil
	})
	return result
}
