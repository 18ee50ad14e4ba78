package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInUse says that another daemon serves the socket.
var ErrInUse = errors.New("another daemon is running")

// Listen makes the socket. Everybody may connect: the server asks the kernel who calls. A socket that a dead daemon
// left behind is replaced; one that somebody listens on is refused with ErrInUse. Close removes it.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	lock, err := lockBeside(path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	owned := true
	defer func() {
		if owned {
			lock.Close()
		}
	}()
	if err := refuseLiving(ctx, path); err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	l, err := bind(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	owned = false
	return &listener{Listener: l, path: path, lock: lock}, nil
}

// lockBeside takes the lock that only one daemon can have for a socket; it ends with the process.
func lockBeside(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	return f, nil
}

// refuseLiving refuses a path that is something else than a socket, or a socket that somebody listens on.
func refuseLiving(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("something that is not a socket is there; move it away")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		conn.Close()
		return ErrInUse
	}
	if errors.Is(err, unix.ECONNREFUSED) {
		return nil
	}
	return fmt.Errorf("look whether somebody listens: %w", err)
}

// bind listens under another name of the same length and renames: at its own name the socket is there at once with the
// right mode, and what a dead daemon left is replaced.
func bind(ctx context.Context, path string) (net.Listener, error) {
	dir, base := filepath.Split(path)
	temporary := filepath.Join(dir, "~"+base[1:])
	if base[0] == '~' {
		temporary = filepath.Join(dir, "_"+base[1:])
	}
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", temporary)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	err = os.Chmod(temporary, 0o666)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		l.Close()
		os.Remove(temporary)
		return nil, err
	}
	return l, nil
}

type listener struct {
	net.Listener
	path  string
	lock  *os.File
	close sync.Once
}

// Close removes the socket and lets the next daemon in.
func (l *listener) Close() error {
	err := net.ErrClosed
	l.close.Do(func() {
		err = l.Listener.Close()
		// The lock is still held, so the socket at the path is ours.
		err = errors.Join(err, os.Remove(l.path), l.lock.Close())
	})
	return err
}
