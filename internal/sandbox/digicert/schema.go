package digicert

import (
	"regexp"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// The DCV methods.
const (
	methodEmail       = "email"
	methodTXT         = "dns-txt-token"
	methodCNAME       = "dns-cname-token"
	methodHTTP        = "http-token"
	methodHTTPDynamic = "http-token-dynamic"
	methodToken       = "token-based"

	scopeFQDN = "fqdn"
	scopeBase = "base_domain"
)

// Unconfirmed: the glossary of DCV methods; these are what the pages and other clients name.
func dcvMethods() []string {
	return []string{methodEmail, methodTXT, methodCNAME, methodHTTP, methodHTTPDynamic, methodToken}
}

// patterns are what text fields must look like.
type patterns struct {
	email, alphanumeric, thumbprint, locale, profile *regexp.Regexp
}

// newPatterns compiles them.
//
// Unconfirmed: the glossary of locale codes; any code of the form en or pt_BR is taken.
func newPatterns() patterns {
	return patterns{
		email:        regexp.MustCompile(`^[^@\s,;<>]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`),
		alphanumeric: regexp.MustCompile(`^[A-Za-z0-9]+$`),
		thumbprint:   regexp.MustCompile(`^[0-9A-Fa-f]{40}$`),
		locale:       regexp.MustCompile(`^[a-z]{2}(_[A-Z]{2})?$`),
		profile:      regexp.MustCompile(`^[a-z0-9_]+$`),
	}
}

func text(name string) sandbox.Field { return sandbox.Field{Name: name, Type: sandbox.String} }

func textOf(name string, allowed ...string) sandbox.Field {
	return sandbox.Field{Name: name, Type: sandbox.String, Allowed: allowed}
}

func integer(name string, least, most int64) sandbox.Field {
	return sandbox.Field{Name: name, Type: sandbox.Int, Min: least, Max: most}
}

func boolean(name string) sandbox.Field { return sandbox.Field{Name: name, Type: sandbox.Bool} }

func zeroOrOne(name string) sandbox.Field { return sandbox.Field{Name: name, Type: sandbox.Flag} }

func object(name string, fields ...sandbox.Field) sandbox.Field {
	return sandbox.Field{Name: name, Type: sandbox.Object, Fields: fields}
}

func list(name string, elem sandbox.Field) sandbox.Field {
	return sandbox.Field{Name: name, Type: sandbox.List, Elem: &elem}
}

func required(f sandbox.Field) sandbox.Field {
	f.Required = true
	return f
}

func deprecated(f sandbox.Field, instead string) sandbox.Field {
	f.Deprecated = instead
	return f
}

const (
	mostID       = 1 << 53
	useValidity  = "order_validity sets how long the order lasts, certificate.cert_validity the certificate"
	unitsIgnored = "it is ignored for public certificates"
)

func (p patterns) emailField(name string) sandbox.Field {
	return sandbox.Field{Name: name, Type: sandbox.String, Pattern: p.email, Wants: "an email address"}
}

func (p patterns) contact(name string, telephone bool) sandbox.Field {
	phone := text("telephone")
	phone.Required = telephone
	f := object(name, required(text("first_name")), required(text("last_name")), required(p.emailField("email")),
		text("job_title"), phone)
	if !telephone {
		f.Fields = append(f.Fields, text("telephone_extension"))
	}
	return f
}

// orderFields are the fields of an order. Those of the two pages differ: DV orders take no organization, and its
// contacts need a telephone number.
//
// Unconfirmed: that the ssl endpoint and the OV and EV products take the fields that only the DV page lists (custom_fields, dcv_emails, locale, custom_renewal_message, profile_option, and those of payment).
//
// Unconfirmed: that the DV products take certificate.signature_hash, which the DV page does not list.
func (p patterns) orderFields(dv, hint bool) []sandbox.Field {
	cert := p.certificateFields(dv)
	if !dv {
		for i := range cert.Fields {
			if cert.Fields[i].Name == "signature_hash" {
				cert.Fields[i].Required = true
			}
		}
	}
	fields := []sandbox.Field{
		cert,
		object("order_validity", integer("years", 1, mostPlanYears), integer("days", 1, mostPlanDays), text("custom_expiration_date")),
		{Name: "renewed_thumbprint", Type: sandbox.String, Pattern: p.thumbprint, Wants: "a SHA-1 thumbprint of 40 hexadecimal digits"},
		integer("renewal_of_order_id", 1, mostID),
		text("comments"), boolean("apply_cr_discount"), text("serial_number"), zeroOrOne("auto_renew"), zeroOrOne("auto_reissue"),
		text("custom_renewal_message"), boolean("disable_renewal_notifications"),
		list("additional_emails", p.emailField("")),
		textOf("dcv_method", dcvMethods()...),
		p.dcvEmails(),
		boolean("use_auth_key"), text("auth_key_id"),
		{Name: "locale", Type: sandbox.String, Pattern: p.locale, Wants: "a locale code such as en"},
		boolean("skip_approval"),
		// The DV page has an integer and the type_hint page a boolean.
		{Name: "disable_ct", Type: sandbox.BoolOrFlag},
		object("container", required(integer("id", 1, mostID))),
		list("custom_fields", object("", required(integer("metadata_id", 1, mostID)), required(text("value")))),
		p.contact("technical_contact", dv),
		{Name: "alternative_order_id", Type: sandbox.String, MaxLength: 64, Pattern: p.alphanumeric, Wants: "alphanumeric"},
		zeroOrOne("enable_guest_access"),
		textOf("certificate_dcv_scope", scopeBase, scopeFQDN),
	}
	fields = append(fields, paymentFields()...)
	if dv {
		return fields
	}
	fields = append(fields,
		required(p.organizationField()), p.contact("organization_contact", false),
		deprecated(integer("validity_years", 1, mostPlanYears), useValidity), deprecated(integer("validity_days", 1, mostPlanDays), useValidity),
		deprecated(text("custom_expiration_date"), useValidity),
	)
	if hint {
		fields = append(fields, object("product", textOf("type_hint", typeOV, typeEV, "grid", typePrivate)))
	}
	return fields
}

// certificateFields are those of orders.
//
// Unconfirmed: the glossaries of server platforms and of certificate profile options; any platform from -1 on and any profile of lower-case letters, digits and underscores is taken.
func (p patterns) certificateFields(dv bool) sandbox.Field {
	validity := object("cert_validity", integer("days", 1, mostHintCertDays), text("custom_expiration_date"))
	if !dv {
		validity.Fields = append(validity.Fields, integer("years", 0, 0)) // certTerms allows 1 alone
	}
	f := object("certificate",
		required(text("common_name")), list("dns_names", text("")), required(text("csr")),
		textOf("signature_hash", "sha256", "sha384", "sha512"),
		text("ca_cert_id"), deprecated(list("organization_units", text("")), unitsIgnored),
		object("server_platform", required(integer("id", -1, 1000))),
		sandbox.Field{Name: "profile_option", Type: sandbox.String, Pattern: p.profile, Wants: "the name of a certificate profile"},
		validity,
	)
	return required(f)
}

func (p patterns) dcvEmails() sandbox.Field {
	return list("dcv_emails", object("", required(text("dns_name")), required(text("email_domain")), p.emailField("email")))
}

// paymentFields are those of the DV page.
//
// Unconfirmed: the allowed values of payment_method; the page's list is lost, and these are what clients in the field use.
func paymentFields() []sandbox.Field {
	return []sandbox.Field{
		textOf("payment_method", payBalance, payCard, payProfile, "wire_transfer"),
		object("credit_card", required(text("number")), required(integer("expiration_month", 1, 12)),
			required(integer("expiration_year", 2000, 2999)), required(integer("cvv", 0, 9999)), required(text("cardholder_name"))),
		object("billing_address", required(text("address")), text("address2"), required(text("city")), text("state"),
			required(text("country")), text("zip")),
		text("vat_number"),
	}
}

const (
	payBalance = "balance"
	payCard    = "card"
	payProfile = "profile"
)

// organizationField is an organization by its id, or the details of a new one.
//
// Unconfirmed: the fields of a new organization; they stand in a page that is not at hand.
func (p patterns) organizationField() sandbox.Field {
	contact := object("", textOf("contact_type", "organization_contact", "technical_contact", "ev_approver", "cs_approver"),
		integer("user_id", 1, mostID), text("first_name"), text("last_name"), p.emailField("email"), text("job_title"),
		text("telephone"), text("telephone_extension"))
	return object("organization", integer("id", 1, mostID), list("contacts", contact), boolean("skip_duplicate_org_check"),
		text("name"), text("assumed_name"), text("address"), text("address2"), text("city"), text("state"), text("zip"),
		text("country"), text("telephone"), object("container", required(integer("id", 1, mostID))))
}

// reissueFields are those of a reissue.
func (p patterns) reissueFields(dv bool) []sandbox.Field {
	cert := p.certificateFields(dv)
	for i := range cert.Fields {
		switch cert.Fields[i].Name {
		case "signature_hash", "server_platform":
			// A reissue without server_platform was answered with required_param in the field.
			cert.Fields[i].Required = true
		}
	}
	return []sandbox.Field{
		cert, textOf("dcv_method", dcvMethods()...), boolean("skip_approval"), text("comments"),
		textOf("certificate_dcv_scope", scopeBase, scopeFQDN), p.dcvEmails(), boolean("use_auth_key"), text("auth_key_id"),
		{Name: "locale", Type: sandbox.String, Pattern: p.locale, Wants: "a locale code such as en"},
		boolean("store_reissue_as_duplicate"), {Name: "disable_ct", Type: sandbox.BoolOrFlag},
	}
}

// orderBody is a decoded order or reissue. It is read only after its fields were checked.
type orderBody struct {
	Certificate          certBody          `json:"certificate"`
	OrderValidity        *validityBody     `json:"order_validity"`
	ValidityYears        *int64            `json:"validity_years"`
	ValidityDays         *int64            `json:"validity_days"`
	CustomExpirationDate *string           `json:"custom_expiration_date"`
	RenewedThumbprint    string            `json:"renewed_thumbprint"`
	RenewalOfOrderID     int64             `json:"renewal_of_order_id"`
	Comments             string            `json:"comments"`
	AutoRenew            int64             `json:"auto_renew"`
	AutoReissue          int64             `json:"auto_reissue"`
	DisableNotifications bool              `json:"disable_renewal_notifications"`
	AdditionalEmails     []string          `json:"additional_emails"`
	DCVMethod            string            `json:"dcv_method"`
	DCVEmails            []dcvEmail        `json:"dcv_emails"`
	UseAuthKey           bool              `json:"use_auth_key"`
	AuthKeyID            string            `json:"auth_key_id"`
	SkipApproval         bool              `json:"skip_approval"`
	DisableCT            any               `json:"disable_ct"`
	Container            *idBody           `json:"container"`
	Organization         *organizationBody `json:"organization"`
	CustomFields         []customField     `json:"custom_fields"`
	AlternativeOrderID   string            `json:"alternative_order_id"`
	EnableGuestAccess    *int64            `json:"enable_guest_access"`
	DCVScope             string            `json:"certificate_dcv_scope"`
	PaymentMethod        string            `json:"payment_method"`
	CreditCard           *cardBody         `json:"credit_card"`
	BillingAddress       *struct{}         `json:"billing_address"`
	VATNumber            string            `json:"vat_number"`
	Product              struct {
		TypeHint string `json:"type_hint"`
	} `json:"product"`
}

type idBody struct {
	ID int64 `json:"id"`
}

type validityBody struct {
	Years                *int64  `json:"years"`
	Days                 *int64  `json:"days"`
	CustomExpirationDate *string `json:"custom_expiration_date"`
}

type certBody struct {
	CommonName     string        `json:"common_name"`
	DNSNames       []string      `json:"dns_names"`
	CSR            string        `json:"csr"`
	SignatureHash  string        `json:"signature_hash"`
	CACertID       string        `json:"ca_cert_id"`
	ServerPlatform *idBody       `json:"server_platform"`
	ProfileOption  string        `json:"profile_option"`
	CertValidity   *validityBody `json:"cert_validity"`
}

type dcvEmail struct {
	DNSName     string `json:"dns_name"`
	EmailDomain string `json:"email_domain"`
	Email       string `json:"email"`
}

// cardBody is what is looked at of a credit card; nothing of it is kept.
type cardBody struct {
	Number string `json:"number"`
	Month  int    `json:"expiration_month"`
	Year   int    `json:"expiration_year"`
	CVV    int    `json:"cvv"`
}

type organizationBody struct {
	ID                    int64   `json:"id"`
	SkipDuplicateOrgCheck bool    `json:"skip_duplicate_org_check"`
	Name                  string  `json:"name"`
	Address               string  `json:"address"`
	City                  string  `json:"city"`
	State                 string  `json:"state"`
	Country               string  `json:"country"`
	Telephone             string  `json:"telephone"`
	Container             *idBody `json:"container"`
}
