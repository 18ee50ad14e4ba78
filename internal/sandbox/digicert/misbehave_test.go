package digicert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

func TestMisbehavingCalls(t *testing.T) {
	type answer struct {
		status int
		body   []byte
		err    error
	}
	for name, c := range map[string]struct {
		b      sandbox.Misbehaviour
		fits   func(a answer) bool
		bought int
	}{
		"dropped before":  {sandbox.Misbehaviour{Kind: sandbox.Drop}, func(a answer) bool { return a.err != nil }, 0},
		"dropped after":   {sandbox.Misbehaviour{Kind: sandbox.Drop, After: true}, func(a answer) bool { return a.err != nil }, 1},
		"reset before":    {sandbox.Misbehaviour{Kind: sandbox.Reset}, func(a answer) bool { return a.err != nil }, 0},
		"reset after":     {sandbox.Misbehaviour{Kind: sandbox.Reset, After: true}, func(a answer) bool { return a.err != nil }, 1},
		"429":             {sandbox.Misbehaviour{Kind: sandbox.RateLimited, RetryAfter: "7"}, func(a answer) bool { return a.status == 429 && json.Valid(a.body) }, 0},
		"503 before":      {sandbox.Misbehaviour{Kind: sandbox.ServerError}, func(a answer) bool { return a.status == 503 && json.Valid(a.body) }, 0},
		"502 after":       {sandbox.Misbehaviour{Kind: sandbox.ServerError, Status: 502, After: true}, func(a answer) bool { return a.status == 502 }, 1},
		"HTML":            {sandbox.Misbehaviour{Kind: sandbox.HTML, After: true}, func(a answer) bool { return a.status == 200 && bytes.Contains(a.body, []byte("<html>")) }, 1},
		"truncated":       {sandbox.Misbehaviour{Kind: sandbox.Truncated}, func(a answer) bool { return a.status == 201 && len(a.body) > 0 && !json.Valid(a.body) && a.err == nil }, 1},
		"cut":             {sandbox.Misbehaviour{Kind: sandbox.Cut}, func(a answer) bool { return a.status == 201 && a.err != nil }, 1},
		"slow":            {sandbox.Misbehaviour{Kind: sandbox.Slow, Delay: sandbox.Delay(time.Millisecond)}, func(a answer) bool { return a.status == 201 }, 1},
		"flipped":         {sandbox.Misbehaviour{Kind: sandbox.FlipTypes}, func(a answer) bool { return bytes.Contains(a.body, []byte(`"id":"9001`)) }, 1},
		"not this method": {sandbox.Misbehaviour{Kind: sandbox.Drop, Method: "GET"}, func(a answer) bool { return a.status == 201 }, 1},
		"not this path":   {sandbox.Misbehaviour{Kind: sandbox.Drop, Path: "/order/*/reissue"}, func(a answer) bool { return a.status == 201 }, 1},
		"this path":       {sandbox.Misbehaviour{Kind: sandbox.Drop, Path: "/order/certificate/*"}, func(a answer) bool { return a.err != nil }, 0},
		"all below":       {sandbox.Misbehaviour{Kind: sandbox.Drop, Path: "/order/**"}, func(a answer) bool { return a.err != nil }, 0},
		"the second one":  {sandbox.Misbehaviour{Kind: sandbox.Drop, Skip: 1}, func(a answer) bool { return a.status == 201 }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if err := r.s.Misbehave(c.b); err != nil {
				t.Fatal(err)
			}
			var a answer
			a.status, a.body, a.err = r.raw(http.MethodPost, dv, dvOrder(t, "example.com"))
			if !c.fits(a) {
				t.Errorf("status %d, %v: %s", a.status, a.err, a.body)
			}
			if n := r.count(sandbox.Purchase); n != c.bought {
				t.Errorf("%d purchases, want %d", n, c.bought)
			}
		})
	}
}

func TestWrongCertificateIsHandedOut(t *testing.T) {
	r := newRig(t)
	r.bought(nil, "a.example.com")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	second := r.bought(func(o obj) obj { return with(o, "certificate.csr", csrOf(t, key)) }, "b.example.com")
	if err := r.s.Misbehave(sandbox.Misbehaviour{Kind: sandbox.OtherCertificate, Path: "/certificate/**"}); err != nil {
		t.Fatal(err)
	}
	if leaf := r.chainOf(second["certificate_id"])[0]; leaf.Subject.CommonName != "a.example.com" {
		t.Errorf("got %s", leaf.Subject)
	}
	if leaf := r.chainOf(second["certificate_id"])[0]; leaf.Subject.CommonName != "b.example.com" {
		t.Errorf("misbehaves more than once: %s", leaf.Subject)
	}
}

func TestCallsAreRemembered(t *testing.T) {
	r := newRig(t)
	r.call(http.StatusCreated, http.MethodPost, "/order/certificate/ssl",
		with(with(ovOrder(t, "example.com"), "product.type_hint", "ov"), "validity_years", 1))
	if err := r.s.Misbehave(sandbox.Misbehaviour{Kind: sandbox.ServerError}); err != nil {
		t.Fatal(err)
	}
	r.call(http.StatusServiceUnavailable, http.MethodGet, "/user/me", nil)
	calls := r.s.Calls()
	if len(calls) != 2 || calls[0].Status != 201 || !strings.Contains(strings.Join(calls[0].Remarks, " "), "validity_years is deprecated") || calls[1].Misbehaved != "server-error" {
		t.Errorf("calls %+v", calls)
	}
	for _, c := range calls {
		if text, _ := json.Marshal(c); strings.Contains(string(text), r.key) {
			t.Error("a call remembers the key")
		}
	}
	r.s.ClearCalls()
	if n := len(r.s.Calls()); n != 0 {
		t.Errorf("%d calls", n)
	}
}
