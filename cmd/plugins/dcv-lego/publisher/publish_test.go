package publisher

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const name = "_dnsauth." + zoneName

func mustPublish(t *testing.T, p *Publisher, c pluginapi.Challenge) []byte {
	t.Helper()
	receipt, err := p.Publish(t.Context(), c)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return receipt
}

func mustWithdraw(t *testing.T, p *Publisher, c pluginapi.Challenge, receipt []byte) {
	t.Helper()
	if err := p.Withdraw(t.Context(), c, receipt); err != nil {
		t.Fatalf("withdraw: %v", err)
	}
}

func wantError(t *testing.T, err error, kind pluginapi.ErrorKind, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if got := pluginapi.KindOf(err); got != kind {
		t.Errorf("error %v of kind %s, want %s", err, got, kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

func wantValues(t *testing.T, h *host, when string, want ...string) {
	t.Helper()
	if got := h.values(name); !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", when, got, want)
	}
}

// kinds are what providers are like.
func kinds() map[string]traits {
	return map[string]traits{
		"finds by value": {}, "finds by value, bears several calls": {concurrent: true},
		"needs its receipt": {needsReceipt: true}, "needs its receipt, bears several calls": {needsReceipt: true, concurrent: true},
	}
}

func TestPublishAndWithdrawTwiceInOneProcess(t *testing.T) {
	for kind, tr := range kinds() {
		for _, unique := range []bool{true, false} {
			t.Run(kind, func(t *testing.T) {
				h := newHost()
				h.unique = unique
				p := start(t, h, h.serve(t), tr)
				h.put(name, "another")
				mustPublish(t, p, txt(name, "ours"))
				receipt := mustPublish(t, p, txt(name, "ours"))
				wantValues(t, h, "published twice", "another", "ours")
				mustWithdraw(t, p, txt(name, "ours"), receipt)
				mustWithdraw(t, p, txt(name, "ours"), receipt)
				wantValues(t, h, "withdrawn twice", "another")
				mustPublish(t, p, txt(name, "ours"))
				wantValues(t, h, "published again", "another", "ours")
			})
		}
	}
}

// Somebody has taken the record down. It is put up again once it is certain that the name servers do not only lag behind.
func TestWhatHasVanishedIsPublishedAgain(t *testing.T) {
	for kind, tr := range kinds() {
		t.Run(kind, func(t *testing.T) {
			h := newHost()
			p := start(t, h, h.serve(t), tr)
			mustPublish(t, p, txt(name, "ours"))
			h.set(func() { clear(h.records) })
			mustPublish(t, p, txt(name, "ours"))
			wantValues(t, h, "while name servers may lag behind")
			p.profile.settle = 0
			receipt := mustPublish(t, p, txt(name, "ours"))
			wantValues(t, h, "published again", "ours")
			mustPublish(t, p, txt(name, "ours"))
			wantValues(t, h, "it stands", "ours")
			mustWithdraw(t, p, txt(name, "ours"), receipt)
			wantValues(t, h, "withdrawn")
		})
	}
}

func TestWithdrawInANewProcess(t *testing.T) {
	for kind, tr := range kinds() {
		t.Run(kind, func(t *testing.T) {
			h := newHost()
			address := h.serve(t)
			receipt := mustPublish(t, start(t, h, address, tr), txt(name, "ours"))
			h.put(name, "another")
			mustWithdraw(t, start(t, h, address, tr), txt(name, "ours"), receipt)
			wantValues(t, h, "withdrawn", "another")
		})
	}
}

func TestWithdrawWithoutReceiptInANewProcess(t *testing.T) {
	h := newHost()
	address := h.serve(t)
	mustPublish(t, start(t, h, address, traits{}), txt(name, "ours"))
	mustWithdraw(t, start(t, h, address, traits{}), txt(name, "ours"), nil)
	wantValues(t, h, "withdrawn by value")

	// A host that keeps equal records apart: the second is removed, and the log says that one may be left.
	mustPublish(t, start(t, h, address, traits{needsReceipt: true}), txt(name, "ours"))
	mustWithdraw(t, start(t, h, address, traits{needsReceipt: true}), txt(name, "ours"), nil)
	wantValues(t, h, "withdrawn by publishing once more", "ours")

	// A host that refuses the second: a person must remove the record, and then it is well.
	h.unique = true
	p := start(t, h, address, traits{needsReceipt: true})
	wantError(t, p.Withdraw(t.Context(), txt(name, "ours"), nil), pluginapi.NeedsPerson, name, "ours", "by hand")
	h.set(func() { clear(h.records) })
	mustWithdraw(t, p, txt(name, "ours"), nil)
	wantValues(t, h, "removed by hand")
}

func TestWithdrawOfWhatWasNeverPublished(t *testing.T) {
	for kind, tr := range kinds() {
		t.Run(kind, func(t *testing.T) {
			h := newHost()
			h.put(name, "another")
			mustWithdraw(t, start(t, h, h.serve(t), tr), txt(name, "ours"), nil)
			wantValues(t, h, "withdrawn", "another")
		})
	}
}

func TestWithdrawOfWhatIsGoneAlready(t *testing.T) {
	h := newHost()
	address := h.serve(t)
	tr := traits{needsReceipt: true}
	receipt := mustPublish(t, start(t, h, address, tr), txt(name, "ours"))
	h.set(func() { clear(h.records) })
	p := start(t, h, address, tr)
	// The name servers do not have it, but they may not have it yet.
	wantError(t, p.Withdraw(t.Context(), txt(name, "ours"), receipt), pluginapi.Unavailable, "no such record", "old")
	p.profile.settle = 0
	mustWithdraw(t, p, txt(name, "ours"), receipt)
	wantValues(t, h, "withdrawn")
}

func TestAnOutageIsNotTakenForGone(t *testing.T) {
	for kind, tr := range kinds() {
		t.Run(kind, func(t *testing.T) {
			h := newHost()
			address := h.serve(t)
			receipt := mustPublish(t, start(t, h, address, tr), txt(name, "ours"))
			p := start(t, h, address, tr)
			for _, hidden := range []bool{false, true} {
				h.set(func() { h.down, h.hidden = errors.New("out of order"), hidden })
				wantError(t, p.Withdraw(t.Context(), txt(name, "ours"), receipt), pluginapi.Unavailable, "out of order")
			}
			h.set(func() { h.down = nil })
			mustWithdraw(t, p, txt(name, "ours"), receipt)
			wantValues(t, h, "withdrawn")
		})
	}
}

func TestPublishAgainInANewProcessMakesNoSecondRecord(t *testing.T) {
	h := newHost()
	address := h.serve(t)
	tr := traits{needsReceipt: true}
	receipt := mustPublish(t, start(t, h, address, tr), txt(name, "ours"))
	p := start(t, h, address, tr)
	if again := mustPublish(t, p, txt(name, "ours")); again != nil {
		t.Errorf("a new receipt %s takes the place of the right one", again)
	}
	wantValues(t, h, "published again", "ours")
	mustWithdraw(t, p, txt(name, "ours"), receipt)
	wantValues(t, h, "withdrawn")
}

func TestAReceiptThatDoesNotFitIsAsNone(t *testing.T) {
	h := newHost()
	address := h.serve(t)
	good := string(mustPublish(t, start(t, h, address, traits{needsReceipt: true}), txt("other."+zoneName, "ours")))
	fitting := strings.ReplaceAll(good, keyOf(task{name: "other." + zoneName, value: "ours"}), keyOf(task{name: name, value: "ours"}))
	for _, receipt := range []string{
		"{", good, `{"version":1,"provider":"fake","key":"2d90","state":{}}`,
		strings.Replace(fitting, `"ids"`, `"numbers"`, 1),
		strings.Replace(fitting, `{"ids"`, `{"ids":{"x":"no number"},"more"`, 1),
		strings.Replace(good, `"version":1`, `"version":2`, 1), strings.Replace(good, `"fake"`, `"another"`, 1), `{"version":1}`,
	} {
		mustWithdraw(t, start(t, h, address, traits{needsReceipt: true}), txt(name, "ours"), []byte(receipt))
	}
	wantValues(t, h, "withdrawn")
	if got := h.values("other." + zoneName); len(got) != 1 {
		t.Errorf("the other record: %q", got)
	}
}

func TestOtherRecordsAreNotLost(t *testing.T) {
	tr := traits{overwrites: "replaces all TXT records of the name"}
	h := newHost()
	h.rrset = true
	address := h.serve(t)
	p := start(t, h, address, tr)
	h.put(name, "v=spf1 -all")
	_, err := p.Publish(t.Context(), txt(name, "ours"))
	wantError(t, err, pluginapi.Conflict, "v=spf1 -all", "replaces all", "another dcv profile", "CNAME")
	mustWithdraw(t, p, txt(name, "ours"), nil) // ours is not there, so nothing is removed
	wantValues(t, h, "refused", "v=spf1 -all")

	h.set(func() { clear(h.records) })
	mustPublish(t, p, txt(name, "ours"))
	h.put(name, "v=spf1 -all")
	wantError(t, p.Withdraw(t.Context(), txt(name, "ours"), nil), pluginapi.NeedsPerson, "v=spf1 -all", "by hand")
	wantValues(t, h, "refused to withdraw", "ours", "v=spf1 -all")

	// What stands there cannot be found out: nothing is done.
	q := start(t, h, address, tr)
	q.profile.dns = newResolver([]string{"127.0.0.1:1"})
	_, err = q.Publish(t.Context(), txt(name, "ours"))
	wantError(t, err, pluginapi.Unavailable, "find the zone")
	wantError(t, q.Withdraw(t.Context(), txt(name, "ours"), nil), pluginapi.Unavailable, "find the zone")
	wantValues(t, h, "in the dark", "ours", "v=spf1 -all")
}

// A value that was withdrawn a moment ago may still be seen. It is in nobody's way.
func TestOwnValueOfBeforeIsNoOtherRecord(t *testing.T) {
	h := newHost()
	p := start(t, h, h.serve(t), traits{overwrites: "replaces all"})
	mustPublish(t, p, txt(name, "first"))
	mustWithdraw(t, p, txt(name, "first"), nil)
	h.put(name, "first")
	mustPublish(t, p, txt(name, "second"))
}

func TestApex(t *testing.T) {
	h := newHost()
	p := start(t, h, h.serve(t), traits{noApex: "there is no name for it"})
	_, err := p.Publish(t.Context(), txt(zoneName, "ours"))
	wantError(t, err, pluginapi.InvalidRequest, "the zone's own name", "there is no name for it")
	if len(h.calls) > 0 {
		t.Errorf("calls: %q", h.calls)
	}
	mustPublish(t, p, txt(name, "ours"))
}

func TestACallThatIsGivenUpGoesOn(t *testing.T) {
	h := newHost()
	h.block, h.entered = make(chan struct{}), make(chan struct{}, 10)
	p := start(t, h, h.serve(t), traits{needsReceipt: true})
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error, 1)
	go func() {
		_, err := p.Publish(ctx, txt(name, "ours"))
		given <- err
	}()
	<-h.entered
	cancel()
	wantError(t, <-given, pluginapi.Unavailable, "still at it")

	// Another call waits for it, and no longer than its own context.
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := p.Publish(short, numbered(1))
	wantError(t, err, pluginapi.Unavailable, "earlier call")
	if h.most != 1 {
		t.Errorf("%d calls at once", h.most)
	}
	close(h.block)
	// The late answer is known: the record is neither published twice nor left behind.
	receipt := mustPublish(t, p, txt(name, "ours"))
	wantValues(t, h, "published", "ours")
	if len(receipt) == 0 {
		t.Error("the receipt of the late answer is lost")
	}
	mustWithdraw(t, p, txt(name, "ours"), nil)
	wantValues(t, h, "withdrawn")
}

func TestConcurrency(t *testing.T) {
	for name, c := range map[string]struct {
		tr   traits
		most int
	}{
		"one after the other": {traits{}, 1},
		"side by side":        {traits{concurrent: true}, maxConcurrent},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost()
			h.block, h.entered = make(chan struct{}), make(chan struct{}, 100)
			p := start(t, h, h.serve(t), c.tr)
			var group sync.WaitGroup
			for i := range 40 {
				group.Go(func() {
					if _, err := p.Publish(t.Context(), numbered(i)); err != nil {
						t.Error(err)
					}
				})
			}
			for range c.most {
				<-h.entered
			}
			close(h.block)
			group.Wait()
			if h.most != c.most {
				t.Errorf("%d at once, want %d", h.most, c.most)
			}
		})
	}
}

