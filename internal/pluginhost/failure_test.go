package pluginhost

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// A neighbour works before, during and after every misdeed of the others.
func neighbour(t *testing.T, r *rig) (check func()) {
	t.Helper()
	install(t, r.dir, "ca-good", "")
	good := r.account("neighbour", "good", "")
	pid := ""
	eventually(t, "the neighbour answers", func() bool { // limits made for a test may be tight for it
		reply, err := good.GetOrder(t.Context(), placed("pid"))
		pid = reply.Order.Detail
		return err == nil
	})
	return func() {
		t.Helper()
		if got := detail(t, good, "pid"); got != pid {
			t.Errorf("the neighbour had to be started again: %s, then %s", pid, got)
		}
	}
}

func TestFailuresAtStart(t *testing.T) {
	for behaviour, want := range map[string]string{
		"crash-at-start":        "it ended with status 3; its last words: panic: cannot even begin",
		"garbage":               "Hello, I am not the handshake",
		"garbage-flood":         "xxxx",
		"wrong-protocol":        "Plugin version: 99",
		"net-rpc":               "unsupported plugin protocol",
		"foreign-socket":        "which is not in its folder",
		"silent":                "it was not ready within",
		"crash-after-handshake": "it ended with status 4",
		"hang-in-describe":      "it was not ready within",
		"dcv":                   "it does not serve the ca contract",
	} {
		t.Run(behaviour, func(t *testing.T) {
			r := newRig(t, func(o *Options) {
				if strings.Contains(want, "not ready") {
					o.StartTimeout = 3 * time.Second
				}
			})
			check := neighbour(t, r)
			// Another content, so that the description is not known from the neighbour.
			install(t, r.dir, "ca-test", "other")
			_, err := r.account("shop", "test", behaviour).PlaceOrder(t.Context(), request("pid"))
			if pluginapi.KindOf(err) != pluginapi.Unavailable || !errors.Is(err, ErrStart) {
				t.Fatalf("error: %v", err)
			}
			if !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "ca-test") != 1 {
				t.Errorf("error %q does not say %q", err, want)
			}
			if len(err.Error()) > 1500 {
				t.Errorf("a message of %d bytes", len(err.Error()))
			}
			got := r.state(t, "shop")
			if got.Failures != 1 || got.PID != 0 || !strings.Contains(got.Reason, want) {
				t.Errorf("state: %+v", got)
			}
			check()
		})
	}
}

func TestCrashInCall(t *testing.T) {
	r := newRig(t, nil)
	check := neighbour(t, r)
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	_, err := c.GetOrder(t.Context(), placed("crash"))
	if pluginapi.KindOf(err) != pluginapi.Unavailable || !strings.Contains(err.Error(), "it ended with status 7; its last words: panic: as told") {
		t.Errorf("GetOrder: %v", err)
	}
	eventually(t, "it may be started again", func() bool { return r.state(t, "shop").State == StateIdle })
	_, err = c.PlaceOrder(t.Context(), request("crash"))
	if pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
		t.Errorf("PlaceOrder: %v", err)
	}
	eventually(t, "it may be started again", func() bool { return r.state(t, "shop").State == StateIdle })
	detail(t, c, "pid")
	if got := r.state(t, "shop"); got.Restarts != 2 || got.Failures != 2 {
		t.Errorf("state: %+v", got)
	}
	// Leaving without need in the middle of a call is a failure too.
	if _, err := c.GetOrder(t.Context(), placed("exit0")); !strings.Contains(err.Error(), "status 0") {
		t.Errorf("exit: %v", err)
	}
	check()
}

func TestHangInCall(t *testing.T) {
	for _, command := range []string{"hang", "stop"} {
		t.Run(command, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.CallTimeout, o.StopGrace = 2*time.Second, 100*time.Millisecond })
			check := neighbour(t, r)
			install(t, r.dir, "ca-test", "")
			c := r.account("shop", "test", "")
			pid := detail(t, c, "pid")
			_, err := c.PlaceOrder(t.Context(), request(command))
			if pluginapi.KindOf(err) != pluginapi.UnknownOutcome || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error: %v", err)
			}
			eventually(t, "the hanging process is gone", func() bool { return !alive(pid) })
			if got := r.state(t, "shop"); got.Failures != 1 || !strings.Contains(got.Reason, "without an answer") {
				t.Errorf("state: %+v", got)
			}
			eventually(t, "it may be started again", func() bool { return r.state(t, "shop").State == StateIdle })
			detail(t, c, "pid")
			check()
		})
	}
}

