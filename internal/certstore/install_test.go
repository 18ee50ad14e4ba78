package certstore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestInstallEveryForm(t *testing.T) {
	dir := t.TempDir()
	s, files := newStore(t), everyForm(dir)
	p := newPair(t)
	install(t, s, p.generation("1", files...))
	holds(t, s, files, p)
	for _, f := range files {
		want := defaultMode
		if f.Form.HasKey() {
			want = defaultKeyMode
		}
		if got := modeOf(t, f.Path); got != want {
			t.Errorf("%s: mode %04o, want %04o", f.Form, got, want)
		}
	}
	q := newPair(t)
	install(t, s, q.generation("2", files...))
	holds(t, s, files, q)
	if err := s.RollBack(t.Context(), "shop", "2"); err != nil {
		t.Fatal(err)
	}
	holds(t, s, files, p)
	noLeftovers(t, dir)
}

func TestRollBackRemovesWhatWasNotThere(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t)
	install(t, s, newPair(t).generation("1", separate(dir)...))
	if err := s.RollBack(t.Context(), "shop", "1"); err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("left: %v, %v", names, err)
	}
	if err := s.RollBack(t.Context(), "shop", "1"); err != nil {
		t.Errorf("rolling back again: %v", err)
	}
}

func TestInstallTwiceIsOnce(t *testing.T) {
	dir := t.TempDir()
	s, files, p := newStore(t), separate(dir), newPair(t)
	install(t, s, p.generation("1", files...))
	before, err := os.Stat(files[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	install(t, s, p.generation("1", files...))
	after, err := os.Stat(files[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("the file was written again")
	}
	err = s.Install(t.Context(), newPair(t).generation("1", files...))
	if err == nil || !strings.Contains(err.Error(), "another certificate") {
		t.Errorf("one id for two certificates: %v", err)
	}
	// A file that was added to the configuration is written, and a roll-back goes back to before the first time.
	more := append(files, File{Form: Combined, Path: filepath.Join(dir, "haproxy.pem")})
	install(t, s, p.generation("1", more...))
	holds(t, s, more, p)
	if err := s.RollBack(t.Context(), "shop", "1"); err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("left: %v, %v", names, err)
	}
}

// TestInstallWhatIsProven: a generation that was committed is let alone, too, unless somebody changed its files.
func TestInstallWhatIsProven(t *testing.T) {
	dir := t.TempDir()
	s, files, first, p := newStore(t), separate(dir), newPair(t), newPair(t)
	for _, g := range []Generation{first.generation("1", files...), p.generation("2", files...)} {
		install(t, s, g)
		if err := s.Commit(t.Context(), g.Certificate, g.ID); err != nil {
			t.Fatal(err)
		}
	}
	inode := func() uint64 {
		seen, err := lstat(files[0].Path)
		if err != nil {
			t.Fatal(err)
		}
		return seen.inode
	}
	before := inode()
	install(t, s, p.generation("2", files...))
	if inode() != before {
		t.Error("the file was written again")
	}
	writeFile(t, files[0].Path, []byte("changed"), 0o644)
	install(t, s, p.generation("2", files...))
	holds(t, s, files, p)
	install(t, s, first.generation("1", files...))
	holds(t, s, files, first)
}

func TestRollBackRefusals(t *testing.T) {
	dir := t.TempDir()
	s, files := newStore(t), separate(dir)
	ctx := t.Context()
	if err := s.RollBack(ctx, "shop", "0"); !errors.Is(err, ErrUnknownGeneration) {
		t.Errorf("unknown: %v", err)
	}
	first, second := newPair(t), newPair(t)
	install(t, s, first.generation("1", files...))
	install(t, s, second.generation("2", files...))
	if err := s.RollBack(ctx, "shop", "1"); !errors.Is(err, ErrSuperseded) {
		t.Errorf("superseded: %v", err)
	}
	mine := []byte("an administrator's own work")
	writeFile(t, files[0].Path, mine, 0o644)
	if err := s.RollBack(ctx, "shop", "2"); !errors.Is(err, ErrChanged) {
		t.Errorf("changed: %v", err)
	}
	if got, err := os.ReadFile(files[0].Path); err != nil || !bytes.Equal(got, mine) {
		t.Errorf("the change is lost: %q, %v", got, err)
	}
	if err := s.Commit(ctx, "shop", "2"); err != nil {
		t.Fatal(err)
	}
	if err := s.RollBack(ctx, "shop", "2"); !errors.Is(err, ErrProven) {
		t.Errorf("proven: %v", err)
	}
	if err := s.Commit(ctx, "shop", "0"); !errors.Is(err, ErrUnknownGeneration) {
		t.Errorf("commit of an unknown one: %v", err)
	}
}

func TestAttributesAreKept(t *testing.T) {
	dir := t.TempDir()
	s, files := newStore(t), separate(dir)
	writeFile(t, files[0].Path, []byte("old"), 0o664)
	writeFile(t, files[1].Path, []byte("old"), 0o640)
	root := os.Geteuid() == 0
	if root {
		if err := os.Chown(files[1].Path, 12, 34); err != nil {
			t.Fatal(err)
		}
	}
	install(t, s, newPair(t).generation("1", files...))
	if a, b := modeOf(t, files[0].Path), modeOf(t, files[1].Path); a != 0o664 || b != 0o640 {
		t.Errorf("modes %04o and %04o", a, b)
	}
	if root {
		checkOwner(t, files[1].Path, 12, 34)
		files[1].Owner, files[1].Group, files[1].Mode = "56", "daemon", 0o600
		install(t, s, newPair(t).generation("2", files...))
		checkOwner(t, files[1].Path, 56, 1)
		if got := modeOf(t, files[1].Path); got != 0o600 {
			t.Errorf("mode %04o", got)
		}
		if err := s.RollBack(t.Context(), "shop", "2"); err != nil {
			t.Fatal(err)
		}
		checkOwner(t, files[1].Path, 12, 34)
		if got := modeOf(t, files[1].Path); got != 0o640 {
			t.Errorf("mode after roll-back %04o", got)
		}
	}
}

func checkOwner(t *testing.T, path string, uid, gid uint32) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid != uid || st.Gid != gid {
		t.Errorf("%s belongs to %d:%d, want %d:%d", path, st.Uid, st.Gid, uid, gid)
	}
}

// TestACLIsKept carries an access list over; it is written as the kernel has it (version 2, little endian).
func TestACLIsKept(t *testing.T) {
	dir := t.TempDir()
	s, files := newStore(t), separate(dir)
	writeFile(t, files[1].Path, []byte("old"), 0o640)
	acl := []byte{
		2, 0, 0, 0,
		1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, // owner rw
		2, 0, 4, 0, 33, 0, 0, 0, // user 33 r
		4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, // group -
		0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, // mask r
		0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, // others -
	}
	if err := unix.Setxattr(files[1].Path, xattrACL, acl, 0); err != nil {
		if os.Getenv("CI") == "true" && !errors.Is(err, unix.ENOTSUP) {
			t.Fatal(err)
		}
		t.Skipf("SKIP: no access lists on this file system: %v", err)
	}
	install(t, s, newPair(t).generation("1", files...))
	got := make([]byte, 1024)
	n, err := unix.Getxattr(files[1].Path, xattrACL, got)
	if err != nil || !bytes.Equal(got[:n], acl) {
		t.Errorf("access list %x, %v; want %x", got[:max(n, 0)], err, acl)
	}
}

func TestRefusals(t *testing.T) {
	p := newPair(t)
	tests := map[string]struct {
		prepare func(t *testing.T, dir string, files []File) []File
		want    string
	}{
		"key open to everybody": {func(t *testing.T, _ string, files []File) []File {
			writeFile(t, files[1].Path, []byte("old"), 0o644)
			return files
		}, "open to everybody (mode 0644)"},
		"no folder": {func(t *testing.T, dir string, files []File) []File {
			files[0].Path = filepath.Join(dir, "no", "such", "folder.pem")
			return files
		}, "no does not exist: create it"},
		"unknown owner": {func(t *testing.T, _ string, files []File) []File {
			files[0].Owner = "nobody-of-this-name"
			return files
		}, `owner "nobody-of-this-name": no such user`},
		"unknown group": {func(t *testing.T, _ string, files []File) []File {
			files[1].Group = "nobody-of-this-name"
			return files
		}, `group "nobody-of-this-name": no such group`},
		"a folder in the place": {func(t *testing.T, _ string, files []File) []File {
			if err := os.Mkdir(files[0].Path, 0o755); err != nil {
				t.Fatal(err)
			}
			return files
		}, "not a regular file"},
		"a pipe in the place": {func(t *testing.T, _ string, files []File) []File {
			if err := unix.Mkfifo(files[0].Path, 0o600); err != nil {
				t.Fatal(err)
			}
			return files
		}, "not a regular file"},
		"one path twice": {func(t *testing.T, _ string, files []File) []File {
			files[1].Path = files[0].Path
			return files
		}, ErrShared.Error()},
		"one file by two paths": {func(t *testing.T, dir string, files []File) []File {
			symlink(t, files[0].Path, filepath.Join(dir, "other"))
			files[1].Path = filepath.Join(dir, "other")
			return files
		}, ErrShared.Error()},
		"links in a circle": {func(t *testing.T, dir string, files []File) []File {
			symlink(t, "b", filepath.Join(dir, "a"))
			symlink(t, "a", filepath.Join(dir, "b"))
			files[0].Path = filepath.Join(dir, "a")
			return files
		}, "lead in a circle"},
		"relative path": {func(t *testing.T, _ string, files []File) []File {
			files[0].Path = "shop.pem"
			return files
		}, "must be absolute"},
		"JKS without password": {func(t *testing.T, _ string, files []File) []File {
			files[0].Form = JKS
			return files
		}, "a JKS needs a password"},
		"JKS with a short password": {func(t *testing.T, _ string, files []File) []File {
			files[0].Form, files[0].Password = JKS, pluginapi.NewSecret("short")
			return files
		}, "at least 6"},
		"unknown form": {func(t *testing.T, _ string, files []File) []File {
			files[0].Form = "pfx"
			return files
		}, `unknown form of file "pfx"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := newStore(t)
			files := tt.prepare(t, dir, separate(dir))
			before := tree(t, dir)
			err := s.Install(t.Context(), p.generation("1", files...))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q in it", err, tt.want)
			}
			if after := tree(t, dir); after != before {
				t.Errorf("something changed:\n%s\nbut\n%s", before, after)
			}
			if name != "JKS with a short password" {
				if err := Check(map[string][]File{"shop": files}); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Check = %v, want %q in it", err, tt.want)
				}
			}
		})
	}
	t.Run("key of another certificate", func(t *testing.T) {
		g := p.generation("1", separate(t.TempDir())...)
		g.Key = newKey(t)
		if err := newStore(t).Install(t.Context(), g); err == nil || !strings.Contains(err.Error(), "not for the private key") {
			t.Errorf("err = %v", err)
		}
	})
}

func TestKeyOpenToEverybodyWhenToldSo(t *testing.T) {
	dir := t.TempDir()
	s, files := newStore(t), separate(dir)
	files[1].Mode = 0o644
	install(t, s, newPair(t).generation("1", files...))
	if got := modeOf(t, files[1].Path); got != 0o644 {
		t.Errorf("mode %04o", got)
	}
}

func TestCheckAcrossCertificates(t *testing.T) {
	dir := t.TempDir()
	a, b := separate(dir), separate(dir)
	a[1].Path += "2"
	err := Check(map[string][]File{"a": a, "b": b})
	if !errors.Is(err, ErrShared) || !strings.Contains(err.Error(), `"a"`) || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("err = %v", err)
	}
}

func TestCombinedKeepsDHParameters(t *testing.T) {
	dir := t.TempDir()
	dh := "-----BEGIN DH PARAMETERS-----\nMAYCAQcCAQI=\n-----END DH PARAMETERS-----\n"
	file := File{Form: Combined, Path: filepath.Join(dir, "haproxy.pem")}
	writeFile(t, file.Path, []byte(dh), 0o600)
	s, p := newStore(t), newPair(t)
	install(t, s, p.generation("1", file))
	holds(t, s, []File{file}, p)
	if got, err := os.ReadFile(file.Path); err != nil || !strings.HasSuffix(string(got), dh) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestJKSKeepsOtherEntries(t *testing.T) {
	dir := t.TempDir()
	other, p := newPair(t), newPair(t)
	const password = "correct horse"
	data, err := cert.EncodeJKS(other.key, other.chain, password, "other")
	if err != nil {
		t.Fatal(err)
	}
	file := File{Form: JKS, Path: filepath.Join(dir, "store.jks"), Alias: "shop", Password: pluginapi.NewSecret(password)}
	writeFile(t, file.Path, data, 0o600)
	s := newStore(t)
	install(t, s, p.generation("1", file))
	holds(t, s, []File{file}, p)
	file.Alias = "other"
	holds(t, s, []File{file}, other)
}

func TestContextEnds(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t)
	unlock, err := s.lock(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Install(ctx, newPair(t).generation("1", separate(dir)...)); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("left: %v, %v", names, err)
	}
}

func TestOddNames(t *testing.T) {
	for _, name := range []string{"*.example.com", "a/b", "..", ".", "été", "a b%2F", "%", "shop/000001/0"} {
		j := newMemory()
		s, files, p := openStore(j), separate(t.TempDir()), newPair(t)
		install(t, s, p.generation("of another", separate(t.TempDir())...))
		old, g := newPair(t).generation("old", files...), newPair(t).generation("../"+name, files...)
		old.Certificate, g.Certificate = name, name
		install(t, s, old)
		install(t, s, g)
		again := openStore(j)
		if err := again.RollBack(t.Context(), name, g.ID); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		holds(t, again, files, pair{old.Key, old.Chain})
		if err := again.RollBack(t.Context(), name, old.ID); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if left := j.keys(copyPrefix); len(left) != 0 {
			t.Errorf("%q: copies are left: %q", name, left)
		}
	}
}
