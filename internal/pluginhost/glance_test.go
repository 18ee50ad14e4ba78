package pluginhost

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
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

// A description may be of a file that was looked at a moment ago; a call looks, and from then on the description is of what it saw.
func TestDescribedByAGlanceOfAMomentAgo(t *testing.T) {
	t.Parallel()
	f := testFolder(t)
	synctest.Test(t, func(t *testing.T) {
		put := func(text string) identity {
			path := filepath.Join(f.dir, "ca-test")
			must(t, os.WriteFile(path+".new", []byte(text), 0o755))
			must(t, os.Rename(path+".new", path))
			id, err := identityAt(path)
			must(t, err)
			return id
		}
		is := func(when string, want identity) {
			t.Helper()
			if got, err := f.described("ca-test"); err != nil || got != want {
				t.Errorf("%s: %v, %v, not %v", when, got, err, want)
			}
		}
		first := put("first")
		is("never looked at", first)
		is("again", first)
		second := put("second")
		is("a moment after the change", first)
		time.Sleep(describeFor)
		is("later", second)
		third := put("third")
		if _, err := f.glance("ca-test"); err != nil {
			t.Fatal(err)
		}
		is("after a call looked", third)
		must(t, os.Remove(filepath.Join(f.dir, "ca-test")))
		time.Sleep(describeFor)
		if _, err := f.described("ca-test"); !errors.Is(err, ErrNotInstalled) {
			t.Errorf("removed: %v", err)
		}
	})
}

func testFolder(t testing.TB) *folder {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "usr", "lib", "plugins")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return &folder{dir: dir, owner: os.Geteuid(), sums: map[identity]string{}, seen: map[string]glimpse{}}
}

// BenchmarkFileBeforeACall is what looking at a plugin's file costs each call: a whole look, and a glance; and each description.
func BenchmarkFileBeforeACall(b *testing.B) {
	f := testFolder(b)
	if err := os.WriteFile(filepath.Join(f.dir, "ca-test"), []byte("x"), 0o755); err != nil {
		b.Fatal(err)
	}
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
	b.Run("description", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := f.described("ca-test"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
