package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

func plain(s string) string { return s }

func TestEveryKindTravels(t *testing.T) {
	for _, kind := range pluginapi.ErrorKinds() {
		for _, m := range []method{{name: "GetOrder"}, {name: "PlaceOrder", spends: true}, {name: "FindOrder", tells: true}} {
			in := &pluginapi.Error{Kind: kind, Message: "words", Field: "a.b", RetryAfter: time.Minute, Err: errors.New("beneath")}
			var got *pluginapi.Error
			if err := errorOf(statusOf(in, m, plain), m); !errors.As(err, &got) {
				t.Fatalf("%s, %s: %v", kind, m.name, err)
			}
			if diff := cmp.Diff(in, got, cmpopts.IgnoreFields(pluginapi.Error{}, "Err")); diff != "" {
				t.Errorf("%s, %s: %s", kind, m.name, diff)
			}
			if errors.Is(got, ErrNoDetail) {
				t.Errorf("%s, %s: taken as without a detail", kind, m.name)
			}
		}
	}
}

// What a plugin puts around an Error is for people too.
func TestWordsAroundAnErrorTravel(t *testing.T) {
	in := fmt.Errorf("look at order 7: %w", pluginapi.FieldErrorf("api_key", "is not known"))
	var got *pluginapi.Error
	if err := errorOf(statusOf(in, method{name: "GetOrder"}, plain), method{name: "GetOrder"}); !errors.As(err, &got) {
		t.Fatal(err)
	}
	if got.Kind != pluginapi.InvalidRequest || got.Field != "api_key" || got.Message != "look at order 7: is not known" {
		t.Errorf("%+v", got)
	}
}

func TestStatusWithoutDetail(t *testing.T) {
	spends, tells, other := method{name: "PlaceOrder", spends: true}, method{name: "FindOrder", tells: true}, method{name: "GetOrder"}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		err := errorOf(status.Error(code, "x"), spends)
		if pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
			t.Errorf("PlaceOrder, %s: %s, want unknown-outcome", code, pluginapi.KindOf(err))
		}
		if kind := pluginapi.KindOf(errorOf(status.Error(code, "x"), tells)); kind == pluginapi.NotFound {
			t.Errorf("FindOrder, %s: not-found, which nobody said", code)
		}
	}
	for code, want := range map[codes.Code]pluginapi.ErrorKind{
		codes.InvalidArgument: pluginapi.InvalidRequest, codes.Unauthenticated: pluginapi.Unauthorized,
		codes.PermissionDenied: pluginapi.Unauthorized, codes.ResourceExhausted: pluginapi.RateLimited,
		codes.NotFound: pluginapi.NotFound, codes.FailedPrecondition: pluginapi.Conflict, codes.Unavailable: pluginapi.Unavailable,
		codes.DeadlineExceeded: pluginapi.Unavailable, codes.Canceled: pluginapi.Unavailable, codes.Internal: pluginapi.Unavailable,
		codes.Unknown: pluginapi.Unavailable, codes.DataLoss: pluginapi.Unavailable,
	} {
		err := errorOf(status.Error(code, "x"), other)
		if pluginapi.KindOf(err) != want || !errors.Is(err, ErrNoDetail) {
			t.Errorf("GetOrder, %s: %s, want %s", code, pluginapi.KindOf(err), want)
		}
	}
}

func TestContextErrorsAreFound(t *testing.T) {
	for code, want := range map[codes.Code]error{codes.DeadlineExceeded: context.DeadlineExceeded, codes.Canceled: context.Canceled} {
		for _, m := range []method{{name: "GetOrder"}, {name: "PlaceOrder", spends: true}} {
			if err := errorOf(status.Error(code, "x"), m); !errors.Is(err, want) {
				t.Errorf("%s, %s: %v", m.name, code, err)
			}
			if err := errorOf(statusOf(want, m, plain), m); pluginapi.KindOf(err) == 0 || errors.Is(err, ErrNoDetail) {
				t.Errorf("%s, %s through both sides: %v", m.name, code, err)
			}
		}
	}
}

