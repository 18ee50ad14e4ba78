package digicert

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/request"
	"github.com/certbridge/certbridged/internal/sandbox"
	standin "github.com/certbridge/certbridged/internal/sandbox/digicert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/test/cadrive"
)

// commonNameOf is the common name that an order has at DigiCert.
func (r *rig) commonNameOf(reference string) string {
	r.t.Helper()
	certificate, _ := r.api(http.MethodGet, "/order/certificate/"+reference, nil)["certificate"].(map[string]any)
	name, _ := certificate["common_name"].(string)
	return name
}

// Names that are changed revoke earlier certificates: the order that they are configured in changes nothing.
func TestReissueKeepsTheCommonName(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.order("ssl_dv_geotrust_flex", "shop.example.com", "www.shop.example.com")
	one := r.MustIssue(first)
	two := r.MustIssue(r.Follow(pluginapi.Reissue, first, one, "www.shop.example.com", "shop.example.com"))
	if got := r.commonNameOf(one.Reference); got != "shop.example.com" {
		t.Errorf("the common name became %s", got)
	}
	r.MustIssue(r.Follow(pluginapi.Reissue, first, two, "b.example.com", "www.shop.example.com")) // it is gone
	if got := r.commonNameOf(one.Reference); got != "b.example.com" {
		t.Errorf("the common name is %s", got)
	}
}

// A mark that is taken may be refused by any code, and the order be invisible for a while: nothing is bought beside it.
func TestTakenMarkByAnyCode(t *testing.T) {
	for _, code := range []string{
		"invalid_value:alternative_order_id", "duplicate_alternative_order_id", "alternative_order_id_already_exists", "duplicate_order", "order_exists", "bad_request",
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(s *standin.Settings) {
				s.UniqueAlternativeIDs, s.AlternateDelay, s.TakenMarkCode = true, sandbox.Delay(time.Hour), code
			})
			o := r.order("ssl_dv_geotrust_flex", "shop.example.com")
			r.misbehave(sandbox.Misbehaviour{Method: "POST", Path: "/order/certificate/*", Kind: sandbox.Drop, After: true})
			for range 2 {
				if _, err := r.Instance().PlaceOrder(t.Context(), o); pluginapi.KindOf(err) != pluginapi.UnknownOutcome {
					t.Errorf("got %v", err)
				}
			}
			r.advance(2 * time.Hour)
			r.MustIssue(o)
			r.bought(1, 0)
		})
	}
}

// A refusal that is not about the mark stays one, or a mistake would be sent for ever.
func TestOtherRefusalsAreNoTakenMarks(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]pluginapi.ErrorKind{
		`{"errors":[{"code":"insufficient_funds","message":"The balance does not suffice."}]}`:                     pluginapi.InvalidRequest,
		`{"errors":[{"code":"invalid_value:order_validity.years","message":"The order exists for too long."}]}`:    pluginapi.InvalidRequest,
		`{"errors":[{"code":"order_renewed_already","message":"The order was renewed."}]}`:                         pluginapi.NeedsPerson,
		`{"errors":[{"code":"x","message":"The alternative order ID is assigned to another order already."}]}`:     pluginapi.UnknownOutcome,
		`{"errors":[{"code":"certificate_already_ordered","message":"There is such an order from today."}]}`:       pluginapi.UnknownOutcome,
		`{"errors":[{"code":"access_denied|missing_permission","message":"Alternative order IDs are disabled."}]}`: pluginapi.UnknownOutcome,
	} {
		c := apiAt(t, map[string]http.HandlerFunc{
			"GET /order/alternate/{id}":    says(200, `{"orders":[],"page":{"total":0}}`),
			"POST /order/certificate/{id}": says(400, "%s", body),
		})
		o := cadrive.New(t, cadrive.Options[*CA]{Start: newForTest}).Order(pluginapi.Settings{Values: map[string]any{
			"product": "ssl_dv_geotrust", "order_validity": map[string]any{"years": int64(1)},
		}}, "shop.example.com")
		if _, err := c.PlaceOrder(t.Context(), o); pluginapi.KindOf(err) != want {
			t.Errorf("%s: %s, %v", body, pluginapi.KindOf(err), err)
		}
	}
}

