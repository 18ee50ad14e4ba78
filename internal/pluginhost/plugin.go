package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// defaultPath is the PATH of a plugin, for those that run programs.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// running is one started plugin: a process, the connection to it, and who uses it.
type running struct {
	inst    *instance
	id      identity
	exe     *executable
	proc    *process // nil before go-plugin asked for it
	client  *plugin.Client
	ca      *wire.CAClient
	dcv     *wire.DCVClient
	out     *output
	good    goodSettings // of orders
	started time.Time
	stop    chan struct{} // closed to end it in good order
	gone    chan struct{} // closed when nothing of it is left

	mu    sync.Mutex
	conn  *grpc.ClientConn
	dead  bool   // killed, perhaps before it was started
	cause string // why
	watch *time.Timer

	// Guarded by the instance's lock.
	calls     int
	retired   bool // takes no more calls
	fallen    bool // its unexpected end is on the record
	configure *flight[configured]
	idle      *time.Timer
}

// configured is what Configure said.
type configured struct {
	findings []pluginapi.Finding
	ca       pluginapi.Configured
	dcv      pluginapi.DCVConfigured
}

// flight is work that several callers wait for.
type flight[T any] struct {
	done  chan struct{}
	value T
	err   error
}

func newFlight[T any]() *flight[T] { return &flight[T]{done: make(chan struct{})} }

func (f *flight[T]) finish(value T, err error) {
	f.value, f.err = value, err
	close(f.done)
}

func (f *flight[T]) wait(ctx context.Context) (T, error) {
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		var none T
		return none, undelivered(ctx.Err(), 0)
	}
}

// launch starts a plugin and asks it what it is. On success the process is supervised; on failure nothing is left.
func (h *Host) launch(i *instance) (*running, error) {
	exe, err := h.folder.open(i.file, i.spec.SHA256)
	if err != nil {
		return nil, err
	}
	defer func() { _ = exe.file.Close() }() // the child has its own
	r := &running{
		inst: i, id: exe.id, exe: exe, started: time.Now(),
		stop: make(chan struct{}), gone: make(chan struct{}),
		out: &output{log: i.log, mask: i.mask},
	}
	if !h.track(r) {
		return nil, ErrClosed
	}
	owned := true
	defer func() {
		if owned {
			r.kill("")
			r.cleanUp()
		}
	}()
	r.client = plugin.NewClient(h.clientConfig(r))
	timeout := time.AfterFunc(h.opt.StartTimeout, func() { r.kill(fmt.Sprintf("it was not ready within %s", h.opt.StartTimeout)) })
	defer timeout.Stop()
	if err := r.connect(); err != nil {
		return nil, r.explain(err)
	}
	if err := h.learn(r); err != nil {
		return nil, r.explain(err)
	}
	if err := exe.unchanged(); err != nil {
		return nil, err
	}
	if !timeout.Stop() {
		return nil, r.explain(context.DeadlineExceeded)
	}
	r.watchMemory(h.opt.MaxRSS, h.opt.RSSInterval)
	owned = false
	go r.supervise()
	return r, nil
}

// clientConfig is made anew for each launch: go-plugin keeps state in it.
func (h *Host) clientConfig(r *running) *plugin.ClientConfig {
	return &plugin.ClientConfig{
		HandshakeConfig:  wire.Handshake(),
		VersionedPlugins: wire.VersionedPlugins(),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     h.opt.StartTimeout,
		Logger:           newQuietLog(r.inst.log, r.inst.mask),
		SyncStdout:       &lineWriter{out: r.out, stream: "stdout"},
		SyncStderr:       &lineWriter{out: r.out, stream: "stderr"},
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: h.opt.RuntimeDir},
		GRPCDialOptions:  append(wire.DialOptions(), grpc.WithChainStreamInterceptor(r.keepConn)),
		RunnerFunc: func(_ hclog.Logger, spec *exec.Cmd, dir string) (runner.Runner, error) {
			p := &process{
				exe: r.exe, name: r.inst.file, dir: dir, out: r.out, on: h.starter, exited: make(chan struct{}),
				env: environment(dir, r.inst.spec.Env, spec.Env),
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			p.killed = r.dead
			r.proc = p
			return p, nil
		},
	}
}

// environment is all that a plugin sees: the handshake's variables come last and win.
func environment(dir string, own map[string]string, handshake []string) []string {
	env := []string{"PATH=" + defaultPath, "LANG=C.UTF-8", "TMPDIR=" + dir}
	for name, value := range own {
		env = append(env, name+"="+value)
	}
	return append(env, handshake...)
}

