package daemon

import (
	"testing"

	"github.com/certbridge/certbridged/internal/control"
)

// What can never show control, or is no name, is refused before anything is published.
func TestTrialsThatMakeNoSense(t *testing.T) {
	cases := map[string]struct {
		test  control.ProfileTest
		names []string // of records or paths of files, the best first; none: refused
	}{
		"a name":                  {control.ProfileTest{Domain: "Shop.example.com."}, []string{"_acme-challenge.shop.example.com", "file"}},
		"a wildcard":              {control.ProfileTest{Domain: "*.shop.example.com"}, []string{"_acme-challenge.shop.example.com"}},
		"a file for a wildcard":   {control.ProfileTest{Domain: "*.shop.example.com", Type: "http"}, nil},
		"a place":                 {control.ProfileTest{Domain: "shop.example.com", Type: "txt", Place: "_dnsauth"}, []string{"_dnsauth.shop.example.com"}},
		"two labels":              {control.ProfileTest{Domain: "shop.example.com", Type: "txt", Place: "_a.b-c"}, []string{"_a.b-c.shop.example.com"}},
		"the domain itself":       {control.ProfileTest{Domain: "shop.example.com", Type: "txt", Place: "@"}, []string{"shop.example.com"}},
		"a CNAME":                 {control.ProfileTest{Domain: "shop.example.com", Type: "cname"}, []string{"_certbridged-test.shop.example.com"}},
		"two words":               {control.ProfileTest{Domain: "shop.example.com", Type: "txt", Place: "a b"}, nil},
		"an empty label":          {control.ProfileTest{Domain: "shop.example.com", Type: "txt", Place: "a..b"}, nil},
		"a place without a type":  {control.ProfileTest{Domain: "shop.example.com", Place: "_x"}, nil},
		"an unknown type":         {control.ProfileTest{Domain: "shop.example.com", Type: "mail"}, nil},
		"no domain":               {control.ProfileTest{Domain: "-"}, nil},
		"a file of another place": {control.ProfileTest{Domain: "shop.example.com", Type: "http", Place: "pki-validation/fileauth.txt"}, []string{"/.well-known/pki-validation/fileauth.txt"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := trialChallenges(c.test)
			if (err != nil) != (c.names == nil) || err != nil && control.KindOf(err) != control.Invalid {
				t.Fatalf("%+v, %v", got, err)
			}
			if len(got) != len(c.names) {
				t.Fatalf("%d challenges, want %d", len(got), len(c.names))
			}
			for i, want := range c.names {
				switch ch := got[i]; {
				case ch.DNS != nil && ch.DNS.Name != want, ch.HTTP != nil && want != "file" && ch.HTTP.Path != want:
					t.Errorf("%+v %+v, want %s", ch.DNS, ch.HTTP, want)
				case ch.Identifier != "shop.example.com":
					t.Errorf("for %s", ch.Identifier)
				}
			}
		})
	}
}
