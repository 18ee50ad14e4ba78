package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// part is what of the folder one change needs for itself: a byte of the file "lock".
type part int64

// listPart is for the revocations and their list. Every order has a part of its own.
const listPart part = 0

// orderDigits is how much of an order's key says which part it is: as many hexadecimal digits as fit into an offset.
const orderDigits = 15

// orderPart is the part of an order. Two orders may share one, and then wait for each other.
func orderPart(key string) (part, error) {
	n, err := strconv.ParseInt(key[:min(len(key), orderDigits)], 16, 64)
	if err != nil {
		return 0, pluginapi.FieldErrorf("order.idempotency_key", "is not hexadecimal: %w", err)
	}
	return part(n) + 1, nil
}

// The wait between two attempts at a part that another holds grows from the first to the last.
const (
	firstLockWait = time.Millisecond
	lastLockWait  = 16 * time.Millisecond
)

// lock waits until no other process or goroutine holds a part of the folder, or the context ends.
//
// It is a lock of the open file (F_OFD_SETLK in fcntl(2)), so it holds between goroutines as well, and ends with the
// process. It is tried again rather than waited for: a system call that waits cannot be ended by a context.
func (d folder) lock(ctx context.Context, p part) (unlock func(), err error) {
	f, err := d.openLock()
	if err != nil {
		return nil, diskError(err)
	}
	want := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(p), Len: 1}
	for wait := firstLockWait; ; wait = min(2*wait, lastLockWait) {
		err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &want)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES):
			_ = f.Close()
			return nil, diskError(err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			_ = f.Close()
			return nil, pluginapi.Errorf(pluginapi.Unavailable, "wait for the folder's lock: %w", ctx.Err())
		}
	}
}

// lockOrder is lock for one order.
func (d folder) lockOrder(ctx context.Context, key string) (unlock func(), err error) {
	p, err := orderPart(key)
	if err != nil {
		return nil, err
	}
	return d.lock(ctx, p)
}

func (d folder) openLock() (*os.File, error) {
	f, err := os.OpenFile(d.path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(d.path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
}
