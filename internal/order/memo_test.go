package order

import (
	"crypto/sha256"
	"reflect"
	"testing"
	"time"
)

// fill gives every field of a value something that tells it from the others.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(int64(*n)*1e9, int64(*n)).UTC()))
		return
	case []byte:
		v.SetBytes([]byte{byte(*n)})
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(string(rune('a' + *n)))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n) - 20) // some are negative
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), n)
			}
		}
	default:
		panic("history has a new kind of field: " + v.Type().String())
	}
}

// TestMemo: a field that is added to a history and forgotten here would be lost in memory.
func TestMemo(t *testing.T) {
	var full History
	n := 0
	fill(reflect.ValueOf(&full).Elem(), &n)
	far := History{RetryAt: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), Window: &Window{Start: time.Date(1, 2, 3, 0, 0, 0, 0, time.UTC)}}
	for name, h := range map[string]History{"all": full, "nothing": {}, "far times": far, "an order without a chain": {Last: &Previous{Reference: "1"}}} {
		t.Run(name, func(t *testing.T) {
			want := h
			if h.Last != nil { // without chain and state, but for digests
				last := *h.Last
				last.digests = make([][sha256.Size]byte, 0, len(last.Chain))
				for _, der := range last.Chain {
					last.digests = append(last.digests, sha256.Sum256(der))
				}
				last.Chain, last.PluginState = nil, nil
				want.Last = &last
			}
			got := h.pack().history()
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
			if again := got.pack().history(); !reflect.DeepEqual(again, want) {
				t.Errorf("packed twice: %+v", again)
			}
		})
	}
}
