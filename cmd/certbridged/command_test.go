package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/daemon"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// desk is a daemon's backend that answers what a test wants; calls it does not expect panic.
type desk struct {
	control.Backend
	err     error
	renewal control.Renewal
	order   control.Order
	list    []control.Certificate
	// resolved notes what Resolve was told.
	resolved []string
}

func (d *desk) Info(context.Context) (control.Info, error) { return control.Info{}, d.err }

func (d *desk) Status(context.Context, string) ([]control.Certificate, error) { return d.list, d.err }

func (d *desk) StatusPage(context.Context, string, int) ([]control.Certificate, error) {
	return d.list, d.err
}

func (d *desk) Renew(context.Context, control.RenewRequest) (control.Renewal, error) {
	return d.renewal, d.err
}

func (d *desk) Orders(context.Context, control.OrderFilter) ([]control.Order, error) {
	return []control.Order{d.order}, d.err
}

func (d *desk) Order(context.Context, string) (control.Order, error) { return d.order, d.err }

func (d *desk) Approve(context.Context, string) (control.Order, error) { return d.order, d.err }

func (d *desk) Cancel(context.Context, string, string) (control.Order, error) { return d.order, d.err }

func (d *desk) Resolve(_ context.Context, id, reference string) (control.Order, error) {
	d.resolved = append(d.resolved, id+"="+reference)
	return d.order, d.err
}

func (d *desk) Plan(context.Context, time.Time) ([]control.PlannedAct, error) {
	return []control.PlannedAct{{At: time.Now().Add(48 * time.Hour), Certificate: "shop", CostsMoney: true}}, d.err
}

func (d *desk) Revoke(context.Context, control.RevokeRequest) (control.Revocation, error) {
	return control.Revocation{Serial: "0a", Action: &control.PersonAction{Who: "an administrator", What: "approve it", URL: "https://ca.example"}}, d.err
}

// serve runs a daemon's socket for a backend and returns its path.
func serve(t *testing.T, b control.Backend) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "c.sock")
	l, err := control.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	s, err := control.NewServer(control.Options{Backend: b, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket
}

// invoke runs a command line in this process.
func invoke(t *testing.T, socket string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = execute(t.Context(), append(args, "--socket", socket), streams{in: strings.NewReader(""), out: &out, err: &errOut})
	return out.String(), errOut.String(), code
}

func TestExitCodes(t *testing.T) {
	held := control.Order{ID: "o1", Hold: &control.Hold{Kind: "budget", Detail: "three orders today"}}
	d := &desk{}
	socket := serve(t, d)
	tests := map[string]struct {
		set  desk
		args []string
		want int
	}{
		"done":                    {desk{renewal: control.Renewal{Ordered: true}}, []string{"renew", "a"}, exitOK},
		"a held order":            {desk{renewal: control.Renewal{Ordered: true, Order: &held}}, []string{"renew", "a"}, exitPerson},
		"an order to be held":     {desk{renewal: control.Renewal{Ordered: true, WouldHold: "budget"}}, []string{"renew", "a", "-n"}, exitPerson},
		"a held order as JSON":    {desk{renewal: control.Renewal{Ordered: true, Order: &held}}, []string{"renew", "a", "--json"}, exitPerson},
		"revocation to approve":   {desk{}, []string{"revoke", "a", "--yes"}, exitPerson},
		"not found":               {desk{err: control.Errorf(control.NotFound, "x")}, []string{"orders", "show", "o1"}, exitNotFound},
		"not allowed":             {desk{err: control.Errorf(control.NotAllowed, "x")}, []string{"orders", "approve", "o1"}, exitNotAllowed},
		"wrong state":             {desk{err: control.Errorf(control.Conflict, "x")}, []string{"orders", "cancel", "o1"}, exitFailed},
		"a person must act":       {desk{err: control.Errorf(control.NeedsPerson, "x")}, []string{"renew", "a"}, exitPerson},
		"the daemon finds faults": {desk{err: control.Errorf(control.BadConfiguration, "x")}, []string{"status"}, exitConfig},
		"CA not reachable":        {desk{err: control.Errorf(control.Unavailable, "x")}, []string{"renew", "a"}, exitFailed},
		"bad request":             {desk{err: control.Errorf(control.Invalid, "x")}, []string{"status"}, exitUsage},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			*d = tt.set
			stdout, stderr, code := invoke(t, socket, tt.args...)
			if code != tt.want {
				t.Errorf("exit code %d, want %d\n%s%s", code, tt.want, stdout, stderr)
			}
			if d.err != nil && (stderr == "" || stdout != "") {
				t.Errorf("an error belongs on stderr alone: stdout %q, stderr %q", stdout, stderr)
			}
		})
	}
	if _, _, code := invoke(t, filepath.Join(t.TempDir(), "none"), "status"); code != exitUnreachable {
		t.Errorf("without a daemon: exit code %d", code)
	}
}

