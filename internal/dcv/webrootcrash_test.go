package dcv

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// mortal is a document root whose process dies before one of its calls.
type mortal struct {
	folder
	left *int // calls until then
}

// died is what a call of a mortal folder panics with.
type died struct{}

func (m mortal) step() {
	if *m.left--; *m.left < 0 {
		panic(died{})
	}
}

func (m mortal) Lstat(name string) (fs.FileInfo, error) { m.step(); return m.folder.Lstat(name) }

func (m mortal) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	m.step()
	return m.folder.OpenFile(name, flag, mode)
}

func (m mortal) WriteFile(name string, data []byte, mode fs.FileMode) error {
	m.step()
	return m.folder.WriteFile(name, data, mode)
}

func (m mortal) Mkdir(name string, mode fs.FileMode) error {
	m.step()
	return m.folder.Mkdir(name, mode)
}
func (m mortal) Chmod(name string, mode fs.FileMode) error {
	m.step()
	return m.folder.Chmod(name, mode)
}
func (m mortal) Rename(from, to string) error { m.step(); return m.folder.Rename(from, to) }
func (m mortal) Remove(name string) error     { m.step(); return m.folder.Remove(name) }

// lives publishes and withdraws in a process that dies before its nth call, and reports whether it lived on.
func lives(t *testing.T, dir string, n int) (lived bool) {
	t.Helper()
	defer func() {
		if v := recover(); v != nil && v != (died{}) {
			panic(v)
		}
	}()
	s := newSolver(t, Options{Profiles: []Profile{{Name: "web", Webroot: dir}}})
	open := s.webroots[dir].open
	s.webroots[dir].open = func(path string) (folder, error) {
		f, err := open(path)
		return mortal{f, &n}, err
	}
	c := httpChallenge("a.example.com", token, "body")
	mustWithdraw(t, s, "web", c, mustPublish(t, s, "web", c))
	return true
}

// TestWebrootCrashAtEveryStep: whatever was done by then, the next process publishes so that the web server's user can read it,
// and leaves nothing behind when it withdraws. Folders of somebody else stay as they are.
func TestWebrootCrashAtEveryStep(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	c := httpChallenge("a.example.com", token, "body")
	for what, tt := range map[string]struct {
		theirs  string // a folder of somebody else
		publish bool   // again, before it is withdrawn
	}{
		"withdrawn": {}, "published again": {publish: true},
		"withdrawn, in their folder": {theirs: ".well-known"}, "published again, in their folder": {theirs: ".well-known", publish: true},
		"withdrawn, in all of their folders": {theirs: filepath.Dir(token)},
	} {
		t.Run(what, func(t *testing.T) {
			const most = 100 // calls
			for n, lived := 0, false; !lived; n++ {
				if n == most {
					t.Fatalf("there is no end after %d calls", n)
				}
				dir := t.TempDir()
				if err := os.MkdirAll(filepath.Join(dir, tt.theirs), 0o700); err != nil {
					t.Fatal(err)
				}
				before := tree(t, dir)
				lived = lives(t, dir, n)
				next := newSolver(t, Options{Profiles: []Profile{{Name: "web", Webroot: dir}}})
				if tt.publish {
					mustPublish(t, next, "web", c)
					info, err := os.Stat(filepath.Join(dir, filepath.Dir(token)))
					if err != nil {
						t.Fatal(err)
					}
					if info.Mode().Perm() != folderMode {
						t.Errorf("died before call %d: the folder has mode %v", n, info.Mode())
					}
					if got, err := os.ReadFile(filepath.Join(dir, token)); err != nil || string(got) != "body" {
						t.Errorf("died before call %d: the file is %q (%v)", n, got, err)
					}
				}
				mustWithdraw(t, next, "web", c, nil)
				wantTree(t, dir, before...)
				if t.Failed() {
					t.Fatalf("died before call %d", n)
				}
			}
		})
	}
}
