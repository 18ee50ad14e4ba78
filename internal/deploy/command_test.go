package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certbridge/certbridged/test/peer"
)

func shell(script string) []string { return []string{"sh", "-c", script} }

func TestCommandOutcome(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	relative := filepath.Join(dir, "hook")
	peer.WriteProgram(t, relative, []byte("#!/bin/sh\npwd\n"))
	cases := map[string]struct {
		argv   []string
		env    map[string]string
		dir    string
		code   int
		output string
		err    string // "" means success
	}{
		"nothing to do":                         {code: -1},
		"success":                               {argv: shell("echo fine"), output: "fine\n"},
		"both outputs in their order":           {argv: shell("echo one; echo two >&2; echo three"), output: "one\ntwo\nthree\n"},
		"exit status":                           {argv: shell("echo broken >&2; exit 3"), code: 3, output: "broken\n", err: "check: command sh: exit status 3"},
		"killed by a signal":                    {argv: shell("kill -SEGV $$"), code: -1, err: "check: command sh: killed by signal 11 (segmentation fault)"},
		"not found":                             {argv: []string{"no-such-program"}, code: -1, err: "check: command no-such-program: not found in /usr/local/sbin:"},
		"path not found":                        {argv: []string{"/no/such/program"}, code: -1, err: "check: command /no/such/program: no such file or directory"},
		"a folder":                              {argv: []string{dir}, code: -1, err: "is a folder, not a program"},
		"not executable":                        {argv: []string{plain}, code: -1, err: "not executable: permission denied"},
		"not executable, found in PATH":         {argv: []string{"plain"}, env: map[string]string{"PATH": dir}, code: -1, err: plain + ": not executable"},
		"relative to the plan's folder":         {argv: []string{"./hook"}, dir: dir, output: dir + "\n"},
		"runs in / by default":                  {argv: []string{"pwd"}, output: "/\n"},
		"arguments reach it as they are":        {argv: []string{"printf", "%s|", "a b", "$HOME", "*"}, output: "a b|$HOME|*|"},
		"empty name":                            {argv: []string{""}, code: -1, err: "the command's name is empty"},
		"bad variable":                          {argv: []string{"true"}, env: map[string]string{"A=B": "x"}, code: -1, err: `environment variable "A=B": not allowed`},
		"output that is not UTF-8":              {argv: []string{"printf", `\377x`}, output: "\uFFFDx"},
		"standard input is empty, not the user": {argv: []string{"cat"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := new(Runner).Check(t.Context(), Plan{Check: c.argv, Env: c.env, Dir: c.dir})
			if got.Stage != StageCheck || got.ExitCode != c.code || got.Output != c.output {
				t.Errorf("stage %q, exit code %d, output %q; want check, %d, %q", got.Stage, got.ExitCode, got.Output, c.code, c.output)
			}
			switch {
			case c.err == "" && got.Err != nil:
				t.Errorf("error %v, want none", got.Err)
			case c.err != "" && (got.Err == nil || !strings.Contains(got.Err.Error(), c.err)):
				t.Errorf("error %v, want %q", got.Err, c.err)
			}
		})
	}
	var failure *CommandError
	if got := new(Runner).Reload(t.Context(), Plan{Reload: shell("exit 7")}); !errors.As(got.Err, &failure) || failure.ExitCode != 7 {
		t.Errorf("error %v is no CommandError with exit status 7", got.Err)
	}
}

func TestCommandEnvironmentHoldsNothingOfOurs(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
	t.Setenv("API_KEY", "planted-secret")
	plan := Plan{
		Certificate: "shop",
		Domains:     []string{"shop.example.com", "www.shop.example.com"},
		Check:       []string{"env"},
		Env:         map[string]string{"CERTBRIDGED_FULLCHAIN": "/etc/tls/shop.pem", "LANG": "de_DE.UTF-8"},
	}
	got := new(Runner).Check(t.Context(), plan)
	want := "CERTBRIDGED_CERTIFICATE=shop\nCERTBRIDGED_DOMAINS=shop.example.com www.shop.example.com\n" +
		"CERTBRIDGED_FULLCHAIN=/etc/tls/shop.pem\nLANG=de_DE.UTF-8\nPATH=" + SearchPath + "\n"
	if got.Err != nil || got.Output != want {
		t.Errorf("environment:\n%s(%v), want:\n%s", got.Output, got.Err, want)
	}
}

