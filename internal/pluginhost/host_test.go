package pluginhost

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// detail asks a plugin something and returns its answer.
func detail(t *testing.T, c *CA, command string) string {
	t.Helper()
	reply, err := c.GetOrder(t.Context(), placed(command))
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return reply.Order.Detail
}

func TestStartedByTheFirstCallAndSharedByAll(t *testing.T) {
	r := newRig(t, nil)
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	if got := r.state(t, "shop"); got.State != StateIdle || got.PID != 0 {
		t.Fatalf("before the first call: %+v", got)
	}
	pids := make([]string, 8)
	var wg sync.WaitGroup
	for n := range pids {
		wg.Go(func() {
			reply, err := c.GetOrder(t.Context(), placed("pid"))
			if err != nil {
				t.Error(err)
			}
			pids[n] = reply.Order.Detail
		})
	}
	wg.Wait()
	for _, pid := range pids {
		if pid != pids[0] || pid == "" {
			t.Fatalf("several processes: %v", pids)
		}
	}
	if n := r.events.count(EventStarted, "shop"); n != 1 {
		t.Errorf("%d starts", n)
	}
	info := r.plugin(t, "ca-test")
	if info.State != StateRunning || info.Version != "1.2.3" || len(info.SHA256) != 64 || info.Instances[0].PID == 0 || info.Instances[0].RSS == 0 {
		t.Errorf("list: %+v", info)
	}
}

func TestWhatConfigureSaidOfTheAccount(t *testing.T) {
	r := newRig(t, nil)
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	for range 2 {
		told, err := c.Configured(t.Context())
		if err != nil || !strings.HasPrefix(told.AccountURI, "https://ca.example/acct/") {
			t.Fatalf("%+v, %v", told, err)
		}
	}
	if n := r.events.count(EventStarted, "shop"); n != 1 {
		t.Errorf("%d starts", n)
	}
	if _, err := r.CA(Instance{Name: "none", Plugin: "absent"}).Configured(t.Context()); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("without a plugin: %v", err)
	}
}

func TestIdleStopAndStartOnDemand(t *testing.T) {
	r := newRig(t, func(o *Options) { o.IdleAfter = 50 * time.Millisecond })
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	// A call longer than the idle time is not cut.
	first := detail(t, c, "sleep:300ms")
	eventually(t, "the idle plugin is stopped", func() bool { return r.events.count(EventStopped, "shop") == 1 })
	if got := r.state(t, "shop"); got.State != StateIdle || got.PID != 0 || got.Failures != 0 {
		t.Errorf("at rest: %+v", got)
	}
	if alive(first) {
		t.Errorf("process %s is still there", first)
	}
	if second := detail(t, c, "pid"); second == first {
		t.Errorf("the same process %s again", second)
	}
}

func TestEnvironmentOfTheDaemonIsNotVisible(t *testing.T) {
	t.Setenv("PLANTED", "planted-secret-of-the-daemon")
	r := newRig(t, nil)
	install(t, r.dir, "ca-test", "")
	c := r.CA(Instance{Name: "shop", Plugin: "test", Env: map[string]string{"OWN": "value", "TZ": "UTC"}})
	env := map[string]string{}
	for line := range strings.SplitSeq(detail(t, c, "env"), ";;") {
		if name, value, ok := strings.Cut(line, "="); ok {
			env[name] = value
		}
	}
	allowed := map[string]bool{
		"PATH": true, "LANG": true, "TMPDIR": true, "OWN": true, "TZ": true, wire.CookieKey: true,
		"PLUGIN_MIN_PORT": true, "PLUGIN_MAX_PORT": true, "PLUGIN_PROTOCOL_VERSIONS": true, "PLUGIN_CLIENT_CERT": true, "PLUGIN_UNIX_SOCKET_DIR": true,
	}
	for name, value := range env {
		if !allowed[name] || strings.Contains(value, "planted") {
			t.Errorf("visible: %s=%s", name, value)
		}
	}
	if env["OWN"] != "value" || env["PATH"] != defaultPath || !strings.HasPrefix(env["TMPDIR"], r.runtime) {
		t.Errorf("environment: %v", env)
	}
	fi, err := os.Stat(env["PLUGIN_UNIX_SOCKET_DIR"])
	if err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("socket folder: %v %v", fi, err)
	}
}

