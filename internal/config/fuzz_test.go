package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

// seeds adds the examples and the mistakes to a fuzz test.
func seeds(f *testing.F) {
	f.Helper()
	for _, pattern := range []string{"testdata/mistakes/*.toml", "../../examples/*.toml", "../../examples/conf.d/*.toml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	for _, text := range lineCases() {
		f.Add(text)
	}
}

func lineCases() []string {
	return []string{
		"",
		"a.b.c = 1\na.b.d = 2\n[a.e]\nf = 1",
		"[[a]]\nx = 1\n[[a]]\n[a.b]\ny = 2\n[[a.c]]\nz = 3\n[[a.c]]\nz = 4",
		"s = \"\"\"\n] } # \\\"\"\" \n\"\"\"\"\"\nt = '''\n[x]\n'''''\nu = 1",
		"a = [ # comment ]\n  1, \"]\", ['''\n''', 3],\n]\nb = { c = { d = [ { e = 1 }, {} ] }, 'f.g' = 2 }",
		"\"a\\\"b\" = 1\n'c\\' = 2\n\"\\u00e9\".\"\" = 3",
		"d = 1979-05-27 07:32:00 # c\ne = 1.5e3\r\nf = true",
		"[ a . b ]\r\n c . d = 1 \r\n[ \"x]\" ]\ny = 1",
		"a = []\nb = {}\nc = [[], [[]]]",
		"[a]\nb.c = 1\n[a.d]\n[x.y.z]\n[x]\nw = 1",
		"a = {b = 1, # c\n c = 2,\n}\nd = 3",
		"\xef\xbb\xbfa = 1",
	}
}

// paths lists every key and list element below a TOML value.
func paths(v any, at string, out []string) []string {
	if list, ok := asList(v); ok {
		for i, element := range list {
			below := fmt.Sprintf("%s[%d]", at, i)
			out = paths(element, below, append(out, below))
		}
		return out
	}
	if t, ok := v.(map[string]any); ok {
		for key, value := range t {
			below := fmt.Sprintf("%s.%q", at, key)
			out = paths(value, below, append(out, below))
		}
	}
	return out
}

// markPaths lists every mark below one, and checks that its line is one of the text's.
func markPaths(t *testing.T, m *mark, at string, lines int, out []string) []string {
	t.Helper()
	if m.line < 1 || m.line > lines {
		t.Errorf("%s: line %d of %d", at, m.line, lines)
	}
	for i, element := range m.items {
		below := fmt.Sprintf("%s[%d]", at, i)
		out = markPaths(t, element, below, lines, append(out, below))
	}
	for key, value := range m.keys {
		below := fmt.Sprintf("%s.%q", at, key)
		out = markPaths(t, value, below, lines, append(out, below))
	}
	return out
}

// checkMarks compares the marks of a text with what the TOML parser found in it.
func checkMarks(t *testing.T, text string) {
	t.Helper()
	root, err := markLines(text)
	var deep *tooDeepError
	if errors.As(err, &deep) {
		return
	}
	if invalidUTF8(text) >= 0 {
		return
	}
	raw := map[string]any{}
	if _, decodeErr := toml.Decode(text, &raw); decodeErr != nil {
		return
	}
	if err != nil {
		t.Fatalf("valid TOML, but: %v\n%s", err, text)
	}
	want := paths(raw, "", nil)
	got := markPaths(t, root, "", strings.Count(text, "\n")+1, nil)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("marks of %q (-keys +marks):\n%s", text, diff)
	}
}

func TestMarkLines(t *testing.T) {
	for _, text := range lineCases() {
		checkMarks(t, text)
	}
	root, err := markLines("# c\na = '''\nx\n''' \nb = [\n 1,\n\n 2 ]\n[c]\nd = \"\"\"\\\n\n\"\"\"\ne.f = 1\n[[g]]\n[[g]]\nh = 1\n")
	if err != nil {
		t.Fatal(err)
	}
	got := []int{
		root.keys["a"].line, root.keys["b"].line, root.keys["b"].items[1].line, root.keys["c"].line, root.keys["c"].keys["d"].line,
		root.keys["c"].keys["e"].keys["f"].line, root.keys["g"].items[1].line, root.keys["g"].items[1].keys["h"].line,
	}
	if diff := cmp.Diff([]int{2, 5, 8, 9, 10, 13, 15, 16}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func FuzzMarkLines(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) { checkMarks(t, text) })
}

// FuzzLoad: any text is either accepted or refused with problems that name a line of it, and never a panic.
func FuzzLoad(f *testing.F) {
	seeds(f)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "config.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(path, Options{SkipSecrets: true})
		if err != nil {
			for _, p := range problems(t, err) {
				if p.File != path || p.Line < 1 || p.Line > strings.Count(text, "\n")+1 || p.Message == "" {
					t.Errorf("problem without a good place: %+v\n%s", p, text)
				}
			}
			return
		}
		for c := range cfg.All() {
			if _, ok := cfg.CA[c.CA]; !ok || c.Name == "" || len(c.Files) == 0 || c.RenewBefore == (RenewBefore{}) {
				t.Errorf("incomplete certificate accepted: %+v", c)
			}
			if file, line := cfg.Position("certificate", c.Name); file != c.File || line != c.Line {
				t.Errorf("Position = %s:%d, want %s:%d", file, line, c.File, c.Line)
			}
		}
	})
}
