package tencent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/tencent"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// calls counts what the stand-in was asked to do.
func (r *rig) calls(action string) int {
	n := 0
	for _, c := range r.server.Calls() {
		if c.Path == "/"+action {
			n++
		}
	}
	return n
}

// An order that is being processed is waited for and not sent again, and a person is told when that lasts.
func TestAnOrderOnItsWayIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"", "FailedOperation.CertificateOrderSubmitProcessing"} {
		r := newRig(t, func(s *standin.Settings) { s.SubmitTakes = sandbox.Delay(3 * time.Hour) })
		if code != "" {
			if err := r.server.Refuse(standin.Refusal{Action: "CertificateOrderSubmit", Code: code, After: true}); err != nil {
				t.Fatal(err)
			}
		}
		o := r.Order(dv(dvOne), "shop.example.com")
		at, err := r.Place(o)
		if err != nil {
			t.Fatal(err)
		}
		look := func() pluginapi.Order {
			next, err := r.Instance().GetOrder(t.Context(), r.Placed(o, at))
			if err != nil {
				t.Fatal(err)
			}
			return next.Order
		}
		for range 5 {
			if at = look(); at.Status != pluginapi.Processing || !strings.Contains(at.Detail, "on its way") || at.Action != nil {
				t.Fatalf("%s: %s", at.Status, at.Detail)
			}
		}
		if err := r.server.Advance(2 * time.Hour); err != nil {
			t.Fatal(err)
		}
		if at = look(); at.Action == nil || !strings.Contains(at.Detail, "it is not sent twice") {
			t.Errorf("after two hours: %s, %+v", at.Detail, at.Action)
		}
		if n := r.calls("CertificateOrderSubmit"); n != 1 {
			t.Errorf("sent %d times", n)
		}
		if err := r.server.Advance(2 * time.Hour); err != nil {
			t.Fatal(err)
		}
		if at, err = r.Finish(o, at); err != nil {
			t.Fatal(err)
		}
		r.CheckIssued(o, at)
		r.bought(1, 0)
	}
}

// Codes in the middle of an order: what is done already is found out, what may pass is tried again, and what is wrong is
// told with a way out. Nothing is bought a second time.
func TestCodesOnTheWay(t *testing.T) {
	for _, c := range []struct {
		action, code string
		after        bool
		kind         pluginapi.ErrorKind // zero: the order goes on
		words        string
	}{
		{"CertificateInfoSubmit", "FailedOperation.CertificateInfoSubmitStatusInvalid", true, 0, ""},
		{"CertificateInfoSubmit", "FailedOperation.InvalidCertificateStatusCode", true, 0, ""},
		{"CertificateInfoSubmit", "InternalError", true, 0, ""},
		{"CertificateInfoSubmit", "FailedOperation.NetworkError", false, 0, ""},
		{"CertificateInfoSubmit", "FailedOperation.CertificateInfoSubmitDomainInvalid", false, pluginapi.NeedsPerson, "does not take these names"},
		{"CertificateInfoSubmit", "FailedOperation.CertificateInfoSubmitContactEmailEmpty", false, pluginapi.NeedsPerson, "ContactEmail"},
		{"CertificateInfoSubmit", "FailedOperation.NoRealNameAuth", false, pluginapi.NeedsPerson, "verify their identity"},
		{"CertificateInfoSubmit", "FailedOperation", false, pluginapi.NeedsPerson, "stays paid"},
		{"CertificateInfoSubmit", "FailedOperation.NoProjectPermission", false, pluginapi.Unauthorized, "project"},
		{"CertificateOrderSubmit", "FailedOperation.CertificateOrderSubmitProcessing", true, 0, ""},
		{"CertificateOrderSubmit", "FailedOperation.InvalidCertificateStatusCode", true, 0, ""},
		{"CertificateOrderSubmit", "InternalError.BackendResponseError", true, 0, ""},
		{"CertificateOrderSubmit", "FailedOperation.NetworkError", false, 0, ""},
		{"CertificateOrderSubmit", "RequestLimitExceeded", false, 0, ""},
		{"CertificateOrderSubmit", "FailedOperation.CertificateInvalid", false, pluginapi.NeedsPerson, "cert_id"},
		{"CertificateOrderSubmit", "FailedOperation.AuthError", false, pluginapi.Unauthorized, "CAM policy"},
		{"CheckCertificateDomainVerification", "FailedOperation.CertificateStatusNotAllowVerify", false, 0, ""},
		{"CheckCertificateDomainVerification", "UnauthorizedOperation", false, 0, ""},
		{"CheckCertificateDomainVerification", "InvalidAction", false, 0, ""},
		{"DescribeCertificateDetail", "FailedOperation.CertificateNotFound", false, pluginapi.NotFound, ""}, // and the daemon looks again
		{"DescribeCertificateDetail", "FailedOperation", false, 0, ""},
		{"CreateCertificate", "InternalError", true, 0, ""},
		{"CreateCertificate", "InternalError", false, 0, ""},
		{"CreateCertificate", "FailedOperation.CannotGetOrder", true, 0, ""},
		{"CreateCertificate", "FailedOperation", true, 0, ""}, // bought all the same
		{"CreateCertificate", "RequestLimitExceeded", false, 0, ""},
		{"CreateCertificate", "FailedOperation.InvalidParam", false, pluginapi.InvalidRequest, ""},
		{"CreateCertificate", "FailedOperation", false, pluginapi.NeedsPerson, "balance"},
	} {
		t.Run(fmt.Sprintf("%s %s %t", c.action, c.code, c.after), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if err := r.server.Refuse(standin.Refusal{Action: c.action, Code: c.code, After: c.after}); err != nil {
				t.Fatal(err)
			}
			o := r.Order(dv(dvOne), "shop.example.com")
			if c.kind == 0 {
				r.MustIssue(o)
				r.bought(1, 0)
				return
			}
			placed, err := r.Instance().PlaceOrder(t.Context(), o)
			if err == nil {
				_, err = r.Instance().GetOrder(t.Context(), r.Placed(o, placed.Order))
			}
			if pluginapi.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.words) || !strings.Contains(err.Error(), c.code) {
				t.Errorf("%s: %v", pluginapi.KindOf(err), err)
			}
			r.MustIssue(o) // once it is put right
			r.bought(1, 0)
		})
	}
}

