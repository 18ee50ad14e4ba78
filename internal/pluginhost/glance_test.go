package pluginhost

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// What leads to a file may be taken for what it was for a moment, by a process that runs. The file itself is looked at
// before each call, and a start believes nothing.
func TestAFolderThatBecomesUnsafe(t *testing.T) {
	r := newRig(t, nil)
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	pid := detail(t, c, "pid")
	must(t, os.Chmod(r.dir, 0o777))
	if _, err := r.account("other", "test", "").GetOrder(t.Context(), placed("pid")); !errors.Is(err, ErrRefused) {
		t.Errorf("it was started: %v", err)
	}
	eventually(t, "a process that runs is not called any more", func() bool {
		_, err := c.GetOrder(t.Context(), placed("pid"))
		return errors.Is(err, ErrRefused)
	})
	eventually(t, "and ends", func() bool { return !alive(pid) })
	must(t, os.Chmod(r.dir, 0o755))
	detail(t, c, "pid")
}

// Each of these is noticed by the very next call, without anybody who watches the folder.
func TestWhatTheNextCallNotices(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, dir, file string){
		"mode":    func(t *testing.T, _, file string) { must(t, os.Chmod(file, 0o777)) },
		"removed": func(t *testing.T, _, file string) { must(t, os.Remove(file)) },
		"emptied": func(t *testing.T, _, file string) {
			must(t, os.Remove(file))
			must(t, os.WriteFile(file, nil, 0o644))
		},
		"a link to the outside": func(t *testing.T, dir, file string) {
			outside := filepath.Join(filepath.Dir(dir), "outside")
			must(t, os.WriteFile(outside, []byte("#!/bin/sh\n"), 0o755))
			must(t, os.Remove(file))
			must(t, os.Symlink(outside, file))
		},
		"the whole folder": func(t *testing.T, dir, _ string) {
			must(t, os.Rename(dir, dir+".old"))
			must(t, os.Mkdir(dir, 0o755))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			file := install(t, r.dir, "ca-test", "")
			c := r.account("shop", "test", "")
			pid := detail(t, c, "pid")
			change(t, r.dir, file)
			if _, err := c.GetOrder(t.Context(), placed("pid")); !errors.Is(err, ErrRefused) && !errors.Is(err, ErrNotInstalled) {
				t.Errorf("the call was made: %v", err)
			}
			eventually(t, "the process ends", func() bool { return !alive(pid) })
		})
	}
}

// BenchmarkFileBeforeACall is what looking at a plugin's file costs each call: a whole look, and a glance.
func BenchmarkFileBeforeACall(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "usr", "lib", "plugins")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "ca-test"), []byte("x"), 0o755)); err != nil {
		b.Fatal(err)
	}
	f := &folder{dir: dir, owner: os.Geteuid(), sums: map[identity]string{}, hashing: map[identity]*flight[string]{}, seen: map[string]glimpse{}}
	b.Run("look", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := f.look("ca-test"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("glance", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := f.glance("ca-test"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
