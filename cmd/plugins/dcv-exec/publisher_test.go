package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// running makes a publisher whose program is a shell script, in $0's folder.
func running(t *testing.T, text string, values map[string]any, env ...string) (p *publisher, dir string) {
	t.Helper()
	program := script(t, text)
	settings := map[string]any{"command": []any{"/bin/sh", program}}
	for name, value := range values {
		settings[name] = value
	}
	p = &publisher{version: "test", environ: func() []string { return env }}
	c, err := p.Configure(t.Context(), pluginapi.DCVProfile{
		Settings: pluginapi.Settings{Values: settings}, DNSResolvers: []string{"192.0.2.1:53", "[2001:db8::1]:53"},
	})
	if err != nil || len(c.Findings) > 0 {
		t.Fatal(err, c.Findings)
	}
	return p, filepath.Dir(program)
}

func TestWhatTheProgramGets(t *testing.T) {
	p, dir := running(t, `cat >"${0%/*}/input"; env -0 >"${0%/*}/env"; echo "$@" >"${0%/*}/args"; pwd >"${0%/*}/pwd"`, nil,
		"TOKEN=secret", "PLUGIN_CLIENT_CERT=x", "CERTBRIDGED_PLUGIN=x", "CERTBRIDGED_VALUE=old", "CERTBRIDGED_OTHER=kept")
	body := "line 1\nline 2 = \"ü\"\n"
	for _, c := range []struct {
		challenge pluginapi.Challenge
		want      job
	}{
		{challenges()[0], job{Action: "publish", Type: "TXT", Identifier: "shop.example.com", Name: "_dnsauth.shop.example.com", Value: `one "quoted" $(value) \ 'x'`}},
		{
			pluginapi.Challenge{Identifier: "a.example", HTTP: &pluginapi.HTTPFile{Host: "a.example", Path: "/.well-known/x", Body: body}},
			job{Action: "publish", Type: "HTTP", Identifier: "a.example", Host: "a.example", Path: "/.well-known/x", Body: body},
		},
	} {
		if _, err := p.Publish(t.Context(), c.challenge); err != nil {
			t.Fatal(err)
		}
		var got job
		if err := json.Unmarshal(read(t, dir, "input"), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Error(diff)
		}
		var env []string
		for entry := range bytes.SplitSeq(bytes.TrimSuffix(read(t, dir, "env"), []byte{0}), []byte{0}) {
			// What the shell adds by itself.
			if name, _, _ := strings.Cut(string(entry), "="); !slices.Contains([]string{"PWD", "OLDPWD", "SHLVL", "_"}, name) {
				env = append(env, string(entry))
			}
		}
		slices.Sort(env)
		want := []string{
			"CERTBRIDGED_ACTION=publish", "CERTBRIDGED_TYPE=" + c.want.Type, "CERTBRIDGED_IDENTIFIER=" + c.want.Identifier,
			"CERTBRIDGED_NAME=" + c.want.Name, "CERTBRIDGED_VALUE=" + c.want.Value,
			"CERTBRIDGED_HOST=" + c.want.Host, "CERTBRIDGED_PATH=" + c.want.Path, "CERTBRIDGED_BODY=" + c.want.Body,
			"CERTBRIDGED_DNS_RESOLVERS=192.0.2.1:53 [2001:db8::1]:53", "CERTBRIDGED_OTHER=kept", "TOKEN=secret", "PATH=" + searchPath,
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, env); diff != "" {
			t.Error(diff)
		}
		if got := string(read(t, dir, "args")); got != "publish\n" {
			t.Errorf("the arguments are %q", got)
		}
		if got := string(read(t, dir, "pwd")); got != "/\n" {
			t.Errorf("the folder is %q", got)
		}
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		kind   pluginapi.ErrorKind
		words  []string
		never  string
	}{
		"success":            {"exit 0", 0, nil, ""},
		"input is not read":  {"exec <&-; exit 0", 0, nil, ""},
		"failure":            {"echo no such zone >&2; exit 1", pluginapi.NeedsPerson, []string{"withdraw failed (exit status 1): no such zone"}, ""},
		"failure in silence": {"exit 3", pluginapi.NeedsPerson, []string{"failed (exit status 3)"}, ""},
		"try again":          {"echo busy; exit 75", pluginapi.Unavailable, []string{"asks to be run again later (exit status 75): busy"}, ""},
		"no right":           {"echo login; exit 77", pluginapi.Unauthorized, []string{"lacks a right", "login"}, ""},
		"killed":             {"kill -9 $$", pluginapi.NeedsPerson, []string{"signal: killed"}, ""},
		"much to say":        {"i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; exit 1", pluginapi.NeedsPerson, []string{"line 4995 | line 4996 | line 4997 | line 4998 | line 4999"}, "line 4994"},
		"one long line":      {"head -c 100000 /dev/zero | tr '\\0' x; exit 1", pluginapi.NeedsPerson, []string{"xxx"}, strings.Repeat("x", tailBytes+1)},
		"control characters": {`printf 'a\033[31mb\001c\377\n'; exit 1`, pluginapi.NeedsPerson, []string{"a [31mb c\uFFFD"}, "\x1b"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := running(t, c.script, nil)
			err := p.Withdraw(t.Context(), challenges()[0], nil)
			if pluginapi.KindOf(err) != c.kind || (err != nil) != (c.kind != 0) {
				t.Fatalf("got %s: %v, want %s", pluginapi.KindOf(err), err, c.kind)
			}
			for _, words := range c.words {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("%q does not say %q", err, words)
				}
			}
			if c.never != "" && strings.Contains(err.Error(), c.never) {
				t.Errorf("%q holds %q", err, c.never)
			}
		})
	}
}

