package fields_test

import (
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

func TestSingleValues(t *testing.T) {
	list := func(v ...any) []any { return v }
	for name, c := range map[string]struct {
		test      fields.Test
		good, bad []any
	}{
		"Between":   {fields.Between(1, 3), list(int64(1), int64(3), 2.0), list(int64(0), int64(4))},
		"AtLeast":   {fields.AtLeast(-1), list(int64(-1), int64(9)), list(int64(-2))},
		"Line":      {fields.Line, list("a", "ü b"), list("", " ", "a\nb", "a\ab", "\xff")},
		"Paragraph": {fields.Paragraph, list("a\nb\tc"), list("", "\n", "a\ab", "\xff")},
		"AtMost":    {fields.AtMost(3), list("", "üüü"), list("abcd")},
		"Digits":    {fields.Digits(2, 3), list("12", "012"), list("", "1", "1234", "1x", "١٢")},
		"Word":      {fields.Word, list("a", "A-1_b"), list("", "a b", "ü", strings.Repeat("a", 65))},
		"Locale":    {fields.Locale, list("en", "pt_BR", "zh-Hans"), list("", "English please", "e")},
		"Country":   {fields.Country, list("DE", "US"), list("", "de", "DEU", "D1")},
		"Telephone": {fields.Telephone, list("1", "+49 (30) 1-2"), list("", "call me", "1\n2")},
		"Email":     {fields.Email, list("a@example.com", "a+b@x.example"), list("", "a", "A <a@example.com>", "a@localhost", "a@1.2.3.4")},
		"DNSName":   {fields.DNSName, list("a.example", "*.a.example", "_x.a.example", "xn--bcher-kva.example"), list("", "a", "a..b", "-a.example", "bücher.example", "192.0.2.1", "*.*.a.example", strings.Repeat("a.", 127)+"aa")},
		"NoneTwice": {fields.NoneTwice, list(list("a", "b"), list()), list(list("a", "A"))},
		"Elements":  {fields.Elements(fields.Word), list(list("a", "b"), list()), list(list("a", "a b"))},
		"All":       {fields.All(fields.Word, fields.AtMost(2)), list("ab"), list("abc", "a b")},
	} {
		t.Run(name, func(t *testing.T) {
			for i, v := range append(c.good, c.bad...) {
				table := fields.New(fields.Field{Name: "v", Type: typeOf(v), Element: pluginapi.String, In: 1, Help: "Value.", Test: c.test})
				found := table.Check(pluginapi.Settings{Values: values{"v": v}}, today).Findings()
				if good := i < len(c.good); good != (len(found) == 0) {
					t.Errorf("%#v: %v", v, found)
				}
			}
		})
	}
}

func typeOf(v any) pluginapi.FieldType {
	switch v.(type) {
	case string:
		return pluginapi.String
	case []any:
		return pluginapi.List
	default:
		return pluginapi.Integer
	}
}

// The tests that serve for secrets show nothing of them.
func TestNoTestOfSecretsShowsOne(t *testing.T) {
	const secret = "planted\nsecret\a"
	for name, test := range map[string]fields.Test{"Line": fields.Line, "Paragraph": fields.Paragraph, "AtMost": fields.AtMost(3), "Digits": fields.Digits(1, 2)} {
		table := fields.New(fields.Field{Name: "s", Type: pluginapi.String, Secret: true, In: 1, Help: "Secret.", Test: test})
		found := table.Check(pluginapi.Settings{Secrets: secrets(map[string]string{"s": secret})}, today).Findings()
		if len(found) == 0 || strings.Contains(found[0].Message, "planted") {
			t.Errorf("%s: %v", name, found)
		}
	}
}

func TestWhole(t *testing.T) {
	for _, v := range []any{int64(7), 7, 7.0} {
		if n, ok := fields.Whole(v); n != 7 || !ok {
			t.Errorf("%#v: %d, %t", v, n, ok)
		}
	}
	for _, v := range []any{7.5, "7", nil, true, 9e99, -9e99} {
		if n, ok := fields.Whole(v); ok {
			t.Errorf("%#v: %d", v, n)
		}
	}
}

func TestUnder(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{"a.example", "example"}: true, {"A.example", "a.EXAMPLE"}: true, {"ba.example", "a.example"}: false, {"example", "a.example"}: false,
	} {
		if fields.Under(pair[0], pair[1]) != want {
			t.Errorf("%v: %t", pair, !want)
		}
	}
}