func TestHungCommandIsKilledWithItsGrandchildren(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"obeys SIGTERM":                    "sleep 1000 & echo $!; wait",
		"ignores SIGTERM":                  "trap '' TERM; sleep 1000 & echo $!; wait; wait",
		"leader goes, grandchild does not": "(trap '' TERM; sleep 1000; sleep 1000) & echo $!; wait",
	}
	for name, script := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := new(Runner).Reload(t.Context(), Plan{Reload: shell(script), Timeout: time.Second})
			if !errors.Is(got.Err, ErrTimedOut) || !strings.HasPrefix(got.Err.Error(), "reload: command sh: timed out after 1s") {
				t.Errorf("error %v, want timed out", got.Err)
			}
			if got.ExitCode != -1 {
				t.Errorf("exit code %d", got.ExitCode)
			}
			if got.Took > time.Second+3*killGrace {
				t.Errorf("took %s", got.Took)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(got.Output))
			if err != nil {
				t.Fatalf("output before the timeout is lost: %q", got.Output)
			}
			awaitGone(t, pid)
		})
	}
}

// awaitGone waits until a process that is not our child is dead.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for alive(pid) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("process %d is still alive", pid)
		}
		time.Sleep(time.Millisecond)
	}
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The state stands after the name, which is in parentheses; Z is dead and waits to be reaped.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return fields[0] != "Z"
}

func TestCommandEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	marker := filepath.Join(t.TempDir(), "started")
	result := make(chan Result)
	go func() {
		result <- new(Runner).Check(ctx, Plan{Check: shell("touch " + marker + "; exec sleep 1000")})
	}()
	for {
		if _, err := os.Stat(marker); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	got := <-result
	if !errors.Is(got.Err, context.Canceled) || errors.Is(got.Err, ErrTimedOut) {
		t.Errorf("error %v, want context canceled", got.Err)
	}
	got = new(Runner).Check(ctx, Plan{Check: []string{"true"}})
	if !errors.Is(got.Err, context.Canceled) || !strings.Contains(got.Err.Error(), "not started") {
		t.Errorf("error %v, want not started", got.Err)
	}
}

func TestWhatASuccessfulCommandLeavesRunningIsLetAlone(t *testing.T) {
	t.Parallel()
	got := new(Runner).Reload(t.Context(), Plan{Reload: shell("sleep 1000 & echo $!")})
	if got.Err != nil {
		t.Fatalf("error %v", got.Err)
	}
	if got.Took > 10*drainDelay {
		t.Errorf("took %s: a process that holds the output kept us", got.Took)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(got.Output))
	if err != nil {
		t.Fatalf("output %q", got.Output)
	}
	if !alive(pid) {
		t.Error("the process it started is gone")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

func TestLongOutputKeepsBothEnds(t *testing.T) {
	got := new(Runner).Check(t.Context(), Plan{Check: shell("echo first; seq 1 2000000; echo last; exit 1")})
	if got.ExitCode != 1 {
		t.Errorf("exit code %d: %v", got.ExitCode, got.Err)
	}
	if !strings.HasPrefix(got.Output, "first\n1\n2\n") || !strings.HasSuffix(got.Output, "\n2000000\nlast\n") {
		t.Errorf("output begins %q and ends %q", got.Output[:20], got.Output[len(got.Output)-20:])
	}
	if n := len(got.Output); n < headKept+tailKept || n > headKept+tailKept+100 {
		t.Errorf("%d bytes kept", n)
	}
}

func TestOutputKeepsEverythingThatFits(t *testing.T) {
	for _, size := range []int{0, 1, headKept, headKept + 1, headKept + tailKept} {
		for _, step := range []int{1, 7, 4096, 1 << 20} {
			out, want := &output{}, strings.Repeat("0123456789", size/10+1)[:size]
			for rest := want; rest != ""; {
				n, _ := out.Write([]byte(rest[:min(step, len(rest))]))
				rest = rest[n:]
			}
			if got := out.String(); got != want {
				t.Errorf("%d bytes in steps of %d: %d bytes kept", size, step, len(got))
			}
		}
	}
}

// FuzzOutput holds the ring against a plain slice.
func FuzzOutput(f *testing.F) {
	f.Add(headKept, tailKept, 1)
	f.Add(headKept-1, 2*tailKept+3, tailKept)
	f.Add(0, 5*tailKept, 17)
	f.Fuzz(func(t *testing.T, a, b, c int) {
		out, all := &output{}, []byte{}
		for i, n := range []int{a, b, c, b, a} {
			chunk := make([]byte, max(n, 0)%(3*tailKept))
			for j := range chunk {
				chunk[j] = 'a' + byte((i*7+j)%26)
			}
			all = append(all, chunk...)
			if n, err := out.Write(chunk); n != len(chunk) || err != nil {
				t.Fatalf("wrote %d of %d: %v", n, len(chunk), err)
			}
		}
		want := string(all)
		if over := len(all) - headKept - tailKept; over > 0 {
			want = fmt.Sprintf("%s\n... %d bytes left out ...\n%s", all[:headKept], over, all[len(all)-tailKept:])
		}
		if got := out.String(); got != want {
			t.Errorf("kept %d bytes, want %d, or other ones", len(got), len(want))
		}
	})
}
