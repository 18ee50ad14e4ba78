package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
	"github.com/certbridge/certbridged/test/peer"
)

func txt(name, value string) pluginapi.Challenge {
	return pluginapi.Challenge{ID: name + " " + value, Identifier: "example.com", DNS: &pluginapi.DNSRecord{Name: name, Type: pluginapi.TXT, Value: value}}
}

func acmeTXT(domain, token string) pluginapi.Challenge {
	keyAuth := token + ".9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
	sum := sha256.Sum256([]byte(keyAuth))
	c := txt("_acme-challenge."+domain, base64.RawURLEncoding.EncodeToString(sum[:]))
	c.Identifier, c.ACME = domain, &pluginapi.KeyAuthorization{Token: token, KeyAuthorization: keyAuth}
	return c
}

const validationFile = "/.well-known/pki-validation/fileauth.txt"

func files() []pluginapi.Challenge {
	const token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
	return []pluginapi.Challenge{
		{ID: "file", Identifier: "example.com", HTTP: &pluginapi.HTTPFile{Host: "example.com", Path: validationFile, Body: "_abc123\nexample\n"}},
		{ID: "acme", Identifier: "example.com",
			HTTP: &pluginapi.HTTPFile{Host: "example.com", Path: "/.well-known/acme-challenge/" + token, Body: token + ".x"},
			ACME: &pluginapi.KeyAuthorization{Token: token, KeyAuthorization: token + ".x"}},
	}
}

// conform runs the suite, all of it.
func conform(t *testing.T, o plugintest.Options) {
	t.Helper()
	o.Path = peer.DCVLego(t)
	report := plugintest.Test(t, o)
	for _, c := range report.Checks {
		if c.Result == plugintest.Skip {
			t.Errorf("%s was skipped: %s", c.Name, c.Words)
		}
	}
}

func inZone(t *testing.T, s peer.NameServer) func(context.Context, pluginapi.Challenge) (bool, error) {
	return func(_ context.Context, c pluginapi.Challenge) (bool, error) {
		return slices.Contains(s.TXT(t, c.DNS.Name), c.DNS.Value), nil
	}
}

func bindEnv(b *peer.BINDServer, key peer.TSIGKey) map[string]string {
	return map[string]string{
		"RFC2136_NAMESERVER": b.Addr(), "RFC2136_TSIG_KEY": key.Name, "RFC2136_TSIG_SECRET": key.Secret, "RFC2136_TSIG_ALGORITHM": key.Algorithm + ".",
	}
}

func values(provider string) map[string]any { return map[string]any{"provider": provider} }

func newBIND(t *testing.T, records ...string) (*peer.BINDServer, peer.TSIGKey) {
	t.Helper()
	key := peer.NewTSIGKey("lego", "hmac-sha256")
	return peer.BIND(t, peer.BINDOptions{
		Zones: []peer.Zone{{Name: "example.com", Keys: []string{key.Name}, Records: records}}, Keys: []peer.TSIGKey{key},
	}), key
}

func TestConformanceThroughBIND(t *testing.T) {
	b, key := newBIND(t)
	conform(t, plugintest.Options{
		Env: environ(bindEnv(b, key)), Settings: pluginapi.Settings{Values: values("rfc2136")}, DNSResolvers: []string{b.Addr()},
		Challenges: []pluginapi.Challenge{
			txt("_dnsauth.example.com", "v1"), txt("example.com", "at the apex"), acmeTXT("shop.example.com", "token-1"), txt("_dnsauth.www.example.com", "v2"),
		},
		Published:   inZone(t, b.NameServer),
		BadSettings: []pluginapi.Settings{{Values: values("rfc2135")}, {Values: values("manual")}, {Values: values("ovh")}},
	})
}

// lego's rfc2136 replaces what stands at a name. At a name of others it is not let.
func TestBINDKeepsRecordsOfOthers(t *testing.T) {
	b, key := newBIND(t, `@ TXT "v=spf1 -all"`, `@ TXT "another"`)
	p := launch(t, peer.DCVLego(t), bindEnv(b, key), values("rfc2136"), b.Addr())
	_, err := p.Publish(t.Context(), txt("example.com", "ours"))
	wantKind(t, err, pluginapi.Conflict, "v=spf1 -all", "another")
	p.withdraw(t, txt("example.com", "ours"), nil)
	wantTXT(t, b.NameServer, "example.com", "after all", "another", "v=spf1 -all")
	if !p.configured.SequentialPerName {
		t.Error("values that take each other's place can be shown one after the other only")
	}
}

