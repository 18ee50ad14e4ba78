package certstore

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func symlink(t *testing.T, target, link string) {
	t.Helper()
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
}

// TestLinksAreKept has what certbot lays out: live/x.pem -> ../archive/x1.pem, and a link to a folder on the way.
func TestLinksAreKept(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"archive", "real"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	symlink(t, "./real/../real", filepath.Join(dir, "live"))
	symlink(t, "../archive/shop1.pem", filepath.Join(dir, "real", "shop.pem"))
	symlink(t, filepath.Join(dir, "archive", "shop1.key"), filepath.Join(dir, "real", "shop.key")) // dangling
	writeFile(t, filepath.Join(dir, "archive", "shop1.pem"), []byte("old"), 0o644)
	s, files, p := newStore(t), separate(filepath.Join(dir, "live")), newPair(t)
	install(t, s, p.generation("1", files...))
	holds(t, s, files, p)
	after := tree(t, dir)
	for _, want := range []string{"live -> ./real/../real\n", "real/shop.pem -> ../archive/shop1.pem\n", "archive/shop1.key -rw-------"} {
		if !strings.Contains(after, want) {
			t.Errorf("no %q in\n%s", want, after)
		}
	}
	if err := s.RollBack(t.Context(), "shop", "1"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(files[0].Path); err != nil || string(got) != "old" {
		t.Errorf("after roll-back: %q, %v", got, err)
	}
}

func TestPlantedLinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(dir, "victim")
	writeFile(t, victim, []byte("precious"), 0o600)
	symlink(t, victim, filepath.Join(open, "shop.pem"))
	s, files := newStore(t), separate(open)
	err := s.Install(t.Context(), newPair(t).generation("1", files...))
	if !errors.Is(err, errUntrustedLink) || !strings.Contains(err.Error(), victim) {
		t.Errorf("err = %v", err)
	}
	if got, err := os.ReadFile(victim); err != nil || string(got) != "precious" {
		t.Errorf("the victim holds %q, %v", got, err)
	}
	// Within the folder itself a link gains nobody anything.
	if err := os.Remove(filepath.Join(open, "shop.pem")); err != nil {
		t.Fatal(err)
	}
	symlink(t, "shop-1.pem", filepath.Join(open, "shop.pem"))
	install(t, s, newPair(t).generation("2", files...))
	if _, err := os.Stat(filepath.Join(open, "shop-1.pem")); err != nil {
		t.Error(err)
	}
}

// TestFullDisk installs onto a file system with hardly any room.
func TestFullDisk(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIP: cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s, files, p := newStore(t), separate(dir), newPair(t)
	install(t, s, p.generation("1", files...))
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	if cerr := filler.Close(); cerr != nil {
		t.Fatal(cerr)
	}
	before := tree(t, dir)
	err = s.Install(t.Context(), newPair(t).generation("2", files...))
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("err = %v", err)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("something changed:\n%s\nbut\n%s", before, after)
	}
	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	// Read-only, as a file system becomes when its disk fails.
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	err = s.Install(t.Context(), newPair(t).generation("3", files...))
	if !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("err = %v", err)
	}
	holds(t, s, files, p)
}

// TestUnprivileged runs the test binary again as another user: it may not give files away, and must say so before it
// changes anything.
func TestUnprivileged(t *testing.T) {
	if dir := os.Getenv("CERTSTORE_TEST_UNPRIVILEGED"); dir != "" {
		unprivileged(t, dir)
		return
	}
	needRoot(t)
	dir, err := os.MkdirTemp("/tmp", "certstore")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const uid = 65534
	for _, name := range []string{"", "tls", "closed"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if name != "closed" {
			if err := os.Chown(path, uid, uid); err != nil {
				t.Fatal(err)
			}
		}
	}
	binary, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "test")
	writeFile(t, copied, binary, 0o755)
	cmd := exec.CommandContext(t.Context(), copied, "-test.run", "^TestUnprivileged$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CERTSTORE_TEST_UNPRIVILEGED="+dir, "TMPDIR="+dir, "CI=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, NoSetGroups: false}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS: TestUnprivileged") {
		t.Errorf("%v\n%s", err, out)
	}
}

func unprivileged(t *testing.T, dir string) {
	s, p := newStore(t), newPair(t)
	files := separate(filepath.Join(dir, "tls"))
	install(t, s, p.generation("1", files...))
	before := tree(t, filepath.Join(dir, "tls"))
	given := separate(filepath.Join(dir, "tls"))
	given[1].Owner = "0"
	err := s.Install(t.Context(), newPair(t).generation("2", given...))
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "CAP_CHOWN") {
		t.Errorf("giving away: %v", err)
	}
	if after := tree(t, filepath.Join(dir, "tls")); after != before {
		t.Errorf("something changed:\n%s\nbut\n%s", before, after)
	}
	closed := separate(filepath.Join(dir, "closed"))
	err = s.Install(t.Context(), p.generation("3", closed...))
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "must be able to create") {
		t.Errorf("closed folder: %v", err)
	}
	if err := Check(map[string][]File{"shop": closed}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Check of a closed folder: %v", err)
	}
	holds(t, s, files, p)
}
