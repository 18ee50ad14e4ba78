package dcv

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// recordingPlugin publishes into a zone, under the very name it is given.
type recordingPlugin struct {
	fakePlugin
	calls *[]string
}

func newRecording() recordingPlugin {
	return recordingPlugin{newFake(pluginapi.PublishTXT, pluginapi.PublishCNAME), new([]string)}
}

func (p recordingPlugin) note(call string, c pluginapi.Challenge, receipt []byte) {
	p.state.mu.Lock()
	defer p.state.mu.Unlock()
	*p.calls = append(*p.calls, strings.TrimSpace(call+" "+string(c.DNS.Type)+" "+c.DNS.Name+" "+string(receipt)))
}

func (p recordingPlugin) Publish(ctx context.Context, c pluginapi.Challenge) ([]byte, error) {
	p.note("publish", c, nil)
	return p.fakePlugin.Publish(ctx, c)
}

func (p recordingPlugin) Withdraw(ctx context.Context, c pluginapi.Challenge, receipt []byte) error {
	p.note("withdraw", c, receipt)
	return p.fakePlugin.Withdraw(ctx, c, receipt)
}

const delegated = "_dnsauth IN CNAME shop.acme.example.net."

func TestRecordsArePublishedWhereCNAMEsLead(t *testing.T) {
	txt := dnsChallenge(pluginapi.TXT, dnsauth, true)
	own := "receipt of " + dnsauth
	cases := map[string]struct {
		challenge pluginapi.Challenge
		// between is what happens after Publish; it returns the Solver and the receipt for Withdraw.
		between func(t *testing.T, w *world, s *Solver, receipt []byte) (*Solver, []byte)
		want    []string
	}{
		"at once": {challenge: txt, want: []string{"publish TXT shop.acme.example.net", "withdraw TXT shop.acme.example.net " + own}},
		"the CNAME is another one by then": {challenge: txt, between: func(t *testing.T, w *world, s *Solver, receipt []byte) (*Solver, []byte) {
			w.remove(dnsauth+".", dns.TypeCNAME)
			w.publish(t, "_dnsauth IN CNAME other.acme.example.net.")
			return s, receipt
		}, want: []string{"publish TXT shop.acme.example.net", "withdraw TXT shop.acme.example.net " + own}},
		"after a restart, and the CNAME is gone": {challenge: txt, between: func(_ *testing.T, w *world, _ *Solver, receipt []byte) (*Solver, []byte) {
			w.remove(dnsauth+".", dns.TypeCNAME)
			return nil, receipt
		}, want: []string{"publish TXT shop.acme.example.net", "withdraw TXT shop.acme.example.net " + own}},
		"after a restart without resolvers": {challenge: txt, between: func(_ *testing.T, w *world, _ *Solver, receipt []byte) (*Solver, []byte) {
			w.servers[resolverIP].closed = true
			return nil, receipt
		}, want: []string{"publish TXT shop.acme.example.net", "withdraw TXT shop.acme.example.net " + own}},
		"the receipt was lost, and the CNAME is gone": {challenge: txt, between: func(_ *testing.T, w *world, s *Solver, _ []byte) (*Solver, []byte) {
			w.remove(dnsauth+".", dns.TypeCNAME)
			return s, nil
		}, want: []string{"publish TXT shop.acme.example.net", "withdraw TXT shop.acme.example.net"}},
		"the receipt was lost in a restart": {challenge: txt, between: func(*testing.T, *world, *Solver, []byte) (*Solver, []byte) { return nil, nil },
			want: []string{"publish TXT shop.acme.example.net", "withdraw TXT shop.acme.example.net"}},
		"a CNAME record": {challenge: dnsChallenge(pluginapi.CNAME, dnsauth, false),
			want: []string{"publish CNAME " + dnsauth, "withdraw CNAME " + dnsauth + " " + own}},
		"no CNAME at the name": {challenge: dnsChallenge(pluginapi.TXT, "_dnsauth.www.example.com", false),
			want: []string{"publish TXT _dnsauth.www.example.com", "withdraw TXT _dnsauth.www.example.com receipt of _dnsauth.www.example.com"}},
		"published again, and the CNAME is another one by then": {challenge: txt, between: func(t *testing.T, w *world, s *Solver, _ []byte) (*Solver, []byte) {
			w.remove(dnsauth+".", dns.TypeCNAME)
			w.publish(t, "_dnsauth IN CNAME other.acme.example.net.")
			return s, mustPublish(t, s, "dns", txt)
		}, want: []string{"publish TXT shop.acme.example.net", "withdraw TXT shop.acme.example.net",
			"publish TXT other.acme.example.net", "withdraw TXT other.acme.example.net " + own}},
		"a CNAME that appears later": {challenge: dnsChallenge(pluginapi.TXT, "_dnsauth.www.example.com", false), between: func(t *testing.T, w *world, _ *Solver, receipt []byte) (*Solver, []byte) {
			w.publish(t, "_dnsauth.www IN CNAME shop.acme.example.net.")
			return nil, receipt
		}, want: []string{"publish TXT _dnsauth.www.example.com", "withdraw TXT _dnsauth.www.example.com receipt of _dnsauth.www.example.com"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, delegated)
			p := newRecording()
			opts := Options{Profiles: []Profile{{Name: "dns", Plugin: p}}}
			s := w.solver(t, opts)
			receipt := mustPublish(t, s, "dns", c.challenge)
			if c.between != nil {
				if s, receipt = c.between(t, w, s, receipt); s == nil {
					s = w.solver(t, opts)
				}
			}
			mustWithdraw(t, s, "dns", c.challenge, receipt)
			if !slices.Equal(*p.calls, c.want) {
				t.Errorf("%q, want %q", *p.calls, c.want)
			}
			if len(s.shown) != 0 || len(s.published) != 0 {
				t.Errorf("remembered: %v, %v", s.shown, s.published)
			}
		})
	}
}

