package servertastic

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

func TestTokenAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := form{"api_key": r.s.Key(), "st_product_code": "RapidSSL-12", "end_customer_email": "none", "reseller_unique_reference": "a"}
	first := r.ok("order/generatetoken", f)
	if first["reseller_order_id"] == "" || first["review_url"] == nil || first["product_code"] != nil {
		t.Errorf("reference: %v", first)
	}
	for _, c := range []struct {
		mode   string
		same   bool
		bought int
	}{{"token", true, 1}, {"allow", false, 2}} {
		r.direct(http.StatusOK, "PATCH", "settings", `{"token_answer":"product","duplicate_reference":"`+c.mode+`"}`)
		v := r.ok("order/generatetoken", f)
		if (v["order_token"] == first["order_token"]) != c.same || v["product_code"] != "RapidSSL-12" || v["reseller_order_id"] != nil {
			t.Errorf("%s: %v", c.mode, v)
		}
		if n := r.count(sandbox.Purchase); n != c.bought {
			t.Errorf("%s: %d purchases", c.mode, n)
		}
	}
}

// The guard against two orders holds against two programs that order at the same time.
func TestReferencesHoldAgainstARace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := form{"api_key": r.s.Key(), "st_product_code": "RapidSSL-12", "end_customer_email": "none", "reseller_unique_reference": "a"}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if _, _, err := r.raw(http.MethodGet, "order/generatetoken", f); err != nil {
				t.Error(err)
			}
			if _, _, err := r.raw(http.MethodGet, "order/showtokens", f); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := r.count(sandbox.Purchase); n != 1 {
		t.Errorf("%d purchases", n)
	}
}

func TestErrorsWithStatus200(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string][]int{"mirror": {400, 400, 400}, "ok": {200, 200, 200}, "mixed": {400, 200, 400}} {
		r := newRig(t, func(s *Settings) { s.ErrorStatus = mode })
		for _, status := range want {
			r.refused(status, "order/approverlist", form{"domain_name": "x"})
		}
	}
}

func TestLayouts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	token := r.issued("RapidSSL-12", "example.com")
	r.ok("order/reissue", form{"order_token": token, "csr": csrFor(t, newKey(t), "example.com")})
	r.prove(token)
	other := r.bought("RapidSSL-12")
	r.direct(http.StatusOK, "PATCH", "settings", `{"layout":"flat","empty":"null"}`)
	v := r.review(token)
	if len(leaves(t, v["certificate"])) != 1 || len(leaves(t, v["reissued_certificates"])) != 1 || v["expiry_date"] == nil || v["certificate_list"] != nil {
		t.Errorf("flat: %v", v)
	}
	if infos := v["ca_certs"].(obj)["certificate_info"].([]any); len(infos) != 2 || infos[0].(obj)["type"] != "INTERMEDIATE" || infos[1].(obj)["type"] != "ROOT" {
		t.Errorf("flat: %v", infos)
	}
	block, _ := pem.Decode([]byte(v["pkcs7"].(string)))
	leaf := leaves(t, v["certificate"])[0]
	if block == nil || block.Type != "PKCS7" || !bytes.Contains(block.Bytes, leaf.Raw) {
		t.Error("flat: no PKCS#7 bundle with the certificate")
	}
	if v := r.review(other); v["domain_name"] != nil {
		t.Errorf("null for nothing: %v", v)
	} else if _, there := v["domain_name"]; !there {
		t.Errorf("null for nothing: %v", v)
	}
	r.direct(http.StatusOK, "PATCH", "settings", `{"layout":"list","empty":"missing","certificate_key":"cert","expiration":"order","single_object":true,"no_issuers":true,"stray_certificate":true}`)
	v = r.review(token)
	list := v["certificate_list"].([]any)
	if len(list) != 3 || list[0].(obj)["cert"] == nil || list[0].(obj)["ca_certs"] != nil {
		t.Errorf("list: %v", v)
	}
	if end := r.order(token).Until.UTC().Format(stampForm); list[1].(obj)["expiration_date"] != end {
		t.Errorf("list: %v, want %v", list[1], end)
	}
	if stray := leaves(t, list[0])[0]; slices.ContainsFunc(r.order(token).Certificates, func(c CertificateSummary) bool { return c.Serial == sandbox.Serial(stray) }) {
		t.Error("list: the stray certificate is one of the order")
	}
	if _, there := r.review(other)["domain_name"]; there {
		t.Error("missing for nothing: it is there")
	}
	r.direct(http.StatusOK, "PATCH", "settings", `{"stray_certificate":false,"expiration":"null","no_certificates":"null"}`)
	if list := r.review(token)["certificate_list"].([]any); list[0].(obj)["expiration_date"] != nil {
		t.Errorf("list: %v", list)
	}
	if v, there := r.review(other)["certificate_list"]; v != nil || !there {
		t.Errorf("no certificates: %v", v)
	}
	r.direct(http.StatusOK, "PATCH", "settings", `{"no_certificates":"list"}`)
	if v, _ := r.review(other)["certificate_list"].([]any); v == nil || len(v) != 0 {
		t.Errorf("no certificates: %v", v)
	}
	single := r.issued("RapidSSL-12", "example.org")
	if _, object := r.review(single)["certificate_list"].(obj); !object {
		t.Error("one certificate is no object")
	}
}

