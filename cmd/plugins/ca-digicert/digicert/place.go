package digicert

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// PlaceOrder buys an order, or asks for a reissue inside a plan. It looks first whether an earlier call arrived, and
// sends the one request that can have an effect at most once.
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

// buy places a new order or a renewal.
func (s *session) buy(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	settings := s.orderSettings(order.Settings)
	computed, err := s.compute(settings, order)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	computed.AlternativeOrderID = alternativeID(order)
	if order.Kind == pluginapi.Renew && s.settings.linkRenewals {
		if err := link(&computed, order.Previous); err != nil {
			return pluginapi.OrderReply{}, err
		}
	}
	path, body, err := request.Order(settings, computed)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	leave, err := s.orders.Enter(ctx, order.IdempotencyKey)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	defer leave()
	if reply, found, err := s.arrived(ctx, order); err != nil || found {
		return reply, err
	}
	placed, err := s.client.Place(ctx, path, body)
	if err != nil {
		return s.notPlaced(ctx, order, computed.DCVMethod, err)
	}
	s.log.Info("order placed", "order", placed.ID, "kind", order.Kind.String(), "product", path)
	return s.begun(placed, computed.DCVMethod), nil
}

// arrived looks for an order with the mark of this one. Its error says that nothing was sent.
func (s *session) arrived(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, bool, error) {
	found, err := s.client.OrdersByAlternative(ctx, alternativeID(order))
	if err != nil {
		return pluginapi.OrderReply{}, false, restca.Fail("look whether the order was placed already", err)
	}
	if len(found) == 0 {
		return pluginapi.OrderReply{}, false, nil
	}
	return s.adopt(found), true, nil
}

// adopt takes up the order that has our mark. There should be one; with more, the first that is alive is it.
func (s *session) adopt(found []certcentral.Alternate) pluginapi.OrderReply {
	slices.SortFunc(found, func(a, b certcentral.Alternate) int { return cmp.Compare(a.OrderID, b.OrderID) })
	chosen := found[0]
	if i := slices.IndexFunc(found, func(a certcentral.Alternate) bool { return !ended(string(a.Status)) }); i >= 0 {
		chosen = found[i]
	}
	if len(found) > 1 {
		s.log.Error("more than one order has the same mark", "orders", len(found), "chosen", chosen.OrderID)
	}
	return s.begun(certcentral.Placed{ID: chosen.OrderID, CertificateID: chosen.CertificateID}, "")
}

// notPlaced says what the failure of a paid request means. An order with our mark is ours even when the answer is a
// refusal: where the account demands unique marks, that is how a second call for the same order ends.
// (Not confirmed by DigiCert's pages: code and status of that refusal.)
func (s *session) notPlaced(ctx context.Context, order pluginapi.OrderRequest, method string, cause error) (pluginapi.OrderReply, error) {
	const what = "place the order"
	failure := restca.FailOnce(what, cause)
	no := restca.RefusalOf(cause)
	if no == nil || forbidden(no) || failure.Kind == pluginapi.UnknownOutcome {
		return pluginapi.OrderReply{}, failure
	}
	reply, found, err := s.arrived(ctx, order)
	switch {
	case found:
		return reply, nil
	case err != nil:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "%s, and: %w", failure.Message, err)
	case certcentral.MarkTaken(no):
		// There is an order then; it cannot be seen yet.
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "%s; the order with this mark cannot be seen yet", failure.Message)
	default:
		return pluginapi.OrderReply{}, tokenWanted(failure, no, method)
	}
}

// tokenWanted makes a person's matter of a refusal that comes again however often the order is sent: DigiCert looks for
// the request token of an AuthKey when an order is submitted, and it is published only when the order is there.
// (Not confirmed by DigiCert's pages: that this is how a token is missed; an order that waits for it is as likely.)
func tokenWanted(failure *pluginapi.Error, no *restca.Refusal, method string) *pluginapi.Error {
	if method == request.MethodAuthKey && certcentral.Has(no, "invalid_dns_txt") {
		return pluginapi.Errorf(pluginapi.NeedsPerson, "%s; DigiCert wants the AuthKey's token to be published before the order is placed, and certbridged publishes it afterwards: set dcv_method = %q and remove use_auth_key",
			failure.Message, request.MethodTXT)
	}
	return failure
}

