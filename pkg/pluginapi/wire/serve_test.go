package wire

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// envServe in the environment makes the test binary a plugin.
const envServe = "WIRE_TEST_SERVE"

// plodder takes a while for GetOrder, and panics in RespondToChallenges.
type plodder struct{ fakeCA }

const plodTime = 500 * time.Millisecond

func (p *plodder) GetOrder(ctx context.Context, o pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	timer := time.NewTimer(plodTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		return pluginapi.OrderReply{Order: pluginapi.Order{Reference: o.Reference, Status: pluginapi.Processing}}, nil
	case <-ctx.Done():
		return pluginapi.OrderReply{}, ctx.Err()
	}
}

func (p *plodder) RespondToChallenges(context.Context, pluginapi.PlacedOrder, []string) (pluginapi.OrderReply, error) {
	panic("a mistake")
}

// host starts the test binary as a plugin.
func host(t *testing.T) (*plugin.Client, *exec.Cmd, *CAClient, *plugin.GRPCClient) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = []string{envServe + "=1", "TMPDIR=" + t.TempDir()}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: Handshake(), VersionedPlugins: VersionedPlugins(), Cmd: cmd, SkipHostEnv: true, AutoMTLS: true,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, Logger: hclog.NewNullLogger(), GRPCDialOptions: DialOptions(),
	})
	t.Cleanup(client.Kill)
	protocol, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := protocol.Dispense(PluginCA)
	if err != nil {
		t.Fatal(err)
	}
	ca := raw.(*CAClient)
	if _, err := ca.Configure(t.Context(), pluginapi.Account{}); err != nil {
		t.Fatal(err)
	}
	return client, cmd, ca, protocol.(*plugin.GRPCClient)
}

func waitExit(t *testing.T, client *plugin.Client, within time.Duration) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !client.Exited() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the plugin still runs after %s", within)
		}
	}
}

func placedOrder(t *testing.T) pluginapi.PlacedOrder {
	t.Helper()
	_, _, csr := testCertificates(t)
	return pluginapi.PlacedOrder{OrderRequest: newOrder(csr), Reference: "r"}
}

func TestSIGTERMLetsTheCallUnderWayFinish(t *testing.T) {
	t.Parallel()
	client, cmd, ca, _ := host(t)
	order := placedOrder(t)
	began := time.Now()
	done := make(chan error, 1)
	go func() {
		_, err := ca.GetOrder(t.Context(), order)
		done <- err
	}()
	<-time.After(plodTime / 5) // the call is on its way; nothing tells when it has arrived
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the call under way: %v after %s", err, time.Since(began))
	}
	waitExit(t, client, drainTime)
}

func TestThePluginDoesNotOutliveItsHost(t *testing.T) {
	t.Parallel()
	client, _, _, protocol := host(t)
	if err := protocol.Conn.Close(); err != nil { // as when the host is killed: no word, only the end of the connection
		t.Fatal(err)
	}
	waitExit(t, client, 2*lonelyTime)
}

func TestAPanicIsAnErrorAndNoMore(t *testing.T) {
	t.Parallel()
	_, _, ca, _ := host(t)
	_, err := ca.RespondToChallenges(t.Context(), placedOrder(t), []string{"1"})
	if pluginapi.KindOf(err) != pluginapi.Unavailable || errors.Is(err, ErrNoDetail) || strings.Contains(err.Error(), "a mistake") {
		t.Errorf("got %s: %v", pluginapi.KindOf(err), err)
	}
	if _, err := ca.GetOrder(t.Context(), placedOrder(t)); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

func TestRunByHand(t *testing.T) {
	t.Parallel()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Env = []string{envServe + "=1"}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "is a plugin of certbridged") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestACallOfADeadProcess(t *testing.T) {
	t.Parallel()
	_, cmd, ca, _ := host(t)
	order := placedOrder(t)
	var killed atomic.Bool
	go func() {
		<-time.After(plodTime / 5)
		killed.Store(true)
		_ = cmd.Process.Kill()
	}()
	_, err := ca.GetOrder(t.Context(), order)
	if !killed.Load() || pluginapi.KindOf(err) != pluginapi.Unavailable || !errors.Is(err, ErrNoDetail) {
		t.Errorf("GetOrder when the process is killed: %s, %v", pluginapi.KindOf(err), err)
	}
	if _, err := ca.PlaceOrder(t.Context(), order.OrderRequest); pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
		t.Errorf("PlaceOrder of a dead process: %s, %v", pluginapi.KindOf(err), err)
	}
}
