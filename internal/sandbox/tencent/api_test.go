package tencent

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

func TestWhoCallsAndHow(t *testing.T) {
	r := newRig(t)
	full := r.key
	session := Key{SecretID: "AKIDsession", SecretKey: "s", Token: "token"}
	limited := Key{SecretID: "AKIDlimited", SecretKey: "l", Denied: []string{"CreateCertificate"}}
	tagless := Key{SecretID: "AKIDtagless", SecretKey: "t", Denied: []string{"tag:*"}}
	for _, k := range []Key{session, limited, tagless} {
		if err := r.s.AddKey(k); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.s.AddKey(session); err == nil {
		t.Error("one id twice")
	}
	set := func(name, value string) func(*http.Request) {
		return func(req *http.Request) { req.Header.Set(name, value) }
	}
	for name, c := range map[string]struct {
		key    Key
		action string
		params any
		header func(h http.Header) // before it is signed
		change func(*http.Request) // after it was signed
		code   string
	}{
		"good":                 {full, "DescribeCertificates", obj{}, nil, nil, ""},
		"with charset":         {full, "DescribeCertificates", obj{}, func(h http.Header) { h.Set("Content-Type", "application/json; charset=utf-8") }, nil, ""},
		"session":              {session, "DescribeCertificates", obj{}, nil, nil, ""},
		"no token":             {session, "DescribeCertificates", obj{}, nil, func(q *http.Request) { q.Header.Del("X-TC-Token") }, authToken},
		"token of nothing":     {full, "DescribeCertificates", obj{}, nil, set("X-TC-Token", "token"), authToken},
		"no authorization":     {full, "DescribeCertificates", obj{}, nil, func(q *http.Request) { q.Header.Del("Authorization") }, authAuthorization},
		"nobody":               {Key{SecretID: "AKIDnobody", SecretKey: "x"}, "DescribeCertificates", obj{}, nil, nil, authID},
		"another secret":       {Key{SecretID: full.SecretID, SecretKey: "x"}, "DescribeCertificates", obj{}, nil, nil, authSignature},
		"another body":         {full, "DescribeCertificates", obj{}, nil, func(q *http.Request) { q.Body = io.NopCloser(strings.NewReader("[]")); q.ContentLength = 2 }, authSignature},
		"another type":         {full, "DescribeCertificates", obj{}, nil, set("Content-Type", "application/json; charset=utf-8"), authSignature},
		"old":                  {full, "DescribeCertificates", obj{}, func(h http.Header) { h.Set("X-TC-Timestamp", fmt.Sprint(time.Now().Unix()-301)) }, nil, authExpired},
		"no timestamp":         {full, "DescribeCertificates", obj{}, func(h http.Header) { h.Del("X-TC-Timestamp") }, nil, missingParameter},
		"not JSON":             {full, "DescribeCertificates", obj{}, func(h http.Header) { h.Set("Content-Type", "text/plain") }, nil, wrongProtocol},
		"another charset":      {full, "DescribeCertificates", obj{}, func(h http.Header) { h.Set("Content-Type", "application/json; charset=gbk") }, nil, wrongProtocol},
		"PUT":                  {full, "DescribeCertificates", obj{}, nil, func(q *http.Request) { q.Method = http.MethodPut }, wrongProtocol},
		"no action":            {full, "", obj{}, nil, nil, missingParameter},
		"no version":           {full, "DescribeCertificates", obj{}, nil, func(q *http.Request) { q.Header.Del("X-TC-Version") }, missingParameter},
		"another version":      {full, "DescribeCertificates", obj{}, nil, set("X-TC-Version", "2018-12-05"), noSuchVersion},
		"region":               {full, "DescribeCertificates", obj{}, nil, set("X-TC-Region", "ap-guangzhou"), ""},
		"no region":            {full, "DescribeCertificates", obj{}, nil, set("X-TC-Region", "Guang zhou"), wrongRegion},
		"unknown action":       {full, "DescribeCertificatez", obj{}, nil, nil, invalidAction},
		"unplayed action":      {full, "ApplyCertificate", obj{}, nil, nil, unsupported},
		"denied":               {limited, "CreateCertificate", obj{"ProductId": 48, "DomainNum": 1, "TimeSpan": 1}, nil, nil, authDenied},
		"not denied":           {limited, "DescribeCertificates", obj{}, nil, nil, ""},
		"tags denied":          {tagless, "CreateCertificate", obj{"ProductId": 48, "DomainNum": 1, "TimeSpan": 1, "Tags": []tag{{"a", "b"}}}, nil, nil, authDenied},
		"no JSON":              {full, "DescribeCertificates", "{", nil, nil, invalidParameter},
		"a list":               {full, "DescribeCertificates", "[]", nil, nil, invalidParameter},
		"a key twice":          {full, "DescribeCertificates", `{"Limit":1,"Limit":2}`, nil, nil, invalidParameter},
		"something behind":     {full, "DescribeCertificates", `{} {}`, nil, nil, invalidParameter},
		"too long":             {full, "DescribeCertificates", `{"SearchKey":"` + strings.Repeat("a", mostRequest) + `"}`, nil, nil, tooLarge},
		"without its own body": {full, "DescribeCertificates", "", nil, nil, invalidParameter},
	} {
		r.key, r.header = c.key, c.header
		req := r.signed(c.action, c.params)
		if c.change != nil {
			c.change(req)
		}
		if code := codeOf(r.responseTo(req)); code != c.code {
			t.Errorf("%s: %q, want %q", name, code, c.code)
		}
	}
	r.key, r.header = full, nil
	r.configure(func(s *Settings) { s.Skew = sandbox.Delay(6 * time.Minute) })
	if code := r.code("DescribeCertificates", obj{}); code != authExpired {
		t.Errorf("a clock that is off: %q", code)
	}
	if n := r.count(sandbox.Purchase); n != 0 {
		t.Errorf("%d purchases", n)
	}
	for _, c := range r.s.Calls() {
		if strings.Contains(fmt.Sprint(c), "SecretKey") || strings.Contains(fmt.Sprint(c), full.SecretKey) {
			t.Errorf("the list of calls tells a secret: %+v", c)
		}
	}
	resp, err := r.client.Get(r.url + "/v2/index.php")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("elsewhere: status %d", resp.StatusCode)
	}
}

