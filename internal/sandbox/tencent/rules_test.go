package tencent

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// ruleCase changes one parameter of a good request; code is what it is refused with, empty where it is good.
type ruleCase struct {
	param string
	value any
	code  string
}

func checkRules(t *testing.T, r *rig, action string, good func() obj, cases map[string]ruleCase) {
	t.Helper()
	for name, c := range cases {
		if code := r.code(action, with(good(), c.param, c.value)); code != c.code {
			t.Errorf("%s, %s: %q, want %q", action, name, code, c.code)
		}
	}
}

func TestPurchaseRules(t *testing.T) {
	r := newRig(t)
	good := func() obj { return obj{"ProductId": dnspodDV, "DomainNum": 1, "TimeSpan": 1} }
	checkRules(t, r, "CreateCertificate", good, map[string]ruleCase{
		"good":                {"AutoVoucher", 0, ""},
		"no product":          {"ProductId", nil, missingParameter},
		"a product by name":   {"ProductId", "48", invalidParameter},
		"no such product":     {"ProductId", 1, invalidValue},
		"of CFCA":             {"ProductId", 99, invalidValue},
		"of the mainland":     {"ProductId", 102, invalidValue},
		"two names":           {"DomainNum", 2, invalidValue},
		"no names":            {"DomainNum", 0, invalidParameter},
		"no DomainNum":        {"DomainNum", nil, missingParameter},
		"two years":           {"TimeSpan", 2, invalidValue},
		"no TimeSpan":         {"TimeSpan", nil, missingParameter},
		"half a year":         {"TimeSpan", 0.5, invalidParameter},
		"voucher":             {"AutoVoucher", 2, invalidParameter},
		"null":                {"AutoVoucher", json.RawMessage("null"), invalidParameter},
		"tag":                 {"Tags", []obj{{"TagKey": "a", "TagValue": "b"}}, ""},
		"tag without a value": {"Tags", []obj{{"TagKey": "a"}}, ""},
		"tag without a key":   {"Tags", []obj{{"TagValue": "b"}}, missingParameter},
		"tag twice":           {"Tags", []obj{{"TagKey": "a"}, {"TagKey": "a"}}, invalidValue},
		"tag with more":       {"Tags", []obj{{"TagKey": "a", "Tag": "b"}}, unknownParameter},
		"client token":        {"ClientToken", "x", unknownParameter},
		"in lower case":       {"productId", 48, unknownParameter},
	})
	if n := r.count(sandbox.Purchase); n != 3 {
		t.Errorf("%d purchases", n)
	}
	// Money, vouchers and what the account may buy.
	r.own(http.StatusNoContent, http.MethodPost, "balance", obj{"cents": 4999})
	if code := r.code("CreateCertificate", good()); code != failedBalance {
		t.Errorf("no money: %q", code)
	}
	r.configure(func(s *Settings) { s.BalanceCode, s.Vouchers = "FailedOperation.CannotGetOrder", 1 })
	if code := r.code("CreateCertificate", with(good(), "AutoVoucher", 0)); code != "FailedOperation.CannotGetOrder" {
		t.Errorf("no money and no voucher: %q", code)
	}
	r.call("CreateCertificate", good())
	if code := r.code("CreateCertificate", good()); code == "" {
		t.Error("a voucher pays twice")
	}
	l := r.s.Ledger()
	if last := l.Entries[len(l.Entries)-1]; last.Amount != 0 || last.Detail != "paid by a voucher" {
		t.Errorf("by voucher: %+v", last)
	}
	r.own(http.StatusNoContent, http.MethodPost, "balance", obj{"cents": 1000000})
	r.configure(func(s *Settings) { s.Products, s.MostYears, s.TagKeys = []int64{dnspodMulti}, 3, []string{"farm"} })
	checkRules(t, r, "CreateCertificate", func() obj { return obj{"ProductId": dnspodMulti, "DomainNum": 3, "TimeSpan": 3} }, map[string]ruleCase{
		"good":            {"AutoVoucher", 0, ""},
		"known tag":       {"Tags", []obj{{"TagKey": "farm"}}, ""},
		"unknown tag":     {"Tags", []obj{{"TagKey": "barn"}}, failedParam},
		"four years":      {"TimeSpan", 4, invalidValue},
		"not his product": {"ProductId", dnspodDV, invalidValue},
	})
}