// A CA that does not answer is no fault of the plugin: it gives up in time and says so.
func TestGivingUpInTimeIsNoFailure(t *testing.T) {
	r := newRig(t, func(o *Options) { o.CallTimeout = 5 * time.Second })
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	pid := detail(t, c, "pid")
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for _, ctx := range []context.Context{short, t.Context()} {
		_, err := c.PlaceOrder(ctx, request("wait"))
		if pluginapi.KindOf(err) != pluginapi.UnknownOutcome || !strings.Contains(err.Error(), "gave up in time") {
			t.Errorf("error: %v", err)
		}
	}
	if got := r.state(t, "shop"); got.Failures != 0 || detail(t, c, "pid") != pid {
		t.Errorf("state: %+v", got)
	}
}

func TestCallerInAHurry(t *testing.T) {
	r := newRig(t, nil)
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	pid := detail(t, c, "pid")
	ctx, cancel := context.WithCancel(t.Context())
	result := hanging(ctx, t, c)
	cancel()
	if err := <-result; pluginapi.KindOf(err) != pluginapi.UnknownOutcome || !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if got := detail(t, c, "pid"); got != pid {
		t.Error("a canceled call cost the process")
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.PlaceOrder(short, request("hang")); pluginapi.KindOf(err) != pluginapi.UnknownOutcome || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("late: %v", err)
	}
	if got := r.state(t, "shop"); got.Failures != 0 {
		t.Errorf("a caller's own deadline counted as a failure: %+v", got)
	}
	if got := detail(t, c, "pid"); got == pid {
		t.Error("a process that nobody knows what it does takes calls")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.PlaceOrder(ended, request("pid")); pluginapi.KindOf(err) != pluginapi.Unavailable {
		t.Errorf("never sent: %v", err)
	}
}

func TestMemoryHog(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxRSS, o.RSSInterval = 256<<20, 20*time.Millisecond })
	check := neighbour(t, r)
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	_, err := c.GetOrder(t.Context(), placed("hog"))
	if pluginapi.KindOf(err) != pluginapi.Unavailable || !strings.Contains(err.Error(), "more than the 256 MiB allowed") {
		t.Errorf("error: %v", err)
	}
	if got := r.state(t, "shop"); got.Failures != 1 {
		t.Errorf("state: %+v", got)
	}
	check()
}

func TestLiarIsRestarted(t *testing.T) {
	r := newRig(t, nil)
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	pid := detail(t, c, "pid")
	_, err := c.PlaceOrder(t.Context(), request("lie"))
	if pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
		t.Errorf("error: %v", err)
	}
	eventually(t, "the process is gone", func() bool { return !alive(pid) })
	if got := r.state(t, "shop"); got.Failures != 1 || !strings.Contains(got.Reason, "breaks the contract") {
		t.Errorf("state: %+v", got)
	}
}

func TestBackoffIsVisibleAndHolds(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Policy = Policy{BackoffBase: time.Hour, BackoffMax: time.Hour, QuarantineAfter: 2, QuarantineFor: 2 * time.Hour}
	})
	check := neighbour(t, r)
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	if _, err := c.GetOrder(t.Context(), placed("crash")); err == nil {
		t.Fatal("no error")
	}
	_, err := c.PlaceOrder(t.Context(), request("pid"))
	var e *pluginapi.Error
	if !errors.As(err, &e) || e.Kind != pluginapi.Unavailable || !errors.Is(err, ErrBackingOff) || e.RetryAfter < 59*time.Minute || e.RetryAfter > time.Hour {
		t.Fatalf("error: %#v", e)
	}
	if got := r.state(t, "shop"); got.State != StateBackingOff || time.Until(got.NextTry) < 59*time.Minute || !strings.Contains(got.Reason, "status 7") {
		t.Errorf("state: %+v", got)
	}
	if info := r.plugin(t, "ca-test"); info.State != StateBackingOff || info.Reason == "" {
		t.Errorf("plugin: %+v", info)
	}
	if !r.Release("shop") || r.Release("nobody") {
		t.Error("release")
	}
	if _, err := c.GetOrder(t.Context(), placed("crash")); errors.Is(err, ErrBackingOff) {
		t.Errorf("released: %v", err)
	}
	check()
}

