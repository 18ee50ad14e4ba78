package tencent

import (
	"crypto/x509"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/tencent"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

// with lays values over a copy of order settings.
func with(s pluginapi.Settings, more map[string]any) pluginapi.Settings {
	values := maps.Clone(s.Values)
	maps.Copy(values, more)
	return pluginapi.Settings{Values: values, Secrets: s.Secrets}
}

func ov(product int) pluginapi.Settings {
	return pluginapi.Settings{Values: map[string]any{
		"ProductId": int64(product), "TimeSpan": int64(1), "CompanyId": int64(standin.DemoCompany), "ManagerId": int64(standin.DemoManager),
	}}
}

func TestOrders(t *testing.T) {
	one, types := []string{"shop.example.com"}, []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}
	for name, c := range map[string]struct {
		names     []string
		order     pluginapi.Settings
		set       func(*standin.Settings)
		types     []pluginapi.ChallengeType
		published pluginapi.PublishAbility
	}{
		"records":                      {names: one, order: dv(dvOne), published: pluginapi.PublishTXT},
		"records of TrustAsia":         {names: []string{"*.example.com", "example.com"}, order: dv(12), published: pluginapi.PublishCNAME},
		"a registrable domain":         {names: []string{"example.com", "www.example.com"}, order: dv(dvOne), published: pluginapi.PublishTXT},
		"a wildcard":                   {names: []string{"*.example.com", "example.com"}, order: dv(dvWildcard), published: pluginapi.PublishTXT},
		"several names":                {names: []string{"shop.example.com", "api.example.com", "example.net"}, order: dv(dvMany), published: pluginapi.PublishTXT},
		"several wildcards":            {names: []string{"*.example.com", "*.example.net", "example.net"}, order: dv(42), published: pluginapi.PublishCNAME},
		"a file":                       {names: one, order: dv(dvOne), types: types, published: pluginapi.PublishFile},
		"files":                        {names: []string{"shop.example.com", "example.com"}, order: dv(dvMany), types: types, published: pluginapi.PublishFile},
		"files, on hosts that follow":  {names: []string{"www.shop.example.com"}, order: dv(dvOne), types: types, published: pluginapi.PublishFile},
		"a file, as set":               {names: one, order: with(dv(dvOne), map[string]any{"VerifyType": "FILE"}), types: []pluginapi.ChallengeType{pluginapi.ChallengeDNS, pluginapi.ChallengeHTTP}, published: pluginapi.PublishFile},
		"paths with the file's name":   {names: one, order: dv(dvOne), types: types, set: func(s *standin.Settings) { s.PathWithFile = true }, published: pluginapi.PublishFile},
		"hosts beside files":           {names: []string{"shop.example.com", "example.com"}, order: dv(dvMany), types: types, set: func(s *standin.Settings) { s.HostInAuths = true }, published: pluginapi.PublishFile},
		"data that comes later":        {names: one, order: dv(dvOne), set: func(s *standin.Settings) { s.DCVDataAfter = sandbox.Delay(time.Minute) }, published: pluginapi.PublishTXT},
		"an order that takes its time": {names: one, order: dv(dvOne), set: func(s *standin.Settings) { s.SubmitTakes = sandbox.Delay(5 * time.Minute) }, published: pluginapi.PublishTXT},
		"status 4":                     {names: one, order: dv(dvOne), set: func(s *standin.Settings) { s.PendingStatus = 4 }, published: pluginapi.PublishTXT},
		"status 8":                     {names: one, order: dv(dvOne), set: func(s *standin.Settings) { s.PendingStatus = 8 }, published: pluginapi.PublishTXT},
		"a slow CA":                    {names: one, order: dv(dvOne), set: func(s *standin.Settings) { s.IssueDelay = sandbox.Delay(10 * time.Minute) }, published: pluginapi.PublishTXT},
		"checks that are throttled":    {names: one, order: dv(dvOne), set: func(s *standin.Settings) { s.CheckInterval = sandbox.Delay(time.Minute) }, published: pluginapi.PublishTXT},
		"the leaf alone, and the zip":  {names: one, order: dv(dvOne), set: func(s *standin.Settings) { s.DetailPEM = standin.LeafInDetail }, published: pluginapi.PublishTXT},
		"the console's zip":            {names: []string{"*.example.com"}, order: dv(dvWildcard), set: func(s *standin.Settings) { s.DetailPEM, s.Zip = standin.LeafInDetail, standin.ZipByConsole }, published: pluginapi.PublishTXT},
		"names that come for free":     {names: []string{"example.com"}, order: dv(dvOne), set: func(s *standin.Settings) { s.FreeNames = true }, published: pluginapi.PublishTXT},
	} {
		for _, forgetful := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var change []func(*standin.Settings)
				if c.set != nil {
					change = append(change, c.set)
				}
				r := newRig(t, change...)
				r.Forgetful = forgetful
				if c.types != nil {
					r.Types = c.types
				}
				o := r.Order(c.order, c.names...)
				got := r.MustIssue(o)
				r.bought(1, 0)
				if r.World.Published(c.published) == 0 {
					t.Errorf("nothing was published as %s", c.published)
				}
				if want := r.server.Now().AddDate(1, 0, -2); got.CoverageEnd.Before(want) {
					t.Errorf("paid until %s, want a year", got.CoverageEnd)
				}
				if s := r.server.Certificates(); len(s) != 1 || s[0].AutoRenew || !slices.Contains(s[0].Tags, "certbridged="+o.IdempotencyKey) {
					t.Errorf("at the CA: %v", s)
				}
			})
		}
	}
}

