package certstore

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// overflow makes more happen in a folder than the system keeps for a watcher that does not listen meanwhile.
func overflow(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Skipf("SKIP: how many events the system keeps is not known: %v", err)
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	const inHand = 4096 // events that may have been read already
	files := [2]string{filepath.Join(dir, "noise1"), filepath.Join(dir, "noise2")}
	for _, f := range files {
		writeFile(t, f, nil, 0o600)
	}
	for i := range limit + inHand { // of two files in turn: an event that is like the last one is not kept
		if err := os.Chmod(files[i%2], fs.FileMode(0o600+i/2%2)); err != nil {
			t.Fatal(err)
		}
	}
}

// viewOf makes a view of one file, which is sure of it.
func viewOf(t *testing.T, store *Store, path string) *View {
	t.Helper()
	v, err := store.Look([]File{{Form: Fullchain, Path: path}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !store.Unchanged([]string{path}, v) {
		t.Fatalf("%s counts as changed at once", path)
	}
	return v
}

// TestWatcherAfterAnOverflow has the system leave out changes: a file in a folder that stays, and a folder that another
// takes the place of. Both must be found by whoever looks once Lost was called, and watched from then on.
func TestWatcherAfterAnOverflow(t *testing.T) {
	dir := t.TempDir()
	stays, goes, bell := filepath.Join(dir, "stays", "a.pem"), filepath.Join(dir, "goes", "b.pem"), filepath.Join(dir, "bell", "c.pem")
	for _, f := range []string{stays, goes, bell} {
		mkdir(t, filepath.Dir(f))
		writeFile(t, f, []byte("before"), 0o600)
		age(t, []File{{Path: f}})
	}
	store := newStore(t)
	stayed, went := viewOf(t, store, stays), viewOf(t, store, goes)
	lost := make(chan struct{}, 100)
	w := &watching{changes: make(chan string, 1000)}
	var err error
	w.Watcher, err = NewWatcher(WatcherOptions{Settle: 50 * time.Millisecond, Lost: func() { lost <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	held, goOn := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- w.Run(ctx, func(certificate string) {
			if certificate == "bell" { // the watcher listens to nothing until this returns
				close(held)
				<-goOn
				return
			}
			w.changes <- certificate
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	w.watch(t, map[string][]string{"stays": {stays}, "goes": {goes}, "bell": {bell}})

	writeFile(t, bell, []byte("rings"), 0o600)
	<-held
	overflow(t, filepath.Dir(stays))
	writeFile(t, stays, []byte("changed"), 0o600)
	rename(t, filepath.Dir(goes), filepath.Join(dir, "gone"))
	mkdir(t, filepath.Dir(goes))
	writeFile(t, goes, []byte("changed"), 0o600)
	close(goOn)

	select {
	case <-lost:
	case <-time.After(patience):
		t.Fatal("nobody is told that changes were lost")
	}
	w.expectNothing(t) // or else nothing was lost, and this test shows nothing
	if store.Unchanged([]string{stays}, stayed) || store.Unchanged([]string{goes}, went) {
		t.Error("whoever looks then does not find the changes")
	}
	writeFile(t, stays, []byte("later"), 0o600)
	w.expect(t, "stays")
	writeFile(t, goes, []byte("later"), 0o600)
	w.expect(t, "goes")
}
