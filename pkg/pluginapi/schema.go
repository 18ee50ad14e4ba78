package pluginapi

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CheckSettings compares settings with a schema and returns a Fault for every mistake: an unknown key, a missing one, a
// wrong type, a value that is not allowed. Paths in findings are dotted, with [N] for the elements of lists.
func CheckSettings(schema []Field, s Settings) []Finding {
	c := schemaCheck{secrets: s.Secrets}
	c.table("", schema, s.Values)
	for path := range s.Secrets {
		if !c.known[path] {
			c.fault(path, "is no secret setting of this plugin")
		}
	}
	slices.SortStableFunc(c.findings, func(a, b Finding) int { return strings.Compare(a.Field, b.Field) })
	return c.findings
}

type schemaCheck struct {
	secrets  map[string]Secret
	known    map[string]bool // secrets that have a place
	findings []Finding
}

func (c *schemaCheck) fault(path, format string, args ...any) {
	c.findings = append(c.findings, Finding{Severity: Fault, Field: path, Message: fmt.Sprintf(format, args...)})
}

func (c *schemaCheck) table(at string, schema []Field, values map[string]any) {
	for key := range values {
		if !slices.ContainsFunc(schema, func(f Field) bool { return f.Name == key }) {
			c.fault(join(at, key), "is unknown; known are %s", names(schema))
		}
	}
	for _, f := range schema {
		path := join(at, f.Name)
		value, given := values[f.Name]
		if f.Secret {
			c.secret(path, f, given)
			continue
		}
		// A table whose only content is secrets has no plain value.
		if !given && f.Type == Table && c.secretBelow(path) {
			value, given = map[string]any{}, true
		}
		switch {
		case given:
			c.value(path, f, value)
		case f.Required && f.Default == nil:
			c.fault(path, "is missing: %s", f.Help)
		}
		if _, ok := c.secrets[path]; ok {
			c.fault(path, "is no secret: write the value itself")
			c.markKnown(path)
		}
	}
}

func (c *schemaCheck) secret(path string, f Field, plain bool) {
	secret, ok := c.secrets[path]
	switch {
	case ok && secret.Empty():
		c.fault(path, "is empty")
	case plain:
		c.fault(path, `is a secret: write { file = "..." }, { env = "..." } or { credential = "..." }`)
	case !ok && f.Required:
		c.fault(path, "is missing: %s", f.Help)
	}
	c.markKnown(path)
}

func (c *schemaCheck) markKnown(path string) {
	if c.known == nil {
		c.known = map[string]bool{}
	}
	c.known[path] = true
}

func (c *schemaCheck) secretBelow(path string) bool {
	for p := range c.secrets {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}

func (c *schemaCheck) value(path string, f Field, value any) {
	switch f.Type {
	case Table:
		if t, ok := value.(map[string]any); ok {
			c.table(path, f.Fields, t)
			return
		}
	case List:
		if l, ok := value.([]any); ok && f.Element != nil {
			for i, v := range l {
				c.value(fmt.Sprintf("%s[%d]", path, i), *f.Element, v)
			}
			return
		}
	case Map:
		if c.textMap(path, value) {
			return
		}
	case Duration:
		if text, ok := value.(string); ok {
			if _, err := time.ParseDuration(text); err != nil {
				c.fault(path, `%q is no duration; write for example "90s" or "5m"`, text)
			}
			return
		}
	default:
		if isScalar(f.Type, value) {
			c.allowed(path, f, value)
			return
		}
	}
	found := kindOf(value)
	if holdsSecret(f) { // what stands in the place of secrets may be one of them
		switch value.(type) {
		case string:
			found = "text"
		case int64, int, float64:
			found = "a number"
		}
	}
	c.fault(path, "wants %s, not %s", article(f.Type), found)
}

// holdsSecret reports whether a field is a secret or has one in it.
func holdsSecret(f Field) bool {
	return f.Secret || slices.ContainsFunc(f.Fields, holdsSecret) || f.Element != nil && holdsSecret(*f.Element)
}

func (c *schemaCheck) textMap(path string, value any) bool {
	t, ok := value.(map[string]any)
	for key, v := range t {
		if _, text := v.(string); !text {
			c.fault(join(path, key), "wants text, not %s", kindOf(v))
		}
	}
	return ok
}

func (c *schemaCheck) allowed(path string, f Field, value any) {
	if len(f.Allowed) == 0 {
		return
	}
	var list []string
	for _, a := range f.Allowed {
		if fmt.Sprint(a) == fmt.Sprint(value) {
			return
		}
		list = append(list, fmt.Sprint(a))
	}
	c.fault(path, "%v is not allowed; allowed are %s", value, strings.Join(list, ", "))
}

func isScalar(t FieldType, value any) bool {
	switch v := value.(type) {
	case string:
		return t == String
	case bool:
		return t == Boolean
	case int64, int:
		return t == Integer || t == Number
	case float64:
		return t == Number || t == Integer && v == math.Trunc(v)
	default:
		return false
	}
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func names(schema []Field) string {
	list := make([]string, len(schema))
	for i, f := range schema {
		list[i] = f.Name
	}
	slices.Sort(list)
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

func article(t FieldType) string {
	switch t {
	case Integer:
		return "a whole number"
	case Boolean:
		return "true or false"
	case String:
		return "text"
	default:
		return "a " + t.String()
	}
}

func kindOf(value any) string {
	switch v := value.(type) {
	case string:
		return "text " + strconv.Quote(v)
	case bool:
		return strconv.FormatBool(v)
	case int64, int, float64:
		return fmt.Sprintf("the number %v", v)
	case map[string]any:
		return "a table"
	case []any:
		return "a list"
	case nil:
		return "nothing"
	default:
		return fmt.Sprintf("a %T", v)
	}
}