// hangs starts a child that outlives SIGTERM, as it does itself, and says so when all of that is in place.
const hangs = `trap '' TERM
(trap '' TERM; echo waiting; while :; do sleep 1; done) &
echo $! >"${0%/*}/child.new"; mv "${0%/*}/child.new" "${0%/*}/child"
while :; do sleep 1; done`

func TestTimeoutEndsTheWholeGroup(t *testing.T) {
	p, dir := running(t, hangs, map[string]any{"timeout": "1s"})
	began := time.Now()
	_, err := p.Publish(t.Context(), challenges()[0])
	if pluginapi.KindOf(err) != pluginapi.Unavailable || !strings.Contains(err.Error(), "was stopped after 1s with all that it had started") ||
		!strings.Contains(err.Error(), "waiting") {
		t.Errorf("got %s: %v", pluginapi.KindOf(err), err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	expectGone(t, dir)
}

// expectGone waits for the kernel to end the child that hangs started; it is killed when the call returns.
func expectGone(t *testing.T, dir string) {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(string(read(t, dir, "child"))))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		// A process that nobody has reaped yet is a zombie.
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("process %d runs on", pid)
		}
	}
}

func TestCallerGivesUp(t *testing.T) {
	p, dir := running(t, hangs, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := p.Publish(ctx, challenges()[0])
		done <- err
	}()
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := os.Stat(filepath.Join(dir, "child")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Error("the program does not start")
			break
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	expectGone(t, dir)
	if _, err := p.Publish(ctx, challenges()[0]); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "was not started") {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// What a program that succeeds leaves in its process group ends with it.
func TestNothingIsLeftRunning(t *testing.T) {
	p, dir := running(t, `sleep 1000 & echo $! >"${0%/*}/child"`, nil)
	if _, err := p.Publish(t.Context(), challenges()[0]); err != nil {
		t.Fatal(err)
	}
	expectGone(t, dir)
}

func TestChallengesThatCannotBeHandedOver(t *testing.T) {
	p, _ := running(t, "exit 0", nil)
	for _, c := range []pluginapi.Challenge{
		{Email: &pluginapi.Email{Recipients: []string{"a@b.example"}}},
		{HTTP: &pluginapi.HTTPFile{Host: "a", Path: "/.well-known/x", Body: "a\x00b"}},
	} {
		if _, err := p.Publish(t.Context(), c); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
			t.Errorf("%s: %v", c.Type(), err)
		}
	}
	if err := os.Remove(p.settings.command[1]); err != nil {
		t.Fatal(err)
	}
	p.settings.command = p.settings.command[1:]
	if _, err := p.Publish(t.Context(), challenges()[0]); pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), "cannot be started") {
		t.Errorf("a program that is gone: %v", err)
	}
}
