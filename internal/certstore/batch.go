package certstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// tempPrefix begins the names of staged files. The dot keeps servers that load a whole folder from reading them.
const tempPrefix = ".certbridged-"

// change is one file to be put in place or removed.
type change struct {
	path       string // as configured, for people
	folder     *folder
	base, temp string
	remove     bool
	data       []byte
	attributes attributes
	before     *before // what is there now; nil when nothing is
}

// before is a file as it is now.
type before struct {
	data       []byte
	attributes attributes
}

// describe is what a manifest says of the file.
func (o *before) describe() *copied {
	if o == nil {
		return nil
	}
	return &copied{Sum: sumOf(o.data), Attributes: o.attributes}
}

// batch is a set of changes that are made together.
type batch struct {
	disk    disk
	folders map[string]*folder // by real path, each held open once
	direct  map[string]*folder // by configured path: those that no link leads to
	changes []*change
}

func newBatch(d disk) *batch {
	return &batch{disk: d, folders: make(map[string]*folder), direct: make(map[string]*folder)}
}

func (b *batch) close() {
	for _, f := range b.folders {
		f.close()
	}
}

// at opens the folder a path leads to, once.
func (b *batch) at(r resolved) (*folder, error) {
	if f, ok := b.folders[r.dir]; ok {
		return f, nil
	}
	f, err := b.disk.openFolder(r)
	if err != nil {
		return nil, err
	}
	b.folders[r.dir] = f
	return f, nil
}

// locate opens the folder that a path leads to and returns the name in it. The way to a folder is followed once for all files that
// are configured in it: it is held open, so that it stays the one that was checked.
func (b *batch) locate(path string) (*folder, string, error) {
	dir, base := filepath.Split(filepath.Clean(path))
	dir = filepath.Clean(dir)
	if f, known := b.direct[dir]; known {
		if kind, err := f.kind(base); errors.Is(err, fs.ErrNotExist) || err == nil && kind != unix.S_IFLNK {
			return f, base, nil
		}
	}
	where, err := resolve(path)
	if err != nil {
		return nil, "", err
	}
	f, err := b.at(where)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	if len(where.hops) == 1 { // no link was on the way
		b.direct[dir] = f
	}
	return f, where.base, nil
}

// plan works out every change of a generation and records it in the manifest. It changes nothing on disk and reports
// every reason why the generation cannot be installed.
func (b *batch) plan(g Generation, m *manifest) error {
	var errs []error
	seen := make(map[string]string, len(g.Files))
	temp := tempName(g.Certificate, g.ID, m.Sequence)
	for i, file := range g.Files {
		c, err := b.planFile(file, g)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		target := c.folder.join(c.base)
		if other, ok := seen[target]; ok {
			errs = append(errs, fmt.Errorf("%s %w %s", file.Path, ErrShared, other))
			continue
		}
		seen[target] = file.Path
		c.temp = temp + strconv.Itoa(i) + ".tmp"
		b.changes = append(b.changes, c)
		m.Files = append(m.Files, entry{
			Form: file.Form, Path: file.Path, Dir: c.folder.path, Base: c.base, Temp: c.temp, Sum: sumOf(c.data),
			Attributes: c.attributes, Before: c.before.describe(),
		})
	}
	if len(errs) == 0 {
		errs = append(errs, b.room())
	}
	return errors.Join(errs...)
}

func (b *batch) planFile(file File, g Generation) (*change, error) {
	f, base, err := b.locate(file.Path)
	if err != nil {
		return nil, err
	}
	c := &change{path: file.Path, folder: f, base: base}
	if c.before, err = readBefore(f, base); err != nil {
		return nil, fmt.Errorf("%s: read the file that is there: %w", file.Path, err)
	}
	var old *attributes
	var oldData []byte
	if c.before != nil {
		old, oldData = &c.before.attributes, c.before.data
	}
	if c.attributes, err = file.wanted(old); err != nil {
		return nil, err
	}
	if c.data, err = file.encode(g.Key, g.Chain, oldData); err != nil {
		return nil, fmt.Errorf("%s: %w", file.Path, err)
	}
	return c, nil
}