// What adopt prints of an order's settings is TOML that says the same, and what is missing stands there in words.
func TestAdoptedOrderSettings(t *testing.T) {
	settings := map[string]any{
		"product": `ssl "dv"`, "order_validity": map[string]any{"years": int64(2)}, "rate": 3.0, "on": true, "a list": []any{"x", int64(1)},
	}
	c := adopted{Name: "shop", Names: []string{"a.example"}, HasKey: true, found: daemon.FoundOrder{
		Reference: "123", Settings: settings, Missing: []pluginapi.Finding{{Field: "organization.id", Message: "is missing:\nset it"}},
	}}
	var got struct {
		Certificate []struct {
			Order map[string]any `toml:"order"`
		} `toml:"certificate"`
	}
	text := c.toml("paid", "")
	if _, err := toml.Decode(text, &got); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if diff := cmp.Diff(settings, got.Certificate[0].Order); diff != "" {
		t.Error(diff)
	}
	for _, want := range []string{"as the CA tells of order 123", "#organization.id =   # is missing: set it\n", "[ca.paid.settings.order]"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if c.found.Settings = nil; !strings.Contains(c.toml("paid", ""), "\n#[certificate.order]\n#organization.id") {
		t.Errorf("without settings:\n%s", c.toml("paid", ""))
	}
}

// What a person reads where an order is open already: what it is, what becomes of the request, and whether it costs.
func TestRenewBesideAnOpenOrder(t *testing.T) {
	d := &desk{}
	socket := serve(t, d)
	for name, tt := range map[string]struct {
		order  control.Order
		args   []string
		want   []string
		absent []string
	}{
		"under way": {
			control.Order{ID: "o1", Phase: "intended", CostsUnknown: true}, []string{"renew", "a"},
			[]string{"open already", "next step is taken now", "costs money: *not known yet"}, []string{"--force", "Nothing to order"},
		},
		"under way, and only asked": {control.Order{ID: "o1", Phase: "approval"}, []string{"renew", "a", "-n"}, []string{"open already"}, []string{"taken now"}},
		"held": {
			control.Order{ID: "o1", Hold: &control.Hold{Kind: "budget", Detail: "three today"}, CostsMoney: true}, []string{"renew", "a", "--force"},
			[]string{"waits for a person", "costs money: *yes", "certbridged orders approve o1"}, []string{"taken now"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d.renewal = control.Renewal{Order: &tt.order}
			stdout, _, _ := invoke(t, socket, tt.args...)
			for _, want := range tt.want {
				if !regexp.MustCompile(want).MatchString(stdout) {
					t.Errorf("%q is missing in\n%s", want, stdout)
				}
			}
			for _, absent := range tt.absent {
				if strings.Contains(stdout, absent) {
					t.Errorf("%q stands in\n%s", absent, stdout)
				}
			}
		})
	}
}

// The state of a certificate says why, and not only that.
func TestStatusSaysWhy(t *testing.T) {
	ended := &control.Leaf{NotAfter: time.Now().Add(-time.Hour)}
	backing := control.Next{Reason: "backing-off", Detail: "the last order failed (no such product), the next try comes soon"}
	for name, tt := range map[string]struct {
		certificate control.Certificate
		want        string
	}{
		"held":                            {control.Certificate{Order: &control.Order{Hold: &control.Hold{Kind: "budget", Detail: "three today"}}}, "held, budget: three today"},
		"failed, and nothing on disk":     {control.Certificate{Next: backing}, "no such product"},
		"failed, and what is there ended": {control.Certificate{Leaf: ended, Next: backing}, "no such product"},
		"ended":                           {control.Certificate{Leaf: ended}, "expired"},
	} {
		tt.certificate.Enabled = true
		if got, _ := stateOf(tt.certificate); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q in it", name, got, tt.want)
		}
	}
}

func TestResolveSaysWhatItWasTold(t *testing.T) {
	d := &desk{}
	socket := serve(t, d)
	invoke(t, socket, "orders", "resolve", "o1", "--reference", "123")
	invoke(t, socket, "orders", "resolve", "o2", "--not-bought")
	invoke(t, socket, "orders", "resolve", "o3")
	if got := strings.Join(d.resolved, " "); got != "o1=123 o2=" {
		t.Errorf("resolved %q", got)
	}
}

