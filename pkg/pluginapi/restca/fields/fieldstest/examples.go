package fieldstest

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// Example is a table of order settings as the documentation shows it.
type Example struct {
	// Text is the whole block that it stands in.
	Text     string
	Settings pluginapi.Settings
}

// Examples finds the order settings in a page's blocks of TOML, so that what people copy from the page can be held to
// work: those of certificates, and those that an account has for all of its certificates. What stands there for a secret
// becomes what secret returns for its path.
func Examples(t testing.TB, file string, secret func(path string) string) []Example {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(file))
	if err != nil {
		t.Fatal(err)
	}
	var out []Example
	for _, m := range regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		var tables map[string]any
		if _, err := toml.Decode(m[1], &tables); err != nil {
			t.Errorf("%v in:\n%s", err, m[1])
			continue
		}
		for _, order := range orders(tables) {
			s := pluginapi.Settings{Secrets: map[string]pluginapi.Secret{}}
			s.Values = withoutSecrets("", order, s.Secrets, secret)
			out = append(out, Example{Text: m[1], Settings: s})
		}
	}
	return out
}

// orders finds the tables of order settings in an example, which may be a part of a configuration.
func orders(file map[string]any) []map[string]any {
	var out []map[string]any
	add := func(in map[string]any, path string) {
		if v, ok := fields.ValueAt(in, path); ok {
			if order, ok := v.(map[string]any); ok {
				out = append(out, order)
			}
		}
	}
	add(file, "order")
	add(file, "certificate.order")
	list, _ := file["certificate"].([]map[string]any)
	for _, c := range list {
		add(c, "order")
	}
	accounts, _ := file["ca"].(map[string]any)
	for _, a := range accounts {
		if account, ok := a.(map[string]any); ok {
			add(account, "settings.order")
		}
	}
	return out
}

// withoutSecrets takes references to secrets out of values, and notes a secret for each.
func withoutSecrets(at string, in map[string]any, secrets map[string]pluginapi.Secret, text func(string) string) map[string]any {
	out := map[string]any{}
	for k, v := range in {
		path := k
		if at != "" {
			path = at + "." + k
		}
		sub, isTable := v.(map[string]any)
		switch {
		case !isTable:
			out[k] = v
		case isReference(sub):
			secrets[path] = pluginapi.NewSecret(text(path))
		default:
			out[k] = withoutSecrets(path, sub, secrets, text)
		}
	}
	return out
}

func isReference(table map[string]any) bool {
	if len(table) != 1 {
		return false
	}
	for _, key := range []string{"file", "env", "credential"} {
		if _, ok := table[key].(string); ok {
			return true
		}
	}
	return false
}
