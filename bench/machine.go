package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/certbridge/certbridged/bench/report"
)

// machine describes where this runs.
func machine(ctx context.Context, o options) report.Machine {
	m := report.Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: "unknown processor", Version: "unknown version"}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(text), "model name")
		name, _, _ := strings.Cut(rest, "\n")
		m.CPU = strings.Trim(name, ":\t ")
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _, _ = strings.Cut(string(text), " ")
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	var st unix.Statfs_t
	if unix.Statfs(o.dir, &st) == nil {
		m.Disk = fileSystem(st.Type)
	}
	if out, err := exec.CommandContext(ctx, o.daemon, "version").Output(); err == nil {
		m.Version = string(bytes.TrimPrefix(bytes.TrimSpace(out), []byte("certbridged ")))
	}
	return m
}

// fileSystem names a file system (statfs(2)).
func fileSystem(number int64) string {
	names := map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: "tmpfs (nothing is durable here)", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs",
	}
	if text, ok := names[number]; ok {
		return text
	}
	return fmt.Sprintf("file system %#x", number)
}

// disk measures what every durable step waits for.
func (b *bench) disk() error {
	for _, writers := range []int{1, 16} {
		rate, err := fsyncRate(b.dir, writers)
		if err != nil {
			return fmt.Errorf("measure the disk: %w", err)
		}
		b.Add(report.Row{Part: "-", What: fmt.Sprintf("disk: durable writes of 4 KiB by %d at once", writers), Value: rate, Unit: "1/s"})
	}
	return nil
}

// fsyncFor is how long the disk is tried.
const fsyncFor = time.Second

func fsyncRate(dir string, writers int) (float64, error) {
	temp, err := os.MkdirTemp(dir, "disk")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(temp) }() // nothing of it matters
	counts, errs := make([]int, writers), make([]error, writers)
	begun := time.Now()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() { counts[w], errs[w] = fsyncs(filepath.Join(temp, fmt.Sprint(w)), begun.Add(fsyncFor)) })
	}
	wg.Wait()
	sum := 0
	for w := range writers {
		if errs[w] != nil {
			return 0, errs[w]
		}
		sum += counts[w]
	}
	return float64(sum) / time.Since(begun).Seconds(), nil
}

func fsyncs(path string, until time.Time) (int, error) {
	file, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	block := make([]byte, 4096)
	for n := 0; ; n++ {
		if time.Now().After(until) {
			return n, nil
		}
		if _, err := file.Write(block); err != nil {
			return n, err
		}
		if err := file.Sync(); err != nil {
			return n, err
		}
	}
}
