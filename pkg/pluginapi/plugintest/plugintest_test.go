package plugintest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

// The environment makes the test binary a plugin: a CA or a domain control plugin with one fault, or none.
const (
	envCA  = "PLUGINTEST_SMALL_CA"
	envDCV = "PLUGINTEST_SMALL_DCV"
	none   = "none"
)

func TestMain(m *testing.M) {
	if fault := os.Getenv(envCA); fault != "" {
		serveSmallCA(fault)
		return
	}
	if fault := os.Getenv(envDCV); fault != "" {
		wire.ServeDCV(&smallDCV{fault: fault})
		return
	}
	os.Exit(m.Run())
}

func serveSmallCA(fault string) {
	switch fault {
	case "no-handshake":
		fmt.Println("hello, I am no plugin")
		return
	case "dies-at-start":
		fmt.Fprintln(os.Stderr, "I cannot start")
		os.Exit(3)
	case "other-protocol":
		fmt.Println("1|99|unix|/nowhere|grpc|")
		return
	case "ignores-sigterm":
		// Before wire takes the signal, so that both have it and this one can stall.
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, syscall.SIGTERM)
		serveUnchecked(&unchecked{ready: true})
		return
	case "answers-before-configure":
		serveUnchecked(&unchecked{ready: true})
		return
	case "offers-what-is-missing":
		serveUnchecked(&unchecked{offers: []pb.Ability{pb.Ability_ABILITY_CANCEL}})
		return
	case "accepts-garbage":
		serveUnchecked(&unchecked{ready: true, accepts: true})
		return
	}
	wire.ServeCA(&smallCA{fault: fault})
}

// unchecked is served without the package that checks requests, as a plugin in another language is.
type unchecked struct {
	pb.UnimplementedCAServiceServer
	plugin.NetRPCUnsupportedPlugin
	ready, accepts bool
	offers         []pb.Ability
}

func serveUnchecked(u *unchecked) {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: wire.Handshake(), VersionedPlugins: map[int]plugin.PluginSet{1: {wire.PluginCA: u}},
		GRPCServer: plugin.DefaultGRPCServer, Logger: hclog.NewNullLogger(),
	})
}

func (u *unchecked) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	pb.RegisterCAServiceServer(s, u)
	return nil
}

func (u *unchecked) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return struct{}{}, nil
}

func (u *unchecked) Describe(context.Context, *pb.CAServiceDescribeRequest) (*pb.CAServiceDescribeResponse, error) {
	return &pb.CAServiceDescribeResponse{Name: "unchecked", Version: "1", Abilities: u.offers}, nil
}

func (u *unchecked) Configure(context.Context, *pb.CAServiceConfigureRequest) (*pb.CAServiceConfigureResponse, error) {
	return &pb.CAServiceConfigureResponse{}, nil
}

func (u *unchecked) PlaceOrder(ctx context.Context, r *pb.CAServicePlaceOrderRequest) (*pb.CAServicePlaceOrderResponse, error) {
	if !u.accepts {
		return u.UnimplementedCAServiceServer.PlaceOrder(ctx, r)
	}
	return &pb.CAServicePlaceOrderResponse{Order: &pb.Order{Reference: "x", Status: pb.OrderStatus_ORDER_STATUS_PROCESSING}}, nil
}

func (u *unchecked) GetOrder(ctx context.Context, r *pb.CAServiceGetOrderRequest) (*pb.CAServiceGetOrderResponse, error) {
	if !u.ready {
		return u.UnimplementedCAServiceServer.GetOrder(ctx, r)
	}
	return &pb.CAServiceGetOrderResponse{Order: &pb.Order{Reference: r.GetReference(), Status: pb.OrderStatus_ORDER_STATUS_PROCESSING}}, nil
}

func caOptions(t *testing.T, fault string) Options {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Path: path, Env: []string{envCA + "=" + fault},
		Settings: pluginapi.Settings{
			Values:  map[string]any{"dir": t.TempDir(), "base_url": "https://ca.example/v1"},
			Secrets: map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret("k-3141592653")},
		},
		OrderSettings:    pluginapi.Settings{Values: map[string]any{"product": "dv"}},
		BadOrderSettings: []pluginapi.Settings{{}, {Values: map[string]any{"product": "xv"}}},
		Identifiers: []pluginapi.Identifier{
			{Value: "a.example", Type: pluginapi.DNS}, {Value: "*.b.example", Type: pluginapi.DNS},
		},
		OrderTimeout: 2 * time.Second, CallTimeout: 4 * time.Second,
	}
}

