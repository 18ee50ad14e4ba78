package fields

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Report collects findings about order settings. Its methods that read values say nothing about those of a wrong type:
// Table.Check has noted them. Paths are dotted, with [N] for the elements of lists.
type Report struct {
	settings pluginapi.Settings
	now      time.Time
	findings []pluginapi.Finding
}

// Settings are those the report is about.
func (r *Report) Settings() pluginapi.Settings { return r.settings }

// Now is the time of the check.
func (r *Report) Now() time.Time { return r.now }

// Faultf notes what keeps the settings from being used. The words say what is wrong and what to do about it.
func (r *Report) Faultf(path, format string, args ...any) {
	r.add(pluginapi.Fault, path, format, args...)
}

// Warnf notes what will probably not do what it was written for.
func (r *Report) Warnf(path, format string, args ...any) {
	r.add(pluginapi.Warning, path, format, args...)
}

// Infof notes what one had better know.
func (r *Report) Infof(path, format string, args ...any) {
	r.add(pluginapi.Info, path, format, args...)
}

func (r *Report) add(severity pluginapi.Severity, path, format string, args ...any) {
	r.findings = append(r.findings, pluginapi.Finding{Severity: severity, Field: path, Message: fmt.Sprintf(format, args...)})
}

// Rewordf replaces the words of the faults that stand at a path, where there are any, by some that say more.
func (r *Report) Rewordf(path, format string, args ...any) {
	for i, f := range r.findings {
		if f.Severity == pluginapi.Fault && f.Field == path {
			r.findings[i].Message = fmt.Sprintf(format, args...)
		}
	}
}

// Findings are all that was noted, each once, by path, the worst first.
func (r *Report) Findings() []pluginapi.Finding {
	out := slices.Clone(r.findings)
	slices.SortStableFunc(out, func(a, b pluginapi.Finding) int {
		return cmp.Or(strings.Compare(a.Field, b.Field), cmp.Compare(b.Severity, a.Severity), strings.Compare(a.Message, b.Message))
	})
	return slices.Compact(out)
}

// Faulty reports whether a fault stands at a path or below it.
func (r *Report) Faulty(path string) bool {
	return slices.ContainsFunc(r.findings, func(f pluginapi.Finding) bool {
		return f.Severity == pluginapi.Fault && (f.Field == path || strings.HasPrefix(f.Field, path+".") || strings.HasPrefix(f.Field, path+"["))
	})
}

// Value finds a plain value; the path leads through tables alone.
func (r *Report) Value(path string) (any, bool) { return ValueAt(r.settings.Values, path) }

// ValueAt finds a value by its dotted path, which leads through tables alone.
func ValueAt(values map[string]any, path string) (any, bool) {
	var at any = values
	for part := range strings.SplitSeq(path, ".") {
		t, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		if at, ok = t[part]; !ok {
			return nil, false
		}
	}
	return at, true
}

// Has reports whether something is given at a path: a value, or a secret at it or below it.
func (r *Report) Has(path string) bool {
	if _, ok := r.Value(path); ok {
		return true
	}
	for p := range r.settings.Secrets {
		if p == path || strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}

// Text returns the text at a path; empty where there is none.
func (r *Report) Text(path string) string {
	v, _ := r.Value(path)
	s, _ := v.(string)
	return s
}

// Flag reports whether a path says true.
func (r *Report) Flag(path string) bool {
	v, _ := r.Value(path)
	b, _ := v.(bool)
	return b
}

// Whole returns the whole number at a path; ok is false where there is none.
func (r *Report) Whole(path string) (n int64, ok bool) {
	v, _ := r.Value(path)
	return Whole(v)
}

// Each calls visit for the elements of a list that are tables.
func (r *Report) Each(path string, visit func(at string, element map[string]any)) {
	v, _ := r.Value(path)
	list, _ := v.([]any)
	for i, e := range list {
		if t, ok := e.(map[string]any); ok {
			visit(element(path, i), t)
		}
	}
}

func element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