// A reissue that Tencent refuses close to the end of a certificate is told with the ways out.
func TestReissueTooLate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.Order(dv(dvOne), "shop.example.com")
	one := r.MustIssue(o)
	if err := r.server.Advance(180 * 24 * time.Hour); err != nil {
		t.Fatal(err)
	}
	late := r.Follow(pluginapi.Reissue, o, one)
	_, err := r.Instance().PlaceOrder(t.Context(), late)
	if pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), "more than 30 days") || !strings.Contains(err.Error(), "cert_id") {
		t.Fatalf("%v", err)
	}
	r.bought(1, 0)
	// One of the ways: a certificate that is paid takes its place.
	spare, err := r.Place(r.Order(dv(dvOne), "shop.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	late.Settings = with(late.Settings, map[string]any{"cert_id": spare.Reference})
	if got := r.MustIssue(late); got.Reference != spare.Reference {
		t.Errorf("issued is %s", got.Reference)
	}
	r.bought(2, 0)
	// The other: nothing is hoped for any more.
	r.values["reissue"] = false
	looked, err := r.Instance().InspectOrder(t.Context(), one.Reference, one.State)
	if err != nil || looked.Order.CoverageEnd.After(r.server.Now().AddDate(0, 2, 0)) {
		t.Errorf("paid until %s, %v", looked.Order.CoverageEnd, err)
	}
}

func findings(list []pluginapi.Finding) string {
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "%s %d %s: %s\n", f.Severity, f.Order, f.Field, f.Message)
	}
	return b.String()
}

