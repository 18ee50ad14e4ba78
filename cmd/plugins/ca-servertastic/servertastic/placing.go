package servertastic

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// unplaced is the step of an order that is a token, as far as the API shows: that it is to be placed is noted first; an
// order that may have been placed is waited for.
func (s *session) unplaced(ctx context.Context, v *view) (pluginapi.Order, error) {
	now := s.now()
	switch {
	case !v.st.Placed.IsZero():
		return s.placedUnseen(v)
	case v.st.Announced.IsZero() && !v.st.Bought.IsZero():
		if err := s.decideLink(ctx, v); err != nil {
			return pluginapi.Order{}, err
		}
		v.st.Announced, v.st.Note = now.UTC(), s.notes.write()
		return pluginapi.Order{Status: pluginapi.Processing, Detail: fmt.Sprintf("order %s is to be placed", v.name()), LookAgainAfter: pluginapi.After(0)}, nil
	case v.st.Announced.IsZero(): // the state was lost, and with it whether the order was placed
		v.st.Announced = now.UTC()
	}
	wait := v.st.Announced.Add(s.settleTime(v)).Sub(now)
	if wait <= 0 {
		reply, err := s.place(ctx, v)
		return reply.Order, err
	}
	return pluginapi.Order{
		Status: pluginapi.Processing, LookAgainAfter: pluginapi.After(max(wait, time.Second)),
		Detail: fmt.Sprintf("order %s may have been placed by a call whose answer was lost; ServerTastic must show it within %s", v.name(), wait.Round(time.Second)),
	}, nil
}

// settleTime is how long an order may be placed without the API showing it: a copy's age, with a margin; twice that for the
// status that orders placed just now have in common with those that are not.
func (s *session) settleTime(v *view) time.Duration {
	if v.review.Unclear() {
		return 2 * s.settings.sync
	}
	return s.settings.sync * 6 / 5
}

// placedUnseen: what place answered may be published already, before ServerTastic's copy of the order shows it.
func (s *session) placedUnseen(v *view) (pluginapi.Order, error) {
	return s.show(v, pluginapi.Order{Status: pluginapi.Processing, Detail: fmt.Sprintf("order %s is placed, and ServerTastic does not show it yet", v.name())})
}

// place places an order. It has been noted in the order's state that this may have happened.
func (s *session) place(ctx context.Context, v *view) (pluginapi.OrderReply, error) {
	leave, err := s.orders.Enter(ctx, "order "+v.placed.Reference)
	if err != nil {
		s.notes.giveBack(v.st.Note)
		return pluginapi.OrderReply{}, err
	}
	defer leave()
	values, method, secret, err := s.placeValues(ctx, v)
	if err != nil {
		s.notes.giveBack(v.st.Note) // nothing was sent
		return pluginapi.OrderReply{}, err
	}
	p, err := s.client.Place(ctx, v.token, values, secret)
	if err != nil {
		return s.notPlaced(ctx, v, err)
	}
	v.st.Placed, v.st.Note, v.st.Method, v.st.CSR = s.now().UTC(), "", method, fingerprint(v.placed.CSR)
	v.st.Control, v.st.OrderID = p.Control, orElse(string(p.OrderID), v.st.OrderID)
	v.st.Wrong = notOurs(p, v.placed.CSR)
	s.log.Info("order placed", "order", v.name(), "dv_auth_method", method)
	if v.st.Wrong != "" {
		s.log.Error("order placed with another request than ours", "order", v.name())
	}
	v.st.Looks, v.st.Status = 1, ""
	return s.reply(v, pluginapi.Order{
		Status: pluginapi.Processing, Detail: fmt.Sprintf("order %s is placed", v.name()),
		LookAgainAfter: pluginapi.After(min(s.settings.sync/5, 10*time.Second)),
	}), nil
}

