package certstore

import (
	"fmt"
	"path/filepath"
	"testing"
)

// BenchmarkInstall puts a new set in place of another, durably, and proves it.
func BenchmarkInstall(b *testing.B) {
	s, files := newStore(b), separate(b.TempDir())
	pairs := []pair{newPair(b), newPair(b)}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		installAndLook(b, s, pairs[n%2].generation(fmt.Sprint(n), files...))
	}
}

// BenchmarkInstallFirst installs sets that are not there yet, durably, and proves them.
func BenchmarkInstallFirst(b *testing.B) {
	s, dir, p := newStore(b), b.TempDir(), newPair(b)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		g := p.generation("1", separate(dir)...)
		g.Certificate = fmt.Sprint("c", n)
		for i, f := range g.Files {
			g.Files[i].Path = filepath.Join(dir, g.Certificate+"-"+filepath.Base(f.Path))
		}
		installAndLook(b, s, g)
	}
}

// installAndLook does what there is to do with a set until it rests: it is looked at before and after.
func installAndLook(b *testing.B, s *Store, g Generation) {
	before, err := s.Look(g.Files, nil)
	if err != nil {
		b.Fatal(err)
	}
	install(b, s, g)
	if err := s.Commit(b.Context(), g.Certificate, g.ID); err != nil {
		b.Fatal(err)
	}
	if after, err := s.Look(g.Files, before); err != nil || !after.Whole {
		b.Fatal("not whole", err)
	}
}