func TestQuarantine(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Policy = Policy{BackoffBase: time.Nanosecond, BackoffMax: time.Nanosecond, QuarantineAfter: 3, QuarantineFor: time.Hour}
	})
	check := neighbour(t, r)
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	other := r.account("other", "test", "")
	pid := detail(t, other, "pid")
	quarantine := func() {
		t.Helper()
		for range 3 {
			if _, err := c.GetOrder(t.Context(), placed("crash")); err == nil || errors.Is(err, ErrQuarantined) {
				t.Fatalf("error: %v", err)
			}
		}
		_, err := c.PlaceOrder(t.Context(), request("pid"))
		var e *pluginapi.Error
		if !errors.As(err, &e) || e.Kind != pluginapi.Unavailable || !errors.Is(err, ErrQuarantined) || e.RetryAfter < 59*time.Minute {
			t.Fatalf("error: %v", err)
		}
		if got := r.state(t, "shop"); got.State != StateQuarantined || got.Failures != 3 {
			t.Fatalf("state: %+v", got)
		}
	}
	quarantine()
	if event := r.events.last(EventQuarantined); event.Instance != "shop" || event.Until.IsZero() || event.Reason == "" {
		t.Errorf("event: %+v", event)
	}
	// Not its account, but another of the same plugin, and other plugins, go on.
	if detail(t, other, "pid") != pid {
		t.Error("another account was stopped")
	}
	check()

	r.Release("ca-test")
	detail(t, c, "pid")
	quarantine()

	install(t, r.dir, "ca-test", "a better one")
	detail(t, c, "pid")
	if got := r.state(t, "shop"); got.State != StateRunning || got.Failures != 0 {
		t.Errorf("after the file was replaced: %+v", got)
	}
}

func TestQuarantineEndsWithATrial(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Policy = Policy{BackoffBase: time.Nanosecond, BackoffMax: time.Nanosecond, QuarantineAfter: 2, QuarantineFor: 200 * time.Millisecond}
	})
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	crash := func() {
		t.Helper()
		if _, err := c.GetOrder(t.Context(), placed("crash")); err == nil || errors.Is(err, ErrQuarantined) {
			t.Fatalf("error: %v", err)
		}
	}
	crash()
	crash()
	eventually(t, "the quarantine ends", func() bool { return r.state(t, "shop").State == StateIdle })
	// The process starts, and answers Configure, which passes the trial; the next quarantine needs two failures again.
	detail(t, c, "pid")
	crash()
	if got := r.state(t, "shop"); got.State == StateQuarantined || got.Failures != 1 {
		t.Errorf("after a passed trial: %+v", got)
	}
}

func TestNothingAPluginStartedOutlivesIt(t *testing.T) {
	for _, how := range []string{"stop", "crash"} {
		t.Run(how, func(t *testing.T) {
			r := newRig(t, nil)
			install(t, r.dir, "ca-test", "")
			c := r.account("shop", "test", "")
			child := detail(t, c, "spawn")
			if !alive(child) {
				t.Fatal("it did not start")
			}
			if how == "crash" {
				_, _ = c.GetOrder(t.Context(), placed("crash"))
			} else {
				c.Close()
			}
			eventually(t, "the plugin's child is gone", func() bool { return !alive(child) })
		})
	}
}

// What fled from the process group holds the plugin's streams open and must not hold up the host.
func TestFugitiveDoesNotHoldUpTheHost(t *testing.T) {
	r := newRig(t, nil)
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	child := detail(t, c, "spawn:flee")
	t.Cleanup(func() { kill(t, child) })
	start := time.Now()
	if _, err := c.GetOrder(t.Context(), placed("crash")); !strings.Contains(err.Error(), "status 7") {
		t.Errorf("error: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestCallsWaitForASlot(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxCalls = 1 })
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	ctx, cancel := context.WithCancel(t.Context())
	result := hanging(ctx, t, c)
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := c.PlaceOrder(short, request("pid")); pluginapi.KindOf(err) != pluginapi.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error: %v", err)
	}
	cancel()
	<-result
	detail(t, c, "pid")
}

func kill(t *testing.T, pid string) {
	t.Helper()
	if p := atoi(t, pid); p > 1 {
		proc, err := os.FindProcess(p)
		if err == nil {
			_ = proc.Kill()
		}
	}
}
