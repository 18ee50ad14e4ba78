package sandbox

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func sample() []Field {
	return []Field{
		{Name: "name", Type: String, Required: true, MaxLength: 5},
		{Name: "kind", Type: String, Allowed: []string{"a", "b"}},
		{Name: "form", Type: String, Pattern: regexp.MustCompile(`^x+$`), Wants: "some x"},
		{Name: "count", Type: Int, Min: 1, Max: 3},
		{Name: "any", Type: Int},
		{Name: "yes", Type: Bool},
		{Name: "flag", Type: Flag},
		{Name: "both", Type: BoolOrFlag},
		{Name: "old", Type: String, Deprecated: "use name"},
		{Name: "in", Type: Object, Fields: []Field{{Name: "id", Type: Int, Required: true}}},
		{Name: "list", Type: List, Elem: &Field{Type: Object, Fields: []Field{{Name: "id", Type: Int, Required: true}}}},
		{Name: "free", Type: List},
	}
}

func TestCheck(t *testing.T) {
	for body, want := range map[string]string{
		`{"name":"a","kind":"b","form":"xx","count":3,"any":-5,"yes":true,"flag":1,"both":false,"in":{"id":1},"list":[{"id":2}],"free":[1,"a"]}`: "",
		`{}`:                                       "1 name",
		`{"name":""}`:                              "1 name",
		`{"name":null}`:                            "1 name",
		`{"name":"abcdef"}`:                        "2 name",
		`{"name":"äöüßé"}`:                         "",
		`{"name":"a","kind":"c"}`:                  "2 kind",
		`{"name":"a","form":"y"}`:                  "2 form",
		`{"name":"a","count":4}`:                   "2 count",
		`{"name":"a","count":"1"}`:                 "2 count",
		`{"name":"a","any":1.5}`:                   "2 any",
		`{"name":"a","any":1e2}`:                   "2 any",
		`{"name":"a","any":99999999999999999999}`:  "2 any",
		`{"name":"a","yes":1}`:                     "2 yes",
		`{"name":"a","flag":true}`:                 "2 flag",
		`{"name":"a","flag":2}`:                    "2 flag",
		`{"name":"a","both":2}`:                    "2 both",
		`{"name":"a","old":"x"}`:                   "4 old",
		`{"name":"a","in":[]}`:                     "2 in",
		`{"name":"a","in":{}}`:                     "1 in.id",
		`{"name":"a","in":{"id":1,"x":1}}`:         "3 in.x",
		`{"name":"a","list":{}}`:                   "2 list",
		`{"name":"a","list":[null,{},{"id":"1"}]}`: "2 list,1 list.id,2 list.id",
		`{"name":"a","kind":null}`:                 "2 kind",
		`{"name":"a","b":1,"a":1}`:                 "3 a,3 b",
	} {
		object, err := DecodeObject([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		var got []string
		for _, f := range Check(sample(), object, true) {
			got = append(got, string(rune('0'+int(f.Kind)))+" "+f.Path)
			if !strings.HasPrefix(f.Message, f.Path) {
				t.Errorf("%s: the message %q does not name the field", body, f.Message)
			}
		}
		if s := strings.Join(got, ","); s != want {
			t.Errorf("%s: %s, want %s", body, s, want)
		}
	}
	object, err := DecodeObject([]byte(`{"name":"a","b":1,"kind":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if faults := Check(sample(), object, false); len(faults) != 0 {
		t.Errorf("without strict: %v", faults)
	}
}

func TestDecodeObject(t *testing.T) {
	for body, fits := range map[string]bool{
		`{"a":{"b":[{"c":1},{"c":2}]},"b":1}`: true,
		`{"a":1,"a":2}`:                       false,
		`{"x":[{"a":1,"a":2}]}`:               false,
		`{"a":"a","b":"a"}`:                   true,
		`{"a":[],"b":{}}`:                     true,
		``:                                    false,
		`1`:                                   false,
		`null`:                                false,
		`[]`:                                  false,
		`{}{}`:                                false,
		`{} x`:                                false,
		"{\"a\":\"\xff\"}":                    false,
	} {
		if _, err := DecodeObject([]byte(body)); (err == nil) != fits {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func FuzzDecodeObject(f *testing.F) {
	for _, seed := range []string{`{"a":{"b":[{"c":1}]}}`, `{"a":1,"a":2}`, `{"name":"a","list":[{"id":1}]}`, `]`, `{"a"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		object, err := DecodeObject(body)
		if err != nil {
			return
		}
		var again map[string]any
		if err := json.Unmarshal(body, &again); err != nil || len(again) != len(object) {
			t.Errorf("other decoders read it otherwise: %v", err)
		}
		Check(sample(), object, true)
	})
}

func FuzzFlipTypes(f *testing.F) {
	f.Add([]byte(`{"id":1,"order_id":"12","is_active":true,"list":[],"x":["01",1.5,null]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if out := flipTypes(body); json.Valid(body) && !json.Valid(out) {
			t.Errorf("%s became %s", body, out)
		}
	})
}

func TestFlipTypes(t *testing.T) {
	got := string(flipTypes([]byte(`{"id":1,"order_id":"12","is_active":true,"other":true,"list":[],"x":["01","-3"]}`)))
	if want := `{"id":"1","is_active":"1","list":null,"order_id":12,"other":true,"x":["01",-3]}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if pem := "-----BEGIN"; string(flipTypes([]byte(pem))) != pem {
		t.Error("what is no JSON was changed")
	}
}

func TestMatching(t *testing.T) {
	for _, c := range []struct {
		method, path, gotMethod, gotPath string
		want                             bool
	}{
		{"", "", "GET", "/a", true},
		{"post", "", "POST", "/a", true},
		{"POST", "", "GET", "/a", false},
		{"", "/a/*", "GET", "/a/b", true},
		{"", "/a/*", "GET", "/a/b/c", false},
		{"", "/a/**", "GET", "/a/b/c", true},
		{"", "/a/**", "GET", "/b/a", false},
		{"", "/a/*/c", "GET", "/a/b/c", true},
	} {
		if got := (Misbehaviour{Method: c.method, Path: c.path}).matches(c.gotMethod, c.gotPath); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	var m Mischief
	for _, wrong := range []Misbehaviour{{}, {Kind: "x"}, {Kind: Drop, Path: "["}, {Kind: Drop, Skip: -1}, {Kind: ServerError, Status: 42}} {
		if m.Add(wrong) == nil {
			t.Errorf("%+v was taken", wrong)
		}
	}
	if err := m.Add(Misbehaviour{Kind: Drop, Times: -1}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, ok := m.next("GET", "/"); !ok {
			t.Fatal("it ended")
		}
	}
	m.Clear()
	if _, ok := m.next("GET", "/"); ok || len(m.List()) != 0 {
		t.Error("it goes on")
	}
}

func TestRandomValues(t *testing.T) {
	seen := map[string]bool{}
	var all []rune
	for range 200 {
		v := RandomValue(32)
		if len(v) != 32 || seen[v] || strings.Trim(v, lowerAlphanumeric) != "" {
			t.Fatalf("%q", v)
		}
		seen[v] = true
		all = append(all, []rune(v)...)
	}
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != len(lowerAlphanumeric) {
		t.Errorf("%d different characters", n)
	}
}
