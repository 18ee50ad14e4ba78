package servertastic

import (
	"bytes"
	"context"
	"crypto/x509"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// FindOrder tells whether a lost PlaceOrder call arrived: an order by its reference, a reissue by what the order shows.
func (c *CA) FindOrder(ctx context.Context, order pluginapi.OrderRequest, sentAt time.Time) (pluginapi.OrderReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if given, ok := givenToken(order); ok {
		return s.findTakenUp(ctx, order, given, sentAt)
	}
	if order.Kind == pluginapi.Reissue {
		return s.findLostReissue(ctx, order, sentAt)
	}
	token, found, doubt, err := s.arrived(ctx, order)
	switch {
	case err != nil:
		return pluginapi.OrderReply{}, err
	case !found && doubt != "":
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "no token with the reference %s is to be seen, which says nothing: %s; look in ServerTastic's control panel whether the order was bought", referenceFor(order), doubt)
	case !found:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "ServerTastic has no token with the reference %s", referenceFor(order))
	default:
		return s.begun(order, token, sentAt, nil), nil
	}
}

// locate finds the token of an order: in its state, or by its reference among the account's.
func (s *session) locate(ctx context.Context, reference string, st state, given pluginapi.Secret) (pluginapi.Secret, error) {
	if token, ok := s.open(st.Sealed); ok {
		return token, nil
	}
	tokens, err := s.client.Tokens(ctx)
	if err != nil {
		return pluginapi.Secret{}, unseen("look up the token of order "+reference, err)
	}
	list, used := tokens.List, -1
	for i, t := range list {
		if strings.EqualFold(string(t.Reference), reference) && (used < 0 || t.Used) {
			used = i
		}
	}
	if used >= 0 {
		return pluginapi.NewSecret(string(list[used].Token)), nil
	}
	book, err := s.client.PointsAudit(ctx)
	if err != nil {
		return pluginapi.Secret{}, unseen("look up the token of order "+reference, err)
	}
	if i := slices.IndexFunc(book, func(p ordertoken.Points) bool { return p.Token != "" && string(p.OrderID) == reference }); i >= 0 {
		return pluginapi.NewSecret(string(book[i].Token)), nil
	}
	if !given.Empty() {
		r, err := s.client.Review(ctx, given)
		if err != nil {
			return pluginapi.Secret{}, unseen("read the order of order_token", err)
		}
		if strings.EqualFold(r.Reference, reference) || r.OrderID == reference {
			return given, nil
		}
	}
	if tokens.Doubt != "" {
		return pluginapi.Secret{}, pluginapi.Errorf(pluginapi.NeedsPerson, "no token of order %s is to be seen, which says nothing: %s; look for the order in ServerTastic's control panel", reference, tokens.Doubt)
	}
	return pluginapi.Secret{}, pluginapi.Errorf(pluginapi.NotFound, "the account has no token for order %s", reference)
}

// unseen is the failure to read something. That ServerTastic does not know what was asked for is taken for no word about
// whether there is an order: what is not there is bought.
func unseen(what string, err error) error { return notNotFound(restca.Fail(what, err)) }

// nameOf is the reference of an order that was not bought by certbridged: the one it was bought with, or ServerTastic's name
// of it.
func nameOf(token pluginapi.Secret, list []ordertoken.Token, r ordertoken.Review) string {
	reference := r.Reference
	if i := slices.IndexFunc(list, func(t ordertoken.Token) bool { return string(t.Token) == token.Reveal() }); i >= 0 && list[i].Reference != "" {
		reference = string(list[i].Reference)
	}
	same := 0
	for _, t := range list {
		if string(t.Reference) == reference {
			same++
		}
	}
	if reference == "" || same > 1 { // it names more than one order
		return r.OrderID
	}
	return reference
}

// takeUp begins with an order that there is already, whose token the settings have: one that was not placed yet is placed,
// one that is issued is reissued. Nothing is bought.
func (s *session) takeUp(ctx context.Context, order pluginapi.OrderRequest, token pluginapi.Secret) (pluginapi.OrderReply, error) {
	names, err := namesOf(order)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if _, err := request.Token(order.Settings, request.Purchase{Reference: referenceFor(order), Names: names, WireNames: s.settings.wireNames}); err != nil {
		return pluginapi.OrderReply{}, err
	}
	r, reference, err := s.given(ctx, order, token)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	switch {
	case r.Unplaced() || r.Unclear():
		return s.begun(order, ordertoken.Token{Token: ordertoken.Text(token.Reveal()), Reference: ordertoken.Text(reference)}, orTime(r.First().Time, s.now()), nil), nil
	case r.Status == ordertoken.StatusCompleted:
		if err := sameNames(names, r); err != nil {
			return pluginapi.OrderReply{}, err
		}
		return s.reissueOf(ctx, order, reference, token, s.stateOf(order, token, r))
	default:
		return pluginapi.OrderReply{}, inUse(r)
	}
}