// A reissue is another certificate with another id; where it reaches no further than the one before, that is found out
// once, and a person is asked before the next one is bought.
func TestReissueAndRenew(t *testing.T) {
	t.Parallel()
	for validity, gains := range map[string]bool{standin.SameExpiry: false, standin.WholeTerm: true} {
		t.Run(validity, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(s *standin.Settings) { s.ReplaceValidity = validity })
			first := r.Order(dv(dvOne), "shop.example.com")
			one := r.MustIssue(first)
			leaf, err := x509.ParseCertificate(one.Chain[0])
			if err != nil || !strings.Contains(one.Detail, "a reissue is asked for, which must be before "+day(leaf.NotAfter.AddDate(0, 0, -30))) {
				t.Errorf("people are told %q", one.Detail)
			}
			if err := r.server.Advance(100 * 24 * time.Hour); err != nil {
				t.Fatal(err)
			}
			second := r.Follow(pluginapi.Reissue, first, one)
			two := r.MustIssue(second)
			r.bought(1, 1)
			if two.Reference == one.Reference {
				t.Error("a reissue has the id of the certificate that it replaces")
			}
			if said := strings.Contains(two.Detail, "reaches no further"); said == gains || !two.CoverageEnd.Equal(one.CoverageEnd) {
				t.Errorf("paid until %s, and then until %s: %s", one.CoverageEnd, two.CoverageEnd, two.Detail)
			}
			looked, err := r.Instance().InspectOrder(t.Context(), two.Reference, two.State)
			if err != nil || !looked.Order.CoverageEnd.Equal(two.CoverageEnd) || looked.Order.Status != pluginapi.Issued || !slices.Contains(looked.Order.Names, "shop.example.com") {
				t.Errorf("inspected: %+v, %v", looked.Order, err)
			}
			third := r.Follow(pluginapi.Reissue, second, two)
			if !gains { // a person decides whether another is bought beside what may be owed
				_, err := r.Instance().PlaceOrder(t.Context(), third)
				if pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), "given_up") {
					t.Errorf("a reissue that gains nothing: %v", err)
				}
				r.bought(1, 1)
				r.values["reissue"] = false
				looked, err := r.Instance().InspectOrder(t.Context(), two.Reference, two.State)
				if err != nil || !looked.Order.CoverageEnd.Before(two.CoverageEnd) {
					t.Errorf("after their yes it is paid until %s, %v", looked.Order.CoverageEnd, err)
				}
				r.MustIssue(r.Follow(pluginapi.Renew, second, two))
				r.bought(2, 1)
				return
			}
			three := r.MustIssue(third)
			r.bought(1, 2)
			four := r.MustIssue(r.Follow(pluginapi.Renew, third, three))
			r.bought(2, 2)
			if four.Reference == three.Reference || four.CoverageEnd.Before(r.server.Now().AddDate(0, 11, 0)) {
				t.Errorf("the renewal is %s, paid until %s", four.Reference, four.CoverageEnd)
			}
		})
	}
}

