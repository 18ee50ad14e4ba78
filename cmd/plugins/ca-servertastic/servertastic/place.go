package servertastic

import (
	"cmp"
	"context"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// PlaceOrder buys an order, or asks for a reissue of one. It looks first whether an earlier call arrived, and sends the one
// request that can have an effect at most once.
func (c *CA) PlaceOrder(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	token, given := givenToken(order)
	switch {
	case order.Kind == pluginapi.Reissue:
		return s.reissue(ctx, order)
	case given:
		return s.takeUp(ctx, order, token)
	default:
		return s.buy(ctx, order)
	}
}

// givenToken is the token that the settings bring along, for the first order of a certificate alone.
func givenToken(order pluginapi.OrderRequest) (pluginapi.Secret, bool) {
	token := pluginapi.NewSecret(strings.TrimSpace(order.Settings.Secret(request.SecretToken).Reveal()))
	return token, order.Kind == pluginapi.New && !token.Empty()
}

// buy has a token generated, which is the purchase. What is done with it is GetOrder's: the token must be kept first.
func (s *session) buy(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	names, err := namesOf(order)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if _, err := chooseMethod(order); err != nil {
		return pluginapi.OrderReply{}, err
	}
	purchase := request.Purchase{Reference: referenceFor(order), Names: names, WireNames: s.settings.wireNames}
	if _, err := request.Token(order.Settings, purchase); err != nil { // before anything is asked
		return pluginapi.OrderReply{}, err
	}
	leave, err := s.orders.Enter(ctx, order.IdempotencyKey)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	defer leave()
	if token, found, _, err := s.arrived(ctx, order); err != nil || found {
		return s.begun(order, token, s.now(), nil), err
	}
	price, err := s.mayBuy(ctx, order, &purchase)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	values, err := request.Token(order.Settings, purchase)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	g, err := s.client.GenerateToken(ctx, values)
	if err != nil {
		return s.notBought(ctx, order, err)
	}
	s.log.Info("order bought", "reference", purchase.Reference, "kind", order.Kind.String(), "product", request.ProductOf(order.Settings).Code)
	return s.begun(order, ordertoken.Token{Token: g.Token}, s.now(), price), nil
}

// arrived looks for the token of this order. doubt says why it may be there though it is not found. Its error says that
// nothing was sent.
func (s *session) arrived(ctx context.Context, order pluginapi.OrderRequest) (token ordertoken.Token, found bool, doubt string, err error) {
	list, err := s.client.Tokens(ctx)
	if err != nil {
		return ordertoken.Token{}, false, "", unseen("look whether the order was bought already", err)
	}
	own := slices.DeleteFunc(list.List, func(t ordertoken.Token) bool { return !strings.EqualFold(string(t.Reference), referenceFor(order)) })
	if len(own) == 0 {
		return ordertoken.Token{}, false, list.Doubt, nil
	}
	if len(own) > 1 {
		s.log.Error("more than one token has the same reference", "tokens", len(own), "reference", referenceFor(order))
	}
	// The one that was placed, if there is such; among equals the same in every call.
	slices.SortFunc(own, func(a, b ordertoken.Token) int {
		if a.Used != b.Used {
			return cmp.Compare(boolean(b.Used), boolean(a.Used))
		}
		return cmp.Compare(a.Token, b.Token)
	})
	return own[0], true, "", nil
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// mayBuy holds an order against ServerTastic's list of products: what it costs, and how many names it takes.
func (s *session) mayBuy(ctx context.Context, order pluginapi.OrderRequest, purchase *request.Purchase) (*pluginapi.Price, error) {
	if err := s.approverFits(ctx, order, purchase.Names); err != nil {
		return nil, err
	}
	p, err := s.listedProduct(ctx, request.ProductOf(order.Settings).Code)
	if err != nil || p == nil {
		return nil, err
	}
	least, _ := request.Count(string(p.MinSANs))
	names := len(purchase.Names.Additional)
	if most, ok := request.Count(string(p.MaxSANs)); ok && names > most {
		return nil, pluginapi.FieldErrorf("identifiers", "%s takes %d additional names, and there are %d: %s", p.Code, most, names, strings.Join(purchase.Names.Additional, ", "))
	}
	if least > 0 && names == 0 {
		return nil, request.NoAdditional(string(p.Code), purchase.Names, least)
	}
	purchase.LeastSANs = least
	if names > least || p.Points == "" { // what names cost is not documented well enough to be told
		return nil, nil
	}
	return &pluginapi.Price{Amount: string(p.Points), Currency: "points"}, nil
}

// listedProduct finds a product in ServerTastic's list. It is nil where the list cannot be had for good: it is no part of an
// order.
func (s *session) listedProduct(ctx context.Context, code string) (*ordertoken.Product, error) {
	list, err := s.client.Products(ctx)
	if err != nil {
		failure := restca.Fail("list the products", err)
		switch failure.Kind {
		case pluginapi.Unavailable, pluginapi.RateLimited, pluginapi.Unauthorized:
			return nil, failure
		}
		s.log.Warn("the list of products cannot be had", "error", failure)
		return nil, nil
	}
	i := slices.IndexFunc(list, func(p ordertoken.Product) bool { return string(p.Code) == code })
	if i < 0 {
		return nil, pluginapi.FieldErrorf("st_product_code", "%s is not on ServerTastic's list of products; there are %s", code, codes(list))
	}
	return &list[i], nil
}

// approverFits looks whether the address that is to agree is one that may.
func (s *session) approverFits(ctx context.Context, order pluginapi.OrderRequest, names request.Names) error {
	approver, _ := order.Settings.Values["approver_email_address"].(string)
	if approver == "" {
		return nil
	}
	domain := baseName(names.Common)
	list, err := s.client.Approvers(ctx, domain)
	if err != nil {
		return restca.Fail("list who may agree to a certificate for "+domain, err)
	}
	if !slices.ContainsFunc(list, func(a string) bool { return strings.EqualFold(a, approver) }) {
		return pluginapi.FieldErrorf("approver_email_address", "%s is none of the addresses that may agree to a certificate for %s: %s", approver, domain, orElse(strings.Join(list, ", "), "there are none"))
	}
	return nil
}

// notBought says what the failure of the purchase means. A token with our reference is ours even when the answer is a
// refusal: that may be how a second call for the same order ends. (Not confirmed by ServerTastic's pages: what it answers
// to a reference that was used.)
func (s *session) notBought(ctx context.Context, order pluginapi.OrderRequest, cause error) (pluginapi.OrderReply, error) {
	failure := restca.FailOnce("buy the order", cause)
	switch failure.Kind {
	case pluginapi.UnknownOutcome, pluginapi.Unauthorized, pluginapi.RateLimited, pluginapi.Unavailable:
		return pluginapi.OrderReply{}, failure
	}
	token, found, _, err := s.arrived(ctx, order)
	switch {
	case found:
		return s.begun(order, token, s.now(), nil), nil
	case err != nil:
		// The kind of what keeps us from looking must not be the outcome's.
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "%s, and: %s", failure.Message, err)
	}
	if poor := s.poor(ctx, order, failure); poor != nil {
		return pluginapi.OrderReply{}, poor
	}
	if namesParameter(failure.Message) {
		return pluginapi.OrderReply{}, failure
	}
	// The reference may be taken, whatever the words for that are, and its token not to be seen yet.
	return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "%s; whether a token has the reference of this order cannot be seen yet", failure.Message)
}

