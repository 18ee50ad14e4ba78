package main

import (
	"testing"
	"time"
)

func TestFairness(t *testing.T) {
	rank := map[string]int{"a": 0, "b": 1, "c": 2, "d": 3}
	for name, tt := range map[string]struct {
		at        map[string]time.Duration
		share     float64
		overtaken int
	}{
		"nearest expiry first": {map[string]time.Duration{"a": 1, "b": 2, "c": 3, "d": 4}, 1, 0},
		"the other way round":  {map[string]time.Duration{"a": 4, "b": 3, "c": 2, "d": 1}, 0, 3},
		"two are not done":     {map[string]time.Duration{"a": 1, "b": 2}, 1, 0},
		"the first is starved": {map[string]time.Duration{"b": 1, "c": 2, "d": 3}, 0.5, 3},
	} {
		if share, overtaken := fairness(tt.at, rank); share != tt.share || overtaken != tt.overtaken {
			t.Errorf("%s: %g, %d", name, share, overtaken)
		}
	}
}