func TestMaterialsRules(t *testing.T) {
	r := newRig(t)
	single, multi, star := r.bought(dnspodDV, 1), r.bought(dnspodMulti, 3), r.bought(dnspodStar, 1)
	other := csrOf(t, testKey(), "other.example.com")
	long := strings.Repeat("a.", 130) + "example.com"
	checkRules(t, r, "CertificateInfoSubmit", func() obj { return info(t, single, "shop.example.com") }, map[string]ruleCase{
		"good":                      {"ManagerId", "0", ""},
		"no id":                     {"CertId", nil, missingParameter},
		"id under the other name":   {"CertificateId", single, unknownParameter},
		"no such certificate":       {"CertId", "Nobody12", failedNotFound},
		"ids differ by case":        {"CertId", swapCase(single), failedNotFound},
		"how":                       {"GenCsrType", "upload", invalidParameter},
		"no common name":            {"CertCommonName", "", missingParameter},
		"another common name":       {"CertCommonName", "www.example.com", failedParam},
		"address":                   {"CertCommonName", "192.0.2.1", failedDomain},
		"single label":              {"CertCommonName", "localhost", failedDomain},
		"too long":                  {"CertCommonName", long, failedDomain},
		"wildcard":                  {"CertCommonName", "*.example.com", failedDomain},
		"not ASCII":                 {"CertCommonName", "bücher.example", failedDomain},
		"names of a single product": {"DnsNames", []string{"www.example.com"}, failedDomain},
		"no names at all":           {"DnsNames", []string{}, ""},
		"company type as text":      {"CompanyType", "1", invalidParameter},
		"no such company type":      {"CompanyType", 3, invalidParameter},
		"no company":                {"CompanyId", nil, missingParameter},
		"company as number":         {"CompanyId", 0, invalidParameter},
		"another company":           {"CompanyId", "7", failedParam},
		"company by name":           {"CompanyId", "Example", failedParam},
		"another manager":           {"ManagerId", "7", failedParam},
		"no email":                  {"ContactEmail", nil, failedContactEmail},
		"a wrong email comes later": {"ContactEmail", "nobody", ""},
		"no CSR":                    {"Csr", nil, failedParam},
		"CSR of another name":       {"Csr", other, failedParam},
		"no CSR in it":              {"Csr", "x", failedParam},
		"way":                       {"VerifyType", "EMAIL", invalidParameter},
		"way of the mainland":       {"VerifyType", "DNS_AUTO", invalidParameter},
		"by file":                   {"VerifyType", "FILE", ""},
		"left out":                  {"VerifyType", nil, ""},
		"auto-renew":                {"AutoRenewFlag", 2, invalidParameter},
		"auto-renew as text":        {"AutoRenewFlag", "0", invalidParameter},
		"CA of DNSPod":              {"CaType", "sectigo", ""},
		"another CA":                {"CaType", "letsencrypt", failedRoot},
		"made there":                {"GenCsrType", "online", failedParam},
		"what nobody knows":         {"Alias", "x", unknownParameter},
		"for CFCA":                  {"OrgIdType", "TYDMZ", ""},
	})
	checkRules(t, r, "CertificateInfoSubmit", func() obj { return info(t, multi, "example.com", "shop.example.com") }, map[string]ruleCase{
		"good":                {"ManagerId", "0", ""},
		"three":               {"DnsNames", []string{"a.example.com", "b.example.com"}, ""},
		"four":                {"DnsNames", []string{"a.example.com", "b.example.com", "c.example.com"}, failedDomain},
		"none":                {"DnsNames", nil, failedParam},
		"the common name too": {"DnsNames", []string{"Example.com", "b.example.com"}, failedDomain},
		"wildcard":            {"DnsNames", []string{"*.example.com"}, failedDomain},
		"null in it":          {"DnsNames", []any{nil}, invalidParameter},
	})
	checkRules(t, r, "CertificateInfoSubmit", func() obj { return info(t, star, "*.example.com") }, map[string]ruleCase{
		"good":        {"ManagerId", "0", ""},
		"no wildcard": {"CertCommonName", "shop.example.com", failedDomain},
		"by file":     {"VerifyType", "FILE", failedParam},
		"two stars":   {"CertCommonName", "*.*.example.com", failedDomain},
	})
	online := func() obj {
		v := with(with(info(t, single, "shop.example.com"), "Csr", nil), "GenCsrType", "online")
		v["CsrEncryptAlgo"], v["CsrKeyParameter"] = "ECC", "prime256v1"
		return v
	}
	checkRules(t, r, "CertificateInfoSubmit", online, map[string]ruleCase{
		"good":              {"ManagerId", "0", ""},
		"no algorithm":      {"CsrEncryptAlgo", nil, failedParam},
		"no size":           {"CsrKeyParameter", "", failedParam},
		"another algorithm": {"CsrEncryptAlgo", "SM2", invalidAlgorithm},
		"another size":      {"CsrKeyParameter", "1024", invalidAlgorithm},
	})
	ov := r.bought(geotrustOV, 1)
	checkRules(t, r, "CertificateInfoSubmit", func() obj { return info(t, ov, "example.com") }, map[string]ruleCase{
		"an individual's": {"ManagerId", "0", failedParam},
	})
	cases := map[string]ruleCase{"good": {"ManagerId", "0", ""}, "country": {"OrgCountry", "SGP", failedParam}}
	for _, name := range slices.Concat(orgFields(), adminFields(), techFields()) {
		cases["without "+name] = ruleCase{name, nil, failedParam}
	}
	checkRules(t, r, "CertificateInfoSubmit", func() obj { return companyInfo(t, ov, "example.com") }, cases)
	for name, c := range map[string]struct {
		company, manager string
		leave            []string
		code             string
	}{
		"a manager stands for all":        {"0", "30001", slices.Concat(orgFields(), adminFields(), techFields()), ""},
		"a company for the organization":  {"20001", "0", orgFields(), ""},
		"a company is not an applicant":   {"20001", "0", adminFields(), failedParam},
		"nor has it a technical contact":  {"20001", "0", techFields(), failedParam},
		"a manager of none of the others": {"20001", "30001", techFields(), ""},
	} {
		v := with(with(companyInfo(t, ov, "example.com"), "CompanyId", c.company), "ManagerId", c.manager)
		for _, field := range c.leave {
			delete(v, field)
		}
		if code := r.code("CertificateInfoSubmit", v); code != c.code {
			t.Errorf("%s: %q", name, code)
		}
	}
	if n := r.count(sandbox.Purchase); n != 4 {
		t.Errorf("%d purchases", n)
	}
}

