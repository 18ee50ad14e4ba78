package certstore

import (
	"slices"
	"testing"
)

func TestCrowds(t *testing.T) {
	c := newCrowds()
	const here, elsewhere = place(1), place(2)
	c.add(elsewhere, 0)
	for i, step := range []struct {
		add, drop int32 // above zero
		want      []int32
		edge      bool // the first was added, the last dropped
	}{
		{add: 1, want: []int32{1}, edge: true},
		{add: 1, want: []int32{1}},
		{drop: 2, want: []int32{1}},
		{add: 2, want: []int32{1, 2}},
		{add: 3, want: []int32{1, 2, 3}},
		{drop: 1, want: []int32{2, 3}},
		{drop: 2, want: []int32{3}},
		{drop: 3, edge: true},
		{add: 4, want: []int32{4}, edge: true},
		{drop: 4, edge: true},
		{drop: 4},
	} {
		edge := false
		if step.add > 0 {
			edge = c.add(here, step.add)
		}
		if step.drop > 0 {
			edge = c.remove(here, step.drop)
		}
		if got := slices.Sorted(c.of(here)); !slices.Equal(got, step.want) || edge != step.edge {
			t.Fatalf("step %d: %v, want %v; edge %t", i, got, step.want, edge)
		}
	}
	if got := slices.Collect(c.of(elsewhere)); !slices.Equal(got, []int32{0}) {
		t.Errorf("another place has %v", got)
	}
}
