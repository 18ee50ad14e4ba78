package request

import (
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

type rowOf = fields.Row

// Names are what a certificate is for, as ServerTastic counts it.
type Names struct {
	// Common is the first name; the certificate request has it as its common name.
	Common string
	// Companion is the name that belongs to it and costs nothing, where it was asked for; empty: it was not.
	Companion string
	// Additional are the others; Wildcards counts those of them that are wildcards.
	Additional []string
	Wildcards  int
}

// NamesOf sorts a certificate's names. The first is the common one.
func NamesOf(names []string) Names {
	out := Names{Common: names[0]}
	for _, n := range names[1:] {
		if n == companionOf(out.Common) {
			out.Companion = n
			continue
		}
		out.Additional = append(out.Additional, n)
		if strings.HasPrefix(n, "*.") {
			out.Wildcards++
		}
	}
	return out
}

// companionOf is the name that comes with another: www. with the base domain, the base domain with www., and with a
// wildcard. (Not confirmed by ServerTastic's pages: the last one; it is how both CAs have it.)
func companionOf(name string) string {
	if base, ok := strings.CutPrefix(name, "*."); ok {
		return base
	}
	if base, ok := strings.CutPrefix(name, "www."); ok {
		return base
	}
	return "www." + name
}

// Companion is the name that ServerTastic adds to a certificate of itself.
func Companion(name string) string { return companionOf(name) }

// Fits says why a product cannot have these names, as far as that is known without asking.
func (p Product) Fits(n Names) error {
	wild := strings.HasPrefix(n.Common, "*.")
	switch {
	case p.Wildcard && !wild:
		return pluginapi.FieldErrorf("identifiers", "%s is for a wildcard, and the first name is %s: put the wildcard first, or order another product", p.Code, n.Common)
	case p.Known && !p.Wildcard && wild:
		return pluginapi.FieldErrorf("identifiers", "%s is for no wildcard such as %s; its wildcard product may be %s", p.Code, n.Common, withWildcard(p.Code))
	case p.stem.least > 0 && len(n.Additional) == 0:
		return NoAdditional(p.Code, n, p.stem.least)
	case p.stem.most >= 0 && len(n.Additional) > p.stem.most:
		return pluginapi.FieldErrorf("identifiers", "%s takes %d additional names, and there are %d beyond %s and %s: %s", p.Code, p.stem.most, len(n.Additional), n.Common, companionOf(n.Common), strings.Join(n.Additional, ", "))
	}
	return nil
}

// NoAdditional is the refusal of an order without additional names for a product that has some: it could be bought, and not
// be placed, as place needs them.
func NoAdditional(code string, n Names, least int) error {
	return pluginapi.FieldErrorf("identifiers", "%s is for %d additional names at least, and there are none beyond %s and %s: add some, or order another product", code, least, n.Common, companionOf(n.Common))
}

func withWildcard(code string) string {
	name, term, ok := cutLast(code, "-")
	if !ok {
		return code + "Wildcard"
	}
	return name + "Wildcard-" + term
}

// Reference is the longest mark that ServerTastic takes.
const maxReference = 35

var referenceShape = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// Purchase is what goes into generatetoken besides the settings.
type Purchase struct {
	// Reference marks the order.
	Reference string
	Names     Names
	// LeastSANs is how many additional names the product has at least.
	LeastSANs int
	WireNames map[string]string
}

// Token makes the parameters of generatetoken, without the account's key.
func Token(s pluginapi.Settings, p Purchase) (url.Values, error) {
	if err := fields.Refusal(Check(s), nil); err != nil {
		return nil, err
	}
	product := ProductOf(s)
	if err := product.Fits(p.Names); err != nil {
		return nil, err
	}
	if len(p.Reference) > maxReference || !referenceShape.MatchString(p.Reference) {
		return nil, pluginapi.FieldErrorf("reseller_unique_reference", "%q is no mark of at most %d letters, digits and hyphens", p.Reference, maxReference)
	}
	body := fields.Body{}
	table().Fill(body, s, fields.Out{In: onToken})
	body["reseller_unique_reference"] = p.Reference
	if _, ok := body["end_customer_email"]; !ok {
		body["end_customer_email"] = s.Values["tech_contact_email"]
	}
	body["san_count"] = max(len(p.Names.Additional), p.LeastSANs, product.stem.least)
	if p.Names.Wildcards > 0 {
		wire := p.WireNames[WildcardSANCount]
		if wire == "" {
			return nil, pluginapi.FieldErrorf("wire_names."+WildcardSANCount, "is not set, and %d additional names are wildcards: ServerTastic's page does not tell the name of the parameter that counts them; ask ServerTastic, or split the certificate", p.Names.Wildcards)
		}
		body["san_count"] = max(len(p.Names.Additional)-p.Names.Wildcards, p.LeastSANs, product.stem.least)
		body[wire] = p.Names.Wildcards
	}
	return body.Form(nil), nil
}

// Computed are the parameters of place and reissue that are made, not configured.
type Computed struct {
	// CSR is the certificate request, DER.
	CSR []byte
	// Method is used where the settings have no dv_auth_method of their own.
	Method string
	Names  Names
	// Renewal asks for what is left of the earlier order; Previous is that order's token, empty where it is not known.
	Renewal  bool
	Previous pluginapi.Secret
}

// Place makes the parameters of place, without the order's token, and holds them against the fields that the order has: each
// that is required must be there, and none that it does not have. names are the API's names for the parameters that the page
// does not name, as far as they were needed.
func Place(s pluginapi.Settings, c Computed, specs []Spec, wireNames map[string]string) (values url.Values, names map[string]string, err error) {
	if err := fields.Refusal(Check(s), nil); err != nil {
		return nil, nil, err
	}
	product := ProductOf(s)
	body := fields.Body{}
	table().Fill(body, s, fields.Out{In: onPlace, Include: func(f fields.Field) bool {
		return f.In.Has(onPlace) && (product.Validation != DV || !organizational(f.Name))
	}})
	csr, err := CSRText(c.CSR)
	if err != nil {
		return nil, nil, err
	}
	body["csr"] = csr
	body.SetDefault("dv_auth_method", c.Method)
	if len(c.Names.Additional) > 0 {
		body["san_domains"] = strings.Join(c.Names.Additional, ",")
	}
	n := &naming{given: wireNames, found: map[string]string{}, extra: texts(s.Values["extra_fields"]), specs: specs}
	for name, text := range n.extra {
		body[name] = text
	}
	if err := n.unnamed(body, s, c, product); err != nil {
		return nil, nil, err
	}
	if err := n.guard(body); err != nil {
		return nil, nil, err
	}
	return body.Form(nil), n.found, nil
}

// unnamed puts in the parameters whose names have to be found.
func (n *naming) unnamed(body fields.Body, s pluginapi.Settings, c Computed, product Product) error {
	put := func(logical string, value any) error {
		wire, err := n.resolve(logical)
		if err == nil && wire != "" {
			body[wire] = value
		}
		return err
	}
	if yes, _ := s.Values[NoCompanion].(bool); yes {
		if err := put(NoCompanion, 1); err != nil {
			return err
		}
	}
	if c.Renewal {
		body["renewal"] = 1
		if product.Family == FamilyDigiCert {
			if err := put(PreviousToken, c.Previous.Reveal()); err != nil {
				return err
			}
		}
	}
	for _, logical := range []string{IssuingCA, Sectigo1, Sectigo2} {
		if text, _ := s.Values[logical].(string); text != "" {
			if err := put(logical, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// guard compares a request with the order's own fields, before anything is sent.
func (n *naming) guard(body fields.Body) error {
	var missing, unknown []string
	for _, s := range n.specs {
		if _, ok := body[s.Name]; !ok && s.Name != SecretToken && n.wanted(s, body) {
			missing = append(missing, s.Name)
		}
	}
	for name := range body {
		if !n.listed(name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(missing)
	slices.Sort(unknown)
	switch {
	case len(missing) > 0:
		return pluginapi.Errorf(pluginapi.NeedsPerson, "the order needs what is not configured: %s; set it, or where the table of settings has no such name, in extra_fields; the order has the fields %s", strings.Join(missing, ", "), n.all())
	case len(unknown) > 0:
		return pluginapi.Errorf(pluginapi.NeedsPerson, "the order has no field %s, which would be sent; it has the fields %s", strings.Join(unknown, ", "), n.all())
	}
	for _, s := range n.specs {
		value, ok := body[s.Name].(string)
		if ok && len(s.Options) > 0 && !slices.Contains(s.Options, value) && (s.Name == "dv_auth_method" || !isKnown(s.Name)) {
			if lower := strings.ToLower(s.Name); strings.Contains(lower, "token") || strings.Contains(lower, "key") {
				return pluginapi.Errorf(pluginapi.NeedsPerson, "%s has a value that is none of those the order takes", s.Name) // secrets
			}
			return pluginapi.Errorf(pluginapi.NeedsPerson, "%s is %q, and the order takes %s", s.Name, value, strings.Join(s.Options, ", "))
		}
	}
	return nil
}

// wanted reports whether an order needs a field, beside those that are there. When it needs those that have a place in the
// table is known better from ServerTastic's page: conditions name other fields, and not their values. (Not confirmed by
// ServerTastic's pages: that all conditions of a field must hold. What is wrongly left out is refused, and costs nothing.)
func (n *naming) wanted(s Spec, body fields.Body) bool {
	if s.Required || isKnown(s.Name) || len(s.RequiredIf) == 0 {
		return s.Required
	}
	for _, condition := range s.RequiredIf {
		name, absent := strings.CutPrefix(condition, "!")
		if _, there := body[name]; there == absent {
			return false
		}
	}
	return true
}

// Reissue makes the parameters of reissue, without the order's token.
func Reissue(s pluginapi.Settings, c Computed) (url.Values, error) {
	if err := fields.Refusal(Check(s), table().Matters(onReissue)); err != nil {
		return nil, err
	}
	body := fields.Body{}
	table().Fill(body, s, fields.Out{In: onReissue})
	csr, err := CSRText(c.CSR)
	if err != nil {
		return nil, err
	}
	body["csr"] = csr
	body.SetDefault("dv_auth_method", c.Method)
	return body.Form(nil), nil
}

// texts are the values of a table of texts.
func texts(value any) map[string]string {
	given, _ := value.(map[string]any)
	out := map[string]string{}
	for k, v := range given {
		if text, ok := v.(string); ok {
			out[k] = text
		}
	}
	return out
}

// CSRText is a certificate request as the API takes it: PEM with line feeds alone.
func CSRText(der []byte) (string, error) {
	r, err := x509.ParseCertificateRequest(der)
	switch {
	case err != nil:
		return "", pluginapi.FieldErrorf("csr", "cannot be read: %w", err)
	case r.Subject.CommonName == "":
		return "", pluginapi.FieldErrorf("csr", "has no common name, and ServerTastic reads the domain from it")
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

// Method returns the way that the settings say, or nothing.
func Method(s pluginapi.Settings) string {
	text, _ := s.Values["dv_auth_method"].(string)
	return text
}

// TermMonths is for how many months an order is reissued after it was bought.
func TermMonths(s pluginapi.Settings) int {
	if n, ok := fields.Whole(s.Values["term_months"]); ok && n >= 0 && n <= maxMonths {
		return int(n)
	}
	return ProductOf(s).Months
}

// Count reads a number that the API writes as text; ok is false where there is none.
func Count(text string) (n int, ok bool) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	return n, err == nil && n >= 0
}
