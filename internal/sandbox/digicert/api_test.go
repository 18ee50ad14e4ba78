package digicert

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

func TestKeysAndRoles(t *testing.T) {
	r := newRig(t)
	for _, u := range []User{
		{Key: "VIEW", Name: "View", Role: Administrator, Restriction: ViewOnly},
		{Key: "ORDERS", Name: "Orders", Role: Manager, Restriction: OrdersOnly},
		{Key: "ORGS", Name: "Orgs", Role: Manager, Restriction: OrdersDomainsOrganizations},
		{Key: "USERS", Name: "Users", Role: Administrator, Restriction: UsersOnly},
		{Key: "FINANCE", Name: "Finance", Role: FinanceManager},
		{Key: "TEAM", Name: "Team", Role: Manager, Container: DemoContainer},
	} {
		if err := r.s.AddUser(u); err != nil {
			t.Fatal(err)
		}
	}
	mine := r.call(http.StatusCreated, http.MethodPost, dv, dvOrder(t, "example.com"))
	for _, c := range []struct {
		key, method, path string
		body              any
		want              int
	}{
		{"", http.MethodGet, "/user/me", nil, 401},
		{"WRONG", http.MethodGet, "/user/me", nil, 401},
		{"VIEW", http.MethodGet, "/user/me", nil, 200},
		{"VIEW", http.MethodGet, "/product", nil, 200},
		{"VIEW", http.MethodPost, dv, dvOrder(t, "example.com"), 403},
		{"ORDERS", http.MethodGet, "/user/me", nil, 200},
		{"ORDERS", http.MethodGet, "/order/certificate", nil, 200},
		{"ORDERS", http.MethodGet, "/organization", nil, 403},
		{"ORDERS", http.MethodPost, dv, dvOrder(t, "example.com"), 201},
		{"ORGS", http.MethodGet, "/organization", nil, 200},
		{"ORGS", http.MethodGet, "/product", nil, 403},
		{"USERS", http.MethodGet, "/order/certificate", nil, 403},
		{"FINANCE", http.MethodPost, dv, dvOrder(t, "example.com"), 403},
		{"FINANCE", http.MethodGet, "/finance/balance", nil, 200},
		{"TEAM", http.MethodGet, orderPath(mine["id"]), nil, 404},
		{"TEAM", http.MethodPost, orderPath(mine["id"]) + "/reissue", reissueOf(t, "example.com"), 404},
		{"TEAM", http.MethodPost, dv, with(dvOrder(t, "example.com"), "container", obj{"id": DemoContainer}), 201},
		{"TEAM", http.MethodPost, dv, with(dvOrder(t, "example.com"), "container", obj{"id": rootContainer}), 400},
		{r.s.Key(), http.MethodGet, "/nowhere", nil, 404},
		{r.s.Key(), http.MethodDelete, orderPath(mine["id"]), nil, 404},
		{r.s.Key(), http.MethodGet, "/order/certificate/none", nil, 404},
	} {
		r.key = c.key
		status, text, err := r.raw(c.method, c.path, c.body)
		if err != nil || status != c.want {
			t.Errorf("%s %s %s: status %d, want %d, %v: %s", c.key, c.method, c.path, status, c.want, err, text)
		}
	}
	r.key = r.s.Key()
	me := r.call(http.StatusOK, http.MethodGet, "/user/me", nil)
	if role := me["access_roles"].([]any)[0].(obj); role["name"] != "Administrator" || num(role["id"]) != 1 {
		t.Errorf("me: %v", me)
	}
}

func TestContentTypeIsWanted(t *testing.T) {
	r := newRig(t)
	req := httptest.NewRequest(http.MethodPost, BasePath+dv, strings.NewReader("{}"))
	req.Header.Set("X-DC-DEVKEY", r.key)
	w := httptest.NewRecorder()
	r.s.ServeHTTP(w, req)
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "bad_request_format") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

func TestRateLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limiter
		for i := range limitShort {
			if !l.allow("a", time.Now()) {
				t.Fatalf("call %d is too many", i)
			}
		}
		if l.allow("a", time.Now()) || !l.allow("b", time.Now()) {
			t.Fatal("the limit is not for each key")
		}
		// At full speed the shorter limit lets 100 calls pass every 5 seconds, until the longer one has had its 1000.
		allowed := limitShort
		for range int(windowLong/windowShort) - 1 {
			time.Sleep(windowShort)
			for range limitShort + 1 {
				if l.allow("a", time.Now()) {
					allowed++
				}
			}
		}
		if allowed != limitLong {
			t.Errorf("%d calls in three minutes", allowed)
		}
		time.Sleep(windowShort)
		if !l.allow("a", time.Now()) {
			t.Error("the window does not move")
		}
	})
	r := newRig(t)
	if err := r.s.Configure(func(s *Settings) { s.RateLimits = true }); err != nil {
		t.Fatal(err)
	}
	for range limitShort {
		r.call(http.StatusOK, http.MethodGet, "/user/me", nil)
	}
	if codes := r.codes(http.StatusTooManyRequests, http.MethodPost, dv, dvOrder(t, "example.com")); codes[0] != "request_limit_exceeded" {
		t.Errorf("codes %v", codes)
	}
	if n := r.count(sandbox.Purchase); n != 0 {
		t.Errorf("%d purchases", n)
	}
}

func TestLookUpByAlternativeID(t *testing.T) {
	r := newRig(t)
	if v := r.call(http.StatusOK, http.MethodGet, "/order/alternate/abc", nil); len(v["orders"].([]any)) != 0 {
		t.Errorf("orders: %v", v)
	}
	placed := r.call(http.StatusCreated, http.MethodPost, dv, with(dvOrder(t, "example.com"), "alternative_order_id", "abc"))
	v := r.call(http.StatusOK, http.MethodGet, "/order/alternate/abc", nil)
	one := v["orders"].([]any)[0].(obj)
	if num(one["order_id"]) != num(placed["id"]) || one["status"] != statusPending || num(v["page"].(obj)["total"]) != 1 {
		t.Errorf("orders: %v", v)
	}
	if err := r.s.Configure(func(s *Settings) { s.UnknownAlternateIs404, s.AlternateDelay = true, sandbox.Delay(time.Hour) }); err != nil {
		t.Fatal(err)
	}
	r.codes(http.StatusNotFound, http.MethodGet, "/order/alternate/abc", nil)
	r.advance(time.Hour)
	r.call(http.StatusOK, http.MethodGet, "/order/alternate/abc", nil)
}

func TestLists(t *testing.T) {
	r := newRig(t)
	first := r.bought(nil, "a.example.com")
	r.advance(time.Hour)
	second := r.call(http.StatusCreated, http.MethodPost, dv, dvOrder(t, "b.example.com"))
	ids := func(path string) []int64 {
		var got []int64
		for _, o := range r.call(http.StatusOK, http.MethodGet, path, nil)["orders"].([]any) {
			got = append(got, num(o.(obj)["id"]))
		}
		return got
	}
	a, b := num(first["id"]), num(second["id"])
	for path, want := range map[string][]int64{
		"/order/certificate":                            {a, b},
		"/order/certificate?sort=-date_created":         {b, a},
		"/order/certificate?limit=1&offset=1":           {b},
		"/order/certificate?filters%5Bstatus%5D=issued": {a},
		"/order/certificate?filters%5Bstatus%5D%5B0%5D=issued&filters%5Bstatus%5D%5B1%5D=pending": {a, b},
		"/order/certificate?filters%5Bcommon_name%5D=%25b.example.com":                            {b},
		"/order/certificate?filters%5Bproduct_name_id%5D=ssl_basic":                               nil,
		"/order/certificate?filters%5Bvalid_till%5D=%3E2026-01-01":                                {a},
	} {
		if got := ids(path); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	for _, path := range []string{"/order/certificate?limit=1001", "/order/certificate?filters%5Bcolour%5D=red", "/order/certificate?offset=-1"} {
		r.codes(http.StatusBadRequest, http.MethodGet, path, nil)
	}
	changes := r.call(http.StatusOK, http.MethodGet, "/order/certificate/status-changes?minutes=10", nil)["orders"].([]any)
	if len(changes) != 1 || num(changes[0].(obj)["order_id"]) != b {
		t.Errorf("changes: %v", changes)
	}
	r.advance(time.Hour)
	if v := r.call(http.StatusOK, http.MethodGet, "/order/certificate/status-changes?seconds=5", nil); len(v) != 0 {
		t.Errorf("no changes: %v", v)
	}
	if codes := r.codes(http.StatusBadRequest, http.MethodGet, "/order/certificate/status-changes?minutes=10081", nil); codes[0] != "time_frame_too_long" {
		t.Errorf("codes %v", codes)
	}
}

func TestOrderIsFoundByItsCertificate(t *testing.T) {
	r := newRig(t)
	placed := r.bought(nil, "example.com")
	cert := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil)["certificate"].(obj)
	for _, name := range []string{"serial_number", "thumbprint"} {
		if v := r.call(http.StatusOK, http.MethodGet, "/order/certificate/"+strings.ToLower(cert[name].(string)), nil); num(v["id"]) != num(placed["id"]) {
			t.Errorf("by %s: %v", name, v)
		}
	}
}