// given reads the order of a token that the settings have.
func (s *session) given(ctx context.Context, order pluginapi.OrderRequest, token pluginapi.Secret) (ordertoken.Review, string, error) {
	r, err := s.client.Review(ctx, token)
	if err != nil {
		failure := restca.Fail("read the order of order_token", err)
		if failure.Kind == pluginapi.Unauthorized || failure.Kind == pluginapi.NotFound {
			failure = pluginapi.FieldErrorf(request.SecretToken, "ServerTastic does not know it: %s", failure.Message)
		}
		return r, "", failure
	}
	if code := request.ProductOf(order.Settings).Code; r.Product != "" && r.Product != code {
		return r, "", pluginapi.FieldErrorf("st_product_code", "is %s, and order_token is for %s", code, r.Product)
	}
	if r.Status == ordertoken.StatusCancelled || r.Status == ordertoken.StatusRollBack {
		return r, "", pluginapi.FieldErrorf(request.SecretToken, "its order is %q at ServerTastic: remove it, so that a new order is bought", r.Told)
	}
	list, err := s.client.Tokens(ctx)
	if err != nil {
		return r, "", restca.Fail("look up the reference of order_token", err)
	}
	reference := nameOf(token, list.List, r)
	if reference == "" {
		return r, "", pluginapi.FieldErrorf(request.SecretToken, "its order has neither a reference nor a number at ServerTastic by which it could be found again")
	}
	return r, reference, nil
}

func inUse(r ordertoken.Review) error {
	return pluginapi.Errorf(pluginapi.Conflict, "the order of order_token is %q: it is being issued for somebody else's request; it goes on once that is done", r.Told)
}

// findTakenUp tells what became of an order that the settings brought along.
func (s *session) findTakenUp(ctx context.Context, order pluginapi.OrderRequest, token pluginapi.Secret, sentAt time.Time) (pluginapi.OrderReply, error) {
	r, reference, err := s.given(ctx, order, token)
	if err != nil {
		return pluginapi.OrderReply{}, notNotFound(err)
	}
	if r.Unplaced() || r.Unclear() { // it is placed by GetOrder, after this
		return s.begun(order, ordertoken.Token{Token: ordertoken.Text(token.Reveal()), Reference: ordertoken.Text(reference)}, orTime(r.First().Time, sentAt), nil), nil
	}
	return s.reissueFound(ctx, order, reference, token, r, s.stateOf(order, token, r), sentAt)
}

// stateOf is what is known of an order from what the API shows of it.
func (s *session) stateOf(order pluginapi.OrderRequest, token pluginapi.Secret, r ordertoken.Review) state {
	bought := r.First().Time
	if bought.IsZero() {
		for _, c := range r.Certificates {
			if !c.IsCA && (bought.IsZero() || c.NotBefore.Before(bought)) {
				bought = c.NotBefore
			}
		}
	}
	st := state{Sealed: s.seal(token), OrderID: r.OrderID, Bought: bought.UTC(), Control: r.Control}
	months := termOf(order.Settings, r.Product)
	st.Ends, st.Single = ends(bought, months), months == 0 && saidTerm(order.Settings)
	st.told(r)
	return st
}

// termOf is for how many months an order is paid: as the settings say, or else as its own product does.
func termOf(settings pluginapi.Settings, code string) int {
	_, said := settings.Values["term_months"]
	if own := (request.ProductOf(pluginapi.Settings{Values: map[string]any{"st_product_code": code}})).Months; own > 0 && !said {
		return own
	}
	return request.TermMonths(settings)
}

// saidTerm reports whether the settings say for how long orders are paid. A product without a term in its code does not: that
// is not known then, rather than over with the certificate.
func saidTerm(settings pluginapi.Settings) bool {
	_, said := settings.Values["term_months"]
	return said
}

