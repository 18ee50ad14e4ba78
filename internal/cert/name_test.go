package cert_test

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/cert"
)

func TestNormalizeName(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := map[string]struct{ want, wantErr string }{
		"example.com":               {want: "example.com"},
		"EXAMPLE.Com.":              {want: "example.com"},
		"*.Example.com":             {want: "*.example.com"},
		"localhost":                 {want: "localhost"},
		"bücher.example":            {want: "xn--bcher-kva.example"},
		"BÜCHER.example":            {want: "xn--bcher-kva.example"},
		"straße.de":                 {want: "xn--strae-oqa.de"},
		"例子。测试":                     {want: "xn--fsqu00a.xn--0zwm56d"},
		"xn--bcher-kva.example":     {want: "xn--bcher-kva.example"},
		"r3---sn-abc.example":       {want: "r3---sn-abc.example"},
		"192.0.2.1":                 {want: "192.0.2.1"},
		"2001:DB8:0:0::1":           {want: "2001:db8::1"},
		"::ffff:192.0.2.1":          {want: "192.0.2.1"},
		long + ".com":               {want: long + ".com"},
		"":                          {wantErr: "empty"},
		".":                         {wantErr: "nothing is left"},
		"a..b":                      {wantErr: "empty"},
		".example.com":              {wantErr: "empty"},
		"example.com..":             {wantErr: "empty"},
		long + "a.com":              {wantErr: "63"},
		strings.Repeat("a.", 130):   {wantErr: "253"},
		"-a.example.com":            {wantErr: "hyphen"},
		"a-.example.com":            {wantErr: "hyphen"},
		"_dmarc.example.com":        {wantErr: "underscore"},
		"a b.example.com":           {wantErr: "character"},
		"foo*.example.com":          {wantErr: "left-most"},
		"*.*.example.com":           {wantErr: "left-most"},
		"www.*.example.com":         {wantErr: "left-most"},
		"*":                         {wantErr: "left-most"},
		"*.":                        {wantErr: "nothing is left"},
		"*.192.0.2.1":               {wantErr: "number"},
		"256.1.1.1":                 {wantErr: "number"},
		"[2001:db8::1]":             {wantErr: "brackets"},
		"fe80::1%eth0":              {wantErr: "zone"},
		"example.com:443":           {wantErr: "port"},
		"https://example.com/":      {wantErr: "URL"},
		"admin@example.com":         {wantErr: "e-mail"},
		"xn--a.example":             {wantErr: "not a valid domain name"},
		"exam\x00ple.com":           {wantErr: "not a valid domain name"},
		"\x98.example.com":          {wantErr: "UTF-8"},
		"example.com\n":             {wantErr: "character"},
		"example.com/../etc/passwd": {wantErr: "character"},
	}
	for name, tt := range tests {
		got, err := cert.NormalizeName(name)
		if tt.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("NormalizeName(%q) = %q, %v; want an error with %q", name, got, err, tt.wantErr)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("NormalizeName(%q) = %q, %v; want %q", name, got, err, tt.want)
		}
	}
}

func TestNormalizeNamesReportsEveryMistake(t *testing.T) {
	_, err := cert.NormalizeNames([]string{"ok.example.com", "bad_one.example.com", "256.1.1.1"})
	if err == nil || !strings.Contains(err.Error(), "bad_one") || !strings.Contains(err.Error(), "256.1.1.1") {
		t.Errorf("err = %v", err)
	}
}

func TestMissing(t *testing.T) {
	root := newRoot(t, "root")
	leaf := root.sign(t, leafTemplate("Example.com", "*.example.com", "192.0.2.1", "2001:db8::1"), newKey(t).Public())
	asked := []string{
		"example.com", "EXAMPLE.COM.", "www.example.com", "*.example.com", "192.0.2.1", "2001:DB8::1", "::ffff:192.0.2.1",
		"a.b.example.com", "*.b.example.com", "example.org", "192.0.2.2", "com", "not a name",
	}
	want := asked[7:]
	if got := cert.Missing(leaf, asked); !slices.Equal(got, want) {
		t.Errorf("Missing = %q, want %q", got, want)
	}
}

func TestCommonNameAloneCoversNothing(t *testing.T) {
	root := newRoot(t, "root")
	template := leafTemplate("example.com")
	template.DNSNames = nil
	leaf := root.sign(t, template, newKey(t).Public())
	if got := cert.Missing(leaf, []string{"example.com"}); len(got) != 1 {
		t.Errorf("Missing = %q", got)
	}
}

func TestNames(t *testing.T) {
	root := newRoot(t, "root")
	template := leafTemplate("b.example.com", "A.example.com", "192.0.2.1")
	template.Subject.CommonName = "a.example.com"
	leaf := root.sign(t, template, newKey(t).Public())
	want := []string{"a.example.com", "b.example.com", "192.0.2.1"}
	if got := cert.Names(leaf); !slices.Equal(got, want) {
		t.Errorf("Names = %q, want %q", got, want)
	}
}

func FuzzNormalizeName(f *testing.F) {
	for _, s := range []string{"example.com", "*.bücher.example", "192.0.2.1", "2001:db8::1", "a..b", "xn--a", "..", "1.2.3", "example.com。"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := cert.NormalizeName(s)
		if err != nil {
			return
		}
		again, err := cert.NormalizeName(got)
		if err != nil || again != got {
			t.Fatalf("NormalizeName(%q) = %q, and of that %q, %v", s, got, again, err)
		}
		if net.ParseIP(got) == nil && strings.Trim(got, "abcdefghijklmnopqrstuvwxyz0123456789-.*") != "" {
			t.Fatalf("NormalizeName(%q) = %q, which is not ASCII in lower case", s, got)
		}
	})
}
