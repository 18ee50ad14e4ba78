package certstore

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// disk is every step by which the store changes anything, in one place, so that tests can fail each of them.
type disk struct {
	// fault is asked before each step; an error from it is the step's failure. Nil in production.
	fault func(op, path string) error
}

func (d disk) step(op, path string) error {
	if d.fault == nil {
		return nil
	}
	return d.fault(op, path)
}

// folder is a folder held open, so that all work in it stays in it whatever happens to its path. Names in it are single
// ones, and no link in the place of one is followed.
type folder struct {
	disk disk
	path string
	dir  *handle
}

func (d disk) open(path string) (*folder, error) {
	dir, err := openAt(unix.AT_FDCWD, path, path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &folder{disk: d, path: path, dir: dir}, nil
}

func (f *folder) close() { _ = f.dir.close() } // nothing was written through the descriptor itself

func (f *folder) join(name string) string { return filepath.Join(f.path, name) }

// create makes a new file, which the caller syncs and closes. It is its owner's alone until it has its attributes, which it
// gets before any content. What an earlier try left is replaced.
func (f *folder) create(name string, data []byte, a attributes) (_ *handle, err error) {
	if err := f.disk.step("create", f.join(name)); err != nil {
		return nil, err
	}
	file, err := f.createNew(name)
	if errors.Is(err, fs.ErrExist) {
		if err := f.remove(name); err != nil {
			return nil, err
		}
		file, err = f.createNew(name)
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = file.close() // what went wrong before is what matters
		}
	}()
	if err := f.disk.step("attributes", f.join(name)); err != nil {
		return nil, err
	}
	if err := a.apply(file); err != nil {
		return nil, err
	}
	if err := f.disk.step("write", f.join(name)); err != nil {
		_ = file.write(data[:len(data)/2]) // a power cut leaves half a file
		return nil, err
	}
	if err := file.write(data); err != nil {
		return nil, err
	}
	return file, nil
}

func (f *folder) createNew(name string) (*handle, error) {
	return openAt(f.dir.fd, name, f.join(name), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
}

// finish makes a file durable, its entry in the folder excepted, and closes it.
func (f *folder) finish(name string, file *handle) error {
	if err := f.disk.step("fsync", f.join(name)); err != nil {
		return errors.Join(err, file.close())
	}
	return errors.Join(file.sync(), file.close())
}

// complete gives a file its attributes, if it has not got them, and makes all of it durable.
func (f *folder) complete(name string, a attributes) error {
	if err := f.disk.step("complete", f.join(name)); err != nil {
		return err
	}
	_, _, file, err := f.read(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.close() }() // nothing is written through it that sync does not tell
	if err := a.apply(file); err != nil {
		return err
	}
	return file.sync()
}

func (f *folder) rename(from, to string) error {
	if err := f.disk.step("rename", f.join(to)); err != nil {
		return err
	}
	return f.dir.call("rename to "+to, func() error { return unix.Renameat(f.dir.fd, from, f.dir.fd, to) })
}

// remove removes a file; one that is gone is fine.
func (f *folder) remove(name string) error {
	if _, err := f.kind(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := f.disk.step("remove", f.join(name)); err != nil {
		return err
	}
	err := f.dir.call("remove "+name, func() error { return unix.Unlinkat(f.dir.fd, name, 0) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// kind returns what a name stands for, as one of unix.S_IFREG and its like.
func (f *folder) kind(name string) (uint32, error) {
	var st unix.Stat_t
	err := f.dir.call("look at "+name, func() error { return unix.Fstatat(f.dir.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st.Mode & unix.S_IFMT, err
}

// sync makes the folder's entries durable.
func (f *folder) sync() error {
	if err := f.disk.step("sync folder", f.path); err != nil {
		return err
	}
	if err := f.dir.sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err // some network file systems cannot sync folders, and say so with these two
	}
	return nil
}

// read returns a regular file's bytes and what the disk says about it. A link is not followed.
func (f *folder) read(name string) ([]byte, *syscall.Stat_t, *handle, error) {
	file, err := openAt(f.dir.fd, name, f.join(name), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, nil, err
	}
	data, st, err := file.read()
	if err != nil {
		_ = file.close()
		return nil, nil, nil, err
	}
	return data, st, file, nil
}

// sum returns the digest of a file, or an empty string for one that does not exist.
func (f *folder) sum(name string) (string, error) {
	data, _, file, err := f.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	_ = file.close()
	return sumOf(data), nil
}

// room reports an error when the folder's file system cannot take that many bytes in that many files.
func (f *folder) room(bytes, files int) error {
	var st unix.Statfs_t
	if unix.Fstatfs(f.dir.fd, &st) != nil || st.Bsize <= 0 {
		return nil //nolint:nilerr // what does not tell is tried
	}
	blocks := uint64(bytes)/uint64(st.Bsize) + uint64(files)
	if st.Blocks > 0 && st.Bavail < blocks {
		return fmt.Errorf("%s: %w: %d bytes are needed", f.path, unix.ENOSPC, bytes)
	}
	return nil
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
