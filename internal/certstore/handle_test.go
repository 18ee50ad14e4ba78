package certstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHandleReads(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{0, 1, 4095, 4096, maxFileSize, maxFileSize + 1} {
		path := filepath.Join(dir, "file")
		want := bytes.Repeat([]byte("x"), size)
		writeFile(t, path, want, 0o640)
		h, err := openQuietly(path)
		if err != nil {
			t.Fatal(err)
		}
		got, st, err := h.read()
		switch {
		case size > maxFileSize:
			if err == nil || !strings.Contains(err.Error(), "larger than 4 MiB") {
				t.Errorf("%d bytes: %v", size, err)
			}
		case err != nil || !bytes.Equal(got, want) || st.Size != int64(size):
			t.Errorf("%d bytes: %d were read, %v", size, len(got), err)
		}
		if err := h.close(); err != nil {
			t.Error(err)
		}
	}
	// What the system says of a file is not always what is in it.
	if text, err := readWhole("/proc/self/status"); err != nil || !bytes.Contains(text, []byte("VmRSS")) {
		t.Errorf("a file that tells no size: %q, %v", text, err)
	}
	if _, err := readWhole(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := readWhole(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

func TestHandleCallsAgainWhenInterrupted(t *testing.T) {
	h := &handle{path: "/a"}
	calls := 0
	err := h.call("write", func() error {
		if calls++; calls < 3 {
			return unix.EINTR
		}
		return unix.ENOSPC
	})
	if calls != 3 || !errors.Is(err, unix.ENOSPC) || err.Error() != "write /a: no space left on device" {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// Whichever step fails, every file and folder that was opened is closed.
func TestHandlesAreClosed(t *testing.T) {
	s, first, second, files := newStore(t), newPair(t), newPair(t), separate(memoryDir(t))
	install(t, s, first.generation("0", files...))
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("SKIP: the system does not tell which files are open")
		}
		return len(list)
	}
	before := open()
	for n := 0; ; n++ {
		steps := 0
		s.disk.fault = func(string, string) error {
			if steps++; steps == n+1 {
				return unix.ENOSPC
			}
			return nil
		}
		err := errors.Join(s.Install(t.Context(), second.generation("1", files...)), s.RollBack(t.Context(), "shop", "1"))
		if now := open(); now != before {
			t.Fatalf("%d files are open after step %d failed, %d were before", now, n, before)
		}
		if steps <= n {
			if err != nil || n < 10 {
				t.Errorf("%d steps, %v", n, err)
			}
			return
		}
	}
}
