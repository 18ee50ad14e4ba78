package acme

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/peer"
)

// record reads the one account of a saved state.
func (r *rig) record() accountRecord {
	r.t.Helper()
	state, err := decodeAccountState(r.state)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, record := range state.Accounts {
		return record
	}
	r.t.Fatal("no account in the state")
	return accountRecord{}
}

func TestChangeOfAccountKey(t *testing.T) {
	t.Parallel()
	const change = "/rollover-account-key"
	cases := map[string]struct {
		rule   func() func(*http.Request) verdict // while the key is changed
		forget bool                               // the state of the reply is lost
		fails  bool                               // the order that is to change the key
	}{
		"as it should be":                   {},
		"killed before the reply is stored": {forget: true},
		"answer of the CA lost": {
			rule: func() func(*http.Request) verdict { return once(http.MethodPost, change, verdict{lose: true}) },
		},
		"answer lost and killed": {
			rule: func() func(*http.Request) verdict {
				lost := once(http.MethodPost, change, verdict{lose: true})
				down := false
				return func(req *http.Request) verdict { // and the CA cannot be asked afterwards
					v := lost(req)
					if down && strings.HasPrefix(req.URL.Path, "/sign-me-up") {
						return verdict{answer: says(500, "serverInternal", "down")}
					}
					down = down || v.lose
					return v
				}
			},
			fails: true,
		},
		"request refused once": {
			rule: func() func(*http.Request) verdict {
				return once(http.MethodPost, change, verdict{answer: says(500, "serverInternal", "later")})
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, peer.PebbleOptions{})
			first := request(t, nil, "before.example.com")
			leafOf(t, r.order(first, pluginapi.ChallengeHTTP), first)
			before := r.record()

			r.restart()
			r.settings["account_key_generation"] = 2
			r.instance()
			phase1 := r.record()
			if phase1.Next == nil || phase1.Next.Generation != 2 || !bytes.Equal(phase1.Key.PKCS8, before.Key.PKCS8) || phase1.URL != before.URL {
				t.Fatalf("after Configure the state does not hold both keys: %d, %v", phase1.Key.Generation, phase1.Next != nil)
			}
			if c.rule != nil {
				r.proxy.meddle(c.rule())
			}
			r.forget = c.forget
			second := request(t, nil, "during.example.com")
			o, err := r.place(second)
			if (err != nil) != c.fails {
				t.Fatalf("order while the key is changed: %v", err)
			}
			if err == nil {
				leafOf(t, r.finish(second, o, pluginapi.ChallengeHTTP), second)
			}
			r.proxy.meddle(nil)
			r.forget = false

			r.restart()
			third := request(t, nil, "after.example.com")
			leafOf(t, r.order(third, pluginapi.ChallengeHTTP), third)
			after := r.record()
			if after.Next != nil || after.Key.Generation != 2 || !bytes.Equal(after.Key.PKCS8, phase1.Next.PKCS8) || after.URL != before.URL {
				t.Errorf("the account does not have key 2 alone at its old address: key %d, next %v, %s", after.Key.Generation, after.Next != nil, after.URL)
			}
			// The CA does not know the old key any more.
			old, err := before.Key.signer("")
			if err != nil {
				t.Fatal(err)
			}
			up, err := r.instance().configured()
			if err != nil {
				t.Fatal(err)
			}
			if url, err := up.lookUp(t.Context(), old); err != nil || url != "" {
				t.Errorf("the old key still has the account %q, %v", url, err)
			}
		})
	}
}

func TestChangeOfKeyBeforeRegistration(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{})
	r.instance()
	r.restart()
	r.settings["account_key_generation"] = 5
	req := request(t, nil, "early.example.com")
	leafOf(t, r.order(req, pluginapi.ChallengeHTTP), req)
	if got := r.record(); got.Next != nil || got.Key.Generation != 5 {
		t.Errorf("key %d, next %v", got.Key.Generation, got.Next)
	}
	if n := r.proxy.requests("POST rollover-account-key"); n != 0 {
		t.Errorf("the CA was asked %d times to change the key of no account", n)
	}
}

// A challenge answers for the account key it was made with. An order whose key was changed under it ends with words,
// and one that was not started with the new key goes on with the old.
func TestChangeOfKeyDuringValidation(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{Env: []string{"PEBBLE_AUTHZREUSE=0"}})
	waiting := request(t, nil, "waiting.example.com")
	o, err := r.place(waiting)
	if err != nil {
		t.Fatal(err)
	}
	finished := request(t, nil, "finished.example.com")
	o2, err := r.place(finished)
	if err != nil {
		t.Fatal(err)
	}
	r.restart()
	r.settings["account_key_generation"] = 2
	// Looking at orders changes no key.
	leafOf(t, r.finish(finished, o2, pluginapi.ChallengeHTTP), finished)
	if r.record().Next == nil {
		t.Fatal("the key was changed while an order was looked at")
	}
	reply, err := r.instance().Preflight(t.Context(), nil)
	if err != nil || !hasFinding(reply.Findings, pluginapi.Info, "account_key_generation") {
		t.Fatalf("preflight did not change the key: %v, %v", reply.Findings, err)
	}
	r.keep(reply.AccountState)
	placed := pluginapi.PlacedOrder{OrderRequest: waiting, Reference: o.Reference, State: o.State}
	for _, act := range []func() (pluginapi.Order, error){
		func() (pluginapi.Order, error) { return r.get(placed) },
		func() (pluginapi.Order, error) { return r.respond(placed, nil) },
	} {
		if got, err := act(); err != nil || got.Status != pluginapi.OrderRejected || !strings.Contains(got.Detail, "account key was changed") {
			t.Errorf("order of the old key: %s: %s, %v", got.Status, got.Detail, err)
		}
	}
}

func TestCAThatDoesNotChangeKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, peer.PebbleOptions{})
	req := request(t, nil, "no.example.com")
	leafOf(t, r.order(req, pluginapi.ChallengeHTTP), req)
	r.restart()
	r.settings["account_key_generation"] = 2
	r.proxy.meddle(func(req *http.Request) verdict {
		if req.URL.Path == "/rollover-account-key" {
			return verdict{answer: says(403, "unauthorized", "keys are for ever")}
		}
		return verdict{}
	})
	leafOf(t, r.order(req, pluginapi.ChallengeHTTP), req) // orders go on
	if got := r.record(); got.Next == nil || got.Key.Generation != 1 {
		t.Errorf("key %d, next %v", got.Key.Generation, got.Next)
	}
	reply, err := r.instance().Preflight(t.Context(), nil)
	if err != nil || !hasFinding(reply.Findings, pluginapi.Warning, "account_key_generation") {
		t.Errorf("preflight is silent: %v, %v", reply.Findings, err)
	}
}
