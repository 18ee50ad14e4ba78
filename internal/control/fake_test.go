package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// moment is the time of everything in the fake.
func moment() time.Time { return time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC) }

func fullDeployment() *Deployment {
	return &Deployment{
		OK: true, Stage: "verify", Message: "m", Output: "o", ExitCode: 3, At: moment(), Took: 1500 * time.Millisecond,
		RolledBack: true, NextAt: moment().Add(time.Hour),
	}
}

func fullOrder() Order {
	return Order{
		ID: "o1", Certificate: "shop", Account: "digicert", Kind: "renew", Phase: "held", Status: "pending-approval", Detail: "d",
		Reason: "near-expiry", ReasonDetail: "rd", Reference: "123", Names: []string{"a.example", "b.example"}, CostsMoney: true, CostsUnknown: true,
		Price: &Price{"218.00", "USD"}, Hold: &Hold{"budget", "hd", moment()}, Action: &PersonAction{"w", "x", "https://u"},
		Publications: []Publication{{"web", "a.example", "http", "/.well-known/x", true}}, Attempts: 4,
		LastError: &Problem{"unavailable", "pm", moment()}, NextAt: moment(), CoverageEnd: moment(), Created: moment(), Updated: moment(),
		Deployment: fullDeployment(),
	}
}

func fullCertificate() Certificate {
	o := fullOrder()
	return Certificate{
		Name: "shop", Enabled: true, Names: []string{"a.example"}, Account: "digicert",
		Files: []File{{"key", "/k", "p"}},
		Leaf:  &Leaf{"0a", "CN=x", []string{"a.example"}, moment(), moment().Add(time.Hour), "ecdsa-p256", "ff"}, Problem: "p",
		Next:  Next{At: moment(), Due: true, Reason: "near-expiry", Detail: "nd"},
		Order: &o, Deployment: fullDeployment(), CoverageEnd: moment(),
	}
}

func fullDescription() PluginDescription {
	setting := Setting{
		Path: "a.b", Type: "string", Required: true, Secret: true, Default: "x", Allowed: []any{"x", 1.5, true}, Help: "h",
	}
	return PluginDescription{
		Plugin: fullPlugin(), Summary: "s", Abilities: []string{"revoke"}, ChallengeTypes: []string{"dns"}, OrdersCostMoney: true,
		Settings: []Setting{setting}, OrderSettings: []Setting{setting},
	}
}

func fullPlugin() Plugin {
	return Plugin{
		File: "ca-x", Kind: "ca", Name: "x", Version: "1", State: "running", Reason: "r", PIDs: []int{7}, Restarts: 2,
		SHA256: "ab", Users: []string{"digicert"},
	}
}

// fake is a backend that answers everything with every field set and notes what was called.
type fake struct {
	mu     sync.Mutex
	calls  []string
	caller Caller
	// fail, when set, is what every call returns.
	fail error
	// events are sent by Events, which then waits when it follows.
	events []Event
	// following is closed when Events waits.
	following chan struct{}
	// many, when set, is how many certificates StatusPage has, named by their numbers.
	many int
	// panics makes Info panic.
	panics bool
}

func (f *fake) note(ctx context.Context, call string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
	f.caller, _ = CallerFrom(ctx)
	return f.fail
}

func (f *fake) Info(ctx context.Context) (Info, error) {
	if f.panics {
		panic("planted")
	}
	return Info{
		Version: "v", ConfigPath: "/c", PID: 9, Started: moment(), ConfigLoaded: moment(), ConfigProblems: []string{"p"},
	}, f.note(ctx, "info")
}

func (f *fake) Status(ctx context.Context, name string) ([]Certificate, error) {
	return []Certificate{fullCertificate(), {Name: "bare"}}, f.note(ctx, "status "+name)
}

func (f *fake) StatusPage(ctx context.Context, after string, limit int) ([]Certificate, error) {
	err := f.note(ctx, fmt.Sprintf("status after %q, %d", after, limit))
	if f.many == 0 {
		return []Certificate{fullCertificate(), {Name: "bare"}}, err
	}
	first := 0
	if after != "" {
		first, _ = strconv.Atoi(after)
		first++
	}
	var list []Certificate
	for n := first; n < min(first+limit, f.many); n++ {
		list = append(list, Certificate{Name: strconv.Itoa(n)})
	}
	return list, err
}

