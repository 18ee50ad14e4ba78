package pluginhost

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Kind says which contract a plugin serves; its file name begins with it.
type Kind string

// The kinds of plugin.
const (
	KindCA  Kind = "ca"
	KindDCV Kind = "dcv"
)

var fileName = regexp.MustCompile(`^(ca|dcv)-[a-z0-9][a-z0-9._-]{0,62}$`)

// folder is where the plugins lie, and whom it is trusted from.
type folder struct {
	dir   string
	owner int // beside root

	mu   sync.Mutex
	sums map[identity]string
	seen map[string]glimpse // by name: files that were found fit
}

// glimpse is what was found at a look that found nothing wrong.
type glimpse struct {
	id     identity
	at     time.Time // of the whole look
	looked time.Time // when the file itself was last looked at
}

const (
	// trustFor is how long the folders above a file, and the links to it, are taken for what they were.
	trustFor = time.Second
	// describeFor is how long a file is taken for what it was where only its description is wanted and nothing is called: no
	// longer than Run takes to notice another one.
	describeFor = settleTime
)

// identity tells one state of a file from every other. It changes with the content, the owner and the mode.
type identity struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // nanoseconds
}

func identityOf(fi fs.FileInfo) identity {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{size: fi.Size(), mtime: fi.ModTime().UnixNano()}
	}
	return identity{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano()}
}

// names lists the plugin files in the folder, fit to run or not.
func (f *folder) names() ([]string, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("read the plugin folder: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if fileName.MatchString(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// look judges a file without opening it.
func (f *folder) look(name string) (real string, id identity, err error) {
	real, err = f.resolve(name)
	if err != nil {
		return "", identity{}, err
	}
	fi, err := os.Lstat(real)
	if err != nil {
		return "", identity{}, missing(name, f.dir, err)
	}
	if err := f.judge(real, fi); err != nil {
		return real, identityOf(fi), err
	}
	return real, identityOf(fi), nil
}

// glance is look for a file that a process of may be running, and costs one call of the system where nothing has changed:
// the file itself is looked at each time, what leads to it once in trustFor. A file whose identity is the same has the same
// content, owner, mode and capabilities. What is started is judged anew (open).
func (f *folder) glance(name string) (identity, error) {
	f.mu.Lock()
	g, known := f.seen[name]
	f.mu.Unlock()
	now := time.Now()
	if age := now.Sub(g.at); known && age >= 0 && age < trustFor {
		if id, err := identityAt(filepath.Join(f.dir, name)); err == nil && id == g.id {
			f.lookedAgain(name, id, now)
			return id, nil
		}
	}
	_, id, err := f.look(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		delete(f.seen, name)
		return id, err
	}
	f.seen[name] = glimpse{id: id, at: now, looked: now}
	return id, nil
}

// lookedAgain notes that a file was still what it had been.
func (f *folder) lookedAgain(name string, id identity, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if g := f.seen[name]; g.id == id && at.After(g.looked) {
		g.looked = at
		f.seen[name] = g
	}
}

// identityAt is the identity of what a path leads to, through links.
func identityAt(path string) (identity, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return identity{}, err
	}
	return identity{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano()}, nil
}

// executable is a plugin's file, open and judged fit to run.
type executable struct {
	file *os.File
	real string
	id   identity
}

// open opens a file and judges what it opened. A pin, if any, is compared with the bytes of the open file.
func (f *folder) open(name, pin string) (*executable, error) {
	real, err := f.resolve(name)
	if err != nil {
		return nil, err
	}
	// Not blocking, for a FIFO without a writer would.
	file, err := os.OpenFile(real, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, missing(name, f.dir, err)
	}
	owned := true
	defer func() {
		if owned {
			_ = file.Close()
		}
	}()
	fi, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := f.judge(real, fi); err != nil {
		return nil, err
	}
	x := &executable{file: file, real: real, id: identityOf(fi)}
	if pin != "" {
		sum, err := f.hash(x)
		if err == nil {
			err = pinned(real, pin, sum)
		}
		if err != nil {
			return nil, err
		}
	}
	owned = false
	return x, nil
}

// pinned compares a file's hash with the pin.
func pinned(path, pin, sum string) error {
	if strings.EqualFold(pin, sum) {
		return nil
	}
	return fmt.Errorf("%w: %s has sha256 %s and the configuration pins %s: put the pinned file back, or pin the new one",
		ErrRefused, path, sum, strings.ToLower(pin))
}

// hashBuffer is what is read of a file at once: a plugin has some fifteen megabytes.
const hashBuffer = 256 << 10

// hash returns the sha256 of an open file, in hexadecimal digits.
func (f *folder) hash(x *executable) (string, error) {
	h := sha256.New()
	if _, err := io.CopyBuffer(h, io.NewSectionReader(x.file, 0, x.id.size), make([]byte, hashBuffer)); err != nil {
		return "", fmt.Errorf("%w: read %s: %w", ErrRefused, x.real, err)
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if err := x.unchanged(); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.sums) > 256 { // old versions of long-lived daemons
		clear(f.sums)
	}
	f.sums[x.id] = sum
	return sum, nil
}

// unchanged tells whether the open file is still what was judged and hashed.
func (x *executable) unchanged() error {
	fi, err := x.file.Stat()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if identityOf(fi) != x.id {
		return fmt.Errorf("%w: %s was changed while it was being started; install plugins by renaming a finished file", ErrRefused, x.real)
	}
	return nil
}

func missing(name, dir string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: there is no file %s in %s", ErrNotInstalled, name, dir)
	}
	if errors.Is(err, ErrRefused) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}