func TestPublishAndWithdrawSayWhatCNAMEsDo(t *testing.T) {
	w := newWorld(t, delegated)
	p := newFake(pluginapi.PublishTXT)
	p.fail = func(call string) error {
		if call == "configured" {
			return nil
		}
		return pluginapi.Errorf(pluginapi.Unauthorized, "no such zone")
	}
	s := w.solver(t, Options{Profiles: []Profile{{Name: "dns", Plugin: p}}})
	c := dnsChallenge(pluginapi.TXT, dnsauth, false)
	_, err := s.Publish(t.Context(), "dns", c, nil)
	wantError(t, err, pluginapi.Unauthorized, `dcv profile "dns": publish dns (TXT shop.acme.example.net) (by CNAME from _dnsauth.example.com): no such zone`)
	wantError(t, s.Withdraw(t.Context(), "dns", c, nil), pluginapi.Unauthorized, "withdraw dns (TXT shop.acme.example.net) (by CNAME from _dnsauth.example.com)")
	w.servers[resolverIP].closed = true
	s = w.solver(t, Options{})
	_, err = s.Publish(t.Context(), "dns", c, nil)
	wantError(t, err, pluginapi.Unavailable, `dcv profile "dns": publish dns (TXT _dnsauth.example.com): follow CNAME records from _dnsauth.example.com: look up CNAME`)
	wantError(t, s.Withdraw(t.Context(), "dns", c, nil), pluginapi.Unavailable, `dcv profile "dns": withdraw dns (TXT _dnsauth.example.com): follow CNAME records`)
}

// Two names may lead to one place, and a CA may want the same value at both.
func TestWhatTwoNamesLeadToStaysForTheSecond(t *testing.T) {
	w := newWorld(t, "one IN CNAME x.acme.example.net.\ntwo IN CNAME x.acme.example.net.")
	p := newRecording()
	s := w.solver(t, Options{Profiles: []Profile{{Name: "dns", Plugin: p}}})
	one, two := dnsChallenge(pluginapi.TXT, "one.example.com", false), dnsChallenge(pluginapi.TXT, "two.example.com", false)
	receipt := mustPublish(t, s, "dns", one)
	mustPublish(t, s, "dns", two)
	mustWithdraw(t, s, "dns", one, receipt)
	if got := strings.Join(*p.calls, ", "); got != "publish TXT x.acme.example.net, publish TXT x.acme.example.net" {
		t.Error(got)
	}
	mustWithdraw(t, s, "dns", two, nil)
	if got := (*p.calls)[2]; got != "withdraw TXT x.acme.example.net" || len(s.shown) != 0 {
		t.Errorf("%s, remembered %v", got, s.shown)
	}
}

