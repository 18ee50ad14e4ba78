package acme

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	lego "github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/certificate"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	// pollInterval is how often to look at an order that waits when the CA does not say.
	pollInterval = 3 * time.Second
	// maxNames bounds an order before it is sent; no CA in use takes more than a tenth of it.
	maxNames = 1000
	// maxOrders is how many orders of an account are worked on at once. Most of them wait for the CA, so that there are more than
	// connections.
	maxOrders = 64
)

// PlaceOrder sends newOrder (RFC 8555 section 7.4) and returns the order's address as its reference. An order whose
// answer was lost is simply placed again, for it costs nothing and the CA forgets the other one. An order whose answer
// arrived is remembered: a repeated call finds it in this process, and by the account state also in the next one.
func (c *CA) PlaceOrder(ctx context.Context, request pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	s, err := c.configured()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	wanted, err := prepare(request, time.Now())
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	note, free := s.book.begin(request.IdempotencyKey)
	if !free {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Conflict, "this order is being placed by another call")
	}
	defer s.book.end(request.IdempotencyKey)
	if note.URL != "" {
		reply, err := s.placedBefore(ctx, request, note)
		if pluginapi.KindOf(err) != pluginapi.NotFound { // else the CA forgot it
			return reply, err
		}
	}
	who, err := s.account(ctx, true)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	return s.place(ctx, request, who, wanted)
}

// placedBefore tells the order that an earlier call made. It is NotFound when the CA has forgotten it.
func (s *session) placedBefore(ctx context.Context, request pluginapi.OrderRequest, note orderNote) (pluginapi.OrderReply, error) {
	who, err := s.account(ctx, false)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	v := view{
		request:   pluginapi.PlacedOrder{OrderRequest: request, Reference: note.URL},
		state:     orderState{Thumbprint: note.Thumbprint},
		who:       who,
		placedNow: true,
	}
	if err := s.refresh(ctx, &v); err != nil {
		return pluginapi.OrderReply{}, err
	}
	return s.reply(ctx, v)
}

func (s *session) place(ctx context.Context, request pluginapi.OrderRequest, who signer, wanted lego.Order) (pluginapi.OrderReply, error) {
	placed, remark, err := s.newOrder(ctx, who, wanted)
	if isProblem(err, "accountDoesNotExist") {
		// The CA lost the account, as private ones do that were set up anew. The same key registers again.
		s.book.registered("")
		if who, err = s.account(ctx, true); err != nil {
			return pluginapi.OrderReply{}, err
		}
		placed, remark, err = s.newOrder(ctx, who, wanted)
	}
	if err != nil {
		return pluginapi.OrderReply{}, failSent("place the order", err)
	}
	if !isHTTPS(placed.Location) {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "place the order: the CA took it but gave no https address for it")
	}
	s.book.placed(orderNote{IdempotencyKey: request.IdempotencyKey, URL: placed.Location, Thumbprint: who.thumbprint})
	if dir, err := s.client.directory(ctx); err == nil { // from memory: the order was sent by it
		s.book.learn(dir.Meta.CaaIdentities)
	}
	return s.reply(ctx, view{
		request:   pluginapi.PlacedOrder{OrderRequest: request, Reference: placed.Location},
		order:     placed.Order,
		state:     orderState{Thumbprint: who.thumbprint, Remark: remark},
		who:       who,
		placedNow: true,
	})
}

// prepare checks a request before anything is sent, and makes the order that will be sent of it.
func prepare(request pluginapi.OrderRequest, now time.Time) (lego.Order, error) {
	if request.Kind != pluginapi.New && request.Kind != pluginapi.Renew {
		return lego.Order{}, pluginapi.FieldErrorf("kind", "ACME orders are new or renew, not %s", request.Kind)
	}
	settings, err := readOrderSettings(request.Settings)
	if err != nil {
		return lego.Order{}, err
	}
	end, err := settings.end(now)
	if err != nil {
		return lego.Order{}, err
	}
	names, err := orderNames(request.Identifiers)
	if err != nil {
		return lego.Order{}, err
	}
	if err := checkCSR(request.CSR, names); err != nil {
		return lego.Order{}, err
	}
	wanted := lego.Order{Profile: settings.profile, Replaces: replaces(request.Previous, names)}
	if !end.IsZero() {
		wanted.NotAfter = end.Format(time.RFC3339)
	}
	for _, name := range names {
		kind := "dns"
		if _, err := netip.ParseAddr(name); err == nil {
			kind = "ip" // RFC 8738 section 3
		}
		wanted.Identifiers = append(wanted.Identifiers, lego.Identifier{Type: kind, Value: name})
	}
	return wanted, nil
}

