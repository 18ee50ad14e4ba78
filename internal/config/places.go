package config

import (
	"strconv"
	"strings"
)

// placeIndex finds the line of anything in the configuration. It keeps the files' text and looks when asked, which is
// seldom, instead of keeping a mark for every key.
type placeIndex struct {
	sources []placeSource
	tables  map[string]placeTable // "ca.NAME", "dcv.NAME", "certificate.NAME"
}

type placeSource struct{ path, text string }

type placeTable struct {
	source int
	item   int // of the list of certificates
}

func (x placeIndex) find(path []string) (file string, line int) {
	if len(x.sources) == 0 {
		return "", 0
	}
	source, item := 0, -1
	if len(path) >= 2 {
		if t, ok := x.tables[path[0]+"."+path[1]]; ok {
			source, item = t.source, t.item
		}
	}
	s := x.sources[source]
	m, err := markLines(s.text)
	if err != nil {
		return s.path, 1
	}
	if len(path) >= 2 && path[0] == "certificate" && item >= 0 {
		m, path = m.below("certificate").item(item), path[2:]
	}
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
	return s.path, m.line
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
