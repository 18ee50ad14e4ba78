package request

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// report collects findings about order settings. Its methods read values and say nothing about those of a wrong type:
// the schema has noted them.
type report struct {
	settings pluginapi.Settings
	at       endpoint
	now      time.Time
	findings []pluginapi.Finding
}

func (r *report) add(severity pluginapi.Severity, path, format string, args ...any) {
	r.findings = append(r.findings, pluginapi.Finding{Severity: severity, Field: path, Message: fmt.Sprintf(format, args...)})
}

func (r *report) fault(path, format string, args ...any) {
	r.add(pluginapi.Fault, path, format, args...)
}

func (r *report) warn(path, format string, args ...any) {
	r.add(pluginapi.Warning, path, format, args...)
}

func (r *report) info(path, format string, args ...any) {
	r.add(pluginapi.Info, path, format, args...)
}

// faulty reports whether a Fault stands at a path or below it.
func (r *report) faulty(path string) bool {
	return slices.ContainsFunc(r.findings, func(f pluginapi.Finding) bool {
		return f.Severity == pluginapi.Fault && (f.Field == path || strings.HasPrefix(f.Field, path+".") || strings.HasPrefix(f.Field, path+"["))
	})
}

// value finds a plain value by its dotted path; paths lead through tables alone.
func (r *report) value(path string) (any, bool) { return valueAt(r.settings.Values, path) }

func valueAt(values map[string]any, path string) (any, bool) {
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

// has reports whether something is given at a path: a value, or a secret at it or below it.
func (r *report) has(path string) bool {
	if _, ok := r.value(path); ok {
		return true
	}
	for p := range r.settings.Secrets {
		if p == path || strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}

func (r *report) text(path string) string {
	v, _ := r.value(path)
	s, _ := v.(string)
	return s
}

func (r *report) flag(path string) bool {
	v, _ := r.value(path)
	b, _ := v.(bool)
	return b
}

// whole returns a whole number; ok is false when there is none.
func (r *report) whole(path string) (n int64, ok bool) {
	v, _ := r.value(path)
	return whole(v)
}

func whole(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case int:
		return int64(n), true
	case float64:
		return int64(n), n == float64(int64(n))
	default:
		return 0, false
	}
}

// each calls visit for the elements of a list that are tables.
func (r *report) each(path string, visit func(at string, element map[string]any)) {
	v, _ := r.value(path)
	list, _ := v.([]any)
	for i, e := range list {
		if t, ok := e.(map[string]any); ok {
			visit(fmt.Sprintf("%s[%d]", path, i), t)
		}
	}
}
