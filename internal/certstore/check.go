package certstore

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// Check reports everything that would keep the files of these certificates from being installed, and changes nothing:
// missing folders and folders that cannot be written, links that are not followed, unknown owners and groups, keys open to
// everybody, and paths that are one file on disk, whichever certificates they belong to.
func Check(sets map[string][]File) error {
	var errs []error
	seen := make(map[string]string)
	for _, certificate := range slices.Sorted(maps.Keys(sets)) {
		errs = append(errs, checkSet(certificate, sets[certificate], seen)...)
	}
	return errors.Join(errs...)
}

// checkSet checks the files of one certificate. seen has the real paths of all files until now.
func checkSet(certificate string, files []File, seen map[string]string) []error {
	b := newBatch(disk{})
	defer b.close()
	var errs []error
	for _, file := range files {
		target, err := b.checkFile(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("certificate %q: %w", certificate, err))
			continue
		}
		this := fmt.Sprintf("%s of certificate %q", file.Path, certificate)
		if other, ok := seen[target]; ok {
			errs = append(errs, fmt.Errorf("%s %w %s", this, ErrShared, other))
		}
		seen[target] = this
	}
	return errs
}

// checkFile returns the real path of a file that could be installed.
func (b *batch) checkFile(file File) (string, error) {
	if err := file.validate(); err != nil {
		return "", err
	}
	f, base, err := b.locate(file.Path)
	if err != nil {
		return "", err
	}
	c := &change{path: file.Path, folder: f, base: base}
	// Not access(2): that one forgets the capabilities of a daemon that is not root.
	if err := unix.Faccessat(unix.AT_FDCWD, f.path, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return "", explain(c, err)
	}
	if c.before, err = readBefore(f, base); err != nil {
		return "", fmt.Errorf("%s: read the file that is there: %w", file.Path, err)
	}
	var old *attributes
	if c.before != nil {
		old = &c.before.attributes
	}
	if _, err := file.wanted(old); err != nil {
		return "", err
	}
	return f.join(base), nil
}
