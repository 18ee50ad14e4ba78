package certstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// keepID leaves an owner or group as the system gives it.
const keepID = -1

// The extended attributes that decide about access and are carried over from the old file.
const (
	xattrACL     = "system.posix_acl_access"
	xattrSELinux = "security.selinux"
)

// attributes are what decides who may use a file.
type attributes struct {
	UID    int               `json:"uid"`
	GID    int               `json:"gid"`
	Mode   fs.FileMode       `json:"mode"`
	Xattrs map[string][]byte `json:"xattrs,omitempty"`
	// Fresh is set for a file that has no predecessor: it may keep the access list that its folder gives it.
	Fresh bool `json:"fresh,omitempty"`
}

// attributesOf reads the attributes of an open file.
func attributesOf(file *handle, st *syscall.Stat_t) (attributes, error) {
	a := attributes{UID: int(st.Uid), GID: int(st.Gid), Mode: fs.FileMode(st.Mode).Perm()}
	for _, name := range []string{xattrACL, xattrSELinux} {
		value, err := getXattr(file, name)
		if err != nil {
			return attributes{}, fmt.Errorf("%s: read %s: %w", file.path, name, err)
		}
		if value != nil {
			if a.Xattrs == nil {
				a.Xattrs = make(map[string][]byte)
			}
			a.Xattrs[name] = value
		}
	}
	return a, nil
}

// getXattr returns nil for an attribute that is absent or that the file system does not know.
func getXattr(file *handle, name string) ([]byte, error) {
	const usual, largest = 256, 64 << 10 // the latter is the kernel's own limit, XATTR_SIZE_MAX
	buf := make([]byte, usual)
	n, err := unix.Fgetxattr(file.fd, name, buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, largest)
		n, err = unix.Fgetxattr(file.fd, name, buf)
	}
	switch {
	case errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return append([]byte{}, buf[:n]...), nil
}

// apply gives a new file these attributes. The mode comes last, since changing the owner or the access list changes it.
func (a attributes) apply(file *handle) error {
	if a.UID != keepID || a.GID != keepID {
		if err := file.chown(a.UID, a.GID); err != nil {
			return fmt.Errorf("give it to %s: %w: the daemon runs as %s; run it as root or with CAP_CHOWN, or set owner and group in the configuration to ones it may give",
				ownerText(a.UID, a.GID), err, ownerText(os.Geteuid(), os.Getegid()))
		}
	}
	for _, name := range []string{xattrSELinux, xattrACL} {
		if err := a.applyXattr(file, name); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	if err := file.chmod(a.Mode); err != nil {
		return fmt.Errorf("set mode %04o: %w", a.Mode, err)
	}
	return nil
}

func (a attributes) applyXattr(file *handle, name string) error {
	want, ok := a.Xattrs[name]
	if !ok && (name != xattrACL || a.Fresh) {
		return nil // it keeps what the system gives it
	}
	have, err := getXattr(file, name)
	if err != nil {
		return err
	}
	switch {
	case ok && string(have) == string(want):
		return nil
	case ok:
		return unix.Fsetxattr(file.fd, name, want, 0)
	case have != nil:
		// The folder's default access list would open the file to people the old one was closed to.
		return unix.Fremovexattr(file.fd, name)
	default:
		return nil
	}
}

func ownerText(uid, gid int) string {
	owner, group := ownerName(uid), groupName(gid)
	return owner + ":" + group
}

// ownerName returns a user's name, or the number where there is none.
func ownerName(uid int) string {
	if uid == keepID {
		return ""
	}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

// groupName returns a group's name, or the number where there is none.
func groupName(gid int) string {
	if gid == keepID {
		return ""
	}
	if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil {
		return g.Name
	}
	return strconv.Itoa(gid)
}

// wanted merges what is configured for a file with what the old file has; old is nil for a new file.
func (f File) wanted(old *attributes) (attributes, error) {
	a := attributes{UID: keepID, GID: keepID, Mode: defaultMode, Fresh: true}
	if f.Form.HasKey() {
		a.Mode = defaultKeyMode
	}
	if old != nil {
		a = *old
	}
	var errs []error
	if f.Owner != "" {
		uid, err := lookupUser(f.Owner)
		errs = append(errs, err)
		a.UID = uid
	}
	if f.Group != "" {
		gid, err := lookupGroup(f.Group)
		errs = append(errs, err)
		a.GID = gid
	}
	switch {
	case f.Mode != 0:
		a.Mode = f.Mode.Perm()
	case f.Form.HasKey() && a.Mode&0o007 != 0:
		errs = append(errs, fmt.Errorf("it holds a private key and is open to everybody (mode %04o): set its mode in the configuration, best to \"0600\" or \"0640\"", a.Mode))
	}
	if err := errors.Join(errs...); err != nil {
		return attributes{}, fmt.Errorf("%s: %w", f.Path, err)
	}
	return a, nil
}

func lookupUser(name string) (int, error) {
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, fmt.Errorf("owner %q: no such user on this machine", name)
	}
	return strconv.Atoi(u.Uid)
}

func lookupGroup(name string) (int, error) {
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("group %q: no such group on this machine", name)
	}
	return strconv.Atoi(g.Gid)
}
