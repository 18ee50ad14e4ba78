package tencent

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standin "github.com/certbridge/certbridged/internal/sandbox/tencent"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

const aDay = 24 * time.Hour

// Until when is paid is the paid time, or nothing where nobody knows it: never the certificate's own end on a guess.
func TestPaidTimeThatIsNotKnown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.Order(dv(dvOne), "shop.example.com")
	issued := r.MustIssue(o)
	for name, data := range map[string]string{"its state": string(issued.State), "none": "", "garbage": "{", "a later version": `{"version":2,"paid_until":"` + issued.CoverageEnd.Format(time.RFC3339Nano) + `"}`} {
		looked, err := r.Instance().InspectOrder(t.Context(), issued.Reference, []byte(data))
		known := name == "its state" || name == "a later version"
		if err != nil || known && !looked.Order.CoverageEnd.Equal(issued.CoverageEnd) || !known && !looked.Order.CoverageEnd.IsZero() {
			t.Errorf("%s: paid until %s, want %s, %v", name, looked.Order.CoverageEnd, issued.CoverageEnd, err)
		}
	}
	found, err := r.Instance().FindOrderByCertificate(t.Context(), issued.Chain[0])
	if err != nil || !found.Order.CoverageEnd.Equal(issued.CoverageEnd) || found.Order.Settings["TimeSpan"] != int64(1) {
		t.Errorf("by its certificate: paid until %s, %v, %v", found.Order.CoverageEnd, found.Order.Settings, err)
	}
	r.edited(entries(func(c map[string]any) { c["PreAuditInfo"] = nil }))
	found, err = r.Instance().FindOrderByCertificate(t.Context(), issued.Chain[0])
	if err != nil || !found.Order.CoverageEnd.IsZero() {
		t.Errorf("by its certificate, without years: paid until %s, %v", found.Order.CoverageEnd, err)
	}
}

// With its state lost, a reissue that gains nothing is still told from one that does, and is not asked for for ever.
func TestAReissueThatGainsNothingWithoutAState(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.Order(dv(dvOne), "shop.example.com")
	one := r.MustIssue(o)
	r.do(r.server.Advance(100 * aDay))
	next := r.Follow(pluginapi.Reissue, o, one)
	next.Previous.State = nil
	two := r.MustIssue(next)
	if _, err := r.Instance().PlaceOrder(t.Context(), r.Follow(pluginapi.Reissue, next, two)); pluginapi.KindOf(err) != pluginapi.NeedsPerson {
		t.Errorf("got %v", err)
	}
	r.bought(1, 1)
}

// What is paid for and not to be had is given up for one certificate, and for those that replace it: theirs ends what is paid
// with the certificate, so that the next one is bought, and goes on for all others of the account.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o, other := r.Order(dv(dvOne), "shop.example.com"), r.Order(dv(dvOne), "api.example.com")
	one, beside := r.MustIssue(o), r.MustIssue(other)
	r.do(r.server.Advance(100 * aDay))
	next := r.Follow(pluginapi.Reissue, o, one)
	two := r.MustIssue(next)
	_, err := r.Instance().PlaceOrder(t.Context(), r.Follow(pluginapi.Reissue, next, two))
	if pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), `add "`+two.Reference+`" to given_up`) {
		t.Fatalf("a reissue that gained nothing: %v", err)
	}
	if !strings.Contains(two.Detail, `"`+two.Reference+`" to given_up`) {
		t.Errorf("it is said of the order: %s", two.Detail)
	}
	for _, id := range []string{two.Reference, one.Reference} { // the one before is of the same purchase
		r.values["given_up"] = []any{id}
		looked, err := r.Instance().InspectOrder(t.Context(), two.Reference, two.State)
		if err != nil || !looked.Order.CoverageEnd.Equal(leafOf(t, two).NotAfter) {
			t.Errorf("given up by %s, it is paid until %s, %v", id, looked.Order.CoverageEnd, err)
		}
		looked, err = r.Instance().InspectOrder(t.Context(), beside.Reference, beside.State)
		if err != nil || !looked.Order.CoverageEnd.Equal(beside.CoverageEnd) {
			t.Errorf("and another one until %s, %v", looked.Order.CoverageEnd, err)
		}
	}
	three := r.MustIssue(r.Follow(pluginapi.Renew, next, two))
	if !three.CoverageEnd.After(leafOf(t, three).NotAfter) {
		t.Errorf("the purchase after it is paid until %s", three.CoverageEnd)
	}
	r.bought(3, 1)
}

