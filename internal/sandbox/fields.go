package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Type is the JSON type that a field must have.
type Type int

// The types of fields.
const (
	// String is text.
	String Type = iota + 1
	// Int is a whole number, not written as text.
	Int
	// Bool is true or false.
	Bool
	// Flag is the number 0 or 1.
	Flag
	// BoolOrFlag is one or the other, where the documentation has both.
	BoolOrFlag
	// Object has fields of its own.
	Object
	// List is an array, of Elem.
	List
)

func (t Type) String() string {
	return map[Type]string{
		String: "a string", Int: "an integer", Bool: "a boolean", Flag: "0 or 1", BoolOrFlag: "a boolean, 0 or 1",
		Object: "an object", List: "an array",
	}[t]
}

// Field is one documented field of a request. Rules that concern several fields are for the code beside it.
type Field struct {
	Name     string
	Type     Type
	Required bool
	// Allowed are the values of a string; none means any.
	Allowed []string
	// Pattern is what a string must look like, and Wants says it in words.
	Pattern *regexp.Regexp
	Wants   string
	// MaxLength is in characters, 0 for no limit.
	MaxLength int
	// Min and Max are the limits of an integer, where they differ.
	Min, Max int64
	// Deprecated says what to use instead.
	Deprecated string
	// Fields are those of an object, Elem describes an array's elements; both may be left out for any.
	Fields []Field
	Elem   *Field
}

// Text is a field of any text.
func Text(name string) Field { return Field{Name: name, Type: String} }

// TextOf is a field that has one of the allowed values.
func TextOf(name string, allowed ...string) Field {
	return Field{Name: name, Type: String, Allowed: allowed}
}

// Integer is a field of a whole number.
func Integer(name string, least, most int64) Field {
	return Field{Name: name, Type: Int, Min: least, Max: most}
}

// Boolean is a field that is true or false.
func Boolean(name string) Field { return Field{Name: name, Type: Bool} }

// ZeroOrOne is a field that is 0 or 1.
func ZeroOrOne(name string) Field { return Field{Name: name, Type: Flag} }

// ObjectOf is a field that has fields of its own.
func ObjectOf(name string, fields ...Field) Field {
	return Field{Name: name, Type: Object, Fields: fields}
}

// ListOf is a field that is an array.
func ListOf(name string, elem Field) Field { return Field{Name: name, Type: List, Elem: &elem} }

// Required is a field that must be there.
func Required(f Field) Field {
	f.Required = true
	return f
}

// FaultKind is what is wrong with a field.
type FaultKind int

// The kinds of faults.
const (
	Missing FaultKind = iota + 1
	Invalid
	Unknown
	// Deprecated is no fault, but worth a remark.
	Deprecated
)

// Fault is one thing that is wrong with a request.
type Fault struct {
	Kind FaultKind
	// Path is the field's, with dots; elements of arrays have no number, as CAs name them.
	Path    string
	Message string
}

// DecodeObject decodes a request's body: one JSON object and nothing after it, numbers kept as they are written, no key
// twice.
func DecodeObject(body []byte) (map[string]any, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("the body is not UTF-8")
	}
	if err := noKeyTwice(body); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("the body is no JSON object: %w", err)
	}
	if v == nil {
		return nil, errors.New("the body is null, not a JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return v, nil
}

// noKeyTwice finds a key that an object has twice: two programs may read such a thing in two ways.
func noKeyTwice(body []byte) error {
	type level struct {
		object bool
		key    bool // the next token is a key
		seen   map[string]bool
	}
	var stack []level
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the body is no JSON: %w", err)
		}
		top := len(stack) - 1
		if key, ok := token.(string); ok && top >= 0 && stack[top].key {
			if stack[top].seen[key] {
				return fmt.Errorf("the key %q stands twice in one object", key)
			}
			stack[top].seen[key] = true
			stack[top].key = false
			continue
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{object: true, key: true, seen: map[string]bool{}})
			continue
		case json.Delim('['):
			stack = append(stack, level{})
			continue
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
		}
		if top = len(stack) - 1; top >= 0 && stack[top].object {
			stack[top].key = true // a value has ended
		}
		if len(stack) == 0 {
			return nil
		}
	}
}

