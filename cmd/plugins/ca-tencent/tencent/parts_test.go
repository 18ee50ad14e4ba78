package tencent

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/sslapi"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

// What is to be published, as Tencent says it in its several ways.
func TestChallenges(t *testing.T) {
	names := []string{"shop.example.com", "example.com", "www.example.net"}
	for name, c := range map[string]struct {
		auth  sslapi.Auth
		want  []string // type, identifier, where, what
		fails bool
	}{
		"TXT":                         {auth: sslapi.Auth{Key: "_dnsauth.shop.example.com", Value: "v", Domain: "example.com", Type: "TXT"}, want: []string{"dns shop.example.com TXT _dnsauth.shop.example.com v"}},
		"TXT at the base":             {auth: sslapi.Auth{Key: "_dnsauth.Example.com.", Value: "v", Type: "txt"}, want: []string{"dns example.com TXT _dnsauth.example.com v"}},
		"CNAME":                       {auth: sslapi.Auth{Key: "_3f2a.shop.example.com", Value: "a1.trust-provider.test.", Type: "CNAME"}, want: []string{"dns shop.example.com CNAME _3f2a.shop.example.com a1.trust-provider.test"}},
		"CNAME without an underscore": {auth: sslapi.Auth{Key: "abc.shop.example.com", Value: "a1.test", Type: "CNAME"}, want: []string{"dns shop.example.com CNAME abc.shop.example.com a1.test"}},
		"a base that is not ordered":  {auth: sslapi.Auth{Key: "_dnsauth.example.net", Value: "v", Type: "TXT"}, want: []string{"dns example.net TXT _dnsauth.example.net v"}},
		"no type, like a host":        {auth: sslapi.Auth{Key: "_a.shop.example.com", Value: "x.y.test"}, want: []string{"dns shop.example.com CNAME _a.shop.example.com x.y.test"}},
		"no type, like a value":       {auth: sslapi.Auth{Key: "_a.shop.example.com", Value: "2026112102000012ab"}, want: []string{"dns shop.example.com TXT _a.shop.example.com 2026112102000012ab"}},
		"no value yet":                {auth: sslapi.Auth{Key: "_a.shop.example.com", Type: "TXT"}},
		"a file": {auth: sslapi.Auth{Key: "fileauth.txt", Value: "v", Domain: "example.com", Path: "/.well-known/pki-validation/", Type: "FILE"}, want: []string{
			"http shop.example.com shop.example.com/.well-known/pki-validation/fileauth.txt v", "http example.com example.com/.well-known/pki-validation/fileauth.txt v",
			"http example.com www.example.com/.well-known/pki-validation/fileauth.txt v",
		}},
		"a file of a www, path and all": {auth: sslapi.Auth{Key: "fileauth.txt", Value: "v", Domain: "example.net", Path: ".well-known/pki-validation/fileauth.txt", Type: "FILE"}, want: []string{
			"http www.example.net www.example.net/.well-known/pki-validation/fileauth.txt v", "http www.example.net example.net/.well-known/pki-validation/fileauth.txt v",
		}},
		"a file with its host":            {auth: sslapi.Auth{Key: "f.txt", Value: "v", Domain: "example.com", Host: "shop.example.com", Path: "/x", Type: "FILE"}, want: []string{"http shop.example.com shop.example.com/x/f.txt v"}},
		"a file on a free www":            {auth: sslapi.Auth{Key: "f.txt", Value: "v", Domain: "example.com", Host: "www.example.com", Path: "/x", Type: "FILE"}, want: []string{"http shop.example.com www.example.com/x/f.txt v"}},
		"a file on a host of nobody":      {auth: sslapi.Auth{Key: "f.txt", Value: "v", Host: "www.victim.test", Path: "/x", Type: "FILE"}, fails: true},
		"a record's name in its zone":     {auth: sslapi.Auth{Key: "_dnsauth.shop", Value: "v", Domain: "example.com", Type: "TXT"}, want: []string{"dns shop.example.com TXT _dnsauth.shop.example.com v"}},
		"a record's name, the zone's own": {auth: sslapi.Auth{Key: "_dnsauth", Value: "v", Domain: "example.com", Type: "TXT"}, want: []string{"dns example.com TXT _dnsauth.example.com v"}},
		"a zone of nobody":                {auth: sslapi.Auth{Key: "_dnsauth", Value: "v", Domain: "victim.test", Type: "TXT"}, fails: true},
		"by mail":                         {auth: sslapi.Auth{Type: "EMAIL"}, want: []string{"manual shop.example.com"}},

		"a strange domain":    {auth: sslapi.Auth{Key: "_dnsauth.victim.test", Value: "v", Type: "TXT"}, fails: true},
		"a top level":         {auth: sslapi.Auth{Key: "_dnsauth.com", Value: "v", Type: "TXT"}, fails: true},
		"no name":             {auth: sslapi.Auth{Key: "a b", Value: "v", Type: "TXT"}, fails: true},
		"a value with breaks": {auth: sslapi.Auth{Key: "_a.example.com", Value: "a\nb", Type: "TXT"}, fails: true},
		"a CNAME to nowhere":  {auth: sslapi.Auth{Key: "_a.example.com", Value: "not a host", Type: "CNAME"}, fails: true},
		"a file of nobody":    {auth: sslapi.Auth{Key: "f.txt", Value: "v", Domain: "victim.test", Path: "/x", Type: "FILE"}, fails: true},
		"a path that is odd":  {auth: sslapi.Auth{Key: "f.txt?x", Value: "v", Domain: "example.com", Path: "/x", Type: "FILE"}, fails: true},
		"a kind that is new":  {auth: sslapi.Auth{Key: "_a.example.com", Value: "v", Type: "PIGEON"}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := challengesOf(c.auth, names, "Tq7LmN2x")
			if (err != nil) != c.fails || len(got) != len(c.want) {
				t.Fatalf("%+v, %v", got, err)
			}
			for i, g := range got {
				text := g.Type().String() + " " + g.Identifier
				switch {
				case g.DNS != nil:
					text += " " + string(g.DNS.Type) + " " + g.DNS.Name + " " + g.DNS.Value
				case g.HTTP != nil:
					text += " " + g.HTTP.Host + g.HTTP.Path + " " + g.HTTP.Body
				}
				if text != c.want[i] {
					t.Errorf("got %q, want %q", text, c.want[i])
				}
			}
		})
	}
}

