package acme

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

// A request that comes too fast is made again within its call, whatever kind of request it is; a limit that lasts longer than
// a call is told on.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{})
	seen := map[string]bool{}
	r.proxy.meddle(func(req *http.Request) verdict {
		kind := req.Method + " " + strings.SplitN(req.URL.Path, "/", 3)[1]
		switch kind {
		case "HEAD nonce-plz", "POST sign-me-up", "POST order-plz", "POST chalZ", "POST finalize-order", "POST certZ":
		default:
			return verdict{}
		}
		if seen[kind] {
			return verdict{}
		}
		seen[kind] = true
		if len(seen)%2 == 0 {
			return verdict{answer: write(503, "busy", "Retry-After", "1")}
		}
		return verdict{answer: says(429, "rateLimited", "slow down", "Retry-After", "1")}
	})
	req := request(t, nil, "fast.example.com")
	leafOf(t, r.order(req, pluginapi.ChallengeHTTP), req)
	if len(seen) != 6 {
		t.Errorf("only %d kinds of request were refused: %v", len(seen), seen)
	}

	r.proxy.meddle(func(req *http.Request) verdict {
		if req.URL.Path == "/order-plz" {
			return verdict{answer: says(429, "rateLimited", "too many certificates", "Retry-After", "11")}
		}
		return verdict{}
	})
	began := time.Now()
	_, err := r.place(request(t, nil, "much.example.com"))
	checkFailure(t, err, pluginapi.RateLimited, "too many certificates", 11*time.Second)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("waited for %s", took)
	}

	// A call with less time than the CA asks for is told how long to wait, while it still has time.
	r.proxy.meddle(func(*http.Request) verdict {
		return verdict{answer: says(429, "rateLimited", "slow down", "Retry-After", "9")}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for range 2 { // the second one is not even sent
		_, err = r.instance().PlaceOrder(ctx, request(t, nil, "short.example.com"))
		var told *pluginapi.Error
		if !errors.As(err, &told) || told.Kind != pluginapi.RateLimited || told.RetryAfter < 7*time.Second || told.RetryAfter > 9*time.Second || ctx.Err() != nil {
			t.Errorf("%v, again after %s", err, told.RetryAfter)
		}
	}
}

// An order takes as many requests as it must: newOrder, authorization, challenge, finalize, order, certificate. The first
// one at a CA that is not known yet takes one more.
func TestRequestsOfAnOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{Env: []string{"PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0"}})
	first := request(t, nil, "first.example.com")
	leafOf(t, r.order(first, pluginapi.ChallengeHTTP), first)
	const orders, least = 5, 6
	before := r.proxy.total()
	for i := range orders {
		req := request(t, nil, fmt.Sprintf("n%d.example.com", i))
		leafOf(t, r.order(req, pluginapi.ChallengeHTTP), req)
	}
	// On a slow machine some looks come before the CA is done.
	if n := r.proxy.total() - before; n < orders*least || n > orders*(least+3) {
		t.Errorf("%d orders took %d requests: %v", orders, n, r.proxy.count)
	}
	t.Logf("%.1f requests for each order", float64(r.proxy.total()-before)/orders)
}

// What is remembered of an order may be wrong: the CA has the last word, also within one call.
func TestChallengesThatTheCASeesOtherwise(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{Env: []string{"PEBBLE_WFE_NONCEREJECT=0"}})
	req := request(t, nil, "otherwise.example.com")
	o, err := r.place(req)
	if err != nil {
		t.Fatal(err)
	}
	r.proxy.meddle(once(http.MethodPost, "/chalZ/", verdict{answer: says(404, "malformed", "no such challenge")}))
	before := r.proxy.requests("POST authZ")
	leafOf(t, r.finish(req, o, pluginapi.ChallengeHTTP), req)
	if r.proxy.requests("POST authZ") == before {
		t.Error("the authorization was not read again")
	}
	// And a remembered order takes no foreign challenge.
	other := request(t, nil, "foreign.example.com")
	if o, err = r.place(other); err != nil {
		t.Fatal(err)
	}
	if _, err := r.respond(pluginapi.PlacedOrder{OrderRequest: other, Reference: o.Reference, State: o.State}, []string{"https://127.0.0.1:1/other"}); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
		t.Errorf("response to a foreign challenge: %v", err)
	}
}

// The account's state is told when something is to be kept, and holds the orders only that the daemon may not know of.
func TestStateIsToldWhenItChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{})
	req := request(t, nil, "state.example.com")
	reply, err := r.instance().PlaceOrder(t.Context(), req)
	if err != nil || reply.AccountState == nil {
		t.Fatalf("a new account and order, and %d bytes of state: %v", len(reply.AccountState), err)
	}
	r.keep(reply.AccountState)
	if got := r.record().Orders; len(got) != 1 || got[0].URL != reply.Order.Reference {
		t.Errorf("the state tells of %+v", got)
	}
	placed := pluginapi.PlacedOrder{OrderRequest: req, Reference: reply.Order.Reference, State: reply.Order.State}
	if reply, err = r.instance().GetOrder(t.Context(), placed); err != nil || reply.AccountState != nil {
		t.Errorf("a look has %d bytes of state: %v", len(reply.AccountState), err)
	}
	if again, err := r.instance().PlaceOrder(t.Context(), req); err != nil || again.AccountState != nil || again.Order.Reference != placed.Reference {
		t.Errorf("the same order again is %s, with %d bytes of state: %v", again.Order.Reference, len(again.AccountState), err)
	}
	next, err := r.place(request(t, nil, "next.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.record().Orders; len(got) != 1 || got[0].URL != next.Reference {
		t.Errorf("the state tells of orders that the daemon knows: %+v", got)
	}
}
