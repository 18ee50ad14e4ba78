package tencent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/request"
	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/sslapi"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// PlaceOrder buys a certificate, takes one that is paid already, or asks for a reissue. It looks first whether an earlier
// call arrived, and sends the one request that can have an effect at most once. What comes after the purchase is left to
// GetOrder, so that the id is kept before anything else is done.
func (c *CA) PlaceOrder(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if order.Kind == pluginapi.Reissue {
		return s.reissue(ctx, order)
	}
	return s.buy(ctx, order)
}

func (s *session) buy(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	computed, err := s.compute(order)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	body, err := request.Buy(order.Settings, computed)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	leave, err := s.orders.Enter(ctx, order.IdempotencyKey)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	defer leave()
	if id := request.CertID(order.Settings); id != "" {
		return s.useNamed(ctx, order, id)
	}
	if reply, found, err := s.arrived(ctx, order); err != nil || found {
		return reply, err
	}
	if reply, found, err := s.unspent(ctx, order); err != nil || found {
		return reply, err
	}
	sentAt := s.now()
	bought, err := s.client.Buy(ctx, body)
	if err != nil {
		return s.notBought(ctx, order, sentAt, err)
	}
	id := string(bought.IDs[0])
	if len(bought.IDs) > 1 {
		s.log.Error("one purchase brought several certificates; the others can be used by cert_id", "certificates", bought.IDs)
	}
	s.log.Info("certificate bought", "certificate", id, "product", request.ProductID(order.Settings), "deals", bought.Deals)
	return begun(id, state{}, "Tencent Cloud has sold certificate "+id), nil
}

// begun is the reply to an order whose certificate is known: its id is to be kept before anything else is done.
func begun(id string, st state, detail string) pluginapi.OrderReply {
	return pluginapi.OrderReply{Order: pluginapi.Order{
		Reference: id, State: st.encode(), Status: pluginapi.Processing, Detail: detail, LookAgainAfter: pluginapi.After(0),
	}}
}

// mark is the tag of an order.
func (s *session) mark(order pluginapi.OrderRequest) request.Mark {
	return request.Mark{Key: s.settings.tagKey, Value: order.IdempotencyKey}
}

// arrived looks for a certificate with the mark of an order. Its error says that nothing was sent.
func (s *session) arrived(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, bool, error) {
	const what = "look whether the certificate was bought already"
	mark := s.mark(order)
	var found []sslapi.Certificate
	for offset := 0; ; {
		list, more, err := s.client.List(ctx, sslapi.Filter{Tags: []sslapi.TagToSearch{{Key: mark.Key, Value: mark.Value}}}, offset)
		if err != nil {
			return pluginapi.OrderReply{}, false, sslapi.Fail(what, err)
		}
		for _, c := range list {
			tagged, err := s.tagged(ctx, c, mark)
			if err != nil {
				return pluginapi.OrderReply{}, false, sslapi.Fail(what, err)
			}
			if tagged {
				found = append(found, c)
			}
		}
		if offset += len(list); !more || len(found) > 0 {
			break
		}
	}
	if len(found) == 0 {
		return pluginapi.OrderReply{}, false, nil
	}
	chosen := found[0]
	if i := slices.IndexFunc(found, func(c sslapi.Certificate) bool { return !c.Is(sslapi.Canceled, sslapi.Refunded, sslapi.ReviewFailed) }); i >= 0 {
		chosen = found[i]
	}
	if len(found) > 1 {
		s.log.Error("more than one certificate has the same mark", "certificates", len(found), "chosen", chosen.ID)
	}
	return begun(string(chosen.ID), state{}, fmt.Sprintf("certificate %s was bought for this order", chosen.ID)), true, nil
}

// tagged reports whether a listed certificate has a tag. A list need not show tags, and must not be taken at its word that
// it was filtered by them.
func (s *session) tagged(ctx context.Context, c sslapi.Certificate, mark request.Mark) (bool, error) {
	if c.Tagged(mark.Key, mark.Value) {
		return true, nil
	}
	if len(c.Tags) > 0 {
		return false, nil
	}
	full, err := s.client.Certificate(ctx, string(c.ID))
	if sslapi.Has(err, notFound) {
		return false, nil
	}
	return full.Tagged(mark.Key, mark.Value), err
}

const notFound = "FailedOperation.CertificateNotFound"

