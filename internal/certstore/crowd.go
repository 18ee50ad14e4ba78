package certstore

import "iter"

// crowd is a set of certificates' names: mostly of one, since a file is that of one certificate, and of thousands for a
// folder that they share.
type crowd struct {
	one  string          // empty: none, or all are in more
	more map[string]bool // nil for one or none
}

// with returns the set with a name added; the set itself must not be used any more.
func (c crowd) with(name string) crowd {
	switch {
	case c.more != nil:
		c.more[name] = true
	case c.one == "":
		c.one = name
	case c.one != name:
		return crowd{more: map[string]bool{c.one: true, name: true}}
	}
	return c
}

// without returns the set with a name taken out; the set itself must not be used any more.
func (c crowd) without(name string) crowd {
	if c.one == name {
		c.one = ""
	}
	delete(c.more, name)
	return c
}

func (c crowd) empty() bool { return c.one == "" && len(c.more) == 0 }

func (c crowd) all() iter.Seq[string] {
	return func(yield func(string) bool) {
		if c.one != "" && !yield(c.one) {
			return
		}
		for name := range c.more {
			if !yield(name) {
				return
			}
		}
	}
}
