package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

const testSerial = "f00dfeedf00dfeedf00dfeedf00dfeed"

// testCertificates makes a leaf, its self-signed root and a request.
func testCertificates(t testing.TB) (leaf, root, csr []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := new(big.Int).SetString(testSerial, 16)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "root"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if root, err = x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key); err != nil {
		t.Fatal(err)
	}
	end := &x509.Certificate{SerialNumber: serial, DNSNames: []string{"a.example"}, NotAfter: time.Now().Add(time.Hour)}
	if leaf, err = x509.CreateCertificate(rand.Reader, end, ca, key.Public(), key); err != nil {
		t.Fatal(err)
	}
	if csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"a.example"}}, key); err != nil {
		t.Fatal(err)
	}
	return leaf, root, csr
}

func newOrder(csr []byte) pluginapi.OrderRequest {
	return pluginapi.OrderRequest{
		IdempotencyKey: strings.Repeat("0", 32), Kind: pluginapi.New, CSR: csr,
		Identifiers: []pluginapi.Identifier{{Value: "a.example", Type: pluginapi.DNS}},
	}
}

// seedFile is the same in every run: each worker of a fuzz run makes the seeds anew and must get the same ones.
func seedFile(f *testing.F, name string) []byte {
	f.Helper()
	der, err := os.ReadFile(filepath.Join("testdata", "seed", name))
	if err != nil {
		f.Fatal(err)
	}
	return der
}