func TestValidationView(t *testing.T) {
	r := newRig(t)
	placed := r.call(http.StatusCreated, http.MethodPost, "/order/certificate/ssl_basic",
		with(ovOrder(t, "www.example.com", "example.com"), "certificate_dcv_scope", scopeBase))
	v := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"])+"/validation", nil)
	one := v["dns_name_validations"].([]any)[0].(obj)
	if v["order_id"] != number(num(placed["id"])) || one["name_scope"] != "example.com" || one["status"] != "pending" || len(one["dns_names"].([]any)) != 2 {
		t.Errorf("validation: %v", v)
	}
	if org := v["organization_validations"].([]any)[0].(obj); org["status"] != "active" || v["organization_id"] != number(DemoOrganization) {
		t.Errorf("organization: %v", v)
	}
}

func TestRevocation(t *testing.T) {
	r := newRig(t)
	placed := r.bought(nil, "example.com")
	at := "/certificate/" + number(num(placed["certificate_id"])) + "/revoke"
	r.codes(http.StatusBadRequest, http.MethodPut, at, obj{"revocation_reason": "boredom"})
	asked := r.call(http.StatusCreated, http.MethodPut, at, obj{"revocation_reason": "superseded", "comments": "replaced"})
	if asked["type"] != "revoke" || asked["status"] != requestPending {
		t.Fatalf("request: %v", asked)
	}
	r.call(http.StatusNoContent, http.MethodPut, "/request/"+number(num(asked["id"]))+"/status", obj{"status": "approved"})
	info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil)
	if info["status"] != statusIssued || info["certificate"].(obj)["status"] != statusRevoked {
		t.Errorf("after: %v", info)
	}
	if codes := r.codes(http.StatusBadRequest, http.MethodPut, at, obj{"skip_approval": true}); codes[0] != "certificate_already_revoked" {
		t.Errorf("codes %v", codes)
	}
	again := r.call(http.StatusCreated, http.MethodPost, orderPath(placed["id"])+"/reissue", reissueOf(t, "example.com"))
	r.validated(again, "example.com")
	r.call(http.StatusNoContent, http.MethodPut, orderPath(placed["id"])+"/revoke", obj{"skip_approval": true})
	if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != statusRevoked {
		t.Errorf("order: %v", info["status"])
	}
	if codes := r.codes(http.StatusBadRequest, http.MethodPut, orderPath(placed["id"])+"/revoke", obj{}); codes[0] != "order_already_revoked" {
		t.Errorf("codes %v", codes)
	}
}

func TestCancel(t *testing.T) {
	r := newRig(t)
	placed := r.call(http.StatusCreated, http.MethodPost, dv, dvOrder(t, "example.com"))
	at := orderPath(placed["id"]) + "/status"
	r.codes(http.StatusBadRequest, http.MethodPut, at, obj{"status": "issued"})
	r.call(http.StatusNoContent, http.MethodPut, at, obj{"status": "canceled", "note": "x"})
	if codes := r.codes(http.StatusBadRequest, http.MethodPut, at, obj{"status": "canceled"}); codes[0] != "cannot_cancel|canceled" {
		t.Errorf("codes %v", codes)
	}
	if c, p := r.count(sandbox.Cancel), r.count(sandbox.Refund); c != 1 || p != 1 {
		t.Errorf("%d cancels, %d refunds", c, p)
	}
	r.publish("_dnsauth.example.com. IN TXT " + placed["dcv_random_value"].(string))
	if v := r.call(http.StatusOK, http.MethodPut, orderPath(placed["id"])+"/check-dcv", nil); v["order_status"] != statusCanceled {
		t.Errorf("a canceled order goes on: %v", v)
	}
}

