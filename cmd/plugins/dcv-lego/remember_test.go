package main

import (
	"math/rand"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	"github.com/go-acme/lego/v4/challenge"
	"github.com/go-acme/lego/v4/providers/dns"

	"github.com/certbridge/certbridged/cmd/plugins/dcv-lego/catalog"
	"github.com/certbridge/certbridged/cmd/plugins/dcv-lego/publisher/memory"
)

// missing finds the names of environment variables in what lego's constructors complain about.
var missing = regexp.MustCompile(`[A-Z][A-Z0-9]*_[A-Z0-9_]+`)

// build makes one of lego's providers from credentials that are made up; nil when that takes more than words.
func build(t *testing.T, name string) challenge.Provider {
	t.Helper()
	var last error
	for range 8 {
		p, err := dns.NewDNSChallengeProviderByName(name)
		last = err
		if err == nil {
			return p
		}
		names := missing.FindAllString(err.Error(), -1)
		if len(names) == 0 {
			break
		}
		for _, n := range names {
			t.Setenv(n, "https://127.0.0.1:1/")
		}
	}
	t.Logf("%v", last)
	return nil
}

// remembering are the providers of lego that need what Present remembered, and can be called at all. Their ids are text,
// numbers, pointers, records; they stand in the provider, or in one that several have in common.
func remembering() []string {
	var names []string
	for _, name := range catalog.Names() {
		if _, entry, _ := catalog.Find(name); entry.State == catalog.FromReceipt && !slices.Contains(logsIn(), name) {
			names = append(names, name)
		}
	}
	return names
}

// logsIn are those that reach their API already when they are made, past any proxy.
func logsIn() []string { return []string{"huaweicloud"} }

// special are variables that must look like something.
func special() map[string]string {
	return map[string]string{
		"GANDIV5_PERSONAL_ACCESS_TOKEN": "x", "OVH_ACCESS_TOKEN": "x", "SYSE_CREDENTIALS": "example.com:x", "YANDEX360_ORG_ID": "1",
	}
}

func TestRealProvidersRemember(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	for name, value := range special() {
		t.Setenv(name, value)
	}
	var tried []string
	for _, name := range remembering() {
		t.Run(name, func(t *testing.T) {
			published := build(t, name)
			if published == nil {
				t.Fatal("made-up credentials are not enough to make it")
			}
			places := memory.Places(published)
			if len(places) == 0 {
				t.Fatalf("%T has no place to remember in", published)
			}
			tried = append(tried, name)
			snapshot, err := memory.Take(published)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{}
			visit(t, published, func(place string, m reflect.Value) {
				fill(t, m, random)
				want[place] = m.Interface()
			})
			state, err := snapshot.Changes()
			if err != nil {
				t.Fatal(err)
			}
			fresh := build(t, name)
			if err := memory.Restore(fresh, state); err != nil {
				t.Fatalf("%s: %v", state, err)
			}
			visit(t, fresh, func(place string, m reflect.Value) {
				if !reflect.DeepEqual(want[place], m.Interface()) {
					t.Errorf("%s was %v and became %v\n%s", place, want[place], m.Interface(), state)
				}
			})
		})
	}
	t.Logf("%d providers remember: %s", len(tried), strings.Join(tried, " "))
	if len(tried) < 40 {
		t.Errorf("only %d", len(tried))
	}
}

// visit goes to the maps that a provider can remember in.
func visit(t *testing.T, p challenge.Provider, do func(place string, m reflect.Value)) {
	t.Helper()
	for _, place := range memory.Places(p) {
		v := reflect.ValueOf(p)
		for name := range strings.SplitSeq(place, ".") {
			for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
				v = v.Elem()
			}
			v = open(v.FieldByName(name))
		}
		do(place, v)
	}
}

// open makes a field that is not exported one that can be read and set.
func open(field reflect.Value) reflect.Value {
	return reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem()
}

// fill puts random entries into a map as Present would.
func fill(t *testing.T, m reflect.Value, random *rand.Rand) {
	t.Helper()
	if m.IsNil() {
		m.Set(reflect.MakeMap(m.Type()))
	}
	for range 3 {
		key, ok := quick.Value(m.Type().Key(), random)
		if !ok {
			t.Fatalf("no key for %s", m.Type())
		}
		value := reflect.New(m.Type().Elem()).Elem()
		fillValue(t, value, random)
		m.SetMapIndex(key, value)
	}
}

// fillValue is quick.Value that reaches fields that are not exported too.
func fillValue(t *testing.T, v reflect.Value, random *rand.Rand) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fillValue(t, open(v.Field(i)), random)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(t, v.Elem(), random)
	default:
		value, ok := quick.Value(v.Type(), random)
		if !ok {
			t.Fatalf("no value for %s", v.Type())
		}
		v.Set(value)
	}
}
