package tencent

import (
	"regexp"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// The ways of domain control.
const (
	methodDNS  = "DNS"
	methodFile = "FILE"
	methodAuto = "DNS_AUTO"
)

const (
	csrOnline   = "online"
	csrParse    = "parse"
	caSectigo   = "sectigo"
	caDigiCert  = "digicert"
	mostNumber  = 1 << 53
	mostDomains = 250
	mostYears   = 10
)

// action is one that the stand-in plays.
type action struct {
	fields []sandbox.Field
	do     func(c *call) (obj, error)
}

// play are the actions of a site, and the names of those that the stand-in does not play.
//
// Unconfirmed: that CompleteCertificate is unknown at the international site.
func (s *Server) play(site Site) (map[string]action, []string) {
	text, textOf, integer, required, flag, list := sandbox.Text, sandbox.TextOf, sandbox.Integer, sandbox.Required, sandbox.ZeroOrOne, sandbox.ListOf
	id := required(text("CertificateId"))
	verify := []string{methodDNS, methodFile}
	if site == Mainland {
		verify = append(verify, methodAuto)
	}
	page := []sandbox.Field{integer("Offset", 0, mostNumber), integer("Limit", 1, mostNumber)}
	actions := map[string]action{
		"CreateCertificate": {[]sandbox.Field{
			required(integer("ProductId", 1, mostNumber)), required(integer("DomainNum", 1, mostDomains)), required(integer("TimeSpan", 1, mostYears)),
			flag("AutoVoucher"), list("Tags", tagField()),
		}, s.createCertificate},
		"CertificateInfoSubmit": {infoFields(verify), s.certificateInfoSubmit},
		"CertificateOrderSubmit": {[]sandbox.Field{
			required(text("CertId")), flag("DeleteDnsAutoRecord"), textOf("VerifyType", verify...),
		}, s.certificateOrderSubmit},
		"DescribeCertificates":               {listFields(site), s.describeCertificates},
		"DescribeCertificate":                {[]sandbox.Field{id}, s.describeCertificate},
		"DescribeCertificateDetail":          {[]sandbox.Field{id}, s.describeCertificateDetail},
		"CheckCertificateDomainVerification": {[]sandbox.Field{id}, s.checkDomainVerification},
		"DownloadCertificate":                {[]sandbox.Field{id}, s.downloadCertificate},
		"ReplaceCertificate":                 {replaceFields(site), s.replaceCertificate},
		"CancelCertificateOrder":             {[]sandbox.Field{id}, s.cancelCertificateOrder},
		"CancelAuditCertificate":             {[]sandbox.Field{id}, s.cancelAuditCertificate},
		"ModifyCertificateResubmit":          {[]sandbox.Field{id}, s.modifyCertificateResubmit},
		"RevokeCertificate":                  {[]sandbox.Field{id, text("Reason")}, s.revokeCertificate},
		"ModifyCertificateAlias":             {[]sandbox.Field{id, text("Alias")}, s.modifyCertificateAlias},
		"UploadConfirmLetter":                {[]sandbox.Field{id, required(text("ConfirmLetter"))}, s.uploadConfirmLetter},
		"DescribeCompanies":                  {append(page, integer("CompanyId", 1, mostNumber)), s.describeCompanies},
		"DescribeManagers": {append(page[:2:2], required(integer("CompanyId", 1, mostNumber)), text("ManagerName"), text("ManagerMail"), text("SearchKey"),
			// Several states are separated by commas.
			sandbox.Field{Name: "Status", Type: sandbox.String, Pattern: regexp.MustCompile(`^[A-Za-z,]*$`), Wants: "states"}), s.describeManagers},
	}
	others := []string{
		"SubmitCertificateInformation", "CommitCertificateInformation", "ApplyCertificate", "UploadCertificate", "DeleteCertificate",
		"ModifyCertificateProject", "ModifyCertificatesExpiringNotificationSwitch", "DescribeCertificateOperateLogs",
		"CreateCertificateBindResourceSyncTask", "DescribeCertificateBindResourceTaskDetail", "DescribeCertificateBindResourceTaskResult",
		"DescribeHostTeoInstanceList", "DescribeHostUpdateRecord", "DescribeHostUpdateRecordDetail", "DescribeHostUploadUpdateRecordDetail",
		"UpdateCertificateInstance", "UpdateCertificateRecordRetry", "UpdateCertificateRecordRollback", "UploadUpdateCertificateInstance",
		"UploadUpdateCertificateRecordRetry", "UploadUpdateCertificateRecordRollback",
	}
	if site == Mainland {
		actions["CompleteCertificate"] = action{[]sandbox.Field{id}, s.completeCertificate}
		return actions, append(others, "DescribeDownloadCertificateUrl", "CreateCertificateByPackage", "DescribePackages", "DeleteCertificates",
			"CheckCertificateChain", "CheckCertificateExist", "DeployCertificateInstance", "DescribeManagerDetail", "SubmitAuditManager",
			"VerifyManager", "DeleteManager", "UploadRevokeLetter")
	}
	return actions, append(others, "CreateCSR", "DescribeCSR", "DescribeCSRSet", "ModifyCSR", "BatchDeleteCSR")
}

func tagField() sandbox.Field {
	return sandbox.ObjectOf("", sandbox.Required(sandbox.Text("TagKey")), sandbox.Text("TagValue"))
}

// orgFields, adminFields and techFields are what a company's order needs where nothing is stored that supersedes them.
func orgFields() []string {
	return []string{"OrgOrganization", "OrgDivision", "OrgAddress", "OrgCountry", "OrgCity", "OrgRegion", "OrgPhoneArea", "OrgPhoneNumber"}
}

func adminFields() []string {
	return []string{"AdminFirstName", "AdminLastName", "AdminPhone", "AdminEmail", "AdminTitle"}
}

func techFields() []string {
	return []string{"TechFirstName", "TechLastName", "TechPhone", "TechEmail", "TechTitle"}
}

// cfcaFields are for products of CFCA, which the stand-in does not sell.
func cfcaFields() []string {
	return []string{"OrgIdType", "OrgIdNumber", "AdminIdType", "AdminIdNumber", "TechIdType", "TechIdNumber"}
}

func infoFields(verify []string) []sandbox.Field {
	fields := []sandbox.Field{
		sandbox.Required(sandbox.Text("CertId")), sandbox.Required(sandbox.TextOf("GenCsrType", csrOnline, csrParse)),
		sandbox.Required(sandbox.Text("CertCommonName")), sandbox.Required(sandbox.Integer("CompanyType", 1, 2)),
		sandbox.Required(sandbox.Text("CompanyId")), sandbox.Text("ManagerId"), sandbox.Text("Csr"), sandbox.ListOf("DnsNames", sandbox.Text("")),
		sandbox.Text("KeyPass"), sandbox.Text("CsrEncryptAlgo"), sandbox.Text("CsrKeyParameter"), sandbox.TextOf("VerifyType", verify...),
		sandbox.Text("ContactEmail"), sandbox.ZeroOrOne("AutoRenewFlag"), sandbox.Integer("Type", 0, mostNumber), sandbox.Text("CaType"),
		sandbox.Text("SignAlgo"), sandbox.Boolean("UseCrossSignRoot"),
	}
	for _, list := range [][]string{orgFields(), adminFields(), techFields(), cfcaFields()} {
		for _, name := range list {
			fields = append(fields, sandbox.Text(name))
		}
	}
	return fields
}

func replaceFields(site Site) []sandbox.Field {
	fields := []sandbox.Field{
		sandbox.Required(sandbox.Text("CertificateId")), sandbox.Required(sandbox.TextOf("ValidType", methodAuto, methodDNS, methodFile)),
		sandbox.TextOf("CsrType", replaceOriginal, replaceUpload, replaceOnline), sandbox.Text("CsrContent"), sandbox.Text("CsrkeyPassword"),
		sandbox.Text("Reason"), sandbox.Text("CertCSREncryptAlgo"), sandbox.Text("CertCSRKeyParameter"),
	}
	if site == Mainland {
		fields = append(fields, sandbox.Text("SignAlgo"), sandbox.Boolean("UseCrossSignRoot"))
	}
	return fields
}

func listFields(site Site) []sandbox.Field {
	fields := []sandbox.Field{
		sandbox.Integer("Offset", 0, mostNumber), sandbox.Integer("Limit", 0, mostNumber), sandbox.Text("SearchKey"),
		sandbox.TextOf("CertificateType", "CA", "SVR"), sandbox.Integer("ProjectId", 0, mostNumber), sandbox.TextOf("ExpirationSort", "ASC", "DESC"),
		sandbox.ListOf("CertificateStatus", sandbox.Integer("", 0, 100)), sandbox.TextOf("FilterSource", sourceUpload, sourceBuy),
		sandbox.ListOf("Tags", tagField()), sandbox.ListOf("CertIds", sandbox.Text("")),
	}
	for _, name := range []string{"Deployable", "Upload", "Renew", "IsSM", "FilterExpiring", "Hostable", "IsPendingIssue"} {
		fields = append(fields, sandbox.ZeroOrOne(name))
	}
	if site == Mainland {
		fields = append(fields, sandbox.Text("ServiceId"))
	}
	return fields
}
