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
		r.instance().up.validation = &promptness{took: longestLook} // time enough on any machine
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
