package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"certbridged": func() { os.Exit(mainCode()) }})
}

// TestScripts runs testdata/script/*.txtar against the real program.
//
//	exits CODE ARG...         runs certbridged and wants its exit code; stdout and stderr can be matched after it
//	await PATTERN ARG...      runs certbridged until its output matches
//	build-plugin NAME         builds cmd/plugins/NAME into $PLUGINS
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			plugins := filepath.Join(env.WorkDir, "plugins")
			env.Setenv("PLUGINS", plugins)
			// Everything but the plugin folder stays as testscript made it; plugins want folders nobody else writes to.
			return os.MkdirAll(plugins, 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "await": await, "build-plugin": buildPlugin,
		},
	})
}

// program runs certbridged in a script's folder and returns what it printed and its exit code.
func program(ts *testscript.TestScript, args []string) (stdout, stderr string, code int) {
	var path string
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p := filepath.Join(dir, "certbridged"); path == "" && isFile(p) {
			path = p
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "WORK", "TMPDIR", "CERTBRIDGED_CONFIG", "TEST_SECRET"} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		ts.Fatalf("certbridged %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg {
		ts.Fatalf("usage: exits CODE ARG...")
	}
	stdout, stderr, code := program(ts, args[1:])
	fmt.Fprint(ts.Stdout(), stdout)
	fmt.Fprint(ts.Stderr(), stderr)
	if code != want {
		ts.Fatalf("certbridged %s: exit code %d, want %d\n%s%s", strings.Join(args[1:], " "), code, want, stdout, stderr)
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	pattern, err := regexp.Compile("(?s)" + args[0])
	if err != nil || neg {
		ts.Fatalf("usage: await PATTERN ARG...: %v", err)
	}
	var last string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		stdout, stderr, _ := program(ts, args[1:])
		if last = stdout + stderr; pattern.MatchString(last) {
			fmt.Fprint(ts.Stdout(), stdout)
			return
		}
	}
	ts.Fatalf("certbridged %s never printed %q, but\n%s", strings.Join(args[1:], " "), args[0], last)
}

func buildPlugin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: build-plugin NAME")
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(ts.Getenv("PLUGINS"), args[0]), "github.com/certbridge/certbridged/cmd/plugins/"+args[0])
	if out, err := cmd.CombinedOutput(); err != nil {
		ts.Fatalf("build %s: %v\n%s", args[0], err, out)
	}
}
