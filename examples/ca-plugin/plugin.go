package main

import (
	"context"
	"net/url"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// notary translates between certbridged's contract and the Notary's API. It keeps nothing but its settings: whatever must
// last is the Notary's, and the order's reference leads to it.
type notary struct {
	client  *client
	product string
}

// The optional parts of the contract that the Notary's API can serve.
var _ interface {
	pluginapi.CA
	pluginapi.Preflighter
	pluginapi.OrderFinder
	pluginapi.OrderCanceler
} = (*notary)(nil)

func (n *notary) Describe(context.Context) (pluginapi.Description, error) {
	return pluginapi.Description{
		Name: "notary", Version: "1.0.0", Summary: "The Notary, a CA that exists for this example.",
		OrdersCostMoney: true, FindOrderSettle: 2 * time.Second, PollInterval: time.Second,
		AccountSettings: []pluginapi.Field{
			{Name: "base_url", Type: pluginapi.String, Required: true, Help: "Address of the Notary's API."},
			{Name: "token", Type: pluginapi.String, Required: true, Secret: true, Help: "Access token from the Notary's console."},
		},
		OrderSettings: []pluginapi.Field{
			{Name: "product", Type: pluginapi.String, Default: "plain", Allowed: []any{"plain", "sealed"}, Help: "What to buy."},
		},
	}, nil
}

func (n *notary) Configure(_ context.Context, account pluginapi.Account) (pluginapi.Configured, error) {
	var settings struct {
		BaseURL string `json:"base_url"`
	}
	if err := account.Settings.Decode(&settings); err != nil {
		return pluginapi.Configured{}, err
	}
	var out pluginapi.Configured
	fault := func(field, message string) {
		out.Findings = append(out.Findings, pluginapi.Finding{Severity: pluginapi.Fault, Field: field, Message: message})
	}
	if u, err := url.Parse(settings.BaseURL); err != nil || u.Host == "" {
		fault("base_url", "is missing or no address; take it from the Notary's console")
	}
	token := account.Settings.Secret("token")
	if token.Empty() {
		fault("token", "is missing; make one in the Notary's console")
	}
	n.client = newClient(settings.BaseURL, token)
	return out, nil
}

func (n *notary) Preflight(ctx context.Context, orders []pluginapi.Settings) (pluginapi.PreflightReply, error) {
	for _, settings := range orders {
		if _, err := product(settings); err != nil {
			return pluginapi.PreflightReply{}, err
		}
	}
	return pluginapi.PreflightReply{}, n.client.ping(ctx)
}

func (n *notary) PlaceOrder(ctx context.Context, r pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	what, err := product(r.Settings)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	if r.Kind != pluginapi.New {
		return pluginapi.OrderReply{}, pluginapi.FieldErrorf("order.kind", "the Notary sells new certificates only")
	}
	p := purchase{Key: r.IdempotencyKey, Product: what, CSR: r.CSR}
	for _, id := range r.Identifiers {
		p.Names = append(p.Names, id.Value)
	}
	return reply(n.client.buy(ctx, p))
}

// FindOrder asks by idempotency key, which the Notary keeps with every order: its no is a no once it has settled.
func (n *notary) FindOrder(ctx context.Context, r pluginapi.OrderRequest, _ time.Time) (pluginapi.OrderReply, error) {
	return reply(n.client.byKey(ctx, r.IdempotencyKey))
}

func (n *notary) GetOrder(ctx context.Context, o pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	return reply(n.client.byID(ctx, o.Reference))
}

// RespondToChallenges has nothing to tell: the Notary never asks for validation.
func (n *notary) RespondToChallenges(ctx context.Context, o pluginapi.PlacedOrder, _ []string) (pluginapi.OrderReply, error) {
	return n.GetOrder(ctx, o)
}

func (n *notary) CancelOrder(ctx context.Context, o pluginapi.PlacedOrder, _ string) (pluginapi.OrderReply, error) {
	return reply(n.client.cancel(ctx, o.Reference))
}

func product(s pluginapi.Settings) (string, error) {
	in := struct {
		Product string `json:"product"`
	}{Product: "plain"}
	if err := s.Decode(&in); err != nil {
		return "", err
	}
	if in.Product != "plain" && in.Product != "sealed" {
		return "", pluginapi.FieldErrorf("product", "%q is neither plain nor sealed", in.Product)
	}
	return in.Product, nil
}

// reply takes both results of a client's call.
func reply(o order, err error) (pluginapi.OrderReply, error) {
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	out := pluginapi.Order{
		Reference: o.ID, Detail: "the Notary says: " + o.Status, CoverageEnd: o.PaidTill,
		Price: &pluginapi.Price{Amount: o.Price, Currency: "EUR"},
	}
	switch o.Status {
	case "pending":
		out.Status = pluginapi.Processing
	case "issued":
		out.Status, out.Chain = pluginapi.Issued, o.Chain
	case "canceled":
		out.Status = pluginapi.Canceled
	case "refused":
		out.Status = pluginapi.OrderRejected
	default:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "order %s has a status this plugin does not know: %s", o.ID, o.Status)
	}
	return pluginapi.OrderReply{Order: out}, nil
}
