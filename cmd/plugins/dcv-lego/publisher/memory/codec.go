package memory

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// errKind says that a value is of a kind that cannot be taken along.
var errKind = errors.New("a value of this kind cannot be taken along")

// errDepth says that a value points at itself, or nearly so.
var errDepth = errors.New("the value is nested too deep")

var timeType = reflect.TypeFor[time.Time]()

// encodeMap encodes the values of a map by their keys' text.
func encodeMap(m reflect.Value, depth int) (map[string]json.RawMessage, error) {
	content := make(map[string]json.RawMessage, m.Len())
	for at := m.MapRange(); at.Next(); {
		key, err := keyText(at.Key())
		if err != nil {
			return nil, err
		}
		value, err := encode(addressable(at.Value()), depth-1)
		if err != nil {
			return nil, fmt.Errorf("entry %q: %w", key, err)
		}
		content[key] = value
	}
	return content, nil
}

func keyText(key reflect.Value) (string, error) {
	switch {
	case key.Kind() == reflect.String:
		return key.String(), nil
	case key.CanInt(), key.CanUint():
		return fmt.Sprint(key.Interface()), nil
	default:
		return "", fmt.Errorf("key of type %s: %w", key.Type(), errKind)
	}
}

// addressable is a copy whose fields can be opened.
func addressable(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	return c
}

func encode(v reflect.Value, depth int) (json.RawMessage, error) {
	if depth < 0 {
		return nil, errDepth
	}
	var plain any
	switch {
	case v.Type() == timeType, v.Kind() == reflect.String, v.Kind() == reflect.Bool, v.CanInt(), v.CanUint(), v.CanFloat():
		plain = basic(v)
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			return json.RawMessage("null"), nil
		}
		inner, err := encode(v.Elem(), depth-1)
		if err != nil {
			return nil, err
		}
		plain = []json.RawMessage{inner} // a list of one tells a pointer to nothing from none
	case v.Kind() == reflect.Slice && v.IsNil(), v.Kind() == reflect.Map && v.IsNil():
		return json.RawMessage("null"), nil
	case v.Kind() == reflect.Slice, v.Kind() == reflect.Array:
		list := make([]json.RawMessage, v.Len())
		for i := range list {
			var err error
			if list[i], err = encode(v.Index(i), depth-1); err != nil {
				return nil, err
			}
		}
		plain = list
	case v.Kind() == reflect.Map:
		content, err := encodeMap(v, depth)
		if err != nil {
			return nil, err
		}
		plain = content
	case v.Kind() == reflect.Struct:
		fields, err := encodeFields(v, depth)
		if err != nil {
			return nil, err
		}
		plain = fields
	default:
		return nil, fmt.Errorf("type %s: %w", v.Type(), errKind)
	}
	return json.Marshal(plain)
}

// basic is a value of a basic type without the methods that its own type may have, for those may encode as they like.
func basic(v reflect.Value) any {
	switch {
	case v.Kind() == reflect.String:
		return v.String()
	case v.Kind() == reflect.Bool:
		return v.Bool()
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return v.Uint()
	case v.CanFloat():
		return v.Float()
	default:
		return v.Interface()
	}
}

// encodeFields leaves out what has its zero value, whatever its kind.
func encodeFields(v reflect.Value, depth int) (map[string]json.RawMessage, error) {
	fields := map[string]json.RawMessage{}
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			continue
		}
		name := v.Type().Field(i).Name
		value, err := encode(open(v.Field(i)), depth-1)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", name, err)
		}
		fields[name] = value
	}
	return fields, nil
}

// decodeMap makes a map of a type.
func decodeMap(content map[string]json.RawMessage, t reflect.Type, depth int) (reflect.Value, error) {
	m := reflect.MakeMapWithSize(t, len(content))
	for text, raw := range content {
		key := reflect.New(t.Key()).Elem()
		if key.Kind() == reflect.String {
			key.SetString(text)
		} else if err := decode(json.RawMessage(text), key, depth-1); err != nil {
			return m, fmt.Errorf("key %q: %w", text, err)
		}
		value := reflect.New(t.Elem()).Elem()
		if err := decode(raw, value, depth-1); err != nil {
			return m, fmt.Errorf("entry %q: %w", text, err)
		}
		m.SetMapIndex(key, value)
	}
	return m, nil
}

