package acme

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

// Orders are looked at soon after a CA that is quick is done, with few looks for nothing; a CA that is slow is looked at within
// a call less than once for each order, and when it becomes quick that is found out.
func TestFirstLookFollowsTheCA(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		takes  func(order int) time.Duration
		wait   time.Duration // most that the middle one of the last orders waited; zero: none was waited for
		misses float64       // most looks for nothing, for each of the last orders
	}{
		{"quick", func(int) time.Duration { return 15 * time.Millisecond }, 30 * time.Millisecond, 0.2},
		{"uneven", func(int) time.Duration { return time.Duration(20+rand.IntN(80)) * time.Millisecond }, 150 * time.Millisecond, 0.3},
		{"slow", func(int) time.Duration { return 2 * time.Second }, 0, 0.2},
		{"slow, then quick", func(n int) time.Duration {
			if n < 200 {
				return 3 * time.Second
			}
			return 20 * time.Millisecond
		}, 40 * time.Millisecond, 0.2},
	} {
		for _, atOnce := range []int{1, 64} {
			synctest.Test(t, func(t *testing.T) {
				const orders, judged = 2000, 1000
				p := newPromptness()
				var mu sync.Mutex
				var waits []time.Duration
				placed, misses := 0, 0
				one := func() bool {
					mu.Lock()
					n := placed
					placed++
					mu.Unlock()
					takes, first := c.takes(n), p.firstLook()
					time.Sleep(max(first, time.Millisecond))
					if first > 0 {
						p.looked(first, first >= takes)
					}
					mu.Lock()
					defer mu.Unlock()
					if n >= orders-judged {
						waits = append(waits, first)
						if first > 0 && first < takes {
							misses++
						}
					}
					return placed < orders
				}
				var group sync.WaitGroup
				for range atOnce {
					group.Go(func() {
						for one() {
						}
					})
				}
				group.Wait()
				slices.Sort(waits)
				if middle := waits[len(waits)/2]; middle > c.wait || (middle == 0) != (c.wait == 0) {
					t.Errorf("%s, %d at once: the middle one waited for %s", c.name, atOnce, middle)
				}
				if share := float64(misses) / judged; share > c.misses {
					t.Errorf("%s, %d at once: %.2f looks for nothing for each order", c.name, atOnce, share)
				}
			})
		}
	}
}

// When an order is found done, those that were begun before it are looked at without delay, and once: one that the CA is slow
// with is not looked at for each of the others. Nothing about the CA is learned from such a look.
func TestOvertakenOrdersAreLookedAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		ctx, cancel := context.WithCancel(t.Context())
		p := &promptness{took: 600 * ms, known: true}
		start := time.Now()
		begin := func() *waiting {
			w := p.begin()
			time.Sleep(ms)
			return w
		}
		first, second, third := begin(), begin(), begin()
		looks := map[*waiting][]time.Duration{}
		var mu sync.Mutex
		var group sync.WaitGroup
		for _, w := range []*waiting{first, second, third} {
			group.Go(func() {
				for w.next(ctx) {
					mu.Lock()
					looks[w] = append(looks[w], time.Since(start))
					mu.Unlock()
					w.looked(false)
				}
			})
		}
		time.Sleep(97 * ms)
		p.doneUpTo(second.begun)
		time.Sleep(100 * ms)
		p.doneUpTo(third.begun)
		synctest.Wait()
		p.mu.Lock()
		if p.took != 600*ms {
			t.Errorf("the estimate is %s", p.took)
		}
		p.mu.Unlock()
		time.Sleep(600 * ms)
		cancel() // before the last looks, at the end of a second
		group.Wait()
		want := map[*waiting][]time.Duration{first: {100 * ms, 700 * ms}, second: {200 * ms, 800 * ms}, third: {603 * ms}}
		for i, w := range []*waiting{first, second, third} {
			if !slices.Equal(looks[w], want[w]) {
				t.Errorf("order %d was looked at after %v, not %v", i, looks[w], want[w])
			}
		}
	})
}

// A CA that takes its time is looked at four times within a second and then left alone until the daemon's next call.
func TestSlowCAIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{Env: []string{"PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0"}})
	req := request(t, nil, "slow.example.com")
	o, err := r.place(req)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	looks := 0
	r.proxy.meddle(func(req *http.Request) verdict {
		if !strings.HasPrefix(req.URL.Path, "/my-order/") {
			return verdict{}
		}
		mu.Lock()
		defer mu.Unlock()
		looks++
		return verdict{answer: write(http.StatusOK, `{"status":"pending","identifiers":[{"type":"dns","value":"slow.example.com"}],"authorizations":[]}`)}
	})
	placed := pluginapi.PlacedOrder{OrderRequest: req, Reference: o.Reference, State: o.State}
	offered := o.Authorizations[0].Challenges
	i := slices.IndexFunc(offered, func(c pluginapi.Challenge) bool { return c.Type() == pluginapi.ChallengeHTTP })
	r.publish(offered[i])
	reply, err := r.respond(placed, []string{offered[i].ID})
	if err != nil || reply.Status != pluginapi.PendingValidation || looks != 4 {
		t.Errorf("%d looks, and the order is %s: %v", looks, reply.Status, err)
	}
}