// One record that several names share is published once; another value is another challenge.
func TestChallengesOnce(t *testing.T) {
	auth := func(value string) sslapi.Auth {
		return sslapi.Auth{Key: "_dnsauth.example.com", Value: sslapi.Text(value), Type: "TXT"}
	}
	v := &view{placed: pluginapi.PlacedOrder{OrderRequest: pluginapi.OrderRequest{Identifiers: []pluginapi.Identifier{{Value: "*.example.com"}, {Value: "example.com"}}}}}
	v.cert.Auth.List = sslapi.List[sslapi.Auth]{auth("a"), auth("a"), auth("b")}
	got, err := challenges(v)
	if err != nil || len(got) != 2 || got[0].ID == got[1].ID {
		t.Errorf("%+v, %v", got, err)
	}
}

// A file for a host that has nothing to do with the order is not put up, and does not stop the others.
func TestChallengesForAHostOfNobody(t *testing.T) {
	v := &view{id: "Abc1"}
	v.placed.Identifiers = []pluginapi.Identifier{{Value: "example.com", Type: pluginapi.DNS}}
	file := func(host string) sslapi.Auth {
		return sslapi.Auth{Key: "f.txt", Value: "v", Path: "/x/", Type: "FILE", Host: sslapi.Text(host)}
	}
	v.cert.Auth.List = []sslapi.Auth{file("www.victim.test"), file("example.com"), file("www.example.com")}
	list, err := challenges(v)
	if err != nil || len(list) != 2 || list[0].HTTP.Host != "example.com" || list[1].HTTP.Host != "www.example.com" {
		t.Errorf("%v, %v", list, err)
	}
	v.cert.Auth.List = v.cert.Auth.List[:1]
	if _, err := challenges(v); err == nil {
		t.Error("a host of nobody is no error")
	}
}

