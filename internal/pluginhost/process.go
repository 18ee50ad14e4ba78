package pluginhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pipeDrain is how long the streams of a dead plugin are read on; only something that fled from its process group
	// can hold them open.
	pipeDrain = 500 * time.Millisecond
	// oomScore makes the kernel take a plugin before the daemon (proc(5), oom_score_adj: -1000 to 1000).
	oomScore = "500"
)

// process is a plugin's operating system process: it implements go-plugin's runner.Runner. It differs from go-plugin's
// own in that it starts on the host's thread, in a process group that is killed as a whole, from an open file, and that
// nothing that outlives the plugin can hold it up.
type process struct {
	exe  *executable
	name string   // the file's name, which the process shows
	env  []string // go-plugin's and ours
	dir  string   // private folder of this launch
	out  *output
	on   *starter

	cmd            *exec.Cmd
	stdout, stderr *os.File // our ends
	exited         chan struct{}

	mu      sync.Mutex
	pid     int // zero before the start
	reaped  bool
	killed  bool
	verdict string // how it ended, set before exited is closed
}

// procSelfFd is the descriptor at which a child finds its own executable: the first of exec.Cmd.ExtraFiles.
const procSelfFd = "/proc/self/fd/3"

// Start runs the open file. A link of the plugin's name in the private folder leads to the descriptor, so that the
// process list shows the name; an interpreter opens the same descriptor through it.
func (p *process) Start(context.Context) error {
	link := filepath.Join(p.dir, p.name)
	if err := os.Symlink(procSelfFd, link); err != nil {
		return fmt.Errorf("make the link to run: %w", err)
	}
	stdout, childOut, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer func() { _ = childOut.Close() }()
	stderr, childErr, err := os.Pipe()
	if err != nil {
		_ = stdout.Close()
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer func() { _ = childErr.Close() }()
	p.cmd = &exec.Cmd{
		Path: link, Args: []string{p.exe.real}, Env: p.env, Dir: "/",
		Stdout: childOut, Stderr: childErr,
		ExtraFiles:  []*os.File{p.exe.file},
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	if err := p.fork(); err != nil {
		_, _ = stdout.Close(), stderr.Close()
		return startError(err)
	}
	p.stdout, p.stderr = stdout, stderr
	// The plugin may be gone already; that shows by itself.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.pid), []byte(oomScore), 0)
	logged := make(chan struct{})
	go p.readStderr(logged)
	go p.reap(logged)
	return nil
}

// fork starts the process, unless it was killed before.
func (p *process) fork() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed {
		return ErrClosed
	}
	if err := p.on.do(p.cmd.Start); err != nil {
		return err
	}
	p.pid = p.cmd.Process.Pid
	return nil
}

// What keeps a plugin from being started and is not its fault.
var (
	errFileBusy = errors.New("its file is open for writing, as while it is being copied into the folder")
	errNoRoom   = errors.New("the system has no room for another process")
)

func startError(err error) error {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err // the path is that of the private link
	}
	for _, passing := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, passing) {
			return fmt.Errorf("%w: %w", errNoRoom, err)
		}
	}
	if errors.Is(err, syscall.ETXTBSY) {
		return errFileBusy
	}
	if errors.Is(err, ErrClosed) {
		return err
	}
	return fmt.Errorf("execute: %w", err)
}

func (p *process) readStderr(done chan<- struct{}) {
	defer close(done)
	w := &lineWriter{out: p.out, stream: "stderr"}
	_, _ = io.Copy(w, p.stderr)
	_ = w.Close()
}