// orderNames brings the identifiers into the one form that the CA repeats: any other repetition is a changed order.
func orderNames(identifiers []pluginapi.Identifier) ([]string, error) {
	if len(identifiers) == 0 {
		return nil, pluginapi.FieldErrorf("identifiers", "there are none")
	}
	if len(identifiers) > maxNames {
		return nil, pluginapi.FieldErrorf("identifiers", "%d names are too many for one certificate", len(identifiers))
	}
	var names []string
	for _, id := range identifiers {
		name := strings.ToLower(id.Value)
		address, err := netip.ParseAddr(id.Value)
		switch {
		case id.Type == pluginapi.IP && (err != nil || address.Zone() != ""):
			return nil, pluginapi.FieldErrorf("identifiers", "%q is not an IP address", id.Value)
		case id.Type == pluginapi.IP:
			name = address.Unmap().String()
		case id.Type != pluginapi.DNS:
			return nil, pluginapi.FieldErrorf("identifiers", "%q has an unknown type", id.Value)
		case err == nil:
			return nil, pluginapi.FieldErrorf("identifiers", "%q is an IP address, not a DNS name", id.Value)
		case name == "":
			return nil, pluginapi.FieldErrorf("identifiers", "one name is empty")
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// checkCSR finds early what the CA would otherwise refuse only at the end (RFC 8555 section 7.4): the CSR must carry
// the names of the order and no others. That it is signed by its own key is checked before a plugin is asked.
func checkCSR(der []byte, names []string) error {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return pluginapi.FieldErrorf("csr", "cannot be read: %w", err)
	}
	var has []string
	for _, name := range csr.DNSNames {
		has = append(has, strings.ToLower(name))
	}
	for _, ip := range csr.IPAddresses {
		if address, ok := netip.AddrFromSlice(ip); ok {
			has = append(has, address.Unmap().String())
		}
	}
	for _, name := range names {
		if !slices.Contains(has, name) {
			return pluginapi.FieldErrorf("csr", "does not carry the name %s", name)
		}
	}
	for _, name := range has {
		if !slices.Contains(names, name) {
			return pluginapi.FieldErrorf("csr", "carries the name %s, which is not ordered", name)
		}
	}
	return nil
}

// replaces identifies the certificate that an order takes the place of (RFC 9773 sections 4.1 and 5), or is empty. A
// server refuses an order that has no name with that certificate in common (section 5).
func replaces(previous *pluginapi.PreviousOrder, names []string) string {
	if previous == nil || len(previous.Chain) == 0 {
		return ""
	}
	leaf, err := x509.ParseCertificate(previous.Chain[0])
	if err != nil || len(leaf.AuthorityKeyId) == 0 || !shareName(leaf, names) {
		return ""
	}
	id, err := certificate.MakeARICertID(leaf)
	if err != nil {
		return ""
	}
	return id
}

func shareName(leaf *x509.Certificate, names []string) bool {
	have := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		have = append(have, ip.String())
	}
	return slices.ContainsFunc(have, func(h string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, h) })
	})
}

// newOrder places an order. When the CA refuses the link to the certificate that is replaced (it was issued
// elsewhere, to another account, or is replaced already), the order is placed without: the link is a courtesy, and
// a refused order is no order. The remark tells.
func (s *session) newOrder(ctx context.Context, who signer, wanted lego.Order) (lego.ExtendedOrder, string, error) {
	dir, err := s.client.directory(ctx)
	if err != nil {
		return lego.ExtendedOrder{}, "", err
	}
	if dir.RenewalInfo == "" {
		wanted.Replaces = "" // the CA knows no such thing
	}
	placed, err := s.sendOrder(ctx, who, dir.NewOrderURL, wanted)
	var p *problem
	if err == nil || wanted.Replaces == "" || !errors.As(err, &p) || !p.mayBeAboutReplaces() {
		return placed, "", err
	}
	remark := "the CA did not link the order to the certificate it replaces: " + p.Error()
	wanted.Replaces = ""
	placed, err = s.sendOrder(ctx, who, dir.NewOrderURL, wanted)
	return placed, remark, err
}

// sendOrder sends newOrder. A CA must not change the names of an order (RFC 8555 section 7.4); one that does has placed another.
func (s *session) sendOrder(ctx context.Context, who signer, address string, wanted lego.Order) (lego.ExtendedOrder, error) {
	var placed lego.ExtendedOrder
	a, err := s.signed(ctx, who, address, wanted, &placed.Order)
	if err != nil {
		return placed, err
	}
	placed.Location = a.header.Get("Location")
	if !sameNames(wanted.Identifiers, placed.Identifiers) {
		return placed, &outcome{err: &garbage{url: a.url, what: "an order for other names", body: a.body}, sent: true}
	}
	return placed, nil
}

func sameNames(a, b []lego.Identifier) bool {
	compare := func(x, y lego.Identifier) int {
		return cmp.Or(cmp.Compare(x.Type, y.Type), cmp.Compare(x.Value, y.Value))
	}
	return slices.Equal(slices.SortedFunc(slices.Values(a), compare), slices.SortedFunc(slices.Values(b), compare))
}

// mayBeAboutReplaces reports a refusal that an order without "replaces" may not meet. RFC 9773 names only
// alreadyReplaced (section 7.4); for the rest servers use malformed, unauthorized and not found. One that stumbles over a
// certificate it does not know says serverInternal (Pebble does): should it have placed the order all the same, an order
// that is not finalized costs nothing and lapses.
func (p *problem) mayBeAboutReplaces() bool {
	switch p.kind() {
	case "alreadyReplaced", "malformed", "unauthorized", "conflict", "serverInternal":
		return true
	default:
		return p.status == 404 || p.status == 409
	}
}

