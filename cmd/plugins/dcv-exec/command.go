package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	// killGrace is how long a program has between SIGTERM and SIGKILL.
	killGrace = 2 * time.Second
	// drainDelay is how long output is awaited that a process which left the process group still holds.
	drainDelay = time.Second
)

// Exit statuses with a meaning (sysexits.h). Every other one but zero is for a person to look at.
const (
	exitTempFail = 75 // EX_TEMPFAIL: try again
	exitNoPerm   = 77 // EX_NOPERM: the credentials
)

// command is one run of a program.
type command struct {
	argv    []string
	env     []string
	input   []byte
	timeout time.Duration
}

// run runs the program in a process group of its own, which ends with it: nothing that it leaves there runs on.
func (c command) run(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	out := &tail{}
	// Without the context's end, at which the library would kill the program alone and not what that has started.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), c.argv[0], c.argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin = "/", c.env, bytes.NewReader(c.input)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = drainDelay
	// The program goes with the plugin, also when that is killed. The signal is tied to the thread that forks.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	if err := ctx.Err(); err != nil {
		return pluginapi.Errorf(pluginapi.Unavailable, "%s was not started: %w", c.name(), err)
	}
	if err := cmd.Start(); err != nil {
		return pluginapi.Errorf(pluginapi.NeedsPerson, "%s cannot be started: %w", c.name(), err)
	}
	stopped, gone := await(limited, cmd.Process.Pid)
	if !gone {
		go func() { _ = cmd.Wait() }() // only to reap it, should it ever end
		return pluginapi.Errorf(pluginapi.NeedsPerson, "%s does not end even after SIGKILL: process %d hangs in the kernel, look at its "+
			"storage%s", c.name(), cmd.Process.Pid, out)
	}
	err := cmd.Wait()
	switch {
	case ctx.Err() != nil && stopped:
		return pluginapi.Errorf(pluginapi.Unavailable, "%s was stopped: %w%s", c.name(), ctx.Err(), out)
	case stopped:
		return pluginapi.Errorf(pluginapi.Unavailable, "%s was stopped after %s with all that it had started: see why it hangs, or raise "+
			"timeout%s", c.name(), c.timeout, out)
	default:
		return c.outcome(err, out)
	}
}

// name is the program with what it was asked to do.
func (c command) name() string { return c.argv[0] + " " + c.argv[len(c.argv)-1] }

// await returns when the program has ended, and reports whether it had to be stopped because the context ended, and
// whether it is gone indeed. The rest of its process group is ended then; the program itself is not reaped before, so that
// the group's number is its own.
func await(ctx context.Context, pid int) (stopped, gone bool) {
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
			continue
		}
	}()
	grace := time.NewTimer(killGrace)
	defer grace.Stop()
	select {
	case <-exited:
	case <-ctx.Done():
		stopped = true
		_ = unix.Kill(-pid, unix.SIGTERM)
		grace.Reset(killGrace)
		select {
		case <-exited:
		case <-grace.C:
		}
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	grace.Reset(killGrace)
	select {
	case <-exited:
		return stopped, true
	case <-grace.C:
		return stopped, false
	}
}

// outcome says what an exit status means.
func (c command) outcome(err error, out *tail) error {
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // it succeeded, and left something behind that holds its output
		return nil
	case !errors.As(err, &exit):
		return pluginapi.Errorf(pluginapi.Unavailable, "%s: %w", c.name(), err)
	case exit.ExitCode() == exitTempFail:
		return pluginapi.Errorf(pluginapi.Unavailable, "%s asks to be run again later (%s)%s", c.name(), exit, out)
	case exit.ExitCode() == exitNoPerm:
		return pluginapi.Errorf(pluginapi.Unauthorized, "%s lacks a right (%s)%s", c.name(), exit, out)
	default:
		return pluginapi.Errorf(pluginapi.NeedsPerson, "%s failed (%s)%s", c.name(), exit, out)
	}
}

// How much of a program's output an error shows.
const (
	tailBytes = 1000
	tailLines = 5
)

// tail keeps the end of what is written to it, and never fails: a program that writes much is not stopped by it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(b) > tailBytes {
		t.text = append(t.text[:0], b[len(b)-tailBytes:]...)
		return len(b), nil
	}
	t.text = append(t.text, b...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

// String returns the last lines as the end of a sentence, or nothing.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for line := range strings.Lines(strings.ToValidUTF8(string(t.text), "\uFFFD")) {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, line))
		if line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return fmt.Sprintf(": %s", strings.Join(lines[max(0, len(lines)-tailLines):], " | "))
}
