package servertastic

import (
	"slices"
	"strings"
	"unicode"
)

// field is a parameter of place, as productfields tells it.
type field struct {
	name     string
	required bool
	// requiredIf are names; "!x" means that the field is required where x is absent, "x" where it is there.
	requiredIf []string
	input      string
	options    []string
	// wrong says what is wrong with a value; empty means nothing is. It may be nil.
	wrong func(value string) string
}

// view is the field as productfields has it.
func (f field) view() obj {
	v := obj{"required": "", "input_type": f.input, "options": "", "required_if": ""}
	if f.required {
		v["required"] = 1
	}
	if f.options != nil {
		v["options"] = f.options
	}
	switch len(f.requiredIf) {
	case 0:
	case 1:
		v["required_if"] = f.requiredIf[0]
	default:
		v["required_if"] = f.requiredIf
	}
	return obj{f.name: v}
}

// missing reports whether the field is required and absent.
func (f field) missing(given form) bool {
	if strings.TrimSpace(given[f.name]) != "" {
		return false
	}
	return f.required || len(f.requiredIf) > 0 && !slices.ContainsFunc(f.requiredIf, func(name string) bool {
		absent, negated := strings.CutPrefix(name, "!")
		return given.has(absent) == negated
	})
}

// check says what is wrong with the field of a request.
func (f field) check(given form, all *faults) {
	value, there := given[f.name]
	switch {
	case f.missing(given):
		all.add("%s is required", f.name)
	case !there || value == "":
	case f.options != nil && !slices.Contains(f.options, value):
		all.add("%s must be one of %s", f.name, strings.Join(f.options, ", "))
	case f.wrong != nil:
		if wrong := f.wrong(value); wrong != "" {
			all.add("%s %s", f.name, wrong)
		}
	}
}

// The DCV methods.
const (
	methodEmail = "EMAIL"
	methodDNS   = "DNS"
	methodFile  = "FILE"
	methodSFile = "SFILE"
)

// methods are those that a product offers. A file proves no wildcard.
//
// Unconfirmed: that SFILE works for the goods of DigiCert; Settings choose.
func (p product) methods(s *Settings) []string {
	list := []string{methodEmail, methodDNS}
	if p.Wildcard {
		return list
	}
	list = append(list, methodFile)
	if p.Family == familySectigo || s.SecureFile {
		list = append(list, methodSFile)
	}
	return list
}

// placeFields are the parameters of place for an order.
//
// Unconfirmed: that domain_name still stands in for the CSR's name where the service is to make the key.
func placeFields(o *order, p product, s *Settings) []field {
	fields := []field{
		{name: needsToken, required: true, input: "hidden"},
		{name: "dv_auth_method", required: true, input: "select", options: p.methods(s)},
		// Unconfirmed: that productfields does not tell that EMAIL requires an approver; place checks it.
		{name: "approver_email_address", input: "email", wrong: wrongEmail},
		{name: "csr", requiredIf: []string{"!domain_name"}, input: "textarea"},
		{name: "domain_name", requiredIf: []string{"!csr"}, input: "text"},
		{name: s.Names.NoCompanion, input: "checkbox", wrong: wrongSwitch},
		{name: "renewal", input: "checkbox", wrong: wrongSwitch},
	}
	if o.SANs+o.Wildcards > 0 {
		fields = append(fields, field{name: "san_domains", required: true, input: "textarea"})
	}
	if p.Family == familyDigiCert {
		fields = append(fields, field{name: s.Names.PreviousToken, requiredIf: []string{"renewal"}, input: "text"})
	}
	fields = append(fields, contactFields("tech_contact_", p.vetted())...)
	fields = append(fields, contactFields("admin_contact_", p.vetted())...)
	if p.Family == familySectigo {
		// Unconfirmed: what the two fields of Sectigo's products mean; the stand-in takes an email address and a telephone number.
		fields = append(fields,
			field{name: s.Names.SectigoFirst, required: true, input: "email", wrong: wrongEmail},
			field{name: s.Names.SectigoSecond, required: true, input: "tel", wrong: wrongPhone})
	}
	if p.vetted() {
		fields = append(fields, organizationFields()...)
	}
	if p.choosesIssuer() {
		fields = append(fields, field{name: s.Names.IssuingCA, input: "select", options: p.issuers()})
	}
	if s.ExtraField != "" {
		fields = append(fields, field{name: s.ExtraField, required: true, input: "text"})
	}
	return fields
}

