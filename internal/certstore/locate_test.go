package certstore

import (
	"os"
	"path/filepath"
	"testing"
)

// The way to a folder is followed once for the files in it, and links beside these files are followed all the same.
func TestLocate(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tls, other, alias := filepath.Join(top, "tls"), filepath.Join(top, "other"), filepath.Join(top, "alias")
	for _, err := range []error{
		os.Mkdir(tls, 0o755), os.Mkdir(other, 0o755), os.Symlink(tls, alias),
		os.Symlink("../other/shop.key", filepath.Join(tls, "shop.key")), os.Symlink("nowhere/x", filepath.Join(tls, "lost")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b := newBatch(disk{})
	defer b.close()
	for _, c := range []struct{ path, dir, base string }{
		{filepath.Join(tls, "shop.pem"), tls, "shop.pem"},
		{filepath.Join(tls, "shop.key"), other, "shop.key"},
		{filepath.Join(tls, ".", "chain.pem") + "/", tls, "chain.pem"},
		{filepath.Join(alias, "shop.pem"), tls, "shop.pem"},
		{filepath.Join(alias, "shop.key"), other, "shop.key"},
		{filepath.Join(other, "shop.key"), other, "shop.key"},
	} {
		f, base, err := b.locate(c.path)
		if err != nil || f.path != c.dir || base != c.base {
			t.Errorf("%s leads to %v, %s, %v; want %s in %s", c.path, f, base, err, c.base, c.dir)
		}
	}
	if len(b.folders) != 2 || len(b.direct) != 2 || b.direct[tls] == nil || b.direct[other] == nil {
		t.Errorf("%d folders are open, the way to these is known: %v", len(b.folders), b.direct)
	}
	for _, path := range []string{filepath.Join(tls, "lost"), filepath.Join(top, "missing", "shop.pem"), "/"} {
		if _, _, err := b.locate(path); err == nil {
			t.Errorf("%s leads somewhere", path)
		}
	}
}
