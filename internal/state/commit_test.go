package state

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"
)

func newStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// lastTransaction is the number of the last transaction that was committed.
func lastTransaction(t *testing.T, s *Store) int {
	t.Helper()
	id := 0
	if err := s.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

// behind runs writes while a transaction is under way, so that all but the first wait together.
func behind(t *testing.T, s *Store, writes ...map[string][]byte) []error {
	t.Helper()
	before, err := s.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, len(writes))
	var all sync.WaitGroup
	for i, records := range writes {
		all.Go(func() { errs[i] = s.Write("orders", records) })
		for led := false; ; runtime.Gosched() { // until it waits
			s.commits.mu.Lock()
			n := len(s.commits.waiting)
			led = led || s.commits.leading && n == 0
			s.commits.mu.Unlock()
			if i == 0 && led || i > 0 && n == i {
				break
			}
		}
	}
	if err := before.Rollback(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	return errs
}

func TestWritesThatWaitShareATransaction(t *testing.T) {
	s := newStore(t)
	var writes []map[string][]byte
	for i := range 50 {
		writes = append(writes, map[string][]byte{fmt.Sprintf("key%02d", i): []byte("value")})
	}
	from := lastTransaction(t, s)
	for _, err := range behind(t, s, writes...) {
		if err != nil {
			t.Error(err)
		}
	}
	if n := lastTransaction(t, s) - from; n != 2 {
		t.Errorf("50 writes took %d transactions, want that of the first and one for the others", n)
	}
	n := 0
	if err := s.Each("orders", func(string, []byte) error { n++; return nil }); err != nil || n != 50 {
		t.Errorf("%d records, %v", n, err)
	}
}

// A transaction that follows one of many writes waits for more, once. All others begin at once.
func TestATransactionWaitsForMoreAmongMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		records := map[string][]byte{"key": []byte("value")}
		wrote := func(when string, want time.Duration) {
			t.Helper()
			began := time.Now()
			if err := s.Write("orders", records); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("%s a write took %v, want %v", when, took, want)
			}
		}
		together := func(n int) {
			for _, err := range behind(t, s, append(slices.Repeat([]map[string][]byte{records}, n), records)...) {
				if err != nil {
					t.Error(err)
				}
			}
		}
		wrote("at first", 0)
		wrote("after another", 0)
		together(crowd - 1)
		wrote("after a few", 0)
		together(crowd)
		wrote("after many", gather)
		wrote("after one that waited alone", 0)
	})
}

func TestOneBadWriteFailsAlone(t *testing.T) {
	s := newStore(t)
	tooLong := strings.Repeat("k", 1<<16)
	errs := behind(t, s,
		map[string][]byte{"a": []byte("1")},
		map[string][]byte{"b": []byte("2")},
		map[string][]byte{"half": []byte("x"), tooLong: []byte("x")},
		map[string][]byte{"c": []byte("3")},
	)
	for i, err := range errs {
		if (err != nil) != (i == 2) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	for key, want := range map[string]bool{"a": true, "b": true, "c": true, "half": false} {
		if value, err := s.Read("orders", key); err != nil || (value != nil) != want {
			t.Errorf("%s: %q, %v", key, value, err)
		}
	}
}

// The later of two writes of one record is what stays.
func TestWritesKeepTheirOrder(t *testing.T) {
	s := newStore(t)
	var writes []map[string][]byte
	for i := range 20 {
		writes = append(writes, map[string][]byte{"key": fmt.Appendf(nil, "%d", i)})
	}
	for _, err := range behind(t, s, writes...) {
		if err != nil {
			t.Error(err)
		}
	}
	if value, err := s.Read("orders", "key"); err != nil || string(value) != "19" {
		t.Errorf("got %s, %v", value, err)
	}
}

func TestManyWritersLoseNothing(t *testing.T) {
	s := newStore(t)
	const writers, each = 64, 20
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				key := fmt.Sprintf("%d/%d", w, i)
				if err := s.Write("orders", map[string][]byte{key: []byte(key)}); err != nil {
					t.Error(err)
				}
				if value, err := s.Read("orders", key); err != nil || string(value) != key {
					t.Errorf("%s was written and reads %q, %v", key, value, err)
				}
			}
		})
	}
	all.Wait()
	n := 0
	if err := s.Each("orders", func(string, []byte) error { n++; return nil }); err != nil || n != writers*each {
		t.Errorf("%d records, %v", n, err)
	}
}

func TestAfterClose(t *testing.T) {
	s := newStore(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Write("orders", map[string][]byte{"a": nil}); err == nil {
			t.Error("a store that is closed took a write")
		}
	}
}

// A transaction that panics leaves nobody waiting, neither in it nor behind it.
func TestAPanicLeavesNobodyWaiting(t *testing.T) {
	s := newStore(t)
	good := s.commits.db
	s.commits.db = nil // whatever is done with it panics
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_ = s.Write("orders", map[string][]byte{"a": []byte("1")})
	}()
	w := &write{answer: make(chan answer, 1)}
	func() {
		defer func() { _ = recover() }()
		s.commits.commit([]*write{w})
	}()
	if a := <-w.answer; !errors.Is(a.err, errGivenUp) {
		t.Errorf("got %v", a.err)
	}
	s.commits.db = good
	if err := s.Write("orders", map[string][]byte{"a": []byte("1")}); err != nil {
		t.Error(err)
	}
}

func BenchmarkWrite(b *testing.B) {
	value := []byte(strings.Repeat("x", 4096))
	for _, writers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := newStore(b)
			b.SetParallelism(max(writers/runtime.GOMAXPROCS(0), 1))
			var next sync.Mutex
			n := 0
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				next.Lock()
				n++
				key := fmt.Sprintf("order/%d", n)
				next.Unlock()
				for pb.Next() {
					if err := s.Write("orders", map[string][]byte{key: value}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
