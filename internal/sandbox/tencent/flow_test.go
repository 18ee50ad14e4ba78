package tencent

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

func TestOrderByTXTRecord(t *testing.T) {
	r := newRig(t)
	id := r.bought(dnspodDV, 1, tag{"farm-order", "one"})
	if d := r.detail(id); num(d["Status"]) != statusPaid || d["Domain"] != nil || d["DvAuthDetail"] != nil || d["OrderId"] != nil || d["PackageType"] != "48" {
		t.Errorf("bought: %v", d)
	}
	if v := r.call("CertificateInfoSubmit", info(t, id, "shop.example.com")); len(v) != 1 {
		t.Errorf("more than a RequestId: %v", v)
	}
	if d := r.detail(id); num(d["Status"]) != statusPaid || d["Domain"] != "shop.example.com" || d["SubmittedData"] == nil {
		t.Errorf("with materials: %v", d)
	}
	v := r.call("CertificateOrderSubmit", obj{"CertId": id, "VerifyType": "DNS"})
	if num(v["Status"]) != statusReview || v["IsAudited"] != false || len(v["OrderId"].(string)) == 0 {
		t.Errorf("submitted: %v", v)
	}
	d := r.detail(id)
	list := auths(d)
	if len(list) != 1 || list[0]["DvAuthKey"] != "_dnsauth.shop.example.com" || list[0]["DvAuthSubDomain"] != "_dnsauth.shop" ||
		list[0]["DvAuthDomain"] != "example.com" || list[0]["DvAuthVerifyType"] != "TXT" || d["StatusMsg"] != messageDCV {
		t.Errorf("to be shown: %v", d)
	}
	check := func() obj {
		return r.call("CheckCertificateDomainVerification", obj{"CertificateId": id})["VerificationResults"].([]any)[0].(obj)
	}
	if c := check(); num(c["LocalCheck"]) != localMissing || num(c["CaCheck"]) != caFailed || c["Issued"] != false {
		t.Errorf("nothing is there: %v", c)
	}
	r.world.Publish(`_dnsauth.shop.example.com. 60 IN TXT "something else"`)
	if c := check(); num(c["LocalCheck"]) != localDiffers {
		t.Errorf("another record: %v", c)
	}
	r.publish(id)
	if c := check(); num(c["LocalCheck"]) != localOK || num(c["CaCheck"]) != caPassed || c["Issued"] != true || c["Domain"] != "shop.example.com" {
		t.Errorf("published: %v", c)
	}
	d = r.detail(id)
	if num(d["Status"]) != statusIssued || d["DvAuthDetail"] != nil || d["SubmittedData"] != nil || d["CertificatePrivateKey"] != nil {
		t.Errorf("issued: %v", d)
	}
	chain := chainOf(t, d["CertificatePublicKey"])
	leaf := chain[0]
	if !leaf.PublicKey.(*ecdsa.PublicKey).Equal(testKey().Public()) || leaf.CheckSignatureFrom(chain[1]) != nil || leaf.VerifyHostname("shop.example.com") != nil {
		t.Errorf("leaf %v", leaf.Subject)
	}
	if life := leaf.NotAfter.Sub(leaf.NotBefore).Round(day); life != time.Duration(longest(r.s.Now()))*day {
		t.Errorf("it lives for %v", life)
	}
	if d["CertFingerprint"] != sandbox.Thumbprint(leaf.Raw) || d["CertEndTime"] != leaf.NotAfter.Add(8*time.Hour).UTC().Format(timeForm) {
		t.Errorf("times and fingerprint: %v", d)
	}
	if n := r.count(sandbox.Purchase); n != 1 || r.count(sandbox.Issue) != 1 || r.count(AutoRenew) != 0 {
		t.Errorf("%d purchases", n)
	}
}

func num(v any) int {
	f, ok := v.(float64)
	if !ok {
		return -100
	}
	return int(f)
}

