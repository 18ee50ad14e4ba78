package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/tencent"
	"github.com/certbridge/certbridged/test/peer"
)

// tencentEstate is one whose zone its own profile may change.
func tencentEstate(t *testing.T, o tencentOptions) (*tencent, grant) {
	t.Helper()
	own := grant{"own", "rfc2136", peer.NewTSIGKey("k", "hmac-sha256")}
	bind := peer.BIND(t, peer.BINDOptions{Keys: []peer.TSIGKey{own.key}, Zones: []peer.Zone{sellerZone("k")}})
	return newTencent(t, bind, o), own
}

// TestTencentIsIssuedAndServed: DV orders with TXT and CNAME records, one for a wildcard, and one by files.
func TestTencentIsIssuedAndServed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		domains []string
		product int
		dcv     string
		at      string
	}{
		"TXT":      {names, tencentMany, `"own"`, "_dnsauth"},
		"CNAME":    {names, tencentCNAME, `"own"`, "/CNAME"},
		"wildcard": {[]string{"*.shop.test", "shop.test"}, tencentWildcard, `"own"`, "_dnsauth"},
		"files":    {names, tencentMany, `"http"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, own := tencentEstate(t, tencentOptions{change: func(s *standin.Settings) { s.FreeNames = name == "wildcard" }})
			d.due(c.domains...)
			web, deploy := d.serveBy("")
			deploy += "server_name = \"www.shop.test\"\n"
			d.write("config.toml", d.base("", own)+ordered("tencent", c.dcv, tencentOrder(c.product), `renew_before = "30d"`, c.domains...)+deploy, 0o600)
			d.start()
			leaf := d.issuedAndInstalled(d.old, c.domains...)
			if served := web.served(); !served.Equal(leaf) {
				t.Errorf("serial %x is on disk, %x is served", leaf.SerialNumber, served.SerialNumber)
			}
			d.booked(1, 0)
			changes := acts(t, d.bind)
			if (c.at == "") != (len(changes) == 0) || !strings.Contains(strings.Join(changes, "\n"), c.at) {
				t.Errorf("the name server has seen %q", changes)
			}
			(&estate{rig: d.rig, bind: d.bind}).mustStay()
			d.nothingAnswers()
			d.stop()
			d.tidy()
		})
	}
}

// TestTencentWaitsForPeople: an OV order that is reviewed waits for people, whom status names; a restart changes nothing
// about that, and once they are done all goes on by itself.
func TestTencentWaitsForPeople(t *testing.T) {
	t.Parallel()
	d, own := tencentEstate(t, tencentOptions{})
	d.must(d.ca.SetManager(standin.DemoManager, "audit"))
	d.due("shop.test")
	order := fmt.Sprintf(`{ ProductId = %d, TimeSpan = 1, CompanyId = %d, ManagerId = %d }`, tencentOV, standin.DemoCompany, standin.DemoManager)
	d.write("config.toml", d.base("", own)+ordered("tencent", `"own"`, order, `renew_before = "30d"`, "shop.test"), 0o600)
	d.start()
	waits := func() control.Certificate {
		return d.until("web", "phase approval", func(c control.Certificate) bool {
			return c.Order != nil && c.Order.Phase == "approval" && c.Order.Action != nil
		})
	}
	waits()
	id := d.ca.Certificates()[0].ID
	d.says("status", "administrator or technical contact", id, "console.tencentcloud.com")
	d.kill()
	d.start()
	waits()
	d.console("certificates/"+id+"/review", map[string]any{"passed": true})
	d.issuedAndInstalled(d.old, "shop.test")
	d.booked(1, 0)
	d.stop()
	d.tidy()
}

// TestTencentRejectedReviewEndsTheOrder: a no is final and says why; what is paid is used by its id once it is put right,
// and nothing is bought again.
func TestTencentRejectedReviewEndsTheOrder(t *testing.T) {
	t.Parallel()
	d, own := tencentEstate(t, tencentOptions{})
	d.must(d.ca.SetManager(standin.DemoManager, "audit"))
	d.due("shop.test")
	order := fmt.Sprintf(`{ ProductId = %d, TimeSpan = 1, CompanyId = %d, ManagerId = %d`, tencentOV, standin.DemoCompany, standin.DemoManager)
	d.write("config.toml", d.base("", own)+ordered("tencent", `"own"`, order+" }", `renew_before = "30d"`, "shop.test"), 0o600)
	d.start()
	d.until("web", "phase approval", func(c control.Certificate) bool { return c.Order != nil && c.Order.Phase == "approval" })
	id := d.ca.Certificates()[0].ID
	d.console("certificates/"+id+"/review", map[string]any{"passed": false, "message": "ask the registry"})
	held := d.until("web", "held", func(c control.Certificate) bool { return c.Order != nil && c.Order.Hold != nil })
	if !strings.Contains(held.Order.Hold.Detail, "ask the registry") || !strings.Contains(held.Order.Hold.Detail, "cert_id") {
		t.Errorf("held for %+v", held.Order.Hold)
	}
	d.booked(1, 0)
	d.stop()
	d.must(d.ca.SetManager(standin.DemoManager, "ok"))
	d.write("config.toml", d.base("", own)+ordered("tencent", `"own"`, order+fmt.Sprintf(", cert_id = %q }", id), `renew_before = "30d"`, "shop.test"), 0o600)
	d.start()
	_, _ = d.run("orders", "cancel", held.Order.ID) // the new settings may have taken its place already
	d.until("web", "held or issued", func(c control.Certificate) bool {
		if c.Order != nil && c.Order.Hold != nil && c.Order.ID != held.Order.ID {
			_, _ = d.run("orders", "approve", c.Order.ID)
		}
		return replaced(c, d.old)
	})
	if got := d.ca.Certificates(); len(got) != 1 || got[0].Status != 1 {
		t.Errorf("at the CA: %v", got)
	}
	d.booked(1, 0)
	d.stop()
}

// TestTencentCancelAndRevoke: what a person does not want any more is dropped at the CA; a certificate is revoked once
// domain control is shown once more.
func TestTencentCancelAndRevoke(t *testing.T) {
	t.Parallel()
	d, own := tencentEstate(t, tencentOptions{change: func(s *standin.Settings) { s.IssueDelay = sandbox.Delay(time.Hour) }})
	d.due(names...)
	d.write("config.toml", d.base("", own)+ordered("tencent", `"own"`, tencentOrder(tencentMany), `renew_before = "30d"`, names...), 0o600)
	d.start()
	order := d.until("web", "validating", func(c control.Certificate) bool { return c.Order != nil && c.Order.Phase == "validating" })
	var text string
	if !await(t.Context(), patience, func() bool { // while the order is worked on it cannot be
		said, code := d.run("orders", "cancel", order.Order.ID)
		text = said
		return code == 0
	}) {
		t.Fatalf("orders cancel: %s", text)
	}
	if got := d.ca.Certificates(); len(got) != 1 || got[0].Status != 7 {
		t.Errorf("at the CA: %v", got)
	}
	d.must(d.ca.Configure(func(s *standin.Settings) { s.IssueDelay = 0 }))
	// Whoever said no to a purchase has not said yes to another.
	held := d.until("web", "held", func(c control.Certificate) bool { return c.Order != nil && c.Order.Hold != nil })
	if text, code := d.run("orders", "approve", held.Order.ID); code != 0 {
		t.Fatalf("orders approve: exit code %d: %s", code, text)
	}
	d.issuedAndInstalled(d.old, names...)
	d.booked(2, 0)
	text, _ = d.run("revoke", "web", "--yes")
	id := d.ca.Certificates()[1].ID
	if said := strings.Join(strings.Fields(text), " "); !strings.Contains(said, "publish the record") {
		t.Errorf("revoke: %s", text)
	}
	d.must(d.ca.Show(t.Context(), id))
	if got := d.ca.Certificates()[1]; got.Status != 10 {
		t.Errorf("at the CA: %v", got)
	}
	d.stop()
}

// TestTencentCredentialsAndBalance: nothing is bought with a wrong key or without money, and all goes on by itself or after
// a person's yes once that is put right.
func TestTencentCredentialsAndBalance(t *testing.T) {
	t.Parallel()
	d, own := tencentEstate(t, tencentOptions{})
	d.must(d.ca.SetBalance(0))
	d.due(names...)
	d.write("secret-key", "WRONG"+tencentKey().SecretKey, 0o600)
	d.write("config.toml", d.base("", own)+ordered("tencent", `"own"`, tencentOrder(tencentMany), `renew_before = "30d"`, names...), 0o600)
	if text, code := d.run("check", "--online"); code == 0 || !strings.Contains(text, "check secret_key") {
		t.Errorf("check --online (exit code %d): %s", code, text)
	}
	d.start()
	d.until("web", "unauthorized", func(c control.Certificate) bool {
		return c.Order != nil && c.Order.LastError != nil && strings.Contains(c.Order.LastError.Message, "check secret_key")
	})
	d.stop()
	d.write("secret-key", tencentKey().SecretKey, 0o600)
	if text, code := d.run("check", "--online"); code != 0 || !strings.Contains(text, "the key is good") {
		t.Errorf("check --online (exit code %d): %s", code, text)
	}
	d.start()
	held := d.until("web", "held", func(c control.Certificate) bool { return c.Order != nil && c.Order.Hold != nil })
	if !strings.Contains(held.Order.Hold.Detail, "balance") {
		t.Errorf("held for %+v", held.Order.Hold)
	}
	d.booked(0, 0)
	d.must(d.ca.SetBalance(10_000_000))
	if text, code := d.run("orders", "approve", held.Order.ID); code != 0 {
		t.Fatalf("orders approve: exit code %d: %s", code, text)
	}
	d.issuedAndInstalled(d.old, names...)
	d.booked(1, 0)
	d.stop()
	d.tidy()
}

// TestTencentUsesUpWhatIsPaid: the generations of a year are a purchase and reissues, then another purchase; where a reissue
// gains nothing, a person is asked.
func TestTencentUsesUpWhatIsPaid(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("SKIP: takes two minutes")
	}
	for _, validity := range []string{standin.WholeTerm, standin.SameExpiry} {
		t.Run(validity, func(t *testing.T) {
			t.Parallel()
			d, own := tencentEstate(t, tencentOptions{day: planDay, change: func(s *standin.Settings) { s.ReplaceValidity = validity }})
			d.due(names...)
			d.write("config.toml", d.base("", own)+ordered("tencent", `"own"`, tencentOrder(tencentMany), `renew_before = "48%"`, names...), 0o600)
			d.start()
			// In scaled days the paid year of the plugin, which counts real months, outlasts that of the stand-in: what may
			// still be owed is asked for, and nothing is bought beside it without a question.
			held := d.until("web", "held", func(c control.Certificate) bool { return c.Order != nil && c.Order.Hold != nil })
			if !strings.Contains(held.Order.Hold.Detail, "reach no further") {
				t.Errorf("held for %+v", held.Order.Hold)
			}
			if validity == standin.SameExpiry {
				d.booked(1, 1)
				d.stop()
				return
			}
			l := d.ca.Ledger()
			if l.Count(sandbox.Purchase) != 1 || l.Count(sandbox.Reissue) < 2 {
				t.Fatalf("%d purchases and %d reissues: %v", l.Count(sandbox.Purchase), l.Count(sandbox.Reissue), d.ca.Certificates())
			}
			first := d.ca.Certificates()[0]
			var last time.Time
			for _, c := range d.ca.Certificates() {
				if c.Replaces != "" && c.NotAfter.After(last) {
					last = c.NotAfter
				}
			}
			if last.Before(first.Ends.Add(-5 * planDay)) {
				t.Errorf("the last reissue ends at %s, and what was paid for at %s", last, first.Ends)
			}
			t.Logf("%d purchases and %d reissues until the paid time was used up", l.Count(sandbox.Purchase), l.Count(sandbox.Reissue))
			d.stop()
			d.noPlugins("after the daemon has ended")
		})
	}
}
