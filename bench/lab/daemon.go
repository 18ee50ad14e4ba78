package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Daemon is a running daemon.
type Daemon struct {
	// Began is when it was started, Ready when it told the service manager that it is ready.
	Began, Ready time.Time

	folder *Folder
	cmd    *exec.Cmd
	done   chan struct{} // closed when it is gone
	err    error         // how it ended, after done

	mu     sync.Mutex
	follow func(Event)
	words  []string // the last lines that it wrote
}

// keepWords is how many lines of a daemon's log are kept for an error message.
const keepWords = 30

// Start starts the daemon and waits until it is ready. follow is told of every event, one after the other; it may be nil.
// The daemon ends with this process, however that ends.
func (f *Folder) Start(ctx context.Context, follow func(Event)) (*Daemon, error) {
	d := &Daemon{folder: f, done: make(chan struct{}), follow: follow}
	address := &net.UnixAddr{Name: f.Path("notify.sock"), Net: "unixgram"}
	_ = os.Remove(address.Name) // of an earlier life
	notify, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		return nil, err
	}
	d.cmd = exec.Command(f.Binary, "run", "--config", f.Path("config.toml"))
	d.cmd.Dir = f.Dir
	d.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.Dir, "NOTIFY_SOCKET=" + address.Name}, f.Env...)
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.launch(); err != nil {
		return nil, errors.Join(err, notify.Close())
	}
	go func() { // it is heard to its end
		<-d.done
		_ = notify.Close()
	}()
	if err := d.awaitReady(ctx, notify); err != nil {
		return nil, errors.Join(err, d.Kill())
	}
	return d, nil
}

// launch starts the process and reads what it writes.
func (d *Daemon) launch() error {
	log, err := d.cmd.StderrPipe()
	if err != nil {
		return err
	}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the death signal follows the thread that forked
		defer runtime.UnlockOSThread()
		defer close(d.done)
		d.Began = time.Now()
		err := d.cmd.Start()
		started <- err
		if err == nil {
			d.read(log)
			d.err = d.cmd.Wait()
		}
	}()
	return <-started
}

func (d *Daemon) read(log io.Reader) {
	if d.folder.KeepLog {
		if kept, err := os.OpenFile(d.folder.Path("daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
			defer kept.Close()
			log = io.TeeReader(log, kept)
		}
	}
	lines := bufio.NewReaderSize(unhurried{log}, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		d.mu.Lock()
		if d.words = append(d.words, string(bytes.TrimSpace(line))); len(d.words) > 2*keepWords {
			d.words = append(d.words[:0], d.words[keepWords:]...)
		}
		d.mu.Unlock()
		if d.follow == nil || !bytes.Contains(line, []byte(`"event":`)) {
			continue
		}
		if e, err := readEvent(line); err == nil {
			d.follow(e)
		}
	}
}

// unhurried reads what a daemon has written meanwhile, now and then: to be woken for each line would take a share of the processor
// that is to be measured. Events bring their own time.
type unhurried struct{ io.Reader }

const readEvery = 20 * time.Millisecond

func (r unhurried) Read(p []byte) (int, error) {
	time.Sleep(readEvery)
	return r.Reader.Read(p)
}

// awaitReady waits for READY=1 (sd_notify(3)).
func (d *Daemon) awaitReady(ctx context.Context, notify *net.UnixConn) error {
	told := make(chan time.Time, 1)
	go func() {
		message := make([]byte, 4096)
		for {
			n, err := notify.Read(message)
			if err != nil {
				return // closed
			}
			if bytes.Contains(message[:n], []byte("READY=1")) {
				select {
				case told <- time.Now():
				default: // after a reload
				}
			}
		}
	}()
	select {
	case d.Ready = <-told:
		return nil
	case <-d.done:
		return fmt.Errorf("the daemon ended before it was ready: %w\n%s", d.err, d.Words())
	case <-ctx.Done():
		return fmt.Errorf("the daemon is not ready: %w\n%s", context.Cause(ctx), d.Words())
	}
}

// Words are the last lines that the daemon wrote.
func (d *Daemon) Words() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.words, "\n")
}

// PID is the daemon's process.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// Gone is closed when the daemon has ended.
func (d *Daemon) Gone() <-chan struct{} { return d.done }

// stopTimeout is longer than a daemon may take to end.
const stopTimeout = 45 * time.Second

// Stop ends the daemon as a service manager does.
func (d *Daemon) Stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-d.done:
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("the daemon did not end within %s", stopTimeout), d.Kill())
	}
	if d.err != nil {
		return fmt.Errorf("the daemon ended with %w\n%s", d.err, d.Words())
	}
	return nil
}

// Kill ends the daemon at once.
func (d *Daemon) Kill() error {
	_ = d.cmd.Process.Kill() // it may be gone already
	<-d.done
	return nil
}

// Quiet waits until the daemon has rested for a while and returns when the rest began and how much processor time it had
// used by then. Resting is to use less than a fiftieth of a core for window.
func (d *Daemon) Quiet(ctx context.Context, window time.Duration) (since time.Time, used time.Duration, err error) {
	since = time.Now()
	last, err := CPU(d.PID())
	if err != nil {
		return since, 0, err
	}
	start := last
	tick := time.NewTicker(quietTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return since, last, fmt.Errorf("the daemon does not come to rest: %w", context.Cause(ctx))
		case <-d.done:
			return since, last, fmt.Errorf("the daemon ended: %w\n%s", d.err, d.Words())
		case now := <-tick.C:
			used, err := CPU(d.PID())
			if err != nil {
				return since, last, err
			}
			switch {
			case used-start > window/50 || used-last > quietTick/4:
				since, start = now, used
			case now.Sub(since) >= window:
				return since, start, nil
			}
			last = used
		}
	}
}

// quietTick is how often a daemon is looked at that should come to rest: how exact the instant is.
const quietTick = 2 * time.Millisecond
