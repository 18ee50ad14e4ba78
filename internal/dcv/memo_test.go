package dcv

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func TestMemo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memo[int]{keep: time.Minute}
		var finds atomic.Int32
		find := func(ctx context.Context) (int, error) {
			n := finds.Add(1)
			select {
			case <-time.After(time.Second):
				return int(n), nil
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			}
		}
		want := func(value int) {
			t.Helper()
			if got, err := m.get(t.Context(), "a", find); err != nil || got != value {
				t.Errorf("got %d, %v, want %d", got, err, value)
			}
		}
		// The first to ask leaves early; the others get it all the same.
		impatient, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := m.get(impatient, "a", find); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		for range 10 {
			wg.Go(func() { want(1) })
		}
		wg.Wait()
		want(1)
		time.Sleep(time.Minute)
		want(2) // it is too old
		m.forget("a")
		want(3)
		m.clear()
		want(4)
		if len(m.entries) != 1 {
			t.Errorf("%d entries", len(m.entries))
		}
	})
}

func TestMemoForgetsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memo[int]{keep: time.Minute}
		broken := errors.New("broken")
		if _, err := m.get(t.Context(), "a", func(context.Context) (int, error) { return 0, broken }); !errors.Is(err, broken) {
			t.Error(err)
		}
		if got, err := m.get(t.Context(), "a", func(context.Context) (int, error) { return 7, nil }); err != nil || got != 7 {
			t.Errorf("%d, %v", got, err)
		}
		// Nobody waits any more: the finding ends, and the next one finds anew.
		ended := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := m.get(ctx, "b", func(ctx context.Context) (int, error) {
			<-ctx.Done()
			close(ended)
			return 0, ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if got, err := m.get(t.Context(), "b", func(context.Context) (int, error) { return 8, nil }); err != nil || got != 8 {
			t.Errorf("%d, %v", got, err)
		}
		<-ended
	})
}

// A server that hangs delays only those who ask it, and gets no more than its share of queries.
func TestAHangingServerDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInternet(map[string]*fakeServer{"192.0.2.1": {silent: true}, resolverIP: {resolver: true}})
		c := client{dial: in.dial}
		q := question{name: "example.com.", qtype: dns.TypeA}
		hung := netip.MustParseAddrPort("192.0.2.1:53")
		var wg sync.WaitGroup
		for range 3 * queriesPerServer {
			wg.Go(func() {
				if _, err := c.ask(t.Context(), hung, q, "udp", time.Second); !errors.Is(err, errNoAnswer) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := in.asked("192.0.2.1"); n != queriesPerServer {
			t.Errorf("%d queries at the same time", n)
		}
		begun := time.Now()
		if _, err := c.ask(t.Context(), netip.MustParseAddrPort(resolverIP+":53"), q, "udp", time.Second); err != nil || time.Since(begun) != 0 {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.ask(ctx, hung, q, "udp", time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		wg.Wait()
		if len(c.lanes.open) != 0 {
			t.Errorf("%d lanes left", len(c.lanes.open))
		}
	})
}
