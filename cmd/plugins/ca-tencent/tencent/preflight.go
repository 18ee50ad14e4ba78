package tencent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/request"
	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/sslapi"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// CheckOrders looks at the settings of orders by the rules of Tencent's pages, without asking Tencent.
func (c *CA) CheckOrders(_ context.Context, orders []pluginapi.Settings) ([]pluginapi.Finding, error) {
	s, err := c.up.Get()
	if err != nil {
		return nil, err
	}
	return s.checkOrders(orders), nil
}

func (s *session) checkOrders(orders []pluginapi.Settings) []pluginapi.Finding {
	var found []pluginapi.Finding
	together := request.CheckTogether(orders)
	for i, o := range orders {
		list := request.Check(o, s.settings.tagKey)
		if f, ok := together[i]; ok {
			list = append(list, f)
		}
		for _, f := range list {
			f.Order = i + 1
			found = append(found, f)
		}
	}
	return found
}

// Preflight looks whether the key is good and may read certificates, and whether the certificates, companies and managers
// that orders name are there. It changes nothing.
func (c *CA) Preflight(ctx context.Context, orders []pluginapi.Settings) (pluginapi.PreflightReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.PreflightReply{}, err
	}
	p := &preflight{session: s, orders: orders, found: s.checkOrders(orders)}
	if pluginapi.HasFault(p.found) {
		return pluginapi.PreflightReply{Findings: p.found}, nil // to be put right first, whatever Tencent says
	}
	good, err := p.key(ctx)
	if err != nil {
		return pluginapi.PreflightReply{}, err
	}
	if good {
		for _, look := range []func(context.Context) error{p.named, p.companies} {
			if err := look(ctx); err != nil {
				return pluginapi.PreflightReply{}, err
			}
		}
	}
	return pluginapi.PreflightReply{Findings: p.found}, nil
}

type preflight struct {
	*session
	orders []pluginapi.Settings
	found  restca.Findings
}

// key asks for the newest certificates. Without a good key there is no use in asking on.
func (p *preflight) key(ctx context.Context) (bool, error) {
	list, _, err := p.client.List(ctx, sslapi.Filter{FilterSource: sslapi.Purchases}, 0)
	if err != nil {
		failure := sslapi.Fail("list the certificates at "+p.client.Host(), err)
		switch failure.Kind {
		case pluginapi.Unauthorized:
			field := failure.Field
			if field == "" {
				field = "secret_id"
			}
			p.found.Fault(field, "%s", failure.Message)
			return false, nil
		case pluginapi.NotFound, pluginapi.InvalidRequest:
			p.found.Fault("base_url", "%s", failure.Message)
			return false, nil
		default:
			return false, failure
		}
	}
	p.found.Add(pluginapi.Info, "secret_id", "the key is good, and may list certificates; whether it may buy, and whether the balance suffices, shows at the first order")
	p.waiting(list)
	return true, nil
}

// waiting names certificates that are paid and wait for their materials: who forgets them buys twice.
func (p *preflight) waiting(newest []sslapi.Certificate) {
	var ids, own []string
	for _, c := range newest {
		marked := slices.ContainsFunc(c.Tags, func(t sslapi.Tag) bool { return string(t.Key) == p.settings.tagKey })
		words := fmt.Sprintf("%s (%s)", c.ID, productWords(string(c.PackageType)))
		switch {
		case !c.Is(sslapi.ToSubmit):
		case marked:
			own = append(own, words)
		default:
			ids = append(ids, words)
		}
	}
	if len(own) > 0 {
		p.found.Add(pluginapi.Info, "", "bought by certbridged, paid, and waiting for materials: %s; unless an order here is for it (certbridged orders), as after a loss of its state, name it by cert_id instead of buying again", list(own))
	}
	if len(ids) > 0 {
		p.found.Add(pluginapi.Info, "", "paid, and waiting for materials: %s; to use one instead of buying, name it by cert_id", list(ids))
	}
}

func productWords(packageType string) string {
	var id int64
	if _, err := fmt.Sscan(packageType, &id); err != nil {
		return "product " + restca.Clean(packageType, 20)
	}
	return request.ProductName(id)
}

// named looks at the certificates that orders use instead of buying.
func (p *preflight) named(ctx context.Context) error {
	for i, o := range p.orders {
		id := request.CertID(o)
		if id == "" {
			continue
		}
		c, err := p.client.Certificate(ctx, id)
		switch {
		case sslapi.Has(err, notFound):
			p.found.FaultOf(i, request.SettingCertID, "the account has no certificate %s", id)
		case err != nil:
			if err := p.passed("read certificate "+id, err); err != nil {
				return err
			}
		case !c.Is(sslapi.ToSubmit, sslapi.ReviewFailed, sslapi.Canceled):
			p.found.AddOf(i, pluginapi.Warning, request.SettingCertID, "certificate %s is %s: the next purchase fails until cert_id is removed", id, c.Stands())
		case c.PackageType != "" && string(c.PackageType) != fmt.Sprint(request.ProductID(o)):
			p.found.FaultOf(i, request.SettingCertID, "certificate %s is of %s: set ProductId = %s", id, productWords(string(c.PackageType)), c.PackageType)
		}
	}
	return nil
}

// companies looks at the companies and managers that orders name.
func (p *preflight) companies(ctx context.Context) error {
	for i, o := range p.orders {
		company, manager := request.Company(o)
		if company == 0 {
			continue
		}
		there, err := p.client.Company(ctx, company)
		switch {
		case err != nil:
			if err := p.passed(fmt.Sprintf("read company %d", company), err); err != nil {
				return err
			}
			continue
		case !there:
			p.found.FaultOf(i, "CompanyId", "the account has no company %d", company)
			continue
		}
		if manager == 0 {
			continue
		}
		if err := p.manager(ctx, i, company, manager); err != nil {
			return err
		}
	}
	return nil
}

func (p *preflight) manager(ctx context.Context, order int, company, manager int64) error {
	list, err := p.client.Managers(ctx, company)
	if err != nil {
		return p.passed(fmt.Sprintf("list the managers of company %d", company), err)
	}
	i := slices.IndexFunc(list, func(m sslapi.Manager) bool { return int64(m.ID) == manager })
	if i < 0 {
		p.found.FaultOf(order, "ManagerId", "company %d has no manager %d", company, manager)
		return nil
	}
	switch status := strings.ToLower(string(list[i].Status)); status {
	case "ok", "":
	case "expiring":
		p.found.AddOf(order, pluginapi.Warning, "ManagerId", "the review of manager %d is about to expire: have it renewed in the console", manager)
	default:
		p.found.AddOf(order, pluginapi.Warning, "ManagerId", "manager %d is not reviewed (%s): orders will wait for that", manager, restca.Clean(status, 40))
	}
	return nil
}

// passed turns the failure of a look into a finding where that is an answer: a key may lack the right to look, and the
// host the action.
func (p *preflight) passed(what string, err error) error {
	failure := sslapi.Fail(what, err)
	switch failure.Kind {
	case pluginapi.RateLimited, pluginapi.Unavailable:
		var odd *restca.Garbage
		if !errors.As(err, &odd) {
			return failure
		}
	}
	p.found.Add(pluginapi.Info, "", "could not look: %s", failure.Message)
	return nil
}
