package digicert

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// Preflight looks whether the key is good and may do what is asked of it, whether the products are enabled and the
// organizations valid, and what money there is. It changes nothing.
func (c *CA) Preflight(ctx context.Context, orders []pluginapi.Settings) (pluginapi.PreflightReply, error) {
	s, err := c.up.Get()
	if err != nil {
		return pluginapi.PreflightReply{}, err
	}
	p := &preflight{session: s}
	p.orders, p.found = s.checkOrders(orders)
	if pluginapi.HasFault(p.found) {
		return pluginapi.PreflightReply{Findings: p.found}, nil // to be put right first, whatever DigiCert says
	}
	good, err := p.key(ctx)
	if err != nil {
		return pluginapi.PreflightReply{}, err
	}
	if good {
		for _, look := range []func(context.Context) error{p.products, p.organizations, p.customFields, p.balance} {
			if err := look(ctx); err != nil {
				return pluginapi.PreflightReply{}, err
			}
		}
	}
	return pluginapi.PreflightReply{Findings: p.found}, nil
}

var _ pluginapi.OrderChecker = (*CA)(nil)

// CheckOrders looks at the settings of orders by the rules of DigiCert's pages, without asking DigiCert.
func (c *CA) CheckOrders(_ context.Context, orders []pluginapi.Settings) ([]pluginapi.Finding, error) {
	s, err := c.up.Get()
	if err != nil {
		return nil, err
	}
	_, found := s.checkOrders(orders)
	return found, nil
}

// checkOrders fills in what the account gives to orders, and looks at what they are then.
func (s *session) checkOrders(orders []pluginapi.Settings) (filled []pluginapi.Settings, found []pluginapi.Finding) {
	for i, o := range orders {
		o = s.orderSettings(o)
		filled = append(filled, o)
		for _, f := range request.Check(o) {
			f.Order = i + 1
			found = append(found, f)
		}
	}
	return filled, found
}

type preflight struct {
	*session
	orders []pluginapi.Settings
	found  restca.Findings
}

// passed turns the failure of a look into a finding where that is an answer: a key may lack the right to look.
func (p *preflight) passed(what string, err error) error {
	if err == nil {
		return nil
	}
	failure := restca.Fail(what, err)
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

// key asks whose the key is. Without a good one there is no use in asking on.
func (p *preflight) key(ctx context.Context) (bool, error) {
	me, err := p.client.Me(ctx)
	if err != nil {
		failure := restca.Fail("log in to "+p.client.Host(), err)
		switch failure.Kind {
		case pluginapi.Unauthorized:
			if no := restca.RefusalOf(err); no != nil && certcentral.Has(no, "access_denied|missing_permission") {
				p.found.Add(pluginapi.Warning, "api_key", "the key is known, but may not read whose it is; its role is not checked")
				return true, nil
			}
			p.found.Fault("api_key", "%s", failure.Message)
			return false, nil
		case pluginapi.NotFound, pluginapi.InvalidRequest:
			p.found.Fault("base_url", "%s", failure.Message)
			return false, nil
		default:
			return false, failure
		}
	}
	var roles []string
	for _, r := range me.Roles {
		roles = append(roles, string(r.Name))
	}
	p.found.Add(pluginapi.Info, "api_key", "the key is that of %s (%s)", orElse(string(me.Username), "user "+me.ID.String()), orElse(strings.Join(roles, ", "), "no roles told"))
	p.role(roles)
	return true, nil
}

// role says what the role of the key's user keeps the account from.
func (p *preflight) role(roles []string) {
	skips := p.settings.skipApproval != nil && *p.settings.skipApproval || slices.ContainsFunc(p.orders, request.SkipApproval)
	may := slices.ContainsFunc(roles, func(r string) bool {
		return strings.EqualFold(r, "Administrator") || strings.EqualFold(r, "Manager")
	})
	switch {
	case len(roles) == 0 || may:
	case skips:
		p.found.Add(pluginapi.Warning, "skip_approval", "only administrators and managers may skip approval, and the key's user is neither: orders, reissues and revocations will wait for a person; change the user's role, or leave skip_approval out")
	default:
		p.found.Add(pluginapi.Info, "skip_approval", "orders, reissues and revocations will wait for a person's approval, unless the account approves them by itself: the key's user is no administrator or manager")
	}
}

// organizations looks at those that orders name.
func (p *preflight) organizations(ctx context.Context) error {
	looked := map[certcentral.ID]bool{}
	for _, o := range p.orders {
		_, validation := request.Product(o)
		organization, _ := o.Values["organization"].(map[string]any)
		id := certcentral.ID(number(organization["id"]))
		if id == 0 || looked[id] || validation == request.DV {
			continue
		}
		looked[id] = true
		if err := p.organization(ctx, id, validation); err != nil {
			return err
		}
	}
	return nil
}

func (p *preflight) organization(ctx context.Context, id certcentral.ID, validation string) error {
	what := "read organization " + id.String()
	o, err := p.client.Organization(ctx, id)
	switch {
	case absent(err):
		p.found.Fault("organization_id", "the account has no organization %s that the key can see", id)
		return nil
	case err != nil:
		return p.passed(what, err)
	case o.Status != "" && o.Status != "active":
		p.found.Fault("organization_id", "organization %s (%s) is %s; activate it, or name another", id, o.Name, o.Status)
		return nil
	}
	if validation != request.OV && validation != request.EV {
		return nil
	}
	list, err := p.client.OrganizationValidations(ctx, id)
	if err != nil {
		return p.passed(what, err)
	}
	now := p.now()
	for _, v := range list {
		if string(v.Type) == validation && v.Status == "active" && (v.ValidatedUntil.IsZero() || v.ValidatedUntil.After(now)) {
			p.found.Add(pluginapi.Info, "organization_id", "organization %s (%s) is validated for %s", id, o.Name, strings.ToUpper(validation))
			return nil
		}
	}
	p.found.Add(pluginapi.Warning, "organization_id", "organization %s (%s) is not validated for %s: orders will wait until DigiCert has done so; submit it for validation in the console", id, o.Name, strings.ToUpper(validation))
	return nil
}

// customFields looks whether orders set what the account demands.
func (p *preflight) customFields(ctx context.Context) error {
	fields, err := p.client.CustomFields(ctx)
	if err != nil {
		return p.passed("list the account's custom fields", err)
	}
	for _, f := range fields {
		if !f.Required || !f.Active {
			continue
		}
		for at, o := range p.orders {
			if !hasCustomField(o, f.ID) {
				p.found.FaultOf(at, "custom_fields", "the account demands the custom field %s (%s) on every order: add { metadata_id = %s, value = \"...\" }", f.ID, f.Label, f.ID)
			}
		}
	}
	return nil
}

func hasCustomField(o pluginapi.Settings, id certcentral.ID) bool {
	list, _ := o.Values["custom_fields"].([]any)
	return slices.ContainsFunc(list, func(entry any) bool {
		e, _ := entry.(map[string]any)
		return certcentral.ID(number(e["metadata_id"])) == id
	})
}

// balance tells the account's money, where the key may see it.
func (p *preflight) balance(ctx context.Context) error {
	b, err := p.client.Balance(ctx)
	if err != nil {
		return p.passed("read the account's balance", err)
	}
	if b.Balance != "" {
		p.found.Add(pluginapi.Info, "", "the account's balance is %s", strings.TrimSpace(string(b.Balance)+" "+string(b.Currency)))
	}
	return nil
}
