package config

import (
	"hash/maphash"
	"strconv"
	"strings"
)

// placeIndex finds the line of anything in the configuration. It keeps neither the files' text nor a mark for every key:
// it is asked seldom, and then reads the file again.
type placeIndex struct {
	seed   maphash.Seed
	sums   []uint64       // of the text of each of Config.Sources
	tables map[string]int // "ca.NAME", "dcv.NAME": the number of its source
}

// find returns the place of what stands at a path, or of the nearest table around it.
func (c *Config) find(path []string) (file string, line int) {
	if len(c.Sources) == 0 {
		return "", 0
	}
	if len(path) >= 2 && path[0] == "certificate" {
		if i, ok := c.byName[path[1]]; ok {
			crt := &c.Certificates[i]
			root, ok := c.marks(crt.source)
			if !ok {
				return crt.File, crt.Line
			}
			return crt.File, root.below("certificate").item(c.itemOf(i)).descend(path[2:]).line
		}
	}
	source := 0
	if len(path) >= 2 {
		source = c.places.tables[path[0]+"."+path[1]]
	}
	root, ok := c.marks(source)
	if !ok {
		return c.Sources[source], 1
	}
	return c.Sources[source], root.descend(path).line
}

// marks reads a file of the configuration again. It returns false when that is not the text any more that was loaded.
func (c *Config) marks(source int) (*mark, bool) {
	text, err := readFile(c.Sources[source])
	if err != nil || maphash.String(c.places.seed, text) != c.places.sums[source] {
		return nil, false
	}
	root, err := markLines(text)
	return root, err == nil
}

// itemOf is which of its file's certificates one is: those of a file stand side by side.
func (c *Config) itemOf(certificate int) (n int) {
	for i := certificate - 1; i >= 0 && c.Certificates[i].source == c.Certificates[certificate].source; i-- {
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
