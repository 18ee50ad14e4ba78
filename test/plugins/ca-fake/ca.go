package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// challengePath is where the shop looks, as DigiCert does.
const challengePath = "/.well-known/pki-validation/fileauth.txt"

// waitingPace is when to look again at an order that waits for the shop or a person.
const waitingPace = 500 * time.Millisecond

// settings are the account's, without the secret.
type settings struct {
	BaseURL     string `json:"base_url"`
	DieBefore   string `json:"die_before"`
	CAAIdentity string `json:"caa_identity"`
	Blind       bool   `json:"blind"`
	Blab        bool   `json:"blab"`
}

// orderSettings are an order's.
type orderSettings struct {
	Product string `json:"product"`
}

// fakeCA implements the contract on the shop.
type fakeCA struct {
	shop  *shop
	blind bool
}

var _ interface {
	pluginapi.CA
	pluginapi.Preflighter
	pluginapi.OrderFinder
	pluginapi.OrderInspector
	pluginapi.OrderCanceler
	pluginapi.Revoker
} = (*fakeCA)(nil)

func (f *fakeCA) Describe(context.Context) (pluginapi.Description, error) {
	return pluginapi.Description{
		Name: "fake", Version: "test", Summary: "Orders from a shop that a test runs.",
		Abilities:       []pluginapi.Ability{pluginapi.AbilityReissue, pluginapi.AbilityRenew},
		ChallengeTypes:  []pluginapi.ChallengeType{pluginapi.ChallengeHTTP, pluginapi.ChallengeDNS},
		OrdersCostMoney: true, ReissueNames: pluginapi.ReissueAnyNames, PollInterval: waitingPace,
		AccountSettings: []pluginapi.Field{
			{Name: "base_url", Type: pluginapi.String, Required: true, Help: "Address of the shop."},
			{Name: "api_key", Type: pluginapi.String, Required: true, Secret: true, Help: "Key to the account at the shop."},
			{Name: "die_before", Type: pluginapi.String, Help: "File that names the exchange before which the plugin kills itself, once."},
			{Name: "caa_identity", Type: pluginapi.String, Help: "What the shop is called in CAA records; left out, it does not look at them."},
			{Name: "blab", Type: pluginapi.Boolean, Default: false, Help: "Write the API key to the plugin's output."},
			{Name: "blind", Type: pluginapi.Boolean, Default: false, Help: "Behave like a CA that cannot tell whether an order arrived."},
		},
		OrderSettings: []pluginapi.Field{
			{Name: "product", Type: pluginapi.String, Required: true, Help: "What to buy."},
		},
	}, nil
}

func (f *fakeCA) Configure(_ context.Context, account pluginapi.Account) (pluginapi.Configured, error) {
	var s settings
	if err := account.Settings.Decode(&s); err != nil {
		return pluginapi.Configured{}, err
	}
	if u, err := url.Parse(s.BaseURL); err != nil || u.Host == "" {
		return pluginapi.Configured{Findings: []pluginapi.Finding{ //nolint:nilerr // a mistake in the settings is a finding
			{Severity: pluginapi.Fault, Field: "base_url", Message: "is not an address"},
		}}, nil
	}
	if account.Settings.Secret("api_key").Empty() {
		return pluginapi.Configured{Findings: []pluginapi.Finding{
			{Severity: pluginapi.Fault, Field: "api_key", Message: "is missing"},
		}}, nil
	}
	if s.Blab {
		fmt.Fprintf(os.Stderr, "a careless line: api_key=%s\n", account.Settings.Secret("api_key").Reveal())
	}
	f.shop, f.blind = newShop(s, account.Settings.Secret("api_key")), s.Blind
	var configured pluginapi.Configured
	if s.CAAIdentity != "" {
		configured.CAAIdentifiers = []string{s.CAAIdentity}
	}
	return configured, nil
}

func (f *fakeCA) Preflight(ctx context.Context, _ []pluginapi.Settings) (pluginapi.PreflightReply, error) {
	var account struct{}
	return pluginapi.PreflightReply{}, f.shop.ask(ctx, "GET", "/account", nil, &account, false)
}

func (f *fakeCA) PlaceOrder(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	var s orderSettings
	if err := order.Settings.Decode(&s); err != nil {
		return pluginapi.OrderReply{}, err
	}
	in := newOrder{Key: order.IdempotencyKey, Kind: order.Kind.String(), Product: s.Product, CSR: order.CSR}
	for _, id := range order.Identifiers {
		in.Names = append(in.Names, id.Value)
	}
	if order.Previous != nil {
		in.Previous = order.Previous.Reference
	}
	return f.order(ctx, "POST", "/orders", in, true)
}

// order makes an exchange whose answer is an order.
func (f *fakeCA) order(ctx context.Context, method, path string, body any, paid bool) (pluginapi.OrderReply, error) {
	var o shopOrder
	if err := f.shop.ask(ctx, method, path, body, &o, paid); err != nil {
		return pluginapi.OrderReply{}, err
	}
	return reply(o, paid)
}

