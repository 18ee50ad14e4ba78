package config

import (
	"hash/maphash"
	"path/filepath"
	"strconv"
	"strings"
)

// placeIndex finds the line of anything in the configuration. It keeps neither the files' text nor a mark for every key:
// it is asked seldom, and then reads the file again.
type placeIndex struct {
	main   string   // the main file, which is number 0
	folder string   // conf.d beside it, with a slash at its end
	names  []string // of the files in conf.d
	seed   maphash.Seed
	sums   []uint64       // of the text of each file
	tables map[string]int // "ca.NAME", "dcv.NAME": the number of its file
}

func newPlaceIndex(main string) placeIndex {
	folder := filepath.Join(filepath.Dir(main), "conf.d") + "/"
	return placeIndex{main: main, folder: folder, seed: maphash.MakeSeed(), tables: map[string]int{}}
}

// len is how many files there are.
func (x *placeIndex) len() int {
	if x.main == "" {
		return 0
	}
	return 1 + len(x.names)
}

// path returns the path of the file of a number.
func (x *placeIndex) path(source int) string {
	if source == 0 {
		return x.main
	}
	return x.folder + x.names[source-1]
}

// Sources are the files that were read, the main file first.
func (c *Config) Sources() []string {
	list := make([]string, c.places.len())
	for i := range list {
		list[i] = c.places.path(i)
	}
	return list
}

// find returns the place of what stands at a path, or of the nearest table around it.
func (c *Config) find(path []string) (file string, line int) {
	if c.places.len() == 0 {
		return "", 0
	}
	if len(path) >= 2 && path[0] == "certificate" {
		if n, ok := c.Find(path[1]); ok {
			crt := &c.managed.list[n]
			file := c.places.path(int(crt.source))
			root, ok := c.marks(int(crt.source))
			if !ok {
				return file, int(crt.line)
			}
			return file, root.below("certificate").item(c.itemOf(n)).descend(path[2:]).line
		}
	}
	source := 0
	if len(path) >= 2 {
		source = c.places.tables[path[0]+"."+path[1]]
	}
	root, ok := c.marks(source)
	if !ok {
		return c.places.path(source), 1
	}
	return c.places.path(source), root.descend(path).line
}

// marks reads a file of the configuration again. It returns false when that is not the text any more that was loaded.
func (c *Config) marks(source int) (*mark, bool) {
	text, err := readFile(c.places.path(source))
	if err != nil || maphash.String(c.places.seed, text) != c.places.sums[source] {
		return nil, false
	}
	root, err := markLines(text)
	return root, err == nil
}

// itemOf is which of its file's certificates one is: those of a file stand side by side.
func (c *Config) itemOf(certificate int) (n int) {
	list := c.managed.list
	for i := certificate - 1; i >= 0 && list[i].source == list[certificate].source; i-- {
		n++
	}
	return n
}

// descend returns the mark at a path below, or the last one on the way there.
func (m *mark) descend(path []string) *mark {
	for len(path) > 0 {
		if path[0] == "" {
			path = path[1:]
			continue
		}
		next, rest := step(m, path)
		if next == nil {
			break
		}
		m, path = next, rest
	}
	return m
}

// step goes down one key or list element; the head of the path may be several keys joined by dots, as plugins name
// fields. It returns nil when there is nothing.
func step(m *mark, path []string) (*mark, []string) {
	if next, ok := m.keys[path[0]]; ok {
		return next, path[1:]
	}
	if i, err := strconv.Atoi(path[0]); err == nil && i >= 0 && i < len(m.items) {
		return m.items[i], path[1:]
	}
	head, tail, dotted := strings.Cut(path[0], ".")
	if !dotted {
		return nil, nil
	}
	next, rest := step(m, []string{head})
	if next == nil {
		return nil, nil
	}
	return next, append(append(rest, tail), path[1:]...)
}