func TestPluginReceipts(t *testing.T) {
	for name, r := range map[string]pluginReceipt{
		"all": {Name: "a.example.com", Plugin: []byte("\x00plugin's")}, "no name": {Plugin: []byte("x")}, "nothing": {},
	} {
		got := decodePluginReceipt(r.encode())
		if got.Name != r.Name || string(got.Plugin) != string(r.Plugin) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, foreign := range []string{"plain", `{"id":1}`, `{"name":"a"} x`, `{"name":"a"}{}`, `[]`} {
		if got := decodePluginReceipt([]byte(foreign)); got.Name != "" || string(got.Plugin) != foreign {
			t.Errorf("%s: %+v", foreign, got)
		}
	}
	if got := decodePluginReceipt(nil); got.Name != "" || got.Plugin != nil {
		t.Errorf("%+v", got)
	}
}

// A receipt comes from our own journal, but a plugin has its say in it.
func FuzzPluginReceipt(f *testing.F) {
	f.Add([]byte(`{"name":"a","plugin":"eA=="}`))
	f.Add(pluginReceipt{}.encode())
	f.Fuzz(func(t *testing.T, own []byte) {
		decodePluginReceipt(own) // must not panic
		r := pluginReceipt{Name: "a.example.com", Plugin: own}
		got := decodePluginReceipt(r.encode())
		if got.Name != r.Name || string(got.Plugin) != string(own) {
			t.Errorf("%+v", got)
		}
		if !json.Valid(r.encode()) {
			t.Error("no JSON")
		}
	})
}

func TestSequentialProfiles(t *testing.T) {
	sequential := func(fail func(string) error) Profile {
		p := newFake(pluginapi.PublishTXT)
		if fail != nil {
			p.fail = fail
		}
		return Profile{Name: "dns", Plugin: slowPlugin{p, pluginapi.DCVConfigured{Sequential: true}}}
	}
	one, two := dnsChallenge(pluginapi.TXT, "_a.example.com", false), dnsChallenge(pluginapi.TXT, "_b.example.com", false)
	wantTurn := func(t *testing.T, s *Solver, c pluginapi.Challenge, holder string) {
		t.Helper()
		_, err := s.Publish(t.Context(), "dns", c, nil)
		wantError(t, err, pluginapi.Unavailable, `dcv profile "dns": publish`, "it publishes one challenge at a time, and "+holder)
		if !errors.Is(err, ErrTurn) {
			t.Errorf("%v is not ErrTurn", err)
		}
	}
	t.Run("one after the other", func(t *testing.T) {
		other := Profile{Name: "other", Plugin: newFake(pluginapi.PublishTXT)}
		s := newSolver(t, Options{Profiles: []Profile{sequential(nil), other}})
		receipt := mustPublish(t, s, "dns", one)
		wantTurn(t, s, two, "dns (TXT _a.example.com) for example.com has its turn")
		mustPublish(t, s, "other", two) // profiles do not share a turn
		mustPublish(t, s, "dns", one)   // again
		mustWithdraw(t, s, "dns", one, receipt)
		mustWithdraw(t, s, "dns", one, receipt) // takes the turn and gives it back
		mustPublish(t, s, "dns", two)
		wantTurn(t, s, one, "dns (TXT _b.example.com)")
	})
	t.Run("a failed one gives its turn away", func(t *testing.T) {
		broken := true
		s := newSolver(t, Options{Profiles: []Profile{sequential(func(string) error {
			if broken {
				return pluginapi.Errorf(pluginapi.Unauthorized, "no")
			}
			return nil
		})}})
		_, err := s.Publish(t.Context(), "dns", one, nil)
		wantError(t, err, pluginapi.Unauthorized)
		broken = false
		mustPublish(t, s, "dns", two)
		broken = true
		if _, err = s.Publish(t.Context(), "dns", two, nil); err == nil {
			t.Error("no error")
		}
		wantTurn(t, s, one, "dns (TXT _b.example.com)") // it is still published
		if err := s.Withdraw(t.Context(), "dns", two, nil); err == nil {
			t.Error("no error")
		}
		wantTurn(t, s, one, "dns (TXT _b.example.com)")
	})
	t.Run("what has no turn is not withdrawn", func(t *testing.T) {
		p := newFake(pluginapi.PublishTXT)
		calls := 0
		p.fail = func(call string) error {
			if call == "withdraw" {
				calls++
			}
			return nil
		}
		s := newSolver(t, Options{Profiles: []Profile{{Name: "dns", Plugin: slowPlugin{p, pluginapi.DCVConfigured{Sequential: true}}}}})
		receipt := mustPublish(t, s, "dns", one)
		err := s.Withdraw(t.Context(), "dns", two, nil)
		wantError(t, err, pluginapi.Unavailable, "withdraw dns (TXT _b.example.com)", "dns (TXT _a.example.com) for example.com has its turn")
		if !errors.Is(err, ErrTurn) || calls != 0 {
			t.Errorf("%v, %d calls", err, calls)
		}
		mustWithdraw(t, s, "dns", one, receipt)
		mustWithdraw(t, s, "dns", two, nil)
		if calls != 2 {
			t.Errorf("%d calls", calls)
		}
	})
	t.Run("a withdrawal that fails gives its turn back", func(t *testing.T) {
		s := newSolver(t, Options{Profiles: []Profile{sequential(func(call string) error {
			if call == "withdraw" {
				return pluginapi.Errorf(pluginapi.Unavailable, "no")
			}
			return nil
		})}})
		wantError(t, s.Withdraw(t.Context(), "dns", one, nil), pluginapi.Unavailable, "no")
		mustPublish(t, s, "dns", two)
	})
	t.Run("what two challenges need", func(t *testing.T) {
		s := newSolver(t, Options{Profiles: []Profile{sequential(nil)}})
		again := one
		again.ID = "of another order"
		mustPublish(t, s, "dns", one)
		mustPublish(t, s, "dns", again)
		mustWithdraw(t, s, "dns", one, nil)
		wantTurn(t, s, two, "dns (TXT _a.example.com)")
		mustWithdraw(t, s, "dns", again, nil)
		mustPublish(t, s, "dns", two)
	})
	t.Run("sequential no more", func(t *testing.T) {
		s := newSolver(t, Options{Profiles: []Profile{sequential(nil)}})
		mustPublish(t, s, "dns", one)
		if err := s.Reconfigure([]Profile{{Name: "dns", Plugin: newFake(pluginapi.PublishTXT)}}, noDNS); err != nil {
			t.Fatal(err)
		}
		mustPublish(t, s, "dns", two)
	})
}
