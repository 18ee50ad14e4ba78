package daemon_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// What a certificate that is taken out of the configuration has published is taken down, though its order rests.
func TestRemovedCertificateShowsNothing(t *testing.T) { // invariants 7 and 9
	r := newPickyRig(t, "")
	webroot := filepath.Join(r.dir, "www")
	r.mkdir("www")
	r.write("config.toml", r.read("config.toml")+fmt.Sprintf("[dcv.web]\nwebroot = %q\n", webroot), 0o600)
	r.write("conf.d/web.toml", strings.Replace(r.read("conf.d/web.toml"), "ca =", "dcv = \"web\"\nca =", 1), 0o600)
	o := intended("picky", "missing")
	o.Phase, o.Reference, o.Status = order.Validating, "r", pluginapi.PendingValidation
	const path = "/.well-known/pki-validation/fileauth.txt"
	c := pluginapi.Challenge{ID: "1", Identifier: "a.example.com", HTTP: &pluginapi.HTTPFile{Host: "a.example.com", Path: path, Body: "v"}}
	o.Authorizations = []pluginapi.Authorization{{Identifier: "a.example.com", Challenges: []pluginapi.Challenge{c}}}
	o.Publications = []order.Publication{{Profile: "web", Challenge: c, Published: true, Responded: true}}
	o.LookAt = o.NextAt
	r.journal(o)
	r.start()

	file := filepath.Join(webroot, path)
	r.eventually("it is published again after the start, long before its next look at the CA", func() bool {
		_, err := os.Stat(file)
		return err == nil
	})
	if err := os.Remove(filepath.Join(r.dir, "conf.d", "web.toml")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.eventually("it is withdrawn", func() bool {
		_, err := os.Stat(file)
		return os.IsNotExist(err)
	})
	left, err := r.client.Order(t.Context(), o.ID)
	if err != nil || left.Phase != "validating" {
		t.Errorf("the order is %s, %v", left.Phase, err)
	}
}

func TestRaisedBudgetLetsAHeldOrderGoOnAtReload(t *testing.T) {
	r := newPickyRig(t, "")
	unlimited := r.read("config.toml")
	with := func(n int) string {
		return strings.Replace(unlimited, `plugin = "picky"`, fmt.Sprintf("plugin = \"picky\"\ncheck_caa = false\nmax_orders_per_day = %d", n), 1)
	}
	r.write("config.toml", with(0), 0o600)
	r.start()
	held := func(c control.Certificate) bool { return c.Order != nil && c.Order.Hold != nil }
	if c := r.until("web", held); c.Order.Hold.Kind != "budget" {
		t.Fatalf("held by %+v", c.Order.Hold)
	}
	if _, err := r.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := r.client.Status(t.Context(), "web")
	if err != nil || !held(list[0]) {
		t.Fatalf("a reload alone released it: %+v, %v", list, err)
	}
	r.write("config.toml", with(1), 0o600)
	if _, err := r.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.until("web", func(c control.Certificate) bool { return c.Order != nil && c.Order.Phase == "approval" })
	if !r.placed() {
		t.Error("nothing was sent")
	}
}

// eventually waits for what the daemon gives no word of.
func (r *rig) eventually(what string, there func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !there(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("never: %s", what)
		}
	}
}
