package tencent

import (
	"sync"
	"testing"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// Calls at the same time are all counted, and none sees half of another.
func TestManyAtOnce(t *testing.T) {
	r := newRig(t)
	const programs, purchases = 8, 5
	var all sync.WaitGroup
	for range programs {
		all.Go(func() {
			for range purchases {
				if _, _, err := r.send(r.signed("CreateCertificate", obj{"ProductId": dnspodDV, "DomainNum": 1, "TimeSpan": 1})); err != nil {
					t.Error(err)
				}
				if _, _, err := r.send(r.signed("DescribeCertificates", obj{"Limit": 100})); err != nil {
					t.Error(err)
				}
				if err := r.s.LookNow(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for _, cert := range r.s.Certificates() {
		seen[cert.ID] = true
	}
	if n := r.count(sandbox.Purchase); n != programs*purchases || len(seen) != n {
		t.Errorf("%d purchases, %d ids", n, len(seen))
	}
}

// What was seen proves the order that was looked at, not one that has replaced it meanwhile.
func TestOrderThatChangesWhileItIsLookedAt(t *testing.T) {
	r := newRig(t)
	id, _ := r.submitted(dnspodDV, methodDNS, "shop.example.com")
	seen, ok := r.s.toSee(id, r.s.Now())
	if !ok {
		t.Fatal("nothing to see")
	}
	verdicts := []verdict{{auth: seen.auths[0], local: localOK}}
	r.call("CancelAuditCertificate", obj{"CertificateId": id})
	r.call("ModifyCertificateResubmit", obj{"CertificateId": id})
	r.call("CertificateInfoSubmit", info(t, id, "blog.example.com"))
	r.call("CertificateOrderSubmit", obj{"CertId": id})
	if err := r.s.shown(id, seen, verdicts); err != nil {
		t.Fatal(err)
	}
	if list := auths(r.detail(id)); len(list) != 1 || r.s.Certificates()[0].Status != statusReview {
		t.Errorf("shown by the earlier order: %v", r.s.Certificates())
	}
	if err := r.s.tryIssue(t.Context(), id); err != nil || r.s.Certificates()[0].Status != statusReview {
		t.Errorf("issued by the earlier order: %v, %v", err, r.s.Certificates())
	}
}

// A reissue is made once, however many ask for it.
func TestOneReissueOfMany(t *testing.T) {
	r := newRig(t)
	id := r.issued(dnspodDV, "shop.example.com")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, _, err := r.send(r.signed("ReplaceCertificate", obj{"CertificateId": id, "ValidType": methodDNS})); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := r.count(sandbox.Reissue); n != 1 {
		t.Errorf("%d reissues", n)
	}
}