// Check compares a request with what is documented. With strict, fields that are not documented are faults.
func Check(fields []Field, object map[string]any, strict bool) []Fault {
	return checkObject("", fields, object, strict)
}

func checkObject(prefix string, fields []Field, object map[string]any, strict bool) []Fault {
	var faults []Fault
	for _, f := range fields {
		at := prefix + f.Name
		v, there := object[f.Name]
		switch {
		case there && v != nil:
			faults = append(faults, f.check(at, v, strict)...)
			if f.Deprecated != "" {
				faults = append(faults, Fault{Deprecated, at, at + " is deprecated: " + f.Deprecated})
			}
		case f.Required:
			faults = append(faults, Fault{Missing, at, at + " is required"})
		case there && strict:
			faults = append(faults, Fault{Invalid, at, at + " is null"})
		}
	}
	if strict {
		var unknown []string
		for name := range object {
			if !slices.ContainsFunc(fields, func(f Field) bool { return f.Name == name }) {
				unknown = append(unknown, name)
			}
		}
		slices.Sort(unknown)
		for _, name := range unknown {
			faults = append(faults, Fault{Unknown, prefix + name, prefix + name + " is no documented field of this endpoint"})
		}
	}
	return faults
}

func (f Field) check(at string, v any, strict bool) []Fault {
	invalid := func(format string, args ...any) []Fault {
		return []Fault{{Invalid, at, at + " " + fmt.Sprintf(format, args...)}}
	}
	switch x := v.(type) {
	case string:
		if f.Type != String {
			return invalid("must be %v, not a string", f.Type)
		}
		return f.checkString(at, x)
	case json.Number:
		n, err := strconv.ParseInt(x.String(), 10, 64)
		switch {
		case f.Type == Flag || f.Type == BoolOrFlag:
			if err != nil || n != 0 && n != 1 {
				return invalid("must be %v", f.Type)
			}
		case f.Type != Int:
			return invalid("must be %v, not a number", f.Type)
		case err != nil:
			return invalid("must be an integer")
		case f.Min != f.Max && (n < f.Min || n > f.Max):
			return invalid("must be from %d to %d", f.Min, f.Max)
		}
	case bool:
		if f.Type != Bool && f.Type != BoolOrFlag {
			return invalid("must be %v, not a boolean", f.Type)
		}
	case map[string]any:
		if f.Type != Object {
			return invalid("must be %v, not an object", f.Type)
		}
		if f.Fields != nil {
			return checkObject(at+".", f.Fields, x, strict)
		}
	case []any:
		if f.Type != List {
			return invalid("must be %v, not an array", f.Type)
		}
		return f.checkList(at, x, strict)
	}
	return nil
}

func (f Field) checkString(at, s string) []Fault {
	invalid := func(format string, args ...any) []Fault {
		return []Fault{{Invalid, at, at + " " + fmt.Sprintf(format, args...)}}
	}
	switch {
	case f.Required && strings.TrimSpace(s) == "":
		return []Fault{{Missing, at, at + " is required, and is empty"}}
	case f.Allowed != nil && !slices.Contains(f.Allowed, s):
		return invalid("must be one of %s", strings.Join(f.Allowed, ", "))
	case f.MaxLength > 0 && utf8.RuneCountInString(s) > f.MaxLength:
		return invalid("is longer than %d characters", f.MaxLength)
	case f.Pattern != nil && !f.Pattern.MatchString(s):
		return invalid("must be %s", f.Wants)
	}
	return nil
}

func (f Field) checkList(at string, list []any, strict bool) []Fault {
	if f.Elem == nil {
		return nil
	}
	var faults []Fault
	for _, v := range list {
		if v == nil {
			faults = append(faults, Fault{Invalid, at, at + " holds null"})
			continue
		}
		faults = append(faults, f.Elem.check(at, v, strict)...)
	}
	return faults
}
