package certstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// phase is how far a generation got.
type phase string

// The phases. Recover brings begun and rolling-back to an end and leaves the others.
const (
	begun       phase = "begun"        // old files are copied; new ones are being written beside their places, and put there
	switched    phase = "switched"     // the new set is in place
	committed   phase = "committed"    // and proven; the old one is forgotten
	rollingBack phase = "rolling-back" // the old set is being put back
	rolledBack  phase = "rolled-back"
)

// manifest is what is known of one generation.
type manifest struct {
	ID          string  `json:"id"`
	Sequence    int     `json:"sequence"` // grows with every generation of the certificate
	Phase       phase   `json:"phase"`
	Fingerprint string  `json:"fingerprint"`     // SHA-256 of the new leaf
	Set         string  `json:"set,omitempty"`   // digest of the new files; empty where they cannot be in place any more
	Files       []entry `json:"files,omitempty"` // none once there is no way back
}

// entry is one file of a generation.
type entry struct {
	Form       Form       `json:"form"`
	Path       string     `json:"path"` // as configured
	Dir        string     `json:"dir"`  // the real folder
	Base       string     `json:"base"`
	Temp       string     `json:"temp"` // the staged file's name in the same folder
	Sum        string     `json:"sum"`  // SHA-256 of the new content
	Attributes attributes `json:"attributes"`
	Before     *copied    `json:"before,omitempty"`
}

// copied is a file as it was before a generation. Its content is a record of its own.
type copied struct {
	Sum        string     `json:"sum"`
	Attributes attributes `json:"attributes"`
}

// settled reports whether nothing of the generation is half-done.
func (m *manifest) settled() bool { return m.Phase != begun && m.Phase != rollingBack }

func (m *manifest) check() error {
	switch m.Phase {
	case begun, switched, committed, rollingBack, rolledBack:
	default:
		return fmt.Errorf("unknown phase %q", m.Phase)
	}
	for _, e := range m.Files {
		if err := e.check(); err != nil {
			return err
		}
	}
	return nil
}

func (e entry) check() error {
	for _, name := range []string{e.Base, e.Temp} {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return fmt.Errorf("%q is not a file's name", name)
		}
	}
	if !strings.HasPrefix(e.Dir, "/") || !strings.HasPrefix(e.Temp, tempPrefix) {
		return errors.New("a path is not what this program writes")
	}
	return nil
}

// beforeSum is the digest of the old file; empty when there was none.
func (e entry) beforeSum() string {
	if e.Before == nil {
		return ""
	}
	return e.Before.Sum
}

// restoreTemp is the name of the old file when it is staged to be put back.
func (e entry) restoreTemp() string { return e.Temp + ".old" }

// copyKey names the record with the copy of a generation's i-th file.
func (m *manifest) copyKey(certificate string, i int) string {
	return fmt.Sprintf("%s%s/%06d/%d", copyPrefix, certificate, m.Sequence, i)
}

// setOf is a digest of what files are, where they lie and what they are to hold.
func setOf(files []entry) string {
	var text []byte
	for _, e := range files {
		for _, part := range []string{string(e.Form), e.Path, e.Dir, e.Base, e.Sum} {
			text = append(strconv.AppendQuote(text, part), ' ')
		}
		text[len(text)-1] = '\n'
	}
	return sumOf(text)
}

// close ends a generation in a phase from which there is no way back, and adds to a transaction that its copies of old
// files go.
func (m *manifest) close(end phase, certificate string, records map[string][]byte) {
	for i, e := range m.Files {
		if e.Before != nil {
			records[m.copyKey(certificate, i)] = nil
		}
	}
	m.Phase, m.Files = end, nil
	if end != committed {
		m.Set = ""
	}
}

// longestName bounds names, since they become parts of keys.
const longestName = 255

func checkName(what, name string) error {
	if name == "" || len(name) > longestName {
		return fmt.Errorf("%s %q is empty or too long", what, name)
	}
	return nil
}
