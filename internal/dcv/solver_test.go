package dcv

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// fakePlugin remembers what is published. Its func field makes it a value that cannot be compared, as any plugin may be.
type fakePlugin struct {
	abilities []pluginapi.PublishAbility
	fail      func(call string) error
	state     *fakeState
}

type fakeState struct {
	mu        sync.Mutex
	published map[string]int
	receipts  []string
}

func newFake(abilities ...pluginapi.PublishAbility) fakePlugin {
	return fakePlugin{abilities, func(string) error { return nil }, &fakeState{published: map[string]int{}}}
}

func (f fakePlugin) Configured(context.Context) (pluginapi.DCVConfigured, error) {
	return pluginapi.DCVConfigured{Abilities: f.abilities}, f.fail("configured")
}

func (f fakePlugin) Publish(_ context.Context, c pluginapi.Challenge) ([]byte, error) {
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	if err := f.fail("publish"); err != nil {
		return nil, err
	}
	f.state.published[describe(c)]++
	return []byte("receipt of " + c.ID), nil
}

func (f fakePlugin) Withdraw(_ context.Context, c pluginapi.Challenge, receipt []byte) error {
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	if err := f.fail("withdraw"); err != nil {
		return err
	}
	delete(f.state.published, describe(c))
	f.state.receipts = append(f.state.receipts, string(receipt))
	return nil
}