// unspent looks whether the certificate that a renewal follows was renewed already, and the new one is paid and waits for
// its materials: it is used before another is bought.
func (s *session) unspent(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, bool, error) {
	p := order.Previous
	if p == nil || !sslapi.ValidID(p.Reference) {
		return pluginapi.OrderReply{}, false, nil
	}
	before, err := s.client.Certificate(ctx, p.Reference)
	switch {
	case sslapi.Has(err, notFound):
		return pluginapi.OrderReply{}, false, nil // it was deleted
	case err != nil:
		return pluginapi.OrderReply{}, false, sslapi.Fail("look whether certificate "+p.Reference+" was renewed already", err)
	}
	id := string(before.Extra.RenewOrder)
	if !sslapi.ValidID(id) || id == p.Reference {
		return pluginapi.OrderReply{}, false, nil
	}
	next, err := s.client.Certificate(ctx, id)
	switch {
	case sslapi.Has(err, notFound):
		return pluginapi.OrderReply{}, false, nil
	case err != nil:
		return pluginapi.OrderReply{}, false, sslapi.Fail("read certificate "+id, err)
	case !next.Is(sslapi.ToSubmit):
		return pluginapi.OrderReply{}, false, nil
	}
	if has, wanted := string(next.PackageType), fmt.Sprint(request.ProductID(order.Settings)); has != "" && has != wanted {
		return pluginapi.OrderReply{}, false, pluginapi.Errorf(pluginapi.NeedsPerson, "certificate %s, which renews %s, is paid and waits for its materials, but is of product %s, and ProductId says %s: set ProductId = %s to use it, or cancel it in the console to buy another",
			id, p.Reference, has, wanted, has)
	}
	s.log.Info("a renewal is paid already, and used", "certificate", id, "renews", p.Reference)
	return begun(id, state{}, fmt.Sprintf("certificate %s, which renews %s, is paid and waits for its materials: it is used", id, p.Reference)), true, nil
}

// useNamed takes up a certificate that a person names: it is paid, and waits for its materials. One that failed in review
// or was canceled can be handed in again without paying.
func (s *session) useNamed(ctx context.Context, order pluginapi.OrderRequest, id string) (pluginapi.OrderReply, error) {
	const field = request.SettingCertID
	c, err := s.client.Certificate(ctx, id)
	switch {
	case sslapi.Has(err, notFound):
		return pluginapi.OrderReply{}, pluginapi.FieldErrorf(field, "the account has no certificate %s", id)
	case err != nil:
		return pluginapi.OrderReply{}, sslapi.Fail("read certificate "+id, err)
	}
	if has, wanted := string(c.PackageType), fmt.Sprint(request.ProductID(order.Settings)); has != "" && has != wanted {
		return pluginapi.OrderReply{}, pluginapi.FieldErrorf(field, "certificate %s is of product %s, and ProductId says %s: set ProductId = %s", id, has, wanted, has)
	}
	if !c.Is(sslapi.ToSubmit) && (!c.CertEndTime.IsZero() || c.PublicKey != "") {
		return pluginapi.OrderReply{}, pluginapi.FieldErrorf(field, "certificate %s is %s, and was issued before, so that it does not wait for its materials: remove cert_id to buy one, or name another", id, c.Stands())
	}
	switch c.Stands() {
	case sslapi.ToSubmit:
	case sslapi.ReviewFailed, sslapi.Canceled:
		if err := s.client.Resubmit(ctx, id); err != nil {
			return pluginapi.OrderReply{}, sslapi.FailWrite("take up certificate "+id+" again", err)
		}
	default:
		return pluginapi.OrderReply{}, pluginapi.FieldErrorf(field, "certificate %s is %s, and does not wait for its materials: remove cert_id to buy one, or name another", id, c.Stands())
	}
	s.log.Info("a certificate that is paid is used", "certificate", id)
	return begun(id, stateOfNamed(order, c), "certificate "+id+" is paid, and used as cert_id says"), nil
}

// stateOfNamed begins the state of an order that uses a certificate that is paid: it has paid time of its own, also where it
// takes the place of a reissue.
func stateOfNamed(order pluginapi.OrderRequest, c sslapi.Certificate) state {
	st := state{}
	if years := request.Years(order.Settings); years > 0 && !c.InsertTime.IsZero() {
		st.PaidUntil = c.InsertTime.AddDate(years, 0, 0).UTC()
	}
	return st
}

