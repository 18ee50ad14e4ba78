package certstore

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// handle is an open file or folder on a disk. An os.File asks the system up to five times more, for each file that is opened,
// whether the runtime's poller could serve it, which is as much as all else that is done with a small file.
type handle struct {
	fd   int
	path string // for errors
}

// openAt opens a name in an open folder, or, with unix.AT_FDCWD, a path.
func openAt(folder int, name, path string, flags int, mode fs.FileMode) (*handle, error) {
	h := &handle{path: path}
	err := h.call("open", func() (err error) {
		h.fd, err = unix.Openat(folder, name, flags|unix.O_CLOEXEC, uint32(mode.Perm()))
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// openQuietly opens a file for reading, and does not hang on a named pipe.
func openQuietly(path string) (*handle, error) {
	return openAt(unix.AT_FDCWD, path, path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
}

// call calls the system, again where a signal interrupts it, and says in an error what was tried.
func (h *handle) call(op string, try func() error) error {
	err := try()
	for errors.Is(err, unix.EINTR) {
		err = try()
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: h.path, Err: err}
	}
	return nil
}

func (h *handle) close() error {
	err := unix.Close(h.fd)
	if err != nil && !errors.Is(err, unix.EINTR) { // then it is closed all the same
		return &fs.PathError{Op: "close", Path: h.path, Err: err}
	}
	return nil
}

func (h *handle) stat() (syscall.Stat_t, error) {
	var st syscall.Stat_t
	err := h.call("stat", func() error { return syscall.Fstat(h.fd, &st) })
	return st, err
}

// sync makes the content durable; that of a folder is its entries.
func (h *handle) sync() error { return h.call("sync", func() error { return unix.Fsync(h.fd) }) }

func (h *handle) chown(uid, gid int) error {
	return h.call("chown", func() error { return unix.Fchown(h.fd, uid, gid) })
}

func (h *handle) chmod(mode fs.FileMode) error {
	return h.call("chmod", func() error { return unix.Fchmod(h.fd, uint32(mode.Perm())) })
}

func (h *handle) write(data []byte) error {
	for len(data) > 0 {
		var n int
		err := h.call("write", func() (err error) {
			n, err = unix.Write(h.fd, data)
			return err
		})
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// maxFileSize is the largest file that is read: far above any certificate file, far below what would hurt.
const maxFileSize = 4 << 20

// read returns a regular file's bytes and what the disk said about it before they were read; that also with an error, where it
// is known.
func (h *handle) read() ([]byte, *syscall.Stat_t, error) {
	st, err := h.stat()
	if err != nil {
		return nil, nil, err
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil, &st, fmt.Errorf("%s: not a regular file", h.path)
	}
	data := make([]byte, 0, min(st.Size, maxFileSize)+1) // it takes one reading, and one that finds no more
	for {
		data = slices.Grow(data, 1)
		var n int
		err := h.call("read", func() (err error) {
			n, err = unix.Read(h.fd, data[len(data):cap(data)])
			return err
		})
		switch data = data[:len(data)+max(n, 0)]; {
		case err != nil:
			return nil, &st, err
		case len(data) > maxFileSize:
			return nil, &st, fmt.Errorf("%s: larger than %d MiB, so not a certificate file", h.path, maxFileSize>>20)
		case n == 0:
			return data, &st, nil
		}
	}
}
