package dcvplugins

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// readPage returns the page for people, wherever the test runs.
func readPage(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd() // a test runs in the folder of its package
	if err != nil {
		t.Fatal(err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "docs", "dcv-plugins.md"))
		if err == nil {
			return string(text)
		}
		above := filepath.Dir(dir)
		if above == dir {
			t.Fatal(err)
		}
		dir = above
	}
}

// section is what the page says about a plugin; empty when it says nothing.
func section(t *testing.T, plugin string) string {
	t.Helper()
	_, text, _ := strings.Cut(readPage(t), "\n## `"+plugin+"`")
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// Documented holds that the page for people has every setting of a plugin, with its default.
func Documented(t *testing.T, plugin string, schema []pluginapi.Field) {
	t.Helper()
	text := section(t, plugin)
	for _, f := range schema {
		_, row, found := strings.Cut(text, "\n| `"+f.Name+"` | ")
		row, _, _ = strings.Cut(row, "\n")
		value := written(f.Default)
		if !found || value != "" && !strings.Contains(row, "| `"+value+"` |") || f.Required != strings.Contains(row, "| Required.") {
			t.Errorf("%s is not there as it is: default %s, required %t, row %q", f.Name, value, f.Required, row)
		}
	}
}

// written is a default as TOML has it; empty for none.
func written(value any) string {
	switch v := value.(type) {
	case string:
		return strconv.Quote(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case []any:
		return fmt.Sprintf("[%q]", v...)
	default:
		return ""
	}
}