func TestEnvironmentThatCannotBe(t *testing.T) {
	r := newRig(t, nil)
	install(t, r.dir, "ca-test", "")
	for _, env := range []map[string]string{{"A=B": "c"}, {"A": "b\x00c"}, {"LD_PRELOAD": "/x.so"}, {"PLUGIN_CLIENT_CERT": ""}, {"": "x"}} {
		_, err := r.CA(Instance{Name: "shop", Plugin: "test", Env: env}).GetOrder(t.Context(), placed("pid"))
		if pluginapi.KindOf(err) != pluginapi.InvalidRequest {
			t.Errorf("%v: %v", env, err)
		}
	}
}

func TestProcessShowsItsNameAndIsTakenFirstByTheKernel(t *testing.T) {
	r := newRig(t, nil)
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "")
	if got := detail(t, c, "name"); got != "ca-test" {
		t.Errorf("name %q", got)
	}
	if got := detail(t, c, "oom"); got != oomScore {
		t.Errorf("oom_score_adj %q", got)
	}
	if pid, group := detail(t, c, "pid"), detail(t, c, "group"); pid != group {
		t.Errorf("process %s in group %s", pid, group)
	}
}

func TestDescriptionNeedsNoStartOnceKnown(t *testing.T) {
	r := newRig(t, func(o *Options) { o.IdleAfter = time.Millisecond })
	install(t, r.dir, "ca-test", "")
	c := r.CA(Instance{Name: "shop", Plugin: "test", Settings: pluginapi.Settings{Values: map[string]any{"fault": "no good"}}})
	for range 2 {
		d, err := c.Describe(t.Context())
		if err != nil { // settings at fault do not matter here
			t.Fatal(err)
		}
		if d.Version != "1.2.3" || !d.Has(pluginapi.AbilityRenew) || d.Has(pluginapi.AbilityRevoke) {
			t.Errorf("description: %+v", d)
		}
	}
	if n := r.events.count(EventStarted, "shop"); n != 1 {
		t.Errorf("%d starts", n)
	}
}

func TestFaultsInSettings(t *testing.T) {
	r := newRig(t, nil)
	install(t, r.dir, "ca-test", "")
	c := r.CA(Instance{Name: "shop", Plugin: "test", Settings: pluginapi.Settings{
		Values:  map[string]any{"fault": "this key is too short: "},
		Secrets: map[string]pluginapi.Secret{"key": pluginapi.NewSecret("k3y-of-account")},
	}})
	_, err := c.PlaceOrder(t.Context(), request("pid"))
	var e *pluginapi.Error
	if !errors.As(err, &e) || e.Kind != pluginapi.InvalidRequest || e.Field != "fault" || !errors.Is(err, ErrFaults) {
		t.Fatalf("error: %#v", err)
	}
	for _, want := range []string{"ca-test", "shop", "fault", "too short"} {
		if strings.Count(err.Error(), want) != 1 {
			t.Errorf("%q not once in %q", want, err)
		}
	}
	if strings.Contains(err.Error(), "k3y") {
		t.Errorf("secret in %q", err)
	}
	found, err := c.Findings(t.Context())
	want := []pluginapi.Finding{{Severity: pluginapi.Fault, Field: "fault", Message: "this key is too short: [secret]"}}
	if diff := cmp.Diff(want, found); diff != "" || err != nil {
		t.Errorf("findings: %v\n%s", err, diff)
	}
	if got := r.state(t, "shop"); got.Failures != 0 {
		t.Errorf("faults counted as failures: %+v", got)
	}
}

