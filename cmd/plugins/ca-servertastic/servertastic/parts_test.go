package servertastic

import (
	"bytes"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// vector is a certificate request whose sums were made with other tools.
const vector = `-----BEGIN CERTIFICATE REQUEST-----
MIIBDDCBsgIBADAWMRQwEgYDVQQDDAtleGFtcGxlLmNvbTBZMBMGByqGSM49AgEG
CCqGSM49AwEHA0IABOUOvouAVhswKPNH/JNIyYMJ8XmzzOasphoyh1uWipPmGh32
Nnqwal+fRlvtELbiZYKgDrS1ALU9g8HK/h5wnMqgOjA4BgkqhkiG9w0BCQ4xKzAp
MCcGA1UdEQQgMB6CC2V4YW1wbGUuY29tgg93d3cuZXhhbXBsZS5jb20wCgYIKoZI
zj0EAwIDSQAwRgIhAIcX+fhjzmm6JLIIqlEVNQfDBAyAcspuRwQSlGj1Dvu7AiEA
vsmlGFwCZduG0YleNn3NaRcwC1AuzgEz45TZA6pm/xM=
-----END CERTIFICATE REQUEST-----
`

const (
	vectorMD5    = "2c33ba38288aab66bada594199f6c4dc"
	vectorTarget = "3835c3cd07254d9266bc290cd908b104.237ef8022279c46c0cae254cfd6458fc"
)

func vectorToken(t testing.TB) requestToken {
	t.Helper()
	block, _ := pem.Decode([]byte(vector))
	if block == nil {
		t.Fatal("the vector is no PEM")
	}
	return sectigoToken(block.Bytes)
}

func TestSectigoVector(t *testing.T) {
	token := vectorToken(t)
	if token.label() != "_"+vectorMD5 || token.target() != vectorTarget || token.file() != strings.ToUpper(vectorMD5)+".txt" {
		t.Errorf("got %s -> %s, %s", token.label(), token.target(), token.file())
	}
	sum := strings.ReplaceAll(vectorTarget, ".", "")
	for name, c := range map[string]struct {
		control       ordertoken.Control
		fits, matches bool
	}{
		"nothing":                {ordertoken.Control{}, true, false},
		"DigiCert's token":       {ordertoken.Control{DNSType: "TXT", DNSName: "_dnsauth.example.com", DNSValue: "k7x0v1c9m2n8random"}, true, false},
		"a record":               {ordertoken.Control{DNSType: "CNAME", DNSName: "_" + vectorMD5 + ".example.com.", DNSValue: vectorTarget + ".sectigo.com."}, true, true},
		"in capitals":            {ordertoken.Control{DNSName: "_" + strings.ToUpper(vectorMD5), DNSValue: strings.ToUpper(vectorTarget) + ".SECTIGO.COM"}, true, true},
		"with a unique value":    {ordertoken.Control{DNSName: "_" + vectorMD5, DNSValue: vectorTarget + ".abc123.sectigo.com"}, true, true},
		"the older domain":       {ordertoken.Control{DNSName: "_" + vectorMD5, DNSValue: vectorTarget + ".comodoca.com"}, true, true},
		"a value without a name": {ordertoken.Control{DNSValue: vectorTarget + ".sectigo.com"}, true, true},
		"another name":           {ordertoken.Control{DNSName: "_" + strings.Repeat("0", 32), DNSValue: vectorTarget + ".sectigo.com"}, false, false},
		"another value":          {ordertoken.Control{DNSName: "_" + vectorMD5, DNSValue: strings.Repeat("0", 32) + "." + strings.Repeat("0", 32) + ".sectigo.com"}, false, false},
		"a file":                 {ordertoken.Control{FileName: strings.ToUpper(vectorMD5) + ".txt", FileBody: sum + "\nsectigo.com\n"}, true, true},
		"a file in a URL":        {ordertoken.Control{FileName: "http://example.com/.well-known/pki-validation/" + vectorMD5 + ".txt", FileBody: strings.ToUpper(sum) + "\r\nsectigo.com\r\nabc123"}, true, true},
		"another file":           {ordertoken.Control{FileName: strings.Repeat("0", 32) + ".txt", FileBody: sum}, false, false},
		"another body":           {ordertoken.Control{FileName: vectorMD5 + ".txt", FileBody: strings.Repeat("0", 64)}, false, false},
		"DigiCert's file":        {ordertoken.Control{FileName: "fileauth.txt", FileBody: "k7x0v1c9m2n8random"}, true, false},
	} {
		if token.fits(c.control) != c.fits || token.matches(c.control) != c.matches {
			t.Errorf("%s: fits %t, matches %t: %s", name, token.fits(c.control), token.matches(c.control), token.contradiction(c.control))
		}
	}
}

func TestWhereRecordsAre(t *testing.T) {
	for name, c := range map[string]struct {
		control ordertoken.Control
		names   []string
		want    string // name type, for each record
	}{
		"the name told":             {ordertoken.Control{DNSType: "TXT", DNSName: "_dnsauth.example.com", DNSValue: "k7x0v1c9"}, []string{"example.com"}, "_dnsauth.example.com TXT"},
		"with a dot":                {ordertoken.Control{DNSType: "txt", DNSName: "_dnsauth.Example.com.", DNSValue: "k7x0v1c9"}, []string{"example.com"}, "_dnsauth.example.com TXT"},
		"relative":                  {ordertoken.Control{DNSName: "_dnsauth", DNSValue: "k7x0v1c9"}, []string{"example.com"}, "_dnsauth.example.com TXT"},
		"the domain itself":         {ordertoken.Control{DNSName: "@", DNSValue: "k7x0v1c9"}, []string{"example.com"}, "example.com TXT"},
		"the domain's name":         {ordertoken.Control{DNSName: "example.com", DNSValue: "k7x0v1c9"}, []string{"example.com", "example.org"}, "example.com TXT, example.org TXT"},
		"no name":                   {ordertoken.Control{DNSValue: "k7x0v1c9"}, []string{"example.com"}, "_dnsauth.example.com TXT"},
		"no name, DigiCert's CNAME": {ordertoken.Control{DNSValue: "k7x0v1c9.dcv.digicert.com"}, []string{"example.com"}, "_dnsauth.example.com CNAME"},
		"no name, Sectigo":          {ordertoken.Control{DNSValue: vectorTarget + ".sectigo.com"}, []string{"example.com"}, "_" + vectorMD5 + ".example.com CNAME"},
		"several names":             {ordertoken.Control{DNSName: "_dnsauth.example.com", DNSValue: "k7x0v1c9"}, []string{"example.com", "www.example.com", "*.example.org"}, "_dnsauth.example.com TXT, _dnsauth.example.org TXT"},
		"a domain above":            {ordertoken.Control{DNSName: "_dnsauth.example.com", DNSValue: "k7x0v1c9"}, []string{"shop.example.com", "api.example.com", "example.net"}, "_dnsauth.example.com TXT, _dnsauth.example.net TXT"},
		"not below":                 {ordertoken.Control{DNSName: "_dnsauth.shop.example.com", DNSValue: "k7x0v1c9"}, []string{"shop.example.com", "example.com"}, "_dnsauth.shop.example.com TXT, _dnsauth.example.com TXT"},
		"a wildcard":                {ordertoken.Control{DNSName: "_dnsauth.example.com", DNSValue: "k7x0v1c9"}, []string{"*.example.com", "example.com"}, "_dnsauth.example.com TXT"},
		"www first, relative":       {ordertoken.Control{DNSName: "_dnsauth", DNSValue: "k7x0v1c9"}, []string{"www.example.com", "example.com", "example.net"}, "_dnsauth.example.com TXT, _dnsauth.example.net TXT, _dnsauth.www.example.com TXT"},
		"www alone, relative":       {ordertoken.Control{DNSName: "_dnsauth", DNSValue: "k7x0v1c9"}, []string{"www.example.com"}, "_dnsauth.example.com TXT, _dnsauth.www.example.com TXT"},
		"www first, the domain":     {ordertoken.Control{DNSName: "@", DNSValue: "k7x0v1c9"}, []string{"www.example.com", "example.com"}, "example.com TXT"},
		"www first, no name":        {ordertoken.Control{DNSValue: vectorTarget + ".sectigo.com"}, []string{"www.example.com", "example.com"}, "_" + vectorMD5 + ".example.com CNAME"},
		"www first, told":           {ordertoken.Control{DNSName: "_dnsauth.example.com", DNSValue: "k7x0v1c9"}, []string{"www.example.com", "example.com"}, "_dnsauth.example.com TXT"},
		"www first, told with www":  {ordertoken.Control{DNSName: "_dnsauth.www.example.com.", DNSValue: "k7x0v1c9"}, []string{"www.example.com", "example.net"}, "_dnsauth.www.example.com TXT, _dnsauth.example.net TXT"},
		"elsewhere":                 {ordertoken.Control{DNSName: "_dnsauth.example.net.", DNSValue: "k7x0v1c9"}, []string{"example.com"}, ""},
		"no value":                  {ordertoken.Control{DNSName: "_dnsauth.example.com", DNSValue: "a b\"c"}, []string{"example.com"}, ""},
		"no target":                 {ordertoken.Control{DNSType: "CNAME", DNSName: "_dnsauth.example.com", DNSValue: "not a name"}, []string{"example.com"}, ""},
		"no name at all":            {ordertoken.Control{DNSName: "a b.example.com", DNSValue: "k7x0v1c9"}, []string{"example.com"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			block, _ := pem.Decode([]byte(vector))
			v := &view{names: request.NamesOf(c.names)}
			v.placed.CSR = block.Bytes
			for _, n := range c.names {
				v.placed.Identifiers = append(v.placed.Identifiers, pluginapi.Identifier{Value: n, Type: pluginapi.DNS})
			}
			list, err := v.records(c.control)
			var got []string
			for _, a := range list {
				d := a.Challenges[0].DNS
				got = append(got, d.Name+" "+string(d.Type))
			}
			if strings.Join(got, ", ") != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestWhereFilesAre(t *testing.T) {
	token := vectorToken(t)
	for name, want := range map[string]string{
		"":             "/.well-known/pki-validation/fileauth.txt",
		"fileauth.txt": "/.well-known/pki-validation/fileauth.txt",
		"/.well-known/pki-validation/fileauth.txt":                       "/.well-known/pki-validation/fileauth.txt",
		".well-known/pki-validation/fileauth.txt":                        "/.well-known/pki-validation/fileauth.txt",
		"http://example.com/.well-known/pki-validation/fileauth.txt":     "/.well-known/pki-validation/fileauth.txt",
		"https://example.com/.well-known/pki-validation/fileauth.txt?a=": "/.well-known/pki-validation/fileauth.txt",
		"example.com/.well-known/pki-validation/fileauth.txt":            "/.well-known/pki-validation/fileauth.txt",
		"/etc/passwd":                               "",
		"../../../etc/passwd":                       "",
		"/.well-known/pki-validation/../x.txt":      "",
		"/.well-known/pki-validation/a/b.txt":       "",
		"/.well-known/pki-validation/":              "",
		"http://example.com/elsewhere/fileauth.txt": "",
		"a b.txt": "",
	} {
		got, ok := filePath(ordertoken.Control{FileName: name}, token, request.FamilyDigiCert)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q, %t", name, got, ok)
		}
	}
	if got, ok := filePath(ordertoken.Control{}, token, request.FamilySectigo); !ok || got != "/.well-known/pki-validation/"+token.file() {
		t.Errorf("Sectigo without a name: %q, %t", got, ok)
	}
}

func TestSealedTokens(t *testing.T) {
	one, two := &session{settings: accountSettings{key: pluginapi.NewSecret("key-one")}}, &session{settings: accountSettings{key: pluginapi.NewSecret("key-two")}}
	token := pluginapi.NewSecret("ab12cd34ef56")
	sealed := one.seal(token)
	if bytes.Contains(sealed, []byte(token.Reveal())) {
		t.Error("it can be read")
	}
	if got, ok := one.open(sealed); !ok || got.Reveal() != token.Reveal() {
		t.Error("it cannot be opened")
	}
	for name, try := range map[string]func() (pluginapi.Secret, bool){
		"another key": func() (pluginapi.Secret, bool) { return two.open(sealed) },
		"cut off":     func() (pluginapi.Secret, bool) { return one.open(sealed[:len(sealed)-1]) },
		"nothing":     func() (pluginapi.Secret, bool) { return one.open(nil) },
		"changed": func() (pluginapi.Secret, bool) {
			return one.open(append(bytes.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1))
		},
	} {
		if got, ok := try(); ok || !got.Empty() {
			t.Errorf("%s opens it", name)
		}
	}
}

func TestReferenceFits(t *testing.T) {
	reference := referenceFor(pluginapi.OrderRequest{IdempotencyKey: strings.Repeat("a", 32)})
	if len(reference) > 35 {
		t.Errorf("%q has %d characters", reference, len(reference))
	}
}

func TestNotes(t *testing.T) {
	var n notes
	note := n.write()
	if !n.take(note) || n.take(note) || n.take("") {
		t.Error("a note counts once")
	}
	n.giveBack(note)
	n.giveBack("")
	if !n.take(note) || n.take("") {
		t.Error("what was given back counts again")
	}
}

func TestAccountSettings(t *testing.T) {
	good := pluginapi.Settings{Secrets: map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret("key\n")}}
	got, found := readAccount(good)
	if len(found) > 0 || got.key.Reveal() != "key" || got.baseURL != ordertoken.BaseURL || got.sync != 5*time.Minute || !got.linkRenewals {
		t.Errorf("%+v, %v", got, found)
	}
	for field, value := range map[string]any{
		"base_url": "http://example.com/v2", "sync_period": "0s", "requests_per_second": 100.0, "request_timeout": "1h",
		"wire_names.no_companion": map[string]any{"no_companion": "dv_auth_method"}, "wire_names.x": map[string]any{"x": "y"},
		"wire_names.issuing_ca": map[string]any{"issuing_ca": "a b"}, "wire_names.no_companion ": map[string]any{"issuing_ca": "a", "no_companion": "a"},
		"link_renewals": "yes", "unknown": "x",
	} {
		name, _, _ := strings.Cut(field, ".")
		_, found := readAccount(pluginapi.Settings{Values: map[string]any{name: value}, Secrets: good.Secrets})
		if len(found) != 1 || found[0].Field != strings.TrimSpace(field) {
			t.Errorf("%s: %+v", field, found)
		}
	}
	if _, found := readAccount(pluginapi.Settings{}); len(found) != 1 || found[0].Field != "api_key" {
		t.Errorf("no key: %+v", found)
	}
}

func TestBeforeConfigure(t *testing.T) {
	c := New(Options{})
	if _, err := c.PlaceOrder(t.Context(), pluginapi.OrderRequest{}); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
		t.Errorf("got %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte(`{"version":1,"placed":"2026-11-22T10:00:00Z","control":{"DNSValue":"x"}}`))
	f.Add(state{Bought: time.Unix(1e9, 0).UTC(), Looks: 3}.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		st := decodeState(data)
		if again := decodeState(st.encode()); again.Looks != st.Looks || again.Note != st.Note {
			t.Errorf("%+v became %+v", st, again)
		}
	})
}

func FuzzWhereThingsAre(f *testing.F) {
	f.Add("TXT", "_dnsauth.example.com", "k7x0v1c9", "fileauth.txt", "k7x0v1c9")
	f.Add("CNAME", "_x", vectorTarget+".sectigo.com", "/.well-known/pki-validation/"+vectorMD5+".txt", "a\nsectigo.com")
	f.Fuzz(func(t *testing.T, kind, name, value, file, body string) {
		c := ordertoken.Control{DNSType: kind, DNSName: name, DNSValue: value, FileName: file, FileBody: body}
		v := &view{names: request.Names{Common: "shop.example.com"}}
		for _, n := range []string{"shop.example.com", "*.example.org"} {
			v.placed.Identifiers = append(v.placed.Identifiers, pluginapi.Identifier{Value: n, Type: pluginapi.DNS})
		}
		if list, err := v.records(c); err == nil {
			for _, a := range list {
				if d := a.Challenges[0].DNS; !isDNSName(d.Name) || d.Value == "" {
					t.Errorf("publishes %+v", d)
				}
			}
		}
		if list, err := v.files(c); err == nil {
			for _, a := range list {
				if h := a.Challenges[0].HTTP; !strings.HasPrefix(h.Path, wellKnown) || strings.Contains(h.Path, "..") {
					t.Errorf("publishes %+v", h)
				}
			}
		}
	})
}
