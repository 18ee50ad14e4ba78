package config

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// maxWhole is the largest whole number that a plugin gets unchanged: settings travel as JSON numbers (RFC 8259
// section 6).
const maxWhole = 1 << 53

// settings reads the free table at a key: what a plugin names. Secrets are taken out of it.
func (t *table) settings(key string) pluginapi.Settings {
	v, ok := t.raw[key]
	if !ok {
		return pluginapi.Settings{}
	}
	raw, ok := v.(map[string]any)
	if !ok {
		t.wrongType(key, "a table", v)
		return pluginapi.Settings{}
	}
	r := settingsReader{c: t.c, file: t.file, secrets: map[string]pluginapi.Secret{}}
	values := r.table(raw, place{path: t.pathOf(key), at: t.at.below(key)})
	return pluginapi.Settings{Values: values, Secrets: r.secrets}
}

// settingsReader separates plain values from secrets.
type settingsReader struct {
	c       *checker
	file    string
	secrets map[string]pluginapi.Secret
}

// place is a value's place: for people, below the settings as a dotted path, and its lines.
type place struct {
	path   string
	dotted string
	at     *mark
}

func (p place) key(key string) place {
	dotted := key
	if p.dotted != "" {
		dotted = p.dotted + "." + key
	}
	return place{path: p.path + "." + key, dotted: dotted, at: p.at.below(key)}
}

func (p place) item(i int) place {
	n := strconv.Itoa(i)
	return place{path: p.path + "[" + n + "]", dotted: p.dotted + "." + n, at: p.at.item(i)}
}

func (r *settingsReader) fail(p place, format string, args ...any) {
	r.c.fail(r.file, p.at.line, p.path, fmt.Sprintf(format, args...))
}

func (r *settingsReader) table(raw map[string]any, p place) map[string]any {
	out := make(map[string]any, len(raw))
	for _, key := range sortedKeys(raw) {
		below := p.key(key)
		if sub, ok := raw[key].(map[string]any); ok && isSecretReference(sub) {
			if strings.Contains(key, ".") {
				r.fail(below, "the key of a secret can hold no dot")
				continue
			}
			r.secrets[strings.Clone(below.dotted)] = r.c.secret(r.c.table(r.file, below.path, sub, below.at, sectionSecret))
			continue
		}
		if v, ok := r.value(raw[key], below); ok {
			out[strings.Clone(key)] = v
		}
	}
	return out
}

func (r *settingsReader) value(raw any, p place) (any, bool) {
	if list, ok := asList(raw); ok {
		return r.list(list, p)
	}
	switch v := raw.(type) {
	case map[string]any:
		return r.table(v, p), true
	case string:
		return strings.Clone(v), true
	case bool:
		return v, true
	case int64:
		if v > maxWhole || v < -maxWhole {
			r.fail(p, "%d is too large a number; write it as text in quotes if the plugin takes that", v)
			return nil, false
		}
		return v, true
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			r.fail(p, "must be a finite number")
			return nil, false
		}
		return v, true
	default:
		r.fail(p, "wants text, a number, true or false, a list or a table, not %s; write a date as text in quotes", kindOf(raw))
		return nil, false
	}
}

func (r *settingsReader) list(raw []any, p place) (any, bool) {
	out := make([]any, 0, len(raw))
	for i, element := range raw {
		below := p.item(i)
		if sub, ok := element.(map[string]any); ok && isSecretReference(sub) {
			r.fail(below, "a secret cannot be the element of a list")
			continue
		}
		if v, ok := r.value(element, below); ok {
			out = append(out, v)
		}
	}
	return out, true
}

// cutOrder takes the table "order" out of an account's settings: defaults for the order settings of certificates.
func cutOrder(s pluginapi.Settings) (account, order pluginapi.Settings) {
	account = pluginapi.Settings{Values: maps.Clone(s.Values), Secrets: map[string]pluginapi.Secret{}}
	order = pluginapi.Settings{Secrets: map[string]pluginapi.Secret{}}
	if values, ok := s.Values["order"].(map[string]any); ok {
		order.Values = values
		delete(account.Values, "order")
	}
	for path, secret := range s.Secrets {
		if below, ok := strings.CutPrefix(path, "order."); ok {
			order.Secrets[below] = secret
		} else {
			account.Secrets[path] = secret
		}
	}
	return account, order
}

// mergeSettings lays own settings over defaults: tables are merged, everything else is replaced. Where there are no own
// settings, the defaults are shared.
func mergeSettings(defaults, own pluginapi.Settings) pluginapi.Settings {
	if len(own.Values)+len(own.Secrets) == 0 {
		return defaults
	}
	out := pluginapi.Settings{
		Values:  mergeTables(defaults.Values, own.Values),
		Secrets: map[string]pluginapi.Secret{},
	}
	for path, secret := range defaults.Secrets {
		if !replaced(own.Values, strings.Split(path, ".")) {
			out.Secrets[path] = secret
		}
	}
	for path, secret := range own.Secrets {
		for other := range out.Secrets {
			if strings.HasPrefix(other, path+".") {
				delete(out.Secrets, other)
			}
		}
		out.Secrets[path] = secret
		removeValue(out.Values, strings.Split(path, "."))
	}
	return out
}

func mergeTables(defaults, own map[string]any) map[string]any {
	out := make(map[string]any, len(defaults)+len(own))
	for key, v := range defaults {
		if sub, ok := v.(map[string]any); ok {
			v = mergeTables(sub, nil)
		}
		out[key] = v
	}
	for key, v := range own {
		sub, isTable := v.(map[string]any)
		old, wasTable := out[key].(map[string]any)
		if isTable && wasTable {
			out[key] = mergeTables(old, sub)
		} else {
			out[key] = v
		}
	}
	return out
}

// replaced reports whether own values put something else at the path of a default's secret or above it.
func replaced(own map[string]any, path []string) bool {
	v, ok := own[path[0]]
	if !ok {
		return false
	}
	sub, isTable := v.(map[string]any)
	if isTable && len(path) > 1 {
		return replaced(sub, path[1:])
	}
	return true
}

// removeValue takes the value at a path out of tables of their own.
func removeValue(values map[string]any, path []string) {
	for ; len(path) > 1; path = path[1:] {
		sub, ok := values[path[0]].(map[string]any)
		if !ok {
			return
		}
		values = sub
	}
	delete(values, path[0])
}
