package certstore

import (
	"os"
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"github.com/certbridge/certbridged/internal/cert"
)

// What was installed is known without being parsed, and is known as reading it would show it.
func TestWhatWasInstalledIsKnown(t *testing.T) {
	plain := slices.DeleteFunc(everyForm(t.TempDir()), func(f File) bool { return f.Form == PKCS12 || f.Form == JKS })
	for name, set := range map[string]struct {
		files []File
		known bool
	}{"plain": {plain, true}, "key stores": {everyForm(t.TempDir()), false}} {
		s, p := newStore(t), newPair(t)
		install(t, s, p.generation("1", set.files...))
		left := s.left[s.digest(set.files)]
		if (left != nil) != set.known {
			t.Fatalf("%s: left %v", name, left)
		}
		first, err := s.Look(set.files, nil)
		if err != nil {
			t.Fatal(err)
		}
		read, err := openStore(newMemory()).Look(set.files, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !first.Whole || !read.Whole || !reflect.DeepEqual(first.Leaf(), read.Leaf()) {
			t.Errorf("%s: %+v, and another process reads %+v", name, first, read)
		}
		if left != nil && !handedOn(left, first) {
			t.Errorf("%s: it was parsed", name)
		}
		again, err := s.Look(set.files, first)
		if err != nil || !handedOn(first, again) || len(s.left) != 0 {
			t.Errorf("%s: %v, %d left: what holds the same was parsed again", name, err, len(s.left))
		}
		age(t, set.files)
		if settled, err := s.Look(set.files, again); err != nil || !settled.settled || !handedOn(first, settled) {
			t.Errorf("%s: it does not settle: %v", name, err)
		}
	}
}

// handedOn reports whether a view has what is known of the certificate from another: the same bytes, not equal ones.
func handedOn(from, to *View) bool { return unsafe.StringData(from.leaf) == unsafe.StringData(to.leaf) }

// What somebody changes right after an installation is seen, whatever its times and size say.
func TestWhatWasInstalledAndChanged(t *testing.T) {
	s, p, files := newStore(t), newPair(t), separate(t.TempDir())
	install(t, s, p.generation("1", files...))
	info, err := os.Stat(files[1].Path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := cert.EncodeKey(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[1].Path, other, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(files[1].Path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if view, err := s.Look(files, nil); err != nil || view.Whole {
		t.Errorf("%v: another key was not noticed", err)
	}
}

// Installations that nobody looks at are not kept for ever.
func TestWhatIsLeftIsBounded(t *testing.T) {
	s, p, dir := newStore(t), newPair(t), t.TempDir()
	b := &batch{changes: []*change{{}, {}}}
	for i := range 3 * mostLeft {
		files := separate(dir)
		files[0].Alias = string(rune(i))
		s.leave(p.generation("1", files...), b)
	}
	if n := len(s.left); n > mostLeft {
		t.Errorf("%d are kept", n)
	}
}