// The limit is for each action alone.
func TestRateLimit(t *testing.T) {
	var l limiter
	now := time.Unix(1790000000, 0)
	for i := range mostPerSecond {
		if !l.allow("A", now.Add(time.Duration(i)*time.Millisecond)) {
			t.Fatalf("call %d is refused", i)
		}
	}
	if l.allow("A", now.Add(999*time.Millisecond)) || !l.allow("B", now) || !l.allow("A", now.Add(time.Second)) {
		t.Error("not ten in a second and action")
	}
	r := newRig(t)
	r.configure(func(s *Settings) { s.RateLimits = true })
	codes := map[string]int{}
	for range 3 * mostPerSecond {
		codes[r.code("DescribeCompanies", obj{})]++
	}
	if codes[tooMany] == 0 || codes[""] < mostPerSecond || r.code("DescribeCertificates", obj{}) != "" {
		t.Errorf("codes %v", codes)
	}
}

func ids(v obj) (list []string) {
	for _, c := range v["Certificates"].([]any) {
		list = append(list, c.(obj)["CertificateId"].(string))
	}
	return list
}

func TestLists(t *testing.T) {
	r := newRig(t)
	a := r.bought(dnspodDV, 1, tag{"farm", "one"}, tag{"team", "web"})
	r.advance(time.Second)
	b := r.issued(dnspodDV, "shop.example.com")
	r.advance(day)
	c := r.issued(wotrusDV, "www.example.org")
	r.advance(time.Second)
	up, err := r.s.Upload("up.example.net", "uploaded")
	if err != nil {
		t.Fatal(err)
	}
	r.advance(time.Second)
	d, _ := r.submitted(dnspodDV, methodDNS, "blog.example.com")
	r.call("ModifyCertificateAlias", obj{"CertificateId": a, "Alias": "The Farm"})
	for name, x := range map[string]struct {
		params obj
		want   []string
	}{
		"all, newest first": {obj{}, []string{d, up, c, b, a}},
		"a page":            {obj{"Limit": 2, "Offset": 1}, []string{up, c}},
		"beyond":            {obj{"Limit": 2, "Offset": 5}, nil},
		"far beyond":        {obj{"Limit": 1000, "Offset": 1 << 40}, nil},
		"more than allowed": {obj{"Limit": 2000}, []string{d, up, c, b, a}},
		"by expiry":         {obj{"ExpirationSort": "DESC", "CertificateStatus": []int{1}}, []string{c, b, up}},
		"the other way":     {obj{"ExpirationSort": "ASC", "CertificateStatus": []int{1}}, []string{up, b, c}},
		"by statuses":       {obj{"CertificateStatus": []int{0, 5}}, []string{d, a}},
		"bought":            {obj{"FilterSource": "buy", "CertificateStatus": []int{5}}, []string{a}},
		"uploaded":          {obj{"FilterSource": "upload"}, []string{up}},
		"uploaded too":      {obj{"Upload": 1}, []string{up}},
		"by tag":            {obj{"Tags": []tag{{"farm", "one"}}}, []string{a}},
		"by two tags":       {obj{"Tags": []tag{{"farm", "one"}, {"team", "web"}}}, []string{a}},
		"by a wrong tag":    {obj{"Tags": []tag{{"farm", "two"}}}, nil},
		"by half a tag":     {obj{"Tags": []tag{{"farm", "one"}, {"team", "ops"}}}, nil},
		"by alias":          {obj{"SearchKey": "the farm"}, []string{a}},
		"by id":             {obj{"SearchKey": b}, []string{b}},
		"by domain":         {obj{"SearchKey": "example.com"}, []string{d, b}},
		"by ids":            {obj{"CertIds": []string{a, c}}, []string{c, a}},
		"deployable":        {obj{"Deployable": 1}, []string{up, c, b}},
		"renewable":         {obj{"Renew": 1}, []string{c, b}},
		"pending":           {obj{"IsPendingIssue": 1}, []string{d}},
		"for clients":       {obj{"CertificateType": "CA"}, nil},
		"for servers":       {obj{"CertificateType": "SVR", "Limit": 1}, []string{d}},
		"another project":   {obj{"ProjectId": 7}, nil},
		"SM2":               {obj{"IsSM": 1}, nil},
		"expiring":          {obj{"FilterExpiring": 1}, nil},
	} {
		if got := ids(r.call("DescribeCertificates", x.params)); !slices.Equal(got, x.want) {
			t.Errorf("%s: %v, want %v", name, got, x.want)
		}
	}
	checkRules(t, r, "DescribeCertificates", func() obj { return obj{} }, map[string]ruleCase{
		"status as text": {"CertificateStatus", []string{"5"}, invalidParameter},
		"sort":           {"ExpirationSort", "UP", invalidParameter},
		"source":         {"FilterSource", "bought", invalidParameter},
		"offset":         {"Offset", -1, invalidParameter},
		"other name":     {"CertificateIds", []string{a}, unknownParameter},
	})
	for range 11 {
		r.bought(dnspodDV, 1)
	}
	v := r.call("DescribeCertificates", obj{})
	if len(ids(v)) != 10 || num(v["TotalCount"]) != 16 {
		t.Errorf("a page of %d of %v", len(ids(v)), v["TotalCount"])
	}
	calls := r.s.Calls()
	if last := calls[len(calls)-1]; !strings.Contains(strings.Join(last.Remarks, " "), "a page has 10") {
		t.Errorf("no remark: %+v", last)
	}
	entry := r.call("DescribeCertificates", obj{"CertIds": []string{a}})["Certificates"].([]any)[0].(obj)
	if entry["Alias"] != "The Farm" || entry["Domain"] != nil || entry["AllowDownload"] != true || num(entry["AutoRenewFlag"]) != 0 || len(entry["Tags"].([]any)) != 2 {
		t.Errorf("entry %v", entry)
	}
}

