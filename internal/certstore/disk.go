package certstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxFileSize is the largest file that is read: far above any certificate file, far below what would hurt.
const maxFileSize = 4 << 20

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

// folder is a folder held open, so that all work in it stays in it whatever happens to its path.
type folder struct {
	disk   disk
	path   string
	root   *os.Root
	itself *os.File // the folder, once it is needed as a file
}

func (d disk) open(path string) (*folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &folder{disk: d, path: path, root: root}, nil
}

func (f *folder) close() {
	_ = f.root.Close() // nothing was written through the descriptors themselves
	if f.itself != nil {
		_ = f.itself.Close()
	}
}

// file is the folder as a file.
func (f *folder) file() (_ *os.File, err error) {
	if f.itself == nil {
		f.itself, err = f.root.Open(".")
	}
	return f.itself, err
}

func (f *folder) join(name string) string { return filepath.Join(f.path, name) }

// create makes a new file, which the caller syncs and closes. It is its owner's alone until it has its attributes, which it
// gets before any content. What an earlier try left is replaced.
func (f *folder) create(name string, data []byte, a attributes) (_ *os.File, err error) {
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
			_ = file.Close() // what went wrong before is what matters
		}
	}()
	if err := f.disk.step("attributes", f.join(name)); err != nil {
		return nil, err
	}
	if err := a.apply(file); err != nil {
		return nil, err
	}
	if err := f.disk.step("write", f.join(name)); err != nil {
		_, _ = file.Write(data[:len(data)/2]) // a power cut leaves half a file
		return nil, err
	}
	if _, err := file.Write(data); err != nil {
		return nil, err
	}
	return file, nil
}

func (f *folder) createNew(name string) (*os.File, error) {
	return f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
}

// finish makes a file durable, its entry in the folder excepted, and closes it.
func (f *folder) finish(name string, file *os.File) error {
	if err := f.disk.step("fsync", f.join(name)); err != nil {
		return errors.Join(err, file.Close())
	}
	return errors.Join(file.Sync(), file.Close())
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
	defer func() { _ = file.Close() }() // nothing is written through it that Sync does not tell
	if err := a.apply(file); err != nil {
		return err
	}
	return file.Sync()
}

func (f *folder) rename(from, to string) error {
	if err := f.disk.step("rename", f.join(to)); err != nil {
		return err
	}
	return f.root.Rename(from, to)
}

// remove removes a file; one that is gone is fine.
func (f *folder) remove(name string) error {
	if _, err := f.root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := f.disk.step("remove", f.join(name)); err != nil {
		return err
	}
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sync makes the folder's entries durable.
func (f *folder) sync() error {
	if err := f.disk.step("sync folder", f.path); err != nil {
		return err
	}
	dir, err := f.file()
	if err != nil {
		return err
	}
	if err := dir.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err // some network file systems cannot sync folders, and say so with these two
	}
	return nil
}

// read returns a regular file's bytes and what the disk says about it. A link is not followed.
func (f *folder) read(name string) ([]byte, fs.FileInfo, *os.File, error) {
	file, err := f.root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, nil, err
	}
	data, info, err := readRegular(file)
	if err != nil {
		_ = file.Close()
		return nil, nil, nil, err
	}
	return data, info, file, nil
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
	_ = file.Close()
	return sumOf(data), nil
}

// room reports an error when the folder's file system cannot take that many bytes in that many files.
func (f *folder) room(bytes, files int) error {
	dir, err := f.file()
	if err != nil {
		return err
	}
	var st unix.Statfs_t
	if unix.Fstatfs(int(dir.Fd()), &st) != nil || st.Bsize <= 0 {
		return nil //nolint:nilerr // what does not tell is tried
	}
	blocks := uint64(bytes)/uint64(st.Bsize) + uint64(files)
	if st.Blocks > 0 && st.Bavail < blocks {
		return fmt.Errorf("%s: %w: %d bytes are needed", f.path, unix.ENOSPC, bytes)
	}
	return nil
}

// readRegular returns a file's bytes and what the disk said about it before they were read; that also with an error, where
// it is known.
func readRegular(file *os.File) ([]byte, fs.FileInfo, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, info, fmt.Errorf("%s: not a regular file", file.Name())
	}
	var data bytes.Buffer
	data.Grow(int(min(info.Size(), maxFileSize)) + bytes.MinRead) // so that it takes one reading, and one that finds no more
	if _, err := data.ReadFrom(io.LimitReader(file, maxFileSize+1)); err != nil {
		return nil, info, err
	}
	if data.Len() > maxFileSize {
		return nil, info, fmt.Errorf("%s: larger than %d MiB, so not a certificate file", file.Name(), maxFileSize>>20)
	}
	return data.Bytes(), info, nil
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
