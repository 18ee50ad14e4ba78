package digicert

import (
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

func TestSettings(t *testing.T) {
	key := map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret("ABC123")}
	for name, c := range map[string]struct {
		values map[string]any
		keys   map[string]pluginapi.Secret
		field  string // at fault; empty: none
	}{
		"the key alone":        {nil, key, ""},
		"everything":           {map[string]any{"base_url": certcentral.BaseEU + "/", "organization_id": int64(5), "container_id": 6.0, "skip_approval": true, "link_renewals": false, "requests_per_second": 2.5, "request_timeout": "90s"}, key, ""},
		"no key":               {nil, nil, "api_key"},
		"an empty key":         {nil, map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret("")}, "api_key"},
		"a key of two lines":   {nil, map[string]pluginapi.Secret{"api_key": pluginapi.NewSecret("a\nb")}, "api_key"},
		"the key as plain":     {map[string]any{"api_key": "ABC"}, nil, "api_key"},
		"http":                 {map[string]any{"base_url": "http://www.digicert.com/services/v2"}, key, "base_url"},
		"http to this machine": {map[string]any{"base_url": "http://127.0.0.1:8080/services/v2"}, key, ""},
		"http to ::1":          {map[string]any{"base_url": "http://[::1]:8080/services/v2"}, key, ""},
		"no address":           {map[string]any{"base_url": "digicert"}, key, "base_url"},
		"a password in it":     {map[string]any{"base_url": "https://u:p@www.digicert.com/"}, key, "base_url"},
		"a query in it":        {map[string]any{"base_url": "https://www.digicert.com/?a=b"}, key, "base_url"},
		"ftp":                  {map[string]any{"base_url": "ftp://www.digicert.com/"}, key, "base_url"},
		"too fast":             {map[string]any{"requests_per_second": 50}, key, "requests_per_second"},
		"stopped":              {map[string]any{"requests_per_second": 0.0}, key, "requests_per_second"},
		"too patient":          {map[string]any{"request_timeout": "1h"}, key, "request_timeout"},
		"no duration":          {map[string]any{"request_timeout": "soon"}, key, "request_timeout"},
		"a negative id":        {map[string]any{"organization_id": int64(-1)}, key, "organization_id"},
		"an id as text":        {map[string]any{"organization_id": "5"}, key, "organization_id"},
		"an unknown name":      {map[string]any{"organisation_id": int64(5)}, key, "organisation_id"},
	} {
		t.Run(name, func(t *testing.T) {
			_, found := readAccount(pluginapi.Settings{Values: c.values, Secrets: c.keys})
			var fields []string
			for _, f := range found {
				fields = append(fields, f.Field)
			}
			if c.field == "" && len(found) > 0 || c.field != "" && !slices.Contains(fields, c.field) {
				t.Errorf("got %v, want a fault of %q", found, c.field)
			}
		})
	}
}

