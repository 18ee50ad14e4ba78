package control

import (
	"context"
	"fmt"
	"os/user"
	"strconv"
)

// Caller is the process at the other end of the socket, as the kernel names it.
type Caller struct {
	UID, GID uint32
	PID      int32
	// Groups are its supplementary groups.
	Groups []uint32
}

// String returns the caller for logs: its user's name where there is one, and its process.
func (c Caller) String() string {
	name := strconv.FormatUint(uint64(c.UID), 10)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return fmt.Sprintf("%s (pid %d)", name, c.PID)
}

type callerKey struct{}

// CallerFrom returns who called; ok is false outside a call.
func CallerFrom(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}