// contactFields are those of a person; OV and EV want the address as well.
func contactFields(prefix string, address bool) []field {
	fields := []field{
		{name: prefix + "first_name", required: true, input: "text", wrong: wrongPerson},
		{name: prefix + "last_name", required: true, input: "text", wrong: wrongPerson},
		{name: prefix + "phone", required: true, input: "tel", wrong: wrongPhone},
		{name: prefix + "email", required: true, input: "email", wrong: wrongEmail},
		{name: prefix + "title", required: true, input: "text"},
	}
	if !address {
		return fields
	}
	for _, name := range []string{"organisation_name", "address_line1", "address_line2", "address_city", "address_region", "address_post_code"} {
		fields = append(fields, field{name: prefix + name, required: name != "address_line2", input: "text"})
	}
	return append(fields, field{name: prefix + "address_country", required: true, input: "select", options: countryCodes()})
}

// organizationFields are those of OV and EV.
//
// Unconfirmed: the spelling of org_incorporating_agency and org_registration_number; the reseller's own form sends others than its pages show.
func organizationFields() []field {
	text := func(name string, required bool) field { return field{name: name, required: required, input: "text"} }
	country := func(name string) field {
		return field{name: name, required: true, input: "select", options: countryCodes()}
	}
	return []field{
		text("org_name", true), text("org_duns", false), text("org_division", false), text("org_incorporating_agency", false),
		text("org_registration_number", false), text("org_jurisdiction_city", true), text("org_jurisdiction_region", true),
		country("org_jurisdiction_country"), text("org_address_line1", true), text("org_address_line2", false),
		text("org_address_line3", false), text("org_address_city", true), text("org_address_region", true),
		text("org_address_postal_code", true), country("org_address_country"),
		{name: "org_address_phone", required: true, input: "tel", wrong: wrongPhone},
	}
}

func wrongEmail(value string) string {
	if !isEmail(value) {
		return "must be an email address"
	}
	return ""
}

// wrongPhone: both known clients send digits alone.
//
// Unconfirmed: that a telephone number of anything but digits is refused.
func wrongPhone(value string) string {
	if strings.ContainsFunc(value, func(r rune) bool { return r < '0' || r > '9' }) {
		return "must be digits alone"
	}
	return ""
}

func wrongSwitch(value string) string {
	if value != "0" && value != "1" {
		return "must be 0 or 1"
	}
	return ""
}

// wrongPerson: contacts must be real persons.
//
// Unconfirmed: how it is checked that contacts are real persons; the stand-in wants letters, and no digits.
func wrongPerson(value string) string {
	if !strings.ContainsFunc(value, unicode.IsLetter) || strings.ContainsFunc(value, unicode.IsDigit) {
		return "must be the name of a real person"
	}
	return ""
}

// productFields is order/productfields: an array of the code, the title, and an object for each parameter.
//
// Unconfirmed: productfields' answer for an order that was placed; it is the same here.
func (s *Server) productFields(c *call) (any, error) {
	var list []any
	err := s.Read(func(st *state) error {
		o := st.byToken(c.form[needsToken])
		if o == nil {
			return unauthorized()
		}
		p, _ := productByCode(o.Product)
		list = append(list, p.Code, p.Name)
		for _, f := range placeFields(o, p, &st.Settings) {
			list = append(list, f.view())
		}
		return nil
	})
	return list, err
}
