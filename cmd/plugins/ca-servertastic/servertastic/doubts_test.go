package servertastic

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/servertastic"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

// front changes the stand-in's answers on their way, to what the facts leave open and it does not do.
func (r *rig) front(edit func(path string, status int, body []byte) (int, []byte)) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		rec := httptest.NewRecorder()
		r.server.ServeHTTP(rec, q)
		body, err := io.ReadAll(rec.Result().Body)
		if err != nil {
			r.t.Error(err)
		}
		status, out := edit(q.URL.Path, rec.Code, body)
		w.WriteHeader(status)
		if _, err := w.Write(out); err != nil {
			r.t.Log(err)
		}
	}))
	r.t.Cleanup(web.Close)
	r.values["base_url"] = web.URL + standin.BasePath
}

// review changes the objects that review answers.
func (r *rig) review(edit func(map[string]any)) {
	r.front(func(path string, status int, body []byte) (int, []byte) {
		var v map[string]any
		if strings.HasSuffix(path, "/order/review.json") && json.Unmarshal(body, &v) == nil {
			edit(v)
			var err error
			if body, err = json.Marshal(v); err != nil {
				r.t.Error(err)
			}
		}
		return status, body
	})
}

// listed changes what showtokens answers.
func (r *rig) listed(edit func([]byte) []byte) {
	r.front(func(path string, status int, body []byte) (int, []byte) {
		if strings.HasSuffix(path, "/order/showtokens.json") {
			body = edit(body)
		}
		return status, body
	})
}

// That an order could not be read does not mean that there is none: the certificate's next order would be bought.
func TestAnOrderThatCannotBeReadIsNotGone(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   pluginapi.ErrorKind
	}{
		"a gateway's 403":    {403, "<html>blocked", pluginapi.Unauthorized},
		"a gateway's 401":    {401, "<html>log in", pluginapi.Unauthorized},
		"blocked":            {200, `{"error":{"code":403,"message":"Temporarily blocked"}}`, pluginapi.Unauthorized},
		"try later":          {200, `{"error":{"code":400,"message":"Try later"}}`, pluginapi.Unavailable},
		"maintenance":        {200, `{"error":{"message":"maintenance"}}`, pluginapi.Unavailable},
		"not found":          {404, `{"error":{"code":404,"message":"no such order"}}`, pluginapi.Unavailable},
		"a token it refuses": {401, `{"error":{"code":401,"message":"order token not known"}}`, pluginapi.NeedsPerson},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			got := r.MustIssue(r.order("RapidSSL-12", "example.com"))
			r.front(func(path string, status int, body []byte) (int, []byte) {
				if strings.HasSuffix(path, "/order/review.json") {
					return c.status, []byte(c.body)
				}
				return status, body
			})
			if _, err := r.Instance().FindOrderByCertificate(t.Context(), got.Chain[0]); pluginapi.KindOf(err) != c.kind {
				t.Errorf("by certificate: %s: %v", pluginapi.KindOf(err), err)
			}
			if _, err := r.Instance().InspectOrder(t.Context(), got.Reference, got.State); err == nil || pluginapi.KindOf(err) == pluginapi.NotFound {
				t.Errorf("inspected: %v", err)
			}
		})
	}
}

// An order of which the newest certificate alone is shown may be that of an earlier one.
func TestAnEarlierCertificateIsNotShown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.order("RapidSSL-12", "example.com")
	one := r.MustIssue(o)
	r.advance(24 * time.Hour)
	r.MustIssue(r.Follow(pluginapi.Reissue, o, one))
	r.MustIssue(r.order("RapidSSL-12", "other.example.org"))
	r.review(func(v map[string]any) {
		if l, ok := v["certificate_list"].([]any); ok && len(l) > 0 {
			v["certificate_list"] = l[:1]
		}
	})
	_, err := r.Instance().FindOrderByCertificate(t.Context(), one.Chain[0])
	if pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), "may belong to order") {
		t.Errorf("%s: %v", pluginapi.KindOf(err), err)
	}
}

