package peer

import (
	"net/http"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

func TestPowerDNS(t *testing.T) {
	t.Parallel()
	s := PowerDNS(t, []Zone{
		{Name: "example.com", Records: []string{`@ TXT "v=spf1 -all" "and more"`, `@ TXT "another"`, "www CNAME example.com."}},
		{Name: "sub.example.com", Elsewhere: []string{"192.0.2.53"}},
	})
	if got := s.TXT(t, "example.com"); !slices.Equal(got, []string{"another", "v=spf1 -alland more"}) {
		t.Errorf("apex has %q", got)
	}
	if got := s.CNAME(t, "www.example.com"); got != "example.com" {
		t.Errorf("CNAME leads to %q", got)
	}
	if got := s.Query(t, "ns2.sub.example.com", dns.TypeA).Answer; len(got) != 1 {
		t.Errorf("the address of the other name server is %v", got)
	}
	change := map[string]any{"rrsets": []any{map[string]any{
		"name": "_dnsauth.example.com.", "type": "TXT", "ttl": 5, "changetype": "REPLACE",
		"records": []any{map[string]any{"content": `"x"`}},
	}}}
	if _, err := s.API(t.Context(), http.MethodPatch, "/zones/example.com.", change); err != nil {
		t.Fatal(err)
	}
	if got := s.TXT(t, "_dnsauth.example.com"); !slices.Equal(got, []string{"x"}) {
		t.Errorf("the updated record is %q", got)
	}
	if _, err := s.API(t.Context(), http.MethodGet, "/zones/elsewhere.test.", nil); err == nil {
		t.Error("the API knows a zone that is not there")
	}
}
