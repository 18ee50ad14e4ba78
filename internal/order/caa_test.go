package order_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// caaRecords answers the n-th question about CAA records, from 1.
type caaRecords struct {
	asked  int
	answer func(n int) (map[string][]pluginapi.ChallengeType, error)
}

func (c *caaRecords) CheckCAA(_ context.Context, _, _ string, _ []string) (map[string][]pluginapi.ChallengeType, error) {
	c.asked++
	return c.answer(c.asked)
}

// withCAA gives a world CAA records.
func (w *world) withCAA(answer func(n int) (map[string][]pluginapi.ChallengeType, error)) *caaRecords {
	w.t.Helper()
	c := &caaRecords{answer: answer}
	w.caa = c
	w.restart()
	return c
}

func TestNothingIsSentThatCAAForbids(t *testing.T) {
	for name, paid := range map[string]bool{"paid": true, "free": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.shop.description.OrdersCostMoney = paid
				allowed := false
				c := w.withCAA(func(int) (map[string][]pluginapi.ChallengeType, error) {
					if allowed {
						return nil, nil
					}
					return nil, fmt.Errorf("%w: add example.com. CAA 0 issue \"shop.example\"", order.ErrCAAForbids)
				})
				id := w.begin("web").ID
				r := w.run(id, 10*day)
				want(t, r, order.Intended)
				if w.shop.calls != 0 || w.shop.purchases != 0 {
					t.Fatalf("%d calls of PlaceOrder", w.shop.calls)
				}
				if r.LastError == nil || r.LastError.Kind != "caa" || !strings.Contains(r.LastError.Message, "add example.com.") {
					t.Errorf("it says %+v", r.LastError)
				}
				if r.Attempts < 10 || c.asked != r.Attempts || !r.SentAt.IsZero() {
					t.Errorf("%d attempts, asked %d times, sent at %s", r.Attempts, c.asked, r.SentAt)
				}
				if n := len(w.engine.Purchases(time.Time{})); n != 0 {
					t.Errorf("%d purchases are counted though nothing was sent", n)
				}
				allowed = true
				want(t, w.run(id, 10*day), order.Deployed)
				if w.shop.calls != 1 {
					t.Errorf("%d calls of PlaceOrder", w.shop.calls)
				}
			})
		})
	}
}

func TestCAARecordsThatCannotBeLookedUp(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.withCAA(func(int) (map[string][]pluginapi.ChallengeType, error) { return nil, errors.New("no resolver answers") })
		id := w.begin("web").ID
		r := w.runUntil(id, day, func(r order.Record) bool { return r.Attempts == 2 })
		want(t, r, order.Intended)
		if w.shop.calls != 0 || r.LastError == nil || r.LastError.Kind != "caa" {
			t.Errorf("%d calls before the third look, %+v", w.shop.calls, r.LastError)
		}
		want(t, w.run(id, day), order.Deployed)
		if c.asked != 3 {
			t.Errorf("looked %d times, want 3", c.asked)
		}
	})
}

// The count of look-ups that failed begins anew after one that did not.
func TestCAALookupsThatComeAndGo(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.withCAA(func(n int) (map[string][]pluginapi.ChallengeType, error) {
			if n%2 == 0 {
				return nil, order.ErrCAAForbids
			}
			return nil, errors.New("no resolver answers")
		})
		want(t, w.run(w.begin("web").ID, 10*day), order.Intended)
		if w.shop.calls != 0 || c.asked < 10 {
			t.Errorf("%d calls after %d looks", w.shop.calls, c.asked)
		}
	})
}

func TestCAAIsLookedAtBeforeEveryCall(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.withCAA(func(n int) (map[string][]pluginapi.ChallengeType, error) {
			if n == 2 {
				return nil, order.ErrCAAForbids
			}
			return nil, nil
		})
		w.shop.place = func(n int) (bool, error) {
			if n == 1 {
				return false, pluginapi.Errorf(pluginapi.Unavailable, "no route")
			}
			if c.asked != 3 {
				t.Errorf("sent again after %d looks", c.asked)
			}
			return true, nil
		}
		want(t, w.run(w.begin("web").ID, day), order.Deployed)
	})
}

