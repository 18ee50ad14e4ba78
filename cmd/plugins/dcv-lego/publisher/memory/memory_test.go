package memory

import (
	"errors"
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/go-acme/lego/v4/challenge"
	"github.com/go-acme/lego/v4/providers/dns"

	"github.com/google/go-cmp/cmp"

	"github.com/certbridge/certbridged/cmd/plugins/dcv-lego/catalog"
)

func TestMain(m *testing.M) {
	// Some providers log in when they are made. No test reaches further than this machine, and none waits for an answer:
	// nothing listens on port 1.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		if err := os.Setenv(name, "http://127.0.0.1:1"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

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
	other   fmt.Stringer
	nothing challenge.Provider
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
			places := Places(published)
			if len(places) == 0 {
				t.Fatalf("%T has no place to remember in", published)
			}
			tried = append(tried, name)
			snapshot, err := Take(published)
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
			if err := Restore(fresh, state); err != nil {
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

func visit(t *testing.T, p challenge.Provider, do func(place string, m reflect.Value)) {
	t.Helper()
	if err := walk("", reflect.ValueOf(p), maxDepth, func(place string, m reflect.Value) error {
		do(place, m)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
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

func TestPlaces(t *testing.T) {
	want := []string{"config", "going", "ids", "inner.config", "inner.going", "inner.ids", "inner.numbers", "inner.records", "inner.zones", "numbers", "records", "zones"}
	if got := Places(newProvider()); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := Places(nil); got != nil {
		t.Errorf("nothing has %q", got)
	}
}
