package pluginapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// Secret is text that does not print itself: fmt, slog and encoding/json show a placeholder. Reveal gives the text.
type Secret struct{ text string }

const redacted = "[secret]"

// NewSecret makes a Secret of a text.
func NewSecret(text string) Secret { return Secret{text: text} }

// Reveal returns the text.
func (s Secret) Reveal() string { return s.text }

// Empty reports whether there is no text.
func (s Secret) Empty() bool { return s.text == "" }

// String returns a placeholder.
func (s Secret) String() string { return redacted }

// GoString returns a placeholder.
func (s Secret) GoString() string { return redacted }

// MarshalText returns a placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Settings are what the configuration says for a plugin: plain values and, apart from them, secrets.
type Settings struct {
	// Values are tables, lists, strings, float64, int64 and bool, as TOML or JSON has them.
	Values map[string]any
	// Secrets are the values of secret settings by dotted path.
	Secrets map[string]Secret
}

// Decode puts the plain values into a struct with json tags. A value without a place in the struct is an error, as is
// one of another type. Secrets are not decoded; ask Secret.
func (s Settings) Decode(into any) error {
	values := s.Values
	if values == nil {
		values = map[string]any{}
	}
	text, err := json.Marshal(values)
	if err != nil {
		return fmt.Errorf("encode settings: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return FieldErrorf(wrong.Field, "wants %s, not %s", wrong.Type, wrong.Value)
		}
		return Errorf(InvalidRequest, "settings: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Errorf(InvalidRequest, "settings: more than one value")
	}
	return nil
}

// Read compares settings with a schema and puts their plain values into a struct, as Decode does. Nothing is in the struct
// when there are findings.
func (s Settings) Read(schema []Field, into any) []Finding {
	findings := CheckSettings(schema, s)
	if len(findings) > 0 {
		return findings
	}
	if err := s.Decode(into); err != nil {
		return []Finding{FaultOf(err, 0)}
	}
	return nil
}

// Secret returns the secret at a dotted path; it is empty when there is none.
func (s Settings) Secret(path string) Secret { return s.Secrets[path] }

// FieldType is the type of a setting.
type FieldType int

// The types a setting can have.
const (
	String   FieldType = 1
	Integer  FieldType = 2
	Number   FieldType = 3
	Boolean  FieldType = 4
	Duration FieldType = 5 // text such as "90s" or "5m"
	Table    FieldType = 6 // keys are Field.Fields
	List     FieldType = 7 // elements are Field.Element
	Map      FieldType = 8 // free keys, text values
)

// String returns the type's name for people.
func (t FieldType) String() string {
	switch t {
	case String:
		return "string"
	case Integer:
		return "integer"
	case Number:
		return "number"
	case Boolean:
		return "boolean"
	case Duration:
		return "duration"
	case Table:
		return "table"
	case List:
		return "list"
	case Map:
		return "map"
	default:
		return "unspecified"
	}
}

// Field describes one setting. Help is one sentence for people.
type Field struct {
	Name     string
	Type     FieldType
	Required bool
	Secret   bool
	Default  any   // nil: none
	Allowed  []any // empty: any
	Help     string
	Fields   []Field // of a Table
	Element  *Field  // of a List
}

// Severity is how much a finding matters.
type Severity int

// The severities, the least first.
const (
	Info    Severity = 1
	Warning Severity = 2
	Fault   Severity = 3 // cannot work
)

// String returns the severity's name for people.
func (s Severity) String() string {
	switch s {
	case Info:
		return "info"
	case Warning:
		return "warning"
	case Fault:
		return "error"
	default:
		return "unspecified"
	}
}

// Finding is something a plugin noticed about its settings or account, and what to do about it.
type Finding struct {
	Severity Severity
	Field    string // dotted path, or empty
	Message  string
	// Order, of Preflight and CheckOrders, says which of the order settings it was given Field belongs to, counted from 1; zero: the
	// account's.
	Order int
}

// Faultf makes a Finding that keeps the settings from being used.
func Faultf(field, format string, args ...any) Finding {
	return Finding{Severity: Fault, Field: field, Message: fmt.Sprintf(format, args...)}
}

// FaultOf makes a Finding of an error about settings: its field, and its words without the field. order says which order's
// they are, counted from 1; zero: the account's.
func FaultOf(err error, order int) Finding {
	f := Finding{Severity: Fault, Field: FieldOf(err), Message: err.Error(), Order: order}
	if f.Field != "" {
		f.Message = strings.TrimPrefix(f.Message, f.Field+": ")
	}
	return f
}

// HasFault reports whether one of the findings keeps the settings from being used.
func HasFault(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == Fault })
}
