package pluginhost

import (
	"testing"
	"time"
)

// Plugins that are woken start beside each other, configured, once, and nobody waits: not even for one that never starts.
func TestWokenPluginsStartBesideEachOther(t *testing.T) {
	r := newRig(t, func(o *Options) { o.CloseGrace = 100 * time.Millisecond }) // for the one that is stuck
	install(t, r.dir, "ca-test", "")
	install(t, r.dir, "dcv-test", "")
	shop, stuck := r.account("shop", "test", "state"), r.account("stuck", "test", "silent")
	dns := r.DCV(Instance{Name: "dns", Plugin: "test"})
	saved := make(chan struct{}, 1)
	shop.inst.spec.SaveState = func([]byte) error { saved <- struct{}{}; return nil }
	for range 3 {
		stuck.Wake()
		shop.Wake()
		dns.Wake()
	}
	select {
	case <-saved:
	case <-time.After(deadline):
		t.Fatal("the account was not configured")
	}
	eventually(t, "both run", func() bool { return r.state(t, "shop").PID != 0 && r.state(t, "dns").PID != 0 })
	shop.Wake()
	detail(t, shop, "pid")
	for _, name := range []string{"shop", "dns"} {
		if n := r.events.count(EventStarted, name); n != 1 {
			t.Errorf("%s: %d starts", name, n)
		}
	}
	if n := r.events.count(EventStarted, "stuck"); n != 0 {
		t.Errorf("the one that is stuck started %d times", n)
	}
}

// A profile whose abilities are known is not woken: whether anything will be published is not known.
func TestAProfileThatIsKnownSleepsOn(t *testing.T) {
	r := newRig(t, func(o *Options) { o.IdleAfter = 50 * time.Millisecond })
	install(t, r.dir, "dcv-test", "")
	d := r.DCV(Instance{Name: "dns", Plugin: "test"})
	if _, err := d.Configured(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is idle and stopped", func() bool { return r.events.count(EventStopped, "dns") == 1 })
	d.Wake()
	d.inst.mu.Lock()
	if d.inst.waking {
		t.Error("it is woken")
	}
	d.inst.mu.Unlock()
	install(t, r.dir, "dcv-test", "another")
	eventually(t, "another file is woken", func() bool {
		d.Wake()
		return r.events.count(EventStarted, "dns") == 2
	})
}

// What becomes of a plugin that was woken is told and heeded as for every start, and it rests again when nobody came to use it.
func TestWokenInVain(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.IdleAfter = 50 * time.Millisecond
		o.Policy = Policy{BackoffBase: time.Hour, BackoffMax: time.Hour, QuarantineAfter: 100}
	})
	install(t, r.dir, "ca-test", "")
	good, bad := r.account("good", "test", ""), r.account("bad", "test", "crash-in-configure")
	absent := r.account("absent", "none", "")
	good.Wake()
	bad.Wake()
	absent.Wake()
	eventually(t, "the idle one is stopped", func() bool { return r.events.count(EventStopped, "good") == 1 })
	eventually(t, "the failure is told", func() bool { return r.events.count(EventFailed, "bad") == 1 })
	eventually(t, "nothing is under way", func() bool { return r.state(t, "bad").PID == 0 })
	bad.Wake() // until the back-off is over nothing is started
	if _, err := bad.GetOrder(t.Context(), placed("pid")); err == nil || r.events.count(EventFailed, "bad") != 1 {
		t.Errorf("started again at once: %v", err)
	}
	good.Close()
	good.Wake()
	if n := r.events.count(EventStarted, "good"); n != 1 {
		t.Errorf("%d starts of the one that is closed", n)
	}
}
