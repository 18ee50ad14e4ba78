package certstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// phase is how far a generation got.
type phase string

// The phases. Recover undoes staging, finishes prepared and rolling-back, and leaves the others.
const (
	staging     phase = "staging"      // old files are copied, new ones are being written beside their targets
	prepared    phase = "prepared"     // every new file is complete: from here on the way is forward
	switched    phase = "switched"     // the new set is in place
	committed   phase = "committed"    // and proven; the old one is forgotten
	rollingBack phase = "rolling-back" // the old set is being put back
	rolledBack  phase = "rolled-back"
)

// manifestVersion is the version of the manifest's form.
const manifestVersion = 1

const manifestName = "manifest.json"

// manifest is the durable record of one generation. It holds no secrets.
type manifest struct {
	Version     int     `json:"version"`
	Certificate string  `json:"certificate"`
	ID          string  `json:"id"`
	Sequence    int     `json:"sequence"` // grows with every generation of the certificate
	Phase       phase   `json:"phase"`
	Fingerprint string  `json:"fingerprint"` // SHA-256 of the new leaf
	Files       []entry `json:"files"`
}

// entry is one file of a generation.
type entry struct {
	Form   Form    `json:"form"`
	Path   string  `json:"path"` // as configured
	Dir    string  `json:"dir"`  // the real folder
	Base   string  `json:"base"`
	Temp   string  `json:"temp"` // the staged file's name in the same folder
	Sum    string  `json:"sum"`  // SHA-256 of the new content
	Before *copied `json:"before,omitempty"`
}

// copied is a file as it was before a generation.
type copied struct {
	Name       string     `json:"name"` // of the copy in the generation's folder
	Sum        string     `json:"sum"`
	Attributes attributes `json:"attributes"`
}

func (m *manifest) encode() ([]byte, error) { return json.MarshalIndent(m, "", "  ") }

// decodeManifest reads a manifest and checks whatever later steps rely on, since it decides what is overwritten.
func decodeManifest(data []byte) (*manifest, error) {
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("read manifest: version %d, but this program knows only %d", m.Version, manifestVersion)
	}
	switch m.Phase {
	case staging, prepared, switched, committed, rollingBack, rolledBack:
	default:
		return nil, fmt.Errorf("read manifest: unknown phase %q", m.Phase)
	}
	for _, e := range m.Files {
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
	}
	return &m, nil
}

func (e entry) check() error {
	names := []string{e.Base, e.Temp}
	if e.Before != nil {
		names = append(names, e.Before.Name)
	}
	for _, name := range names {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return fmt.Errorf("%q is not a file's name", name)
		}
	}
	if !strings.HasPrefix(e.Dir, "/") || !strings.HasPrefix(e.Temp, tempPrefix) {
		return errors.New("a path is not what this program writes")
	}
	return nil
}

// folderName makes a name that is safe as a folder's out of any text.
func folderName(name string) string {
	escaped := url.PathEscape(name)
	if strings.HasPrefix(escaped, ".") {
		escaped = "%2E" + escaped[1:]
	}
	return escaped
}

func checkName(what, name string) error {
	const longest = 255
	if name == "" || len(folderName(name)) > longest {
		return fmt.Errorf("%s %q is empty or too long", what, name)
	}
	return nil
}

// folder is the name of the generation's folder within its certificate's. One id may be installed more than once.
func (m *manifest) folder() string { return fmt.Sprintf("%06d-%s", m.Sequence, folderName(m.ID)) }

// restoreTemp is the name of the old file when it is staged to be put back.
func (e entry) restoreTemp() string { return e.Temp + ".old" }
