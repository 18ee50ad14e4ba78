package fields

import (
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Check looks at each value by itself: whether it has a place and is of the right type, what is missing, what is
// computed and cannot be set, what is deprecated, and what the fields' tests say. The rules between fields are the
// plugin's own, and add to the report.
func (t *Table) Check(s pluginapi.Settings, now time.Time) *Report {
	r := &Report{settings: s, now: now}
	t.shape(r)
	r.values("", t.fields, s.Values)
	return r
}

// shape compares with the schema, and says more than the schema can about what is computed.
func (t *Table) shape(r *Report) {
	computed := map[string]string{}
	for _, row := range t.rows {
		if row.Computed != "" {
			computed[row.Path] = row.Computed
		}
	}
	for _, f := range pluginapi.CheckSettings(t.schema, r.settings) {
		if source, ok := computed[withoutIndexes(f.Field)]; ok {
			f.Message = "cannot be set, remove it: it is " + source
		}
		r.findings = append(r.findings, f)
	}
}

// withoutIndexes makes a row's path of a finding's: "a[3].b" becomes "a[].b".
func withoutIndexes(path string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(path, "[")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		b.WriteString("[]")
		_, path, _ = strings.Cut(rest, "]")
	}
}

// values looks at each value of the right type.
func (r *Report) values(at string, list []Field, values map[string]any) {
	for _, f := range settable(list) {
		path := join(at, f.Name)
		if f.Secret {
			if s := r.settings.Secret(path); !s.Empty() && f.Test != nil {
				f.Test(r, path, s.Reveal())
			}
			continue
		}
		value, given := values[f.Name]
		if !given && f.Type == pluginapi.Table {
			r.values(path, f.Fields, nil) // it may hold secrets, which stand apart
		}
		if !given {
			continue
		}
		if !fits(f.Type, value) {
			if !r.Faulty(path) { // a number so large that it is no whole one any more
				r.Faultf(path, "is no %s that can be sent", f.Type)
			}
			continue
		}
		if f.Deprecated != "" {
			r.Warnf(path, "%s", f.Deprecated)
		}
		if f.Test != nil {
			f.Test(r, path, value)
		}
		r.below(path, f, value)
	}
}

// below looks at what is in a table, or in the tables of a list.
func (r *Report) below(path string, f Field, value any) {
	if f.Fields == nil {
		return
	}
	switch v := value.(type) {
	case map[string]any:
		r.values(path, f.Fields, v)
	case []any:
		for i, e := range v {
			if sub, ok := e.(map[string]any); ok {
				r.values(element(path, i), f.Fields, sub)
			}
		}
	}
}

// fits reports whether the schema found a value to be of a type.
func fits(t pluginapi.FieldType, value any) bool {
	ok := false
	switch t {
	case pluginapi.String:
		_, ok = value.(string)
	case pluginapi.Integer:
		_, ok = Whole(value)
	case pluginapi.Number:
		if _, ok = value.(float64); !ok {
			_, ok = Whole(value)
		}
	case pluginapi.Boolean:
		_, ok = value.(bool)
	case pluginapi.Duration:
		text, _ := value.(string)
		_, err := time.ParseDuration(text)
		ok = err == nil
	case pluginapi.Table, pluginapi.Map:
		_, ok = value.(map[string]any)
	case pluginapi.List:
		_, ok = value.([]any)
	}
	return ok
}

// Refusal makes one error of the faults that keep settings from being sent: InvalidRequest, with the first one's field
// and the words of all. It is nil where there is none. matters chooses among the faults; nil: all of them.
func Refusal(found []pluginapi.Finding, matters func(pluginapi.Finding) bool) error {
	var field string
	var words []string
	for _, f := range found {
		switch {
		case f.Severity != pluginapi.Fault || matters != nil && !matters(f):
		case len(words) == 0:
			field = f.Field
			words = append(words, f.Message)
		default:
			words = append(words, f.Field+": "+f.Message)
		}
	}
	if len(words) == 0 {
		return nil
	}
	return pluginapi.FieldErrorf(field, "%s", strings.Join(words, "; "))
}

// Matters chooses, for Refusal, the faults that some calls have to do with: it leaves out those of top-level fields that
// none of the calls takes. A card that has expired since an order was paid must not keep its certificate from being
// reissued. Faults of the plugin's own settings and of unknown fields matter always.
func (t *Table) Matters(calls Calls) func(pluginapi.Finding) bool {
	return func(found pluginapi.Finding) bool {
		name := top(found.Field)
		return !slices.ContainsFunc(t.fields, func(f Field) bool {
			return f.Name == name && !f.In.Has(calls) && !f.Own && f.Computed == ""
		})
	}
}
