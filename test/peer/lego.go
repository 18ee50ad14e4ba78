package peer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// DCVLego returns the path of a dcv-lego that takes literal records and paths, as "make build" builds it. The path is
// the test's own, in a folder that the plugin host accepts, and ends with the test.
func DCVLego(t testing.TB) string {
	t.Helper()
	Need(t, "go", "the Go tool chain builds dcv-lego")
	built, err := builtDCVLego()
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir, which others may be able to write, if the umask lets them.
	dir, err := os.MkdirTemp("", "dcv-lego-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "dcv-lego")
	if err := linkOrCopy(built, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// LegoModFile returns the module file that makes the go command take the copy of lego with literal records for lego:
// "go build -modfile=...", with GOWORK=off in the environment.
func LegoModFile(t testing.TB) string {
	t.Helper()
	Need(t, "go", "the Go tool chain makes the copy of lego")
	path, err := legoModFile()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var (
	legoModFile  = sync.OnceValues(makeLegoCopy)
	builtDCVLego = sync.OnceValues(buildDCVLego)
)

// makeLegoCopy makes the copy where "make build" makes it, in the module's build folder.
func makeLegoCopy() (string, error) {
	root, err := goInModule("", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return "", err
	}
	root = strings.TrimSpace(root)
	if _, err := goInModule(root, "run", "./tools/legohook", "-out", "build"); err != nil {
		return "", err
	}
	return filepath.Join(root, "build", "lego.mod"), nil
}

// buildDCVLego builds into a folder that all test processes share: linking takes long, and is not done again for what is
// up to date. One builds at a time; a finished program takes the place of an old one at once.
func buildDCVLego() (path string, err error) {
	mod, err := legoModFile()
	if err != nil {
		return "", err
	}
	build := filepath.Dir(mod)
	shared := filepath.Join(build, "peer")
	if err := os.MkdirAll(shared, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(shared, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	for {
		if err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("wait for another build of dcv-lego: %w", err)
	}
	path = filepath.Join(shared, "dcv-lego")
	_, err = goInModule(filepath.Dir(build), "build", "-trimpath", "-ldflags", "-s -w", "-modfile="+mod, "-o", path, "./cmd/plugins/dcv-lego")
	return path, errors.Join(err, os.Chmod(path, 0o755))
}

// goInModule runs the go command in a folder of the module and returns what it prints.
func goInModule(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if dir != "" {
		// On the file system of the result: the go command renames it into place, and else would write over it.
		shared := filepath.Join(dir, "build", "peer")
		if err := os.MkdirAll(shared, 0o755); err != nil {
			return "", err
		}
		cmd.Env = append(cmd.Env, "GOTMPDIR="+shared)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, &stderr)
	}
	return string(out), nil
}

// linkOrCopy gives a file a second path, or copies it where the file systems differ.
func linkOrCopy(from, to string) error {
	if err := os.Link(from, to); err == nil {
		return nil
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	copied, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(copied, source)
	return errors.Join(err, copied.Close())
}
