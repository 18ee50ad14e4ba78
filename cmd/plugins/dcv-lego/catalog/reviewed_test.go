package catalog

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const digestFile = "testdata/sources.txt"

// TestSourcesAreTheReviewedOnes: the table is what was read in these very sources. What changed has to be read again.
func TestSourcesAreTheReviewedOnes(t *testing.T) {
	l := legoSource(t)
	var b strings.Builder
	b.WriteString("# " + legoModule + " " + l.version + ": the sources that the table was reviewed against\n")
	now := map[string]string{}
	for _, p := range l.providers {
		digest, err := p.digest(l.root)
		if err != nil {
			t.Fatal(err)
		}
		now[p.name] = digest
		b.WriteString(p.name + " " + digest + "\n")
	}
	if *update {
		writeFile(t, digestFile, b.String())
		return
	}
	text, err := os.ReadFile(digestFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) == b.String() {
		return
	}
	reviewed := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, digest, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			reviewed[name] = digest
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if reviewed[name] != now[name] {
			t.Errorf("%s: its source is not the one that the table was reviewed against; read it again, then run this test with -update", name)
		}
	}
	t.Errorf("%s is not of lego %s", digestFile, l.version)
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
