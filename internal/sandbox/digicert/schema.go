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
	phone := sandbox.Text("telephone")
	phone.Required = telephone
	f := sandbox.ObjectOf(name, sandbox.Required(sandbox.Text("first_name")), sandbox.Required(sandbox.Text("last_name")), sandbox.Required(p.emailField("email")),
		sandbox.Text("job_title"), phone)
	if !telephone {
		f.Fields = append(f.Fields, sandbox.Text("telephone_extension"))
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
		sandbox.ObjectOf("order_validity", sandbox.Integer("years", 1, mostPlanYears), sandbox.Integer("days", 1, mostPlanDays), sandbox.Text("custom_expiration_date")),
		{Name: "renewed_thumbprint", Type: sandbox.String, Pattern: p.thumbprint, Wants: "a SHA-1 thumbprint of 40 hexadecimal digits"},
		sandbox.Integer("renewal_of_order_id", 1, mostID),
		sandbox.Text("comments"), sandbox.Boolean("apply_cr_discount"), sandbox.Text("serial_number"), sandbox.ZeroOrOne("auto_renew"), sandbox.ZeroOrOne("auto_reissue"),
		sandbox.Text("custom_renewal_message"), sandbox.Boolean("disable_renewal_notifications"),
		sandbox.ListOf("additional_emails", p.emailField("")),
		sandbox.TextOf("dcv_method", dcvMethods()...),
		p.dcvEmails(),
		sandbox.Boolean("use_auth_key"), sandbox.Text("auth_key_id"),
		{Name: "locale", Type: sandbox.String, Pattern: p.locale, Wants: "a locale code such as en"},
		sandbox.Boolean("skip_approval"),
		// The DV page has an integer and the type_hint page a boolean.
		{Name: "disable_ct", Type: sandbox.BoolOrFlag},
		sandbox.ObjectOf("container", sandbox.Required(sandbox.Integer("id", 1, mostID))),
		sandbox.ListOf("custom_fields", sandbox.ObjectOf("", sandbox.Required(sandbox.Integer("metadata_id", 1, mostID)), sandbox.Required(sandbox.Text("value")))),
		p.contact("technical_contact", dv),
		{Name: "alternative_order_id", Type: sandbox.String, MaxLength: 64, Pattern: p.alphanumeric, Wants: "alphanumeric"},
		sandbox.ZeroOrOne("enable_guest_access"),
		sandbox.TextOf("certificate_dcv_scope", scopeBase, scopeFQDN),
	}
	fields = append(fields, paymentFields()...)
	if dv {
		return fields
	}
	fields = append(fields,
		sandbox.Required(p.organizationField()), p.contact("organization_contact", false),
		deprecated(sandbox.Integer("validity_years", 1, mostPlanYears), useValidity), deprecated(sandbox.Integer("validity_days", 1, mostPlanDays), useValidity),
		deprecated(sandbox.Text("custom_expiration_date"), useValidity),
	)
	if hint {
		fields = append(fields, sandbox.ObjectOf("product", sandbox.TextOf("type_hint", typeOV, typeEV, "grid", typePrivate)))
	}
	return fields
}

// certificateFields are those of orders.
//
// Unconfirmed: the glossaries of server platforms and of certificate profile options; any platform from -1 on and any profile of lower-case letters, digits and underscores is taken.
func (p patterns) certificateFields(dv bool) sandbox.Field {
	validity := sandbox.ObjectOf("cert_validity", sandbox.Integer("days", 1, mostHintCertDays), sandbox.Text("custom_expiration_date"))
	if !dv {
		validity.Fields = append(validity.Fields, sandbox.Integer("years", 0, 0)) // certTerms allows 1 alone
	}
	f := sandbox.ObjectOf("certificate",
		sandbox.Required(sandbox.Text("common_name")), sandbox.ListOf("dns_names", sandbox.Text("")), sandbox.Required(sandbox.Text("csr")),
		sandbox.TextOf("signature_hash", "sha256", "sha384", "sha512"),
		sandbox.Text("ca_cert_id"), deprecated(sandbox.ListOf("organization_units", sandbox.Text("")), unitsIgnored),
		sandbox.ObjectOf("server_platform", sandbox.Required(sandbox.Integer("id", -1, 1000))),
		sandbox.Field{Name: "profile_option", Type: sandbox.String, Pattern: p.profile, Wants: "the name of a certificate profile"},
		validity,
	)
	return sandbox.Required(f)
}

func (p patterns) dcvEmails() sandbox.Field {
	return sandbox.ListOf("dcv_emails", sandbox.ObjectOf("", sandbox.Required(sandbox.Text("dns_name")), sandbox.Required(sandbox.Text("email_domain")), p.emailField("email")))
}

// paymentFields are those of the DV page.
//
// Unconfirmed: the allowed values of payment_method; the page's list is lost, and these are what clients in the field use.
func paymentFields() []sandbox.Field {
	return []sandbox.Field{
		sandbox.TextOf("payment_method", payBalance, payCard, payProfile, "wire_transfer"),
		sandbox.ObjectOf("credit_card", sandbox.Required(sandbox.Text("number")), sandbox.Required(sandbox.Integer("expiration_month", 1, 12)),
			sandbox.Required(sandbox.Integer("expiration_year", 2000, 2999)), sandbox.Required(sandbox.Integer("cvv", 0, 9999)), sandbox.Required(sandbox.Text("cardholder_name"))),
		sandbox.ObjectOf("billing_address", sandbox.Required(sandbox.Text("address")), sandbox.Text("address2"), sandbox.Required(sandbox.Text("city")), sandbox.Text("state"),
			sandbox.Required(sandbox.Text("country")), sandbox.Text("zip")),
		sandbox.Text("vat_number"),
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
	contact := sandbox.ObjectOf("", sandbox.TextOf("contact_type", "organization_contact", "technical_contact", "ev_approver", "cs_approver"),
		sandbox.Integer("user_id", 1, mostID), sandbox.Text("first_name"), sandbox.Text("last_name"), p.emailField("email"), sandbox.Text("job_title"),
		sandbox.Text("telephone"), sandbox.Text("telephone_extension"))
	return sandbox.ObjectOf("organization", sandbox.Integer("id", 1, mostID), sandbox.ListOf("contacts", contact), sandbox.Boolean("skip_duplicate_org_check"),
		sandbox.Text("name"), sandbox.Text("assumed_name"), sandbox.Text("address"), sandbox.Text("address2"), sandbox.Text("city"), sandbox.Text("state"), sandbox.Text("zip"),
		sandbox.Text("country"), sandbox.Text("telephone"), sandbox.ObjectOf("container", sandbox.Required(sandbox.Integer("id", 1, mostID))))
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
		cert, sandbox.TextOf("dcv_method", dcvMethods()...), sandbox.Boolean("skip_approval"), sandbox.Text("comments"),
		sandbox.TextOf("certificate_dcv_scope", scopeBase, scopeFQDN), p.dcvEmails(), sandbox.Boolean("use_auth_key"), sandbox.Text("auth_key_id"),
		{Name: "locale", Type: sandbox.String, Pattern: p.locale, Wants: "a locale code such as en"},
		sandbox.Boolean("store_reissue_as_duplicate"), {Name: "disable_ct", Type: sandbox.BoolOrFlag},
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