// Where the service makes the next certificate of a term itself, that is waited for and built upon, and nothing is bought
// beside it. With a key that is kept it is ours as it is.
func TestSuccessors(t *testing.T) {
	for name, kept := range map[string]bool{"a new key": false, "a key that is kept": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(s *standin.Settings) { s.Successors = true })
			o := r.Order(dv(dvOne), "shop.example.com")
			one := r.MustIssue(o)
			r.do(r.server.Advance(leafOf(t, one).NotAfter.AddDate(0, 0, -29).Sub(r.server.Now())))
			list := r.server.Certificates()
			if len(list) != 2 {
				t.Fatalf("there is no successor: %v", list)
			}
			next, reissues := r.Follow(pluginapi.Reissue, o, one), 2
			if kept {
				next.CSR, reissues = o.CSR, 1
			} else {
				_, err := r.Instance().PlaceOrder(t.Context(), next)
				if pluginapi.KindOf(err) != pluginapi.Conflict || !strings.Contains(err.Error(), list[1].ID) {
					t.Fatalf("while it is under way: %v", err)
				}
				r.do(r.server.Show(t.Context(), list[1].ID))
			}
			two := r.MustIssue(next)
			if kept && two.Reference != list[1].ID {
				t.Errorf("issued is %s, and the successor is %s", two.Reference, list[1].ID)
			}
			if leaf := leafOf(t, two); !leaf.NotAfter.After(leafOf(t, one).NotAfter) || !two.CoverageEnd.Equal(one.CoverageEnd) {
				t.Errorf("it ends %s, and is paid until %s", leaf.NotAfter, two.CoverageEnd)
			}
			r.bought(1, reissues)
		})
	}
}

// What was shown for an earlier order may hold for the next: that is issued though nothing was ever to be published, or for
// the other names alone.
func TestControlThatIsKnown(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *standin.Settings) { s.ReuseDays, s.ReplaceValidity = 200, standin.WholeTerm })
	o := r.Order(dv(dvOne), "shop.example.com")
	one := r.MustIssue(o)
	before := r.World.Published(pluginapi.PublishTXT)
	r.do(r.server.Advance(100 * aDay))
	r.MustIssue(r.Follow(pluginapi.Reissue, o, one))
	r.MustIssue(r.Order(dv(dvOne), "shop.example.com"))
	if n := r.World.Published(pluginapi.PublishTXT); n != before {
		t.Errorf("%d records were published for names that are known", n-before)
	}
	r.MustIssue(r.Order(dv(dvMany), "blog.example.com", "shop.example.com"))
	if n := r.World.Published(pluginapi.PublishTXT); n != before+1 {
		t.Errorf("%d records were published for one name", n-before)
	}
	r.bought(3, 1)
}

