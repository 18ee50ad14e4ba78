package daemon

import (
	"context"
	"fmt"
	"sync"
	"testing"
)

// BenchmarkLanes runs jobs that need some room on their stacks, most in a lane of their own, as orders' steps are.
func BenchmarkLanes(b *testing.B) {
	l := newLanes(b.Context())
	names := make([]string, 64)
	for i := range names {
		names[i] = fmt.Sprint("deploy/", i)
	}
	var wait sync.WaitGroup
	do := func(context.Context) { deep(16); wait.Done() }
	b.ReportAllocs()
	for b.Loop() {
		wait.Add(len(names))
		for _, name := range names {
			l.put(job{key: name, lane: name, limit: 1, do: do})
		}
		wait.Wait()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(names)), "ns/job")
	if err := l.close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// deep takes about a kilobyte of the stack for each call.
func deep(calls int) byte {
	var room [1024]byte
	room[calls] = byte(calls)
	if calls > 0 {
		room[0] = deep(calls - 1)
	}
	return room[0] + room[calls]
}
