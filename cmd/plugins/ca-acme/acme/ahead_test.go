package acme

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

// A CA that validated one order in time is asked for the next certificate without a look at the order. When that comes too early
// the order is looked at; a CA that refuses it in words of its own is not asked so again.
func TestCertificateIsAskedForAhead(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{Env: []string{"PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0"}})
	var mu sync.Mutex
	var sent []string
	order := func(name string, refusal http.HandlerFunc) []string {
		t.Helper()
		mu.Lock()
		sent = nil
		mu.Unlock()
		r.proxy.meddle(func(req *http.Request) (v verdict) {
			mu.Lock()
			defer mu.Unlock()
			kind := strings.SplitN(req.URL.Path, "/", 3)[1]
			if kind == "finalize-order" && !slices.Contains(sent, kind) {
				v.answer = refusal
			}
			if kind == "my-order" || kind == "finalize-order" {
				sent = append(sent, kind)
			}
			return v
		})
		r.instance().up.validation = &promptness{took: longestLook, known: true} // time enough on any machine
		req := request(t, nil, name)
		leafOf(t, r.order(req, pluginapi.ChallengeHTTP), req)
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(sent)
	}
	looked := func(what string, sent []string) {
		t.Helper()
		if sent[0] != "my-order" {
			t.Errorf("%s: %v", what, sent)
		}
	}
	ahead := func(what string, sent []string) {
		t.Helper()
		if sent[0] != "finalize-order" {
			t.Errorf("%s: %v", what, sent)
		}
	}
	looked("a CA that is not known", order("first.example.com", nil))
	ahead("a CA that was done in time", order("second.example.com", nil))
	early := order("third.example.com", says(http.StatusForbidden, "orderNotReady", "wait"))
	if want := []string{"finalize-order", "my-order", "finalize-order"}; !slices.Equal(early[:3], want) {
		t.Errorf("too early: %v", early)
	}
	ahead("the next one", order("fourth.example.com", nil))
	ahead("a refusal of another kind", order("fifth.example.com", says(http.StatusForbidden, "malformed", "no")))
	looked("the one after it", order("sixth.example.com", nil))
	looked("and the next", order("seventh.example.com", nil))
}

// A CA that ends an order for being asked too early loses one that way, and not each.
func TestAnOrderThatIsSpoiledAhead(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{Env: []string{"PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0"}})
	order := func(name string) pluginapi.Order {
		r.instance().up.validation = &promptness{took: longestLook, known: true}
		return r.order(request(t, nil, name), pluginapi.ChallengeHTTP)
	}
	order("first.example.com")
	r.proxy.meddle(func(req *http.Request) (v verdict) {
		switch {
		case strings.HasPrefix(req.URL.Path, "/finalize-order/"):
			v.answer = says(http.StatusForbidden, "orderNotReady", "too early")
		case strings.HasPrefix(req.URL.Path, "/my-order/"):
			v.answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"status":"invalid"}`)) }
		}
		return v
	})
	if o := order("second.example.com"); o.Status != pluginapi.OrderRejected || r.proxy.requests("POST finalize-order") != 2 {
		t.Fatalf("%v (%s), certificates asked for: %d", o.Status, o.Detail, r.proxy.requests("POST finalize-order"))
	}
	var mu sync.Mutex
	first := ""
	r.proxy.meddle(func(req *http.Request) verdict {
		mu.Lock()
		defer mu.Unlock()
		if kind := strings.SplitN(req.URL.Path, "/", 3)[1]; first == "" && (kind == "my-order" || kind == "finalize-order") {
			first = kind
		}
		return verdict{}
	})
	if o := order("third.example.com"); o.Status != pluginapi.Issued || first != "my-order" {
		t.Errorf("%v (%s), asked first: %s", o.Status, o.Detail, first)
	}
}