// readBefore returns nil when there is no such file.
func readBefore(f *folder, base string) (*before, error) {
	data, st, file, err := f.read(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.close() }()
	a, err := attributesOf(file, st)
	if err != nil {
		return nil, err
	}
	return &before{data: data, attributes: a}, nil
}

// tempName begins the names that no other installation uses in the targets' folders.
func tempName(certificate, id string, sequence int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q", certificate, id))
	return fmt.Sprintf("%s%x-%d-", tempPrefix, sum[:8], sequence)
}

// room checks ahead that the folders have room for the new files beside the old ones.
func (b *batch) room() error {
	bytes, files := make(map[*folder]int), make(map[*folder]int)
	for _, c := range b.changes {
		bytes[c.folder] += len(c.data)
		files[c.folder]++
	}
	var errs []error
	for f, n := range bytes {
		errs = append(errs, f.room(n, files[f]))
	}
	return errors.Join(errs...)
}

// copies are the records with the old files as they are. Each is bounded by the largest file that is read.
func (b *batch) copies(certificate string, m *manifest) map[string][]byte {
	records := make(map[string][]byte)
	for i, c := range b.changes {
		if c.before != nil {
			records[m.copyKey(certificate, i)] = c.before.data
		}
	}
	return records
}

// stage writes every new file in full beside its target. Nothing that a server reads changes. All are written before the
// first is synced, so that a file system with a log writes that once.
//
// The folders are not synced: should a power cut take the entry of a staged file away, recovery finds that it is not
// there.
func (b *batch) stage(ctx context.Context) error {
	files, err := b.write(ctx)
	for i, file := range files {
		switch c := b.changes[i]; {
		case file == nil:
		case err != nil:
			_ = file.close() // it is of no use any more
		default:
			if err = c.folder.finish(c.temp, file); err != nil {
				err = explain(c, err)
			}
		}
	}
	return err
}

// write writes the new files and returns those that it began, by their changes, also when it fails.
func (b *batch) write(ctx context.Context) ([]*handle, error) {
	files := make([]*handle, len(b.changes))
	for i, c := range b.changes {
		if err := ctx.Err(); err != nil {
			return files, err
		}
		if c.remove {
			continue
		}
		file, err := c.folder.create(c.temp, c.data, c.attributes)
		if err != nil {
			return files, explain(c, err)
		}
		files[i] = file
	}
	return files, nil
}

// complete makes sure of staged files that an earlier process wrote: it may have ended before they had all that belongs to
// them, or before that was on the disk.
func (b *batch) complete() error {
	for _, c := range b.changes {
		if err := c.folder.complete(c.temp, c.attributes); err != nil {
			return explain(c, err)
		}
	}
	return nil
}

// unstage removes what stage wrote.
func (b *batch) unstage() error {
	var errs []error
	for _, c := range b.changes {
		if c.remove {
			continue
		}
		if err := c.folder.remove(c.temp); err != nil {
			errs = append(errs, fmt.Errorf("remove the staged file for %s: %w", c.path, err))
		}
	}
	return errors.Join(errs...)
}

// apply makes all changes. It stops at the first that fails.
func (b *batch) apply() error {
	for _, c := range b.changes {
		var err error
		if c.remove {
			err = c.folder.remove(c.base)
		} else {
			err = c.folder.rename(c.temp, c.base)
		}
		if err != nil {
			return explain(c, err)
		}
	}
	return b.sync()
}

// sync makes the entries of all folders durable.
func (b *batch) sync() error {
	for _, f := range b.folders {
		if err := f.sync(); err != nil {
			return fmt.Errorf("sync folder %s: %w", f.path, err)
		}
	}
	return nil
}

// explain adds to an error of the system what a person can do about it.
func explain(c *change, err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT):
		hint = ": make room there"
	case errors.Is(err, unix.EROFS):
		hint = ": the file system is read-only (under systemd, see ReadWritePaths=)"
	case errors.Is(err, unix.EBUSY):
		hint = ": the file is a mount point of its own and cannot be replaced; mount the folder it is in"
	case errors.Is(err, os.ErrPermission):
		hint = fmt.Sprintf(": the daemon (%s) must be able to create and rename files in %s", ownerText(os.Geteuid(), os.Getegid()), c.folder.path)
	}
	return fmt.Errorf("write %s: %w%s", filepath.Clean(c.path), err, hint)
}
