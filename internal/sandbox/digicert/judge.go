package digicert

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// renewalWindow is how long before its end an order can be renewed.
//
// Unconfirmed: the window of 90 days, and that the link is refused outside of it with order_not_eligible_for_renewal; that code was seen for code signing.
const renewalWindow = 90

// judged is an order that may be placed.
type judged struct {
	product      product
	csr          *x509.CertificateRequest
	names        []string
	terms        terms
	issuer       *sandbox.Issuer
	organization *organization
	container    int64
	renews       *order
	price        int64
}

// judgeOrder checks all rules of an order that its single fields do not have. The lock is held.
func (s *Server) judgeOrder(c *call, f *faults, p product, b *orderBody) *judged {
	j := &judged{product: p}
	s.judgeCertificate(c, f, p, &b.Certificate, j)
	s.judgeDCV(f, p, b, j.names)
	j.terms = s.orderTerms(c, f, p, b)
	s.judgeContainer(c, f, b, j)
	s.judgeOrganization(c, f, b, j)
	s.judgeCustomFields(f, b)
	s.judgeRenewal(c, f, b, j)
	s.judgeAccount(c, f, b)
	end := s.planEnd(c.now, j.terms)
	j.price = p.price(len(j.names), j.terms, int64(math.Ceil(end.Sub(c.now).Hours()/24)))
	s.judgePayment(c, f, b, j)
	return j
}

// judgeCertificate checks names, request and issuing CA.
func (s *Server) judgeCertificate(c *call, f *faults, p product, b *certBody, j *judged) {
	judgeNames(c, f, p, b)
	j.names = namesOf(b.CommonName, b.DNSNames)
	if b.CSR != "" {
		csr, err := parseCSR(b.CSR)
		if err != nil {
			f.invalid("certificate.csr", "certificate.csr cannot be used: %v", err)
		}
		j.csr = csr
	}
	if b.ProfileOption == "server_client_auth_eku" && p.public() && !c.now.Before(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)) {
		// Unconfirmed: how a profile_option is refused that is no longer to be had; the DV page ends the choice of client authentication on 2026-05-01, another source in 2027.
		f.invalid("certificate.profile_option", "certificate.profile_option: client authentication ended on 2026-05-01")
	}
	j.issuer = s.chooseIssuer(c, f, p, b.CACertID)
}

func judgeNames(c *call, f *faults, p product, b *certBody) {
	const cn, sans = "certificate.common_name", "certificate.dns_names"
	if b.CommonName != "" {
		if wrong := sandbox.CheckName(b.CommonName); wrong != "" {
			f.invalid(cn, "certificate.common_name %q %s", b.CommonName, wrong)
		} else if len(b.CommonName) > sandbox.MostCommonName {
			f.invalid(cn, "certificate.common_name is longer than %d characters", sandbox.MostCommonName)
		}
	}
	seen := map[string]bool{strings.ToLower(b.CommonName): true}
	for _, name := range b.DNSNames {
		if wrong := sandbox.CheckName(name); wrong != "" {
			f.invalid(sans, "certificate.dns_names %q %s", name, wrong)
		}
		if seen[strings.ToLower(name)] {
			c.remark("certificate.dns_names names %s again", name)
		}
		seen[strings.ToLower(name)] = true
	}
	star := strings.HasPrefix(b.CommonName, sandbox.Wildcard)
	stars := slices.ContainsFunc(b.DNSNames, func(n string) bool { return strings.HasPrefix(n, sandbox.Wildcard) })
	switch {
	case p.Validation == typeEV && (star || stars):
		f.invalid(cn, "an EV certificate has no wildcards")
	case p.Wildcard && b.CommonName != "" && !star:
		f.invalid(cn, "certificate.common_name of %s must be a wildcard", p.NameID)
	case !p.Wildcard && !p.AnyNames && star:
		f.invalid(cn, "%s secures no wildcards", p.NameID)
	case !p.Wildcard && !p.AnyNames && stars:
		f.invalid(sans, "%s secures no wildcards", p.NameID)
	}
}

