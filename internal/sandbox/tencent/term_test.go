package tencent

import (
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// A year that was paid for is used up by reissues, none of which outlasts it.
func TestYearOfReissues(t *testing.T) {
	r := newRig(t)
	r.configure(func(s *Settings) { s.ReplaceValidity, s.ReuseDays = WholeTerm, 400 })
	id := r.issued(dnspodDV, "shop.example.com")
	term := r.s.Certificates()[0].Ends
	if years := term.Sub(r.s.Now()); years < 364*day || years > 365*day {
		t.Fatalf("the term lasts %v", years)
	}
	reissues := 0
	for {
		list := r.s.Certificates()
		last := list[len(list)-1]
		if last.NotAfter.After(term) {
			t.Fatalf("%v outlasts the term until %v", last, term)
		}
		if last.NotAfter.Equal(term) {
			break
		}
		r.advance(last.NotAfter.Sub(r.s.Now()) - 31*day)
		id = r.call("ReplaceCertificate", obj{"CertificateId": id, "ValidType": methodDNS})["CertificateId"].(string)
		if s := r.status(id); s != statusIssued {
			t.Fatalf("reissue %d: status %d", reissues, s)
		}
		reissues++
	}
	if n := r.count(sandbox.Purchase); n != 1 || reissues < 2 || r.count(sandbox.Reissue) != reissues {
		t.Errorf("%d purchases, %d reissues", n, reissues)
	}
}

// What was shown for an earlier order is not asked for again, but what was not is.
func TestDomainsAreUsedAgain(t *testing.T) {
	r := newRig(t)
	r.configure(func(s *Settings) { s.ReuseDays = 10 })
	r.issued(dnspodDV, "shop.example.com")
	id, _ := r.submitted(dnspodMulti, methodDNS, "blog.example.com", "shop.example.com")
	list := auths(r.detail(id))
	if len(list) != 1 || list[0]["DvAuthKey"] != "_dnsauth.blog.example.com" {
		t.Errorf("to be shown: %v", list)
	}
	if other, _ := r.submitted(wotrusDV, methodDNS, "shop.example.com"); len(auths(r.detail(other))) != 1 {
		t.Error("another brand uses it")
	}
	at := r.s.Now()
	same, v := r.submitted(dnspodDV, methodDNS, "shop.example.com")
	if d := r.detail(same); num(d["Status"]) != statusIssued || d["DvAuthDetail"] != nil || num(v["Status"]) != statusReview {
		t.Errorf("at once: %v after %v", d, v)
	}
	r.advance(11 * day)
	if late, _ := r.submitted(dnspodDV, methodDNS, "shop.example.com"); len(auths(r.detail(late))) != 1 {
		t.Errorf("after %v it is used still", r.s.Now().Sub(at).Round(time.Hour))
	}
}

func TestMoneyIsSpent(t *testing.T) {
	r := newRig(t)
	if err := r.s.SetBalance(12500); err != nil {
		t.Fatal(err)
	}
	buy := obj{"ProductId": dnspodDV, "DomainNum": 1, "TimeSpan": 1}
	r.call("CreateCertificate", buy)
	r.call("CreateCertificate", buy)
	if code := r.code("CreateCertificate", buy); code != failedBalance {
		t.Errorf("the third one: %q", code)
	}
	l := r.s.Ledger()
	if l.Sum() != 10000 || l.Count(sandbox.Purchase) != 2 {
		t.Errorf("ledger %+v", l.Entries)
	}
}
