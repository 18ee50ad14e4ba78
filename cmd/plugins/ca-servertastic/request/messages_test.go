package request_test

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

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/servertastic"
)

const documentation = "../../../../docs/ca-servertastic.md"

func section(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(documentation))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("no section %q", heading)
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	return body
}

// Whoever searches the page for a message must find it as the plugin says it.
func TestMessagesInTheDocumentationAreReal(t *testing.T) {
	var said strings.Builder
	for _, dir := range []string{".", "../ordertoken", "../servertastic", "../../../../pkg/pluginapi/restca", "../../../../pkg/pluginapi/restca/fields"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
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
	body := section(t, "When something goes wrong")
	body, _, _ = strings.Cut(body, "### Kinds of failure")
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(body, -1)
	if len(rows) < 40 {
		t.Fatalf("only %d messages", len(rows))
	}
	for _, row := range rows {
		if !strings.Contains(said.String(), row[1]) {
			t.Errorf("the plugin does not say %q", row[1])
		}
	}
}

func TestAccountSettingsAreDocumented(t *testing.T) {
	d, err := servertastic.New(servertastic.Options{}).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"order"} // the daemon's own
	for _, f := range d.AccountSettings {
		names = append(names, f.Name)
	}
	var rows []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(section(t, "Settings of the account, `[ca.NAME.settings]`"), -1) {
		rows = append(rows, m[1])
	}
	slices.Sort(names)
	slices.Sort(rows)
	if !slices.Equal(names, rows) {
		t.Errorf("documented are %v, the plugin has %v", rows, names)
	}
}
