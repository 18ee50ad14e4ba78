package servertastic

import (
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/request"
	standin "github.com/certbridge/certbridged/internal/sandbox/servertastic"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

func TestOrder(t *testing.T) {
	file := []pluginapi.ChallengeType{pluginapi.ChallengeHTTP}
	for name, c := range map[string]struct {
		product   string
		names     []string
		set       map[string]any
		types     []pluginapi.ChallengeType
		change    func(*standin.Settings)
		published pluginapi.PublishAbility
		right     func(*x509.Certificate) bool // what else is seen by the certificate
	}{
		"a record": {product: "RapidSSL-12", names: []string{"example.com"}, published: pluginapi.PublishTXT, right: func(c *x509.Certificate) bool {
			return len(c.DNSNames) == 2 && !strings.Contains(c.Issuer.CommonName, "ECC") // with its companion, of the first issuing CA
		}},
		"a record for the companion": {product: "RapidSSL-12", names: []string{"example.com", "www.example.com"}, published: pluginapi.PublishTXT},
		"without the companion": {product: "RapidSSL-12", names: []string{"example.com"}, set: map[string]any{"no_companion": true}, published: pluginapi.PublishTXT, right: func(c *x509.Certificate) bool {
			return len(c.DNSNames) == 1
		}},
		"a wildcard":                    {product: "RapidSSLWildcard-12", names: []string{"*.example.com", "example.com"}, published: pluginapi.PublishTXT},
		"a file":                        {product: "RapidSSL-12", names: []string{"example.com", "www.example.com"}, types: file, published: pluginapi.PublishFile},
		"a file over HTTPS":             {product: "RapidSSL-12", names: []string{"example.com", "www.example.com"}, types: file, set: map[string]any{"dv_auth_method": "SFILE"}, published: pluginapi.PublishFile},
		"several names, fewer than due": {product: "QuickSSLPremiumMD-12", names: []string{"example.com", "a.example.com", "example.org"}, published: pluginapi.PublishTXT},
		"Sectigo's record":              {product: "PositiveSSL-12", names: []string{"example.com", "www.example.com"}, published: pluginapi.PublishCNAME},
		"Sectigo's file":                {product: "PositiveSSL-12", names: []string{"example.com", "www.example.com"}, types: file, published: pluginapi.PublishFile},
		"Sectigo's wildcard":            {product: "PositiveSSLWildcard-12", names: []string{"*.example.com"}, published: pluginapi.PublishCNAME},
		"Sectigo's names":               {product: "SectigoSSL-12", names: []string{"example.com", "example.org", "*.example.net"}, published: pluginapi.PublishCNAME},
		"with a unique value":           {product: "PositiveSSL-12", names: []string{"example.com"}, change: func(s *standin.Settings) { s.UniqueValue = "abc123" }, published: pluginapi.PublishCNAME},
		"the issuing CA chosen": {product: "RapidSSL-12", names: []string{"example.com"}, set: map[string]any{"issuing_ca": "Sandbox Global G3 TLS ECC CA"}, change: func(s *standin.Settings) { s.Names.IssuingCA = "ica_choice" }, published: pluginapi.PublishTXT, right: func(c *x509.Certificate) bool {
			return strings.Contains(c.Issuer.CommonName, "ECC")
		}},
		"the other answer": {product: "RapidSSL-12", names: []string{"example.com"}, change: func(s *standin.Settings) { s.TokenAnswer = "product" }, published: pluginapi.PublishTXT},
		"the older status": {product: "RapidSSL-12", names: []string{"example.com"}, change: func(s *standin.Settings) { s.Unplaced = "Order Placed" }, published: pluginapi.PublishTXT},
		"flat, bare, null": {product: "RapidSSL-12", names: []string{"example.com", "www.example.com"}, types: file, change: func(s *standin.Settings) {
			s.Layout, s.FileName, s.Empty, s.NoCertificates, s.SingleObject, s.MethodCase = "flat", "bare", "null", "null", true, "title"
		}, published: pluginapi.PublishFile},
		"relative, missing, list": {product: "RapidSSL-12", names: []string{"example.com"}, change: func(s *standin.Settings) {
			s.RecordName, s.Empty, s.NoCertificates, s.Expiration, s.CertificateKey, s.OldValueKeys = "relative", "missing", "list", "null", "crt", true
		}, published: pluginapi.PublishTXT},
		"www first, relative": {product: "RapidSSL-12", names: []string{"www.example.com", "example.com"}, change: func(s *standin.Settings) { s.RecordName = "relative" }, published: pluginapi.PublishTXT},
		"www alone, relative": {product: "PositiveSSL-12", names: []string{"www.example.com"}, set: map[string]any{"no_companion": true}, change: func(s *standin.Settings) { s.RecordName = "relative" }, published: pluginapi.PublishCNAME},
		"a dot, a URL, strays": {product: "PositiveSSL-12", names: []string{"example.com"}, change: func(s *standin.Settings) {
			s.RecordName, s.FileName, s.StrayCertificate, s.ErrorStatus, s.PlaceTellsNames = "dot", "url", true, "ok", true
		}, published: pluginapi.PublishCNAME},
		"a field that nobody knows": {product: "RapidSSL-12", names: []string{"example.com"}, set: map[string]any{"extra_fields": map[string]any{"shoe_size": "44"}}, change: func(s *standin.Settings) { s.ExtraField = "shoe_size" }, published: pluginapi.PublishTXT},
	} {
		for _, killed := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				if c.change != nil {
					if err := r.server.Configure(c.change); err != nil {
						t.Fatal(err)
					}
				}
				r.Killed = killed
				if c.types != nil {
					r.Types = c.types
				}
				o := r.Order(settings(c.product, c.set), c.names...)
				before := r.server.Now()
				got := r.MustIssue(o)
				r.bought(1, 0)
				if r.World.Published(c.published) == 0 {
					t.Error("nothing was published as it should")
				}
				if want := before.AddDate(1, 0, 0); got.CoverageEnd.Before(want.Add(-time.Minute)) || got.CoverageEnd.After(want.Add(time.Hour)) {
					t.Errorf("the term ends %s", got.CoverageEnd)
				}
				if got.Reference != "cb-"+o.IdempotencyKey || r.only().Reference != got.Reference {
					t.Errorf("the reference is %q, at the CA %q", got.Reference, r.only().Reference)
				}
				leaf, err := x509.ParseCertificate(got.Chain[0])
				if err != nil || c.right != nil && !c.right(leaf) {
					t.Errorf("for %s, by %s, %v", leaf.DNSNames, leaf.Issuer, err)
				}
			})
		}
	}
}

