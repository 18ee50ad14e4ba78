package daemon

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certbridge/certbridged/internal/certstore"
	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// diary notes which jobs ran, and when.
type diary struct {
	mu  sync.Mutex
	ran []string
	at  map[string]time.Duration
}

func (n *diary) job(j job) job {
	start := time.Now()
	j.do = func(context.Context) {
		n.mu.Lock()
		n.ran = append(n.ran, j.key)
		if n.at == nil {
			n.at = map[string]time.Duration{}
		}
		n.at[j.key] = time.Since(start)
		n.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	return j
}

// What waits at a gate that is shut starts when it opens, the nearest expiry first whenever it came, and no other lane waits.
func TestAGateKeepsTheOrderOfWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(t.Context())
		d := &Daemon{lanes: l}
		var n diary
		now := time.Now()
		d.heed("shop", &pluginapi.Error{Kind: pluginapi.RateLimited, RetryAfter: 10 * time.Second})
		for i := range 9 {
			hours := time.Duration(i*4%9) * time.Hour
			l.put(n.job(job{key: fmt.Sprintf("a%d", i*4%9), lane: "ca/shop", gate: "ca/shop", limit: 1, urgency: now.Add(hours)}))
		}
		l.put(n.job(job{key: "dcv", lane: "ca/shop/dcv/x", gate: "ca/shop", limit: 1}))
		l.put(n.job(job{key: "free", lane: "ca/other", gate: "ca/other", limit: 1}))
		time.Sleep(9 * time.Second)
		n.mu.Lock()
		if diff := cmp.Diff([]string{"free"}, n.ran); diff != "" {
			t.Error(diff)
		}
		n.mu.Unlock()
		if opens := l.shutUntil("ca/shop"); !opens.Equal(now.Add(10 * time.Second)) {
			t.Errorf("opens at %s", opens)
		}
		d.heed("shop", &pluginapi.Error{Kind: pluginapi.RateLimited, RetryAfter: 11 * time.Second}) // until 20 s
		d.heed("shop", &pluginapi.Error{Kind: pluginapi.RateLimited, RetryAfter: time.Second})      // which shortens nothing
		time.Sleep(time.Minute)
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.at["a0"] != 20*time.Second || n.at["dcv"] != 20*time.Second {
			t.Errorf("opened at %v", n.at)
		}
		order := slices.DeleteFunc(slices.Clone(n.ran), func(k string) bool { return k[0] != 'a' })
		if !slices.IsSorted(order) || len(order) != 9 {
			t.Errorf("ran %v", order)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.gates)+len(l.lanes) != 0 {
			t.Errorf("%d gates and %d lanes are left", len(l.gates), len(l.lanes))
		}
	})
}

func TestOnlyAShortPauseOfTheCAShutsItsGate(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		shut bool
	}{
		"no error":              {nil, false},
		"another kind":          {&pluginapi.Error{Kind: pluginapi.Unavailable, RetryAfter: time.Second}, false},
		"no time":               {&pluginapi.Error{Kind: pluginapi.RateLimited}, false},
		"a moment":              {fmt.Errorf("plugin: %w", &pluginapi.Error{Kind: pluginapi.RateLimited, RetryAfter: time.Second}), true},
		"a limit for a request": {&pluginapi.Error{Kind: pluginapi.RateLimited, RetryAfter: 34 * time.Hour}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := &Daemon{lanes: newLanes(t.Context())}
			d.heed("shop", c.err)
			if got := !d.lanes.shutUntil("ca/shop").IsZero(); got != c.shut {
				t.Errorf("%s: shut: %v", name, got)
			}
			if err := d.lanes.close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhatWasBegunGoesBeforeWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(t.Context())
		var n diary
		soon, late := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		l.shut("g", time.Second)
		for _, j := range []job{
			{key: "late, begun", urgency: late, begun: true}, {key: "new", urgency: soon}, {key: "begun", urgency: soon, begun: true},
		} {
			j.lane, j.gate, j.limit = "g", "g", 1
			l.put(n.job(j))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		if diff := cmp.Diff([]string{"begun", "new", "late, begun"}, n.ran); diff != "" {
			t.Error(diff)
		}
	})
}