// A lost purchase whose token is to be seen in no way that could be trusted is of unknown outcome, and bought once.
func TestALostPurchaseThatCannotBeRecognized(t *testing.T) {
	for name, c := range map[string]struct {
		edit   func([]byte) []byte
		unsure bool
	}{
		"other letters":          {edit: func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("cb-"), []byte("CB-")) }},
		"no references":          {unsure: true, edit: func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("reseller_unique_ref"), []byte("ref")) }},
		"a list that is missing": {unsure: true, edit: func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("unused_tokens"), []byte("other_tokens")) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(s *standin.Settings) { s.DuplicateReference = "allow" })
			r.listed(c.edit)
			o := r.order("RapidSSL-12", "example.com")
			r.misbehave(sandbox.Misbehaviour{Path: "/order/generatetoken.json", Kind: sandbox.Drop, After: true})
			sent := r.server.Now()
			if _, err := r.Instance().PlaceOrder(t.Context(), o); pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
				t.Fatal(err)
			}
			r.advance(time.Hour)
			got, err := r.Instance().FindOrder(t.Context(), o, sent)
			if c.unsure != (pluginapi.KindOf(err) == pluginapi.UnknownOutcome) || !c.unsure && got.Order.Reference == "" {
				t.Errorf("%+v, %v", got.Order, err)
			}
			if _, err := r.Instance().InspectOrder(t.Context(), "cb-"+o.IdempotencyKey, nil); pluginapi.KindOf(err) == pluginapi.NotFound {
				t.Errorf("inspected: %v", err)
			}
			r.bought(1, 0)
		})
	}
}

// A new account has no used tokens, and the API may leave out what is empty: it orders all the same.
func TestAnEmptyListIsLeftOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.listed(func(b []byte) []byte {
		var v map[string]any
		if err := json.Unmarshal(b, &v); err != nil {
			t.Error(err)
		}
		delete(v, "used_tokens")
		b, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		return b
	})
	if _, err := r.Instance().PlaceOrder(t.Context(), r.order("RapidSSL-12", "example.com")); err != nil {
		t.Error(err)
	}
	r.bought(1, 0)
}

// A reference that was used is refused in whatever words: it is no word about the order.
func TestADuplicateIsRefusedInOtherWords(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *standin.Settings) { s.TokensDelay = sandbox.Delay(5 * time.Minute) })
	r.front(func(_ string, status int, b []byte) (int, []byte) {
		return status, bytes.ReplaceAll(b, []byte("reseller_unique_reference has been used before"), []byte("Duplicate order"))
	})
	o := r.order("RapidSSL-12", "example.com")
	if _, err := r.Instance().PlaceOrder(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Instance().PlaceOrder(t.Context(), o); pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
		t.Errorf("%s: %v", pluginapi.KindOf(err), err)
	}
	r.bought(1, 0)
}

// Of two certificates of an order that are good, none is revoked by canceling the order, whatever their dates are.
func TestRevokeOnTheSameDay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.order("RapidSSL-12", "example.com")
	one := r.MustIssue(o)
	r.advance(time.Hour)
	two := r.MustIssue(r.Follow(pluginapi.Reissue, o, one))
	for _, at := range []pluginapi.Order{one, two} {
		_, err := r.Instance().RevokeCertificate(t.Context(), pluginapi.Revocation{Leaf: at.Chain[0], Order: cadrive.Previous(two), Reason: 1})
		if pluginapi.KindOf(err) != pluginapi.NeedsPerson {
			t.Errorf("got %v", err)
		}
	}
}

// What a linked renewal carries over is used, year after year, so that every renewal comes when it is taken.
func TestRenewalsOfManyYears(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Killed = false
	o := r.order("RapidSSL-12", "example.com")
	last := r.MustIssue(o)
	for year := range 5 {
		r.advance(last.CoverageEnd.AddDate(0, 0, -60).Sub(r.server.Now()))
		again := r.Follow(pluginapi.Reissue, o, last) // so that the certificate reaches to the end
		last = r.MustIssue(again)
		r.advance(last.CoverageEnd.AddDate(0, 0, -30).Sub(r.server.Now()))
		o = r.Follow(pluginapi.Renew, again, last)
		last = r.MustIssue(o)
		orders := r.server.Orders()
		if got := orders[len(orders)-1]; got.RenewalOf == "" || got.Until.Sub(last.CoverageEnd).Abs() > 48*time.Hour {
			t.Errorf("renewal %d is paid until %s, and taken to be until %s (linked to %q)", year+1, got.Until, last.CoverageEnd, got.RenewalOf)
		}
	}
}

