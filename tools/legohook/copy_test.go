package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func background() context.Context { return context.Background() }

func equal(a, b []byte) bool { return bytes.Equal(a, b) }

// makeIn runs the tool and says whether it wrote anything.
func makeIn(t testing.TB, out string) bool {
	t.Helper()
	var stdout bytes.Buffer
	if err := run(background(), []string{"-out", out}, &stdout); err != nil {
		t.Fatal(err)
	}
	return stdout.Len() > 0
}

// snapshot describes every file below a folder, but for the lock: path, mode and content.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == lockName {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		all[name] = info.Mode().String()
		if !d.IsDir() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all[name] += " " + string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func compare(t testing.TB, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s differs", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
}

func TestSameInputSameBytes(t *testing.T) {
	top := t.TempDir()
	first, second := filepath.Join(top, "first"), filepath.Join(top, "second")
	makeIn(t, first)
	makeIn(t, second)
	got, want := snapshot(t, second), snapshot(t, first)
	// It alone names the folder, which the go command must find from go.mod.
	got[modName] = strings.ReplaceAll(got[modName], "/second/", "/first/")
	compare(t, got, want)
	if len(want) < 500 {
		t.Errorf("only %d files and folders", len(want))
	}
}

func TestCopyIsWhatABuildNeeds(t *testing.T) {
	out := t.TempDir()
	makeIn(t, out)
	there := snapshot(t, out)
	for _, name := range []string{"lego/go.mod", "lego/LICENSE", "lego/providers/dns/zz_gen_dns_providers.go", "lego/providers/http/s3/s3.go", "lego/challenge/internal/literal/literal.go", "go.work", "lego.mod", "lego.sum"} {
		if !strings.HasPrefix(there[name], "-rw-r--r-- ") {
			t.Errorf("%s is not there, or has another mode: %.20q", name, there[name])
		}
	}
	for name, text := range there {
		if strings.HasSuffix(name, "_test.go") || strings.Contains(name, "testdata") || strings.Contains(name, "fixtures") || strings.HasPrefix(name, "lego/cmd") {
			t.Errorf("%s is not needed", name)
		}
		if text[0] == 'd' && text != "drwxr-xr-x" && name != "." {
			t.Errorf("the folder %s has the mode %s", name, text)
		}
	}
}

func TestNothingIsWrittenTwice(t *testing.T) {
	out := t.TempDir()
	if !makeIn(t, out) {
		t.Error("the first run made nothing")
	}
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	files := []string{"go.work", "lego.mod", "lego.sum", "lego", "lego/go.mod", dnsFileIn(""), httpFileIn("")}
	for _, name := range files {
		if err := os.Chtimes(filepath.Join(out, name), past, past); err != nil {
			t.Fatal(err)
		}
	}
	if makeIn(t, out) {
		t.Error("the second run wrote something")
	}
	for _, name := range files {
		info, err := os.Stat(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		if !info.ModTime().Equal(past) {
			t.Errorf("%s was written again", name)
		}
	}
}

func dnsFileIn(dir string) string  { return filepath.Join(dir, copyName, dnsFile) }
func httpFileIn(dir string) string { return filepath.Join(dir, copyName, httpFile) }

func TestWhatIsStaleIsReplaced(t *testing.T) {
	out := t.TempDir()
	makeIn(t, out)
	want := snapshot(t, out)
	for what, spoil := range map[string]func() error{
		"a changed file":                 func() error { return appendTo(dnsFileIn(out), "// x\n") },
		"a file of the same size":        func() error { return flipLast(httpFileIn(out)) },
		"a missing file":                 func() error { return os.Remove(dnsFileIn(out)) },
		"a file too many":                func() error { return os.WriteFile(filepath.Join(out, "lego/acme/more.go"), nil, 0o600) },
		"another mode":                   func() error { return os.Chmod(dnsFileIn(out), 0o444) },
		"another mode of a folder":       func() error { return os.Chmod(filepath.Join(out, "lego/acme"), 0o775) },
		"a link in place of a file":      func() error { return linkTo("go.mod", filepath.Join(out, "lego/acme/commons.go")) },
		"a link in place of the copy":    func() error { return linkTo(t.TempDir(), filepath.Join(out, "lego")) },
		"a file in place of the copy":    func() error { return fileFor(filepath.Join(out, "lego")) },
		"no copy, as after being killed": func() error { return os.RemoveAll(filepath.Join(out, "lego")) },
		"no go.work":                     func() error { return os.Remove(filepath.Join(out, "go.work")) },
		"another lego.mod":               func() error { return appendTo(filepath.Join(out, "lego.mod"), "// x\n") },
		"half of a copy that was being made": func() error {
			return errors.Join(os.RemoveAll(filepath.Join(out, "lego")), os.MkdirAll(filepath.Join(out, ".legohook-1/new/acme"), 0o700))
		},
	} {
		t.Run(what, func(t *testing.T) {
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			if !makeIn(t, out) {
				t.Error("nothing was made anew")
			}
			compare(t, snapshot(t, out), want)
		})
	}
}

func appendTo(path, text string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, text)
	return errors.Join(err, file.Close())
}

func flipLast(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text[len(text)-1] = ' '
	return os.WriteFile(path, text, 0o600)
}

func linkTo(target, path string) error {
	return errors.Join(os.RemoveAll(path), os.Symlink(target, path))
}

func fileFor(path string) error {
	return errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o600))
}

