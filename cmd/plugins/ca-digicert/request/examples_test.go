package request

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// What people copy from the page works: its examples have no fault.
func TestExamplesInTheDocumentation(t *testing.T) {
	text, err := os.ReadFile(filepath.FromSlash(documentation))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, m := range regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		var file map[string]any
		if _, err := toml.Decode(m[1], &file); err != nil {
			t.Errorf("%v in:\n%s", err, m[1])
			continue
		}
		for _, order := range orders(file) {
			checked++
			texts := map[string]string{}
			s := pluginapi.Settings{Values: withoutSecrets("", order, texts), Secrets: secrets(texts)}
			if _, ok := s.Values["product"]; !ok { // defaults of an account: a certificate says the rest
				maps.Copy(s.Values, dv())
			}
			if found := check(WithAccount(s, Account{OrganizationID: 1}), today); faults(found, always) != nil {
				t.Errorf("%s%s", m[1], shown(found))
			}
		}
	}
	if checked < 4 {
		t.Errorf("only %d examples of orders", checked)
	}
}

// orders finds the tables of order settings in an example, which may be a part of a file.
func orders(file map[string]any) []map[string]any {
	var out []map[string]any
	add := func(v any) {
		if order, ok := v.(map[string]any); ok {
			out = append(out, order)
		}
	}
	add(file["order"])
	if c, ok := file["certificate"].(map[string]any); ok {
		add(c["order"])
	}
	list, _ := file["certificate"].([]map[string]any)
	for _, c := range list {
		add(c["order"])
	}
	accounts, _ := file["ca"].(map[string]any)
	for _, a := range accounts {
		if order, ok := valueAt(a.(map[string]any), "settings.order"); ok {
			add(order)
		}
	}
	return out
}

// withoutSecrets takes references to secrets out of values, and puts something that could be there in their place.
func withoutSecrets(at string, in map[string]any, texts map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range in {
		sub, isTable := v.(map[string]any)
		switch path := join(at, k); {
		case !isTable:
			out[k] = v
		case len(sub) == 1 && sub["file"] != nil:
			texts[path] = "x"
			if text, ok := card()[path]; ok {
				texts[path] = text
			}
		default:
			out[k] = withoutSecrets(path, sub, texts)
		}
	}
	return out
}

func TestProductsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.FromSlash(documentation))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## What to order\n")
	body, _, _ := strings.Cut(rest, "\n## ")
	listed := map[string]bool{productByHint: true}
	for name := range products() {
		listed[name] = true
		if !strings.Contains(body, "`"+name+"`") {
			t.Errorf("%s is not documented", name)
		}
	}
	for _, m := range regexp.MustCompile("`((?:ssl|wildcard|cloud|private)_[a-z_]+)`").FindAllStringSubmatch(body, -1) {
		if !listed[m[1]] {
			t.Errorf("%s is documented and not known", m[1])
		}
	}
}