func TestDownloadFormats(t *testing.T) {
	r := newRig(t)
	placed := r.bought(nil, "example.com")
	at := "/certificate/" + number(num(placed["certificate_id"])) + "/download/"
	for format, certificates := range map[string]int{
		"format/pem_all": 3, "format/pem_noroot": 2, "format/pem_nointermediate": 1, "platform/29": 3,
	} {
		status, text, err := r.raw(http.MethodGet, at+format, nil)
		if n := strings.Count(string(text), "BEGIN CERTIFICATE"); err != nil || status != http.StatusOK || n != certificates {
			t.Errorf("%s: status %d, %d certificates, %v", format, status, n, err)
		}
	}
	for _, format := range []string{"format/default_pem", "platform", "format/apache"} {
		_, text, err := r.raw(http.MethodGet, at+format, nil)
		if err != nil {
			t.Fatal(err)
		}
		if z, err := zip.NewReader(bytes.NewReader(text), int64(len(text))); err != nil || len(z.File) != 3 {
			t.Errorf("%s is no archive of three: %v", format, err)
		}
	}
	_, text, err := r.raw(http.MethodGet, at+"format/p7b", nil)
	if block, _ := pem.Decode(text); err != nil || block == nil || block.Type != "PKCS7" || !bytes.Contains(block.Bytes, r.chainOf(placed["certificate_id"])[0].Raw) {
		t.Errorf("p7b: %v: %.80s", err, text)
	}
	r.codes(http.StatusBadRequest, http.MethodGet, at+"format/docx", nil)
	if _, text, _ := r.raw(http.MethodGet, "/certificate/download/order/"+number(num(placed["id"]))+"/format/pem_noroot", nil); strings.Count(string(text), "BEGIN") != 2 {
		t.Errorf("by order: %s", text)
	}
	chain := r.call(http.StatusOK, http.MethodGet, "/certificate/"+number(num(placed["certificate_id"]))+"/chain", nil)["intermediates"].([]any)
	if len(chain) != 3 || chain[0].(obj)["subject_common_name"] != "example.com" || !strings.Contains(chain[0].(obj)["pem"].(string), "\r\n") {
		t.Errorf("chain: %v", chain)
	}
}

// The vectors were computed with the algorithm of DigiCert's published verifier.
func TestRequestTokens(t *testing.T) {
	const key, stamp = "someToken", "20261121120000"
	for csr, want := range map[string]string{
		"some-token-value": "20261121120000121w9cfr2447nbojpltsc99x6s92nbrqhdm5qjhlzxre5wyqpz",
		"pad-7":            "202611211200000ighoattvfgz2vhmujcdihij2km0zayhoyaoo8zjirs90qiflz",
		"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n": "20261121120000601msgqa4eepfhmj7gujj8kkjjw35enr4a9pg15qgyd0mjyq4m",
	} {
		got := requestToken(key, stamp, csr)
		if got != want {
			t.Errorf("%q: %s, want %s", csr, got, want)
		}
		made, _ := time.Parse(stampForm, stamp)
		for name, c := range map[string]struct {
			text string
			now  time.Time
			want bool
		}{
			"at once":            {got, made, true},
			"among other text":   {"2026 x" + got + "2026", made.Add(time.Hour), true},
			"in the new year":    {got, time.Date(2026, 12, 20, 0, 0, 0, 0, time.UTC), true},
			"from the future":    {got, made.Add(-time.Second), false},
			"too old":            {got, made.Add(tokenAge + time.Second), false},
			"of another request": {requestToken(key, stamp, csr+"x"), made, false},
			"cut":                {got[:63], made, false},
		} {
			if findToken(c.text, key, csr, c.now) != c.want {
				t.Errorf("%s: found %v", name, !c.want)
			}
		}
	}
}

