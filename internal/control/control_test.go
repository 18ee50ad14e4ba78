package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	controlv1 "github.com/certbridge/certbridged/proto/certbridge/control/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server for a backend and returns the socket and what stops it and waits.
func serve(t *testing.T, b Backend, group string) (socket string, stop func()) {
	t.Helper()
	dir := t.TempDir()
	// Other users come through here.
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	socket = filepath.Join(dir, "c.sock")
	l, err := Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(Options{Backend: b, Group: group, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return socket, stop
}

func client(t *testing.T, socket string) *Client {
	t.Helper()
	c, err := NewClient(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestEveryCall makes every call through the socket and wants exactly what the backend answers: no field is lost.
func TestEveryCall(t *testing.T) {
	backend := &fake{}
	socket, _ := serve(t, backend, "")
	c := client(t, socket)
	ctx := t.Context()
	tests := map[string]func(b Backend) (any, error){
		"info":                   func(b Backend) (any, error) { return b.Info(ctx) },
		"status shop":            func(b Backend) (any, error) { return b.Status(ctx, "shop") },
		`status after "shop", 7`: func(b Backend) (any, error) { return b.StatusPage(ctx, "shop", 7) },
		"explain shop":           func(b Backend) (any, error) { return b.Explain(ctx, "shop") },
		"plan 2027-01-01":        func(b Backend) (any, error) { return b.Plan(ctx, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)) },
		"renew shop":             func(b Backend) (any, error) { return b.Renew(ctx, RenewRequest{Name: "shop", Force: true}) },
		"deploy shop":            func(b Backend) (any, error) { return b.Deploy(ctx, "shop") },
		"revoke shop":            func(b Backend) (any, error) { return b.Revoke(ctx, RevokeRequest{Name: "shop", Reason: 4}) },
		"reload":                 func(b Backend) (any, error) { return b.Reload(ctx) },
		"orders shop":            func(b Backend) (any, error) { return b.Orders(ctx, OrderFilter{Certificate: "shop", All: true}) },
		"order o1":               func(b Backend) (any, error) { return b.Order(ctx, "o1") },
		"approve o1":             func(b Backend) (any, error) { return b.Approve(ctx, "o1") },
		"resolve o1 ref":         func(b Backend) (any, error) { return b.Resolve(ctx, "o1", "ref") },
		"resolve o1 ":            func(b Backend) (any, error) { return b.Resolve(ctx, "o1", "") },
		"cancel o1 why":          func(b Backend) (any, error) { return b.Cancel(ctx, "o1", "why") },
		"plugins":                func(b Backend) (any, error) { return b.Plugins(ctx) },
		"describe ca-x":          func(b Backend) (any, error) { return b.DescribePlugin(ctx, "ca-x") },
		"release ca-x":           func(b Backend) (any, error) { return nil, b.ReleasePlugin(ctx, "ca-x") },
	}
	for call, do := range tests {
		t.Run(call, func(t *testing.T) {
			want, _ := do(&fake{})
			got, err := do(c)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("answer (-backend +client):\n%s", diff)
			}
			if last := backend.calls[len(backend.calls)-1]; last != call {
				t.Errorf("the backend saw %q, want %q", last, call)
			}
			if backend.caller.UID != uint32(os.Geteuid()) || int(backend.caller.PID) != os.Getpid() {
				t.Errorf("caller = %+v", backend.caller)
			}
		})
	}
}

// TestFakeIsFull keeps the test above honest: a field the fake leaves empty would not be compared.
func TestFakeIsFull(t *testing.T) {
	for _, v := range []any{fullCertificate(), fullOrder(), *fullDeployment(), fullDescription(), fullPlugin()} {
		rv := reflect.ValueOf(v)
		for i := range rv.NumField() {
			if rv.Field(i).IsZero() {
				t.Errorf("%s.%s is empty in the fake", rv.Type().Name(), rv.Type().Field(i).Name)
			}
		}
	}
}

func TestErrorKindsTravel(t *testing.T) {
	backend := &fake{}
	socket, _ := serve(t, backend, "")
	c := client(t, socket)
	for _, kind := range []Kind{Invalid, NotFound, NotAllowed, Conflict, NeedsPerson, BadConfiguration, Unavailable, FailedAct} {
		backend.fail = fmt.Errorf("around: %w", Errorf(kind, "planted \xff fault"))
		_, err := c.Status(t.Context(), "")
		if KindOf(err) != kind || !strings.Contains(err.Error(), "around: planted") {
			t.Errorf("kind %d came as %d: %v", kind, KindOf(err), err)
		}
	}
	backend.fail = errPlanted
	if _, err := c.Status(t.Context(), ""); KindOf(err) != FailedAct || err.Error() != "planted" {
		t.Errorf("an error without kind came as %d: %v", KindOf(err), err)
	}
}

func TestRequestsAreChecked(t *testing.T) {
	backend := &fake{}
	socket, _ := serve(t, backend, "")
	c := client(t, socket)
	ctx := t.Context()
	_, explain := c.Explain(ctx, "")
	_, revoke := c.Revoke(ctx, RevokeRequest{Name: "shop", Reason: 7})
	_, plan := c.Plan(ctx, time.Time{})
	_, approve := c.Approve(ctx, "")
	_, resolve := c.api.ResolveOrder(ctx, &controlv1.ResolveOrderRequest{Id: "o1"})
	for name, err := range map[string]error{
		"explain": explain, "revoke": revoke, "plan": plan, "approve": approve, "resolve": fromStatus(resolve),
	} {
		if KindOf(err) != Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(backend.calls) != 0 {
		t.Errorf("bad requests came through to the backend: %v", backend.calls)
	}
}

// All certificates are asked for in parts, and come together.
func TestStatusOfAllComesInParts(t *testing.T) {
	for _, n := range []int{1, statusAtOnce - 1, statusAtOnce, 2*statusAtOnce + 1} {
		backend := &fake{many: n}
		socket, _ := serve(t, backend, "")
		list, err := client(t, socket).Status(t.Context(), "")
		if err != nil || len(list) != n || list[n-1].Name != strconv.Itoa(n-1) || len(backend.calls) != 1+n/statusAtOnce {
			t.Errorf("%d certificates are %d, by %d calls, %v", n, len(list), len(backend.calls), err)
		}
	}
}

func TestOddTextDoesNotBreakStatus(t *testing.T) {
	backends := []string{"b\xff", "c"}
	m := &controlv1.StatusResponse{Certificates: []*controlv1.Certificate{{
		Name: "a\xff", Names: backends, Deployment: &controlv1.Deployment{Output: "c\xff"},
	}}}
	got := clean(m).GetCertificates()[0]
	if got.GetName() != "a\uFFFD" || got.GetNames()[0] != "b\uFFFD" || got.GetDeployment().GetOutput() != "c\uFFFD" {
		t.Errorf("clean = %v", got)
	}
	if backends[0] != "b\xff" || got.GetNames()[1] != "c" {
		t.Errorf("the backend's own list was changed to %q, or the rest of it lost: %q", backends, got.GetNames())
	}
}

func TestEvents(t *testing.T) {
	backend := &fake{following: make(chan struct{}), events: []Event{
		{At: moment(), Level: "warn", Type: "order-held", Message: "m", Certificate: "shop", Order: "o1", Account: "a", Plugin: "p"},
		{At: moment(), Level: "info", Type: "started", Message: "m"},
	}}
	socket, stop := serve(t, backend, "")
	c := client(t, socket)
	var got []Event
	collect := func(e Event) error { got = append(got, e); return nil }
	if err := c.Events(t.Context(), EventFilter{}, collect); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(backend.events, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if err := c.Events(t.Context(), EventFilter{}, func(Event) error { return errPlanted }); !errors.Is(err, errPlanted) {
		t.Errorf("the receiver's error is %v", err)
	}

	ended := make(chan error, 1)
	go func() { ended <- c.Events(context.Background(), EventFilter{Follow: true}, collect) }()
	<-backend.following
	stop() // ends the follower rather than waiting for it
	if err := <-ended; err == nil {
		t.Error("a follower whose daemon stopped got no error")
	}
}

func TestTestProfile(t *testing.T) {
	backend := &fake{}
	socket, _ := serve(t, backend, "")
	c := client(t, socket)
	var got []ProfileTestStep
	collect := func(s ProfileTestStep) error { got = append(got, s); return nil }
	if err := c.TestProfile(t.Context(), ProfileTest{Profile: "p", Domain: "d", Type: "txt", Place: "_x"}, collect); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ProfileTestStep{fullStep()}, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if want := "test p d txt _x"; backend.calls[0] != want {
		t.Errorf("asked for %q, want %q", backend.calls[0], want)
	}
	if err := c.TestProfile(t.Context(), ProfileTest{Profile: "p", Domain: "d"}, func(ProfileTestStep) error { return errPlanted }); !errors.Is(err, errPlanted) {
		t.Errorf("the receiver's error is %v", err)
	}
	if err := c.TestProfile(t.Context(), ProfileTest{Profile: "p"}, collect); KindOf(err) != Invalid {
		t.Errorf("without a domain: %v", err)
	}
	backend.fail = Errorf(FailedAct, "not seen")
	if err := c.TestProfile(t.Context(), ProfileTest{Profile: "p", Domain: "d"}, collect); KindOf(err) != FailedAct {
		t.Errorf("a failed test: %v", err)
	}
}

func TestPanicStaysInsideTheCall(t *testing.T) {
	backend := &fake{panics: true}
	socket, _ := serve(t, backend, "")
	c := client(t, socket)
	if _, err := c.Info(t.Context()); KindOf(err) != FailedAct || strings.Contains(err.Error(), "planted") {
		t.Errorf("Info = %v", err)
	}
	if _, err := c.Plugins(t.Context()); err != nil {
		t.Errorf("the daemon did not survive: %v", err)
	}
}

// as makes a client that comes as another user: the kernel takes the credentials of the thread that connects.
func as(t *testing.T, socket string, uid, gid int, groups ...uint32) *Client {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "only root can come as another user")
	}
	c, err := newClient(socket, func(ctx context.Context, path string) (net.Conn, error) {
		type result struct {
			conn net.Conn
			err  error
		}
		ch := make(chan result)
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			err := becomeUser(uid, gid, groups)
			if err != nil {
				ch <- result{nil, err}
				return
			}
			conn, err := net.Dial("unix", path)
			ch <- result{conn, err}
		}()
		r := <-ch
		return r.conn, r.err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("cannot be skipped here: " + why)
	}
	t.Skip(why)
}

func TestWhoMayDoWhat(t *testing.T) {
	const operators = 4242
	acts := map[string]func(c *Client) error{
		"renew":   func(c *Client) error { _, err := c.Renew(t.Context(), RenewRequest{Name: "a"}); return err },
		"deploy":  func(c *Client) error { _, err := c.Deploy(t.Context(), "a"); return err },
		"revoke":  func(c *Client) error { _, err := c.Revoke(t.Context(), RevokeRequest{Name: "a"}); return err },
		"reload":  func(c *Client) error { _, err := c.Reload(t.Context()); return err },
		"approve": func(c *Client) error { _, err := c.Approve(t.Context(), "o"); return err },
		"resolve": func(c *Client) error { _, err := c.Resolve(t.Context(), "o", ""); return err },
		"cancel":  func(c *Client) error { _, err := c.Cancel(t.Context(), "o", ""); return err },
		"release": func(c *Client) error { return c.ReleasePlugin(t.Context(), "p") },
		"test": func(c *Client) error {
			return c.TestProfile(t.Context(), ProfileTest{Profile: "p", Domain: "d"}, func(ProfileTestStep) error { return nil })
		},
	}
	reads := map[string]func(c *Client) error{
		"info":    func(c *Client) error { _, err := c.Info(t.Context()); return err },
		"status":  func(c *Client) error { _, err := c.Status(t.Context(), "shop"); return err },
		"page":    func(c *Client) error { _, err := c.StatusPage(t.Context(), "", 1); return err },
		"explain": func(c *Client) error { _, err := c.Explain(t.Context(), "a"); return err },
		"dry run": func(c *Client) error {
			_, err := c.Renew(t.Context(), RenewRequest{Name: "a", DryRun: true})
			return err
		},
		"orders":   func(c *Client) error { _, err := c.Orders(t.Context(), OrderFilter{}); return err },
		"order":    func(c *Client) error { _, err := c.Order(t.Context(), "o"); return err },
		"plugins":  func(c *Client) error { _, err := c.Plugins(t.Context()); return err },
		"describe": func(c *Client) error { _, err := c.DescribePlugin(t.Context(), "p"); return err },
		"plan":     func(c *Client) error { _, err := c.Plan(t.Context(), moment()); return err },
		"events":   func(c *Client) error { return c.Events(t.Context(), EventFilter{}, func(Event) error { return nil }) },
	}
	if n := reflect.TypeFor[Backend]().NumMethod(); n != len(acts)+len(reads)-1 { // the dry run is a renew
		t.Errorf("Backend has %d methods, %d are tried here", n, len(acts)+len(reads)-1)
	}
	socket, _ := serve(t, &fake{}, fmt.Sprint(operators))
	tests := map[string]struct {
		uid, gid int
		groups   []uint32
		acts     bool
	}{
		"root":                       {0, 0, nil, true},
		"somebody":                   {4000, 4000, nil, false},
		"somebody in other groups":   {4000, 4000, []uint32{1, 2, 3}, false},
		"member":                     {4000, 4000, []uint32{1, operators}, true},
		"member by main group":       {4000, operators, nil, true},
		"member of very many groups": {4000, 4000, append(make([]uint32, 300), operators), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := as(t, socket, tt.uid, tt.gid, tt.groups...)
			for what, read := range reads {
				if err := read(c); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			for what, act := range acts {
				err := act(c)
				switch {
				case tt.acts && err != nil:
					t.Errorf("%s: %v", what, err)
				case !tt.acts && (KindOf(err) != NotAllowed || !strings.Contains(err.Error(), "group 4242")):
					t.Errorf("%s: %v; want a refusal that names the group", what, err)
				}
			}
		})
	}
}

func TestOneUserCannotTakeAllConnections(t *testing.T) {
	socket, _ := serve(t, &fake{}, "")
	for range maxConnections {
		if err := as(t, socket, 4000, 4000).Events(t.Context(), EventFilter{}, func(Event) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := as(t, socket, 4000, 4000).Info(t.Context()); KindOf(err) != NotRunning {
		t.Errorf("one connection too many: %v", err)
	}
	if _, err := client(t, socket).Info(t.Context()); err != nil {
		t.Errorf("root is shut out: %v", err)
	}
}

func becomeUser(uid, gid int, groups []uint32) error {
	if err := setThreadGroups(groups); err != nil {
		return err
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
		return errno
	}
	return nil
}
