package checkup

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// ordersAtOnce is how many orders a plugin is asked about at once. Each may have dozens of findings, and the number of
// those in one reply is bounded.
const ordersAtOnce = 20

// Orders asks a plugin, which is described by d, about the order settings of certificates, as far as they and those of the
// account are what it describes: of others Settings has told. Nothing beyond this machine is reached: a plugin that does not
// promise that is not asked, and nothing is found. The error says why it did not answer.
func Orders(
	ctx context.Context, c *config.Config, account string, d pluginapi.Description, a pluginapi.OrderChecker, certs []config.Certificate,
) ([]Remark, error) {
	if !d.Has(pluginapi.AbilityCheckOrders) || !configurable(c, account, d) {
		return nil, nil
	}
	certs = slices.DeleteFunc(slices.Clone(certs), func(cert config.Certificate) bool {
		return pluginapi.HasFault(pluginapi.CheckSettings(d.OrderSettings, cert.Order))
	})
	var remarks []Remark
	for some := range slices.Chunk(certs, ordersAtOnce) {
		findings, err := a.CheckOrders(ctx, orderSettings(some))
		if err != nil {
			return remarks, fmt.Errorf("check the order settings: %w", err)
		}
		remarks = append(remarks, placeOrders(c, account, some, findings)...)
	}
	return once(remarks), nil
}

func orderSettings(certs []config.Certificate) []pluginapi.Settings {
	var list []pluginapi.Settings
	for _, cert := range certs {
		list = append(list, cert.Order)
	}
	return list
}

// placeOrders says where findings about the orders of certificates, or about their account, stand.
func placeOrders(c *config.Config, account string, certs []config.Certificate, findings []pluginapi.Finding) []Remark {
	var remarks []Remark
	for _, f := range findings {
		if f.Order > 0 && f.Order <= len(certs) {
			remarks = append(remarks, OrderRemark(c, certs[f.Order-1], f))
		} else {
			remarks = append(remarks, place(c, []pluginapi.Finding{f}, "ca", account, "settings")...)
		}
	}
	return remarks
}

// OrderRemark places a finding about the order settings of a certificate: with the certificate, or with its account where the
// setting is one of the account's defaults.
func OrderRemark(c *config.Config, cert config.Certificate, f pluginapi.Finding) Remark {
	path := []string{"certificate", cert.Name, "order"}
	if byDefault(c.CA[cert.CA].OrderDefaults, cert.Order, f.Field) {
		path = []string{"ca", cert.CA, "settings", "order"}
	}
	return place(c, []pluginapi.Finding{f}, path...)[0]
}

// byDefault reports whether an order has a setting from its account's defaults.
func byDefault(defaults, order pluginapi.Settings, field string) bool {
	if field == "" {
		return false
	}
	if secret, ok := defaults.Secrets[field]; ok {
		return order.Secrets[field] == secret
	}
	was, is := any(defaults.Values), any(order.Values)
	for _, key := range segments(field) {
		inDefaults, table := was.(map[string]any)
		if !table {
			break // a list is written as a whole
		}
		value, ok := inDefaults[key]
		if !ok {
			return false
		}
		inOrder, _ := is.(map[string]any)
		was, is = value, inOrder[key]
	}
	return reflect.DeepEqual(was, is)
}

// segments takes the path of a setting apart: "fields[2].value" is fields, 2 and value.
func segments(field string) []string {
	return strings.FieldsFunc(field, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// once leaves out what has been said already of the same line.
func once(remarks []Remark) []Remark {
	type said struct {
		words    string
		severity pluginapi.Severity
	}
	seen := map[said]bool{}
	return slices.DeleteFunc(remarks, func(r Remark) bool {
		s := said{r.String(), r.Severity}
		before := seen[s]
		seen[s] = true
		return before
	})
}