func orTime(t, other time.Time) time.Time {
	if t.IsZero() {
		return other
	}
	return t
}

// sameNames holds that an order that is reissued has the names that are asked for: a reissue cannot have others.
func sameNames(names request.Names, r ordertoken.Review) error {
	for _, c := range r.Certificates {
		if c.IsCA {
			continue
		}
		for _, n := range append([]string{names.Common}, names.Additional...) {
			if !covers(c, n) {
				return pluginapi.FieldErrorf(request.SecretToken, "its certificate is for %s, and a reissue cannot have another name: %s; remove the token, so that a new order is bought", strings.Join(c.DNSNames, ", "), n)
			}
		}
		return nil
	}
	return nil
}

// covers reports whether a name is among those of a certificate.
func covers(c *x509.Certificate, name string) bool {
	return slices.ContainsFunc(c.DNSNames, func(n string) bool { return strings.EqualFold(n, name) })
}

// notNotFound keeps the order that a reissue belongs to from counting as the reissue: that the order cannot be seen says
// nothing of what was asked of it.
func notNotFound(err error) error {
	switch pluginapi.KindOf(err) {
	case pluginapi.NotFound, pluginapi.InvalidRequest, pluginapi.Conflict:
		return pluginapi.Errorf(pluginapi.Unavailable, "%w", err)
	}
	return err
}

// FindOrderByCertificate finds the order that a certificate on disk belongs to, so that it can be reissued and renewed.
func (c *CA) FindOrderByCertificate(ctx context.Context, leaf []byte) (pluginapi.OrderReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	f, err := s.orderOfCertificate(ctx, leaf)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	chain, _ := restca.Arrange(f.leaf, f.review.Certificates)
	return pluginapi.OrderReply{Order: pluginapi.Order{
		Reference: f.reference, State: f.st.encode(), Status: pluginapi.Issued, Chain: chain, CoverageEnd: f.st.Ends,
		Settings: map[string]any{"st_product_code": f.review.Product},
		Detail:   "found at ServerTastic as order " + orElse(f.review.OrderID, f.reference),
	}}, nil
}

// found is an order that a certificate belongs to.
type found struct {
	reference string
	token     pluginapi.Secret
	review    ordertoken.Review
	leaf      *x509.Certificate
	st        state
}

// mostReviewed bounds how many orders are read in search of a certificate. Each takes a call.
const mostReviewed = 60

// orderOfCertificate finds the order of a certificate. The API does not find orders by certificates: the account's lists
// tell which orders are for its domain and, in its book of points, which token is whose; what they do not tell is read one
// by one.
func (s *session) orderOfCertificate(ctx context.Context, der []byte) (found, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return found{}, pluginapi.FieldErrorf("leaf", "is no certificate: %w", err)
	}
	if bytes.Equal(leaf.RawIssuer, leaf.RawSubject) {
		return found{}, pluginapi.Errorf(pluginapi.NotFound, "certificate %s is signed by itself: no order has such", restca.Serial(leaf))
	}
	list, err := s.client.Tokens(ctx)
	if err != nil {
		return found{}, unseen("list the account's orders", err)
	}
	likely, times := s.likely(ctx, leaf)
	tokens := slices.Clone(list.List)
	tokens = slices.DeleteFunc(tokens, func(t ordertoken.Token) bool { return !t.Used && !likely[string(t.Token)] })
	slices.SortStableFunc(tokens, func(a, b ordertoken.Token) int {
		return boolean(likely[string(b.Token)]) - boolean(likely[string(a.Token)])
	})
	unread, maybe := 0, ""
	for i, t := range tokens {
		if i == mostReviewed {
			return found{}, pluginapi.Errorf(pluginapi.NeedsPerson, "certificate %s is of none of the %d likeliest orders of %d, and not all were read; to take its order over set order_token", restca.Serial(leaf), mostReviewed, len(tokens))
		}
		token := pluginapi.NewSecret(string(t.Token))
		r, err := s.client.Review(ctx, token)
		if err != nil {
			if !refusesToken(err) {
				return found{}, unseen("read the order of a token", err)
			}
			unread++
			continue
		}
		switch {
		case ended(r.Status):
			continue
		case !slices.ContainsFunc(r.Certificates, leaf.Equal):
			if mayHaveIssued(r, leaf) {
				maybe = orElse(r.OrderID, string(t.Reference))
			}
			continue
		}
		f := found{reference: nameOf(token, list.List, r), token: token, review: r, leaf: leaf}
		f.st = s.stateOf(pluginapi.OrderRequest{}, token, r)
		if at := times[r.OrderID]; !at.IsZero() {
			f.st.Bought, f.st.Ends = at.UTC(), ends(at, termOf(pluginapi.Settings{}, r.Product))
			f.st.told(r)
		}
		return f, nil
	}
	switch {
	case maybe != "":
		return found{}, pluginapi.Errorf(pluginapi.NeedsPerson, "certificate %s may belong to order %s, which is for its names and does not show certificates as old as this; look at the order in ServerTastic's control panel, and set order_token to go on with it", restca.Serial(leaf), maybe)
	case unread > 0:
		return found{}, pluginapi.Errorf(pluginapi.NeedsPerson, "certificate %s is of none of the orders that can be read, and ServerTastic does not let %d of %d be read; it may be of one of them: to take its order over set order_token", restca.Serial(leaf), unread, len(tokens))
	}
	return found{}, pluginapi.Errorf(pluginapi.NotFound, "the account has no order that certificate %s belongs to", restca.Serial(leaf))
}