// namesParameter reports that a refusal of the purchase speaks of a parameter that was sent, and not of the reference: it is
// not for the reference that it was refused.
func namesParameter(words string) bool {
	words = strings.ToLower(words)
	if strings.Contains(words, "reference") {
		return false
	}
	return slices.ContainsFunc([]string{"st_product_code", "end_customer_email", "server_count", "san_count"}, func(name string) bool { return strings.Contains(words, name) })
}

// poor finds out whether it is for the account's points that an order was refused: no code says so.
func (s *session) poor(ctx context.Context, order pluginapi.OrderRequest, failure *pluginapi.Error) error {
	account, err := s.client.Account(ctx)
	if err != nil {
		return nil //nolint:nilerr // then it is not known, and the refusal is told as it came
	}
	have, known := points(string(account.Points))
	p, err := s.listedProduct(ctx, request.ProductOf(order.Settings).Code)
	if err != nil || p == nil || !known {
		return nil //nolint:nilerr // likewise
	}
	if price, ok := points(string(p.Points)); !ok || have >= price {
		return nil
	}
	return pluginapi.Errorf(pluginapi.NeedsPerson, "%s; the account has %s points and %s costs %s: add points, then approve the order", failure.Message, account.Points, p.Code, p.Points)
}

// begun is the reply to an order that has a token: it is to be kept before anything else is done.
func (s *session) begun(order pluginapi.OrderRequest, token ordertoken.Token, bought time.Time, price *pluginapi.Price) pluginapi.OrderReply {
	if token.Token == "" {
		return pluginapi.OrderReply{}
	}
	st := state{Sealed: s.seal(pluginapi.NewSecret(string(token.Token))), Bought: bought.UTC(), CSR: fingerprint(order.CSR)}
	months := request.TermMonths(order.Settings)
	st.Ends, st.Single = ends(bought, months), months == 0 && saidTerm(order.Settings)
	return pluginapi.OrderReply{Order: pluginapi.Order{
		Reference: orElse(string(token.Reference), referenceFor(order)), State: st.encode(), Status: pluginapi.Processing, CoverageEnd: st.Ends, Price: price,
		Detail: "ServerTastic has a token for the order, which is to be placed next", LookAgainAfter: pluginapi.After(0),
	}}
}

// ends is until when an order is reissued; zero: nobody knows, or it is not.
func ends(bought time.Time, months int) time.Time {
	if months <= 0 || bought.IsZero() {
		return time.Time{}
	}
	return bought.AddDate(0, months, 0).UTC().Truncate(time.Second)
}

