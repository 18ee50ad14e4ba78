package fields_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields/fieldstest"
)

const (
	inOrder fields.Calls = 1 << iota
	inReissue
)

const both = inOrder | inReissue

// today is the day of all tests.
var today = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

type values = map[string]any

// example is a table with everything in it that a table can have.
func example() *fields.Table {
	person := []fields.Field{
		{Name: "name", Type: pluginapi.String, Required: true, In: both, Test: fields.Line, Help: "Name."},
		{Name: "mail", Type: pluginapi.String, In: both, API: []string{"email"}, Test: fields.Email, Help: "Address."},
	}
	return fields.New(
		fields.Field{Name: "product", Type: pluginapi.String, Required: true, Own: true, Test: fields.Word, Help: "Product.", Rule: "a word"},
		fields.Field{Name: "hint", Type: pluginapi.String, API: []string{"product", "hint"}, In: inOrder, Allowed: []any{"a", "b"}, Help: "Hint."},
		fields.Field{Name: "years", Type: pluginapi.Integer, Default: int64(1), In: inOrder, Test: fields.Between(1, 3), Help: "Years.", Rule: "1 to 3"},
		fields.Field{Name: "share", Type: pluginapi.Number, In: inOrder, Help: "A part of it."},
		fields.Field{Name: "wait", Type: pluginapi.Duration, In: inOrder, Help: "How long."},
		fields.Field{Name: "quiet", Type: pluginapi.Boolean, In: inOrder, As: fields.ZeroOne, Help: "No mails."},
		fields.Field{Name: "labels", Type: pluginapi.Map, In: inOrder, Help: "Labels."},
		fields.Field{Name: "names", Type: pluginapi.List, Element: pluginapi.String, In: both, As: fields.Joined(","), Test: fields.All(fields.Elements(fields.DNSName), fields.NoneTwice), Help: "Names."},
		fields.Field{Name: "copies", Type: pluginapi.List, Element: pluginapi.String, In: inOrder, Help: "Copies."},
		fields.Field{Name: "admin", Type: pluginapi.Table, In: both, Help: "A person.", Fields: person},
		fields.Field{Name: "others", Type: pluginapi.List, In: both, Help: "People.", Fields: person},
		fields.Field{Name: "company", Type: pluginapi.Table, Inline: true, In: inOrder, Help: "A company.", Fields: []fields.Field{
			{Name: "country", Type: pluginapi.String, In: inOrder, API: []string{"company_country"}, Test: fields.Country, Help: "Country."},
		}},
		fields.Field{Name: "card", Type: pluginapi.Table, In: inOrder, Help: "A card.", Fields: []fields.Field{
			{Name: "number", Type: pluginapi.String, Secret: true, Required: true, In: inOrder, Test: fields.Digits(4, 6), Help: "Number."},
		}},
		fields.Field{Name: "old", Type: pluginapi.String, In: inOrder, Deprecated: "it is old: use years", Help: "Old."},
		fields.Field{Name: "csr", Type: pluginapi.String, In: both, Computed: "made with the key", Help: "Request."},
		fields.Field{Name: "items", Type: pluginapi.List, In: inOrder, Help: "Items.", Fields: []fields.Field{
			{Name: "size", Type: pluginapi.Integer, In: inOrder, Test: fields.AtLeast(0), Help: "Size."},
			{Name: "mark", Type: pluginapi.String, In: inOrder, Computed: "made up", Help: "Mark."},
		}},
	)
}

func secrets(texts map[string]string) map[string]pluginapi.Secret {
	out := map[string]pluginapi.Secret{}
	for path, text := range texts {
		out[path] = pluginapi.NewSecret(text)
	}
	return out
}

func TestExampleIsSane(t *testing.T) { fieldstest.Sane(t, example()) }

func TestSchema(t *testing.T) {
	known := map[string]pluginapi.Field{}
	for _, f := range example().Schema() {
		known[f.Name] = f
	}
	if _, ok := known["csr"]; ok || len(known) != 15 {
		t.Errorf("%d fields, and one that is computed: %t", len(known), ok)
	}
	if f := known["others"]; f.Element == nil || f.Element.Type != pluginapi.Table || len(f.Element.Fields) != 2 {
		t.Errorf("a list of tables: %+v", f)
	}
	if f := known["names"]; f.Element == nil || f.Element.Type != pluginapi.String {
		t.Errorf("a list of texts: %+v", f)
	}
	if f := known["card"]; len(f.Fields) != 1 || !f.Fields[0].Secret {
		t.Errorf("a table: %+v", f)
	}
}

