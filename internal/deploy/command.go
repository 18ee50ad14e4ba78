package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// SearchPath is what commands are looked up in. It is not the daemon's own PATH: a hook behaves the same under
	// systemd and when a person starts the daemon.
	SearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// killGrace is how long a command has between SIGTERM and SIGKILL, and again for the kernel to end it.
	killGrace = 2 * time.Second
	// drainDelay is how long the output of a command that has ended is awaited when a process it left behind still
	// holds it.
	drainDelay = time.Second
)

// CommandError is a command that ran and failed.
type CommandError struct {
	// Command is the program as configured.
	Command string
	// ExitCode is its exit status, or -1 when a signal ended it.
	ExitCode int
	// Signal is the signal that ended it, or 0.
	Signal syscall.Signal
}

// Error says how the command ended.
func (e *CommandError) Error() string {
	if e.Signal != 0 {
		return fmt.Sprintf("command %s: killed by signal %d (%s)", e.Command, int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("command %s: exit status %d", e.Command, e.ExitCode)
}

// environment is the whole environment of the plan's commands.
func (p Plan) environment() map[string]string {
	env := map[string]string{
		"PATH":                    SearchPath,
		"LANG":                    "C.UTF-8",
		"CERTBRIDGED_CERTIFICATE": p.Certificate,
		"CERTBRIDGED_DOMAINS":     strings.Join(p.Domains, " "),
	}
	for name, value := range p.Env {
		env[name] = value
	}
	return env
}

// command is one run of a program.
type command struct {
	argv []string
	dir  string
	env  map[string]string
}

// run starts the command in a process group of its own and waits for it. When ctx ends first, the whole group gets
// SIGTERM and soon SIGKILL; processes that left the group are not reached. What a command that succeeds leaves running is
// let alone: a hook may well start a server.
func (c command) run(ctx context.Context, out io.Writer) (exitCode int, err error) {
	name := c.argv[0]
	if ctx.Err() != nil {
		return -1, fmt.Errorf("command %s: not started: %w", name, context.Cause(ctx))
	}
	cmd, err := c.prepare()
	if err != nil {
		return -1, err
	}
	p, err := start(cmd, out)
	if err != nil {
		return -1, fmt.Errorf("command %s: start: %w", name, err)
	}
	defer p.stopReading()
	select {
	case <-p.exited:
		p.drain(ctx)
		return p.outcome(name)
	case <-ctx.Done():
		if err := p.kill(); err != nil {
			return -1, fmt.Errorf("command %s: %w: %w", name, context.Cause(ctx), err)
		}
		return -1, fmt.Errorf("command %s: %w: killed with its process group", name, context.Cause(ctx))
	}
}

func (c command) prepare() (*exec.Cmd, error) {
	dir := c.dir
	if dir == "" {
		dir = "/"
	}
	path, err := lookUp(c.argv[0], dir, c.env["PATH"])
	if err != nil {
		return nil, err
	}
	env := make([]string, 0, len(c.env))
	for name, value := range c.env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			return nil, fmt.Errorf("environment variable %q: not allowed: the name is empty, or has \"=\", or there is a zero byte", name)
		}
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return &exec.Cmd{
		Path:        path,
		Args:        c.argv,
		Dir:         dir,
		Env:         env,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}, nil
}

// lookUp finds a program: by its path when it has a slash, relative to dir, else in the folders of path.
func lookUp(name, dir, path string) (string, error) {
	if name == "" {
		return "", errors.New("the command's name is empty")
	}
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if err := executable(name); err != nil {
			return "", fmt.Errorf("command %s: %w", name, err)
		}
		return name, nil
	}
	var found error
	for _, folder := range filepath.SplitList(path) {
		if !filepath.IsAbs(folder) {
			continue // neither the current folder nor one below it: nobody means that
		}
		candidate := filepath.Join(folder, name)
		switch err := executable(candidate); {
		case err == nil:
			return candidate, nil
		case !errors.Is(err, fs.ErrNotExist):
			found = fmt.Errorf("command %s: %w", candidate, err)
		}
	}
	if found != nil {
		return "", found
	}
	return "", fmt.Errorf("command %s: not found in %s: install it or write its whole path", name, path)
}

func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			return pe.Err // the path is named by the caller
		}
		return err
	}
	if info.IsDir() {
		return errors.New("is a folder, not a program")
	}
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("not executable: %w", err)
	}
	return nil
}

// process is a command that was started.
type process struct {
	cmd    *exec.Cmd
	pipe   *os.File
	exited chan struct{} // the command has ended and is not reaped: its process group's number is still its own
	read   chan struct{} // its output has ended: no process holds it any more
}

func start(cmd *exec.Cmd, out io.Writer) (*process, error) {
	// A pipe of our own, not one of exec.Cmd, because that one makes Wait depend on who holds the output.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	_ = w.Close() // the child has its own
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	p := &process{cmd: cmd, pipe: r, exited: make(chan struct{}), read: make(chan struct{})}
	go func() {
		defer close(p.exited)
		awaitExit(cmd.Process.Pid)
	}()
	go func() {
		defer close(p.read)
		_, _ = io.Copy(out, r) // ends at end of file or when the pipe is closed
	}()
	return p, nil
}

// awaitExit waits until a child has ended, without reaping it.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// drain waits a little for the rest of the output of a command that has ended.
func (p *process) drain(ctx context.Context) {
	timer := time.NewTimer(drainDelay)
	defer timer.Stop()
	select {
	case <-p.read:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// outcome reaps a command that has ended.
func (p *process) outcome(name string) (int, error) {
	err := p.cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case !errors.As(err, &exit):
		return -1, fmt.Errorf("command %s: wait: %w", name, err)
	}
	failure := &CommandError{Command: name, ExitCode: exit.ExitCode()}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		failure.Signal = status.Signal()
	}
	return failure.ExitCode, failure
}

// kill ends the process group: politely, then by force. It returns an error when even that had no effect in time.
func (p *process) kill() error {
	_ = p.signal(unix.SIGTERM)
	grace := time.NewTimer(killGrace)
	defer grace.Stop()
	for exited, read := p.exited, p.read; exited != nil || read != nil; {
		select {
		case <-exited:
			exited = nil
		case <-read:
			read = nil
		case <-grace.C:
			exited, read = nil, nil
		}
	}
	_ = p.signal(unix.SIGKILL)
	grace.Reset(killGrace)
	select {
	case <-p.exited:
		_ = p.cmd.Wait() // only to reap it
		return nil
	case <-grace.C:
		// A process in an uninterruptible system call dies when that returns, which may be never.
		go func() {
			<-p.exited
			_ = p.cmd.Wait()
		}()
		return fmt.Errorf("process %d does not end even after SIGKILL: it hangs in the kernel, look at its storage", p.cmd.Process.Pid)
	}
}

// signal reaches all of the process group; it must not be called once the command is reaped.
func (p *process) signal(s syscall.Signal) error {
	return unix.Kill(-p.cmd.Process.Pid, s)
}

// stopReading ends the reading of output, also when some process still holds the other end.
func (p *process) stopReading() {
	_ = p.pipe.Close()
	<-p.read
}
