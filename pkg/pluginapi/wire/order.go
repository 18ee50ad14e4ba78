package wire

import (
	"bytes"
	"crypto/x509"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

func formatOrderRequest(o pluginapi.OrderRequest) (*pb.OrderRequest, error) {
	settings, secrets, err := formatSettings(o.Settings)
	if err != nil {
		return nil, err
	}
	m := &pb.OrderRequest{
		IdempotencyKey: o.IdempotencyKey, Kind: pb.OrderKind(o.Kind), Csr: o.CSR,
		Previous: formatPrevious(o.Previous), Settings: settings, Secrets: secrets, CertificateName: people(o.CertificateName),
	}
	for _, id := range o.Identifiers {
		m.Identifiers = append(m.Identifiers, &pb.Identifier{
			Value: id.Value, Type: pb.IdentifierType(id.Type), ChallengeTypes: enums[pb.ChallengeType](id.ChallengeTypes),
		})
	}
	return m, nil
}

func parseOrderRequest(m *pb.OrderRequest, csr csrCheck) (pluginapi.OrderRequest, error) {
	var none pluginapi.OrderRequest
	if m == nil {
		return none, bad("order", "is not given")
	}
	o, err := parseRequestParts(m, csr)
	if err != nil {
		return none, under("order", err)
	}
	return o, nil
}

func parseRequestParts(m *pb.OrderRequest, csr csrCheck) (pluginapi.OrderRequest, error) {
	var none pluginapi.OrderRequest
	if !isIdempotencyKey(m.GetIdempotencyKey()) {
		return none, bad("idempotency_key", "is not 32 lower-case hexadecimal digits")
	}
	kind, err := enum[pluginapi.OrderKind]("kind", m.GetKind(), pb.OrderKind_name)
	if err != nil {
		return none, err
	}
	if err := csr(m.GetCsr()); err != nil {
		return none, err
	}
	identifiers, err := parseIdentifiers(m.GetIdentifiers())
	if err != nil {
		return none, err
	}
	if (kind == pluginapi.New) != (m.GetPrevious() == nil) {
		return none, bad("previous", "belongs to a renewal and a reissue, and to nothing else")
	}
	previous, err := parsePrevious("previous", m.GetPrevious())
	if err != nil {
		return none, err
	}
	settings, err := parseSettings(m.GetSettings(), m.GetSecrets())
	if err != nil {
		return none, err
	}
	return pluginapi.OrderRequest{
		IdempotencyKey: m.GetIdempotencyKey(), Kind: kind, CSR: m.GetCsr(), Identifiers: identifiers,
		Previous: previous, Settings: settings, CertificateName: people(m.GetCertificateName()),
	}, nil
}

func parseIdentifiers(list []*pb.Identifier) ([]pluginapi.Identifier, error) {
	if len(list) == 0 {
		return nil, bad("identifiers", "are empty")
	}
	if err := counted("identifiers", len(list), maxIdentifiers); err != nil {
		return nil, err
	}
	out := make([]pluginapi.Identifier, 0, len(list))
	for i, m := range list {
		id, err := parseIdentifier(m)
		if err != nil {
			return nil, under(item("identifiers", i), err)
		}
		out = append(out, id)
	}
	return out, nil
}

func parseIdentifier(m *pb.Identifier) (pluginapi.Identifier, error) {
	var none pluginapi.Identifier
	kind, err := enum[pluginapi.IdentifierType]("type", m.GetType(), pb.IdentifierType_name)
	if err != nil {
		return none, err
	}
	if kind == pluginapi.IP {
		if !isIP(m.GetValue()) {
			return none, bad("value", "%q is not an IP address", people(m.GetValue()))
		}
	} else if err := dnsName("value", m.GetValue(), true); err != nil {
		return none, err
	}
	types, err := knownEnums[pluginapi.ChallengeType]("challenge_types", m.GetChallengeTypes(), pb.ChallengeType_name)
	if err != nil {
		return none, err
	}
	return pluginapi.Identifier{Value: m.GetValue(), Type: kind, ChallengeTypes: types}, nil
}

func formatPrevious(p *pluginapi.PreviousOrder) *pb.PreviousOrder {
	if p == nil {
		return nil
	}
	return &pb.PreviousOrder{Reference: p.Reference, State: p.State, Chain: p.Chain}
}

func parsePrevious(path string, m *pb.PreviousOrder) (*pluginapi.PreviousOrder, error) {
	if m == nil {
		return nil, nil //nolint:nilnil // absence is a value here
	}
	if err := optionalWord(path+".reference", m.GetReference(), maxReference); err != nil {
		return nil, err
	}
	if err := sized(path+".state", m.GetState(), maxState); err != nil {
		return nil, err
	}
	if _, err := parseChain(path+".chain", m.GetChain()); err != nil {
		return nil, err
	}
	return &pluginapi.PreviousOrder{Reference: m.GetReference(), State: m.GetState(), Chain: m.GetChain()}, nil
}

func parseChain(path string, chain [][]byte) ([]*x509.Certificate, error) {
	if err := counted(path, len(chain), maxChain); err != nil {
		return nil, err
	}
	parsed := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		var err error
		if parsed[i], err = parseCertificate("", der); err != nil {
			return nil, under(item(path, i), err)
		}
	}
	return parsed, nil
}