func TestOrderByCNAMERecordOfSeveralNames(t *testing.T) {
	r := newRig(t)
	id, _ := r.submitted(trustAsiaAll, methodDNS, "*.example.com", "example.com", "*.shop.example.org")
	list := auths(r.detail(id))
	if len(list) != 3 || list[0]["DvAuthKey"] != list[1]["DvAuthKey"] || list[0]["DvAuthValue"] != list[1]["DvAuthValue"] || list[0]["DvAuthKey"] == list[2]["DvAuthKey"] {
		t.Fatalf("to be shown: %v", list)
	}
	r.show(list[0])
	results := func() (all []int) {
		for _, v := range r.call("CheckCertificateDomainVerification", obj{"CertificateId": id})["VerificationResults"].([]any) {
			all = append(all, num(v.(obj)["LocalCheck"]))
		}
		return all
	}
	if got := results(); !slices.Equal(got, []int{localOK, localOK, localAliasMissing}) {
		t.Errorf("one of two records: %v", got)
	}
	r.world.Publish(list[2]["DvAuthKey"].(string) + ". 60 IN CNAME elsewhere.example.")
	if got := results(); got[2] != localAliasDiffers {
		t.Errorf("another target: %v", got)
	}
	r.world.Withdraw(list[2]["DvAuthKey"].(string), "CNAME")
	r.show(list[2])
	r.look()
	d := r.detail(id)
	leaf := chainOf(t, d["CertificatePublicKey"])[0]
	if num(d["Status"]) != statusIssued || !slices.Contains(leaf.DNSNames, "shop.example.org") || len(d["SubjectAltName"].([]any)) != len(leaf.DNSNames)-1 {
		t.Errorf("issued: %v of %v", d["SubjectAltName"], leaf.DNSNames)
	}
	if all := r.call("DescribeCertificate", obj{"CertificateId": id})["SubjectAltName"].([]any); len(all) != len(leaf.DNSNames) {
		t.Errorf("DescribeCertificate has the main name, too: %v", all)
	}
}

// A name and its wildcard have one place for their records, and each a value of its own.
func TestTwoValuesAtOneName(t *testing.T) {
	r := newRig(t)
	id := r.bought(trustAsiaAll, 2)
	r.call("CertificateInfoSubmit", info(t, id, "*.example.com", "example.com"))
	r.call("CancelCertificateOrder", obj{"CertificateId": id})

	id = r.bought(23, 2) // GlobalSign: TXT records
	r.call("CertificateInfoSubmit", companyInfo(t, id, "*.example.com", "example.com"))
	if v := r.call("CertificateOrderSubmit", obj{"CertId": id, "VerifyType": methodDNS}); num(v["Status"]) != statusLetter || v["IsAudited"] != true {
		t.Errorf("OV: %v", v)
	}
	list := auths(r.detail(id))
	if len(list) != 2 || list[0]["DvAuthKey"] != list[1]["DvAuthKey"] || list[0]["DvAuthValue"] == list[1]["DvAuthValue"] {
		t.Fatalf("to be shown: %v", list)
	}
	r.publish(id)
	r.look()
	if s := r.status(id); s != statusLetter {
		t.Errorf("before the review: status %d", s)
	}
	r.own(http.StatusNoContent, http.MethodPost, "certificates/"+id+"/review", obj{"passed": true})
	leaf := chainOf(t, r.detail(id)["CertificatePublicKey"])[0]
	if leaf.Subject.Organization[0] != "x" || slices.Contains(leaf.DNSNames, "www.example.com") {
		t.Errorf("OV of GlobalSign: %v, %v", leaf.Subject, leaf.DNSNames)
	}
}