func TestChooseMethod(t *testing.T) {
	const dns, http = pluginapi.ChallengeDNS, pluginapi.ChallengeHTTP
	id := func(name string, types ...pluginapi.ChallengeType) pluginapi.Identifier {
		return pluginapi.Identifier{Value: name, Type: pluginapi.DNS, ChallengeTypes: types}
	}
	for name, c := range map[string]struct {
		set         string
		validation  string
		identifiers []pluginapi.Identifier
		want        string // empty: refused
	}{
		"nothing known":                 {"", request.DV, []pluginapi.Identifier{id("a.example")}, request.MethodTXT},
		"both, dns first":               {"", request.DV, []pluginapi.Identifier{id("a.example", dns, http)}, request.MethodTXT},
		"both, files first":             {"", request.DV, []pluginapi.Identifier{id("a.example", http, dns)}, request.MethodHTTP},
		"files alone":                   {"", request.DV, []pluginapi.Identifier{id("a.example", http)}, request.MethodHTTP},
		"files first, a wildcard":       {"", request.DV, []pluginapi.Identifier{id("a.example", http, dns), id("*.a.example", dns)}, request.MethodTXT},
		"each another":                  {"", request.DV, []pluginapi.Identifier{id("a.example", http), id("b.example", dns)}, ""},
		"each another, OV":              {"", request.OV, []pluginapi.Identifier{id("a.example", http), id("b.example", dns)}, request.MethodTXT},
		"a common one":                  {"", request.DV, []pluginapi.Identifier{id("a.example", http, dns), id("b.example", dns)}, request.MethodTXT},
		"a wildcard and no records":     {"", request.DV, []pluginapi.Identifier{id("*.a.example", http)}, ""},
		"set":                           {request.MethodCNAME, request.DV, []pluginapi.Identifier{id("a.example", http)}, request.MethodCNAME},
		"set to files with a wildcard":  {request.MethodHTTP, request.OV, []pluginapi.Identifier{id("*.a.example", dns)}, ""},
		"set to what is not understood": {request.MethodHTTPDynamic, request.OV, []pluginapi.Identifier{id("a.example", http)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := pluginapi.Settings{Values: map[string]any{}}
			if c.set != "" {
				s.Values["dcv_method"] = c.set
			}
			got, err := chooseMethod(s, c.validation, c.identifiers)
			if got != c.want || (err != nil) != (c.want == "") {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
			if err != nil && pluginapi.KindOf(err) != pluginapi.InvalidRequest {
				t.Errorf("kind %s", pluginapi.KindOf(err))
			}
		})
	}
}

func TestCommonName(t *testing.T) {
	long := strings.Repeat("a", 60) + ".example"
	for _, c := range []struct {
		product string
		names   []string
		want    string
	}{
		{"ssl_basic", []string{"a.example", "b.example"}, "a.example"},
		{"ssl_basic", []string{long, "b.example"}, "b.example"},
		{"wildcard_dv_geotrust", []string{"a.example", "*.a.example"}, "*.a.example"},
		{"ssl_basic", []string{"a.example", "*.a.example"}, "a.example"},
		{"ssl_basic", []string{long}, ""},
	} {
		if got, err := commonName(c.product, c.names); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s %v: got %q, %v", c.product, c.names, got, err)
		}
	}
}

func TestReferences(t *testing.T) {
	for text, good := range map[string]bool{"900100200": true, "0": false, "-5": false, "007": false, "": false, "../1": false, "1/2": false, "+5": false, "99999999999999999999": false} {
		id, err := orderID(text)
		if (err == nil) != good || good && reference(id) != text {
			t.Errorf("%q: got %d, %v", text, id, err)
		}
		if !good && pluginapi.KindOf(err) != pluginapi.NotFound {
			t.Errorf("%q: kind %s", text, pluginapi.KindOf(err))
		}
	}
}