// chooseIssuer finds the issuing CA.
//
// Unconfirmed: the code for a ca_cert_id that is not allowed.
func (s *Server) chooseIssuer(c *call, f *faults, p product, id string) *sandbox.Issuer {
	issuer := s.Account.Authority.Named(p.Issuer)
	switch {
	case id == "" && p.public():
	case id == "":
		f.missing("certificate.ca_cert_id", "certificate.ca_cert_id is required for private certificates")
	case p.public() && !s.Account.Settings.ICASelection:
		c.remark("certificate.ca_cert_id is ignored: the account does not select issuing CAs")
	default:
		chosen := s.Account.Authority.Issuer(id)
		if chosen == nil || !slices.Contains(p.issuers(), chosen.Cert.Subject.CommonName) {
			f.invalid("certificate.ca_cert_id", "certificate.ca_cert_id %q is none of the issuing CAs that are allowed for %s", id, p.NameID)
			return issuer
		}
		issuer = chosen
	}
	return issuer
}

// judgeDCV checks what an order or a reissue says about domain control.
func (s *Server) judgeDCV(f *faults, p product, b *orderBody, names []string) {
	files := byFile(b.DCVMethod)
	for _, name := range names {
		switch {
		case sandbox.IsAddress(name) && (p.Validation != typeDV || b.DCVMethod != methodHTTP):
			f.invalid("dcv_method", "dcv_method: the address %s is validated by http-token only, for DV products only", name)
		case files && strings.HasPrefix(name, sandbox.Wildcard):
			// Unconfirmed: what happens to wildcards beside other names with http-token; the stand-in refuses them as it refuses wildcards alone.
			f.add(http.StatusBadRequest, "invalid_wildcard_dcv_method", "A file does not validate the wildcard %s.", name)
		}
	}
	if b.DCVMethod == methodHTTPDynamic && p.Validation == typeDV {
		f.invalid("dcv_method", "dcv_method http-token-dynamic is not for DV products")
	}
	s.judgeAuthKey(f, p, b)
	if len(b.DCVEmails) > 0 && b.DCVMethod != "" && b.DCVMethod != methodEmail {
		f.invalid("dcv_emails", "dcv_emails is for the dcv_method email")
	}
	for _, e := range b.DCVEmails {
		if !slices.ContainsFunc(names, func(n string) bool { return sandbox.Bare(n) == sandbox.Bare(e.DNSName) }) {
			f.invalid("dcv_emails.dns_name", "dcv_emails.dns_name %s is no name of the certificate", e.DNSName)
		}
		if !strings.EqualFold(e.EmailDomain, sandbox.BaseOf(e.DNSName)) {
			f.invalid("dcv_emails.email_domain", "dcv_emails.email_domain of %s must be %s", e.DNSName, sandbox.BaseOf(e.DNSName))
		}
	}
}

// judgeAuthKey checks the fields of AuthKeys.
//
// Unconfirmed: what becomes of an order whose request token is not found; Settings choose between an order that waits, the default, and an error.
//
// Unconfirmed: whether use_auth_key without auth_key_id is an error; the page says both that the id is required and that the key without validity is used. The stand-in requires it.
func (s *Server) judgeAuthKey(f *faults, p product, b *orderBody) {
	if !b.UseAuthKey {
		if b.DCVMethod == methodToken {
			f.invalid("dcv_method", "dcv_method token-based needs use_auth_key")
		}
		return
	}
	if p.Validation != typeDV {
		f.invalid("use_auth_key", "use_auth_key is for DV products only")
		return
	}
	if b.DCVMethod != methodToken {
		f.invalid("dcv_method", "dcv_method must be token-based with use_auth_key")
	}
	switch {
	case b.AuthKeyID == "":
		f.missing("auth_key_id", "auth_key_id is required with use_auth_key")
	case len(s.Account.AuthKeys) == 0:
		f.add(http.StatusBadRequest, "auth_key_not_setup", "The account has no AuthKey.")
	case s.Account.authKey(b.AuthKeyID, s.Now()) == nil:
		f.invalid("auth_key_id", "auth_key_id is not active, has expired or does not exist")
	}
}