// What was bought may be seen late, and its tags later.
func TestPurchasesAreSeenLate(t *testing.T) {
	r := newRig(t)
	r.configure(func(s *Settings) {
		s.VisibleAfter, s.TagsAfter = sandbox.Delay(10*time.Second), sandbox.Delay(time.Minute)
	})
	id := r.bought(dnspodDV, 1, tag{"farm", "one"})
	if code := r.code("DescribeCertificateDetail", obj{"CertificateId": id}); code != failedNotFound {
		t.Errorf("at once: %q", code)
	}
	if code := r.code("CertificateInfoSubmit", info(t, id, "shop.example.com")); code != failedNotFound {
		t.Errorf("materials at once: %q", code)
	}
	r.advance(10 * time.Second)
	all, tagged := r.call("DescribeCertificates", obj{}), r.call("DescribeCertificates", obj{"Tags": []tag{{"farm", "one"}}})
	if len(ids(all)) != 1 || len(ids(tagged)) != 0 || len(r.detail(id)["Tags"].([]any)) != 0 {
		t.Errorf("after 10 seconds: %v, %v", all, tagged)
	}
	r.advance(50 * time.Second)
	if tagged = r.call("DescribeCertificates", obj{"Tags": []tag{{"farm", "one"}}}); len(ids(tagged)) != 1 {
		t.Errorf("after a minute: %v", tagged)
	}
}