func swapCase(s string) string {
	if s == strings.ToLower(s) {
		return strings.ToUpper(s)
	}
	return strings.ToLower(s)
}

// Each error that the page of CertificateOrderSubmit lists, with what brings it about.
func TestSubmissionRules(t *testing.T) {
	r := newRig(t)
	fresh := func(change func(obj)) string {
		id := r.bought(dnspodDV, 1)
		v := info(t, id, "shop.example.com")
		if change != nil {
			change(v)
		}
		r.call("CertificateInfoSubmit", v)
		return id
	}
	foreign := Key{SecretID: "AKIDforeign", SecretKey: "foreign", Foreign: true}
	if err := r.s.AddKey(foreign); err != nil {
		t.Fatal(err)
	}
	uploaded, err := r.s.Upload("up.example.com", "")
	if err != nil {
		t.Fatal(err)
	}
	issued := r.issued(dnspodDV, "old.example.com")
	pending, _ := r.submitted(dnspodDV, methodDNS, "new.example.com")
	failedOne, _ := r.submitted(dnspodDV, methodDNS, "bad.example.com")
	if err := r.s.Review(t.Context(), failedOne, false, ""); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		id     string
		params obj
		do     func()
		undo   func()
		code   string
	}{
		"FailedOperation":        {fresh(nil), nil, func() { r.refuse(failed) }, nil, failed},
		"AuthError":              {fresh(nil), nil, func() { r.refuse(failedAuth) }, nil, failedAuth},
		"not submitted":          {r.bought(dnspodDV, 1), nil, nil, nil, failedInfoStatus},
		"failed":                 {failedOne, nil, nil, nil, failedInfoStatus},
		"CertificateInvalid":     {uploaded, nil, nil, nil, failedInvalid},
		"CertificateNotFound":    {"Nobody12", nil, nil, nil, failedNotFound},
		"processing":             {pending, nil, nil, nil, failedProcessing},
		"email":                  {fresh(func(v obj) { v["ContactEmail"] = "nobody" }), nil, nil, nil, failedEmail},
		"email with words":       {fresh(func(v obj) { v["ContactEmail"] = "Ann <ann@example.com>" }), nil, nil, nil, failedEmail},
		"status":                 {issued, nil, nil, nil, failedStatus},
		"no way":                 {fresh(func(v obj) { delete(v, "VerifyType") }), obj{"VerifyType": nil}, nil, nil, failedParam},
		"busy":                   {fresh(nil), nil, func() { r.configure(func(s *Settings) { s.CABusy = true }) }, func() { r.configure(func(s *Settings) { s.CABusy = false }) }, failedBusy},
		"project":                {fresh(nil), nil, func() { r.key = foreign }, func() { r.key = r.s.Key() }, failedProject},
		"identity":               {fresh(nil), nil, func() { r.configure(func(s *Settings) { s.Verified = false }) }, func() { r.configure(func(s *Settings) { s.Verified = true }) }, failedIdentity},
		"InternalError":          {fresh(nil), nil, func() { r.refuse(internalError) }, nil, internalError},
		"BackendResponseError":   {fresh(nil), nil, func() { r.refuse("InternalError.BackendResponseError") }, nil, "InternalError.BackendResponseError"},
		"way that there is not":  {fresh(nil), obj{"VerifyType": "EMAIL"}, nil, nil, invalidParameter},
		"DeleteDnsAutoRecord":    {fresh(nil), obj{"DeleteDnsAutoRecord": true}, nil, nil, invalidParameter},
		"what nobody knows":      {fresh(nil), obj{"CertificateId": "x"}, nil, nil, unknownParameter},
		"without an effect":      {fresh(nil), obj{"DeleteDnsAutoRecord": 1}, nil, nil, ""},
		"the materials' own way": {fresh(nil), obj{"VerifyType": nil}, nil, nil, ""},
		"another than theirs":    {fresh(nil), obj{"VerifyType": "FILE"}, nil, nil, ""},
	} {
		params := obj{"CertId": c.id, "VerifyType": "DNS"}
		for k, v := range c.params {
			params = with(params, k, v)
		}
		if c.do != nil {
			c.do()
		}
		if code := r.code("CertificateOrderSubmit", params); code != c.code {
			t.Errorf("%s: %q, want %q", name, code, c.code)
		}
		if c.undo != nil {
			c.undo()
		}
	}
	r.configure(func(s *Settings) { s.SubmittedTwice = failedStatus })
	if code := r.code("CertificateOrderSubmit", obj{"CertId": pending}); code != failedStatus {
		t.Errorf("submitted twice: %q", code)
	}
	// The materials cannot be changed any more.
	for id, want := range map[string]string{pending: failedInfoStatus, issued: failedStatus, failedOne: failedInfoStatus, uploaded: failedHosted} {
		if code := r.code("CertificateInfoSubmit", info(t, id, "shop.example.com")); code != want {
			t.Errorf("materials: %q, want %q", code, want)
		}
	}
}

