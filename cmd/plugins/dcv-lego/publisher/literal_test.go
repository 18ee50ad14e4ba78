package publisher

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-acme/lego/v4/challenge/http01"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func dnsProfile() *profile {
	return &profile{name: "fake", literals: true, traits: traits{acme: pluginapi.PublishACMEDNS, literal: pluginapi.PublishTXT}}
}

func webProfile() *profile {
	return &profile{name: "fake", literals: true, traits: traits{acme: pluginapi.PublishACMEHTTP, literal: pluginapi.PublishFile}}
}

func file(path, body string) pluginapi.Challenge {
	return pluginapi.Challenge{ID: path, Identifier: zoneName, HTTP: &pluginapi.HTTPFile{Host: zoneName, Path: path, Body: body}}
}

const token, keyAuth = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA", "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.thumb"

func acmeTXT() pluginapi.Challenge {
	sum := sha256.Sum256([]byte(keyAuth))
	c := txt("_acme-challenge."+zoneName, base64.RawURLEncoding.EncodeToString(sum[:]))
	c.ACME = &pluginapi.KeyAuthorization{Token: token, KeyAuthorization: keyAuth}
	return c
}

func acmeFile() pluginapi.Challenge {
	c := file(http01.PathPrefix+token, keyAuth)
	c.ACME = &pluginapi.KeyAuthorization{Token: token, KeyAuthorization: keyAuth}
	return c
}

func TestWhatLegoIsCalledWith(t *testing.T) {
	otherValue, otherFile := acmeTXT(), acmeFile()
	otherValue.DNS.Value = "computed in another way"
	otherFile.HTTP.Body = "another body"
	plain, acmeAlone := dnsProfile(), dnsProfile()
	plain.literals = false
	acmeAlone.traits.notLiteral = "it knows one name alone"
	value := acmeTXT().DNS.Value
	delegated := acmeTXT()
	delegated.DNS.Name = "Shop.challenges.example.net"
	for name, c := range map[string]struct {
		profile        *profile
		challenge      pluginapi.Challenge
		token, keyAuth string // token "" stands for the key
	}{
		"ACME's record":                 {dnsProfile(), acmeTXT(), token, "\x00certbridge-txt\x00_acme-challenge.example.com\x00" + value},
		"ACME's record by CNAME":        {dnsProfile(), delegated, token, "\x00certbridge-txt\x00shop.challenges.example.net\x00" + value},
		"ACME's record, no hook":        {plain, acmeTXT(), token, keyAuth},
		"ACME's record, by its own way": {acmeAlone, acmeTXT(), token, keyAuth},
		"ACME's file":                   {webProfile(), acmeFile(), token, keyAuth},
		"a record":                      {dnsProfile(), txt("_DNSauth."+zoneName+".", "v w"), "", "\x00certbridge-txt\x00_dnsauth.example.com\x00v w"},
		"a file":                        {webProfile(), file("/.well-known/pki-validation/fileauth.txt", "b\n"), "\x00certbridge-file\x00/.well-known/pki-validation/fileauth.txt", "b\n"},
		"ACME of another kind, record":  {dnsProfile(), otherValue, "", "\x00certbridge-txt\x00_acme-challenge.example.com\x00computed in another way"},
		"ACME of another kind, content": {webProfile(), otherFile, "\x00certbridge-file\x00" + http01.PathPrefix + token, "another body"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.profile.plan(c.challenge)
			if err != nil {
				t.Fatal(err)
			}
			if c.token == "" {
				c.token = got.key
			}
			if got.domain != zoneName || got.token != c.token || got.keyAuth != c.keyAuth {
				t.Errorf("%q %q %q", got.domain, got.token, got.keyAuth)
			}
		})
	}
}

// The key is what a provider remembers a record by, so it must be the same in every version.
func TestKeyIsForAlways(t *testing.T) {
	got, err := dnsProfile().plan(txt("_dnsauth.example.com", "value"))
	if err != nil || got.key != "2d90287a1586bafad3274a90087013ff" {
		t.Errorf("%s %v", got.key, err)
	}
}