// The daemon has followed CNAME records, and knows where the record stands whatever they say by now.
func TestACMERecordStandsWhereTheDaemonHasFollowedTo(t *testing.T) {
	for name, c := range map[string]struct{ record, name string }{
		"a CNAME record":                   {"_acme-challenge.shop CNAME shop.challenges", "shop.challenges.example.com"},
		"a CNAME record that has moved":    {"_acme-challenge.shop CNAME shop.challenges", "before.challenges.example.com"},
		"a wildcard, which nobody follows": {"*.shop CNAME shop.challenges\nshop A 192.0.2.1", "_acme-challenge.shop.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			b, key := newBIND(t, strings.Split(c.record, "\n")...)
			p := launch(t, peer.DCVLego(t), bindEnv(b, key), values("rfc2136"), b.Addr())
			ch := acmeTXT("shop.example.com", "token-1")
			ch.DNS.Name = c.name
			receipt := p.publish(t, ch)
			wantTXT(t, b.NameServer, c.name, "published", ch.DNS.Value)
			p.kill(t)
			p = launch(t, peer.DCVLego(t), bindEnv(b, key), values("rfc2136"), b.Addr())
			p.withdraw(t, ch, receipt)
			wantTXT(t, b.NameServer, c.name, "withdrawn")
		})
	}
}

// Without the copy of lego, lego follows by itself.
func TestPlainBuildLeavesCNAMERecordsToLego(t *testing.T) {
	b, key := newBIND(t, "_acme-challenge.shop CNAME shop.challenges")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	env := bindEnv(b, key)
	env[asPlugin] = "1"
	p := launch(t, self, env, values("rfc2136"), b.Addr())
	c := acmeTXT("shop.example.com", "token-1")
	c.DNS.Name = "shop.challenges.example.com"
	receipt := p.publish(t, c)
	wantTXT(t, b.NameServer, c.DNS.Name, "published", c.DNS.Value)
	p.withdraw(t, c, receipt)
	wantTXT(t, b.NameServer, c.DNS.Name, "withdrawn")
}

func TestConformanceThroughPowerDNS(t *testing.T) {
	s := peer.PowerDNS(t, []peer.Zone{{Name: "example.com", Records: []string{`@ TXT "v=spf1 -all"`, `_dnsauth TXT "another"`}}})
	conform(t, plugintest.Options{
		Env:      []string{"PDNS_API_URL=" + s.APIURL, "PDNS_API_KEY=" + s.APIKey},
		Settings: pluginapi.Settings{Values: values("pdns")}, DNSResolvers: []string{s.Addr()},
		Challenges: []pluginapi.Challenge{
			txt("_dnsauth.example.com", "v1"), txt("_dnsauth.example.com", "v2"), txt("example.com", "at the apex"),
			acmeTXT("example.com", "token-1"), acmeTXT("example.com", "token-2"),
		},
		Published: inZone(t, s.NameServer),
	})
	wantTXT(t, s.NameServer, "example.com", "after all", "v=spf1 -all")
	wantTXT(t, s.NameServer, "_dnsauth.example.com", "after all", "another")
}

// After a restart the daemon publishes again what an order still needs, and PowerDNS refuses what is there.
func TestPublishAgainAfterACrash(t *testing.T) {
	s := peer.PowerDNS(t, []peer.Zone{{Name: "example.com"}})
	env := map[string]string{"PDNS_API_URL": s.APIURL, "PDNS_API_KEY": s.APIKey}
	c := txt("_dnsauth.example.com", "v1")
	p := launch(t, peer.DCVLego(t), env, values("pdns"), s.Addr())
	p.publish(t, c)
	p.kill(t)
	p = launch(t, peer.DCVLego(t), env, values("pdns"), s.Addr())
	p.publish(t, c)
	wantTXT(t, s.NameServer, c.DNS.Name, "published again", c.DNS.Value)
	p.withdraw(t, c, nil)
	wantTXT(t, s.NameServer, c.DNS.Name, "withdrawn")
}

func TestConformanceThroughFiles(t *testing.T) {
	t.Run("webroot", func(t *testing.T) {
		root := t.TempDir()
		conform(t, plugintest.Options{
			Settings:   pluginapi.Settings{Values: map[string]any{"provider": "webroot", "path": root}},
			Challenges: files(),
			Published: func(_ context.Context, c pluginapi.Challenge) (bool, error) {
				body, err := os.ReadFile(filepath.Join(root, c.HTTP.Path))
				if os.IsNotExist(err) {
					return false, nil
				}
				return string(body) == c.HTTP.Body, err
			},
		})
	})
	t.Run("memcached", func(t *testing.T) {
		first, second := peer.Memcached(t), peer.Memcached(t)
		conform(t, plugintest.Options{
			Settings:   pluginapi.Settings{Values: map[string]any{"provider": "memcached", "hosts": []any{first, second}}},
			Challenges: files(),
			Published: func(_ context.Context, c pluginapi.Challenge) (bool, error) {
				one, there := peer.MemcachedGet(t, first, c.HTTP.Path)
				other, also := peer.MemcachedGet(t, second, c.HTTP.Path)
				if there != also {
					t.Errorf("one has it, the other has not")
				}
				return there && one == c.HTTP.Body && other == c.HTTP.Body, nil
			},
		})
	})
	t.Run("s3", func(t *testing.T) {
		s := peer.S3(t)
		conform(t, plugintest.Options{
			Env:        environ(s.Env()),
			Settings:   pluginapi.Settings{Values: map[string]any{"provider": "s3", "bucket": s.Bucket}},
			Challenges: files(),
			Published: func(_ context.Context, c pluginapi.Challenge) (bool, error) {
				body, there := s.Objects(t)[strings.TrimPrefix(c.HTTP.Path, "/")]
				return there && body == c.HTTP.Body, nil
			},
		})
	})
}