// A key that is kept makes the requests of all generations look alike.
func TestReissueWithTheSameKey(t *testing.T) {
	t.Parallel()
	for _, links := range []string{standin.LinksByDocs, standin.LinksByName} {
		for _, at := range []string{standin.AtNew, standin.AtOld, standin.AtBoth} {
			for _, forgetful := range []bool{false, true} {
				t.Run(links+" "+at, func(t *testing.T) {
					t.Parallel()
					r := newRig(t, func(s *standin.Settings) { s.ReplaceLinks, s.ReplaceStatus = links, at })
					r.Forgetful = forgetful
					o := r.Order(dv(dvOne), "shop.example.com")
					got := r.MustIssue(o)
					for range 3 {
						next := r.Follow(pluginapi.Reissue, o, got)
						next.CSR = o.CSR
						got = r.MustIssue(next)
					}
					r.bought(1, 3)
				})
			}
		}
	}
}

// Somebody has reissued the certificate in the console: the next reissue is one of what is there now.
func TestReissueAfterSomebodyElsesReissue(t *testing.T) {
	t.Parallel()
	for _, links := range []string{standin.LinksByDocs, standin.LinksByName} {
		t.Run(links, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(s *standin.Settings) { s.ReplaceLinks = links })
			o := r.Order(dv(dvOne), "shop.example.com")
			one := r.MustIssue(o)
			theirs := r.Follow(pluginapi.Reissue, o, one)
			two := r.MustIssue(theirs)
			three := r.MustIssue(r.Follow(pluginapi.Reissue, o, one)) // we know of the first one alone
			r.bought(1, 2)
			if three.Reference == two.Reference || three.Reference == one.Reference {
				t.Errorf("%s, %s and %s", one.Reference, two.Reference, three.Reference)
			}
		})
	}
}

func TestReissueWhileAnotherIsUnderWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.Order(dv(dvOne), "shop.example.com")
	one := r.MustIssue(o)
	theirs := r.Follow(pluginapi.Reissue, o, one)
	if _, err := r.Place(theirs); err != nil {
		t.Fatal(err)
	}
	_, err := r.Instance().PlaceOrder(t.Context(), r.Follow(pluginapi.Reissue, o, one))
	if pluginapi.KindOf(err) != pluginapi.Conflict {
		t.Errorf("got %v", err)
	}
	r.bought(1, 1)
}

// A reissue that has to be handed in again is.
func TestReissueThatWaitsForItsMaterials(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *standin.Settings) { s.ReplaceSubmits = true })
	o := r.Order(dv(dvOne), "shop.example.com")
	r.MustIssue(r.Follow(pluginapi.Reissue, o, r.MustIssue(o)))
	r.bought(1, 1)
}

