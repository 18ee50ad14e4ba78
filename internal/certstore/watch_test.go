package certstore

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watching is a Watcher under test.
type watching struct {
	*Watcher
	changes chan string
}

// listedSets are Sets by name.
type listedSets struct {
	names []string
	paths map[string][]string
}

func setsOf(paths map[string][]string) listedSets {
	return listedSets{slices.Sorted(maps.Keys(paths)), paths}
}

func (s listedSets) Len() int                            { return len(s.names) }
func (s listedSets) Name(n int) string                   { return s.names[n] }
func (s listedSets) Find(name string) (int, bool)        { return slices.BinarySearch(s.names, name) }
func (s listedSets) Paths(n int, list []string) []string { return append(list, s.paths[s.names[n]]...) }

// patience is how long an event may take on a busy machine; silence how long none must come.
const (
	patience = 20 * time.Second
	silence  = 250 * time.Millisecond
)

func startWatcher(t *testing.T) *watching {
	t.Helper()
	w, err := NewWatcher(WatcherOptions{Settle: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	out := &watching{w, make(chan string, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx, func(c string) { out.changes <- c }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return out
}

// watch sets the files and waits until they are watched: it adds a probe whose appearance must be reported.
func (w *watching) watch(t *testing.T, sets map[string][]string) {
	t.Helper()
	probe := filepath.Join(t.TempDir(), "probe")
	sets["probe"] = []string{probe}
	w.Set(setsOf(sets))
	deadline := time.After(patience)
	for n := 0; ; n++ {
		writeFile(t, probe, fmt.Append(nil, n), 0o600)
		select {
		case got := <-w.changes:
			if got == "probe" {
				w.quiet(t)
				return
			}
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatal("the watching does not begin")
		}
	}
}

// quiet waits until nothing more comes of what the preparation did.
func (w *watching) quiet(t *testing.T) {
	t.Helper()
	for {
		select {
		case <-w.changes:
		case <-time.After(silence):
			return
		}
	}
}

// next waits for a report, and no longer than for a while. What is told of the probe still belongs to the preparation.
func (w *watching) next(within time.Duration) (certificate string, ok bool) {
	end := time.After(within)
	for {
		select {
		case got := <-w.changes:
			if got != "probe" {
				return got, true
			}
		case <-end:
			return "", false
		}
	}
}

// expect waits for a report about a certificate, and for the silence after it: on a busy machine what was done in one go
// may be reported in two.
func (w *watching) expect(t *testing.T, certificate string) {
	t.Helper()
	got, ok := w.next(patience)
	if !ok {
		t.Fatalf("no change of %q was reported", certificate)
	}
	for ; ok; got, ok = w.next(silence) {
		if got != certificate {
			t.Fatalf("a change of %q was reported, not of %q", got, certificate)
		}
	}
}

func (w *watching) expectNothing(t *testing.T) {
	t.Helper()
	if got, ok := w.next(silence); ok {
		t.Fatalf("a change of %q was reported", got)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestWatcherReportsChanges(t *testing.T) {
	dir := t.TempDir()
	w := startWatcher(t)
	a, b := filepath.Join(dir, "a.pem"), filepath.Join(dir, "a.key")
	w.watch(t, map[string][]string{"a": {a, b}, "other": {filepath.Join(dir, "o.pem")}})

	writeFile(t, a, []byte("1"), 0o600)
	writeFile(t, b, []byte("1"), 0o600)
	w.expect(t, "a")

	writeFile(t, filepath.Join(dir, "unrelated"), []byte("1"), 0o600)
	w.expectNothing(t)

	writeFile(t, filepath.Join(dir, "new"), []byte("2"), 0o600)
	rename(t, filepath.Join(dir, "new"), a)
	w.expect(t, "a")
	if err := os.Remove(b); err != nil {
		t.Fatal(err)
	}
	w.expect(t, "a")

	// A store's own installation is reported.
	files := separate(dir)
	files[0].Path, files[1].Path = a, b
	install(t, newStore(t), newPair(t).generation("1", files...))
	w.expect(t, "a")
}

func TestWatcherFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	live, archive := filepath.Join(dir, "live"), filepath.Join(dir, "archive")
	mkdir(t, live)
	mkdir(t, archive)
	writeFile(t, filepath.Join(archive, "1.pem"), []byte("1"), 0o600)
	path := filepath.Join(live, "shop.pem")
	symlink(t, "../archive/1.pem", path)
	w := startWatcher(t)
	w.watch(t, map[string][]string{"shop": {path}})

	writeFile(t, filepath.Join(archive, "1.pem"), []byte("changed"), 0o600) // the target
	w.expect(t, "shop")
	writeFile(t, filepath.Join(archive, "2.pem"), []byte("2"), 0o600)
	w.expectNothing(t)
	symlink(t, "../archive/2.pem", path+".new") // the link
	rename(t, path+".new", path)
	w.expect(t, "shop")
	writeFile(t, filepath.Join(archive, "1.pem"), []byte("the old target"), 0o600)
	w.expectNothing(t)
	writeFile(t, filepath.Join(archive, "2.pem"), []byte("the new target"), 0o600)
	w.expect(t, "shop")
}

// TestWatcherFollowsSwitchedFolders has what Kubernetes does with mounted secrets.
func TestWatcherFollowsSwitchedFolders(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"..1", "..2"} {
		mkdir(t, filepath.Join(dir, version))
		writeFile(t, filepath.Join(dir, version, "tls.crt"), []byte(version), 0o600)
	}
	symlink(t, "..1", filepath.Join(dir, "..data"))
	symlink(t, "..data/tls.crt", filepath.Join(dir, "tls.crt"))
	w := startWatcher(t)
	w.watch(t, map[string][]string{"shop": {filepath.Join(dir, "tls.crt")}})
	symlink(t, "..2", filepath.Join(dir, "..data_tmp"))
	rename(t, filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data"))
	w.expect(t, "shop")
	writeFile(t, filepath.Join(dir, "..2", "tls.crt"), []byte("changed"), 0o600)
	w.expect(t, "shop")
}

func TestWatcherWaitsForFolders(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "etc", "tls", "shop.pem")
	w := startWatcher(t)
	w.watch(t, map[string][]string{"shop": {path}})
	mkdir(t, filepath.Dir(path))
	w.expect(t, "shop")
	w.quiet(t)
	writeFile(t, path, []byte("1"), 0o600)
	w.expect(t, "shop")

	// The folder is moved away and another takes its place.
	rename(t, filepath.Dir(path), filepath.Join(dir, "etc", "old"))
	mkdir(t, filepath.Dir(path))
	w.expect(t, "shop")
	w.quiet(t)
	writeFile(t, filepath.Join(dir, "etc", "old", "shop.pem"), []byte("nobody's any more"), 0o600)
	w.expectNothing(t)
	writeFile(t, path, []byte("2"), 0o600)
	w.expect(t, "shop")

	// And removed altogether.
	if err := os.RemoveAll(filepath.Join(dir, "etc")); err != nil {
		t.Fatal(err)
	}
	w.expect(t, "shop")
	w.quiet(t)
	mkdir(t, filepath.Dir(path))
	w.quiet(t)
	writeFile(t, path, []byte("3"), 0o600)
	w.expect(t, "shop")
}

// TestWatcherNoticesFoldersInUse removes a folder that some process holds open: the system reports its end only to those
// who watch the folder above.
func TestWatcherNoticesFoldersInUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	mkdir(t, dir)
	path := filepath.Join(dir, "shop.pem")
	held, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	w := startWatcher(t)
	w.watch(t, map[string][]string{"shop": {path}})
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	mkdir(t, dir)
	w.quiet(t)
	writeFile(t, path, []byte("1"), 0o600)
	w.expect(t, "shop")
}

func TestWatcherForgetsCertificates(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.pem"), filepath.Join(dir, "b.pem")
	w := startWatcher(t)
	w.watch(t, map[string][]string{"a": {a}, "b": {b}})
	w.watch(t, map[string][]string{"b": {b}})
	writeFile(t, a, []byte("1"), 0o600)
	w.expectNothing(t)
	writeFile(t, b, []byte("1"), 0o600)
	w.expect(t, "b")
}

// TestWatcherRenews has a folder that the system stops to watch without a word.
func TestWatcherRenews(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.pem")
	w, err := NewWatcher(WatcherOptions{Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	loop := newWatchLoop(w, func(string) {})
	loop.take(setsOf(map[string][]string{"a": {path}}), nil)
	if !slices.Contains(w.notify.WatchList(), dir) {
		t.Fatalf("%s is not watched, only %q", dir, w.notify.WatchList())
	}
	if err := w.notify.Remove(dir); err != nil {
		t.Fatal(err)
	}
	loop.renew()
	if !slices.Contains(w.notify.WatchList(), dir) {
		t.Errorf("%s is not watched any more, only %q", dir, w.notify.WatchList())
	}
}

// TestWatcherIsToldOfAMove switches a link while nobody looks: it works on a watch loop without any events.
func TestWatcherIsToldOfAMove(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"1", "2"} {
		mkdir(t, filepath.Join(dir, name))
		writeFile(t, filepath.Join(dir, name, "a.pem"), []byte(name), 0o600)
	}
	link := filepath.Join(dir, "now")
	symlink(t, "1", link)
	w, err := NewWatcher(WatcherOptions{Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	loop := newWatchLoop(w, func(string) {})
	w.Set(setsOf(map[string][]string{"a": {filepath.Join(link, "a.pem")}}))
	loop.take(w.take())
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	symlink(t, "2", link)
	w.Moved("a")
	w.Moved("none")
	loop.take(w.take())
	if list := w.notify.WatchList(); slices.Contains(list, filepath.Join(dir, "1")) || !slices.Contains(list, filepath.Join(dir, "2")) {
		t.Errorf("watched are %q", list)
	}
}

func TestWatcherReportsOnceForASet(t *testing.T) {
	var got []string
	loop, dir := deafLoop(t, func(c string) { got = append(got, c) })
	in := func(name string) string { return filepath.Join(dir, name) }
	loop.set(setsOf(map[string][]string{"a": {in("a.pem"), in("a.key")}, "b": {in("b.pem")}}))
	start := time.Now()
	for _, name := range []string{in("a.pem"), in("a.key"), in("a.pem"), in(".certbridged-1-0.tmp"), "/other/b.pem"} {
		loop.event(fsnotify.Event{Name: name, Op: fsnotify.Create})
	}
	if wait, more := loop.flush(start); len(got) != 0 || !more || wait <= 0 {
		t.Fatalf("reported %q at once, wait %v, %t", got, wait, more)
	}
	if _, more := loop.flush(start.Add(time.Minute)); !slices.Equal(got, []string{"a"}) || more {
		t.Errorf("reported %q, more to come %t", got, more)
	}
}

// deafLoop makes a watch loop that hears of what it is told alone, and a folder.
func deafLoop(t *testing.T, changed func(string)) (*watchLoop, string) {
	t.Helper()
	w, err := NewWatcher(WatcherOptions{Settle: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return newWatchLoop(w, changed), t.TempDir()
}

// New sets give the certificates other numbers; what is not reported yet stays due, and what nothing cares about is let go.
func TestWatcherTakesNewSets(t *testing.T) {
	var got []string
	loop, dir := deafLoop(t, func(c string) { got = append(got, c) })
	in := func(name string) string { return filepath.Join(dir, name, name+".pem") }
	for _, name := range []string{"a", "b", "c"} {
		mkdir(t, filepath.Join(dir, name))
	}
	loop.set(setsOf(map[string][]string{"a": {in("a")}, "b": {in("b")}, "c": {in("c")}}))
	for _, name := range []string{"a", "c"} {
		loop.event(fsnotify.Event{Name: in(name), Op: fsnotify.Create})
	}
	loop.set(setsOf(map[string][]string{"b": {in("b")}, "c": {in("c")}}))
	loop.event(fsnotify.Event{Name: in("a"), Op: fsnotify.Create})
	if _, more := loop.flush(time.Now().Add(time.Minute)); !slices.Equal(got, []string{"c"}) || more {
		t.Errorf("reported %q, more to come %t", got, more)
	}
	if list := loop.notify.WatchList(); slices.Contains(list, filepath.Join(dir, "a")) || !slices.Contains(list, filepath.Join(dir, "b")) {
		t.Errorf("watched are %q", list)
	}
}

// TestWatcherNeverHoldsBackForEver has a certificate that never comes to rest.
func TestWatcherNeverHoldsBackForEver(t *testing.T) {
	reported := 0
	loop, dir := deafLoop(t, func(string) { reported++ })
	loop.set(setsOf(map[string][]string{"a": {filepath.Join(dir, "a.pem")}}))
	start := time.Now()
	for i := range 4 * settleLimit {
		now := start.Add(time.Duration(i) * time.Second / 2)
		loop.note(0, now)
		loop.flush(now)
	}
	if reported != 1 {
		t.Errorf("reported %d times in %d settle times, want once", reported, 2*settleLimit)
	}
}