func (f *fake) Explain(ctx context.Context, name string) (Explanation, error) {
	return Explanation{Certificate: fullCertificate(), Facts: []string{"f"}}, f.note(ctx, "explain "+name)
}

func (f *fake) Plan(ctx context.Context, until time.Time) ([]PlannedAct, error) {
	act := PlannedAct{
		At: moment(), Certificate: "shop", Account: "a", Kind: "renew", Reason: "r", Detail: "d", CostsMoney: true,
	}
	return []PlannedAct{act}, f.note(ctx, "plan "+until.Format(time.DateOnly))
}

func (f *fake) Events(ctx context.Context, filter EventFilter, send func(Event) error) error {
	if err := f.note(ctx, "events "+filter.Certificate); err != nil {
		return err
	}
	for _, e := range f.events {
		if err := send(e); err != nil {
			return err
		}
	}
	if filter.Follow {
		close(f.following)
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (f *fake) TestProfile(ctx context.Context, test ProfileTest, send func(ProfileTestStep) error) error {
	if err := f.note(ctx, "test "+test.Profile+" "+test.Domain+" "+test.Type+" "+test.Place); err != nil {
		return err
	}
	return send(fullStep())
}

func (f *fake) Renew(ctx context.Context, req RenewRequest) (Renewal, error) {
	o := fullOrder()
	r := Renewal{
		Ordered: true, Kind: "renew", Account: "a", Names: []string{"n"}, Reason: "r", Detail: "d", CostsMoney: true,
		Price: &Price{"1", "EUR"}, Order: &o, WouldHold: "h", CostsUnknown: true,
	}
	return r, f.note(ctx, "renew "+req.Name)
}

func (f *fake) Deploy(ctx context.Context, name string) (Deployment, error) {
	return *fullDeployment(), f.note(ctx, "deploy "+name)
}

func (f *fake) Revoke(ctx context.Context, req RevokeRequest) (Revocation, error) {
	return Revocation{Serial: "0a", Detail: "d", Action: &PersonAction{"w", "x", "u"}}, f.note(ctx, "revoke "+req.Name)
}

func (f *fake) Reload(ctx context.Context) ([]string, error) {
	return []string{"w"}, f.note(ctx, "reload")
}

func (f *fake) Orders(ctx context.Context, filter OrderFilter) ([]Order, error) {
	return []Order{fullOrder(), {ID: "o2"}}, f.note(ctx, "orders "+filter.Certificate)
}

func (f *fake) Order(ctx context.Context, id string) (Order, error) {
	return fullOrder(), f.note(ctx, "order "+id)
}

func (f *fake) Approve(ctx context.Context, id string) (Order, error) {
	return fullOrder(), f.note(ctx, "approve "+id)
}

func (f *fake) Resolve(ctx context.Context, id, reference string) (Order, error) {
	return fullOrder(), f.note(ctx, "resolve "+id+" "+reference)
}

func (f *fake) Cancel(ctx context.Context, id, reason string) (Order, error) {
	return fullOrder(), f.note(ctx, "cancel "+id+" "+reason)
}

func (f *fake) Plugins(ctx context.Context) ([]Plugin, error) {
	return []Plugin{fullPlugin()}, f.note(ctx, "plugins")
}

func (f *fake) DescribePlugin(ctx context.Context, name string) (PluginDescription, error) {
	return fullDescription(), f.note(ctx, "describe "+name)
}

func (f *fake) ReleasePlugin(ctx context.Context, name string) error {
	return f.note(ctx, "release "+name)
}

var errPlanted = errors.New("planted")

func fullStep() ProfileTestStep {
	return ProfileTestStep{Step: "look", OK: true, Message: "m", Took: time.Second, Answers: []ServerAnswer{
		{Server: "ns1.example.com.", Address: "192.0.2.1:53", Values: []string{"a", "b"}, Seen: true, Took: time.Millisecond},
		{Address: "192.0.2.2:53", Problem: "silent"},
	}}
}