// A certificate that is paid is used instead of buying, also after it was canceled; then it is of no use any more.
func TestCertID(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.Order(dv(dvOne), "shop.example.com")
	paid, err := r.Place(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Instance().CancelOrder(t.Context(), r.Placed(o, paid), "the names were wrong"); err != nil {
		t.Fatal(err)
	}
	named := r.Order(with(dv(dvOne), map[string]any{"cert_id": paid.Reference}), "api.example.com")
	got := r.MustIssue(named)
	if got.Reference != paid.Reference {
		t.Errorf("issued is %s, and %s was named", got.Reference, paid.Reference)
	}
	r.bought(1, 0)
	_, err = r.Instance().PlaceOrder(t.Context(), r.Order(named.Settings, "api.example.com"))
	if pluginapi.KindOf(err) != pluginapi.InvalidRequest || pluginapi.FieldOf(err) != "cert_id" {
		t.Errorf("a certificate that was used: %v", err)
	}
	_, err = r.Instance().PlaceOrder(t.Context(), r.Order(with(dv(dvOne), map[string]any{"cert_id": "NotThere"}), "api.example.com"))
	if pluginapi.FieldOf(err) != "cert_id" {
		t.Errorf("a certificate that is not there: %v", err)
	}
	_, err = r.Instance().PlaceOrder(t.Context(), r.Order(with(dv(25), map[string]any{"cert_id": paid.Reference}), "api.example.com"))
	if pluginapi.FieldOf(err) != "cert_id" || !strings.Contains(err.Error(), "ProductId = 48") {
		t.Errorf("a certificate of another product: %v", err)
	}
	r.bought(1, 0)
}

// People look at OV orders; status says who must act and where.
func TestPeoplesReview(t *testing.T) {
	t.Parallel()
	for _, passed := range []bool{true, false} {
		r := newRig(t)
		if err := r.server.SetManager(standin.DemoManager, "audit"); err != nil {
			t.Fatal(err)
		}
		o := r.Order(ov(ovOne), "shop.example.com")
		got, err := r.Issue(o)
		if err != nil || got.Action == nil || got.Action.URL == "" || got.Status != pluginapi.PendingApproval && got.Status != pluginapi.PendingValidation {
			t.Fatalf("got %s, %+v, %v: %s", got.Status, got.Action, err, got.Detail)
		}
		if err := r.server.Review(t.Context(), got.Reference, passed, "the company is not known"); err != nil {
			t.Fatal(err)
		}
		got, err = r.Again(o, got)
		switch {
		case err != nil:
			t.Fatal(err)
		case passed:
			r.CheckIssued(o, got)
		case got.Status != pluginapi.OrderRejected || !strings.Contains(got.Detail, "the company is not known") || !strings.Contains(got.Detail, "cert_id"):
			t.Errorf("after a no: %s: %s", got.Status, got.Detail)
		}
		r.bought(1, 0)
	}
}

func TestCancelAndRevoke(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *standin.Settings) { s.RevokeProof = true })
	o := r.Order(dv(dvOne), "shop.example.com")
	at, err := r.Place(o)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // with its materials outstanding, and then under review
		done, err := r.Instance().CancelOrder(t.Context(), r.Placed(o, at), "not wanted")
		if err != nil || done.Order.Status != pluginapi.Canceled {
			t.Fatalf("%s, %v", done.Order.Status, err)
		}
		named := r.Order(with(dv(dvOne), map[string]any{"cert_id": at.Reference}), "shop.example.com")
		if at, err = r.Place(named); err != nil {
			t.Fatal(err)
		}
		o = named
		next, err := r.Instance().GetOrder(t.Context(), r.Placed(o, at))
		if err != nil {
			t.Fatal(err)
		}
		at = next.Order
	}
	issued, err := r.Finish(o, at)
	if err != nil {
		t.Fatal(err)
	}
	r.CheckIssued(o, issued)
	if _, err := r.Instance().CancelOrder(t.Context(), r.Placed(o, issued), ""); pluginapi.KindOf(err) != pluginapi.Conflict {
		t.Errorf("cancel what is issued: %v", err)
	}
	revocation := pluginapi.Revocation{Leaf: issued.Chain[0], Reason: 4, Order: &pluginapi.PreviousOrder{Reference: issued.Reference, Chain: issued.Chain}}
	for range 2 {
		reply, err := r.Instance().RevokeCertificate(t.Context(), revocation)
		if err != nil || reply.Action == nil || !strings.Contains(reply.Action.What, "record") {
			t.Fatalf("%+v, %v", reply, err)
		}
	}
	if err := r.server.Show(t.Context(), issued.Reference); err != nil {
		t.Fatal(err)
	}
	reply, err := r.Instance().RevokeCertificate(t.Context(), revocation)
	if err != nil || reply.Action != nil {
		t.Errorf("%+v, %v", reply, err)
	}
	looked, err := r.Instance().InspectOrder(t.Context(), issued.Reference, issued.State)
	if err != nil || looked.Order.Status != pluginapi.Canceled {
		t.Errorf("a revoked certificate is %s, %v", looked.Order.Status, err)
	}
}

func TestFindByCertificate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.Order(dv(dvOne), "shop.example.com")
	issued := r.MustIssue(o)
	r.MustIssue(r.Order(dv(dvOne), "shop.example.com"))
	found, err := r.Instance().FindOrderByCertificate(t.Context(), issued.Chain[0])
	if err != nil || found.Order.Reference != issued.Reference || found.Order.Settings["ProductId"] != int64(dvOne) {
		t.Fatalf("%+v, %v", found.Order, err)
	}
	next := r.Follow(pluginapi.Reissue, o, issued)
	next.Previous.Reference, next.Previous.State = "", nil // known by the certificate alone
	r.MustIssue(next)
	r.bought(2, 1)
	strange := cadrive.NewKey(t)
	leaf := selfSigned(t, strange, "shop.example.com")
	if _, err := r.Instance().FindOrderByCertificate(t.Context(), leaf.Raw); pluginapi.KindOf(err) != pluginapi.NotFound {
		t.Errorf("a strange certificate: %v", err)
	}
}