func TestPreflight(t *testing.T) {
	company := func(more map[string]any) pluginapi.Settings { return with(ov(ovOne), more) }
	for name, c := range map[string]struct {
		orders  []pluginapi.Settings
		prepare func(*rig)
		want    []string
		fault   bool
	}{
		"a good key":        {orders: []pluginapi.Settings{dv(dvOne)}, want: []string{"info 0 secret_id: the key is good"}},
		"a company":         {orders: []pluginapi.Settings{ov(ovOne)}, want: []string{"the key is good"}},
		"no such company":   {orders: []pluginapi.Settings{dv(dvOne), company(map[string]any{"CompanyId": int64(7)})}, want: []string{"error 2 CompanyId: the account has no company 7"}, fault: true},
		"no such manager":   {orders: []pluginapi.Settings{company(map[string]any{"ManagerId": int64(7)})}, want: []string{"error 1 ManagerId: company", "no manager 7"}, fault: true},
		"a manager to come": {orders: []pluginapi.Settings{ov(ovOne)}, prepare: func(r *rig) { r.do(r.server.SetManager(standin.DemoManager, "audit")) }, want: []string{"warning 1 ManagerId", "is not reviewed (audit)"}},
		"a manager to go":   {orders: []pluginapi.Settings{ov(ovOne)}, prepare: func(r *rig) { r.do(r.server.SetManager(standin.DemoManager, "expiring")) }, want: []string{"about to expire"}},
		"no certificate":    {orders: []pluginapi.Settings{with(dv(dvOne), map[string]any{"cert_id": "NotThere"})}, want: []string{"error 1 cert_id: the account has no certificate NotThere"}, fault: true},
		"bad settings":      {orders: []pluginapi.Settings{dv(dvOne), {}}, want: []string{"error 2 ProductId: is missing", "error 2 TimeSpan"}, fault: true},
		"a wrong key":       {prepare: func(r *rig) { r.key.SecretKey = "x" + r.key.SecretKey }, want: []string{"error 0 secret_key", "check secret_key"}, fault: true},
		"an unknown key":    {prepare: func(r *rig) { r.key.SecretID = "AKIDNOBODYKNOWS" }, want: []string{"error 0 secret_id", "the host of the key's site"}, fault: true},
		"no right to read": {prepare: func(r *rig) {
			r.do(r.server.AddKey(standin.Key{SecretID: "AKIDBLIND01234", SecretKey: "SECRETBLIND01234", Denied: []string{"DescribeCertificates"}}))
			r.key = standin.Key{SecretID: "AKIDBLIND01234", SecretKey: "SECRETBLIND01234"}
		}, want: []string{"error 0 secret_id", "CAM policy"}, fault: true},
		"no right to read companies": {orders: []pluginapi.Settings{ov(ovOne)}, prepare: func(r *rig) {
			r.do(r.server.Refuse(standin.Refusal{Action: "DescribeCompanies", Code: "UnauthorizedOperation"}))
		}, want: []string{"info 0 : could not look: read company"}},
		"a certificate that is forgotten": {orders: []pluginapi.Settings{dv(dvOne)}, prepare: func(r *rig) {
			r.values["tag_key"] = "another"
			if _, err := r.Place(r.Order(dv(dvOne), "shop.example.com")); err != nil {
				r.t.Fatal(err)
			}
			r.values["tag_key"] = "certbridged"
		}, want: []string{"paid, and waiting for materials", "DNSPod DV"}},
		"a state that was lost": {orders: []pluginapi.Settings{dv(dvOne)}, prepare: func(r *rig) {
			if _, err := r.Place(r.Order(dv(dvOne), "shop.example.com")); err != nil {
				r.t.Fatal(err)
			}
		}, want: []string{"bought by certbridged, paid, and waiting for materials", "after a loss of its state"}},
		"a clock that is off": {prepare: func(r *rig) {
			r.do(r.server.Configure(func(s *standin.Settings) { s.Skew = sandbox.Delay(10 * time.Minute) }))
		}, want: []string{"set this machine's clock"}, fault: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if c.prepare != nil {
				c.prepare(r)
			}
			before := len(r.server.Ledger().Entries)
			got, err := r.Instance().Preflight(t.Context(), c.orders)
			if err != nil {
				t.Fatal(err)
			}
			text := findings(got.Findings)
			for _, w := range c.want {
				if !strings.Contains(text, w) {
					t.Errorf("no %q in\n%s", w, text)
				}
			}
			if pluginapi.HasFault(got.Findings) != c.fault {
				t.Errorf("a fault is wanted: %t\n%s", c.fault, text)
			}
			if len(r.server.Ledger().Entries) != before {
				t.Error("something was done")
			}
		})
	}
}

func (r *rig) do(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// With a balance that does not suffice a person must pay it up; then the same order goes on.
func TestExhaustedBalance(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.do(r.server.SetBalance(0))
	o := r.Order(dv(dvOne), "shop.example.com")
	_, err := r.Instance().PlaceOrder(t.Context(), o)
	if pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), "balance is insufficient") {
		t.Fatalf("%v", err)
	}
	r.bought(0, 0)
	r.do(r.server.SetBalance(1_000_000))
	r.MustIssue(o)
	r.bought(1, 0)
}

// A key without the right to buy buys nothing, and says what it lacks.
func TestNoRightToBuy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.key = standin.Key{SecretID: "AKIDPOOR0123456789", SecretKey: "SECRETPOOR0123456789"}
	_, err := r.Instance().PlaceOrder(t.Context(), r.Order(dv(dvOne), "shop.example.com"))
	if pluginapi.KindOf(err) != pluginapi.Unauthorized || !strings.Contains(err.Error(), "CAM policy") {
		t.Errorf("%v", err)
	}
	r.bought(0, 0)
}

