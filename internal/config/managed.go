package config

import (
	"cmp"
	"iter"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/internal/packed"
)

// managed holds the certificates of a configuration. There may be a hundred thousand, nearly all of which differ in their
// name, their domains and their files alone: what they share is held once, and what is a certificate's own is packed.
type managed struct {
	list    []entry
	folders []string // of files, by their numbers
	byName  []int32  // places in list, sorted by name
}

// entry is a certificate that Config.At makes whole again.
type entry struct {
	// own is what other certificates do not have: see pack.
	own string
	// like is the rest: a certificate without what is in own.
	like         *Certificate
	source, line int32
}

// Len returns how many certificates there are.
func (c *Config) Len() int { return len(c.managed.list) }

// Name returns the name of the nth certificate.
func (c *Config) Name(n int) string { return c.managed.list[n].name() }

// At returns the nth certificate, in the order of the files and of their lines.
func (c *Config) At(n int) Certificate {
	p := &c.managed.list[n]
	crt := *p.like
	r := packed.Reader(p.own)
	crt.Name, crt.Domains = r.Text(), r.Texts()
	crt.Files = slices.Clone(crt.Files)
	for i := range crt.Files {
		crt.Files[i].Path = c.managed.path(&r)
	}
	if named := uint64(r.Number()); named != 0 {
		crt.Deploy.Verify = slices.Clone(crt.Deploy.Verify)
		for i := range crt.Deploy.Verify {
			if named&(1<<i) != 0 {
				crt.Deploy.Verify[i].ServerName = serverName(crt.Domains)
			}
		}
	}
	crt.File, crt.Line = c.places.path(int(p.source)), int(p.line)
	return crt
}

// All returns the certificates, in the order of the files and of their lines.
func (c *Config) All() iter.Seq[Certificate] {
	return func(yield func(Certificate) bool) {
		for n := range c.managed.list {
			if !yield(c.At(n)) {
				return
			}
		}
	}
}

// Select returns those certificates that are chosen, in the order of the files and of their lines.
func (c *Config) Select(chosen func(*Certificate) bool) []Certificate {
	var list []Certificate
	for crt := range c.All() {
		if chosen(&crt) {
			list = append(list, crt)
		}
	}
	return list
}

// Paths appends the paths of the nth certificate's files to a list.
func (c *Config) Paths(n int, list []string) []string { return c.managed.paths(n, list) }

// Certificate returns the certificate of a name.
func (c *Config) Certificate(name string) (Certificate, bool) {
	n, ok := c.Find(name)
	if !ok {
		return Certificate{}, false
	}
	return c.At(n), true
}

// Find returns which certificate has a name.
func (c *Config) Find(name string) (n int, ok bool) {
	i, ok := slices.BinarySearchFunc(c.managed.byName, name, func(n int32, name string) int { return cmp.Compare(c.Name(int(n)), name) })
	if !ok {
		return 0, false
	}
	return int(c.managed.byName[i]), true
}

// Of makes a configuration of certificates alone. Nothing of it is checked.
func Of(certificates ...Certificate) *Config {
	c := &Config{}
	m := newManager(c)
	for _, crt := range certificates {
		m.add(crt, likeness(&crt, false))
	}
	m.done()
	return c
}

func (p *entry) name() string {
	r := packed.Reader(p.own)
	return r.Text()
}

// files reads what is packed of a certificate from its files on.
func (p *entry) files() packed.Reader {
	r := packed.Reader(p.own)
	r.Text() // name
	for range r.Number() {
		r.Text() // domain
	}
	return r
}

// Folder returns the folder of the nth certificate's first file, with a slash at its end; empty for one without files.
func (c *Config) Folder(n int) string {
	p := &c.managed.list[n]
	if len(p.like.Files) == 0 {
		return ""
	}
	r := p.files()
	return c.managed.folders[r.Number()]
}

func (m *managed) paths(n int, list []string) []string {
	p := &m.list[n]
	r := p.files()
	for range p.like.Files {
		list = append(list, m.path(&r))
	}
	return list
}

// path takes the path of a file.
func (m *managed) path(r *packed.Reader) string { return m.folders[r.Number()] + r.Text() }

// manager packs the certificates of a configuration.
type manager struct {
	*managed
	folders map[string]int          // numbers of folders
	likes   map[string]*Certificate // by their likeness
	buffer  packed.Writer
}

func newManager(c *Config) *manager {
	return &manager{managed: &c.managed, folders: map[string]int{}, likes: map[string]*Certificate{}}
}

// add packs a certificate. What it has in common with those of the same likeness is held once; an empty likeness is like
// no other.
func (m *manager) add(crt Certificate, likeness string) {
	w := m.buffer[:0]
	w.Text(crt.Name)
	w.Texts(crt.Domains)
	for _, f := range crt.Files {
		folder, base := filepath.Split(f.Path)
		w.Number(int64(m.folder(folder)))
		w.Text(base)
	}
	w.Number(int64(namedByDomain(&crt)))
	m.buffer = w
	like := m.likes[likeness]
	if like == nil {
		like = crt.common()
		if likeness != "" {
			m.likes[likeness] = like
		}
	}
	m.list = append(m.list, entry{own: string(w), like: like, source: int32(crt.source), line: int32(crt.Line)})
}

// folder returns the number of a folder.
func (m *manager) folder(path string) int {
	n, known := m.folders[path]
	if !known {
		n, path = len(m.managed.folders), strings.Clone(path)
		m.folders[path] = n
		m.managed.folders = append(m.managed.folders, path)
	}
	return n
}

// done makes the certificates known by name.
func (m *manager) done() {
	m.list = slices.Clip(slices.Clone(m.list))
	m.byName = make([]int32, len(m.list))
	for n := range m.list {
		m.byName[n] = int32(n)
	}
	slices.SortFunc(m.byName, func(a, b int32) int { return cmp.Compare(m.list[a].name(), m.list[b].name()) })
}

// common returns what is left of a certificate without what is packed.
func (crt *Certificate) common() *Certificate {
	like := *crt
	like.Name, like.Domains, like.File, like.Line, like.source = "", nil, "", 0, 0
	like.Files = slices.Clone(crt.Files)
	for i := range like.Files {
		like.Files[i].Path = ""
	}
	like.Deploy.Verify = slices.Clone(crt.Deploy.Verify)
	named := namedByDomain(crt)
	for i := range like.Deploy.Verify {
		if named&(1<<i) != 0 {
			like.Deploy.Verify[i].ServerName = ""
		}
	}
	return &like
}

// maxNamed is how many ports to look at may have their server name left out of what certificates share.
const maxNamed = 64

// namedByDomain tells, bit by bit, which ports of a certificate are asked for its own domain.
func namedByDomain(crt *Certificate) (bits uint64) {
	own := serverName(crt.Domains)
	for i, target := range crt.Deploy.Verify[:min(maxNamed, len(crt.Deploy.Verify))] {
		if own != "" && target.ServerName == own {
			bits |= 1 << i
		}
	}
	return bits
}

// serverName is the domain that a server is asked for where nothing else is said: the first that is no wildcard. It is
// empty when there is none, and when that is an address, which cannot be asked for.
func serverName(domains []string) string {
	for _, d := range domains {
		if strings.HasPrefix(d, "*.") {
			continue
		}
		if net.ParseIP(d) != nil {
			return ""
		}
		return d
	}
	return ""
}
