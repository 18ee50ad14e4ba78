package state_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/state"
)

// filled is a file with two records of usual size for each of 10 000 certificates.
func filled(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "state.db")
	s, err := state.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	records := map[string][]byte{}
	for i := range 10000 {
		records[fmt.Sprintf("order/20260101-000000-%08x", i)] = []byte(strings.Repeat("o", 900))
		records[fmt.Sprintf("history/c%06d", i)] = []byte(strings.Repeat("h", 2600))
	}
	if err := s.Write("journal", records); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkOpen opens a file of 10 000 certificates, which walks all of it.
func BenchmarkOpen(b *testing.B) {
	path := filled(b)
	b.ReportAllocs()
	for b.Loop() {
		s, err := state.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEach visits all of its records.
func BenchmarkEach(b *testing.B) {
	s, err := state.Open(filled(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() }) // nothing was written
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := s.Each("journal", func(string, []byte) error { n++; return nil }); err != nil || n != 20000 {
			b.Fatal(n, err)
		}
	}
}
