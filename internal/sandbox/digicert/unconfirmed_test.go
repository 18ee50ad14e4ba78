package digicert

import (
	"flag"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var updateDocs = flag.Bool("update", false, "write the list of unconfirmed points into docs/sandbox.md")

const (
	sandboxPage = "../../../docs/sandbox.md"
	listBegin   = "<!-- unconfirmed points of DigiCert: go test ./internal/sandbox/digicert -run Unconfirmed -update -->\n"
	listEnd     = "<!-- end -->\n"
	mark        = "Unconfirmed: "
)

// Whoever relies on the stand-in must be able to see what it only assumes.
func TestUnconfirmedPointsAreListed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var points strings.Builder
	n := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range file.Comments {
			for paragraph := range strings.SplitSeq(group.Text(), "\n\n") {
				if point, ok := strings.CutPrefix(strings.Join(strings.Fields(paragraph), " "), mark); ok {
					points.WriteString("- " + strings.ToUpper(point[:1]) + point[1:] + " (`" + name + "`)\n")
					n++
				}
			}
		}
	}
	if n < 30 {
		t.Fatalf("only %d unconfirmed points found", n)
	}
	text, err := os.ReadFile(sandboxPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), listBegin)
	_, after, okEnd := strings.Cut(rest, listEnd)
	if !ok || !okEnd {
		t.Fatalf("%s has no place for the list between its markers", sandboxPage)
	}
	want := before + listBegin + points.String() + listEnd + after
	if *updateDocs {
		if err := os.WriteFile(sandboxPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s does not list the unconfirmed points as the code has them; run this test with -update", sandboxPage)
	}
}