func TestAccountStateIsStoredBeforeTheReply(t *testing.T) {
	r := newRig(t, func(o *Options) { o.IdleAfter = time.Millisecond })
	install(t, r.dir, "ca-test", "")
	var mu sync.Mutex
	stored, broken := []byte("s"), false
	c := r.CA(Instance{
		Name: "shop", Plugin: "test", Env: map[string]string{behaviourEnv: "state"},
		State: func() []byte { mu.Lock(); defer mu.Unlock(); return stored },
		SaveState: func(b []byte) error {
			mu.Lock()
			defer mu.Unlock()
			if broken {
				return errors.New("disk full")
			}
			stored = b
			return nil
		},
	})
	is := func(want string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if string(stored) != want {
			t.Errorf("stored %q, want %q", stored, want)
		}
	}
	detail(t, c, "pid")
	is("sc") // what was stored came in, what Configure gave back was stored
	detail(t, c, "state:fresh")
	is("fresh")
	eventually(t, "the plugin is stopped", func() bool { return r.state(t, "shop").PID == 0 })
	detail(t, c, "pid")
	is("freshc")

	mu.Lock()
	broken = true
	mu.Unlock()
	eventually(t, "the plugin is stopped", func() bool { return r.state(t, "shop").PID == 0 })
	if _, err := c.PlaceOrder(t.Context(), request("pid")); pluginapi.KindOf(err) != pluginapi.Unavailable {
		t.Errorf("an order without a place for the state Configure gave: %v", err)
	}
	plain := r.CA(Instance{Name: "plain", Plugin: "test", SaveState: func([]byte) error { return errors.New("disk full") }})
	reply, err := plain.PlaceOrder(t.Context(), request("state:x"))
	if pluginapi.KindOf(err) != pluginapi.UnknownOutcome || !errors.Is(err, ErrStateNotStored) || reply.Order.Reference != "r" {
		t.Errorf("an order whose state was lost: %+v %v", reply, err)
	}
}

func TestErrorsOfPlugins(t *testing.T) {
	r := newRig(t, nil)
	install(t, r.dir, "ca-test", "")
	c := r.CA(Instance{Name: "shop", Plugin: "test", Env: map[string]string{"TOKEN": "environment-secret"}})
	_, err := c.PlaceOrder(t.Context(), request("error:no, environment-secret"))
	if got, want := err.Error(), "plugin ca-test, account shop: no, [secret]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if pluginapi.KindOf(err) != pluginapi.Rejected {
		t.Errorf("kind %v", pluginapi.KindOf(err))
	}
	if _, err := c.RenewalInfo(t.Context(), []byte{1}); !errors.Is(err, wire.ErrUnsupported) && !errors.Is(err, wire.ErrNotSent) {
		t.Errorf("not offered: %v", err)
	}
	if _, err := c.CancelOrder(t.Context(), placed("x"), ""); !errors.Is(err, wire.ErrUnsupported) {
		t.Errorf("not offered: %v", err)
	}
	if got := r.state(t, "shop"); got.Failures != 0 || got.PID == 0 {
		t.Errorf("an error is no failure of the plugin: %+v", got)
	}
}

func TestDCVProfile(t *testing.T) {
	r := newRig(t, nil)
	install(t, r.dir, "dcv-test", "")
	d := r.DCV(Instance{Name: "zone", Plugin: "test", Env: map[string]string{"TOKEN": "t0ken-of-dns"}})
	got, err := d.Configured(t.Context())
	if err != nil || !got.Sequential || len(got.Abilities) != 1 {
		t.Fatalf("configured: %+v %v", got, err)
	}
	challenge := pluginapi.Challenge{ID: "1", Identifier: "example.com", DNS: &pluginapi.DNSRecord{Name: "_dnsauth.example.com", Type: pluginapi.TXT, Value: "v"}}
	receipt, err := d.Publish(t.Context(), challenge)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Withdraw(t.Context(), challenge, receipt); err != nil {
		t.Error(err)
	}
	err = d.Withdraw(t.Context(), challenge, []byte("t0ken-of-dns"))
	if pluginapi.KindOf(err) != pluginapi.NotFound || strings.Contains(err.Error(), "t0ken") || !strings.HasPrefix(err.Error(), "plugin dcv-test, profile zone: ") {
		t.Errorf("error: %v", err)
	}
	if d, err := d.Describe(t.Context()); err != nil || d.Version != "0.1.0" {
		t.Errorf("description: %+v %v", d, err)
	}
}

