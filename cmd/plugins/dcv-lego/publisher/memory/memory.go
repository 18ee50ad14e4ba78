// Package memory carries what one of lego's providers remembers between Present and CleanUp out of the process, and back
// into a new provider.
//
// A provider is made for a program that does both with one value: the ids of the records it made stand in maps of that
// value, often in fields that are not exported. A plugin may be killed between the two, so it takes those maps along in
// the receipt. Nothing but maps is looked at, neither clients nor configurations: credentials stay where they are.
package memory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/go-acme/lego/v4/challenge"
)

// MaxSize is how large what a provider remembers may be, in bytes. Ids of records take a few dozen.
const MaxSize = 64 << 10

// maxDepth is how far providers may be nested in one another, and values within a map.
const maxDepth = 8

// ErrTooLarge says that a provider remembers more than a receipt may hold.
var ErrTooLarge = errors.New("the provider remembers more than a receipt may hold")

// entries are what the maps of a provider hold, by the map's place in the provider and the key within the map.
type entries map[string]map[string]json.RawMessage

// Snapshot is what a provider remembered at one time.
type Snapshot struct {
	provider challenge.Provider
	entries  entries
}

// Take notes what a provider remembers. No call of the provider may run meanwhile.
func Take(provider challenge.Provider) (Snapshot, error) {
	e, err := read(provider)
	return Snapshot{provider: provider, entries: e}, err
}

// Changes returns what the provider has come to remember since the snapshot was taken, for Restore; nil means nothing.
// What it has forgotten since is no change.
func (s Snapshot) Changes() ([]byte, error) {
	now, err := read(s.provider)
	if err != nil {
		return nil, err
	}
	for place, content := range now {
		maps.DeleteFunc(content, func(key string, value json.RawMessage) bool {
			return bytes.Equal(s.entries[place][key], value)
		})
		if len(content) == 0 {
			delete(now, place)
		}
	}
	if len(now) == 0 {
		return nil, nil
	}
	state, err := json.Marshal(now)
	if err != nil {
		return nil, fmt.Errorf("encode what the provider remembers: %w", err)
	}
	if len(state) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(state), MaxSize)
	}
	return state, nil
}

// Restore makes a provider remember what another one of its type had come to remember. It changes all or nothing.
func Restore(provider challenge.Provider, state []byte) error {
	if len(state) > MaxSize {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(state), MaxSize)
	}
	var given entries
	if err := json.Unmarshal(state, &given); err != nil {
		return fmt.Errorf("decode what the provider remembered: %w", err)
	}
	places, err := mapsOf(provider)
	if err != nil {
		return err
	}
	fresh := map[string]reflect.Value{}
	for place, content := range given {
		m, ok := places[place]
		if !ok {
			return fmt.Errorf("the provider has no %s to remember in", place)
		}
		decoded, err := decodeMap(content, m.Type(), maxDepth)
		if err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		fresh[place] = decoded
	}
	for place, content := range fresh {
		m := places[place]
		if m.IsNil() {
			m.Set(reflect.MakeMap(m.Type()))
		}
		for at := content.MapRange(); at.Next(); {
			m.SetMapIndex(at.Key(), at.Value())
		}
	}
	return nil
}

// Places are the maps that a provider can remember in, in alphabetical order.
func Places(provider challenge.Provider) []string {
	places, _ := mapsOf(provider) // what is nested too deep is no place to remember in
	return slices.Sorted(maps.Keys(places))
}

func read(provider challenge.Provider) (entries, error) {
	places, err := mapsOf(provider)
	if err != nil {
		return nil, err
	}
	found := make(entries, len(places))
	for place, m := range places {
		if found[place], err = encodeMap(m, maxDepth); err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
	}
	return found, nil
}

// mapsOf finds the maps of a provider by their places.
func mapsOf(provider challenge.Provider) (map[string]reflect.Value, error) {
	places := map[string]reflect.Value{}
	return places, walk(places, "", reflect.ValueOf(provider), maxDepth)
}

// walk notes the maps that are fields of a provider, and of a provider that it wraps: several are thin covers over one that
// they have in common.
func walk(places map[string]reflect.Value, at string, v reflect.Value, depth int) error {
	for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || !v.CanAddr() {
		return nil
	}
	if depth == 0 {
		return errors.New("providers are nested too deep")
	}
	for i := range v.NumField() {
		field, place := open(v.Field(i)), at+v.Type().Field(i).Name
		switch field.Kind() {
		case reflect.Map:
			places[place] = field
		case reflect.Interface:
			if _, wrapped := field.Interface().(challenge.Provider); wrapped {
				if err := walk(places, place+".", field, depth-1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// open returns an addressable field in a way that it can be read and set although it is not exported.
func open(field reflect.Value) reflect.Value {
	return reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem()
}