func TestProfilesAreChecked(t *testing.T) {
	_, err := New(Options{Profiles: []Profile{
		{Name: "", Responder: true},
		{Name: "none"},
		{Name: "both", Webroot: "/srv", Responder: true},
		{Name: "relative", Webroot: "srv/www"},
		{Name: "twice", Responder: true},
		{Name: "twice", Responder: true},
		{Name: "http", Webroot: "/srv"},
	}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{`profile "": has no name`, `"none": wants exactly one`, `"both": wants exactly one`,
		`"relative": webroot "srv/www" is not an absolute path`, `"twice": defined twice`, `"http": this name`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

func TestChallengeTypes(t *testing.T) {
	down := newFake(pluginapi.PublishTXT)
	down.fail = func(string) error { return pluginapi.Errorf(pluginapi.Unavailable, "the plugin is quarantined") }
	profiles := []Profile{
		{Name: "web", Webroot: "/srv/www"},
		{Name: "dns", Plugin: newFake(pluginapi.PublishACMEDNS, pluginapi.PublishTXT)},
		{Name: "all", Plugin: newFake(pluginapi.PublishFile, pluginapi.PublishCNAME, 99)},
		{Name: "down", Plugin: down},
	}
	s := newSolver(t, Options{Profiles: profiles, ListenHTTP: "127.0.0.1:1"})
	off := newSolver(t, Options{Profiles: profiles})
	dns, http := pluginapi.ChallengeDNS, pluginapi.ChallengeHTTP
	cases := map[string]struct {
		solver     *Solver
		profiles   []string
		identifier string
		want       []pluginapi.ChallengeType
		err        string
	}{
		"built in":                     {s, []string{"http"}, "example.com", []pluginapi.ChallengeType{http}, ""},
		"in the order of the profiles": {s, []string{"dns", "web"}, "example.com", []pluginapi.ChallengeType{dns, http}, ""},
		"each once":                    {s, []string{"web", "all", "dns"}, "example.com", []pluginapi.ChallengeType{http, dns}, ""},
		"wildcard":                     {s, []string{"web", "dns"}, "*.example.com", []pluginapi.ChallengeType{dns}, ""},
		"wildcard by http alone":       {s, []string{"web"}, "*.example.com", nil, ""},
		"IP address":                   {s, []string{"dns", "all"}, "192.0.2.1", []pluginapi.ChallengeType{http}, ""},
		"IPv6 address":                 {s, []string{"http"}, "2001:db8::1", []pluginapi.ChallengeType{http}, ""},
		"no responder":                 {off, []string{"http"}, "example.com", nil, ""},
		"no profiles":                  {s, nil, "example.com", nil, ""},
		"one that cannot be asked":     {s, []string{"down", "web"}, "example.com", []pluginapi.ChallengeType{http}, ""},
		"none that can be asked":       {s, []string{"down"}, "example.com", nil, `dcv profile "down": the plugin is quarantined`},
		"unknown profile":              {s, []string{"web", "wbe"}, "example.com", nil, `no dcv profile "wbe"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := c.solver.ChallengeTypes(t.Context(), c.profiles, c.identifier)
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	down := newFake()
	down.fail = func(string) error { return pluginapi.Errorf(pluginapi.Unavailable, "the plugin is quarantined") }
	s := newSolver(t, Options{ListenHTTP: "127.0.0.1:1", Profiles: []Profile{
		{Name: "web", Webroot: "/srv/www"},
		{Name: "acme", Plugin: newFake(pluginapi.PublishACMEDNS, pluginapi.PublishACMEHTTP)},
		{Name: "txt", Plugin: newFake(pluginapi.PublishTXT)},
		{Name: "cname", Plugin: newFake(pluginapi.PublishCNAME)},
		{Name: "down", Plugin: down},
	}})
	acmeTXT := dnsChallenge(pluginapi.TXT, "_acme-challenge.example.com", true)
	plainTXT := dnsChallenge(pluginapi.TXT, "_dnsauth.example.com", false)
	cname := dnsChallenge(pluginapi.CNAME, "_x.example.com", false)
	file := httpChallenge("example.com", token, "body")
	file.ID = "file"
	plainFile := httpChallenge("example.com", "/.well-known/pki-validation/fileauth.txt", "body")
	plainFile.ID, plainFile.ACME = "plain file", nil
	badFile := httpChallenge("example.com", "/root.txt", "body")
	email := pluginapi.Challenge{ID: "mail", Email: &pluginapi.Email{Recipients: []string{"admin@example.com"}}}
	alpn := pluginapi.Challenge{ID: "alpn", TLSALPN: &pluginapi.TLSALPN{Host: "example.com"}}
	manual := pluginapi.Challenge{ID: "manual", Manual: &pluginapi.Manual{Instructions: "call us"}}
	cases := map[string]struct {
		profiles   []string
		identifier string
		offered    []pluginapi.Challenge
		profile    string // of what is chosen
		id         string
		kind       pluginapi.ErrorKind
		err        []string
	}{
		"the profile's order wins":        {profiles: []string{"web", "txt"}, offered: []pluginapi.Challenge{acmeTXT, file}, profile: "web", id: "file"},
		"the next profile":                {profiles: []string{"cname", "txt"}, offered: []pluginapi.Challenge{acmeTXT, file}, profile: "txt", id: acmeTXT.ID},
		"the CA's order within a profile": {profiles: []string{"acme"}, offered: []pluginapi.Challenge{file, acmeTXT}, profile: "acme", id: "file"},
		"CNAME":                           {profiles: []string{"txt", "cname"}, offered: []pluginapi.Challenge{cname}, profile: "cname", id: cname.ID},
		"ACME's own record only for ACME": {profiles: []string{"acme", "txt"}, offered: []pluginapi.Challenge{plainTXT}, profile: "txt", id: plainTXT.ID},
		"a CA's own file":                 {profiles: []string{"acme", "http"}, offered: []pluginapi.Challenge{plainFile}, profile: "http", id: "plain file"},
		"wildcard":                        {profiles: []string{"web", "txt"}, identifier: "*.example.com", offered: []pluginapi.Challenge{file, acmeTXT}, profile: "txt", id: acmeTXT.ID},
		"a profile that cannot be asked, but one that can": {profiles: []string{"down", "txt"}, offered: []pluginapi.Challenge{acmeTXT}, profile: "txt", id: acmeTXT.ID},

		"nothing fits": {profiles: []string{"web", "cname"}, offered: []pluginapi.Challenge{acmeTXT, email, manual}, kind: pluginapi.NeedsPerson, err: []string{
			"no dcv profile can show control over example.com: the CA offers dns (TXT _acme-challenge.example.com), email (to admin@example.com), manual (call us); ",
			`profile "web": publishes files for http challenges, not dns (TXT _acme-challenge.example.com); publishes files for http challenges, not email`,
			`profile "cname": publishes cname, not dns (TXT _acme-challenge.example.com); email challenges cannot be published`,
		}},
		"wildcard by http": {profiles: []string{"web"}, identifier: "*.example.com", offered: []pluginapi.Challenge{file}, kind: pluginapi.NeedsPerson, err: []string{"a wildcard needs a dns challenge"}},
		"IP by dns":        {profiles: []string{"txt"}, identifier: "192.0.2.1", offered: []pluginapi.Challenge{acmeTXT}, kind: pluginapi.NeedsPerson, err: []string{"an IP address has no dns challenge"}},
		"a path that nobody publishes": {profiles: []string{"web"}, offered: []pluginapi.Challenge{badFile}, kind: pluginapi.NeedsPerson, err: []string{
			`path "/root.txt": is not below /.well-known/`}},
		"tls-alpn":                 {profiles: []string{"txt"}, offered: []pluginapi.Challenge{alpn}, kind: pluginapi.NeedsPerson, err: []string{"tls-alpn challenges cannot be published"}},
		"no profiles":              {offered: []pluginapi.Challenge{file}, kind: pluginapi.NeedsPerson, err: []string{"no profile is configured for this name"}},
		"no offers":                {profiles: []string{"web"}, kind: pluginapi.NeedsPerson, err: []string{"the CA offers nothing"}},
		"one that cannot be asked": {profiles: []string{"cname", "down"}, offered: []pluginapi.Challenge{acmeTXT}, kind: pluginapi.Unavailable, err: []string{`profile "down": the plugin is quarantined`}},
		"unknown profile":          {profiles: []string{"wbe"}, offered: []pluginapi.Challenge{file}, kind: pluginapi.InvalidRequest, err: []string{`no dcv profile "wbe"`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			identifier := c.identifier
			if identifier == "" {
				identifier = "example.com"
			}
			a := pluginapi.Authorization{Identifier: identifier, Challenges: c.offered}
			profile, chosen, err := s.Choose(t.Context(), c.profiles, a)
			if c.err != nil {
				wantError(t, err, c.kind, c.err...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if profile != c.profile || chosen.ID != c.id {
				t.Errorf("chosen %s by %s, want %s by %s", chosen.ID, profile, c.id, c.profile)
			}
		})
	}
}

func TestPluginPublishesAndWithdraws(t *testing.T) {
	fake := newFake(pluginapi.PublishTXT)
	s := newSolver(t, Options{Profiles: []Profile{{Name: "dns", Plugin: fake}}})
	c := dnsChallenge(pluginapi.TXT, "_dnsauth.example.com", false)
	receipt := mustPublish(t, s, "dns", c)
	if own := string(decodePluginReceipt(receipt).Plugin); own != "receipt of _dnsauth.example.com" || fake.state.published[describe(c)] != 1 {
		t.Errorf("receipt %q, published %v", receipt, fake.state.published)
	}
	if err := s.AwaitVisible(t.Context(), "dns", c); err != nil {
		t.Error(err)
	}
	// After a reload the profile is served by another process of the same plugin.
	again := newFake(pluginapi.PublishTXT)
	again.state = fake.state
	if err := s.Reconfigure([]Profile{{Name: "dns", Plugin: again}}, noDNS); err != nil {
		t.Fatal(err)
	}
	fake.fail("") // the old one is gone
	mustPublish(t, s, "dns", c)
	mustWithdraw(t, s, "dns", c, receipt)
	mustWithdraw(t, s, "dns", c, nil) // the receipt was lost
	if len(fake.state.published) != 0 || !slices.Equal(fake.state.receipts, []string{"receipt of _dnsauth.example.com", ""}) {
		t.Errorf("published %v, receipts %q", fake.state.published, fake.state.receipts)
	}
}

func TestPluginErrorsKeepTheirKind(t *testing.T) {
	fake := newFake(pluginapi.PublishTXT)
	fake.fail = func(string) error { return &pluginapi.Error{Kind: pluginapi.RateLimited, Message: "slow down"} }
	s := newSolver(t, Options{Profiles: []Profile{{Name: "dns", Plugin: fake}}})
	c := dnsChallenge(pluginapi.TXT, "_dnsauth.example.com", false)
	_, err := s.Publish(t.Context(), "dns", c, nil)
	wantError(t, err, pluginapi.RateLimited, `dcv profile "dns": publish dns (TXT _dnsauth.example.com): slow down`)
	wantError(t, s.Withdraw(t.Context(), "dns", c, nil), pluginapi.RateLimited, "withdraw")
	_, err = s.Publish(t.Context(), "nosuch", c, nil)
	wantError(t, err, pluginapi.InvalidRequest, `no dcv profile "nosuch"`)
}

// Two orders may be asked for the same thing, as when a CA uses a pending authorization again.
func TestWhatTwoOrdersNeedStaysForTheSecond(t *testing.T) {
	s, dir := webrootSolver(t)
	first, second := httpChallenge("example.com", token, "body"), httpChallenge("example.com", token, "body")
	first.ID, second.ID = "order 1", "order 2"
	mustPublish(t, s, "web", first)
	mustPublish(t, s, "web", second)
	mustWithdraw(t, s, "web", first, nil)
	mustWithdraw(t, s, "web", first, nil)
	if _, err := os.Stat(filepath.Join(dir, token)); err != nil {
		t.Errorf("gone while the second order needs it: %v", err)
	}
	mustWithdraw(t, s, "web", second, nil)
	wantTree(t, dir)
}

func TestReconfigureKeepsWhatIsPublished(t *testing.T) {
	c := httpChallenge("example.com", token, "body")
	t.Run("a mistake changes nothing", func(t *testing.T) {
		s, dir := webrootSolver(t)
		if err := s.Reconfigure([]Profile{{Name: "other", Webroot: dir}, {Name: "bad"}}, noDNS); err == nil {
			t.Fatal("no error")
		}
		mustPublish(t, s, "web", c)
		if _, err := s.Publish(t.Context(), "other", c, nil); err == nil {
			t.Error("half of the new profiles are in effect")
		}
	})
	t.Run("the profile is gone", func(t *testing.T) {
		s, dir := webrootSolver(t)
		receipt := mustPublish(t, s, "web", c)
		if err := s.Reconfigure(nil, noDNS); err != nil {
			t.Fatal(err)
		}
		mustWithdraw(t, s, "web", c, nil)
		wantTree(t, dir)
		mustWithdraw(t, s, "web", c, receipt)
		wantError(t, s.Withdraw(t.Context(), "web", c, nil), pluginapi.InvalidRequest, "by hand", `no dcv profile "web"`)
	})
	t.Run("the profile is gone after a restart", func(t *testing.T) {
		s, dir := webrootSolver(t)
		receipt := mustPublish(t, s, "web", c)
		mustWithdraw(t, newSolver(t, Options{}), "web", c, receipt)
		wantTree(t, dir)
	})
	t.Run("the folder is another one", func(t *testing.T) {
		s, dir := webrootSolver(t)
		mustPublish(t, s, "web", c)
		next := t.TempDir()
		if err := s.Reconfigure([]Profile{{Name: "web", Webroot: next}}, noDNS); err != nil {
			t.Fatal(err)
		}
		mustPublish(t, s, "web", c) // moves it
		wantTree(t, dir)
		if _, err := os.Stat(filepath.Join(next, token)); err != nil {
			t.Error(err)
		}
		mustWithdraw(t, s, "web", c, nil)
		wantTree(t, next)
	})
	t.Run("the shared responder goes on", func(t *testing.T) {
		address := freeAddress(t)
		s := newSolver(t, Options{ListenHTTP: address, Profiles: []Profile{{Name: "shared", Responder: true}}})
		receipt := mustPublish(t, s, "shared", c)
		if err := s.Reconfigure(nil, noDNS); err != nil {
			t.Fatal(err)
		}
		if got := get(t, address, "example.com", token); got != "200 body" {
			t.Errorf("%q", got)
		}
		mustWithdraw(t, s, "shared", c, receipt)
		if listens(address) {
			t.Error("still listens")
		}
	})
}

// blocking is a plugin whose calls hang until they are let go.
type blocking struct {
	fakePlugin
	entered, goOn chan struct{}
}

func (b blocking) Publish(ctx context.Context, c pluginapi.Challenge) ([]byte, error) {
	b.entered <- struct{}{}
	select {
	case <-b.goOn:
		return b.fakePlugin.Publish(ctx, c)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestAHangingProfileDelaysNoOther(t *testing.T) {
	hung := blocking{newFake(pluginapi.PublishTXT), make(chan struct{}), make(chan struct{})}
	address := freeAddress(t)
	s := newSolver(t, Options{ListenHTTP: address, Profiles: []Profile{{Name: "dns", Plugin: hung}}})
	c := dnsChallenge(pluginapi.TXT, "_dnsauth.example.com", false)
	published := make(chan error)
	go func() {
		_, err := s.Publish(t.Context(), "dns", c, nil)
		published <- err
	}()
	<-hung.entered
	file := httpChallenge("example.com", token, "body")
	mustWithdraw(t, s, BuiltIn, file, mustPublish(t, s, BuiltIn, file))
	if err := s.Reconfigure([]Profile{{Name: "dns", Plugin: hung}}, noDNS); err != nil {
		t.Fatal(err)
	}
	// The withdrawal of the same record waits for its turn, as long as its context allows.
	ctx, cancel := context.WithCancel(t.Context())
	withdrawn := make(chan error)
	go func() { withdrawn <- s.Withdraw(ctx, "dns", c, nil) }()
	cancel()
	if err := <-withdrawn; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context canceled", err)
	}
	close(hung.goOn)
	if err := <-published; err != nil {
		t.Error(err)
	}
	mustWithdraw(t, s, "dns", c, nil)
}
