package dcv

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func webrootSolver(t *testing.T) (*Solver, string) {
	t.Helper()
	dir := t.TempDir()
	return newSolver(t, Options{Profiles: []Profile{{Name: "web", Webroot: dir}}}), dir
}

// tree lists everything below a folder, with modes.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		found = append(found, info.Mode().String()+" "+name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

func wantTree(t *testing.T, dir string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := tree(t, dir); !slices.Equal(got, want) {
		t.Errorf("below the webroot:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWebrootLeavesNothingBehind(t *testing.T) {
	// As under systemd with UMask=0077.
	defer syscall.Umask(syscall.Umask(0o077))
	s, dir := webrootSolver(t)
	write(t, filepath.Join(dir, "index.html"), "hello")
	before := tree(t, dir)
	a := httpChallenge("a.example.com", "/.well-known/acme-challenge/a", "body a")
	b := httpChallenge("a.example.com", "/.well-known/acme-challenge/b", "body b")
	ra := mustPublish(t, s, "web", a)
	mustPublish(t, s, "web", a)
	rb := mustPublish(t, s, "web", b)
	wantTree(t, dir, append(before,
		"drwxr-xr-x .well-known",
		"-rw------- .certbridged-made-.well-known",
		"drwxr-xr-x .well-known/acme-challenge",
		"-rw------- .well-known/.certbridged-made-acme-challenge",
		"-rw-r--r-- .well-known/acme-challenge/a",
		"-rw-r--r-- .well-known/acme-challenge/b")...)
	if got, err := os.ReadFile(filepath.Join(dir, a.HTTP.Path)); err != nil || string(got) != "body a" {
		t.Errorf("content %q (%v)", got, err)
	}
	mustWithdraw(t, s, "web", a, ra)
	mustWithdraw(t, s, "web", a, ra)
	if got, err := os.ReadFile(filepath.Join(dir, b.HTTP.Path)); err != nil || string(got) != "body b" {
		t.Errorf("b after the withdrawal of a: %q (%v)", got, err)
	}
	mustWithdraw(t, s, "web", b, rb)
	wantTree(t, dir, before...)
}

func TestWebrootKeepsFoldersOfOthers(t *testing.T) {
	s, dir := webrootSolver(t)
	if err := os.Mkdir(filepath.Join(dir, ".well-known"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := httpChallenge("a.example.com", token, "body")
	mustPublish(t, s, "web", c)
	write(t, filepath.Join(dir, ".well-known/acme-challenge/theirs"), "x")
	mustWithdraw(t, s, "web", c, nil)
	wantTree(t, dir, "drwx------ .well-known", "drwxr-xr-x .well-known/acme-challenge",
		"-rw-r--r-- .well-known/.certbridged-made-acme-challenge", "-rw------- .well-known/acme-challenge/theirs")
	// Once that is gone, the folder that was made here goes with the next withdrawal.
	if err := os.Remove(filepath.Join(dir, ".well-known/acme-challenge/theirs")); err != nil {
		t.Fatal(err)
	}
	mustWithdraw(t, s, "web", c, nil)
	wantTree(t, dir, "drwx------ .well-known")
}

func TestWebrootTouchesNothingOfOthers(t *testing.T) {
	s, dir := webrootSolver(t)
	file := filepath.Join(dir, token)
	c := httpChallenge("a.example.com", token, "ours")
	for name, content := range map[string]string{"longer": "theirs", "as long": "them", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			write(t, file, content)
			_, err := s.Publish(t.Context(), "web", c, nil)
			wantError(t, err, pluginapi.Conflict, dir, strings.TrimPrefix(token, "/"), "other content")
			mustWithdraw(t, s, "web", c, nil)
			if got, err := os.ReadFile(file); err != nil || string(got) != content {
				t.Errorf("the file of somebody else is %q now (%v)", got, err)
			}
		})
	}
	t.Run("named pipe", func(t *testing.T) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(file, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Publish(t.Context(), "web", c, nil)
		wantError(t, err, pluginapi.Conflict)
	})
}

func TestWebrootRefusesLinksThatLeadOutside(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "acme-challenge", "kept"), "x")
	before := tree(t, outside)
	c := httpChallenge("a.example.com", token, "body")
	cases := map[string]func(dir string) error{
		"folder, absolute": func(dir string) error { return os.Symlink(outside, filepath.Join(dir, ".well-known")) },
		"folder, relative": func(dir string) error {
			rel, err := filepath.Rel(dir, outside)
			if err != nil {
				return err
			}
			return os.Symlink(rel, filepath.Join(dir, ".well-known"))
		},
		"file": func(dir string) error {
			if err := os.MkdirAll(filepath.Join(dir, ".well-known/acme-challenge"), 0o755); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(outside, "new"), filepath.Join(dir, token))
		},
	}
	for name, link := range cases {
		t.Run(name, func(t *testing.T) {
			s, dir := webrootSolver(t)
			if err := link(dir); err != nil {
				t.Fatal(err)
			}
			_, err := s.Publish(t.Context(), "web", c, nil)
			wantError(t, err, pluginapi.Unavailable, dir, "escapes")
			_ = s.Withdraw(t.Context(), "web", c, nil)
			wantTree(t, outside, before...)
		})
	}
	t.Run("a link inside is followed", func(t *testing.T) {
		s, dir := webrootSolver(t)
		if err := os.Mkdir(filepath.Join(dir, "challenges"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("challenges", filepath.Join(dir, ".well-known")); err != nil {
			t.Fatal(err)
		}
		mustPublish(t, s, "web", c)
		if _, err := os.Stat(filepath.Join(dir, token)); err != nil {
			t.Error(err)
		}
		mustWithdraw(t, s, "web", c, nil)
	})
}

// A crash can leave the temporary file, the folders, or both; the next attempt or the withdrawal clears up.
func TestWebrootAfterACrash(t *testing.T) {
	name := strings.TrimPrefix(token, "/")
	c := httpChallenge("a.example.com", token, "body")
	for what, next := range map[string]func(t *testing.T, s *Solver){
		"published again": func(t *testing.T, s *Solver) {
			mustPublish(t, s, "web", c)
			mustWithdraw(t, s, "web", c, nil)
		},
		"withdrawn": func(t *testing.T, s *Solver) { mustWithdraw(t, s, "web", c, nil) },
	} {
		t.Run(what, func(t *testing.T) {
			s, dir := webrootSolver(t)
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			if err := makeFolders(root, filepath.Dir(name)); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, temporary(name)), "bo")
			next(t, s)
			wantTree(t, dir)
		})
	}
	t.Run("when some folders were removed", func(t *testing.T) {
		s, dir := webrootSolver(t)
		mustPublish(t, s, "web", c)
		if err := os.RemoveAll(filepath.Join(dir, filepath.Dir(name))); err != nil {
			t.Fatal(err)
		}
		mustWithdraw(t, s, "web", c, nil)
		wantTree(t, dir)
	})
	t.Run("in a new process", func(t *testing.T) {
		s, dir := webrootSolver(t)
		mustPublish(t, s, "web", c)
		restarted := newSolver(t, Options{Profiles: []Profile{{Name: "web", Webroot: dir + "/"}}})
		mustPublish(t, restarted, "web", c)
		mustWithdraw(t, restarted, "web", c, nil)
		wantTree(t, dir)
	})
}

