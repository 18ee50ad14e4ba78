package request

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	documentation = "../../../../docs/ca-digicert.md"
	tableBegins   = "<!-- fields: written by go test ./cmd/plugins/ca-digicert/request -update -->\n"
	tableEnds     = "<!-- end of fields -->\n"
)

// apiPath is the path of a field in the API's own names.
func apiPath(r row) string {
	if r.api == nil {
		return r.path
	}
	return strings.Join(r.api, ".")
}

func TestDocumentationHasTheTable(t *testing.T) {
	name := filepath.FromSlash(documentation)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tableBegins)
	_, after, okEnd := strings.Cut(rest, tableEnds)
	if !ok || !okEnd {
		t.Fatalf("%s has no place for the table", name)
	}
	want := before + tableBegins + markdown() + tableEnds + after
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("the table in %s is not that of the program; run go test ./cmd/plugins/ca-digicert/request -update", name)
	}
}

func markdown() string {
	var b strings.Builder
	b.WriteString("\n| field of the API | in TOML | type | needed | where | meaning | checked |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows() {
		api, toml := "`"+apiPath(r)+"`", "`"+r.path+"`"
		if r.own {
			api = "–"
		}
		checked := r.rule
		if r.computed != "" {
			toml, checked = "–", "cannot be set: it is "+r.computed
		}
		if r.deprecated != "" {
			checked = "deprecated, warned about; " + checked
		}
		if len(r.allowed) > 0 && len(r.allowed) <= 6 {
			checked = strings.TrimSuffix("one of "+strings.Join(quoted(r.allowed), ", ")+"; "+checked, "; ")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", api, toml, kindWords(r), need(r), where(r), r.help, strings.TrimSuffix(checked, "; "))
	}
	return b.String() + "\n"
}

func quoted(list []any) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = fmt.Sprintf("`%v`", v)
	}
	return out
}

func kindWords(r row) string {
	switch {
	case r.secret:
		return "secret"
	case r.kind == pluginapi.List && r.fields != nil:
		return "list of tables"
	case r.kind == pluginapi.List:
		return "list of strings"
	default:
		return r.kind.String()
	}
}

func need(r row) string {
	switch {
	case r.computed != "":
		return "computed"
	case r.required:
		return "yes"
	case r.dflt != nil:
		return fmt.Sprintf("default `%v`", r.dflt)
	default:
		return "no"
	}
}

// where says which endpoints take the field, as DigiCert's pages have it.
func where(r row) string {
	var out []string
	if r.on&onHint != 0 {
		out = append(out, "`ssl`")
	}
	if r.on&onDV != 0 {
		out = append(out, "DV")
	}
	if r.reissue {
		out = append(out, "reissue")
	}
	if out == nil {
		return "not sent"
	}
	return strings.Join(out, ", ")
}