// GetOrder reads an order and takes its next step: it finalizes one that is ready and downloads the chain of one that
// is valid.
func (c *CA) GetOrder(ctx context.Context, placed pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	s, v, err := c.open(ctx, placed)
	if err == nil {
		err = s.refresh(ctx, &v)
	}
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	return s.reply(ctx, v)
}

// open prepares work on an order as the account; nothing of the order is read.
func (c *CA) open(ctx context.Context, placed pluginapi.PlacedOrder) (*session, view, error) {
	s, err := c.configured()
	if err != nil {
		return nil, view{}, err
	}
	state, err := decodeOrderState(placed.State)
	if err != nil {
		return nil, view{}, err
	}
	if !isHTTPS(placed.Reference) {
		return nil, view{}, pluginapi.Errorf(pluginapi.NotFound, "%q is not the address of an ACME order", clean(placed.Reference, maxWords))
	}
	// The account key is not changed here: a challenge that is published answers for the key it was made with.
	who, err := s.account(ctx, false)
	if err != nil {
		return nil, view{}, err
	}
	s.book.arrived(placed.Reference)
	return s, view{request: placed, state: state, who: who}, nil
}

// refresh reads the order anew.
func (s *session) refresh(ctx context.Context, v *view) error {
	var read lego.Order
	a, err := s.signed(ctx, v.who, v.request.Reference, nil, &read)
	if isProblem(err, "accountDoesNotExist") {
		// With its account the order is gone; placing the next one registers the account again.
		return pluginapi.Errorf(pluginapi.NotFound, "read the order: the CA does not know the account any more, nor its orders: %w", err)
	}
	if err != nil {
		return fail("read the order", err)
	}
	v.order, v.pace = read, a.pace()
	return nil
}

// lookSoon looks at an order that the CA was just set to work on, within the same call and where the CA named no other time: an
// order that is done then costs no further call. Without an answer the order stays as it is known: the next call looks again.
// The first look may be of another kind.
func (s *session) lookSoon(ctx context.Context, v *view, work *promptness, look func(context.Context, *view) error) {
	before, w := v.order.Status, work.begin()
	for v.pace == 0 && v.order.Status == before && w.next(ctx) {
		later := *v
		if look(ctx, &later) != nil {
			return
		}
		*v = later
		w.looked(v.order.Status != before)
		look = s.refresh
	}
}

// lookValidated looks whether the CA has validated an order. When it had validated the last one by then, the certificate is asked
// for at once: a client need only believe that the order is ready, and is told when it is not (RFC 8555 section 7.4). That
// saves most orders a request.
func (s *session) lookValidated(ctx context.Context, v *view) error {
	look, ahead := s.refresh, v.order.Finalize != "" && s.prompt.Load() && !s.pedantic.Load()
	if ahead {
		look = s.finalize
	}
	err := look(ctx, v)
	var p *problem
	if ahead && errors.As(err, &p) && p.refusal() && !p.tooFast() {
		s.pedantic.Store(true) // a CA that answers in another way may also do something else
		err = s.refresh(ctx, v)
	}
	if ahead && err == nil && v.order.Status == lego.StatusInvalid {
		s.pedantic.Store(true) // perhaps for having been asked too early, which costs one order then and not many
	}
	if err == nil {
		s.prompt.Store(v.order.Status != lego.StatusPending)
	}
	return err
}

// finalize sends the CSR (RFC 8555 section 7.4). An order that left the ready state meanwhile is read anew.
func (s *session) finalize(ctx context.Context, v *view) error {
	if !isHTTPS(v.order.Finalize) {
		return pluginapi.Errorf(pluginapi.Unavailable, "finalize the order: the CA gave no https address for it")
	}
	var done lego.Order
	a, err := s.signed(ctx, v.who, v.order.Finalize, lego.CSRMessage{Csr: base64.RawURLEncoding.EncodeToString(v.request.CSR)}, &done)
	switch {
	case err == nil:
		v.order, v.pace, v.finalizedNow = done, a.pace(), true
		if done.Status == lego.StatusProcessing {
			s.lookSoon(ctx, v, s.issuance, s.refresh)
		}
		return nil
	case isProblem(err, "orderNotReady"):
		return s.refresh(ctx, v)
	default:
		return fail("finalize the order", err)
	}
}

// csrKeyMatches reports whether a leaf is for the key of a CSR, of which nothing else is read here (RFC 2986 section 4.1).
func csrKeyMatches(csrDER []byte, leaf *x509.Certificate) bool {
	var csr struct {
		Info struct {
			Version      int
			Subject, Key asn1.RawValue
		}
	}
	_, err := asn1.Unmarshal(csrDER, &csr)
	return err == nil && bytes.Equal(csr.Info.Key.FullBytes, leaf.RawSubjectPublicKeyInfo)
}
