package e2e

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is one life of a daemon.
type process struct {
	cmd   *exec.Cmd
	ready chan struct{} // closed when it says that it is ready
	done  chan struct{} // closed when it is gone
	err   error         // how it ended, after done
}

// output collects what all lives of a daemon write.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// launch starts a daemon. It dies with the test binary, however that ends.
func launch(t testing.TB, dir string, out *output, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, ready: make(chan struct{}), done: make(chan struct{})}
	address := &net.UnixAddr{Name: filepath.Join(dir, "notify.sock"), Net: "unixgram"}
	_ = os.Remove(address.Name) // of an earlier life
	notify, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+address.Name)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the death signal follows the thread that forked
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		_ = notify.Close()
		close(p.done)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	go p.listen(notify)
	return p
}

// listen hears what the daemon tells the service manager (sd_notify(3)).
func (p *process) listen(notify *net.UnixConn) {
	message := make([]byte, 4096)
	for told := false; ; {
		n, err := notify.Read(message)
		if err != nil {
			return
		}
		if !told && strings.Contains(string(message[:n]), "READY=1") {
			told = true
			close(p.ready)
		}
	}
}

// signal sends a signal and waits for the end.
func (p *process) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	_ = p.cmd.Process.Signal(sig) // it may be gone already
	select {
	case <-p.done:
	case <-time.After(40 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
		t.Errorf("the daemon did not end within 40 s of %v", sig)
	}
}

// processesOf lists the processes whose executable lies below a folder, by name and process id.
func processesOf(dir string) []string {
	var list []string
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		exe, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(exe, dir+"/") {
			continue
		}
		pid := strings.Split(link, "/")[2]
		if !zombie(pid) {
			list = append(list, filepath.Base(exe)+" "+pid)
		}
	}
	return list
}

// zombie reports whether a process has ended and only waits to be buried.
func zombie(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return true
	}
	_, rest, ok := strings.Cut(string(stat), ") ")
	return ok && strings.HasPrefix(rest, "Z")
}

// memoryOf is the resident memory of a process in bytes.
func memoryOf(t testing.TB, pid int) int {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// await waits until a condition holds. It looks often, and gives up after the limit.
func await(ctx context.Context, limit time.Duration, holds func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return holds()
		case <-tick.C:
		}
	}
	return true
}

// contents is what a file of a process says, or nothing when the process is gone.
func contents(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(text)
}
