package fieldstest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Documented holds that a file has a text between two marks, which stand there in full, line ends and all. With update it
// writes the text in. A mark had better say how: "<!-- fields: written by go test ./some/package -update -->\n".
func Documented(t testing.TB, update bool, file, begin, end, want string) {
	t.Helper()
	name := filepath.FromSlash(file)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	have, after, okEnd := strings.Cut(rest, end)
	switch {
	case !ok || !okEnd:
		t.Errorf("%s has no place for %s", name, strings.TrimSpace(begin))
	case have == want:
	case update:
		if err := os.WriteFile(name, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Error(err)
		}
	default:
		t.Errorf("%s after %q is not what the program has; run the test with -update, and look at the difference", name, strings.TrimSpace(begin))
	}
}