func TestOrderByFile(t *testing.T) {
	for name, c := range map[string]struct {
		product int64
		domain  string
		hosts   []string // where the file must stand
		withKey bool
	}{
		"apex, and www as well":        {dnspodDV, "example.com", []string{"example.com", "www.example.com"}, false},
		"www, and without as well":     {dnspodDV, "www.shop.example.com", []string{"www.shop.example.com", "shop.example.com"}, false},
		"another name":                 {wotrusDV, "shop.example.com", []string{"shop.example.com"}, false},
		"the path has the file's name": {dnspodDV, "shop.example.com", []string{"shop.example.com"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.configure(func(s *Settings) { s.PathWithFile = c.withKey })
			id, _ := r.submitted(c.product, methodFile, c.domain)
			a := auths(r.detail(id))[0]
			path := a["DvAuthPath"].(string)
			if c.withKey {
				if path != "/.well-known/pki-validation/fileauth.txt" {
					t.Fatalf("path %q", path)
				}
				a["DvAuthPath"] = strings.TrimSuffix(path, a["DvAuthKey"].(string))
			}
			if a["DvAuthVerifyType"] != kindFile || a["DvAuthSubDomain"] != "" || a["DvAuthDomain"] != "example.com" {
				t.Fatalf("to be shown: %v", a)
			}
			local := func() int {
				list := r.call("CheckCertificateDomainVerification", obj{"CertificateId": id})["VerificationResults"].([]any)
				return num(list[0].(obj)["LocalCheck"])
			}
			if got := local(); got != localFileMissing {
				t.Errorf("nothing is there: %d", got)
			}
			r.world.File("http", c.hosts[0]+a["DvAuthPath"].(string)+a["DvAuthKey"].(string), "something else")
			if got := local(); got != localFileDiffers {
				t.Errorf("another file: %d", got)
			}
			for i := range c.hosts {
				r.show(a, c.hosts[:i+1]...)
				want := localOK
				if i < len(c.hosts)-1 {
					want = localFileMissing
				}
				if got := local(); got != want {
					t.Errorf("on %v: %d", c.hosts[:i+1], got)
				}
			}
			if s := r.status(id); s != statusIssued {
				t.Errorf("status %d", s)
			}
		})
	}
}

func TestReviewByPeople(t *testing.T) {
	r := newRig(t)
	begin := func(manager string) string {
		id := r.bought(geotrustOV, 1)
		r.call("CertificateInfoSubmit", with(companyInfo(t, id, "example.com"), "ManagerId", manager))
		r.call("CertificateOrderSubmit", obj{"CertId": id, "VerifyType": methodDNS})
		return id
	}
	known := begin("30001") // the manager's review is done
	if s := r.status(known); s != statusReview {
		t.Errorf("a known manager: status %d", s)
	}
	letter := begin("30002")
	if d := r.detail(letter); num(d["Status"]) != statusLetter || d["StatusMsg"] != messagePreReview {
		t.Errorf("an unknown one: %v", d)
	}
	pdf := base64.StdEncoding.EncodeToString(append([]byte("%PDF-1.7\n"), make([]byte, 2000)...))
	for name, text := range map[string]string{"too short": "JVBERi0=", "no base64": "?", "another kind": base64.StdEncoding.EncodeToString(make([]byte, 2000))} {
		if code := r.code("UploadConfirmLetter", obj{"CertificateId": letter, "ConfirmLetter": text}); code != failedParam {
			t.Errorf("%s: %q", name, code)
		}
	}
	if v := r.call("UploadConfirmLetter", obj{"CertificateId": letter, "ConfirmLetter": pdf}); v["IsSuccess"] != true {
		t.Errorf("letter: %v", v)
	}
	if code := r.code("UploadConfirmLetter", obj{"CertificateId": letter, "ConfirmLetter": pdf}); code != failedStatus {
		t.Errorf("a second letter: %q", code)
	}
	r.publish(letter)
	r.look()
	if s := r.status(letter); s != statusIssued {
		t.Errorf("after the letter: status %d", s)
	}
	leaf := chainOf(t, r.detail(letter)["CertificatePublicKey"])[0]
	if leaf.Subject.Organization[0] != "Example Ltd" || leaf.Subject.Country[0] != "SG" {
		t.Errorf("subject %v", leaf.Subject)
	}
	refused := begin("0")
	r.own(http.StatusNoContent, http.MethodPost, "certificates/"+refused+"/review", obj{"passed": false, "message": "no such company"})
	if d := r.detail(refused); num(d["Status"]) != statusFailed || d["StatusMsg"] != "no such company" {
		t.Errorf("refused: %v", d)
	}
	r.own(http.StatusBadRequest, http.MethodPost, "certificates/"+refused+"/review", obj{"passed": true})
	r.call("ModifyCertificateResubmit", obj{"CertificateId": refused})
	if d := r.detail(refused); num(d["Status"]) != statusPaid || d["OrderId"] != nil {
		t.Errorf("resubmitted: %v", d)
	}
	if n := r.count(sandbox.Purchase); n != 3 {
		t.Errorf("%d purchases", n)
	}
}