// A plan that ends while its last reissue waits frees the way for the next one.
func TestPlanEndsWhileAReissueWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.order("ssl_basic", "shop.example.com")
	one := r.MustIssue(first)
	r.advance(170 * day)
	r.key = limitedKey
	o := r.Follow(pluginapi.Reissue, first, one)
	got, err := r.Issue(o)
	if err != nil || got.Status != pluginapi.PendingApproval || strings.Contains(got.Detail, "the plan ends") {
		t.Fatalf("%s %s, %v", got.Status, got.Detail, err)
	}
	r.advance(180 * day)
	if got, err = r.Again(o, got); err != nil || got.Status != pluginapi.PendingApproval || !strings.Contains(got.Detail, "the plan ends") {
		t.Errorf("two weeks before: %s %s, %v", got.Status, got.Detail, err)
	}
	r.advance(40 * day)
	if got, err = r.Again(o, got); err != nil || got.Status != pluginapi.Expired {
		t.Errorf("afterwards: %s %s, %v", got.Status, got.Detail, err)
	}
	if _, err := r.Instance().PlaceOrder(t.Context(), r.Follow(pluginapi.Reissue, first, one)); pluginapi.KindOf(err) != pluginapi.NeedsPerson {
		t.Errorf("another reissue: %v", err)
	}
	r.key = adminKey
	r.MustIssue(r.Follow(pluginapi.Renew, first, one))
	r.bought(2, 1)
}

// The same where DigiCert leaves the order as it is.
func TestPlanIsOverWhateverTheStatus(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(-10 * day).Format(time.DateOnly)
	for _, status := range []string{"issued", "reissue_pending", "needs_approval"} {
		c := apiAt(t, map[string]http.HandlerFunc{
			"GET /order/certificate/900":         says(200, `{"id":900,"status":%q,"order_valid_till":%q,"certificate":{"id":0},"requests":[{"id":55,"type":"reissue","status":"pending"}]}`, status, end),
			"GET /order/certificate/900/reissue": says(200, `{"certificates":[]}`),
		})
		reply, err := c.GetOrder(t.Context(), reissueOf900(t, state{Placed: time.Now().Add(-100 * day), RequestID: 55}))
		if err != nil || reply.Order.Status != pluginapi.Expired || !strings.Contains(reply.Order.Detail, "reject request 55") {
			t.Errorf("%s: %s %s, %v", status, reply.Order.Status, reply.Order.Detail, err)
		}
	}
}

func newForTest(*slog.Logger) *CA { return New(Options{}) }

// reissueOf900 is a reissue of an order that stands only in a test.
func reissueOf900(t *testing.T, st state) pluginapi.PlacedOrder {
	t.Helper()
	o := pluginapi.OrderRequest{
		IdempotencyKey: "7c0f5f0e2b6d4f6c9a1e55d3b1c2a901", Kind: pluginapi.Reissue, CSR: cadrive.NewCSR(t, cadrive.NewKey(t), false, "shop.example.com"),
		Identifiers: []pluginapi.Identifier{{Type: pluginapi.DNS, Value: "shop.example.com"}}, Previous: &pluginapi.PreviousOrder{Reference: "900"},
		Settings: pluginapi.Settings{Values: map[string]any{"product": "ssl_dv_geotrust", "order_validity": map[string]any{"years": int64(1)}}},
	}
	return pluginapi.PlacedOrder{OrderRequest: o, Reference: "900", State: st.encode()}
}

