package config

import (
	"fmt"
	"hash/maphash"
	"slices"
)

// atOnce is how many documents are checked before what was found is joined: what is held of parsed text is that of these.
const atOnce = 512

// certificates reads every [[certificate]] of every document. Documents are checked side by side, each by itself, and joined
// in their order.
func (c *checker) certificates(cfg *Config) {
	j := joiner{checker: c, manager: newManager(cfg), names: map[string]int32{}, writers: map[uint64]writer{}}
	found := make([]batch, atOnce)
	for docs := c.docs; len(docs) > 0; docs = docs[min(atOnce, len(docs)):] {
		some := docs[:min(atOnce, len(docs))]
		sideBySide(len(some), func() func(int) {
			part := c.part()
			return func(i int) { found[i] = part.document(cfg, some[i]) }
		})
		for i := range some {
			j.join(some[i], &found[i])
			some[i], found[i] = document{}, batch{}
		}
	}
	j.done()
	if c.broken {
		c.problems = dropUnknown(c.problems)
	}
}

// batch is what was found in one document.
type batch struct {
	certificates       []candidate
	problems, warnings []Problem
	broken             *Problem // it could not be parsed
}

// candidate is a certificate that is good by itself, unless a problem was noted, and what is to be compared with others.
type candidate struct {
	Certificate
	likeness string
	at       string // its path, for problems
	nameLine int
	claims   []claim
}

// claim is a file that a certificate writes: its path as configured and without links, and where that is configured.
type claim struct {
	path, real, at string
	line           int
}

// document checks the certificates of one document.
func (c *checker) document(cfg *Config, d document) (b batch) {
	if d.root == nil {
		if d.raw, d.root, b.broken = parse(d.text); b.broken != nil {
			return b
		}
		c.top(d).refuseUnknown()
	}
	b.certificates = c.documentCertificates(cfg, d)
	b.problems, b.warnings = c.problems, c.warnings
	c.problems, c.warnings = nil, nil
	return b
}

func (c *checker) documentCertificates(cfg *Config, d document) []candidate {
	v, ok := d.raw["certificate"]
	if !ok {
		return nil
	}
	elements, ok := asList(v)
	top := c.top(d)
	if !ok {
		top.fail("certificate", "write [[certificate]], in double brackets")
	}
	at := d.root.below("certificate")
	list := make([]candidate, 0, len(elements))
	for n, element := range elements {
		raw, ok := element.(map[string]any)
		if !ok {
			top.failItem("certificate", n, "wants a table, not %s", kindOf(element))
			continue
		}
		t := c.table(d.path, fmt.Sprintf("certificate[%d]", n), raw, at.item(n), sectionCert)
		crt := t.certificate(cfg)
		crt.source = d.source
		list = append(list, crt)
	}
	return list
}

// certificate reads a [[certificate]].
func (t *table) certificate(cfg *Config) candidate {
	name := t.certificateName()
	crt := candidate{at: t.path, nameLine: t.at.below("name").line}
	if name != "" {
		t.path = "certificate." + name
	}
	t.refuseUnknown()
	crt.Certificate = Certificate{
		Name:     name,
		Enabled:  t.boolean("enabled"),
		Domains:  t.domains("domains"),
		CA:       t.caName(cfg),
		Key:      t.keyType("key"),
		ReuseKey: t.boolean("reuse_key"),
		Line:     t.at.line,
	}
	crt.DCV = t.dcvRules(cfg, crt.Domains)
	crt.RenewBefore = cfg.Daemon.DefaultRenewBefore
	if t.given("renew_before") {
		crt.RenewBefore = t.renewBefore("renew_before")
	}
	crt.Order = mergeSettings(cfg.CA[crt.CA].OrderDefaults, t.settings("order"))
	crt.Files, crt.claims = t.files()
	crt.Deploy = t.deploy(crt.Domains)
	crt.likeness = likeness(&crt.Certificate, t.given("order"))
	return crt
}

// joiner joins what was found in the documents, and finds what cannot stand side by side.
type joiner struct {
	*checker
	*manager
	names   map[string]int32  // of the certificates so far
	writers map[uint64]writer // by a digest of the real path
}

// writer is a certificate that writes a file, and the line that says so.
type writer struct{ certificate, line int32 }

func (j *joiner) join(d document, b *batch) {
	if b.broken != nil {
		j.refuse(d, b.broken)
		return
	}
	for i := range b.certificates {
		crt := &b.certificates[i]
		n := int32(len(j.list))
		j.add(crt.Certificate, crt.likeness)
		if first, taken := j.names[crt.Name]; taken && crt.Name != "" {
			j.fail(d.path, crt.nameLine, crt.at+".name", fmt.Sprintf("the certificate %q stands in %s:%d already",
				crt.Name, j.places.path(int(j.list[first].source)), j.list[first].line))
		} else {
			j.names[j.list[n].name()] = n
		}
	}
	j.problems = append(j.problems, b.problems...)
	j.warnings = append(j.warnings, b.warnings...)
	before := int32(len(j.list) - len(b.certificates))
	for i := range b.certificates {
		for _, claim := range b.certificates[i].claims {
			j.claim(d, before+int32(i), claim)
		}
	}
}

// claim notes that a certificate writes a file, and complains when something else does.
func (j *joiner) claim(d document, n int32, claim claim) {
	sum := maphash.String(j.places.seed, claim.real)
	if first, taken := j.writers[sum]; taken {
		// Two digests may be alike.
		if !slices.ContainsFunc(j.paths(int(first.certificate), nil), func(path string) bool { return j.realPath(path) == claim.real }) {
			return
		}
		other := &j.list[first.certificate]
		text := fmt.Sprintf("%s is written by certificate %q too, at %s:%d", claim.path, other.name(), j.places.path(int(other.source)), first.line)
		if first.certificate == n {
			text = fmt.Sprintf("%s stands in line %d already; certificate and key in one file are \"combined\"", claim.path, first.line)
		}
		j.fail(d.path, claim.line, claim.at, text)
		return
	}
	j.writers[sum] = writer{n, int32(claim.line)}
}

// dropUnknown leaves out what may be known by a file that could not be parsed.
func dropUnknown(problems []Problem) []Problem {
	var kept []Problem
	for _, p := range problems {
		if !p.unknown {
			kept = append(kept, p)
		}
	}
	return kept
}
