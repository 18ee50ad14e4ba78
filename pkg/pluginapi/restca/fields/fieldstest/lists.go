package fieldstest

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// Listed is a field as a page of the CA lists it.
type Listed struct {
	// Path is in the API's own names: dotted, "[]" for the elements of lists.
	Path string
	// Type is string, int, bool, float, object or array.
	Type string
	// Needed is "required", or some other word.
	Needed string
}

// ReadList reads a list of fields: one in a line, as path, type and need; "#" begins a remark.
func ReadList(t testing.TB, file string) []Listed {
	t.Helper()
	f, err := os.Open(filepath.FromSlash(file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []Listed
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		switch parts := strings.Fields(text); len(parts) {
		case 0:
		case 3:
			out = append(out, Listed{parts[0], parts[1], parts[2]})
		default:
			t.Errorf("%s: %q is not path, type and need", file, lines.Text())
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return out
}

// Page is what the CA says of some calls.
type Page struct {
	// File is the list that was taken from the page by hand.
	File string
	// In are the calls that the page is about.
	In fields.Calls
	// Count is how many fields the page has, counted apart from the list.
	Count int
}

// Lists are the CA's own lists of fields, and where the table departs from them.
type Lists struct {
	Pages []Page
	// Different says, by APIPath, why a field's type or need is not what a page has.
	Different map[string]string
	// Beyond says, by the beginning of an APIPath, why there are fields that a page does not list.
	Beyond map[string]string
}

// Covers holds that every field of the CA's lists is in the table, with type, need and call, and that the table has no
// field in a call whose list does not have it. What differs, and every reason that is given for it, is real.
func Covers(t testing.TB, table *fields.Table, lists Lists) {
	t.Helper()
	known := map[string]fields.Row{}
	for _, r := range table.Rows() {
		if !r.Inline {
			known[r.APIPath] = r
		}
	}
	used := map[string]bool{}
	for _, p := range lists.Pages {
		list := ReadList(t, p.File)
		if len(list) != p.Count {
			t.Errorf("%s has %d fields, the page %d", p.File, len(list), p.Count)
		}
		for _, f := range list {
			lists.compare(t, p, f, known, used)
		}
		lists.nothingElse(t, p, list, known, used)
	}
	for path := range lists.Different {
		if !used[path] {
			t.Errorf("%s: nothing differs that would have to be explained", path)
		}
	}
	for path := range lists.Beyond {
		if !used[path] {
			t.Errorf("%s: no field is beyond the lists", path)
		}
	}
}

// compare looks for one field of a list in the table.
func (l Lists) compare(t testing.TB, p Page, f Listed, known map[string]fields.Row, used map[string]bool) {
	t.Helper()
	r, ok := known[f.Path]
	_, explained := l.Different[f.Path]
	switch {
	case !ok:
		t.Errorf("%s: %s is not in the table", p.File, f.Path)
	case !r.In.Has(p.In):
		t.Errorf("%s: %s is there, and the table says it is not", p.File, f.Path)
	case r.Computed != "": // nothing is asked of people
	case !slices.Contains(typeNames(r.Type), f.Type):
		if used[f.Path] = true; !explained {
			t.Errorf("%s: %s is of type %s, in the table %s", p.File, f.Path, f.Type, r.Type)
		}
	case r.Required != (f.Needed == "required"):
		if used[f.Path] = true; !explained {
			t.Errorf("%s: %s is %s, in the table required is %t", p.File, f.Path, f.Needed, r.Required)
		}
	}
}

// nothingElse looks for fields that the table has in a call and the list has not.
func (l Lists) nothingElse(t testing.TB, p Page, list []Listed, known map[string]fields.Row, used map[string]bool) {
	t.Helper()
	for path, r := range known {
		if r.Own || !r.In.Has(p.In) || slices.ContainsFunc(list, func(f Listed) bool { return f.Path == path }) {
			continue
		}
		explained := false
		for beginning := range l.Beyond {
			if strings.HasPrefix(path, beginning) {
				explained, used[beginning] = true, true
			}
		}
		if !explained {
			t.Errorf("%s: the table says that %s is there", p.File, path)
		}
	}
}

// typeNames are the names that pages have for a type.
func typeNames(t pluginapi.FieldType) []string {
	switch t {
	case pluginapi.String, pluginapi.Duration:
		return []string{"string"}
	case pluginapi.Integer:
		return []string{"int", "integer"}
	case pluginapi.Number:
		return []string{"float", "number"}
	case pluginapi.Boolean:
		return []string{"bool", "boolean"}
	case pluginapi.Table, pluginapi.Map:
		return []string{"object"}
	case pluginapi.List:
		return []string{"array"}
	default:
		return nil
	}
}

// Sane holds that a table makes sense: every field has a name of its own and a sentence of help, goes somewhere or is
// said to be the plugin's own, and is of one piece.
func Sane(t testing.TB, table *fields.Table) {
	t.Helper()
	rows := table.Rows()
	if len(rows) == 0 {
		t.Error("the table is empty")
	}
	seen := map[string]bool{}
	for _, r := range rows {
		if r.Name == "" || seen[r.Path] {
			t.Errorf("%q: a name is missing, or stands there twice", r.Path)
		}
		seen[r.Path] = true
		for _, fault := range faults(r) {
			t.Errorf("%s: %s", r.Path, fault)
		}
	}
}

func faults(r fields.Row) []string {
	var out []string
	must := func(ok bool, fault string) {
		if !ok {
			out = append(out, fault)
		}
	}
	nested := r.Type == pluginapi.Table || r.Type == pluginapi.List
	must(strings.HasSuffix(r.Help, "."), "its help is no sentence")
	must(r.Type.String() != "unspecified", "it has no type")
	must(r.In != 0 || r.Own || r.Inline, "it is in no call and goes out")
	must(!r.Required || r.Default == nil, "it is required and has a default")
	must(!r.Required || r.Computed == "", "it is required and cannot be set")
	must(!r.Secret || r.Type == pluginapi.String, "only text can be secret")
	must(!r.Inline || r.Type == pluginapi.Table, "only a table can be inline")
	must(nested || r.Fields == nil, "only tables and lists have fields")
	must(r.Computed != "" || r.Type != pluginapi.Table || r.Fields != nil, "a table has fields")
	must(r.Computed != "" || r.Type != pluginapi.List || (r.Fields == nil) != (r.Element == 0), "a list has either fields or an element")
	return out
}