// A reissue that was approved after weeks may not be listed at once. It counts as canceled when it stays away.
func TestReissueApprovedLate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := apiAt(t, map[string]http.HandlerFunc{
		"GET /order/certificate/900":                      says(200, `{"id":900,"status":"issued","order_valid_till":"2099-01-01","certificate":{"id":800},"requests":[{"id":55,"type":"reissue","status":"approved"}]}`),
		"GET /order/certificate/900/reissue":              says(200, `{"certificates":[]}`),
		"GET /order/certificate/900/duplicate":            says(200, `{"certificates":[]}`),
		"GET /certificate/800/download/format/pem_noroot": says(404, `{"errors":[{"code":"not_found|certificate"}]}`),
	})
	c.process.Now = func() time.Time { return now }
	if s, err := c.up.Get(); err == nil {
		s.now = c.process.Now
	}
	placed := reissueOf900(t, state{Placed: now.Add(-21 * day), RequestID: 55})
	for _, step := range []struct {
		after time.Duration
		want  pluginapi.OrderStatus
	}{{0, pluginapi.Processing}, {vanished / 2, pluginapi.Processing}, {vanished, pluginapi.Canceled}} {
		now = now.Add(step.after)
		reply, err := c.GetOrder(t.Context(), placed)
		if err != nil || reply.Order.Status != step.want {
			t.Errorf("after %s: %s %s, %v", step.after, reply.Order.Status, reply.Order.Detail, err)
		}
		placed.State = reply.Order.State
	}
}

// An account may refuse an order whose token is not there yet. To send it again is of no use: a person must know.
func TestAuthKeyWhereAMissingTokenIsAnError(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *standin.Settings) { s.AuthKeyMissFails = true })
	id, text := r.newAuthKey(t.Context())
	o := r.order("ssl_dv_geotrust_flex", "shop.example.com")
	o.Settings.Values["dcv_method"], o.Settings.Values["use_auth_key"], o.Settings.Values["auth_key_id"] = request.MethodAuthKey, true, id
	o.Settings.Secrets = map[string]pluginapi.Secret{request.SecretAuthKey: pluginapi.NewSecret(text)}
	if _, err := r.Issue(o); pluginapi.KindOf(err) != pluginapi.NeedsPerson || !strings.Contains(err.Error(), request.MethodTXT) {
		t.Errorf("%s: %v", pluginapi.KindOf(err), err)
	}
	r.bought(0, 0)
}

// What an order costs is told; a reissue has no price of its own.
func TestPrice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.order("ssl_dv_geotrust_flex", "shop.example.com")
	one := r.MustIssue(first)
	if one.Price == nil || one.Price.Amount != "149" || one.Price.Currency != "USD" {
		t.Errorf("the order costs %+v", one.Price)
	}
	if two := r.MustIssue(r.Follow(pluginapi.Reissue, first, one)); two.Price != nil {
		t.Errorf("the reissue costs %+v", two.Price)
	}
}

// DigiCert says only when asked that CAA records keep an order from being issued.
func TestCAAKeepsAnOrderBack(t *testing.T) {
	t.Parallel()
	const pending = `{"id":900,"status":"pending","certificate":{"id":800}%s}`
	for name, c := range map[string]struct {
		told string
		act  bool
	}{
		"forbidden":            {`,"caa_status_message":{"shop.example.com":"CAA check failed"}`, true},
		"forbidden, by domain": {`,"domains":[{"name":"shop.example.com","caa_status_message":"caa_check_failed|shop.example.com"}]`, true},
		"not looked at yet":    {`,"caa_status_message":{"shop.example.com":"CAA check is not called yet"}`, false},
		"allowed":              {`,"caa_status_message":{"shop.example.com":"CAA check passed"}`, false},
		"of another type":      {`,"caa_status_message":"none"`, false},
		"nothing":              {``, false},
	} {
		p := apiAt(t, map[string]http.HandlerFunc{
			"GET /order/certificate/900": func(w http.ResponseWriter, r *http.Request) {
				told := ""
				if r.URL.Query().Get("include_caa_status") == "true" {
					told = c.told
				}
				says(200, pending, told)(w, r)
			},
			"GET /order/certificate/900/validation": says(200, `{"order_status":"pending","dns_name_validations":[{"name_scope":"shop.example.com","status":"approved","dns_names":["shop.example.com"]}]}`),
		})
		placed := reissueOf900(t, state{})
		placed.Kind, placed.Previous = pluginapi.New, nil
		reply, err := p.GetOrder(t.Context(), placed)
		if err != nil || reply.Order.Status != pluginapi.Processing || (reply.Order.Action != nil) != c.act || strings.Contains(reply.Order.Detail, "CAA") != c.act {
			t.Errorf("%s: %s %q, %+v, %v", name, reply.Order.Status, reply.Order.Detail, reply.Order.Action, err)
		}
	}
}
