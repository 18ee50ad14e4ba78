package servertastic

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/sandbox"
)

func TestTokenRules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	good := form{"api_key": r.s.Key(), "st_product_code": "RapidSSL-12", "end_customer_email": "ops@example.com", "reseller_unique_reference": "first"}
	r.ok("order/generatetoken", good)
	for name, c := range map[string]struct {
		changes []string
		says    string // empty: it is taken
	}{
		"another reference":      {[]string{"reseller_unique_reference", "a"}, ""},
		"nobody's address":       {[]string{"reseller_unique_reference", "b", "end_customer_email", "none"}, ""},
		"integration":            {[]string{"reseller_unique_reference", "c", "integration_source_id", "9"}, ""},
		"no names beside":        {[]string{"reseller_unique_reference", "d", "san_count", "0", "server_count", "1"}, ""},
		"names":                  {[]string{"reseller_unique_reference", "e", "st_product_code", "SectigoSSL-12", "san_count", "3", "san_wildcards", "1"}, ""},
		"servers":                {[]string{"reseller_unique_reference", "f", "st_product_code", "SecureSite-12", "server_count", "2"}, ""},
		"the same reference":     {[]string{"reseller_unique_reference", "first"}, "has been used before"},
		"no reference":           {[]string{"reseller_unique_reference", ""}, "reseller_unique_reference is required"},
		"a long reference":       {[]string{"reseller_unique_reference", strings.Repeat("x", 36)}, "longer than 35"},
		"no product":             {[]string{"st_product_code", ""}, "st_product_code is required"},
		"unknown product":        {[]string{"st_product_code", "RapidSSL-24"}, "is no product"},
		"no address":             {[]string{"end_customer_email", ""}, "end_customer_email is required"},
		"wrong address":          {[]string{"end_customer_email", "ops"}, "end_customer_email must be"},
		"names where none are":   {[]string{"san_count", "1"}, "san_count must be 0"},
		"no number":              {[]string{"san_count", "x"}, "san_count must be a number"},
		"too few names":          {[]string{"st_product_code", "QuickSSLPremiumMD-12"}, "from 4 to 4"},
		"too many names":         {[]string{"st_product_code", "TrueBizIDMD-12", "san_count", "25"}, "from 4 to 24"},
		"no wildcards":           {[]string{"st_product_code", "TrueBizIDMD-12", "san_count", "4", "san_wildcards", "1"}, "no wildcards among"},
		"guessed counter":        {[]string{"wildcard_san_count", "1"}, `"wildcard_san_count" is no parameter`},
		"too many servers":       {[]string{"server_count", "2"}, "server_count"},
		"no server":              {[]string{"st_product_code", "SecureSite-12", "server_count", "0"}, "server_count"},
		"more than there are":    {[]string{"reseller_unique_reference", "g", "st_product_code", "SecureSiteProEV-12", "server_count", "500"}, "points"},
		"several things at once": {[]string{"st_product_code", "", "end_customer_email", ""}, "required; end_customer_email is"},
	} {
		f := with(good, c.changes...)
		if c.says == "" {
			r.ok("order/generatetoken", f)
		} else if said := r.refused(400, "order/generatetoken", f); !strings.Contains(said, c.says) {
			t.Errorf("%s: %s", name, said)
		}
	}
	if n := r.count(sandbox.Purchase); n != 7 {
		t.Errorf("%d purchases", n)
	}
	l := r.s.Ledger()
	if paid := StartPoints - r.s.Points(); paid != 5*10+(30+3*10+4*10)+2*300 || l.Sum() != cents(paid) {
		t.Errorf("%d points paid, %d in the ledger", paid, l.Sum())
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *Settings) { s.ErrorStatus = "ok" })
	token := r.bought("RapidSSL-12")
	for path, secret := range map[string]string{
		"order/showtokens": "api_key", "account/review": "api_key", "account/pointsaudit": "api_key", "order/expiring": "api_key",
		"product/listproducts": "api_key", "order/generatetoken": "api_key", "account/regenerateapikey": "api_key", "order/modifiedorders": "api_key",
		"order/review": "order_token", "order/place": "order_token", "order/productfields": "order_token", "order/cancel": "order_token",
		"order/pollauth": "order_token", "order/reissue": "order_token", "order/resendemail": "order_token",
	} {
		for _, f := range []form{{}, {secret: "wrong"}, {secret: r.order(token).ID}, {"api_key": token, "order_token": r.s.Key()}} {
			if said := r.refused(401, path, f); said != "Unauthorized" {
				t.Errorf("%s: %s", path, said)
			}
		}
	}
	if n := r.count(sandbox.Purchase); n != 1 {
		t.Errorf("%d purchases", n)
	}
	old := r.s.Key()
	key := r.ok("account/regenerateapikey", form{"api_key": old})["api_key"].(string)
	r.refused(401, "order/showtokens", form{"api_key": old})
	r.ok("order/showtokens", form{"api_key": key})
	for _, c := range r.s.Calls() {
		if text, _ := json.Marshal(c); strings.Contains(string(text), token) || strings.Contains(string(text), old) {
			t.Errorf("a call remembers a secret: %s", text)
		}
	}
}