func (r *rig) refuse(code string) {
	r.t.Helper()
	r.own(http.StatusNoContent, http.MethodPost, "refuse", obj{"code": code})
}

func TestReplacementRules(t *testing.T) {
	r := newRig(t)
	id := r.issued(dnspodDV, "shop.example.com")
	twin := r.issued(dnspodDV, "shop.example.com")
	star := r.issued(dnspodStar, "*.example.org")
	uploaded, err := r.s.Upload("up.example.com", "")
	if err != nil {
		t.Fatal(err)
	}
	good := func() obj {
		return obj{"CertificateId": id, "ValidType": "DNS", "CsrType": "Upload", "CsrContent": csrOf(t, testKey(), "shop.example.com")}
	}
	checkRules(t, r, "ReplaceCertificate", good, map[string]ruleCase{
		"no way":                 {"ValidType", nil, missingParameter},
		"another way":            {"ValidType", "EMAIL", invalidParameter},
		"zone is elsewhere":      {"ValidType", "DNS_AUTO", failedParam},
		"in lower case":          {"CsrType", "upload", invalidParameter},
		"no CSR":                 {"CsrContent", nil, failedParam},
		"CSR of another name":    {"CsrContent", csrOf(t, testKey(), "example.com"), failedParam},
		"uploaded":               {"CertificateId", uploaded, failedSource},
		"not there":              {"CertificateId", "Nobody12", failedNotFound},
		"bought":                 {"CertificateId", r.bought(dnspodDV, 1), failedStatus},
		"password in other case": {"CsrKeyPassword", "x", unknownParameter},
		"of the mainland":        {"SignAlgo", "x", unknownParameter},
	})
	if code := r.code("ReplaceCertificate", obj{"CertificateId": id, "ValidType": "DNS", "CsrType": "Online", "CertCSREncryptAlgo": "DSA"}); code != invalidAlgorithm {
		t.Errorf("algorithm: %q", code)
	}
	if code := r.code("ReplaceCertificate", obj{"CertificateId": star, "ValidType": "FILE"}); code != failedParam {
		t.Errorf("a wildcard by file: %q", code)
	}
	if code := r.code("ReplaceCertificate", good()); code != "" {
		t.Errorf("good: %q", code)
	}
	if code := r.code("ReplaceCertificate", with(good(), "CertificateId", twin)); code != failedReplace {
		t.Errorf("another one of the domain: %q", code)
	}
	left := r.s.Certificates()[2].NotAfter.Sub(r.s.Now())
	r.advance(left - 29*day)
	if code := r.code("ReplaceCertificate", obj{"CertificateId": star, "ValidType": "DNS"}); code != failedReplace {
		t.Errorf("too late: %q", code)
	}
	r.advance(30 * day)
	if s := r.status(star); s != statusExpired {
		t.Errorf("after its end: status %d", s)
	}
}