// refusesToken reports that the API itself, in its own form, does not know a token. Anything else, such as the page of a
// gateway, says nothing about the order.
func refusesToken(err error) bool {
	no := restca.RefusalOf(err)
	return no != nil && len(no.Problems) > 0 && no.Verdict().Kind == pluginapi.Unauthorized && ordertoken.CodeOf(no) == http.StatusUnauthorized
}

// mayHaveIssued reports whether a certificate that an order does not show may be one of its earlier ones: the order is for
// its names, and what it shows is younger, or nothing. (Not confirmed by ServerTastic's pages: that certificates from before a
// reissue are shown.)
func mayHaveIssued(r ordertoken.Review, leaf *x509.Certificate) bool {
	if r.Unplaced() || r.Unclear() {
		return false
	}
	names := append([]string{leaf.Subject.CommonName}, leaf.DNSNames...)
	ours := func(name string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return n != "" && baseName(n) == baseName(name) })
	}
	if r.Domain != "" && !ours(r.Domain) {
		return false
	}
	shown := false
	for _, c := range r.Certificates {
		switch {
		case c.IsCA:
		case r.Domain == "" && !slices.ContainsFunc(c.DNSNames, ours), c.NotBefore.Before(leaf.NotBefore.Truncate(24 * time.Hour)):
			return false
		default:
			shown = true
		}
	}
	return shown || r.Status == ordertoken.StatusCompleted || !r.Issued().IsZero()
}

// likely are the tokens of orders for a certificate's domain, and when orders were placed, as far as the account's lists
// tell. Both are help and no more: without them all orders are read.
func (s *session) likely(ctx context.Context, leaf *x509.Certificate) (tokens map[string]bool, times map[string]time.Time) {
	tokens, times = map[string]bool{}, map[string]time.Time{}
	account, err := s.client.Account(ctx)
	if err != nil {
		s.log.Info("the account's list of orders cannot be had", "error", restca.Fail("read the account", err))
		return tokens, times
	}
	book, err := s.client.PointsAudit(ctx)
	if err != nil {
		s.log.Info("the account's book of points cannot be had", "error", restca.Fail("read the book of points", err))
	}
	names := append([]string{leaf.Subject.CommonName}, leaf.DNSNames...)
	for _, o := range account.Orders {
		times[string(o.OrderID)] = o.At.Time
		if !slices.ContainsFunc(names, func(n string) bool { return baseName(n) == baseName(string(o.Domain)) }) {
			continue
		}
		for _, p := range book {
			if p.OrderID == o.OrderID && p.Token != "" {
				tokens[string(p.Token)] = true
			}
		}
	}
	return tokens, times
}

func codes(list []ordertoken.Product) string {
	const most = 20
	var names []string
	for _, p := range list {
		names = append(names, string(p.Code))
	}
	slices.Sort(names)
	if len(names) > most {
		return strings.Join(names[:most], ", ") + " and " + strconv.Itoa(len(names)-most) + " more"
	}
	return orElse(strings.Join(names, ", "), "none")
}

// points reads a number of points.
func points(text string) (float64, bool) {
	n, err := strconv.ParseFloat(strings.TrimSpace(strings.ReplaceAll(text, ",", "")), 64)
	return n, err == nil
}