func TestWebrootThatCannotBeWritten(t *testing.T) {
	c := httpChallenge("a.example.com", token, "body")
	t.Run("missing", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "gone")
		s := newSolver(t, Options{Profiles: []Profile{{Name: "web", Webroot: dir}}})
		_, err := s.Publish(t.Context(), "web", c, nil)
		wantError(t, err, pluginapi.Unavailable, dir, "no such file or directory")
		mustWithdraw(t, s, "web", c, nil)
	})
	t.Run("a file in the way", func(t *testing.T) {
		s, dir := webrootSolver(t)
		write(t, filepath.Join(dir, ".well-known"), "x")
		_, err := s.Publish(t.Context(), "web", c, nil)
		wantError(t, err, pluginapi.Unavailable, dir, "not a directory")
		wantTree(t, dir, "-rw------- .well-known")
	})
	t.Run("disk full", func(t *testing.T) {
		dir := smallDisk(t)
		s := newSolver(t, Options{Profiles: []Profile{{Name: "web", Webroot: dir}}})
		big := httpChallenge("a.example.com", token, strings.Repeat("x", maxBody))
		_, err := s.Publish(t.Context(), "web", big, nil)
		wantError(t, err, pluginapi.Unavailable, "no space left on device")
		wantTree(t, dir)
	})
}