func TestWhatCannotBePublished(t *testing.T) {
	acmeOnly, plain, otherWeb := dnsProfile(), dnsProfile(), webProfile()
	acmeOnly.traits.notLiteral = "it knows one name alone"
	plain.literals = false
	otherWeb.literals = false
	cname := txt(name, "target.example.net")
	cname.DNS.Type = pluginapi.CNAME
	for what, c := range map[string]struct {
		profile   *profile
		challenge pluginapi.Challenge
		parts     []string
	}{
		"a CNAME record":         {dnsProfile(), cname, []string{"TXT records alone", "rfc2136"}},
		"a file through DNS":     {dnsProfile(), acmeFile(), []string{"http"}},
		"a record through files": {webProfile(), acmeTXT(), []string{"dns"}},
		"another name":           {acmeOnly, txt(name, "v"), []string{name, "one name alone", "another dcv profile"}},
		"no hook, record":        {plain, txt(name, "v"), []string{name, "without the copy"}},
		"no hook, file":          {otherWeb, file("/.well-known/x", "v"), []string{"without the copy"}},
		"a long value":           {dnsProfile(), txt(name, strings.Repeat("x", 256)), []string{"256", "255"}},
		"a quote":                {dnsProfile(), txt(name, `a"b`), []string{`'"'`}},
		"a zero byte":            {dnsProfile(), txt(name, "a\x00b"), []string{`'\x00'`}},
		"a path that climbs":     {webProfile(), file("/.well-known/../etc/passwd", "v"), []string{`".."`}},
		"a path elsewhere":       {webProfile(), file("/index.html", "v"), []string{"/.well-known/"}},
		"a line in a path":       {webProfile(), file("/.well-known/a\r\nflush_all", "v"), []string{"character"}},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := c.profile.plan(c.challenge)
			wantError(t, err, pluginapi.InvalidRequest, c.parts...)
		})
	}
	for _, acme := range []struct {
		p *profile
		c pluginapi.Challenge
	}{{acmeOnly, acmeTXT()}, {plain, acmeTXT()}, {otherWeb, acmeFile()}} {
		if _, err := acme.p.plan(acme.c); err != nil {
			t.Errorf("ACME: %v", err)
		}
	}
}

func FuzzPlan(f *testing.F) {
	f.Add("_dnsauth.example.com", "value", "/.well-known/x", true)
	f.Add("a\x00b", "c\x00d", "/.well-known/../x", false)
	f.Fuzz(func(t *testing.T, name, value, path string, dns bool) {
		if dns {
			task, err := dnsProfile().plan(txt(name, value))
			if err == nil && (strings.Count(task.keyAuth, "\x00") != 3+strings.Count(name, "\x00") || !strings.HasSuffix(task.keyAuth, "\x00"+value)) {
				t.Errorf("%q", task.keyAuth)
			}
			return
		}
		task, err := webProfile().plan(file(path, value))
		if err == nil && (!strings.HasPrefix(path, "/.well-known/") || strings.Contains(path, "/../") || strings.ContainsAny(path, "\r\n \x00\\")) {
			t.Errorf("%q", task.token)
		}
	})
}

func FuzzParseReceipt(f *testing.F) {
	f.Add([]byte(`{"version":1,"provider":"fake","key":"k","at":"2026-11-22T00:00:00Z","state":{"ids":{"k":1}}}`))
	f.Fuzz(func(t *testing.T, blob []byte) {
		r, err := parseReceipt(blob, "fake", "k")
		if err != nil {
			return
		}
		again, err := parseReceipt(r.encode(), "fake", "k")
		if err != nil || !again.At.Equal(r.At) {
			t.Errorf("%v %v", again, err)
		}
	})
}

// embedded is an error type like those of libraries, which keep the reply in what they embed.
type embedded struct {
	*http.Response
	error
}

type statusError struct{ StatusCode int }

func (statusError) Error() string { return "no" }

func TestKindOfAProvidersError(t *testing.T) {
	p := dnsProfile()
	for name, c := range map[string]struct {
		err  error
		want pluginapi.ErrorKind
	}{
		"words alone":     {errors.New("HTTP 401 unauthorized"), pluginapi.Unavailable},
		"a status":        {fmt.Errorf("x: %w", statusError{401}), pluginapi.Unauthorized},
		"by pointer":      {fmt.Errorf("x: %w", &statusError{403}), pluginapi.Unauthorized},
		"among others":    {errors.Join(errors.New("a"), fmt.Errorf("b: %w", statusError{429})), pluginapi.RateLimited},
		"another":         {statusError{500}, pluginapi.Unavailable},
		"embedded":        {embedded{&http.Response{StatusCode: http.StatusForbidden}, errors.New("no")}, pluginapi.Unauthorized},
		"embedded, empty": {embedded{nil, errors.New("no")}, pluginapi.Unavailable},
	} {
		if got := p.failed("publish", c.err); got.Kind != c.want {
			t.Errorf("%s: %s, want %s", name, got.Kind, c.want)
		}
	}
	if got := p.failed("publish", errors.New(strings.Repeat("ä", 5000))); len(got.Message) > maxWords+100 {
		t.Errorf("%d bytes", len(got.Message))
	}
}
