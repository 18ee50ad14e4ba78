package wire

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

func TestMain(m *testing.M) {
	if os.Getenv(envServe) != "" {
		ServeCA(&plodder{fakeCA{description: pluginapi.Description{Name: "plodder", Version: "1"}}})
		return
	}
	goleak.VerifyTestMain(m)
}

// dial serves whatever register adds, over a pipe in memory.
func dial(t *testing.T, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	pipe := bufconn.Listen(1 << 16)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(MaxMessageSize))
	register(server)
	go server.Serve(pipe)
	options := append(DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }))
	conn, err := grpc.NewClient("passthrough:pipe", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); server.Stop() })
	return conn
}

func serveCA(t *testing.T, impl pluginapi.CA) *CAClient {
	t.Helper()
	return NewCAClient(dial(t, func(s *grpc.Server) { pb.RegisterCAServiceServer(s, &caServer{impl: impl}) }))
}

// fakeCA answers with what it is told to, and remembers what it was asked.
type fakeCA struct {
	description pluginapi.Description
	reply       pluginapi.OrderReply
	findings    []pluginapi.Finding
	err         error
	act         func(ctx context.Context)

	uri         string
	identifiers []string

	account pluginapi.Account
	request pluginapi.OrderRequest
	placed  pluginapi.PlacedOrder
	ids     []string
}

func (f *fakeCA) Describe(context.Context) (pluginapi.Description, error) { return f.description, nil }

func (f *fakeCA) Configure(_ context.Context, a pluginapi.Account) (pluginapi.Configured, error) {
	f.account = a
	return pluginapi.Configured{
		Findings: f.findings, AccountState: []byte("account"), AccountURI: f.uri, CAAIdentifiers: f.identifiers,
	}, nil
}

func (f *fakeCA) do(ctx context.Context) (pluginapi.OrderReply, error) {
	if f.act != nil {
		f.act(ctx)
	}
	return f.reply, f.err
}

func (f *fakeCA) PlaceOrder(ctx context.Context, r pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	f.request = r
	return f.do(ctx)
}

func (f *fakeCA) GetOrder(ctx context.Context, o pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	f.placed = o
	return f.do(ctx)
}

func (f *fakeCA) RespondToChallenges(ctx context.Context, o pluginapi.PlacedOrder, ids []string) (pluginapi.OrderReply, error) {
	f.placed, f.ids = o, ids
	return f.do(ctx)
}

// fullCA has every optional part.
type fullCA struct {
	fakeCA
	info   pluginapi.RenewalInfo
	orders []pluginapi.Settings
}

func (f *fullCA) Preflight(context.Context, []pluginapi.Settings) (pluginapi.PreflightReply, error) {
	return pluginapi.PreflightReply{Findings: f.findings}, f.err
}

func (f *fullCA) CheckOrders(_ context.Context, orders []pluginapi.Settings) ([]pluginapi.Finding, error) {
	f.orders = orders
	return f.findings, f.err
}

func (f *fullCA) FindOrder(ctx context.Context, r pluginapi.OrderRequest, _ time.Time) (pluginapi.OrderReply, error) {
	f.request = r
	return f.do(ctx)
}

func (f *fullCA) FindOrderByCertificate(ctx context.Context, _ []byte) (pluginapi.OrderReply, error) {
	return f.do(ctx)
}

func (f *fullCA) InspectOrder(ctx context.Context, reference string, state []byte) (pluginapi.OrderReply, error) {
	f.placed = pluginapi.PlacedOrder{Reference: reference, State: state}
	return f.do(ctx)
}

func (f *fullCA) CancelOrder(ctx context.Context, o pluginapi.PlacedOrder, _ string) (pluginapi.OrderReply, error) {
	f.placed = o
	return f.do(ctx)
}

func (f *fullCA) RevokeCertificate(context.Context, pluginapi.Revocation) (pluginapi.RevocationReply, error) {
	return pluginapi.RevocationReply{Detail: "gone", Action: &pluginapi.PersonAction{Who: "you", What: "confirm"}}, f.err
}

func (f *fullCA) RenewalInfo(context.Context, []byte) (pluginapi.RenewalInfo, error) {
	return f.info, f.err
}

var sameSecrets = cmp.Comparer(func(a, b pluginapi.Secret) bool { return a.Reveal() == b.Reveal() })

