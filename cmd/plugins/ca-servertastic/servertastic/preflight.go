package servertastic

import (
	"context"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// CheckOrders looks at the settings of orders by the rules of ServerTastic's pages, without asking ServerTastic.
func (c *CA) CheckOrders(_ context.Context, orders []pluginapi.Settings) ([]pluginapi.Finding, error) {
	s, err := c.up.Get()
	if err != nil {
		return nil, err
	}
	return s.check(orders), nil
}

func (s *session) check(orders []pluginapi.Settings) (out []pluginapi.Finding) {
	tokens := map[string]int{}
	for i, o := range orders {
		if token, given := givenToken(pluginapi.OrderRequest{Kind: pluginapi.New, Settings: o}); given {
			if tokens[token.Reveal()]++; tokens[token.Reveal()] > 1 {
				out = append(out, pluginapi.Finding{Severity: pluginapi.Fault, Order: i + 1, Field: request.SecretToken, Message: "is that of another certificate's order, too: an order is for one certificate; it belongs into that certificate's own order settings alone"})
			}
		}
		for _, f := range append(request.Check(o), request.CheckNaming(o, s.settings.wireNames)...) {
			f.Order = i + 1
			out = append(out, f)
		}
	}
	return out
}

// Preflight looks whether the key is good, the products are on ServerTastic's list, the account has the points for them,
// and tokens that the settings bring along are known. It changes nothing.
func (c *CA) Preflight(ctx context.Context, orders []pluginapi.Settings) (pluginapi.PreflightReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.PreflightReply{}, err
	}
	p := &preflight{session: s, orders: orders, found: s.check(orders)}
	if pluginapi.HasFault(p.found) {
		return pluginapi.PreflightReply{Findings: p.found}, nil // to be put right first, whatever ServerTastic says
	}
	account, good, err := p.key(ctx)
	if err != nil {
		return pluginapi.PreflightReply{}, err
	}
	if good {
		if err := p.products(ctx, account); err != nil {
			return pluginapi.PreflightReply{}, err
		}
		if err := p.tokens(ctx); err != nil {
			return pluginapi.PreflightReply{}, err
		}
	}
	return pluginapi.PreflightReply{Findings: p.found}, nil
}

type preflight struct {
	*session
	orders []pluginapi.Settings
	found  restca.Findings
}

// key reads the account, which takes a good key.
func (p *preflight) key(ctx context.Context) (ordertoken.Account, bool, error) {
	account, err := p.client.Account(ctx)
	if err != nil {
		failure := restca.Fail("read the account at "+p.client.Host(), err)
		switch failure.Kind {
		case pluginapi.Unauthorized:
			p.found.Fault("api_key", "%s", failure.Message)
			return account, false, nil
		case pluginapi.NotFound, pluginapi.InvalidRequest:
			p.found.Fault("base_url", "%s", failure.Message)
			return account, false, nil
		default:
			return account, false, failure
		}
	}
	p.found.Add(pluginapi.Info, "api_key", "the key is good; the account has %s points", account.Points)
	return account, true, nil
}

// products compares what is ordered with ServerTastic's list and with the account's points.
func (p *preflight) products(ctx context.Context, account ordertoken.Account) error {
	list, err := p.client.Products(ctx)
	if err != nil {
		failure := restca.Fail("list the products", err)
		if failure.Kind == pluginapi.Unavailable || failure.Kind == pluginapi.RateLimited {
			return failure
		}
		p.found.Add(pluginapi.Info, "", "could not look: %s", failure.Message)
		return nil
	}
	have, known := points(string(account.Points))
	for at, o := range p.orders {
		product := request.ProductOf(o)
		i := slices.IndexFunc(list, func(l ordertoken.Product) bool { return string(l.Code) == product.Code })
		if i < 0 {
			p.found.FaultOf(at, "st_product_code", "%s is not on ServerTastic's list of products; there are %s", product.Code, codes(list))
			continue
		}
		l := list[i]
		if v := strings.ToLower(string(l.Validation)); slices.Contains([]string{request.DV, request.OV, request.EV}, v) && v != product.Validation {
			p.found.FaultOf(at, "validation", "ServerTastic validates %s as %s, and it is taken for %s: set validation = %q", product.Code, strings.ToUpper(v), strings.ToUpper(product.Validation), v)
		}
		if n, ok := request.Count(string(l.MaxServers)); ok && n > 0 {
			if asked, _ := servers(o); asked > n {
				p.found.FaultOf(at, "server_count", "%s is for at most %d servers", product.Code, n)
			}
		}
		price, priced := points(string(l.Points))
		switch {
		case !priced:
		case known && have < price:
			p.found.AddOf(at, pluginapi.Warning, "st_product_code", "%s costs %s points, and the account has %s: the next order would be refused; add points", product.Code, l.Points, account.Points)
		default:
			p.found.AddOf(at, pluginapi.Info, "st_product_code", "%s costs %s points", product.Code, l.Points)
		}
	}
	return nil
}

func servers(o pluginapi.Settings) (int, bool) {
	switch n := o.Values["server_count"].(type) {
	case int64:
		return int(n), true
	case float64:
		return int(n), true
	default:
		return 1, false
	}
}

// tokens reads the orders of tokens that the settings bring along.
func (p *preflight) tokens(ctx context.Context) error {
	for at, o := range p.orders {
		token, given := givenToken(pluginapi.OrderRequest{Kind: pluginapi.New, Settings: o})
		if !given {
			continue
		}
		r, err := p.client.Review(ctx, token)
		if err == nil {
			p.found.AddOf(at, pluginapi.Info, request.SecretToken, "is the token of order %s (%s), which is %q; it is of use for the first order of a certificate alone", orElse(r.OrderID, r.Reference), r.Product, r.Told)
			continue
		}
		switch failure := restca.Fail("read the order of order_token", err); failure.Kind {
		case pluginapi.Unavailable, pluginapi.RateLimited:
			return failure
		default:
			p.found.FaultOf(at, request.SecretToken, "ServerTastic does not know it: %s", failure.Message)
		}
	}
	return nil
}