// resolve returns the real path of a plugin, which lies in the folder and is reached through trusted folders alone.
func (f *folder) resolve(name string) (string, error) {
	if !fileName.MatchString(name) {
		return "", fmt.Errorf("%w: %q is no name of a plugin file; it has lower-case letters, digits, '-', '_' and '.'", ErrNotInstalled, name)
	}
	dir, err := trustedPath(f.dir, f.owner)
	if err != nil {
		return "", missing(name, f.dir, err)
	}
	if err := closed(dir, f.owner); err != nil {
		return "", err
	}
	real, err := trustedPath(filepath.Join(dir, name), f.owner)
	if err != nil {
		return "", missing(name, f.dir, err)
	}
	if !strings.HasPrefix(real, strings.TrimSuffix(dir, "/")+"/") {
		return "", fmt.Errorf("%w: %s is a link to %s, outside of the plugin folder; copy the file there instead", ErrRefused, filepath.Join(dir, name), real)
	}
	return real, nil
}

// judge says what is wrong with a plugin's file.
func (f *folder) judge(path string, fi fs.FileInfo) error {
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is not a regular file", ErrRefused, path)
	}
	if err := trustedOwner(path, fi, f.owner); err != nil {
		return err
	}
	if perm := fi.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("%w: %s is writable by %s (mode %04o); run: chmod go-w %s", ErrRefused, path, writers(perm), perm, path)
	}
	if fi.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("%w: %s is not executable; run: chmod 0755 %s", ErrRefused, path, path)
	}
	// Either would switch off the signal by which the kernel ends a plugin with its daemon (prctl(2), PR_SET_PDEATHSIG).
	if fi.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		return fmt.Errorf("%w: %s has the set-user-ID or set-group-ID bit; run: chmod ug-s %s", ErrRefused, path, path)
	}
	if n, err := unix.Lgetxattr(path, "security.capability", nil); err == nil && n > 0 {
		return fmt.Errorf("%w: %s has file capabilities; run: setcap -r %s", ErrRefused, path, path)
	}
	return nil
}