// A renewal that comes earlier than ServerTastic links renewals is placed without the link, and not refused.
func TestRenewalTooEarlyForALink(t *testing.T) {
	for name, c := range map[string]struct {
		days int // before the end of the earlier order
		link bool
	}{"91 days before": {91, false}, "89 days before": {89, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			o := r.order("RapidSSL-12", "example.com")
			one := r.MustIssue(o)
			r.advance(one.CoverageEnd.AddDate(0, 0, -c.days).Sub(r.server.Now()))
			r.MustIssue(r.Follow(pluginapi.Renew, o, one))
			if linked := r.server.Orders()[1].RenewalOf != ""; linked != c.link {
				t.Errorf("linked: %t", linked)
			}
			r.bought(2, 0)
		})
	}
}

// An order of the other CA is no earlier order to renew: the new one is placed without a link.
func TestRenewalAcrossFamilies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.order("PositiveSSL-12", "example.com")
	one := r.MustIssue(o)
	r.advance(340 * 24 * time.Hour)
	next := r.Follow(pluginapi.Renew, o, one)
	next.Settings = settings("RapidSSL-12", nil)
	r.MustIssue(next)
	r.bought(2, 0)
}

// A wrong clock at the time of the purchase does not move the end of the term.
func TestWrongClock(t *testing.T) {
	for name, days := range map[string]int{"behind": -60, "ahead": 60} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			ca := New(Options{Now: func() time.Time { return r.server.Now().AddDate(0, 0, days) }, Logger: slog.New(slog.DiscardHandler)})
			if _, err := ca.Configure(t.Context(), pluginapi.Account{Settings: r.account()}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := ca.Close(); err != nil {
					t.Error(err)
				}
			})
			o := r.order("RapidSSL-12", "example.com")
			reply, err := ca.PlaceOrder(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Finish(o, reply.Order)
			if err != nil {
				t.Fatal(err)
			}
			inspected, err := r.Instance().InspectOrder(t.Context(), got.Reference, reply.Order.State)
			for _, end := range []time.Time{got.CoverageEnd, inspected.Order.CoverageEnd} {
				if err != nil || end.Sub(r.only().Until).Abs() > 72*time.Hour {
					t.Errorf("paid until %s, and taken to be until %s, %v", r.only().Until, end, err)
				}
			}
		})
	}
}

// A note of the future, as after a clock that was ahead was put right, is one of now.
func TestNoteOfTheFuture(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.order("RapidSSL-12", "example.com")
	at, err := r.Place(o)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := r.Instance().GetOrder(t.Context(), r.Placed(o, at))
	if err != nil {
		t.Fatal(err)
	}
	st := decodeState(reply.Order.State)
	st.Announced = st.Announced.AddDate(0, 0, 400)
	reply.Order.State = st.encode()
	got, err := r.Instance().GetOrder(t.Context(), r.Placed(o, reply.Order))
	if err != nil || *got.Order.LookAgainAfter > time.Hour {
		t.Errorf("look again after %s, %v", *got.Order.LookAgainAfter, err)
	}
}

