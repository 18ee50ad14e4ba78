package dcv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	fileMode   = 0o644
	folderMode = 0o755
	// markPrefix and its name make the mark of a folder that was made here, a file beside it. It is there before the
	// folder and goes after it, so that a crash at any instant leaves no folder of ours without one: whoever withdraws
	// next removes both.
	markPrefix = ownPrefix + "made-"
	markText   = "certbridged made the folder beside this file for a domain control challenge and removes it when it is empty.\n"
)

// webroot publishes files below the document root of a web server. Everything it does stays inside that folder, whatever
// symbolic links there are.
type webroot struct {
	path string
	open func(path string) (folder, error)
	log  *slog.Logger
	mu   sync.Mutex // one change at a time; none of them waits for a network, unless the folder is on one
	// shown are the files that this process has published, by their names below the folder.
	shown map[string]*shownFile
}

// folder is what an os.Root offers: nothing outside of it can be reached.
type folder interface {
	io.Closer
	Lstat(name string) (fs.FileInfo, error)
	Stat(name string) (fs.FileInfo, error)
	Open(name string) (*os.File, error)
	OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error)
	WriteFile(name string, data []byte, mode fs.FileMode) error
	Mkdir(name string, mode fs.FileMode) error
	Chmod(name string, mode fs.FileMode) error
	Rename(from, to string) error
	Remove(name string) error
}

func newWebroot(path string, log *slog.Logger) *webroot {
	open := func(path string) (folder, error) { return os.OpenRoot(path) }
	return &webroot{path: path, open: open, log: log, shown: map[string]*shownFile{}}
}

// shownFile is a file and whom it is for. One document root may be that of several hosts, and some CAs want the same file
// of each: it stays until the last of them needs it no more.
type shownFile struct {
	body  string
	hosts map[string]bool
}

func (w *webroot) can(_ context.Context, c pluginapi.Challenge) error { return checkFile(c) }

func (w *webroot) types(context.Context) ([]pluginapi.ChallengeType, error) {
	return []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}, nil
}