func TestPlaceRules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", 60) + ".example.com"
	type rule struct {
		changes []string
		says    string
	}
	dv := map[string]rule{
		"no method":                      {[]string{"dv_auth_method", ""}, "dv_auth_method is required"},
		"method in small letters":        {[]string{"dv_auth_method", "dns"}, "dv_auth_method must be one of EMAIL, DNS, FILE, SFILE"},
		"email without an address":       {[]string{"dv_auth_method", "EMAIL"}, "approver_email_address is required"},
		"email to anybody":               {[]string{"dv_auth_method", "EMAIL", "approver_email_address", "me@example.com"}, "none of the approver list"},
		"no CSR":                         {[]string{"csr", ""}, "csr is required"},
		"CSR without its frame":          {[]string{"csr", "MIIC"}, "csr: it does not begin with"},
		"CSR of a small key":             {[]string{"csr", csrFor(t, small, "example.com")}, "RSA key has 1024 bits"},
		"CSR of another curve":           {[]string{"csr", csrFor(t, p224, "example.com")}, "P-224"},
		"CSR without a name":             {[]string{"csr", csrFor(t, p224Good(t), "")}, "no common name"},
		"CSR of an address":              {[]string{"csr", csrFor(t, p224Good(t), "192.0.2.1")}, "no domain name"},
		"CSR of one label":               {[]string{"csr", csrFor(t, p224Good(t), "localhost")}, "no domain name"},
		"CSR of a wildcard":              {[]string{"csr", csrFor(t, p224Good(t), "*.example.com")}, "has no wildcards"},
		"CSR of a long name":             {[]string{"csr", csrFor(t, p224Good(t), long)}, "longer than 64"},
		"www switch":                     {[]string{"omit_www_twin", "yes"}, "omit_www_twin must be 0 or 1"},
		"guessed www switch":             {[]string{"no_www", "1"}, `"no_www" is no parameter`},
		"renewal switch":                 {[]string{"renewal", "true"}, "renewal must be 0 or 1"},
		"renewal without a token":        {[]string{"renewal", "1"}, "renewed_order_token is required"},
		"renewal of another's":           {[]string{"renewal", "1", "renewed_order_token", "x"}, "there is no previous order"},
		"names without a count":          {[]string{"san_domains", "a.example.com"}, "no additional names"},
		"no first name":                  {[]string{"tech_contact_first_name", ""}, "tech_contact_first_name is required"},
		"blank last name":                {[]string{"admin_contact_last_name", "  "}, "admin_contact_last_name is required"},
		"no real person":                 {[]string{"admin_contact_last_name", "Team 7"}, "real person"},
		"no telephone":                   {[]string{"tech_contact_phone", ""}, "tech_contact_phone is required"},
		"telephone with more":            {[]string{"tech_contact_phone", "+44 20"}, "must be digits alone"},
		"no address of a person":         {[]string{"admin_contact_email", "ada"}, "admin_contact_email must be an email address"},
		"no title":                       {[]string{"admin_contact_title", ""}, "admin_contact_title is required"},
		"organization on DV":             {[]string{"org_name", "Example"}, `"org_name" is no parameter`},
		"unknown issuing CA":             {[]string{"intermediate_choice", "x"}, "intermediate_choice must be one of"},
		"Sectigo's field":                {[]string{"subscriber_email", "a@example.com"}, "is no parameter"},
		"typing error":                   {[]string{"dv_auth_methods", "DNS"}, "is no parameter"},
		"approver is of no use with DNS": {[]string{"approver_email_address", "admin@example.com"}, ""},
		"lower line ends":                {[]string{"csr", strings.ReplaceAll(csrFor(t, p224Good(t), "example.com"), "\n", "\r\n")}, ""},
		"by file":                        {[]string{"dv_auth_method", "FILE"}, ""},
		"by file over HTTPS":             {[]string{"dv_auth_method", "SFILE"}, ""},
		"issuing CA":                     {[]string{"intermediate_choice", issuerECC}, ""},
		"switches at 0":                  {[]string{"omit_www_twin", "0", "renewal", "0"}, ""},
		"token without a renewal":        {[]string{"renewed_order_token", "x"}, ""},
	}
	check := func(product, name string, sans []string, rules map[string]rule) {
		t.Helper()
		token := ""
		for about, c := range rules {
			if token == "" || r.order(token).Placed {
				token = r.bought(product, sans...)
			}
			f := with(r.placement(token, name), c.changes...)
			if c.says == "" {
				r.ok("order/place", f)
			} else if said := r.refused(400, "order/place", f); !strings.Contains(said, c.says) {
				t.Errorf("%s: %s: %s", product, about, said)
			}
		}
	}
	check("RapidSSL-12", "example.com", nil, dv)
	check("RapidSSLWildcard-12", "*.example.com", nil, map[string]rule{
		"no wildcard": {[]string{"csr", csrFor(t, p224Good(t), "example.com")}, "must be a wildcard"},
		"by file":     {[]string{"dv_auth_method", "FILE"}, "dv_auth_method must be one of EMAIL, DNS"},
	})
	check("PositiveSSL-12", "example.com", nil, map[string]rule{
		"first field":    {[]string{"subscriber_email", ""}, "subscriber_email is required"},
		"second field":   {[]string{"subscriber_phone", ""}, "subscriber_phone is required"},
		"issuing CA":     {[]string{"intermediate_choice", issuerECC}, "is no parameter"},
		"previous token": {[]string{"renewed_order_token", "x"}, "is no parameter"},
		"good":           {nil, ""},
	})
	check("SSL123-12", "example.com", nil, map[string]rule{"issuing CA": {[]string{"intermediate_choice", issuerECC}, "is no parameter"}})
	check("SectigoSSL-12", "example.com", []string{"san_count", "2", "san_wildcards", "1"}, map[string]rule{
		"none":           {nil, "san_domains is required"},
		"three":          {[]string{"san_domains", "a.example.com, B.example.com,*.example.org"}, ""},
		"fewer":          {[]string{"san_domains", "a.example.com"}, ""},
		"too many":       {[]string{"san_domains", "a.example.com,b.example.com,c.example.com"}, "3 names; the token is for 2"},
		"two wildcards":  {[]string{"san_domains", "*.a.example.com,*.b.example.com"}, "2 wildcards; the token is for 1"},
		"twice":          {[]string{"san_domains", "a.example.com,A.example.com"}, "without it"},
		"the companion":  {[]string{"san_domains", "www.example.com"}, "without it"},
		"an address":     {[]string{"san_domains", "192.0.2.1"}, "is an address"},
		"no name":        {[]string{"san_domains", "a.example.com,"}, "is not a domain name"},
		"other divider":  {[]string{"san_domains", "a.example.com;b.example.com"}, "is not a domain name"},
		"wildcard, file": {[]string{"san_domains", "*.example.org", "dv_auth_method", "FILE"}, "a file does not prove the wildcard"},
		"www as a name":  {[]string{"omit_www_twin", "1", "san_domains", "www.example.com"}, ""},
	})
	ev := map[string]rule{"good": {nil, ""}, "no country": {[]string{"org_address_country", "UK"}, "org_address_country must be one of"}}
	for _, name := range []string{
		"tech_contact_organisation_name", "tech_contact_address_line1", "tech_contact_address_city", "tech_contact_address_region",
		"tech_contact_address_post_code", "tech_contact_address_country", "admin_contact_organisation_name", "admin_contact_address_country",
		"org_name", "org_jurisdiction_city", "org_jurisdiction_region", "org_jurisdiction_country", "org_address_line1", "org_address_city",
		"org_address_region", "org_address_postal_code", "org_address_country", "org_address_phone",
	} {
		ev[name] = rule{[]string{name, ""}, name + " is required"}
	}
	for _, name := range []string{"org_duns", "org_division", "org_incorporating_agency", "org_registration_number", "org_address_line2", "org_address_line3", "tech_contact_address_line2"} {
		ev[name] = rule{[]string{name, "x"}, ""}
	}
	check("TrueBizIDEV-12", "example.com", nil, ev)
}