// One process for each profile: what each holds of credentials is all it can use.
func TestTwoProfilesOfOneProviderNeverMix(t *testing.T) {
	keys := []peer.TSIGKey{peer.NewTSIGKey("first", "hmac-sha256"), peer.NewTSIGKey("second", "hmac-sha512")}
	b := peer.BIND(t, peer.BINDOptions{
		Zones: []peer.Zone{{Name: "first.example", Keys: []string{"first"}}, {Name: "second.example", Keys: []string{"second"}}}, Keys: keys,
	})
	path := peer.DCVLego(t)
	var group sync.WaitGroup
	for _, key := range keys {
		p := launch(t, path, bindEnv(b, key), values("rfc2136"), b.Addr())
		group.Go(func() {
			for _, host := range []string{"a", "b", "c"} {
				c := txt("_dnsauth."+host+"."+key.Name+".example", key.Name)
				receipt, err := p.Publish(t.Context(), c)
				if err != nil {
					t.Errorf("publish with %s: %v", key.Name, err)
				}
				if err := p.Withdraw(t.Context(), c, receipt); err != nil {
					t.Errorf("withdraw with %s: %v", key.Name, err)
				}
			}
		})
		group.Go(func() {
			for zone := range map[string]bool{"first.example": true, "second.example": true} {
				if zone == key.Name+".example" {
					continue
				}
				if _, err := p.Publish(t.Context(), txt("_dnsauth."+zone, "x")); err == nil {
					t.Errorf("%s may write %s", key.Name, zone)
				}
			}
		})
	}
	group.Wait()
	done := map[string]int{}
	for _, u := range b.Updates(t) {
		if strings.HasPrefix(u.Text, "adding") {
			done[u.Key]++
			if u.Zone != u.Key+".example" {
				t.Errorf("the key %s changed %s: %s", u.Key, u.Zone, u.Text)
			}
		}
	}
	if done["first"] != 3 || done["second"] != 3 {
		t.Errorf("records added by key: %v", done)
	}
}

// The test binary is built as "go build" does: there is no copy of lego in it.
func TestPlainBuildPublishesForACMEAlone(t *testing.T) {
	b, key := newBIND(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	env := bindEnv(b, key)
	env[asPlugin] = "1"
	p := launch(t, self, env, values("rfc2136"), b.Addr())
	if !slices.Equal(p.configured.Abilities, []pluginapi.PublishAbility{pluginapi.PublishACMEDNS}) {
		t.Errorf("abilities %v", p.configured.Abilities)
	}
	if !slices.ContainsFunc(p.configured.Findings, func(f pluginapi.Finding) bool {
		return f.Severity == pluginapi.Info && strings.Contains(f.Message, "ACME alone")
	}) {
		t.Errorf("findings %v", p.configured.Findings)
	}
	_, err = p.Publish(t.Context(), txt("_dnsauth.example.com", "v"))
	wantKind(t, err, pluginapi.InvalidRequest, "_dnsauth.example.com", "without the copy of lego")
	c := acmeTXT("example.com", "token-1")
	receipt := p.publish(t, c)
	wantTXT(t, b.NameServer, c.DNS.Name, "published", c.DNS.Value)
	p.withdraw(t, c, receipt)
	wantTXT(t, b.NameServer, c.DNS.Name, "withdrawn")
}

// The numbers stand in the documentation; here they only must not run away.
func TestStartTakesLittle(t *testing.T) {
	path := peer.DCVLego(t)
	size, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	launch(t, path, nil, map[string]any{"provider": "webroot", "path": "/"}) // from disk into memory
	p := launch(t, path, nil, map[string]any{"provider": "webroot", "path": "/"})
	kib := p.memory(t)
	t.Logf("%d MB on disk; %d ms from the start to the answer of Configure; %d MiB of memory", size.Size()/1e6, p.took.Milliseconds(), kib>>10)
	if kib > 200<<10 || p.took.Seconds() > 10 {
		t.Errorf("%d KiB of memory, started in %s", kib, p.took)
	}
}
