package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// table is a TOML table being read: it knows its place, the keys it may have and their defaults.
type table struct {
	c       *checker
	file    string
	path    string
	raw     map[string]any
	at      *mark
	entries []Entry
}

func (t *table) entry(key string) *Entry {
	for i := range t.entries {
		if t.entries[i].Name == key {
			return &t.entries[i]
		}
	}
	return nil
}

// given reports whether the key is written.
func (t *table) given(key string) bool {
	_, ok := t.raw[key]
	return ok
}

// value returns what is written or else the default.
func (t *table) value(key string) (any, bool) {
	if v, ok := t.raw[key]; ok {
		return v, true
	}
	if e := t.entry(key); e != nil && e.Default != nil {
		return e.Default, true
	}
	return nil, false
}

func (t *table) pathOf(key string) string {
	if t.path == "" {
		return key
	}
	return t.path + "." + key
}

// fail notes a mistake at a key; at the table itself when the key is not written or empty.
func (t *table) fail(key, format string, args ...any) {
	path, at := t.path, t.at
	if key != "" {
		path, at = t.pathOf(key), t.at.below(key)
	}
	t.c.fail(t.file, at.line, path, fmt.Sprintf(format, args...))
}

// failUnknown notes that a name at a key is unknown.
func (t *table) failUnknown(key, format string, args ...any) {
	t.fail(key, format, args...)
	t.c.problems[len(t.c.problems)-1].unknown = true
}

func (t *table) warn(key, format string, args ...any) {
	t.c.warnings = append(t.c.warnings, Problem{
		File: t.file, Line: t.at.below(key).line, Path: t.pathOf(key), Message: fmt.Sprintf(format, args...),
	})
}

func (t *table) wrongType(key, want string, got any) {
	t.fail(key, "wants %s, not %s", want, kindOf(got))
}

// require notes a mistake when the key is not written.
func (t *table) require(key string) bool {
	if t.given(key) {
		return true
	}
	t.fail(key, "is missing")
	return false
}

func (t *table) text(key string) string {
	v, ok := t.value(key)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		t.wrongType(key, "text in quotes", v)
		return ""
	}
	if strings.ContainsRune(s, 0) {
		t.fail(key, "holds a NUL character")
		return ""
	}
	return strings.Clone(s) // the parser's strings are parts of the file's text, all of which they would keep
}

func (t *table) boolean(key string) bool {
	v, ok := t.value(key)
	if !ok {
		return false
	}
	b, ok := v.(bool)
	if !ok {
		t.wrongType(key, "true or false", v)
	}
	return b
}

// count reads a whole number from 0 on.
func (t *table) count(key string) int {
	v, ok := t.value(key)
	if !ok {
		return 0
	}
	n, ok := v.(int64)
	if !ok {
		t.wrongType(key, "a whole number", v)
		return 0
	}
	if n < 0 || n > math.MaxInt32 {
		t.fail(key, "%d is not between 0 and %d", n, math.MaxInt32)
		return 0
	}
	return int(n)
}

// duration reads a duration longer than zero; zero is returned when there is none.
func (t *table) duration(key string) time.Duration {
	v, ok := t.value(key)
	if !ok {
		return 0
	}
	s, ok := v.(string)
	if !ok {
		t.wrongType(key, `a duration in quotes such as "5m"`, v)
		return 0
	}
	d, err := parseDuration(s)
	if err != nil {
		t.fail(key, "%v", err)
		return 0
	}
	if d == 0 {
		t.fail(key, "must be longer than zero")
	}
	return d
}

// oneOf reads text out of a closed list.
func (t *table) oneOf(key string, allowed ...string) string {
	s := t.text(key)
	if s == "" && !t.given(key) {
		return s
	}
	if i := slices.Index(allowed, s); i >= 0 {
		return allowed[i]
	}
	if _, isText := t.raw[key].(string); isText {
		t.fail(key, "%q is none of %s%s", s, strings.Join(allowed, ", "), didYouMean(s, allowed))
	}
	return ""
}

// texts reads a list of text.
func (t *table) texts(key string) []string {
	v, ok := t.value(key)
	if !ok {
		return nil
	}
	list, ok := asList(v)
	if !ok {
		t.wrongType(key, "a list of text", v)
		return nil
	}
	out := make([]string, 0, len(list))
	for i, element := range list {
		s, ok := element.(string)
		switch {
		case !ok:
			t.failItem(key, i, "wants text in quotes, not %s", kindOf(element))
		case strings.ContainsRune(s, 0):
			t.failItem(key, i, "holds a NUL character")
		default:
			out = append(out, strings.Clone(s))
		}
	}
	return out
}

// failItem notes a mistake at an element of a list.
func (t *table) failItem(key string, i int, format string, args ...any) {
	t.c.fail(t.file, t.at.below(key).item(i).line, fmt.Sprintf("%s[%d]", t.pathOf(key), i), fmt.Sprintf(format, args...))
}

// table reads the table at a key, whose keys are those of a section; nil when there is none.
func (t *table) table(key, section string) *table {
	v, ok := t.raw[key]
	if !ok {
		return nil
	}
	raw, ok := v.(map[string]any)
	if !ok {
		t.wrongType(key, "a table", v)
		return nil
	}
	return t.c.table(t.file, t.pathOf(key), raw, t.at.below(key), section)
}

// refuseUnknown notes every key that the table's section does not have.
func (t *table) refuseUnknown() {
	for _, key := range sortedKeys(t.raw) {
		if t.entry(key) != nil {
			continue
		}
		known := make([]string, 0, len(t.entries))
		for _, e := range t.entries {
			known = append(known, e.Name)
		}
		t.fail(key, "unknown key%s", didYouMean(key, known))
	}
}

// asList returns a TOML list, whichever way the parser hands it over.
func asList(v any) ([]any, bool) {
	switch list := v.(type) {
	case []any:
		return list, true
	case []map[string]any:
		out := make([]any, len(list))
		for i := range list {
			out[i] = list[i]
		}
		return out, true
	default:
		return nil, false
	}
}

// kindOf names a TOML type for people.
func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case int64:
		return "a number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "true or false"
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "a list"
	case time.Time:
		return "a date"
	default:
		return "this"
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// didYouMean returns ` (did you mean "x"?)` when a known word is close, or nothing.
func didYouMean(word string, known []string) string {
	best, bestDistance := "", max(1, min(2, len(word)/3))+1
	for _, k := range known {
		if d := distance(word, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is the number of letters to insert, drop or replace between two words (Levenshtein).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return math.MaxInt
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