// The CA is asked about a new certificate a while after it was deployed, and about one that lives for minutes soon; one that another
// process has deployed is asked about at once.
func TestANewCertificatesWindowIsAskedForLater(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		lifetime, deployedAgo time.Duration
		least, most           time.Duration
	}{
		"lives for 90 days":          {90 * 24 * time.Hour, 0, windowFirstAtMost, 2*windowFirstAtMost + windowSlot},
		"lives for six days":         {6 * 24 * time.Hour, time.Minute, 80 * time.Minute, 3*time.Hour + windowSlot},
		"lives for ten minutes":      {10 * time.Minute, 0, 6 * time.Second, 12 * time.Second},
		"was deployed long ago":      {90 * 24 * time.Hour, 30 * time.Hour, 0, 0},
		"was deployed before":        {90 * 24 * time.Hour, 49 * time.Hour, 0, 0},
		"was never deployed by us":   {90 * 24 * time.Hour, 10 * 365 * 24 * time.Hour, 0, 0},
		"has no lifetime worth that": {time.Second / 100, 0, 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			d := &Daemon{machine: "a", started: now.Add(-48 * time.Hour)}
			leaf := &certstore.Leaf{NotBefore: now.Add(-time.Hour), NotAfter: now.Add(c.lifetime - time.Hour)}
			wait := d.firstWindow(config.Certificate{Name: "web", CA: "shop"}, leaf, now.Add(-c.deployedAgo), now).Sub(now)
			if wait < c.least || wait > c.most {
				t.Errorf("asked after %s", wait)
			}
		})
	}
}

// However many certificates there are and whenever the daemon was started, an account is asked twice an hour at most.
func TestQuestionsForWindowsComeInBatches(t *testing.T) {
	d := &Daemon{machine: "a"}
	start := time.Date(2026, 3, 1, 10, 17, 3, 5, time.UTC)
	at := map[time.Time]int{}
	for i := range 10000 {
		c := config.Certificate{Name: fmt.Sprintf("c%d", i), CA: "shop"}
		next := d.windowAfterRest(c, start)
		at[next]++
		if wait := next.Sub(start); wait < 0 || wait > windowAgain+windowSlot {
			t.Fatalf("waits for %s", wait)
		}
		for later := start; !later.After(next.Add(-windowSlot)); later = later.Add(7 * time.Minute) { // started again and again
			if again := d.windowAfterRest(c, later); !again.Equal(next) {
				t.Fatalf("asked at %s, and after a start at %s at %s", next, later, again)
			}
		}
	}
	if len(at) > int(windowAgain/windowSlot)+1 {
		t.Errorf("%d batches", len(at))
	}
	for slot, n := range at {
		if n > 1500 {
			t.Errorf("%d at once at %s", n, slot)
		}
	}
	slot := d.windowsFrom("shop", start)
	if !d.windowsFrom("shop", slot).Equal(slot) || !d.windowsFrom("shop", slot.Add(1)).Equal(slot.Add(windowSlot)) {
		t.Error("the times of an account are not its own")
	}
	if (&Daemon{machine: "b"}).windowsFrom("shop", start).Equal(slot) {
		t.Error("two machines ask at the same minute")
	}
	for again, want := range map[time.Duration]time.Time{
		time.Minute: start.Add(time.Minute), 6 * time.Hour: d.windowsFrom("shop", start.Add(6*time.Hour)),
	} {
		if got := d.nextWindow("shop", start.Add(again), again); !got.Equal(want) {
			t.Errorf("after %s: %s", again, got)
		}
	}
}

func TestEventsKeepTheLast(t *testing.T) {
	l := newEventLog()
	for _, count := range []int{3, keepEvents, 2*keepEvents + 7} {
		for i := range count {
			l.add(Event{Message: fmt.Sprint(i)})
		}
		var last []string
		if err := l.follow(t.Context(), false, func(e Event) error { last = append(last, e.Message); return nil }); err != nil {
			t.Fatal(err)
		}
		if last[len(last)-1] != fmt.Sprint(count-1) || len(last) > keepEvents {
			t.Errorf("%d kept, the last is %s of %d", len(last), last[len(last)-1], count)
		}
		for i := max(1, len(last)-count+1); i < len(last); i++ {
			if want := fmt.Sprint(count - len(last) + i); last[i] != want {
				t.Fatalf("event %d is %s, not %s", i, last[i], want)
			}
		}
	}
}
