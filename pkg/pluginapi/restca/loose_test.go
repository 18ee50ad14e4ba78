package restca

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

type sample struct {
	ID    ID         `json:"id"`
	Name  Text       `json:"name"`
	Till  Time       `json:"till"`
	Names List[Text] `json:"names"`
	Parts List[struct {
		ID ID `json:"id"`
	}] `json:"parts"`
}

func TestLooseTypes(t *testing.T) {
	day := time.Date(2027, 11, 20, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		text string
		want string // as a sample with strict types
	}{
		"as it should be":       {`{"id":900,"name":"a","till":"2027-11-20","names":["x","y"],"parts":[{"id":5}]}`, `{"id":900,"name":"a","till":"` + day.Format(time.RFC3339) + `","names":["x","y"],"parts":[{"id":5}]}`},
		"numbers as text":       {`{"id":"900","name":7,"parts":{"id":"5"}}`, `{"id":900,"name":"7","parts":[{"id":5}]}`},
		"null, and one of many": {`{"id":null,"name":null,"till":null,"names":"x","parts":null}`, `{"names":["x"]}`},
		"empty text for a list": {`{"id":900.0,"names":"","parts":""}`, `{"id":900}`},
		"a truth value as text": {`{"name":true,"till":"2027-11-20 00:00:00"}`, `{"name":"true","till":"` + day.Format(time.RFC3339) + `"}`},
		"nonsense":              {`{"id":-4,"name":{"a":1},"till":"soon","names":[null,""],"parts":[null,"",7,{"id":{}}]}`, `{"parts":[{"id":0}]}`},
	} {
		var got, want sample
		if err := Decode([]byte(c.text), &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if string(a) != string(b) {
			t.Errorf("%s: got  %s\nwant %s", name, a, b)
		}
	}
}

func TestFlag(t *testing.T) {
	for text, want := range map[string]bool{`true`: true, `"1"`: true, `1`: true, `"true"`: true, `false`: false, `0`: false, `null`: false, `"no"`: false, `{}`: false} {
		var f struct{ F Flag }
		if err := Decode([]byte(`{"F":`+text+`}`), &f); err != nil || bool(f.F) != want {
			t.Errorf("%s: got %v, %v", text, f.F, err)
		}
	}
}

func TestDecodeRefusesWhatIsNoObject(t *testing.T) {
	for _, text := range []string{"", "  ", "[]", "null", `"x"`, "<html>", `{"id":9`, `{"id":900}{`, "{'id':1}"} {
		var o struct{ ID ID }
		var g *Garbage
		if err := Decode([]byte(text), &o); !errors.As(err, &g) {
			t.Errorf("%q: want Garbage, got %v", text, err)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"a\x1b[31m\nb\x00":        "a[31m b",
		"order 900100200 is gone": "order 900100200 is gone",
		"\xff\xfeok":              "ok",
		strings.Repeat("x", 200):  strings.Repeat("x", 97) + "...",
	} {
		if got := Clean(in, 100); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"id":900,"name":"x","names":null,"parts":{"id":5}}`, `[]`, `{"id":1e400}`, `{"till":"2026-11-21T10:15:00+00:00"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s sample
		err := Decode(text, &s)
		var g *Garbage
		if err != nil && !errors.As(err, &g) {
			t.Fatal(err)
		}
		if s.ID < 0 {
			t.Fatal("a negative id")
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r\x00\x1b") {
			t.Fatalf("control characters in %q", err)
		}
	})
}

// The text is whoever's it is who hands it in.
func TestListLeavesItsTextAlone(t *testing.T) {
	text := []byte(`["first","second"]`)
	for range 2 {
		var l List[Text]
		if err := l.UnmarshalJSON(text); err != nil || len(l) != 2 || l[1] != "second" {
			t.Errorf("got %v, %v", l, err)
		}
	}
}