// keepConn remembers the connection that go-plugin makes: when its own set-up fails halfway it leaves it open.
func (r *running) keepConn(
	ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	r.mu.Lock()
	r.conn = cc
	r.mu.Unlock()
	return stream(ctx, desc, cc, method, opts...)
}

// connect runs the process and shakes hands.
func (r *running) connect() error {
	if _, err := r.client.Start(); err != nil {
		return err
	}
	protocol, err := r.client.Client()
	if err != nil {
		return err
	}
	c, ok := protocol.(*plugin.GRPCClient)
	if !ok {
		return errors.New("it does not speak gRPC")
	}
	switch r.inst.kind {
	case KindCA:
		r.ca = wire.NewCAClient(c.Conn)
	case KindDCV:
		r.dcv = wire.NewDCVClient(c.Conn)
	}
	return nil
}

// explain says why a start failed, with how the process ended and its last words. The process is dead afterwards.
func (r *running) explain(err error) error {
	if errors.Is(err, errFileBusy) || errors.Is(err, errNoRoom) || errors.Is(err, ErrClosed) {
		return err
	}
	if r.proc == nil {
		return fmt.Errorf("prepare the start: %w", err)
	}
	cause := r.killCause()
	if cause == "" {
		cause = firstSentence(err.Error())
	}
	if r.proc.number() != 0 {
		// A process that ends by itself breaks the connection a moment before its end is seen.
		r.proc.settle(deathNotice)
		if r.proc.ended() && (!r.proc.wasKilled() || r.proc.verdict != signalVerdict(syscall.SIGKILL)) {
			cause += "; " + r.proc.verdict
		}
	}
	if last := r.out.lastWords(); last != "" {
		cause += "; its last words: " + last
	}
	return fmt.Errorf("%w: %s", ErrStart, clip(r.inst.mask.text(cause), 1000))
}

// firstSentence takes the matter of go-plugin's many-lined messages.
func firstSentence(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if said, ok := strings.CutPrefix(line, "Unrecognized remote plugin message:"); ok {
		if strings.TrimSpace(said) == "" {
			return "it wrote no handshake to its standard output"
		}
		line = "the first line of its standard output is not the handshake:" + said
	}
	return clip(strings.TrimSuffix(line, "."), 500)
}

// kill ends the process at once. The first cause given is the one that is told.
func (r *running) kill(cause string) {
	r.mu.Lock()
	r.dead = true
	if r.cause == "" {
		r.cause = cause
	}
	p := r.proc
	r.mu.Unlock()
	if p != nil {
		_ = p.Kill(context.Background())
	}
}

// connected reports whether the connection holds. The news that it broke may come a moment after a call failed of it.
func (r *running) connected() bool {
	r.mu.Lock()
	conn := r.conn
	r.mu.Unlock()
	if conn == nil || conn.GetState() != connectivity.Ready {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), connNotice)
	defer cancel()
	return !conn.WaitForStateChange(ctx, connectivity.Ready)
}

// connNotice is how long the news of a broken connection may take.
const connNotice = 50 * time.Millisecond

func (r *running) killCause() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cause
}

// watchMemory looks at the resident memory now and then. A timer does it, not a goroutine.
func (r *running) watchMemory(most int64, every time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watch = time.AfterFunc(every, func() {
		if r.proc.ended() {
			return
		}
		if n := r.proc.rss(); n > most {
			r.kill(fmt.Sprintf("it used %d MiB of memory, more than the %d MiB allowed", n>>20, most>>20))
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.watch != nil {
			r.watch.Reset(every)
		}
	})
}

// supervise sees a plugin to its end: one that is asked to stop, or one that ends by itself.
func (r *running) supervise() {
	asked := false
	select {
	case <-r.stop:
		asked = true
	case <-r.proc.exited:
	}
	if !asked {
		r.inst.fell(r)
	}
	r.cleanUp()
	if asked {
		r.inst.stopped(r)
	}
}

// cleanUp ends what is left of the process and lets go of everything that belongs to it.
func (r *running) cleanUp() {
	h := r.inst.host
	r.mu.Lock()
	if r.watch != nil {
		r.watch.Stop()
		r.watch = nil
	}
	r.mu.Unlock()
	// go-plugin asks the plugin to shut down without a time limit and then grants it two seconds.
	grace := time.AfterFunc(h.opt.StopGrace, func() { r.kill("") })
	if r.client != nil {
		r.client.Kill()
	}
	grace.Stop()
	if r.proc != nil {
		_ = r.proc.Kill(context.Background())
		if r.proc.ID() != "" {
			<-r.proc.exited
		}
		r.proc.closePipes()
		_ = os.RemoveAll(r.proc.dir)
	}
	r.mu.Lock()
	conn := r.conn
	r.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
	r.out.finish()
	close(r.gone)
	h.untrack(r)
}