func TestReplacement(t *testing.T) {
	r := newRig(t)
	old := r.issued(dnspodMulti, "example.com", "shop.example.com")
	before := chainOf(t, r.detail(old)["CertificatePublicKey"])[0]
	r.advance(100 * day)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ask := obj{"CertificateId": old, "ValidType": methodDNS, "CsrType": "Upload", "CsrContent": csrOf(t, key, "example.com"), "Reason": "key rotation"}
	id := r.call("ReplaceCertificate", ask)["CertificateId"].(string)
	if id == old {
		t.Fatal("the same id")
	}
	d := r.detail(id)
	if num(d["Status"]) != statusReissuing || d["CertificateExtra"].(obj)["ReplacedBy"] != old || len(auths(d)) != 2 {
		t.Errorf("the reissue: %v", d)
	}
	if o := r.detail(old); num(o["Status"]) != statusIssued || o["CertificateExtra"].(obj)["ReplacedFor"] != id {
		t.Errorf("the original: %v", o)
	}
	if code := r.code("ReplaceCertificate", ask); code != failedReplaced {
		t.Errorf("replaced twice: %q", code)
	}
	r.publish(id)
	r.look()
	leaf := chainOf(t, r.detail(id)["CertificatePublicKey"])[0]
	if !leaf.PublicKey.(*ecdsa.PublicKey).Equal(key.Public()) || !leaf.NotAfter.Equal(before.NotAfter) || leaf.VerifyHostname("shop.example.com") != nil {
		t.Errorf("leaf until %v, not %v", leaf.NotAfter, before.NotAfter)
	}
	if s := r.status(old); s != statusIssued {
		t.Errorf("the original then: status %d", s)
	}
	if n := r.count(sandbox.Purchase); n != 1 || r.count(sandbox.Reissue) != 1 {
		t.Errorf("%d purchases", n)
	}
	if again := r.call("ReplaceCertificate", with(ask, "CertificateId", id))["CertificateId"]; again == id {
		t.Errorf("a reissue of the reissue: %v", again)
	}
}