// With a key that is kept, every generation of an order has the same request: the youngest after the previous is ours.
func TestOwnCertificate(t *testing.T) {
	key := cadrive.NewKey(t)
	csr := cadrive.NewCSR(t, key, false, "a.example")
	other := cadrive.NewCSR(t, cadrive.NewKey(t), false, "a.example")
	sameKeyOtherNames := cadrive.NewCSR(t, key, false, "a.example", "b.example")
	leaf := cadrive.SelfSigned(t, key, "a.example", 0x22, time.Now())
	text := func(der []byte) certcentral.Text {
		return certcentral.Text(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	}
	day := func(n int) certcentral.Time {
		return certcentral.Time{Time: time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC)}
	}
	g1 := certcentral.Certificate{ID: 1, Serial: "11", CSR: text(csr), DateCreated: day(1), Status: "issued"}
	g2 := certcentral.Certificate{ID: 2, Serial: "22", CSR: text(csr), DateCreated: day(2), Status: "issued"}
	for name, c := range map[string]struct {
		list []certcentral.Certificate
		want certcentral.ID
	}{
		"none":                               {nil, 0},
		"only the earlier ones":              {[]certcentral.Certificate{g1, g2}, 0},
		"a younger one":                      {[]certcentral.Certificate{g1, g2, {ID: 3, CSR: text(csr), DateCreated: day(3)}}, 3},
		"in another order":                   {[]certcentral.Certificate{{ID: 3, CSR: text(csr), DateCreated: day(3)}, g2, g1}, 3},
		"of the same second, a later number": {[]certcentral.Certificate{g2, {ID: 3, CSR: text(csr), DateCreated: day(2)}}, 3},
		"without dates":                      {[]certcentral.Certificate{g2, {ID: 3, CSR: text(csr)}}, 3},
		"another's":                          {[]certcentral.Certificate{g2, {ID: 3, CSR: text(other), DateCreated: day(3)}}, 0},
		"without its request":                {[]certcentral.Certificate{g2, {ID: 3, DateCreated: day(3)}}, 0},
		"for other names":                    {[]certcentral.Certificate{g2, {ID: 3, CSR: text(sameKeyOtherNames), DateCreated: day(3)}}, 0},
		"canceled":                           {[]certcentral.Certificate{g2, {ID: 3, CSR: text(csr), DateCreated: day(3), Status: "canceled"}}, 0},
		"canceled, and again":                {[]certcentral.Certificate{g2, {ID: 3, CSR: text(csr), DateCreated: day(3), Status: "rejected"}, {ID: 4, CSR: text(csr), DateCreated: day(4)}}, 4},
		"the request in one line":            {[]certcentral.Certificate{{ID: 3, CSR: certcentral.Text(strings.ReplaceAll(string(text(csr)), "\n", "")), DateCreated: day(3)}}, 3},
		"the request without its lines":      {[]certcentral.Certificate{{ID: 3, CSR: certcentral.Text(base64.StdEncoding.EncodeToString(csr)), DateCreated: day(3)}}, 3},
		"the same key, signed once more":     {[]certcentral.Certificate{{ID: 3, CSR: text(cadrive.NewCSR(t, key, false, "a.example")), DateCreated: day(3)}}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			order := pluginapi.OrderRequest{CSR: csr, Previous: &pluginapi.PreviousOrder{Reference: "5", Chain: [][]byte{leaf.Raw}}}
			got, found := ownCertificate(c.list, order)
			if got.ID != c.want || found != (c.want != 0) {
				t.Errorf("got %d, want %d", got.ID, c.want)
			}
		})
	}
}

