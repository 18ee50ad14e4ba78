package main

import (
	"os"
	"strings"
	"testing"
)

// The changes fit the version of Pebble in go.mod.
func TestMendsFitPebble(t *testing.T) {
	pebble, err := goModule(t.Context(), "mod", "download", "-json", pebblePath)
	if err != nil {
		t.Fatal(err)
	}
	files, err := read(os.DirFS(pebble.Dir))
	if err != nil {
		t.Fatal(err)
	}
	before := map[string]string{}
	for _, m := range mends() {
		before[m.file] = files[m.file]
	}
	if err := mend(files, mends()); err != nil {
		t.Fatal(err)
	}
	for name, text := range before {
		if files[name] == text {
			t.Errorf("%s is as it was", name)
		}
	}
	if err := mend(files, mends()); err == nil {
		t.Error("the changes were made a second time")
	}
}

func TestWhatDoesNotFitIsNamed(t *testing.T) {
	const text = "package p\n\nfunc a() { x() }\nfunc b() { x(); x() }\n"
	for name, m := range map[string]mending{
		"no such function": {function: "c", changes: []change{{"x()", "y()"}}},
		"0 times":          {function: "a", changes: []change{{"z()", "y()"}}},
		"2 times":          {function: "b", changes: []change{{"x()", "y()"}}},
	} {
		m.file = "p.go"
		err := mend(map[string]string{"p.go": text}, []mending{m})
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), m.function) {
			t.Errorf("%s: %v", name, err)
		}
	}
	files := map[string]string{"p.go": text}
	if err := mend(files, []mending{{file: "p.go", function: "a", changes: []change{{"x()", "y()"}}}}); err != nil || !strings.Contains(files["p.go"], "func a() { y() }\nfunc b() { x(); x() }") {
		t.Errorf("%v: %s", err, files["p.go"])
	}
}