// begun is the reply to an order that DigiCert has taken: its number is to be kept before anything else is done.
func (s *session) begun(p certcentral.Placed, method string) pluginapi.OrderReply {
	st := state{CertificateID: p.CertificateID, Placed: s.now().UTC(), Method: method, Value: string(p.RandomValue)}
	if len(p.Requests) > 0 {
		st.RequestID = p.Requests[0].ID
	}
	return pluginapi.OrderReply{Order: pluginapi.Order{
		Reference: reference(p.ID), State: st.encode(), Status: pluginapi.Processing,
		Detail: "DigiCert has taken the order", LookAgainAfter: pluginapi.After(0),
	}}
}

// alternativeID is the mark of an order at DigiCert: 32 letters and digits.
func alternativeID(order pluginapi.OrderRequest) string { return order.IdempotencyKey }

// compute makes the fields of a request that nobody configures.
func (s *session) compute(settings pluginapi.Settings, order pluginapi.OrderRequest) (request.Computed, error) {
	names, err := dnsNames(order.Identifiers)
	if err != nil {
		return request.Computed{}, err
	}
	product, validation := request.Product(settings)
	common, err := commonName(product, names)
	if err != nil {
		return request.Computed{}, err
	}
	method, err := chooseMethod(settings, validation, order.Identifiers)
	if err != nil {
		return request.Computed{}, err
	}
	others := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == common })
	return request.Computed{CSR: order.CSR, CommonName: common, DNSNames: others, DCVMethod: method}, nil
}

func dnsNames(identifiers []pluginapi.Identifier) ([]string, error) {
	var names []string
	for _, id := range identifiers {
		if id.Type != pluginapi.DNS {
			return nil, pluginapi.FieldErrorf("identifiers", "%s: certificates for IP addresses are not ordered from DigiCert by this plugin", id.Value)
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

// maxCommonName is the upper bound of a common name (RFC 5280 appendix A.1, ub-common-name).
const maxCommonName = 64

// commonName is the first name that can be one; products for a wildcard want the wildcard there.
func commonName(product string, names []string) (string, error) {
	fits := func(n string) bool { return len(n) <= maxCommonName }
	if strings.Contains(product, "wildcard") {
		for _, n := range names {
			if strings.HasPrefix(n, "*.") && fits(n) {
				return n, nil
			}
		}
	}
	if i := slices.IndexFunc(names, fits); i >= 0 {
		return names[i], nil
	}
	return "", pluginapi.FieldErrorf("identifiers", "DigiCert needs a common name, and all names are longer than %d characters; add a shorter one", maxCommonName)
}

// link makes an order the renewal of the one before.
func link(c *request.Computed, previous *pluginapi.PreviousOrder) error {
	switch {
	case previous == nil || previous.Reference == "" && len(previous.Chain) == 0:
		return pluginapi.FieldErrorf("previous", "a renewal must say what it follows")
	case previous.Reference != "":
		id, err := orderID(previous.Reference)
		if err != nil {
			return pluginapi.FieldErrorf("previous.reference", "%s", err)
		}
		c.RenewalOfOrderID = int64(id)
	default:
		c.RenewedThumbprint = restca.Thumbprint(previous.Chain[0])
	}
	return nil
}

// chooseMethod decides how control over all names of an order is shown: DigiCert wants one way for all. What the
// settings say holds; else it is what can be published for every name, and the favourite of the first name before others.
func chooseMethod(settings pluginapi.Settings, validation string, identifiers []pluginapi.Identifier) (string, error) {
	dns, file, favourite := true, true, pluginapi.ChallengeType(0)
	for _, id := range identifiers {
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
	switch set := request.DCVMethod(settings); {
	case set == request.MethodHTTPDynamic:
		return "", pluginapi.FieldErrorf("dcv_method", "%s is not supported: the API does not say which file DigiCert looks for; use %s", set, request.MethodHTTP)
	case set == request.MethodHTTP && slices.ContainsFunc(identifiers, func(id pluginapi.Identifier) bool { return strings.HasPrefix(id.Value, "*.") }):
		return "", pluginapi.FieldErrorf("dcv_method", "%s shows no control over a wildcard name; use %s", set, request.MethodTXT)
	case set != "":
		return set, nil
	case file && (favourite == pluginapi.ChallengeHTTP || !dns):
		return request.MethodHTTP, nil
	case dns, validation != request.DV: // names of OV, EV and private orders may need nothing published
		return request.MethodTXT, nil
	default:
		return "", pluginapi.FieldErrorf("identifiers", "DigiCert validates all names of an order in one way, and no way can be published for all: give every name a dcv profile for DNS records, or every name one for files (no wildcards)")
	}
}
