package servertastic

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// Each call that spends goes wrong in each way, before the work or after it.
func TestMisbehavingCalls(t *testing.T) {
	t.Parallel()
	type answer struct {
		status int
		body   []byte
		err    error
	}
	lost := func(a answer) bool { return a.err != nil }
	for name, c := range map[string]struct {
		b    sandbox.Misbehaviour
		fits func(a answer) bool
		done int
	}{
		"dropped before":  {sandbox.Misbehaviour{Kind: sandbox.Drop}, lost, 0},
		"dropped after":   {sandbox.Misbehaviour{Kind: sandbox.Drop, After: true}, lost, 1},
		"reset after":     {sandbox.Misbehaviour{Kind: sandbox.Reset, After: true}, lost, 1},
		"429":             {sandbox.Misbehaviour{Kind: sandbox.RateLimited, RetryAfter: "7"}, func(a answer) bool { return a.status == 429 && json.Valid(a.body) }, 0},
		"503 before":      {sandbox.Misbehaviour{Kind: sandbox.ServerError}, func(a answer) bool { return a.status == 503 && json.Valid(a.body) }, 0},
		"502 after":       {sandbox.Misbehaviour{Kind: sandbox.ServerError, Status: 502, After: true}, func(a answer) bool { return a.status == 502 }, 1},
		"HTML":            {sandbox.Misbehaviour{Kind: sandbox.HTML, After: true}, func(a answer) bool { return a.status == 200 && bytes.Contains(a.body, []byte("<html>")) }, 1},
		"truncated":       {sandbox.Misbehaviour{Kind: sandbox.Truncated}, func(a answer) bool { return a.status == 200 && len(a.body) > 0 && !json.Valid(a.body) && a.err == nil }, 1},
		"cut":             {sandbox.Misbehaviour{Kind: sandbox.Cut}, func(a answer) bool { return a.status == 200 && a.err != nil }, 1},
		"slow":            {sandbox.Misbehaviour{Kind: sandbox.Slow, Delay: sandbox.Delay(time.Millisecond)}, func(a answer) bool { return a.status == 200 }, 1},
		"not this method": {sandbox.Misbehaviour{Kind: sandbox.Drop, Method: "PUT"}, func(a answer) bool { return a.status == 200 }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			try := func(path, counted string, f form) {
				b := c.b
				b.Path = "/" + path + ".json"
				if err := r.s.Misbehave(b); err != nil {
					t.Fatal(err)
				}
				before := r.count(counted)
				var a answer
				a.status, a.body, a.err = r.raw(methodOf(path), path, f)
				if !c.fits(a) {
					t.Errorf("%s: status %d, %v: %s", path, a.status, a.err, a.body)
				}
				if n := r.count(counted) - before; n != c.done {
					t.Errorf("%s: %d times, want %d", path, n, c.done)
				}
				r.s.Behave()
			}
			try("order/generatetoken", sandbox.Purchase, form{
				"api_key": r.s.Key(), "st_product_code": "RapidSSL-12", "end_customer_email": "none", "reseller_unique_reference": "a",
			})
			try("order/place", Placed, r.placement(r.bought("RapidSSL-12"), "example.com"))
			token := r.issued("RapidSSL-12", "example.org")
			try("order/reissue", sandbox.Reissue, form{"order_token": token, "csr": csrFor(t, newKey(t), "example.org")})
			try("order/cancel", sandbox.Cancel, form{"order_token": r.bought("RapidSSL-12")})
		})
	}
}

func TestFlippedTypes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	token := r.issued("RapidSSL-12", "example.com")
	if err := r.s.Misbehave(sandbox.Misbehaviour{Kind: sandbox.FlipTypes}); err != nil {
		t.Fatal(err)
	}
	if v := r.review(token); v["san_count"] != "0" || v["provider_order_id"] == nil {
		t.Errorf("flipped: %v", v)
	} else if _, number := v["provider_order_id"].(float64); !number {
		t.Errorf("flipped: %v", v)
	}
}

func TestWrongCertificateIsHandedOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.issued("RapidSSL-12", "a.example.com")
	token := r.issued("RapidSSL-12", "b.example.com")
	if err := r.s.Misbehave(sandbox.Misbehaviour{Kind: sandbox.OtherCertificate, Path: "/order/review.json"}); err != nil {
		t.Fatal(err)
	}
	if list := leaves(t, r.review(token)); len(list) != 1 || list[0].Subject.CommonName != "a.example.com" {
		t.Errorf("got %v", list)
	}
	if list := leaves(t, r.review(token)); len(list) != 1 || list[0].Subject.CommonName != "b.example.com" {
		t.Errorf("misbehaves more than once: %v", list)
	}
}

func TestCallsAreRemembered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.refused(401, "order/review", form{"order_token": "x"})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/elsewhere", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	calls := r.s.Calls()
	if resp.StatusCode != http.StatusNotFound || len(calls) != 1 || calls[0].Path != "/order/review.json" || calls[0].Status != 401 || calls[0].Code != "401: Unauthorized" {
		t.Errorf("status %d, calls %+v", resp.StatusCode, calls)
	}
}