func (s *Server) judgeContainer(c *call, f *faults, b *orderBody, j *judged) {
	j.container = c.user.Container
	if j.container == 0 {
		j.container = rootContainer
	}
	if b.Container == nil {
		return
	}
	if s.Account.Containers[b.Container.ID] == nil || !c.user.sees(b.Container.ID) {
		f.invalid("container.id", "container.id %d is no container that the key may use", b.Container.ID)
		return
	}
	j.container = b.Container.ID
}

func (s *Server) judgeCustomFields(f *faults, b *orderBody) {
	given := map[int64]bool{}
	for _, field := range b.CustomFields {
		i := slices.IndexFunc(s.Account.Metadata, func(m metadata) bool { return m.ID == field.MetadataID && m.Active })
		if i < 0 {
			f.invalid("custom_fields.metadata_id", "custom_fields.metadata_id %d is no active custom field", field.MetadataID)
			continue
		}
		given[field.MetadataID] = true
		if _, err := strconv.ParseInt(field.Value, 10, 64); err != nil && s.Account.Metadata[i].DataType == "int" {
			f.invalid("custom_fields.value", "custom_fields.value of %s must be a number", s.Account.Metadata[i].Label)
		}
		if s.Account.Metadata[i].DataType == "email_address" && !s.patterns.email.MatchString(field.Value) {
			f.invalid("custom_fields.value", "custom_fields.value of %s must be an email address", s.Account.Metadata[i].Label)
		}
	}
	for _, m := range s.Account.Metadata {
		if m.Required && m.Active && !given[m.ID] {
			f.missing("custom_fields", "custom_fields must have %s (metadata_id %d)", m.Label, m.ID)
		}
	}
}

// judgeRenewal finds the order that this one continues.
func (s *Server) judgeRenewal(c *call, f *faults, b *orderBody, j *judged) {
	var old *order
	switch {
	case b.RenewalOfOrderID != 0:
		if old = s.Account.order(c.user, b.RenewalOfOrderID); old == nil {
			f.invalid("renewal_of_order_id", "renewal_of_order_id %d is no order of the account", b.RenewalOfOrderID)
			return
		}
		if b.RenewedThumbprint != "" && !strings.EqualFold(old.primary().Thumbprint, b.RenewedThumbprint) {
			f.invalid("renewed_thumbprint", "renewed_thumbprint is not that of the primary certificate of order %d", old.ID)
			return
		}
	case b.RenewedThumbprint != "":
		for _, o := range s.Account.sorted(c.user) {
			if strings.EqualFold(o.primary().Thumbprint, b.RenewedThumbprint) {
				old = o
			}
		}
		if old == nil {
			f.invalid("renewed_thumbprint", "renewed_thumbprint is that of no primary certificate of the account")
			return
		}
	default:
		return
	}
	switch left := old.ValidTill.Sub(c.now); {
	case old.RenewedBy != 0:
		f.add(http.StatusBadRequest, "order_renewed_already", "The order %d was renewed by order %d.", old.ID, old.RenewedBy)
	case old.Status != statusIssued && old.Status != statusExpired && old.Status != statusReissuePending,
		left > renewalWindow*s.Day():
		f.add(http.StatusBadRequest, "order_not_eligible_for_renewal", "The order %d cannot be renewed: it is %s and ends in %d days.",
			old.ID, old.Status, int64(left/s.Day()))
	}
	j.renews = old
}

