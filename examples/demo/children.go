package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a program that the rehearsal has started. The kernel ends it with this one.
type child struct {
	name  string
	cmd   *exec.Cmd
	lines chan string // what it writes, until it ends
	ended chan struct{}
	log   string
}

// children are all of them, to be ended in the opposite order.
type children struct{ list []*child }

// start starts a program. All that it writes goes to a file of its name in dir, too.
func (c *children) start(dir, name string, env []string, argv ...string) (*child, error) {
	file := filepath.Join(dir, name+".log")
	out, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	read, write := io.Pipe()
	one := &child{name: name, log: file, lines: make(chan string, 1000), ended: make(chan struct{})}
	one.cmd = exec.Command(argv[0], argv[1:]...) // end sees to it
	one.cmd.Env = append(os.Environ(), env...)
	one.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	both := io.MultiWriter(out, write)
	one.cmd.Stdout, one.cmd.Stderr = both, both
	if err := one.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, errors.Join(err, out.Close()))
	}
	c.list = append(c.list, one)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(one.lines)
		for s := bufio.NewScanner(read); s.Scan(); {
			select {
			case one.lines <- s.Text():
			default: // nobody listens any more; the file has it
			}
		}
		_, _ = io.Copy(io.Discard, read)
	})
	go func() {
		_ = one.cmd.Wait() // how it ended is to be seen in its log
		_ = write.Close()
		reading.Wait()
		_ = out.Close()
		close(one.ended)
	}()
	return one, nil
}

// until reads lines until one has a text, and returns all of them.
func (c *child) until(ctx context.Context, text string) ([]string, error) {
	var all []string
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				return nil, fmt.Errorf("%s ended: %s", c.name, strings.Join(all, "\n"))
			}
			all = append(all, line)
			if strings.Contains(line, text) {
				return all, nil
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("%s did not say %q: %w; see %s", c.name, text, ctx.Err(), c.log)
		}
	}
}

// end ends them all, the youngest first.
func (c *children) end() {
	const patience = 20 * time.Second
	for i := len(c.list) - 1; i >= 0; i-- {
		one := c.list[i]
		_ = one.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		select {
		case <-one.ended:
		case <-time.After(patience):
			_ = syscall.Kill(-one.cmd.Process.Pid, syscall.SIGKILL)
			<-one.ended
		}
	}
}
