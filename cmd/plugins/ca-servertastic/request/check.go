package request

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// Check returns all that is wrong with order settings, and what deserves a look. A Fault keeps them from being sent. No
// finding shows a secret.
func Check(s pluginapi.Settings) []pluginapi.Finding {
	r := &report{Report: table().Check(s, time.Time{}), product: ProductOf(s)}
	r.known()
	r.term()
	r.method()
	r.organization()
	r.brand()
	r.extra()
	return r.Findings()
}

// report has the rules between fields.
type report struct {
	*fields.Report
	product Product
}

func (r *report) known() {
	p := r.product
	if p.Code == "" || r.Faulty("st_product_code") || p.Known || r.Has("validation") && r.Has("family") {
		return
	}
	r.Warnf("st_product_code", "%s is not known here and is taken for a product of the kind %s with the rules of %s; say validation and family to be sure", p.Code, strings.ToUpper(p.Validation), p.Family)
}

// term: without one, nobody knows for how long an order is paid.
func (r *report) term() {
	p := r.product
	if p.Code == "" || r.Faulty("st_product_code") {
		return
	}
	months, said := r.Whole("term_months")
	switch {
	case !said && p.Months == 0:
		r.Warnf("st_product_code", "%s has no term in its code, so that nobody knows until when an order is paid: say term_months (0: each certificate is bought anew), or every order after the first is held", p.Code)
	case p.Months > 12:
		r.Warnf("st_product_code", "%s is for %d months; orders of more than 12 months are known from times when certificates lasted as long", p.Code, p.Months)
	case r.Faulty("term_months"):
	case said && p.Months > 0 && months > int64(p.Months):
		r.Warnf("term_months", "is longer than the term in %s: when the order has ended, reissues will be refused", p.Code)
	}
}

func (r *report) method() {
	method, approver := r.Text("dv_auth_method"), r.Has("approver_email_address")
	switch {
	case method == MethodEmail && !approver:
		r.Faultf("approver_email_address", "is missing: with dv_auth_method = %q somebody must be written to", MethodEmail)
	case method == MethodEmail:
		r.Infof("dv_auth_method", "a person must answer a mail at every certificate; DNS or FILE needs none")
	case approver:
		r.Faultf("approver_email_address", "belongs to dv_auth_method = %q: remove it, or set that", MethodEmail)
	}
	if method == MethodSFile && !r.product.Wildcard {
		r.Infof("dv_auth_method", "the file is fetched over HTTPS alone, and the built-in http profile answers on port 80: every name needs a profile such as webroot, whose files its web server shows over HTTPS")
	}
	if r.product.Wildcard && (method == MethodFile || method == MethodSFile) {
		r.Faultf("dv_auth_method", "%s shows no control over a wildcard name; use %s", method, MethodDNS)
	}
}

// organization: what OV and EV products need, DV products have no use for.
func (r *report) organization() {
	if r.product.Code == "" {
		return
	}
	var unused []string
	for _, f := range table().Rows() {
		switch {
		case !organizational(f.Name):
		case r.product.Validation == DV && r.Has(f.Path):
			unused = append(unused, f.Path)
		case r.product.Validation != DV && neededByOV(f.Field) && !r.Has(f.Path):
			r.Faultf(f.Path, "is missing: %s products need it", strings.ToUpper(r.product.Validation))
		}
	}
	if len(unused) > 0 {
		r.Infof(unused[0], "a DV product has no use for what is said of organizations and addresses, so that none of it is sent (%s)", strings.Join(unused, ", "))
	}
}

// organizational reports the parameters of OV and EV products alone.
func organizational(name string) bool {
	return strings.HasPrefix(name, "org_") || strings.Contains(name, "_contact_address_") || strings.HasSuffix(name, "_contact_organisation_name")
}

func neededByOV(f fields.Field) bool { return strings.HasPrefix(f.Rule, neededOV) }

func (r *report) brand() {
	p := r.product
	if p.Code == "" {
		return
	}
	if p.Family != FamilySectigo {
		for _, name := range []string{Sectigo1, Sectigo2} {
			if r.Has(name) {
				r.Faultf(name, "belongs to Sectigo's products: remove it")
			}
		}
	} else if !r.Has("extra_fields") {
		for _, name := range []string{Sectigo1, Sectigo2} {
			if !r.Has(name) {
				r.Faultf(name, "is missing: ServerTastic wants two further parameters for this product, whose names and meaning its page does not tell; ask ServerTastic, and set them here or in extra_fields")
			}
		}
	}
	switch chooses := p.stem.chooses && p.Family == FamilyDigiCert; {
	case !r.Has(IssuingCA) || chooses && p.Known:
	case !chooses:
		r.Faultf(IssuingCA, "is for DigiCert, RapidSSL and GeoTrust products alone: remove it")
	}
}

var (
	codeShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)
	nameShape = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)
	tokenForm = regexp.MustCompile(`^[A-Za-z0-9_.~-]{6,200}$`)
)

func productCode(r *fields.Report, path string, value any) {
	if text, _ := value.(string); !codeShape.MatchString(text) {
		r.Faultf(path, "%q is no product such as \"RapidSSL-12\"", text)
	}
}

func emailOrNone(r *fields.Report, path string, value any) {
	if text, _ := value.(string); text != "none" {
		fields.Email(r, path, value)
	}
}

// tokenShape shows nothing of the token. (Not confirmed by ServerTastic's pages: which characters tokens have.)
func tokenShape(r *fields.Report, path string, value any) {
	if text, _ := value.(string); !tokenForm.MatchString(strings.TrimSpace(text)) {
		r.Faultf(path, "is no token; does the file hold the token and nothing else?")
	}
}

// extra keeps parameters that have a place of their own from being set twice, and those that are computed from being set at
// all.
func (r *report) extra() {
	value, _ := r.Value("extra_fields")
	extra, _ := value.(map[string]any)
	for name, v := range extra {
		at := "extra_fields." + name
		text, isText := v.(string)
		switch {
		case !nameShape.MatchString(name):
			r.Faultf(at, "is no name of a parameter")
		case isKnown(name) || slices.Contains(Unnamed(), name):
			r.Faultf(at, "has a place of its own, or is computed: remove it here")
		case isText && strings.TrimSpace(text) == "":
			r.Faultf(at, "is empty: give it a value or leave it out")
		}
	}
}

// NeedsOrganization lists the parameters that OV and EV products need, in the order of the page.
func NeedsOrganization() []string {
	var out []string
	for _, row := range table().Rows() {
		if organizational(row.Name) && neededByOV(row.Field) {
			out = append(out, row.Name)
		}
	}
	return slices.Clip(out)
}
