package request

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// The ways to show domain control, as VerifyType names them.
const (
	VerifyDNS  = "DNS"
	VerifyFile = "FILE"
)

// Mark is the tag by which an order is found again.
type Mark struct{ Key, Value string }

// Computed are the request fields that are made, not configured.
type Computed struct {
	// CSR is the certificate request, DER.
	CSR []byte
	// Names are all names of the certificate, ASCII, "*." allowed in front; the first is the common name.
	Names []string
	Mark  Mark
	// VerifyType is used where the order settings have none.
	VerifyType string
}

// VerifyType returns that of the order settings; empty when they leave it open.
func VerifyType(s pluginapi.Settings) string {
	text, _ := s.Values["VerifyType"].(string)
	return text
}

// Years is the TimeSpan of the order settings; zero when there is none.
func Years(s pluginapi.Settings) int {
	n, _ := fields.Whole(s.Values["TimeSpan"])
	return int(min(max(n, 0), mostYears))
}

// Company returns CompanyId and ManagerId of the order settings; zero where there is none.
func Company(s pluginapi.Settings) (id, manager int64) {
	id, _ = fields.Whole(s.Values["CompanyId"])
	manager, _ = fields.Whole(s.Values["ManagerId"])
	return id, manager
}

// CSRText is a certificate request as the calls carry it: PEM.
func CSRText(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// Buy makes the body of CreateCertificate. It fails with InvalidRequest, naming the field, when Check finds a Fault or when
// what was computed does not fit, also into the calls that come after the purchase.
func Buy(s pluginapi.Settings, c Computed) ([]byte, error) {
	if _, err := Info(s, c, ""); err != nil {
		return nil, err
	}
	p := productOf(s)
	n, err := nameFor(p, c.Names)
	if err != nil {
		return nil, err
	}
	count, err := domainNum(s, p, n)
	if err != nil {
		return nil, err
	}
	b := fields.Body{}
	table().Fill(b, s, fields.Out{In: inBuy})
	b["DomainNum"] = count
	tags, _ := b["Tags"].([]any)
	b["Tags"] = append(slices.Clone(tags), fields.Body{"TagKey": c.Mark.Key, "TagValue": c.Mark.Value})
	return b.JSON()
}

// Info makes the body of CertificateInfoSubmit, the materials of a certificate with an id. It fails as Buy does.
func Info(s pluginapi.Settings, c Computed, id string) ([]byte, error) {
	if err := fields.Refusal(check(s, c.Mark.Key).Findings(), nil); err != nil {
		return nil, err
	}
	if err := c.check(s); err != nil {
		return nil, err
	}
	n, err := nameFor(productOf(s), c.Names)
	if err != nil {
		return nil, err
	}
	b := fields.Body{}
	table().Fill(b, s, fields.Out{In: inInfo})
	b["CertId"], b["GenCsrType"], b["Csr"], b["CertCommonName"] = id, "parse", CSRText(c.CSR), n.common
	if len(n.others) > 0 {
		b["DnsNames"] = n.others
	}
	kind := companyType(s)
	b["CompanyType"] = kind
	b.SetDefault("CompanyId", "0")
	if kind == company {
		b.SetDefault("ManagerId", "0")
	}
	b.SetDefault("VerifyType", c.VerifyType)
	b["AutoRenewFlag"] = 0 // the API's default; it goes out all the same, for 1 would buy beside certbridged
	return b.JSON()
}

// Submit makes the body of CertificateOrderSubmit.
func Submit(s pluginapi.Settings, c Computed, id string) ([]byte, error) {
	b := fields.Body{}
	table().Fill(b, s, fields.Out{In: inSubmit})
	b["CertId"] = id
	b.SetDefault("VerifyType", c.VerifyType)
	return b.JSON()
}

// Replace makes the body of ReplaceCertificate for a certificate with an id. Of the order settings only the way to show
// domain control has to do with it.
func Replace(s pluginapi.Settings, c Computed, id, reason string) ([]byte, error) {
	if err := fields.Refusal(check(s, c.Mark.Key).Findings(), table().Matters(inSubmit)); err != nil {
		return nil, err
	}
	if err := c.check(s); err != nil {
		return nil, err
	}
	b := fields.Body{
		"CertificateId": id, "ValidType": c.VerifyType, "CsrType": "Upload", "CsrContent": CSRText(c.CSR), "Reason": reason,
	}
	if set := VerifyType(s); set != "" {
		b["ValidType"] = set
	}
	return b.JSON()
}

// maxCommonName is the upper bound of a common name (RFC 5280 appendix A.1, ub-common-name).
const maxCommonName = 64

// check looks at what was computed: the certificate request must say the same as the names, for the API compares them.
func (c Computed) check(s pluginapi.Settings) error {
	csr, err := x509.ParseCertificateRequest(c.CSR)
	if err != nil {
		return pluginapi.FieldErrorf("csr", "is no certificate request: %w", err)
	}
	if len(c.Names) == 0 {
		return pluginapi.FieldErrorf("identifiers", "there are none")
	}
	for _, name := range c.Names {
		if !fields.IsDNSName(strings.TrimPrefix(name, "*.")) {
			return pluginapi.FieldErrorf("identifiers", "%q is no domain name in ASCII form", name)
		}
	}
	switch common := strings.ToLower(csr.Subject.CommonName); {
	case len(c.Names[0]) > maxCommonName:
		return pluginapi.FieldErrorf("identifiers", "%q has more than the %d characters of a common name (RFC 5280): put a shorter name in the first place", c.Names[0], maxCommonName)
	case common != c.Names[0]:
		return pluginapi.FieldErrorf("csr", "has the common name %q, and the first of the names is %q: the API wants them to be the same", common, c.Names[0])
	}
	return c.checkVerifyType(s)
}

func (c Computed) checkVerifyType(s pluginapi.Settings) error {
	const field = "VerifyType"
	kind := VerifyType(s)
	if kind == "" {
		kind = c.VerifyType
	}
	switch {
	case kind != VerifyDNS && kind != VerifyFile:
		return pluginapi.FieldErrorf(field, "%q is no way to show domain control: use %s or %s", kind, VerifyDNS, VerifyFile)
	case kind == VerifyFile && slices.ContainsFunc(c.Names, func(n string) bool { return strings.HasPrefix(n, "*.") }):
		return pluginapi.FieldErrorf(field, "%s shows no control over a wildcard: use %s", VerifyFile, VerifyDNS)
	}
	return nil
}