func parseCertificate(path string, der []byte) (*x509.Certificate, error) {
	if len(der) == 0 {
		return nil, bad(path, "is empty")
	}
	if err := sized(path, der, maxCertificate); err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, bad(path, "is not a certificate in DER")
	}
	return c, nil
}

func checkCertificate(path string, der []byte) error { return check(parseCertificate(path, der)) }

// parsePlaced reads what names an order in later calls.
func parsePlaced(order *pb.OrderRequest, reference string, state []byte, csr csrCheck) (pluginapi.PlacedOrder, error) {
	var none pluginapi.PlacedOrder
	request, err := parseOrderRequest(order, csr)
	if err != nil {
		return none, err
	}
	if err := parseNamed(reference, state); err != nil {
		return none, err
	}
	return pluginapi.PlacedOrder{OrderRequest: request, Reference: reference, State: state}, nil
}

// parseNamed checks what names an order that the CA knows.
func parseNamed(reference string, state []byte) error {
	if err := word("reference", reference, maxReference); err != nil {
		return err
	}
	return sized("state", state, maxState)
}

func formatOrder(o pluginapi.Order) (*pb.Order, error) {
	m := &pb.Order{
		Reference: o.Reference, State: o.State, Status: pb.OrderStatus(o.Status), Detail: people(o.Detail),
		Chain: o.Chain, CoverageEnd: formatTime(o.CoverageEnd), Action: formatAction(o.Action),
		Names: o.Names, RenewedBy: o.RenewedBy,
	}
	if len(o.Settings) > 0 {
		settings, _, err := formatSettings(pluginapi.Settings{Values: o.Settings})
		if err != nil {
			return nil, err
		}
		m.Settings = settings
	}
	for i, a := range o.Authorizations {
		auth := &pb.Authorization{Identifier: a.Identifier, Valid: a.Valid}
		for j, c := range a.Challenges {
			ch, err := formatChallenge(c)
			if err != nil {
				return nil, under(item("authorizations", i)+"."+item("challenges", j), err)
			}
			auth.Challenges = append(auth.Challenges, ch)
		}
		m.Authorizations = append(m.Authorizations, auth)
	}
	if o.LookAgainAfter != nil {
		m.LookAgainAfter = durationpb.New(*o.LookAgainAfter)
	}
	if o.Price != nil {
		m.Price = &pb.Price{Amount: o.Price.Amount, Currency: o.Price.Currency}
	}
	return m, nil
}

func parseOrderReply(order *pb.Order, accountState []byte) (pluginapi.OrderReply, error) {
	return parseReply(order, accountState, parseOrder)
}

func parseReply(order *pb.Order, accountState []byte, parse func(*pb.Order) (pluginapi.Order, error)) (pluginapi.OrderReply, error) {
	var none pluginapi.OrderReply
	if order == nil {
		return none, bad("order", "is not given")
	}
	o, err := parse(order)
	if err != nil {
		return none, under("order", err)
	}
	if err := sized("account_state", accountState, maxState); err != nil {
		return none, err
	}
	return pluginapi.OrderReply{Order: o, AccountState: accountState}, nil
}