// What CAA records exclude is neither offered to the CA nor chosen, also after a restart.
func TestMethodsThatCAAExcludes(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.withCAA(func(int) (map[string][]pluginapi.ChallengeType, error) {
			return map[string][]pluginapi.ChallengeType{"a.example.com": {pluginapi.ChallengeHTTP}}, nil
		})
		w.zone.types = []pluginapi.ChallengeType{pluginapi.ChallengeHTTP, pluginapi.ChallengeDNS}
		w.shop.spoil = func(o *pluginapi.Order) {
			for i, a := range o.Authorizations {
				o.Authorizations[i].Challenges = append(slices.Clone(a.Challenges), pluginapi.Challenge{
					ID: "dns-" + a.Identifier, Identifier: a.Identifier, DNS: &pluginapi.DNSRecord{Name: "_x." + a.Identifier, Type: pluginapi.TXT, Value: "v"},
				})
			}
		}
		id := w.begin("web").ID
		w.runUntil(id, time.Minute, func(r order.Record) bool { return r.Phase == order.Validating })
		offered := map[string][]pluginapi.ChallengeType{}
		for _, i := range w.shop.requests[0].Identifiers {
			offered[i.Value] = i.ChallengeTypes
		}
		if got := offered["a.example.com"]; !slices.Equal(got, []pluginapi.ChallengeType{pluginapi.ChallengeDNS}) {
			t.Errorf("offered for a.example.com: %v", got)
		}
		if got := offered["b.example.com"]; len(got) != 2 {
			t.Errorf("offered for b.example.com: %v", got)
		}
		w.caa = nil
		w.restart()
		r := w.runUntil(id, time.Minute, func(r order.Record) bool { return len(r.Publications) > 0 })
		chosen := map[string]pluginapi.ChallengeType{}
		for _, p := range r.Publications {
			chosen[p.Challenge.Identifier] = p.Challenge.Type()
		}
		if chosen["a.example.com"] != pluginapi.ChallengeDNS || chosen["b.example.com"] != pluginapi.ChallengeHTTP {
			t.Errorf("chosen: %v", chosen)
		}
	})
}

// When CAA records leave nothing of what the CA offers, the CA decides: the order is placed.
func TestCAALeavesNoChallenge(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.withCAA(func(int) (map[string][]pluginapi.ChallengeType, error) {
			http := []pluginapi.ChallengeType{pluginapi.ChallengeHTTP, pluginapi.ChallengeEmail}
			return map[string][]pluginapi.ChallengeType{"a.example.com": http, "b.example.com": http}, nil
		})
		want(t, w.run(w.begin("web").ID, day), order.Deployed)
	})
}

// A CA that validates example.com for all below it is bound by what holds for any of them.
func TestCAAOfABroaderName(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.withCAA(func(int) (map[string][]pluginapi.ChallengeType, error) {
			return map[string][]pluginapi.ChallengeType{"a.example.com": {pluginapi.ChallengeHTTP}}, nil
		})
		w.zone.types = []pluginapi.ChallengeType{pluginapi.ChallengeHTTP, pluginapi.ChallengeDNS}
		broad := func(identifier string) pluginapi.Authorization {
			return pluginapi.Authorization{Identifier: identifier, Challenges: []pluginapi.Challenge{
				{ID: "http-" + identifier, Identifier: identifier, HTTP: &pluginapi.HTTPFile{Host: identifier, Path: "/.well-known/x", Body: "v"}},
				{ID: "dns-" + identifier, Identifier: identifier, DNS: &pluginapi.DNSRecord{Name: "_x." + identifier, Type: pluginapi.TXT, Value: "v"}},
			}}
		}
		w.shop.spoil = func(o *pluginapi.Order) {
			o.Authorizations = []pluginapi.Authorization{broad("example.com"), broad("other.example")}
		}
		r := w.runUntil(w.begin("web").ID, time.Minute, func(r order.Record) bool { return len(r.Publications) > 0 })
		for _, p := range r.Publications {
			want := pluginapi.ChallengeHTTP
			if p.Challenge.Identifier == "example.com" {
				want = pluginapi.ChallengeDNS
			}
			if got := p.Challenge.Type(); got != want {
				t.Errorf("%s: %s is chosen, want %s", p.Challenge.Identifier, got, want)
			}
		}
	})
}