// smallDisk mounts a file system that a large challenge does not fit on.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32k"); err != nil {
		t.Skipf("SKIP: cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func FuzzWebrootStaysInside(f *testing.F) {
	for _, path := range []string{
		token, "/.well-known/../../etc/passwd", "/.well-known/a/../../../x", "/.well-known//x", "/.well-known/a\x00b",
		"/.well-known/.", "/.well-known/%2e%2e/x", `/.well-known/..\x`, "/.well-known/.certbridged-made-x", "/.well-known/",
		"/.well-known/pki-validation/fileauth.txt", "/.well-known/" + strings.Repeat("a/", 200) + "b",
	} {
		f.Add(path, "example.com")
	}
	f.Fuzz(func(t *testing.T, path, host string) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "web", "root")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		s := newSolver(t, Options{Profiles: []Profile{{Name: "web", Webroot: dir}}})
		c := httpChallenge(host, path, "body")
		receipt, err := s.Publish(t.Context(), "web", c, nil)
		if err == nil {
			if got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path))); err != nil || string(got) != "body" {
				t.Errorf("published, but the file is %q (%v)", got, err)
			}
		} else if pluginapi.KindOf(err) == 0 {
			t.Errorf("error without a kind: %v", err)
		}
		if err := s.Withdraw(t.Context(), "web", c, receipt); err != nil {
			t.Errorf("withdraw: %v", err)
		}
		if found := tree(t, outer); len(found) != 2 {
			t.Errorf("left behind: %q", found)
		}
	})
}

// DigiCert wants one file with one content of all names of an order, and they may share a document root.
func TestWebrootKeepsAFileForAsLongAsAHostNeedsIt(t *testing.T) {
	s, dir := webrootSolver(t)
	const fileauth = "/.well-known/pki-validation/fileauth.txt"
	at := func(host, body string) pluginapi.Challenge {
		c := httpChallenge(host, fileauth, body)
		c.ID = host + body
		return c
	}
	a, b, other := at("a.example.com", "value"), at("b.example.com", "value"), at("c.example.com", "other")
	ra, rb := mustPublish(t, s, "web", a), mustPublish(t, s, "web", b)
	mustPublish(t, s, "web", a) // once more is no other host
	_, err := s.Publish(t.Context(), "web", other, nil)
	wantError(t, err, pluginapi.Unavailable, "one file can be at "+fileauth, ".example.com has its turn")
	if !errors.Is(err, ErrTurn) {
		t.Errorf("%v is no ErrTurn", err)
	}
	mustWithdraw(t, s, "web", other, nil) // what had no turn takes nothing down
	mustWithdraw(t, s, "web", a, ra)
	if got, err := os.ReadFile(filepath.Join(dir, fileauth)); err != nil || string(got) != "value" {
		t.Errorf("after the withdrawal of a: %q, %v", got, err)
	}
	mustWithdraw(t, s, "web", b, rb)
	wantTree(t, dir)
	mustWithdraw(t, s, "web", other, mustPublish(t, s, "web", other))
	wantTree(t, dir)
	if w := s.webroots[dir]; len(w.shown) != 0 || len(s.shown) != 0 {
		t.Errorf("remembered: %v, %v", w.shown, s.shown)
	}
}
