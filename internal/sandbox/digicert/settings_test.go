package digicert

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

func TestProductsOfTheAccount(t *testing.T) {
	r := newRig(t)
	r.call(http.StatusOK, http.MethodPatch, "/_sandbox/settings", obj{"products": []string{"ssl_basic"}, "plan_years": 2})
	if codes := r.codes(http.StatusNotFound, http.MethodPost, dv, dvOrder(t, "example.com")); codes[0] != "not_found|product" {
		t.Errorf("codes %v", codes)
	}
	r.codes(http.StatusNotFound, http.MethodGet, "/product/ssl_dv_geotrust", nil)
	list := r.call(http.StatusOK, http.MethodGet, "/product", nil)["products"].([]any)
	if len(list) != 1 || num(list[0].(obj)["max_multi_year_order_validity_years"]) != 2 {
		t.Errorf("products: %v", list)
	}
	order := ovOrder(t, "www.example.com") // without a hint, there being one product only
	r.call(http.StatusCreated, http.MethodPost, "/order/certificate/ssl", order)
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, "/order/certificate/ssl", with(order, "product", obj{"type_hint": "ev"})); codes[0] != "ambiguous_product" {
		t.Errorf("codes %v", codes)
	}
	checkRules(t, r, "/order/certificate/ssl_basic", order, map[string]ruleCase{
		"two years":   {"order_validity", obj{"years": 2}, ""},
		"three years": {"order_validity", obj{"years": 3}, "invalid_value:order_validity.years"},
		"731 days":    {"order_validity", obj{"days": 731}, "invalid_value:order_validity.days"},
	})
	for _, wrong := range []obj{{"products": []string{"ssl_nothing"}}, {"plan_years": 4}, {"approval": "x"}, {"dcv_scope": "x"}} {
		r.codes(http.StatusBadRequest, http.MethodPatch, "/_sandbox/settings", wrong)
	}
	if got := r.s.settings(); !slices.Equal(got.Products, []string{"ssl_basic"}) || got.PlanYears != 2 {
		t.Errorf("a refused change was made: %+v", got)
	}
}

func TestIssuanceTakesItsTime(t *testing.T) {
	r := newRig(t)
	r.call(http.StatusOK, http.MethodPatch, "/_sandbox/settings", obj{"issue_delay": "1h"})
	placed := r.call(http.StatusCreated, http.MethodPost, dv, dvOrder(t, "example.com"))
	r.publish("_dnsauth.example.com. IN TXT " + placed["dcv_random_value"].(string))
	if v := r.call(http.StatusOK, http.MethodPut, orderPath(placed["id"])+"/check-dcv", nil); v["dcv_status"] != "valid" || v["order_status"] != statusPending {
		t.Errorf("at once: %v", v)
	}
	r.advance(59 * time.Minute)
	if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != statusPending {
		t.Errorf("after 59 minutes: %v", info["status"])
	}
	r.advance(time.Minute)
	if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != statusIssued {
		t.Errorf("after an hour: %v", info["status"])
	}
}

func TestDynamicFile(t *testing.T) {
	r := newRig(t)
	placed := r.call(http.StatusCreated, http.MethodPost, "/order/certificate/ssl_basic", with(ovOrder(t, "www.example.com"), "dcv_method", methodHTTPDynamic))
	d := placed["domains"].([]any)[0].(obj)
	value := r.call(http.StatusOK, http.MethodPut, orderPath(placed["id"])+"/dcv-random-value", nil)
	if value["http_token_url"] != d["dcv_token"].(obj)["http_token_url"] {
		t.Errorf("two places: %v and %v", value, d)
	}
	url := value["http_token_url"].(string)
	r.file("www.example.com/.well-known/pki-validation/fileauth.txt", value["dcv_random_value"].(string))
	if codes := r.codes(http.StatusBadRequest, http.MethodPut, orderPath(placed["id"])+"/check-dcv", nil); codes[0] != "file_random_value_not_found" {
		t.Errorf("codes %v", codes)
	}
	r.file(url[len("http://"):], value["dcv_random_value"].(string))
	r.validated(placed)
}

// Two programs, or one that was restarted, place the same order at the same time.
func TestUniqueAlternativeIDsHoldAgainstARace(t *testing.T) {
	r := newRig(t)
	if err := r.s.Configure(func(s *Settings) { s.UniqueAlternativeIDs = true }); err != nil {
		t.Fatal(err)
	}
	order := with(dvOrder(t, "example.com"), "alternative_order_id", "abc")
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if _, _, err := r.raw(http.MethodPost, dv, order); err != nil {
				t.Error(err)
			}
			if _, _, err := r.raw(http.MethodGet, "/order/certificate", nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := r.count(sandbox.Purchase); n != 1 {
		t.Errorf("%d purchases", n)
	}
}

// cert_validity is for the first certificate of an order; a reissue gets the longest certificate there may be.
func TestReissueForgetsTheFirstCertificatesValidity(t *testing.T) {
	r := newRig(t)
	placed := r.bought(func(o obj) obj {
		return with(with(o, "order_validity", obj{"years": 2}), "certificate.cert_validity", obj{"days": 30})
	}, "example.com")
	life := func(id any) time.Duration {
		leaf := r.chainOf(id)[0]
		return leaf.NotAfter.Sub(leaf.NotBefore).Round(day)
	}
	if d := life(placed["certificate_id"]); d != 30*day {
		t.Errorf("the first certificate lasts %v", d)
	}
	again := r.call(http.StatusCreated, http.MethodPost, orderPath(placed["id"])+"/reissue", reissueOf(t, "example.com"))
	r.validated(again, "example.com")
	if d := life(again["certificate_id"]); d != 199*day {
		t.Errorf("the second certificate lasts %v", d)
	}
}

// What was seen proves the value that was looked for, not one that has replaced it meanwhile.
func TestValueThatChangesWhileItIsLookedAt(t *testing.T) {
	r := newRig(t)
	placed := r.call(http.StatusCreated, http.MethodPost, dv, dvOrder(t, "example.com"))
	id := num(placed["id"])
	var seen pendingProof
	if err := r.s.Read(func(st *state) error {
		seen = r.s.toLookAt(st.Orders[id], r.s.Now(), nil)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r.call(http.StatusOK, http.MethodPut, orderPath(placed["id"])+"/dcv-method", obj{"dcv_method": methodTXT})
	if err := r.s.approveValidations(id, seen, map[string]bool{"example.com": true}); err != nil {
		t.Fatal(err)
	}
	if v := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"])+"/validation", nil); v["dns_name_validations"].([]any)[0].(obj)["status"] != "pending" {
		t.Errorf("validation: %v", v)
	}
}

func TestOnlyAdministratorsRevokeAtOnce(t *testing.T) {
	r := newRig(t)
	if err := r.s.AddUser(User{Key: "MANAGER", Name: "Manager", Role: Manager}); err != nil {
		t.Fatal(err)
	}
	placed := r.bought(nil, "example.com")
	r.key = "MANAGER"
	at := "/certificate/" + number(num(placed["certificate_id"])) + "/revoke"
	if v := r.call(http.StatusCreated, http.MethodPut, at, obj{"skip_approval": true}); v["status"] != requestPending {
		t.Errorf("request: %v", v)
	}
	if n := r.count(sandbox.Revoke); n != 0 {
		t.Errorf("%d revocations", n)
	}
}