func leafOf(t *testing.T, o pluginapi.Order) *x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(o.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// A certificate of cert_id has paid time of its own, also where the call was lost that took it in place of a reissue.
func TestANamedCertificateIsFoundWithItsPaidTime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.Order(dv(dvOne), "shop.example.com")
	one := r.MustIssue(o)
	r.do(r.server.Advance(130 * aDay))
	spare, err := r.Place(r.Order(dv(dvOne), "shop.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	next := r.Follow(pluginapi.Reissue, o, one)
	next.Settings = with(next.Settings, map[string]any{"cert_id": spare.Reference})
	found, err := r.Instance().FindOrder(t.Context(), next, r.server.Now())
	if err != nil || !decodeState(found.Order.State).PaidUntil.After(r.server.Now().AddDate(0, 11, 0)) {
		t.Errorf("paid until %s, %v", decodeState(found.Order.State).PaidUntil, err)
	}
}

// What became of a certificate at Tencent is told so that nothing is bought beside what goes on there.
func TestWhatWentOnAtTencent(t *testing.T) {
	t.Parallel()
	old := func(status int, extra map[string]any) map[string]any {
		return map[string]any{"CertificateId": "Old1", "Status": status, "InsertTime": "2026-11-01 00:00:00", "CertificateExtra": extra}
	}
	other := func(id string, status int) map[string]any {
		return map[string]any{"CertificateId": id, "Status": status, "InsertTime": "2026-11-10 00:00:00"}
	}
	for name, c := range map[string]struct {
		old, other map[string]any
		status     pluginapi.OrderStatus
		renewedBy  string
	}{
		"renewed, and paid":       {old(1, map[string]any{"RenewOrder": "Next1"}), other("Next1", 5), pluginapi.Processing, ""},
		"renewed, and issued":     {old(1, map[string]any{"RenewOrder": "Next1"}), other("Next1", 1), pluginapi.Processing, "Next1"},
		"replaced, and revoked":   {old(10, map[string]any{"ReplacedFor": "Next1"}), other("Next1", 1), pluginapi.Processing, ""},
		"replaced, by the name":   {old(7, map[string]any{"ReplacedBy": "Next1"}), other("Next1", 0), pluginapi.Processing, ""},
		"revoked, and both":       {old(10, map[string]any{"ReplacedFor": "Next1"}), other("Next1", 10), pluginapi.Canceled, ""},
		"revoked, nothing beside": {old(10, nil), other("Next1", 1), pluginapi.Canceled, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := api(t, map[string]map[string]any{"Old1": c.old, "Next1": c.other})
			got, err := configured(t, url).InspectOrder(t.Context(), "Old1", nil)
			if err != nil || got.Order.Status != c.status || got.Order.RenewedBy != c.renewedBy {
				t.Errorf("%s, renewed by %q, %v", got.Order.Status, got.Order.RenewedBy, err)
			}
		})
	}
}

// A certificate that was issued once is not handed in again by cert_id.
func TestCertIDOfOneThatWasIssued(t *testing.T) {
	t.Parallel()
	url, asked := api(t, map[string]map[string]any{
		"Old1": {"CertificateId": "Old1", "Status": 7, "PackageType": "48", "InsertTime": "2025-01-01 00:00:00", "CertEndTime": "2025-07-01 00:00:00"},
	})
	names := []string{"shop.example.com"}
	_, err := configured(t, url).PlaceOrder(t.Context(), pluginapi.OrderRequest{
		IdempotencyKey: strings.Repeat("a", 32), Kind: pluginapi.Renew, CSR: cadrive.NewCSR(t, cadrive.NewKey(t), true, names...),
		Identifiers: []pluginapi.Identifier{{Value: names[0], Type: pluginapi.DNS}}, Settings: with(dv(dvOne), map[string]any{"cert_id": "Old1"}),
	})
	if pluginapi.FieldOf(err) != "cert_id" || strings.Contains(strings.Join(*asked, " "), "Modify") {
		t.Errorf("%v; asked %v", err, *asked)
	}
}

// Materials that are refused for the status while others are there: those of somebody else do not go to the CA.
func TestMaterialsOfSomebodyElse(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.Order(dv(dvOne), "shop.example.com")
	at, err := r.Place(first)
	if err != nil {
		t.Fatal(err)
	}
	r.do(r.server.Refuse(standin.Refusal{Action: "CertificateOrderSubmit", Code: "FailedOperation.NetworkError"}))
	if _, err := r.Instance().GetOrder(t.Context(), r.Placed(first, at)); err == nil {
		t.Fatal("the order went to the CA")
	}
	second := r.Order(with(dv(dvOne), map[string]any{"cert_id": at.Reference}), "shop.example.com")
	if at, err = r.Place(second); err != nil {
		t.Fatal(err)
	}
	r.do(r.server.Refuse(standin.Refusal{Action: "CertificateInfoSubmit", Code: "FailedOperation.CertificateInfoSubmitStatusInvalid"}))
	got, err := r.Finish(second, at)
	if err != nil {
		t.Fatal(err)
	}
	r.CheckIssued(second, got) // with our key
	r.bought(1, 0)
}

// A certificate that was issued without a name of the order can be given up.
func TestCancelOfWhatIsOfNoUse(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *standin.Settings) { s.FreeNames = false })
	o := r.Order(dv(dvOne), "example.com", "www.example.com")
	at, err := r.Place(o)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Finish(o, at); pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), "www.example.com") {
		t.Fatalf("%s, %v", got.Status, err)
	}
	done, err := r.Instance().CancelOrder(t.Context(), r.Placed(o, at), "of no use")
	if err != nil || done.Order.Status != pluginapi.Canceled || !strings.Contains(done.Order.Detail, "stays issued") {
		t.Errorf("%s: %s, %v", done.Order.Status, done.Order.Detail, err)
	}
}

