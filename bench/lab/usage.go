package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU returns how much processor time a process has used, all threads together, to the nanosecond: the process's own
// clock, whose number is made of the process's (clock_getcpuclockid(3)).
func CPU(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// Memory returns the resident memory of a process and the most that it ever was, in bytes.
func Memory(pid int) (now, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	now, err1 := kibibytes(string(text), "VmRSS:")
	peak, err2 := kibibytes(string(text), "VmHWM:")
	return now, peak, errors.Join(err1, err2)
}

// Mapped is how much of a process's resident memory are pages of files, which the system takes back when it needs room: its
// program, and the journal, which is mapped.
func Mapped(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return kibibytes(string(text), "RssFile:")
}

func kibibytes(status, key string) (int64, error) {
	_, rest, ok := strings.Cut(status, key)
	if fields := strings.Fields(rest); ok && len(fields) > 0 {
		n, err := strconv.ParseInt(fields[0], 10, 64)
		return n << 10, err
	}
	return 0, fmt.Errorf("no %s in the process's status", key)
}

// Children returns the processes that a process has started and that still run.
func Children(pid int) []int {
	var list []int
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it is gone
		}
		_, rest, ok := strings.Cut(string(text), ") ") // state, parent, ...
		fields := strings.Fields(rest)
		if ok && len(fields) > 1 && fields[0] != "Z" && fields[1] == strconv.Itoa(pid) {
			if child, err := strconv.Atoi(strings.Split(file, "/")[2]); err == nil {
				list = append(list, child)
			}
		}
	}
	slices.Sort(list)
	return list
}

// ChildrenCPU is how much processor time the children of a process have used: those that still run, and those that ended
// and that it has waited for, to the hundredth of a second.
func ChildrenCPU(pid int) time.Duration {
	sum := endedCPU(pid)
	for _, child := range Children(pid) {
		if used, err := CPU(child); err == nil { // else it has just ended
			sum += used
		}
	}
	return sum
}

// userTick is the unit of times in /proc (sysconf(3), _SC_CLK_TCK), the same on every Linux that Go runs on.
const userTick = 10 * time.Millisecond

// endedCPU reads cutime and cstime (proc_pid_stat(5), fields 16 and 17).
func endedCPU(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if err != nil || !ok || len(fields) < 15 {
		return 0
	}
	user, err1 := strconv.Atoi(fields[13])
	system, err2 := strconv.Atoi(fields[14])
	if err1 != nil || err2 != nil {
		return 0
	}
	return time.Duration(user+system) * userTick
}