// decode puts what encode made into a value of the same type.
func decode(raw json.RawMessage, into reflect.Value, depth int) error {
	if depth < 0 {
		return errDepth
	}
	if into.Type() == timeType {
		return json.Unmarshal(raw, into.Addr().Interface())
	}
	switch into.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr, reflect.Float32, reflect.Float64:
		return decodeBasic(raw, into)
	case reflect.Pointer:
		return decodePointer(raw, into, depth)
	case reflect.Slice, reflect.Array:
		return decodeList(raw, into, depth)
	case reflect.Map:
		var content map[string]json.RawMessage
		if err := json.Unmarshal(raw, &content); err != nil || content == nil {
			return err
		}
		m, err := decodeMap(content, into.Type(), depth)
		if err == nil {
			into.Set(m)
		}
		return err
	case reflect.Struct:
		return decodeFields(raw, into, depth)
	default:
		return fmt.Errorf("type %s: %w", into.Type(), errKind)
	}
}

// decodeBasic decodes into a value of the plain type of the same kind, so that no method of the named type interferes.
func decodeBasic(raw json.RawMessage, into reflect.Value) error {
	var plain reflect.Value
	switch {
	case into.Kind() == reflect.String:
		plain = reflect.New(reflect.TypeFor[string]())
	case into.Kind() == reflect.Bool:
		plain = reflect.New(reflect.TypeFor[bool]())
	case into.CanInt():
		plain = reflect.New(reflect.TypeFor[int64]())
	case into.CanUint():
		plain = reflect.New(reflect.TypeFor[uint64]())
	default:
		plain = reflect.New(reflect.TypeFor[float64]())
	}
	if err := json.Unmarshal(raw, plain.Interface()); err != nil {
		return err
	}
	value := plain.Elem()
	if into.CanInt() && into.OverflowInt(value.Int()) || into.CanUint() && into.OverflowUint(value.Uint()) ||
		into.CanFloat() && into.OverflowFloat(value.Float()) {
		return fmt.Errorf("%s does not fit into %s", raw, into.Type())
	}
	into.Set(value.Convert(into.Type()))
	return nil
}

func decodePointer(raw json.RawMessage, into reflect.Value, depth int) error {
	var inner []json.RawMessage
	if err := json.Unmarshal(raw, &inner); err != nil || inner == nil {
		return err
	}
	if len(inner) != 1 {
		return fmt.Errorf("%d values for one pointer", len(inner))
	}
	target := reflect.New(into.Type().Elem())
	if err := decode(inner[0], target.Elem(), depth-1); err != nil {
		return err
	}
	into.Set(target)
	return nil
}

func decodeList(raw json.RawMessage, into reflect.Value, depth int) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || list == nil {
		return err
	}
	if into.Kind() == reflect.Slice {
		into.Set(reflect.MakeSlice(into.Type(), len(list), len(list)))
	} else if into.Len() != len(list) {
		return fmt.Errorf("%d values for %s", len(list), into.Type())
	}
	for i := range list {
		if err := decode(list[i], into.Index(i), depth-1); err != nil {
			return err
		}
	}
	return nil
}

func decodeFields(raw json.RawMessage, into reflect.Value, depth int) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	for name, value := range fields {
		at, ok := into.Type().FieldByName(name)
		if !ok || len(at.Index) != 1 {
			return fmt.Errorf("%s has no field %s", into.Type(), name)
		}
		if err := decode(value, open(into.Field(at.Index[0])), depth-1); err != nil {
			return fmt.Errorf("field %s: %w", name, err)
		}
	}
	return nil
}
