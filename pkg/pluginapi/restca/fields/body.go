package fields

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Body is a request in the making: an object whose values are those of JSON, and Bodies for objects in it. It may hold
// secrets: it must be neither logged nor kept.
type Body map[string]any

// Table returns the object at a key, made if it is not there.
func (b Body) Table(name string) Body {
	if t, ok := b[name].(Body); ok {
		return t
	}
	t := Body{}
	b[name] = t
	return t
}

// SetDefault puts a value in unless there is one.
func (b Body) SetDefault(name string, value any) {
	if _, ok := b[name]; !ok {
		b[name] = value
	}
}

// JSON writes the body with its keys in order, so that equal requests are equal bytes, and without escaping HTML.
func (b Body) JSON() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]any(b)); err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// Form writes the body as the values of a form, which has no objects: key makes a name of the names that lead to a
// value; nil joins them by "_". A list of plain values is one name with several values (Joined makes one value of them);
// the elements of a list of objects are numbered from 0 in the name.
func (b Body) Form(key func(names ...string) string) url.Values {
	if key == nil {
		key = func(names ...string) string { return strings.Join(names, "_") }
	}
	out := url.Values{}
	flatten(out, key, nil, b)
	return out
}

func flatten(out url.Values, key func(...string) string, names []string, value any) {
	at := func(name string) []string { return append(names[:len(names):len(names)], name) }
	switch v := value.(type) {
	case Body:
		flatten(out, key, names, map[string]any(v))
	case map[string]any:
		for name, e := range v {
			flatten(out, key, at(name), e)
		}
	default:
		list := reflect.ValueOf(value)
		if list.Kind() != reflect.Slice {
			out.Add(key(names...), plainText(v))
			return
		}
		for i := range list.Len() {
			switch e := list.Index(i).Interface(); e.(type) {
			case Body, map[string]any:
				flatten(out, key, at(strconv.Itoa(i)), e)
			default:
				out.Add(key(names...), plainText(e))
			}
		}
	}
}

// plainText is a plain value as forms have it.
func plainText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case float64: // 1e+06 is no number to many a form's reader
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// Out says what of the settings goes out.
type Out struct {
	// In is the call that is written for. It is handed to Field.As.
	In Calls
	// Include chooses the fields; nil chooses those that In takes. It is not asked about what is in the elements of a
	// list: that is part of the request whenever the list is.
	Include func(Field) bool
}

// Everything is an Out.Include that leaves nothing out, for an API where people may know of more than its pages say.
func Everything(Field) bool { return true }

// Fill puts what is configured into a body, in the API's own names and places. What is computed, and the plugin's own
// settings, are left out. It expects settings that Check found no fault with.
func (t *Table) Fill(into Body, s pluginapi.Settings, out Out) {
	w := writer{secrets: s.Secrets, in: out.In, include: out.Include}
	if w.include == nil {
		w.include = func(f Field) bool { return f.In.Has(out.In) }
	}
	w.fill(into, "", t.fields, s.Values)
}

type writer struct {
	secrets map[string]pluginapi.Secret
	in      Calls
	include func(Field) bool
}

func (w writer) fill(into Body, at string, list []Field, values map[string]any) {
	for _, f := range settable(list) {
		if f.Own || !w.include(f) {
			continue
		}
		path := join(at, f.Name)
		if f.Inline {
			sub, _ := values[f.Name].(map[string]any)
			w.fill(into, path, f.Fields, sub)
			continue
		}
		value, ok := w.value(path, f, values[f.Name])
		if !ok {
			continue
		}
		parts := f.wire()
		target := into
		for _, part := range parts[:len(parts)-1] {
			target = target.Table(part)
		}
		target[parts[len(parts)-1]] = value
	}
}

// value makes what goes out; ok is false where nothing is configured.
func (w writer) value(path string, f Field, given any) (value any, ok bool) {
	if f.Secret {
		secret, there := w.secrets[path]
		if !there {
			return nil, false
		}
		given = secret.Reveal()
	}
	switch f.Type {
	case pluginapi.Table:
		given, ok = w.table(path, f, given)
	case pluginapi.List:
		given, ok = w.list(path, f, given)
	case pluginapi.Integer:
		given, ok = Whole(given)
	default:
		ok = given != nil
	}
	if ok && f.As != nil {
		given = f.As(given, w.in)
	}
	return given, ok
}

func (w writer) table(path string, f Field, given any) (any, bool) {
	values, _ := given.(map[string]any)
	sub := Body{}
	w.fill(sub, path, f.Fields, values)
	return sub, len(sub) > 0
}

func (w writer) list(path string, f Field, given any) (any, bool) {
	list, ok := given.([]any)
	if !ok || f.Fields == nil {
		return given, ok
	}
	all := writer{secrets: w.secrets, in: w.in, include: Everything}
	out := make([]any, 0, len(list))
	for i, e := range list {
		values, _ := e.(map[string]any)
		sub := Body{}
		all.fill(sub, element(path, i), f.Fields, values)
		out = append(out, sub)
	}
	return out, true
}

// ZeroOne is a Field.As for APIs that write no and yes as 0 and 1.
func ZeroOne(value any, _ Calls) any {
	if yes, _ := value.(bool); yes {
		return 1
	}
	return 0
}

// Joined is a Field.As that makes one text of a list of texts, as in "a,b".
func Joined(separator string) func(value any, in Calls) any {
	return func(value any, _ Calls) any {
		list, ok := value.([]any)
		if !ok {
			return value
		}
		texts := make([]string, len(list))
		for i, e := range list {
			texts[i] = plainText(e)
		}
		return strings.Join(texts, separator)
	}
}
