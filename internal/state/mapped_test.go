package state_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/state"
)

// TestAWalkLeavesNoPagesBehind: neither the check at the start nor reading all records makes the file a part of the
// process's memory for good.
func TestAWalkLeavesNoPagesBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	records := map[string][]byte{}
	for i := range 4000 {
		records[fmt.Sprint(i)] = []byte(strings.Repeat("v", 1000))
	}
	if err := s.Write("orders", records); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := state.Open(path); err != nil {
		t.Fatal(err)
	} else {
		t.Cleanup(func() { _ = s.Close() })
		few := func(when string) {
			if kib := mapped(t, path); kib > 512 {
				t.Errorf("%s %d KiB of the file are mapped", when, kib)
			}
		}
		few("after the check")
		n := 0
		if err := s.Each("orders", func(string, []byte) error { n++; return nil }); err != nil || n != len(records) {
			t.Fatalf("%d records, %v", n, err)
		}
		few("after a walk")
		if v, err := s.Read("orders", "17"); err != nil || len(v) != 1000 {
			t.Errorf("%d bytes are read afterwards, %v", len(v), err)
		}
	}
}

// TestALongWalkGivesPagesBackOnItsWay: the file may be larger than the memory that the daemon is to have.
func TestALongWalkGivesPagesBackOnItsWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	const n, size = 40, 1 << 20
	records := map[string][]byte{}
	for i := range n {
		records[fmt.Sprint(i)] = bytes.Repeat([]byte{byte(i)}, size)
	}
	if err := s.Write("orders", records); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := state.Open(path) // writing reads, too
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	most, visited := 0, 0
	if err := s.Each("orders", func(_ string, value []byte) error {
		if bytes.Count(value, value[:1]) != size { // all of it is read
			t.Errorf("record %d is another", visited)
		}
		visited++
		most = max(most, mapped(t, path))
		return nil
	}); err != nil || visited != n {
		t.Fatalf("%d records, %v", visited, err)
	}
	if most > n*size/1024*2/3 {
		t.Errorf("up to %d KiB of the file were mapped", most)
	}
}

// mapped is how much of a file the process has in its memory (proc_pid_smaps(5)), in KiB.
func mapped(t *testing.T, path string) (kib int) {
	t.Helper()
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer file.Close()
	in := false
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if strings.Contains(line, "-") && strings.Contains(line, " r") {
			in = strings.HasSuffix(line, path)
		}
		var n int
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &n); in && err == nil {
			kib += n
		}
	}
	return kib
}