// An order that is on its way shows the status of one that was not sent, and must not be sent again.
func TestOrderOnItsWay(t *testing.T) {
	r := newRig(t)
	r.configure(func(s *Settings) {
		s.SubmitTakes, s.DCVDataAfter, s.IssueDelay = sandbox.Delay(time.Minute), sandbox.Delay(2*time.Minute), sandbox.Delay(time.Hour)
		s.PendingStatus, s.CheckInterval = statusAutoRecord, sandbox.Delay(time.Minute)
	})
	id, v := r.submitted(dnspodDV, methodDNS, "shop.example.com")
	if num(v["Status"]) != statusPaid || v["OrderId"] != nil {
		t.Errorf("submitted: %v", v)
	}
	if code := r.code("CertificateOrderSubmit", obj{"CertId": id}); code != failedProcessing {
		t.Errorf("again: %q", code)
	}
	if code := r.code("CertificateInfoSubmit", info(t, id, "shop.example.com")); code != failedInfoStatus {
		t.Errorf("materials again: %q", code)
	}
	if code := r.code("CheckCertificateDomainVerification", obj{"CertificateId": id}); code != failedNotVerifiable {
		t.Errorf("check: %q", code)
	}
	r.advance(time.Minute)
	if d := r.detail(id); num(d["Status"]) != statusAutoRecord || d["DvAuthDetail"] != nil || d["OrderId"] == nil {
		t.Errorf("after a minute: %v", d)
	}
	if v := r.call("CheckCertificateDomainVerification", obj{"CertificateId": id}); v["VerificationResults"] != nil {
		t.Errorf("check: %v", v)
	}
	r.advance(time.Minute)
	r.publish(id)
	check := func() obj {
		return r.call("CheckCertificateDomainVerification", obj{"CertificateId": id})["VerificationResults"].([]any)[0].(obj)
	}
	if c := check(); num(c["LocalCheck"]) != localOK || c["Issued"] != false {
		t.Errorf("check: %v", c)
	}
	if c := check(); c["Frequently"] != true || num(c["LocalCheck"]) != localMissing || c["CheckValue"] != nil {
		t.Errorf("asked too often: %v", c)
	}
	if d := r.detail(id); num(d["Status"]) != statusAutoRecord || d["StatusMsg"] != messageIssue {
		t.Errorf("at work: %v", d)
	}
	r.advance(time.Hour)
	if s := r.status(id); s != statusIssued {
		t.Errorf("after an hour: status %d", s)
	}
	if code := r.code("CheckCertificateDomainVerification", obj{"CertificateId": id}); code != failedNotVerifiable {
		t.Errorf("check of an issued one: %q", code)
	}
}