func TestAuthKeyOrders(t *testing.T) {
	r := newRig(t)
	order := with(with(with(dvOrder(t, "a.example.com", "b.example.com"), "dcv_method", methodToken), "use_auth_key", true), "auth_key_id", "none")
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, dv, order); codes[0] != "auth_key_not_setup" {
		t.Errorf("codes %v", codes)
	}
	key := r.call(http.StatusCreated, http.MethodPost, "/account/auth-key", nil)
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, "/account/auth-key", nil); codes[0] != "auth_key_exists_for_account" {
		t.Errorf("codes %v", codes)
	}
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, dv, order); codes[0] != "invalid_value:auth_key_id" {
		t.Errorf("codes %v", codes)
	}
	order["auth_key_id"] = key["auth_key_id"]
	csr := order["certificate"].(obj)["csr"].(string)
	pending := r.call(http.StatusCreated, http.MethodPost, dv, order)
	if pending["certificate_chain"] != nil || pending["dcv_random_value"] != nil {
		t.Fatalf("without a token: %v", pending)
	}
	if err := r.s.Configure(func(s *Settings) { s.AuthKeyMissFails = true }); err != nil {
		t.Fatal(err)
	}
	r.codes(http.StatusBadRequest, http.MethodPost, dv, order)
	token := requestToken(key["auth_key"].(string), time.Now().UTC().Add(-time.Minute).Format(stampForm), csr)
	r.publish("_dnsauth.a.example.com. IN TXT " + token)
	r.publish("b.example.com. IN TXT " + token)
	placed := r.call(http.StatusCreated, http.MethodPost, dv, order)
	if placed["certificate_chain"] == nil {
		t.Errorf("with a token: %v", placed)
	}
	r.validated(pending) // the order that waits finds it as well
	timed := r.call(http.StatusCreated, http.MethodPost, "/account/auth-key/1", nil)
	order["auth_key_id"] = timed["auth_key_id"]
	r.advance(25 * time.Hour)
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, dv, order); codes[0] != "invalid_value:auth_key_id" {
		t.Errorf("codes %v", codes)
	}
}

func TestAccountSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, func(o *Options) { o.Dir = dir })
	placed := r.call(http.StatusCreated, http.MethodPost, dv, with(dvOrder(t, "example.com"), "alternative_order_id", "abc"))
	r.advance(10 * day)
	again := newRig(t, func(o *Options) { o.Dir, o.Authority = dir, nil })
	if again.key != r.key || time.Until(again.s.Now()) < 10*day-time.Minute {
		t.Fatal("key or clock are new")
	}
	again.validated(placed, "example.com")
	if n := again.count(sandbox.Purchase); n != 1 {
		t.Errorf("%d purchases", n)
	}
	if !bytes.Equal(again.chainOf(placed["certificate_id"])[2].Raw, r.s.Account.Authority.Named(issuerGeo).Root.Raw) {
		t.Error("the root is another one")
	}
}

func TestWatchLooksAtOrdersByItself(t *testing.T) {
	r := newRig(t)
	placed := r.call(http.StatusCreated, http.MethodPost, dv, dvOrder(t, "example.com"))
	r.publish("_dnsauth.example.com. IN TXT " + placed["dcv_random_value"].(string))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	done := make(chan struct{})
	go func() { defer close(done); r.s.Watch(ctx, 5*time.Millisecond) }()
	for r.s.Orders()[0].Status != statusIssued && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Error("the order was not looked at")
	}
	cancel()
	<-done
}

func TestRehearsalIsForThisMachineOnly(t *testing.T) {
	r := newRig(t)
	req := httptest.NewRequest(http.MethodGet, sandbox.AdminPath+"ledger", nil) // from 192.0.2.1
	w := httptest.NewRecorder()
	r.s.ServeHTTP(w, req)
	if w.Code != http.StatusForbidden {
		t.Errorf("status %d", w.Code)
	}
	r.call(http.StatusOK, http.MethodGet, sandbox.AdminPath+"ledger", nil)
	r.codes(http.StatusBadRequest, http.MethodPatch, sandbox.AdminPath+"settings", obj{"multi_year_plan": false})
	r.codes(http.StatusBadRequest, http.MethodPost, sandbox.AdminPath+"misbehave", obj{"kind": "rude"})
}
