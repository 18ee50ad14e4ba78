package daemon

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLanesAHangingLaneDelaysNoOther(t *testing.T) { // invariant 6
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := newLanes(ctx)
		for _, key := range []string{"h1", "h2", "h3", "h4"} {
			l.put(job{key: key, lane: "ca/hung", limit: 2, do: func(ctx context.Context) { <-ctx.Done() }})
		}
		start := time.Now()
		var took time.Duration
		l.put(job{key: "good", lane: "ca/good", limit: 2, do: func(context.Context) { took = time.Since(start) }})
		synctest.Wait()
		if took != 0 {
			t.Errorf("delayed by %s", took)
		}
		l.mu.Lock()
		if l.lanes["ca/hung"].running != 2 || len(l.lanes["ca/hung"].waiting) != 2 || l.lanes["ca/good"] != nil {
			t.Error("the limit does not hold, or an empty lane stays")
		}
		l.mu.Unlock()
		cancel()
		if err := l.close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLanesMostUrgentFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(t.Context())
		var mu sync.Mutex
		var got []string
		note := func(key string) func(context.Context) {
			return func(context.Context) {
				time.Sleep(time.Second)
				mu.Lock()
				defer mu.Unlock()
				got = append(got, key)
			}
		}
		now := time.Now()
		l.put(job{key: "first", lane: "ca", limit: 1, urgency: now.Add(9 * time.Hour), do: note("first")})
		l.put(job{key: "late", lane: "ca", limit: 1, urgency: now.Add(3 * time.Hour), do: note("late")})
		l.put(job{key: "soon", lane: "ca", limit: 1, urgency: now.Add(time.Hour), do: note("soon")})
		l.put(job{key: "soon2", lane: "ca", limit: 1, urgency: now.Add(time.Hour), do: note("soon2")})
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff([]string{"first", "soon", "soon2", "late"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLanesAKeyIsNotDoubled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(t.Context())
		var mu sync.Mutex
		runs, atOnce, most := 0, 0, 0
		do := func(context.Context) {
			mu.Lock()
			runs++
			atOnce++
			most = max(most, atOnce)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			atOnce--
			mu.Unlock()
		}
		for range 5 {
			l.put(job{key: "web", lane: "a", limit: 9, do: do})
		}
		synctest.Wait()
		for range 5 {
			l.put(job{key: "web", lane: "b", limit: 9, do: do}) // while it runs: once more afterwards
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if runs != 2 || most != 1 {
			t.Errorf("%d runs, %d at once; want 2 and 1", runs, most)
		}
	})
}

// Goroutines are used again, by whichever lane, and at rest there is none.
func TestLanesKeepGoroutinesForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(t.Context())
		spare := func() int {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.spare)
		}
		hold := make(chan struct{})
		for _, lane := range []string{"a", "b", "c"} {
			l.put(job{key: lane, lane: lane, do: func(context.Context) { <-hold }})
		}
		synctest.Wait()
		if n := spare(); n != 0 {
			t.Errorf("%d goroutines are spare while all have jobs", n)
		}
		close(hold)
		synctest.Wait()
		if n := spare(); n != 3 {
			t.Errorf("%d goroutines are spare after three jobs", n)
		}
		ran := false
		l.put(job{key: "d", lane: "d", do: func(context.Context) {
			if ran = true; spare() != 2 {
				t.Error("a job has not taken a spare goroutine")
			}
		}})
		time.Sleep(spareFor)
		l.running.Wait() // none of them is left
		if n := spare(); n != 0 || !ran {
			t.Errorf("%d goroutines are spare at rest; the last job ran: %t", n, ran)
		}
	})
}

func TestLanesClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := newLanes(ctx)
		var ran []string
		l.put(job{key: "a", lane: "x", limit: 1, do: func(ctx context.Context) { <-ctx.Done(); ran = append(ran, "a") }})
		l.put(job{key: "b", lane: "x", limit: 1, do: func(context.Context) { ran = append(ran, "b") }})
		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := l.close(short); err == nil {
			t.Error("close did not wait for the job that runs")
		}
		l.put(job{key: "c", lane: "y", limit: 1, do: func(context.Context) { ran = append(ran, "c") }})
		cancel()
		if err := l.close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(ran, []string{"a"}) {
			t.Errorf("ran %v after close", ran)
		}
	})
}

// Files on a server that does not answer make whoever looks at them hang, and nothing ends that.
func TestEvaluationsAreApartByPartOfTheFileSystem(t *testing.T) { // invariant 6
	for paths, together := range map[[2]string]bool{
		{"/etc/nginx/tls/a.pem", "/etc/nginx/tls/b.pem"}:   true,
		{"/etc/le/live/a/a.pem", "/etc/le/live/b/b.pem"}:   true,
		{"/mnt/far/tls/a.pem", "/etc/nginx/tls/b.pem"}:     false,
		{"/mnt/far/a.pem", "/mnt/other/b.pem"}:             false,
		{"/srv/a.pem", "/srv/deep/deeper/deepest/b.pem"}:   false,
		{"/srv/deep/a.pem", "/srv/deep/deeper/deep/b.pem"}: true,
	} {
		part := func(path string) string { return partOf(filepath.Dir(path) + "/") }
		if (part(paths[0]) == part(paths[1])) != together {
			t.Errorf("%s in %s, %s in %s", paths[0], part(paths[0]), paths[1], part(paths[1]))
		}
	}
}
