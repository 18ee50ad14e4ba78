package daemon_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/order"
)

// ordering is a certificate whose order has a lifetime, on line 11 of its file.
func ordering(dir, name, lifetime string) string {
	text := strings.ReplaceAll(fmt.Sprintf(webTOML, dir), "web", name)
	text = strings.Replace(text, "ca =", "domains = [\"a.example.com\"]\nca =", 1)
	return text + "[certificate.order]\nlifetime = \"" + lifetime + "\"\n"
}

func renewed(c control.Certificate) bool {
	return c.Leaf != nil && c.Leaf.Serial != "7" && c.Order == nil
}

// A daemon that starts with order settings at fault holds that certificate's order and says where they stand. Others go
// on, also through a reload; once the settings are mended, the order goes on.
func TestOrderSettingsAtFaultHoldOneCertificate(t *testing.T) {
	r := newRig(t, "")
	r.write("conf.d/web.toml", ordering(r.dir, "web", "1ms"), 0o600)
	r.write("conf.d/shop.toml", ordering(r.dir, "shop", "240h"), 0o600)
	r.selfSigned(24*time.Hour, "a.example.com")
	r.start()
	held := r.until("web", func(c control.Certificate) bool { return c.Order != nil && c.Order.Phase == string(order.Held) })
	if h := held.Order.Hold; h.Kind != string(order.HoldSettings) || !strings.Contains(h.Detail, "conf.d/web.toml:12: certificate.web.order.lifetime: must be at least") {
		t.Errorf("held for %+v", h)
	}
	r.until("shop", renewed)

	r.write("conf.d/late.toml", ordering(r.dir, "late", "240h"), 0o600)
	if _, err := r.client.Reload(t.Context()); err != nil {
		t.Errorf("what is held already keeps another change out: %v", err)
	}
	r.until("late", renewed)
	if o, err := r.client.Order(t.Context(), held.Order.ID); err != nil || o.Phase != string(order.Held) {
		t.Errorf("the order is %s, %v", o.Phase, err)
	}

	r.write("conf.d/web.toml", ordering(r.dir, "web", "480h"), 0o600)
	if _, err := r.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	mended := r.until("web", renewed)
	if life := mended.Leaf.NotAfter.Sub(mended.Leaf.NotBefore); life < 470*time.Hour || life > 490*time.Hour {
		t.Errorf("the certificate lasts %s", life)
	}
	if o, err := r.client.Order(t.Context(), held.Order.ID); err != nil || o.Phase != string(order.Deployed) {
		t.Errorf("another order took its place: it is %s, %v", o.Phase, err)
	}
}

// What was mended while the daemon did not run is noticed at its start.
func TestOrderSettingsMendedMeanwhile(t *testing.T) {
	r := newRig(t, "")
	r.write("conf.d/web.toml", ordering(r.dir, "web", "240h"), 0o600)
	r.selfSigned(24*time.Hour, "a.example.com")
	o := intended("local", "near-expiry")
	o.Phase, o.NextAt, o.Settings = order.Held, time.Time{}, map[string]any{"lifetime": "1ms"}
	o.Hold = &order.Hold{Kind: order.HoldSettings, Detail: "lifetime: too short", Since: time.Now(), Resume: order.Intended}
	r.journal(o)
	r.start()
	r.until("web", renewed)
}

// A reload that brings order settings at fault changes nothing, whatever else it brings.
func TestReloadRefusesNewFaultsOfOrderSettings(t *testing.T) { // invariant 10
	r := newRig(t, "")
	good := ordering(r.dir, "web", "240h")
	r.write("conf.d/web.toml", good, 0o600)
	r.selfSigned(24*time.Hour, "a.example.com")
	r.start()
	r.until("web", renewed)
	other := strings.Replace(r.read("config.toml"), "[ca.local.settings]", "[ca.local.settings]\nlifetime = \"720h\"", 1)
	for name, c := range map[string]struct{ web, config, want string }{
		"in a certificate":                   {ordering(r.dir, "web", "1ms"), r.read("config.toml"), "conf.d/web.toml:12: certificate.web.order.lifetime: must be at least"},
		"with other settings of the account": {ordering(r.dir, "web", "2ms"), other, "conf.d/web.toml:12: certificate.web.order.lifetime: must be at least"},
		"in the account's defaults": {
			strings.Split(good, "[certificate.order]")[0],
			r.read("config.toml") + "[ca.local.settings.order]\nlifetime = \"1ms\"\n", "config.toml:15: ca.local.settings.order.lifetime: must be at least",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r.write("conf.d/web.toml", c.web, 0o600)
			r.write("config.toml", c.config, 0o600)
			_, err := r.client.Reload(t.Context())
			if control.KindOf(err) != control.BadConfiguration || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %s", err, c.want)
			}
		})
	}
}

// An order that waits, and that nothing was sent of, is not for settings that are not configured any more: whoever approves
// it would buy something else than the file says. What a person asked for is asked for still.
func TestOrderOfOtherSettingsIsReplaced(t *testing.T) { // invariant 1
	for _, reason := range []string{"near-expiry", "requested"} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "")
			r.write("conf.d/web.toml", ordering(r.dir, "web", "240h"), 0o600)
			ends := 24 * time.Hour
			if reason == "requested" {
				ends = 300 * 24 * time.Hour
			}
			r.selfSigned(ends, "a.example.com")
			o := intended("local", reason)
			o.Phase, o.NextAt, o.Settings = order.Held, time.Time{}, map[string]any{"lifetime": "480h"}
			o.Hold = &order.Hold{Kind: order.HoldBudget, Detail: "too many", Since: time.Now(), Resume: order.Intended}
			r.journal(o)
			r.start()
			c := r.until("web", renewed)
			if life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore); life > 250*time.Hour {
				t.Errorf("the certificate lasts %s", life)
			}
			if o, err := r.client.Order(t.Context(), o.ID); err != nil || o.Phase != string(order.Superseded) || !strings.Contains(o.Detail, "order settings") {
				t.Errorf("the order is %s (%s), %v", o.Phase, o.Detail, err)
			}
		})
	}
}

// An approval that comes right after the change, before anybody has looked at the certificate again, sends nothing either.
func TestApprovalAfterAChangeOfSettings(t *testing.T) { // invariant 1
	r := newPickyRig(t, "")
	limited := strings.Replace(r.read("config.toml"), `plugin = "picky"`, "plugin = \"picky\"\ncheck_caa = false\nmax_orders_per_day = 0", 1)
	r.write("config.toml", limited, 0o600)
	r.start()
	held := r.until("web", func(c control.Certificate) bool { return c.Order != nil && c.Order.Hold != nil })
	r.write("conf.d/web.toml", r.read("conf.d/web.toml")+"[certificate.order]\nproduct = \"other\"\n", 0o600)
	if _, err := r.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.Approve(t.Context(), held.Order.ID); err != nil && control.KindOf(err) != control.Conflict {
		t.Fatal(err)
	}
	r.until("web", func(c control.Certificate) bool {
		return c.Order != nil && c.Order.Hold != nil && c.Order.ID != held.Order.ID
	})
	if r.placed() {
		t.Error("the old settings were ordered with")
	}
}
