package certbridged_test

import (
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section returns the part of a document below a heading.
func section(t *testing.T, name, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(readFile(t, name), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", name, heading)
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	return body
}

func documents(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md").Output()
	if err == nil && len(out) > 0 {
		return strings.Fields(string(out))
	}
	var list []string // not a checkout
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".md" {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestReadmeQuotesTheExample(t *testing.T) {
	example := readFile(t, "examples/conf.d/shop.toml")
	if !strings.Contains(readFile(t, "README.md"), "```toml\n"+example+"```\n") {
		t.Error("README.md does not quote examples/conf.d/shop.toml as it is")
	}
}

func TestLinksInDocumentsLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:\s]*)(#[^)\s]*)?\)`)
	checked := 0
	for _, name := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(readFile(t, name), -1) {
			target := name
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(name), m[1])
			}
			checked++
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links %s, which is not there", name, m[1])
				continue
			}
			if anchor := strings.TrimPrefix(m[2], "#"); anchor != "" && !anchors(readFile(t, target))[anchor] {
				t.Errorf("%s links %s#%s, a heading that is not there", name, m[1], anchor)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d links", checked)
	}
}

// anchors are the headings of a document as links name them.
func anchors(text string) map[string]bool {
	drop := regexp.MustCompile("[^a-z0-9 _-]")
	found := map[string]bool{}
	for line := range strings.SplitSeq(text, "\n") {
		if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			found[strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")] = true
		}
	}
	return found
}

// Whoever searches the documentation for a message must find it as the program says it.
func TestMessagesInTroubleshootingAreReal(t *testing.T) {
	var messages strings.Builder
	eachFile(t, func(_ pkg, _ string, file *ast.File, _ *token.FileSet) {
		ast.Inspect(file, func(n ast.Node) bool {
			if b, ok := n.(*ast.BinaryExpr); ok && b.Op == token.ADD {
				if text, ok := joined(b); ok {
					messages.WriteString(text + "\n")
					return false
				}
			}
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if text, err := strconv.Unquote(l.Value); err == nil {
					messages.WriteString(text + "\n")
				}
			}
			return true
		})
	})
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section(t, "docs/operations.md", "Troubleshooting by message"), -1)
	if len(rows) < 15 {
		t.Fatalf("only %d messages", len(rows))
	}
	for _, row := range rows {
		if !strings.Contains(messages.String(), row[1]) {
			t.Errorf("no program says %q", row[1])
		}
	}
}

// joined is a text that is written as a sum of literals.
func joined(e ast.Expr) (string, bool) {
	switch x := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(x.Value)
		return text, err == nil && x.Kind == token.STRING
	case *ast.BinaryExpr:
		left, ok := joined(x.X)
		right, okRight := joined(x.Y)
		return left + right, ok && okRight
	}
	return "", false
}

func TestHoldsAreDocumented(t *testing.T) {
	text := section(t, "docs/operations.md", "When an order is held")
	kinds := regexp.MustCompile(`HoldKind = "([a-z-]+)"`).FindAllStringSubmatch(readFile(t, "internal/order/record.go"), -1)
	if len(kinds) < 5 {
		t.Fatalf("only %d kinds of hold", len(kinds))
	}
	for _, kind := range kinds {
		if !strings.Contains(text, "| `"+kind[1]+"` |") {
			t.Errorf("docs/operations.md does not say what to do when an order is held for %s", kind[1])
		}
	}
	if rows := strings.Count(text, "\n| `"); rows != len(kinds) {
		t.Errorf("docs/operations.md has %d reasons, the program %d", rows, len(kinds))
	}
}

// Each invariant names the tests that would fail if it broke; a test that is renamed must not leave the table behind.
func TestInvariantsHaveTests(t *testing.T) {
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| [^|]+ \| ([^|]+) \|$`).FindAllStringSubmatch(section(t, "docs/architecture.md", "What always holds"), -1)
	if len(rows) != 11 {
		t.Fatalf("%d invariants, want 11", len(rows))
	}
	for _, row := range rows {
		named := 0
		for group := range strings.SplitSeq(row[2], ";") {
			m := regexp.MustCompile("^`([a-z/0-9]+)` (.+)$").FindStringSubmatch(strings.TrimSpace(group))
			if m == nil {
				t.Errorf("invariant %s: %q is no package and its tests", row[1], group)
				continue
			}
			have := testsOf(t, m[1])
			for test := range strings.SplitSeq(m[2], ", ") {
				named++
				if !strings.Contains(have, "func "+test+"(t *testing.T)") {
					t.Errorf("invariant %s: %s has no test %s", row[1], m[1], test)
				}
			}
		}
		if named == 0 {
			t.Errorf("invariant %s has no test", row[1])
		}
	}
}

func testsOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		all.WriteString(readFile(t, f))
	}
	return all.String()
}