func TestFormsOfValues(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	record, file := r.bought("RapidSSL-12"), r.bought("RapidSSL-12")
	r.ok("order/place", r.placement(record, "www.example.com"))
	r.ok("order/place", with(r.placement(file, "example.com"), "dv_auth_method", methodFile))
	for change, want := range map[string]string{
		`{"record_name":"full"}`:     "_dnsauth.example.com",
		`{"record_name":"dot"}`:      "_dnsauth.example.com.",
		`{"record_name":"relative"}`: "_dnsauth",
	} {
		r.direct(http.StatusOK, "PATCH", "settings", change)
		if got := r.review(record)["dv_auth_dns_name"]; got != want {
			t.Errorf("%s: %v", change, got)
		}
	}
	for change, want := range map[string]string{
		`{"file_name":"path"}`: "/.well-known/pki-validation/fileauth.txt",
		`{"file_name":"bare"}`: "fileauth.txt",
		`{"file_name":"url"}`:  "http://example.com/.well-known/pki-validation/fileauth.txt",
	} {
		r.direct(http.StatusOK, "PATCH", "settings", change)
		if got := r.review(file)["dv_auth_file_name"]; got != want {
			t.Errorf("%s: %v", change, got)
		}
	}
	r.direct(http.StatusOK, "PATCH", "settings", `{"place_tells_names":true,"old_value_keys":true}`)
	token := r.bought("RapidSSL-12")
	if v := r.ok("order/place", r.placement(token, "example.net")); v["dv_auth_dns_string"] == nil || v["dns_string"] != nil || v["dv_auth_dns_name"] == nil {
		t.Errorf("placed: %v", v)
	}
}