// p224Good is a key that is allowed, for requests that are refused for something else.
func p224Good(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	return newKey(t).(*ecdsa.PrivateKey)
}

func TestPlaceOnlyOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	token := r.bought("RapidSSL-12")
	f := r.placement(token, "example.com")
	r.ok("order/place", f)
	if said := r.refused(400, "order/place", f); !strings.Contains(said, "has been placed") || r.count(Placed) != 1 {
		t.Errorf("again: %s", said)
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	token := r.bought("RapidSSL-12")
	f := r.placement(token, "example.com")
	r.refusedBy(400, http.MethodGet, "order/place", f) // a CSR must be POSTed
	r.refusedBy(405, http.MethodPost, "order/review", form{"order_token": token})
	r.refusedBy(405, http.MethodGet, "order/reissue", form{"order_token": token})
	r.refused(404, "order/nothing", form{"order_token": token})
	values := url.Values{}
	for name, value := range f {
		values.Set(name, value)
	}
	for name, c := range map[string]struct{ path, kind, body string }{
		"JSON":          {"order/place.json", "application/json", `{"order_token":"` + token + `"}`},
		"no type":       {"order/place.json", "", values.Encode()},
		"twice":         {"order/place.json", formType, values.Encode() + "&renewal=0&renewal=0"},
		"in both":       {"order/place.json?order_token=" + token, formType, values.Encode()},
		"not encoded":   {"order/place.json", formType, "order_token=%zz"},
		"semicolons":    {"order/place.json", formType, "order_token=a;csr=b"},
		"not UTF-8":     {"order/place.json", formType, values.Encode() + "&x=%ff"},
		"control":       {"order/place.json", formType, values.Encode() + "&x=%00"},
		"nameless":      {"order/place.json", formType, values.Encode() + "&=x"},
		"too long":      {"order/place.json", formType, values.Encode() + "&x=" + strings.Repeat("x", mostValue+1)},
		"much too long": {"order/place.json", formType, strings.Repeat("x", mostRequest+1)},
		"no suffix":     {"order/place", formType, values.Encode()},
		"XML":           {"order/place.xml", formType, values.Encode()},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+BasePath+"/"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.kind != "" {
			req.Header.Set("Content-Type", c.kind)
		}
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("%s: status %d", name, resp.StatusCode)
		}
	}
	if r.count(Placed) != 0 {
		t.Error("placed")
	}
	// In the URL of a POST it works, and is remarked upon.
	delete(values, "order_token")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+BasePath+"/order/place.json?order_token="+token, strings.NewReader(values.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", formType)
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	calls := r.s.Calls()
	if last := calls[len(calls)-1]; resp.StatusCode != http.StatusOK || !strings.Contains(strings.Join(last.Remarks, " "), "in its URL") {
		t.Errorf("status %d: %+v", resp.StatusCode, last)
	}
}

