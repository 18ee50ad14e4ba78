package request

import (
	"strconv"
	"sync"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// The calls that take a field.
const (
	inBuy    fields.Calls = 1 << iota // CreateCertificate
	inInfo                            // CertificateInfoSubmit
	inSubmit                          // CertificateOrderSubmit
)

// table is every request field of the three calls that a person could set, what is computed, and the one setting that is
// ours. It is made once, and read only.
var table = sync.OnceValue(func() *fields.Table {
	var all []fields.Field
	for _, part := range [][]fields.Field{purchaseFields(), certificateFields(), controlFields(), companyFields(), peopleFields(), otherFields()} {
		all = append(all, part...)
	}
	return fields.New(all...)
})

// Fields is the schema of the order settings: the API's own names and nesting. What is computed is not among them.
func Fields() []pluginapi.Field { return table().Schema() }

// SettingCertID is the setting that names a certificate to use instead of buying one.
const SettingCertID = "cert_id"

// mostYears is the longest time that can be paid for; what a product is sold for, the price list says.
const mostYears = 10

func purchaseFields() []fields.Field {
	return []fields.Field{
		{Name: "ProductId", Type: pluginapi.Integer, Required: true, In: inBuy, Test: fields.All(fields.AtLeast(1), productID), Help: "Product to buy, by its number.",
			Rule: "a product that is not known here is warned about; free ones and those for SM2 keys are refused"},
		{Name: "TimeSpan", Type: pluginapi.Integer, Required: true, In: inBuy, Test: fields.Between(1, mostYears), Help: "For how many years the certificate is paid.",
			Rule: "1 to 10; more than 1 is warned about: few products are sold for longer"},
		{Name: "DomainNum", Type: pluginapi.Integer, In: inBuy, Test: fields.Between(1, 1000), Help: "How many domains are paid for; left out: as many as the certificate has, in a product for several, and otherwise 1.",
			Rule: "not fewer than the certificate has; only 1 in a product for one domain; needed for a product that is not known here, with more than one name"},
		{Name: "AutoVoucher", Type: pluginapi.Integer, In: inBuy, Allowed: []any{int64(0), int64(1)}, Default: int64(1), Help: "Whether vouchers of the account are used."},
		{Name: "Tags", Type: pluginapi.List, In: inBuy, Help: "Tags to put on the certificate, beside the mark that certbridged puts there.", Rule: "no key twice, and not that of the mark (the account setting tag_key)",
			Fields: []fields.Field{
				{Name: "TagKey", Type: pluginapi.String, Required: true, In: inBuy, Test: fields.All(fields.Line, fields.AtMost(127)), Help: "Key.", Rule: "one line, up to 127 characters"},
				{Name: "TagValue", Type: pluginapi.String, Required: true, In: inBuy, Test: fields.All(fields.Line, fields.AtMost(255)), Help: "Value.", Rule: "one line, up to 255 characters"},
			}},
		{Name: SettingCertID, Type: pluginapi.String, Own: true, Test: certID, Help: "A certificate of the account that is paid and waits for its materials: it is used, and nothing is bought.",
			Rule: "letters and digits; it serves once, and is warned about"},
	}
}

func certificateFields() []fields.Field {
	const ourKey = "for keys that Tencent makes, and certbridged makes its own"
	return []fields.Field{
		{Name: "CertId", Type: pluginapi.String, In: inInfo | inSubmit, Computed: "the certificate that was bought, or cert_id", Help: "Certificate that is ordered."},
		{Name: "GenCsrType", Type: pluginapi.String, In: inInfo, Computed: "always parse, for the key stays on this machine", Help: "Who makes the certificate request."},
		{Name: "CertCommonName", Type: pluginapi.String, In: inInfo, Computed: "the first of domains", Help: "Main domain."},
		{Name: "Csr", Type: pluginapi.String, In: inInfo, Computed: "made with the certificate's key, see key", Help: "Certificate request."},
		{Name: "DnsNames", Type: pluginapi.List, Element: pluginapi.String, In: inInfo, Computed: "the other names of domains, but for those that come for free", Help: "Further domains."},
		{Name: "KeyPass", Type: pluginapi.String, In: inInfo, Computed: ourKey, Help: "Password of a key."},
		{Name: "CsrEncryptAlgo", Type: pluginapi.String, In: inInfo, Computed: ourKey, Help: "Algorithm of a key."},
		{Name: "CsrKeyParameter", Type: pluginapi.String, In: inInfo, Computed: ourKey, Help: "Length or curve of a key."},
		{Name: "AutoRenewFlag", Type: pluginapi.Integer, In: inInfo, Computed: "always 0: otherwise Tencent would buy beside certbridged", Help: "Whether Tencent buys the next certificate."},
	}
}

func controlFields() []fields.Field {
	return []fields.Field{
		{Name: "VerifyType", Type: pluginapi.String, In: inInfo | inSubmit, Allowed: []any{VerifyDNS, VerifyFile},
			Help: "How domain control is shown; left out, the plugin chooses by what the DCV profiles can publish.", Rule: "`FILE` not with a wildcard"},
		{Name: "DeleteDnsAutoRecord", Type: pluginapi.Integer, In: inSubmit, Allowed: []any{int64(0), int64(1)}, Default: int64(0), Help: "Whether Tencent removes a record that it has made itself.",
			Rule: "1 is warned about: with certbridged Tencent makes none"},
		{Name: "ContactEmail", Type: pluginapi.String, In: inInfo, Test: fields.Email, Help: "Where the CA writes to.", Rule: "an e-mail address; needed with `CompanyType` 1, which DV products have when nothing is said"},
	}
}

// companyFields are whose certificate it is.
func companyFields() []fields.Field {
	text := func(name, help string) fields.Field {
		return fields.Field{Name: name, Type: pluginapi.String, In: inInfo, Test: fields.Line, Help: help, Rule: "needed for a company without `CompanyId` and `ManagerId`"}
	}
	country := text("OrgCountry", "Country, as DE.")
	country.Test = fields.Country
	country.Rule = "two capital letters; " + country.Rule
	area, phone := text("OrgPhoneArea", "Country or area code of the telephone number."), text("OrgPhoneNumber", "Telephone number.")
	area.Test, phone.Test = fields.Telephone, fields.Telephone
	return []fields.Field{
		{Name: "CompanyType", Type: pluginapi.Integer, In: inInfo, Allowed: []any{int64(individual), int64(company)}, Help: "1: an individual, for DV alone; 2: a company. Left out: 1 for DV products, and otherwise 2.",
			Rule: "not 1 for OV and EV; needed for a product that is not known here"},
		{Name: "CompanyId", Type: pluginapi.Integer, In: inInfo, As: asText, Test: fields.AtLeast(1), Help: "Company of the console's list.", Rule: "1 or more; sent as text, and as \"0\" when left out"},
		{Name: "ManagerId", Type: pluginapi.Integer, In: inInfo, As: asText, Test: fields.AtLeast(1), Help: "Manager of the company, of the console's list: their data take the place of those below.", Rule: "1 or more; sent as text, and as \"0\" when left out"},
		text("OrgOrganization", "Name of the company."), text("OrgDivision", "Department."), text("OrgAddress", "Street and number."), country,
		text("OrgCity", "City."), text("OrgRegion", "Province or state."), area, phone,
	}
}

// peopleFields are who answers for a company.
func peopleFields() []fields.Field {
	var out []fields.Field
	for _, who := range []struct{ prefix, role string }{{"Admin", "administrator"}, {"Tech", "technical contact"}} {
		for _, f := range []struct {
			name, help string
			test       fields.Test
		}{
			{"FirstName", "First name of the ", fields.Line}, {"LastName", "Last name of the ", fields.Line}, {"Phone", "Telephone number of the ", fields.Telephone},
			{"Email", "E-mail address of the ", fields.Email}, {"Title", "Position of the ", fields.Line},
		} {
			out = append(out, fields.Field{
				Name: who.prefix + f.name, Type: pluginapi.String, In: inInfo, Test: f.test, Help: f.help + who.role + ".", Rule: "needed for a company without `ManagerId`",
			})
		}
	}
	return out
}

// otherFields are for single CAs.
func otherFields() []fields.Field {
	const cfca = "certificates of CFCA alone, and warned about"
	return []fields.Field{
		{Name: "OrgIdType", Type: pluginapi.String, In: inInfo, Allowed: []any{"TYDMZ", "OTHERS"}, Help: "Kind of the company's number.", Rule: cfca},
		{Name: "OrgIdNumber", Type: pluginapi.String, In: inInfo, Test: fields.Line, Help: "The company's number.", Rule: cfca},
		{Name: "AdminIdType", Type: pluginapi.String, In: inInfo, Allowed: []any{"SFZ", "HZ"}, Help: "Kind of the administrator's papers.", Rule: cfca},
		{Name: "AdminIdNumber", Type: pluginapi.String, Secret: true, In: inInfo, Test: fields.Line, Help: "Number of the administrator's papers.", Rule: cfca},
		{Name: "TechIdType", Type: pluginapi.String, In: inInfo, Allowed: []any{"SFZ", "HZ"}, Help: "Kind of the technical contact's papers.", Rule: cfca},
		{Name: "TechIdNumber", Type: pluginapi.String, Secret: true, In: inInfo, Test: fields.Line, Help: "Number of the technical contact's papers.", Rule: cfca},
		{Name: "Type", Type: pluginapi.Integer, In: inInfo, Test: fields.AtLeast(0), Help: "Kind of certificate; Tencent does not say what for.", Rule: "0 or more; warned about"},
		{Name: "CaType", Type: pluginapi.String, In: inInfo, Allowed: []any{"sectigo", "digicert"}, Help: "CA behind a product of DNSPod.", Rule: "warned about for other products"},
		{Name: "SignAlgo", Type: pluginapi.String, In: inInfo, Test: fields.Word, Help: "Algorithm that the certificate is signed with.", Rule: "letters, digits, `_` and `-`"},
		{Name: "UseCrossSignRoot", Type: pluginapi.Boolean, In: inInfo, Help: "Whether the chain ends at a root that is signed by another one."},
	}
}

// asText: the ids are numbers where the API lists them, and text where it takes them.
func asText(value any, _ fields.Calls) any {
	n, _ := value.(int64)
	return strconv.FormatInt(n, 10)
}
