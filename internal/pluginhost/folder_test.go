package pluginhost

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// needRoot skips a test that must change owners.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("this test needs root to change the owner of a file")
	}
	t.Skip("SKIP: needs root to change the owner of a file")
}

func TestRefusedFiles(t *testing.T) {
	const stranger = 12345
	tests := map[string]struct {
		root  bool
		spoil func(t *testing.T, dir, file string)
		is    error
		want  string
	}{
		"file writable by its group": {
			spoil: func(t *testing.T, _, file string) { must(t, os.Chmod(file, 0o775)) },
			is:    ErrRefused, want: "is writable by its group (mode 0775); run: chmod go-w ",
		},
		"file writable by everybody": {
			spoil: func(t *testing.T, _, file string) { must(t, os.Chmod(file, 0o757)) },
			is:    ErrRefused, want: "is writable by everybody (mode 0757)",
		},
		"file not executable": {
			spoil: func(t *testing.T, _, file string) { must(t, os.Chmod(file, 0o644)) },
			is:    ErrRefused, want: "is not executable; run: chmod 0755 ",
		},
		"set-user-ID": {
			spoil: func(t *testing.T, _, file string) { must(t, os.Chmod(file, 0o755|os.ModeSetuid)) },
			is:    ErrRefused, want: "set-user-ID",
		},
		"file of a stranger": {
			root: true, spoil: func(t *testing.T, _, file string) { must(t, os.Chown(file, stranger, -1)) },
			is: ErrRefused, want: "belongs to user 12345, not to root or the daemon's user",
		},
		"folder of a stranger": {
			root: true, spoil: func(t *testing.T, dir, _ string) { must(t, os.Chown(dir, stranger, -1)) },
			is: ErrRefused, want: "belongs to user 12345",
		},
		"folder above of a stranger": {
			root: true, spoil: func(t *testing.T, dir, _ string) { must(t, os.Chown(filepath.Dir(dir), stranger, -1)) },
			is: ErrRefused, want: "belongs to user 12345",
		},
		"folder writable by its group": {
			spoil: func(t *testing.T, dir, _ string) { must(t, os.Chmod(dir, 0o775)) },
			is:    ErrRefused, want: "is writable by its group (mode 0775)",
		},
		"folder writable by everybody with the sticky bit": {
			spoil: func(t *testing.T, dir, _ string) { must(t, os.Chmod(dir, 0o777|os.ModeSticky)) },
			is:    ErrRefused, want: "is writable by its group and everybody",
		},
		"folder above writable by everybody": {
			spoil: func(t *testing.T, dir, _ string) { must(t, os.Chmod(filepath.Dir(dir), 0o777)) },
			is:    ErrRefused, want: "is writable by its group and everybody (mode 0777)",
		},
		"link to the outside": {
			spoil: func(t *testing.T, dir, file string) {
				outside := filepath.Join(filepath.Dir(dir), "outside")
				must(t, os.Rename(file, outside))
				must(t, os.Symlink(outside, file))
			},
			is: ErrRefused, want: "outside of the plugin folder",
		},
		"link of a stranger": {
			root: true, spoil: func(t *testing.T, dir, file string) {
				must(t, os.Rename(file, filepath.Join(dir, "ca-test-1")))
				must(t, os.Symlink("ca-test-1", file))
				must(t, os.Lchown(file, stranger, -1))
			},
			is: ErrRefused, want: "belongs to user 12345",
		},
		"link loop": {
			spoil: func(t *testing.T, _, file string) {
				must(t, os.Remove(file))
				must(t, os.Symlink("ca-test", file))
			},
			is: ErrRefused, want: "too many symbolic links",
		},
		"dangling link": {
			spoil: func(t *testing.T, _, file string) {
				must(t, os.Remove(file))
				must(t, os.Symlink("nowhere", file))
			},
			is: ErrNotInstalled, want: "there is no file ca-test in ",
		},
		"folder instead of a file": {
			spoil: func(t *testing.T, _, file string) {
				must(t, os.Remove(file))
				must(t, os.Mkdir(file, 0o755))
			},
			is: ErrRefused, want: "is not a regular file",
		},
		"pipe instead of a file": {
			spoil: func(t *testing.T, _, file string) {
				must(t, os.Remove(file))
				must(t, syscall.Mkfifo(file, 0o755))
			},
			is: ErrRefused, want: "is not a regular file",
		},
		"file capabilities": {
			root: true, spoil: func(t *testing.T, _, file string) {
				// struct vfs_cap_data, revision 2: cap_net_bind_service, permitted and effective.
				data := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
				if err := unix.Setxattr(file, "security.capability", data, 0); err != nil {
					t.Skipf("SKIP: this file system keeps no capabilities: %v", err)
				}
			},
			is: ErrRefused, want: "has file capabilities; run: setcap -r ",
		},
		"no file": {
			spoil: func(t *testing.T, _, file string) { must(t, os.Remove(file)) },
			is:    ErrNotInstalled, want: "there is no file ca-test in ",
		},
		"no folder": {
			spoil: func(t *testing.T, dir, _ string) { must(t, os.RemoveAll(dir)) },
			is:    ErrNotInstalled, want: "there is no file ca-test in ",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.root {
				needRoot(t)
			}
			r := newRig(t, nil)
			file := filepath.Join(r.dir, "ca-test")
			must(t, os.WriteFile(file, []byte("#!/bin/sh\necho ran > "+filepath.Join(filepath.Dir(r.dir), "ran")+"\n"), 0o755))
			must(t, os.Chmod(filepath.Dir(r.dir), 0o755))
			test.spoil(t, r.dir, file)
			_, err := r.account("shop", "test", "").PlaceOrder(t.Context(), request("pid"))
			if pluginapi.KindOf(err) != pluginapi.Unavailable || !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error: %v", err)
			}
			want := stateOf(test.is)
			if got := r.state(t, "shop"); got.State != want || !strings.Contains(got.Reason, test.want) || got.Failures != 0 {
				t.Errorf("state: %+v", got)
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(r.dir), "ran")); err == nil {
				t.Error("it was run")
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLinkInsideTheFolder(t *testing.T) {
	r := newRig(t, nil)
	install(t, r.dir, "ca-test-1.0", "")
	must(t, os.Symlink("ca-test-1.0", filepath.Join(r.dir, "ca-test")))
	c := r.account("shop", "test", "")
	first := detail(t, c, "pid")
	install(t, r.dir, "ca-test-1.1", "newer")
	must(t, os.Symlink("ca-test-1.1", filepath.Join(r.dir, "new")))
	must(t, os.Rename(filepath.Join(r.dir, "new"), filepath.Join(r.dir, "ca-test")))
	if detail(t, c, "pid") == first {
		t.Error("the link leads elsewhere and the old process goes on")
	}
}

func TestPin(t *testing.T) {
	r := newRig(t, nil)
	install(t, r.dir, "ca-test", "")
	sum := r.List()[0].SHA256
	c := r.CA(Instance{Name: "pinned", Plugin: "test", SHA256: strings.ToUpper(sum)})
	detail(t, c, "pid")
	install(t, r.dir, "ca-test", "not what was pinned")
	_, err := c.PlaceOrder(t.Context(), request("pid"))
	if pluginapi.KindOf(err) != pluginapi.Unavailable || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "pins "+sum) {
		t.Errorf("error: %v", err)
	}
	if got := r.state(t, "pinned"); got.State != StateRefused || got.PID != 0 || got.Failures != 0 {
		t.Errorf("state: %+v", got)
	}
	free := r.account("free", "test", "")
	detail(t, free, "pid")
	if _, err := free.Describe(t.Context()); err != nil {
		t.Error(err)
	}
	if d, err := c.Describe(t.Context()); !errors.Is(err, ErrRefused) {
		t.Errorf("it is described by another file: %+v, %v", d, err)
	}
	install(t, r.dir, "ca-test", "")
	detail(t, c, "pid")
}

// What runs is the file that was opened and hashed, whatever has taken its name meanwhile.
func TestWhatWasHashedIsWhatRuns(t *testing.T) {
	r := newRig(t, nil)
	file := filepath.Join(r.dir, "ca-test")
	must(t, os.WriteFile(file, []byte("#!/bin/sh\necho good >&2\n"), 0o755))
	x, err := r.folder.open("ca-test", r.List()[0].SHA256)
	must(t, err)
	defer func() { _ = x.file.Close() }()
	evil := filepath.Join(r.dir, "evil")
	must(t, os.WriteFile(evil, []byte("#!/bin/sh\necho evil >&2\n"), 0o755))
	must(t, os.Rename(evil, file))
	mask := newMasker(pluginapi.Settings{}, nil)
	p := &process{exe: x, name: "ca-test", dir: tempDir(t), out: &output{log: r.log, mask: mask}, on: r.starter, exited: make(chan struct{})}
	must(t, p.Start(t.Context()))
	<-p.exited
	p.closePipes()
	if got := p.out.lastWords(); got != "good" {
		t.Errorf("%q ran", got)
	}
	if err := x.unchanged(); !errors.Is(err, ErrRefused) {
		t.Errorf("its link count and so its identity changed: %v", err)
	}
}

func TestFileBeingWrittenIsNotAFailure(t *testing.T) {
	r := newRig(t, nil)
	path := install(t, r.dir, "ca-test", "")
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	c := r.account("shop", "test", "")
	_, err = c.PlaceOrder(t.Context(), request("pid"))
	if pluginapi.KindOf(err) != pluginapi.Unavailable || !errors.Is(err, errFileBusy) {
		t.Errorf("error: %v", err)
	}
	must(t, w.Close())
	detail(t, c, "pid")
	if got := r.state(t, "shop"); got.Failures != 0 {
		t.Errorf("state: %+v", got)
	}
}

func TestNamesOfPlugins(t *testing.T) {
	for name, good := range map[string]bool{
		"ca-digicert": true, "dcv-lego": true, "ca-1_x.y": true,
		"ca-": false, "xx-digicert": false, "ca-../evil": false, "ca-A": false, ".part-ca-x": false, "ca--x": false, "ca-.x": false,
		"ca-x/y": false, "ca-" + strings.Repeat("x", 64): false, "": false,
	} {
		if fileName.MatchString(name) != good {
			t.Errorf("%q: want %v", name, good)
		}
	}
}

func TestTrustedPath(t *testing.T) {
	base := tempDir(t)
	must(t, os.MkdirAll(filepath.Join(base, "a", "b"), 0o755))
	must(t, os.Symlink("../a/b", filepath.Join(base, "a", "up")))
	must(t, os.Symlink(filepath.Join(base, "a"), filepath.Join(base, "abs")))
	for path, want := range map[string]string{
		"a/b": "a/b", "a/up": "a/b", "abs/up": "a/b", "abs/../a//b/": "a/b",
	} {
		got, err := trustedPath(filepath.Join(base, "x")[:len(base)+1]+path, os.Geteuid())
		if err != nil || got != filepath.Join(base, want) {
			t.Errorf("%s: %s %v", path, got, err)
		}
	}
	if _, err := trustedPath("relative", 0); err == nil {
		t.Error("relative: no error")
	}
	if _, err := trustedPath(filepath.Join(base, "a/none/x"), os.Geteuid()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}