func TestCAAForbids(t *testing.T) {
	r := newRig(t)
	id, _ := r.submitted(dnspodDV, methodDNS, "shop.example.com")
	r.world.Publish(`example.com. 60 IN CAA 0 issue "letsencrypt.org"`)
	r.publish(id)
	r.look()
	if d := r.detail(id); num(d["Status"]) != statusReview || !strings.Contains(d["StatusMsg"].(string), "CAA") {
		t.Errorf("forbidden: %v", d)
	}
	r.world.Withdraw("example.com", "CAA")
	if s := r.status(id); s != statusIssued {
		t.Errorf("allowed: status %d", s)
	}
	broken, _ := r.submitted(dnspodDV, methodFile, "broken.example.com")
	list := r.call("CheckCertificateDomainVerification", obj{"CertificateId": broken})["VerificationResults"].([]any)
	if c := list[0].(obj); num(c["LocalCheck"]) != localFileMissing || c["LocalCheckFailReason"] == "" {
		t.Errorf("no name server: %v", c)
	}
}

// Every status of the enumeration is brought about, some by what happens, all by a person.
func TestEveryStatus(t *testing.T) {
	r := newRig(t)
	id := r.bought(dnspodDV, 1)
	for status := statusReview; status <= statusMigrating+1; status++ {
		r.own(http.StatusNoContent, http.MethodPost, "certificates/"+id+"/status", obj{"status": status, "message": "x"})
		d := r.detail(id)
		want := map[bool]string{true: "Unknown", false: statusName(status)}[status > statusMigrating]
		if num(d["Status"]) != status || d["StatusName"] != want {
			t.Errorf("status %d: %v", status, d)
		}
	}
	// An order that is held goes on when it is released.
	held, _ := r.submitted(dnspodDV, methodDNS, "shop.example.com")
	r.own(http.StatusNoContent, http.MethodPost, "certificates/"+held+"/status", obj{"status": statusMigrating})
	r.look()
	if s := r.status(held); s != statusMigrating {
		t.Errorf("held: status %d", s)
	}
	r.own(http.StatusNoContent, http.MethodPost, "certificates/"+held+"/status", obj{"status": statusLetter})
	r.publish(held)
	r.look()
	if s := r.status(held); s != statusLetter {
		t.Errorf("held: status %d", s)
	}
	r.own(http.StatusNoContent, http.MethodPost, "certificates/"+held+"/release", nil)
	if s := r.status(held); s != statusIssued {
		t.Errorf("released: status %d", s)
	}
	r.own(http.StatusNotFound, http.MethodPost, "certificates/Nobody12/status", obj{"status": 1})
	r.own(http.StatusBadRequest, http.MethodPost, "certificates/"+id+"/status", obj{"state": 1})
}

func TestPeople(t *testing.T) {
	r := newRig(t)
	v := r.call("DescribeCompanies", obj{})
	if list := v["Companies"].([]any); num(v["TotalCount"]) != 1 || num(list[0].(obj)["CompanyId"]) != DemoCompany {
		t.Errorf("companies %v", v)
	}
	if v := r.call("DescribeCompanies", obj{"CompanyId": 7}); num(v["TotalCount"]) != 0 {
		t.Errorf("no company: %v", v)
	}
	r.own(http.StatusNoContent, http.MethodPost, "managers", obj{"id": 30003, "status": "expired"})
	r.own(http.StatusBadRequest, http.MethodPost, "managers", obj{"id": 30003, "status": "tired"})
	for name, c := range map[string]struct {
		params obj
		want   int
	}{
		"all":           {obj{"CompanyId": DemoCompany}, 3},
		"page":          {obj{"CompanyId": DemoCompany, "Limit": 1}, 3},
		"by state":      {obj{"CompanyId": DemoCompany, "Status": "ok,audit"}, 2},
		"by name":       {obj{"CompanyId": DemoCompany, "SearchKey": "ann"}, 1},
		"by mail":       {obj{"CompanyId": DemoCompany, "ManagerMail": "sam@example.com"}, 1},
		"of none other": {obj{"CompanyId": 7}, 0},
	} {
		if v := r.call("DescribeManagers", c.params); num(v["TotalCount"]) != c.want {
			t.Errorf("%s: %v", name, v)
		}
	}
	if code := r.code("DescribeManagers", obj{}); code != missingParameter {
		t.Errorf("of which company: %q", code)
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t)
	buy := obj{"ProductId": 48, "DomainNum": 1, "TimeSpan": 1}
	r.own(http.StatusNoContent, http.MethodPost, "refuse", obj{"action": "CreateCertificate", "code": "InternalError", "after": true, "skip": 1, "message": "oh"})
	r.own(http.StatusNoContent, http.MethodPost, "refuse", obj{"code": tooMany, "times": -1})
	if n := len(r.own(http.StatusOK, http.MethodGet, "refuse", nil)["refusals"].([]any)); n != 2 {
		t.Errorf("%d refusals", n)
	}
	if code := r.code("CreateCertificate", buy); code != tooMany || r.count(sandbox.Purchase) != 0 {
		t.Errorf("the first call: %q", code)
	}
	e := r.response("CreateCertificate", buy)["Error"].(obj)
	if e["Code"] != internalError || e["Message"] != "oh" || r.count(sandbox.Purchase) != 1 {
		t.Errorf("after the work: %v, %d purchases", e, r.count(sandbox.Purchase))
	}
	r.own(http.StatusNoContent, http.MethodDelete, "refuse", nil)
	if code := r.code("CreateCertificate", buy); code != "" {
		t.Errorf("then: %q", code)
	}
	for _, wrong := range []obj{{"code": "no code"}, {"code": "A.B.C"}, {}, {"code": internalError, "times": -2}, {"code": internalError, "kode": 1}} {
		r.own(http.StatusBadRequest, http.MethodPost, "refuse", wrong)
	}
	if err := r.s.Refuse(Refusal{Code: ""}); err == nil {
		t.Error("a refusal without a code")
	}
}

