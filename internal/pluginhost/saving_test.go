package pluginhost

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// States that come while another is being stored share one write, which stores the latest; nobody returns before it is done.
func TestStatesThatComeTogetherAreStoredOnce(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{"stored": nil, "disk full": errors.New("disk full")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const write = time.Second
				var s saving
				var stored []string
				store := func(state []byte) error { // a second call at the same time is a data race
					time.Sleep(write)
					stored = append(stored, string(state))
					if len(stored) == 2 {
						return failure
					}
					return nil
				}
				var group sync.WaitGroup
				save := func(state string, want error, after time.Duration) {
					group.Go(func() {
						began := time.Now()
						if err := s.save([]byte(state), store); !errors.Is(err, want) {
							t.Errorf("%s: %v, want %v", state, err, want)
						}
						if took := time.Since(began); took != after {
							t.Errorf("%s returned after %s, not %s", state, took, after)
						}
					})
					synctest.Wait()
				}
				save("first", nil, write)
				for i := range 50 {
					save(strconv.Itoa(i), failure, 2*write)
				}
				time.Sleep(write + write/2)
				save("third", nil, write+write/2) // the second write is under way, and too late for it
				group.Wait()
				save("alone", nil, write)
				group.Wait()
				if want := []string{"first", "49", "third", "alone"}; !slices.Equal(stored, want) {
					t.Errorf("stored %q, want %q", stored, want)
				}
			})
		})
	}
}

// BenchmarkSaveState is what a reply with account state waits for where each durable write takes a millisecond.
func BenchmarkSaveState(b *testing.B) {
	var s saving
	writes := 0
	store := func([]byte) error { writes++; time.Sleep(time.Millisecond); return nil }
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			_ = s.save([]byte("state"), store)
		}
	})
	b.ReportMetric(float64(writes)/float64(b.N), "writes/op")
}