func TestPanicEndsOneCallAlone(t *testing.T) {
	h := newHost()
	p := start(t, h, h.serve(t), traits{})
	records := h.records
	h.records = nil // writing into it panics
	_, err := p.Publish(t.Context(), txt(name, "ours"))
	wantError(t, err, pluginapi.Unavailable, "panicked")
	h.records = records
	mustPublish(t, p, txt(name, "ours"))
}

func TestBeforeConfigure(t *testing.T) {
	p := New(Options{})
	_, err := p.Publish(t.Context(), txt(name, "ours"))
	wantError(t, err, pluginapi.InvalidRequest)
	wantError(t, p.Withdraw(t.Context(), txt(name, "ours"), nil), pluginapi.InvalidRequest)
}

// A CNAME may have led to another zone than the certificate's name is in. Some providers look for the zone by the domain.
func TestProvidersAreToldTheZoneOfTheRecord(t *testing.T) {
	for kind, tr := range kinds() {
		t.Run(kind, func(t *testing.T) {
			h := newHost()
			p := start(t, h, h.serve(t), tr)
			c := txt("_dnsauth.shop."+zoneName, "ours")
			c.Identifier = "www.elsewhere.test"
			mustWithdraw(t, p, c, mustPublish(t, p, c))
			if want := []string{zoneName, zoneName}; !slices.Equal(h.domains, want) {
				t.Errorf("told %q, want %q", h.domains, want)
			}
		})
	}
}