func seed(f *testing.F, messages ...proto.Message) {
	f.Helper()
	f.Add([]byte{})
	for _, m := range messages {
		text, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
}

// FuzzOrder reads arbitrary bytes as each reply with an order: what is accepted keeps every promise of the contract.
func FuzzOrder(f *testing.F) {
	leaf, root := seedFile(f, "leaf.der"), seedFile(f, "root.der")
	seed(f,
		&pb.CAServiceGetOrderResponse{Order: &pb.Order{
			Reference: "r", State: []byte("s"), Status: pb.OrderStatus_ORDER_STATUS_ISSUED, Chain: [][]byte{leaf, root},
			CoverageEnd: timestamppb.New(time.Unix(1_800_000_000, 0)), LookAgainAfter: durationpb.New(0), Price: &pb.Price{Amount: "1.00", Currency: "USD"},
			Action: &pb.PersonAction{Who: "w", What: "x", Url: "https://a.example/"},
		}},
		&pb.CAServiceGetOrderResponse{Order: &pb.Order{
			Reference: "r", Status: pb.OrderStatus_ORDER_STATUS_PENDING_VALIDATION,
			Authorizations: []*pb.Authorization{{Identifier: "*.a.example", Challenges: []*pb.Challenge{
				{Id: "1", Identifier: "a.example", Publication: &pb.Challenge_Dns{Dns: &pb.DNSChallenge{Name: "_a.a.example", Type: 1, Value: "v"}}},
				{Id: "2", Identifier: "a.example", Publication: &pb.Challenge_Http{Http: &pb.HTTPChallenge{Host: "a.example", Path: "/a", Body: "b"}}},
				{Id: "3", Identifier: "a.example", Publication: &pb.Challenge_TlsAlpn{TlsAlpn: &pb.TLSALPNChallenge{Host: "a.example", KeyAuthorizationDigest: make([]byte, 32)}}},
				{Id: "4", Identifier: "a.example", Publication: &pb.Challenge_Email{Email: &pb.EmailChallenge{Recipients: []string{"a@b"}}}},
				{Id: "5", Identifier: "a.example", Publication: &pb.Challenge_Manual{Manual: &pb.ManualChallenge{Instructions: "x"}}, Acme: &pb.ACMEKeyAuthorization{Token: "t", KeyAuthorization: "t.k"}},
			}}},
		}},
	)
	f.Fuzz(func(t *testing.T, text []byte) {
		var m pb.CAServiceGetOrderResponse
		if proto.Unmarshal(text, &m) != nil {
			return
		}
		reply, err := parseOrderReply(m.GetOrder(), m.AccountState)
		if err != nil {
			return
		}
		checkOrderPromises(t, reply.Order)
		again, err := formatOrder(reply.Order)
		if err != nil {
			t.Fatalf("what was parsed cannot be formatted: %v", err)
		}
		if _, err := parseOrder(again); err != nil {
			t.Fatalf("what was formatted cannot be parsed: %v", err)
		}
	})
}

func checkOrderPromises(t *testing.T, o pluginapi.Order) {
	t.Helper()
	if o.Reference == "" || o.Status.String() == "unspecified" {
		t.Fatalf("reference %q, status %d", o.Reference, o.Status)
	}
	if (o.Status == pluginapi.Issued) != (len(o.Chain) > 0) {
		t.Fatalf("%s with a chain of %d", o.Status, len(o.Chain))
	}
	for _, der := range o.Chain {
		if _, err := x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
	}
	if o.LookAgainAfter != nil && *o.LookAgainAfter < 0 {
		t.Fatalf("look again after %s", *o.LookAgainAfter)
	}
	if !utf8.ValidString(o.Detail) || len(o.Detail) > maxText {
		t.Fatalf("detail %q", o.Detail)
	}
	ids := make(map[string]bool)
	for _, a := range o.Authorizations {
		for _, c := range a.Challenges {
			if c.Type() == 0 || c.ID == "" || ids[c.ID] {
				t.Fatalf("challenge %+v", c)
			}
			ids[c.ID] = true
			if c.HTTP != nil && (c.HTTP.Path[0] != '/' || strings.Contains(c.HTTP.Path, "..") && strings.Contains(c.HTTP.Path, "/../")) {
				t.Fatalf("path %q", c.HTTP.Path)
			}
		}
	}
}

func FuzzDescribe(f *testing.F) {
	d, err := formatDescription(pluginapi.Description{Name: "a", Version: "1", AccountSettings: []pluginapi.Field{
		{Name: "l", Type: pluginapi.List, Element: &pluginapi.Field{Type: pluginapi.Table, Fields: []pluginapi.Field{{Name: "x", Type: pluginapi.Integer, Default: int64(1)}}}},
	}})
	if err != nil {
		f.Fatal(err)
	}
	seed(f, d)
	f.Fuzz(func(t *testing.T, text []byte) {
		var ca pb.CAServiceDescribeResponse
		if proto.Unmarshal(text, &ca) == nil {
			if d, err := parseDescription(&ca); err == nil {
				if d.Name == "" || d.Version == "" || d.PollInterval < 0 || d.FindOrderSettle < 0 || d.MaxConcurrentOrders < 0 {
					t.Fatalf("%+v", d)
				}
				if _, err := formatDescription(d); err != nil {
					t.Fatalf("what was parsed cannot be formatted: %v", err)
				}
			}
		}
		var dcv pb.DCVServiceDescribeResponse
		if proto.Unmarshal(text, &dcv) == nil {
			if d, err := parseDCVDescription(&dcv); err == nil && (d.Name == "" || d.Version == "") {
				t.Fatalf("%+v", d)
			}
		}
	})
}

// FuzzReplies reads the small replies.
func FuzzReplies(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	seed(f,
		&pb.CAServiceRenewalInfoResponse{WindowStart: timestamppb.New(now), WindowEnd: timestamppb.New(now.Add(time.Hour)), Serial: "0a"},
		&pb.CAServiceConfigureResponse{Findings: []*pb.Finding{{Severity: 3, Field: "a.b", Message: "m"}}, AccountState: []byte("s")},
		&pb.DCVServiceConfigureResponse{Abilities: []pb.PublishAbility{1, 2}, PropagationTimeout: durationpb.New(time.Minute)},
	)
	f.Fuzz(func(t *testing.T, text []byte) {
		var info pb.CAServiceRenewalInfoResponse
		if proto.Unmarshal(text, &info) == nil {
			if r, err := parseRenewalInfo(&info); err == nil && (r.Serial == "" || !r.WindowStart.Before(r.WindowEnd) || r.LookAgainAfter < 0) {
				t.Fatalf("%+v", r)
			}
		}
		var c pb.CAServiceConfigureResponse
		if proto.Unmarshal(text, &c) == nil {
			if r, err := parseConfigured(&c); err == nil {
				for _, finding := range r.Findings {
					if finding.Severity < pluginapi.Info || finding.Severity > pluginapi.Fault {
						t.Fatalf("%+v", finding)
					}
				}
			}
		}
		var d pb.DCVServiceConfigureResponse
		if proto.Unmarshal(text, &d) == nil {
			if r, err := parseDCVConfigured(&d); err == nil && (r.PropagationTimeout < 0 || r.PropagationInterval < 0) {
				t.Fatalf("%+v", r)
			}
		}
	})
}

// FuzzRequests reads what a plugin receives.
func FuzzRequests(f *testing.F) {
	order, err := formatOrderRequest(newOrder(seedFile(f, "csr.der")))
	if err != nil {
		f.Fatal(err)
	}
	values, err := structpb.NewStruct(map[string]any{"a": []any{1, "b", map[string]any{"c": true}}})
	if err != nil {
		f.Fatal(err)
	}
	seed(f, &pb.CAServicePlaceOrderRequest{Order: order}, &pb.CAServiceConfigureRequest{Settings: values, Secrets: map[string]string{"k": "v"}})
	f.Fuzz(func(t *testing.T, text []byte) {
		var place pb.CAServicePlaceOrderRequest
		if proto.Unmarshal(text, &place) == nil {
			if o, err := parseOrderRequest(place.GetOrder(), new(goodCSRs).check); err == nil {
				if len(o.IdempotencyKey) != 32 || len(o.Identifiers) == 0 || o.Kind.String() == "unspecified" {
					t.Fatalf("%+v", o)
				}
			}
		}
		var configure pb.CAServiceConfigureRequest
		if proto.Unmarshal(text, &configure) == nil {
			if a, err := parseAccount(&configure); err == nil {
				if _, _, err := formatSettings(a.Settings); err != nil {
					t.Fatalf("what was parsed cannot be formatted: %v", err)
				}
			}
		}
	})
}