// parseOrder reads an order that is placed, read or found: one that is issued brings its chain.
func parseOrder(m *pb.Order) (pluginapi.Order, error) {
	o, err := parseInspected(m)
	if err == nil && o.Status == pluginapi.Issued && len(o.Chain) == 0 {
		err = bad("chain", "is missing; the order is issued")
	}
	if err != nil {
		return pluginapi.Order{}, err
	}
	return o, nil
}

// parseInspected reads an order that was only looked at, whose chain may be left out.
func parseInspected(m *pb.Order) (pluginapi.Order, error) {
	var none pluginapi.Order
	if err := word("reference", m.GetReference(), maxReference); err != nil {
		return none, err
	}
	if err := sized("state", m.GetState(), maxState); err != nil {
		return none, err
	}
	status, err := enum[pluginapi.OrderStatus]("status", m.GetStatus(), pb.OrderStatus_name)
	if err != nil {
		return none, err
	}
	o := pluginapi.Order{Reference: m.GetReference(), State: m.GetState(), Status: status, Detail: people(m.GetDetail())}
	if o.Authorizations, err = parseAuthorizations(m.GetAuthorizations()); err != nil {
		return none, err
	}
	if o.Chain, err = parseIssuedChain(status, m.GetChain()); err != nil {
		return none, err
	}
	if o.CoverageEnd, err = parseTime("coverage_end", m.GetCoverageEnd()); err != nil {
		return none, err
	}
	if m.GetLookAgainAfter() != nil {
		d, err := parseDuration("look_again_after", m.GetLookAgainAfter())
		if err != nil {
			return none, err
		}
		o.LookAgainAfter = &d
	}
	if o.Price, err = parsePrice(m.GetPrice()); err != nil {
		return none, err
	}
	if o.Action, err = parseAction(m.GetAction()); err != nil {
		return none, err
	}
	if o.Names, err = parseHeldNames(m.GetNames()); err != nil {
		return none, err
	}
	if err := optionalWord("renewed_by", m.GetRenewedBy(), maxReference); err != nil {
		return none, err
	}
	o.RenewedBy = m.GetRenewedBy()
	if m.GetSettings() != nil {
		settings, err := parseSettings(m.GetSettings(), nil)
		if err != nil {
			return none, err
		}
		o.Settings = settings.Values
	}
	return o, nil
}