func TestReissueAndRenew(t *testing.T) {
	for _, product := range []string{"RapidSSL-12", "PositiveSSL-12"} {
		for _, status := range []string{"completed", "waiting"} {
			for _, killed := range []bool{false, true} {
				t.Run(product+" "+status, func(t *testing.T) {
					t.Parallel()
					r := newRig(t, func(s *standin.Settings) { s.ReissueStatus = status })
					r.Killed = killed
					first := r.order(product, "example.com", "www.example.com")
					one := r.MustIssue(first)
					r.advance(100 * 24 * time.Hour)
					second := r.Follow(pluginapi.Reissue, first, one)
					two := r.MustIssue(second)
					r.advance(100 * 24 * time.Hour)
					third := r.Follow(pluginapi.Reissue, second, two)
					three := r.MustIssue(third)
					r.bought(1, 2)
					if two.Reference != one.Reference || three.Reference != one.Reference || !three.CoverageEnd.Equal(one.CoverageEnd) {
						t.Errorf("references %s, %s, %s; paid until %s and %s", one.Reference, two.Reference, three.Reference, one.CoverageEnd, three.CoverageEnd)
					}
					r.advance(140 * 24 * time.Hour)
					four := r.MustIssue(r.Follow(pluginapi.Renew, third, three))
					r.bought(2, 2)
					if four.Reference == one.Reference {
						t.Error("a renewal is another order")
					}
					orders := r.server.Orders()
					if product == "RapidSSL-12" && orders[1].RenewalOf == "" {
						t.Errorf("the renewal is not linked: %+v", orders[1])
					}
				})
			}
		}
	}
}