// placeValues makes the parameters of place, held against the fields that the order has.
func (s *session) placeValues(ctx context.Context, v *view) (values map[string][]string, method string, previous pluginapi.Secret, err error) {
	if method, err = chooseMethod(v.placed.OrderRequest); err != nil {
		return nil, "", previous, err
	}
	if err := s.decideLink(ctx, v); err != nil {
		return nil, "", previous, err
	}
	computed := request.Computed{CSR: v.placed.CSR, Method: method, Names: v.names, Renewal: v.st.Link == linked}
	if computed.Renewal && request.ProductOf(v.placed.Settings).Family == request.FamilyDigiCert {
		p := v.placed.Previous
		if computed.Previous, err = s.locate(ctx, p.Reference, decodeState(p.State), previous); err != nil {
			return nil, "", previous, notNotFound(err)
		}
	}
	list, err := s.client.ProductFields(ctx, v.token)
	if err != nil {
		return nil, "", previous, unseen("list the fields of order "+v.name(), err)
	}
	specs := make([]request.Spec, len(list))
	for i, f := range list {
		specs[i] = request.Spec(f)
	}
	values, found, err := request.Place(v.placed.Settings, computed, specs, s.settings.wireNames)
	if err != nil {
		return nil, "", previous, fmt.Errorf("order %s is bought and cannot be placed like this: %w", v.name(), err)
	}
	for logical, wire := range found {
		s.log.Info("the API's name of a parameter was found among the order's fields", "parameter", logical, "name", wire)
	}
	return values, method, computed.Previous, nil
}

// notOurs says what is wrong with an order that was placed for another certificate request than ours.
func notOurs(p ordertoken.Placed, csr []byte) string {
	if p.OwnKey {
		return "ServerTastic has made a private key of its own, so that it has not taken our certificate request: cancel the order and report this; the key was dropped"
	}
	block, _ := pem.Decode([]byte(strings.ReplaceAll(string(p.CSR), `\n`, "\n")))
	if block == nil {
		return ""
	}
	theirs, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return ""
	}
	if ours, err := x509.ParseCertificateRequest(csr); err == nil && !bytes.Equal(ours.RawSubjectPublicKeyInfo, theirs.RawSubjectPublicKeyInfo) {
		return "ServerTastic's answer has a certificate request for another key than ours: cancel the order and report this"
	}
	return ""
}

// notPlaced says what the failure of place means. Nobody knows what it answers for an order that was placed: a refusal, too,
// may be the answer to an earlier call's success.
func (s *session) notPlaced(ctx context.Context, v *view, cause error) (pluginapi.OrderReply, error) {
	failure := restca.FailOnce("place order "+v.name(), cause)
	switch failure.Kind {
	case pluginapi.UnknownOutcome:
		s.log.Warn("whether the order was placed is not known", "order", v.name(), "error", failure)
		v.st.Announced, v.st.Note = s.now().UTC(), ""
		return s.reply(v, pluginapi.Order{
			Status: pluginapi.Processing, LookAgainAfter: pluginapi.After(max(s.settings.sync/5, time.Second)),
			Detail: "whether the order was placed is not known yet: " + failure.Message,
		}), nil
	case pluginapi.Unauthorized, pluginapi.RateLimited, pluginapi.Unavailable:
		if failure.Kind != pluginapi.Unauthorized { // that may be how an order that was placed is refused: it is looked at first
			s.notes.giveBack(v.st.Note)
		}
		return pluginapi.OrderReply{}, failure
	}
	if err := s.refresh(ctx, v); err == nil && !v.review.Unplaced() && !v.review.Unclear() {
		return s.step(ctx, v)
	}
	way := "canceling the order brings its points back"
	if v.st.Link == linked {
		way = "it was to be the renewal of an earlier order: where that is what is refused, set link_renewals = false and reload; " + way
	}
	v.st.unlink()
	v.st.Announced, v.st.Note = time.Time{}, ""
	return s.reply(v, pluginapi.Order{
		Status: pluginapi.Processing, LookAgainAfter: pluginapi.After(3 * s.settings.sync), Detail: failure.Message,
		Action: &pluginapi.PersonAction{
			Who:  "whoever runs certbridged",
			What: fmt.Sprintf("find out why ServerTastic refuses to place order %s, which is bought (%s); %s", v.name(), failure.Message, way),
		},
	}), nil
}