// reap waits for the end of the process. The whole process group is killed while the leader is still a zombie, which
// keeps its number from being given to somebody else.
func (p *process) reap(logged <-chan struct{}) {
	for {
		err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	p.mu.Lock()
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	err := p.cmd.Wait()
	p.reaped = true
	p.mu.Unlock()

	deadline := time.Now().Add(pipeDrain)
	_, _ = p.stdout.SetReadDeadline(deadline), p.stderr.SetReadDeadline(deadline)
	<-logged
	p.verdict = verdict(err)
	close(p.exited)
}

func verdict(err error) string {
	if err == nil {
		return "it ended with status 0"
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return "waiting for it failed: " + err.Error()
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return signalVerdict(ws.Signal())
	}
	return fmt.Sprintf("it ended with status %d", exit.ExitCode())
}

func signalVerdict(s syscall.Signal) string {
	return fmt.Sprintf("it was ended by signal %d (%s)", int(s), s)
}

// Wait waits for the end of the process.
func (p *process) Wait(ctx context.Context) error {
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill kills the process group at once. It may be called at any time and more than once.
func (p *process) Kill(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return nil
	}
	p.killed = true
	if p.pid == 0 {
		return nil
	}
	if err := syscall.Kill(-p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill process group %d: %w", p.pid, err)
	}
	return nil
}

// wasKilled reports whether the host ended it.
func (p *process) wasKilled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killed
}

// settle waits at most so long for the process to be gone.
func (p *process) settle(most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
	}
}

// number is the process number, or zero before the start.
func (p *process) number() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}

// ended reports whether the process is gone.
func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// closePipes lets go of the streams once nobody reads them.
func (p *process) closePipes() {
	if p.stdout != nil {
		_, _ = p.stdout.Close(), p.stderr.Close()
	}
}

// Stdout gives the handshake line to go-plugin. What comes after it is read and dropped.
func (p *process) Stdout() io.ReadCloser { return &firstLine{file: p.stdout} }

// Stderr gives go-plugin nothing: the host reads the stream itself, with its bounds.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name is the real path of the executable.
func (p *process) Name() string { return p.exe.real }

// ID is the process number, or empty before the start.
func (p *process) ID() string {
	if n := p.number(); n != 0 {
		return strconv.Itoa(n)
	}
	return ""
}

// Diagnose has nothing to add: the host reports how the process ended and its last words.
func (p *process) Diagnose(context.Context) string { return "" }

// PluginToHost checks where the plugin wants to be reached: a socket in the folder it was given, or a port of the
// loopback interface for languages that cannot do otherwise. The one-time certificates protect both.
func (p *process) PluginToHost(network, address string) (string, string, error) {
	switch network {
	case "unix":
		real, err := filepath.EvalSymlinks(address)
		if err != nil || filepath.Dir(real) != filepath.Clean(p.dir) {
			return "", "", fmt.Errorf("the plugin named the socket %q, which is not in its folder", clip(address, 200))
		}
	case "tcp":
		host, _, err := net.SplitHostPort(address)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			return "", "", fmt.Errorf("the plugin named the address %q, which is not on the loopback interface", clip(address, 200))
		}
	default:
		return "", "", fmt.Errorf("the plugin named a network %q, neither unix nor tcp", clip(network, 50))
	}
	return network, address, nil
}

// HostToPlugin changes nothing.
func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// rss returns the resident memory of the process in bytes, or zero when it is not known.
func (p *process) rss() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid == 0 || p.reaped {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// maxHandshake bounds the handshake line; with a certificate it has about 1,200 bytes.
const maxHandshake = 8 << 10

// firstLine passes on a stream up to its first end of line and swallows the rest, so that a plugin never waits for
// somebody to read its standard output and no long line ends the reading.
type firstLine struct {
	file *os.File
	seen int
	past bool
}

// Read implements io.Reader.
func (r *firstLine) Read(buf []byte) (int, error) {
	for {
		n, err := r.file.Read(buf)
		n = r.pass(buf[:n])
		if err != nil {
			return n, io.EOF
		}
		if n > 0 {
			return n, nil
		}
	}
}

// pass returns how much of what was read belongs to the first line. One that is too long is ended.
func (r *firstLine) pass(read []byte) int {
	if r.past || len(read) == 0 {
		return 0
	}
	if i := bytes.IndexByte(read, '\n'); i >= 0 && r.seen+i < maxHandshake {
		r.past = true
		return i + 1
	}
	if r.seen += len(read); r.seen >= maxHandshake {
		r.past = true
		read[len(read)-1] = '\n'
	}
	return len(read)
}

// Close implements io.Closer.
func (r *firstLine) Close() error { return r.file.Close() }