// What a state holds is found again without it, as after an order was resolved by a person.
func TestStateIsLost(t *testing.T) {
	t.Parallel()
	for _, unplaced := range []string{"Order Generated", "Order Placed"} {
		r := newRig(t, func(s *standin.Settings) { s.Unplaced = unplaced })
		o := r.order("RapidSSL-12", "example.com")
		at, err := r.Place(o)
		if err != nil {
			t.Fatal(err)
		}
		at.State = nil
		got, err := r.Finish(o, at)
		if err != nil {
			t.Fatal(err)
		}
		r.CheckIssued(o, got)
		r.bought(1, 0)
		again, err := r.Instance().GetOrder(t.Context(), pluginapi.PlacedOrder{OrderRequest: o, Reference: got.Reference, State: []byte("\x00garbage{")})
		if err != nil || again.Order.Status != pluginapi.Issued || again.Order.Reference != got.Reference {
			t.Errorf("%s: %v", again.Order.Status, err)
		}
	}
}

// A key that was changed no longer opens the tokens in states: they are looked up, and the orders go on.
func TestKeyIsChanged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Killed = false
	o := r.order("RapidSSL-12", "example.com")
	at := r.placed(o)
	answer := httptest.NewRecorder()
	r.server.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, standin.BasePath+"/account/regenerateapikey.json?api_key="+testKey, nil))
	var changed struct {
		Key string `json:"api_key"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &changed); err != nil || changed.Key == "" || changed.Key == testKey {
		t.Fatalf("the key is %q, %v", changed.Key, err)
	}
	r.key, r.Killed = changed.Key, true // a new configuration is a new process
	got, err := r.Finish(o, at)
	if err != nil {
		t.Fatal(err)
	}
	r.CheckIssued(o, got)
	if _, ok := (&session{settings: accountSettings{key: pluginapi.NewSecret(changed.Key)}}).open(decodeState(got.State).Sealed); !ok {
		t.Error("the token is not kept with the key of now")
	}
	r.MustIssue(r.Follow(pluginapi.Reissue, o, got))
	r.bought(1, 1)
}

func TestOVOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.order("TrueBizID-12", "example.com")
	at, err := r.Place(o)
	if err != nil {
		t.Fatal(err)
	}
	at, _ = r.Finish(o, at)
	if at.Status != pluginapi.Processing || at.Action == nil {
		t.Fatalf("%s, %+v: %s", at.Status, at.Action, at.Detail)
	}
	if err := r.server.Vet(t.Context(), r.only().ID); err != nil {
		t.Fatal(err)
	}
	r.advance(10 * time.Minute)
	if at, err = r.Again(o, at); err != nil {
		t.Fatal(err)
	}
	r.CheckIssued(o, at)
	r.bought(1, 0)
}

func TestEmail(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.Order(settings("RapidSSL-12", map[string]any{"dv_auth_method": request.MethodEmail, "approver_email_address": "admin@example.com"}), "example.com")
	at, err := r.Place(o)
	if err != nil {
		t.Fatal(err)
	}
	at, _ = r.Finish(o, at)
	if at.Status != pluginapi.PendingValidation || at.Action == nil || len(at.Authorizations) == 0 || at.Authorizations[0].Challenges[0].Email.Recipients[0] != "admin@example.com" {
		t.Fatalf("%s, %+v, %+v: %s", at.Status, at.Action, at.Authorizations, at.Detail)
	}
	if err := r.server.FollowEmail(t.Context(), r.only().ID, ""); err != nil {
		t.Fatal(err)
	}
	r.advance(10 * time.Minute)
	if at, err = r.Again(o, at); err != nil {
		t.Fatal(err)
	}
	r.CheckIssued(o, at)
	stranger := r.Order(settings("RapidSSL-12", map[string]any{"dv_auth_method": request.MethodEmail, "approver_email_address": "ada@example.com"}), "example.com")
	if _, err := r.Place(stranger); pluginapi.FieldOf(err) != "approver_email_address" {
		t.Errorf("an address that may not agree: %v", err)
	}
	r.bought(1, 0)
}

var _ cadrive.StandIn = (*standin.Server)(nil)