// A certificate is found by any of its names, and is not said to be missing where not all were looked at.
func TestFindByCertificateThoroughly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	issued := r.MustIssue(r.Order(dv(dvMany), "shop.example.com", "api.example.com"))
	r.edited(entries(func(c map[string]any) { c["Domain"] = "api.example.com" }))
	found, err := r.Instance().FindOrderByCertificate(t.Context(), issued.Chain[0])
	if err != nil || found.Order.Reference != issued.Reference {
		t.Errorf("under another name: %s, %v", found.Order.Reference, err)
	}
	certificates, list := map[string]map[string]any{}, []any{}
	for i := range mostOpened + 5 {
		id := fmt.Sprintf("C%d", i)
		certificates[id] = map[string]any{"CertificateId": id, "Status": 1, "Domain": "shop.example.com"}
		list = append(list, certificates[id])
	}
	certificates[listed] = map[string]any{"TotalCount": len(list), "Certificates": list}
	url, _ := api(t, certificates)
	leaf := selfSigned(t, cadrive.NewKey(t), "shop.example.com")
	if _, err := configured(t, url).FindOrderByCertificate(t.Context(), leaf.Raw); pluginapi.KindOf(err) != pluginapi.NeedsPerson {
		t.Errorf("of too many: %v", err)
	}
}

// A secret of the order settings that an answer repeats is in no message.
func TestSecretsOfMaterials(t *testing.T) {
	t.Parallel()
	const secret = "110101199003070011"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		response := map[string]any{"CertificateId": "Abc1", "Status": 5}
		if q.Header.Get("X-TC-Action") == "CertificateInfoSubmit" {
			response = map[string]any{"Error": map[string]any{"Code": "InvalidParameterValue", "Message": "AdminIdNumber " + secret + " is not valid"}}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Response": response})
	}))
	t.Cleanup(s.Close)
	names := []string{"shop.example.com"}
	o := pluginapi.OrderRequest{
		IdempotencyKey: strings.Repeat("a", 32), Kind: pluginapi.New, CSR: cadrive.NewCSR(t, cadrive.NewKey(t), true, names...),
		Identifiers: []pluginapi.Identifier{{Value: names[0], Type: pluginapi.DNS}},
		Settings: pluginapi.Settings{
			Values:  map[string]any{"ProductId": int64(98), "TimeSpan": int64(1), "DomainNum": int64(1), "CompanyType": int64(2), "CompanyId": int64(1), "ManagerId": int64(2), "AdminIdType": "SFZ"},
			Secrets: map[string]pluginapi.Secret{"AdminIdNumber": pluginapi.NewSecret(secret)},
		},
	}
	_, err := configured(t, s.URL).GetOrder(t.Context(), pluginapi.PlacedOrder{OrderRequest: o, Reference: "Abc1"})
	if err == nil || !strings.Contains(err.Error(), "is not valid") || strings.Contains(err.Error(), secret) {
		t.Errorf("%v", err)
	}
}