// parseHeldNames reads the names an order holds, which are DNS names, with *. in front or not, and IP addresses.
func parseHeldNames(names []string) ([]string, error) {
	if err := counted("names", len(names), maxIdentifiers); err != nil {
		return nil, err
	}
	for i, name := range names {
		if err := nameOrIP(item("names", i), trimWildcard(name)); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// parseIssuedChain refuses a chain of an order that is not issued, and drops a root at its end: a server has
// no use for it (RFC 8446 section 4.4.2).
func parseIssuedChain(status pluginapi.OrderStatus, chain [][]byte) ([][]byte, error) {
	if status != pluginapi.Issued && len(chain) > 0 {
		return nil, bad("chain", "belongs to an order that is issued, and to no other; this one is %s", status)
	}
	parsed, err := parseChain("chain", chain)
	if err != nil {
		return nil, err
	}
	for len(chain) > 1 && isRoot(parsed[len(chain)-1]) {
		chain = chain[:len(chain)-1]
	}
	return chain, nil
}

func isRoot(c *x509.Certificate) bool {
	return c.IsCA && bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignatureFrom(c) == nil
}

func parseAuthorizations(list []*pb.Authorization) ([]pluginapi.Authorization, error) {
	if err := counted("authorizations", len(list), maxAuthorizations); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, nil
	}
	out := make([]pluginapi.Authorization, 0, len(list))
	ids := make(map[string]bool)
	for i, m := range list {
		a, err := parseAuthorization(m, ids)
		if err != nil {
			return nil, under(item("authorizations", i), err)
		}
		out = append(out, a)
	}
	return out, nil
}

// parseAuthorization reads one authorization, whose challenges have other ids than those before.
func parseAuthorization(m *pb.Authorization, ids map[string]bool) (pluginapi.Authorization, error) {
	var none pluginapi.Authorization
	if err := nameOrIP("identifier", trimWildcard(m.GetIdentifier())); err != nil {
		return none, err
	}
	if err := counted("challenges", len(m.GetChallenges()), maxChallenges); err != nil {
		return none, err
	}
	a := pluginapi.Authorization{Identifier: m.GetIdentifier(), Valid: m.GetValid()}
	for i, ch := range m.GetChallenges() {
		c, err := parseChallenge(ch)
		if err == nil && ids[c.ID] {
			err = bad("id", "%q stands there twice", c.ID)
		}
		if err != nil {
			return none, under(item("challenges", i), err)
		}
		ids[c.ID] = true
		a.Challenges = append(a.Challenges, c)
	}
	return a, nil
}

func trimWildcard(name string) string {
	if len(name) > 2 && name[:2] == "*." {
		return name[2:]
	}
	return name
}

func parsePrice(m *pb.Price) (*pluginapi.Price, error) {
	if m == nil {
		return nil, nil //nolint:nilnil // absence is a value here
	}
	if !isAmount(m.GetAmount()) {
		return nil, bad("price.amount", "%q is not a decimal number", people(m.GetAmount()))
	}
	if err := word("price.currency", m.GetCurrency(), 32); err != nil {
		return nil, err
	}
	return &pluginapi.Price{Amount: m.GetAmount(), Currency: m.GetCurrency()}, nil
}

func formatAction(a *pluginapi.PersonAction) *pb.PersonAction {
	if a == nil {
		return nil
	}
	return &pb.PersonAction{Who: people(a.Who), What: people(a.What), Url: a.URL}
}

func parseAction(m *pb.PersonAction) (*pluginapi.PersonAction, error) {
	if m == nil {
		return nil, nil //nolint:nilnil // absence is a value here
	}
	if m.GetWho() == "" || m.GetWhat() == "" {
		return nil, bad("action", "does not say who must do what")
	}
	if err := webAddress("action.url", m.GetUrl()); err != nil {
		return nil, err
	}
	return &pluginapi.PersonAction{Who: people(m.GetWho()), What: people(m.GetWhat()), URL: m.GetUrl()}, nil
}

func parseRenewalInfo(m *pb.CAServiceRenewalInfoResponse) (pluginapi.RenewalInfo, error) {
	var none, r pluginapi.RenewalInfo
	var err error
	if r.WindowStart, err = parseTime("window_start", m.GetWindowStart()); err != nil {
		return none, err
	}
	if r.WindowEnd, err = parseTime("window_end", m.GetWindowEnd()); err != nil {
		return none, err
	}
	if r.WindowStart.IsZero() || r.WindowEnd.IsZero() || !r.WindowStart.Before(r.WindowEnd) {
		return none, bad("window_start", "a window needs a start and an end after it")
	}
	if !isSerial(m.GetSerial()) {
		return none, bad("serial", "is not lower-case hexadecimal")
	}
	if err := webAddress("explanation_url", m.GetExplanationUrl()); err != nil {
		return none, err
	}
	if r.LookAgainAfter, err = parseDuration("look_again_after", m.GetLookAgainAfter()); err != nil {
		return none, err
	}
	r.Serial, r.ExplanationURL = m.GetSerial(), m.GetExplanationUrl()
	return r, nil
}

func formatRenewalInfo(r pluginapi.RenewalInfo) *pb.CAServiceRenewalInfoResponse {
	return &pb.CAServiceRenewalInfoResponse{
		WindowStart: formatTime(r.WindowStart), WindowEnd: formatTime(r.WindowEnd), ExplanationUrl: r.ExplanationURL,
		LookAgainAfter: formatDuration(r.LookAgainAfter), Serial: r.Serial,
	}
}

// checkReason holds CRLReason: 0 to 10 without 7 (RFC 5280 section 5.3.1).
func checkReason(reason int32) error {
	if reason < 0 || reason > 10 || reason == 7 {
		return bad("reason", "%d is not a CRLReason", reason)
	}
	return nil
}

// sentTime is required wherever it travels: a plugin looks for an order from then on.
func sentTime(t time.Time) error {
	if t.IsZero() {
		return bad("sent_at", "is not given")
	}
	return nil
}
