package tencent

import (
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// infoBody is what CertificateInfoSubmit asks for, but for the texts of people and organizations.
type infoBody struct {
	CertID          string   `json:"CertId"`
	GenCsrType      string   `json:"GenCsrType"`
	CommonName      string   `json:"CertCommonName"`
	CompanyType     int64    `json:"CompanyType"`
	CompanyID       string   `json:"CompanyId"`
	ManagerID       string   `json:"ManagerId"`
	CSR             string   `json:"Csr"`
	DNSNames        []string `json:"DnsNames"`
	KeyPass         string   `json:"KeyPass"`
	CsrEncryptAlgo  string   `json:"CsrEncryptAlgo"`
	CsrKeyParameter string   `json:"CsrKeyParameter"`
	VerifyType      string   `json:"VerifyType"`
	ContactEmail    string   `json:"ContactEmail"`
	AutoRenewFlag   int64    `json:"AutoRenewFlag"`
	CaType          string   `json:"CaType"`
	Type            *int64   `json:"Type"`
}

// The kinds of applicants.
const (
	individual = 1
	enterprise = 2
)

// certificateInfoSubmit takes the materials of a certificate that was paid for. They may be sent again until the order is
// submitted.
func (s *Server) certificateInfoSubmit(c *call) (obj, error) {
	var b infoBody
	if err := c.decode(&b); err != nil {
		return nil, err
	}
	return obj{}, s.Change(c.now, func(st *state) error {
		cert, err := s.mine(c, b.CertID)
		if err != nil {
			return err
		}
		if err := s.takesMaterials(c, cert); err != nil {
			return err
		}
		p, ok := productByID(cert.Product)
		if !ok {
			return fail(failedInvalid, "The certificate %s is of no product.", cert.ID)
		}
		if err := s.judgeNames(b, p, cert); err != nil {
			return err
		}
		m, err := st.materialsOf(c, b, p)
		if err != nil {
			return err
		}
		s.noteAutoRenew(c, cert, b.AutoRenewFlag, p)
		cert.Materials = m
		return nil
	})
}

// mine finds a certificate that the key may change.
func (s *Server) mine(c *call, id string) (*certificate, error) {
	cert := s.found(id, c.now)
	switch {
	case cert == nil:
		return nil, notFound(id)
	case c.key.Foreign:
		return nil, fail(failedProject, "You do not have the permission to operate on this project.")
	}
	return cert, nil
}

// found finds a certificate that is seen already. The lock is held.
func (s *Server) found(id string, now time.Time) *certificate {
	cert := s.Account.find(id)
	if cert == nil || now.Before(cert.Created.Add(time.Duration(s.Account.Settings.VisibleAfter))) {
		return nil
	}
	return cert
}

// takesMaterials says whether a certificate's status lets materials be submitted.
//
// Unconfirmed: which of CertificateInfoSubmitStatusInvalid and InvalidCertificateStatusCode is answered in which status;
// the stand-in has the first while an order is open, failed or canceled, and the second when it has come to its end.
func (s *Server) takesMaterials(c *call, cert *certificate) error {
	status := s.visible(cert, c.now)
	switch {
	case !s.Account.Settings.Verified:
		return fail(failedIdentity, "You have not completed the identity verification.")
	case cert.Source != sourceBuy:
		return fail(failedHosted, "The certificate %s was uploaded.", cert.ID)
	case status == statusPaid && cert.Submitted.IsZero():
		return nil
	case slices.Contains([]int{statusIssued, statusExpired, statusRevoking, statusRevoked, statusRevokeLetter, statusRefunded}, status):
		return fail(failedStatus, "The certificate status %d is incorrect.", status)
	default:
		return fail(failedInfoStatus, "The certificate status %d does not allow submitting documentation.", status)
	}
}

// judgeNames says what is wrong with the names for a product.
//
// Unconfirmed: whether DnsNames may repeat the common name; the stand-in refuses it. Whether a product for several
// wildcards takes plain names as well; the stand-in does.
func (s *Server) judgeNames(b infoBody, p product, cert *certificate) error {
	seen := map[string]bool{}
	for _, name := range append([]string{b.CommonName}, b.DNSNames...) {
		wrong := sandbox.CheckName(name)
		if sandbox.IsAddress(name) {
			wrong = "is an IP address, for which there is no product"
		}
		if seen[strings.ToLower(name)] {
			wrong = "stands twice in CertCommonName and DnsNames"
		}
		if isWildcard(name) && !p.Wildcard {
			wrong = "is a wildcard, and the product " + p.name() + " is for none"
		}
		if wrong != "" {
			return fail(failedDomain, "The domain %q %s.", name, wrong)
		}
		seen[strings.ToLower(name)] = true
	}
	old := s.Account.find(cert.Replaces)
	switch {
	case old != nil && !slices.Equal(old.Materials.names(), append([]string{b.CommonName}, b.DNSNames...)):
		return fail(failedDomain, "A reissue has the names of the certificate that it replaces.")
	case p.Wildcard && !p.Multi && !isWildcard(b.CommonName):
		return fail(failedDomain, "The product %s is for a wildcard; %q is none.", p.name(), b.CommonName)
	case !p.Multi && len(b.DNSNames) > 0:
		return fail(failedDomain, "The product %s is for one domain; DnsNames must be left out.", p.name())
	case p.Multi && cert.Names > 1 && len(b.DNSNames) == 0:
		return fail(failedParam, "DnsNames is required for %s.", p.name())
	case int64(len(seen)) > cert.Names:
		return fail(failedDomain, "%d domains were paid for, not %d.", cert.Names, len(seen))
	}
	return nil
}

// materialsOf judges all the rest, and makes the materials.
func (st *state) materialsOf(c *call, b infoBody, p product) (*materials, error) {
	m := &materials{
		CommonName: b.CommonName, DNSNames: b.DNSNames, CompanyType: b.CompanyType, ContactEmail: b.ContactEmail, VerifyType: b.VerifyType,
		CAType: b.CaType, AutoRenew: b.AutoRenewFlag == 1, Submitted: map[string]string{},
	}
	for _, list := range [][]string{orgFields(), adminFields(), techFields()} {
		for _, name := range list {
			m.Submitted[name] = c.text(name)
		}
	}
	if err := checkMethod(b.VerifyType, m.names()); err != nil {
		return nil, err
	}
	if b.CaType != "" && (p.Brand != brandDNSPod || b.CaType != caSectigo && b.CaType != caDigiCert) {
		return nil, fail(failedRoot, "CaType %q is none of the product %s.", b.CaType, p.name())
	}
	if err := st.applicant(c, b, p, m); err != nil {
		return nil, err
	}
	if err := requestOf(c, b, m); err != nil {
		return nil, err
	}
	for _, name := range cfcaFields() {
		if c.text(name) != "" {
			c.remark("%s is for certificates of CFCA", name)
		}
	}
	if b.Type != nil {
		c.remark("Type has no documented meaning")
	}
	return m, nil
}

// checkMethod says whether names can be shown in a way.
//
// Unconfirmed: the code for a wildcard that is to be shown by a file.
func checkMethod(method string, names []string) error {
	if method == methodFile && slices.ContainsFunc(names, isWildcard) {
		return fail(failedParam, "A wildcard cannot be verified by FILE.")
	}
	return nil
}

// applicant judges who applies.
//
// Unconfirmed: the codes for an applicant that is not complete or not there.
func (st *state) applicant(c *call, b infoBody, p product, m *materials) error {
	companyID, errCompany := strconv.ParseInt(b.CompanyID, 10, 64)
	managerID, errManager := strconv.ParseInt(orZero(b.ManagerID), 10, 64)
	switch {
	case errCompany != nil || errManager != nil:
		return fail(failedParam, "CompanyId and ManagerId are the numbers of DescribeCompanies and DescribeManagers as text, or 0.")
	case companyID != 0 && st.company(companyID) == nil:
		return fail(failedParam, "There is no company %d.", companyID)
	case managerID != 0 && st.manager(managerID) == nil:
		return fail(failedParam, "There is no manager %d.", managerID)
	}
	if b.CompanyType == individual {
		if p.Validation != typeDV {
			return fail(failedParam, "The product %s is not for individuals; CompanyType must be %d.", p.name(), enterprise)
		}
		if b.ContactEmail == "" {
			return fail(failedContactEmail, "ContactEmail is required where CompanyType is %d.", individual)
		}
		return nil
	}
	var wanted []string
	if companyID == 0 && managerID == 0 {
		wanted = append(wanted, orgFields()...)
	}
	if managerID == 0 {
		wanted = append(append(wanted, adminFields()...), techFields()...)
	}
	for _, name := range wanted {
		if c.text(name) == "" {
			return fail(failedParam, "%s is required.", name)
		}
	}
	if country := c.text("OrgCountry"); country != "" && len(country) != 2 {
		return fail(failedParam, "OrgCountry must be a code of two letters.")
	}
	m.Manager, m.Organization, m.Country = managerID, c.text("OrgOrganization"), c.text("OrgCountry")
	if managerID != 0 {
		companyID = st.manager(managerID).Company
	}
	if have := st.company(companyID); have != nil {
		m.Organization, m.Country = have.Name, have.Country
	}
	return nil
}

func orZero(s string) string {
	if s == "" {
		return "0"
	}
	return s
}

// requestOf takes the CSR of an order, or makes it.
//
// Unconfirmed: the code for a CSR that cannot be read, and whether its names are compared with DnsNames; the stand-in
// remarks on names that differ.
func requestOf(c *call, b infoBody, m *materials) error {
	if b.GenCsrType == csrOnline {
		if b.CsrEncryptAlgo == "" || b.CsrKeyParameter == "" {
			return fail(failedParam, "CsrEncryptAlgo and CsrKeyParameter are required where GenCsrType is online.")
		}
		var err error
		m.Generated = true
		m.CSR, m.Key, err = makeCSR(b.CsrEncryptAlgo, b.CsrKeyParameter, b.CommonName)
		c.remark("the service makes the key, and keeps it")
		return err
	}
	if b.KeyPass != "" {
		c.remark("KeyPass has no meaning where the key is not the service's")
	}
	m.CSR = b.CSR
	return checkRequest(c, b.CSR, m.names())
}

// checkRequest judges a CSR that was brought.
func checkRequest(c *call, text string, names []string) error {
	if strings.TrimSpace(text) == "" {
		return fail(failedParam, "A CSR is required.")
	}
	csr, err := sandbox.ParseCSR(text)
	if err != nil {
		return fail(failedParam, "The CSR cannot be used: %v.", err)
	}
	if csr.Subject.CommonName != names[0] {
		return fail(failedParam, "The CSR's common name is %q, and the certificate's %q.", csr.Subject.CommonName, names[0])
	}
	for _, name := range csr.DNSNames {
		if !slices.Contains(names, name) {
			c.remark("the CSR names %s, which the certificate shall not have", name)
		}
	}
	return nil
}

// noteAutoRenew puts into the ledger that an order will spend money on its own.
func (s *Server) noteAutoRenew(c *call, cert *certificate, flag int64, p product) {
	if flag == 0 {
		return
	}
	entry := entryOf(c.now, AutoRenew, cert)
	entry.Detail = "AutoRenewFlag is " + strconv.FormatInt(flag, 10)
	s.Account.Ledger.Add(entry)
	c.remark("AutoRenewFlag lets the service buy before the certificate ends")
	if !p.renewsItself() {
		c.remark("AutoRenewFlag has no effect for %s", p.name())
	}
}

// AutoRenew is the ledger's entry for materials whose AutoRenewFlag is not 0.
const AutoRenew = "auto-renew"

// validEmail reports whether an address is one alone.
func validEmail(text string) bool {
	a, err := mail.ParseAddress(text)
	return err == nil && a.Address == text && strings.Contains(text[strings.LastIndex(text, "@"):], ".")
}
