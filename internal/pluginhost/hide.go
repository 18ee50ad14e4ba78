package pluginhost

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// HideProcess closes this process's environment and memory to other processes of its user, which plugins are: not
// handing the environment on does not keep them from reading /proc/PID/environ. The daemon calls it once, first of all.
// It holds for the whole process and also switches core dumps off (prctl(2), PR_SET_DUMPABLE). It is no wall against a
// plugin that runs as root.
func HideProcess() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide the process's environment from plugins: %w", err)
	}
	return nil
}
