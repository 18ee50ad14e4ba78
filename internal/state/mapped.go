package state

import (
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// A walk gives pages back while it goes on: the file may be larger than all else that the process holds.
const (
	giveBackEvery = 20 * time.Millisecond
	giveBackBytes = 16 << 20 // of records
)

// giveBack takes the pages of the file out of the process's memory that a walk over all of them has brought in. They stay
// in the system's cache of files for as long as it has room, and what is read again is mapped again. The transaction keeps
// the map in its place meanwhile.
func giveBack(tx *bbolt.Tx) {
	// An error would mean that the memory is held, as it would be without the call.
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
}