func TestReplacementSettings(t *testing.T) {
	r := newRig(t)
	r.configure(func(s *Settings) {
		s.ReplaceValidity, s.ReplaceStatus, s.ReplaceLinks, s.ReuseDays = WholeTerm, AtOld, LinksByName, 200
	})
	old := r.issued(dnspodDV, "shop.example.com")
	first := chainOf(t, r.detail(old)["CertificatePublicKey"])[0]
	r.advance(60 * day)
	// The domain was shown 60 days ago, so that there is nothing to be shown, and the reissue is there at once.
	id := r.call("ReplaceCertificate", obj{"CertificateId": old, "ValidType": methodDNS})["CertificateId"].(string)
	d := r.detail(id)
	leaf := chainOf(t, d["CertificatePublicKey"])[0]
	if num(d["Status"]) != statusIssued || !leaf.NotAfter.After(first.NotAfter) || d["CertificateExtra"].(obj)["ReplacedFor"] != old {
		t.Errorf("reissue until %v after %v: %v", leaf.NotAfter, first.NotAfter, d)
	}
	r.configure(func(s *Settings) { s.ReuseDays = 0 })
	third := r.call("ReplaceCertificate", obj{"CertificateId": id, "ValidType": methodDNS, "CsrType": "Online", "CertCSREncryptAlgo": "ECC1"})["CertificateId"].(string)
	if a, b := r.status(id), r.status(third); a != statusReissuing || b != statusReview {
		t.Errorf("statuses %d and %d", a, b)
	}
	r.call("CancelAuditCertificate", obj{"CertificateId": third})
	if a, b := r.status(id), r.status(third); a != statusIssued || b != statusCanceled {
		t.Errorf("canceled: statuses %d and %d", a, b)
	}
	r.configure(func(s *Settings) { s.ReplaceSubmits = true })
	fourth := r.call("ReplaceCertificate", obj{"CertificateId": id, "ValidType": methodDNS})["CertificateId"].(string)
	if s := r.status(fourth); s != statusPaid {
		t.Errorf("a reissue that must be submitted: status %d", s)
	}
	if code := r.code("CertificateInfoSubmit", info(t, fourth, "other.example.com")); code != failedDomain {
		t.Errorf("other names: %q", code)
	}
	r.call("CertificateInfoSubmit", info(t, fourth, "shop.example.com"))
	r.call("CertificateOrderSubmit", obj{"CertId": fourth})
	r.publish(fourth)
	r.look()
	leaf = chainOf(t, r.detail(fourth)["CertificatePublicKey"])[0]
	if end := r.s.Certificates()[0].Ends; leaf.NotAfter.After(end) {
		t.Errorf("it outlasts the term: %v after %v", leaf.NotAfter, end)
	}
	if n := r.count(sandbox.Purchase); n != 1 {
		t.Errorf("%d purchases", n)
	}
}

// Where the service itself makes the second certificate of a year, it does so before the first ends.
func TestSuccessorsAndAutoRenew(t *testing.T) {
	r := newRig(t)
	r.configure(func(s *Settings) { s.Successors = true })
	first := r.issued(dnspodDV, "shop.example.com")
	r.advance(160 * day)
	list := r.s.Certificates()
	if len(list) != 1 {
		t.Fatalf("too early: %v", list)
	}
	r.advance(20 * day)
	list = r.s.Certificates()
	if len(list) != 2 || list[1].Replaces != first || list[1].Status != statusReissuing {
		t.Fatalf("no successor: %v", list)
	}
	r.publish(list[1].ID)
	r.look()
	if list = r.s.Certificates(); list[1].Status != statusIssued || !list[1].NotAfter.After(list[0].NotAfter) || list[1].NotAfter.After(list[0].Ends) {
		t.Errorf("successor: %v", list)
	}
	if n := r.count(sandbox.Purchase); n != 1 {
		t.Errorf("%d purchases", n)
	}

	r = newRig(t)
	id := r.bought(dnspodDV, 1)
	r.call("CertificateInfoSubmit", with(info(t, id, "shop.example.com"), "AutoRenewFlag", 1))
	if n := r.count(AutoRenew); n != 1 {
		t.Fatalf("the ledger has %d notes of AutoRenewFlag", n)
	}
	r.call("CertificateOrderSubmit", obj{"CertId": id})
	r.publish(id)
	r.look()
	r.advance(180 * day)
	r.advance(day)
	l := r.s.Ledger()
	if n := l.Count(sandbox.Purchase); n != 2 || l.Entries[len(l.Entries)-1].Renews != id {
		t.Errorf("%d purchases with AutoRenewFlag: %+v", n, l.Entries)
	}
	if d := r.detail(id); d["CertificateExtra"].(obj)["RenewOrder"] == nil {
		t.Errorf("no link: %v", d)
	}
}