func TestRows(t *testing.T) {
	paths := map[string]string{}
	for _, r := range example().Rows() {
		paths[r.Path] = r.APIPath
	}
	for path, api := range map[string]string{
		"product": "product", "hint": "product.hint", "admin.mail": "admin.email", "others[].mail": "others[].email",
		"company.country": "company_country", "items[].mark": "items[].mark",
	} {
		if paths[path] != api {
			t.Errorf("%s is %q in the API, want %q", path, paths[path], api)
		}
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		values  values
		secrets map[string]string
		want    []string // severity, path and part of the message
	}{
		"nothing":  {nil, nil, []string{"error product: is missing"}},
		"all good": {everything(), map[string]string{"card.number": "12345"}, nil},
		"wrong types": {values{"product": "x", "years": "1", "quiet": 0, "names": "a", "admin": "x", "labels": values{"a": 1}, "wait": "long", "share": true}, nil, []string{
			"error admin: wants", "error labels.a: wants", "error names: wants", "error quiet: wants", "error share: wants", "error wait: ", "error years: wants",
		}},
		"a number that is no whole one any more": {values{"product": "x", "years": 9e99}, nil, []string{"error years: is no integer that can be sent"}},
		"computed":                               {values{"product": "x", "csr": "y"}, nil, []string{"error csr: cannot be set, remove it: it is made with the key"}},
		"computed, in a list":                    {values{"product": "x", "items": []any{values{}, values{"mark": "y", "size": int64(-1)}}}, nil, []string{"error items[1].mark: cannot be set, remove it: it is made up", "error items[1].size: must be 0 or more"}},
		"computed, as a secret":                  {values{"product": "x"}, map[string]string{"csr": "y"}, []string{"error csr: cannot be set"}},
		"deprecated":                             {values{"product": "x", "old": "y"}, nil, []string{"warning old: it is old: use years"}},
		"tests":                                  {values{"product": "a b", "years": int64(4), "company": values{"country": "de"}}, nil, []string{"error company.country: \"de\" is no country", "error product: \"a b\" is not a word", "error years: must be from 1 to 3, not 4"}},
		"tests in lists":                         {values{"product": "x", "names": []any{"a.example", 1, "-", "A.example"}, "others": []any{values{"name": ""}, values{"name": "b", "mail": "c"}}}, nil, []string{"error names[1]: wants", "error names[2]: \"-\" is no domain name", "error names[3]: \"A.example\" stands there twice", "error others[0].name: is empty", "error others[1].mail: \"c\" is no e-mail"}},
		"a secret":                               {values{"product": "x"}, map[string]string{"card.number": "123x"}, []string{"error card.number: is not of 4 to 6 digits"}},
		"half a table":                           {values{"product": "x", "card": values{}}, nil, []string{"error card.number: is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			found := example().Check(pluginapi.Settings{Values: c.values, Secrets: secrets(c.secrets)}, today).Findings()
			var got []string
			for _, f := range found {
				got = append(got, fmt.Sprintf("%s %s: %s", f.Severity, f.Field, f.Message))
			}
			if len(got) != len(c.want) {
				t.Fatalf("got:\n%s", strings.Join(got, "\n"))
			}
			for i, want := range c.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("got  %s\nwant %s", got[i], want)
				}
			}
		})
	}
}

// everything sets every field of the example that can be set.
func everything() values {
	return values{
		"product": "x", "hint": "a", "years": float64(2), "share": 0.5, "wait": "5m", "quiet": true, "labels": values{"a": "b"},
		"names": []any{"a.example", "*.b.example"}, "copies": []any{"one", "two"}, "admin": values{"name": "Ann <&>", "mail": "ann@a.example"},
		"others": []any{values{"name": "Bob"}}, "company": values{"country": "DE"}, "items": []any{values{"size": int64(7)}, values{}},
	}
}

func TestFill(t *testing.T) {
	s := pluginapi.Settings{Values: everything(), Secrets: secrets(map[string]string{"card.number": "12345"})}
	for name, c := range map[string]struct {
		out        fields.Out
		json, form string
	}{
		"an order": {
			fields.Out{In: inOrder},
			`{"admin":{"email":"ann@a.example","name":"Ann <&>"},"card":{"number":"12345"},"company_country":"DE","copies":["one","two"],"items":[{"size":7},{}],` +
				`"labels":{"a":"b"},"names":"a.example,*.b.example","others":[{"name":"Bob"}],"product":{"hint":"a"},"quiet":1,"share":0.5,"wait":"5m","years":2}`,
			"admin_email=ann%40a.example&admin_name=Ann+%3C%26%3E&card_number=12345&company_country=DE&copies=one&copies=two&items_0_size=7&" +
				"labels_a=b&names=a.example%2C%2A.b.example&others_0_name=Bob&product_hint=a&quiet=1&share=0.5&wait=5m&years=2",
		},
		"a reissue": {
			fields.Out{In: inReissue},
			`{"admin":{"email":"ann@a.example","name":"Ann <&>"},"names":"a.example,*.b.example","others":[{"name":"Bob"}]}`,
			"admin_email=ann%40a.example&admin_name=Ann+%3C%26%3E&names=a.example%2C%2A.b.example&others_0_name=Bob",
		},
		"what one function chooses": {
			fields.Out{Include: func(f fields.Field) bool { return f.Name == "card" || f.Secret }}, `{"card":{"number":"12345"}}`, "card_number=12345",
		},
	} {
		t.Run(name, func(t *testing.T) {
			body := fields.Body{}
			example().Fill(body, s, c.out)
			text, err := body.JSON()
			if err != nil || string(text) != c.json {
				t.Errorf("JSON, %v:\ngot  %s\nwant %s", err, text, c.json)
			}
			if got := body.Form(nil).Encode(); got != c.form {
				t.Errorf("form:\ngot  %s\nwant %s", got, c.form)
			}
		})
	}
}

