// Package peer starts real servers for tests to talk to: the ACME server Pebble with a mock DNS, the name servers BIND
// and PowerDNS, nginx and HAProxy, memcached and one that speaks S3.
//
// Every server runs on free loopback ports (name servers: free loopback addresses) in a folder of its own, ends with the test that started it (and with the
// test binary, however that ends), and shows its log when the test fails.
package peer

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 5 * time.Second
	pollInterval = 5 * time.Millisecond
	logKept      = 64 << 10 // bytes of a server's log that are kept, the last ones
)

// Need returns the path of a program that a test cannot do without. Where it is missing the test is skipped, or fails
// when the environment has CI=true; hint says how to get it.
func Need(t testing.TB, program, hint string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program, "/usr/local/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(t, "needs %s: %s", program, hint)
	return ""
}

// Missing ends a test that lacks what it needs: as skipped, or as failed when the environment has CI=true.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf("SKIP: "+format, args...)
}

// WriteProgram writes a program while nothing is forked: a child would keep the file open for writing, and then it cannot be
// executed.
func WriteProgram(t testing.TB, path string, content []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, content, 0o700); err != nil {
		t.Fatal(err)
	}
}

// FreePort returns a loopback port that nothing uses, by TCP or UDP. It lies below the range from which the kernel
// takes the ports of outgoing connections, so that none of those takes it before the server does.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 10000 + rand.IntN(22000)
		if portFree(port) {
			return port
		}
	}
	t.Fatal("no free loopback port found in 100 tries")
	return 0
}

func portFree(port int) bool {
	addr := loopback(port)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer l.Close()
	p, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	defer p.Close()
	return true
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// process is a server that belongs to a test.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *tail
	done chan struct{} // closed when the process has been waited for
	err  error         // why it ended; read after done
}

// launch starts cmd and stops it when the test ends.
func launch(t testing.TB, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, log: &tail{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.WaitDelay = stopTimeout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error, 1)
	go func() {
		// The death signal is tied to the thread that forks, so that thread stays until the process is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, p.log)
		}
	})
	return p
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process, by force when it does not obey. It may be called again.
func (p *process) stop(t testing.TB) {
	t.Helper()
	select {
	case <-p.done:
		return
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("stop %s: %v", p.name, err)
	}
	timer := time.AfterFunc(stopTimeout, func() {
		t.Errorf("%s did not stop within %s", p.name, stopTimeout)
		// The group, because the server's workers would outlive it.
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
	})
	<-p.done
	timer.Stop()
}

// ready waits until probe returns nil; it gives up when the process ends or the time is up.
func (p *process) ready(probe func() error) error {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := probe()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %w\n%s", p.name, p.err, p.log)
		case <-deadline.C:
			return fmt.Errorf("%s is not ready after %s: %w\n%s", p.name, startTimeout, err, p.log)
		case <-tick.C:
		}
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(b)
	if over := l.buf.Len() - logKept; over > 0 {
		l.buf.Next(over)
	}
	return len(b), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