func TestCancelAndResubmit(t *testing.T) {
	r := newRig(t)
	r.configure(func(s *Settings) { s.CancelTakes = sandbox.Delay(time.Minute) })
	id, _ := r.submitted(dnspodDV, methodDNS, "shop.example.com")
	r.call("CancelCertificateOrder", obj{"CertificateId": id})
	if s := r.status(id); s != statusCanceling {
		t.Errorf("at once: status %d", s)
	}
	if code := r.code("ModifyCertificateResubmit", obj{"CertificateId": id}); code != failed+".CertificateStatusNotAllowResubmit" {
		t.Errorf("resubmitted too early: %q", code)
	}
	r.advance(time.Minute)
	if s := r.status(id); s != statusCanceled {
		t.Errorf("after a minute: status %d", s)
	}
	r.call("ModifyCertificateResubmit", obj{"CertificateId": id})
	r.call("CertificateInfoSubmit", info(t, id, "shop.example.org"))
	r.call("CertificateOrderSubmit", obj{"CertId": id})
	if v := r.call("CancelAuditCertificate", obj{"CertificateId": id}); v["Result"] != true {
		t.Errorf("canceled: %v", v)
	}
	r.advance(time.Minute)
	r.own(http.StatusNoContent, http.MethodPost, "certificates/"+id+"/refund", nil)
	r.own(http.StatusBadRequest, http.MethodPost, "certificates/"+id+"/refund", nil)
	if s := r.status(id); s != statusRefunded {
		t.Errorf("refunded: status %d", s)
	}
	l := r.s.Ledger()
	if l.Count(sandbox.Cancel) != 2 || l.Count(sandbox.Refund) != 1 || l.Sum() != 0 {
		t.Errorf("ledger %+v", l.Entries)
	}
	issued := r.issued(dnspodDV, "shop.example.com")
	for _, action := range []string{"CancelCertificateOrder", "ModifyCertificateResubmit", "CancelAuditCertificate"} {
		if code := r.code(action, obj{"CertificateId": issued}); code == "" {
			t.Errorf("%s of an issued certificate", action)
		}
	}
}

func TestRevocation(t *testing.T) {
	r := newRig(t)
	id := r.issued(wotrusDV, "shop.example.com")
	r.own(http.StatusNoContent, http.MethodPost, "certificates/"+id+"/bind", obj{"bound": true})
	if code := r.code("RevokeCertificate", obj{"CertificateId": id}); code != failedRevokeResource {
		t.Errorf("bound: %q", code)
	}
	r.own(http.StatusNoContent, http.MethodPost, "certificates/"+id+"/bind", obj{"bound": false})
	list := r.call("RevokeCertificate", obj{"CertificateId": id, "Reason": "superseded"})["RevokeDomainValidateAuths"].([]any)
	if len(list) != 1 || list[0].(obj)["DomainValidateAuthDomain"] != "example.com" {
		t.Fatalf("to be shown: %v", list)
	}
	if code := r.code("RevokeCertificate", obj{"CertificateId": id}); code != failedRevoke {
		t.Errorf("twice: %q", code)
	}
	r.look()
	d := r.detail(id)
	if num(d["Status"]) != statusRevoking {
		t.Errorf("before the proof: %v", d)
	}
	r.show(d["DvRevokeAuthDetail"].([]any)[0].(obj))
	r.look()
	if d := r.detail(id); num(d["Status"]) != statusRevoked || r.count(sandbox.Revoke) != 1 {
		t.Errorf("after it: %v", d)
	}
	if code := r.code("DownloadCertificate", obj{"CertificateId": id}); code != failedStatus {
		t.Errorf("download: %q", code)
	}
	file := r.bought(dnspodDV, 1)
	r.call("CertificateInfoSubmit", info(t, file, "shop.example.com"))
	r.call("CertificateOrderSubmit", obj{"CertId": file, "VerifyType": methodFile})
	r.own(http.StatusNoContent, http.MethodPost, "certificates/"+file+"/show", nil)
	v := r.call("RevokeCertificate", obj{"CertificateId": file})["RevokeDomainValidateAuths"].([]any)[0].(obj)
	if v["DomainValidateAuthPath"] != filePath || v["DomainValidateAuthKey"] != fileName {
		t.Errorf("by file: %v", v)
	}
	r.own(http.StatusNoContent, http.MethodPost, "certificates/"+file+"/show", nil)
	if s := r.status(file); s != statusRevoked {
		t.Errorf("by file: status %d", s)
	}

	ov := r.bought(geotrustOV, 1)
	r.call("CertificateInfoSubmit", with(companyInfo(t, ov, "example.com"), "ManagerId", "30001"))
	r.call("CertificateOrderSubmit", obj{"CertId": ov})
	r.own(http.StatusNoContent, http.MethodPost, "certificates/"+ov+"/show", nil)
	r.call("RevokeCertificate", obj{"CertificateId": ov})
	if s := r.status(ov); s != statusRevokeLetter {
		t.Errorf("OV: status %d", s)
	}
	r.own(http.StatusNoContent, http.MethodPost, "certificates/"+ov+"/revocation-letter", nil)
	if s := r.status(ov); s != statusRevoked {
		t.Errorf("OV after the letter: status %d", s)
	}
}