func TestSettingsAreChecked(t *testing.T) {
	r := newRig(t)
	before := r.own(http.StatusOK, http.MethodGet, "settings", nil)
	for _, wrong := range []obj{
		{"replace_validity": "x"}, {"replace_status": "x"}, {"replace_links": "x"}, {"detail_pem": "x"}, {"zip": "x"}, {"pending_status": 1},
		{"most_years": 0}, {"dcv_days": 0}, {"visible_after": "-1s"}, {"products": []int{1}}, {"balance_code": ""}, {"unknown": true}, {"verified": 1},
		{"issue_delay": "soon"},
	} {
		r.own(http.StatusBadRequest, http.MethodPatch, "settings", wrong)
	}
	if after := r.own(http.StatusOK, http.MethodGet, "settings", nil); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("a refused change was made: %v", after)
	}
	for name, o := range map[string]Options{
		"site":     {Site: "moon"},
		"key":      {Keys: []Key{{SecretID: "x"}}},
		"two keys": {Keys: []Key{{SecretID: "x", SecretKey: "y"}, {SecretID: "x", SecretKey: "z"}}},
		"settings": {Settings: &Settings{}},
		"day":      {Day: time.Nanosecond},
	} {
		if o.Authority, _ = sharedAuthority(); o.Authority == nil {
			t.Fatal("no authority")
		}
		if _, err := New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// The account survives a restart, in the middle of an order.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, func(o *Options) { o.Dir = dir })
	id, _ := r.submitted(dnspodDV, methodDNS, "shop.example.com")
	r.publish(id)
	r.advance(time.Hour)
	again, err := New(Options{Dir: dir, Look: r.world.Look()})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(again)
	t.Cleanup(server.Close)
	r.s, r.url = again, server.URL
	r.look()
	if s := r.status(id); s != statusIssued || again.Key().SecretID != r.key.SecretID || time.Until(again.Now()) < 59*time.Minute {
		t.Errorf("status %d", s)
	}
	if l := again.Ledger(); l.Count(sandbox.Purchase) != 1 || l.Count(sandbox.Issue) != 1 {
		t.Errorf("ledger %+v", l)
	}
}

// A year passes in minutes.
func TestShortDays(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Day = time.Second })
	id := r.issued(dnspodDV, "shop.example.com")
	v := r.s.Certificates()[0]
	if life := time.Until(v.NotAfter); life > 200*time.Second || life < 90*time.Second {
		t.Errorf("it lives for %v", life)
	}
	if left := time.Until(v.Ends); left > 366*time.Second || left < 360*time.Second {
		t.Errorf("the term lasts %v", left)
	}
	if text := r.detail(id)["ValidityPeriod"]; text != "7" && text != "6" && text != "3" && text != "2" {
		t.Errorf("validity %v", text)
	}
}
