package catalog

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// sourceOf is a provider made of the given bodies of Present and CleanUp and of further declarations.
func sourceOf(t *testing.T, present, cleanUp, more string) *source {
	t.Helper()
	text := `package sample

import (
	"fmt"

	"github.com/go-acme/lego/v4/challenge/dns01"
)

type DNSProvider struct {
	client client
	ids    map[string]string
	token  string
}

func (d *DNSProvider) Present(domain, token, keyAuth string) error {` + present + `}

func (d *DNSProvider) CleanUp(domain, token, keyAuth string) error {` + cleanUp + `}
` + more
	file, err := parser.ParseFile(token.NewFileSet(), "sample.go", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return &source{name: "sample", folder: "sample", pkgs: []*goPackage{{folder: "sample", files: map[string]*ast.File{"sample.go": file}}}}
}

const ask = "\n\tinfo := dns01.GetChallengeInfo(domain, keyAuth)\n"

func TestLiteralHints(t *testing.T) {
	const add = ask + "\treturn d.client.add(info.EffectiveFQDN, info.Value)\n"
	tests := []struct {
		name, present, cleanUp, more string
		want                         []string
	}{
		{name: "plain", present: add, cleanUp: add},
		{name: "asked for by a helper", present: "\n\treturn d.change(domain, keyAuth)\n", cleanUp: add,
			more: "func (d *DNSProvider) change(domain, keyAuth string) error {" + add + "}",
			want: []string{hintKeyAuth, hintDomain}},
		{name: "wraps another", present: "\n\treturn d.client.Present(domain, token, keyAuth)\n", cleanUp: "\n\treturn d.client.CleanUp(domain, token, keyAuth)\n",
			more: "func (c client) Present(domain, token, keyAuth string) error {" + add + "}\n" +
				"func (c client) CleanUp(domain, token, keyAuth string) error {" + add + "}"},
		{name: "prefix in a client", present: add, cleanUp: add,
			more: `func (c client) add(name, value string) error { return c.send(strings.TrimPrefix(name, "_acme-challenge.")) }`,
			want: []string{hintPrefix}},
		{name: "prefix in a comment", present: add, cleanUp: add, more: "// such as _acme-challenge.example.com"},
		{name: "nothing asked for", present: "\n\treturn nil\n", cleanUp: "\n\treturn nil\n", want: []string{hintOwnPresent, hintOwnCleanUp, hintNoName}},
		{name: "name in an error only", cleanUp: add,
			present: ask + "\treturn fmt.Errorf(\"%s: %w\", info.EffectiveFQDN, d.client.add(info.Value))\n",
			want:    []string{hintNoName}},
		{name: "domain in an error only", cleanUp: add,
			present: ask + "\tif err := d.client.add(info.EffectiveFQDN); err != nil {\n\t\treturn fmt.Errorf(\"%s: %w\", domain, err)\n\t}\n\treturn nil\n"},
		{name: "zone by the domain", present: ask + "\treturn d.client.add(d.zone(domain), info.EffectiveFQDN)\n", cleanUp: add, want: []string{hintDomain}},
		{name: "field called domain", present: ask + "\treturn d.client.add(record{domain: info.EffectiveFQDN}.domain)\n", cleanUp: add},
		{name: "key authorization sent", present: add, cleanUp: ask + "\treturn d.client.remove(info.Value, keyAuth)\n", want: []string{hintKeyAuth}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := sourceOf(t, tt.present, tt.cleanUp, tt.more).literalHints(); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRemembered(t *testing.T) {
	tests := []struct{ name, present, cleanUp, more, want string }{
		{name: "map", present: "d.ids[token] = d.client.add(); return nil", cleanUp: "id, ok := d.ids[token]; delete(d.ids, token); return d.client.remove(id, ok)", want: "ids"},
		{name: "field", present: "d.token = d.client.add(); return nil", cleanUp: "return d.client.remove(d.token)", want: "token"},
		{name: "field in a helper", present: "return d.keep()", cleanUp: "return d.client.remove(d.ids[token])",
			more: `func (d *DNSProvider) keep() error { d.ids["x"] = "y"; return nil }`, want: "ids"},
		{name: "only deleted", present: "d.ids[token] = d.client.add(); return nil", cleanUp: "delete(d.ids, token); return nil"},
		{name: "never read", present: "d.ids[token] = d.client.add(); return nil", cleanUp: "return nil"},
		{name: "both log in", present: "d.login(); return d.client.add(d.token)", cleanUp: "d.login(); return d.client.remove(d.token)",
			more: `func (d *DNSProvider) login() { d.token = d.client.login() }`},
		{name: "concurrent map", present: "d.ids.Store(token, d.client.add()); return nil", cleanUp: "id, ok := d.ids.Load(token); return d.client.remove(id, ok)", want: "ids"},
		{name: "a client's field", present: "return d.client.Present2()", cleanUp: "return d.client.Remove2()",
			more: `func (c client) Present2() error { c.zone = "x"; return nil }; func (c client) Remove2() error { return c.send(c.zone) }`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(sourceOf(t, tt.present, tt.cleanUp, tt.more).remembered(), " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHeedsApex(t *testing.T) {
	for body, want := range map[string]bool{
		"name, err := dns01.ExtractSubDomain(a, b); if err != nil { return err }; return d.client.add(name)": true,
		"name, _ := dns01.ExtractSubDomain(a, b); return d.client.add(name)":                                 false,
		"return d.split()":                       true,
		"return d.client.ExtractSubDomain(a, b)": false,
	} {
		p := sourceOf(t, body, "return nil", `func (d *DNSProvider) split() error { _, err := dns01.ExtractSubDomain(a, b); return err }`)
		if got := p.heedsApex(); got != want {
			t.Errorf("%s: got %t, want %t", body, got, want)
		}
	}
}
