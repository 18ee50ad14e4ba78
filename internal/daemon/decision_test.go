package daemon_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/internal/state"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// journal puts an order into the journal of a daemon that is not running.
func (r *rig) journal(records ...order.Record) {
	r.t.Helper()
	r.mkdir("state")
	s, err := state.Open(filepath.Join(r.dir, "state", "state.db"))
	if err != nil {
		r.t.Fatal(err)
	}
	texts := map[string][]byte{}
	for _, record := range records {
		text, err := order.EncodeRecord(record)
		if err != nil {
			r.t.Fatal(err)
		}
		texts["order/"+record.ID] = text
	}
	if err := errors.Join(s.Write("journal", texts), s.Close()); err != nil {
		r.t.Fatal(err)
	}
}

// told waits for an event with these words.
func (r *rig) told(words string) {
	r.t.Helper()
	there := errors.New("there")
	timeout := time.AfterFunc(10*time.Second, func() { _ = r.client.Close() }) // and the call fails
	defer timeout.Stop()
	err := r.client.Events(r.t.Context(), control.EventFilter{Follow: true}, func(e control.Event) error {
		if strings.Contains(e.Message, words) {
			return there
		}
		return nil
	})
	if !errors.Is(err, there) {
		r.t.Fatalf("nothing told of %q: %v", words, err)
	}
}

func intended(account, reason string) order.Record {
	return order.Record{
		ID: "20260101-000000-00000001", Certificate: "web", Account: account, Phase: order.Intended, Reason: reason,
		IdempotencyKey: "0123456789abcdef0123456789abcdef", Names: []string{"a.example.com"}, KeyType: "ecdsa-p256",
		Created: time.Now(), Updated: time.Now(), NextAt: time.Now().Add(time.Hour),
	}
}