func TestHoldShowsTheWayOut(t *testing.T) {
	d := &desk{order: control.Order{ID: "o1", Phase: "held", Hold: &control.Hold{Kind: "budget", Detail: "d"}}}
	socket := serve(t, d)
	if out, _, _ := invoke(t, socket, "orders", "show", "o1"); !strings.Contains(out, "certbridged orders approve o1") {
		t.Errorf("no way out in\n%s", out)
	}
	d.order.Hold.Kind = "unknown-outcome"
	if out, _, _ := invoke(t, socket, "orders", "show", "o1"); !strings.Contains(out, "certbridged orders resolve o1") || strings.Contains(out, "approve") {
		t.Errorf("no way out in\n%s", out)
	}
}

// TestTextFromOutsideCannotActOnTheTerminal: a CA's or command's words are printed without escape sequences.
func TestTextFromOutsideCannotActOnTheTerminal(t *testing.T) {
	evil := "a\x1b[2Jb\rc\x9bd"
	d := &desk{
		order: control.Order{ID: "o1", Detail: evil, LastError: &control.Problem{Message: evil}},
		list: []control.Certificate{{
			Name: "shop", Enabled: true, Deployment: &control.Deployment{Message: evil, Output: evil},
			Next: control.Next{Detail: evil}, Order: &control.Order{Detail: evil},
		}},
	}
	socket := serve(t, d)
	for _, args := range [][]string{{"orders"}, {"orders", "show", "o1"}, {"status"}, {"status", "shop"}, {"status", "--json"}} {
		out, _, code := invoke(t, socket, args...)
		if code != exitOK || strings.ContainsAny(out, "\x1b\r") || strings.Contains(out, "\u009b") && args[len(args)-1] != "--json" {
			t.Errorf("%v: code %d, printed %q", args, code, out)
		}
	}
}

func TestPlanCountsPurchases(t *testing.T) {
	out, _, code := invoke(t, serve(t, &desk{}), "plan", "--until", "90d")
	if code != exitOK || !strings.Contains(out, "Orders: 1, purchases among them: 1") {
		t.Errorf("code %d\n%s", code, out)
	}
}

func TestJSONIsOneObject(t *testing.T) {
	socket := serve(t, &desk{})
	for _, args := range [][]string{{"status"}, {"orders"}, {"plan"}} {
		out, _, _ := invoke(t, socket, append(args, "--json")...)
		var object map[string]any
		if err := json.Unmarshal([]byte(out), &object); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if out, _, _ := invoke(t, socket, "status", "--json"); !strings.Contains(out, `"certificates": []`) {
		t.Errorf("an empty list is not []:\n%s", out)
	}
}

func TestParseUntil(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-22":           time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), // the day is included
		"2027-01-31T12:00:00Z": time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC),
		"90d":                  now.Add(90 * 24 * time.Hour),
		"36h":                  now.Add(36 * time.Hour),
	} {
		if got, err := parseUntil(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "soon", "-5d", "0d", "2026-11-21", "5dd", "2026-13-01"} {
		if got, err := parseUntil(text, now); exitCode(err) != exitUsage {
			t.Errorf("%q was accepted as %v, %v", text, got, err)
		}
	}
}

func FuzzTOMLText(f *testing.F) {
	for _, s := range []string{"", "plain", `a"b\c`, "\x00\x7f\n\t", "é\u2028<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var doc struct{ K string }
		if _, err := toml.Decode("k = "+tomlText(s), &doc); err != nil {
			t.Fatalf("%q became %s: %v", s, tomlText(s), err)
		}
		if want := strings.ToValidUTF8(s, "\uFFFD"); doc.K != want && strings.ToValidUTF8(s, "") == s {
			t.Errorf("%q came back as %q", s, doc.K)
		}
	})
}

func TestLineHandler(t *testing.T) {
	var b bytes.Buffer
	log := newLogger(&b, config.LogText, slog.LevelInfo).With("certificate", "shop").WithGroup("g")
	log.Debug("not shown")
	log.Warn("two\nlines", "words", "a b", "empty", "", slog.Group("in", "n", 1))
	if got := b.String(); !strings.HasSuffix(got, ` warning: two lines certificate=shop g.words="a b" g.empty="" g.in.n=1`+"\n") || strings.Count(got, "\n") != 1 {
		t.Errorf("line = %q", got)
	}
	b.Reset()
	newLogger(&b, config.LogAuto, slog.LevelInfo).Info("m", "k", "v")
	if !json.Valid(b.Bytes()) {
		t.Errorf("not on a terminal, auto is JSON, not %q", b.String())
	}
}
