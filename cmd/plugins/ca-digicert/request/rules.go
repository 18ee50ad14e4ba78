package request

import (
	"regexp"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

const (
	paymentCard    = "card"
	paymentProfile = "profile"
	paymentWire    = "wire_transfer"
)

var productShape = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)

func productName(r *fields.Report, path string, value any) {
	text, _ := value.(string)
	at := endpointOf(r.Settings())
	switch {
	case !productShape.MatchString(text):
		r.Faultf(path, "%q is no product: its name has lower-case letters, digits and \"_\", as ssl_dv_geotrust has", text)
	case !at.known:
		r.Warnf(path, "%q is not known here and is taken for %s by its name; certbridged check --online asks whether the account has it", text, article(at.validation))
	}
}

func article(validation string) string {
	switch validation {
	case Private:
		return "a private product"
	case DV:
		return "a DV product"
	default:
		return "an " + strings.ToUpper(validation) + " product"
	}
}

// unfit is about what a kind of product does not take, or wants. Of a product whose kind is a guess it only warns.
func (r *report) unfit(path, format string, args ...any) {
	if r.at.known || r.at.product == "" {
		r.Faultf(path, format, args...)
		return
	}
	r.Warnf(path, format, args...)
}

func (r *report) product() {
	switch hint := r.Has("product_type_hint"); {
	case r.at.product == "":
	case r.at.product == productByHint && !hint:
		r.Warnf("product_type_hint", "is not given: DigiCert refuses the order when it cannot tell which product is meant")
	case r.at.product != productByHint && hint:
		r.Faultf("product_type_hint", `belongs to product = "ssl" alone: remove it, %s is a product already`, r.at.product)
	}
}

func (r *report) life() {
	if n, ok := r.Whole("auto_renew"); ok && n == 1 {
		r.Warnf("auto_renew", "DigiCert will order and charge a renewal itself, beside the one certbridged orders: set it to 0")
	}
	if n, ok := r.Whole("auto_reissue"); ok && n == 1 {
		r.Warnf("auto_reissue", "DigiCert will request reissues with the old key, and certbridged's own wait for them: set it to 0")
	}
	if r.Has("serial_number") && !r.Flag("apply_cr_discount") {
		r.Warnf("serial_number", "does nothing without apply_cr_discount = true")
	}
}

func (r *report) payment() {
	method := r.Text("payment_method")
	for _, name := range []string{"credit_card", "billing_address"} {
		switch given := r.Has(name); {
		case method == paymentCard && !given:
			r.Faultf(name, `is missing: payment_method = "card" needs it`)
		case method != paymentCard && given:
			r.Faultf(name, `belongs to payment_method = "card" alone: remove it`)
		}
	}
	if r.Has("vat_number") && method != paymentCard && method != paymentProfile {
		r.Warnf("vat_number", `does nothing unless payment_method is "card" or "profile"`)
	}
	r.cardExpiry()
}

func (r *report) cardExpiry() {
	const month, year = "credit_card.expiration_month", "credit_card.expiration_year"
	if !r.Has(month) || !r.Has(year) || r.Faulty(month) || r.Faulty(year) {
		return
	}
	m, _ := fields.Whole(asNumber(r.Settings().Secret(month).Reveal(), 0))
	y, _ := fields.Whole(asNumber(r.Settings().Secret(year).Reveal(), 0))
	if now := r.Now().UTC(); int(y) == now.Year() && int(m) < int(now.Month()) {
		r.Faultf(month, "has passed: the card has expired")
	}
}

// control looks at how domain control is shown.
func (r *report) control() {
	method := r.Text("dcv_method")
	switch {
	case method == MethodHTTPDynamic:
		r.Faultf("dcv_method", "%s is not supported: the API does not say which file DigiCert looks for; use %s", method, MethodHTTP)
	case method == MethodAuthKey && !r.Flag("use_auth_key"):
		r.Faultf("dcv_method", "%s needs use_auth_key = true, auth_key_id and auth_key", method)
	case method == MethodEmail:
		r.Infof("dcv_method", "a person must answer DigiCert's mail before each certificate is issued")
	}
	if method != MethodEmail {
		if r.Has("dcv_emails") {
			r.Faultf("dcv_emails", `belongs to dcv_method = "email": set that, or remove it`)
		}
		if r.Has("locale") {
			r.Warnf("locale", `does nothing unless dcv_method is "email"`)
		}
	}
	r.authKey(method)
}