func TestMainlandSite(t *testing.T) {
	r := newRig(t, mainland)
	r.configure(func(s *Settings) { s.Zones = []string{"example.com"} })
	v := r.call("CreateCertificate", obj{"ProductId": 102, "DomainNum": 1, "TimeSpan": 1})
	id := v["CertificateIds"].([]any)[0].(string)
	if v["ResourceIds"] == nil {
		t.Errorf("bought: %v", v)
	}
	if code := r.code("CertificateInfoSubmit", with(info(t, id, "shop.example.com"), "VerifyType", methodAuto)); code != "" {
		t.Errorf("materials: %q", code)
	}
	if v := r.call("CertificateOrderSubmit", obj{"CertId": id, "VerifyType": methodAuto, "DeleteDnsAutoRecord": 1}); num(v["Status"]) != statusAutoRecord {
		t.Errorf("submitted: %v", v)
	}
	r.call("CompleteCertificate", obj{"CertificateId": id})
	d := r.detail(id)
	if num(d["Status"]) != statusIssued || d["CertType"] != typeDV || num(d["DomainType"]) != 1 {
		t.Errorf("issued: %v", d)
	}
	if code := r.code("CompleteCertificate", obj{"CertificateId": id}); code != "FailedOperation.CertificateNotFoundOrAudited" {
		t.Errorf("complete: %q", code)
	}
	other, _ := r.submitted(dnspodDV, methodDNS, "shop.example.com")
	if code := r.code("CompleteCertificate", obj{"CertificateId": other}); code != failed {
		t.Errorf("DNSPod: %q", code)
	}
	r.call("DescribeCertificates", obj{"ServiceId": "x"})
	r.header = func(h http.Header) { h.Del("X-TC-Language") }
	e := r.response("CompleteCertificate", obj{"CertificateId": other})["Error"].(obj)
	if !strings.HasPrefix(e["Message"].(string), "操作失败") {
		t.Errorf("not in Chinese: %v", e)
	}
	intl := newRig(t)
	for action, want := range map[string]string{"CompleteCertificate": invalidAction, "CreateCSR": unsupported, "DescribePackages": invalidAction, "SubmitCertificateInformation": unsupported} {
		if code := intl.code(action, obj{}); code != want {
			t.Errorf("%s at the international site: %q", action, code)
		}
	}
	if code := intl.code("DescribeCertificates", obj{"ServiceId": "x"}); code != unknownParameter {
		t.Errorf("ServiceId: %q", code)
	}
	if code := r.code("CreateCSR", obj{}); code != invalidAction {
		t.Errorf("CreateCSR at the mainland's site: %q", code)
	}
}

