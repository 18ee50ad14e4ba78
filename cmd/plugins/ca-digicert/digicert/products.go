package digicert

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// products compares what is ordered with what is enabled.
func (p *preflight) products(ctx context.Context) error {
	list, err := p.client.Products(ctx, p.settings.container)
	if err != nil || len(list) == 0 {
		return p.passed("list the products", err)
	}
	list = slices.DeleteFunc(list, func(l certcentral.Product) bool { return l.Type != "" && l.Type != "ssl_certificate" })
	for at, o := range p.orders {
		name, validation := request.Product(o)
		switch name {
		case "":
		case "ssl": // DigiCert finds the product for each order
			p.plan(at, o, "what DigiCert picks", longest(list, validation))
		default:
			i := slices.IndexFunc(list, func(l certcentral.Product) bool { return string(l.NameID) == name })
			if i < 0 {
				p.found.FaultOf(at, "product", "%s is not enabled for the account; enabled are %s", name, fewer(list))
				continue
			}
			p.product(at, o, list[i])
		}
	}
	return nil
}

// longest is a stand-in for the product that DigiCert picks for a kind of validation: the one with the longest plans.
func longest(list []certcentral.Product, validation string) certcentral.Product {
	var most certcentral.Product
	for _, l := range list {
		if strings.EqualFold(string(l.ValidationType), validation) && l.MostYears() > most.MostYears() {
			most = l
		}
	}
	return most
}

// product compares an order with what the account has agreed upon for its product.
func (p *preflight) product(at int, o pluginapi.Settings, l certcentral.Product) {
	name := string(l.NameID)
	if next := l.Replacement; next != "" && string(next) != name {
		p.once(at, pluginapi.Warning, "product", "DigiCert is replacing %s by %s", name, next)
	}
	p.plan(at, o, name, l)
	container, _ := o.Values["container"].(map[string]any)
	if id := certcentral.ID(number(container["id"])); id != 0 && len(l.Containers) > 0 && !slices.Contains(l.Containers, id) {
		p.found.FaultOf(at, "container.id", "%s cannot be ordered in container %s; it can be in %s", name, id, joined(l.Containers))
	}
	certificate, _ := o.Values["certificate"].(map[string]any)
	var issuers, hashes []string
	for _, c := range l.CACerts {
		issuers = append(issuers, string(c.ID))
	}
	for _, h := range l.Hashes.Allowed {
		hashes = append(hashes, string(h.ID))
	}
	for field, allowed := range map[string][]string{"ca_cert_id": issuers, "signature_hash": hashes} {
		is := func(a string) bool { return strings.EqualFold(a, text(certificate[field])) }
		if text(certificate[field]) != "" && len(allowed) > 0 && !slices.ContainsFunc(allowed, is) {
			p.found.FaultOf(at, "certificate."+field, "%s is not allowed for %s in this account; allowed are %s", text(certificate[field]), name, strings.Join(allowed, ", "))
		}
	}
}

// plan compares the length of a plan with those that are sold.
// (Not confirmed by DigiCert's pages: that an account without Multi-year Plans shows as one whose longest plan is a year.)
func (p *preflight) plan(at int, o pluginapi.Settings, name string, l certcentral.Product) {
	plan, ok := request.PlanOf(o, p.now())
	most := l.MostYears()
	_, validation := request.Product(o)
	switch {
	case !ok || most == 0:
	case plan.Years > most:
		p.found.FaultOf(at, plan.Path, "the account buys %s for at most %s", name, years(most))
	case strings.HasSuffix(plan.Path, ".years") && len(l.OrderYears) > 0 && !slices.Contains(l.OrderYears, certcentral.ID(plan.Years)):
		p.found.FaultOf(at, plan.Path, "the account buys %s for %s years, not for %d", name, joined(l.OrderYears), plan.Years)
	case most == 1 && validation != request.Private && plan.Days > int64(request.LongestLifetime(p.now())):
		p.once(at, pluginapi.Info, plan.Path, "the account buys %s for at most a year: if it has no Multi-year Plans, an order ends with its certificate after %d days, there is nothing to reissue, and every renewal is a purchase; ask DigiCert for Multi-year Plans",
			name, request.LongestLifetime(p.now()))
	}
}

// once notes something about an order that was not said of another one.
func (p *preflight) once(at int, severity pluginapi.Severity, field, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if !slices.ContainsFunc(p.found, func(f pluginapi.Finding) bool { return f.Message == message }) {
		p.found.AddOf(at, severity, field, "%s", message)
	}
}

func years(n int64) string {
	if n == 1 {
		return "a year"
	}
	return fmt.Sprintf("%d years", n)
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

func joined(ids []certcentral.ID) string {
	var list []string
	for _, id := range ids {
		list = append(list, id.String())
	}
	return strings.Join(list, ", ")
}

// fewer names the first products of a list.
func fewer(list []certcentral.Product) string {
	const most = 20
	var names []string
	for _, l := range list {
		names = append(names, string(l.NameID))
	}
	slices.Sort(names)
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return orElse(strings.Join(names, ", "), "none for TLS")
}