// An order asks for each name at each look what its profiles can do: nobody has to start a process for that again.
func TestDCVProfileIsRemembered(t *testing.T) {
	r := newRig(t, func(o *Options) { o.IdleAfter = time.Millisecond })
	install(t, r.dir, "dcv-test", "")
	d := r.DCV(Instance{Name: "zone", Plugin: "test"})
	first, err := d.Configured(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the idle process has ended", func() bool { return r.state(t, "zone").PID == 0 })
	again, err := d.Configured(t.Context())
	if err != nil || !slices.Equal(again.Abilities, first.Abilities) {
		t.Errorf("%+v, %v; want %+v", again, err, first)
	}
	if pid := r.state(t, "zone").PID; pid != 0 {
		t.Errorf("process %d was started for it", pid)
	}
}

func TestAnotherInstanceOfTheSameNameTakesOver(t *testing.T) {
	r := newRig(t, nil)
	install(t, r.dir, "ca-test", "")
	first := r.account("shop", "test", "")
	pid := detail(t, first, "pid")
	second := r.account("shop", "test", "")
	if _, err := first.GetOrder(t.Context(), placed("pid")); !errors.Is(err, ErrClosed) {
		t.Errorf("the first: %v", err)
	}
	if detail(t, second, "pid") == pid {
		t.Error("settings of the second, process of the first")
	}
	eventually(t, "the first process ends", func() bool { return !alive(pid) })
	second.Close()
	if _, err := second.GetOrder(t.Context(), placed("pid")); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if info := r.plugin(t, "ca-test"); len(info.Instances) != 0 {
		t.Errorf("still listed: %+v", info)
	}
}

func TestCloseEndsEverythingAndIsBounded(t *testing.T) {
	r := newRig(t, func(o *Options) { o.CloseGrace, o.StopGrace = 50*time.Millisecond, 50*time.Millisecond })
	install(t, r.dir, "ca-test", "")
	c := r.account("shop", "test", "stubborn")
	pid := detail(t, c, "pid")
	failed := hanging(context.Background(), t, c)
	start := time.Now()
	for range 2 {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	if alive(pid) {
		t.Error("still there")
	}
	if err := <-failed; pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
		t.Errorf("a paid call that was cut: %v", err)
	}
	if _, err := c.GetOrder(t.Context(), placed("pid")); !errors.Is(err, ErrClosed) || pluginapi.KindOf(err) != pluginapi.Unavailable {
		t.Errorf("after close: %v", err)
	}
}

func TestTwoHostsDoNotShareARuntimeFolder(t *testing.T) {
	r := newRig(t, nil)
	if _, err := New(Options{Dir: r.dir, RuntimeDir: r.runtime, OwnerUID: os.Geteuid()}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("error: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(r.runtime, "plugin-dir123")
	if err := os.MkdirAll(filepath.Join(left, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	h, err := New(Options{Dir: r.dir, RuntimeDir: r.runtime, OwnerUID: os.Geteuid()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("leftovers of a killed host: %v", err)
	}
}

func TestFoldersThatCannotBe(t *testing.T) {
	dir := tempDir(t)
	for name, opt := range map[string]Options{
		"relative plugin folder":  {Dir: "plugins", RuntimeDir: dir},
		"relative runtime folder": {Dir: dir, RuntimeDir: "run"},
		"path too long":           {Dir: dir, RuntimeDir: filepath.Join(dir, strings.Repeat("x", 90))},
	} {
		opt.OwnerUID = os.Geteuid()
		if _, err := New(opt); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWhatAPluginWritesIsLoggedWithoutSecrets(t *testing.T) {
	var log syncBuffer
	r := newRig(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	install(t, r.dir, "ca-test", "")
	c := r.CA(Instance{
		Name: "shop", Plugin: "test", Env: map[string]string{"TOKEN": "planted-in-env"},
		Settings: pluginapi.Settings{Secrets: map[string]pluginapi.Secret{"key": pluginapi.NewSecret("planted-in-settings")}},
	})
	order := placed("log:planted-in-env planted-in-settings planted-in-order")
	order.Settings.Secrets = map[string]pluginapi.Secret{"x": pluginapi.NewSecret("planted-in-order")}
	if _, err := c.GetOrder(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"streamed", "direct", "printed"} {
		want := `line="` + way + ` [secret] [secret] [secret]"`
		eventually(t, want, func() bool {
			return slices.ContainsFunc(slices.Collect(strings.Lines(log.String())), func(line string) bool {
				return strings.Contains(line, want) && strings.Contains(line, "plugin=ca-test instance=shop")
			})
		})
	}
	if strings.Contains(log.String(), "planted") {
		t.Errorf("a secret in the log: %s", log.String())
	}
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
