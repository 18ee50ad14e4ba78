package digicert

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

const day = 24 * time.Hour

func (r *rig) advance(d time.Duration) {
	r.t.Helper()
	if err := r.s.Advance(d); err != nil {
		r.t.Fatal(err)
	}
}

// bought orders a DV certificate and has it issued.
func (r *rig) bought(change func(obj) obj, names ...string) obj {
	r.t.Helper()
	order := dvOrder(r.t, names...)
	if change != nil {
		order = change(order)
	}
	placed := r.call(http.StatusCreated, http.MethodPost, dv, order)
	r.validated(placed, names...)
	return placed
}

// One year is one purchase: certificates of 199 days, free reissues that end with the plan, and then a linked renewal.
func TestThreeGenerationsOfAPlan(t *testing.T) {
	r := newRig(t)
	placed := r.bought(nil, "example.com")
	planEnd := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil)["order_valid_till"].(string)
	serials := []string{r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil)["certificate"].(obj)["serial_number"].(string)}
	last := num(placed["certificate_id"])
	for _, wait := range []time.Duration{167 * day, 170 * day} {
		r.advance(wait)
		again := r.call(http.StatusCreated, http.MethodPost, orderPath(placed["id"])+"/reissue", reissueOf(t, "example.com"))
		if num(again["id"]) != num(placed["id"]) || num(again["certificate_id"]) == last {
			t.Fatalf("reissue: %v", again)
		}
		if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != statusReissuePending || num(info["certificate"].(obj)["id"]) != last {
			t.Fatalf("while the reissue waits: %v", info)
		}
		r.validated(again, "example.com")
		info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil)
		cert := info["certificate"].(obj)
		if num(cert["id"]) != num(again["certificate_id"]) || cert["status"] != statusIssued || slices.Contains(serials, cert["serial_number"].(string)) {
			t.Fatalf("after the reissue: %v", info)
		}
		serials, last = append(serials, cert["serial_number"].(string)), num(cert["id"])
		if info["order_valid_till"] != planEnd || cert["valid_till"].(string) > planEnd {
			t.Errorf("certificate until %v, plan until %v, which was %s", cert["valid_till"], info["order_valid_till"], planEnd)
		}
	}
	if end := r.chainOf(float64(last))[0].NotAfter.Format(dateForm); end != planEnd {
		t.Errorf("the last certificate ends %s, the plan %s", end, planEnd)
	}
	renewal := with(dvOrder(t, "example.com"), "renewal_of_order_id", num(placed["id"]))
	renewed := r.call(http.StatusCreated, http.MethodPost, dv, renewal)
	r.validated(renewed, "example.com")
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, dv, renewal); codes[0] != "order_renewed_already" {
		t.Errorf("codes %v", codes)
	}
	if info := r.call(http.StatusOK, http.MethodGet, orderPath(renewed["id"]), nil); info["is_renewal"] != true || num(info["renewed_order_id"]) != num(placed["id"]) {
		t.Errorf("renewal: %v", info)
	}
	if p, re, extra := r.count(sandbox.Purchase), r.count(sandbox.Reissue), r.count(sandbox.ExtraNames); p != 2 || re != 2 || extra != 0 {
		t.Errorf("%d purchases, %d reissues, %d charges for names", p, re, extra)
	}
	r.advance(40 * day)
	if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != statusExpired {
		t.Errorf("status %v", info["status"])
	}
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, orderPath(placed["id"])+"/reissue", reissueOf(t, "example.com")); codes[0] != "cannot_reissue|expired" {
		t.Errorf("codes %v", codes)
	}
}

func TestReissueThatDropsNamesRevokesEarlierCertificates(t *testing.T) {
	r := newRig(t)
	placed := r.bought(nil, "example.com", "a.example.net")
	same := r.call(http.StatusCreated, http.MethodPost, orderPath(placed["id"])+"/reissue", reissueOf(t, "a.example.net", "EXAMPLE.com"))
	r.validated(same, "example.com", "a.example.net")
	r.advance(4 * day)
	if n := r.count(sandbox.Revoke); n != 0 {
		t.Fatalf("%d revocations for the same names", n)
	}
	fewer := r.call(http.StatusCreated, http.MethodPost, orderPath(placed["id"])+"/reissue", reissueOf(t, "example.com"))
	r.validated(fewer, "example.com")
	r.advance(2 * day)
	if n := r.count(sandbox.Revoke); n != 0 {
		t.Fatalf("%d revocations too early", n)
	}
	r.advance(day + time.Minute)
	if n := r.count(sandbox.Revoke); n != 2 {
		t.Errorf("%d revocations, want both earlier certificates", n)
	}
	states := []string{}
	for _, c := range r.s.Orders()[0].Certificates {
		states = append(states, c.Status)
	}
	if !slices.Equal(states, []string{statusRevoked, statusRevoked, statusIssued}) {
		t.Errorf("states %v", states)
	}
}