func TestReissueSettings(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	token := r.bought("SectigoSSL-12", "san_count", "1")
	r.ok("order/place", with(r.placement(token, "example.com"), "san_domains", "a.example.com"))
	r.prove(token)
	r.direct(http.StatusOK, "PATCH", "settings", `{"reissue_sans":true,"second_reissue":"refuse","reissue_status":"waiting"}`)
	r.ok("order/reissue", form{"order_token": token, "csr": csrFor(t, newKey(t), "example.com"), "san_domains": "b.example.com"})
	if v := r.review(token); v["order_status"] != statusWaiting {
		t.Errorf("under way: %v", v["order_status"])
	}
	r.refused(400, "order/reissue", form{"order_token": token, "csr": csrFor(t, newKey(t), "example.com")})
	v := r.prove(token)
	if names := leaves(t, v["certificate_list"].([]any)[0])[0].DNSNames; !slices.Equal(names, []string{"example.com", "www.example.com", "b.example.com"}) || v["additional_sans"] != "b.example.com" {
		t.Errorf("secured %v: %v", names, v["additional_sans"])
	}
	r.ok("order/reissue", form{"order_token": token, "csr": csrFor(t, newKey(t), "example.com")})
	if v := r.prove(token); !slices.Contains(leaves(t, v["certificate_list"].([]any)[0])[0].DNSNames, "b.example.com") {
		t.Errorf("a reissue forgets a name: %v", v)
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, wrong := range []string{
		`{"token_answer":"x"}`, `{"layout":"x"}`, `{"products":["x"]}`, `{"names":{"issuing_ca":""}}`, `{"names":{"issuing_ca":"a b"}}`,
		`{"names":{"issuing_ca":"omit_www_twin"}}`, `{"sync_lag":"-1s"}`, `{"unique_value":"a b"}`, `{"extra_field":"-"}`, `{"typing":1}`, `{"strict":"x"}`,
	} {
		r.direct(400, "PATCH", "settings", wrong)
	}
	settings := r.s.settings()
	want := DefaultSettings()
	want.SyncLag, want.ErrorStatus = 0, "mirror"
	a, _ := json.Marshal(settings)
	if b, _ := json.Marshal(want); !bytes.Equal(a, b) {
		t.Errorf("a refused change was made: %s", a)
	}
	bad := DefaultSettings()
	bad.Names.PreviousToken = ""
	if _, err := New(Options{Settings: &bad}); err == nil {
		t.Error("made with wrong settings")
	}
	// Every setting of the JSON form can be changed by the rehearsal's calls.
	var all map[string]json.RawMessage
	if err := json.Unmarshal(a, &all); err != nil {
		t.Fatal(err)
	}
	for name, value := range all {
		r.direct(http.StatusOK, "PATCH", "settings", `{"`+name+`":`+string(value)+`}`)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	key := form{"api_key": r.s.Key()}
	empty := r.ok("order/showtokens", key)
	if list := empty["unused_tokens"].(obj)["order_token"].([]any); len(list) != 0 {
		t.Errorf("tokens: %v", list)
	}
	issued := r.issued("RapidSSL-12", "example.com")
	unused := r.bought("PositiveSSL-12")
	v := r.ok("order/showtokens", key)
	first := func(v any, names ...string) obj {
		for _, name := range names {
			v = v.(obj)[name]
		}
		if list, ok := v.([]any); ok {
			return list[0].(obj)
		}
		return v.(obj)
	}
	if one := first(v, "unused_tokens", "order_token"); one["token"] != unused || one["reseller_unique_reference"] != "ref-2" {
		t.Errorf("unused: %v", one)
	}
	if one := first(v, "used_tokens", "order_token"); one["token"] != issued {
		t.Errorf("used: %v", one)
	}
	account := r.ok("account/review", key)
	if account["purchased_points"] != float64(StartPoints-18) || first(account, "active_orders", "active_order")["st_product_code"] != "PositiveSSL-12" ||
		first(account, "completed_orders", "completed_order")["domain_name"] != "example.com" {
		t.Errorf("account: %v", account)
	}
	if list := r.ok("account/pointsaudit", key)["record"].([]any); len(list) != 2 || list[1].(obj)["PointsAdjustment"] != -8.0 || list[1].(obj)["OrderToken"] != unused {
		t.Errorf("audit: %v", list)
	}
	if list := r.ok("order/expiring", key)["orders"].(obj)["order"].([]any); len(list) != 0 {
		t.Errorf("expiring: %v", list)
	}
	if list := r.ok("order/expiring", with(key, "days", "200"))["orders"].(obj)["order"].([]any); len(list) != 1 {
		t.Errorf("expiring: %v", list)
	}
	r.refused(400, "order/expiring", with(key, "days", "x"))
	changed := r.ok("order/modifiedorders", with(key, "date", r.s.Now().Add(-time.Hour).Format(stampForm)))
	if list := changed["orders"].(obj)["order"].([]any); len(list) != 2 || strings.Contains(jsonOf(t, list), issued) {
		t.Errorf("modified: %v", list)
	}
	r.advance(time.Minute)
	if list := r.ok("order/modifiedorders", with(key, "date", r.s.Now().Format(stampForm)))["orders"].(obj)["order"].([]any); len(list) != 0 {
		t.Errorf("modified: %v", list)
	}
	r.refused(400, "order/modifiedorders", with(key, "date", "yesterday"))
	if list := r.ok("product/listproducts", with(key, "product_group", "SSL"))["products"].([]any); len(list) != len(products()) {
		t.Errorf("%d products", len(list))
	}
	r.direct(http.StatusOK, "PATCH", "settings", `{"products":["RapidSSL-12"],"single_object":true,"tokens_delay":"1h"}`)
	if list := r.ok("product/listproducts", with(key, "product_group", "All"))["products"].([]any); len(list) != 1 {
		t.Errorf("%d products", len(list))
	}
	r.refused(400, "product/listproducts", with(key, "product_group", "ssl"))
	r.refused(400, "order/generatetoken", with(key, "st_product_code", "PositiveSSL-12", "end_customer_email", "none", "reseller_unique_reference", "x"))
	if list := r.ok("order/showtokens", key)["used_tokens"].(obj)["order_token"].([]any); len(list) != 0 {
		t.Errorf("too early: %v", list)
	}
	r.advance(time.Hour)
	if _, object := r.ok("order/showtokens", key)["used_tokens"].(obj)["order_token"].(obj); !object {
		t.Error("one token is no object")
	}
	var countries []obj
	r.decode("order/isocodes", nil, &countries)
	if len(countries) != 249 || countries[0]["code"] != "AD" || countries[0]["name"] != "Andorra" {
		t.Errorf("%d countries: %v", len(countries), countries[0])
	}
	approvers := r.ok("order/approverlist", form{"domain_name": "*.shop.example.co.uk"})["approver_email"].([]any)
	if len(approvers) != 10 || approvers[9].(obj)["email"] != "webmaster@example.co.uk" {
		t.Errorf("approvers: %v", approvers)
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPoints(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.direct(http.StatusNoContent, "POST", "points", `{"points":15}`)
	r.bought("RapidSSL-12")
	said := r.refused(400, "order/generatetoken", form{"api_key": r.s.Key(), "st_product_code": "RapidSSL-12", "end_customer_email": "none", "reseller_unique_reference": "x"})
	if !strings.Contains(said, "5 points") || r.direct(http.StatusOK, "GET", "points", "")["points"] != 5.0 {
		t.Errorf("said %s", said)
	}
	r.direct(400, "POST", "points", `{"points":-1}`)
}

// The industry's limits come closer.
func TestLifetimesGetShorter(t *testing.T) {
	t.Parallel()
	for day, want := range map[string]int{"2026-11-22": 199, "2027-03-14": 199, "2027-03-15": 99, "2029-03-14": 99, "2029-03-15": 46} {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		if got := longest(at); got != want {
			t.Errorf("%s: %d days, want %d", day, got, want)
		}
	}
}