func TestNamesToShow(t *testing.T) {
	v := &view{placed: pluginapi.PlacedOrder{OrderRequest: pluginapi.OrderRequest{Identifiers: []pluginapi.Identifier{{Value: "*.a.example"}, {Value: "A.example"}}}}}
	names := func(scope, status string, hosts ...certcentral.Text) certcentral.NameValidation {
		return certcentral.NameValidation{Scope: certcentral.Text(scope), Status: certcentral.Text(status), DNSNames: hosts}
	}
	for title, c := range map[string]struct {
		status []certcentral.NameValidation
		method string
		want   []nameToShow
	}{
		"DigiCert says nothing":    {nil, request.MethodTXT, []nameToShow{{"a.example", false, false}}},
		"records at the scope":     {[]certcentral.NameValidation{names("example.com", "pending", "www.example.com", "example.com")}, request.MethodTXT, []nameToShow{{"example.com", false, false}}},
		"files at each host":       {[]certcentral.NameValidation{names("example.com", "pending", "www.example.com", "example.com")}, request.MethodHTTP, []nameToShow{{"www.example.com", false, true}, {"example.com", false, true}}},
		"one is valid":             {[]certcentral.NameValidation{names("a.example", "approved", "a.example"), names("b.example", "pending", "b.example")}, request.MethodTXT, []nameToShow{{"a.example", true, true}, {"b.example", false, true}}},
		"a wildcard's scope":       {[]certcentral.NameValidation{names("*.A.example.", "pending", "*.a.example")}, request.MethodTXT, []nameToShow{{"a.example", false, false}}},
		"twice, one of them valid": {[]certcentral.NameValidation{names("a.example", "valid"), names("*.a.example", "pending")}, request.MethodTXT, []nameToShow{{"a.example", false, true}}},
		"no scope":                 {[]certcentral.NameValidation{names("", "pending", "a.example")}, request.MethodTXT, []nameToShow{{"a.example", false, true}}},
		"no name at all":           {[]certcentral.NameValidation{names("../etc/passwd", "pending"), names("b.example", "pending")}, request.MethodTXT, []nameToShow{{"b.example", false, true}}},
	} {
		t.Run(title, func(t *testing.T) {
			if got := namesToShow(v, certcentral.Validation{Names: c.status}, c.method); !slices.Equal(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestCoverageEnd(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2027-11-20":                time.Date(2027, 11, 20, 23, 59, 59, 0, time.UTC),
		"2027-11-20T10:00:00+00:00": time.Date(2027, 11, 20, 10, 0, 0, 0, time.UTC),
		"":                          {},
	} {
		var o certcentral.Order
		_ = o.OrderValidTill.UnmarshalJSON([]byte(`"` + text + `"`))
		if got := coverageEnd(o); !got.Equal(want) {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// What the settings ask a certificate to last for is compared with what DigiCert gave.
func TestLifetimeWords(t *testing.T) {
	key := cadrive.NewKey(t)
	leaf := cadrive.SelfSigned(t, key, "a.example", 1, time.Now()) // a day
	for name, c := range map[string]struct {
		validity map[string]any
		warn     bool
	}{
		"nothing asked":   {nil, false},
		"a day":           {map[string]any{"days": int64(1)}, false},
		"more days":       {map[string]any{"days": float64(199)}, true},
		"a year":          {map[string]any{"years": int64(1)}, true},
		"a date":          {map[string]any{"custom_expiration_date": "09 JUN 2099"}, true},
		"a date nearby":   {map[string]any{"custom_expiration_date": time.Now().Format("02 Jan 2006")}, false},
		"no date":         {map[string]any{"custom_expiration_date": "soon"}, false},
		"date over years": {map[string]any{"custom_expiration_date": time.Now().Format("02 Jan 2006"), "years": int64(1)}, false},
	} {
		v := &view{settings: pluginapi.Settings{Values: map[string]any{"certificate": map[string]any{"cert_validity": c.validity}}}}
		if words := lifetimeWords(v, leaf.Raw); (words != "") != c.warn {
			t.Errorf("%s: got %q", name, words)
		}
	}
}

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte(`{"version":1,"certificate_id":5,"value":"x","expires":"2026-12-21T10:15:00Z"}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte("\x00garbage{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		st := decodeState(data)
		if st.Version != stateVersion {
			t.Fatalf("version %d", st.Version)
		}
		if again := decodeState(st.encode()); !again.Placed.Equal(st.Placed) || again.Value != st.Value && !strings.ContainsRune(st.Value, '\ufffd') {
			t.Fatalf("%+v became %+v", st, again)
		}
	})
}

func FuzzDecodeCSR(f *testing.F) {
	der := cadrive.NewCSR(f, cadrive.NewKey(f), false, "a.example")
	f.Add(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})))
	f.Add("-----BEGIN NEW CERTIFICATE REQUEST-----AAAA-----END NEW CERTIFICATE REQUEST-----")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		order := pluginapi.OrderRequest{CSR: der}
		c := certcentral.Certificate{CSR: certcentral.Text(text)}
		if ownCSR(c, order) && len(decodeCSR(text)) == 0 {
			t.Fatal("an unreadable request is ours")
		}
	})
}
