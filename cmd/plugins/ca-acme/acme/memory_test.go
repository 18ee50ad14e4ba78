package acme

import (
	"net/http"
	"slices"
	"testing"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	m := newMemory[int](2)
	m.put("a", 1)
	m.put("b", 2)
	m.put("a", 3) // the latest again
	m.put("c", 4)
	for key, want := range map[string]int{"a": 3, "b": 0, "c": 4} {
		if got, ok := m.get(key); got != want || ok != (want != 0) {
			t.Errorf("%s: %d, %t", key, got, ok)
		}
	}
	m.drop("a")
	m.drop("a")
	if _, ok := m.get("a"); ok || m.order.Len() != 1 || len(m.known) != 1 {
		t.Errorf("%d and %d are left", m.order.Len(), len(m.known))
	}
}

func TestAlternates(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		`<https://ca/1>;rel="alternate"`: {"https://ca/1"},
		`<https://ca/dir>;rel="index"`:   nil,
		`<https://ca/1,2>; rel="alternate"; title="a, <b>", <https://ca/2>; REL=Alternate`: {"https://ca/1,2", "https://ca/2"},
		`<https://ca/3>; title="rel=alternate"; rel="up"`:                                  nil,
		`<https://ca/4>; rel="up alternate"`:                                               {"https://ca/4"},
		`nonsense; rel="alternate"`:                                                        nil,
		`<https://ca/5`:                                                                    nil,
	} {
		if got := alternates(http.Header{"Link": {line}}); !slices.Equal(got, want) {
			t.Errorf("%s: %q", line, got)
		}
	}
}
