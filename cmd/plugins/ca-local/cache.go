package main

import (
	"io/fs"
	"os"
	"sync"
)

// authorityCache keeps the CA as it was last read. To look whether the files are the same costs less than to read them
// for every order.
type authorityCache struct {
	mu    sync.Mutex
	files []fs.FileInfo
	last  *authority
}

// get returns the CA. It is what read makes of the files that are there now.
func (c *authorityCache) get(d folder, read func() (*authority, error)) (*authority, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	files, err := d.authorityFiles()
	if err == nil && c.last != nil && sameFiles(files, c.files) {
		return c.last, nil
	}
	// What is looked at before it is read may be older than what is read, and is then read once more; never the reverse.
	a, readErr := read()
	if readErr != nil {
		return nil, readErr
	}
	if err == nil {
		c.files, c.last = files, a
	}
	return a, nil
}

func (d folder) authorityFiles() ([]fs.FileInfo, error) {
	var out []fs.FileInfo
	for _, name := range []string{rootName + ".pem", caName + ".pem", caName + ".key"} {
		info, err := os.Stat(d.path("ca", name))
		if err != nil {
			return nil, err
		}
		out = append(out, info)
	}
	return out, nil
}

// sameFiles reports that nothing tells that files have changed.
func sameFiles(a, b []fs.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}
