package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
	"github.com/certbridge/certbridged/test/peer"
)

// asPlugin in the environment makes the test binary the plugin itself: one that is built without literal records.
const asPlugin = "DCV_LEGO_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
		return
	}
	// Some providers log in when they are made. No test reaches further than this machine, and none waits for an answer:
	// nothing listens on port 1. What listens on this machine is reached without a proxy.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		if err := os.Setenv(name, "http://127.0.0.1:1"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// process is a running plugin with a profile.
type process struct {
	*wire.DCVClient
	cmd        *exec.Cmd
	client     *plugin.Client
	log        *tail
	configured pluginapi.DCVConfigured
	took       time.Duration // from the start to the answer of Configure
}

type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// launch starts a plugin with the environment of a profile and nothing else, and configures it.
func launch(t *testing.T, path string, env map[string]string, values map[string]any, resolvers ...string) *process {
	t.Helper()
	dir, err := os.MkdirTemp("", "dcv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cmd := exec.Command(path)
	cmd.Env = append(environ(env), "PATH="+os.Getenv("PATH"), "TMPDIR="+dir, "HOME="+dir, plugin.EnvUnixSocketDir+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, log: &tail{}}
	began := time.Now()
	p.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: wire.Handshake(), VersionedPlugins: wire.VersionedPlugins(), Cmd: cmd, SkipHostEnv: true, AutoMTLS: true,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, Logger: hclog.NewNullLogger(), Stderr: p.log,
		GRPCDialOptions: wire.DialOptions(),
	})
	t.Cleanup(func() {
		p.client.Kill()
		if t.Failed() {
			t.Logf("log of the plugin:\n%s", p.log)
		}
	})
	protocol, err := p.client.Client()
	if err != nil {
		t.Fatal(err)
	}
	p.DCVClient = wire.NewDCVClient(protocol.(*plugin.GRPCClient).Conn)
	p.configured, err = p.Configure(t.Context(), pluginapi.DCVProfile{Settings: pluginapi.Settings{Values: values}, DNSResolvers: resolvers})
	if err != nil {
		t.Fatal(err)
	}
	p.took = time.Since(began)
	for _, f := range p.configured.Findings {
		if f.Severity == pluginapi.Fault {
			t.Fatalf("%s: %s", f.Field, f.Message)
		}
	}
	return p
}

// kill is a crash.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.client.Kill()
}

func environ(env map[string]string) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

func (p *process) publish(t *testing.T, c pluginapi.Challenge) []byte {
	t.Helper()
	receipt, err := p.Publish(t.Context(), c)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return receipt
}

func (p *process) withdraw(t *testing.T, c pluginapi.Challenge, receipt []byte) {
	t.Helper()
	if err := p.Withdraw(t.Context(), c, receipt); err != nil {
		t.Fatalf("withdraw: %v", err)
	}
}

func wantTXT(t *testing.T, s peer.NameServer, name, when string, want ...string) {
	t.Helper()
	if got := s.TXT(t, name); !slices.Equal(got, want) {
		t.Errorf("%s: %s has %q, want %q", when, name, got, want)
	}
}

func wantKind(t *testing.T, err error, kind pluginapi.ErrorKind, parts ...string) {
	t.Helper()
	if pluginapi.KindOf(err) != kind {
		t.Fatalf("error %v of kind %s, want %s", err, pluginapi.KindOf(err), kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

// memory is what a process holds of the machine's, in KiB.
func (p *process) memory(t *testing.T) (kib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		peer.Missing(t, "needs /proc: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return kib
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
