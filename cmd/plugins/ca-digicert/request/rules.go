package request

import (
	"slices"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	paymentCard    = "card"
	paymentProfile = "profile"
	paymentWire    = "wire_transfer"
)

func productName(r *report, path string, value any) {
	text, _ := value.(string)
	switch {
	case strings.ToLower(text) != text || !wordShape.MatchString(text) || strings.Contains(text, "-"):
		r.fault(path, "%q is no product: its name has lower-case letters, digits and \"_\", as ssl_dv_geotrust has", text)
	case !r.at.known:
		r.warn(path, "%q is not known here and is taken for %s by its name; certbridged check --online asks whether the account has it", text, article(r.at.validation))
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
		r.fault(path, format, args...)
		return
	}
	r.warn(path, format, args...)
}

func (r *report) product() {
	switch hint := r.has("product_type_hint"); {
	case r.at.product == "":
	case r.at.product == productByHint && !hint:
		r.warn("product_type_hint", "is not given: DigiCert refuses the order when it cannot tell which product is meant")
	case r.at.product != productByHint && hint:
		r.fault("product_type_hint", `belongs to product = "ssl" alone: remove it, %s is a product already`, r.at.product)
	}
}

func (r *report) life() {
	if n, ok := r.whole("auto_renew"); ok && n == 1 {
		r.warn("auto_renew", "DigiCert will order and charge a renewal itself, beside the one certbridged orders: set it to 0")
	}
	if n, ok := r.whole("auto_reissue"); ok && n == 1 {
		r.warn("auto_reissue", "DigiCert will request reissues with the old key, and certbridged's own wait for them: set it to 0")
	}
	if r.has("serial_number") && !r.flag("apply_cr_discount") {
		r.warn("serial_number", "does nothing without apply_cr_discount = true")
	}
}

func (r *report) payment() {
	method := r.text("payment_method")
	for _, name := range []string{"credit_card", "billing_address"} {
		switch given := r.has(name); {
		case method == paymentCard && !given:
			r.fault(name, `is missing: payment_method = "card" needs it`)
		case method != paymentCard && given:
			r.fault(name, `belongs to payment_method = "card" alone: remove it`)
		}
	}
	if r.has("vat_number") && method != paymentCard && method != paymentProfile {
		r.warn("vat_number", `does nothing unless payment_method is "card" or "profile"`)
	}
	r.cardExpiry()
}

func (r *report) cardExpiry() {
	const month, year = "credit_card.expiration_month", "credit_card.expiration_year"
	if !r.has(month) || !r.has(year) || r.faulty(month) || r.faulty(year) {
		return
	}
	m, _ := whole(asNumber(r.settings.Secret(month).Reveal(), r.at))
	y, _ := whole(asNumber(r.settings.Secret(year).Reveal(), r.at))
	if now := r.now.UTC(); int(y) == now.Year() && int(m) < int(now.Month()) {
		r.fault(month, "has passed: the card has expired")
	}
}

// control looks at how domain control is shown.
func (r *report) control() {
	method := r.text("dcv_method")
	switch {
	case method == MethodHTTPDynamic:
		r.fault("dcv_method", "%s is not supported: the API does not say which file DigiCert looks for; use %s", method, MethodHTTP)
	case method == MethodAuthKey && !r.flag("use_auth_key"):
		r.fault("dcv_method", "%s needs use_auth_key = true, auth_key_id and auth_key", method)
	case method == MethodEmail:
		r.info("dcv_method", "a person must answer DigiCert's mail before each certificate is issued")
	}
	if method != MethodEmail {
		if r.has("dcv_emails") {
			r.fault("dcv_emails", `belongs to dcv_method = "email": set that, or remove it`)
		}
		if r.has("locale") {
			r.warn("locale", `does nothing unless dcv_method is "email"`)
		}
	}
	r.authKey(method)
}