func reply(o shopOrder, paid bool) (pluginapi.OrderReply, error) {
	statuses := map[string]pluginapi.OrderStatus{
		"approval": pluginapi.PendingApproval, "pending": pluginapi.PendingValidation, "processing": pluginapi.Processing,
		"issued": pluginapi.Issued, "rejected": pluginapi.OrderRejected, "canceled": pluginapi.Canceled,
	}
	status, known := statuses[o.Status]
	if o.ID == "" || !known {
		kind := pluginapi.Unavailable
		if paid {
			kind = pluginapi.UnknownOutcome
		}
		return pluginapi.OrderReply{}, pluginapi.Errorf(kind, "the shop answers something that is no order")
	}
	out := pluginapi.Order{
		Reference: o.ID, Status: status, Detail: o.Detail, Chain: o.Chain, CoverageEnd: o.CoverageEnd,
		Price: &pluginapi.Price{Amount: o.Price, Currency: "EUR"}, Names: o.Names,
	}
	switch status {
	case pluginapi.PendingApproval:
		out.Action = &pluginapi.PersonAction{Who: "the shop's clerk", What: "approve the order"}
		out.LookAgainAfter = pluginapi.After(waitingPace)
	case pluginapi.PendingValidation:
		out.LookAgainAfter = pluginapi.After(waitingPace)
		for _, name := range o.Names {
			out.Authorizations = append(out.Authorizations, authorization(o, name))
		}
	case pluginapi.Processing:
		out.LookAgainAfter = pluginapi.After(0)
	}
	return pluginapi.OrderReply{Order: out}, nil
}

// authorization is what the shop wants to see for one name, in one of the places that commercial CAs look at.
func authorization(o shopOrder, name string) pluginapi.Authorization {
	a := pluginapi.Authorization{Identifier: name, Valid: slices.Contains(o.Proven, name)}
	base := strings.TrimPrefix(name, "*.")
	for _, proof := range o.Proofs {
		c := pluginapi.Challenge{ID: name + " " + proof, Identifier: base}
		switch proof {
		case "file":
			c.HTTP = &pluginapi.HTTPFile{Host: base, Path: challengePath, Body: o.Token}
		case "dnsauth":
			c.DNS = &pluginapi.DNSRecord{Name: "_dnsauth." + base, Type: pluginapi.TXT, Value: o.Token}
		case "apex":
			c.DNS = &pluginapi.DNSRecord{Name: base, Type: pluginapi.TXT, Value: o.Token}
		case "cname":
			c.DNS = &pluginapi.DNSRecord{Name: "_" + o.Token + "." + base, Type: pluginapi.CNAME, Value: "dcv.shop-ca.example"}
		default:
			c.Manual = &pluginapi.Manual{Instructions: "ask the shop what " + proof + " means"}
		}
		a.Challenges = append(a.Challenges, c)
	}
	return a
}

func (f *fakeCA) GetOrder(ctx context.Context, order pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	return f.order(ctx, "GET", "/orders/"+url.PathEscape(order.Reference), nil, false)
}

func (f *fakeCA) InspectOrder(ctx context.Context, reference string, _ []byte) (pluginapi.OrderReply, error) {
	return f.order(ctx, "GET", "/orders/"+url.PathEscape(reference)+"/state", nil, false)
}

func (f *fakeCA) RespondToChallenges(ctx context.Context, order pluginapi.PlacedOrder, _ []string) (pluginapi.OrderReply, error) {
	return f.order(ctx, "POST", "/orders/"+url.PathEscape(order.Reference)+"/validate", nil, false)
}

func (f *fakeCA) FindOrder(ctx context.Context, order pluginapi.OrderRequest, _ time.Time) (pluginapi.OrderReply, error) {
	if f.blind {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "the shop has no list of orders")
	}
	var found []shopOrder
	if err := f.shop.ask(ctx, "GET", "/orders?key="+url.QueryEscape(order.IdempotencyKey), nil, &found, false); err != nil {
		return pluginapi.OrderReply{}, err
	}
	if len(found) == 0 {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "the shop has no order with this key")
	}
	return reply(found[0], false)
}

func (f *fakeCA) CancelOrder(ctx context.Context, order pluginapi.PlacedOrder, _ string) (pluginapi.OrderReply, error) {
	return f.order(ctx, "POST", "/orders/"+url.PathEscape(order.Reference)+"/cancel", nil, false)
}

func (f *fakeCA) RevokeCertificate(ctx context.Context, in pluginapi.Revocation) (pluginapi.RevocationReply, error) {
	leaf, err := x509.ParseCertificate(in.Leaf)
	if err != nil {
		return pluginapi.RevocationReply{}, pluginapi.FieldErrorf("leaf", "%w", err)
	}
	var done struct{}
	err = f.shop.ask(ctx, "POST", "/certificates/"+leaf.SerialNumber.Text(16)+"/revoke", nil, &done, false)
	return pluginapi.RevocationReply{Detail: "revoked"}, err
}