func TestRunsAtOnceMakeOneCopy(t *testing.T) {
	out := t.TempDir()
	makers := make(chan bool, 6)
	var group sync.WaitGroup
	for range cap(makers) {
		group.Go(func() {
			changed, err := makeCopy(background(), out)
			if err != nil {
				t.Error(err)
			}
			makers <- changed
		})
	}
	group.Wait()
	close(makers)
	made := 0
	for changed := range makers {
		if changed {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d of %d runs made the copy, want 1", made, cap(makers))
	}
	alone := filepath.Join(t.TempDir(), filepath.Base(out))
	makeIn(t, alone)
	got, want := snapshot(t, out), snapshot(t, alone)
	for _, name := range []string{modName, workName} { // they name the folders
		delete(got, name)
		delete(want, name)
	}
	got["."] = want["."]
	compare(t, got, want)
}

// Where the tree lies must not be seen in what is built, and the go command must find the copy by either file.
func TestGoCommandFindsTheCopy(t *testing.T) {
	out := filepath.Join(t.TempDir(), "a folder with spaces")
	makeIn(t, out)
	real, err := realPath(out)
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(real, copyName)
	for what, c := range map[string]struct {
		args []string
		work string
	}{
		"-modfile": {[]string{"list", "-modfile=" + filepath.Join(out, modName), "-m", "-f", "{{.Dir}}", legoPath}, "off"},
		"go.work":  {[]string{"list", "-m", "-f", "{{.Dir}}", legoPath}, filepath.Join(out, workName)},
	} {
		cmd := exec.Command("go", c.args...)
		cmd.Env = append(os.Environ(), "GOWORK="+c.work, "GOPROXY=off", "GOFLAGS=-mod=readonly")
		got, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", what, err, got)
		} else if strings.TrimSpace(string(got)) != want {
			t.Errorf("%s selects %s, want %s", what, got, want)
		}
	}
}

func TestWorkspaceOfTheCallerDoesNotMatter(t *testing.T) {
	out := t.TempDir()
	makeIn(t, out)
	t.Setenv("GOWORK", filepath.Join(out, workName))
	if makeIn(t, out) {
		t.Error("the copy was made of the copy")
	}
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	const replaced = "module example.com/m\n\ngo 1.26\n\nrequire github.com/go-acme/lego/v4 v4.35.2\n\nreplace github.com/go-acme/lego/v4 => ./mine\n"
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		mod  string // go.mod of the current folder; empty: that of this module
		args []string
		want string
	}{
		"an argument":              {args: []string{"build"}, want: `unexpected argument "build"; usage: legohook [-out FOLDER]`},
		"an unknown flag":          {args: []string{"-o", "build"}, want: "flag provided but not defined"},
		"a file for a folder":      {args: []string{"-out", file}, want: file},
		"a module without lego":    {mod: "module example.com/m\n\ngo 1.26\n", want: "find lego; is it in the go.mod of "},
		"a lego that was replaced": {mod: replaced, want: "go.mod replaces github.com/go-acme/lego/v4 by ./mine: the copy is made of lego as it is published"},
	} {
		t.Run(what, func(t *testing.T) {
			if c.mod != "" {
				dir := t.TempDir()
				for name, text := range map[string]string{"go.mod": c.mod, "mine/go.mod": "module github.com/go-acme/lego/v4\n"} {
					path := filepath.Join(dir, name)
					if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
						t.Fatal(err)
					}
				}
				t.Chdir(dir)
			}
			t.Setenv("GOPROXY", "off")
			err := run(background(), c.args, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want in it %q", err, c.want)
			}
		})
	}
}

func TestCopyMustBeComplete(t *testing.T) {
	for what, c := range map[string]struct{ text, want string }{
		"a package that is not copied": {"package x\n\nimport _ \"github.com/go-acme/lego/v4/internal/wait\"\n", "lego's acme/x.go imports internal/wait, which is not copied"},
		"an embedded file":             {"package x\n\nimport _ \"embed\"\n", "lego's acme/x.go embeds files, which are not copied"},
		"no Go":                        {"pack x\n", "acme/x.go:1:1: expected 'package'"},
	} {
		files := lego(t)
		files["acme/x.go"] = []byte(c.text)
		if err := checkComplete(files); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want in it %q", what, err, c.want)
		}
	}
	if err := checkComplete(lego(t)); err != nil {
		t.Error(err)
	}
}

// A link could lead out of the module, to what no checksum is known of.
func TestLinksAreNotCopied(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "x.go")); err != nil {
		t.Fatal(err)
	}
	if _, err := readModule(dir); err == nil || !strings.Contains(err.Error(), "x.go is no regular file") {
		t.Errorf("the error is %v", err)
	}
}

// The module cache serves as the proxy of another one, which is empty.
func TestLegoIsDownloadedWhereItIsNotThere(t *testing.T) {
	own, _, err := findModules(background())
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(own.Dir, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir, empty := t.TempDir(), t.TempDir()
	mod := "module example.com/m\n\ngo 1.26\n\nrequire github.com/go-acme/lego/v4 " + version + "\n"
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o600), os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv("GOMODCACHE", empty)
	t.Setenv("GOFLAGS", "-modcacherw")
	t.Setenv("GOPROXY", "file://"+filepath.ToSlash(strings.TrimSpace(string(cache)))+"/cache/download")
	if !makeIn(t, "build") {
		t.Error("nothing was made")
	}
	if _, err := os.Stat(filepath.Join(empty, legoPath+"@"+version, "go.mod")); err != nil {
		t.Errorf("lego came from elsewhere: %v", err)
	}
	if after, err := os.ReadFile("go.mod"); err != nil || string(after) != mod {
		t.Errorf("go.mod is changed: %v\n%s", err, after)
	}
}