func TestGoodCA(t *testing.T) {
	t.Parallel()
	options := caOptions(t, none)
	options.OrderTimeout, options.CallTimeout = time.Minute, 30*time.Second // faults are waited for; what is good ends by itself
	for _, c := range Test(t, options).Checks {
		if c.Result == Skip && c.Name != "preflight" {
			t.Errorf("%s was skipped: %s", c.Name, c.Words)
		}
	}
}

// TestFaultsOfACA holds that each broken promise is reported by the check that is there for it.
func TestFaultsOfACA(t *testing.T) {
	t.Parallel()
	for fault, check := range map[string]string{
		"no-handshake":                "start",
		"dies-at-start":               "start",
		"other-protocol":              "start",
		"describe-bad-name":           "start",
		"describe-changes":            "describe",
		"schema-without-help":         "describe",
		"answers-before-configure":    "configure-first",
		"accepts-all-settings":        "bad-settings",
		"finding-without-field":       "bad-settings",
		"dies-on-bad-settings":        "bad-settings",
		"refuses-good-settings":       "configure",
		"offers-what-is-missing":      "abilities",
		"invents-orders":              "unknown-order",
		"finds-with-wrong-kind":       "unknown-order",
		"dies-on-unknown-order":       "unknown-order",
		"accepts-garbage":             "garbage",
		"issued-without-chain":        "order",
		"unknown-status":              "order",
		"hangs":                       "deadline",
		"changes-reference":           "order",
		"changes-challenge":           "order",
		"never-issues":                "order",
		"wrong-key":                   "order",
		"forgets-a-name":              "order",
		"not-yet-valid":               "order",
		"chain-breaks":                "order",
		"dies-on-garbled-state":       "order",
		"buys-twice":                  "replay",
		"buys-twice-after-restart":    "replay",
		"finds-nothing":               "find-order",
		"takes-a-step-when-inspected": "inspect-order",
		"cannot-tell-unknown-orders":  "unknown-order",
		"inspects-half-the-names":     "inspect-order",
		"restless-when-inspected":     "inspect-order",
		"forgets-when-killed":         "kill-between-calls",
		"ignores-order-settings":      "order-settings",
		"has-no-rules":                "check-orders",
		"rules-are-for-another":       "check-orders",
		"rules-of-no-order":           "check-orders",
		"asks-the-ca-for-rules":       "check-orders",
		"refuses-good-orders":         "check-orders",
		"dies-of-rules":               "check-orders",
		"cancel-does-nothing":         "cancel",
		"finds-another-order":         "certificate",
		"another-serial":              "certificate",
		"revokes-once":                "certificate",
		"not-found-without-kind":      "error-kinds",
		"secret-on-stderr":            "secrets",
		"secret-in-finding":           "secrets",
		"secret-in-detail":            "secrets",
		"secret-in-state":             "secrets",
		"ignores-sigterm":             "stop",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			o := caOptions(t, fault)
			o.Only = []string{check}
			if check == "secrets" || check == "error-kinds" { // they look at what the others saw
				o.Only = append(o.Only, "configure", "unknown-order", "order")
			}
			wantFailed(t, Run(t.Context(), o), check)
		})
	}
}

func wantFailed(t *testing.T, r Report, check string) {
	t.Helper()
	if r.OK() {
		t.Error("the report says that all is well")
	}
	for _, c := range r.Checks {
		if c.Name != check {
			continue
		}
		if c.Result != Fail || len(c.Words) == 0 {
			t.Errorf("%s: %s %q", check, c.Result, c.Words)
		}
		return
	}
	t.Errorf("the check %s was not reached: %+v", check, r.Checks)
}

// smallDCV publishes into a folder, one file for each challenge.
type smallDCV struct{ fault, dir string }

func (d *smallDCV) Describe(context.Context) (pluginapi.DCVDescription, error) {
	return pluginapi.DCVDescription{Name: "small", Version: "1", Settings: []pluginapi.Field{
		{Name: "dir", Type: pluginapi.String, Required: true, Help: "The folder."},
	}}, nil
}