func TestDomainsInTime(t *testing.T) {
	r := newRig(t)
	id, _ := r.submitted(dnspodDV, methodDNS, "shop.example.com")
	entry := r.call("DescribeCertificates", obj{})["Certificates"].([]any)[0].(obj)
	deadline, err := time.ParseInLocation(timeForm, entry["DVAuthDeadline"].(string), beijing())
	if err != nil || deadline.Sub(r.s.Now()) < 6*day || entry["ValidationPassedTime"] != "--" {
		t.Errorf("entry %v", entry)
	}
	r.advance(8 * day)
	if d := r.detail(id); num(d["Status"]) != statusFailed || d["StatusMsg"] == nil {
		t.Errorf("too late: %v", d)
	}
}

// Whatever is sent as parameters, the answer is in the API's form and nothing is bought by a request that is refused.
func FuzzParameters(f *testing.F) {
	authority, err := sharedAuthority()
	if err != nil {
		f.Fatal(err)
	}
	s, err := New(Options{Authority: authority})
	if err != nil {
		f.Fatal(err)
	}
	for _, action := range []string{"CreateCertificate", "CertificateInfoSubmit", "DescribeCertificates"} {
		f.Add(action, `{"ProductId":48,"DomainNum":1,"TimeSpan":1,"Tags":[{"TagKey":"a","TagValue":"b"}]}`)
		f.Add(action, `{"Limit":18446744073709551615,"Offset":-1}`)
		f.Add(action, `{"CertId":"x","GenCsrType":"parse","CertCommonName":"\u0000","CompanyType":1,"CompanyId":"-9223372036854775809"}`)
		f.Add(action, `[]`)
	}
	f.Fuzz(func(t *testing.T, action, params string) {
		a, ok := s.actions[action]
		if !ok || strings.Contains(action, "Check") {
			return
		}
		before := s.Ledger()
		c := &call{r: (&http.Request{}).WithContext(t.Context()), action: action, body: []byte(params), now: s.Now()}
		var err error
		if c.params, err = sandbox.DecodeObject(c.body); err == nil {
			err = faultError(sandbox.Check(a.fields, c.params, true))
		}
		if err != nil {
			return
		}
		answer, err := a.do(c)
		var v struct{ Response obj }
		var wrong *apiError
		if err != nil {
			if wrong = errorOf(err); wrong.code == internalError {
				t.Errorf("%s %s: %v", action, params, err)
			}
		}
		if json.Unmarshal(envelope("id", wrong, answer), &v) != nil || v.Response["RequestId"] != "id" {
			t.Errorf("%s %s: no answer", action, params)
		}
		if after := s.Ledger(); err != nil && len(after.Entries) != len(before.Entries) {
			t.Errorf("%s %s: refused, and in the ledger", action, params)
		}
	})
}