// An order that was never sent ends when somebody else has renewed, or when the certificate is switched off.
func TestOrderThatIsNotNeededAnyMoreIsNotSent(t *testing.T) {
	for name, c := range map[string]struct {
		ends   time.Duration
		toml   string
		reason string
		phase  string
	}{
		"renewed by hand":                   {300 * 24 * time.Hour, webTOML, "near-expiry", "superseded"},
		"switched off":                      {24 * time.Hour, strings.Replace(webTOML, `ca =`, "enabled = false\nca =", 1), "near-expiry", "superseded"},
		"another key type is configured":    {24 * time.Hour, strings.Replace(webTOML, `ca =`, "key = \"rsa-2048\"\nca =", 1), "near-expiry", "superseded"},
		"a person asked for it: it goes on": {300 * 24 * time.Hour, webTOML, "requested", "intended"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, fmt.Sprintf(c.toml, "/nowhere"))
			r.selfSigned(c.ends, "a.example.com")
			r.journal(intended("local", c.reason))
			r.start()
			deadline := time.Now().Add(20 * time.Second)
			for {
				o, err := r.client.Order(t.Context(), "20260101-000000-00000001")
				if err != nil {
					t.Fatal(err)
				}
				if o.Phase == c.phase && (c.phase != "intended" || time.Until(deadline) < 18*time.Second) {
					return
				}
				if time.Now().After(deadline) || c.phase == "intended" && o.Phase != "intended" {
					t.Fatalf("the order is %s: %s", o.Phase, o.Detail)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
}

func TestOrderOfAnAccountThatIsGoneIsTold(t *testing.T) { // invariant 8
	r := newRig(t, fmt.Sprintf(webTOML, "/nowhere"))
	r.selfSigned(24*time.Hour, "a.example.com")
	o := intended("gone", "near-expiry")
	o.Phase, o.Reference, o.Status = order.Placed, "ref-1", pluginapi.Processing
	r.journal(o)
	r.start()
	r.told("CA account gone is not configured any more")
}

func TestHoldIsToldAgainNearTheEnd(t *testing.T) { // invariant 8
	r := newRig(t, fmt.Sprintf(webTOML, "/nowhere"))
	r.selfSigned(24*time.Hour, "a.example.com")
	o := intended("local", "near-expiry")
	o.Phase, o.NextAt = order.Held, time.Time{}
	o.Hold = &order.Hold{Kind: order.HoldNeedsPerson, Detail: "sign the agreement", Since: time.Now().Add(-2 * time.Hour), Resume: order.Intended}
	r.journal(o)
	r.start()
	r.told("still held: sign the agreement")
}

// A clock that was ahead wrote the journal: the next step would come in a year.
func TestOrderNotedByAClockAheadGoesOn(t *testing.T) {
	r := newRig(t, fmt.Sprintf(webTOML, "/nowhere"))
	r.write("conf.d/web.toml", strings.Replace(fmt.Sprintf(webTOML, r.dir), "ca =", `domains = ["a.example.com"]`+"\nca =", 1), 0o600)
	r.selfSigned(24*time.Hour, "a.example.com")
	o := intended("local", "near-expiry")
	o.Updated, o.NextAt = o.Updated.AddDate(1, 0, 0), o.NextAt.AddDate(1, 0, 0)
	r.journal(o)
	r.start()
	r.until("web", func(c control.Certificate) bool { return c.Leaf != nil && c.Leaf.Serial != "7" && c.Order == nil })
}

// A file that cannot be read is no reason to order: neither a key beside a good certificate, nor the certificate.
func TestUnreadableFilesAreNoReasonToOrder(t *testing.T) {
	for _, file := range []string{"tls/web.key", "tls/web.pem"} {
		t.Run(file, func(t *testing.T) {
			r := newRig(t, "")
			r.write("conf.d/web.toml", strings.Replace(fmt.Sprintf(webTOML, r.dir), "ca =", `domains = ["a.example.com"]`+"\nca =", 1), 0o600)
			r.selfSigned(300*24*time.Hour, "a.example.com")
			path := filepath.Join(r.dir, file)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(path, path); err != nil { // not even root reads through a circle
				t.Fatal(err)
			}
			r.start()
			list, err := r.client.Status(t.Context(), "web")
			if err != nil || list[0].Next.Due || list[0].Problem == "" {
				t.Errorf("%+v, %v", list, err)
			}
			if file == "tls/web.pem" {
				r.told("whether a certificate is needed cannot be told")
			}
			if orders, err := r.client.Orders(t.Context(), control.OrderFilter{All: true}); err != nil || len(orders) != 0 {
				t.Errorf("orders %+v, %v", orders, err)
			}
		})
	}
}

// A reload that is refused late must leave the accounts of the old configuration at work.
func TestReloadRefusedLateLeavesAccountsAtWork(t *testing.T) { // invariant 10
	r := newRig(t, "")
	r.write("conf.d/web.toml", fmt.Sprintf(webTOML, r.dir), 0o600)
	r.selfSigned(24*time.Hour, "a.example.com")
	r.start()
	first := r.until("web", func(c control.Certificate) bool { return c.Leaf != nil && c.Leaf.Serial != "7" && c.Order == nil })
	good := r.read("config.toml")
	bad := strings.Replace(good, "[daemon]", "[daemon]\ncontrol_group = \"no-such-group-here\"", 1)
	r.write("config.toml", strings.Replace(bad, `plugin = "local"`, "plugin = \"local\"\nenv = { CHANGED = \"1\" }", 1), 0o600)
	if _, err := r.client.Reload(t.Context()); err == nil {
		t.Fatal("a group that is not there was taken")
	}
	if _, err := r.client.Renew(t.Context(), control.RenewRequest{Name: "web", Force: true}); err != nil {
		t.Fatal(err)
	}
	r.until("web", func(c control.Certificate) bool {
		if c.Order != nil && c.Order.LastError != nil {
			t.Fatalf("the old account does not work: %s", c.Order.LastError.Message)
		}
		return c.Leaf != nil && c.Leaf.Serial != first.Leaf.Serial && c.Order == nil
	})
}

// A reissue that waits for approval while its plan ends keeps everything else from being bought, so somebody is told at once.
func TestReissueWhosePlanHasEndedIsTold(t *testing.T) { // invariant 8
	r := newPickyRig(t, "")
	r.selfSigned(24*time.Hour, "www.example.com")
	o := intended("picky", "near-expiry")
	o.Kind, o.Phase, o.Reference, o.Status, o.CostsMoney = pluginapi.Reissue, order.Approval, "r", pluginapi.PendingApproval, true
	o.CoverageEnd = time.Now().Add(-time.Hour)
	r.journal(o)
	r.start()
	r.told("the plan of order r ended")
	c := r.until("web", func(c control.Certificate) bool { return c.Order != nil })
	if a := c.Order.Action; a == nil || !strings.Contains(a.What, "certbridged orders cancel "+o.ID) {
		t.Errorf("to do: %+v", a)
	}
}
