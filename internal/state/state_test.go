package state_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certbridge/certbridged/internal/state"
)

func open(t *testing.T, path string) *state.Store {
	t.Helper()
	s, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func all(t *testing.T, s *state.Store, bucket string) map[string]string {
	t.Helper()
	got := map[string]string{}
	if err := s.Each(bucket, func(k string, v []byte) error { got[k] = string(v); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRecordsSurviveReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	if err := s.Write("orders", map[string][]byte{"a": []byte("1"), "b": []byte("2")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Write("orders", map[string][]byte{"a": nil, "c": []byte("3")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	if diff := cmp.Diff(map[string]string{"b": "2", "c": "3"}, all(t, s, "orders")); diff != "" {
		t.Error(diff)
	}
	if got := all(t, s, "never written"); len(got) != 0 {
		t.Errorf("a bucket that was never written has %v", got)
	}
	value, err := s.Read("orders", "b")
	if err != nil || string(value) != "2" {
		t.Errorf("Read = %q, %v", value, err)
	}
	if value, err := s.Read("orders", "a"); err != nil || value != nil {
		t.Errorf("Read of a deleted record = %q, %v", value, err)
	}
}

func TestWriteIsAllOrNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	tooLong := strings.Repeat("k", 1<<16) // longer than a key may be
	if err := s.Write("orders", map[string][]byte{"good": []byte("1"), tooLong: []byte("2")}); err == nil {
		t.Fatal("a key that is too long was taken")
	}
	if got := all(t, s, "orders"); len(got) != 0 {
		t.Errorf("a failed write left %v", got)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	open(t, path)
	if _, err := state.Open(path); !errors.Is(err, state.ErrLocked) {
		t.Errorf("second open: %v, want ErrLocked", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("not a database ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(dir, "shared")
	s := open(t, shared)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(shared, 0o640); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"a file of something else": {garbage, "not a state file or damaged"},
		"a file others can read":   {shared, "chmod 600"},
		"a folder that is missing": {filepath.Join(dir, "no", "state.db"), "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := state.Open(c.path); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestDamageIsFoundWhenOpening(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "state.db")
	s := open(t, whole)
	for i := range 200 {
		if err := s.Write("orders", map[string][]byte{strings.Repeat("k", i+1): []byte(strings.Repeat("v", 500))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	page := max(8192, os.Getpagesize()) // of a new file
	for name, damage := range map[string]func([]byte) []byte{
		"cut short":          func(b []byte) []byte { return b[:5000] },
		"both meta pages":    func(b []byte) []byte { clear(b[:2*page]); return b },
		"pages of records":   func(b []byte) []byte { fill(b[2*page : 12*page]); return b },
		"one page in middle": func(b []byte) []byte { fill(b[len(b)/2/page*page:][:page]); fill(b[3*page : 4*page]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			if err := os.WriteFile(path, damage(append([]byte{}, good...)), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := state.Open(path)
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, state.ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func fill(b []byte) {
	for i := range b {
		b[i] = 0xa5 ^ byte(i)
	}
}

func TestBackupIsAWholeCopy(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "state.db"))
	if err := s.Write("orders", map[string][]byte{"a": []byte("1")}); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(dir, "backup.db")
	if err := s.Backup(backup); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "1"}, all(t, open(t, backup), "orders")); diff != "" {
		t.Error(diff)
	}
	if err := s.Backup(filepath.Join(dir, "no", "backup.db")); err == nil {
		t.Error("a backup into a missing folder succeeded")
	}
}
