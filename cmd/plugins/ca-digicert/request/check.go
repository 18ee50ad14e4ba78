package request

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Check returns all that is wrong with order settings, and what deserves a look. A Fault keeps them from being sent.
// Paths are those of the order settings, with [N] for the elements of lists. No finding shows a secret.
func Check(s pluginapi.Settings) []pluginapi.Finding { return check(s, time.Now()) }

func check(s pluginapi.Settings, now time.Time) []pluginapi.Finding {
	r := &report{settings: s, at: endpointOf(s), now: now}
	r.shape()
	r.values("", table(), s.Values)
	r.product()
	r.pages()
	r.plan()
	r.certificate()
	r.life()
	r.payment()
	r.control()
	r.organization()
	r.handling()
	slices.SortStableFunc(r.findings, func(a, b pluginapi.Finding) int {
		return cmp.Or(strings.Compare(a.Field, b.Field), cmp.Compare(b.Severity, a.Severity), strings.Compare(a.Message, b.Message))
	})
	return slices.Compact(r.findings)
}

// shape compares with the schema, and says more than the schema can where there is more to say.
func (r *report) shape() {
	computed := map[string]string{}
	for _, row := range rows() {
		if row.computed != "" {
			computed[row.path] = row.computed
		}
	}
	for _, f := range pluginapi.CheckSettings(Fields(), r.settings) {
		switch reason, isComputed := computed[f.Field]; {
		case isComputed:
			f.Message = "cannot be set, remove it: it is " + reason
		case f.Field == "product" && r.has("product.type_hint"):
			f.Message = `is the name of the endpoint: write product = "ssl" and product_type_hint = "..."`
		case f.Field == "credit_card" && r.has("credit_card"):
			f.Message = "wants a table of secrets: number, expiration_month, expiration_year, cvv, cardholder_name" // not what stands there
		}
		r.findings = append(r.findings, f)
	}
}

// values looks at each value of the right type by itself.
func (r *report) values(at string, list []field, values map[string]any) {
	for _, f := range settable(list) {
		path := join(at, f.name)
		if f.secret {
			if s := r.settings.Secret(path); !s.Empty() && f.test != nil {
				f.test(r, path, s.Reveal())
			}
			continue
		}
		value, given := values[f.name]
		if f.kind == pluginapi.Table {
			sub, ok := value.(map[string]any)
			if ok || !given {
				r.values(path, f.fields, sub)
			}
			continue
		}
		if !given || !r.fits(f, value) {
			continue
		}
		if f.deprecated != "" {
			r.warn(path, "%s", f.deprecated)
		}
		if f.test != nil {
			f.test(r, path, value)
		}
		r.elements(path, f, value)
	}
}

// elements looks at the elements of a list.
func (r *report) elements(path string, f field, value any) {
	list, _ := value.([]any)
	for i, e := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if sub, ok := e.(map[string]any); ok && f.fields != nil {
			r.values(at, f.fields, sub)
		}
	}
}

// fits reports whether the schema found the value to be of the field's type.
func (r *report) fits(f field, value any) bool {
	switch f.kind {
	case pluginapi.String:
		_, ok := value.(string)
		return ok
	case pluginapi.Integer:
		_, ok := whole(value)
		return ok
	case pluginapi.Boolean:
		_, ok := value.(bool)
		return ok
	default:
		_, ok := value.([]any)
		return ok
	}
}

// pages warns about fields that DigiCert's page for the endpoint does not have. Neither page is about OV and EV products
// by name: they take the fields of both.
func (r *report) pages() {
	if r.at.page == 0 {
		return
	}
	for _, row := range rows() {
		if row.computed != "" || row.own || row.on&r.at.page != 0 || strings.Contains(row.path, "[]") || !r.has(row.path) || r.explained(row.path) {
			continue
		}
		r.warn(row.path, "is not on DigiCert's page for %s; it goes out as written and may be ignored or refused", r.at)
	}
}

// explained reports whether a rule of its own is about a field at the wrong endpoint, or the table it stands in has
// been named.
func (r *report) explained(path string) bool {
	top, _, below := strings.Cut(path, ".")
	switch top {
	case "organization", "product_type_hint", "use_auth_key", "auth_key_id", "validity_years", "validity_days", "custom_expiration_date":
		return true
	}
	return below && slices.ContainsFunc(table(), func(f field) bool { return f.name == top && f.on&r.at.page == 0 })
}