func configured(t *testing.T, impl pluginapi.CA) *CAClient {
	t.Helper()
	c := serveCA(t, impl)
	if _, err := c.Configure(t.Context(), pluginapi.Account{}); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDescriptionTravels(t *testing.T) {
	in := pluginapi.Description{
		Name: "demo", Version: "v1.2.3", Summary: "A demonstration.",
		Abilities:      []pluginapi.Ability{pluginapi.AbilityReissue},
		ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeHTTP, pluginapi.ChallengeDNS}, OrdersCostMoney: true,
		AccountSettings: []pluginapi.Field{
			{Name: "api_key", Type: pluginapi.String, Required: true, Secret: true, Help: "The key."},
			{Name: "years", Type: pluginapi.Integer, Default: int64(1), Allowed: []any{int64(1), int64(2)}, Help: "How long."},
			{Name: "rate", Type: pluginapi.Number, Default: 3.0, Help: "How fast."},
			{
				Name: "contacts", Type: pluginapi.List, Help: "Who.",
				Element: &pluginapi.Field{Type: pluginapi.Table, Fields: []pluginapi.Field{{Name: "mail", Type: pluginapi.String, Help: "Where."}}},
			},
		},
		OrderSettings: []pluginapi.Field{{Name: "wait", Type: pluginapi.Duration, Default: "5m", Help: "How long."}},
		CSRCommonName: true, CAAIdentifiers: []string{"ca.example"}, FindOrderSettle: time.Minute,
		CAAMethods:   []pluginapi.CAAMethod{{Type: pluginapi.ChallengeDNS, Label: "ca-dns-txt"}, {Type: pluginapi.ChallengeDNS, Label: "ca-cname"}},
		ReissueNames: pluginapi.ReissueSameNames, ReissueAdditionsCost: true, PollInterval: time.Second, MaxConcurrentOrders: 4,
	}
	got, err := serveCA(t, &fakeCA{description: in}).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestBadCAAMethodsAreABadReply(t *testing.T) {
	for name, m := range map[string]pluginapi.CAAMethod{
		"no type":       {Label: "dns-01"},
		"no label":      {Type: pluginapi.ChallengeDNS},
		"label of more": {Type: pluginapi.ChallengeDNS, Label: "dns-01;x"},
	} {
		d := pluginapi.Description{Name: "demo", Version: "1", CAAMethods: []pluginapi.CAAMethod{m}}
		if _, err := serveCA(t, &fakeCA{description: d}).Describe(t.Context()); !errors.Is(err, ErrBadReply) {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := pluginapi.Description{Name: "demo", Version: "1", CAAMethods: []pluginapi.CAAMethod{{Type: 99, Label: "x"}}}
	if d, err := serveCA(t, &fakeCA{description: newer}).Describe(t.Context()); err != nil || len(d.CAAMethods) != 0 {
		t.Errorf("a type of a newer contract: %v, %v", d.CAAMethods, err)
	}
}

func TestConfiguredTravels(t *testing.T) {
	const uri = "https://ca.example/acct/1"
	got, err := serveCA(t, &fakeCA{uri: uri, identifiers: []string{"ca.example"}}).Configure(t.Context(), pluginapi.Account{})
	if err != nil {
		t.Fatal(err)
	}
	want := pluginapi.Configured{AccountState: []byte("account"), AccountURI: uri, CAAIdentifiers: []string{"ca.example"}}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	for name, bad := range map[string]*fakeCA{
		"no address":     {uri: "https://ca.example/\n"},
		"no domain name": {identifiers: []string{"ca example"}},
	} {
		if _, err := serveCA(t, bad).Configure(t.Context(), pluginapi.Account{}); !errors.Is(err, ErrBadReply) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAbilitiesFollowFromInterfaces(t *testing.T) {
	all := []pluginapi.Ability{
		pluginapi.AbilityPreflight, pluginapi.AbilityFindOrder, pluginapi.AbilityCancel, pluginapi.AbilityRevoke,
		pluginapi.AbilityRenewalInfo, pluginapi.AbilityFindByCertificate, pluginapi.AbilityCheckOrders,
		pluginapi.AbilityInspectOrder,
	}
	named := pluginapi.Description{Name: "demo", Version: "1", Abilities: []pluginapi.Ability{pluginapi.AbilityRevoke}}
	for name, c := range map[string]struct {
		impl pluginapi.CA
		want []pluginapi.Ability
	}{
		"none, though the description names one": {&fakeCA{description: named}, nil},
		"all":                                    {&fullCA{fakeCA: fakeCA{description: named}}, all},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := serveCA(t, c.impl).Describe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Abilities); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is asked about orders goes with their secrets, and no error shows one of them.
func TestCheckOrdersTravels(t *testing.T) {
	ca := &fullCA{}
	client := configured(t, ca)
	ca.findings = []pluginapi.Finding{{Severity: pluginapi.Fault, Field: "card.number", Message: "has no digits", Order: 2}}
	orders := []pluginapi.Settings{
		{Values: map[string]any{"product": "dv"}},
		{Values: map[string]any{"years": int64(2)}, Secrets: map[string]pluginapi.Secret{"card.number": pluginapi.NewSecret("none-at-all")}},
	}
	got, err := client.CheckOrders(t.Context(), orders)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ca.findings, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(orders, ca.orders, sameSecrets, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	ca.err = pluginapi.Errorf(pluginapi.Unavailable, "no rule for card none-at-all")
	if _, err := client.CheckOrders(t.Context(), orders); err == nil || strings.Contains(err.Error(), "none-at-all") {
		t.Errorf("the error shows a secret: %v", err)
	}
}

func TestOrderSecretsBelongToOrders(t *testing.T) {
	m := &pb.CAServicePreflightRequest{OrderSecrets: []*pb.OrderSecrets{{}}}
	if _, err := parsePreflightRequest(m); err == nil {
		t.Error("secrets of an order that is not there were taken")
	}
}

func TestOrderTravels(t *testing.T) {
	leaf, root, csr := testCertificates(t)
	settings := pluginapi.Settings{
		Values: map[string]any{
			"product": "dv", "years": int64(1), "big": int64(1 << 53), "least": int64(-1 << 53), "ratio": 0.5, "on": true,
			"table": map[string]any{"list": []any{"a", int64(2)}},
		},
		Secrets: map[string]pluginapi.Secret{"card.number": pluginapi.NewSecret("4111")},
	}
	request := pluginapi.OrderRequest{
		IdempotencyKey: strings.Repeat("0123456789abcdef", 2), Kind: pluginapi.Renew, CSR: csr,
		Identifiers: []pluginapi.Identifier{
			{Value: "*.example.com", Type: pluginapi.DNS, ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeDNS}},
			{Value: "192.0.2.1", Type: pluginapi.IP},
		},
		Previous: &pluginapi.PreviousOrder{Reference: "old", State: []byte("s"), Chain: [][]byte{leaf}},
		Settings: settings, CertificateName: "shop",
	}
	order := pluginapi.Order{
		Reference: "new", State: []byte("state"), Status: pluginapi.Issued, Detail: "done",
		Chain: [][]byte{leaf, root}, CoverageEnd: time.Date(2027, 1, 2, 3, 4, 5, 6, time.UTC), LookAgainAfter: pluginapi.After(0),
		Price:  &pluginapi.Price{Amount: "218.00", Currency: "USD"},
		Action: &pluginapi.PersonAction{Who: "you", What: "look", URL: "https://ca.example/1"},
	}
	ca := &fakeCA{reply: pluginapi.OrderReply{Order: order, AccountState: []byte{}}}
	client := configured(t, ca)
	got, err := client.PlaceOrder(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(request, ca.request, sameSecrets, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("request: %s", diff)
	}
	order.Chain = [][]byte{leaf} // the root is dropped
	if diff := cmp.Diff(order, got.Order); diff != "" {
		t.Errorf("order: %s", diff)
	}
	if got.AccountState == nil {
		t.Error("empty account state became absent, which means unchanged")
	}
}

func TestChallengesTravel(t *testing.T) {
	_, _, csr := testCertificates(t)
	challenges := []pluginapi.Challenge{
		{ID: "1", Identifier: "a.example", DNS: &pluginapi.DNSRecord{Name: "_dnsauth.a.example", Type: pluginapi.TXT, Value: "v"}},
		{ID: "2", Identifier: "a.example", DNS: &pluginapi.DNSRecord{Name: "_x.a.example", Type: pluginapi.CNAME, Value: "dcv.ca.example"}},
		{
			ID: "3", Identifier: "192.0.2.1", HTTP: &pluginapi.HTTPFile{Host: "192.0.2.1", Path: "/.well-known/acme-challenge/tok", Body: "tok.thumb"},
			ACME: &pluginapi.KeyAuthorization{Token: "tok", KeyAuthorization: "tok.thumb"},
		},
		{ID: "4", Identifier: "a.example", Email: &pluginapi.Email{Recipients: []string{"admin@a.example"}}},
		{ID: "5", Identifier: "a.example", TLSALPN: &pluginapi.TLSALPN{Host: "a.example", KeyAuthorizationDigest: make([]byte, 32)}},
		{ID: "6", Identifier: "a.example", Manual: &pluginapi.Manual{Instructions: "call them"}},
	}
	order := pluginapi.Order{
		Reference: "r", Status: pluginapi.PendingValidation,
		Authorizations: []pluginapi.Authorization{{Identifier: "a.example", Challenges: challenges}},
	}
	ca := &fakeCA{reply: pluginapi.OrderReply{Order: order}}
	client := configured(t, ca)
	placed := pluginapi.PlacedOrder{OrderRequest: newOrder(csr), Reference: "r", State: []byte("s")}
	got, err := client.RespondToChallenges(t.Context(), placed, []string{"1", "5"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(order, got.Order, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1", "5"}, ca.ids); diff != "" {
		t.Error(diff)
	}
	if ca.placed.Reference != "r" || string(ca.placed.State) != "s" {
		t.Errorf("placed as %q, %q", ca.placed.Reference, ca.placed.State)
	}
}

func TestConfigureComesFirstAndOnce(t *testing.T) {
	_, _, csr := testCertificates(t)
	ca := &fakeCA{findings: []pluginapi.Finding{{Severity: pluginapi.Fault, Field: "dir", Message: "is missing"}}}
	client := serveCA(t, ca)
	order := func() error {
		_, err := client.PlaceOrder(t.Context(), newOrder(csr))
		return err
	}
	if err := order(); pluginapi.KindOf(err) != pluginapi.InvalidRequest || !strings.Contains(err.Error(), "configure") {
		t.Errorf("before Configure: %v", err)
	}
	if _, err := client.Configure(t.Context(), pluginapi.Account{}); err != nil {
		t.Fatal(err)
	}
	if err := order(); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
		t.Errorf("after a Configure that found a fault: %v", err)
	}
	ca.findings = nil
	if _, err := client.Configure(t.Context(), pluginapi.Account{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Configure(t.Context(), pluginapi.Account{}); pluginapi.KindOf(err) != pluginapi.Conflict {
		t.Errorf("a second Configure: %v", err)
	}
}

func TestUnsupported(t *testing.T) {
	leaf, _, csr := testCertificates(t)
	client := configured(t, &fakeCA{})
	ctx := t.Context()
	placed := pluginapi.PlacedOrder{OrderRequest: newOrder(csr), Reference: "r"}
	for name, call := range map[string]func() error{
		"Preflight":              func() error { _, err := client.Preflight(ctx, nil); return err },
		"CheckOrders":            func() error { _, err := client.CheckOrders(ctx, nil); return err },
		"FindOrder":              func() error { _, err := client.FindOrder(ctx, newOrder(csr), time.Now()); return err },
		"FindOrderByCertificate": func() error { _, err := client.FindOrderByCertificate(ctx, leaf); return err },
		"InspectOrder":           func() error { _, err := client.InspectOrder(ctx, "r", nil); return err },
		"CancelOrder":            func() error { _, err := client.CancelOrder(ctx, placed, "x"); return err },
		"RevokeCertificate":      func() error { _, err := client.RevokeCertificate(ctx, pluginapi.Revocation{Leaf: leaf}); return err },
		"RenewalInfo":            func() error { _, err := client.RenewalInfo(ctx, leaf); return err },
	} {
		if err := call(); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the CA says now of an order travels whole, and without a chain.
func TestInspectedOrderTravels(t *testing.T) {
	order := pluginapi.Order{
		Reference: "r", State: []byte("t"), Status: pluginapi.Issued, CoverageEnd: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC),
		Names: []string{"*.a.example", "b.example", "192.0.2.1"}, RenewedBy: "r2",
		Settings: map[string]any{"product": "dv", "order_validity": map[string]any{"years": int64(1)}},
	}
	ca := &fullCA{fakeCA: fakeCA{reply: pluginapi.OrderReply{Order: order}}}
	client := configured(t, ca)
	got, err := client.InspectOrder(t.Context(), "r", []byte("s"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(order, got.Order, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if ca.placed.Reference != "r" || string(ca.placed.State) != "s" {
		t.Errorf("asked about %q, %q", ca.placed.Reference, ca.placed.State)
	}
	for what, spoil := range map[string]func(*pluginapi.Order){
		"another reference":        func(o *pluginapi.Order) { o.Reference = "other" },
		"a name that is none":      func(o *pluginapi.Order) { o.Names = []string{"a example"} },
		"a successor of two lines": func(o *pluginapi.Order) { o.RenewedBy = "r\n2" },
		"no status":                func(o *pluginapi.Order) { o.Status = 0 },
	} {
		ca.reply.Order = order
		spoil(&ca.reply.Order)
		if _, err := client.InspectOrder(t.Context(), "r", nil); !errors.Is(err, ErrBadReply) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := client.InspectOrder(t.Context(), "", nil); !errors.Is(err, ErrNotSent) {
		t.Errorf("without a reference: %v", err)
	}
}

func TestRenewalInfoOfAnotherCertificateIsABadReply(t *testing.T) {
	leaf, _, _ := testCertificates(t)
	now := time.Now().UTC()
	ca := &fullCA{info: pluginapi.RenewalInfo{WindowStart: now, WindowEnd: now.Add(time.Hour), Serial: "1"}}
	client := configured(t, ca)
	if _, err := client.RenewalInfo(t.Context(), leaf); !errors.Is(err, ErrBadReply) {
		t.Errorf("serial 1: %v", err)
	}
	ca.info.Serial = testSerial
	if _, err := client.RenewalInfo(t.Context(), leaf); err != nil {
		t.Errorf("its own serial: %v", err)
	}
}

func TestDCVTravels(t *testing.T) {
	d := &fakeDCV{}
	client := NewDCVClient(dial(t, func(s *grpc.Server) { pb.RegisterDCVServiceServer(s, &dcvServer{impl: d}) }))
	c := pluginapi.Challenge{ID: "1", Identifier: "a.example", DNS: &pluginapi.DNSRecord{Name: "_a.a.example", Type: pluginapi.TXT, Value: "v"}}
	if _, err := client.Publish(t.Context(), c); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
		t.Errorf("before Configure: %v", err)
	}
	got, err := client.Configure(t.Context(), pluginapi.DCVProfile{DNSResolvers: []string{"192.0.2.1:53", "[2001:db8::1]:53"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"192.0.2.1", "resolver.example:53", "192.0.2.1:0", ""} {
		if _, err := client.Configure(t.Context(), pluginapi.DCVProfile{DNSResolvers: []string{wrong}}); !errors.Is(err, ErrNotSent) {
			t.Errorf("resolver %q: %v", wrong, err)
		}
	}
	want := pluginapi.DCVConfigured{Abilities: []pluginapi.PublishAbility{pluginapi.PublishTXT}, PropagationTimeout: time.Minute, Sequential: true, SequentialPerName: true, FilesIgnoreHost: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	receipt, err := client.Publish(t.Context(), c)
	if err != nil || string(receipt) != "receipt" {
		t.Errorf("Publish: %q, %v", receipt, err)
	}
	if err := client.Withdraw(t.Context(), c, receipt); err != nil {
		t.Errorf("Withdraw: %v", err)
	}
	if diff := cmp.Diff(c, d.withdrawn); diff != "" {
		t.Error(diff)
	}
	c.DNS = nil
	if _, err := client.Publish(t.Context(), c); !errors.Is(err, ErrNotSent) {
		t.Errorf("a challenge of no type: %v", err)
	}
}

type fakeDCV struct{ withdrawn pluginapi.Challenge }

func (*fakeDCV) Describe(context.Context) (pluginapi.DCVDescription, error) {
	return pluginapi.DCVDescription{Name: "demo", Version: "1"}, nil
}

func (*fakeDCV) Configure(context.Context, pluginapi.DCVProfile) (pluginapi.DCVConfigured, error) {
	return pluginapi.DCVConfigured{Abilities: []pluginapi.PublishAbility{pluginapi.PublishTXT}, PropagationTimeout: time.Minute, Sequential: true, SequentialPerName: true, FilesIgnoreHost: true}, nil
}

func (*fakeDCV) Publish(context.Context, pluginapi.Challenge) ([]byte, error) {
	return []byte("receipt"), nil
}

func (d *fakeDCV) Withdraw(_ context.Context, c pluginapi.Challenge, receipt []byte) error {
	d.withdrawn = c
	if string(receipt) != "receipt" {
		return pluginapi.Errorf(pluginapi.InvalidRequest, "receipt %q", receipt)
	}
	return nil
}