// authKey: DigiCert's page says in one place that auth_key_id may be left out, and in another that it may not. With it
// there is no doubt which key is meant.
func (r *report) authKey(method string) {
	if !r.flag("use_auth_key") {
		for _, name := range []string{"auth_key_id", SecretAuthKey} {
			if r.has(name) {
				r.warn(name, "does nothing without use_auth_key = true")
			}
		}
		return
	}
	if r.at.validation != DV && r.at.product != "" {
		r.unfit("use_auth_key", "only DV products take an AuthKey: remove it")
	}
	if method != MethodAuthKey {
		r.fault("use_auth_key", `needs dcv_method = "%s"`, MethodAuthKey)
	}
	if !r.has("auth_key_id") {
		r.fault("auth_key_id", "is missing: use_auth_key needs the AuthKey's number")
	}
	if !r.has(SecretAuthKey) {
		r.fault(SecretAuthKey, `is missing: use_auth_key needs the AuthKey's text to make request tokens with; write { file = "..." }`)
	}
}

func dcvEmails(r *report, path string, value any) {
	if list, _ := value.([]any); len(list) == 0 {
		r.fault(path, "is empty: name who is written to, or leave it out")
	}
	seen := map[string]bool{}
	r.each(path, func(at string, e map[string]any) {
		name, _ := e["dns_name"].(string)
		domain, _ := e["email_domain"].(string)
		if name != "" && seen[strings.ToLower(name)] {
			r.fault(at+".dns_name", "%q stands there twice", name)
		}
		seen[strings.ToLower(name)] = true
		if isName(domain) && name != "" && !under(strings.TrimPrefix(name, "*."), domain) {
			r.fault(at+".email_domain", "%q is neither %q nor a domain above it", domain, name)
		}
	})
}

func customFields(r *report, path string, _ any) {
	seen := map[int64]bool{}
	r.each(path, func(at string, e map[string]any) {
		n, ok := whole(e["metadata_id"])
		if ok && seen[n] {
			r.fault(at+".metadata_id", "the field %d stands there twice", n)
		}
		seen[n] = ok
	})
}

func (r *report) organization() {
	switch {
	case r.at.validation == DV:
		if r.has("organization") {
			r.unfit("organization", "a DV product names no organization: remove it; in an account with both, use the account setting organization_id, which DV orders leave out")
		}
		if _, ok := r.value("technical_contact"); ok && !r.has("technical_contact.telephone") {
			r.unfit("technical_contact.telephone", "is missing: DV products want it")
		}
	case r.at.product == "":
	case !r.has("organization.id"):
		r.unfit("organization.id", "is missing: %s names an organization; set it, or the account setting organization_id", article(r.at.validation))
	case r.flag("organization.skip_duplicate_org_check"):
		r.warn("organization.skip_duplicate_org_check", "does nothing: the order names an organization by its id and makes no new one")
	}
}

func (r *report) handling() {
	if r.flag("skip_approval") && r.has("comments") {
		r.warn("comments", "is lost with skip_approval = true: there is no request that would carry it")
	}
	if r.flag("disable_ct") && r.at.public() {
		r.warn("disable_ct", "browsers refuse public certificates that are not logged; DigiCert ignores it where the account does not allow it")
	}
}

// faults is what keeps settings from being sent, as one error.
func faults(found []pluginapi.Finding, matters func(pluginapi.Finding) bool) error {
	var field string
	var words []string
	for _, f := range found {
		switch {
		case f.Severity != pluginapi.Fault || !matters(f):
		case len(words) == 0:
			field = f.Field
			words = append(words, f.Message)
		default:
			words = append(words, f.Field+": "+f.Message)
		}
	}
	if len(words) == 0 {
		return nil
	}
	return pluginapi.FieldErrorf(field, "%s", strings.Join(words, "; "))
}

// always: a fault anywhere keeps an order from being sent.
func always(pluginapi.Finding) bool { return true }

// ofReissue leaves out the faults of fields that a reissue does not have. A card that has expired since the plan was
// paid must not keep a certificate from being replaced.
func ofReissue(f pluginapi.Finding) bool {
	top, _, _ := strings.Cut(f.Field, ".")
	top, _, _ = strings.Cut(top, "[")
	return !slices.ContainsFunc(table(), func(known field) bool {
		return known.name == top && !known.reissue && !known.own && known.computed == ""
	})
}
