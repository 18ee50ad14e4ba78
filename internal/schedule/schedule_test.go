package schedule_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certbridge/certbridged/internal/schedule"
)

const day = 24 * time.Hour

var begin = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// good is a certificate of 90 days with nothing to do.
func good() schedule.Input {
	return schedule.Input{
		Name: "web", HasNames: true, KeyType: "ecdsa-p256",
		RenewBefore: schedule.RenewBefore{Fraction: 1.0 / 3},
		Certificate: &schedule.Certificate{Serial: "a1", NotBefore: begin, NotAfter: begin.Add(90 * day), KeyType: "ecdsa-p256"},
	}
}

func TestDecide(t *testing.T) {
	for name, c := range map[string]struct {
		after  time.Duration
		change func(*schedule.Input)
		act    bool
		reason schedule.Reason
		at     time.Duration // after begin; 0: not looked at
	}{
		"fresh: wait until a third is left":       {reason: schedule.NotDue, at: 60 * day},
		"a third is left: act":                    {after: 60 * day, act: true, reason: schedule.NearExpiry},
		"one second earlier: wait":                {after: 60*day - time.Second, reason: schedule.NotDue, at: 60 * day},
		"expired: act":                            {after: 91 * day, act: true, reason: schedule.Expired},
		"thirty days before by duration: act":     {after: 61 * day, change: func(in *schedule.Input) { in.RenewBefore = schedule.RenewBefore{Duration: 30 * day} }, act: true, reason: schedule.NearExpiry},
		"duration longer than the lifetime: half": {change: func(in *schedule.Input) { in.RenewBefore = schedule.RenewBefore{Duration: 400 * day} }, reason: schedule.NotDue, at: 45 * day},
		"nothing on disk: act":                    {change: func(in *schedule.Input) { in.Certificate = nil }, act: true, reason: schedule.Missing},
		"broken set: act":                         {change: func(in *schedule.Input) { in.Broken = "the key is another one" }, act: true, reason: schedule.BrokenSet},
		"a set broken just now: wait, somebody may be at it": {after: day, change: func(in *schedule.Input) {
			in.Broken, in.BrokenSince = "the key is another one", begin.Add(day-time.Second)
		}, reason: schedule.BrokenSet, at: day + 59*time.Second},
		"a set broken for a minute: act": {after: day, change: func(in *schedule.Input) {
			in.Broken, in.BrokenSince = "the key is another one", begin.Add(day-time.Minute)
		}, act: true, reason: schedule.BrokenSet},
		"files that cannot be read: nobody knows": {change: func(in *schedule.Input) {
			in.Certificate, in.HasNames, in.Unreadable = nil, false, "web.pem: permission denied"
		}, reason: schedule.Unreadable},
		"a name more: act":                                  {change: func(in *schedule.Input) { in.Certificate.Missing = []string{"new.example.com"} }, act: true, reason: schedule.NamesChanged},
		"another key type: act":                             {change: func(in *schedule.Input) { in.KeyType = "rsa-2048" }, act: true, reason: schedule.KeyChanged},
		"key type left to the disk: wait":                   {change: func(in *schedule.Input) { in.KeyType = "" }, reason: schedule.NotDue},
		"revoked: act":                                      {change: func(in *schedule.Input) { in.RevokedSerial = "a1" }, act: true, reason: schedule.Revoked},
		"another was revoked: wait":                         {change: func(in *schedule.Input) { in.RevokedSerial = "b2" }, reason: schedule.NotDue},
		"switched off: never":                               {after: 91 * day, change: func(in *schedule.Input) { in.Disabled = true }, reason: schedule.Disabled},
		"no names: never":                                   {change: func(in *schedule.Input) { in.HasNames, in.Certificate = false, nil }, reason: schedule.NoNames},
		"an open order: let it work":                        {after: 91 * day, change: func(in *schedule.Input) { in.Order = &schedule.Order{Phase: "placed"} }, reason: schedule.OrderOpen},
		"a held order: wait for the person":                 {after: 91 * day, change: func(in *schedule.Input) { in.Order = &schedule.Order{Held: true} }, reason: schedule.OrderHeld},
		"the last order failed: back off":                   {after: 70 * day, change: func(in *schedule.Input) { in.Failures, in.RetryAt = 2, begin.Add(71*day) }, reason: schedule.BackingOff, at: 71 * day},
		"back-off without end, the clock was set back: act": {after: 70 * day, change: func(in *schedule.Input) { in.Failures, in.RetryAt = 2, begin.Add(400*day) }, act: true, reason: schedule.NearExpiry},
		"back-off over: act":                                {after: 72 * day, change: func(in *schedule.Input) { in.Failures, in.RetryAt = 2, begin.Add(71*day) }, act: true, reason: schedule.NearExpiry},
		"the CA wants it gone: act in its window": {after: 10 * day, change: func(in *schedule.Input) {
			in.Window = &schedule.Window{Serial: "a1", Start: begin.Add(9 * day), End: begin.Add(10 * day)}
		}, act: true, reason: schedule.RenewalWindow},
		"a window for another serial: not ours": {after: 10 * day, change: func(in *schedule.Input) {
			in.Window = &schedule.Window{Serial: "b2", Start: begin.Add(9 * day), End: begin.Add(10 * day)}
		}, reason: schedule.NotDue, at: 60 * day}, // invariant 11
		"a window after renew_before: act earlier": {after: 60 * day, change: func(in *schedule.Input) {
			in.Window = &schedule.Window{Serial: "a1", Start: begin.Add(80 * day), End: begin.Add(81 * day)}
		}, act: true, reason: schedule.NearExpiry},
	} {
		t.Run(name, func(t *testing.T) {
			in := good()
			if c.change != nil {
				c.change(&in)
			}
			v := schedule.Decide(in, begin.Add(c.after))
			if v.Act != c.act || v.Reason != c.reason {
				t.Errorf("act %v for %s (%s), want %v for %s", v.Act, v.Reason, v.Detail, c.act, c.reason)
			}
			if v.Detail == "" {
				t.Error("no sentence for people")
			}
			if c.at != 0 && !v.At.Equal(begin.Add(c.at)) {
				t.Errorf("next at %s, want %s", v.At, begin.Add(c.at))
			}
		})
	}
}

