package certstore

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
)

// manySets installs nothing: it puts the same pair of files in place for many certificates, long ago.
func manySets(b *testing.B, certificates int) map[string][]File {
	b.Helper()
	dir := b.TempDir()
	p := newPair(b)
	sets := make(map[string][]File, certificates)
	one := separate(dir)
	install(b, newStore(b), p.generation("1", one...))
	texts := make([][]byte, len(one))
	for i, f := range one {
		text, err := readWhole(f.Path)
		if err != nil {
			b.Fatal(err)
		}
		texts[i] = text
	}
	for n := range certificates {
		name := fmt.Sprintf("c%06d", n)
		files := make([]File, len(one))
		for i, f := range one {
			files[i] = f
			files[i].Path = filepath.Join(dir, name+"-"+filepath.Base(f.Path))
			writeFile(b, files[i].Path, texts[i], 0o600)
		}
		age(b, files)
		sets[name] = files
	}
	return sets
}

// heap is how much memory is in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkScanUnchanged looks at the sets of 10 000 certificates that have not changed.
func BenchmarkScanUnchanged(b *testing.B) {
	sets := manySets(b, 10000)
	s := newStore(b)
	views := make(map[string]*View, len(sets))
	before := heap()
	scan := func() {
		for name, files := range sets {
			view, err := s.Look(files, views[name])
			if err != nil || !view.Whole {
				b.Fatal(name, err)
			}
			views[name] = view
		}
	}
	scan()
	used := float64(heap() - before)
	b.ReportAllocs()
	for b.Loop() {
		scan()
	}
	b.ReportMetric(used/float64(len(sets)), "heap-B/certificate")
}

// BenchmarkScanFirst reads them for the first time, as a start does.
func BenchmarkScanFirst(b *testing.B) {
	sets := manySets(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		s := newStore(b)
		for name, files := range sets {
			if view, err := s.Look(files, nil); err != nil || !view.Whole {
				b.Fatal(name, err)
			}
		}
	}
}

// BenchmarkUnchanged is a sweep over the files of 10 000 certificates that have not changed.
func BenchmarkUnchanged(b *testing.B) {
	sets := manySets(b, 10000)
	s := newStore(b)
	views := make(map[string]*View, len(sets))
	for name, files := range sets {
		view, err := s.Look(files, nil)
		if err != nil {
			b.Fatal(err)
		}
		views[name] = view
	}
	var paths []string
	b.ReportAllocs()
	for b.Loop() {
		for name, files := range sets {
			paths = paths[:0]
			for _, f := range files {
				paths = append(paths, f.Path)
			}
			if !s.Unchanged(paths, views[name]) {
				b.Fatal(name, "has changed")
			}
		}
	}
}

// BenchmarkWatch begins to watch the files of 10 000 certificates, which are watched already after the first time.
func BenchmarkWatch(b *testing.B) {
	paths := map[string][]string{}
	for name, files := range manySets(b, 10000) {
		for _, f := range files {
			paths[name] = append(paths[name], f.Path)
		}
	}
	w, err := NewWatcher(WatcherOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = w.Close() }() // nothing is lost with it
	before := heap()
	loop := newWatchLoop(w, func(name string) { b.Error(name, "has changed") })
	list := setsOf(paths)
	loop.set(list)
	used := float64(heap() - before)
	b.ReportAllocs()
	for b.Loop() {
		loop.set(list)
	}
	b.ReportMetric(used/float64(len(paths)), "heap-B/certificate")
}
