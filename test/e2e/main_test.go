package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// base is the folder of everything a run of the tests makes. Plugins must lie in folders that nobody else may write, so
// it is not the system's folder for temporary files.
var base string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// waiting is how many tests run at once unless -parallel says otherwise. They spend their time waiting, not computing.
const waiting = "24"

func run(m *testing.M) int {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", waiting); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	home, err := os.UserHomeDir()
	if err == nil {
		base, err = os.MkdirTemp(home, ".cb-e2e-") // short: a control socket's path has 107 bytes at most
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a folder for the tests:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(base) }() // nothing depends on it any more
	return m.Run()
}

const module = "github.com/certbridge/certbridged/"

// build is a program that is built once for all tests.
type build struct {
	pkg, file string
	args      []string
	once      sync.Once
	path      string
	err       error
}

// strip makes plugins small, for every rig has copies of them.
var strip = []string{"-ldflags", "-s -w"}

// The programs. failing is the daemon with its failpoints, daemon the one that users get.
var (
	failing    = &build{pkg: "cmd/certbridged", file: "failing/certbridged", args: []string{"-tags", "failpoint"}}
	daemon     = &build{pkg: "cmd/certbridged", file: "daemon/certbridged", args: []string{"-trimpath", "-ldflags", "-s -w"}}
	caFake     = &build{pkg: "test/plugins/ca-fake", file: "plugins/ca-fake", args: strip}
	caACME     = &build{pkg: "cmd/plugins/ca-acme", file: "plugins/ca-acme", args: strip}
	caDigiCert = &build{pkg: "cmd/plugins/ca-digicert", file: "plugins/ca-digicert", args: strip}
	caLocal    = &build{pkg: "cmd/plugins/ca-local", file: "plugins/ca-local", args: strip}
	dcvRFC2136 = &build{pkg: "cmd/plugins/dcv-rfc2136", file: "plugins/dcv-rfc2136", args: strip}
	buildOnce  sync.Mutex // one at a time: they share the compiler's work
)

// get builds the program where that has not been done yet.
func (b *build) get(t testing.TB) string {
	t.Helper()
	b.once.Do(func() { b.path, b.err = b.make() })
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.path
}

func (b *build) make() (string, error) {
	buildOnce.Lock()
	defer buildOnce.Unlock()
	path := filepath.Join(base, b.file)
	args := append([]string{"build", "-o", path}, b.args...)
	cmd := exec.Command("go", append(args, module+b.pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("build %s: %w", b.pkg, err), errors.New(string(out)))
	}
	return path, nil
}