// Of an order that is taken over without its events the earliest certificate tells when it was bought; and where no term is
// known, none is made up.
func TestAdoptedCoverage(t *testing.T) {
	t.Run("without events", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		o := r.order("RapidSSL-12", "example.com")
		one := r.MustIssue(o)
		r.advance(150 * 24 * time.Hour)
		two := r.MustIssue(r.Follow(pluginapi.Reissue, o, one))
		r.front(func(path string, status int, b []byte) (int, []byte) {
			if strings.Contains(path, "/account/") {
				return 404, []byte(`{"error":{"code":404,"message":"no such call"}}`)
			}
			return status, bytes.ReplaceAll(b, []byte(`"modifications"`), []byte(`"others"`))
		})
		found, err := r.Instance().FindOrderByCertificate(t.Context(), two.Chain[0])
		if err != nil || found.Order.CoverageEnd.Sub(two.CoverageEnd).Abs() > 48*time.Hour {
			t.Errorf("bought until %s, adopted until %s, %v", two.CoverageEnd, found.Order.CoverageEnd, err)
		}
	})
	t.Run("without a term", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		o := r.order("RapidSSL-12", "example.com")
		one := r.MustIssue(o)
		r.front(func(_ string, status int, b []byte) (int, []byte) {
			return status, bytes.ReplaceAll(b, []byte("RapidSSL-12"), []byte("RapidSSL"))
		})
		found, err := r.Instance().FindOrderByCertificate(t.Context(), one.Chain[0])
		if err != nil || !found.Order.CoverageEnd.IsZero() {
			t.Fatalf("adopted until %s, %v", found.Order.CoverageEnd, err)
		}
		again, err := r.Instance().InspectOrder(t.Context(), found.Order.Reference, found.Order.State)
		if err != nil || !again.Order.CoverageEnd.IsZero() {
			t.Errorf("inspected until %s, %v", again.Order.CoverageEnd, err)
		}
		next := r.Follow(pluginapi.Reissue, o, found.Order)
		next.Settings = settings("RapidSSL", map[string]any{"term_months": int64(12)})
		if two := r.MustIssue(next); two.CoverageEnd.Sub(one.CoverageEnd).Abs() > 48*time.Hour {
			t.Errorf("with term_months: until %s, %s before", two.CoverageEnd, one.CoverageEnd)
		}
	})
	t.Run("the order's own end", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(s *standin.Settings) { s.Expiration = "order" })
		one := r.MustIssue(r.order("RapidSSL-12", "example.com"))
		r.front(func(_ string, status int, b []byte) (int, []byte) {
			return status, bytes.ReplaceAll(b, []byte("RapidSSL-12"), []byte("RapidSSL"))
		})
		found, err := r.Instance().FindOrderByCertificate(t.Context(), one.Chain[0])
		if err != nil || found.Order.CoverageEnd.Sub(r.only().Until).Abs() > time.Hour {
			t.Errorf("paid until %s, adopted until %s, %v", r.only().Until, found.Order.CoverageEnd, err)
		}
	})
}

// One token in two orders is a fault; and an order that is for another name is neither followed nor canceled.
func TestOneTokenForTwoCertificates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Killed = false
	if _, err := r.Place(r.order("RapidSSL-12", "example.com")); err != nil {
		t.Fatal(err)
	}
	with := withToken(settings("RapidSSL-12", nil), r.only().Token)
	found, err := r.Instance().CheckOrders(t.Context(), []pluginapi.Settings{with, with})
	if err != nil || !pluginapi.HasFault(found) {
		t.Errorf("check: %+v, %v", found, err)
	}
	if found, err := r.Instance().CheckOrders(t.Context(), []pluginapi.Settings{with}); err != nil || pluginapi.HasFault(found) {
		t.Errorf("check of one: %+v, %v", found, err)
	}
	a, b := r.Order(with, "a.example.com"), r.Order(with, "b.example.com")
	atB, err := r.Place(b)
	if err != nil {
		t.Fatal(err)
	}
	r.placed(a)
	r.advance(10 * time.Minute)
	if _, err := r.Instance().GetOrder(t.Context(), r.Placed(b, atB)); pluginapi.KindOf(err) != pluginapi.NeedsPerson {
		t.Errorf("the other certificate's order: %v", err)
	}
	if _, err := r.Instance().CancelOrder(t.Context(), r.Placed(b, atB), ""); pluginapi.KindOf(err) != pluginapi.NeedsPerson || r.only().Status == "Cancelled" {
		t.Errorf("canceled: %v; the order is %s", err, r.only().Status)
	}
}
