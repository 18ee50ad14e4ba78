package request

import (
	"regexp"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// Check returns all that is wrong with order settings, and what deserves a look. A Fault keeps them from being sent.
// tagKey is the key of the mark that orders get. Paths are those of the order settings, with [N] for the elements of
// lists. No finding shows a secret.
func Check(s pluginapi.Settings, tagKey string) []pluginapi.Finding {
	return check(s, tagKey).Findings()
}

func check(s pluginapi.Settings, tagKey string) *fields.Report {
	r := &report{Report: table().Check(s, time.Time{}), product: productOf(s)}
	r.shape()
	r.purchase()
	r.tags(tagKey)
	r.control()
	r.company()
	r.others()
	return r.Report
}

// CheckTogether returns what is wrong with several orders at once, by the index of the order: a certificate that is paid
// serves one of them.
func CheckTogether(list []pluginapi.Settings) map[int]pluginapi.Finding {
	out := map[int]pluginapi.Finding{}
	first := map[string]int{}
	for i, s := range list {
		id := CertID(s)
		if id == "" {
			continue
		}
		if before, twice := first[id]; twice {
			out[i] = pluginapi.Faultf(SettingCertID, "%s is for another certificate as well (order settings %d): a paid certificate serves one; set it there and not as a default of the account", id, before+1)
			continue
		}
		first[id] = i
	}
	return out
}

// report has the rules between fields.
type report struct {
	*fields.Report
	product product
}

var certIDShape = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)

func certID(r *fields.Report, path string, value any) {
	text, _ := value.(string)
	if !certIDShape.MatchString(text) {
		r.Faultf(path, "%q is no id of a certificate, such as LqQxgqUe in the console's list", text)
		return
	}
	r.Warnf(path, "serves once: remove it when the certificate is issued, so that the next one is bought")
}

func productID(r *fields.Report, path string, value any) {
	n, _ := fields.Whole(value)
	p := findProduct(n)
	switch {
	case n < 1:
	case p.free:
		r.Faultf(path, "%s is free, and Tencent makes the key for it: it cannot be bought, nor had with a key of one's own", p)
	case p.sm2:
		r.Faultf(path, "%s is for SM2 keys, which certbridged does not make: choose a product for RSA or ECDSA", p)
	case !p.known():
		r.Warnf(path, "%d is not known here: whether it takes the certificate's names is not checked before it is bought", n)
	}
}

// shape says more than the schema can where there is more to say.
func (r *report) shape() {
	switch r.Text("VerifyType") {
	case "DNS_AUTO", "DNS_PROXY", "FILE_PROXY":
		r.Rewordf("VerifyType", "%s has Tencent publish what is asked for: use DNS or FILE, and certbridged publishes", r.Text("VerifyType"))
	case "EMAIL":
		r.Rewordf("VerifyType", "the API takes no EMAIL: use DNS or FILE")
	}
}

func (r *report) purchase() {
	if n, ok := r.Whole("TimeSpan"); ok && n > 1 && !r.Faulty("TimeSpan") {
		r.Warnf("TimeSpan", "%d years are paid at once; only products that are sold for several years take it", n)
	}
	if n, ok := r.Whole("DomainNum"); ok && n > 1 && (r.product.names == oneName || r.product.names == wildcard) {
		r.Faultf("DomainNum", "must be 1: %s is for one domain", r.product)
	}
}

func (r *report) tags(mark string) {
	seen := map[string]bool{}
	r.Each("Tags", func(at string, tag map[string]any) {
		key, _ := tag["TagKey"].(string)
		switch {
		case key == mark && mark != "":
			r.Faultf(at+".TagKey", "%q is the key of the mark by which certbridged finds its orders: choose another, or set tag_key of the account", key)
		case seen[key] && key != "":
			r.Faultf(at+".TagKey", "%q stands there twice", key)
		}
		seen[key] = true
	})
}

func (r *report) control() {
	if n, ok := r.Whole("DeleteDnsAutoRecord"); ok && n == 1 {
		r.Warnf("DeleteDnsAutoRecord", "does nothing: it is about records that Tencent makes, and certbridged publishes them itself")
	}
}

// company: who the certificate is for, and who answers for it.
func (r *report) company() {
	given, set := r.Whole("CompanyType")
	if r.Faulty("CompanyType") || r.Faulty("ProductId") {
		return
	}
	kind := companyType(r.Settings())
	switch {
	case !r.product.known() && !set:
		r.Faultf("CompanyType", "is missing: %s is not known here, so say 1 for an individual (DV alone) or 2 for a company", r.product)
		return
	case set && given == individual && (r.product.validation == OV || r.product.validation == EV || r.product.validation == organization):
		r.Faultf("CompanyType", "must be 2: %s is for companies", r.product)
		return
	}
	if kind == individual {
		r.individual()
		return
	}
	r.missing("ManagerId or CompanyId", !r.Has("CompanyId") && !r.Has("ManagerId"), organizationFields())
	r.missing("ManagerId", !r.Has("ManagerId"), personFields())
	if r.Has("ManagerId") && !r.Has("CompanyId") {
		r.Warnf("ManagerId", "certbridged check --online looks for the manager among those of CompanyId: set that, too")
	}
}

func (r *report) individual() {
	if !r.Has("ContactEmail") {
		r.Faultf("ContactEmail", "is missing: a certificate for an individual (CompanyType 1) needs it")
	}
	for _, name := range append([]string{"CompanyId", "ManagerId"}, append(organizationFields(), personFields()...)...) {
		if r.Has(name) {
			r.Warnf(name, "does nothing for an individual: set CompanyType = 2, or remove it")
		}
	}
}

// missing names the fields that a company needs unless something else is given.
func (r *report) missing(other string, needed bool, names []string) {
	for _, name := range names {
		if needed && !r.Has(name) {
			r.Faultf(name, "is missing: a certificate for a company needs it, or %s", other)
		}
	}
}

func organizationFields() []string {
	return []string{"OrgOrganization", "OrgDivision", "OrgAddress", "OrgCountry", "OrgCity", "OrgRegion", "OrgPhoneArea", "OrgPhoneNumber"}
}

func personFields() []string {
	var out []string
	for _, who := range []string{"Admin", "Tech"} {
		for _, name := range []string{"FirstName", "LastName", "Phone", "Email", "Title"} {
			out = append(out, who+name)
		}
	}
	return out
}

func (r *report) others() {
	for _, name := range []string{"OrgIdType", "OrgIdNumber", "AdminIdType", "AdminIdNumber", "TechIdType", "TechIdNumber"} {
		if r.Has(name) && r.product.known() {
			r.Warnf(name, "is for certificates of CFCA, which %s is not", r.product)
		}
	}
	if r.Has("Type") {
		r.Warnf("Type", "is sent as written; Tencent does not say what it is for")
	}
	if r.Has("CaType") && r.product.known() && r.product.brand != dnspod {
		r.Warnf("CaType", "is for products of DNSPod, which %s is not", r.product)
	}
}

const (
	individual = 1
	company    = 2
)

// companyType is whom the certificate is for: as it is set, or as the product has it.
func companyType(s pluginapi.Settings) int64 {
	if n, ok := fields.Whole(s.Values["CompanyType"]); ok {
		return n
	}
	if productOf(s).validation == DV {
		return individual
	}
	return company
}

// CertID is the certificate that is used instead of buying one; empty when there is none.
func CertID(s pluginapi.Settings) string {
	id, _ := s.Values[SettingCertID].(string)
	return strings.TrimSpace(id)
}
