package certstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links may lead from one to the next, as in the kernel.
const maxLinks = 40

// resolved is where a configured path leads.
type resolved struct {
	dir, base string // the real folder, which exists, and the name in it, which may not
	folder    stamp  // of the folder, to notice when another took the place; zero where it is not known
	// hops are the places that must be watched to notice that the path leads elsewhere: every link on the way and the
	// end.
	hops []hop
}

// hop is a name in a folder.
type hop struct{ dir, base string }

func (r resolved) path() string { return filepath.Join(r.dir, r.base) }

// errUntrustedLink is returned for a link that is not followed.
var errUntrustedLink = errors.New("the link could have been planted there")

// missingFolder is the error for a folder that is not there. It is fs.ErrNotExist.
type missingFolder string

func (m missingFolder) Error() string {
	return fmt.Sprintf("the folder %s does not exist: create it with the owner and mode it should have", string(m))
}

func (missingFolder) Is(target error) bool { return target == fs.ErrNotExist }

// resolve follows a path to the place where its file is or would be. Folders must exist; the file need not. On an error
// hops says how far it got.
func resolve(path string) (resolved, error) {
	var r resolved
	rest := strings.Split(strings.TrimPrefix(filepath.Clean(path), "/"), "/")
	dir := "/"
	leash := "" // where an untrusted link was met: the way must end there
	for links := 0; ; {
		name := rest[0]
		place := filepath.Join(dir, name)
		seen, err := lstat(place)
		switch {
		case errors.Is(err, fs.ErrNotExist) && len(rest) == 1:
			return r.end(path, dir, name, leash)
		case errors.Is(err, fs.ErrNotExist):
			r.hops = append(r.hops, hop{dir, name})
			return r, fmt.Errorf("%s: %w", path, missingFolder(place))
		case err != nil:
			r.hops = append(r.hops, hop{dir, name})
			return r, fmt.Errorf("%s: %w", path, err)
		case seen.link():
			links++
			if links > maxLinks {
				return r, fmt.Errorf("%s: too many symbolic links, or they lead in a circle", path)
			}
			r.hops = append(r.hops, hop{dir, name})
			if !trustedLink(dir, seen) && leash == "" {
				leash = dir
			}
			target, err := os.Readlink(place)
			if err != nil {
				return r, fmt.Errorf("%s: %w", path, err)
			}
			if target, rest = joinRest(target, rest[1:]); filepath.IsAbs(target) {
				dir = "/"
			}
		case len(rest) == 1:
			return r.end(path, dir, name, leash)
		case !seen.folder():
			return r, fmt.Errorf("%s: %s is not a folder", path, place)
		default:
			dir, rest = place, rest[1:]
		}
		// ".." comes only out of links; the folder reached so far is real, so its parent is its name's.
		for len(rest) > 1 && rest[0] == ".." {
			dir, rest = filepath.Dir(dir), rest[1:]
		}
	}
}

// joinRest puts the parts of a link's target before the parts that follow the link.
func joinRest(target string, rest []string) (string, []string) {
	clean := strings.Trim(target, "/")
	var parts []string
	for _, part := range strings.Split(clean, "/") {
		if part != "" && part != "." {
			parts = append(parts, part)
		}
	}
	parts = append(parts, rest...)
	if len(parts) == 0 {
		parts = []string{"."}
	}
	return target, parts
}

func (r resolved) end(path, dir, base, leash string) (resolved, error) {
	r.hops = append(r.hops, hop{dir, base})
	r.dir, r.base = dir, base
	if base == "" || base == "." || base == ".." {
		return r, fmt.Errorf("%s: leads to a folder, not to a file", path)
	}
	if leash != "" && leash != dir {
		return r, fmt.Errorf("%s: a symbolic link in %s leads to %s, and others than root and the daemon's user can change that folder: %w; configure the path it leads to instead",
			path, leash, r.path(), errUntrustedLink)
	}
	var err error
	if r.folder, err = lstat(dir); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// trustedLink reports whether only root or the daemon's own user can have put a link where it is.
func trustedLink(dir string, link stamp) bool {
	folder, err := lstat(dir)
	if err != nil {
		return false
	}
	const othersWrite = 0o022
	return folder.ours() && link.ours() && (folder.mode&othersWrite == 0 || folder.mode&syscall.S_ISVTX != 0)
}

// ours reports whether the file is root's or the daemon's own user's.
func (s stamp) ours() bool { return s.uid == 0 || int(s.uid) == os.Geteuid() }

// openFolder opens the folder a path leads to and makes sure that it is the one that was checked.
func (d disk) openFolder(r resolved) (*folder, error) {
	f, err := d.open(r.dir)
	if err != nil {
		return nil, err
	}
	st, err := f.dir.stat()
	if err != nil || st.Dev != r.folder.device || st.Ino != r.folder.inode {
		f.close()
		return nil, fmt.Errorf("%s: the folder was replaced meanwhile: try again", r.dir)
	}
	return f, nil
}
