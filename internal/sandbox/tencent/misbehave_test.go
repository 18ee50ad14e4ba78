package tencent

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// Calls are chosen by their action, for there is one path.
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
		"reset after":     {sandbox.Misbehaviour{Kind: sandbox.Reset, After: true}, func(a answer) bool { return a.err != nil }, 1},
		"429":             {sandbox.Misbehaviour{Kind: sandbox.RateLimited}, func(a answer) bool { return a.status == 429 && bytes.Contains(a.body, []byte(tooMany)) }, 0},
		"503 before":      {sandbox.Misbehaviour{Kind: sandbox.ServerError}, func(a answer) bool { return a.status == 503 && bytes.Contains(a.body, []byte(internalError)) }, 0},
		"502 after":       {sandbox.Misbehaviour{Kind: sandbox.ServerError, Status: 502, After: true}, func(a answer) bool { return a.status == 502 }, 1},
		"HTML":            {sandbox.Misbehaviour{Kind: sandbox.HTML, After: true}, func(a answer) bool { return bytes.Contains(a.body, []byte("<html>")) }, 1},
		"truncated":       {sandbox.Misbehaviour{Kind: sandbox.Truncated}, func(a answer) bool { return a.status == 200 && !json.Valid(a.body) && a.err == nil }, 1},
		"cut":             {sandbox.Misbehaviour{Kind: sandbox.Cut}, func(a answer) bool { return a.status == 200 && a.err != nil }, 1},
		"slow":            {sandbox.Misbehaviour{Kind: sandbox.Slow, Delay: sandbox.Delay(time.Millisecond)}, func(a answer) bool { return a.status == 200 }, 1},
		"this action":     {sandbox.Misbehaviour{Kind: sandbox.Drop, Path: "/CreateCertificate"}, func(a answer) bool { return a.err != nil }, 0},
		"such actions":    {sandbox.Misbehaviour{Kind: sandbox.Drop, Path: "/Create*"}, func(a answer) bool { return a.err != nil }, 0},
		"another action":  {sandbox.Misbehaviour{Kind: sandbox.Drop, Path: "/DescribeCertificates"}, func(a answer) bool { return a.status == 200 }, 1},
		"the second call": {sandbox.Misbehaviour{Kind: sandbox.Drop, Skip: 1}, func(a answer) bool { return a.status == 200 }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if err := r.s.Misbehave(c.b); err != nil {
				t.Fatal(err)
			}
			req := r.signed("CreateCertificate", obj{"ProductId": dnspodDV, "DomainNum": 1, "TimeSpan": 1})
			var a answer
			a.status, a.body, a.err = r.send(req)
			if !c.fits(a) {
				t.Errorf("status %d, %v: %s", a.status, a.err, a.body)
			}
			if n := r.count(sandbox.Purchase); n != c.bought {
				t.Errorf("%d purchases, want %d", n, c.bought)
			}
		})
	}
}

func TestFlippedTypes(t *testing.T) {
	r := newRig(t)
	id := r.bought(dnspodDV, 1)
	r.own(http.StatusNoContent, http.MethodPost, "misbehave", obj{"kind": "flip-types", "path": "/DescribeCertificateDetail"})
	if d := r.detail(id); d["Status"] != "5" || num(d["PackageType"]) != dnspodDV {
		t.Errorf("not flipped: %v", d)
	}
}

func TestWrongCertificateIsHandedOut(t *testing.T) {
	r := newRig(t)
	r.issued(dnspodDV, "a.example.com")
	id := r.issued(dnspodDV, "b.example.com")
	for _, action := range []string{"DescribeCertificateDetail", "DownloadCertificate"} {
		if err := r.s.Misbehave(sandbox.Misbehaviour{Kind: sandbox.OtherCertificate, Path: "/" + action}); err != nil {
			t.Fatal(err)
		}
	}
	if leaf := chainOf(t, r.detail(id)["CertificatePublicKey"])[0]; leaf.Subject.CommonName != "a.example.com" {
		t.Errorf("detail: %s", leaf.Subject)
	}
	if all := members(t, r.call("DownloadCertificate", obj{"CertificateId": id})["Content"]); len(all) == 0 || chainOf(t, all["a.example.com.pem"])[0].Subject.CommonName != "a.example.com" {
		t.Errorf("archive: %v", all)
	}
	if leaf := chainOf(t, r.detail(id)["CertificatePublicKey"])[0]; leaf.Subject.CommonName != "b.example.com" {
		t.Errorf("misbehaves more than once: %s", leaf.Subject)
	}
}