// namesOf sorts the names of an order. The one that the certificate request has as its common name is the first: that is
// where ServerTastic reads the domain.
func namesOf(order pluginapi.OrderRequest) (request.Names, error) {
	var names []string
	for _, id := range order.Identifiers {
		if id.Type != pluginapi.DNS {
			return request.Names{}, pluginapi.FieldErrorf("identifiers", "%s: certificates for IP addresses are not ordered from ServerTastic by this plugin", id.Value)
		}
		if name := strings.ToLower(strings.TrimSuffix(id.Value, ".")); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	csr, err := x509.ParseCertificateRequest(order.CSR)
	if err != nil {
		return request.Names{}, pluginapi.FieldErrorf("csr", "cannot be read: %w", err)
	}
	i := slices.Index(names, strings.ToLower(csr.Subject.CommonName))
	if i < 0 {
		return request.Names{}, pluginapi.FieldErrorf("csr", "has the common name %q, which is none of the names ordered; it is the first of the domains, and may have 64 characters", csr.Subject.CommonName)
	}
	first := names[i]
	return request.NamesOf(append([]string{first}, slices.Delete(names, i, i+1)...)), nil
}

// chooseMethod decides how control over all names of an order is shown: there is one way for all, which cannot be changed
// any more. What the settings say holds; else it is what can be published for every name, and the favourite of the first
// name before others.
func chooseMethod(order pluginapi.OrderRequest) (string, error) {
	records, file, favourite := true, true, pluginapi.ChallengeType(0)
	for _, id := range order.Identifiers {
		if strings.HasPrefix(id.Value, "*.") {
			file = false // a file shows nothing about the names below its host
		}
		if len(id.ChallengeTypes) == 0 {
			continue // nobody knows
		}
		records = records && slices.Contains(id.ChallengeTypes, pluginapi.ChallengeDNS)
		file = file && slices.Contains(id.ChallengeTypes, pluginapi.ChallengeHTTP)
		if favourite == 0 {
			favourite = id.ChallengeTypes[0]
		}
	}
	bare := withoutCompanion(order)
	file = file && bare == ""
	wildcard := slices.ContainsFunc(order.Identifiers, func(id pluginapi.Identifier) bool { return strings.HasPrefix(id.Value, "*.") })
	switch set := request.Method(order.Settings); {
	case (set == request.MethodFile || set == request.MethodSFile) && wildcard:
		return "", pluginapi.FieldErrorf("dv_auth_method", "%s shows no control over a wildcard name; use %s", set, request.MethodDNS)
	case (set == request.MethodFile || set == request.MethodSFile) && bare != "":
		return "", pluginapi.FieldErrorf("dv_auth_method", "%s needs the file on %s, too, which comes with the certificate: add it to the domains, or set no_companion = true", set, bare)
	case set != "":
		return set, publishable(set, order)
	case file && (favourite == pluginapi.ChallengeHTTP || !records):
		return request.MethodFile, nil
	case records:
		return request.MethodDNS, nil
	case bare != "" && !wildcard:
		return "", pluginapi.FieldErrorf("identifiers", "a file has to be on %s, too, which comes with the certificate: add it to the domains, set no_companion = true, or give every name a dcv profile for DNS records", bare)
	default:
		return "", pluginapi.FieldErrorf("identifiers", "all names of an order are validated in one way, and no way can be published for all: give every name a dcv profile for DNS records, or every name one for files (no wildcards)")
	}
}

// publishable refuses a way that the settings say and some name's DCV profile is known to have nothing for: an order cannot be
// validated in another way once it is placed. Whether a profile's files are served over HTTPS nobody tells.
func publishable(method string, order pluginapi.OrderRequest) error {
	kind, what := pluginapi.ChallengeDNS, "records"
	switch method {
	case request.MethodEmail:
		return nil
	case request.MethodFile, request.MethodSFile:
		kind, what = pluginapi.ChallengeHTTP, "files"
	}
	without := restca.Unpublishable(order.Identifiers, kind)
	if len(without) == 0 {
		return nil
	}
	return pluginapi.FieldErrorf("dv_auth_method", "%s takes %s for every name, and the dcv profile publishes none for %s: give those names another profile, or leave dv_auth_method out", method, what, strings.Join(without, ", "))
}

// withoutCompanion is the name that comes with an order, where a file has to be on it and nobody would publish that: it is
// neither ordered nor switched off. Sectigo leaves out such a name, and DigiCert waits for it.
func withoutCompanion(order pluginapi.OrderRequest) string {
	names, err := namesOf(order)
	off, _ := order.Settings.Values["no_companion"].(bool)
	if err != nil || off || names.Companion != "" || request.ProductOf(order.Settings).Family != request.FamilyDigiCert {
		return ""
	}
	return request.Companion(names.Common)
}

// baseName is what control is shown over.
func baseName(name string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "*."), ".")
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