func (w *webroot) publish(_ context.Context, c pluginapi.Challenge) ([]byte, error) {
	if err := checkFile(c); err != nil {
		return nil, pluginapi.Errorf(pluginapi.InvalidRequest, "%w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	root, err := w.open(w.path)
	if err != nil {
		return nil, pluginapi.Errorf(pluginapi.Unavailable, "open webroot: %w", err)
	}
	defer func() { _ = root.Close() }() // nothing is written through it
	name := strings.TrimPrefix(c.HTTP.Path, "/")
	switch found, err := look(root, name, c.HTTP.Body); {
	case err != nil:
		return nil, w.failed(name, err)
	case found == same:
		w.show(name, c)
		return w.receipt(), nil
	case found == other && w.shown[name] != nil:
		return nil, oneFile(w.shown[name].someHost(), name)
	case found == other:
		return nil, pluginapi.Errorf(pluginapi.Conflict, "webroot %s: %s is there with other content: it belongs to "+
			"another order, which must end first, or somebody else put it there; then remove it", w.path, name)
	}
	if err := makeFolders(root, path.Dir(name)); err != nil {
		removeFolders(root, path.Dir(name))
		return nil, w.failed(path.Dir(name), err)
	}
	if err := writeFile(root, name, c.HTTP.Body); err != nil {
		removeFolders(root, path.Dir(name))
		return nil, w.failed(name, err)
	}
	w.show(name, c)
	return w.receipt(), nil
}

// show notes that a file is there for a challenge's host. The lock is held.
func (w *webroot) show(name string, c pluginapi.Challenge) {
	f := w.shown[name]
	if f == nil || f.body != c.HTTP.Body {
		f = &shownFile{body: c.HTTP.Body, hosts: map[string]bool{}}
		w.shown[name] = f
	}
	f.hosts[normalHost(c.HTTP.Host)] = true
}

// unshow notes that a challenge's host needs its file no more, and reports whether another host does. The lock is held.
func (w *webroot) unshow(name string, c pluginapi.Challenge) (needed bool) {
	f := w.shown[name]
	if f == nil || f.body != c.HTTP.Body {
		return false
	}
	delete(f.hosts, normalHost(c.HTTP.Host))
	return len(f.hosts) > 0
}

func (f *shownFile) someHost() string {
	for host := range f.hosts {
		return host
	}
	return "another host" // it is being withdrawn
}

// oneFile is the error for a file that waits until another one, which is published at its place, is withdrawn.
func oneFile(host, name string) error {
	return &pluginapi.Error{Kind: pluginapi.Unavailable, Err: ErrTurn, Message: fmt.Sprintf(
		"one file can be at /%s at a time, and that for %s has its turn", strings.TrimPrefix(name, "/"), host)}
}

// withdraw removes the file if its content is that of the challenge and no other host needs it, and the folders that were
// made for it and are empty.
func (w *webroot) withdraw(_ context.Context, c pluginapi.Challenge, _ []byte) error {
	if checkFile(c) != nil {
		return nil // such a thing was never published here
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	root, err := w.open(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return pluginapi.Errorf(pluginapi.Unavailable, "open webroot: %w", err)
	}
	defer func() { _ = root.Close() }() // nothing is written through it
	name := strings.TrimPrefix(c.HTTP.Path, "/")
	if w.unshow(name, c) {
		return nil
	}
	found, err := look(root, name, c.HTTP.Body)
	switch {
	case err != nil:
		return w.failed(name, err)
	case found == other:
		w.log.Warn("challenge file left alone: its content is not ours", "webroot", w.path, "file", name)
	case found == same:
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return w.failed(name, err)
		}
	}
	if f := w.shown[name]; f != nil && f.body == c.HTTP.Body {
		delete(w.shown, name)
	}
	// What a crash during publish may have left.
	if err := root.Remove(temporary(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.Warn("temporary challenge file not removed", "webroot", w.path, "file", temporary(name), "error", err)
	}
	removeFolders(root, path.Dir(name))
	return nil
}

// failed is an error of the file system, which may pass: somebody makes room, or mounts the folder.
func (w *webroot) failed(name string, err error) error {
	return pluginapi.Errorf(pluginapi.Unavailable, "webroot %s: %s: %w", w.path, name, err)
}

// content is what is found where a file is to be.
type content int

const (
	nothing content = iota
	same
	other
)

func look(root folder, name, body string) (content, error) {
	info, err := root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nothing, nil
	}
	if err != nil {
		return nothing, err
	}
	if !info.Mode().IsRegular() || info.Size() != int64(len(body)) {
		return other, nil // in particular, a named pipe is not opened
	}
	f, err := root.Open(name)
	if err != nil {
		return nothing, err
	}
	defer f.Close()
	have, err := io.ReadAll(io.LimitReader(f, maxBody+1))
	if err != nil {
		return nothing, err
	}
	if bytes.Equal(have, []byte(body)) {
		return same, nil
	}
	return other, nil
}

// makeFolders makes a folder and those above it, as far as they are missing, and marks them as ours.
func makeFolders(root folder, name string) error {
	made := ""
	for segment := range strings.SplitSeq(name, "/") {
		made = path.Join(made, segment)
		if err := makeFolder(root, made); err != nil {
			return err
		}
	}
	return nil
}

// makeFolder makes a folder that is not there. What is there and is no folder fails at the next step.
func makeFolder(root folder, name string) error {
	info, err := root.Lstat(name)
	switch {
	case err == nil && info.Mode() != fs.ModeDir|folderMode && marked(root, name):
		return root.Chmod(name, folderMode) // it was made here, by a process that died before it came to that
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := root.WriteFile(markOf(name), []byte(markText), fileMode); err != nil {
		return err
	}
	err = root.Mkdir(name, folderMode)
	if errors.Is(err, fs.ErrExist) {
		return root.Remove(markOf(name)) // somebody else was faster
	}
	if err != nil {
		return err
	}
	return root.Chmod(name, folderMode) // again, for the daemon's umask may be strict
}

// removeFolders removes a folder and those above it, as far as they are marked as ours and empty.
func removeFolders(root folder, name string) {
	for ; name != "."; name = path.Dir(name) {
		ours := marked(root, name)
		if _, err := root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			// Gone already, maybe by a process that died before it came to the mark, or to the folders above.
		} else if !ours || root.Remove(name) != nil {
			return // it is somebody else's, or holds something of somebody else's
		}
		if ours && root.Remove(markOf(name)) != nil {
			return
		}
	}
}

func marked(root folder, name string) bool {
	_, err := root.Lstat(markOf(name))
	return err == nil
}

func markOf(name string) string { return path.Join(path.Dir(name), markPrefix+path.Base(name)) }

// temporary is the name of a file while it is written: always the same, so that nothing is left but what the next
// attempt or Withdraw removes.
func temporary(name string) string {
	return path.Join(path.Dir(name), ownPrefix+path.Base(name)+".tmp")
}

// writeFile makes the file appear whole or not at all, also after a power cut.
func writeFile(root folder, name, body string) (err error) {
	tmp := temporary(name)
	if err := root.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, body)
	// The mode again, for the daemon's umask may be strict, and the web server is another user.
	err = errors.Join(err, f.Chmod(fileMode), f.Sync(), f.Close())
	if err == nil {
		err = root.Rename(tmp, name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write: %w", err), root.Remove(tmp))
	}
	return nil
}
