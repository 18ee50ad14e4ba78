package peer

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestPebbleOffersWhatWasAskedFor(t *testing.T) {
	p := Pebble(t, PebbleOptions{
		EAB:            map[string]string{"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"},
		EABRequired:    true,
		AlternateRoots: 1,
	})
	resp, err := p.Client().Get(p.DirectoryURL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var directory struct {
		NewOrder    string `json:"newOrder"`
		RenewalInfo string `json:"renewalInfo"`
		Meta        struct {
			ExternalAccountRequired bool              `json:"externalAccountRequired"`
			Profiles                map[string]string `json:"profiles"`
		} `json:"meta"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&directory); err != nil {
		t.Fatal(err)
	}
	if directory.NewOrder == "" || directory.RenewalInfo == "" {
		t.Errorf("directory lacks newOrder or renewalInfo: %+v", directory)
	}
	if !directory.Meta.ExternalAccountRequired {
		t.Error("external account binding is not required")
	}
	for _, name := range []string{"default", "shortlived"} {
		if directory.Meta.Profiles[name] == "" {
			t.Errorf("no profile %q in %v", name, directory.Meta.Profiles)
		}
	}
	if !strings.Contains(p.Log(), "reject 5% of good nonces") || !strings.Contains(p.Log(), "Disabling random VA sleeps") {
		t.Errorf("Pebble is not set up as documented:\n%s", p.Log())
	}

	names := []string{subject(t, p.Root(t, 0)), subject(t, p.Root(t, 1)), subject(t, p.Intermediate(t, 0))}
	if slices.Sort(names); len(slices.Compact(names)) != 3 {
		t.Errorf("roots and intermediate are not three certificates: %q", names)
	}
	if !strings.Contains(string(p.RootPEM), "CERTIFICATE") {
		t.Error("no TLS root")
	}
	p.Stop(t)
	if _, err := p.Client().Do(&http.Request{Method: http.MethodGet, URL: resp.Request.URL}); err == nil {
		t.Error("a stopped Pebble answers")
	}
}

func TestMockDNS(t *testing.T) {
	p := Pebble(t, PebbleOptions{})
	ask := func(name string, qtype uint16) []dns.RR {
		t.Helper()
		reply, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion(name, qtype), p.DNSAddress)
		if err != nil {
			t.Fatal(err)
		}
		return reply.Answer
	}
	if got := ask("any.example.", dns.TypeA); len(got) != 1 || !strings.HasSuffix(got[0].String(), "\t127.0.0.1") {
		t.Errorf("A of any name: %v", got)
	}
	if got := ask("any.example.", dns.TypeAAAA); len(got) != 0 {
		t.Errorf("AAAA of any name: %v", got)
	}
	p.DNS.AddDNSTXTRecord("_acme-challenge.any.example", "value")
	if got := ask("_acme-challenge.any.example.", dns.TypeTXT); len(got) != 1 {
		t.Errorf("TXT added: %v", got)
	}
	p.DNS.DeleteDNSTXTRecord("_acme-challenge.any.example")
	if got := ask("_acme-challenge.any.example.", dns.TypeTXT); len(got) != 0 {
		t.Errorf("TXT deleted: %v", got)
	}
}

func subject(t *testing.T, certificate []byte) string {
	t.Helper()
	block, _ := pem.Decode(certificate)
	if block == nil {
		t.Fatalf("no PEM: %q", certificate)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c.Subject.CommonName
}