// authKey: DigiCert's page says in one place that auth_key_id may be left out, and in another that it may not. With it
// there is no doubt which key is meant.
func (r *report) authKey(method string) {
	if !r.Flag("use_auth_key") {
		for _, name := range []string{"auth_key_id", SecretAuthKey} {
			if r.Has(name) {
				r.Warnf(name, "does nothing without use_auth_key = true")
			}
		}
		return
	}
	if r.at.validation != DV && r.at.product != "" {
		r.unfit("use_auth_key", "only DV products take an AuthKey: remove it")
	}
	if method != MethodAuthKey {
		r.Faultf("use_auth_key", `needs dcv_method = "%s"`, MethodAuthKey)
	}
	if !r.Has("auth_key_id") {
		r.Faultf("auth_key_id", "is missing: use_auth_key needs the AuthKey's number")
	}
	if !r.Has(SecretAuthKey) {
		r.Faultf(SecretAuthKey, `is missing: use_auth_key needs the AuthKey's text to make request tokens with; write { file = "..." }`)
	}
}

func dcvEmails(r *fields.Report, path string, value any) {
	if list, _ := value.([]any); len(list) == 0 {
		r.Faultf(path, "is empty: name who is written to, or leave it out")
	}
	seen := map[string]bool{}
	r.Each(path, func(at string, e map[string]any) {
		name, _ := e["dns_name"].(string)
		domain, _ := e["email_domain"].(string)
		if name != "" && seen[strings.ToLower(name)] {
			r.Faultf(at+".dns_name", "%q stands there twice", name)
		}
		seen[strings.ToLower(name)] = true
		if fields.IsDNSName(domain) && name != "" && !fields.Under(strings.TrimPrefix(name, "*."), domain) {
			r.Faultf(at+".email_domain", "%q is neither %q nor a domain above it", domain, name)
		} else if base, certain := baseDomain(name); fields.IsDNSName(domain) && base != "" && !strings.EqualFold(domain, base) {
			if certain {
				r.Faultf(at+".email_domain", "must be the base domain of %s: write %q", name, base)
			} else {
				r.Warnf(at+".email_domain", "is perhaps not what DigiCert takes for the base domain of %s, which may be %q", name, base)
			}
		}
	})
}

// baseDomain is the registrable domain of a name, and whether a public registry makes it so: private parties have put names
// on the list of public suffixes as well, and whether DigiCert goes by those is not known.
func baseDomain(name string) (base string, certain bool) {
	name = strings.ToLower(strings.TrimPrefix(name, "*."))
	base, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return "", false
	}
	_, certain = publicsuffix.PublicSuffix(name)
	return base, certain
}

func customFields(r *fields.Report, path string, _ any) {
	seen := map[int64]bool{}
	r.Each(path, func(at string, e map[string]any) {
		n, ok := fields.Whole(e["metadata_id"])
		if ok && seen[n] {
			r.Faultf(at+".metadata_id", "the field %d stands there twice", n)
		}
		seen[n] = ok
	})
}

func (r *report) organization() {
	switch {
	case r.at.validation == DV:
		if r.Has("organization") {
			r.unfit("organization", "a DV product names no organization: remove it; in an account with both, use the account setting organization_id, which DV orders leave out")
		}
		if _, ok := r.Value("technical_contact"); ok && !r.Has("technical_contact.telephone") {
			r.unfit("technical_contact.telephone", "is missing: DV products want it")
		}
	case r.at.product == "":
	case !r.Has("organization.id"):
		r.unfit("organization.id", "is missing: %s names an organization; set it, or the account setting organization_id", article(r.at.validation))
	case r.Flag("organization.skip_duplicate_org_check"):
		r.Warnf("organization.skip_duplicate_org_check", "does nothing: the order names an organization by its id and makes no new one")
	}
}

func (r *report) handling() {
	if r.Flag("skip_approval") && r.Has("comments") {
		r.Warnf("comments", "is lost with skip_approval = true: there is no request that would carry it")
	}
	if r.Flag("disable_ct") && r.at.public() {
		r.Warnf("disable_ct", "browsers refuse public certificates that are not logged; DigiCert ignores it where the account does not allow it")
	}
}
