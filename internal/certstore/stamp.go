package certstore

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"io/fs"
	"syscall"
	"time"
)

// stamp tells one state of a file from another without reading it, in the system's own numbers. It is
// zero for a file that is not there.
type stamp struct {
	device, inode, size, seconds, nanoseconds uint64
	uid, gid, mode                            uint32
}

func stampOf(st *syscall.Stat_t) stamp {
	return stamp{
		device: st.Dev, inode: st.Ino, size: uint64(st.Size), seconds: uint64(st.Mtim.Sec), nanoseconds: uint64(st.Mtim.Nsec),
		uid: st.Uid, gid: st.Gid, mode: st.Mode,
	}
}

// stampAt looks at a file in one call of the system. Where the path is a link, it looks at the link, or follows it. It
// returns false when there is no telling.
func stampAt(path string, follow bool) (stamp, bool) {
	s, err := askStamp(path, follow)
	return s, err == nil || errors.Is(err, fs.ErrNotExist)
}

// lstat looks at a file, or at the link in its place.
func lstat(path string) (stamp, error) {
	s, err := askStamp(path, false)
	if err != nil {
		return stamp{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return s, nil
}

// askStamp is stampAt with the system's own error.
func askStamp(path string, follow bool) (stamp, error) {
	var st syscall.Stat_t
	for {
		var err error
		if follow {
			err = syscall.Stat(path, &st)
		} else {
			err = syscall.Lstat(path, &st)
		}
		switch {
		case err == nil:
			return stampOf(&st), nil
		case !errors.Is(err, syscall.EINTR):
			return stamp{}, err
		}
	}
}

func (s stamp) modified() time.Time { return time.Unix(int64(s.seconds), int64(s.nanoseconds)) }

// folder reports whether the file is a folder.
func (s stamp) folder() bool { return s.mode&syscall.S_IFMT == syscall.S_IFDIR }

// link reports whether the file is a symbolic link.
func (s stamp) link() bool { return s.mode&syscall.S_IFMT == syscall.S_IFLNK }

// add adds the stamp to a digest of several.
func (s stamp) add(sum *maphash.Hash) {
	var b [52]byte
	for i, v := range [...]uint64{s.device, s.inode, s.size, s.seconds, s.nanoseconds} {
		binary.NativeEndian.PutUint64(b[8*i:], v)
	}
	for i, v := range [...]uint32{s.uid, s.gid, s.mode} {
		binary.NativeEndian.PutUint32(b[40+4*i:], v)
	}
	_, _ = sum.Write(b[:]) // never fails
}
