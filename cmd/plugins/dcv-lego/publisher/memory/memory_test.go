package memory

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-acme/lego/v4/challenge"
	"github.com/google/go-cmp/cmp"
)

// inProgress is like what some providers remember: a struct whose fields are not exported.
type inProgress struct {
	zone    string
	id      uint64
	at      time.Time
	record  *record
	lines   []string
	by      map[int]bool
	refresh func()
}

type record struct {
	ID   int32
	Text *string
	sum  [2]byte
}

type kind string

// MarshalJSON is what must not be asked.
func (kind) MarshalJSON() ([]byte, error) { return nil, errors.New("asked") }

// provider is like lego's.
type provider struct {
	config  map[string]string
	ids     map[string]int64
	numbers map[int]kind
	records map[string]*record
	going   map[string]inProgress
	zones   map[string]struct{}
	inner   challenge.Provider
}

func (*provider) Present(_, _, _ string) error { return nil }
func (*provider) CleanUp(_, _, _ string) error { return nil }

func newProvider() *provider {
	return &provider{
		config: map[string]string{"token": "secret"},
		ids:    map[string]int64{}, inner: &provider{ids: map[string]int64{}},
	}
}

func TestWhatPresentRememberedIsThereAgain(t *testing.T) {
	text := "v=\"1\"\n\u2028"
	published := newProvider()
	published.ids["before"] = 1
	snapshot, err := Take(published)
	if err != nil {
		t.Fatal(err)
	}
	published.ids["token"] = -1 << 62
	published.numbers = map[int]kind{-3: "TXT"}
	published.records = map[string]*record{"a": {ID: 7, Text: &text, sum: [2]byte{1, 2}}, "none": nil}
	published.going = map[string]inProgress{"f.": {
		zone: "example.com", id: 1<<64 - 1, at: time.Date(2026, 11, 22, 1, 2, 3, 4, time.UTC),
		record: &record{}, lines: []string{"", "x"}, by: map[int]bool{4: true},
	}}
	published.zones = map[string]struct{}{"example.com": {}}
	published.inner.(*provider).ids["deep"] = 5
	state, err := snapshot.Changes()
	if err != nil {
		t.Fatal(err)
	}
	for _, unwanted := range []string{"secret", "before"} {
		if strings.Contains(string(state), unwanted) {
			t.Errorf("%s is taken along: %s", unwanted, state)
		}
	}
	fresh := newProvider()
	if err := Restore(fresh, state); err != nil {
		t.Fatal(err)
	}
	delete(published.ids, "before")
	if diff := cmp.Diff(published, fresh, cmp.AllowUnexported(provider{}, inProgress{}, record{}), cmp.Comparer(func(a, b func()) bool { return a == nil && b == nil })); diff != "" {
		t.Error(diff)
	}
}

func TestWhatWasNotChangedIsNotTakenAlong(t *testing.T) {
	p := newProvider()
	snapshot, err := Take(p)
	if err != nil {
		t.Fatal(err)
	}
	if state, err := snapshot.Changes(); state != nil || err != nil {
		t.Errorf("%s %v", state, err)
	}
}

func TestWhatCannotBeTakenAlongIsAnError(t *testing.T) {
	p := newProvider()
	snapshot, err := Take(p)
	if err != nil {
		t.Fatal(err)
	}
	p.going = map[string]inProgress{"x": {refresh: func() {}}}
	if _, err := snapshot.Changes(); !errors.Is(err, errKind) {
		t.Errorf("a function: %v", err)
	}
	p.going = map[string]inProgress{"x": {zone: strings.Repeat("z", MaxSize)}}
	if _, err := snapshot.Changes(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a large value: %v", err)
	}
}

func TestBadStateChangesNothing(t *testing.T) {
	for name, state := range map[string]string{
		"no JSON":              `{`,
		"an unknown place":     `{"ids":{"a":1},"gone":{"a":1}}`,
		"a wrong type":         `{"ids":{"a":1,"b":"two"}}`,
		"a fraction":           `{"ids":{"a":1,"b":1.5}}`,
		"a key that is none":   `{"numbers":{"one":"x"}}`,
		"too large a number":   `{"ids":{"a":1},"records":{"a":[{"ID":3000000000}]}}`,
		"an unknown field":     `{"going":{"a":{"zon":"x"}}}`,
		"two for one pointer":  `{"records":{"a":[{},{}]}}`,
		"too long an array":    `{"records":{"a":[{"sum":[1,2,3]}]}}`,
		"deeper than anything": `{"going":{"a":{"refresh":{}}}}`,
		"a large one":          `{"ids":{"` + strings.Repeat("x", MaxSize) + `":1}}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider()
			if err := Restore(p, []byte(state)); err == nil {
				t.Fatal("no error")
			}
			if len(p.ids)+len(p.numbers)+len(p.records)+len(p.going) != 0 {
				t.Errorf("something was restored: %+v", p)
			}
		})
	}
}

func FuzzRestore(f *testing.F) {
	for _, seed := range []string{
		`{"ids":{"a":1}}`, `{"inner.ids":{"a":1}}`, `{"records":{"a":[{"ID":1,"Text":["x"],"sum":[1,2]}]}}`,
		`{"going":{"a":{"zone":"z","at":"2026-11-22T00:00:00Z","lines":["x"],"by":{"1":true}}}}`, `{"zones":{"a":{}}}`, `null`, `{"ids":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, state []byte) {
		first := &provider{inner: &provider{}}
		if Restore(first, state) != nil {
			return
		}
		// What can be read can be taken along again, and is then the same.
		taken, err := (Snapshot{provider: first}).Changes()
		if errors.Is(err, ErrTooLarge) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		second := &provider{inner: &provider{}}
		if taken == nil {
			return
		}
		if err := Restore(second, taken); err != nil {
			t.Fatalf("%s: %v", taken, err)
		}
		again, err := (Snapshot{provider: second}).Changes()
		if err != nil || string(again) != string(taken) {
			t.Errorf("%s became %s: %v", taken, again, err)
		}
	})
}

func TestPlaces(t *testing.T) {
	want := []string{"config", "going", "ids", "inner.config", "inner.going", "inner.ids", "inner.numbers", "inner.records", "inner.zones", "numbers", "records", "zones"}
	if got := Places(newProvider()); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := Places(nil); got != nil {
		t.Errorf("nothing has %q", got)
	}
}