// Each number of Tencent's own look has words.
func TestLocalChecks(t *testing.T) {
	seenWords := map[string]bool{}
	for n := sslapi.Number(-7); n <= 1; n++ {
		if n == 0 {
			continue
		}
		words := localCheck(sslapi.Verification{LocalCheck: n})
		if seenWords[words] || words == "not seen yet" {
			t.Errorf("%d: %q", n, words)
		}
		seenWords[words] = true
	}
	for cn, same := range map[sslapi.Number]sslapi.Number{-8: -3, -9: -4, -10: -5} {
		if localCheck(sslapi.Verification{LocalCheck: cn}) != localCheck(sslapi.Verification{LocalCheck: same}) {
			t.Errorf("%d and %d differ", cn, same)
		}
	}
	list := []sslapi.Verification{{Domain: "a.example", LocalCheck: 1, CACheck: 2}, {Domain: "b.example", LocalCheck: -1}, {Domain: "c.example", Reason: "their words"}}
	if got := unseen(list); got != "b.example: the TXT record is not seen; c.example: their words" {
		t.Error(got)
	}
}

// listed names the answer to every question for a list.
const listed = ""

// api is a service that answers from a list of certificates.
func api(t *testing.T, certificates map[string]map[string]any) (url string, asked *[]string) {
	t.Helper()
	asked = new([]string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		action := r.Header.Get("X-TC-Action")
		*asked = append(*asked, action)
		body, _ := io.ReadAll(r.Body)
		var in struct{ CertificateId string }
		_ = json.Unmarshal(body, &in)
		out := map[string]any{"RequestId": "1"}
		switch c, ok := certificates[in.CertificateId]; {
		case action == "DescribeCertificates" && certificates[listed] != nil:
			out = certificates[listed]
		case action == "DescribeCertificates":
			out["TotalCount"], out["Certificates"] = 0, nil
		case action == "CreateCertificate":
			out["CertificateIds"] = []string{"New1"}
		case ok:
			out = c
		default:
			out["Error"] = map[string]any{"Code": notFound, "Message": "none"}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Response": out})
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func configured(t *testing.T, url string) *CA {
	t.Helper()
	ca := New(Options{})
	t.Cleanup(func() { ca.Close() })
	done, err := ca.Configure(t.Context(), pluginapi.Account{Settings: pluginapi.Settings{
		Values: map[string]any{"base_url": url, "request_timeout": "5s"}, Secrets: map[string]pluginapi.Secret{"secret_id": pluginapi.NewSecret("AKID1"), "secret_key": pluginapi.NewSecret("key1")},
	}})
	if err != nil || len(done.Findings) > 0 {
		t.Fatalf("%v, %v", done.Findings, err)
	}
	return ca
}

// Before a renewal is bought, one that is paid already and waits for its materials is used.
func TestARenewalThatIsPaidIsUsed(t *testing.T) {
	t.Parallel()
	before := func(renewal string) map[string]any {
		return map[string]any{"CertificateId": "Old1", "Status": 1, "CertificateExtra": map[string]any{"RenewOrder": renewal}}
	}
	for name, c := range map[string]struct {
		certificates map[string]map[string]any
		want         string
	}{
		"paid":                {map[string]map[string]any{"Old1": before("Paid1"), "Paid1": {"CertificateId": "Paid1", "Status": 5}}, "Paid1"},
		"of another product":  {map[string]map[string]any{"Old1": before("Paid1"), "Paid1": {"CertificateId": "Paid1", "Status": 5, "PackageType": "49"}}, ""},
		"used":                {map[string]map[string]any{"Old1": before("Paid1"), "Paid1": {"CertificateId": "Paid1", "Status": 1}}, "New1"},
		"gone":                {map[string]map[string]any{"Old1": before("Paid1")}, "New1"},
		"none":                {map[string]map[string]any{"Old1": before("")}, "New1"},
		"of what was deleted": {nil, "New1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, asked := api(t, c.certificates)
			names := []string{"shop.example.com"}
			o := pluginapi.OrderRequest{
				IdempotencyKey: strings.Repeat("a", 32), Kind: pluginapi.Renew, CSR: cadrive.NewCSR(t, cadrive.NewKey(t), true, names...),
				Identifiers: []pluginapi.Identifier{{Value: names[0], Type: pluginapi.DNS}}, Settings: dv(dvOne), Previous: &pluginapi.PreviousOrder{Reference: "Old1"},
			}
			got, err := configured(t, url).PlaceOrder(t.Context(), o)
			if c.want == "" {
				if pluginapi.KindOf(err) != pluginapi.NeedsPerson {
					t.Errorf("%s, %v", got.Order.Reference, err)
				}
				return
			}
			if err != nil || got.Order.Reference != c.want {
				t.Fatalf("%s, %v", got.Order.Reference, err)
			}
			if bought := strings.Contains(strings.Join(*asked, " "), "CreateCertificate"); bought != (c.want == "New1") {
				t.Errorf("asked was %v", *asked)
			}
		})
	}
}

// States that cannot be read are none, but for what is known of paid time; and ancestors are bounded.
func TestStates(t *testing.T) {
	later := decodeState([]byte(`{"version":2,"paid_until":"2027-11-22T00:00:00Z","no_gain":true,"ancestors":["a"],"looks":"many"}`))
	if later.PaidUntil.IsZero() || !later.NoGain || len(later.Ancestors) != 1 || later.Version != stateVersion {
		t.Errorf("of a later version: %+v", later)
	}
	for _, data := range []string{"", "{", `{"version":9,"audited":true}`, "null", "[]"} {
		if st := decodeState([]byte(data)); st.Audited || st.Version != stateVersion {
			t.Errorf("%q: %+v", data, st)
		}
	}
	st := state{PaidUntil: time.Now(), Audited: true, Responded: true}
	for range 2 * mostAncestors {
		st = st.after("id")
	}
	if len(st.Ancestors) != mostAncestors || st.PaidUntil.IsZero() || st.Audited {
		t.Errorf("%+v", st)
	}
	if back := decodeState(st.encode()); !back.PaidUntil.Equal(st.PaidUntil) || len(back.Ancestors) != mostAncestors {
		t.Errorf("%+v", back)
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"paid_until":"2027-01-02T03:04:05Z","ancestors":["a"]}`))
	f.Add([]byte(`{"version":1,"ancestors":7}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		st := decodeState(data)
		_ = st.after("x").encode()
	})
}

