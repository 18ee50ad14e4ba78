package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Modes do not depend on the umask of whoever makes the copy: it is compared with what is there.
const (
	fileMode = 0o644
	dirMode  = 0o755
)

// What this tool leaves in the output folder beside what it makes.
const (
	lockName  = ".legohook.lock"
	tempNames = ".legohook-*" // gone when it ends, unless it is killed
)

// publish makes out hold the copy of lego and the module files, and reports whether it had to write. What is there
// already as it should be stays, with its times, so that go build has nothing to do. A reader never sees a file or the
// folder of the copy half written; two runs at once wait for each other.
func publish(out string, lego tree, selectors map[string][]byte) (changed bool, err error) {
	unlock, err := lock(filepath.Join(out, lockName))
	if err != nil {
		return false, err
	}
	defer unlock()
	same, err := holds(filepath.Join(out, copyName), lego)
	if err != nil {
		return false, fmt.Errorf("compare the copy that is there: %w", err)
	}
	if same {
		return writeSelectors(out, selectors)
	}
	if err := removeLeftOvers(out); err != nil {
		return false, err
	}
	temp, err := os.MkdirTemp(out, tempNames)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	fresh := filepath.Join(temp, "new")
	if err := writeTree(fresh, lego); err != nil {
		return false, fmt.Errorf("write the copy: %w", err)
	}
	if err := exchange(fresh, filepath.Join(out, copyName), filepath.Join(temp, "old")); err != nil {
		return false, fmt.Errorf("put the copy in place: %w", err)
	}
	_, err = writeSelectors(out, selectors)
	return true, err
}

// lock waits for its turn. The lock ends with the process, however that ends; the file stays.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// removeLeftOvers removes what a run that was killed could not.
func removeLeftOvers(out string) error {
	left, err := filepath.Glob(filepath.Join(out, tempNames))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// exchange puts a folder in the place of another, which goes to old. When it is killed in between there is no copy, and
// the next run makes it.
func exchange(fresh, place, old string) error {
	if err := os.Rename(place, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(fresh, place)
}

// holds reports whether a folder holds these files, as they are written here, and nothing else.
func holds(dir string, want tree) (bool, error) {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, err
	}
	defer root.Close()
	seen, same := 0, true
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() {
			same = same && info.Mode().Perm() == dirMode
			return nil
		}
		text, known := want[name]
		seen++
		if !known || info.Mode() != fileMode || info.Size() != int64(len(text)) {
			same = false
			return fs.SkipAll
		}
		got, err := root.ReadFile(name)
		same = same && bytes.Equal(got, text)
		return err
	})
	return same && seen == len(want), err
}

func writeTree(dir string, files tree) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := makeDirs(dir, filepath.Dir(path)); err != nil {
			return err
		}
		if err := writeFile(path, files[name]); err != nil {
			return err
		}
	}
	return nil
}

// makeDirs makes the folders from top down to dir, each with its mode.
func makeDirs(top, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if dir != top {
		if err := makeDirs(top, filepath.Dir(dir)); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, dirMode); err != nil {
		return err
	}
	return os.Chmod(dir, dirMode)
}

func writeFile(path string, text []byte) error {
	if err := os.WriteFile(path, text, fileMode); err != nil {
		return err
	}
	return os.Chmod(path, fileMode)
}

// writeSelectors writes the module files that differ from what is there.
func writeSelectors(out string, files map[string][]byte) (changed bool, err error) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(out, name)
		if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, files[name]) {
			continue
		}
		if err := replaceFile(path, files[name]); err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, nil
}

func replaceFile(path string, text []byte) error {
	temp, err := os.MkdirTemp(filepath.Dir(path), tempNames)
	if err != nil {
		return err
	}
	fresh := filepath.Join(temp, filepath.Base(path))
	err = writeFile(fresh, text)
	if err == nil {
		err = os.Rename(fresh, path)
	}
	return errors.Join(err, os.RemoveAll(temp))
}
