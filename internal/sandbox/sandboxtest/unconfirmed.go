package sandboxtest

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	mark      = "Unconfirmed: "
	listBegin = "<!-- unconfirmed points of "
	listEnd   = "<!-- end -->\n"
)

// Unconfirmed checks that a page lists each point that the package in the present folder relies upon without its being
// confirmed: the paragraphs of comments that begin with "Unconfirmed:". With update it writes the list. The list's place
// in the page is between a line that names the CA and the next "<!-- end -->":
//
//	<!-- unconfirmed points of NAME: go test ./internal/sandbox/name -run Unconfirmed -update -->
//
// There must be least points or more: fewer mean that the comments were not found.
func Unconfirmed(t *testing.T, page, ca string, least int, update bool) {
	t.Helper()
	list := points(t)
	if n := strings.Count(list, "\n"); n < least {
		t.Fatalf("only %d unconfirmed points found", n)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), listBegin+ca+":")
	command, rest, okLine := strings.Cut(rest, "\n")
	_, after, okEnd := strings.Cut(rest, listEnd)
	if !ok || !okLine || !okEnd {
		t.Fatalf("%s has no place for the list of %s between its markers", page, ca)
	}
	want := head + listBegin + ca + ":" + command + "\n" + list + listEnd + after
	if update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s does not list the unconfirmed points as the code has them; run this test with -update", page)
	}
}

// points are the list's lines, in the order of the files.
func points(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
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
					b.WriteString("- " + strings.ToUpper(point[:1]) + point[1:] + " (`" + name + "`)\n")
				}
			}
		}
	}
	return b.String()
}