func TestReissueThatAddsNamesIsCharged(t *testing.T) {
	r := newRig(t)
	placed := r.bought(nil, "example.com")
	more := r.call(http.StatusCreated, http.MethodPost, orderPath(placed["id"])+"/reissue", reissueOf(t, "example.com", "www.example.net"))
	r.validated(more, "example.com", "www.example.net")
	if n := r.count(sandbox.ExtraNames); n != 1 {
		t.Errorf("%d charges", n)
	}
	if n := r.count(sandbox.Purchase); n != 1 {
		t.Errorf("%d purchases", n)
	}
}

func TestRulesOfReissues(t *testing.T) {
	r := newRig(t)
	pending := r.call(http.StatusCreated, http.MethodPost, dv, dvOrder(t, "example.net"))
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, orderPath(pending["id"])+"/reissue", reissueOf(t, "example.net")); codes[0] != "cannot_reissue|pending" {
		t.Errorf("codes %v", codes)
	}
	placed := r.bought(nil, "example.com")
	at := orderPath(placed["id"]) + "/reissue"
	for name, c := range map[string]ruleCase{
		"no platform":    {"certificate.server_platform", nil, "required_param:certificate.server_platform"},
		"no hash":        {"certificate.signature_hash", nil, "required_param:certificate.signature_hash"},
		"no common name": {"certificate.common_name", nil, "required_param:certificate.common_name"},
		"alternative id": {"alternative_order_id", "abc", "unknown_param:alternative_order_id"},
		"order_validity": {"order_validity", obj{"years": 1}, "unknown_param:order_validity"},
	} {
		if codes := r.codes(http.StatusBadRequest, http.MethodPost, at, with(reissueOf(t, "example.com"), c.path, c.v)); !slices.Contains(codes, c.code) {
			t.Errorf("%s: codes %v", name, codes)
		}
	}
	r.call(http.StatusCreated, http.MethodPost, at, reissueOf(t, "example.com"))
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, at, reissueOf(t, "example.com")); codes[0] != "cannot_reissue|pending" {
		t.Errorf("a second reissue: codes %v", codes)
	}
	if codes := r.codes(http.StatusBadRequest, http.MethodPut, "/certificate/"+number(num(placed["certificate_id"]))+"/revoke", obj{}); codes[0] != "cannot_revoke|reissue_pending" {
		t.Errorf("codes %v", codes)
	}
	r.call(http.StatusNoContent, http.MethodPut, orderPath(placed["id"])+"/status", obj{"status": "canceled", "note": "not needed"})
	if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != statusIssued {
		t.Errorf("status after the reissue was canceled: %v", info["status"])
	}
	if n := r.count(sandbox.Reissue); n != 1 {
		t.Errorf("%d reissues", n)
	}
}

func TestReissueOfAPersonWithoutRightsIsApprovedFirst(t *testing.T) {
	r := newRig(t)
	placed := r.bought(nil, "example.com")
	asked := r.call(http.StatusCreated, http.MethodPost, orderPath(placed["id"])+"/reissue", with(reissueOf(t, "example.com"), "skip_approval", false))
	if asked["certificate_id"] != nil || asked["requests"] == nil {
		t.Fatalf("reissue: %v", asked)
	}
	r.call(http.StatusNoContent, http.MethodPut, "/request/"+number(num(asked["requests"].([]any)[0].(obj)["id"]))+"/status", obj{"status": "approved"})
	value := r.call(http.StatusOK, http.MethodPut, orderPath(placed["id"])+"/dcv-random-value", nil)
	r.validated(obj{"id": placed["id"], "dcv_random_value": value["dcv_random_value"]}, "example.com")
	list := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"])+"/reissue", nil)["certificates"].([]any)
	if len(list) != 1 || list[0].(obj)["csr"] == nil || list[0].(obj)["serial_number"] == nil {
		t.Errorf("reissues: %v", list)
	}
}