// What is wrong with the names is found before anything is bought.
func TestNothingIsBoughtForNamesThatDoNotFit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ip := r.Order(dv(dvOne), "192.0.2.1")
	both := r.Order(dv(dvMany), "shop.example.com", "api.example.com")
	both.Identifiers[0].ChallengeTypes, both.Identifiers[1].ChallengeTypes = []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}, []pluginapi.ChallengeType{pluginapi.ChallengeDNS}
	set := both
	set.Settings = with(dv(dvMany), map[string]any{"VerifyType": "FILE"})
	if _, err := r.Instance().PlaceOrder(t.Context(), set); pluginapi.FieldOf(err) != "VerifyType" || !strings.Contains(err.Error(), "publishes none for api.example.com:") {
		t.Errorf("files for two names, of which one has records: %v", err)
	}
	for name, o := range map[string]pluginapi.OrderRequest{
		"an address":         ip,
		"a wildcard":         r.Order(dv(dvOne), "*.example.com"),
		"two names":          r.Order(dv(dvOne), "shop.example.com", "api.example.com"),
		"a wildcard by file": r.Order(with(dv(dvWildcard), map[string]any{"VerifyType": "FILE"}), "*.example.com"),
		"two ways":           both,
		"two ways, one set":  set,
	} {
		if _, err := r.Instance().PlaceOrder(t.Context(), o); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(r.server.Calls()) != 0 {
		t.Errorf("%d calls were made", len(r.server.Calls()))
	}
}

func TestAccountSettings(t *testing.T) {
	for name, c := range map[string]struct {
		values  map[string]any
		secrets map[string]string
		field   string
		words   string
	}{
		"no key":            {secrets: map[string]string{"secret_key": ""}, field: "secret_key", words: "is empty"},
		"a key with spaces": {secrets: map[string]string{"secret_id": "AKID x"}, field: "secret_id", words: "holds characters that none has"},
		"plain http":        {values: map[string]any{"base_url": "http://ssl.intl.tencentcloudapi.com"}, field: "base_url", words: "https://"},
		"a region":          {values: map[string]any{"region": "Singapore!"}, field: "region", words: "is no region"},
		"no tag":            {values: map[string]any{"tag_key": ""}, field: "tag_key", words: "could not be found again"},
		"too fast":          {values: map[string]any{"requests_per_second": 10.5}, field: "requests_per_second", words: "ten calls"},
		"too slow":          {values: map[string]any{"requests_per_second": 0.01}, field: "requests_per_second", words: "must lie between"},
		"no time":           {values: map[string]any{"request_timeout": "1ms"}, field: "request_timeout", words: "must lie between"},
		"no time to settle": {values: map[string]any{"find_settle": "10s"}, field: "find_settle", words: "lie between"},
		"no certificate":    {values: map[string]any{"given_up": []any{"LqQxgqUe", "a b"}}, field: "given_up[1]", words: "is not the id of a certificate"},
		"no such setting":   {values: map[string]any{"secret": "x"}, field: "secret", words: "is unknown"},
		"a key as text":     {values: map[string]any{"secret_key": "x"}, field: "secret_key", words: "is a secret"},
		"good":              {values: map[string]any{"base_url": "https://ssl.tencentcloudapi.com", "region": "ap-guangzhou", "requests_per_second": 10.0}},
		"good, http here":   {values: map[string]any{"base_url": "http://127.0.0.1:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := pluginapi.Settings{Values: c.values, Secrets: map[string]pluginapi.Secret{"secret_id": pluginapi.NewSecret("AKID1\n"), "secret_key": pluginapi.NewSecret("key1")}}
			for k, v := range c.secrets {
				s.Secrets[k] = pluginapi.NewSecret(v)
			}
			ca := New(Options{})
			defer ca.Close()
			done, err := ca.Configure(t.Context(), pluginapi.Account{Settings: s})
			if err != nil {
				t.Fatal(err)
			}
			if c.field == "" && len(done.Findings) > 0 || c.field != "" && (len(done.Findings) == 0 || done.Findings[0].Field != c.field || !strings.Contains(done.Findings[0].Message, c.words)) {
				t.Errorf("found %s, want %s: %s", findings(done.Findings), c.field, c.words)
			}
		})
	}
}