// closed says whether nobody but root and the owner can put files into a folder.
func closed(dir string, owner int) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if !fi.IsDir() {
		return fmt.Errorf("%w: %s is not a folder", ErrRefused, dir)
	}
	if err := trustedOwner(dir, fi, owner); err != nil {
		return err
	}
	if perm := fi.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("%w: the folder %s is writable by %s (mode %04o); run: chmod go-w %s", ErrRefused, dir, writers(perm), perm, dir)
	}
	return nil
}

func writers(perm fs.FileMode) string {
	switch {
	case perm&0o020 != 0 && perm&0o002 != 0:
		return "its group and everybody"
	case perm&0o020 != 0:
		return "its group"
	default:
		return "everybody"
	}
}

func trustedOwner(path string, fi fs.FileInfo, owner int) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%w: the owner of %s cannot be found out", ErrRefused, path)
	}
	if uid := int(st.Uid); uid != 0 && uid != owner {
		return fmt.Errorf("%w: %s belongs to user %d, not to root or the daemon's user (%d); run: chown root %s", ErrRefused, path, uid, owner, path)
	}
	return nil
}

// maxLinks is how many symbolic links a path may go through, as for the kernel.
const maxLinks = 40

// trustedPath resolves every symbolic link of an absolute path and checks every folder and link on the way: each
// belongs to root or owner, and nobody else can exchange what lies in it. A folder that all may write to but that has
// the sticky bit, such as /tmp, is good enough above the last: there, what belongs to root or owner stays.
func trustedPath(path string, owner int) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%w: %s is not an absolute path", ErrRefused, path)
	}
	rest := split(path)
	at, links := "/", 0
	if err := trustedAbove(at, owner); err != nil {
		return "", err
	}
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		fi, err := os.Lstat(next)
		if err != nil {
			return "", err
		}
		switch {
		case fi.Mode()&fs.ModeSymlink != 0:
			if err := trustedOwner(next, fi, owner); err != nil {
				return "", err
			}
			target, err := os.Readlink(next)
			if err != nil {
				return "", err
			}
			if links++; links > maxLinks {
				return "", fmt.Errorf("%w: %s goes through too many symbolic links", ErrRefused, path)
			}
			if filepath.IsAbs(target) {
				at = "/"
			}
			rest = append(split(target), rest...)
		case fi.IsDir():
			if err := trustedAbove(next, owner); err != nil {
				return "", err
			}
			at = next
		case len(rest) > 0:
			return "", fmt.Errorf("%w: %s is not a folder", ErrRefused, next)
		default:
			at = next
		}
	}
	return at, nil
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

func trustedAbove(dir string, owner int) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if err := trustedOwner(dir, fi, owner); err != nil {
		return err
	}
	if perm := fi.Mode().Perm(); perm&0o022 != 0 && fi.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("%w: the folder %s is writable by %s (mode %04o); run: chmod go-w %s", ErrRefused, dir, writers(perm), perm, dir)
	}
	return nil
}

// described is glance where only a description is wanted and nothing is called: an order asks for several, and a file that was
// looked at within describeFor, as it is before each call, is not looked at again.
func (f *folder) described(name string) (identity, error) {
	f.mu.Lock()
	g, seen := f.seen[name]
	f.mu.Unlock()
	if age := time.Since(g.looked); seen && age >= 0 && age < describeFor {
		return g.id, nil
	}
	return f.glance(name)
}

// knownSum is the hash of a file in a state in which it was hashed, and empty for another.
func (f *folder) knownSum(id identity) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sums[id]
}

// sumOf is the hash of a file that was looked at just now, for a list of plugins. It is empty for one that cannot be read.
func (f *folder) sumOf(name string, id identity) string {
	if sum := f.knownSum(id); sum != "" {
		return sum
	}
	x, err := f.open(name, "")
	if err != nil {
		return ""
	}
	defer func() { _ = x.file.Close() }()
	sum, err := f.hash(x)
	if err != nil {
		return ""
	}
	return sum
}