func TestRenewalWindow(t *testing.T) {
	r := newRig(t)
	placed := r.bought(nil, "example.com")
	renewal := with(dvOrder(t, "example.com"), "renewal_of_order_id", num(placed["id"]))
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, dv, renewal); codes[0] != "order_not_eligible_for_renewal" {
		t.Errorf("codes %v", codes)
	}
	thumbprint := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil)["certificate"].(obj)["thumbprint"]
	r.advance(280 * day)
	byPrint := with(dvOrder(t, "example.com"), "renewed_thumbprint", thumbprint)
	renewed := r.call(http.StatusCreated, http.MethodPost, dv, byPrint)
	entries := r.s.Ledger().Entries
	if last := entries[len(entries)-1]; last.Renews != number(num(placed["id"])) {
		t.Errorf("ledger: %+v", last)
	}
	r.call(http.StatusNoContent, http.MethodPut, orderPath(renewed["id"])+"/status", obj{"status": "canceled"})
	r.call(http.StatusCreated, http.MethodPost, dv, renewal) // what was canceled has not renewed it
}

func TestDuplicates(t *testing.T) {
	r := newRig(t)
	placed := r.call(http.StatusCreated, http.MethodPost, "/order/certificate/ssl_basic", ovOrder(t, "www.example.com"))
	r.validated(placed, "www.example.com")
	body := with(reissueOf(t, "www.example.com"), "dcv_method", nil)
	twin := r.call(http.StatusCreated, http.MethodPost, orderPath(placed["id"])+"/duplicate", body)
	if twin["certificate_chain"] == nil {
		t.Fatalf("duplicate: %v", twin)
	}
	info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil)
	if num(info["certificate"].(obj)["id"]) != num(placed["certificate_id"]) || info["has_duplicates"] != true {
		t.Errorf("the duplicate became the primary: %v", info)
	}
	cheap := r.bought(nil, "example.net")
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, orderPath(cheap["id"])+"/duplicate", with(reissueOf(t, "example.net"), "dcv_method", nil)); codes[0] != "dcv_required|example.net" {
		t.Errorf("codes %v", codes)
	}
}

func TestValidity(t *testing.T) {
	begin := time.Date(2026, 11, 21, 10, 15, 0, 0, time.UTC)
	until := func(s string) time.Time {
		at, err := time.Parse(dateForm, s)
		if err != nil {
			t.Fatal(err)
		}
		return endOfDay(at)
	}
	ov, _ := productByID("ssl_basic")
	private, _ := productByID("private_ssl_plus")
	for name, c := range map[string]struct {
		now        time.Time
		product    product
		terms      terms
		plan, cert string
	}{
		"one year":                       {begin, ov, terms{Years: 1}, "2027-11-20", "2027-06-07"},
		"three years":                    {begin, ov, terms{Years: 3}, "2029-11-20", "2027-06-07"},
		"thirty days":                    {begin, ov, terms{Days: 30}, "2026-12-20", "2026-12-20"},
		"until":                          {begin, ov, terms{Until: until("2028-01-05")}, "2028-01-05", "2027-06-07"},
		"certificate of 90 days":         {begin, ov, terms{Years: 2, CertDays: 90}, "2028-11-20", "2027-02-18"},
		"certificate until":              {begin, ov, terms{Years: 2, CertTill: until("2026-12-31")}, "2028-11-20", "2026-12-31"},
		"certificate longer than it may": {begin, ov, terms{Years: 2, CertDays: 365}, "2028-11-20", "2027-06-07"},
		"leap day":                       {time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC), ov, terms{Years: 1}, "2029-02-28", "2028-06-06"},
		"2027":                           {time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC), ov, terms{Years: 1}, "2028-03-14", "2027-06-21"},
		"2029":                           {time.Date(2029, 3, 15, 0, 0, 0, 0, time.UTC), ov, terms{Years: 1}, "2030-03-14", "2029-04-29"},
		"private":                        {begin, private, terms{Years: 2}, "2028-11-20", "2028-11-20"},
	} {
		s := &Server{days: calendar{day}}
		plan := s.planEnd(c.now, c.terms)
		cert := s.certEnd(c.now, c.product, c.terms, plan)
		if plan.Format(dateForm) != c.plan || cert.Format(dateForm) != c.cert {
			t.Errorf("%s: plan %v, certificate %v, want %s and %s", name, plan, cert, c.plan, c.cert)
		}
	}
}

func TestShorterDays(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Day = time.Minute })
	placed := r.bought(nil, "example.com")
	leaf := r.chainOf(placed["certificate_id"])[0]
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life < 198*time.Minute || life > 200*time.Minute {
		t.Errorf("the certificate lasts %v", life)
	}
	end := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil)["order_valid_till"].(string)
	at, err := time.Parse(time.RFC3339, end)
	if err != nil || time.Until(at) > 365*time.Minute || time.Until(at) < 364*time.Minute {
		t.Errorf("the plan ends %s: %v", end, err)
	}
}
