package fieldstest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// The headings of a CA's page that the tests know.
const (
	settingsHeading = "Settings of the account, `[ca.NAME.settings]`"
	troubleHeading  = "When something goes wrong"
	kindsHeading    = "### Kinds of failure"
)

// Messages holds that every message in a page's section "When something goes wrong" stands in the Go code of some folders:
// whoever searches the page for a message must find it as the plugin says it. least is how many messages the page has at least.
func Messages(t testing.TB, page string, least int, dirs ...string) {
	t.Helper()
	said := literals(t, dirs)
	body, _, _ := strings.Cut(section(t, page, troubleHeading), kindsHeading)
	rows := firstColumn(body, "[^`]+")
	if len(rows) < least {
		t.Fatalf("%s has only %d messages", page, len(rows))
	}
	for _, row := range rows {
		if !strings.Contains(said, row) {
			t.Errorf("the plugin does not say %q", row)
		}
	}
}

// AccountSettings holds that a page's table of account settings has those of a schema, and "order" of the daemon's own.
func AccountSettings(t testing.TB, page string, schema []pluginapi.Field) {
	t.Helper()
	names := []string{"order"}
	for _, f := range schema {
		names = append(names, f.Name)
	}
	rows := firstColumn(section(t, page, settingsHeading), "[a-z_]+")
	slices.Sort(names)
	slices.Sort(rows)
	if !slices.Equal(names, rows) {
		t.Errorf("documented are %v, the plugin has %v", rows, names)
	}
}

// section is the text below a heading of the second level.
func section(t testing.TB, page, heading string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(page))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", page, heading)
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	return body
}

// firstColumn is what stands as code in the first column of tables.
func firstColumn(body, pattern string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?m)^\\| `("+pattern+")` \\|").FindAllStringSubmatch(body, -1) {
		out = append(out, m[1])
	}
	return out
}

// literals are all strings in the code of folders, tests left out.
func literals(t testing.TB, dirs []string) string {
	t.Helper()
	var said strings.Builder
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no code: %v", dir, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
					if text, err := strconv.Unquote(l.Value); err == nil {
						said.WriteString(text + "\n")
					}
				}
				return true
			})
		}
	}
	return said.String()
}