// Without a CSR the service makes the key.
func TestServiceMakesTheKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	token := r.bought("RapidSSL-12")
	r.refused(400, "order/place", with(r.placement(token, "example.com"), "csr", "", "domain_name", "example"))
	v := r.ok("order/place", with(r.placement(token, "example.com"), "csr", "", "domain_name", "example.com"))
	if !strings.Contains(v["private_key"].(string), "PRIVATE KEY") || !strings.Contains(v["csr"].(string), "REQUEST") {
		t.Errorf("placed: %v", v)
	}
	r.prove(token)
	again := r.ok("order/reissue", form{"order_token": token})
	if !strings.Contains(again["private_key"].(string), "PRIVATE KEY") {
		t.Errorf("reissue: %v", again)
	}
	if v := r.ok("order/decodecsr", form{"order_token": token, "csr": again["csr"].(string)}); v["DomainName"] != "example.com" {
		t.Errorf("decoded: %v", v)
	}
	if v := r.ok("order/decodecsr", form{"order_token": token, "csr": "x"}); v["QueryResponseHeader"].(obj)["SuccessCode"] != -1.0 {
		t.Errorf("decoded: %v", v)
	}
}

// What productfields tells is what place takes.
func TestProductFieldsTellWhatPlaceWants(t *testing.T) {
	t.Parallel()
	names := Names{"keep_bare_www_off", "old_token", "one", "two", "ca_cert", "wild"}
	r := newRig(t, func(s *Settings) { s.Names, s.ExtraField = names, "brand_new" })
	for _, p := range products() {
		token := r.bought(p.Code, "san_count", map[bool]string{true: "4", false: "0"}[p.MostSANs > 0])
		var list []any
		r.decode("order/productfields", form{"order_token": token}, &list)
		if list[0] != p.Code || list[1] != p.Name {
			t.Errorf("%s: %v", p.Code, list[:2])
		}
		told := map[string]obj{}
		for _, one := range list[2:] {
			for name, v := range one.(obj) {
				told[name] = v.(obj)
			}
		}
		f := r.placement(token, map[bool]string{true: "*.example.com", false: "example.com"}[p.Wildcard])
		if p.Family == familySectigo {
			delete(f, "subscriber_email")
			delete(f, "subscriber_phone")
			f["one"], f["two"] = "a@example.com", "15550100"
		}
		f["brand_new"] = "x"
		if p.MostSANs > 0 {
			f["san_domains"] = "a.example.com"
		}
		for name := range f {
			if told[name] == nil {
				t.Errorf("%s: productfields does not tell %s", p.Code, name)
			}
		}
		for name, v := range told {
			if v["required"] == 1.0 && f[name] == "" {
				t.Errorf("%s: %s is required, and place does not want it", p.Code, name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(f)) {
			required := told[name] != nil && told[name]["required"] == 1.0
			if required && name != "order_token" {
				if said := r.refused(400, "order/place", with(f, name, "")); !strings.Contains(said, name+" is required") {
					t.Errorf("%s without %s: %s", p.Code, name, said)
				}
			}
		}
		has := func(name string) bool { return told[name] != nil }
		if has("old_token") != (p.Family == familyDigiCert) || has("one") != (p.Family == familySectigo) || has("ca_cert") != p.choosesIssuer() || !has("keep_bare_www_off") || has("org_name") != p.vetted() {
			t.Errorf("%s: %v", p.Code, told)
		}
		r.ok("order/place", f)
	}
}

func TestLoosePlaceTakesUnknownParameters(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *Settings) { s.Strict = false })
	token := r.bought("RapidSSL-12", "nonsense", "1")
	r.ok("order/place", with(r.placement(token, "example.com"), "typing_error", "1"))
	calls := r.s.Calls()
	if last := calls[len(calls)-1]; !strings.Contains(strings.Join(last.Remarks, " "), `"typing_error" is not known`) {
		t.Errorf("%+v", last)
	}
}

func FuzzDecodeForm(f *testing.F) {
	f.Add("order_token=a", "csr=-----BEGIN&x=%0A")
	f.Add("a=1&a=2", "")
	f.Add("", "%zz=;")
	f.Add("a=%ff", "b=%00&=c")
	f.Fuzz(func(t *testing.T, query, body string) {
		got, err := decodeForm(query, body)
		if err != nil {
			return
		}
		values, err := url.ParseQuery(query + "&" + body)
		if err != nil {
			return // one part ends in the midst of an escape
		}
		for name, value := range got {
			if len(values[name]) != 1 || values[name][0] != value {
				t.Errorf("%q is %q, elsewhere %q", name, value, values[name])
			}
		}
	})
}
