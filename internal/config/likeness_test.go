package config

import (
	"reflect"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// A field that likeness forgot would give a certificate the value of another: whatever a certificate consists of is in
// its likeness, or packed as its own.
func TestEveryFieldIsInTheLikenessOrPacked(t *testing.T) {
	packedAsOwn := map[string]bool{
		".Name": true, ".Domains[0]": true, ".File": true, ".Line": true, ".source": true, ".Files[0].Path": true,
	}
	whole := func() *Certificate {
		return &Certificate{
			Domains: []string{"a.example.com"}, DCV: []DCVRule{{Profiles: []string{"http"}}}, Files: []File{{}},
			Order:  pluginapi.Settings{Values: map[string]any{}},
			Deploy: Deploy{Check: []string{"check"}, Reload: []string{"reload"}, Verify: []VerifyTarget{{ServerName: "other"}}},
		}
	}
	before := likeness(whole(), true)
	seen := 0
	// visit calls change with everything of a value that can be changed by itself. choose leads to it in a whole certificate.
	var visit func(path string, kind reflect.Type, choose func(reflect.Value) reflect.Value)
	check := func(path string, change func(*Certificate)) {
		seen++
		crt := whole()
		change(crt)
		if after := likeness(crt, true); after == before && !packedAsOwn[path] {
			t.Errorf("certificates that differ in %s are alike", path)
		}
	}
	visit = func(path string, kind reflect.Type, choose func(reflect.Value) reflect.Value) {
		set := func(value any) {
			check(path, func(crt *Certificate) {
				choose(reflect.ValueOf(crt).Elem()).Set(reflect.ValueOf(value).Convert(kind))
			})
		}
		switch kind {
		case reflect.TypeFor[pluginapi.Secret]():
			set(pluginapi.NewSecret("secret"))
			return
		case reflect.TypeFor[map[string]pluginapi.Secret]():
			set(map[string]pluginapi.Secret{"key": pluginapi.NewSecret("secret")})
			return
		case reflect.TypeFor[map[string]any]():
			set(map[string]any{"key": "value"})
			return
		}
		switch kind.Kind() {
		case reflect.Struct:
			for i := range kind.NumField() {
				field := kind.Field(i)
				if inside := path + "." + field.Name; field.IsExported() {
					visit(inside, field.Type, func(v reflect.Value) reflect.Value { return choose(v).Field(i) })
				} else if !packedAsOwn[inside] {
					t.Errorf("nobody knows whether %s counts", inside)
				}
			}
		case reflect.Slice:
			visit(path+"[0]", kind.Elem(), func(v reflect.Value) reflect.Value { return choose(v).Index(0) })
		case reflect.Bool:
			set(true)
		case reflect.String:
			set("changed")
		default:
			set(7) // a number of some type; any other kind of value cannot be converted to and fails loudly
		}
	}
	visit("", reflect.TypeFor[Certificate](), func(v reflect.Value) reflect.Value { return v })
	if seen < 20 {
		t.Errorf("only %d fields were found", seen)
	}
}
