package request

import (
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// Check returns all that is wrong with order settings, and what deserves a look. A Fault keeps them from being sent.
// Paths are those of the order settings, with [N] for the elements of lists. No finding shows a secret.
func Check(s pluginapi.Settings) []pluginapi.Finding { return check(s, time.Now()) }

func check(s pluginapi.Settings, now time.Time) []pluginapi.Finding {
	r := &report{Report: table().Check(s, now), at: endpointOf(s)}
	r.shape()
	r.product()
	r.pages()
	r.plan()
	r.certificate()
	r.life()
	r.payment()
	r.control()
	r.organization()
	r.handling()
	return r.Findings()
}

// report has the rules between fields.
type report struct {
	*fields.Report
	at endpoint
}

// shape says more than the schema can where there is more to say.
func (r *report) shape() {
	if r.Has("product.type_hint") {
		r.Rewordf("product", `is the name of the endpoint: write product = "ssl" and product_type_hint = "..."`)
	}
	// Not what stands there: it may be a card's number.
	r.Rewordf("credit_card", "wants a table of secrets: number, expiration_month, expiration_year, cvv, cardholder_name")
}

// pages warns about fields that DigiCert's page for the endpoint does not have. Neither page is about OV and EV products
// by name: they take the fields of both.
func (r *report) pages() {
	if r.at.page == 0 {
		return
	}
	for _, row := range table().Rows() {
		if row.Computed != "" || row.Own || row.In.Has(r.at.page) || strings.Contains(row.Path, "[]") || !r.Has(row.Path) || r.explained(row.Path) {
			continue
		}
		r.Warnf(row.Path, "is not on DigiCert's page for %s; it goes out as written and may be ignored or refused", r.at)
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
	return below && slices.ContainsFunc(table().Rows(), func(f fields.Row) bool { return f.Path == top && !f.In.Has(r.at.page) })
}