// judgeAccount checks what the account's settings have a say in.
func (s *Server) judgeAccount(c *call, f *faults, b *orderBody) {
	if id := b.AlternativeOrderID; id != "" && s.Account.Settings.UniqueAlternativeIDs {
		for _, o := range s.Account.Orders {
			if o.AlternativeID == id {
				// Unconfirmed: status and code for an alternative_order_id that is taken; Settings say the code.
				f.add(http.StatusBadRequest, cmp.Or(s.Account.Settings.TakenMarkCode, "invalid_value:alternative_order_id"), "The alternative order ID is assigned to another order.")
				break
			}
		}
	}
	if b.EnableGuestAccess != nil && !s.Account.Settings.GuestAccess {
		f.invalid("enable_guest_access", "enable_guest_access is not allowed: guest access is disabled in the account")
	}
	if b.DisableCT != nil && !s.Account.Settings.ChooseCT {
		c.remark("disable_ct is ignored: the account does not choose CT logging for each order")
	}
	if b.AutoRenew != 0 {
		c.remark("auto_renew lets DigiCert place the next order by itself, which the sandbox does not")
	}
	if b.AutoReissue != 0 && !s.Account.Settings.MultiYearPlans {
		c.remark("auto_reissue is ignored: the account has no Multi-year Plans")
	}
	if b.SkipApproval && b.Comments != "" {
		c.remark("comments are lost when approval is skipped")
	}
}

func (s *Server) judgePayment(c *call, f *faults, b *orderBody, j *judged) {
	if b.PaymentMethod != payCard {
		if b.CreditCard != nil {
			c.remark("credit_card is not used: payment_method is not card")
		}
	} else {
		if b.CreditCard == nil {
			f.missing("credit_card", "credit_card is required with payment_method card")
		} else {
			judgeCard(f, b.CreditCard, c.now)
		}
		if b.BillingAddress == nil {
			f.missing("billing_address", "billing_address is required with payment_method card")
		}
	}
	if b.VATNumber != "" && b.PaymentMethod != payCard && b.PaymentMethod != payProfile {
		c.remark("vat_number is only for payment_method card or profile")
	}
	if b.PaymentMethod == "" || b.PaymentMethod == payBalance {
		if j.price > s.Account.Balance {
			// Unconfirmed: status and code where the balance does not suffice.
			f.add(http.StatusBadRequest, "insufficient_funds", "The balance of the account does not suffice.")
		}
	}
}

func judgeCard(f *faults, card *cardBody, now time.Time) {
	digits := func(r rune) bool { return r < '0' || r > '9' }
	if n := len(card.Number); n < 12 || n > 19 || strings.ContainsFunc(card.Number, digits) {
		f.invalid("credit_card.number", "credit_card.number must have 12 to 19 digits")
	}
	if time.Date(card.Year, time.Month(card.Month)+1, 1, 0, 0, 0, 0, time.UTC).Before(now) {
		f.invalid("credit_card.expiration_year", "the credit card has expired")
	}
}

// judgeEmails looks whether the addresses of dcv_emails are ones that a validation may be sent to: a constructed one, or
// a contact in the domain's DNS. It reaches the network, so that the lock is not held.
func (s *Server) judgeEmails(ctx context.Context, f *faults, emails []dcvEmail) {
	for _, e := range emails {
		if e.Email == "" {
			continue
		}
		local, at, _ := strings.Cut(strings.ToLower(e.Email), "@")
		constructed := slices.Contains([]string{"admin", "administrator", "webmaster", "hostmaster", "postmaster"}, local)
		if constructed && sandbox.Covers(strings.ToLower(e.EmailDomain), at) && sandbox.Covers(at, e.DNSName) {
			continue
		}
		texts, err := s.look.Texts(ctx, "_validation-contactemail."+e.EmailDomain)
		if err == nil && slices.ContainsFunc(texts, func(t string) bool { return strings.EqualFold(strings.TrimSpace(t), e.Email) }) {
			continue
		}
		f.invalid("dcv_emails.email", "%s", fmt.Sprintf("dcv_emails.email %s may not validate %s", e.Email, e.DNSName))
	}
}