func members(t *testing.T, content any) map[string]string {
	t.Helper()
	text, _ := content.(string)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range z.File {
		m, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(m)
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name] = string(b)
	}
	return all
}

func TestDownloads(t *testing.T) {
	r := newRig(t)
	id := r.issued(dnspodStar, "*.example.com")
	v := r.call("DownloadCertificate", obj{"CertificateId": id})
	all := members(t, v["Content"])
	chain := chainOf(t, all["Nginx/1__.example.com_bundle.crt"])
	if v["ContentType"] != "application/zip" || len(chain) != 2 || chain[0].Subject.CommonName != "*.example.com" || chain[0].CheckSignatureFrom(chain[1]) != nil {
		t.Errorf("archive: %v", all)
	}
	if extra := chainOf(t, all["Apache/1_root_bundle.crt"]); len(extra) != 2 || len(chainOf(t, all["Apache/2__.example.com.crt"])) != 1 {
		t.Errorf("for Apache: %d", len(extra))
	}
	for name, text := range all {
		if strings.Contains(text, "PRIVATE KEY") {
			t.Errorf("%s holds a key that the service never had", name)
		}
	}
	r.configure(func(s *Settings) { s.Zip, s.DetailPEM = ZipByConsole, LeafInDetail })
	all = members(t, r.call("DownloadCertificate", obj{"CertificateId": id})["Content"])
	if len(chainOf(t, all["_.example.com_nginx/_.example.com_bundle.crt"])) != 2 {
		t.Errorf("archive of the console: %v", all)
	}
	if n := len(chainOf(t, r.detail(id)["CertificatePublicKey"])); n != 1 {
		t.Errorf("the detail has %d certificates", n)
	}
	generated := r.bought(dnspodDV, 1)
	online := with(info(t, generated, "shop.example.com"), "Csr", nil)
	online["GenCsrType"], online["CsrEncryptAlgo"], online["CsrKeyParameter"] = "online", "ECC", "prime256v1"
	r.call("CertificateInfoSubmit", online)
	r.call("CertificateOrderSubmit", obj{"CertId": generated})
	r.publish(generated)
	r.look()
	r.configure(func(s *Settings) { s.Zip = ZipByServer })
	all = members(t, r.call("DownloadCertificate", obj{"CertificateId": generated})["Content"])
	if !strings.Contains(all["Nginx/2_shop.example.com.key"], "PRIVATE KEY") || all["IIS/shop.example.com.pfx"] == "" {
		t.Errorf("with the service's key: %v", all)
	}
}
