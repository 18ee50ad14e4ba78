package digicert

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// An order ends with its plan, whatever is under way on it.
func TestOrdersEndWithTheirPlan(t *testing.T) {
	for name, skip := range map[string]bool{"a reissue under way": true, "a reissue that waits for approval": false} {
		r := newRig(t)
		placed := r.bought(nil, "example.com")
		r.call(http.StatusCreated, http.MethodPost, orderPath(placed["id"])+"/reissue", with(reissueOf(t, "example.com"), "skip_approval", skip))
		r.advance(364 * day)
		if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != statusReissuePending && info["status"] != statusIssued {
			t.Errorf("%s: the order is %v before its end", name, info["status"])
		}
		r.advance(3 * day)
		if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != statusExpired {
			t.Errorf("%s: the order is %v after its end", name, info["status"])
		}
		list := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"])+"/reissue", nil)["certificates"].([]any)
		for _, c := range list {
			if c.(obj)["status"] != statusCanceled {
				t.Errorf("%s: the reissue is %v", name, c.(obj)["status"])
			}
		}
	}
}

func TestRevokingTheOnlyCertificate(t *testing.T) {
	for _, preference := range []bool{false, true} {
		r := newRig(t)
		r.call(http.StatusOK, http.MethodPatch, "/_sandbox/settings", obj{"last_revokes_order": preference})
		placed := r.bought(nil, "example.com")
		again := r.call(http.StatusCreated, http.MethodPost, orderPath(placed["id"])+"/reissue", reissueOf(t, "example.com"))
		r.validated(again, "example.com")
		r.call(http.StatusNoContent, http.MethodPut, "/certificate/"+number(num(placed["certificate_id"]))+"/revoke", obj{"skip_approval": true})
		if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != statusIssued {
			t.Errorf("after one of two: the order is %v", info["status"])
		}
		r.call(http.StatusNoContent, http.MethodPut, "/certificate/"+number(num(again["certificate_id"]))+"/revoke", obj{"skip_approval": true})
		want := map[bool]string{false: statusIssued, true: statusRevoked}[preference]
		if info := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil); info["status"] != want {
			t.Errorf("after the last one: the order is %v, want %s", info["status"], want)
		}
	}
}

func TestCodeOfATakenMark(t *testing.T) {
	r := newRig(t)
	r.call(http.StatusOK, http.MethodPatch, "/_sandbox/settings", obj{"unique_alternative_ids": true, "taken_mark_code": "duplicate_order"})
	order := with(dvOrder(t, "example.com"), "alternative_order_id", "abc")
	r.call(http.StatusCreated, http.MethodPost, dv, order)
	if codes := r.codes(http.StatusBadRequest, http.MethodPost, dv, order); !slices.Equal(codes, []string{"duplicate_order"}) {
		t.Errorf("codes %v", codes)
	}
}

// What comes for free is not dropped by a reissue that does not name it.
func TestFreeCounterpartIsNotDropped(t *testing.T) {
	r := newRig(t)
	r.call(http.StatusOK, http.MethodPatch, "/_sandbox/settings", obj{"free_counterpart": true})
	placed := r.bought(nil, "example.com")
	r.call(http.StatusCreated, http.MethodPost, orderPath(placed["id"])+"/reissue", reissueOf(t, "example.com"))
	entries := r.s.Ledger().Entries
	if last := entries[len(entries)-1]; last.Kind != sandbox.Reissue || last.Detail != "" || len(last.Names) != 2 {
		t.Errorf("ledger: %+v", last)
	}
}

// The page of the ssl endpoint has a rule of its own about short certificates; that of the DV products has another.
func TestShortCertificatesByHint(t *testing.T) {
	r := newRig(t)
	short := func(o obj) obj {
		return with(with(o, "certificate.cert_validity", obj{"days": 100}), "order_validity", obj{"years": 2})
	}
	for path, c := range map[string]struct {
		order obj
		days  int
	}{
		"/order/certificate/ssl": {short(with(ovOrder(t, "www.example.com"), "product.type_hint", "ov")), 199},
		dv:                       {short(dvOrder(t, "www.example.com")), 100},
	} {
		placed := r.call(http.StatusCreated, http.MethodPost, path, c.order)
		r.validated(placed, "www.example.com")
		leaf := r.chainOf(placed["certificate_id"])[0]
		if got := int(leaf.NotAfter.Sub(leaf.NotBefore).Round(day) / day); got != c.days {
			t.Errorf("%s: %d days", path, got)
		}
		remarked := false
		for _, call := range r.s.Calls() {
			remarked = remarked || call.Path == path && strings.Contains(strings.Join(call.Remarks, " "), "replaced by the longest")
		}
		if remarked != (c.days == 199) {
			t.Errorf("%s: remarks in %+v", path, r.s.Calls())
		}
	}
}

func TestRenewedOrderID(t *testing.T) {
	for told, want := range map[RenewedOrder][2]bool{TellsRenewal: {true, true}, TellsRenewed: {false, true}, TellsNothing: {false, false}} {
		r := newRig(t)
		r.call(http.StatusOK, http.MethodPatch, "/_sandbox/settings", obj{"renewed_order_id": string(told)})
		placed := r.bought(nil, "example.com")
		r.advance(280 * day)
		renewal := r.call(http.StatusCreated, http.MethodPost, dv, with(dvOrder(t, "example.com"), "renewal_of_order_id", num(placed["id"])))
		one := r.call(http.StatusOK, http.MethodGet, orderPath(placed["id"]), nil)
		two := r.call(http.StatusOK, http.MethodGet, orderPath(renewal["id"]), nil)
		if got := [2]bool{num(one["renewed_order_id"]) == num(renewal["id"]), num(two["renewed_order_id"]) == num(placed["id"])}; got != want || one["is_renewed"] != true {
			t.Errorf("%s: %v and %v", told, one["renewed_order_id"], two["renewed_order_id"])
		}
	}
	r := newRig(t)
	r.codes(http.StatusBadRequest, http.MethodPatch, "/_sandbox/settings", obj{"renewed_order_id": "x"})
}