func (d *smallDCV) Configure(_ context.Context, p pluginapi.DCVProfile) (pluginapi.DCVConfigured, error) {
	var in struct {
		Dir string `json:"dir"`
	}
	if err := p.Settings.Decode(&in); err != nil {
		return pluginapi.DCVConfigured{}, err
	}
	if in.Dir == "" {
		return pluginapi.DCVConfigured{}, pluginapi.FieldErrorf("dir", "is missing")
	}
	d.dir = in.Dir
	return pluginapi.DCVConfigured{Abilities: []pluginapi.PublishAbility{pluginapi.PublishTXT}}, nil
}

// file is the same in every process, but for the fault that it is not.
func (d *smallDCV) file(c pluginapi.Challenge) string {
	return filepath.Join(d.dir, c.DNS.Name+"="+c.DNS.Value)
}

func (d *smallDCV) Publish(_ context.Context, c pluginapi.Challenge) ([]byte, error) {
	if d.fault == "publishes-nothing" {
		return nil, nil
	}
	if _, err := os.Stat(d.file(c)); err == nil && d.fault == "publishes-once" {
		return nil, pluginapi.Errorf(pluginapi.Conflict, "it is there")
	}
	return []byte("receipt"), os.WriteFile(d.file(c), nil, 0o600)
}

func (d *smallDCV) Withdraw(_ context.Context, c pluginapi.Challenge, receipt []byte) error {
	if d.fault == "needs-the-receipt" && len(receipt) == 0 {
		return nil
	}
	if d.fault == "withdraws-all" {
		files, _ := filepath.Glob(filepath.Join(d.dir, "*"))
		for _, f := range files {
			_ = os.Remove(f)
		}
	}
	err := os.Remove(d.file(c))
	if os.IsNotExist(err) && d.fault != "withdraws-once" {
		return nil
	}
	return err
}

func dcvOptions(t *testing.T, fault string) Options {
	t.Helper()
	o := caOptions(t, none)
	dir := t.TempDir()
	o.Env = []string{envDCV + "=" + fault}
	o.Settings = pluginapi.Settings{Values: map[string]any{"dir": dir}}
	for _, value := range []string{"one", "two"} {
		o.Challenges = append(o.Challenges, pluginapi.Challenge{
			ID: value, Identifier: "a.example", DNS: &pluginapi.DNSRecord{Name: "_dnsauth.a.example", Type: pluginapi.TXT, Value: value},
		})
	}
	o.Published = func(_ context.Context, c pluginapi.Challenge) (bool, error) {
		_, err := os.Stat((&smallDCV{dir: dir}).file(c))
		return err == nil, nil
	}
	return o
}

func TestGoodDCV(t *testing.T) {
	t.Parallel()
	for _, c := range Test(t, dcvOptions(t, none)).Checks {
		if c.Result == Skip {
			t.Errorf("%s was skipped: %s", c.Name, c.Words)
		}
	}
}

func TestFaultsOfADCV(t *testing.T) {
	t.Parallel()
	for fault, check := range map[string]string{
		"publishes-nothing": "publish",
		"publishes-once":    "publish",
		"withdraws-once":    "publish",
		"needs-the-receipt": "withdraw-later",
		"withdraws-all":     "beside",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			o := dcvOptions(t, fault)
			o.Only = []string{check}
			wantFailed(t, Run(t.Context(), o), check)
		})
	}
}

func TestRunOfWhatIsNoPlugin(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/bin/true", "/nowhere/at/all", t.TempDir()} {
		r := Run(t.Context(), Options{Path: path})
		wantFailed(t, r, "start")
	}
}

func TestWithoutSettings(t *testing.T) {
	t.Parallel()
	o := caOptions(t, none)
	o.Settings = pluginapi.Settings{}
	r := Run(t.Context(), o)
	if !r.OK() {
		t.Errorf("checks failed: %+v", r.Checks)
	}
	for _, c := range r.Checks {
		if c.Name == "configure" && c.Result != Skip || c.Name == "order" {
			t.Errorf("%s: %s", c.Name, c.Result)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantFailed(t, Run(ctx, caOptions(t, none)), "start")
}

func TestPrint(t *testing.T) {
	r := Report{Path: "./ca-x", Kind: "ca", Name: "x", Version: "1", Checks: []Check{
		{Name: "start", Result: Pass}, {Name: "order", Result: Fail, Words: []string{"no chain"}}, {Name: "cancel", Result: Skip, Words: []string{"not offered"}},
	}}
	var b bytes.Buffer
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`./ca-x: ca plugin "x"`, "FAIL  order", "no chain", "1 passed, 1 failed, 1 skipped"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}
