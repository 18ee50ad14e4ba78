package fieldstest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields/fieldstest"
)

// recorder notes what a test would have said.
type recorder struct {
	testing.TB
	said []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func wantSaid(t *testing.T, r *recorder, want ...string) {
	t.Helper()
	if len(r.said) != len(want) {
		t.Fatalf("said %q, want %q", r.said, want)
	}
	for i, part := range want {
		if !strings.Contains(r.said[i], part) {
			t.Errorf("said %q, want %q", r.said[i], part)
		}
	}
}

func TestSane(t *testing.T) {
	for want, f := range map[string]fields.Field{
		"no sentence":       {Name: "a", Type: pluginapi.String, In: 1, Help: "A"},
		"no type":           {Name: "a", In: 1, Help: "A."},
		"in no call":        {Name: "a", Type: pluginapi.String, Help: "A."},
		"has a default":     {Name: "a", Type: pluginapi.String, In: 1, Required: true, Default: "x", Help: "A."},
		"cannot be set":     {Name: "a", Type: pluginapi.String, In: 1, Required: true, Computed: "x", Help: "A."},
		"only text":         {Name: "a", Type: pluginapi.Integer, In: 1, Secret: true, Help: "A."},
		"only a table":      {Name: "a", Type: pluginapi.String, In: 1, Inline: true, Help: "A."},
		"either fields":     {Name: "a", Type: pluginapi.List, In: 1, Help: "A."},
		"a table has":       {Name: "a", Type: pluginapi.Table, In: 1, Help: "A."},
		"a name is missing": {Type: pluginapi.String, In: 1, Help: "A."},
		"and lists have":    {Name: "a", Type: pluginapi.String, In: 1, Help: "A.", Fields: []fields.Field{{Name: "b", Type: pluginapi.String, In: 1, Help: "B."}}},
	} {
		r := &recorder{}
		fieldstest.Sane(r, fields.New(f))
		wantSaid(t, r, want)
	}
	twice := fields.Field{Name: "a", Type: pluginapi.String, In: 1, Help: "A."}
	r := &recorder{}
	fieldstest.Sane(r, fields.New(twice, twice))
	wantSaid(t, r, "twice")
}

func TestCovers(t *testing.T) {
	table := fields.New(
		fields.Field{Name: "a", Type: pluginapi.String, Required: true, In: 1, Help: "A."},
		fields.Field{Name: "b", Type: pluginapi.Integer, In: 1, Help: "B."},
		fields.Field{Name: "c", Type: pluginapi.Table, In: 1, Help: "C.", Fields: []fields.Field{{Name: "d", Type: pluginapi.Boolean, In: 1, Help: "D."}}},
		fields.Field{Name: "e", Type: pluginapi.String, In: 2, Help: "E."},
		fields.Field{Name: "f", Type: pluginapi.String, In: 1, Computed: "x", Help: "F."},
		fields.Field{Name: "own", Type: pluginapi.String, Own: true, Help: "Own."},
	)
	const good = "# a remark\na string required\nb int optional\nc object optional\nc.d bool optional # the same\nf int required\n"
	for name, c := range map[string]struct {
		list      string
		count     int
		different map[string]string
		beyond    map[string]string
		want      []string
	}{
		"the same":             {good, 5, nil, nil, nil},
		"another count":        {good, 6, nil, nil, []string{"has 5 fields, the page 6"}},
		"not in the table":     {good + "g string optional\n", 6, nil, nil, []string{"g is not in the table"}},
		"in another call":      {good + "e string optional\n", 6, nil, nil, []string{"the table says it is not"}},
		"of another type":      {strings.Replace(good, "b int", "b string", 1), 5, nil, nil, []string{"b is of type string"}},
		"another need":         {strings.Replace(good, "a string required", "a string optional", 1), 5, nil, nil, []string{"a is optional"}},
		"explained":            {strings.Replace(good, "b int", "b string", 1), 5, map[string]string{"b": "so"}, nil, nil},
		"explained in vain":    {good, 5, map[string]string{"b": "so"}, nil, []string{"nothing differs"}},
		"not on the page":      {strings.Replace(good, "b int optional\n", "", 1), 4, nil, nil, []string{"says that b is there"}},
		"beyond it":            {strings.Replace(good, "b int optional\n", "", 1), 4, nil, map[string]string{"b": "so"}, nil},
		"beyond it, in vain":   {good, 5, nil, map[string]string{"b": "so"}, []string{"no field is beyond"}},
		"a line that is wrong": {good + "x\n", 5, nil, nil, []string{"is not path, type and need"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			fieldstest.Covers(r, table, fieldstest.Lists{
				Pages: []fieldstest.Page{{File: write(t, c.list), In: 1, Count: c.count}}, Different: c.different, Beyond: c.beyond,
			})
			wantSaid(t, r, c.want...)
		})
	}
}

func TestDocumented(t *testing.T) {
	const begin, end = "<!-- begin -->\n", "<!-- end -->\n"
	name := write(t, "before\n"+begin+"old\n"+end+"after\n")
	r := &recorder{}
	fieldstest.Documented(r, false, name, begin, end, "new\n")
	wantSaid(t, r, "is not what the program has")
	r = &recorder{}
	fieldstest.Documented(r, true, name, begin, end, "new\n")
	fieldstest.Documented(r, false, name, begin, end, "new\n")
	wantSaid(t, r)
	if text, err := os.ReadFile(name); err != nil || string(text) != "before\n"+begin+"new\n"+end+"after\n" {
		t.Errorf("the file is %q, %v", text, err)
	}
	fieldstest.Documented(r, true, name, "<!-- elsewhere -->\n", end, "new\n")
	wantSaid(t, r, "has no place")
}

func TestExamples(t *testing.T) {
	page := write(t, "text\n```toml\n[[certificate]]\norder = { product = \"a\", card = { number = { file = \"/x\" } } }\n```\n"+
		"```toml\n[ca.x.settings.order]\nproduct = \"b\"\n[certificate.order]\nproduct = \"c\"\n```\n```sh\nls\n```\n```toml\norder = { product = \"d\" }\n```\n")
	var products []string
	for _, e := range fieldstest.Examples(t, page, func(path string) string { return "secret of " + path }) {
		product, _ := e.Settings.Values["product"].(string)
		products = append(products, product)
		if product == "a" && e.Settings.Secret("card.number").Reveal() != "secret of card.number" {
			t.Error("the secret is not there")
		}
		if !strings.Contains(e.Text, product) {
			t.Errorf("%s: the text is %q", product, e.Text)
		}
	}
	if strings.Join(products, " ") != "a c b d" {
		t.Errorf("found %v", products)
	}
	r := &recorder{}
	fieldstest.Examples(r, write(t, "```toml\na = \n```\n"), nil)
	if len(r.said) != 1 {
		t.Errorf("said %q of what is no TOML", r.said)
	}
}

func TestMessages(t *testing.T) {
	dir := t.TempDir()
	code := "package p\n\nimport \"errors\"\n\nvar errKey = errors.New(\"the key is wrong\") // \"a remark\"\n"
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	page := write(t, "# A CA\n\n## When something goes wrong\n\n| message | |\n|---|---|\n| `the key is wrong` | x |\n| `a remark` | x |\n\n"+
		"### Kinds of failure\n\n| `unavailable` | x |\n\n## More\n\n| `beyond` | x |\n")
	r := &recorder{}
	fieldstest.Messages(r, page, 2, dir)
	wantSaid(t, r, `does not say "a remark"`)
}

func TestAccountSettings(t *testing.T) {
	page := write(t, "\n## Settings of the account, `[ca.NAME.settings]`\n\n| `base_url` | x |\n| `order` | x |\n\n## More\n\n| `other` | x |\n")
	r := &recorder{}
	fieldstest.AccountSettings(r, page, []pluginapi.Field{{Name: "base_url"}})
	wantSaid(t, r)
	fieldstest.AccountSettings(r, page, []pluginapi.Field{{Name: "base_url"}, {Name: "api_key"}})
	wantSaid(t, r, "the plugin has [api_key base_url order]")
}