func TestUnknownKindIsNoDetail(t *testing.T) {
	for _, kind := range []pb.ErrorKind{0, 10, -1} {
		err := withDetail(codes.NotFound, &pb.ErrorDetail{Kind: kind, Message: "x"})
		if got := pluginapi.KindOf(errorOf(err, method{spends: true})); got != pluginapi.UnknownOutcome {
			t.Errorf("kind %d of a paid call: %s", kind, got)
		}
	}
}

// quiet keeps the log of a panic that is made on purpose out of the test's output.
func quiet(t *testing.T) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	t.Cleanup(func() { slog.SetDefault(before) })
}

// slow waits for the end of its context.
func slow(ctx context.Context) { <-ctx.Done() }

func TestLostAnswerOfAPaidCall(t *testing.T) {
	quiet(t)
	_, _, csr := testCertificates(t)
	for name, ca := range map[string]*fakeCA{
		"the deadline ran out":       {act: slow, err: context.DeadlineExceeded},
		"an error of no kind":        {err: errors.New("oops")},
		"a panic":                    {act: func(context.Context) { panic("4711-secret") }},
		"a reply without reference":  {reply: pluginapi.OrderReply{Order: pluginapi.Order{Status: pluginapi.Processing}}},
		"a reply without status":     {reply: pluginapi.OrderReply{Order: pluginapi.Order{Reference: "r"}}},
		"issued without a chain":     {reply: pluginapi.OrderReply{Order: pluginapi.Order{Reference: "r", Status: pluginapi.Issued}}},
		"a chain that is no chain":   {reply: pluginapi.OrderReply{Order: pluginapi.Order{Reference: "r", Status: pluginapi.Issued, Chain: [][]byte{{1}}}}},
		"a challenge without a type": {reply: pluginapi.OrderReply{Order: pluginapi.Order{Reference: "r", Status: pluginapi.PendingValidation, Authorizations: []pluginapi.Authorization{{Identifier: "a.example", Challenges: []pluginapi.Challenge{{ID: "1"}}}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			client := configured(t, ca)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := client.PlaceOrder(ctx, newOrder(csr))
			if pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
				t.Errorf("got %s: %v", pluginapi.KindOf(err), err)
			}
			if err != nil && strings.Contains(err.Error(), "4711") {
				t.Errorf("the value of a panic came out: %v", err)
			}
		})
	}
}

func TestWhatIsNotSentIsNotUnknown(t *testing.T) {
	leaf, _, csr := testCertificates(t)
	ca := &fakeCA{}
	client := configured(t, ca)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.PlaceOrder(gone, newOrder(csr)); pluginapi.KindOf(err) != pluginapi.Unavailable || !errors.Is(err, ErrNotSent) || !errors.Is(err, context.Canceled) {
		t.Errorf("context ended before: %v", err)
	}
	for name, change := range map[string]func(*pluginapi.OrderRequest){
		"order.idempotency_key": func(o *pluginapi.OrderRequest) { o.IdempotencyKey = "x" },
		"order.kind":            func(o *pluginapi.OrderRequest) { o.Kind = 0 },
		"order.csr":             func(o *pluginapi.OrderRequest) { o.CSR = leaf },
		"order.identifiers":     func(o *pluginapi.OrderRequest) { o.Identifiers = nil },
		"order.identifiers[0].value": func(o *pluginapi.OrderRequest) {
			o.Identifiers = []pluginapi.Identifier{{Value: "a b", Type: pluginapi.DNS}}
		},
		"order.previous":      func(o *pluginapi.OrderRequest) { o.Kind = pluginapi.Renew },
		"order.settings.big":  func(o *pluginapi.OrderRequest) { o.Settings.Values = map[string]any{"big": int64(1<<53 + 1)} },
		"order.settings.when": func(o *pluginapi.OrderRequest) { o.Settings.Values = map[string]any{"when": time.Now()} },
		"order.settings.list[1].deep": func(o *pluginapi.OrderRequest) {
			o.Settings.Values = map[string]any{"list": []any{"a", map[string]any{"deep": "\xff"}}}
		},
	} {
		order := newOrder(csr)
		change(&order)
		_, err := client.PlaceOrder(t.Context(), order)
		var e *pluginapi.Error
		if !errors.As(err, &e) || e.Kind != pluginapi.InvalidRequest || e.Field != name || !errors.Is(err, ErrNotSent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if ca.request.IdempotencyKey != "" {
		t.Error("one of them reached the plugin")
	}
}

func TestSecretsAreCutOutOfErrors(t *testing.T) {
	_, _, csr := testCertificates(t)
	ca := &fakeCA{err: pluginapi.Errorf(pluginapi.Unauthorized, "GET https://ca.example/?key=hunter22&pin=0815abc: 401")}
	client := serveCA(t, ca)
	secrets := map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret("hunter22")}
	if _, err := client.Configure(t.Context(), pluginapi.Account{Settings: pluginapi.Settings{Secrets: secrets}}); err != nil {
		t.Fatal(err)
	}
	order := newOrder(csr)
	order.Settings.Secrets = map[string]pluginapi.Secret{"pin": pluginapi.NewSecret("0815abc")}
	_, err := client.PlaceOrder(t.Context(), order)
	if err == nil || strings.Contains(err.Error(), "hunter22") || strings.Contains(err.Error(), "0815abc") {
		t.Errorf("got %v", err)
	}
	if pluginapi.KindOf(err) != pluginapi.Unauthorized {
		t.Errorf("kind %s", pluginapi.KindOf(err))
	}
}

func TestAnotherReferenceIsABadReply(t *testing.T) {
	_, _, csr := testCertificates(t)
	client := configured(t, &fakeCA{reply: pluginapi.OrderReply{Order: pluginapi.Order{Reference: "b", Status: pluginapi.Processing}}})
	_, err := client.GetOrder(t.Context(), pluginapi.PlacedOrder{OrderRequest: newOrder(csr), Reference: "a"})
	if !errors.Is(err, ErrBadReply) {
		t.Errorf("got %v", err)
	}
}

func TestPeople(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                        "plain",
		"two\nlines\tand more":         "two lines and more",
		"\x1b[31mred\x07":              "[31mred",
		"bad \xff byte":                "bad \uFFFD byte",
		"right\u202eto left":           "rightto left",
		strings.Repeat("x", maxText+9): strings.Repeat("x", maxText),
	} {
		if got := people(in); got != want {
			t.Errorf("%.20q: %.40q", in, got)
		}
	}
	if got := people(strings.Repeat("é", maxText)); len(got) > maxText {
		t.Errorf("%d bytes", len(got))
	}
}

func TestURLPath(t *testing.T) {
	for path, ok := range map[string]bool{
		"/.well-known/pki-validation/fileauth.txt": true, "/a": true,
		"": false, "/": false, "a": false, "/a/": false, "/a/../b": false, "/../etc/passwd": false, "//a": false, "/a b": false,
		"/a%2e%2e/b": false, "/a?b": false, "/a#b": false, `/a\b`: false, "/a\x00": false, "/ä": false,
	} {
		if err := urlPath("path", path); (err == nil) != ok {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestServerRefusesWhatAForeignHostSends(t *testing.T) {
	conn := dial(t, func(s *grpc.Server) { pb.RegisterCAServiceServer(s, &caServer{impl: &fakeCA{}}) })
	if _, err := NewCAClient(conn).Configure(t.Context(), pluginapi.Account{}); err != nil {
		t.Fatal(err)
	}
	_, err := pb.NewCAServiceClient(conn).PlaceOrder(t.Context(), &pb.CAServicePlaceOrderRequest{})
	if kind := pluginapi.KindOf(errorOf(err, method{spends: true})); kind != pluginapi.InvalidRequest {
		t.Errorf("an empty order: %s, %v", kind, err)
	}
}
