package certstore

import (
	"slices"
	"testing"
)

func TestCrowd(t *testing.T) {
	var c crowd
	for i, step := range []struct {
		add, drop string
		want      []string
	}{
		{add: "a", want: []string{"a"}},
		{add: "a", want: []string{"a"}},
		{drop: "b", want: []string{"a"}},
		{add: "b", want: []string{"a", "b"}},
		{add: "c", want: []string{"a", "b", "c"}},
		{drop: "a", want: []string{"b", "c"}},
		{drop: "b", want: []string{"c"}},
		{drop: "c"},
		{add: "d", want: []string{"d"}},
		{drop: "d"},
		{drop: "d"},
	} {
		if step.add != "" {
			c = c.with(step.add)
		}
		if step.drop != "" {
			c = c.without(step.drop)
		}
		if got := slices.Sorted(c.all()); !slices.Equal(got, step.want) || c.empty() != (len(step.want) == 0) {
			t.Fatalf("step %d: %v, want %v", i, got, step.want)
		}
	}
}