// notBought says what the failure of the purchase means. A certificate with our mark is ours even when the answer is a
// refusal; and where the refusal gives no reason, one that may be ours makes it open what has happened.
func (s *session) notBought(ctx context.Context, order pluginapi.OrderRequest, sentAt time.Time, cause error) (pluginapi.OrderReply, error) {
	failure := sslapi.FailOnce("buy the certificate", cause)
	no := restca.RefusalOf(cause)
	switch {
	case no == nil, failure.Kind == pluginapi.UnknownOutcome, failure.Kind == pluginapi.Unauthorized, failure.Kind == pluginapi.RateLimited:
		return pluginapi.OrderReply{}, failure
	}
	reply, found, err := s.arrived(ctx, order)
	switch {
	case found:
		return reply, nil
	case err != nil:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "%s, and: %w", failure.Message, err)
	case failure.Kind == pluginapi.InvalidRequest:
		return pluginapi.OrderReply{}, failure
	}
	switch seen, err := s.newest(ctx, order, sentAt.Add(-skew)); {
	case err != nil:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "%s, and: %w", failure.Message, err)
	case seen.own != "":
		return begun(seen.own, state{}, fmt.Sprintf("certificate %s was bought for this order", seen.own)), nil
	case len(seen.unclear) > 0:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "%s; and yet certificate %s was bought at that time", failure.Message, strings.Join(seen.unclear, ", "))
	}
	return pluginapi.OrderReply{}, failure
}

// compute makes the fields of the requests that nobody configures.
func (s *session) compute(order pluginapi.OrderRequest) (request.Computed, error) {
	names, err := dnsNames(order.Identifiers)
	if err != nil {
		return request.Computed{}, err
	}
	kind, err := chooseVerifyType(order)
	if err != nil {
		return request.Computed{}, err
	}
	return request.Computed{CSR: order.CSR, Names: names, Mark: s.mark(order), VerifyType: kind}, nil
}

func dnsNames(identifiers []pluginapi.Identifier) ([]string, error) {
	var names []string
	for _, id := range identifiers {
		if id.Type != pluginapi.DNS {
			return nil, pluginapi.FieldErrorf("identifiers", "%s: certificates for IP addresses are not ordered from Tencent Cloud by this plugin", id.Value)
		}
		if name := strings.ToLower(strings.TrimSuffix(id.Value, ".")); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, pluginapi.FieldErrorf("identifiers", "there are none")
	}
	return names, nil
}

// bare is a name without the wildcard before it.
func bare(name string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "*."), ".")
}

// chooseVerifyType decides how control over all names of an order is shown: Tencent wants one way for all. What the
// settings say holds; else it is what can be published for every name, and the favourite of the first name before others.
func chooseVerifyType(order pluginapi.OrderRequest) (string, error) {
	if set := request.VerifyType(order.Settings); set != "" {
		return set, publishable(set, order)
	}
	dns, file, favourite := true, true, pluginapi.ChallengeType(0)
	for _, id := range order.Identifiers {
		if strings.HasPrefix(id.Value, "*.") {
			file = false // a file shows nothing about the names below its host
		}
		if len(id.ChallengeTypes) == 0 {
			continue // nobody knows
		}
		dns = dns && slices.Contains(id.ChallengeTypes, pluginapi.ChallengeDNS)
		file = file && slices.Contains(id.ChallengeTypes, pluginapi.ChallengeHTTP)
		if favourite == 0 {
			favourite = id.ChallengeTypes[0]
		}
	}
	switch {
	case file && (favourite == pluginapi.ChallengeHTTP || !dns):
		return request.VerifyFile, nil
	case dns:
		return request.VerifyDNS, nil
	default:
		return "", pluginapi.FieldErrorf("identifiers", "Tencent validates all names of an order in one way, and no way can be published for all: give every name a dcv profile for DNS records, or every name one for files (no wildcards)")
	}
}

// publishable refuses a way that the settings say and some name's DCV profile is known to have nothing for: the certificate
// would be paid, and wait for what nobody publishes.
func publishable(verifyType string, order pluginapi.OrderRequest) error {
	kind, what := pluginapi.ChallengeDNS, "records"
	if verifyType == request.VerifyFile {
		kind, what = pluginapi.ChallengeHTTP, "files"
	}
	without := restca.Unpublishable(order.Identifiers, kind)
	if len(without) == 0 {
		return nil
	}
	return pluginapi.FieldErrorf("VerifyType", "%s takes %s for every name, and the dcv profile publishes none for %s: give those names another profile, or leave VerifyType out", verifyType, what, list(without))
}
