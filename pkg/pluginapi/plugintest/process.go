package plugintest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 10 * time.Second
	maxOutput    = 8 << 20 // of one process; what is beyond is not searched for secrets
)

// process is one running plugin.
type process struct {
	client *plugin.Client
	cmd    *exec.Cmd
	conn   *grpc.ClientConn
	ca     *wire.CAClient
	dcv    *wire.DCVClient
	dir    string
	output *output
}

// launch starts the executable the way the daemon does.
func launch(o Options, rec *recorder) (*process, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", o.Path, err)
	}
	dir, err := os.MkdirTemp("", "plugintest-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the socket: %w", err)
	}
	out := &output{}
	cmd := exec.Command(path, o.Args...) //nolint:noctx // it lives longer than any call; stop ends it
	cmd.Dir = dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir, "HOME=" + dir, plugin.EnvUnixSocketDir + "=" + dir,
	}, o.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: wire.Handshake(), VersionedPlugins: wire.VersionedPlugins(),
		Cmd: cmd, SkipHostEnv: true, AutoMTLS: true, AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		StartTimeout: startTimeout, Logger: hclog.NewNullLogger(),
		Stderr: out, SyncStdout: out, SyncStderr: out,
		GRPCDialOptions: append(wire.DialOptions(), grpc.WithUnaryInterceptor(rec.intercept)),
	})
	p := &process{client: client, cmd: cmd, dir: dir, output: out}
	rec.watch(out)
	if err := p.connect(); err != nil {
		p.stop()
		return nil, errors.Join(err, out.lastWords())
	}
	return p, nil
}

func (p *process) connect() error {
	protocol, err := p.client.Client()
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if v := p.client.NegotiatedVersion(); v != wire.ProtocolVersion {
		return fmt.Errorf("start: protocol version %d is not %d", v, wire.ProtocolVersion)
	}
	g, ok := protocol.(*plugin.GRPCClient)
	if !ok {
		return errors.New("start: the plugin does not speak gRPC")
	}
	p.conn, p.ca, p.dcv = g.Conn, wire.NewCAClient(g.Conn), wire.NewDCVClient(g.Conn)
	return nil
}

// alive reports whether the process still answers.
func (p *process) alive(ctx context.Context) bool {
	if p.client.Exited() {
		return false
	}
	_, caErr := p.ca.Describe(ctx)
	if caErr == nil {
		return true
	}
	_, dcvErr := p.dcv.Describe(ctx)
	return dcvErr == nil
}

// kill ends the process as a crash would, with everything it started.
func (p *process) kill() {
	if p.cmd.Process != nil {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
	p.stop()
}

// stop ends the process in good order where it can. It may be called twice.
func (p *process) stop() {
	p.client.Kill()
	if p.cmd.Process != nil {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // what it may have left behind in its group
	}
	_ = os.RemoveAll(p.dir)
}

// output keeps what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if room := maxOutput - o.text.Len(); room > 0 {
		o.text.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

func (o *output) contains(secret []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Contains(o.text.Bytes(), secret)
}

func (o *output) lastWords() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := bytes.TrimSpace(o.text.Bytes())
	if len(text) == 0 {
		return nil
	}
	if len(text) > 1000 {
		text = text[len(text)-1000:]
	}
	return fmt.Errorf("its last words: %q", text)
}
