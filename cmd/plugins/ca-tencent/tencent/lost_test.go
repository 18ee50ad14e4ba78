package tencent

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/tencent"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// edited puts a proxy before the stand-in that changes answers.
func (r *rig) edited(edit func(action string, response map[string]any)) {
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		rec := httptest.NewRecorder()
		r.server.ServeHTTP(rec, q)
		var in map[string]map[string]any
		if json.Unmarshal(rec.Body.Bytes(), &in) == nil && in["Response"] != nil {
			edit(q.Header.Get("X-TC-Action"), in["Response"])
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(in)
			return
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}))
	r.t.Cleanup(p.Close)
	r.url = p.URL
}

// entries changes every entry of a list of certificates.
func entries(edit func(c map[string]any)) func(string, map[string]any) {
	return func(_ string, response map[string]any) {
		list, _ := response["Certificates"].([]any)
		for _, c := range list {
			edit(c.(map[string]any))
		}
	}
}

// A purchase whose answer was lost and that comes to light late, or shows next to nothing of itself, is not made again.
func TestALostPurchaseThatHardlyShows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		visible time.Duration
		edit    func(c map[string]any)
		found   bool
	}{
		"listed late":        {visible: 3 * time.Minute, found: true},
		"listed, no product": {edit: func(c map[string]any) { c["PackageType"], c["Tags"] = nil, nil }},
		"another number":     {edit: func(c map[string]any) { c["PackageType"], c["Tags"] = "102", nil }},
		"no status":          {edit: func(c map[string]any) { c["Status"], c["Tags"] = nil, nil }},
		"an alias":           {edit: func(c map[string]any) { c["Alias"], c["Tags"] = "dnspod-dv", nil }},
		"a tag half there":   {edit: func(c map[string]any) { c["Tags"] = []any{map[string]any{"TagKey": "certbridged", "TagValue": nil}} }},
		"canceled by now":    {edit: func(c map[string]any) { c["Status"], c["Tags"] = 7, nil }},
		"no time of its own": {edit: func(c map[string]any) { c["InsertTime"], c["Tags"] = nil, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(s *standin.Settings) {
				s.VisibleAfter = sandbox.Delay(c.visible)
				if !c.found {
					s.TagsAfter = sandbox.Delay(24 * time.Hour)
				}
			})
			if c.edit != nil {
				r.edited(entries(c.edit))
			}
			r.misbehave(sandbox.Misbehaviour{Path: "/CreateCertificate", Kind: sandbox.Drop, After: true})
			at, err := r.Place(r.Order(dv(dvOne), "shop.example.com"))
			if c.found && (err != nil || at.Reference != r.server.Certificates()[0].ID) || !c.found && pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
				t.Errorf("%s, %v", at.Reference, err)
			}
			r.bought(1, 0)
		})
	}
}

// Where more was bought since than is looked through, nobody says that nothing was bought.
func TestTooMuchToLookThrough(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		entry := map[string]any{"CertificateId": "Other1", "Status": 1, "InsertTime": "2099-01-01 00:00:00"}
		_ = json.NewEncoder(w).Encode(map[string]any{"Response": map[string]any{"TotalCount": 100_000, "Certificates": []any{entry}}})
	}))
	t.Cleanup(s.Close)
	ca := configured(t, s.URL)
	session, err := ca.up.Get()
	if err != nil {
		t.Fatal(err)
	}
	_, err = session.amongNewest(t.Context(), pluginapi.OrderRequest{IdempotencyKey: "key"}, time.Now().Add(-time.Hour))
	if pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
		t.Errorf("got %v", err)
	}
}

// A failure without a known reason, after the purchase was made: nothing is bought again on its word.
func TestAFailureOfThePurchaseThatNobodyKnows(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"FailedOperation.BackendTimeout", "FailedOperation", "ResourceInsufficient", "LimitExceeded"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(s *standin.Settings) { s.TagsAfter = sandbox.Delay(24 * time.Hour) })
			if err := r.server.Refuse(standin.Refusal{Action: "CreateCertificate", Code: code, After: true}); err != nil {
				t.Fatal(err)
			}
			_, err := r.Instance().PlaceOrder(t.Context(), r.Order(dv(dvOne), "shop.example.com"))
			if pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
				t.Errorf("got %v", err)
			}
			r.bought(1, 0)
		})
	}
}