func TestBody(t *testing.T) {
	b := fields.Body{"list": []int64{1, 2}, "big": 1e7, "none": nil}
	b.Table("a").Table("b")["c"] = true
	b.Table("a").SetDefault("d", "first")
	b.Table("a").SetDefault("d", "second")
	form := b.Form(func(names ...string) string { return strings.Join(names, ".") })
	if got, want := form.Encode(), "a.b.c=true&a.d=first&big=10000000&list=1&list=2&none="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := (fields.Body{"f": func() {}}).JSON(); err == nil {
		t.Error("what JSON cannot say was written")
	}
}

func TestRefusal(t *testing.T) {
	table := example()
	found := []pluginapi.Finding{
		{Severity: pluginapi.Warning, Field: "quiet", Message: "w"}, pluginapi.Faultf("card.number", "a"), pluginapi.Faultf("names[0]", "b"),
		pluginapi.Faultf("product", "c"), pluginapi.Faultf("unknown", "d"),
	}
	for name, c := range map[string]struct {
		matters func(pluginapi.Finding) bool
		want    string
	}{
		"all":          {nil, "card.number: a; names[0]: b; product: c; unknown: d"},
		"of a reissue": {table.Matters(inReissue), "names[0]: b; product: c; unknown: d"},
		"none":         {func(pluginapi.Finding) bool { return false }, ""},
	} {
		got := ""
		if err := fields.Refusal(found, c.matters); err != nil {
			got = err.Error()
			if pluginapi.KindOf(err) != pluginapi.InvalidRequest {
				t.Errorf("%s: of kind %s", name, pluginapi.KindOf(err))
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	s := pluginapi.Settings{Values: everything(), Secrets: secrets(map[string]string{"card.number": "1"})}
	r := example().Check(s, today)
	if !r.Faulty("card") || !r.Faulty("card.number") || r.Faulty("car") {
		t.Error("the fault below card is lost, or found elsewhere")
	}
	r.Rewordf("card.number", "other %s", "words")
	r.Warnf("years", "w")
	r.Warnf("years", "w")
	r.Infof("years", "i")
	want := []pluginapi.Finding{
		pluginapi.Faultf("card.number", "other words"), {Severity: pluginapi.Warning, Field: "years", Message: "w"}, {Severity: pluginapi.Info, Field: "years", Message: "i"},
	}
	if d := cmp.Diff(want, r.Findings()); d != "" {
		t.Error(d)
	}
	n, whole := r.Whole("years")
	_, noWhole := r.Whole("hint")
	if n != 2 || !whole || noWhole || r.Text("hint") != "a" || r.Text("years") != "" || !r.Flag("quiet") || r.Flag("hint") || !r.Now().Equal(today) {
		t.Error("values are read wrongly")
	}
	for path, want := range map[string]bool{"card": true, "card.number": true, "admin.mail": true, "admin.age": false, "hint.x": false, "car": false} {
		if r.Has(path) != want {
			t.Errorf("%s is there: %t", path, !want)
		}
	}
	var at []string
	r.Each("others", func(path string, e map[string]any) { at = append(at, path+" "+fmt.Sprint(e["name"])) })
	if d := cmp.Diff([]string{"others[0] Bob"}, at); d != "" {
		t.Error(d)
	}
}

func TestMarkdown(t *testing.T) {
	got := example().Markdown("order", "reissue")
	for _, want := range []string{
		"\n| – | `product` | string | yes | not sent | Product. | a word |\n",
		"\n| `product.hint` | `hint` | string | no | order | Hint. | one of `a`, `b` |\n",
		"\n| `years` | `years` | integer | default `1` | order | Years. | 1 to 3 |\n",
		"\n| `names` | `names` | list of strings | no | order, reissue | Names. |  |\n",
		"\n| `others[].email` | `others[].mail` | string | no | order, reissue | Address. |  |\n",
		"\n| – | `company` | table | no | order | A company. |  |\n",
		"\n| `card.number` | `card.number` | secret | yes | order | Number. |  |\n",
		"\n| `old` | `old` | string | no | order | Old. | deprecated, warned about |\n",
		"\n| `csr` | – | string | computed | order, reissue | Request. | cannot be set: it is made with the key |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no line %s", strings.TrimSpace(want))
		}
	}
	for line := range strings.Lines(strings.TrimSpace(got)) {
		if strings.Count(line, "|") != 8 {
			t.Errorf("not seven cells: %s", line)
		}
	}
}