func TestPickInWindow(t *testing.T) {
	w := schedule.Window{Start: begin, End: begin.Add(day)}
	seen := map[time.Time]bool{}
	for _, serial := range []string{"1", "2", "3", "4", "5", "6", "7", "8"} {
		w.Serial = serial
		at := schedule.PickInWindow(w)
		if at.Before(w.Start) || !at.Before(w.End) {
			t.Errorf("%s is outside the window", at)
		}
		if !schedule.PickInWindow(w).Equal(at) {
			t.Error("the choice is not stable")
		}
		seen[at] = true
	}
	if len(seen) < 6 {
		t.Errorf("eight serials share %d instants", len(seen))
	}
	if got := schedule.PickInWindow(schedule.Window{Start: begin, End: begin}); !got.Equal(begin) {
		t.Errorf("empty window: %s", got)
	}
}

func TestBackoff(t *testing.T) {
	last := time.Duration(0)
	for n := 1; n < 12; n++ {
		wait := schedule.Backoff(n, 365*day, "web")
		if wait < last*9/10 {
			t.Errorf("failure %d waits %s, after %s", n, wait, last)
		}
		last = wait
	}
	if last < 6*time.Hour || last > 7*time.Hour {
		t.Errorf("the longest wait is %s", last)
	}
	for name, c := range map[string]struct{ remaining, atMost time.Duration }{
		"a week left":        {7 * day, 8 * time.Hour},
		"a day left":         {day, 70 * time.Minute},
		"an hour left":       {time.Hour, 3 * time.Minute},
		"a minute left":      {time.Minute, 6 * time.Second},
		"expired or nothing": {0, 17 * time.Minute},
	} {
		if wait := schedule.Backoff(50, c.remaining, "web"); wait > c.atMost || wait < 5*time.Second {
			t.Errorf("%s: %s, at most %s", name, wait, c.atMost)
		}
	}
}

func TestTimerCallsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timer := schedule.NewTimer()
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		type call struct {
			Key   string
			After time.Duration
		}
		var got []call
		done := make(chan struct{})
		go func() {
			defer close(done)
			timer.Run(ctx, func(key string) { got = append(got, call{key, time.Since(start)}) })
		}()
		timer.Set("late", start.Add(3*time.Hour))
		timer.Set("moved", start.Add(time.Hour))
		timer.Set("dropped", start.Add(time.Minute))
		timer.Set("early", start.Add(10*time.Minute))
		timer.Set("moved", start.Add(2*time.Hour))
		timer.Set("dropped", time.Time{})
		timer.Set("past", start.Add(-time.Hour))
		time.Sleep(4 * time.Hour)
		cancel()
		<-done
		want := []call{{"past", 0}, {"early", 10 * time.Minute}, {"moved", 2 * time.Hour}, {"late", 3 * time.Hour}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if timer.Len() != 0 {
			t.Errorf("%d keys left", timer.Len())
		}
	})
}

func TestTimerHoldsOneEntryAKey(t *testing.T) {
	timer := schedule.NewTimer()
	var keys []string
	for i := range 100 {
		key := string(rune('a' + i%10))
		timer.Set(key, begin.Add(time.Duration(i)*time.Second))
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if n := len(slices.Compact(keys)); timer.Len() != n {
		t.Errorf("%d entries for %d keys", timer.Len(), n)
	}
	if at := timer.Due("a"); !at.Equal(begin.Add(90 * time.Second)) {
		t.Errorf("a is due at %s", at)
	}
}

func TestBackingOffSaysWhyTheOrderFailed(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	in := schedule.Input{HasNames: true, Failures: 2, Failure: "no such product", RetryAt: now.Add(time.Hour)}
	if v := schedule.Decide(in, now); v.Reason != schedule.BackingOff || !strings.Contains(v.Detail, "the last 2 orders failed (no such product)") {
		t.Errorf("%+v", v)
	}
}