// While a file is not seen, people are told of a host that nothing is put up on.
func TestFileOfASubdomain(t *testing.T) {
	file := func(domain, host string) sslapi.Auth {
		return sslapi.Auth{Key: "fileauth.txt", Value: "x", Path: "/.well-known/pki-validation/", Type: "FILE", Domain: sslapi.Text(domain), Host: sslapi.Text(host)}
	}
	for name, c := range map[string]struct {
		auth   sslapi.Auth
		names  []string
		remark string
		says   bool
	}{
		"not seen":            {file("example.com", ""), []string{"shop.example.com"}, "the file is not seen", true},
		"not looked for yet":  {file("example.com", ""), []string{"shop.example.com"}, "", false},
		"the domain is named": {file("example.com", ""), []string{"shop.example.com", "example.com"}, "the file is not seen", false},
		"the host is told":    {file("example.com", "example.com"), []string{"shop.example.com"}, "the file is not seen", false},
		"no domain is told":   {file("", ""), []string{"shop.example.com"}, "the file is not seen", false},
	} {
		v := &view{id: "Abc1", remark: c.remark, cert: sslapi.Certificate{Auth: sslapi.Auths{List: sslapi.List[sslapi.Auth]{c.auth}}}}
		for _, n := range c.names {
			v.placed.Identifiers = append(v.placed.Identifiers, pluginapi.Identifier{Value: n, Type: pluginapi.DNS})
		}
		published, err := challenges(v)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if words := v.validationWords(published); strings.Contains(words, "nothing is put up on example.com itself") != c.says {
			t.Errorf("%s: %s", name, words)
		}
	}
}
